// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * String instructions against the host: all sizes, directions, repeat prefixes and both address
 * sizes, overlapping operands, elements across pages. Then what only an interpreter has: stopping
 * in the middle.
 */
#include "native_fixture.h"

#define ROUNDS 3000

static void run_string(struct fixture *f, const char *name, uint8_t opcode)
{
	static const uint8_t repeats[] = { 0, 0xf2, 0xf3 };
	uint8_t bytes[8], *p = bytes, repeat = repeats[fixture_random() % 3];
	const unsigned element = opcode & 1 ? 2u << fixture_random() % 3 : 1;
	const bool narrow = fixture_random() % 4 == 0;
	struct registers in = { 0 };
	uint64_t from, to, count = fixture_random() % (fixture_random() % 3 ? 20 : 700);
	unsigned i;

	fixture_fill(f, &in);
	if (fixture_random() % 2)
		in.flags |= RFLAGS_DF;
	/* Long runs of equal bytes, for the comparing ones. */
	if (fixture_random() % 2)
		memset(f->memory, in.gpr[GPR_RAX] & 0xff, FIXTURE_BYTES);
	for (i = 0; i < 3; i++)
		f->memory[fixture_random() % FIXTURE_BYTES] ^= 1;
	if (count * element > 6000)
		count = 6000 / element;
	to = 6500 + fixture_random() % 3300;
	from = fixture_random() % 2 ? to + fixture_random() % 40 - 20 :
				      6500 + fixture_random() % 3300;
	in.gpr[GPR_RSI] = (uintptr_t)f->memory + from;
	in.gpr[GPR_RDI] = (uintptr_t)f->memory + to;
	in.gpr[GPR_RCX] = count;
	if (narrow) {
		*p++ = 0x67;
		/* Address size 32: upper halves do not count. A count of 0 is left alone here,
		 * because processors differ in what they then do to them. */
		if (repeat && !count)
			in.gpr[GPR_RCX] = 1;
		in.gpr[GPR_RSI] |= fixture_random() << 32;
		in.gpr[GPR_RDI] |= fixture_random() << 32;
		in.gpr[GPR_RCX] |= fixture_random() << 32;
	}
	if (element == 2)
		*p++ = 0x66;
	if (repeat)
		*p++ = repeat;
	if (element == 8)
		*p++ = 0x48;
	*p++ = opcode;
	fixture_compare(f, name, bytes, p - bytes, &in);
}

static void run_opcode(const char *name, uint8_t opcode)
{
	struct fixture f;
	unsigned i;

	fixture_init(&f);
	for (i = 0; i < ROUNDS; i++)
		run_string(&f, name, opcode + i % 2);
	fixture_fini(&f);
}

START_TEST(movs_as_host)
{
	run_opcode("movs", 0xa4);
}
END_TEST

START_TEST(cmps_as_host)
{
	run_opcode("cmps", 0xa6);
}
END_TEST

START_TEST(stos_as_host)
{
	run_opcode("stos", 0xaa);
}
END_TEST

START_TEST(lods_as_host)
{
	run_opcode("lods", 0xac);
}
END_TEST

START_TEST(scas_as_host)
{
	run_opcode("scas", 0xae);
}
END_TEST

/* A kick stops after a run; what is left goes on from the registers. */
START_TEST(kick_stops_between_elements)
{
	static const uint8_t rep_stosb[] = { 0xf3, 0xaa };
	struct registers in = { .gpr = { [GPR_RAX] = 0x5a, [GPR_RCX] = 10000 } }, out;
	struct fixture f;
	unsigned rounds = 0;

	fixture_init(&f);
	in.gpr[GPR_RDI] = (uintptr_t)f.memory;
	atomic_store(&f.cpu->exit_request, 1);
	do {
		f.cpu->state.rip = 0xdead;
		ck_assert_int_eq(fixture_interpret(&f, rep_stosb, 2, &in, &out), NO_FAULT);
		ck_assert_uint_lt(out.gpr[GPR_RCX], in.gpr[GPR_RCX]);
		ck_assert_uint_eq(out.gpr[GPR_RDI] - in.gpr[GPR_RDI],
				  in.gpr[GPR_RCX] - out.gpr[GPR_RCX]);
		ck_assert_uint_eq(f.cpu->state.rip - f.cpu->state.gpr[GPR_BLOCK],
				  out.gpr[GPR_RCX] ? 0 : 2);
		in = out;
		rounds++;
	} while (out.gpr[GPR_RCX]);
	ck_assert_uint_eq(rounds, 3);
	ck_assert_uint_eq(f.memory[9999], 0x5a);
	ck_assert_uint_eq(f.memory[10000], 0);
	fixture_fini(&f);
}
END_TEST

