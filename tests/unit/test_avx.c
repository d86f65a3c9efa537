// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every VEX encoding that the interpreter accepts, against the host: results, flags, MXCSR, memory.
 * What it refuses is #UD, so a row that is too generous shows as a native SIGILL.
 */
#include "native_fixture.h"

#include "cpu/fpu.h"
#include "cpu/interp/ops_system.h"

#define ROUNDS 6
#define DATA 2048 /* of the code page: YMM registers and MXCSR, before and after */
#define DATA_BYTES (16 * 32 + 16)
#define PROLOGUE 88 /* bytes that fixture_execute() puts in front */

struct vectors {
	uint8_t ymm[16][32];
	uint32_t mxcsr, pad[3];
};
_Static_assert(sizeof(struct vectors) == DATA_BYTES, "layout of the code page's data");

static struct vectors *native_before(struct fixture *f)
{
	return (struct vectors *)(f->code + DATA);
}

static struct vectors *native_after(struct fixture *f)
{
	return native_before(f) + 1;
}

/* @code, ModRM [rip + disp32] with register @reg: the field at @offset of the page's data. */
static uint8_t *emit_rip(uint8_t *p, const uint8_t *start, const char *code, unsigned count,
			 unsigned reg, unsigned offset)
{
	int32_t disp;

	memcpy(p, code, count);
	p += count;
	*p++ = (reg & 7) << 3 | 5;
	disp = (int32_t)(DATA + offset) - (int32_t)(PROLOGUE + (p - start) + 4);
	memcpy(p, &disp, 4);
	return p + 4;
}

static uint8_t *emit_ymm(uint8_t *p, const uint8_t *start, bool store, unsigned n, unsigned offset)
{
	const char code[] = { (char)0xc5, n < 8 ? (char)0xfc : 0x7c, store ? 0x11 : 0x10 };

	return emit_rip(p, start, code, 3, n, offset);
}

/* The instruction between loading and storing all vector registers. */
static int execute_native(struct fixture *f, const uint8_t *bytes, unsigned length)
{
	uint8_t code[512], *p = code;
	unsigned n;

	for (n = 0; n < 16; n++)
		p = emit_ymm(p, code, false, n, n * 32);
	p = emit_rip(p, code, "\x0f\xae", 2, 2, offsetof(struct vectors, mxcsr));
	memcpy(p, bytes, length);
	p += length;
	p = emit_rip(p, code, "\x0f\xae", 2, 3, DATA_BYTES + offsetof(struct vectors, mxcsr));
	for (n = 0; n < 16; n++)
		p = emit_ymm(p, code, true, n, DATA_BYTES + n * 32);
	/* The C library's own SSE code is not to pay for dirty upper halves. */
	memcpy(p, "\xc5\xf8\x77", 3);
	p += 3;
	ck_assert_int_lt(p - code + PROLOGUE + 150, DATA);
	return fixture_execute(f, code, p - code);
}

static int interpret(struct fixture *f, const uint8_t *bytes, unsigned length,
		     const struct registers *in, struct registers *out, struct vectors *vectors)
{
	struct fpu_state *fpu = &f->cpu->state.fpu;
	int vector;
	unsigned n;

	for (n = 0; n < 16; n++) {
		memcpy(fpu->xmm[n], vectors->ymm[n], 16);
		memcpy(fpu->ymm_high[n], vectors->ymm[n] + 16, 16);
	}
	fpu->mxcsr = vectors->mxcsr;
	vector = fixture_interpret(f, bytes, length, in, out);
	for (n = 0; n < 16; n++) {
		memcpy(vectors->ymm[n], fpu->xmm[n], 16);
		memcpy(vectors->ymm[n] + 16, fpu->ymm_high[n], 16);
	}
	vectors->mxcsr = fpu->mxcsr;
	return vector;
}

static void fill_vectors(struct vectors *vectors)
{
	unsigned i;

	for (i = 0; i < sizeof(vectors->ymm) / 8; i++) {
		uint64_t value = fixture_value();
		double number = (double)(int64_t)fixture_random() / (double)(1ull << (value & 63));
		float narrow[2] = { (float)number, -(float)value };

		if (value % 3 == 0)
			memcpy(&value, &number, 8);
		else if (value % 3 == 1)
			memcpy(&value, narrow, 8);
		memcpy((uint8_t *)vectors->ymm + i * 8, &value, 8);
	}
	/* All exceptions masked; rounding, denormals as zero, flush to zero at random. */
	vectors->mxcsr = 0x1f80 | (fixture_random() & 0xe040);
}

