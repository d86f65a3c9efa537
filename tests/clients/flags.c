/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flags over code that is run often enough for any engine: DF, and those that stay as they are. */
#include "kvm_client.h"

#define RFLAGS_DF 0x400

/* PUSHF and POP between the two, and after them: what EBX and EDI collect of DF. */
GUEST(toggle_code, 64,
      "xor %ebx, %ebx; mov $-1, %edi; mov $5000, %ecx\n"
      "1: std; pushf; pop %rax; and %eax, %edi; jmp 2f\n"
      "2: nop; cld; jmp 3f\n"
      "3: pushf; pop %rax; or %eax, %ebx; dec %ecx; jnz 1b; hlt");

static void toggle(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, toggle_code);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rdi & RFLAGS_DF, RFLAGS_DF);
	CHECK_EQ(regs.rbx & RFLAGS_DF, 0);
	CHECK_EQ(regs.rflags & RFLAGS_DF, 0);
}

/* A copy to a higher address, backwards, then one forwards. */
GUEST(copies_code, 64,
      "mov $3000, %ebx\n"
      "1: mov $0xa007, %esi; mov $0xb007, %edi; mov $8, %ecx; std; rep movsb\n"
      "mov $0xb000, %esi; mov $0xc000, %edi; mov $4, %ecx; jmp 2f; 2: cld; jmp 3f\n"
      "3: movsw; dec %ecx; jnz 3b; dec %ebx; jnz 1b; hlt");

static void copies(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, copies_code);
	memcpy(vm.ram + 0xa000, "01234567", 8);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	CHECK(!memcmp(vm.ram + 0xc000, "01234567", 8), "%.8s", vm.ram + 0xc000);
	CHECK_EQ(vm.ram[0xc008], 0);
}

/* ZF alone is CMPXCHG16B's and CMPXCHG8B's, whatever was computed before them. */
GUEST(exchange_code, 64,
      "mov $3000, %r8d; mov $0xa000, %esi; xor %r10d, %r10d; mov $-1, %r11; mov %r11, %r14\n"
      "1: xor %edx, %edx; xor %eax, %eax; xor %ebx, %ebx; xor %ecx, %ecx; and %r11, %r11\n"
      "cmpxchg16b (%rsi); jmp 2f; 2: pushf; pop %r9; or %r9, %r10; and %r9, %r14\n"
      "and %r11, %r11; cmpxchg8b (%rsi); jmp 3f; 3: pushf; pop %r9\n"
      "or %r9, %r10; and %r9, %r14; dec %r8d; jnz 1b; hlt");

static void exchange(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, exchange_code);
	vcpu_set_cpuid(&vcpu);
	memset(vm.ram + 0xa000, 0, 16);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	/* AND of -1 leaves PF and SF; the comparison finds zeros. */
	CHECK_EQ(regs.r10 & 0xcc5, 0xc4);
	CHECK_EQ(regs.r14 & 0xcc5, 0xc4);
}

static const struct test_case cases[] = {
	{ "toggle", toggle },
	{ "copies", copies },
	{ "exchange", exchange },
};
CASES_MAIN(cases)
