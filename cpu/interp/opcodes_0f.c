// SPDX-License-Identifier: GPL-2.0-or-later
/* Two-byte opcodes (0F) and their groups. */
#include "cpu/interp/opcodes.h"

/* ---- selections that need a look at the operands ---- */

static bool control_register_exists(const struct insn *insn)
{
	return 1u << insn->reg_number & (1u << 0 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 8);
}

static insn_fn *select_to_cr(struct insn *insn)
{
	return control_register_exists(insn) ? op_mov_to_cr : NULL;
}

static insn_fn *select_from_cr(struct insn *insn)
{
	return control_register_exists(insn) ? op_mov_from_cr : NULL;
}

static insn_fn *select_to_dr(struct insn *insn)
{
	return insn->reg_number < 8 ? op_mov_to_dr : NULL;
}

static insn_fn *select_from_dr(struct insn *insn)
{
	return insn->reg_number < 8 ? op_mov_from_dr : NULL;
}

/* ---- groups ---- */

#define END(function) { .fn = function, .flags = ROW_END }
#define MEM_END(function, bytes)                                                                   \
	{ .fn = function, .operand = OPERAND_MODRM_MEM, .size = bytes, .flags = ROW_END }
#define REG_END(function, bytes)                                                                   \
	{ .fn = function, .operand = OPERAND_MODRM_REG, .size = bytes, .flags = ROW_END }
#define PROTECTED(function, bytes)                                                                 \
	{ .fn = function, .operand = OPERAND_MODRM, .size = bytes,                                 \
	  .flags = ROW_END | ROW_PROTECTED }
#define MEM(function, bytes) { .fn = function, .operand = OPERAND_MODRM_MEM, .size = bytes }
#define REG(function, bytes) { .fn = function, .operand = OPERAND_MODRM_REG, .size = bytes }

/* SLDT and STR store 16 bits to memory whatever the operand size. */
static const struct opcode group6_mem[8] = {
	PROTECTED(op_sldt, SIZE_W), PROTECTED(op_str, SIZE_W), PROTECTED(op_lldt, SIZE_W),
	PROTECTED(op_ltr, SIZE_W), PROTECTED(op_verr, SIZE_W), PROTECTED(op_verw, SIZE_W),
};
static const struct opcode group6_reg[8] = {
	PROTECTED(op_sldt, SIZE_V), PROTECTED(op_str, SIZE_V), PROTECTED(op_lldt, SIZE_W),
	PROTECTED(op_ltr, SIZE_W), PROTECTED(op_verr, SIZE_W), PROTECTED(op_verw, SIZE_W),
};
static const struct opcode group6[2] = {
	{ .choice = CHOOSE_REG, .rows = group6_mem }, { .choice = CHOOSE_REG, .rows = group6_reg },
};

static const struct opcode group7_mem[8] = {
	MEM_END(op_sgdt, SIZE_NEAR), MEM_END(op_sidt, SIZE_NEAR), MEM_END(op_lgdt, SIZE_NEAR),
	MEM_END(op_lidt, SIZE_NEAR), MEM_END(op_smsw, SIZE_W), { 0 }, MEM_END(op_lmsw, SIZE_W),
	MEM_END(op_invlpg, SIZE_B),
};
static const struct opcode group7_c0[8] = { [1] = REG_END(op_vmcall, SIZE_V) };
static const struct opcode group7_c8[8] = {
	REG_END(op_monitor, SIZE_V), REG_END(op_mwait, SIZE_V), REG_END(op_clac, SIZE_V),
	REG_END(op_stac, SIZE_V),
};
static const struct opcode group7_d0[8] = {
	REG_END(op_xgetbv, SIZE_V), REG_END(op_xsetbv, SIZE_V),
};
static const struct opcode group7_d8[8] = { [1] = REG_END(op_vmcall, SIZE_V) };
static const struct opcode group7_e8[8] = {
	[6] = REG_END(op_rdpkru, SIZE_V), REG_END(op_wrpkru, SIZE_V),
};
static const struct opcode group7_f8[8] = {
	{ .fn = op_swapgs, .operand = OPERAND_MODRM_REG, .flags = ROW_END | ROW_ONLY64 },
	REG_END(op_rdtscp, SIZE_V),
};
static const struct opcode group7_reg[8] = {
	{ .choice = CHOOSE_RM, .rows = group7_c0 }, { .choice = CHOOSE_RM, .rows = group7_c8 },
	{ .choice = CHOOSE_RM, .rows = group7_d0 }, { .choice = CHOOSE_RM, .rows = group7_d8 },
	REG_END(op_smsw, SIZE_V), { .choice = CHOOSE_RM, .rows = group7_e8 },
	REG_END(op_lmsw, SIZE_W), { .choice = CHOOSE_RM, .rows = group7_f8 },
};
static const struct opcode group7[2] = {
	{ .choice = CHOOSE_REG, .rows = group7_mem }, { .choice = CHOOSE_REG, .rows = group7_reg },
};

#define BT_IMM_ROW(n)                                                                              \
	{ .handlers = &bt_rm_imm[n], .operand = OPERAND_MODRM, .immediate = IMM_U8 }

