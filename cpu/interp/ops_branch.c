// SPDX-License-Identifier: GPL-2.0-or-later
/* Near branches. All end their block: they leave the new IP in state.rip and return. */
#include "cpu/interp/ops_template.h"

/* Near branches have a 64-bit operand in 64-bit code and only there. */
static always_inline void assume_code(const struct insn *insn, unsigned bits)
{
	if ((insn->code == 8) != (bits == 64))
		__builtin_unreachable();
}

static always_inline void branch(struct vcpu *cpu, const struct insn *insn, unsigned bits,
				 uint64_t target)
{
	assume_code(insn, bits);
	branch_to(cpu, insn, bits == 64 ? target : bits == 32 ? (uint32_t)target :
								  (uint16_t)target);
}

static always_inline uint64_t relative_target(const struct vcpu *cpu, const struct insn *insn)
{
	return cpu->state.gpr[GPR_BLOCK] + insn->imm;
}

static always_inline void fall_through(struct vcpu *cpu, const struct insn *insn, unsigned bits)
{
	assume_code(insn, bits);
	cpu->state.rip = insn_next_ip(cpu, insn);
}

/* ---- Jcc ---- */

#define JCC(condition, bits)                                                                       \
static void j##condition##bits(struct vcpu *cpu, const struct insn *insn)                          \
{                                                                                                  \
	if (condition_##condition(cpu->state.arith))                                               \
		branch(cpu, insn, bits, relative_target(cpu, insn));                               \
	else                                                                                       \
		fall_through(cpu, insn, bits);                                                     \
}
#define JCC_ALL(condition)                                                                         \
	JCC(condition, 16)                                                                         \
	JCC(condition, 32)                                                                         \
	JCC(condition, 64)

FOR_EACH_CONDITION(JCC_ALL)

/* ---- LOOPcc, JCXZ: the counter has the address size ---- */

static always_inline uint64_t counter(const struct vcpu *cpu, const struct insn *insn, uint64_t add)
{
	return (cpu->state.gpr[GPR_RCX] + add) & insn->amask;
}

static always_inline void counter_set(struct vcpu *cpu, const struct insn *insn, uint64_t value)
{
	if (insn->address == 2)
		SET16(cpu, GPR_RCX * 8, value);
	else
		cpu->state.gpr[GPR_RCX] = value;
}

#define LOOP(name, bits, condition)                                                                \
static void name##bits(struct vcpu *cpu, const struct insn *insn)                                  \
{                                                                                                  \
	uint64_t count = counter(cpu, insn, -1ull);                                                \
                                                                                                   \
	if (count && (condition))                                                                  \
		branch(cpu, insn, bits, relative_target(cpu, insn));                               \
	else                                                                                       \
		fall_through(cpu, insn, bits);                                                     \
	counter_set(cpu, insn, count);                                                             \
}

#define LOOP_ALL(bits)                                                                             \
LOOP(loopne, bits, !(cpu->state.arith & ARITH_ZF))                                                 \
LOOP(loope, bits, cpu->state.arith & ARITH_ZF)                                                     \
LOOP(loop, bits, true)                                                                             \
static void jcxz##bits(struct vcpu *cpu, const struct insn *insn)                                  \
{                                                                                                  \
	if (!counter(cpu, insn, 0))                                                                \
		branch(cpu, insn, bits, relative_target(cpu, insn));                               \
	else                                                                                       \
		fall_through(cpu, insn, bits);                                                     \
}

LOOP_ALL(16)
LOOP_ALL(32)
LOOP_ALL(64)

/* ---- JMP, CALL, RET ---- */

static always_inline uint64_t return_address(const struct vcpu *cpu, const struct insn *insn,
					     unsigned bits)
{
	assume_code(insn, bits);
	return insn_next_ip(cpu, insn);
}

#define CALL_INDIRECT(bits)                                                                        \
BODY call_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t target)       \
{                                                                                                  \
	uint64_t top = stack_top(cpu, insn, bits, -(bits) / 8);                                    \
                                                                                                   \
	/* A bad target faults before anything is pushed; a fault of the push puts RIP back. */        \
	branch(cpu, insn, bits, target);                                                           \
	seg_write##bits(cpu, insn, stack_segment(insn, bits), top,                                 \
			(uint##bits##_t)return_address(cpu, insn, bits));                          \
	stack_commit(cpu, insn, bits, top);                                                        \
}                                                                                                  \
SOURCE_HANDLERS(call, bits)

static always_inline void ret(struct vcpu *cpu, const struct insn *insn, unsigned bits,
			      uint64_t target)
{
	branch(cpu, insn, bits, target);
	stack_commit(cpu, insn, bits, stack_top(cpu, insn, bits, bits / 8 + (int64_t)insn->imm));
}

#define NEAR(bits)                                                                                 \
static void jmp_rel##bits(struct vcpu *cpu, const struct insn *insn)                               \
{                                                                                                  \
	branch(cpu, insn, bits, relative_target(cpu, insn));                                       \
}                                                                                                  \
BODY jmp_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t target)        \
{                                                                                                  \
	branch(cpu, insn, bits, target);                                                           \
}                                                                                                  \
SOURCE_HANDLERS(jmp, bits)                                                                         \
BODY call_rel##bits##_body(struct vcpu *cpu, const struct insn *insn, uint64_t top)                \
{                                                                                                  \
	branch(cpu, insn, bits, relative_target(cpu, insn));                                       \
	stack_commit(cpu, insn, bits, top);                                                        \
}                                                                                                  \
PUSH_HANDLER(call_rel##bits, bits, return_address(cpu, insn, bits))                                \
CALL_INDIRECT(bits)                                                                                \
BODY ret_near##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t target)       \
{                                                                                                  \
	ret(cpu, insn, bits, target);                                                              \
}                                                                                                  \
POP_HANDLER(ret_near##bits, bits)

NEAR(16)
NEAR(32)
NEAR(64)

/* ---- tables ---- */

#define JCC_TABLE(condition) { .reg = BY_WIDE_SIZE(j##condition) },

const struct handlers jcc[16] = { FOR_EACH_CONDITION(JCC_TABLE) };
const struct handlers loop_near[4] = {
	{ .reg = BY_WIDE_SIZE(loopne) }, { .reg = BY_WIDE_SIZE(loope) },
	{ .reg = BY_WIDE_SIZE(loop) }, { .reg = BY_WIDE_SIZE(jcxz) },
};
const struct handlers jmp_rel = { .reg = BY_WIDE_SIZE(jmp_rel) };
const struct handlers jmp_rm = { .reg = BY_WIDE_SIZE(jmp_reg), .mem = BY_WIDE_SIZE(jmp_mem) };
const struct handlers call_rel = { .reg = BY_WIDE_SIZE(call_rel) };
const struct handlers call_rm = { .reg = BY_WIDE_SIZE(call_reg), .mem = BY_WIDE_SIZE(call_mem) };
const struct handlers ret_near = { .reg = BY_WIDE_SIZE(ret_near) };
