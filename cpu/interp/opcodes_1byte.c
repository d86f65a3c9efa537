// SPDX-License-Identifier: GPL-2.0-or-later
/* One-byte opcodes and their groups. */
#include "cpu/interp/opcodes.h"

/* ---- selections that need a look at the operands ---- */

/* XCHG with the accumulator itself is NOP: a 32-bit one does not clear the upper half. */
static insn_fn *select_nop(struct insn *insn)
{
	if (insn->rm == GPR_RAX * 8)
		return insn->flags & INSN_REP ? op_pause : op_nop;
	return xchg_rm_reg.reg[__builtin_ctz(insn->opsize)];
}

/* A destination based on rSP is addressed with the incremented rSP. */
static insn_fn *select_pop(struct insn *insn)
{
	if (!(insn->flags & INSN_MEM))
		return pop_rm.reg[__builtin_ctz(insn->opsize)];
	if (insn->base == GPR_RSP)
		insn->disp += insn->opsize;
	return pop_rm.mem[__builtin_ctz(insn->opsize)];
}

static insn_fn *select_to_seg(struct insn *insn)
{
	unsigned seg = insn->modrm >> 3 & 7;

	insn->reg_number = seg;
	return seg == SEG_CS || seg > SEG_GS ? NULL : op_mov_to_seg;
}

/* In memory it is 16 bits whatever the operand size. */
static insn_fn *select_from_seg(struct insn *insn)
{
	insn->reg_number = insn->modrm >> 3 & 7;
	if (insn->flags & INSN_MEM)
		insn->opsize = 2;
	return insn->reg_number > SEG_GS ? NULL : op_mov_from_seg;
}

/* ---- groups ---- */

#define ALU_BYTE_ROW(n)                                                                            \
	{ .handlers = &alu_rm_imm[n], .operand = OPERAND_MODRM, .size = SIZE_B,                    \
	  .immediate = IMM_S8 }
#define ALU_IMM_ROW(n) { .handlers = &alu_rm_imm[n], .operand = OPERAND_MODRM, .immediate = IMM_Z }
#define ALU_SHORT_ROW(n)                                                                           \
	{ .handlers = &alu_rm_imm[n], .operand = OPERAND_MODRM, .immediate = IMM_S8 }

static const struct opcode group1_80[8] = { EIGHT_ROWS(ALU_BYTE_ROW) };
static const struct opcode group1_81[8] = { EIGHT_ROWS(ALU_IMM_ROW) };
static const struct opcode group1_83[8] = { EIGHT_ROWS(ALU_SHORT_ROW) };

#define SHIFT_BYTE_IMM_ROW(n)                                                                      \
	{ .handlers = &shift_rm_imm[n], .operand = OPERAND_MODRM, .size = SIZE_B,                  \
	  .immediate = IMM_U8 }
#define SHIFT_IMM_ROW(n)                                                                           \
	{ .handlers = &shift_rm_imm[n], .operand = OPERAND_MODRM, .immediate = IMM_U8 }
#define SHIFT_BYTE_ONE_ROW(n)                                                                      \
	{ .handlers = &shift_rm_imm[n], .operand = OPERAND_MODRM, .size = SIZE_B, .constant = 1 }
#define SHIFT_ONE_ROW(n) { .handlers = &shift_rm_imm[n], .operand = OPERAND_MODRM, .constant = 1 }
#define SHIFT_BYTE_CL_ROW(n)                                                                       \
	{ .handlers = &shift_rm_cl[n], .operand = OPERAND_MODRM, .size = SIZE_B }
#define SHIFT_CL_ROW(n) { .handlers = &shift_rm_cl[n], .operand = OPERAND_MODRM }

static const struct opcode group2_c0[8] = { EIGHT_ROWS(SHIFT_BYTE_IMM_ROW) };
static const struct opcode group2_c1[8] = { EIGHT_ROWS(SHIFT_IMM_ROW) };
static const struct opcode group2_d0[8] = { EIGHT_ROWS(SHIFT_BYTE_ONE_ROW) };
static const struct opcode group2_d1[8] = { EIGHT_ROWS(SHIFT_ONE_ROW) };
static const struct opcode group2_d2[8] = { EIGHT_ROWS(SHIFT_BYTE_CL_ROW) };
static const struct opcode group2_d3[8] = { EIGHT_ROWS(SHIFT_CL_ROW) };

