// SPDX-License-Identifier: GPL-2.0-or-later
/* Near branches and the stack in 16-, 32- and 64-bit code, and what a fault leaves behind. */
#include "native_fixture.h"

static struct fixture fixture;

static void setup(void)
{
	fixture_init(&fixture);
	fixture.cpu->state.seg[SEG_CS].limit = 0xffffffff;
	fixture.cpu->state.gpr[GPR_BLOCK] = 0x1000;
}

static void teardown(void)
{
	fixture_fini(&fixture);
}

/* Executes one instruction at 0x1000; returns the vector or NO_FAULT. */
static int run(unsigned code, unsigned stack, const char *bytes, unsigned length)
{
	const struct decode_mode mode = { .code = code, .stack = stack, .protected_mode = true };
	struct vcpu *cpu = fixture.cpu;
	struct insn insn[2];

	if (code != 8)
		cpu->state.efer = 0;
	ck_assert_int_eq(decode(&mode, (const uint8_t *)bytes, length, 0, &insn[0]), length);
	insn[1].fn = fixture_stop;
	insn[1].imm = 0x1000 + length;
	cpu->state.events.exception.pending = false;
	if (!sigsetjmp(cpu->interp->env, 0))
		insn[0].fn(cpu, &insn[0]);
	return cpu->state.events.exception.pending ? cpu->state.events.exception.vector : NO_FAULT;
}

#define RUN(code, stack, string) run(code, stack, string, sizeof(string) - 1)
#define RSP fixture.cpu->state.gpr[GPR_RSP]
#define RCX fixture.cpu->state.gpr[GPR_RCX]
#define RIP fixture.cpu->state.rip

START_TEST(call_and_return_64)
{
	const uint64_t top = (uintptr_t)fixture.memory + 0x800;

	RSP = top;
	ck_assert_int_eq(RUN(8, 8, "\xe8\x00\x01\x00\x00"), NO_FAULT);
	ck_assert_uint_eq(RIP, 0x1105);
	ck_assert_uint_eq(RSP, top - 8);
	ck_assert_uint_eq(*(uint64_t *)(fixture.memory + 0x7f8), 0x1005);
	ck_assert_int_eq(RUN(8, 8, "\xc2\x10\x00"), NO_FAULT);
	ck_assert_uint_eq(RIP, 0x1005);
	ck_assert_uint_eq(RSP, top + 16);
}
END_TEST

START_TEST(call_and_return_32)
{
	const uint64_t top = (uintptr_t)fixture.memory + 0x800;

	RSP = top;
	fixture.cpu->state.gpr[GPR_RBX] = 0x4321;
	ck_assert_int_eq(RUN(4, 4, "\xff\xd3"), NO_FAULT); /* call ebx */
	ck_assert_uint_eq(RIP, 0x4321);
	ck_assert_uint_eq(RSP, top - 4);
	ck_assert_uint_eq(*(uint32_t *)(fixture.memory + 0x7fc), 0x1002);
	ck_assert_int_eq(RUN(4, 4, "\xc3"), NO_FAULT);
	ck_assert_uint_eq(RIP, 0x1002);
	ck_assert_uint_eq(RSP, top);
	/* Operand size 16 cuts the target off. */
	ck_assert_int_eq(RUN(4, 4, "\x66\xeb\x80"), NO_FAULT);
	ck_assert_uint_eq(RIP, 0x0f83);
}
END_TEST

/* A 16-bit stack wraps inside SS and leaves ESP's upper half alone. */
START_TEST(stack_wraps_in_16_bits)
{
	fixture.cpu->state.base[SEG_SS] = (uintptr_t)fixture.memory - 0xf000;
	RSP = 0xabcd0000;
	fixture.cpu->state.gpr[GPR_RAX] = 0x11223344;
	ck_assert_int_eq(RUN(2, 2, "\x50"), NO_FAULT); /* push ax */
	ck_assert_uint_eq(RSP, 0xabcdfffe);
	ck_assert_uint_eq(*(uint16_t *)(fixture.memory + 0xffe), 0x3344);
	ck_assert_int_eq(RUN(2, 2, "\x66\x50"), NO_FAULT); /* push eax */
	ck_assert_uint_eq(RSP, 0xabcdfffa);
	ck_assert_uint_eq(*(uint32_t *)(fixture.memory + 0xffa), 0x11223344);
	ck_assert_int_eq(RUN(2, 2, "\x66\x5b"), NO_FAULT); /* pop ebx */
	ck_assert_int_eq(RUN(2, 2, "\x59"), NO_FAULT);     /* pop cx */
	ck_assert_uint_eq(RSP, 0xabcd0000);
	ck_assert_uint_eq(fixture.cpu->state.gpr[GPR_RBX], 0x11223344);
	ck_assert_uint_eq(RCX, 0x3344);
}
END_TEST

START_TEST(pusha_and_popa)
{
	const uint64_t top = (uintptr_t)fixture.memory + 0x800;
	uint64_t *gpr = fixture.cpu->state.gpr;
	unsigned i;

	for (i = 0; i < 8; i++)
		gpr[i] = 0x1000 + i;
	RSP = top;
	ck_assert_int_eq(RUN(4, 4, "\x60"), NO_FAULT);
	ck_assert_uint_eq(RSP, top - 32);
	for (i = 0; i < 8; i++) /* EAX is the first pushed, ESP as it was */
		ck_assert_uint_eq(((uint32_t *)(fixture.memory + 0x800))[-1 - (int)i],
				  i == GPR_RSP ? top : 0x1000 + i);
	*(uint32_t *)(fixture.memory + 0x800 - 20) = 0; /* the slot of ESP is skipped */
	for (i = 0; i < 8; i++)
		if (i != GPR_RSP)
			gpr[i] = 0;
	ck_assert_int_eq(RUN(4, 4, "\x61"), NO_FAULT);
	ck_assert_uint_eq(RSP, top);
	for (i = 0; i < 8; i++)
		if (i != GPR_RSP)
			ck_assert_uint_eq(gpr[i], 0x1000 + i);
}
END_TEST

