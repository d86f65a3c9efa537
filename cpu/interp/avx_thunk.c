/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thunks of VEX-encoded instructions.
 *
 * Registers in a thunk: RDI the call; YMM2 stands for ModRM.reg, YMM1 for ModRM.rm, YMM3 for
 * VEX.vvvv, YMM4 for the immediate's register, R8 for a general register.
 */
#include "cpu/interp/avx.h"
#include "cpu/interp/thunk.h"

#define AT_RDI(e, literal, reg, field)                                                             \
	EMIT_AT_RDI((e), literal, (reg), offsetof(struct avx_call, field))
#define LOAD_YMM "\xc5\xfc\x10" /* vmovups */
#define STORE_YMM "\xc5\xfc\x11"

#define VVVV_NONE 0
#define VVVV_YMM3 3

static unsigned third_register(const struct insn *insn, const struct avx_row *row)
{
	bool memory = insn->flags & INSN_MEM;

	switch ((enum avx_form)row->form) {
	case AVX_RVM:
	case AVX_RVMR:
	case AVX_VM:
	case AVX_R_V_GM:
		return VVVV_YMM3;
	case AVX_MOVE:
	case AVX_MOVE_MR:
		return memory ? VVVV_NONE : VVVV_YMM3;
	default:
		return VVVV_NONE;
	}
}

static void emit_instruction(struct emit *e, const struct insn *insn, const struct avx_row *row)
{
	bool memory = insn->flags & INSN_MEM;
	bool reg_general = row->form == AVX_G_RM;
	bool rm_general = !memory && (row->form == AVX_R_GM || row->form == AVX_R_V_GM ||
				      row->form == AVX_GM_R);
	unsigned reg = reg_general ? 0 : 2, rm = memory ? 7 : rm_general ? 0 : 1;
	unsigned length = row->flags & AVX_SCALAR ? 0 : insn->vector;
	unsigned prefix = insn->prefix == 0x66 ? 1 :
			  insn->prefix == 0xf3 ? 2 :
			  insn->prefix == 0xf2 ? 3 :
						 0;

	if (row->form == AVX_VM)
		reg = insn->modrm >> 3 & 7;
	emit_byte(e, 0xc4);
	/* R, X, B are inverted; R8 needs one. */
	emit_byte(e, (reg_general ? 0 : 0x80) | 0x40 | (rm_general ? 0 : 0x20) | insn->map);
	emit_byte(e, (avx_w(insn, row) ? 0x80 : 0) | (~third_register(insn, row) & 0xf) << 3 |
			     length << 2 | prefix);
	emit_byte(e, insn->opcode);
	/* [rdi] is the call's first field, the memory operand. */
	emit_byte(e, (memory ? 0 : 0xc0) | reg << 3 | rm);
	if (row->form == AVX_RVMR)
		emit_byte(e, 0x40 | (insn->imm & 0xf));
	else if (row->flags & AVX_IMM)
		emit_byte(e, insn->imm);
}

static void emit_avx(struct emit *e, const struct insn *insn, const void *data)
{
	const struct avx_row *row = data;

	AT_RDI(e, LOAD_YMM, 2, reg);
	AT_RDI(e, LOAD_YMM, 1, rm);
	if (third_register(insn, row))
		AT_RDI(e, LOAD_YMM, 3, third);
	if (row->form == AVX_RVMR)
		AT_RDI(e, LOAD_YMM, 4, fourth);
	AT_RDI(e, "\x4c\x8b", 0, gpr); /* mov r8, [rdi + gpr] */
	if (row->flags & AVX_STRING) {
		AT_RDI(e, "\x48\x8b", 0, rax);
		AT_RDI(e, "\x48\x8b", 2, rdx);
		AT_RDI(e, "\x48\x8b", 1, rcx);
	}
	emit_instruction(e, insn, row);
	if (row->flags & AVX_COMPARE) {
		EMIT(e, "\x9f\x0f\x90\xc0");     /* lahf; seto al */
		AT_RDI(e, "\x66\x89", 0, arith); /* mov [rdi + arith], ax */
	}
	if (row->flags & AVX_STRING) {
		AT_RDI(e, "\x48\x89", 1, rcx);
		AT_RDI(e, STORE_YMM, 0, xmm0);
	}
	AT_RDI(e, "\x4c\x89", 0, gpr);
	AT_RDI(e, STORE_YMM, 2, reg);
	AT_RDI(e, STORE_YMM, 1, rm);
	if (row->form == AVX_VM)
		AT_RDI(e, STORE_YMM, 3, third);
	EMIT(e, "\xc5\xf8\x77\xc3"); /* vzeroupper; ret */
}

avx_thunk *avx_thunk_get(const struct insn *insn, const struct avx_row *row)
{
	uint64_t key = insn->opcode | insn->map << 8 | (uint64_t)insn->prefix << 16 | THUNK_KEY_VEX;

	key |= (uint64_t) !!(insn->flags & INSN_MEM) << 24;
	key |= (uint64_t)avx_w(insn, row) << 25;
	key |= (uint64_t)insn->vector << 26;
	if (row->form == AVX_RVMR)
		key |= (insn->imm & 0xf) << 32;
	else if (row->flags & AVX_IMM)
		key |= (insn->imm & 0xff) << 32;
	if (row->form == AVX_VM)
		key |= (uint64_t)(insn->modrm & 0x38) << 40;
	return (avx_thunk *)thunk_get(key, emit_avx, insn, row);
}
