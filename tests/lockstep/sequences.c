// SPDX-License-Identifier: GPL-2.0-or-later
/* Sequences of instructions: jumps mostly go forward within them, loops end. */
#include <string.h>

#include "cpu/unicorn/flag_effect.h"
#include "generate.h"

/* ---- jumps ---- */

static void emit_jump(struct generator *g, const uint8_t *opcode, unsigned opcode_bytes,
		      unsigned displacement_bytes, unsigned *displacement_at)
{
	uint8_t bytes[8] = { 0 };

	memcpy(bytes, opcode, opcode_bytes);
	*displacement_at = g->at + opcode_bytes;
	emit(g, bytes, opcode_bytes + displacement_bytes);
}

/* The displacement that was emitted at @at leads here. */
static void land(struct generator *g, unsigned at, unsigned bytes)
{
	int32_t value = (int32_t)(g->at - at - bytes);

	memcpy(g->code + at, &value, bytes);
}

static void some_instructions(struct generator *g, unsigned count)
{
	for (unsigned i = 0; i < count && room(g); i++)
		random_instruction(g);
}

/* Jcc, JMP, CALL, LOOP over a few instructions. */
static void forward_jump(struct generator *g)
{
	static const uint16_t condition_flags[8] = {
		RFLAGS_OF,
		RFLAGS_CF,
		RFLAGS_ZF,
		RFLAGS_CF | RFLAGS_ZF,
		RFLAGS_SF,
		RFLAGS_PF,
		RFLAGS_SF | RFLAGS_OF,
		RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF,
	};
	const unsigned condition = below(g, 16), before = g->undefined, known = g->known;
	const bool defined = !(condition_flags[condition >> 1] & g->undefined);
	unsigned at, bytes = 1;
	uint8_t opcode[2];

	switch (below(g, 6)) {
	case 0:
		opcode[0] = 0xeb;
		emit_jump(g, opcode, 1, 1, &at);
		break;
	case 1:
		opcode[0] = one_in(g, 2) ? 0xe8 : 0xe9;
		emit_jump(g, opcode, 1, bytes = 4, &at);
		break;
	case 2:
		opcode[0] = 0xe0 + below(g, 4);
		if (opcode[0] < 0xe2 && g->undefined & RFLAGS_ZF)
			return;
		emit_jump(g, opcode, 1, 1, &at);
		g->known &= ~BIT(GPR_RCX);
		break;
	case 3:
		if (!defined)
			return;
		opcode[0] = 0x0f;
		opcode[1] = 0x80 | condition;
		emit_jump(g, opcode, 2, bytes = 4, &at);
		break;
	default:
		if (!defined)
			return;
		opcode[0] = 0x70 | condition;
		emit_jump(g, opcode, 1, 1, &at);
	}
	some_instructions(g, below(g, 4));
	land(g, at, bytes);
	/* It may have come either way. */
	g->undefined |= before;
	g->known &= known & ~BIT(GPR_RCX);
}

/* Through a register, or a return to a pushed address. */
static void indirect_jump(struct generator *g)
{
	const unsigned before = g->undefined;
	unsigned at, known, reg;
	uint8_t bytes[6];
	uint32_t target;

	do {
		reg = below(g, 8);
	} while (reg == GPR_RSP);
	if (one_in(g, 2)) {
		emit_load(g, reg, 0);
		at = g->at - 4;
		bytes[0] = 0xff;
		bytes[1] = (one_in(g, 2) ? 0xd0 : 0xe0) | reg;
		emit(g, bytes, 2);
		g->known &= ~BIT(reg);
	} else {
		memcpy(bytes, "\x68\0\0\0\0", 5);
		emit(g, bytes, 5);
		at = g->at - 4;
		emit(g, "\xc3", 1);
	}
	known = g->known;
	some_instructions(g, below(g, 3));
	target = CODE_LINEAR + g->sequence->start + g->at;
	memcpy(g->code + at, &target, 4);
	g->undefined |= before;
	g->known &= known & ~BIT(GPR_RCX);
}

