#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a VMM does to a guest's memory while it runs: ballooning, hotplug, memory from a memfd."""

import time

import e2e

MIB = 1 << 20

# Answers orders until it is told to end.
SCRIPT = """
load virtio_pci virtio_balloon
result ready=$(sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo)
while true; do
	read -r order || break
	case $order in
	total) result total=$(sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo) ;;
	online)
		for state in /sys/devices/system/memory/memory*/state; do
			[ "$(cat $state)" = online ] || echo online_movable >$state
		done
		result total=$(sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo) ;;
	fill)
		mount -t tmpfs -o size=90% tmpfs /tmp
		head -c $((32 << 20)) /dev/urandom >/tmp/fill
		first=$(sha256sum </tmp/fill)
		cat /tmp/fill >/tmp/again
		[ "$first" = "$(sha256sum </tmp/again)" ]
		result fill=$?
		rm /tmp/fill /tmp/again
		umount /tmp ;;
	off) break ;;
	esac
done
"""


def total(guest, order="total"):
    """The guest's own idea of its memory, in KiB."""
    guest.send(order + "\n")
    return int(guest.value("total"))


def fill(guest):
    guest.send("fill\n")
    e2e.check_equal(guest.value("fill"), "0", "filling the guest's memory")


def end(guest):
    guest.send("off\n")
    guest.finish()


def wait_balloon(guest, wanted):
    deadline = time.monotonic() + e2e.STEP * e2e.SCALE
    while guest.qmp.execute("query-balloon")["actual"] != wanted:
        e2e.check(time.monotonic() < deadline, f"the balloon did not reach {wanted}")
        time.sleep(0.1)


def balloon(**options):
    with e2e.Guest("-device", "virtio-balloon-pci", script=SCRIPT, memory=384, **options) as guest:
        before = int(guest.value("ready"))
        for _ in range(2):
            guest.qmp.execute("balloon", value=256 * MIB)
            wait_balloon(guest, 256 * MIB)
            e2e.check_equal(total(guest), before - (128 << 10), "memory beside the balloon")
            guest.qmp.execute("balloon", value=384 * MIB)
            wait_balloon(guest, 384 * MIB)
            e2e.check_equal(total(guest), before, "memory without the balloon")
        fill(guest)
        end(guest)


def memfd(**options):
    with e2e.Guest("-object", "memory-backend-memfd,id=ram,size=384M,share=on", script=SCRIPT,
                   memory=384, machine="q35,memory-backend=ram", **options) as guest:
        guest.value("ready")
        fill(guest)
        end(guest)


def hotplug(**options):
    with e2e.Guest(script=SCRIPT, memory="384,slots=4,maxmem=4G", machine="q35", **options) as guest:
        before = int(guest.value("ready"))
        for number in (1, 2):
            guest.qmp.execute("object-add", **{"qom-type": "memory-backend-ram", "id": f"m{number}",
                                               "size": 256 * MIB})
            guest.qmp.execute("device_add", driver="pc-dimm", id=f"d{number}", memdev=f"m{number}")
            deadline = time.monotonic() + e2e.STEP * e2e.SCALE
            while total(guest, "online") < before + number * (250 << 10):
                e2e.check(time.monotonic() < deadline, "the guest did not get the memory")
                time.sleep(0.2)
        fill(guest)
        guest.qmp.execute("device_del", id="d2")
        deadline = time.monotonic() + e2e.STEP * e2e.SCALE
        while len(guest.qmp.execute("query-memory-devices")) > 1:
            e2e.check(time.monotonic() < deadline, "the guest did not give the memory back")
            time.sleep(0.2)
        fill(guest)
        end(guest)


e2e.main({
    "balloon": balloon,
    "memfd": lambda: memfd(smp=2),
    "hotplug": lambda: hotplug(smp=2),
})
