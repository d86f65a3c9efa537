// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every VEX encoding that the interpreter accepts, against the host: results, flags, MXCSR, memory.
 * What it refuses is #UD, so a row that is too generous shows as a native SIGILL.
 */
#include "vector_fixture.h"

#define ROUNDS 6
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

static void run_map(unsigned map, struct fixture *f)
{
	unsigned opcode, bits, round;

	f->cpu->features.avx2 = __builtin_cpu_supports("avx2");
	f->cpu->features.fma = __builtin_cpu_supports("fma");
	f->cpu->features.f16c = __builtin_cpu_supports("f16c");
	f->cpu->features.aes = __builtin_cpu_supports("aes");
	f->cpu->features.pclmul = __builtin_cpu_supports("pclmul");
	for (opcode = 0; opcode < 256; opcode++)
		for (bits = 0; bits < 32; bits++)
			for (round = 0; round < ROUNDS; round++)
				try_encoding(f, map, opcode, bits & 3, bits >> 2 & 1,
					     bits >> 3 & 1, bits >> 4);
}

MAP_TESTS(run_map)

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

	if (!__builtin_cpu_supports("avx2"))
		return;
	vector_init(&f);
	f.cpu->features.avx2 = true;
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
	const TTest *const tests[] = {
		map_0f,
		map_0f38,
		map_0f3a,
		needs_state,
		masked_elements_do_not_fault,
	};

	return vector_main("cpu/interp/avx", tests, sizeof(tests) / sizeof(tests[0]));
}
