/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's MXCSR in the host's register.
 *
 * Thunks run with the guest's rounding, DAZ and FTZ and with every exception masked. Loading that
 * and reading the flags back costs several times what an addition does, so inside interp_run() the
 * register keeps the guest's value from one floating point instruction to the next, and
 * state.fpu.mxcsr gets the flags when somebody wants them:
 *
 * - mxcsr_unload() comes before anything of the engine reads or writes state.fpu.mxcsr, before other
 *   code that may calculate runs, and before interp_run() returns;
 * - the interpreter itself, and what it calls meanwhile, uses no floating point;
 * - the kernel gives signal handlers an MXCSR of their own, and a guard that leaves one by a jump
 *   puts the interrupted one back (util/guard.c).
 *
 * A guest that unmasks an exception has its flags read after every instruction. Of overflow and
 * underflow it gets what they are when masked: an exact denormal raises nothing, and PE may be set
 * besides.
 */
#ifndef FAUXKVM_CPU_INTERP_MXCSR_H
#define FAUXKVM_CPU_INTERP_MXCSR_H

#include "cpu/interp/interp.h"

#define MXCSR_FLAGS 0x3fu
#define MXCSR_MASKS 0x1f80u

static inline uint32_t mxcsr_host_get(void)
{
	uint32_t value;

	__asm__ volatile("stmxcsr %0" : "=m"(value) : : "memory");
	return value;
}

static inline void mxcsr_host_set(uint32_t value)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(value) : "memory");
}

/* The register gets the guest's value; mxcsr.each says whether mxcsr_raised() must follow. */
void mxcsr_load_slow(struct vcpu *cpu);

/* In front of a thunk that calculates. */
static inline void mxcsr_load(struct vcpu *cpu)
{
	if (unlikely(!cpu->interp->mxcsr.loaded))
		mxcsr_load_slow(cpu);
}

/* Whether @flags hold an exception that the guest has unmasked. */
static inline bool mxcsr_unmasked(const struct vcpu *cpu, uint32_t flags)
{
	return flags & ~(cpu->state.fpu.mxcsr >> 7);
}

/*
 * The register is the host's again. Returns the flags raised meanwhile that state.fpu.mxcsr does not
 * have yet: they are the caller's now.
 */
uint32_t mxcsr_take(struct vcpu *cpu);

/* The register is the host's, and state.fpu.mxcsr exact. */
static inline void mxcsr_unload(struct vcpu *cpu)
{
	if (unlikely(cpu->interp->mxcsr.loaded))
		cpu->state.fpu.mxcsr |= mxcsr_take(cpu);
}

/*
 * Behind a thunk that calculates, when mxcsr.each: true when the instruction raises an exception.
 * Then the caller undoes what it wrote and calls mxcsr_exception().
 */
bool mxcsr_raised(struct vcpu *cpu);
_Noreturn void mxcsr_exception(struct vcpu *cpu, const struct insn *insn);

/* From here on the register may keep the guest's value between instructions; and no longer. */
static inline void mxcsr_keep(struct vcpu *cpu)
{
	cpu->interp->mxcsr.keep = true;
}

static inline void mxcsr_release(struct vcpu *cpu)
{
	mxcsr_unload(cpu);
	cpu->interp->mxcsr.keep = false;
}

#endif
