# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of gdb's remote protocol as a test of QEMU's gdbstub needs (x86-64)."""

import re
import socket

import e2e

RIP = 16


class Stub:
    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(e2e.STEP * e2e.SCALE)
        self._socket.connect(path)
        self._data = b""
        # Connecting stops the guest, and QEMU may say so before our first answer.
        self._send("qSupported")
        while not self._receive().startswith("PacketSize"):
            pass

    def close(self):
        self._socket.close()

    def _send(self, text):
        raw = text.encode()
        self._socket.sendall(b"$" + raw + b"#%02x" % (sum(raw) & 0xff))

    def _receive(self):
        while True:
            match = re.search(rb"\$([^#]*)#[0-9a-f]{2}", self._data)
            if match:
                self._data = self._data[match.end():]
                self._socket.sendall(b"+")
                return match.group(1).decode()
            try:
                more = self._socket.recv(65536)
            except TimeoutError:
                raise e2e.Failure("the gdbstub does not answer") from None
            e2e.check(more, "the gdbstub closed the connection")
            self._data += more

    def command(self, text):
        self._send(text)
        return self._receive()

    def expect_ok(self, text):
        e2e.check_equal(self.command(text), "OK", f"gdbstub's answer to {text}")

    def interrupt(self):
        self._socket.sendall(b"\x03")
        return self._receive()

    def resume(self):
        """Let go without waiting for the next stop."""
        self._send("c")

    def wait_stop(self):
        answer = self._receive()
        e2e.check(answer[0] in "ST", f"no stop reply: {answer}")
        # Registers are those of the thread that stopped.
        thread = re.search(r"thread:([^;]*);", answer)
        if thread:
            self.expect_ok(f"Hg{thread.group(1)}")
        return answer

    def step(self):
        self._send("s")
        return self.wait_stop()

    def rip(self):
        text = self.command("g")
        return int.from_bytes(bytes.fromhex(text[RIP * 16:RIP * 16 + 16]), "little")

    def memory(self, address, length):
        return bytes.fromhex(self.command(f"m{address:x},{length:x}"))
