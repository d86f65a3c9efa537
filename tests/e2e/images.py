# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes and reads disk images with ext4 on them, without root and without loop devices."""

import os
import shutil
import subprocess

import e2e

GRUB = "/usr/lib/grub/i386-pc"
SECTOR = 512
PARTITION = 1 << 20
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "serial", "echo", "boot")

INIT = """#!/bin/sh
export PATH=/sbin:/bin:/usr/sbin:/usr/bin
. /lib/guest.sh
run_test /test.sh
sync
mount -o remount,ro /
poweroff -f
"""


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, env=dict(os.environ, PATH=os.environ["PATH"] + ":/sbin"))
    e2e.check(done.returncode == 0, f"{' '.join(command)}: {done.stdout}")
    return done.stdout


class Image:
    """An image whose file system starts at `offset`."""

    def __init__(self, path, offset=0):
        self.path = path
        self.offset = offset
        self._name = f"{path}?offset={offset}" if offset else path

    def make(self, tree, size):
        """Ends at `size`: the sizes that mke2fs is given are those of the file system."""
        with open(self.path, "wb") as out:
            out.truncate(size)
        extended = ["-E", f"offset={self.offset}"] if self.offset else []
        run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, *extended, self.path,
            f"{(size - self.offset) // 1024}k")

    def check_clean(self):
        run("e2fsck", "-fn", self._name)

    def read(self, name):
        copy = self.path + ".read"
        run("debugfs", "-R", f"dump {name} {copy}", self._name)
        with open(copy, "rb") as data:
            return data.read()


def root_tree(place, flavour, script, files=()):
    """A root file system's tree whose init runs the script and turns the machine off."""
    shutil.copytree(os.path.dirname(e2e.asset(flavour, "root/lib")), place, symlinks=True)
    for name, data in (("sbin/init", INIT.encode()), ("test.sh", script.encode()), *files):
        path = os.path.join(place, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(data)
    os.chmod(os.path.join(place, "sbin/init"), 0o755)


def add_boot_files(tree, flavour, command_line):
    grub = os.path.join(tree, "boot/grub")
    os.makedirs(grub)
    shutil.copy(e2e.asset(flavour, "vmlinuz"), os.path.join(tree, "boot"))
    shutil.copy(e2e.asset(flavour, "base.cpio"), os.path.join(tree, "boot"))
    with open(os.path.join(grub, "grub.cfg"), "w") as out:
        out.write("serial --unit=0\nterminal_input serial\nterminal_output serial\n"
                  "echo GRUB is here\n"
                  f"linux /boot/vmlinuz {command_line}\ninitrd /boot/base.cpio\nboot\n")


def install_grub(image, work):
    """GRUB's first sector, its core right behind it, and a partition table with one partition."""
    core = os.path.join(work, "core.img")
    run("grub-mkimage", "-O", "i386-pc", "-o", core, "-p", "(hd0,msdos1)/boot/grub", *GRUB_MODULES)
    core_size = os.path.getsize(core)
    e2e.check(SECTOR + core_size <= PARTITION, "GRUB does not fit before the partition")
    sectors = (os.path.getsize(image.path) - PARTITION) // SECTOR
    entry = (b"\x80\xfe\xff\xff\x83\xfe\xff\xff" + (PARTITION // SECTOR).to_bytes(4, "little") +
             sectors.to_bytes(4, "little"))
    with open(os.path.join(GRUB, "boot.img"), "rb") as boot:
        first = boot.read()[:440].ljust(446, b"\0") + entry.ljust(64, b"\0") + b"\x55\xaa"
    with open(image.path, "r+b") as disk, open(core, "rb") as data:
        disk.write(first + data.read())
