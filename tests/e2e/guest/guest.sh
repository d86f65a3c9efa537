# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# What guest test scripts share. A script reports with `result key=value` and ends by returning;
# `end=ok` is said for it when no command failed.

result()
{
	echo "RESULT $*"
}

# load DRIVER...: insert each driver after what it needs, in the order worked out by assets.
load()
{
	for driver in "$@"; do
		while read -r object; do
			grep -q "^$(basename "$object" .ko | tr - _) " /proc/modules && continue
			insmod "/lib/drivers/$object" || return 1
		done <"/lib/drivers/$driver.needs"
	done
}

# wait_for PATH: up to 60 s for a device node.
wait_for()
{
	tries=0
	while [ ! -e "$1" ]; do
		tries=$((tries + 1))
		[ $tries -gt 600 ] && return 1
		sleep 0.1
	done
}

# The kernel's complaints about the machine it runs on. A test fails on any.
complaints()
{
	dmesg | grep -E -e 'BUG:|WARNING: CPU|Oops|Call Trace|general protection|invalid opcode' \
		-e 'rcu.*stall|soft lockup|hard LOCKUP|unhandled|segfault|traps:|unchecked MSR' |
	while read -r line; do
		result "complaint=$line"
	done
}

# Its subshell is no condition of an `if`: there the shell would ignore `set -e`.
run_test()
{
	dmesg -n 1
	(
		set -e
		# shellcheck source=/dev/null
		. "$1"
	)
	status=$?
	complaints
	if [ $status = 0 ]; then
		result end=ok
	else
		result end=failed
	fi
	# Turning the machine off drops what is still unsent; changing a terminal waits for it.
	stty echo </dev/console
}
