# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one QEMU per test: serial console, QMP, expectations with timeouts, certain clean-up.

Environment:
    FAUXKVM                    the wrapper (default: fauxkvm in FAUXKVM_BUILD or in build/)
    FAUXKVM_ENGINE             passed on as it is
    FAUXKVM_ASSETS             what `assets` made (default: FAUXKVM_BUILD/assets, build/assets)
    FAUXKVM_E2E_ACCEL          kvm (default): with the wrapper; device: KVM without it, on what
                               /dev/kvm there is; tcg: QEMU's own
    FAUXKVM_E2E_TIMEOUT_SCALE  multiplies every timeout
    FAUXKVM_E2E_VERBOSE        shows the serial console as it comes
"""

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import cpio

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = (os.environ.get("FAUXKVM_BUILD") or
         os.path.join(os.path.dirname(os.path.dirname(HERE)), "build"))
ASSETS = os.environ.get("FAUXKVM_ASSETS") or os.path.join(BUILD, "assets")
FAUXKVM = os.environ.get("FAUXKVM") or os.path.join(BUILD, "fauxkvm")
ACCEL = os.environ.get("FAUXKVM_E2E_ACCEL", "kvm")
SCALE = float(os.environ.get("FAUXKVM_E2E_TIMEOUT_SCALE", "1"))
STEP = 120
LIBC = ctypes.CDLL(None)

COMMAND_LINE = "console=ttyS0 earlyprintk=ttyS0 panic=-1"


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_equal(seen, wanted, what):
    check(seen == wanted, f"{what}: {seen!r}, not {wanted!r}")


def asset(flavour, name):
    path = os.path.join(ASSETS, flavour, name)
    check(os.path.exists(path), f"{path} is missing: run tests/e2e/assets")
    return path


def initramfs(path, flavour, script, files=()):
    """The flavour's base archive followed by one with /test.sh and other files."""
    extra = cpio.Archive()
    if script is not None:
        extra.file("test.sh", script.encode())
    for name, data, *mode in files:
        extra.file(name, data, *mode)
    shutil.copy(asset(flavour, "base.cpio"), path)
    with open(path, "ab") as out:
        out.write(extra.finish())


