// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long it takes from KVM_CREATE_VM with memory and a vCPU to the first exit, in µs (median),
 * and whether many such VMs leave descriptors or memory behind. Exits 1 if they do.
 */
#include <fcntl.h>

#include "../clients/kvm_client.h"

#define ROUNDS 200
#define WARM_UP 20
#define GROWTH_KIB 4096

GUEST(out_code, 64, "out %al, $0x10; hlt");

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int open_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static long resident_kib(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (!statm || fscanf(statm, "%*d %ld", &pages) != 1)
		FAIL("/proc/self/statm");
	fclose(statm);
	return pages * 4;
}

static uint64_t one_vm(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint64_t start = now_ns(), took;

	VM_BOOT(&vm, &vcpu, MODE_LONG, out_code);
	vcpu_expect_out(&vcpu, 0x10, 1);
	took = now_ns() - start;
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	return took;
}

int main(void)
{
	uint64_t took[ROUNDS];
	int fds, leaked;
	long kib, grown;

	for (int i = 0; i < WARM_UP; i++)
		one_vm();
	fds = open_fds();
	kib = resident_kib();
	for (int i = 0; i < ROUNDS; i++)
		took[i] = one_vm();
	leaked = open_fds() - fds;
	grown = resident_kib() - kib;
	qsort(took, ROUNDS, sizeof(took[0]), compare);
	printf("create to first exit: median %llu us, best %llu us\n",
	       (unsigned long long)took[ROUNDS / 2] / 1000, (unsigned long long)took[0] / 1000);
	printf("%d VMs: %d descriptors, %ld KiB left behind\n", ROUNDS, leaked, grown);
	return leaked || grown > GROWTH_KIB;
}
