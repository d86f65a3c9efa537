/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One vector instruction, by the interpreter and by the host: results, flags, MXCSR, memory. */
#ifndef FAUXKVM_TESTS_VECTOR_FIXTURE_H
#define FAUXKVM_TESTS_VECTOR_FIXTURE_H

#include "native_fixture.h"

#include "cpu/fpu.h"
#include "cpu/interp/ops_system.h"

#define DATA 2048 /* of the code page: YMM registers and MXCSR, before and after */
#define DATA_BYTES (16 * 32 + 16)
#define PROLOGUE 88 /* bytes that fixture_execute() puts in front */

struct vectors {
	uint8_t ymm[16][32];
	uint32_t mxcsr, pad[3];
};
_Static_assert(sizeof(struct vectors) == DATA_BYTES, "layout of the code page's data");

static inline struct vectors *native_before(struct fixture *f)
{
	return (struct vectors *)(f->code + DATA);
}

static inline struct vectors *native_after(struct fixture *f)
{
	return native_before(f) + 1;
}

/* @code, ModRM [rip + disp32] with register @reg: the field at @offset of the page's data. */
static inline uint8_t *emit_rip(uint8_t *p, const uint8_t *start, const char *code, unsigned count,
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

static inline uint8_t *emit_ymm(uint8_t *p, const uint8_t *start, bool store, unsigned n, unsigned offset)
{
	const char code[] = { (char)0xc5, n < 8 ? (char)0xfc : 0x7c, store ? 0x11 : 0x10 };

	return emit_rip(p, start, code, 3, n, offset);
}

/* The instruction between loading and storing all vector registers. */
static inline int execute_native(struct fixture *f, const uint8_t *bytes, unsigned length)
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

static inline int interpret(struct fixture *f, const uint8_t *bytes, unsigned length,
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

static inline void fill_vectors(struct vectors *vectors)
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

static inline void compare(struct fixture *f, const uint8_t *bytes, unsigned length, struct registers *in,
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

static inline bool accepted(const uint8_t *bytes, unsigned length)
{
	const struct decode_mode mode = { .code = 8, .stack = 8, .protected_mode = true };
	struct insn insn;

	if (decode(&mode, bytes, 15, 0, &insn) != (int)length)
		return false;
	return insn.fn != op_ud;
}

/* A fixture with the SSE and AVX state of a vCPU whose system uses it. */
static inline void vector_init(struct fixture *f)
{
	fixture_init(f);
	f->cpu->state.cr4 |= CR4_OSXSAVE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	f->cpu->state.xcr0 = 7;
	f->cpu->features.avx = true;
}

/* A test for each opcode map with legacy and VEX encodings: @run(map, fixture). */
#define MAP_TEST(name, number, run)                                                                \
	START_TEST(name)                                                                           \
	{                                                                                          \
		struct fixture f;                                                                  \
                                                                                                   \
		vector_init(&f);                                                                   \
		run(number, &f);                                                                   \
		fixture_fini(&f);                                                                  \
	}                                                                                          \
	END_TEST
#define MAP_TESTS(run)                                                                             \
	MAP_TEST(map_0f, 1, run)                                                                   \
	MAP_TEST(map_0f38, 2, run)                                                                 \
	MAP_TEST(map_0f3a, 3, run)

/* Runs @tests; returns main()'s value. The host is the reference and must have AVX. */
static inline int vector_main(const char *name, const TTest *const *tests, size_t count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create("vectors");
	SRunner *runner;
	int failed;

	if (!__builtin_cpu_supports("avx"))
		return 77;
	tcase_set_timeout(tcase, 110);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