#define BYTE_RM(table) { .handlers = &table, .operand = OPERAND_MODRM, .size = SIZE_B }
#define RM(table) { .handlers = &table, .operand = OPERAND_MODRM }

static const struct opcode group3_f6[8] = {
	{ .handlers = &test_rm_imm, .operand = OPERAND_MODRM, .size = SIZE_B, .immediate = IMM_S8 },
	{ .handlers = &test_rm_imm, .operand = OPERAND_MODRM, .size = SIZE_B, .immediate = IMM_S8 },
	BYTE_RM(not_rm), BYTE_RM(neg_rm), BYTE_RM(mul_rm), BYTE_RM(imul_rm), BYTE_RM(div_rm),
	BYTE_RM(idiv_rm),
};
static const struct opcode group3_f7[8] = {
	{ .handlers = &test_rm_imm, .operand = OPERAND_MODRM, .immediate = IMM_Z },
	{ .handlers = &test_rm_imm, .operand = OPERAND_MODRM, .immediate = IMM_Z },
	RM(not_rm), RM(neg_rm), RM(mul_rm), RM(imul_rm), RM(div_rm), RM(idiv_rm),
};

static const struct opcode group4_fe[8] = { BYTE_RM(inc_rm), BYTE_RM(dec_rm) };

static const struct opcode group5_ff[8] = {
	RM(inc_rm), RM(dec_rm),
	{ .handlers = &call_rm, .operand = OPERAND_MODRM, .size = SIZE_NEAR,
	  .flags = ROW_END | ROW_STACK },
	{ .fn = op_call_far_mem, .operand = OPERAND_MODRM_MEM, .flags = ROW_END | ROW_STACK },
	{ .handlers = &jmp_rm, .operand = OPERAND_MODRM, .size = SIZE_NEAR, .flags = ROW_END },
	{ .fn = op_jmp_far_mem, .operand = OPERAND_MODRM_MEM, .flags = ROW_END },
	{ .handlers = &push_rm, .operand = OPERAND_MODRM, .size = SIZE_STACK, .flags = ROW_STACK },
};

/* POP; the other seven are AMD's XOP prefix. */
static const struct opcode group1a_8f[8] = {
	{ .select = select_pop, .operand = OPERAND_MODRM, .size = SIZE_STACK, .flags = ROW_STACK },
};

static const struct opcode group11_c6[8] = {
	{ .handlers = &mov_rm_imm, .operand = OPERAND_MODRM, .size = SIZE_B, .immediate = IMM_S8 },
};
static const struct opcode group11_c7[8] = {
	{ .handlers = &mov_rm_imm, .operand = OPERAND_MODRM, .immediate = IMM_Z },
};

static const struct opcode by_mode_63[2] = {
	{ .fn = op_arpl, .operand = OPERAND_MODRM, .size = SIZE_W,
	  .flags = ROW_END | ROW_PROTECTED },
	{ .handlers = &movsxd, .operand = OPERAND_MODRM },
};

/* ---- the map ---- */

#define ALU_ROWS(code, n)                                                                          \
	[(code) + 0] = { .handlers = &alu_rm_reg[n], .operand = OPERAND_MODRM, .size = SIZE_B },   \
	[(code) + 1] = { .handlers = &alu_rm_reg[n], .operand = OPERAND_MODRM },                   \
	[(code) + 2] = { .handlers = &alu_reg_rm[n], .operand = OPERAND_MODRM, .size = SIZE_B },   \
	[(code) + 3] = { .handlers = &alu_reg_rm[n], .operand = OPERAND_MODRM },                   \
	[(code) + 4] = { .handlers = &alu_rm_imm[n], .size = SIZE_B, .immediate = IMM_S8 },        \
	[(code) + 5] = { .handlers = &alu_rm_imm[n], .immediate = IMM_Z }

#define PUSH_SEG(seg)                                                                              \
	{ .fn = op_push_seg, .constant = seg, .size = SIZE_STACK, .flags = ROW_NO64 | ROW_STACK }
