#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4 roots on IDE, AHCI and virtio-blk disks; GRUB through SeaBIOS; check on the host."""

import hashlib
import os
import random
import tempfile

import e2e
import images

WRITTEN = 16 << 20
SCRIPT = f"""
result root=$(grep ' / ext4 ' /proc/mounts | cut -d' ' -f1)
result input=$(sha256sum </input | cut -d' ' -f1)
yes 'written by the guest' | head -c {WRITTEN} >/data/big
mkdir /data/many
i=0
while [ $i -lt 200 ]; do echo file $i >/data/many/$i; i=$((i + 1)); done
rm /data/many/7
mv /data/many/8 /data/renamed
sync
echo 3 >/proc/sys/vm/drop_caches
result big=$(sha256sum </data/big | cut -d' ' -f1)
result many=$(ls /data/many | wc -l)
"""


def make_disk(work, grub_command_line, content):
    tree = os.path.join(work, "tree")
    offset = images.PARTITION if grub_command_line else 0
    image = images.Image(os.path.join(work, "disk.img"), offset)
    images.root_tree(tree, "amd64", SCRIPT, [("input", content)])
    if grub_command_line:
        images.add_boot_files(tree, "amd64", grub_command_line)
    image.make(tree, 128 << 20)
    if grub_command_line:
        images.install_grub(image, work)
    return image


def boot(interface, root, drivers, grub, **options):
    content = random.Random(1).randbytes(8 << 20)
    append = f"disk={root} drivers={drivers}"
    with tempfile.TemporaryDirectory(prefix="fauxkvm-e2e-") as work:
        disk = make_disk(work, f"{e2e.COMMAND_LINE} {append}" if grub else None, content)
        use(disk, root, content, e2e.Guest(
            "-drive", f"file={disk.path},format=raw,if={interface}",
            flavour=None if grub else "amd64", append=append, **options))


def use(disk, root, content, machine):
    with machine as guest:
        if disk.offset:
            guest.expect("GRUB is here")
        e2e.check_equal(guest.value("root"), root, "root file system's device")
        found = guest.finish()
        wanted = (b"written by the guest\n" * WRITTEN)[:WRITTEN]
        e2e.check_equal(found["input"], hashlib.sha256(content).hexdigest(), "input file as read")
        e2e.check_equal(found["big"], hashlib.sha256(wanted).hexdigest(), "written file as read")
        e2e.check_equal(found["many"], "198", "files in the folder")
        disk.check_clean()
        e2e.check(disk.read("/data/big") == wanted, "the written file differs on the host")
        e2e.check(disk.read("/input") == content, "the input file differs on the host")
        e2e.check_equal(disk.read("/data/renamed"), b"file 8\n", "renamed file")


VIRTIO = "virtio_pci,virtio_blk,ext4"

e2e.main({
    "ide-grub": lambda: boot("ide", "/dev/sda1", "sd_mod,ata_piix,ext4", grub=True),
    "ahci": lambda: boot("ide", "/dev/sda", "sd_mod,ahci,ext4", grub=False, machine="q35"),
    "virtio": lambda: boot("virtio", "/dev/vda", VIRTIO, grub=False, machine="q35", smp=2),
    "virtio-grub": lambda: boot("virtio", "/dev/vda1", VIRTIO, grub=True, machine="q35"),
})
