// SPDX-License-Identifier: GPL-2.0-or-later
/* PUSH, POP, PUSHA, POPA, ENTER, LEAVE. Accesses come first, the new rSP last. */
#include "cpu/interp/ops_template.h"

#define PUSH_BODY(name, bits, value)                                                               \
BODY name##_body(struct vcpu *cpu, const struct insn *insn, uint64_t top)                          \
{                                                                                                  \
	stack_commit(cpu, insn, bits, top);                                                        \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
PUSH_HANDLER(name, bits, value)

/*
 * POP to memory with rSP as its base addresses with the new rSP: the decoder has added the operand
 * size to the displacement.
 */
#define STACK(bits)                                                                                \
PUSH_BODY(push_reg##bits, bits, REG##bits(cpu, insn->rm))                                          \
PUSH_BODY(push_imm##bits, bits, insn->imm)                                                         \
BODY push_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)        \
{                                                                                                  \
	uint64_t top = stack_top(cpu, insn, bits, -(bits) / 8);                                    \
                                                                                                   \
	seg_write##bits(cpu, insn, stack_segment(insn, bits), top, value);                         \
	stack_commit(cpu, insn, bits, top);                                                        \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
LOAD_HANDLER(push_mem##bits, bits)                                                                 \
BODY pop_reg##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)         \
{                                                                                                  \
	stack_commit(cpu, insn, bits, stack_top(cpu, insn, bits, (bits) / 8));                     \
	SET##bits(cpu, insn->rm, value);                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
POP_HANDLER(pop_reg##bits, bits)                                                                   \
BODY pop_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)         \
{                                                                                                  \
	store##bits(cpu, insn, value);                                                             \
	stack_commit(cpu, insn, bits, stack_top(cpu, insn, bits, (bits) / 8));                     \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
POP_HANDLER(pop_mem##bits, bits)                                                                   \
static void leave##bits(struct vcpu *cpu, const struct insn *insn)                                 \
{                                                                                                  \
	uint64_t frame = stack_wrap(insn, bits, cpu->state.gpr[GPR_RBP]);                          \
	uint##bits##_t value = seg_read##bits(cpu, insn, stack_segment(insn, bits), frame);        \
                                                                                                   \
	stack_commit(cpu, insn, bits, stack_wrap(insn, bits, frame + (bits) / 8));                 \
	SET##bits(cpu, GPR_RBP * 8, value);                                                        \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void enter##bits(struct vcpu *cpu, const struct insn *insn)                                 \
{                                                                                                  \
	const unsigned seg = stack_segment(insn, bits), level = insn->imm >> 16 & 31;              \
	uint64_t top = stack_top(cpu, insn, bits, -(bits) / 8), frame = top;                       \
	uint64_t outer = cpu->state.gpr[GPR_RBP];                                                  \
	unsigned i;                                                                                \
                                                                                                   \
	seg_write##bits(cpu, insn, seg, top, (uint##bits##_t)outer);                               \
	for (i = 1; i < level; i++) {                                                              \
		outer = stack_wrap(insn, bits, outer - (bits) / 8);                                \
		top = stack_wrap(insn, bits, top - (bits) / 8);                                    \
		seg_write##bits(cpu, insn, seg, top, seg_read##bits(cpu, insn, seg, outer));       \
	}                                                                                          \
	if (level) {                                                                               \
		top = stack_wrap(insn, bits, top - (bits) / 8);                                    \
		seg_write##bits(cpu, insn, seg, top, (uint##bits##_t)frame);                       \
	}                                                                                          \
	top = stack_wrap(insn, bits, top - (insn->imm & 0xffff));                                  \
	/* SDM: faults if a write at the final stack pointer would. */                             \
	if (insn->flags & INSN_CHECK)                                                              \
		mem_check(cpu, insn, seg, top, (bits) / 8, ACCESS_WRITE);                          \
	mem_host(cpu, insn, mem_linear(cpu, insn, seg, top), 1, ACCESS_WRITE);                     \
	stack_commit(cpu, insn, bits, top);                                                        \
	SET##bits(cpu, GPR_RBP * 8, frame);                                                        \
	NEXT(cpu, insn);                                                                           \
}

STACK(16)
STACK(32)
STACK(64)

#define PUSHA(bits)                                                                                \
static void pusha##bits(struct vcpu *cpu, const struct insn *insn)                                 \
{                                                                                                  \
	uint64_t top = cpu->state.gpr[GPR_RSP];                                                    \
	unsigned i;                                                                                \
                                                                                                   \
	for (i = 0; i < 8; i++) {                                                                  \
		top = stack_wrap(insn, bits, top - (bits) / 8);                                    \
		seg_write##bits(cpu, insn, SEG_SS, top, (uint##bits##_t)cpu->state.gpr[i]);        \
	}                                                                                          \
	stack_commit(cpu, insn, bits, top);                                                        \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void popa##bits(struct vcpu *cpu, const struct insn *insn)                                  \
{                                                                                                  \
	uint64_t top = stack_top(cpu, insn, bits, 0);                                              \
	uint##bits##_t value[8];                                                                   \
	unsigned i;                                                                                \
                                                                                                   \
	for (i = 8; i-- > 0;) {                                                                    \
		value[i] = seg_read##bits(cpu, insn, SEG_SS, top);                                 \
		top = stack_wrap(insn, bits, top + (bits) / 8);                                    \
	}                                                                                          \
	for (i = 0; i < 8; i++)                                                                    \
		if (i != GPR_RSP)                                                                  \
			SET##bits(cpu, i * 8, value[i]);                                           \
	stack_commit(cpu, insn, bits, top);                                                        \
	NEXT(cpu, insn);                                                                           \
}

PUSHA(16)
PUSHA(32)

/* ---- tables ---- */

const struct handlers push_reg = { .reg = BY_WIDE_SIZE(push_reg) };
const struct handlers push_rm = { .reg = BY_WIDE_SIZE(push_reg), .mem = BY_WIDE_SIZE(push_mem) };
const struct handlers push_imm = { .reg = BY_WIDE_SIZE(push_imm) };
const struct handlers pop_reg = { .reg = BY_WIDE_SIZE(pop_reg) };
const struct handlers pop_rm = { .reg = BY_WIDE_SIZE(pop_reg), .mem = BY_WIDE_SIZE(pop_mem) };
const struct handlers enter = { .reg = BY_WIDE_SIZE(enter) };
const struct handlers leave = { .reg = BY_WIDE_SIZE(leave) };
const struct handlers pusha = { .reg = { NULL, pusha16, pusha32, NULL } };
const struct handlers popa = { .reg = { NULL, popa16, popa32, NULL } };
