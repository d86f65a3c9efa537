// SPDX-License-Identifier: GPL-2.0-or-later
/* MMIO by plain loads and stores: every size, unaligned, across pages, and half in RAM. */
#include "kvm_client.h"

GUEST(store_code, 64,
      "mov $0x10000000, %ebx; movabs $0x1122334455667788, %rax\n"
      "mov %al, (%rbx); mov %ax, 2(%rbx); mov %eax, 4(%rbx); mov %rax, 8(%rbx)\n"
      "movb $0x5a, 16(%rbx); movw $0x5a5b, 18(%rbx); movl $0x5a5b5c5d, 20(%rbx)\n"
      "movq $-2, 24(%rbx); mov %ah, 32(%rbx); hlt");

static void store(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, store_code);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE, 1), 0x88);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 2, 2), 0x7788);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 4, 4), 0x55667788);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 8, 8), 0x1122334455667788);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 16, 1), 0x5a);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 18, 2), 0x5a5b);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 20, 4), 0x5a5b5c5d);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 24, 8), -2ULL);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 32, 1), 0x77);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

static void answer(struct vcpu *vcpu, uint64_t gpa, unsigned int bytes, uint64_t data)
{
	vcpu_expect_mmio(vcpu, false, gpa, bytes);
	vcpu_answer_mmio(vcpu, data);
}

GUEST(load_code, 64,
      "mov $0x10000000, %ebx; mov $-1, %rax; mov (%rbx), %al; mov %rax, 0xa000\n"
      "mov $-1, %rax; mov 2(%rbx), %ax; mov %rax, 0xa008; mov $-1, %rax; mov 4(%rbx), %eax\n"
      "mov %rax, 0xa010; mov 8(%rbx), %rax; mov %rax, 0xa018; mov $0, %eax; mov 1(%rbx), %ah\n"
      "mov %rax, 0xa020; hlt");

static void load(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint64_t seen[5];

	VM_BOOT(&vm, &vcpu, MODE_LONG, load_code);
	answer(&vcpu, MMIO_BASE, 1, 0x8877665544332211);
	answer(&vcpu, MMIO_BASE + 2, 2, 0x8877665544332211);
	answer(&vcpu, MMIO_BASE + 4, 4, 0x8877665544332211);
	answer(&vcpu, MMIO_BASE + 8, 8, 0x8877665544332211);
	answer(&vcpu, MMIO_BASE + 1, 1, 0x8877665544332211);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	memcpy(seen, vm.ram + GUEST_DATA, sizeof(seen));
	CHECK_EQ(seen[0], 0xffffffffffffff11);
	CHECK_EQ(seen[1], 0xffffffffffff2211);
	CHECK_EQ(seen[2], 0x44332211);
	CHECK_EQ(seen[3], 0x8877665544332211);
	CHECK_EQ(seen[4], 0x1100);
}

/* Within a page an unaligned access is one exit. */
GUEST(unaligned_code, 64,
      "mov $0x10000000, %ebx; movabs $0x1122334455667788, %rax; mov %rax, 3(%rbx)\n"
      "mov 5(%rbx), %rax; mov %ax, 0xff(%rbx); hlt");

static void unaligned(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, unaligned_code);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 3, 8), 0x1122334455667788);
	answer(&vcpu, MMIO_BASE + 5, 8, 0x0102030405060708);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 0xff, 2), 0x0708);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rax, 0x0102030405060708);
}

/* Across a page boundary it is one exit per page, the lower first. */
GUEST(cross_code, 64,
      "mov $0x10000ffd, %ebx; movabs $0x1122334455667788, %rax; mov %rax, (%rbx)\n"
      "mov (%rbx), %rax; mov 2(%rbx), %cx; hlt");

static void cross_pages(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, cross_code);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 0xffd, 3), 0x667788);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 0x1000, 5), 0x1122334455);
	answer(&vcpu, MMIO_BASE + 0xffd, 3, 0xa3a2a1);
	answer(&vcpu, MMIO_BASE + 0x1000, 5, 0xa8a7a6a5a4);
	answer(&vcpu, MMIO_BASE + 0xfff, 1, 0xb1);
	answer(&vcpu, MMIO_BASE + 0x1000, 1, 0xb2);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rax, 0xa8a7a6a5a4a3a2a1);
	CHECK_EQ(regs.rcx, 0xb2b1);
}

/* The lower part in RAM, the upper where nothing is: RAM's part needs no exit. */
GUEST(ram_mmio_code, 64,
      "mov $0x1ffffd, %ebx; movabs $0x1122334455667788, %rax; mov %rax, (%rbx)\n"
      "mov (%rbx), %rax; hlt");

static void ram_then_mmio(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, ram_mmio_code);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, RAM_BYTES, 5), 0x1122334455);
	answer(&vcpu, RAM_BYTES, 5, 0xa8a7a6a5a4);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	CHECK(!memcmp(vm.ram + RAM_BYTES - 3, "\x88\x77\x66", 3), "the bytes in RAM");
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rax, 0xa8a7a6a5a4667788);
}

/* The lower part where nothing is, the upper in RAM. */
GUEST(mmio_ram_code, 64,
      "mov $0x2ffffd, %ebx; movabs $0x1122334455667788, %rax; mov %rax, (%rbx)\n"
      "mov (%rbx), %rax; hlt");

