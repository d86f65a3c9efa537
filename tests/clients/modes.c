// SPDX-License-Identifier: GPL-2.0-or-later
/* Each mode of the CPU computes what no other mode would, and says so through port 0x10. */
#include "kvm_client.h"

/* 16-bit arithmetic wraps, addresses go through the segment's base, PE is clear. */
GUEST(real_code, 16,
      "mov $0x0a00, %ax; mov %ax, %ds; movw $0xffff, 4; addw $3, 4; mov 4, %ax; out %ax, $0x10\n"
      "smsw %ax; and $1, %ax; out %ax, $0x10\n"
      "call 1f; jmp 2f; 1: mov %sp, %ax; ret; 2: out %ax, $0x10\n"
      "lcall $0x0800, $(3f - real_code); jmp 4f; 3: mov %cs, %ax; lret; 4: out %ax, $0x10\n"
      "mov $0x12345678, %ebx; lea (%ebx,%ebx), %eax; out %eax, $0x10; hlt");

static void real(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint16_t word;

	VM_BOOT(&vm, &vcpu, MODE_REAL, real_code);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 2), 2);
	memcpy(&word, vm.ram + 0xa004, 2);
	CHECK_EQ(word, 2);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 2), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 2), 0x7ffe);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 2), 0x800);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x2468acf0);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* An interrupt in real mode goes through the vector table at 0 and pushes 16-bit values. */
GUEST(real_int_code, 16,
      "int $0x21; out %ax, $0x10; hlt\n"
      ".org real_int_code + 0x40; pop %ax; push %ax; iret");

static void real_int(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_REAL, real_int_code);
	vm_set_gate(&vm, MODE_REAL, 0x21, GUEST_CODE + 0x40);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 2), GUEST_CODE + 2);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* 32-bit arithmetic wraps at 32 bits, 0x40 is INC EAX, a push moves ESP by 4. */
GUEST(flat_code, 32,
      "mov $0xffffffff, %eax; add $2, %eax; .byte 0x40; out %eax, $0x10\n"
      "push %eax; mov %esp, %eax; out %eax, $0x10; mov %cr0, %eax; shr $31, %eax; out %eax, $0x10\n"
      "mov %cs, %eax; out %eax, $0x10; hlt");

static void flat(enum mode mode)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, mode, flat_code);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 2);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), GUEST_STACK - 4);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), mode == MODE_PAE);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), SEL_CODE32);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

static void protected(void)
{
	flat(MODE_PROTECTED);
}

static void pae(void)
{
	flat(MODE_PAE);
}

/* PAE paging translates: page 0x30000 of the guest shows the RAM at 0x31000. */
GUEST(pae_alias_code, 32, "mov 0x30004, %eax; out %eax, $0x10; hlt");

static void pae_translates(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_PAE, pae_alias_code);
	vm.ram[GUEST_PT + 0x30 * 8 + 1] = 0x10; /* the frame's low bits: 0x31000 */
	vm.ram[0x31004] = 0x77;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x77);
}

/* Paging without PAE: 4 MiB pages by CR4.PSE, virtual 8 MiB is physical 0. */
GUEST(pse_code, 32,
      "mov $0x30000, %eax; mov %eax, %cr3; mov %cr4, %eax; or $0x10, %eax; mov %eax, %cr4\n"
      "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0; mov 0x80a000, %eax; out %eax, $0x10\n"
      "hlt");

static void paging32(void)
{
	struct vm vm;
	struct vcpu vcpu;
	const uint32_t pde = 0xe7;

	VM_BOOT(&vm, &vcpu, MODE_PROTECTED, pse_code);
	memcpy(vm.ram + 0x30000, &pde, 4);
	memcpy(vm.ram + 0x30008, &pde, 4);
	vm.ram[GUEST_DATA] = 0x5a;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x5a);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* 64-bit registers, R8 to R15, RIP-relative data, a 32-bit result clears the upper half. */
