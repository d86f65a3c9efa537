#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""OVMF reaches its shell on the serial console, and the shell works."""

import shutil

import e2e

OVMF = "/usr/share/OVMF/OVMF_%s_4M.fd"


def ovmf(machine):
    guest = e2e.Guest(flavour=None, machine=machine)
    shutil.copy(OVMF % "VARS", guest.path("vars"))
    guest.command += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF % 'CODE'}",
                      "-drive", f"if=pflash,format=raw,file={guest.path('vars')}"]
    with guest:
        guest.expect("Shell>", 2 * e2e.STEP)
        guest.send("memmap\r")
        guest.expect(r"Available +: +[\d,]+ Pages")
        guest.expect("Shell>")
        guest.send("reset -s\r")
        guest.wait_end()


e2e.main({"ovmf-pc": lambda: ovmf("pc"), "ovmf-q35": lambda: ovmf("q35")})
