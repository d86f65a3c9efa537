// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two-operand arithmetic and logic, INC, DEC, NOT, NEG.
 *
 * The host executes the very instruction, so its results and flags, undefined ones included, are
 * those of real hardware.
 */
#include "cpu/interp/ops_template.h"

/*
 * a = a op b in registers, in memory and with LOCK. @flags is the constraint of AX: "=&a" where
 * the instruction sets all flags from its operands, "+&a" where it reads or keeps some; then
 * @prepare makes them the host's.
 */
#define BINARY(name, bits, flags, prepare)                                                         \
static always_inline uint##bits##_t name##_reg##bits(uint##bits##_t a, uint##bits##_t b,          \
						     uint16_t *arith)                              \
{                                                                                                  \
	uint32_t ax = *arith;                                                                      \
                                                                                                   \
	asm(prepare #name " %[b], %[a]" ASM_SAVE_FLAGS                                             \
	    : [a] "+r" (a), "" flags (ax) : [b] "r" (b) : "cc");                                  \
	*arith = (uint16_t)ax;                                                                     \
	return a;                                                                                  \
}                                                                                                  \
static always_inline void name##_mem##bits(uint##bits##_t *p, uint##bits##_t b, uint16_t *arith,   \
					   bool lock)                                              \
{                                                                                                  \
	uint32_t ax = *arith;                                                                      \
                                                                                                   \
	if (lock)                                                                                  \
		asm volatile(prepare "lock " #name " %[b], %[m]" ASM_SAVE_FLAGS                    \
			     : [m] "+m" (*p), "" flags (ax) : [b] "r" (b) : "cc", "memory");      \
	else                                                                                       \
		asm volatile(prepare #name " %[b], %[m]" ASM_SAVE_FLAGS                            \
			     : [m] "+m" (*p), "" flags (ax) : [b] "r" (b) : "cc");                \
	*arith = (uint16_t)ax;                                                                     \
}

