// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Exceptions reach the guest's handler with the right vector, error code, RIP and CR2, in each
 * mode.
 *
 * The handlers tell what they see through ports: 0x10 the vector, 0x11 the error code, 0x12 the
 * saved instruction pointer, 0x13 CR2.
 */
#include "kvm_client.h"

/* 16 bytes per vector: those with an error code jump to the end over a push of none. */
#define STUBS(bits, name)                                                                          \
	GUEST(name, bits,                                                                          \
	      "vector = 0\n"                                                                       \
	      ".rept 32\n"                                                                         \
	      ".org " #name " + vector * 16\n"                                                     \
	      ".ifeq (0x20227d00 >> vector) & 1\n push $0x7eee\n .endif\n"                         \
	      "push $vector; jmp 9f; vector = vector + 1\n"                                        \
	      ".endr\n"                                                                            \
	      ".org " #name " + 0x200\n"                                                           \
	      "9: pop %" STUB_AX "; out %eax, $0x10; pop %" STUB_AX "; out %eax, $0x11\n"          \
	      "mov (%" STUB_SP "), %eax; out %eax, $0x12; mov %cr2, %" STUB_AX                     \
	      "; out %eax, $0x13; hlt")

#define STUB_AX "rax"
#define STUB_SP "rsp"
STUBS(64, stubs64);
#undef STUB_AX
#undef STUB_SP
#define STUB_AX "eax"
#define STUB_SP "esp"
STUBS(32, stubs32);

#define STUBS_AT 0xc000
#define NO_ERROR 0x7eee
#define NO_CR2 (~0U)

GUEST(de_code, 64, "xor %edx, %edx; xor %ecx, %ecx; nop; div %ecx");
GUEST(de_overflow_code, 64, "mov $2, %edx; mov $1, %ecx; nop; idiv %ecx");
GUEST(ud_code, 64, ".fill 5, 1, 0x90; ud2");
GUEST(lock_ud_code, 64, ".fill 5, 1, 0x90; .byte 0xf0, 0x01, 0xc0"); /* lock add %eax, %eax */
GUEST(gp_noncanonical_code, 64, "movabs $0x8000000000000000, %rax; mov (%rax), %eax");
GUEST(gp_selector_code, 64, "mov $0x1238, %eax; mov %eax, %ds");
GUEST(gp_msr_code, 64, "mov $0x12345678, %ecx; rdmsr");
GUEST(gp_cr4_code, 64, "mov $0x80000000, %eax; mov %rax, %cr4");
GUEST(gp_int_code, 64, ".fill 5, 1, 0x90; int $0x80");
GUEST(bp_code, 64, ".fill 5, 1, 0x90; int3");
GUEST(np_code, 64, "mov $0x50, %eax; mov %eax, %ds"); /* a segment that the test marks absent */
GUEST(ss_code, 64, "movabs $0x7fffffffffffffff, %rbp; mov (%rbp), %eax");
GUEST(pf_read_code, 64, "mov $0x40123, %ebx; mov (%rbx), %eax");
GUEST(pf_write_code, 64, "mov $0x40123, %ebx; mov %eax, (%rbx)");
GUEST(pf_exec_code, 64, "mov $0x40123, %ebx; jmp *%rbx");
GUEST(pf_readonly_code, 64, "mov $0x41123, %ebx; mov %eax, (%rbx)");
GUEST(pf_cross_code, 64, "mov $0x3fffe, %ebx; mov (%rbx), %eax");
GUEST(pf_reserved_code, 64, "mov $0x42123, %ebx; mov (%rbx), %eax");
GUEST(pf_nx_code, 64,
      "mov $0xc0000080, %ecx; rdmsr; or $0x800, %eax; wrmsr; mov $0x43000, %ebx; jmp *%rbx");
