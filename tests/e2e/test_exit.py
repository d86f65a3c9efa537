#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""However QEMU ends, no process stays: quit, Ctrl-C, SIGTERM, SIGKILL, and a panic in the guest."""

import os
import signal
import time

import e2e

SCRIPT = "result ready=yes\nread -r order\necho c >/proc/sysrq-trigger\n"


def started(guest):
    """Busy in the kernel's start: the ends must work while vCPUs run."""
    guest.expect("Linux version")
    e2e.check(e2e.processes_with(guest.token), "the processes are not found at all")


def end_by_signal(number, status):
    with e2e.Guest(script=SCRIPT, smp=2) as guest:
        started(guest)
        start = time.monotonic()
        # As a terminal does for Ctrl-C: to the whole group.
        if number == signal.SIGINT:
            os.killpg(guest.process.pid, number)
        else:
            guest.process.send_signal(number)
        guest.wait_end(status, 20)
        print(f"ended in {time.monotonic() - start:.2f} s")


def end_by_quit():
    with e2e.Guest(script=SCRIPT, smp=2) as guest:
        started(guest)
        guest.qmp.execute("quit")
        guest.wait_end(0, 20)


def end_by_panic():
    with e2e.Guest(script=SCRIPT, smp=2) as guest:
        guest.value("ready")
        guest.send("\n")
        try:
            guest.value("never")
        except e2e.Failure as failure:
            e2e.check("Kernel panic" in str(failure), f"no panic but: {failure}")
        guest.wait_end()


def signals():
    end_by_signal(signal.SIGINT, 0)
    end_by_signal(signal.SIGTERM, 0)
    end_by_signal(signal.SIGKILL, -signal.SIGKILL)
    end_by_quit()


e2e.main({"signals": signals, "panic": end_by_panic})
