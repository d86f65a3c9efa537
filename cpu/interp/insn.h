/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoded instruction and what its handler may do.
 *
 * Code runs as blocks: arrays of struct insn that lie in one run of bytes. A handler does its work
 * and continues with NEXT(), a tail call to the following instruction's handler; an instruction that
 * changes the flow of control or anything that decoding depends on (INSN_END) sets state.rip and
 * returns to the block loop instead. state.rip is otherwise stale inside a block: an instruction's
 * own address is insn_ip(), the following one's insn_next_ip().
 *
 * A handler commits nothing before its last access to memory that can fault, so that exception(),
 * interp_leave() and faults inside load/store functions, all of which do not return, leave the
 * instruction unstarted.
 */
#ifndef FAUXKVM_CPU_INTERP_INSN_H
#define FAUXKVM_CPU_INTERP_INSN_H

#include "cpu/flags.h"
#include "cpu/vcpu.h"

struct insn;
typedef void insn_fn(struct vcpu *cpu, const struct insn *insn);

enum insn_flags {
	INSN_END = 1 << 0,      /* last of its block */
	INSN_LOCK = 1 << 1,
	INSN_REP = 1 << 2,      /* F3 as a repeat prefix */
	INSN_REPNE = 1 << 3,    /* F2 */
	INSN_MEM = 1 << 4,      /* ModRM names memory */
	INSN_CHECK = 1 << 5,    /* operand address needs segment or alignment checks */
	INSN_STACK_SEG = 1 << 6, /* a bad address is #SS, not #GP */
	INSN_OPSIZE = 1 << 7,   /* had prefix 66 */
	INSN_REXW = 1 << 8,
	INSN_CROSS = 1 << 9,    /* its bytes lie on two pages */
	INSN_REX = 1 << 10,     /* had any REX prefix */
	INSN_VEX = 1 << 11,     /* VEX or EVEX */
	INSN_STACK = 1 << 13,   /* uses the stack besides its memory operand */
	INSN_REPEATS = 1 << 14, /* had both F2 and F3 */
	INSN_EVEX = 1 << 12,    /* @disp of a disp8 form is not scaled */
};

struct insn {
	insn_fn *fn;
	/* Immediate, sign-extended to 64 bits. Near branch: target - (IP of the block's start).
	 * Far pointer: offset in bits 31..0, selector in bits 47..32. ENTER: size | level << 16.
	 * moffs: the address is in @disp, not here. */
	uint64_t imm;
	/* Address: (gpr[base] + (gpr[index] << scale) + disp) & amask, plus the segment's base,
	 * 32 bits wide outside 64-bit code. RIP-relative: base = GPR_BLOCK and disp counts from the block's start. */
	int64_t disp;
	void *thunk;        /* SIMD and x87: host code, chosen by simd_select() */
	uint64_t amask;     /* address size: 0xffff, 0xffffffff or ~0 */
	uint16_t flags;
	uint16_t offset;    /* of its first byte from the block's start */
	uint8_t base, index, scale;
	uint8_t seg;        /* segment used: SEG_FLAT for ES, CS, SS, DS in 64-bit mode */
	uint8_t reg, rm;    /* byte offsets into state.gpr of ModRM.reg and ModRM.rm as registers of
			     * the operand size (AH is 1, R9 is 72); opcode registers are in @rm */
	uint8_t reg_number, rm_number; /* 0..15, for segment, control, XMM registers */
	uint8_t length;
	uint8_t opsize;     /* bytes: 1, 2, 4, 8 */
	uint8_t map;        /* 0 one-byte, 1 0F, 2 0F 38, 3 0F 3A; VEX: the same numbers */
	uint8_t opcode;
	uint8_t prefix;     /* mandatory prefix as seen: 0, 0x66, 0xf2, 0xf3 (last of F2/F3 wins) */
	uint8_t modrm;
	uint8_t code;       /* code size: 2, 4 or 8 bytes (16, 32, 64 bit) */
	uint8_t address;    /* address size in bytes */
	uint8_t stack;      /* stack address size in bytes */
	union {
		uint8_t vvvv;         /* VEX, EVEX: the third register, 0..15 (EVEX 0..31) */
		uint8_t simd_feature; /* SSE: enum simd_feature */
	};
	union {
		uint8_t vector;     /* VEX.L, EVEX.L'L: 0 128, 1 256, 2 512 bits */
		uint8_t simd_bytes; /* SSE: of the memory operand */
	};
	union {
		uint8_t evex;       /* EVEX: its last byte (z, L'L, b, V', aaa) as it stands */
		bool simd_align;    /* SSE: the memory operand must be */
	};
};