GUEST(mf_code, 64, "mov %cr0, %rax; fninit; push $0x37b; fldcw (%rsp); fld1; fldz; fdivrp; fwait");
GUEST(xm_code, 64, "push $0x1f00; ldmxcsr (%rsp); pxor %xmm0, %xmm0; divss %xmm0, %xmm0");
GUEST(nm_code, 64, "mov %cr0, %rax; or $8, %rax; mov %rax, %cr0; fld1");

static const struct {
	const char *name;
	const uint8_t *code, *end;
	unsigned int vector;
	uint32_t error;
	uint32_t rip; /* the offset of the saved one in the code */
	uint32_t cr2;
} rows[] = {
#define ROW(n, vector, error, rip, cr2)                                                            \
	{                                                                                          \
#n, n##_code, n##_code_end, vector, error, rip, cr2                                \
	}
	ROW(de, 0, NO_ERROR, 5, NO_CR2),
	ROW(de_overflow, 0, NO_ERROR, 11, NO_CR2),
	ROW(ud, 6, NO_ERROR, 5, NO_CR2),
	ROW(lock_ud, 6, NO_ERROR, 5, NO_CR2),
	ROW(gp_noncanonical, 13, 0, 10, NO_CR2),
	ROW(gp_selector, 13, 0x1238, 5, NO_CR2),
	ROW(gp_msr, 13, 0, 5, NO_CR2),
	ROW(gp_cr4, 13, 0, 5, NO_CR2),
	ROW(gp_int, 13, 0x80 * 8 + 2, 5, NO_CR2),
	ROW(bp, 3, NO_ERROR, 6, NO_CR2),
	ROW(np, 11, 0x50, 5, NO_CR2),
	ROW(ss, 12, 0, 10, NO_CR2),
	ROW(pf_read, 14, 0, 5, 0x40123),
	ROW(pf_write, 14, 2, 5, 0x40123),
	ROW(pf_exec, 14, 0, 0x40123 - GUEST_CODE, 0x40123),
	ROW(pf_readonly, 14, 3, 5, 0x41123),
	ROW(pf_cross, 14, 0, 5, 0x40000),
	ROW(pf_reserved, 14, 9, 5, 0x42123),
	ROW(pf_nx, 14, 0x11, 0x43000 - GUEST_CODE, 0x43000),
	ROW(mf, 16, NO_ERROR, 19, NO_CR2),
	ROW(xm, 19, NO_ERROR, 13, NO_CR2),
	ROW(nm, 7, NO_ERROR, 10, NO_CR2),
};

static void set_gates(struct vm *vm, enum mode mode)
{
	for (unsigned int vector = 0; vector < 32; vector++)
		vm_set_gate(vm, mode, vector, STUBS_AT + vector * 16);
}

/* The PTEs of GUEST_PT that the #PF rows are about. */
static void break_pages(struct vm *vm)
{
	const uint64_t pte[] = {
		0x40000,
		0x41000 | 0x65,
		0x42000 | 0x67 | 1ULL << 51,
		0x43000 | 0x67 | 1ULL << 63,
	};

	memcpy(vm->ram + GUEST_PT + 0x40 * 8, pte, sizeof(pte));
}

static bool read_handler(struct vcpu *vcpu, uint32_t *seen)
{
	for (uint16_t port = 0x10; port < 0x14; port++) {
		if (vcpu_run(vcpu) != KVM_EXIT_IO || vcpu->run->io.port != port)
			return false;
		memcpy(seen++, (uint8_t *)vcpu->run + vcpu->run->io.data_offset, 4);
	}
	return true;
}

