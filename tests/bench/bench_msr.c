// SPDX-License-Identifier: GPL-2.0-or-later
/* RDMSR and WRMSR inside, and an MSR exit to user space and back: the median, in ns. */
#include "../clients/kvm_client.h"

#define SAMPLES 101
#define ACCESSES 10000
#define EXITS 2000

GUEST(rdmsr_code, 64,
      "mov $0x174, %ecx; 1: mov $" STRING(ACCESSES) ", %esi\n"
      "2: rdmsr; dec %esi; jnz 2b; out %al, $0x10; jmp 1b");
GUEST(wrmsr_code, 64,
      "mov $0x174, %ecx; xor %edx, %edx; xor %eax, %eax; 1: mov $" STRING(ACCESSES) ", %esi\n"
      "2: wrmsr; dec %esi; jnz 2b; out %al, $0x10; jmp 1b");
GUEST(exit_code, 64, "mov $0xdeadbeef, %ecx; 1: rdmsr; jmp 1b");

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void measure(const char *name, const uint8_t *code, const uint8_t *end, int reason,
		    unsigned int runs, unsigned int accesses)
{
	static uint8_t none[8];
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args[0] = KVM_MSR_EXIT_REASON_UNKNOWN,
	};
	struct kvm_msr_filter filter = {
		.ranges[0] = { .flags = KVM_MSR_FILTER_READ, .nmsrs = 1, .bitmap = none },
	};
	struct vm vm;
	struct vcpu vcpu;
	double ns[SAMPLES];

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	XIOCTL(vm.fd, KVM_ENABLE_CAP, &cap);
	XIOCTL(vm.fd, KVM_X86_SET_MSR_FILTER, &filter);
	vcpu_load(&vcpu, MODE_LONG, code, end);
	vcpu_expect(&vcpu, reason);
	for (int sample = 0; sample < SAMPLES; sample++) {
		uint64_t start = now_ns();

		for (unsigned int i = 0; i < runs; i++)
			vcpu_expect(&vcpu, reason);
		ns[sample] = (double)(now_ns() - start) / runs / accesses;
	}
	qsort(ns, SAMPLES, sizeof(ns[0]), compare);
	printf("%s: median %.0f ns, best %.0f ns\n", name, ns[SAMPLES / 2], ns[0]);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

int main(void)
{
	measure("rdmsr", rdmsr_code, rdmsr_code_end, KVM_EXIT_IO, 1, ACCESSES);
	measure("wrmsr", wrmsr_code, wrmsr_code_end, KVM_EXIT_IO, 1, ACCESSES);
	measure("exit rdmsr", exit_code, exit_code_end, KVM_EXIT_X86_RDMSR, EXITS, 1);
	return 0;
}
