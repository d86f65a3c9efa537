#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's gdbstub: both kinds of breakpoint, a step and a watchpoint in the guest's kernel."""

import e2e
import gdbremote

SCRIPT = """
for symbol in __x64_sys_sethostname panic_timeout; do
	result $symbol=$(grep " $symbol\\$" /proc/kallsyms | cut -d' ' -f1)
done
result ready=yes
while read -r order; do
	case $order in
	name*) hostname $order; result name=$(hostname) ;;
	panic) echo 7 >/proc/sys/kernel/panic; result panic=$(cat /proc/sys/kernel/panic) ;;
	off) break ;;
	esac
done
"""
SOFTWARE, HARDWARE, WRITE_WATCH = 0, 1, 2


def breakpoint_stops(guest, stub, kind, function, name):
    stub.expect_ok(f"Z{kind},{function:x},1")
    stub.resume()
    guest.send(f"{name}\n")
    stub.wait_stop()
    e2e.check_equal(hex(stub.rip()), hex(function), f"RIP at breakpoint of kind {kind}")
    stub.expect_ok(f"z{kind},{function:x},1")
    stub.step()
    after = stub.rip()
    e2e.check(function < after <= function + 15, f"a step from {function:#x} led to {after:#x}")
    stub.resume()
    e2e.check_equal(guest.value("name"), name, "host name in the guest")
    stub.interrupt()


def gdbstub(**options):
    guest = e2e.Guest(script=SCRIPT, **options)
    guest.command += ["-gdb", f"unix:{guest.path('gdb')},server=on,wait=off"]
    with guest:
        function = int(guest.value("__x64_sys_sethostname"), 16)
        variable = int(guest.value("panic_timeout"), 16)
        guest.expect("^RESULT ready")
        stub = gdbremote.Stub(guest.path("gdb"))
        e2e.check(stub.command("?")[0] in "ST", "the guest is not stopped")
        before = stub.memory(function, 16)
        breakpoint_stops(guest, stub, SOFTWARE, function, "name1")
        breakpoint_stops(guest, stub, HARDWARE, function, "name2")
        e2e.check_equal(stub.memory(function, 16), before, "code after the breakpoints")

        stub.expect_ok(f"Z{WRITE_WATCH},{variable:x},4")
        e2e.check_equal(stub.memory(variable, 4), b"\xff" * 4, "panic_timeout before")
        stub.resume()
        guest.send("panic\n")
        answer = stub.wait_stop()
        e2e.check(f"watch:{variable:x}" in answer, f"no watchpoint in {answer}")
        stub.expect_ok(f"z{WRITE_WATCH},{variable:x},4")
        stub.step()
        e2e.check_equal(stub.memory(variable, 4), b"\7\0\0\0", "panic_timeout afterwards")
        stub.expect_ok("D")
        e2e.check_equal(guest.value("panic"), "7", "panic_timeout in the guest")
        guest.send("off\n")
        guest.finish()
        stub.close()


e2e.main({"1cpu": gdbstub, "2cpu": lambda: gdbstub(machine="q35", smp=2)})