static void long_mode(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vm vm;
		struct vcpu vcpu;
		uint32_t seen[4] = { 0 };

		vm_create(&vm);
		vcpu_create(&vm, &vcpu, 0);
		vcpu_set_cpuid(&vcpu);
		vcpu_load(&vcpu, MODE_LONG, rows[i].code, rows[i].end);
		vm_load(&vm, STUBS_AT, stubs64, stubs64_end);
		set_gates(&vm, MODE_LONG);
		memcpy(vm.ram + GUEST_GDT + 0x50, "\xff\xff\0\0\0\x13\xcf", 8);
		break_pages(&vm);
		struct kvm_sregs sregs;
		vcpu_get_sregs(&vcpu, &sregs);
		sregs.gdt.limit = 0x57;
		sregs.cr0 |= 0x22; /* NE, MP */
		vcpu_set_sregs(&vcpu, &sregs);

		bool told = read_handler(&vcpu, seen);
		if (!told)
			case_row(false, rows[i].name, "%s", exit_name(vcpu.run->exit_reason));
		else
			case_row(seen[0] == rows[i].vector && seen[1] == rows[i].error &&
					 seen[2] == GUEST_CODE + rows[i].rip &&
					 (rows[i].cr2 == NO_CR2 || seen[3] == rows[i].cr2),
				 rows[i].name, "vector %u error %#x rip +%#x cr2 %#x", seen[0],
				 seen[1], seen[2] - GUEST_CODE, seen[3]);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

GUEST(p_de_code, 32, "xor %edx, %edx; xor %ecx, %ecx; nop; div %ecx");
GUEST(p_ud_code, 32, ".fill 5, 1, 0x90; ud2");
GUEST(p_bound_code, 32, "mov $50, %eax; bound %eax, 0xa000"); /* bounds 0, 0 */
GUEST(p_into_code, 32, "mov $0x7fffffff, %eax; inc %eax; into");
GUEST(p_gp_limit_code, 32, "mov $0x50, %eax; mov %eax, %ds; mov 0x1000, %eax");
GUEST(p_gp_null_code, 32, "xor %eax, %eax; mov %eax, %ds; mov 0x1000, %eax");

static const struct {
	const char *name;
	const uint8_t *code, *end;
	unsigned int vector;
	uint32_t error;
	uint32_t rip;
} rows32[] = {
#define ROW32(n, vector, error, rip)                                                               \
	{                                                                                          \
#n, p_##n##_code, p_##n##_code_end, vector, error, rip                             \
	}
	ROW32(de, 0, NO_ERROR, 5),   ROW32(ud, 6, NO_ERROR, 5), ROW32(bound, 5, NO_ERROR, 5),
	ROW32(into, 4, NO_ERROR, 7), ROW32(gp_limit, 13, 0, 7), ROW32(gp_null, 13, 0, 4),
};

static void protected(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows32); i++) {
		struct vm vm;
		struct vcpu vcpu;
		struct kvm_sregs sregs;
		uint32_t seen[4] = { 0 };

		vm_create(&vm);
		vcpu_create(&vm, &vcpu, 0);
		vcpu_load(&vcpu, MODE_PROTECTED, rows32[i].code, rows32[i].end);
		vm_load(&vm, STUBS_AT, stubs32, stubs32_end);
		set_gates(&vm, MODE_PROTECTED);
		memcpy(vm.ram + GUEST_GDT + 0x50, "\xff\x0f\0\0\0\x93\x40", 8); /* limit 0xfff */
		vcpu_get_sregs(&vcpu, &sregs);
		sregs.gdt.limit = 0x57;
		vcpu_set_sregs(&vcpu, &sregs);

		bool told = read_handler(&vcpu, seen);
		if (!told)
			case_row(false, rows32[i].name, "%s", exit_name(vcpu.run->exit_reason));
		else
			case_row(seen[0] == rows32[i].vector && seen[1] == rows32[i].error &&
					 seen[2] == GUEST_CODE + rows32[i].rip,
				 rows32[i].name, "vector %u error %#x rip +%#x", seen[0], seen[1],
				 seen[2] - GUEST_CODE);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

/* Real mode: #DE, #UD and INT3 through the vector table, without error codes. */
GUEST(real_code, 16,
      "xor %dx, %dx; xor %cx, %cx; div %cx; ud2; int3; hlt\n"
      ".org real_code + 0x40; mov $0, %al; jmp 1f\n"
      ".org real_code + 0x50; mov $6, %al; jmp 1f\n"
      ".org real_code + 0x60; mov $3, %al; out %al, $0x10; iret\n"
      "1: out %al, $0x10; pop %bx; add $2, %bx; push %bx; iret");

static void real(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_REAL, real_code);
	vm_set_gate(&vm, MODE_REAL, 0, GUEST_CODE + 0x40);
	vm_set_gate(&vm, MODE_REAL, 6, GUEST_CODE + 0x50);
	vm_set_gate(&vm, MODE_REAL, 3, GUEST_CODE + 0x60);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 1), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 1), 6);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 1), 3);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* The user bit of the error code, and the ring 0 stack by the TSS. */