static const struct opcode group8[8] = {
	[4] = BT_IMM_ROW(0), BT_IMM_ROW(1), BT_IMM_ROW(2), BT_IMM_ROW(3),
};

static const struct opcode group9_mem[8] = {
	[1] = { .handlers = &cmpxchg_pair, .operand = OPERAND_MODRM_MEM, .size = SIZE_Y },
	[3] = MEM(op_xrstors, SIZE_Y), MEM(op_xsavec, SIZE_Y), MEM(op_xsaves, SIZE_Y),
};
static const struct opcode group9_random[8] = {
	[6] = { .handlers = &rdrand, .operand = OPERAND_MODRM_REG },
	[7] = { .handlers = &rdseed, .operand = OPERAND_MODRM_REG },
};
static const struct opcode group9_f3[8] = { [7] = REG_END(op_rdpid, SIZE_NATURAL) };
static const struct opcode group9_reg[4] = {
	{ .choice = CHOOSE_REG, .rows = group9_random },
	{ .choice = CHOOSE_REG, .rows = group9_random },
	{ .choice = CHOOSE_REG, .rows = group9_f3 },
};
static const struct opcode group9[2] = {
	{ .choice = CHOOSE_REG, .rows = group9_mem },
	{ .choice = CHOOSE_PREFIX, .rows = group9_reg },
};

#define FS_GS_BASE(function)                                                                       \
	{ .fn = function, .operand = OPERAND_MODRM_REG, .size = SIZE_Y,                            \
	  .flags = ROW_END | ROW_ONLY64 }

static const struct opcode group15_mem_none[8] = {
	MEM(op_fxsave, SIZE_Y), MEM(op_fxrstor, SIZE_Y), MEM(op_ldmxcsr, SIZE_D),
	MEM(op_stmxcsr, SIZE_D), MEM(op_xsave, SIZE_Y), MEM(op_xrstor, SIZE_Y),
	MEM(op_xsaveopt, SIZE_Y), MEM(op_clflush, SIZE_B),
};
static const struct opcode group15_mem_66[8] = {
	[6] = MEM(op_clwb, SIZE_B), MEM(op_clflushopt, SIZE_B),
};
static const struct opcode group15_reg_none[8] = {
	[5] = REG(op_fence, SIZE_V), REG(op_fence, SIZE_V), REG(op_fence, SIZE_V),
};
static const struct opcode group15_reg_f3[8] = {
	FS_GS_BASE(op_rdfsgsbase), FS_GS_BASE(op_rdfsgsbase), FS_GS_BASE(op_wrfsgsbase),
	FS_GS_BASE(op_wrfsgsbase),
};
static const struct opcode group15_mem[4] = {
	{ .choice = CHOOSE_REG, .rows = group15_mem_none },
	{ .choice = CHOOSE_REG, .rows = group15_mem_66 },
};
static const struct opcode group15_reg[4] = {
	[0] = { .choice = CHOOSE_REG, .rows = group15_reg_none },
	[2] = { .choice = CHOOSE_REG, .rows = group15_reg_f3 },
};
static const struct opcode group15[2] = {
	{ .choice = CHOOSE_PREFIX, .rows = group15_mem },
	{ .choice = CHOOSE_PREFIX, .rows = group15_reg },
};

/* ---- opcodes that a mandatory prefix tells apart: none, 66, F3, F2 ---- */

#define RM(table) { .handlers = &table, .operand = OPERAND_MODRM }
#define RM_BYTE(table) { .handlers = &table, .operand = OPERAND_MODRM, .size = SIZE_B }
#define BY_PREFIX(table) { .choice = CHOOSE_PREFIX, .rows = table }

static const struct opcode prefix_b8[4] = { [2] = RM(popcnt) };
static const struct opcode prefix_bc[4] = { RM(bsf), RM(bsf), RM(tzcnt), RM(bsf) };
static const struct opcode prefix_bd[4] = { RM(bsr), RM(bsr), RM(lzcnt), RM(bsr) };
static const struct opcode prefix_c3[4] = {
	{ .handlers = &mov_rm_reg, .operand = OPERAND_MODRM_MEM, .size = SIZE_Y },
};

/* ---- the map ---- */

#define VECTOR { .select = simd_select, .operand = OPERAND_MODRM, .flags = ROW_VECTOR }
#define VECTOR_IMM                                                                                 \
	{ .select = simd_select, .operand = OPERAND_MODRM, .immediate = IMM_U8,                    \
	  .flags = ROW_VECTOR }
#define HINT { .fn = op_nop, .operand = OPERAND_MODRM }
#define CMOV_ROW(n) { .handlers = &cmov[n], .operand = OPERAND_MODRM }
#define SETCC_ROW(n) { .handlers = &setcc[n], .operand = OPERAND_MODRM, .size = SIZE_B }
#define JCC_ROW(n)                                                                                 \
	{ .handlers = &jcc[n], .size = SIZE_NEAR, .immediate = IMM_RELZ, .flags = ROW_END }
#define SIXTEEN_ROWS(row)                                                                          \
	EIGHT_ROWS(row), row(8), row(9), row(10), row(11), row(12), row(13), row(14), row(15)