GUEST(long_code, 64,
      "movabs $0x1122334455667788, %r8; lea (%r8,%r8), %r9; mov %r9, %rax; shr $32, %rax\n"
      "out %eax, $0x10; mov 1f(%rip), %eax; out %eax, $0x10; mov $-1, %rax; mov $1, %eax\n"
      "shr $32, %rax; out %eax, $0x10; push %rax; mov %esp, %eax; out %eax, $0x10\n"
      "mov $0xc0000080, %ecx; rdmsr; out %eax, $0x10; hlt; 1: .long 0xcafe");

static void long_mode(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, long_code);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x22446688);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0xcafe);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), GUEST_STACK - 8);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4) & 0x500, 0x500);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* From 64-bit code into 32-bit and 16-bit code of the same long mode, and back. */
GUEST(compat_code, 64,
      "push $0x18; push $" AT(
	      compat_code,
	      1f) "; lretq\n"
		  ".code32; 1: mov $0xffffffff, %eax; .byte 0x40; out %eax, $0x10; mov %cs, %eax\n"
		  "out %eax, $0x10; ljmp $0x20, $" AT(
			  compat_code,
			  2f) "\n"
			      ".code16; 2: mov $0x1ffff, %eax; inc %ax; out %eax, $0x10; ljmpl "
			      "$0x08, $" AT(compat_code,
					    3f) "\n"
						".code64; 3: mov %cs, %eax; out %eax, $0x10; hlt");

static void compat(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, compat_code);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), SEL_CODE32);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x10000);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), SEL_CODE64);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* IRET into virtual-8086 mode with DS 0x0a00 and IOPL 3; there INT 0x20 comes back. */
GUEST(v86_code, 32,
      "push $0; push $0; push $0x0a00; push $0; push $0; push $0x6ff0; push $0x23202; push $0x800\n"
      "push $(1f - v86_code); iret\n"
      ".code16; 1: mov %ds:2, %ax; mov %cs, %bx; int $0x20\n"
      ".code32; .org v86_code + 0x80; out %eax, $0x10; mov %ebx, %eax; out %eax, $0x10\n"
      "mov 8(%esp), %eax; out %eax, $0x10; hlt");

static void v86(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_PROTECTED, v86_code);
	vm_set_gate(&vm, MODE_PROTECTED, 0x20, GUEST_CODE + 0x80);
	vm.ram[0xa002] = 0x34;
	vm.ram[0xa003] = 0x12;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4) & 0xffff, 0x1234);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4) & 0xffff, 0x800);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4) & 0x23000, 0x23000);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* Ring 3 in long mode by IRETQ, back by a gate through RSP0. */
GUEST(user_code, 64,
      "push $0x2b; push $0x6f00; push $2; push $0x33; push $" AT(
	      user_code, 1f) "; iretq\n"
			     "1: mov %cs, %eax; int $0x20\n"
			     ".org user_code + 0x80; out %eax, $0x10; mov %cs, %eax; out %eax, "
			     "$0x10; mov %rsp, %rax\n"
			     "out %eax, $0x10; hlt");

static void user_ring(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, user_code);
	vm_set_gate(&vm, MODE_LONG, 0x20, GUEST_CODE + 0x80);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), SEL_UCODE64);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), SEL_CODE64);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), GUEST_STACK0 - 40);
}