static void compare(struct fixture *f, const uint8_t *bytes, unsigned length, struct registers *in,
		    const struct vectors *start)
{
	struct vectors interpreted = *start;
	struct registers out = { 0 };
	char text[64] = "";
	int vector, signo;
	unsigned i;

	for (i = 0; i < length; i++)
		sprintf(text + 3 * i, "%02x ", bytes[i]);
	memcpy(f->before, f->memory, FIXTURE_BYTES);
	vector = interpret(f, bytes, length, in, &out, &interpreted);
	memcpy(f->interpreted, f->memory, FIXTURE_BYTES);
	memcpy(f->memory, f->before, FIXTURE_BYTES);
	f->native = *in;
	*native_before(f) = *start;
	signo = execute_native(f, bytes, length);
	ck_assert_msg(signo == fixture_signal_of(vector), "%s: vector %d, native signal %d", text,
		      vector, signo);
	if (signo != NO_FAULT)
		return;
	for (i = 0; i < 16; i++) {
		ck_assert_msg(!memcmp(interpreted.ymm[i], native_after(f)->ymm[i], 32), "%s: ymm%u",
			      text, i);
		ck_assert_msg(out.gpr[i] == f->native.gpr[i], "%s: gpr %u: %lx, native %lx", text,
			      i, out.gpr[i], f->native.gpr[i]);
	}
	ck_assert_msg(interpreted.mxcsr == native_after(f)->mxcsr, "%s: mxcsr %x, native %x", text,
		      interpreted.mxcsr, native_after(f)->mxcsr);
	ck_assert_msg(!((out.flags ^ f->native.flags) & RFLAGS_ARITH), "%s: flags %lx, native %lx",
		      text, out.flags, f->native.flags);
	ck_assert_msg(!memcmp(f->memory, f->interpreted, FIXTURE_BYTES), "%s: memory", text);
}

static bool accepted(const uint8_t *bytes, unsigned length)
{
	const struct decode_mode mode = { .code = 8, .stack = 8, .protected_mode = true };
	struct insn insn;

	if (decode(&mode, bytes, 15, 0, &insn) != (int)length)
		return false;
	return insn.fn != op_ud;
}

static void try_encoding(struct fixture *f, unsigned map, unsigned opcode, unsigned pp,
			 unsigned vector, unsigned w, bool memory)
{
	bool immediate = map == 3 ||
			 (map == 1 && ((opcode >= 0x70 && opcode <= 0x73) ||
				       (opcode >= 0xc4 && opcode <= 0xc6) || opcode == 0xc2));
	bool gather = map == 2 && opcode >= 0x90 && opcode <= 0x93;
	unsigned reg = fixture_random() & 15, rm = fixture_random() & 15;
	unsigned third = fixture_random() & 1 ? 0 : fixture_random() & 15, length = 0;
	struct registers in;
	struct vectors vectors;
	uint8_t bytes[16];

	fixture_fill(f, &in);
	fill_vectors(&vectors);
	/* The masks of VMASKMOVDQU lie at RDI, memory operands at RSI; RSP stays the stack. */
	in.gpr[GPR_RSI] = (uintptr_t)f->memory + 4096 + 32 * (fixture_random() % 64);
	in.gpr[GPR_RDI] = in.gpr[GPR_RSI] + 1;
	if (memory)
		rm = GPR_RSI;
	bytes[length++] = 0xc4;
	bytes[length++] = (reg & 8 ? 0 : 0x80) | 0x40 | (rm & 8 ? 0 : 0x20) | map;
	bytes[length++] = w << 7 | (~third & 15) << 3 | vector << 2 | pp;
	bytes[length++] = opcode;
	bytes[length++] = (memory ? 0 : 0xc0) | (reg & 7) << 3 | (gather ? 4 : rm & 7);
	if (gather) {
		unsigned index = fixture_random() & 7;

		/* [rsi + index * scale]; indices stay inside the memory. */
		bytes[length++] = (fixture_random() & 3) << 6 | index << 3 | GPR_RSI;
		for (unsigned i = 0; i < 8; i++) {
			int32_t at = (int32_t)(fixture_random() % 400) - 200;

			memcpy(vectors.ymm[index] + i * 4, &at, 4);
			if (opcode & 1 && i % 2)
				memset(vectors.ymm[index] + i * 4, at & 1 ? 0xff : 0, 4);
		}
		if (opcode & 1)
			for (unsigned i = 0; i < 4; i++) {
				int64_t at = (int64_t)(fixture_random() % 400) - 200;

				memcpy(vectors.ymm[index] + i * 8, &at, 8);
			}
	}
	if (immediate)
		bytes[length++] = fixture_random();
	/* What general registers read of RSP would be the test's own stack. */
	if (!memory && (rm == GPR_RSP || reg == GPR_RSP))
		return;
	if (accepted(bytes, length))
		compare(f, bytes, length, &in, &vectors);
}

