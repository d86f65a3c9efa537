// SPDX-License-Identifier: GPL-2.0-or-later
/* How long from the guest to user space and back takes: the median of many OUT exits, in ns. */
#include "../clients/kvm_client.h"

#define SAMPLES 201
#define EXITS 2000

GUEST(out_code, 64, "1: out %al, $0x10; jmp 1b");
GUEST(in_code, 64, "1: in $0x10, %al; jmp 1b");
GUEST(mmio_code, 64, "mov $0x10000000, %ebx; 1: mov %eax, (%rbx); jmp 1b");

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void measure(const char *name, const uint8_t *code, const uint8_t *end, int reason)
{
	struct vm vm;
	struct vcpu vcpu;
	double ns[SAMPLES];

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	vcpu_load(&vcpu, MODE_LONG, code, end);
	vcpu_expect(&vcpu, reason);
	for (int sample = 0; sample < SAMPLES; sample++) {
		uint64_t start = now_ns();

		for (int i = 0; i < EXITS; i++)
			vcpu_expect(&vcpu, reason);
		ns[sample] = (double)(now_ns() - start) / EXITS;
	}
	qsort(ns, SAMPLES, sizeof(ns[0]), compare);
	printf("exit %s: median %.0f ns, best %.0f ns\n", name, ns[SAMPLES / 2], ns[0]);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

int main(void)
{
	measure("out", out_code, out_code_end, KVM_EXIT_IO);
	measure("in", in_code, in_code_end, KVM_EXIT_IO);
	measure("mmio", mmio_code, mmio_code_end, KVM_EXIT_MMIO);
	return 0;
}
