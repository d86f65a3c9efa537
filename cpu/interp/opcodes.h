/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The opcode tables: rows of data that decode.c interprets.
 *
 * Source: Intel SDM volume 2, appendix A (opcode maps) and chapter 2 (instruction format).
 */
#ifndef FAUXKVM_CPU_INTERP_OPCODES_H
#define FAUXKVM_CPU_INTERP_OPCODES_H

#include "cpu/interp/ops_system.h"

/*
 * Handlers of an instruction by the form of its operand and by operand size: 1, 2, 4, 8 bytes.
 * NULL: such an instruction does not exist.
 */
struct handlers {
	insn_fn *reg[4];  /* ModRM names a register, or there is no ModRM */
	insn_fn *mem[4];
	insn_fn *lock[4]; /* memory, with LOCK */
};

/* What follows the opcode, besides the immediate. */
enum operand {
	OPERAND_NONE,
	OPERAND_MODRM,
	OPERAND_MODRM_MEM, /* mod 3 is undefined */
	OPERAND_MODRM_REG, /* mod 3 only */
	OPERAND_CONTROL,   /* ModRM whose mod is ignored: always registers */
	OPERAND_OPCODE,    /* no ModRM: opcode bits 2..0 are the register */
	OPERAND_MOFFS,     /* an address of the address size */
	OPERAND_STRING,    /* implicit: memory in DS or the overriding segment, or ES:[rDI] */
};

/* Operand size. */
enum size {
	SIZE_V,       /* 2, 4, 8 by prefixes and mode */
	SIZE_B, SIZE_W, SIZE_D,
	SIZE_Z,       /* as V, but 8 becomes 4 */
	SIZE_Y,       /* 4, or 8 with REX.W */
	SIZE_STACK,   /* V with a default of 8 in 64-bit code */
	SIZE_NEAR,    /* V, always 8 in 64-bit code */
	SIZE_NATURAL, /* 8 in 64-bit code, else 4 */
};

enum immediate {
	IMM_NONE,     /* insn->imm = constant of the row */
	IMM_S8, IMM_U8, IMM_16,
	IMM_Z,        /* 2 or 4 bytes, sign-extended */
	IMM_V,        /* 2, 4, 8 bytes; SIZE_B: 1 */
	IMM_ENTER,    /* 16 bits, then 8 */
	IMM_FAR,      /* offset of operand size, then 16-bit selector */
	IMM_REL8, IMM_RELZ,
};

/* Which row of a further table? */
enum choice {
	CHOOSE_NONE,
	CHOOSE_REG,    /* by ModRM.reg */
	CHOOSE_RM,     /* by ModRM.rm */
	CHOOSE_MOD,    /* 0: memory, 1: register */
	CHOOSE_PREFIX, /* 0: none, 1: 66, 2: F3, 3: F2 */
	CHOOSE_MODE,   /* 0: 16- or 32-bit code, 1: 64-bit code */
};

enum row_flags {
	ROW_END = 1 << 0,       /* INSN_END */
	ROW_NO64 = 1 << 1,      /* undefined in 64-bit code */
	ROW_ONLY64 = 1 << 2,
	ROW_PROTECTED = 1 << 3, /* undefined in real and virtual-8086 mode */
	ROW_STACK = 1 << 4,     /* accesses the stack implicitly */
	ROW_RM8 = 1 << 5,       /* ModRM.rm is a byte register whatever the operand size */
	ROW_VEX_GPR = 1 << 6,   /* VEX on general registers: undefined with VEX.L */
	ROW_VEX_V0 = 1 << 7,    /* undefined with VEX.vvvv other than 1111 */
	ROW_VECTOR = 1 << 8,    /* 66 is no operand-size prefix: operand size 4, or 8 with W */
};

/* A row without handler and choice is an undefined opcode. */
struct opcode {
	insn_fn *fn;                      /* serves all forms and sizes */
	const struct handlers *handlers;
	const struct handlers *repeated;  /* with F2 or F3; INSN_END */
	insn_fn *(*select)(struct insn *insn); /* finds the handler; NULL: undefined */
	const struct opcode *rows;        /* of @choice */
	int64_t constant;
	uint16_t flags;
	uint8_t choice, operand, size, immediate;
};

extern const struct opcode opcodes_1byte[256], opcodes_0f[256], opcodes_0f38[256],
	opcodes_0f3a[256];
extern const struct opcode opcodes_vex_0f[256], opcodes_vex_0f38[256], opcodes_vex_0f3a[256];

/* Eight rows, made by a macro of their number. */
#define EIGHT_ROWS(row) row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)

/* ---- handlers; arrays are in the order of the encoding ---- */

/* ops_alu.c: ADD OR ADC SBB AND SUB XOR CMP */
extern const struct handlers alu_rm_reg[8], alu_reg_rm[8], alu_rm_imm[8];
extern const struct handlers test_rm_reg, test_rm_imm, inc_rm, dec_rm, not_rm, neg_rm;
/* ops_alu_atomic.c */
extern const struct handlers xadd_rm_reg, xchg_rm_reg, cmpxchg_rm_reg, cmpxchg_pair;
/* ops_mov.c */
extern const struct handlers mov_rm_reg, mov_reg_rm, mov_rm_imm, movzx8, movzx16, movsx8, movsx16,
	movsxd, cmov[16], setcc[16], lea, bswap, movbe_load, movbe_store, convert_widen,
	convert_spread;
/* ops_shift.c: ROL ROR RCL RCR SHL SHR SHL SAR */
extern const struct handlers shift_rm_imm[8], shift_rm_cl[8], shld_imm, shrd_imm, shld_cl, shrd_cl,
	sarx, shlx, shrx, rorx;
/* ops_bit.c: BT BTS BTR BTC */
extern const struct handlers bt_rm_reg[4], bt_rm_imm[4], bsf, bsr, tzcnt, lzcnt, popcnt, crc32_8,
	crc32_rm, andn, bextr, blsr, blsmsk, blsi, bzhi, pdep, pext, adcx, adox;
/* ops_muldiv.c */
extern const struct handlers mul_rm, imul_rm, div_rm, idiv_rm, imul_reg_rm, imul_rm_imm, mulx;
/* ops_branch.c */
extern const struct handlers jcc[16], jmp_rel, jmp_rm, call_rel, call_rm, ret_near;
extern const struct handlers loop_near[4]; /* LOOPNE LOOPE LOOP JCXZ */
/* ops_stack.c */
extern const struct handlers push_reg, push_rm, push_imm, pop_reg, pop_rm, pusha, popa, enter,
	leave;
/* ops_string.c */
extern const struct handlers movs, cmps, stos, lods, scas;
extern const struct handlers rep_movs, rep_cmps, rep_stos, rep_lods, rep_scas;
/* ops_misc_flags.c, ops_misc_decimal.c */
extern const struct handlers bound, rdrand, rdseed;
insn_fn op_nop, op_pause, op_cmc, op_clc, op_stc, op_cld, op_std, op_lahf, op_sahf, op_salc,
	op_xlat, op_fence, op_clflush, op_clflushopt, op_clwb, op_too_long,
	op_daa, op_das, op_aaa, op_aas, op_aam, op_aad;

#endif
