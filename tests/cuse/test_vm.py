#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""fauxkvmd in a machine of its own: QEMU's TCG, Debian's kernel with its fuse.ko and cuse.ko.

Clients run as a user of group kvm. What they print comes back on the console.
"""

import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import e2e  # noqa: E402

CLIENTS = os.environ.get("FAUXKVM_CLIENTS", "pio").split(",")
LANES = 4
# The guest's CPU is emulated, and there are others beside it.
TIME_SCALE = 40

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
	# The guard's number is the other one.
	pidof fauxkvmd | tr ' ' '\\n' | sort -n | head -n 1 >/run/pid
}}
# wait_until SECONDS COMMAND...
wait_until()
{{
	tries=$(($1 * 10))
	shift
	while ! "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || {{ echo "in vain: $*"; return 1; }}
		sleep 0.1
	done
}}
gone()
{{
	! kill -0 $1 2>/dev/null
}}
# stop_daemon [DEVICE]: which goes a little after the daemon.
stop_daemon()
{{
	kill $(cat /run/pid)
	wait_until 60 gone $(cat /run/pid)
	wait_until 30 [ ! -e /dev/${{1-kvm}} ]
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


def copies(places, program):
    """Files and where they are in the guest, and what the program among them is linked with."""
    files = []
    for path, place in places:
        with open(path, "rb") as data:
            files.append((place.lstrip("/"), data.read(), 0o755))
    return files + [file for file in programs([program]) if not file[0].startswith("usr/bin")]


def machine(script, paths, files=(), memory=1024, smp=2, append=""):
    files = programs([built("fauxkvmd"), *paths]) + [
        ("etc/passwd", PASSWD), ("etc/group", GROUP), *files]
    return e2e.Guest("-cpu", "max", flavour="amd64", script=START + script, files=files, smp=smp,
                     memory=memory, append=append, accel="tcg")


# What needs more memory than the machine has, or a newer kernel: pidfd_open() of a thread.
NOT_HERE = {"memslots": "interrupted_pre_fault", "threads": "first_thread_gone own_descriptors"}


def quirks(client):
    with open(os.path.join(HERE, "quirks")) as lines:
        words = (line.split() for line in lines if not line.startswith("#"))
        listed = [pair[1] for pair in words if pair[0] == client]
    return " ".join(listed + [NOT_HERE[client]] if client in NOT_HERE else listed)


def client_script(prefix):
    """All clients, by several shells that each take the next one."""
    lines = [f"{prefix}-{client}|{quirks(client)}\n" for client in CLIENTS]
    return "".join(lines).encode(), f"""
load cuse
echo 16 >/proc/sys/vm/nr_hugepages
start_daemon --log error --max-memory 64G
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
    # One CPU: where others work beside us, emulated ones wait for each other most of the time.
    with machine(script, paths, [("lib/clients", data)], smp=1) as guest:
        found = guest.finish(800)
        lines = guest.text.split("\n")
        for client in CLIENTS:
            name = f"{prefix}-{client}"
            said = [line for line in lines if line.startswith(f"{name}: ")]
            # Of many clients the console's end shows but the last.
            e2e.check(found.get(client) == "ok", "\n".join([f"{name} failed", *said]))
            e2e.check(any(line.startswith(f"{name}: ok ") for line in said),
                      f"{name} has shown nothing")
        e2e.check("not ok" not in guest.text, "a case has failed")


