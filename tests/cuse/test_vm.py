#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""fauxkvmd in a machine of its own: QEMU's TCG, Debian's kernel with its fuse.ko and cuse.ko.

Clients run as a user of group kvm. What they print comes back on the console.
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import e2e  # noqa: E402

CLIENTS = os.environ.get("FAUXKVM_CLIENTS", "pio").split(",")
LANES = 4
# The guest's CPU is emulated, and there are others beside it.
TIME_SCALE = 20

PASSWD = b"root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\nother:x:1001:1001::/:/bin/sh\n"
GROUP = b"root:x:0:\nkvm:x:104:user\nuser:x:1000:\nother:x:1001:\n"

START = f"""
chmod 1777 /tmp
mkdir -p /run
export CLIENT_TIME_SCALE={TIME_SCALE}
as_user()
{{
	su user -c "$*"
}}
start_daemon()
{{
	fauxkvmd "$@"
	pidof fauxkvmd >/run/pid
}}
"""


def built(name):
    return os.path.join(e2e.BUILD, name)


def libraries(program):
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            text=True, check=False).stdout
    return {word for word in listed.split() if word.startswith("/")}


def programs(paths):
    """The programs in /usr/bin of the guest, and what they are linked with."""
    files, needed = [], set()
    for path in paths:
        with open(path, "rb") as data:
            files.append((f"usr/bin/{os.path.basename(path)}", data.read(), 0o755))
        needed |= libraries(path)
    # For pthread_cancel(), which looks for it by itself.
    if needed:
        needed.add(next(path for path in ("/lib/x86_64-linux-gnu/libgcc_s.so.1",
                                          "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1")
                        if os.path.exists(path)))
    for path in sorted(needed):
        with open(path, "rb") as data:
            files.append((path, data.read(), 0o755))
    return files


def machine(script, paths, files=(), memory=1024):
    files = programs([built("fauxkvmd"), *paths]) + [
        ("etc/passwd", PASSWD), ("etc/group", GROUP), *files]
    return e2e.Guest("-cpu", "max", flavour="amd64", script=START + script, files=files, smp=2,
                     memory=memory, accel="tcg")


def quirks(client):
    with open(os.path.join(HERE, "quirks")) as lines:
        words = (line.split() for line in lines if not line.startswith("#"))
        return " ".join(pair[1] for pair in words if pair[0] == client)


def client_script(prefix):
    """All clients, by several shells that each take the next one."""
    lines = [f"{prefix}-{client}|{quirks(client)}\n" for client in CLIENTS]
    return "".join(lines).encode(), f"""
load cuse
start_daemon --log error
lane()
{{
	while read -r line; do
		client=${{line%%|*}}
		mkdir /tmp/$client.taken 2>/dev/null || continue
		start=$(cut -d. -f1 /proc/uptime)
		as_user "CLIENT_SKIP='${{line#*|}}' $client" >/tmp/$client.out 2>&1 &&
			echo ok >/tmp/$client.end || echo bad >/tmp/$client.end
		echo "# $(($(cut -d. -f1 /proc/uptime) - start)) s" >>/tmp/$client.out
	done </lib/clients
}}
for number in $(seq {LANES}); do
	lane &
done
wait
for client in $(sed 's/|.*//' /lib/clients); do
	sed "s/^/$client: /" /tmp/$client.out
	result ${{client#*-}}=$(cat /tmp/$client.end)
done
"""


def clients(prefix, folder):
    data, script = client_script(prefix)
    paths = [built(f"tests/{folder}/{prefix}-{client}") for client in CLIENTS]
    with machine(script, paths, [("lib/clients", data)]) as guest:
        found = guest.finish(500)
        text = guest.text
    for client in CLIENTS:
        name = f"{prefix}-{client}"
        e2e.check_equal(found.get(client), "ok", name)
        e2e.check(f"{name}: ok " in text, f"{name} has shown nothing")
    e2e.check("not ok" not in text, "a case has failed")


e2e.main({
    "clients": lambda: clients("client", "clients"),
    "static": lambda: clients("static", "cuse"),
})
