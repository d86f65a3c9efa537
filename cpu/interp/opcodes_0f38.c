// SPDX-License-Identifier: GPL-2.0-or-later
/* Three-byte opcodes (0F 38, 0F 3A) and VEX opcodes. VEX tables serve EVEX, too. */
#include "cpu/interp/opcodes.h"

#define VECTOR { .select = simd_select, .operand = OPERAND_MODRM, .flags = ROW_VECTOR }
#define VECTOR_IMM                                                                                 \
	{ .select = simd_select, .operand = OPERAND_MODRM, .immediate = IMM_U8,                    \
	  .flags = ROW_VECTOR }
#define BY_PREFIX(table) { .choice = CHOOSE_PREFIX, .rows = table }

/* ---- 0F 38 ---- */

#define CRC32_BYTE                                                                                 \
	{ .handlers = &crc32_8, .operand = OPERAND_MODRM, .size = SIZE_Y, .flags = ROW_RM8 }
#define MOVBE(table) { .handlers = &table, .operand = OPERAND_MODRM_MEM }

static const struct opcode prefix_82[4] = {
	[1] = { .fn = op_invpcid, .operand = OPERAND_MODRM_MEM, .size = SIZE_NATURAL,
		.flags = ROW_END },
};
static const struct opcode prefix_f0[4] = {
	MOVBE(movbe_load), MOVBE(movbe_load), { 0 }, CRC32_BYTE,
};
static const struct opcode prefix_f1[4] = {
	MOVBE(movbe_store), MOVBE(movbe_store), { 0 },
	{ .handlers = &crc32_rm, .operand = OPERAND_MODRM },
};
static const struct opcode prefix_f6[4] = {
	[1] = { .handlers = &adcx, .operand = OPERAND_MODRM, .size = SIZE_Y },
	[2] = { .handlers = &adox, .operand = OPERAND_MODRM, .size = SIZE_Y },
};

const struct opcode opcodes_0f38[256] = {
	[0x00 ... 0x7f] = VECTOR,
	[0x82] = BY_PREFIX(prefix_82),
	[0x83 ... 0xef] = VECTOR,
	[0xf0] = BY_PREFIX(prefix_f0),
	[0xf1] = BY_PREFIX(prefix_f1),
	[0xf6] = BY_PREFIX(prefix_f6),
};

/* ---- 0F 3A ---- */

const struct opcode opcodes_0f3a[256] = {
	[0x00 ... 0xff] = VECTOR_IMM,
};

/* ---- VEX 0F ---- */

const struct opcode opcodes_vex_0f[256] = {
	[0x00 ... 0x6f] = VECTOR,
	[0x70 ... 0x73] = VECTOR_IMM,
	[0x74 ... 0x76] = VECTOR,
	[0x77] = { .select = simd_select, .flags = ROW_VECTOR },
	[0x78 ... 0xc1] = VECTOR,
	[0xc2] = VECTOR_IMM,
	[0xc3] = VECTOR,
	[0xc4 ... 0xc6] = VECTOR_IMM,
	[0xc7 ... 0xff] = VECTOR,
};

/* ---- VEX 0F 38: BMI on general registers ---- */

#define BMI(table)                                                                                 \
	{ .handlers = &table, .operand = OPERAND_MODRM, .size = SIZE_Y, .flags = ROW_VEX_GPR }

static const struct opcode group17[8] = { [1] = BMI(blsr), BMI(blsmsk), BMI(blsi) };
static const struct opcode vex_prefix_f2[4] = { BMI(andn) };
static const struct opcode vex_prefix_f3[4] = { { .choice = CHOOSE_REG, .rows = group17 } };
static const struct opcode vex_prefix_f5[4] = { BMI(bzhi), { 0 }, BMI(pext), BMI(pdep) };
static const struct opcode vex_prefix_f6[4] = { [3] = BMI(mulx) };
static const struct opcode vex_prefix_f7[4] = { BMI(bextr), BMI(shlx), BMI(sarx), BMI(shrx) };

const struct opcode opcodes_vex_0f38[256] = {
	[0x00 ... 0xf1] = VECTOR,
	[0xf2] = BY_PREFIX(vex_prefix_f2),
	[0xf3] = BY_PREFIX(vex_prefix_f3),
	[0xf4] = VECTOR,
	[0xf5] = BY_PREFIX(vex_prefix_f5),
	[0xf6] = BY_PREFIX(vex_prefix_f6),
	[0xf7] = BY_PREFIX(vex_prefix_f7),
	[0xf8 ... 0xff] = VECTOR,
};

/* ---- VEX 0F 3A ---- */

static const struct opcode vex_prefix_f0[4] = {
	[3] = { .handlers = &rorx, .operand = OPERAND_MODRM, .size = SIZE_Y, .immediate = IMM_U8,
		.flags = ROW_VEX_GPR | ROW_VEX_V0 },
};

const struct opcode opcodes_vex_0f3a[256] = {
	[0x00 ... 0xef] = VECTOR_IMM,
	[0xf0] = BY_PREFIX(vex_prefix_f0),
	[0xf1 ... 0xff] = VECTOR_IMM,
};