#define POP_SEG(seg)                                                                               \
	{ .fn = op_pop_seg, .constant = seg, .size = SIZE_STACK,                                   \
	  .flags = ROW_NO64 | ROW_STACK | ROW_END }
#define NO64(function) { .fn = function, .flags = ROW_NO64 }
#define JCC_ROW(n)                                                                                 \
	{ .handlers = &jcc[n], .size = SIZE_NEAR, .immediate = IMM_REL8, .flags = ROW_END }
#define LOOP_ROW(n)                                                                                \
	{ .handlers = &loop_near[n], .size = SIZE_NEAR, .immediate = IMM_REL8, .flags = ROW_END }
#define STRING(table, bytes)                                                                       \
	{ .handlers = &table, .repeated = &rep_##table, .operand = OPERAND_STRING, .size = bytes }
#define IN_OUT(function, bytes) { .fn = function, .size = bytes, .flags = ROW_END }
#define IN_OUT_IMM(function, bytes)                                                                \
	{ .fn = function, .size = bytes, .immediate = IMM_U8, .flags = ROW_END }
#define IN_OUT_STRING(function, bytes)                                                             \
	{ .fn = function, .operand = OPERAND_STRING, .size = bytes, .flags = ROW_END }
#define END(function) { .fn = function, .flags = ROW_END }
#define X87 { .select = simd_select, .operand = OPERAND_MODRM, .flags = ROW_VECTOR }
#define GROUP(table) { .choice = CHOOSE_REG, .rows = table }

const struct opcode opcodes_1byte[256] = {
	ALU_ROWS(0x00, 0),
	[0x06] = PUSH_SEG(SEG_ES), POP_SEG(SEG_ES),
	ALU_ROWS(0x08, 1),
	[0x0e] = PUSH_SEG(SEG_CS),
	ALU_ROWS(0x10, 2),
	[0x16] = PUSH_SEG(SEG_SS), POP_SEG(SEG_SS),
	ALU_ROWS(0x18, 3),
	[0x1e] = PUSH_SEG(SEG_DS), POP_SEG(SEG_DS),
	ALU_ROWS(0x20, 4),
	[0x27] = NO64(op_daa),
	ALU_ROWS(0x28, 5),
	[0x2f] = NO64(op_das),
	ALU_ROWS(0x30, 6),
	[0x37] = NO64(op_aaa),
	ALU_ROWS(0x38, 7),
	[0x3f] = NO64(op_aas),
	/* In 64-bit code these are REX prefixes. */
	[0x40 ... 0x47] = { .handlers = &inc_rm, .operand = OPERAND_OPCODE },
	[0x48 ... 0x4f] = { .handlers = &dec_rm, .operand = OPERAND_OPCODE },
	[0x50 ... 0x57] = { .handlers = &push_reg, .operand = OPERAND_OPCODE, .size = SIZE_STACK,
			    .flags = ROW_STACK },
	[0x58 ... 0x5f] = { .handlers = &pop_reg, .operand = OPERAND_OPCODE, .size = SIZE_STACK,
			    .flags = ROW_STACK },
	[0x60] = { .handlers = &pusha, .flags = ROW_NO64 | ROW_STACK },
	[0x61] = { .handlers = &popa, .flags = ROW_NO64 | ROW_STACK },
	[0x62] = { .handlers = &bound, .operand = OPERAND_MODRM_MEM, .flags = ROW_NO64 },
	[0x63] = { .choice = CHOOSE_MODE, .rows = by_mode_63 },
	[0x68] = { .handlers = &push_imm, .size = SIZE_STACK, .immediate = IMM_Z,
		   .flags = ROW_STACK },
	[0x69] = { .handlers = &imul_rm_imm, .operand = OPERAND_MODRM, .immediate = IMM_Z },
	[0x6a] = { .handlers = &push_imm, .size = SIZE_STACK, .immediate = IMM_S8,
		   .flags = ROW_STACK },
	[0x6b] = { .handlers = &imul_rm_imm, .operand = OPERAND_MODRM, .immediate = IMM_S8 },
	[0x6c] = IN_OUT_STRING(op_ins, SIZE_B), IN_OUT_STRING(op_ins, SIZE_Z),
	[0x6e] = IN_OUT_STRING(op_outs, SIZE_B), IN_OUT_STRING(op_outs, SIZE_Z),
	[0x70] = JCC_ROW(0), JCC_ROW(1), JCC_ROW(2), JCC_ROW(3),
	[0x74] = JCC_ROW(4), JCC_ROW(5), JCC_ROW(6), JCC_ROW(7),
	[0x78] = JCC_ROW(8), JCC_ROW(9), JCC_ROW(10), JCC_ROW(11),
	[0x7c] = JCC_ROW(12), JCC_ROW(13), JCC_ROW(14), JCC_ROW(15),
	[0x80] = GROUP(group1_80),
	[0x81] = GROUP(group1_81),
	[0x82] = { .choice = CHOOSE_REG, .rows = group1_80, .flags = ROW_NO64 },
	[0x83] = GROUP(group1_83),
	[0x84] = BYTE_RM(test_rm_reg), RM(test_rm_reg),
	[0x86] = BYTE_RM(xchg_rm_reg), RM(xchg_rm_reg),
	[0x88] = BYTE_RM(mov_rm_reg), RM(mov_rm_reg),
	[0x8a] = BYTE_RM(mov_reg_rm), RM(mov_reg_rm),
	[0x8c] = { .select = select_from_seg, .operand = OPERAND_MODRM },
	[0x8d] = { .handlers = &lea, .operand = OPERAND_MODRM_MEM },
	[0x8e] = { .select = select_to_seg, .operand = OPERAND_MODRM, .size = SIZE_W,
		   .flags = ROW_END },
	[0x8f] = GROUP(group1a_8f),
	[0x90] = { .select = select_nop, .operand = OPERAND_OPCODE },
	[0x91 ... 0x97] = { .handlers = &xchg_rm_reg, .operand = OPERAND_OPCODE },
	[0x98] = { .handlers = &convert_widen },
	[0x99] = { .handlers = &convert_spread },
	[0x9a] = { .fn = op_call_far_imm, .size = SIZE_Z, .immediate = IMM_FAR,
		   .flags = ROW_NO64 | ROW_END | ROW_STACK },
	[0x9b] = { .select = simd_select, .flags = ROW_VECTOR },
	[0x9c] = { .fn = op_pushf, .size = SIZE_STACK, .flags = ROW_STACK },
	[0x9d] = { .fn = op_popf, .size = SIZE_STACK, .flags = ROW_STACK | ROW_END },
	[0x9e] = { .fn = op_sahf }, { .fn = op_lahf },
	[0xa0] = { .handlers = &mov_reg_rm, .operand = OPERAND_MOFFS, .size = SIZE_B },
	[0xa1] = { .handlers = &mov_reg_rm, .operand = OPERAND_MOFFS },
	[0xa2] = { .handlers = &mov_rm_reg, .operand = OPERAND_MOFFS, .size = SIZE_B },
	[0xa3] = { .handlers = &mov_rm_reg, .operand = OPERAND_MOFFS },
	[0xa4] = STRING(movs, SIZE_B), STRING(movs, SIZE_V),
	[0xa6] = STRING(cmps, SIZE_B), STRING(cmps, SIZE_V),
	[0xa8] = { .handlers = &test_rm_imm, .size = SIZE_B, .immediate = IMM_S8 },
	[0xa9] = { .handlers = &test_rm_imm, .immediate = IMM_Z },
	[0xaa] = STRING(stos, SIZE_B), STRING(stos, SIZE_V),
	[0xac] = STRING(lods, SIZE_B), STRING(lods, SIZE_V),
	[0xae] = STRING(scas, SIZE_B), STRING(scas, SIZE_V),
	[0xb0 ... 0xb7] = { .handlers = &mov_rm_imm, .operand = OPERAND_OPCODE, .size = SIZE_B,
			    .immediate = IMM_S8 },
	[0xb8 ... 0xbf] = { .handlers = &mov_rm_imm, .operand = OPERAND_OPCODE,
			    .immediate = IMM_V },
	[0xc0] = GROUP(group2_c0),
	[0xc1] = GROUP(group2_c1),
	[0xc2] = { .handlers = &ret_near, .size = SIZE_NEAR, .immediate = IMM_16,
		   .flags = ROW_END | ROW_STACK },
	[0xc3] = { .handlers = &ret_near, .size = SIZE_NEAR, .flags = ROW_END | ROW_STACK },
	[0xc4] = { .fn = op_load_far, .operand = OPERAND_MODRM_MEM, .constant = SEG_ES,
		   .flags = ROW_NO64 | ROW_END },
	[0xc5] = { .fn = op_load_far, .operand = OPERAND_MODRM_MEM, .constant = SEG_DS,
		   .flags = ROW_NO64 | ROW_END },
	[0xc6] = GROUP(group11_c6),
	[0xc7] = GROUP(group11_c7),
	[0xc8] = { .handlers = &enter, .size = SIZE_STACK, .immediate = IMM_ENTER,
		   .flags = ROW_STACK },
	[0xc9] = { .handlers = &leave, .size = SIZE_STACK, .flags = ROW_STACK },
	[0xca] = { .fn = op_ret_far, .immediate = IMM_16, .flags = ROW_END | ROW_STACK },
	[0xcb] = { .fn = op_ret_far, .flags = ROW_END | ROW_STACK },
	[0xcc] = END(op_int3),
	[0xcd] = { .fn = op_int, .immediate = IMM_U8, .flags = ROW_END },
	[0xce] = { .fn = op_into, .flags = ROW_NO64 | ROW_END },
	[0xcf] = { .fn = op_iret, .flags = ROW_END | ROW_STACK },
	[0xd0] = GROUP(group2_d0),
	[0xd1] = GROUP(group2_d1),
	[0xd2] = GROUP(group2_d2),
	[0xd3] = GROUP(group2_d3),
	[0xd4] = { .fn = op_aam, .immediate = IMM_U8, .flags = ROW_NO64 },
	[0xd5] = { .fn = op_aad, .immediate = IMM_U8, .flags = ROW_NO64 },
	[0xd6] = NO64(op_salc),
	[0xd7] = { .fn = op_xlat, .operand = OPERAND_STRING, .size = SIZE_B },
	[0xd8 ... 0xdf] = X87,
	[0xe0] = LOOP_ROW(0), LOOP_ROW(1), LOOP_ROW(2), LOOP_ROW(3),
	[0xe4] = IN_OUT_IMM(op_in_imm, SIZE_B), IN_OUT_IMM(op_in_imm, SIZE_Z),
	[0xe6] = IN_OUT_IMM(op_out_imm, SIZE_B), IN_OUT_IMM(op_out_imm, SIZE_Z),
	[0xe8] = { .handlers = &call_rel, .size = SIZE_NEAR, .immediate = IMM_RELZ,
		   .flags = ROW_END | ROW_STACK },
	[0xe9] = { .handlers = &jmp_rel, .size = SIZE_NEAR, .immediate = IMM_RELZ,
		   .flags = ROW_END },
	[0xea] = { .fn = op_jmp_far_imm, .size = SIZE_Z, .immediate = IMM_FAR,
		   .flags = ROW_NO64 | ROW_END },
	[0xeb] = { .handlers = &jmp_rel, .size = SIZE_NEAR, .immediate = IMM_REL8,
		   .flags = ROW_END },
	[0xec] = IN_OUT(op_in_dx, SIZE_B), IN_OUT(op_in_dx, SIZE_Z),
	[0xee] = IN_OUT(op_out_dx, SIZE_B), IN_OUT(op_out_dx, SIZE_Z),
	[0xf1] = END(op_int1),
	[0xf4] = END(op_hlt),
	[0xf5] = { .fn = op_cmc },
	[0xf6] = GROUP(group3_f6),
	[0xf7] = GROUP(group3_f7),
	[0xf8] = { .fn = op_clc }, { .fn = op_stc },
	[0xfa] = END(op_cli), END(op_sti),
	[0xfc] = { .fn = op_cld }, { .fn = op_std },
	[0xfe] = GROUP(group4_fe),
	[0xff] = GROUP(group5_ff),
};
