#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Live migration between two QEMUs while the guest writes: nothing is lost, and it goes on."""

import hashlib
import random
import time

import e2e

# Writes 4 MiB over and over, in the background and in other places each time, and counts.
SCRIPT = """
mount -t tmpfs -o size=64m tmpfs /tmp
result memory=$(sha256sum </memory | cut -d' ' -f1)
(
	round=0
	while [ ! -e /tmp/stop ]; do
		head -c $((4 << 20)) /memory >/tmp/dirty$((round % 8))
		round=$((round + 1))
		echo $round >/tmp/round
	done
) &
count=0
while true; do
	order=
	read -t 1 -r order || true
	case $order in
	sum) result memory=$(sha256sum </memory | cut -d' ' -f1) ;;
	dirty)
		touch /tmp/stop
		wait
		for file in /tmp/dirty*; do sha256sum <$file; done | sort -u >/tmp/sums
		result copies=$(wc -l </tmp/sums)
		result copy=$(cut -d' ' -f1 </tmp/sums) ;;
	off) break ;;
	esac
	count=$((count + 1))
	result count=$count round=$(cat /tmp/round)
done
"""
CONTENT = random.Random(5).randbytes(16 << 20)
MEMORY = 192
PAGE = 4096


def machine(*arguments, **options):
    return e2e.Guest(*arguments, script=SCRIPT, files=[("memory", CONTENT)], memory=MEMORY,
                     **options)


def position(guest):
    count, rounds = guest.expect(r"^RESULT count=(\d+) round=(\d+)\n").groups()
    return int(count), int(rounds)


def wait_migrated(guest):
    deadline = time.monotonic() + 2 * e2e.STEP * e2e.SCALE
    while True:
        status = guest.qmp.execute("query-migrate")
        e2e.check(status["status"] not in ("failed", "cancelled"), f"migration: {status}")
        if status["status"] == "completed":
            return status
        e2e.check(time.monotonic() < deadline, f"migration does not end: {status}")
        time.sleep(0.2)


def memory_of(guest):
    """RAM from 1 MiB on, as QEMU has it while the guest stands still."""
    file = guest.path("memory")
    size = (MEMORY - 1) << 20
    guest.qmp.execute("pmemsave", val=1 << 20, size=size, filename=file)
    with open(file, "rb") as stream:
        return stream.read()


def different_pages(one, other):
    return [hex((1 << 20) + at) for at in range(0, len(one), PAGE)
            if one[at:at + PAGE] != other[at:at + PAGE]]


def migrate(smp=2, **options):
    with machine(smp=smp, **options) as source:
        e2e.check_equal(source.value("memory"), hashlib.sha256(CONTENT).hexdigest(), "memory")
        while position(source)[1] < 3:
            pass
        address = "unix:" + source.path("migration")
        with machine("-S", "-incoming", address, smp=smp, **options) as target:
            target.qmp.execute("query-status")
            source.qmp.execute("migrate-set-parameters",
                               **{"max-bandwidth": 1 << 33, "downtime-limit": 1000})
            source.qmp.execute("migrate", uri=address)
            status = wait_migrated(source)
            e2e.check(status["ram"]["dirty-sync-count"] > 1, f"the guest did not run: {status}")
            target.qmp.wait_status("paused")
            # KVM's own pages are written anew: clock and steal time of each vCPU, the wall clock.
            different = different_pages(memory_of(source), memory_of(target))
            e2e.check(len(different) <= 2 * smp + 1, f"pages got lost: {different}")
            count, rounds = 0, 0
            source.skip()
            source.qmp.execute("quit")
            source.wait_end()
            target.qmp.execute("cont")
            for _ in range(3):
                before = (count, rounds)
                count, rounds = position(target)
                e2e.check(count > before[0] and rounds >= before[1], f"{before} -> {count}, {rounds}")
            target.send("sum\n")
            e2e.check_equal(target.value("memory"), hashlib.sha256(CONTENT).hexdigest(), "memory")
            target.send("dirty\n")
            e2e.check_equal(target.value("copies"), "1", "different copies")
            e2e.check_equal(target.value("copy"), hashlib.sha256(CONTENT[:4 << 20]).hexdigest(),
                            "what the guest wrote meanwhile")
            target.send("off\n")
            target.finish()


e2e.main({
    "log": migrate,
    "ring": lambda: migrate(properties="dirty-ring-size=4096"),
    "ring-1": lambda: migrate(smp=1, properties="dirty-ring-size=1024", machine="q35"),
})
