#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo without a terminal: the guest's report is right, the real /dev/kvm stays closed."""

import hashlib
import os
import re
import subprocess
import tempfile

import e2e

CPUS = 2
SIZE = 64 << 20
LINE = "FauxKVM computes this on a software CPU"
SCRIPT = f"""
result kernel=$(uname -r)
result cpus=$(nproc)
result memory=$(sed -n 's/MemTotal: *//p' /proc/meminfo)
result sha256=$(yes '{LINE}' | head -c {SIZE} | sha256sum | cut -d' ' -f1)
"""


def strace_works():
    try:
        return subprocess.run(["strace", "-o", "/dev/null", "true"], check=False,
                              stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def check_trace(path):
    with open(path, errors="replace") as trace:
        opens = trace.read()
    e2e.check(re.search('vmlinuz', opens), "the trace does not show QEMU opening its kernel")
    found = re.findall(r'.*"/dev/kvm".*', opens)
    e2e.check(not found, f"the machine's own /dev/kvm was opened: {found[:3]}")
    print("strace: no open of the machine's /dev/kvm")


def demo():
    data = ((LINE + "\n").encode() * (SIZE // len(LINE)))[:SIZE]
    wanted = hashlib.sha256(data).hexdigest()
    with open(e2e.asset("amd64", "version")) as version:
        kernel = version.read().strip()
    with tempfile.TemporaryDirectory(prefix="fauxkvm-demo-") as work:
        trace = os.path.join(work, "trace")
        prefix = []
        if strace_works():
            prefix = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none",
                      "-e", "trace=open,openat,openat2", "-o", trace]
        with e2e.Guest(script=SCRIPT, smp=CPUS, memory=512, prefix=prefix) as guest:
            found = guest.finish(3 * e2e.STEP)
        for key in ("kernel", "cpus", "memory", "sha256"):
            print(f"guest's {key}: {found[key]}")
        e2e.check_equal(found["kernel"], kernel, "kernel")
        e2e.check_equal(found["cpus"], str(CPUS), "CPUs")
        e2e.check_equal(found["sha256"], wanted, f"SHA-256 of {SIZE >> 20} MiB")
        print(f"host's sha256: {wanted}")
        if prefix:
            check_trace(trace)
        else:
            print("strace does not work here: opens were not traced")


e2e.main({"check": demo})
