/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/interp/mxcsr.h"

#include "cpu/interp/ops_system.h"

#define MXCSR_BEFORE 0x7u /* IE, DE, ZE */

void mxcsr_load_slow(struct vcpu *cpu)
{
	struct interp *interp = cpu->interp;
	uint32_t guest = cpu->state.fpu.mxcsr;

	interp->mxcsr.host = mxcsr_host_get();
	interp->mxcsr.loaded = true;
	interp->mxcsr.each = !interp->mxcsr.keep || (~guest & MXCSR_MASKS);
	mxcsr_host_set((guest & ~MXCSR_FLAGS) | MXCSR_MASKS);
}

/* Flags of the instructions since mxcsr_load(), which state.fpu.mxcsr does not have yet. */
static uint32_t pending(const struct vcpu *cpu)
{
	uint32_t flags = mxcsr_host_get() & MXCSR_FLAGS;

	/* Raised in front of the calculation: none follows, in no element (SDM volume 1, 11.5.3). */
	if (mxcsr_unmasked(cpu, flags & MXCSR_BEFORE))
		flags &= MXCSR_BEFORE;
	return flags;
}

uint32_t mxcsr_take(struct vcpu *cpu)
{
	uint32_t flags = pending(cpu);

	mxcsr_host_set(cpu->interp->mxcsr.host);
	cpu->interp->mxcsr.loaded = false;
	return flags;
}

bool mxcsr_raised(struct vcpu *cpu)
{
	uint32_t flags = pending(cpu);
	bool raised = mxcsr_unmasked(cpu, flags);

	if (raised || !cpu->interp->mxcsr.keep)
		mxcsr_take(cpu);
	else if (flags)
		mxcsr_host_set((cpu->state.fpu.mxcsr & ~MXCSR_FLAGS) | MXCSR_MASKS);
	cpu->state.fpu.mxcsr |= flags;
	return raised;
}

_Noreturn void mxcsr_exception(struct vcpu *cpu, const struct insn *insn)
{
	/* The flags are set, the destination is not (SDM volume 1, 11.5.2). */
	exception(cpu, insn, cpu->state.cr4 & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD, 0);
}