LIFE = """
# expect STATUS PATTERN COMMAND...: how it ends and what it says.
expect()
{
	wanted=$1
	pattern=$2
	shift 2
	status=0
	"$@" >/tmp/said 2>&1 || status=$?
	cat /tmp/said
	[ $status = $wanted ] || { echo "status $status, not $wanted: $*"; return 1; }
	grep -q "$pattern" /tmp/said || { echo "no '$pattern': $*"; return 1; }
}

# What is in the way.
expect 1 CONFIG_CUSE fauxkvmd
load cuse
mknod /dev/kvm c 1 3
expect 1 "there already" fauxkvmd
start_daemon --device-name fauxkvm
[ -c /dev/fauxkvm ]
stop_daemon fauxkvm
expect 1 "no engine" fauxkvmd --replace --engine nonsense
start_daemon --replace
as_user client-stats
stop_daemon
# A node with nobody behind it.
mknod /dev/kvm c 10 232
start_daemon
result replace=ok

# Who may, and how much.
ls -l /dev/kvm | grep -q "^crw-rw----.*root *kvm"
expect 1 "Permission denied" su other -c "client-stats"
stop_daemon
start_daemon --max-vms 2 --max-memory 5M
expect 1 "KVM_CREATE_VM: Cannot allocate memory" as_user cuse-load 3 3
expect 1 "slot 2: Cannot allocate memory" as_user cuse-load 1 1 3
stop_daemon
usual=$(cat /proc/sys/vm/max_map_count)
echo 400 >/proc/sys/vm/max_map_count
start_daemon
echo $usual >/proc/sys/vm/max_map_count
expect 1 "not ok all: .* is 0xc, expected 0" as_user client-slots all
stop_daemon
result limits=ok

# What the daemon holds, when no client is there.
start_daemon --log error
daemon=$(cat /run/pid)
grep -q "^NoNewPrivs:.*1" /proc/$daemon/status
grep -q "^Seccomp:.*2" /proc/$daemon/status
descriptors()
{
	ls /proc/$daemon/fd | wc -l
}
has()
{
	[ $(descriptors) = $1 ]
}
memory()
{
	sed -n "s/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p" /proc/$daemon/status
}
no_more_shared()
{
	[ $(shared) -lt $((shared_before + 1024)) ]
}
shared()
{
	sed -n "s/^Shmem:[^0-9]*\\([0-9]*\\) kB/\\1/p" /proc/meminfo
}
# As much at once as later, so that its threads and their heaps are there.
for client in client-memslots client-lifecycle client-pio; do
	as_user $client >/dev/null &
done
wait
# It lets go of a client a little after the client's end.
idle=
while [ "$idle" != $(descriptors) ]; do
	idle=$(descriptors)
	sleep 2
done
as_user client-stats >/dev/null
wait_until 30 has $idle
before=$(memory)
shared_before=$(shared)

# Fifty clients die.
random()
{
	od -An -N2 -tu2 /dev/urandom
}
kills=0
for round in $(seq 13); do
	for client in "cuse-load 2 2" "client-lifecycle" "cuse-load 3 1" "client-memslots"; do
		[ $kills -lt 50 ] || break
		setsid su user -c "exec $client" >/dev/null 2>&1 &
		pid=$!
		usleep $(($(random) * 12))
		# It may not be a group of its own yet.
		kill -9 -$pid || kill -9 $pid
		wait $pid || true
		kills=$((kills + 1))
	done
done
# Children of clients are of their group.
result kills=$kills
wait_until 60 has $idle
after=$(memory)
[ $after -lt $((before + 16384)) ] || { echo "memory: $before, $after"; false; }
wait_until 30 no_more_shared
! grep -q kvm-memory /proc/$daemon/maps
as_user client-pio
result leaks=none
as_user cuse-writeback
result writeback=ok

# The daemon's end under load.
load()
{
	for number in 1 2 3 4; do
		rm -f /tmp/load.$number
		as_user cuse-load 2 2 >/tmp/load.$number &
	done
	for number in 1 2 3 4; do
		wait_until 300 grep -q ready /tmp/load.$number
	done
}
load
kill $daemon
wait_until 60 gone $daemon
wait
sort /tmp/load.* | uniq -c
[ $(grep -c "^run EIO" /tmp/load.1) = 2 ]
! grep -q works /tmp/load.*
wait_until 30 [ ! -e /dev/kvm ]
result term=ok
start_daemon
daemon=$(cat /run/pid)
load
kill -9 $daemon
wait
sort /tmp/load.* | uniq -c
[ $(grep -c "^run E" /tmp/load.1) = 2 ]
! grep -q works /tmp/load.*
start_daemon
as_user client-stats
result crash=ok
"""


def life():
    paths = [built(f"tests/cuse/cuse-{program}") for program in ("load", "writeback")]
    paths += [built(f"tests/clients/client-{client}")
              for client in ("pio", "stats", "lifecycle", "memslots", "slots")]
    with machine(LIFE, paths) as guest:
        found = guest.finish(800)
    e2e.check_equal({key: found.get(key) for key in ("kills", "leaks", "writeback", "term", "crash")},
                    {"kills": "50", "leaks": "none", "writeback": "ok", "term": "ok",
                     "crash": "ok"}, "results")


QEMU = """
load cuse
start_daemon --log error
status=0
as_user "qemu-system-x86_64 -L /firmware -accel kvm -nodefaults -vga none -m 32 -smp 2 \\
	-display none -serial stdio -monitor none -no-reboot \\
	-device isa-debug-exit,iobase=0xf4 -kernel /firmware/kernel" </dev/null >/tmp/said || status=$?
while read -r line; do
	echo "inner: $line"
done </tmp/said
result status=$status
"""
# What the kernel in guest/kernel.S says, and 1 more than twice its GOOD.
SAYS = ("in the kernel", "in user space", "the timer ticks", "user space stays in its bounds")
STATUS = "33"


def firmware(name):
    folders = ("/usr/share/seabios", "/usr/share/qemu")
    path = next(path for path in (os.path.join(folder, name) for folder in folders)
                if os.path.exists(path))
    with open(path, "rb") as data:
        return (f"firmware/{name}", data.read())


