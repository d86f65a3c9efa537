// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Decimal adjustment. 64-bit code does not have these instructions, so the host cannot execute
 * them: this is the SDM's description of each. Undefined flags are as Intel's processors leave
 * them.
 */
#include "cpu/interp/ops_template.h"

static uint16_t byte_flags(uint8_t result)
{
	uint32_t ax;

	asm("test %[result], %[result]" ASM_SAVE_FLAGS : "=&a" (ax) : [result] "r" (result) : "cc");
	return (uint16_t)(ax & (ARITH_SF | ARITH_ZF | ARITH_PF));
}

/* Flags of @result, with AF and CF as given; OF is cleared. */
static void set_flags(struct vcpu *cpu, uint8_t result, bool adjust, bool carry)
{
	cpu->state.arith = byte_flags(result) | (adjust ? ARITH_AF : 0) | (carry ? ARITH_CF : 0);
}

/* DAA and DAS: @sign 1 or -1. */
static void decimal_adjust(struct vcpu *cpu, int sign)
{
	const uint8_t old = REG8(cpu, GPR_RAX * 8);
	const bool old_carry = cpu->state.arith & ARITH_CF;
	bool adjust = (old & 0xf) > 9 || (cpu->state.arith & ARITH_AF), carry = false;
	uint8_t al = old;

	if (adjust) {
		carry = old_carry || (sign > 0 ? al > 0xf9 : al < 6);
		al += sign * 6;
	}
	if (old > 0x99 || old_carry) {
		al += sign * 0x60;
		carry = true;
	} else if (sign > 0) {
		carry = false;
	}
	SET8(cpu, GPR_RAX * 8, al);
	set_flags(cpu, al, adjust, carry);
}

void op_daa(struct vcpu *cpu, const struct insn *insn)
{
	decimal_adjust(cpu, 1);
	NEXT(cpu, insn);
}

void op_das(struct vcpu *cpu, const struct insn *insn)
{
	decimal_adjust(cpu, -1);
	NEXT(cpu, insn);
}

/* AAA and AAS: @add is 0x106 or its negative. */
static void ascii_adjust(struct vcpu *cpu, int add)
{
	uint16_t ax = REG16(cpu, GPR_RAX * 8);
	const bool adjust = (ax & 0xf) > 9 || (cpu->state.arith & ARITH_AF);

	if (adjust)
		ax += add;
	SET16(cpu, GPR_RAX * 8, ax & 0xff0f);
	set_flags(cpu, ax & 0x0f, adjust, adjust);
}

void op_aaa(struct vcpu *cpu, const struct insn *insn)
{
	ascii_adjust(cpu, 0x106);
	NEXT(cpu, insn);
}

void op_aas(struct vcpu *cpu, const struct insn *insn)
{
	ascii_adjust(cpu, -0x106);
	NEXT(cpu, insn);
}

void op_aam(struct vcpu *cpu, const struct insn *insn)
{
	const uint8_t al = REG8(cpu, GPR_RAX * 8), base = (uint8_t)insn->imm;

	if (!base)
		exception(cpu, insn, VECTOR_DE, 0);
	SET16(cpu, GPR_RAX * 8, (al / base) << 8 | al % base);
	set_flags(cpu, al % base, false, false);
	NEXT(cpu, insn);
}

/* AAD is an 8-bit addition in all flags. */
void op_aad(struct vcpu *cpu, const struct insn *insn)
{
	const uint16_t ax = REG16(cpu, GPR_RAX * 8);
	const uint8_t tens = (uint8_t)((ax >> 8) * insn->imm);
	uint8_t al = (uint8_t)ax;
	uint32_t flags;

	asm("add %[tens], %[al]" ASM_SAVE_FLAGS
	    : [al] "+r" (al), "=&a" (flags) : [tens] "r" (tens) : "cc");
	SET16(cpu, GPR_RAX * 8, al);
	cpu->state.arith = (uint16_t)flags;
	NEXT(cpu, insn);
}
