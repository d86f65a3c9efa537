#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest reboots three times in one QEMU; QEMU resets it; each time it starts anew."""

import e2e

SCRIPT = """
result up=$(nproc)
read -r order
case $order in
reboot) reboot -f ;;
sysrq) echo b >/proc/sysrq-trigger; sleep 60 ;;
esac
"""


def reboot(orders, smp, **options):
    with e2e.Guest(script=SCRIPT, reboot=True, smp=smp, **options) as guest:
        # A reset drops what the guest has not sent yet, so the new start is the only proof of it.
        for order in orders:
            guest.expect("Linux version")
            e2e.check_equal(guest.value("up"), str(smp), f"CPUs before {order}")
            if order == "system_reset":
                guest.qmp.execute(order)
            else:
                guest.send(order + "\n")
        guest.expect("Linux version")
        e2e.check_equal(guest.value("up"), str(smp), "CPUs after the last start")
        guest.send("off\n")
        guest.finish()


e2e.main({
    "pc": lambda: reboot(("reboot", "sysrq", "reboot"), 2),
    "q35": lambda: reboot(("system_reset",), 2, machine="q35"),
})