def qemu():
    files = [firmware(name) for name in ("bios-256k.bin", "kvmvapic.bin", "multiboot_dma.bin")]
    with open(built("tests/cuse/kernel"), "rb") as data:
        files.append(("firmware/kernel", data.read()))
    program = shutil.which("qemu-system-x86_64")
    with machine(QEMU, [program], files, memory=1536) as guest:
        found = guest.finish(800)
        text = guest.text
    for line in SAYS:
        e2e.check(f"inner: {line}" in text, f"the kernel inside did not say: {line}")
    e2e.check_equal(found["status"], STATUS, "the inner QEMU's exit status")


# systemd as the first process, the daemon by its unit as it is installed.
SYSTEMD = "/lib/systemd/systemd"
LOAD_UNIT = """[Unit]
DefaultDependencies=no
Before=fauxkvmd.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c '. /lib/guest.sh; load cuse'
"""
TEST_UNIT = """[Unit]
After=load.service fauxkvmd.service
Wants=load.service fauxkvmd.service
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh -c '. /lib/guest.sh; run_test /test.sh; poweroff -f'
"""
UNIT = """
systemctl --no-pager status fauxkvmd || true
daemon=$(systemctl show -P MainPID fauxkvmd)
[ "$(readlink /proc/$daemon/exe)" = %s ]
ls -l /dev/kvm | grep -q "^crw-rw----.*root *kvm"
# What the udev rule goes by.
[ "$(basename $(readlink /sys/class/cuse/kvm/subsystem))" = cuse ]
grep "^Cap\\|^NoNew\\|^Seccomp:\\|^Max open" /proc/$daemon/status
for client in client-pio client-backing client-private; do
	as_user $client
done
systemctl stop fauxkvmd
[ ! -e /dev/kvm ]
[ "$(systemctl show -P Result fauxkvmd)" = success ]
# As distributions make it at boot.
mknod /dev/kvm c 10 232
systemctl start fauxkvmd
as_user client-pio
result unit=ok
"""


def unit():
    if not os.path.exists(SYSTEMD):
        print("no systemd")
        sys.exit(77)
    with open(built("cuse/fauxkvmd.service")) as data:
        service = data.read()
    installed = re.search("^ExecStart=([^ ]*)", service, re.MULTILINE).group(1)
    paths = [built(f"tests/clients/client-{client}")
             for client in ("pio", "backing", "private")]
    paths.append(shutil.which("systemctl"))
    files = [("lib/systemd/system/fauxkvmd.service", service.encode()),
             ("etc/systemd/system/load.service", LOAD_UNIT.encode()),
             ("etc/systemd/system/default.target", b"[Unit]\nWants=test.service\n"),
             ("etc/systemd/system/test.service", TEST_UNIT.encode()),
             ("etc/machine-id", b"uninitialized\n"), ("etc/initrd-release", b"ID=test\n")]
    for name in ("sysinit", "basic", "shutdown", "sockets", "timers", "paths", "slices"):
        files.append((f"lib/systemd/system/{name}.target", b"[Unit]\n"))
    files += copies(((SYSTEMD, SYSTEMD), (built("fauxkvmd"), installed)), SYSTEMD)
    with machine(UNIT % installed, paths, files, append=f"rdinit={SYSTEMD}") as guest:
        found = guest.finish(400)
    e2e.check_equal(found["unit"], "ok", "the daemon as a unit")


UDEVD = "/lib/systemd/systemd-udevd"
UDEV = """
access()
{
	ls -l /dev/kvm
	ls -l /dev/kvm | grep -q "$1"
}
%s --daemon
load cuse
start_daemon
access "^crw-rw----.*root *kvm"
# The rule.
chgrp 0 /dev/kvm
chmod 0600 /dev/kvm
udevadm trigger --action=add /sys/class/cuse/kvm
udevadm settle
access "^crw-rw----.*root *kvm"
udevadm info /dev/kvm | grep "TAGS=.*systemd"
# What the options say, whenever udev comes to the device.
for round in 1 2 3; do
	stop_daemon
	start_daemon --mode 0666 --group user
	udevadm settle
	access "^crw-rw-rw-.*root *user"
done
result udev=ok
"""


def udev():
    if not os.path.exists(UDEVD):
        print("no udev")
        sys.exit(77)
    rules = "/lib/udev/rules.d/50-udev-default.rules"
    files = copies(((rules, rules), (UDEVD, UDEVD),
                    (os.path.join(SOURCE, "cuse/60-fauxkvmd.rules"),
                     "usr/local/lib/udev/rules.d/60-fauxkvmd.rules")), UDEVD)
    with machine(UDEV % UDEVD, [shutil.which("udevadm")], files) as guest:
        found = guest.finish(200)
    e2e.check_equal(found["udev"], "ok", "the device with udev")


e2e.main({
    "unit": unit,
    "udev": udev,
    "clients": lambda: clients("client", "clients"),
    "static": lambda: clients("static", "cuse"),
    "life": life,
    "qemu": qemu,
})