/* A few rounds of a few instructions. */
static void loop(struct generator *g)
{
	const uint8_t back[] = { 0xe2, 0 };
	unsigned top;
	int displacement;

	emit_load(g, GPR_RCX, 1 + below(g, 5));
	top = g->at;
	/* Of the round before anything may be left. */
	g->undefined = RFLAGS_ARITH;
	g->known = g->written = 0;
	some_instructions(g, 1 + below(g, 4));
	displacement = (int)top - (int)(g->at + 2);
	if (g->written & BIT(GPR_RCX) || displacement < -128)
		return;
	emit(g, back, 2);
	g->code[g->at - 1] = (uint8_t)displacement;
}

/* ---- sequences ---- */

static void initial_registers(struct generator *g)
{
	struct sequence *s = g->sequence;

	g->known = 0;
	for (unsigned i = 0; i < 16; i++) {
		g->value[i] = any_value(g);
		if (one_in(g, 3)) {
			g->value[i] = DATA_LINEAR + any_target(g);
			g->known |= BIT(i);
		} else if (one_in(g, 3)) {
			g->value[i] = below(g, 70);
			g->known |= BIT(i);
		}
	}
	/* Without alignment, sometimes. */
	g->value[GPR_RSP] =
		DATA_LINEAR + PAGE + 0x400 + below(g, 0x800) * (one_in(g, 4) ? 1 : 8) % 0x800;
	g->known |= BIT(GPR_RSP);
	for (unsigned i = 0; i < 16; i++) {
		/* 32-bit code has eight short ones. */
		if (!mode_is_64(g->mode))
			g->value[i] = i < 8 ? (uint32_t)g->value[i] : 0;
		s->gpr[i] = g->value[i];
	}
	s->flags = RFLAGS_FIXED | RFLAGS_IF | (random_next(&g->random) & RFLAGS_ARITH) |
		   (one_in(g, 8) ? RFLAGS_DF : 0);
}

static void generate_sequence(struct generator *g)
{
	struct sequence *s = g->sequence;
	unsigned units = 1 + below(g, 8);

	s->insns = 0;
	s->native = mode_is_user(g->mode);
	g->at = 0;
	g->undefined = 0;
	initial_registers(g);
	while (units-- && room(g)) {
		switch (below(g, 16)) {
		case 0:
			forward_jump(g);
			break;
		case 1:
			indirect_jump(g);
			break;
		case 2:
			loop(g);
			break;
		default:
			random_instruction(g);
		}
	}
	s->insn[s->insns].offset = g->at;
	s->insn[s->insns].undefined = g->undefined;
	g->code[g->at++] = 0xf4;
	s->bytes = g->at;
}

void generate_batch(struct batch *batch, uint64_t seed, uint64_t number, enum guest_mode mode)
{
	struct generator g = { .random = seed };
	uint32_t at = 0;

	random_next(&g.random);
	g.random ^= number * 0xd6e8feb86659fd93ull;
	batch->mode = mode == MODES ? below(&g, MODES) : mode;
	g.mode = batch->mode;
	g.decode = (struct decode_mode){ .protected_mode = true };
	g.decode.code = g.decode.stack = mode_is_64(g.mode) ? 8 : 4;
	memset(batch->code, 0xf4, sizeof(batch->code));
	for (unsigned i = 0; i < sizeof(batch->data); i += 8)
		*(uint64_t *)(batch->data + i) = any_value(&g);
	batch->sequences = 0;
	while (batch->sequences < SEQUENCES_MAX && at + SEQUENCE_BYTES_MAX + 64 < CODE_BYTES) {
		g.sequence = &batch->sequence[batch->sequences++];
		g.sequence->start = at;
		g.code = batch->code + at;
		generate_sequence(&g);
		at += g.sequence->bytes;
	}
}