/* SYSCALL and SYSRET between the rings. */
GUEST(syscall_code, 64,
      "mov $0xc0000080, %ecx; rdmsr; or $1, %eax; wrmsr\n"
      "mov $0xc0000081, %ecx; xor %eax, %eax; mov $0x00230008, %edx; wrmsr\n"
      "mov $0xc0000082, %ecx; mov $" AT(
	      syscall_code,
	      2f) ", %eax; xor %edx, %edx; wrmsr\n"
		  "mov $0xc0000084, %ecx; mov $0x200, %eax; wrmsr\n"
		  "mov $" AT(syscall_code,
			     1f) ", %ecx; mov $0x202, %r11d; sysretq\n"
				 "1: mov %cs, %ebx; syscall; 3: hlt\n"
				 "2: mov %ebx, %eax; out %eax, $0x10; mov %ecx, %eax; sub $" AT(
					 syscall_code,
					 3b) ", %eax\n"
					     "out %eax, $0x10; mov %r11d, %eax; out %eax, $0x10; "
					     "pushfq; pop %rax; out %eax, $0x10; hlt");

static void syscall_ring(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, syscall_code);
	vcpu_set_cpuid(&vcpu);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x33);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x202);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4) & 0x202, 0x2);
}

/* The whole way up from real mode, as a boot loader goes: real, protected, long. */
GUEST(climb_code, 16,
      "cli; lgdtl 3f - climb_code + 0x8000; mov %cr0, %eax; or $1, %eax; mov %eax, %cr0\n"
      "ljmpl $0x18, $" AT(
	      climb_code,
	      1f) "\n"
		  ".code32; 1: mov $0x10, %eax; mov %eax, %ds; mov %eax, %ss; mov $0x1111, %eax\n"
		  "out %eax, $0x10; mov %cr4, %eax; or $0x20, %eax; mov %eax, %cr4; mov $0x20000, "
		  "%eax\n"
		  "mov %eax, %cr3; mov $0xc0000080, %ecx; rdmsr; or $0x100, %eax; wrmsr; mov %cr0, "
		  "%eax\n"
		  "or $0x80000000, %eax; mov %eax, %cr0; ljmp $0x08, $" AT(
			  climb_code, 2f) "\n"
					  ".code64; 2: movabs $0x2222000000000000, %rax; shr $48, "
					  "%rax; out %eax, $0x10; hlt\n"
					  "3: .word 0x4f; .long 0x1000");

static void climb(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_sregs sregs;

	VM_BOOT(&vm, &vcpu, MODE_REAL, climb_code);
	vcpu_set_cpuid(&vcpu);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x1111);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x2222);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_sregs(&vcpu, &sregs);
	CHECK_EQ(sregs.efer & 0x500, 0x500);
	CHECK_EQ(sregs.cs.l, 1);
}

/* The state after KVM_CREATE_VCPU is the one after reset: F000:FFF0, base 0xffff0000. */
static void reset_state(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint8_t *rom = pages_alloc(0x1000);
	static const uint8_t boot[] = { 0x0e, 0x58, 0xe7, 0x10,
					0xf4 }; /* push cs; pop ax; out; hlt */

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	vcpu_get_regs(&vcpu, &regs);
	vcpu_get_sregs(&vcpu, &sregs);
	CHECK_EQ(regs.rip, 0xfff0);
	CHECK_EQ(regs.rflags, 2);
	CHECK_EQ(sregs.cs.selector, 0xf000);
	CHECK_EQ(sregs.cs.base, 0xffff0000);
	CHECK_EQ(sregs.cr0, 0x60000010);
	memcpy(rom + 0xff0, boot, sizeof(boot));
	CHECK_EQ(vm_set_slot(&vm, 1, 0, 0xfffff000, 0x1000, rom), 0);
	regs.rsp = 0x7000;
	vcpu_set_regs(&vcpu, &regs);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 2), 0xf000);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

static const struct test_case cases[] = {
	{ "real", real },
	{ "real_int", real_int },
	{ "protected", protected },
	{ "pae", pae },
	{ "pae_translates", pae_translates },
	{ "paging32", paging32 },
	{ "long", long_mode },
	{ "compat", compat },
	{ "v86", v86 },
	{ "user_ring", user_ring },
	{ "syscall_ring", syscall_ring },
	{ "climb", climb },
	{ "reset_state", reset_state },
};
CASES_MAIN(cases)
