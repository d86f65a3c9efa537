// SPDX-License-Identifier: GPL-2.0-or-later
/* Flags, hints, fences, random numbers, BOUND, XLAT. */
#include <sched.h>

#include "cpu/interp/interp.h"
#include "cpu/interp/ops_template.h"

/* PAUSEs after which a guest seems to wait for a vCPU whose thread is not running. */
#define PAUSES_TO_YIELD 64

void op_nop(struct vcpu *cpu, const struct insn *insn)
{
	NEXT(cpu, insn);
}

void op_pause(struct vcpu *cpu, const struct insn *insn)
{
	__builtin_ia32_pause();
	if (unlikely(++cpu->interp->pauses == PAUSES_TO_YIELD)) {
		cpu->interp->pauses = 0;
		if (!(vm_disabled_exits(cpu->vm) & KVM_X86_DISABLE_EXITS_PAUSE))
			sched_yield();
	}
	NEXT(cpu, insn);
}

/* More than 15 bytes. */
void op_too_long(struct vcpu *cpu, const struct insn *insn)
{
	exception_gp(cpu, insn, 0);
}

/* ---- flags ---- */

void op_cmc(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.arith ^= ARITH_CF;
	NEXT(cpu, insn);
}

void op_clc(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.arith &= ~ARITH_CF;
	NEXT(cpu, insn);
}

void op_stc(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.arith |= ARITH_CF;
	NEXT(cpu, insn);
}

void op_cld(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.rflags &= ~(uint64_t)RFLAGS_DF;
	NEXT(cpu, insn);
}

void op_std(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.rflags |= RFLAGS_DF;
	NEXT(cpu, insn);
}

enum { AH = 1 }; /* byte offset in the registers */

void op_lahf(struct vcpu *cpu, const struct insn *insn)
{
	if (insn->code == 8)
		REQUIRE(cpu, insn, lahf64);
	SET8(cpu, AH, (arith_to_rflags(cpu->state.arith) & 0xff) | RFLAGS_FIXED);
	NEXT(cpu, insn);
}

void op_sahf(struct vcpu *cpu, const struct insn *insn)
{
	uint32_t overflow = arith_to_rflags(cpu->state.arith) & RFLAGS_OF;

	if (insn->code == 8)
		REQUIRE(cpu, insn, lahf64);
	cpu->state.arith = rflags_to_arith(REG8(cpu, AH) | overflow);
	NEXT(cpu, insn);
}

void op_salc(struct vcpu *cpu, const struct insn *insn)
{
	SET8(cpu, GPR_RAX * 8, cpu->state.arith & ARITH_CF ? 0xff : 0);
	NEXT(cpu, insn);
}

/* ---- memory ---- */

void op_xlat(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t offset = (cpu->state.gpr[GPR_RBX] + REG8(cpu, GPR_RAX * 8)) & insn->amask;

	SET8(cpu, GPR_RAX * 8, seg_read8(cpu, insn, insn->seg, offset));
	NEXT(cpu, insn);
}

/* LFENCE, MFENCE, SFENCE: the strongest of both kinds serves for all. */
void op_fence(struct vcpu *cpu, const struct insn *insn)
{
	__builtin_ia32_mfence();
	__builtin_ia32_lfence();
	NEXT(cpu, insn);
}

/* A cache line flush is a load as far as faults go; the rest of it is nothing that a guest sees. */
static void flush_line(struct vcpu *cpu, const struct insn *insn)
{
	mem_host(cpu, insn, mem_operand(cpu, insn, 1, ACCESS_READ), 1, ACCESS_READ);
}

#define FLUSH(name)                                                                                \
void op_##name(struct vcpu *cpu, const struct insn *insn)                                          \
{                                                                                                  \
	REQUIRE(cpu, insn, name);                                                                  \
	flush_line(cpu, insn);                                                                     \
	NEXT(cpu, insn);                                                                           \
}

FLUSH(clflush)
FLUSH(clflushopt)
FLUSH(clwb)

/* ---- BOUND ---- */

#define BOUND(bits)                                                                                \
static void bound_mem##bits(struct vcpu *cpu, const struct insn *insn)                             \
{                                                                                                  \
	uint64_t offset = mem_offset(cpu, insn);                                                   \
	int##bits##_t index = REG##bits(cpu, insn->reg), lower, upper;                             \
                                                                                                   \
	lower = seg_read##bits(cpu, insn, insn->seg, offset);                                      \
	upper = seg_read##bits(cpu, insn, insn->seg, (offset + (bits) / 8) & insn->amask);         \
	if (index < lower || index > upper)                                                        \
		exception(cpu, insn, VECTOR_BR, 0);                                                \
	NEXT(cpu, insn);                                                                           \
}

BOUND(16)
BOUND(32)

/* ---- RDRAND, RDSEED: the host's generator ---- */

#define RANDOM(name, bits, width)                                                                  \
static void name##_reg##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	uint##bits##_t value;                                                                      \
	uint32_t ax;                                                                               \
                                                                                                   \
	REQUIRE(cpu, insn, name);                                                                  \
	asm volatile(#name " %" width "[value]" ASM_SAVE_FLAGS                                     \
		     : [value] "=&r" (value), "=&a" (ax) : : "cc");                                \
	SET##bits(cpu, insn->rm, value);                                                           \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}

RANDOM(rdrand, 16, "w")
RANDOM(rdrand, 32, "k")
RANDOM(rdrand, 64, "q")
RANDOM(rdseed, 16, "w")
RANDOM(rdseed, 32, "k")
RANDOM(rdseed, 64, "q")

const struct handlers bound = { .mem = { NULL, bound_mem16, bound_mem32, NULL } };
const struct handlers rdrand = { .reg = BY_WIDE_SIZE(rdrand_reg) };
const struct handlers rdseed = { .reg = BY_WIDE_SIZE(rdseed_reg) };
