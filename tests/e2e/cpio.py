# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes initramfs archives (cpio "newc"). Archives may be concatenated: the kernel unpacks all."""

import stat


class Archive:
    def __init__(self):
        self._data = bytearray()
        self._inode = 0
        self._folders = set()

    def _entry(self, name, mode, data=b"", major=0, minor=0):
        self._inode += 1
        raw = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(raw), 0)
        self._data += b"070701" + b"".join(b"%08X" % field for field in fields) + raw
        self._pad()
        self._data += data
        self._pad()

    def _pad(self):
        self._data += b"\0" * (-len(self._data) % 4)

    def folder(self, path):
        path = path.strip("/")
        if path and path not in self._folders:
            if "/" in path:
                self.folder(path.rsplit("/", 1)[0])
            self._folders.add(path)
            self._entry(path, stat.S_IFDIR | 0o755)

    def file(self, path, data, mode=0o644):
        path = path.strip("/")
        if "/" in path:
            self.folder(path.rsplit("/", 1)[0])
        self._entry(path, stat.S_IFREG | mode, data)

    def link(self, path, target):
        self._entry(path.strip("/"), stat.S_IFLNK | 0o777, target.encode())

    def device(self, path, major, minor):
        self._entry(path.strip("/"), stat.S_IFCHR | 0o600, b"", major, minor)

    def finish(self):
        data = bytes(self._data)
        self._entry("TRAILER!!!", 0)
        done = bytes(self._data) + b"\0" * (-len(self._data) % 512)
        self._data = bytearray(data)
        return done