static void run_map(unsigned map)
{
	struct fixture f;
	unsigned opcode, bits, round;

	fixture_init(&f);
	f.cpu->state.cr4 |= CR4_OSXSAVE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	f.cpu->state.xcr0 = 7;
	f.cpu->features.avx = true;
	f.cpu->features.avx2 = __builtin_cpu_supports("avx2");
	f.cpu->features.fma = __builtin_cpu_supports("fma");
	f.cpu->features.f16c = __builtin_cpu_supports("f16c");
	f.cpu->features.aes = __builtin_cpu_supports("aes");
	f.cpu->features.pclmul = __builtin_cpu_supports("pclmul");
	for (opcode = 0; opcode < 256; opcode++)
		for (bits = 0; bits < 32; bits++)
			for (round = 0; round < ROUNDS; round++)
				try_encoding(&f, map, opcode, bits & 3, bits >> 2 & 1,
					     bits >> 3 & 1, bits >> 4);
	fixture_fini(&f);
}

START_TEST(map_0f)
{
	run_map(1);
}
END_TEST

START_TEST(map_0f38)
{
	run_map(2);
}
END_TEST

START_TEST(map_0f3a)
{
	run_map(3);
}
END_TEST

/* Which of the state's switches makes AVX valid. */
START_TEST(needs_state)
{
	static const uint8_t vpxor[] = { 0xc5, 0xf1, 0xef, 0xc2 };
	static const struct {
		uint64_t cr0, cr4, xcr0;
		bool avx;
		int vector;
	} row[] = {
		{ 0, CR4_OSXSAVE, 7, true, NO_FAULT },
		{ CR0_EM, CR4_OSXSAVE, 7, true, NO_FAULT },
		{ CR0_TS, CR4_OSXSAVE, 7, true, VECTOR_NM },
		{ CR0_TS, 0, 7, true, VECTOR_UD },
		{ 0, CR4_OSXSAVE, 3, true, VECTOR_UD },
		{ 0, CR4_OSXSAVE, 5, true, VECTOR_UD },
		{ 0, CR4_OSXSAVE, 7, false, VECTOR_UD },
	};
	struct registers in = { .flags = RFLAGS_FIXED }, out;
	struct fixture f;
	unsigned i;

	fixture_init(&f);
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		f.cpu->state.cr0 = CR0_PE | CR0_PG | row[i].cr0;
		f.cpu->state.cr4 = row[i].cr4;
		f.cpu->state.xcr0 = row[i].xcr0;
		f.cpu->features.avx = row[i].avx;
		ck_assert_msg(fixture_interpret(&f, vpxor, sizeof(vpxor), &in, &out) ==
				      row[i].vector,
			      "row %u", i);
	}
	fixture_fini(&f);
}
END_TEST

/* A masked element is not accessed: here it lies where nothing is. */
START_TEST(masked_elements_do_not_fault)
{
	/* vpmaskmovd ymm1, ymm0, [rsi]; vpmaskmovd [rsi], ymm0, ymm1 */
	static const uint8_t code[2][5] = { { 0xc4, 0xe2, 0x7d, 0x8c, 0x0e },
					    { 0xc4, 0xe2, 0x7d, 0x8e, 0x0e } };
	struct registers in = { .flags = RFLAGS_FIXED }, out;
	struct vectors vectors = { .mxcsr = 0x1f80 };
	struct fixture f;
	unsigned i;

	fixture_init(&f);
	f.cpu->state.cr4 = CR4_OSXSAVE;
	f.cpu->state.xcr0 = 7;
	f.cpu->features.avx = f.cpu->features.avx2 = true;
	in.gpr[GPR_RSI] = (uintptr_t)f.memory + FIXTURE_BYTES - 8;
	memset(vectors.ymm[0], 0xff, 8);
	memset(f.memory + FIXTURE_BYTES - 8, 0x5a, 8);
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(interpret(&f, code[i], 5, &in, &out, &vectors), NO_FAULT);
	ck_assert_uint_eq(*(uint64_t *)vectors.ymm[1], 0x5a5a5a5a5a5a5a5aull);
	ck_assert_uint_eq(*(uint64_t *)(vectors.ymm[1] + 8), 0);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cpu/interp/avx");
	TCase *tcase = tcase_create("avx");
	SRunner *runner;
	int failed;

	/* The host is the reference. */
	if (!__builtin_cpu_supports("avx"))
		return 77;
	tcase_set_timeout(tcase, 110);
	tcase_add_test(tcase, map_0f);
	tcase_add_test(tcase, map_0f38);
	tcase_add_test(tcase, map_0f3a);
	tcase_add_test(tcase, needs_state);
	if (__builtin_cpu_supports("avx2"))
		tcase_add_test(tcase, masked_elements_do_not_fault);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