/* The forms that the encoding has. */
#define BINARY_HANDLERS(name, bits)                                                                \
static void name##_rm_reg##bits(struct vcpu *cpu, const struct insn *insn)                         \
{                                                                                                  \
	uint16_t arith = cpu->state.arith;                                                         \
                                                                                                   \
	SET##bits(cpu, insn->rm, name##_reg##bits(REG##bits(cpu, insn->rm),                        \
						  REG##bits(cpu, insn->reg), &arith));             \
	cpu->state.arith = arith;                                                                  \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void name##_reg_rm##bits(struct vcpu *cpu, const struct insn *insn)                         \
{                                                                                                  \
	uint16_t arith = cpu->state.arith;                                                         \
                                                                                                   \
	SET##bits(cpu, insn->reg, name##_reg##bits(REG##bits(cpu, insn->reg),                      \
						   REG##bits(cpu, insn->rm), &arith));             \
	cpu->state.arith = arith;                                                                  \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void name##_rm_imm##bits(struct vcpu *cpu, const struct insn *insn)                         \
{                                                                                                  \
	uint16_t arith = cpu->state.arith;                                                         \
                                                                                                   \
	SET##bits(cpu, insn->rm, name##_reg##bits(REG##bits(cpu, insn->rm),                        \
						  (uint##bits##_t)insn->imm, &arith));             \
	cpu->state.arith = arith;                                                                  \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
BODY name##_load##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)     \
{                                                                                                  \
	uint16_t arith = cpu->state.arith;                                                         \
                                                                                                   \
	SET##bits(cpu, insn->reg, name##_reg##bits(REG##bits(cpu, insn->reg), value, &arith));     \
	cpu->state.arith = arith;                                                                  \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
LOAD_HANDLER(name##_load##bits, bits)                                                              \
BINARY_RMW(name##_store_reg##bits, name, bits, REG##bits(cpu, insn->reg), false)                   \
BINARY_RMW(name##_store_imm##bits, name, bits, (uint##bits##_t)insn->imm, false)                   \
BINARY_RMW(name##_lock_reg##bits, name, bits, REG##bits(cpu, insn->reg), true)                     \
BINARY_RMW(name##_lock_imm##bits, name, bits, (uint##bits##_t)insn->imm, true)

#define BINARY_RMW(handler, name, bits, source, lock)                                              \
BODY handler##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t *p, bool slow)       \
{                                                                                                  \
	uint16_t arith = cpu->state.arith;                                                         \
                                                                                                   \
	name##_mem##bits(p, source, &arith, lock);                                                 \
	rmw_finish(cpu, insn, slow);                                                               \
	cpu->state.arith = arith;                                                                  \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
RMW_HANDLER(handler, bits)

#define BINARY_ALL(name, flags, prepare)                                                           \
	BINARY(name, 8, flags, prepare)                                                            \
	BINARY(name, 16, flags, prepare)                                                           \
	BINARY(name, 32, flags, prepare)                                                           \
	BINARY(name, 64, flags, prepare)                                                           \
	BINARY_HANDLERS(name, 8)                                                                   \
	BINARY_HANDLERS(name, 16)                                                                  \
	BINARY_HANDLERS(name, 32)                                                                  \
	BINARY_HANDLERS(name, 64)

BINARY_ALL(add, "=&a", "")
BINARY_ALL(or, "=&a", "")
BINARY_ALL(adc, "+&a", ASM_LOAD_CARRY)
BINARY_ALL(sbb, "+&a", ASM_LOAD_CARRY)
BINARY_ALL(and, "=&a", "")
BINARY_ALL(sub, "=&a", "")
BINARY_ALL(xor, "=&a", "")

/* CMP and TEST: flags only. */
#define COMPARE(name, bits)                                                                        \
static always_inline uint16_t name##_flags##bits(uint##bits##_t a, uint##bits##_t b)               \
{                                                                                                  \
	uint32_t ax;                                                                               \
                                                                                                   \
	asm(#name " %[b], %[a]" ASM_SAVE_FLAGS : "=&a" (ax) : [a] "r" (a), [b] "r" (b) : "cc");    \
	return (uint16_t)ax;                                                                       \
}                                                                                                  \
static void name##_rm_reg##bits(struct vcpu *cpu, const struct insn *insn)                         \
{                                                                                                  \
	cpu->state.arith = name##_flags##bits(REG##bits(cpu, insn->rm),                            \
					      REG##bits(cpu, insn->reg));                          \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void name##_rm_imm##bits(struct vcpu *cpu, const struct insn *insn)                         \
{                                                                                                  \
	cpu->state.arith = name##_flags##bits(REG##bits(cpu, insn->rm),                            \
					      (uint##bits##_t)insn->imm);                          \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
BODY name##_mem_reg##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)  \
{                                                                                                  \
	cpu->state.arith = name##_flags##bits(value, REG##bits(cpu, insn->reg));                   \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
LOAD_HANDLER(name##_mem_reg##bits, bits)                                                           \
BODY name##_mem_imm##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)  \
{                                                                                                  \
	cpu->state.arith = name##_flags##bits(value, (uint##bits##_t)insn->imm);                   \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
LOAD_HANDLER(name##_mem_imm##bits, bits)

#define COMPARE_REVERSED(bits)                                                                     \
static void cmp_reg_rm##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	cpu->state.arith = cmp_flags##bits(REG##bits(cpu, insn->reg), REG##bits(cpu, insn->rm));   \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
BODY cmp_load##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)        \
{                                                                                                  \
	cpu->state.arith = cmp_flags##bits(REG##bits(cpu, insn->reg), value);                      \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
LOAD_HANDLER(cmp_load##bits, bits)

COMPARE(cmp, 8)
COMPARE(cmp, 16)
COMPARE(cmp, 32)
COMPARE(cmp, 64)
COMPARE(test, 8)
COMPARE(test, 16)
COMPARE(test, 32)
COMPARE(test, 64)
COMPARE_REVERSED(8)
COMPARE_REVERSED(16)
COMPARE_REVERSED(32)
COMPARE_REVERSED(64)

/* INC and DEC keep CF. */
#define UNARY(name, bits, suffix, flags, prepare)                                                  \
static void name##_reg##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	uint##bits##_t a = REG##bits(cpu, insn->rm);                                               \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm(prepare #name " %[a]" ASM_SAVE_FLAGS : [a] "+r" (a), "" flags (ax) : : "cc");         \
	SET##bits(cpu, insn->rm, a);                                                               \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
UNARY_RMW(name##_mem##bits, bits, prepare #name suffix " %[m]", flags)                             \
UNARY_RMW(name##_lock##bits, bits, prepare "lock " #name suffix " %[m]", flags)

#define UNARY_RMW(handler, bits, text, flags)                                                      \
BODY handler##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t *p, bool slow)       \
{                                                                                                  \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm volatile(text ASM_SAVE_FLAGS : [m] "+m" (*p), "" flags (ax) : : "cc", "memory");      \
	rmw_finish(cpu, insn, slow);                                                               \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
RMW_HANDLER(handler, bits)

#define UNARY_ALL(name, flags, prepare)                                                            \
	UNARY(name, 8, "b", flags, prepare)                                                        \
	UNARY(name, 16, "w", flags, prepare)                                                       \
	UNARY(name, 32, "l", flags, prepare)                                                       \
	UNARY(name, 64, "q", flags, prepare)

UNARY_ALL(inc, "+&a", ASM_LOAD_CARRY)
UNARY_ALL(dec, "+&a", ASM_LOAD_CARRY)
UNARY_ALL(neg, "=&a", "")

#define NOT(bits, suffix)                                                                          \
static void not_reg##bits(struct vcpu *cpu, const struct insn *insn)                               \
{                                                                                                  \
	SET##bits(cpu, insn->rm, ~REG##bits(cpu, insn->rm));                                       \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
NOT_RMW(not_mem##bits, bits, "not" suffix " %[m]")                                                 \
NOT_RMW(not_lock##bits, bits, "lock not" suffix " %[m]")

#define NOT_RMW(handler, bits, text)                                                               \
BODY handler##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t *p, bool slow)       \
{                                                                                                  \
	asm volatile(text : [m] "+m" (*p) : : "memory");                                          \
	rmw_finish(cpu, insn, slow);                                                               \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
RMW_HANDLER(handler, bits)

NOT(8, "b")
NOT(16, "w")
NOT(32, "l")
NOT(64, "q")

/* ---- tables ---- */

#define RM_REG(name) { .reg = BY_SIZE(name##_rm_reg), .mem = BY_SIZE(name##_store_reg),            \
		       .lock = BY_SIZE(name##_lock_reg) }
#define REG_RM(name) { .reg = BY_SIZE(name##_reg_rm), .mem = BY_SIZE(name##_load) }
#define RM_IMM(name) { .reg = BY_SIZE(name##_rm_imm), .mem = BY_SIZE(name##_store_imm),            \
		       .lock = BY_SIZE(name##_lock_imm) }

const struct handlers alu_rm_reg[8] = {
	RM_REG(add), RM_REG(or), RM_REG(adc), RM_REG(sbb), RM_REG(and), RM_REG(sub), RM_REG(xor),
	{ .reg = BY_SIZE(cmp_rm_reg), .mem = BY_SIZE(cmp_mem_reg) },
};
const struct handlers alu_reg_rm[8] = {
	REG_RM(add), REG_RM(or), REG_RM(adc), REG_RM(sbb), REG_RM(and), REG_RM(sub), REG_RM(xor),
	REG_RM(cmp),
};
const struct handlers alu_rm_imm[8] = {
	RM_IMM(add), RM_IMM(or), RM_IMM(adc), RM_IMM(sbb), RM_IMM(and), RM_IMM(sub), RM_IMM(xor),
	{ .reg = BY_SIZE(cmp_rm_imm), .mem = BY_SIZE(cmp_mem_imm) },
};
const struct handlers test_rm_reg = { .reg = BY_SIZE(test_rm_reg), .mem = BY_SIZE(test_mem_reg) };
const struct handlers test_rm_imm = { .reg = BY_SIZE(test_rm_imm), .mem = BY_SIZE(test_mem_imm) };

#define UNARY_TABLE(name)                                                                          \
const struct handlers name##_rm = { .reg = BY_SIZE(name##_reg), .mem = BY_SIZE(name##_mem),        \
				    .lock = BY_SIZE(name##_lock) };
UNARY_TABLE(inc)
UNARY_TABLE(dec)
UNARY_TABLE(not)
UNARY_TABLE(neg)
