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

enum { RCX = 1, RDX = 2, RSI = 6, RDI = 7 };

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

/* @address: the register that points to the operand in memory. */
static void emit_instruction(struct emit *e, const struct insn *insn, const struct avx_row *row,
			     unsigned address)
{
	bool memory = insn->flags & INSN_MEM;
	bool reg_general = row->form == AVX_G_RM;
	bool rm_general = !memory && (row->form == AVX_R_GM || row->form == AVX_R_V_GM ||
				      row->form == AVX_GM_R);
	unsigned reg = reg_general ? 0 : 2, rm = memory ? address : rm_general ? 0 : 1;
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
	/* [rdi] is the call's first field, the memory operand. */
	emit_instruction(e, insn, row, RDI);
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

static uint64_t key_of(const struct insn *insn, const struct avx_row *row)
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
	return key;
}

avx_thunk *avx_thunk_get(const struct insn *insn, const struct avx_row *row)
{
	return (avx_thunk *)thunk_get(key_of(insn, row), emit_avx, insn, row);
}

/* ---- on registers where they are ---- */

/* RDI: lower halves; RSI: upper ones; RDX: general registers; RCX: the operand in memory. */

static bool is_wide(const struct insn *insn, const struct avx_row *row)
{
	return insn->vector && !(row->flags & AVX_SCALAR);
}

/* Vector @n of the guest's to YMM@ymm. Two halves, as they were written. */
static void emit_load(struct emit *e, unsigned ymm, unsigned n, bool wide)
{
	EMIT(e, "\xc5\xfa\x6f"); /* vmovdqu xmm, [rdi + n * stride] */
	emit_modrm(e, ymm, RDI, n * AVX_DIRECT_STRIDE);
	if (!wide)
		return;
	EMIT(e, "\xc4\xe3"); /* vinsertf128 ymm, ymm, [rsi + n * 16], 1 */
	emit_byte(e, (~ymm & 0xf) << 3 | 5);
	emit_byte(e, 0x18);
	emit_modrm(e, ymm, RSI, n * 16);
	emit_byte(e, 1);
}

static void emit_store(struct emit *e, unsigned ymm, unsigned n, bool wide)
{
	EMIT(e, "\xc5\xfa\x7f"); /* vmovdqu [rdi + n * stride], xmm */
	emit_modrm(e, ymm, RDI, n * AVX_DIRECT_STRIDE);
	if (wide) {
		EMIT(e, "\xc4\xe3\x7d\x19"); /* vextractf128 [rsi + n * 16], ymm, 1 */
		emit_modrm(e, ymm, RSI, n * 16);
		emit_byte(e, 1);
		return;
	}
	EMIT(e, "\xc5\xd0\x57\xed"); /* vxorps xmm5, xmm5, xmm5 */
	EMIT(e, "\xc5\xfa\x7f");
	emit_modrm(e, 5, RSI, n * 16);
}

static void emit_direct(struct emit *e, const struct insn *insn, const void *data)
{
	const struct avx_row *row = data;
	const unsigned reg = insn->reg_number & 15, rm = insn->rm_number & 15;
	const bool memory = insn->flags & INSN_MEM, wide = is_wide(insn, row);
	const bool from_general = row->form == AVX_R_GM || row->form == AVX_R_V_GM;
	const bool stores = row->form == AVX_MR || row->form == AVX_MOVE_MR || row->form == AVX_GM_R;

	if (stores)
		emit_load(e, 2, reg, wide);
	else if (!memory && !from_general)
		emit_load(e, 1, rm, wide);
	if (third_register(insn, row))
		emit_load(e, 3, insn->vvvv & 15, wide);
	if (row->form == AVX_RVMR)
		emit_load(e, 4, avx_fourth(insn), wide);
	if (!memory && from_general) {
		EMIT(e, "\x4c\x8b"); /* mov r8, [rdx + rm * 8] */
		emit_modrm(e, 0, RDX, rm * 8);
	}
	emit_instruction(e, insn, row, RCX);
	if (row->form == AVX_G_RM || (row->form == AVX_GM_R && !memory)) {
		EMIT(e, "\x4c\x89"); /* mov [rdx + n * 8], r8 */
		emit_modrm(e, 0, RDX, (row->form == AVX_G_RM ? reg : rm) * 8);
	} else if (row->form == AVX_VM) {
		emit_store(e, 3, insn->vvvv & 15, wide);
	} else if (!stores) {
		emit_store(e, 2, reg, wide);
	} else if (!memory) {
		emit_store(e, 1, rm, wide);
	}
	EMIT(e, "\xc5\xf8\x77\xc3"); /* vzeroupper; ret */
}

avx_direct *avx_direct_get(const struct insn *insn, const struct avx_row *row)
{
	uint64_t key = key_of(insn, row) | THUNK_KEY_DIRECT;

	if (row->form == AVX_RVMR)
		key |= (uint64_t)avx_fourth(insn) << 40;
	key |= (uint64_t)(insn->reg_number & 15) << 46 | (uint64_t)(insn->vvvv & 15) << 50 |
	       (uint64_t)(insn->rm_number & 15) << 54;
	return (avx_direct *)thunk_get(key, emit_direct, insn, row);
}
