#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# programs.sh FAUXKVM: programs that never touch KVM are not disturbed.

fauxkvm=$1
status=0

# is EXPECTED WHAT ACTUAL
is()
{
	[ "$1" = "$3" ] && return
	echo "not ok $2: expected '$1', got '$3'"
	status=1
}

is hello "output of a program" "$("$fauxkvm" run -- echo hello)"
"$fauxkvm" run -- sh -c 'exit 7'
is 7 "exit status" $?
"$fauxkvm" run -- sh -c 'kill -TERM $$'
is 143 "death by a signal" $?
is 3 "a pipeline" "$("$fauxkvm" run -- sh -c 'printf "a\nb\nc\n" | cat | wc -l')"
is trapped "a signal handler" "$("$fauxkvm" run -- sh -c 'trap "echo trapped" USR1; kill -USR1 $$')"
is c "/dev/kvm is a character device" \
	"$("$fauxkvm" run -- sh -c 'test -c /dev/kvm && test -w /dev/kvm && echo c')"
"$fauxkvm" run -- /nonexistent/program 2>/dev/null
is 127 "no such program" $?
if [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1; then
	"$fauxkvm" run -- /bin/busybox true 2>/dev/null
	is 126 "a statically linked program is refused" $?
fi
"$fauxkvm" run --engine=nonsense -- true 2>/dev/null
is 125 "an unknown engine is refused" $?
exit $status
