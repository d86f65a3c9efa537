#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel boots while everything that Unicorn executes is compared with the interpreter.

The engine unicorn-lockstep ends the process at the first difference (cpu/unicorn/lockstep.c).
"""

import os
import re
import time

import e2e

ENGINE = "unicorn-lockstep"


def compared(log):
    """Instructions that both engines have executed, as the log tells every ten million."""
    if not os.path.exists(log):
        return 0
    with open(log) as lines:
        counts = re.findall(r"lockstep: vCPU 0: (\d+) instructions", lines.read())
    return int(counts[-1]) if counts else 0


def logged(guest):
    log = guest.path("lockstep")
    guest.environment.update(FAUXKVM_LOG="info", FAUXKVM_LOG_FILE=log)
    return log


def first_instructions(count, flavour="amd64", seconds=400):
    guest = e2e.Guest(flavour=flavour, script="", engine=ENGINE)
    log = logged(guest)
    with guest:
        start = time.monotonic()
        while compared(log) < count:
            e2e.check(guest.process.poll() is None, "QEMU ended: the engines differ")
            e2e.check(time.monotonic() - start < seconds * e2e.SCALE,
                      f"only {compared(log)} instructions in {seconds} s")
            time.sleep(0.2)
        took = time.monotonic() - start
        count = compared(log)
    print(f"{count / 1e6:.0f} million instructions compared in {took:.0f} s", flush=True)


def to_init(flavour="amd64"):
    guest = e2e.Guest(flavour=flavour, script="result up=$(cut -d' ' -f1 /proc/uptime)\n",
                      engine=ENGINE, append="quiet nowatchdog")
    log = logged(guest)
    with guest:
        # It is so slow that the kernel may complain of CPUs that are stuck.
        guest.value("up", 1800)
        print(f"{compared(log) / 1e6:.0f} million instructions compared", flush=True)


e2e.main({
    "200m": lambda: first_instructions(200000000),
    "200m-686": lambda: first_instructions(200000000, "686"),
    "init": to_init,
    "init-686": lambda: to_init("686"),
})