/* POP addresses its destination with the incremented stack pointer. */
START_TEST(pop_to_the_stack)
{
	const uint64_t top = (uintptr_t)fixture.memory + 0x800;

	RSP = top;
	*(uint64_t *)(fixture.memory + 0x800) = 0x77;
	ck_assert_int_eq(RUN(8, 8, "\x8f\x44\x24\x10"), NO_FAULT); /* pop [rsp + 16] */
	ck_assert_uint_eq(*(uint64_t *)(fixture.memory + 0x818), 0x77);
	ck_assert_uint_eq(RSP, top + 8);
}
END_TEST

START_TEST(loop_counts_in_the_address_size)
{
	RCX = 0x12340001;
	ck_assert_int_eq(RUN(4, 4, "\x67\xe2\x10"), NO_FAULT);
	ck_assert_uint_eq(RIP, 0x1003);
	ck_assert_uint_eq(RCX, 0x12340000);
	ck_assert_int_eq(RUN(4, 4, "\x67\xe3\x10"), NO_FAULT); /* jcxz */
	ck_assert_uint_eq(RIP, 0x1013);
	ck_assert_int_eq(RUN(4, 4, "\xe3\x10"), NO_FAULT);     /* jecxz */
	ck_assert_uint_eq(RIP, 0x1002);
	RCX = 0xffffffff00000000;
	fixture.cpu->state.efer = EFER_LMA;
	ck_assert_int_eq(RUN(8, 8, "\x67\xe2\x10"), NO_FAULT); /* ECX wraps, RCX is extended */
	ck_assert_uint_eq(RIP, 0x1013);
	ck_assert_uint_eq(RCX, 0xffffffff);
}
END_TEST

START_TEST(loope_looks_at_zf)
{
	RCX = 5;
	fixture.cpu->state.arith = ARITH_ZF;
	RUN(8, 8, "\xe1\x10");
	ck_assert_uint_eq(RIP, 0x1012);
	RUN(8, 8, "\xe0\x10");
	ck_assert_uint_eq(RIP, 0x1002);
	ck_assert_uint_eq(RCX, 3);
}
END_TEST

/* A branch that faults has not happened: RIP is its own, the stack pointer as before. */
START_TEST(targets_are_checked)
{
	const uint64_t top = (uintptr_t)fixture.memory + 0x800, hole = 1ull << 47;

	RSP = top;
	fixture.cpu->state.gpr[GPR_RBX] = hole;
	ck_assert_int_eq(RUN(8, 8, "\xff\xe3"), VECTOR_GP); /* jmp rbx */
	ck_assert_uint_eq(RIP, 0x1000);
	ck_assert_int_eq(RUN(8, 8, "\xff\xd3"), VECTOR_GP); /* call rbx */
	ck_assert_uint_eq(RIP, 0x1000);
	ck_assert_uint_eq(RSP, top);
	*(uint64_t *)(fixture.memory + 0x800) = hole;
	ck_assert_int_eq(RUN(8, 8, "\xc3"), VECTOR_GP);
	ck_assert_uint_eq(RIP, 0x1000);
	ck_assert_uint_eq(RSP, top);
	fixture.cpu->state.seg[SEG_CS].limit = 0x1fff;
	ck_assert_int_eq(RUN(4, 4, "\xe9\xfb\x0f\x00\x00"), VECTOR_GP); /* 0x2000 */
	ck_assert_int_eq(RUN(4, 4, "\xe9\xfa\x0f\x00\x00"), NO_FAULT);
	ck_assert_uint_eq(RIP, 0x1fff);
}
END_TEST

START_TEST(bound_checks_signed)
{
	int32_t *limits = (int32_t *)fixture.memory;

	limits[0] = -5;
	limits[1] = 10;
	fixture.cpu->state.gpr[GPR_RBX] = (uintptr_t)fixture.memory;
	fixture.cpu->state.gpr[GPR_RAX] = (uint32_t)-5;
	ck_assert_int_eq(RUN(4, 4, "\x62\x03"), NO_FAULT);
	fixture.cpu->state.gpr[GPR_RAX] = (uint32_t)-6;
	ck_assert_int_eq(RUN(4, 4, "\x62\x03"), VECTOR_BR);
	fixture.cpu->state.gpr[GPR_RAX] = 11;
	ck_assert_int_eq(RUN(4, 4, "\x62\x03"), VECTOR_BR);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("branch");
	TCase *tcase = tcase_create("branch");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, call_and_return_64);
	tcase_add_test(tcase, call_and_return_32);
	tcase_add_test(tcase, stack_wraps_in_16_bits);
	tcase_add_test(tcase, pusha_and_popa);
	tcase_add_test(tcase, pop_to_the_stack);
	tcase_add_test(tcase, loop_counts_in_the_address_size);
	tcase_add_test(tcase, loope_looks_at_zf);
	tcase_add_test(tcase, targets_are_checked);
	tcase_add_test(tcase, bound_checks_signed);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
