// SPDX-License-Identifier: GPL-2.0-or-later
/* Exchanges: XADD, XCHG, CMPXCHG, CMPXCHG8B, CMPXCHG16B. Guest atomics are host atomics. */
#include "cpu/interp/ops_template.h"

/* ---- XADD ---- */

#define XADD(bits)                                                                                 \
static void xadd_reg##bits(struct vcpu *cpu, const struct insn *insn)                              \
{                                                                                                  \
	uint##bits##_t a = REG##bits(cpu, insn->rm), b = REG##bits(cpu, insn->reg);                \
	uint32_t ax;                                                                               \
                                                                                                   \
	asm("xadd %[b], %[a]" ASM_SAVE_FLAGS : [a] "+r" (a), [b] "+r" (b), "=&a" (ax) : : "cc");   \
	SET##bits(cpu, insn->reg, b);                                                              \
	SET##bits(cpu, insn->rm, a);                                                               \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
XADD_RMW(xadd_mem##bits, bits, "")                                                                 \
XADD_RMW(xadd_lock##bits, bits, "lock ")

#define XADD_RMW(handler, bits, lock)                                                              \
BODY handler##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t *p, bool slow)       \
{                                                                                                  \
	uint##bits##_t b = REG##bits(cpu, insn->reg);                                              \
	uint32_t ax;                                                                               \
                                                                                                   \
	asm volatile(lock "xadd %[b], %[m]" ASM_SAVE_FLAGS                                         \
		     : [m] "+m" (*p), [b] "+r" (b), "=&a" (ax) : : "cc", "memory");               \
	rmw_finish(cpu, insn, slow);                                                               \
	SET##bits(cpu, insn->reg, b);                                                              \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
RMW_HANDLER(handler, bits)

XADD(8)
XADD(16)
XADD(32)
XADD(64)

/* ---- XCHG: with memory it is atomic, LOCK or not ---- */

#define XCHG(bits)                                                                                 \
static void xchg_reg##bits(struct vcpu *cpu, const struct insn *insn)                              \
{                                                                                                  \
	uint##bits##_t a = REG##bits(cpu, insn->rm), b = REG##bits(cpu, insn->reg);                \
                                                                                                   \
	SET##bits(cpu, insn->rm, b);                                                               \
	SET##bits(cpu, insn->reg, a);                                                              \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
BODY xchg_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t *p,           \
			   bool slow)                                                              \
{                                                                                                  \
	uint##bits##_t b = REG##bits(cpu, insn->reg);                                              \
                                                                                                   \
	asm volatile("xchg %[b], %[m]" : [m] "+m" (*p), [b] "+r" (b) : : "memory");               \
	rmw_finish(cpu, insn, slow);                                                               \
	SET##bits(cpu, insn->reg, b);                                                              \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
RMW_HANDLER(xchg_mem##bits, bits)

XCHG(8)
XCHG(16)
XCHG(32)
XCHG(64)

/* ---- CMPXCHG ---- */

/*
 * RAX and a 32-bit register destination are passed and taken back with all 64 bits: whether a
 * compare that succeeds or fails clears an upper half is the host's business. @whole is the size
 * of the register destination that way.
 */
#define CMPXCHG(bits, whole, width)                                                                \
static void cmpxchg_reg##bits(struct vcpu *cpu, const struct insn *insn)                           \
{                                                                                                  \
	uint##whole##_t a = REG##whole(cpu, insn->rm);                                             \
	uint##bits##_t b = REG##bits(cpu, insn->reg);                                              \
	uint64_t rax = cpu->state.gpr[GPR_RAX], old;                                               \
                                                                                                   \
	asm("cmpxchg %[b], %" width "[a]\n\tmov %%rax, %[old]" ASM_SAVE_FLAGS                      \
	    : [a] "+&r" (a), [old] "=&r" (old), "+&a" (rax) : [b] "r" (b) : "cc");                \
	cpu->state.gpr[GPR_RAX] = old;                                                             \
	SET##whole(cpu, insn->rm, a);                                                              \
	cpu->state.arith = (uint16_t)rax;                                                          \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
CMPXCHG_RMW(cmpxchg_mem##bits, bits, "")                                                           \
CMPXCHG_RMW(cmpxchg_lock##bits, bits, "lock ")

#define CMPXCHG_RMW(handler, bits, lock)                                                           \
BODY handler##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t *p, bool slow)       \
{                                                                                                  \
	uint##bits##_t b = REG##bits(cpu, insn->reg);                                              \
	uint64_t rax = cpu->state.gpr[GPR_RAX], old;                                               \
                                                                                                   \
	asm volatile(lock "cmpxchg %[b], %[m]\n\tmov %%rax, %[old]" ASM_SAVE_FLAGS                 \
		     : [m] "+m" (*p), [old] "=&r" (old), "+&a" (rax) : [b] "r" (b)                 \
		     : "cc", "memory");                                                            \
	rmw_finish(cpu, insn, slow);                                                               \
	cpu->state.gpr[GPR_RAX] = old;                                                             \
	cpu->state.arith = (uint16_t)rax;                                                          \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
RMW_HANDLER(handler, bits)

CMPXCHG(8, 8, "b")
CMPXCHG(16, 16, "w")
CMPXCHG(32, 64, "k")
CMPXCHG(64, 64, "q")

/* ---- CMPXCHG8B, CMPXCHG16B ---- */

/* Only ZF changes: the incoming flags are loaded first. RAX carries them, so it is saved around. */
#define CMPXCHG_PAIR(handler, operand, pair)                                                       \
static always_inline void handler(struct vcpu *cpu, const struct insn *insn, operand *p)           \
{                                                                                                  \
	uint64_t rax = cpu->state.gpr[GPR_RAX], rdx = cpu->state.gpr[GPR_RDX];                     \
	uint64_t flags = cpu->state.arith;                                                         \
                                                                                                   \
	asm volatile("xchg %[flags], %%rax\n\t" ASM_LOAD_FLAGS                                     \
		     "mov %[flags], %%rax\n\t" pair " %[m]\n\t"                                    \
		     "mov %%rax, %[flags]" ASM_SAVE_FLAGS                                          \
		     : [m] "+m" (*p), [flags] "+&r" (flags), "+&a" (rax), "+&d" (rdx)              \
		     : "b" (cpu->state.gpr[GPR_RBX]), "c" (cpu->state.gpr[GPR_RCX])                \
		     : "cc", "memory");                                                            \
	rmw_done(cpu, insn);                                                                       \
	cpu->state.gpr[GPR_RAX] = flags;                                                           \
	cpu->state.gpr[GPR_RDX] = rdx;                                                             \
	cpu->state.arith = (uint16_t)rax;                                                          \
}

CMPXCHG_PAIR(cmpxchg8b_plain, uint64_t, "cmpxchg8b")
CMPXCHG_PAIR(cmpxchg8b_atomic, uint64_t, "lock cmpxchg8b")
CMPXCHG_PAIR(cmpxchg16b_plain, unsigned __int128, "cmpxchg16b")
CMPXCHG_PAIR(cmpxchg16b_atomic, unsigned __int128, "lock cmpxchg16b")

static void cmpxchg8b(struct vcpu *cpu, const struct insn *insn)
{
	cmpxchg8b_plain(cpu, insn, rmw64(cpu, insn));
	NEXT(cpu, insn);
}

static void cmpxchg8b_lock(struct vcpu *cpu, const struct insn *insn)
{
	cmpxchg8b_atomic(cpu, insn, rmw64(cpu, insn));
	NEXT(cpu, insn);
}

static void *cmpxchg16b_operand(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t address;
	void *p;

	REQUIRE(cpu, insn, cmpxchg16b);
	address = mem_operand(cpu, insn, 16, ACCESS_WRITE);
	if (unlikely(address & 15))
		exception_gp(cpu, insn, 0);
	p = mmu_lookup(&cpu->mmu, address, 16, ACCESS_WRITE, cpu->data_mode);
	cpu->insn_now = insn;
	return likely(p) ? p : mem_rmw_slow(cpu, insn, address, 16);
}

static void cmpxchg16b(struct vcpu *cpu, const struct insn *insn)
{
	cmpxchg16b_plain(cpu, insn, cmpxchg16b_operand(cpu, insn));
	NEXT(cpu, insn);
}

static void cmpxchg16b_lock(struct vcpu *cpu, const struct insn *insn)
{
	cmpxchg16b_atomic(cpu, insn, cmpxchg16b_operand(cpu, insn));
	NEXT(cpu, insn);
}

/* ---- tables ---- */

const struct handlers xadd_rm_reg = {
	.reg = BY_SIZE(xadd_reg), .mem = BY_SIZE(xadd_mem), .lock = BY_SIZE(xadd_lock),
};
const struct handlers xchg_rm_reg = {
	.reg = BY_SIZE(xchg_reg), .mem = BY_SIZE(xchg_mem), .lock = BY_SIZE(xchg_mem),
};
const struct handlers cmpxchg_rm_reg = {
	.reg = BY_SIZE(cmpxchg_reg), .mem = BY_SIZE(cmpxchg_mem), .lock = BY_SIZE(cmpxchg_lock),
};
const struct handlers cmpxchg_pair = {
	.mem = { NULL, NULL, cmpxchg8b, cmpxchg16b },
	.lock = { NULL, NULL, cmpxchg8b_lock, cmpxchg16b_lock },
};
