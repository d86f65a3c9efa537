// SPDX-License-Identifier: GPL-2.0-or-later
/* Every SSE encoding of the table, against the host: register and memory forms, all prefixes. */
#include "vector_fixture.h"

#include "cpu/interp/simd.h"

#define ROUNDS 24

static const uint8_t prefix_bytes[] = { 0, 0x66, 0xf3, 0xf2 };

static void try_encoding(struct fixture *f, unsigned map, uint8_t prefix, unsigned opcode,
			 bool memory)
{
	const struct simd_row *row = simd_row(map, prefix, opcode);
	unsigned reg = fixture_random() & 15, rm = memory ? GPR_RSI : fixture_random() & 15;
	unsigned wide = fixture_random() & 1, length = 0;
	struct vectors vectors;
	struct registers in;
	uint8_t bytes[16];

	if (row->form == SIMD_NONE || row->flags & (SIMD_MMX | SIMD_MMX_REG | SIMD_MMX_RM))
		return;
	/* What general registers read of RSP would be the test's own stack. */
	if (reg == GPR_RSP || rm == GPR_RSP)
		return;
	fixture_fill(f, &in);
	fill_vectors(&vectors);
	in.gpr[GPR_RSI] = (uintptr_t)f->memory + 4096 + 16 * (fixture_random() % 64);
	/* One in eight not aligned: a fault for most. CPUs differ about SHA. */
	if (row->feature != SIMD_SHA && !(fixture_random() & 7))
		in.gpr[GPR_RSI] += 4;
	in.gpr[GPR_RDI] = in.gpr[GPR_RSI] + 1;
	if (prefix)
		bytes[length++] = prefix;
	bytes[length++] = 0x40 | wide << 3 | (reg & 8) >> 1 | (rm & 8) >> 3;
	bytes[length++] = 0x0f;
	if (map > 1)
		bytes[length++] = map == 2 ? 0x38 : 0x3a;
	bytes[length++] = opcode;
	bytes[length++] = (memory ? 0 : 0xc0) | (reg & 7) << 3 | (rm & 7);
	if (row->flags & SIMD_IMM)
		bytes[length++] = fixture_random();
	if (accepted(bytes, length))
		compare(f, bytes, length, &in, &vectors);
}

static void run_map(unsigned map, struct fixture *f)
{
	unsigned opcode, prefix, round;

	for (opcode = 0; opcode < 256; opcode++)
		for (prefix = 0; prefix < sizeof(prefix_bytes); prefix++)
			for (round = 0; round < ROUNDS; round++)
				try_encoding(f, map, prefix_bytes[prefix], opcode, round & 1);
}

MAP_TESTS(run_map)

/* 1.0 / 0.0 with that exception unmasked: #XM, and the destination is as before. */
START_TEST(unmasked_exception)
{
	static const uint8_t divss[] = { 0xf3, 0x0f, 0x5e, 0xca }; /* xmm1 by xmm2 */
	struct registers in = { .flags = RFLAGS_FIXED }, out;
	struct vectors vectors = { .mxcsr = 0x1f80 & ~0x200u };
	const float one = 1;
	struct fixture f;

	fixture_init(&f);
	f.cpu->state.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
	memcpy(vectors.ymm[1], &one, 4);
	ck_assert_int_eq(interpret(&f, divss, sizeof(divss), &in, &out, &vectors), VECTOR_XM);
	ck_assert(!memcmp(vectors.ymm[1], &one, 4));
	ck_assert_uint_eq(vectors.mxcsr, (0x1f80 & ~0x200u) | 4);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		map_0f,
		map_0f38,
		map_0f3a,
		unmasked_exception,
	};

	return vector_main("cpu/interp/simd", tests, sizeof(tests) / sizeof(tests[0]));
}
