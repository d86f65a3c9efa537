#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Machine types, vCPU counts, irqchip modes and 32-bit kernels: does the guest see and use them?"""

import hashlib
import time

import e2e

CHECKSUM_BYTES = 8 << 20

SCRIPT = f"""
result kernel=$(uname -r)
result bits=$(uname -m)
result cpus=$(nproc)
result date=$(date +%s)
result clocksource=$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)
result hypervisor=$(dmesg | sed -n 's/.*Hypervisor detected: //p')

# The same work on every CPU at once, each pinned, each telling where it ran.
cat >/tmp/work <<'END'
i=0
while [ $i -lt 40000 ]; do i=$((i + 1)); done
echo "RESULT cpu$1=$(cut -d' ' -f39 /proc/$$/stat)" >/tmp/cpu$1
END
cpu=0
while [ $cpu -lt $(nproc) ]; do
	taskset $(printf %x $((1 << cpu))) sh /tmp/work $cpu &
	cpu=$((cpu + 1))
done
wait
cat /tmp/cpu*
result ticks=$(grep '^cpu[0-9]' /proc/stat | cut -d' ' -f2)
result timer=$(sed -n 's/ *LOC: *\\([0-9 ]*\\).*/\\1/p' /proc/interrupts)

result sum=$(yes fauxkvm | head -c {CHECKSUM_BYTES} | sha256sum | cut -d' ' -f1)
result float=$(awk 'BEGIN {{ for (i = 1; i <= 5000; i++) s += 1 / (i * i); printf "%.15g", s }}')
result sleep=start
sleep 2
result sleep=end
"""


def basel_sum():
    total = 0.0
    for i in range(1, 5001):
        total += 1 / (i * i)
    return total


def boot(flavour="amd64", machine="pc", smp=1, irqchip=None, engine=None):
    with open(e2e.asset(flavour, "version")) as version:
        kernel = version.read().strip()
    with e2e.Guest(flavour=flavour, script=SCRIPT, machine=machine, smp=smp, irqchip=irqchip,
                   engine=engine) as guest:
        e2e.check_equal(guest.value("kernel"), kernel, "kernel")
        guest.expect("^RESULT bits=" + ("i686" if flavour.startswith("686") else "x86_64"))
        e2e.check_equal(guest.value("cpus"), str(smp), "CPUs in the guest")
        e2e.check(abs(int(guest.value("date")) - time.time()) < 60, "the guest's date is wrong")
        clocksource = guest.value("clocksource")
        hypervisor = guest.value("hypervisor")
        if e2e.ACCEL != "tcg":
            e2e.check_equal(hypervisor, "KVM", "hypervisor that the guest detects")
            e2e.check(clocksource in ("kvm-clock", "tsc"), f"clocksource is {clocksource}")
        for cpu in range(smp):
            e2e.check_equal(guest.value(f"cpu{cpu}"), str(cpu), f"CPU of the work pinned to {cpu}")
        ticks = guest.value("ticks").split()
        e2e.check(len(ticks) == smp and all(int(tick) > 0 for tick in ticks),
                  f"not every CPU worked: {ticks}")
        timer = guest.value("timer").split()
        e2e.check(len(timer) == smp and all(int(count) > 0 for count in timer),
                  f"not every CPU has timer interrupts: {timer}")
        data = (b"fauxkvm\n" * CHECKSUM_BYTES)[:CHECKSUM_BYTES]
        e2e.check_equal(guest.value("sum"), hashlib.sha256(data).hexdigest(), "checksum")
        e2e.check_equal(guest.value("float"), f"{basel_sum():.15g}", "floating point sum")
        guest.expect("^RESULT sleep=start")
        start = time.monotonic()
        guest.expect("^RESULT sleep=end")
        slept = time.monotonic() - start
        e2e.check(1.9 < slept < 4 * max(1, e2e.SCALE), f"2 s of sleep took {slept:.1f} s")
        guest.finish()


e2e.main({
    "pc-1": lambda: boot(),
    "pc-2-split": lambda: boot(smp=2, irqchip="split"),
    "pc-2-off": lambda: boot(smp=2, irqchip="off"),
    "pc-4-on": lambda: boot(smp=4, irqchip="on"),
    "q35-1-off": lambda: boot(machine="q35", irqchip="off"),
    "q35-2": lambda: boot(machine="q35", smp=2),
    "q35-4-split": lambda: boot(machine="q35", smp=4, irqchip="split"),
    "686": lambda: boot(flavour="686", smp=1),
    "686-pae": lambda: boot(flavour="686-pae", machine="q35", smp=2),
    "trixie-interp": lambda: boot(flavour="trixie", engine="interp"),
    "trixie-unicorn": lambda: boot(flavour="trixie", machine="q35", smp=2, engine="unicorn"),
})