#define PUSH_SEG(seg)                                                                              \
	{ .fn = op_push_seg, .constant = seg, .size = SIZE_STACK, .flags = ROW_STACK }
#define POP_SEG(seg)                                                                               \
	{ .fn = op_pop_seg, .constant = seg, .size = SIZE_STACK, .flags = ROW_STACK | ROW_END }
#define LOAD_FAR(seg)                                                                              \
	{ .fn = op_load_far, .operand = OPERAND_MODRM_MEM, .constant = seg, .flags = ROW_END }
#define CONTROL(function)                                                                          \
	{ .select = function, .operand = OPERAND_CONTROL, .size = SIZE_NATURAL, .flags = ROW_END }
#define SHIFT_IMM(table) { .handlers = &table, .operand = OPERAND_MODRM, .immediate = IMM_U8 }
#define FROM_BYTE(table) { .handlers = &table, .operand = OPERAND_MODRM, .flags = ROW_RM8 }

const struct opcode opcodes_0f[256] = {
	[0x00] = { .choice = CHOOSE_MOD, .rows = group6 },
	[0x01] = { .choice = CHOOSE_MOD, .rows = group7 },
	[0x02] = PROTECTED(op_lar, SIZE_V),
	[0x03] = PROTECTED(op_lsl, SIZE_V),
	[0x05] = END(op_syscall),
	[0x06] = END(op_clts),
	[0x07] = { .fn = op_sysret, .size = SIZE_Y, .flags = ROW_END },
	[0x08] = END(op_invd),
	[0x09] = END(op_wbinvd),
	[0x0b] = END(op_ud),
	[0x0d] = HINT,
	[0x10 ... 0x17] = VECTOR,
	/* PREFETCHh, MPX without MPX, ENDBR, RDSSP without CET, multi-byte NOP. */
	[0x18 ... 0x1f] = HINT,
	[0x20] = CONTROL(select_from_cr), CONTROL(select_from_dr),
	[0x22] = CONTROL(select_to_cr), CONTROL(select_to_dr),
	[0x28 ... 0x2f] = VECTOR,
	[0x30] = END(op_wrmsr), END(op_rdtsc), END(op_rdmsr), END(op_rdpmc),
	[0x34] = END(op_sysenter),
	[0x35] = { .fn = op_sysexit, .size = SIZE_Y, .flags = ROW_END },
	[0x40] = SIXTEEN_ROWS(CMOV_ROW),
	[0x50 ... 0x6f] = VECTOR,
	[0x70 ... 0x73] = VECTOR_IMM,
	[0x74 ... 0x76] = VECTOR,
	[0x77] = { .select = simd_select, .flags = ROW_VECTOR },
	[0x7c ... 0x7f] = VECTOR,
	[0x80] = SIXTEEN_ROWS(JCC_ROW),
	[0x90] = SIXTEEN_ROWS(SETCC_ROW),
	[0xa0] = PUSH_SEG(SEG_FS), POP_SEG(SEG_FS),
	[0xa2] = END(op_cpuid),
	[0xa3] = RM(bt_rm_reg[0]),
	[0xa4] = SHIFT_IMM(shld_imm), RM(shld_cl),
	[0xa8] = PUSH_SEG(SEG_GS), POP_SEG(SEG_GS), END(op_rsm),
	[0xab] = RM(bt_rm_reg[1]),
	[0xac] = SHIFT_IMM(shrd_imm), RM(shrd_cl),
	[0xae] = { .choice = CHOOSE_MOD, .rows = group15 },
	[0xaf] = RM(imul_reg_rm),
	[0xb0] = RM_BYTE(cmpxchg_rm_reg), RM(cmpxchg_rm_reg),
	[0xb2] = LOAD_FAR(SEG_SS),
	[0xb3] = RM(bt_rm_reg[2]),
	[0xb4] = LOAD_FAR(SEG_FS), LOAD_FAR(SEG_GS),
	[0xb6] = FROM_BYTE(movzx8), RM(movzx16),
	[0xb8] = BY_PREFIX(prefix_b8),
	[0xb9] = { .fn = op_ud, .operand = OPERAND_MODRM, .flags = ROW_END },
	[0xba] = { .choice = CHOOSE_REG, .rows = group8 },
	[0xbb] = RM(bt_rm_reg[3]),
	[0xbc] = BY_PREFIX(prefix_bc), BY_PREFIX(prefix_bd),
	[0xbe] = FROM_BYTE(movsx8), RM(movsx16),
	[0xc0] = RM_BYTE(xadd_rm_reg), RM(xadd_rm_reg),
	[0xc2] = VECTOR_IMM,
	[0xc3] = BY_PREFIX(prefix_c3),
	[0xc4 ... 0xc6] = VECTOR_IMM,
	[0xc7] = { .choice = CHOOSE_MOD, .rows = group9 },
	[0xc8 ... 0xcf] = { .handlers = &bswap, .operand = OPERAND_OPCODE },
	[0xd0 ... 0xfe] = VECTOR,
	[0xff] = { .fn = op_ud, .operand = OPERAND_MODRM, .flags = ROW_END },
};
