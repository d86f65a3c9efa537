// SPDX-License-Identifier: GPL-2.0-or-later
/* Data movement: MOV, MOVZX, MOVSX, MOVSXD, CMOVcc, SETcc, LEA, BSWAP, MOVBE, CBW, CWD ... */
#include "cpu/interp/ops_template.h"

/* ---- MOV ---- */

#define MOV(bits)                                                                                  \
static void mov_rm_reg##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	SET##bits(cpu, insn->rm, REG##bits(cpu, insn->reg));                                       \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void mov_reg_rm##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	SET##bits(cpu, insn->reg, REG##bits(cpu, insn->rm));                                       \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void mov_rm_imm##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	SET##bits(cpu, insn->rm, insn->imm);                                                       \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
BODY mov_load##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)        \
{                                                                                                  \
	SET##bits(cpu, insn->reg, value);                                                          \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
LOAD_HANDLER(mov_load##bits, bits)                                                                 \
STORE_HANDLER(mov_store_reg##bits, bits, REG##bits(cpu, insn->reg))                                \
STORE_HANDLER(mov_store_imm##bits, bits, insn->imm)

MOV(8)
MOV(16)
MOV(32)
MOV(64)

/* ---- extensions: from @source (signed or not) bits to @bits ---- */

#define EXTEND(name, type, source, bits)                                                           \
static void name##_reg##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	SET##bits(cpu, insn->reg, (type)REG##source(cpu, insn->rm));                               \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
BODY name##_load##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##source##_t value)   \
{                                                                                                  \
	SET##bits(cpu, insn->reg, (type)value);                                                    \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
LOAD_HANDLER(name##_load##bits, source)

#define EXTEND_ALL(name, type, source)                                                             \
	EXTEND(name, type, source, 16)                                                             \
	EXTEND(name, type, source, 32)                                                             \
	EXTEND(name, type, source, 64)                                                             \
const struct handlers name = { .reg = BY_WIDE_SIZE(name##_reg), .mem = BY_WIDE_SIZE(name##_load) };

EXTEND_ALL(movzx8, uint8_t, 8)
EXTEND_ALL(movzx16, uint16_t, 16)
EXTEND_ALL(movsx8, int8_t, 8)
EXTEND_ALL(movsx16, int16_t, 16)
EXTEND(movsxd, int32_t, 32, 64)

/* Without REX.W MOVSXD is a MOV of the operand size. */
const struct handlers movsxd = {
	.reg = { NULL, mov_reg_rm16, mov_reg_rm32, movsxd_reg64 },
	.mem = { NULL, mov_load16, mov_load32, movsxd_load64 },
};

/* ---- CMOVcc, SETcc ---- */

/* The load happens in any case, and a 32-bit destination is always extended. */
#define CMOV(condition, bits)                                                                      \
static void cmov##condition##_reg##bits(struct vcpu *cpu, const struct insn *insn)                 \
{                                                                                                  \
	uint##bits##_t value = REG##bits(cpu, insn->reg);                                          \
                                                                                                   \
	if (condition_##condition(cpu->state.arith))                                               \
		value = REG##bits(cpu, insn->rm);                                                  \
	SET##bits(cpu, insn->reg, value);                                                          \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
BODY cmov##condition##_load##bits##_body(struct vcpu *cpu, const struct insn *insn,                \
					 uint##bits##_t value)                                     \
{                                                                                                  \
	if (!condition_##condition(cpu->state.arith))                                              \
		value = REG##bits(cpu, insn->reg);                                                 \
	SET##bits(cpu, insn->reg, value);                                                          \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
LOAD_HANDLER(cmov##condition##_load##bits, bits)

#define CONDITIONAL(condition)                                                                     \
CMOV(condition, 16)                                                                                \
CMOV(condition, 32)                                                                                \
CMOV(condition, 64)                                                                                \
static void set##condition##_reg8(struct vcpu *cpu, const struct insn *insn)                       \
{                                                                                                  \
	SET8(cpu, insn->rm, condition_##condition(cpu->state.arith));                              \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
STORE_HANDLER(set##condition##_mem8, 8, condition_##condition(cpu->state.arith))

FOR_EACH_CONDITION(CONDITIONAL)

#define CMOV_TABLE(condition)                                                                      \
	{ .reg = BY_WIDE_SIZE(cmov##condition##_reg), .mem = BY_WIDE_SIZE(cmov##condition##_load) },
#define SETCC_TABLE(condition)                                                                     \
	{ .reg = { set##condition##_reg8 }, .mem = { set##condition##_mem8 } },

const struct handlers cmov[16] = { FOR_EACH_CONDITION(CMOV_TABLE) };
const struct handlers setcc[16] = { FOR_EACH_CONDITION(SETCC_TABLE) };

/* ---- LEA ---- */

#define LEA(bits)                                                                                  \
static void lea_mem##bits(struct vcpu *cpu, const struct insn *insn)                               \
{                                                                                                  \
	SET##bits(cpu, insn->reg, mem_offset(cpu, insn));                                          \
	NEXT(cpu, insn);                                                                           \
}

LEA(16)
LEA(32)
LEA(64)

/* ---- BSWAP, MOVBE ---- */

/* BSWAP of a 16-bit register is undefined: the host says what happens. */
#define BSWAP(bits, whole, text)                                                                   \
static void bswap_reg##bits(struct vcpu *cpu, const struct insn *insn)                             \
{                                                                                                  \
	uint##whole##_t value = REG##whole(cpu, insn->rm);                                         \
                                                                                                   \
	asm(text : "+a" (value));                                                                  \
	SET##whole(cpu, insn->rm, value);                                                          \
	NEXT(cpu, insn);                                                                           \
}

BSWAP(16, 64, ".byte 0x66, 0x0f, 0xc8")
BSWAP(32, 32, "bswap %0")
BSWAP(64, 64, "bswap %0")

#define MOVBE(bits)                                                                                \
BODY movbe_load##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)      \
{                                                                                                  \
	SET##bits(cpu, insn->reg, __builtin_bswap##bits(value));                                   \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
LOAD_HANDLER_IF(movbe_load##bits, bits, REQUIRE(cpu, insn, movbe))                                 \
STORE_HANDLER(movbe_store_swapped##bits, bits, __builtin_bswap##bits(REG##bits(cpu, insn->reg)))   \
static void movbe_store##bits(struct vcpu *cpu, const struct insn *insn)                           \
{                                                                                                  \
	REQUIRE(cpu, insn, movbe);                                                                 \
	return movbe_store_swapped##bits(cpu, insn);                                               \
}

MOVBE(16)
MOVBE(32)
MOVBE(64)

/* ---- CBW CWDE CDQE, CWD CDQ CQO ---- */

#define CONVERT(half, bits)                                                                        \
static void convert_widen##bits(struct vcpu *cpu, const struct insn *insn)                         \
{                                                                                                  \
	SET##bits(cpu, GPR_RAX * 8, (int##half##_t)REG##half(cpu, GPR_RAX * 8));                   \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void convert_spread##bits(struct vcpu *cpu, const struct insn *insn)                        \
{                                                                                                  \
	SET##bits(cpu, GPR_RDX * 8, (int##bits##_t)REG##bits(cpu, GPR_RAX * 8) < 0 ? -1 : 0);      \
	NEXT(cpu, insn);                                                                           \
}

CONVERT(8, 16)
CONVERT(16, 32)
CONVERT(32, 64)

/* ---- tables ---- */

const struct handlers mov_rm_reg = { .reg = BY_SIZE(mov_rm_reg), .mem = BY_SIZE(mov_store_reg) };
const struct handlers mov_reg_rm = { .reg = BY_SIZE(mov_reg_rm), .mem = BY_SIZE(mov_load) };
const struct handlers mov_rm_imm = { .reg = BY_SIZE(mov_rm_imm), .mem = BY_SIZE(mov_store_imm) };
const struct handlers lea = { .mem = BY_WIDE_SIZE(lea_mem) };
const struct handlers bswap = { .reg = BY_WIDE_SIZE(bswap_reg) };
const struct handlers movbe_load = { .mem = BY_WIDE_SIZE(movbe_load) };
const struct handlers movbe_store = { .mem = BY_WIDE_SIZE(movbe_store) };
const struct handlers convert_widen = { .reg = BY_WIDE_SIZE(convert_widen) };
const struct handlers convert_spread = { .reg = BY_WIDE_SIZE(convert_spread) };