GUEST(user_code, 64,
      "push $0x2b; push $0x6f00; push $2; push $0x33; push $" AT(
	      user_code, 1f) "; iretq\n"
			     "1: mov $0x40123, %ebx; mov %eax, (%rbx)");

static void user_fault(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, user_code);
	vm_load(&vm, STUBS_AT, stubs64, stubs64_end);
	set_gates(&vm, MODE_LONG);
	break_pages(&vm);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 14);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 6);
	vcpu_expect_out(&vcpu, 0x12, 4);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x13, 4), 0x40123);
}

/* A fault in delivering a fault is a double fault, with error code 0. */
GUEST(df_code, 64, "ud2");

static void double_fault(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, df_code);
	vm_load(&vm, STUBS_AT, stubs64, stubs64_end);
	set_gates(&vm, MODE_LONG);
	memset(vm.ram + GUEST_IDT + 6 * 16, 0, 16);
	memset(vm.ram + GUEST_IDT + 11 * 16, 0, 16);
	memset(vm.ram + GUEST_IDT + 13 * 16, 0, 16);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 8);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 0);
}

/* The trap flag: #DB after each instruction, with DR6.BS. */
GUEST(tf_code, 64,
      "pushfq; orl $0x100, (%rsp); popfq; nop; nop; .org tf_code + 0x80\n"
      "mov (%rsp), %rax; out %eax, $0x10; mov %dr6, %rax; out %eax, $0x11; iretq");

static void trap_flag(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, tf_code);
	vm_set_gate(&vm, MODE_LONG, 1, GUEST_CODE + 0x80);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), GUEST_CODE + 10 + i);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4) & 0x4000, 0x4000);
	}
}

/* A breakpoint in the guest's own debug registers. */
GUEST(dr_code, 64,
      "mov $0xa000, %eax; mov %rax, %dr0; mov $0x000d0002, %eax; mov %rax, %dr7\n"
      "mov %eax, 0xa000; nop; .org dr_code + 0x80\n"
      "mov (%rsp), %rax; out %eax, $0x10; mov %dr6, %rax; out %eax, $0x11; hlt");

static void own_watchpoint(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, dr_code);
	vm_set_gate(&vm, MODE_LONG, 1, GUEST_CODE + 0x80);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), GUEST_CODE + 0x17);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4) & 1, 1);
}

/* Thousands of division errors in a loop that is hot, each of which its handler skips. */
GUEST(many_de_code, 64,
      "mov $3000, %esi; xor %edi, %edi\n"
      "1: xor %ecx, %ecx; xor %edx, %edx; mov %esi, %eax; div %ecx; add %ecx, %edi\n"
      "dec %esi; jnz 1b; mov %edi, %eax; out %eax, $0x10; hlt\n"
      ".org many_de_code + 0x80\n"
      "addq $2, (%rsp); mov $1, %ecx; iretq");

static void many_division_errors(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, many_de_code);
	vm_set_gate(&vm, MODE_LONG, 0, GUEST_CODE + 0x80);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 3000);
}

