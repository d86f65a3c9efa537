// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shifts and rotates.
 *
 * Which flags change depends on the count (none for 0), so the guest's flags are loaded into the
 * host's before the host executes the instruction.
 */
#include "cpu/interp/ops_template.h"

/*
 * OF after a rotate by more than 1 is undefined. Intel's processors keep it when ROL or ROR has a
 * register and an immediate count; not in memory, and not with a count in CL, which is how the host
 * is made to rotate here.
 */
static always_inline uint16_t rotated_flags(unsigned count, unsigned bits, uint32_t before,
					    uint32_t after)
{
	if ((count & (bits == 64 ? 63 : 31)) == 1)
		return (uint16_t)after;
	return (uint16_t)((after & ~ARITH_OF) | (before & ARITH_OF));
}

#define SHIFTED(bits, ax) (uint16_t)(ax)
#define ROTATED(bits, ax) rotated_flags((unsigned)insn->imm, bits, cpu->state.arith, ax)

#define SHIFT(name, bits, suffix, imm_flags)                                                       \
SHIFT_REG(name##_imm_reg##bits, name, bits, insn->imm, imm_flags)                                  \
SHIFT_REG(name##_cl_reg##bits, name, bits, cpu->state.gpr[GPR_RCX], SHIFTED)                       \
SHIFT_RMW(name##_imm_mem##bits, #name suffix, bits, insn->imm)                                     \
SHIFT_RMW(name##_cl_mem##bits, #name suffix, bits, cpu->state.gpr[GPR_RCX])

#define SHIFT_REG(handler, name, bits, count, flags)                                               \
static void handler(struct vcpu *cpu, const struct insn *insn)                                     \
{                                                                                                  \
	uint##bits##_t a = REG##bits(cpu, insn->rm);                                               \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm(ASM_LOAD_FLAGS #name " %%cl, %[a]" ASM_SAVE_FLAGS                                      \
	    : [a] "+r" (a), "+&a" (ax) : "c" ((uint8_t)(count)) : "cc");                           \
	SET##bits(cpu, insn->rm, a);                                                               \
	cpu->state.arith = flags(bits, ax);                                                        \
	NEXT(cpu, insn);                                                                           \
}

#define SHIFT_RMW(handler, text, bits, count)                                                      \
BODY handler##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t *p, bool slow)       \
{                                                                                                  \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm volatile(ASM_LOAD_FLAGS text " %%cl, %[m]" ASM_SAVE_FLAGS                              \
		     : [m] "+m" (*p), "+&a" (ax) : "c" ((uint8_t)(count)) : "cc");                 \
	rmw_finish(cpu, insn, slow);                                                               \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
RMW_HANDLER(handler, bits)

#define SHIFT_ALL(name, imm_flags)                                                                 \
	SHIFT(name, 8, "b", imm_flags)                                                             \
	SHIFT(name, 16, "w", imm_flags)                                                            \
	SHIFT(name, 32, "l", imm_flags)                                                            \
	SHIFT(name, 64, "q", imm_flags)

SHIFT_ALL(rol, ROTATED)
SHIFT_ALL(ror, ROTATED)
SHIFT_ALL(rcl, SHIFTED)
SHIFT_ALL(rcr, SHIFTED)
SHIFT_ALL(shl, SHIFTED)
SHIFT_ALL(shr, SHIFTED)
SHIFT_ALL(sar, SHIFTED)

/* ---- SHLD, SHRD ---- */

#define DOUBLE_SHIFT(name, bits)                                                                   \
DOUBLE_SHIFT_REG(name##_imm_reg##bits, name, bits, insn->imm)                                      \
DOUBLE_SHIFT_REG(name##_cl_reg##bits, name, bits, cpu->state.gpr[GPR_RCX])                         \
DOUBLE_SHIFT_RMW(name##_imm_mem##bits, #name, bits, insn->imm)                                     \
DOUBLE_SHIFT_RMW(name##_cl_mem##bits, #name, bits, cpu->state.gpr[GPR_RCX])

#define DOUBLE_SHIFT_REG(handler, name, bits, count)                                               \
static void handler(struct vcpu *cpu, const struct insn *insn)                                     \
{                                                                                                  \
	uint##bits##_t a = REG##bits(cpu, insn->rm), b = REG##bits(cpu, insn->reg);                \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm(ASM_LOAD_FLAGS #name " %%cl, %[b], %[a]" ASM_SAVE_FLAGS                                \
	    : [a] "+r" (a), "+&a" (ax) : [b] "r" (b), "c" ((uint8_t)(count)) : "cc");              \
	SET##bits(cpu, insn->rm, a);                                                               \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}

#define DOUBLE_SHIFT_RMW(handler, text, bits, count)                                               \
BODY handler##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t *p, bool slow)       \
{                                                                                                  \
	uint##bits##_t b = REG##bits(cpu, insn->reg);                                              \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm volatile(ASM_LOAD_FLAGS text " %%cl, %[b], %[m]" ASM_SAVE_FLAGS                        \
		     : [m] "+m" (*p), "+&a" (ax) : [b] "r" (b), "c" ((uint8_t)(count)) : "cc");    \
	rmw_finish(cpu, insn, slow);                                                               \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
RMW_HANDLER(handler, bits)

DOUBLE_SHIFT(shld, 16)
DOUBLE_SHIFT(shld, 32)
DOUBLE_SHIFT(shld, 64)
DOUBLE_SHIFT(shrd, 16)
DOUBLE_SHIFT(shrd, 32)
DOUBLE_SHIFT(shrd, 64)

/* ---- BMI2: SARX, SHLX, SHRX, RORX (no flags) ---- */

#define SHIFT_X(name, bits, expression)                                                            \
BODY name##_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)      \
{                                                                                                  \
	const unsigned count = cpu->state.gpr[insn->vvvv] & ((bits) - 1);                          \
                                                                                                   \
	SET##bits(cpu, insn->reg, expression);                                                     \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS_IF(name, bits, REQUIRE(cpu, insn, bmi2))

SHIFT_X(sarx, 32, (int32_t)value >> count)
SHIFT_X(sarx, 64, (int64_t)value >> count)
SHIFT_X(shlx, 32, value << count)
SHIFT_X(shlx, 64, value << count)
SHIFT_X(shrx, 32, value >> count)
SHIFT_X(shrx, 64, value >> count)

#define RORX(bits)                                                                                 \
BODY rorx_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)        \
{                                                                                                  \
	const unsigned count = insn->imm & ((bits) - 1);                                           \
                                                                                                   \
	SET##bits(cpu, insn->reg, value >> count | value << (-count & ((bits) - 1)));              \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS_IF(rorx, bits, REQUIRE(cpu, insn, bmi2))

RORX(32)
RORX(64)

/* ---- tables ---- */

#define IMM_TABLE(name) { .reg = BY_SIZE(name##_imm_reg), .mem = BY_SIZE(name##_imm_mem) }
#define CL_TABLE(name) { .reg = BY_SIZE(name##_cl_reg), .mem = BY_SIZE(name##_cl_mem) }
#define DOUBLE_TABLE(name) { .reg = BY_WIDE_SIZE(name##_reg), .mem = BY_WIDE_SIZE(name##_mem) }
#define X_TABLE(name) { .reg = BY_DWORD_SIZE(name##_reg), .mem = BY_DWORD_SIZE(name##_mem) }

const struct handlers shift_rm_imm[8] = {
	IMM_TABLE(rol), IMM_TABLE(ror), IMM_TABLE(rcl), IMM_TABLE(rcr),
	IMM_TABLE(shl), IMM_TABLE(shr), IMM_TABLE(shl), IMM_TABLE(sar),
};
const struct handlers shift_rm_cl[8] = {
	CL_TABLE(rol), CL_TABLE(ror), CL_TABLE(rcl), CL_TABLE(rcr),
	CL_TABLE(shl), CL_TABLE(shr), CL_TABLE(shl), CL_TABLE(sar),
};
const struct handlers shld_imm = DOUBLE_TABLE(shld_imm), shrd_imm = DOUBLE_TABLE(shrd_imm),
	shld_cl = DOUBLE_TABLE(shld_cl), shrd_cl = DOUBLE_TABLE(shrd_cl);
const struct handlers sarx = X_TABLE(sarx), shlx = X_TABLE(shlx), shrx = X_TABLE(shrx),
	rorx = X_TABLE(rorx);
