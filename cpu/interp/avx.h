/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VEX-encoded vector instructions (AVX, AVX2, FMA, F16C and the VEX forms of AES and PCLMULQDQ) on
 * the host's own CPU, as cpu/interp/simd.h has it for SSE. What a row does not allow never reaches a
 * thunk: the host would raise #UD in the client.
 * Source: Intel SDM volume 2, chapter 2.3 and the instructions' pages.
 */
#ifndef FAUXKVM_CPU_INTERP_AVX_H
#define FAUXKVM_CPU_INTERP_AVX_H

#include "cpu/fpu.h"
#include "cpu/interp/insn.h"

#define AVX_BYTES 32 /* of a YMM register */

/* How ModRM.reg, VEX.vvvv, ModRM.rm and the immediate's register are used. */
enum avx_form {
	AVX_FORM_NONE,
	AVX_RM,          /* reg = f(rm) */
	AVX_RVM,         /* reg = f(reg, vvvv, rm) */
	AVX_RVMR,        /* reg = f(vvvv, rm, register in imm[7:4]) */
	AVX_MR,          /* rm = f(reg) */
	AVX_VM,          /* vvvv = f(rm), ModRM.reg chooses the operation */
	AVX_MOVE,        /* VMOVSS, VMOVSD: as RM from memory, as RVM between registers */
	AVX_MOVE_MR,     /* the same, stored: rm = f(vvvv, reg) between registers */
	AVX_G_RM,        /* general register = f(rm) */
	AVX_GM_R,        /* general register or memory = f(reg) */
	AVX_R_GM,        /* reg = f(general register or memory) */
	AVX_R_V_GM,      /* reg = f(vvvv, general register or memory) */
	AVX_MASKED_LOAD, /* the elements that vvvv selects, and only those */
	AVX_MASKED_STORE,
	AVX_MASKED_BYTES, /* VMASKMOVDQU */
	AVX_GATHER,
};

enum avx_flags {
	AVX_FP = 1 << 0,    /* rounds and raises exceptions by MXCSR */
	AVX_ALIGN = 1 << 1, /* the memory operand must be aligned to its size */
	AVX_IMM = 1 << 2,
	AVX_COMPARE = 1 << 3, /* sets the flags instead of a register */
	AVX_STRING = 1 << 4,  /* RAX, RDX lengths; RCX or XMM0 is written */
	AVX_MEM_ONLY = 1 << 5,
	AVX_REG_ONLY = 1 << 6,
	AVX_SCALAR = 1 << 7, /* VEX.L is ignored */
	AVX_W0 = 1 << 8,     /* VEX.W must be 0; neither flag: 0 or 1 */
	AVX_W1 = 1 << 9,
	AVX_W_WIDE = 1 << 10,   /* with W an operand of 4 bytes has 8 */
	AVX_G_WIDE = 1 << 11,   /* the same for general registers: in 64-bit code only */
	AVX_REG_AVX2 = 1 << 12, /* between registers it needs AVX2 */
};

/* Which CPUID bit an instruction needs; AVX_FEATURE_NONE: no such vector length. */
enum avx_feature { AVX_FEATURE_NONE, AVX_AVX, AVX_AVX2, AVX_FMA, AVX_F16C, AVX_AES, AVX_PCLMUL };

struct avx_row {
	uint8_t form;
	uint8_t bytes[2]; /* of the memory operand, by VEX.L */
	uint8_t feature[2];
	uint16_t flags;
};

/* The row of an encoding; AVX_FORM_NONE when it is not offered. */
const struct avx_row *avx_row(uint8_t map, uint8_t prefix, uint8_t opcode);

/* What a thunk works on. Offsets are known to avx_thunk.c. */
struct avx_call {
	uint8_t memory[AVX_BYTES]; /* first: [rdi] in a thunk */
	uint8_t reg[AVX_BYTES], rm[AVX_BYTES], third[AVX_BYTES], fourth[AVX_BYTES];
	uint8_t xmm0[AVX_BYTES]; /* result of VPCMPESTRM, VPCMPISTRM */
	uint64_t gpr, rax, rdx, rcx;
	uint64_t arith; /* LAHF/SETO form, AVX_COMPARE */
} __attribute__((aligned(32)));

/* AVX_FP: with the guest's MXCSR loaded (cpu/interp/mxcsr.h). */
typedef void avx_thunk(struct avx_call *call);

/* Thunk for @insn (decoded) with @row. NULL: out of memory. Any thread. */
avx_thunk *avx_thunk_get(const struct insn *insn, const struct avx_row *row);

/* VEX.W as the instruction means it: for general registers it counts in 64-bit code only. */
static inline bool avx_w(const struct insn *insn, const struct avx_row *row)
{
	return (insn->flags & INSN_REXW) && (!(row->flags & AVX_G_WIDE) || insn->code == 8);
}

/* AVX_RVMR: the immediate's register. */
static inline unsigned avx_fourth(const struct insn *insn)
{
	return insn->imm >> 4 & (insn->code == 8 ? 15 : 7);
}

/* Handler of a VEX encoding; NULL: #UD. */
insn_fn *avx_select(struct insn *insn);

/* ---- for who has a guest's registers elsewhere than in its vCPU ---- */

#define AVX_DIRECT_STRIDE 64

/*
 * @low: lower halves, AVX_DIRECT_STRIDE bytes from one to the next. @high: the others. @memory: the
 * operand's place.
 */
typedef void avx_direct(uint8_t *low, uint8_t (*high)[16], uint64_t *gpr, uint8_t *memory);

/*
 * Of a decoded instruction: can it be executed so? It neither sets flags nor uses MXCSR, and accesses
 * one operand in memory at most.
 */
bool avx_is_plain(const struct insn *insn);
/* Bits of the vectors of which it names the lower halves. */
uint16_t avx_vectors(const struct insn *insn);
/* Its operand in memory. */
struct avx_operand {
	unsigned bytes;        /* 0: there is none */
	bool written, aligned; /* to @bytes */
};
struct avx_operand avx_operand(const struct insn *insn);
/* Has the vCPU the feature? It does not change. */
bool avx_offered(const struct vcpu *cpu, const struct insn *insn);
/* NULL: out of memory. Any thread. */
avx_direct *avx_direct_get(const struct insn *insn, const struct avx_row *row);
/* The same for one that is plain. To be called where AVX is switched on (avx_enabled()). */
avx_direct *avx_plain_get(const struct insn *insn);

/* Else there is #UD. */
static inline bool avx_switched_on(const struct cpu_state *s)
{
	const uint64_t both = XFEATURE_BIT(XFEATURE_SSE) | XFEATURE_BIT(XFEATURE_AVX);

	return s->cr4 & CR4_OSXSAVE && (s->xcr0 & both) == both;
}

/* Else there is #UD or #NM. */
static inline bool avx_enabled(const struct vcpu *cpu)
{
	return avx_switched_on(&cpu->state) && !(cpu->state.cr0 & CR0_TS);
}

#endif