/* Code that is hot, and whose operand then is no longer aligned: #GP there, before anything is done. */
#define ALIGNED_LOOP(name, insn)                                                                   \
	GUEST(name, 64,                                                                            \
	      "mov $5000, %ecx; mov $0x30000, %ebx; pxor %xmm1, %xmm1\n"                           \
	      "1: " insn "; dec %ecx; jnz 1b; add $8, %ebx; jmp 1b\n"                              \
	      ".org " #name " + 0x80\n"                                                            \
	      "mov %ecx, %eax; out %eax, $0x10; mov 8(%rsp), %eax; out %eax, $0x11\n"              \
	      "movd %xmm1, %eax; out %eax, $0x12; mov 0x30008, %eax; out %eax, $0x13")
ALIGNED_LOOP(load_loop, "movdqa (%rbx), %xmm1");
ALIGNED_LOOP(store_loop, "movaps %xmm1, (%rbx)");
ALIGNED_LOOP(add_loop, "paddd (%rbx), %xmm1");
ALIGNED_LOOP(indexed_loop, "movdqa 0x30(%rdi, %rbx, 1), %xmm1; movdqa (%rdi, %rbx, 1), %xmm1");

static void misaligned_vectors(void)
{
	static const struct {
		const char *name;
		const uint8_t *code, *end;
		uint32_t sum, left; /* XMM1's lowest part, and memory at 0x30008 */
	} rows[] = {
		{ "load", load_loop, load_loop_end, 3, 5 },
		{ "store", store_loop, store_loop_end, 0, 0 },
		{ "add", add_loop, add_loop_end, 15000, 5 },
		{ "indexed", indexed_loop, indexed_loop_end, 3, 5 },
	};
	static const uint32_t data[] = { 3, 4, 5, 6 };
	uint32_t count, rip, sum, left;
	struct vm vm;
	struct vcpu vcpu;

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		vm_create(&vm);
		vcpu_create(&vm, &vcpu, 0);
		vm_load(&vm, GUEST_CODE, rows[i].code, rows[i].end);
		vcpu_set_mode(&vcpu, MODE_LONG, GUEST_CODE);
		vm_set_gate(&vm, MODE_LONG, 13, GUEST_CODE + 0x80);
		memcpy(vm.ram + 0x30000, data, sizeof(data));
		count = vcpu_expect_out(&vcpu, 0x10, 4);
		rip = vcpu_expect_out(&vcpu, 0x11, 4);
		sum = vcpu_expect_out(&vcpu, 0x12, 4);
		left = vcpu_expect_out(&vcpu, 0x13, 4);
		case_row(!count && rip == GUEST_CODE + 14 && sum == rows[i].sum &&
				 left == rows[i].left,
			 rows[i].name, "%u left, RIP +%#x, %u, %u", count, rip - GUEST_CODE, sum, left);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

/* Jumps into the operand of an instruction, where another one begins, as often as to its start. */
GUEST(operand_code, 64,
      "mov $20000, %ecx; xor %eax, %eax; mov $0x30000 - 0xebc0ff, %rbx; pxor %xmm1, %xmm1\n"
      "1: mov %ecx, 0x30000; test $1, %cl; jnz 3f\n"
      "2: .byte 0x0f, 0x28, 0x83; 3: .byte 0xff, 0xc0, 0xeb, 0x00\n" /* MOVAPS; INC EAX, JMP */
      "paddd %xmm0, %xmm1; dec %ecx; jnz 1b\n"
      "out %eax, $0x10; movd %xmm1, %eax; out %eax, $0x11; hlt");

static void into_an_operand(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, operand_code);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 10000);
	/* Each even number twice. */
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 2 * 10000 * 10001);
}

static const struct test_case cases[] = {
	{ "long", long_mode },
	{ "protected", protected },
	{ "real", real },
	{ "user_fault", user_fault },
	{ "double_fault", double_fault },
	{ "many_division_errors", many_division_errors },
	{ "trap_flag", trap_flag },
	{ "own_watchpoint", own_watchpoint },
	{ "misaligned_vectors", misaligned_vectors },
	{ "into_an_operand", into_an_operand },
};
CASES_MAIN(cases)