def processes_with(token):
    """Living processes whose environment has the token. A zombie has no environment any more."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                if token.encode() in environ.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def open_files(pid):
    names = []
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    except OSError:
        pass
    return names


def die_with_parent():
    """In the child before exec: a test that is killed takes its QEMU along."""
    pr_set_pdeathsig = 1
    LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


class Qmp:
    def __init__(self, path, alive):
        deadline = time.monotonic() + STEP * SCALE
        self._socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self._socket.connect(path)
                break
            except OSError:
                check(alive(), "QEMU ended before its monitor was there")
                check(time.monotonic() < deadline, "no QMP monitor")
                time.sleep(0.02)
        self._socket.settimeout(STEP * SCALE)
        self._lines = self._socket.makefile("r")
        self._next()
        self.execute("qmp_capabilities")

    def _next(self):
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise Failure("QMP does not answer") from None
        check(line, "QMP connection closed")
        return json.loads(line)

    def execute(self, command, **arguments):
        message = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            answer = self._next()
            if "error" in answer:
                raise Failure(f"QMP {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def monitor(self, line):
        """A command of the human monitor, which must answer nothing (it reports errors as text)."""
        answer = self.execute("human-monitor-command", **{"command-line": line})
        check(not answer.strip(), f"monitor {line}: {answer.strip()}")

    def wait_status(self, wanted):
        deadline = time.monotonic() + STEP * SCALE
        while self.execute("query-status")["status"] != wanted:
            check(time.monotonic() < deadline, f"QEMU did not reach status {wanted}")
            time.sleep(0.1)

    def close(self):
        self._lines.close()
        self._socket.close()


class Guest:
    """One QEMU. Use as a context manager: whatever happens, nothing of it stays.

    flavour, script, append   direct kernel boot of that asset with this test script; flavour=None:
                              no kernel, the arguments say what to boot
    irqchip                   None (QEMU's default), "on", "split" or "off"
    properties                more properties of the accelerator
    engine                    FauxKVM's engine, when not the one of the environment
    prefix                    a program that runs the whole (strace ...)
    """

    def __init__(self, *arguments, flavour="amd64", script=None, append="", files=(), machine="pc",
                 smp=1, memory=256, irqchip=None, nic=False, reboot=False, accel=ACCEL, engine=None,
                 properties=None, prefix=()):
        self._temporary = tempfile.TemporaryDirectory(prefix="fauxkvm-e2e-")
        self.folder = self._temporary.name
        self.token = f"FAUXKVM_E2E_RUN={uuid.uuid4()}"
        self.process = None
        self._qmp = None
        self._text = ""
        self._position = 0
        self._arrived = threading.Condition()
        self._ended = False
        command = ["qemu-system-x86_64", "-machine", machine, "-smp", str(smp), "-m", str(memory),
                   "-display", "none", "-serial", "stdio", "-monitor", "none",
                   "-qmp", f"unix:{self.path('qmp')},server=on,wait=off"]
        command += [] if nic else ["-nic", "none"]
        command += [] if reboot else ["-no-reboot"]
        self.environment = dict(os.environ, **dict([self.token.split("=")]))
        if engine:
            self.environment["FAUXKVM_ENGINE"] = engine
        self._kvm = accel == "kvm"
        if self._kvm:
            command = [FAUXKVM, "run", "--"] + command
        if accel in ("kvm", "device"):
            command += ["-accel", "kvm" + (f",kernel-irqchip={irqchip}" if irqchip else "") +
                        (f",{properties}" if properties else "")]
        else:
            command += ["-accel", accel]
        if flavour:
            initramfs(self.path("initrd"), flavour, script, files)
            command += ["-kernel", asset(flavour, "vmlinuz"), "-initrd", self.path("initrd"),
                        "-append", f"{COMMAND_LINE} {append}".strip()]
        self.command = list(prefix) + command + [str(argument) for argument in arguments]

    def path(self, name):
        return os.path.join(self.folder, name)

    def __enter__(self):
        with open(self.path("stderr"), "wb") as stderr:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                start_new_session=True, preexec_fn=die_with_parent, env=self.environment)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            print("\n--- end of the serial console\n" + self._text[-6000:])
            print("--- QEMU's messages\n" + self.messages() + "---", flush=True)
        self._stop()
        return False

    def _stop(self):
        if self._qmp:
            self._qmp.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for pid in processes_with(self.token):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()
        self._temporary.cleanup()

    def _read(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            text = data.decode("utf-8", "replace").replace("\r", "")
            if "FAUXKVM_E2E_VERBOSE" in os.environ:
                sys.stdout.write(text)
                sys.stdout.flush()
            with self._arrived:
                self._text += text
                self._ended = not data
                self._arrived.notify_all()
            if not data:
                return

    def messages(self):
        with open(self.path("stderr"), errors="replace") as stderr:
            return stderr.read()

    @property
    def qmp(self):
        if self._qmp is None:
            self._qmp = Qmp(self.path("qmp"), lambda: self.process.poll() is None)
        return self._qmp

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def expect(self, pattern, seconds=STEP):
        """The first match after the last one. A guest's panic or end is a failure at once."""
        wanted = re.compile(pattern + r"|Kernel panic[^\n]*\n", re.MULTILINE)
        deadline = time.monotonic() + seconds * SCALE
        with self._arrived:
            while True:
                match = wanted.search(self._text, self._position)
                if match:
                    self._position = match.end()
                    check(not match.group().startswith("Kernel panic"), match.group().strip())
                    self._check_fds()
                    return match
                check(not self._ended, f"QEMU ended while {pattern!r} was expected")
                left = deadline - time.monotonic()
                check(left > 0, f"{pattern!r} did not appear in {seconds * SCALE:.0f} s")
                self._arrived.wait(left)

    def _check_fds(self):
        """The machine's own /dev/kvm, where there is one, plays no part."""
        if self._kvm:
            self._kvm = False
            for pid in processes_with(self.token):
                names = open_files(pid)
                check(not any(name == "/dev/kvm" or name.startswith("anon_inode:kvm-")
                              for name in names), f"the machine's own /dev/kvm is in use: {names}")

    @property
    def text(self):
        with self._arrived:
            return self._text

    def skip(self):
        """Forget what the console has said up to now."""
        with self._arrived:
            self._position = len(self._text)

    def value(self, key, seconds=STEP):
        return self.expect(rf"^RESULT {key}=(.*)\n", seconds).group(1).strip()

    def results(self, seconds=STEP):
        """All RESULT lines up to the script's end, which must be a good one."""
        found = {}
        while "end" not in found:
            match = self.expect(r"^RESULT ([\w.]+)=(.*)\n", seconds)
            check(match.group(1) != "complaint", f"the guest's kernel said: {match.group(2)}")
            found[match.group(1)] = match.group(2).strip()
        check_equal(found["end"], "ok", "guest script")
        return found

    def wait_end(self, status=0, seconds=STEP):
        """QEMU ends by itself, misses no CPU feature and leaves no process."""
        try:
            seen = self.process.wait(seconds * SCALE)
        except subprocess.TimeoutExpired:
            raise Failure(f"QEMU did not end in {seconds * SCALE:.0f} s") from None
        check_equal(seen, status, "QEMU's exit status")
        # Other warnings are KVM's as well: more vCPUs than CPUs, a local APIC in user space.
        check(not re.search("warning:.*(feature|cpuid)", self.messages().lower()),
              f"QEMU warns: {self.messages()}")
        self.check_nothing_left()

    def check_nothing_left(self, seconds=5):
        deadline = time.monotonic() + seconds * SCALE
        while processes_with(self.token):
            check(time.monotonic() < deadline, f"processes left: {processes_with(self.token)}")
            time.sleep(0.05)

    def finish(self, seconds=STEP):
        found = self.results(seconds)
        self.wait_end()
        return found


def main(cases):
    """Runs the named case (or, without a name, all) and exits non-zero when one fails."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    names = sys.argv[1:] or list(cases)
    for name in names:
        start = time.monotonic()
        try:
            cases[name]()
        except Failure as failure:
            print(f"{name}: FAILED: {failure}", flush=True)
            sys.exit(1)
        print(f"{name}: ok ({time.monotonic() - start:.1f} s, {ACCEL})", flush=True)