START_TEST(trap_flag_stops_after_each_element)
{
	static const uint8_t repe_cmpsb[] = { 0xf3, 0xa6 };
	struct registers in = { .gpr = { [GPR_RCX] = 3 }, .flags = RFLAGS_TF }, out;
	struct fixture f;

	fixture_init(&f);
	in.gpr[GPR_RSI] = in.gpr[GPR_RDI] = (uintptr_t)f.memory;
	fixture_interpret(&f, repe_cmpsb, 2, &in, &out);
	ck_assert_uint_eq(out.gpr[GPR_RCX], 2);
	ck_assert(out.flags & RFLAGS_ZF);
	ck_assert_uint_eq(f.cpu->state.rip, f.cpu->state.gpr[GPR_BLOCK]);
	fixture_fini(&f);
}
END_TEST

/* 16-bit index registers wrap, and keep the upper parts. */
START_TEST(index_wraps_in_16_bits)
{
	const struct decode_mode mode = { .code = 2, .stack = 2 };
	struct fixture f;
	struct insn insn;

	fixture_init(&f);
	decode(&mode, (const uint8_t *)"\xf3\xaa", 2, 0, &insn);
	f.cpu->state.efer = 0;
	f.cpu->state.base[SEG_ES] = (uintptr_t)f.memory - 0xf000; /* the last page of the segment */
	f.cpu->state.gpr[GPR_RDI] = 0x1234fffe;
	f.cpu->state.gpr[GPR_RCX] = 0xabcd0002;
	f.cpu->state.gpr[GPR_RAX] = 0x77;
	insn.fn(f.cpu, &insn);
	ck_assert_uint_eq(f.cpu->state.gpr[GPR_RDI], 0x12340000);
	ck_assert_uint_eq(f.cpu->state.gpr[GPR_RCX], 0xabcd0000);
	ck_assert_uint_eq(f.memory[0xffe], 0x77);
	ck_assert_uint_eq(f.memory[0xfff], 0x77);
	ck_assert_uint_eq(f.memory[0x1000], 0);
	fixture_fini(&f);
}
END_TEST

/* Accesses that user space has answered for a finished element are not answers for the next. */
START_TEST(finished_elements_are_not_replayed)
{
	static const uint8_t rep_lodsb[] = { 0xf3, 0xac };
	struct registers in = { .gpr = { [GPR_RCX] = 2 } }, out;
	struct fixture f;

	fixture_init(&f);
	in.gpr[GPR_RSI] = (uintptr_t)f.memory;
	f.cpu->replay.count = f.cpu->replay.next = 1;
	fixture_interpret(&f, rep_lodsb, 2, &in, &out);
	ck_assert_uint_eq(f.cpu->replay.count, 0);
	ck_assert_uint_eq(f.cpu->replay.next, 0);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("string");
	TCase *tcase = tcase_create("string");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, movs_as_host);
	tcase_add_test(tcase, cmps_as_host);
	tcase_add_test(tcase, stos_as_host);
	tcase_add_test(tcase, lods_as_host);
	tcase_add_test(tcase, scas_as_host);
	tcase_add_test(tcase, kick_stops_between_elements);
	tcase_add_test(tcase, trap_flag_stops_after_each_element);
	tcase_add_test(tcase, index_wraps_in_16_bits);
	tcase_add_test(tcase, finished_elements_are_not_replayed);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
