// SPDX-License-Identifier: GPL-2.0-or-later
/* ending HOW: runs a guest that stops for CPUID a thousand times, and ends in one of the ways. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/clients/kvm_client.h"

GUEST(code, 64, "mov $1000, %esi; 1: xor %eax, %eax; cpuid; dec %esi; jnz 1b; out %al, $0x10; hlt");

static void end(const char *how)
{
	if (!strcmp(how, "exit"))
		exit(7);
	if (!strcmp(how, "_exit"))
		_exit(7);
	if (!strcmp(how, "_Exit"))
		_Exit(7);
	if (!strcmp(how, "quick_exit"))
		quick_exit(7);
	if (!strcmp(how, "exit_group"))
		syscall(SYS_exit_group, 7);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "return";
	struct vcpu vcpu;
	struct vm vm;
	int status;

	VM_BOOT(&vm, &vcpu, MODE_LONG, code);
	vcpu_expect_out(&vcpu, 0x10, 1);
	/* The end of a child is not ours. */
	if (!fork())
		_exit(0);
	wait(&status);
	if (!vfork())
		_exit(0);
	wait(&status);
	fputs("ending\n", stderr);
	if (!strcmp(how, "destroy")) {
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
		fputs("destroyed\n", stderr);
	}
	end(how);
	return 7;
}