#define NEXT(cpu, insn) return (insn)[1].fn((cpu), (insn) + 1)

static inline uint64_t insn_ip(const struct vcpu *cpu, const struct insn *insn)
{
	return cpu->state.gpr[GPR_BLOCK] + insn->offset;
}

static inline uint64_t insn_next_ip(const struct vcpu *cpu, const struct insn *insn)
{
	uint64_t ip = cpu->state.gpr[GPR_BLOCK] + insn->offset + insn->length;

	return insn->code == 8 ? ip : insn->code == 4 ? (uint32_t)ip : (uint16_t)ip;
}

/* Ends a block after an instruction that fell through. */
#define END_BLOCK(cpu, insn)                                                                       \
	do {                                                                                       \
		(cpu)->state.rip = insn_next_ip((cpu), (insn));                                    \
		return;                                                                            \
	} while (0)

/* Registers by byte offset (insn->reg, insn->rm). A 32-bit write clears the upper half. */
#define REG8(cpu, off) (*((uint8_t *)(cpu)->state.gpr + (off)))
#define REG16(cpu, off) (*(uint16_t *)((uint8_t *)(cpu)->state.gpr + (off)))
#define REG32(cpu, off) (*(uint32_t *)((uint8_t *)(cpu)->state.gpr + (off)))
#define REG64(cpu, off) (*(uint64_t *)((uint8_t *)(cpu)->state.gpr + (off)))
#define SET8(cpu, off, v) (REG8(cpu, off) = (uint8_t)(v))
#define SET16(cpu, off, v) (REG16(cpu, off) = (uint16_t)(v))
#define SET32(cpu, off, v) (REG64(cpu, off) = (uint32_t)(v))
#define SET64(cpu, off, v) (REG64(cpu, off) = (uint64_t)(v))

/* ---- leaving an instruction (interp.c); none of these returns ---- */

/* The instruction faults: state.rip = its address, exception recorded with event_raise(). */
_Noreturn void exception(struct vcpu *cpu, const struct insn *insn, uint8_t vector,
			 uint32_t error); /* error code is pushed only where the vector has one */
#define exception_ud(cpu, insn) exception((cpu), (insn), VECTOR_UD, 0)
#define exception_gp(cpu, insn, error) exception((cpu), (insn), VECTOR_GP, (error))
_Noreturn void exception_page_fault(struct vcpu *cpu, const struct insn *insn, uint64_t address,
				    uint32_t error);
/* An event has been recorded with event_raise*() already. */
_Noreturn void exception_recorded(struct vcpu *cpu, const struct insn *insn);
/* Abandon the instruction and go back to the run loop. */
_Noreturn void interp_leave(struct vcpu *cpu, const struct insn *insn, enum engine_reason reason);
/* HLT is complete: RIP behind it, ENGINE_HALT. */
_Noreturn void interp_halt(struct vcpu *cpu, const struct insn *insn);
/* The instruction is complete: RIP behind it, back to the run loop. */
_Noreturn void interp_complete(struct vcpu *cpu, const struct insn *insn,
			       enum engine_reason reason);
/* Run this instruction again, alone: side effects outside RAM happen only then. No-op if alone. */
void interp_alone(struct vcpu *cpu, const struct insn *insn);
/* Nobody can execute this: KVM_EXIT_INTERNAL_ERROR with the bytes. */
_Noreturn void interp_emulation_error(struct vcpu *cpu, const struct insn *insn);

/* ---- decoding (decode.c, tables in opcodes*.c) ---- */

/* What decoding depends on. */
struct decode_mode {
	uint8_t code;    /* 2, 4, 8 */
	uint8_t stack;   /* stack address size in bytes: 2, 4, 8 */
	bool check;      /* some data segment is not flat, real mode, V86, or alignment checks */
	bool protected_mode; /* CR0.PE and not V86 */
	bool v86;
};

enum { DECODE_MORE = -1 }; /* the instruction goes on beyond @available bytes */

/*
 * Decodes one instruction. Fills @insn except @offset-dependent values for which @offset (from the
 * block's start) is given. Returns its length (1..15), or DECODE_MORE. An encoding that does not
 * exist, or is longer than 15 bytes, decodes to a handler that raises #UD (#GP when too long).
 */
int decode(const struct decode_mode *mode, const uint8_t *bytes, unsigned available,
	   unsigned offset, struct insn *insn);

/* Handler for an SSE, MMX, x87, AES ... encoding (simd.c): @insn is decoded; NULL: #UD. */
insn_fn *simd_select(struct insn *insn);

#endif
