/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIMD and x87 on the host's own CPU.
 *
 * A listed instruction is executed by a thunk: a few bytes of host code that load the operands from
 * a struct simd_call, execute that very instruction on fixed registers or on the call's buffer, and
 * store the results. Thunks depend on the encoding only and are made once a process.
 */
#ifndef FAUXKVM_CPU_INTERP_SIMD_H
#define FAUXKVM_CPU_INTERP_SIMD_H

#include "cpu/interp/insn.h"

/* How ModRM.reg and ModRM.rm are used. */
enum simd_form {
	SIMD_NONE,     /* no such row */
	SIMD_X_XM,     /* vector, vector or memory; the first is written */
	SIMD_XM_X,     /* vector or memory, vector; the first is written */
	SIMD_X_GM,     /* vector written; general register or memory */
	SIMD_G_XM,     /* general register written; vector or memory */
	SIMD_GM_X,     /* general register or memory written; vector */
	SIMD_SHIFT,    /* group with immediate on ModRM.rm */
	SIMD_MASKMOV,  /* MASKMOVQ, MASKMOVDQU */
};

enum simd_flags {
	SIMD_FP = 1 << 0,      /* rounds and raises exceptions by MXCSR */
	SIMD_ALIGN = 1 << 1,   /* a 16-byte memory operand must be aligned */
	SIMD_IMM = 1 << 2,
	SIMD_SETS_FLAGS = 1 << 3,
	SIMD_MMX = 1 << 4,     /* MMX registers */
	SIMD_MMX_REG = 1 << 5, /* ModRM.reg is an MMX register, ModRM.rm a vector */
	SIMD_MMX_RM = 1 << 6,  /* ModRM.rm is an MMX register (or 8 bytes of memory) */
	SIMD_STRING = 1 << 7,  /* EAX and EDX are lengths; ECX may be written */
	SIMD_COMPARE = 1 << 8, /* the destination is only read */
	SIMD_MEM_ONLY = 1 << 9,
	SIMD_REG_ONLY = 1 << 10,
	SIMD_DWORD = 1 << 11,  /* 4 bytes of memory, whatever REX.W says */
};

/* Which CPUID bit an instruction needs; a bit of guest_features.simd. */
enum simd_feature { SIMD_SSE, SIMD_SSE2, SIMD_SSE3, SIMD_SSSE3, SIMD_SSE41, SIMD_SSE42, SIMD_AES,
		    SIMD_PCLMUL, SIMD_SHA, SIMD_MMX_BASE };

struct simd_row {
	uint8_t form, size; /* @size: bytes of a memory operand */
	uint16_t flags;
	uint8_t feature;
};

/* The row of an encoding; form SIMD_NONE when it is not offered. */
const struct simd_row *simd_row(uint8_t map, uint8_t prefix, uint8_t opcode);

/* What a thunk works on. Offsets are known to simd_thunk.c. */
struct simd_call {
	uint8_t memory[32];  /* 16 used; aligned */
	uint8_t reg[16];     /* ModRM.reg's vector */
	uint8_t rm[16];      /* ModRM.rm's vector */
	uint8_t xmm0[16];    /* implicit operand and result */
	uint64_t gpr;        /* the general register operand or result */
	uint64_t rax, rdx, rcx;
	uint64_t arith;      /* LAHF/SETO form, SIMD_SETS_FLAGS */
} __attribute__((aligned(32)));

/* SIMD_FP: with the guest's MXCSR loaded (cpu/interp/mxcsr.h). */
typedef void simd_thunk(struct simd_call *call);

/* Thunk for @insn (decoded) with @row. NULL: out of memory. Any thread. */
simd_thunk *simd_thunk_get(const struct insn *insn, const struct simd_row *row);

/*
 * The usual case, in which one register is written: works on the registers where they are. @reg:
 * ModRM.reg's, @rm: ModRM.rm's, or the memory operand, aligned. @xmm0: the implicit operand. What
 * compares writes the flags to @arith (LAHF/SETO form) and nothing else.
 */
typedef void simd_direct(void *reg, void *rm, const void *xmm0, uint16_t *arith);
bool simd_is_direct(const struct insn *insn, const struct simd_row *row);
simd_direct *simd_direct_get(const struct insn *insn, const struct simd_row *row);

/* x87: @image is an FXSAVE image (aligned 16), @memory the operand's buffer. */
typedef void x87_thunk(void *image, void *memory, uint64_t *arith);
x87_thunk *x87_thunk_get(const struct insn *insn);

/* x87.c */
insn_fn *x87_select(struct insn *insn);
insn_fn op_fwait, op_emms;
/* The registers as MMX sees them: TOP becomes 0, all valid. */
void x87_enter_mmx(struct vcpu *cpu);

#endif
