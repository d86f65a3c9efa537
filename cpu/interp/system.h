/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the handlers of system instructions share. */
#ifndef FAUXKVM_CPU_INTERP_SYSTEM_H
#define FAUXKVM_CPU_INTERP_SYSTEM_H

#include "cpu/event.h"
#include "cpu/interp/mem.h"
#include "cpu/interp/ops_system.h"
#include "cpu/segment.h"

/* Leaves the instruction as the negative enum access_status @status demands. */
_Noreturn void system_failed(struct vcpu *cpu, const struct insn *insn, int status);

static inline void must(struct vcpu *cpu, const struct insn *insn, int status)
{
	if (unlikely(status < 0))
		system_failed(cpu, insn, status);
}

/* In front of functions that report enum access_status: where a host fault will have happened. */
static inline void system_begin(struct vcpu *cpu, const struct insn *insn)
{
	cpu->insn_now = insn;
}

static inline void require_cpl0(struct vcpu *cpu, const struct insn *insn)
{
	if (unlikely(state_cpl(&cpu->state)))
		exception_gp(cpu, insn, 0);
}

/* Protected mode proper: selectors name descriptors. */
static inline bool system_protected(const struct cpu_state *s)
{
	return state_protected(s) && !state_v86(s);
}

/* ---- the current stack ---- */

static inline uint64_t system_stack_mask(const struct vcpu *cpu, const struct insn *insn)
{
	if (insn->code == 8)
		return ~0ull;
	return cpu->state.seg[SEG_SS].db ? 0xffffffff : 0xffff;
}

static inline void system_set_sp(struct vcpu *cpu, uint64_t mask, uint64_t sp)
{
	uint64_t *rsp = &cpu->state.gpr[GPR_RSP];

	*rsp = mask == 0xffff ? (*rsp & ~0xffffull) | (sp & 0xffff) : sp & mask;
}

/* One value of @size 2, 4, 8 at @sp, which is masked here. */
uint64_t system_stack_read(struct vcpu *cpu, const struct insn *insn, uint64_t sp, unsigned size);
/* Pushes @count values; the first goes on top of the stack first. Returns the new SP, not set yet. */
uint64_t system_stack_push(struct vcpu *cpu, const struct insn *insn, const uint64_t *values,
			   unsigned count, unsigned size);

#endif
