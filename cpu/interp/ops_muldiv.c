// SPDX-License-Identifier: GPL-2.0-or-later
/* MUL, IMUL, DIV, IDIV, MULX. */
#include "cpu/interp/ops_template.h"

/* ---- MUL, IMUL with one operand: (E|R)DX:(E|R)AX, or AX for bytes ---- */

/*
 * Some CPUs leave the undefined flags as they were, so the guest's go in. They come out in RAX after
 * the product has been moved away from there.
 */
#define WIDE_MULTIPLY(name, text, bits)                                                            \
BODY name##_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)      \
{                                                                                                  \
	uint64_t rax = cpu->state.arith, rdx, low = cpu->state.gpr[GPR_RAX];                       \
                                                                                                   \
	asm(ASM_LOAD_FLAGS "mov %[low], %%rax\n\t" text " %[value]\n\t"                            \
	    "mov %%rax, %[low]" ASM_SAVE_FLAGS                                                     \
	    : "+&a" (rax), "=&d" (rdx), [low] "+&r" (low) : [value] "r" (value) : "cc");           \
	SET##bits(cpu, GPR_RAX * 8, low);                                                          \
	SET##bits(cpu, GPR_RDX * 8, rdx);                                                          \
	cpu->state.arith = (uint16_t)rax;                                                          \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS(name, bits)

#define BYTE_MULTIPLY(name, text)                                                                  \
BODY name##_mem8_body(struct vcpu *cpu, const struct insn *insn, uint8_t value)                    \
{                                                                                                  \
	uint64_t rax = cpu->state.arith, low = cpu->state.gpr[GPR_RAX];                            \
                                                                                                   \
	asm(ASM_LOAD_FLAGS "mov %[low], %%rax\n\t" text " %[value]\n\t"                            \
	    "mov %%rax, %[low]" ASM_SAVE_FLAGS                                                     \
	    : "+&a" (rax), [low] "+&r" (low) : [value] "r" (value) : "cc");                        \
	SET16(cpu, GPR_RAX * 8, low);                                                              \
	cpu->state.arith = (uint16_t)rax;                                                          \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS(name, 8)

BYTE_MULTIPLY(mul, "mul")
BYTE_MULTIPLY(imul, "imul")
WIDE_MULTIPLY(mul, "mul", 16)
WIDE_MULTIPLY(mul, "mul", 32)
WIDE_MULTIPLY(mul, "mul", 64)
WIDE_MULTIPLY(imul, "imul", 16)
WIDE_MULTIPLY(imul, "imul", 32)
WIDE_MULTIPLY(imul, "imul", 64)

/* ---- IMUL with two and three operands ---- */

#define TRUNCATED_MULTIPLY(name, bits, other)                                                      \
BODY name##_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)      \
{                                                                                                  \
	uint##bits##_t product = (uint##bits##_t)(other);                                          \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm(ASM_LOAD_FLAGS "imul %[value], %[product]" ASM_SAVE_FLAGS                              \
	    : [product] "+&r" (product), "+&a" (ax) : [value] "r" (value) : "cc");                 \
	SET##bits(cpu, insn->reg, product);                                                        \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS(name, bits)

TRUNCATED_MULTIPLY(imul_reg_rm, 16, REG16(cpu, insn->reg))
TRUNCATED_MULTIPLY(imul_reg_rm, 32, REG32(cpu, insn->reg))
TRUNCATED_MULTIPLY(imul_reg_rm, 64, REG64(cpu, insn->reg))
TRUNCATED_MULTIPLY(imul_rm_imm, 16, insn->imm)
TRUNCATED_MULTIPLY(imul_rm_imm, 32, insn->imm)
TRUNCATED_MULTIPLY(imul_rm_imm, 64, insn->imm)

/* ---- DIV, IDIV ---- */

/*
 * The host would fault where the guest does, so the quotient's range is checked first: an unsigned
 * one fits if the dividend's upper half is below the divisor. A signed one fits if the dividend's
 * magnitude is below (2^(bits-1) [+ 1 when it is negative]) times the divisor's.
 */
static always_inline bool signed_quotient_fits(__int128 dividend, int64_t divisor, unsigned bits)
{
	unsigned __int128 numerator = dividend, denominator = (__int128)divisor, limit;

	if (dividend < 0)
		numerator = -numerator;
	if (divisor < 0)
		denominator = -denominator;
	limit = denominator << (bits - 1);
	if ((dividend < 0) != (divisor < 0))
		limit += denominator;
	return numerator < limit;
}

/* @accumulator is the name of RAX in the operand size. */
#define DIVIDE(name, bits, accumulator, fits)                                                      \
BODY name##_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)      \
{                                                                                                  \
	uint##bits##_t low = REG##bits(cpu, GPR_RAX * 8), high = REG##bits(cpu, GPR_RDX * 8);      \
	uint##bits##_t quotient;                                                                   \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	if (unlikely(!(fits)))                                                                     \
		exception(cpu, insn, VECTOR_DE, 0);                                                \
	asm(ASM_LOAD_FLAGS "mov %[low], %%" accumulator "\n\t" #name " %[value]\n\t"               \
	    "mov %%" accumulator ", %[quotient]" ASM_SAVE_FLAGS                                    \
	    : "+&a" (ax), "+&d" (high), [quotient] "=&r" (quotient)                                \
	    : [low] "r" (low), [value] "r" (value) : "cc");                                        \
	SET##bits(cpu, GPR_RAX * 8, quotient);                                                     \
	SET##bits(cpu, GPR_RDX * 8, high);                                                         \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS(name, bits)

#define BYTE_DIVIDE(name, fits)                                                                    \
BODY name##_mem8_body(struct vcpu *cpu, const struct insn *insn, uint8_t value)                    \
{                                                                                                  \
	uint16_t dividend = REG16(cpu, GPR_RAX * 8), result;                                       \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	if (unlikely(!(fits)))                                                                     \
		exception(cpu, insn, VECTOR_DE, 0);                                                \
	asm(ASM_LOAD_FLAGS "mov %[dividend], %%ax\n\t" #name " %[value]\n\t"                       \
	    "mov %%ax, %[result]" ASM_SAVE_FLAGS                                                   \
	    : "+&a" (ax), [result] "=&r" (result)                                                  \
	    : [dividend] "r" (dividend), [value] "r" (value) : "cc");                              \
	SET16(cpu, GPR_RAX * 8, result);                                                           \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS(name, 8)

BYTE_DIVIDE(div, dividend >> 8 < value)
BYTE_DIVIDE(idiv, signed_quotient_fits((int16_t)dividend, (int8_t)value, 8))
DIVIDE(div, 16, "ax", high < value)
DIVIDE(div, 32, "eax", high < value)
DIVIDE(div, 64, "rax", high < value)
DIVIDE(idiv, 16, "ax",
       signed_quotient_fits((int32_t)((uint32_t)high << 16 | low), (int16_t)value, 16))
DIVIDE(idiv, 32, "eax",
       signed_quotient_fits((int64_t)((uint64_t)high << 32 | low), (int32_t)value, 32))
DIVIDE(idiv, 64, "rax",
       signed_quotient_fits((__int128)((unsigned __int128)high << 64 | low), (int64_t)value, 64))

/* ---- MULX: no flags; the low half goes to VEX.vvvv, and is lost if that is ModRM.reg ---- */

#define MULX(bits, wide)                                                                           \
BODY mulx_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)        \
{                                                                                                  \
	wide product = (wide)REG##bits(cpu, GPR_RDX * 8) * value;                                  \
                                                                                                   \
	SET##bits(cpu, insn->vvvv * 8, product);                                                   \
	SET##bits(cpu, insn->reg, product >> (bits));                                              \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS_IF(mulx, bits, REQUIRE(cpu, insn, bmi2))

MULX(32, uint64_t)
MULX(64, unsigned __int128)

/* ---- tables ---- */

#define SIZES_TABLE(name, source, sizes)                                                           \
const struct handlers name = { .reg = sizes(source##_reg), .mem = sizes(source##_mem) };

SIZES_TABLE(mul_rm, mul, BY_SIZE)
SIZES_TABLE(imul_rm, imul, BY_SIZE)
SIZES_TABLE(div_rm, div, BY_SIZE)
SIZES_TABLE(idiv_rm, idiv, BY_SIZE)
SIZES_TABLE(imul_reg_rm, imul_reg_rm, BY_WIDE_SIZE)
SIZES_TABLE(imul_rm_imm, imul_rm_imm, BY_WIDE_SIZE)
SIZES_TABLE(mulx, mulx, BY_DWORD_SIZE)