static void mmio_then_ram(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;
	uint8_t *page = pages_alloc(0x1000);

	VM_BOOT(&vm, &vcpu, MODE_LONG, mmio_ram_code);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, 0x300000, 0x1000, page), 0);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, 0x2ffffd, 3), 0x667788);
	answer(&vcpu, 0x2ffffd, 3, 0xa3a2a1);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	CHECK(!memcmp(page, "\x55\x44\x33\x22\x11", 5), "the bytes in RAM");
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rax, 0x1122334455a3a2a1);
}

/* Two virtual pages side by side whose physical pages are not: each part has its own address. */
GUEST(scattered_code, 64, "mov $0x40ffe, %ebx; movl $0x11223344, (%rbx); hlt");

static void scattered(void)
{
	const uint64_t pte[] = { 0x10005000 | 0x67, 0x10002000 | 0x67 };
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, scattered_code);
	memcpy(vm.ram + GUEST_PT + 0x40 * 8, pte, sizeof(pte));
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, 0x10005ffe, 2), 0x3344);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, 0x10002000, 2), 0x1122);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/*
 * A store whose second page faults has no effect on the first one: the #PF comes before any exit.
 */
GUEST(fault_code, 64,
      "mov $0x40ffe, %ebx; movl $0x11223344, (%rbx); hlt\n"
      ".org fault_code + 0x80; mov %cr2, %rax; out %eax, $0x10; hlt");

static void fault_first(void)
{
	const uint64_t pte[] = { 0x10005000 | 0x67, 0 };
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, fault_code);
	vm_set_gate(&vm, MODE_LONG, 14, GUEST_CODE + 0x80);
	memcpy(vm.ram + GUEST_PT + 0x40 * 8, pte, sizeof(pte));
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x41000);
}

/* 16 bytes are two exits of 8, in order. */
GUEST(sse_code, 64,
      "mov $0x10000000, %ebx; movups 0xa000, %xmm0; movups %xmm0, (%rbx); movdqu 0x20(%rbx), "
      "%xmm1\n"
      "movdqu %xmm1, 0xa010; movaps %xmm1, 0x40(%rbx); movaps 0x50(%rbx), %xmm2\n"
      "movups %xmm2, 0xa020; movdqu %xmm0, 0xffc(%rbx); hlt");

static void sse(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, sse_code);
	memcpy(vm.ram + GUEST_DATA, "0123456789abcdef", 16);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE, 8), 0x3736353433323130);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 8, 8), 0x6665646362613938);
	answer(&vcpu, MMIO_BASE + 0x20, 8, 0x1111111111111111);
	answer(&vcpu, MMIO_BASE + 0x28, 8, 0x2222222222222222);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 0x40, 8), 0x1111111111111111);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 0x48, 8), 0x2222222222222222);
	answer(&vcpu, MMIO_BASE + 0x50, 8, 0x3333333333333333);
	answer(&vcpu, MMIO_BASE + 0x58, 8, 0x4444444444444444);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 0xffc, 4), 0x33323130);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 0x1000, 8), 0x6261393837363534);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 0x1008, 4), 0x66656463);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	CHECK(!memcmp(vm.ram + 0xa010, "\x11\x11\x11\x11\x11\x11\x11\x11\"\"\"\"\"\"\"\"", 16),
	      "xmm1");
	CHECK(!memcmp(vm.ram + 0xa020, "33333333DDDDDDDD", 16), "xmm2");
}

/* The other modes reach MMIO as well. */
GUEST(real_code, 16,
      "mov $0x1234, %ax; mov $0xf000, %bx; mov %bx, %ds; mov %ax, 0x10; mov 0x20, %bx; hlt");

static void real(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_REAL, real_code);
	CHECK_EQ(vm_set_slot(&vm, 0, 0, 0, 0, NULL), 0);
	CHECK_EQ(vm_set_slot(&vm, 0, 0, 0, 0xa0000, vm.ram), 0);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, 0xf0010, 2), 0x1234);
	answer(&vcpu, 0xf0020, 2, 0x4321);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rbx, 0x4321);
}

GUEST(protected_code, 32, "mov $0x11223344, %eax; mov %eax, 0x10000000; mov 0x10000008, %ecx; hlt");

static void flat32(enum mode mode)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, mode, protected_code);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE, 4), 0x11223344);
	answer(&vcpu, MMIO_BASE + 8, 4, 0x99887766);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rcx, 0x99887766);
}

static void protected(void)
{
	flat32(MODE_PROTECTED);
}

static void pae(void)
{
	flat32(MODE_PAE);
}

/* After a write exit, immediate_exit ends the run before the next instruction. */
static void complete_only(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, load_code);
	answer(&vcpu, MMIO_BASE, 1, 0x42);
	vcpu.run->immediate_exit = 1;
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rax & 0xff, 0x42);
	CHECK_EQ(regs.rip, GUEST_CODE + 5 + 7 + 2);
	vcpu.run->immediate_exit = 0;
	answer(&vcpu, MMIO_BASE + 2, 2, 0x42);
}

static const struct test_case cases[] = {
	{ "store", store },
	{ "load", load },
	{ "unaligned", unaligned },
	{ "cross_pages", cross_pages },
	{ "ram_then_mmio", ram_then_mmio },
	{ "mmio_then_ram", mmio_then_ram },
	{ "scattered", scattered },
	{ "fault_first", fault_first },
	{ "sse", sse },
	{ "real", real },
	{ "protected", protected },
	{ "pae", pae },
	{ "complete_only", complete_only },
};
CASES_MAIN(cases)
