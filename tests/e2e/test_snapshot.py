#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""savevm and loadvm, migrate to a file and back: the guest goes on where it was."""

import hashlib
import os
import random
import subprocess
import tempfile

import e2e

# Counts on, keeps 24 MiB in memory and checksums them when asked. `read` waits 1/5 s by timer.
SCRIPT = """
load virtio_pci virtio_blk
result memory=$(sha256sum </memory | cut -d' ' -f1)
count=0
while true; do
	order=
	read -t 1 -r order || true
	case $order in
	sum) result memory=$(sha256sum </memory | cut -d' ' -f1) ;;
	disk) result disk=$(head -c 65536 /dev/vda | sha256sum | cut -d' ' -f1) ;;
	write) cat /memory | head -c 65536 >/dev/vda; sync; result written=$? ;;
	off) break ;;
	esac
	count=$((count + 1))
	result count=$count
done
"""
CONTENT = random.Random(3).randbytes(24 << 20)
BLANK = hashlib.sha256(bytes(65536)).hexdigest()
WRITTEN = hashlib.sha256(CONTENT[:65536]).hexdigest()


def machine(image, *more, **options):
    return e2e.Guest("-drive", f"file={image},format=qcow2,if=virtio", *more, script=SCRIPT,
                     files=[("memory", CONTENT)], **options)


def check_memory(guest):
    guest.send("sum\n")
    e2e.check_equal(guest.value("memory"), hashlib.sha256(CONTENT).hexdigest(), "guest's memory")


def check_disk(guest, wanted):
    guest.send("disk\n")
    e2e.check_equal(guest.value("disk"), wanted, "guest's disk")


def count(guest):
    return int(guest.value("count"))


def check_goes_on(guest, at):
    """Counts on from what it was, at most the few steps that it made before it was stopped."""
    first = count(guest)
    e2e.check(at <= first <= at + 3, f"count was {at} and is {first} afterwards")
    for step in range(1, 4):
        e2e.check_equal(count(guest), first + step, "next count")


def snapshot(**options):
    with tempfile.TemporaryDirectory(prefix="fauxkvm-e2e-") as work:
        image = os.path.join(work, "disk.qcow2")
        state = os.path.join(work, "state")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "16M"], check=True)
        with machine(image, **options) as guest:
            check_memory(guest)
            saved = count(guest)
            guest.qmp.monitor("savevm one")
            guest.send("write\n")
            e2e.check_equal(guest.value("written"), "0", "writing in the guest")
            check_disk(guest, WRITTEN)
            while count(guest) < saved + 6:
                pass
            guest.qmp.execute("stop")
            guest.skip()
            guest.qmp.monitor("loadvm one")
            guest.qmp.execute("cont")
            check_goes_on(guest, saved)
            check_memory(guest)
            check_disk(guest, BLANK)

            at = count(guest)
            guest.qmp.execute("migrate", uri=f"exec:cat >{state}")
            guest.qmp.wait_status("postmigrate")
            guest.qmp.execute("quit")
            guest.wait_end()
        with machine(image, "-incoming", f"exec:cat {state}", **options) as guest:
            guest.qmp.wait_status("running")
            check_goes_on(guest, at)
            check_memory(guest)
            check_disk(guest, BLANK)
            guest.send("off\n")
            guest.finish()


e2e.main({
    "pc": lambda: snapshot(smp=2),
    "q35-split": lambda: snapshot(smp=1, machine="q35", irqchip="split"),
})
