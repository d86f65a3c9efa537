/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SYSCALL, SYSRET, SYSENTER, SYSEXIT. Source: Intel SDM volume 2; AMD APM volume 3. */
#include "cpu/interp/system.h"

/* RFLAGS that SYSRET takes from R11. */
#define SYSRET_FLAGS 0x3c7fd7u

/* Intel has SYSCALL in 64-bit mode only, AMD in all protected modes. */
static void syscall_check(struct vcpu *cpu, const struct insn *insn)
{
	const struct cpu_state *s = &cpu->state;

	if (!(s->efer & EFER_SCE) || !system_protected(s))
		exception_ud(cpu, insn);
	if (insn->code != 8 && !cpu->features.amd)
		exception_ud(cpu, insn);
}

void op_syscall(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint16_t selector;

	syscall_check(cpu, insn);
	selector = s->msr.star >> 32 & ~SELECTOR_RPL;
	if (state_long(s)) {
		uint64_t flags = rflags_get(s) & ~(uint64_t)RFLAGS_RF;

		s->gpr[GPR_RCX] = insn_next_ip(cpu, insn);
		s->gpr[GPR_R11] = flags;
		s->rip = insn->code == 8 ? s->msr.lstar : s->msr.cstar;
		rflags_set(s, flags & ~(s->msr.sfmask & 0xffffffff));
	} else {
		s->gpr[GPR_RCX] = insn_next_ip(cpu, insn);
		s->rip = s->msr.star & 0xffffffff;
		s->rflags &= ~(uint64_t)(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF);
	}
	segment_set_flat_code(cpu, selector, 0, state_long(s));
	segment_set_flat_stack(cpu, selector + 8, 0);
	vcpu_mode_changed(cpu);
}

void op_sysret(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint64_t old = s->rflags;
	uint16_t selector;

	syscall_check(cpu, insn);
	require_cpl0(cpu, insn);
	selector = (s->msr.star >> 48) | SELECTOR_RPL;
	if (insn->opsize == 8) {
		if (!access_canonical(cpu, s->gpr[GPR_RCX]))
			exception_gp(cpu, insn, 0);
		s->rip = s->gpr[GPR_RCX];
		segment_set_flat_code(cpu, (selector + 16) | SELECTOR_RPL, 3, true);
	} else {
		s->rip = (uint32_t)s->gpr[GPR_RCX];
		segment_set_flat_code(cpu, selector, 3, false);
	}
	segment_set_flat_stack(cpu, (selector + 8) | SELECTOR_RPL, 3);
	if (state_long(s))
		rflags_set(s, s->gpr[GPR_R11] & SYSRET_FLAGS);
	else
		s->rflags |= RFLAGS_IF;
	vcpu_mode_changed(cpu);
	event_flags_changed(cpu, old ^ ((old ^ s->rflags) & RFLAGS_AC));
}

void op_sysenter(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint16_t selector = s->msr.sysenter_cs & ~SELECTOR_RPL & 0xffff;
	bool wide = state_long(s);

	if (!state_protected(s))
		exception_gp(cpu, insn, 0);
	if (wide && cpu->features.amd)
		exception_ud(cpu, insn);
	if (!selector)
		exception_gp(cpu, insn, 0);
	s->rflags &= ~(uint64_t)(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF);
	segment_set_flat_code(cpu, selector, 0, wide);
	segment_set_flat_stack(cpu, selector + 8, 0);
	s->gpr[GPR_RSP] = wide ? s->msr.sysenter_esp : (uint32_t)s->msr.sysenter_esp;
	s->rip = wide ? s->msr.sysenter_eip : (uint32_t)s->msr.sysenter_eip;
	vcpu_mode_changed(cpu);
}

void op_sysexit(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint16_t selector = s->msr.sysenter_cs & ~SELECTOR_RPL & 0xffff;
	uint64_t rip = s->gpr[GPR_RDX], rsp = s->gpr[GPR_RCX];

	if (!system_protected(s) || state_cpl(s) || !selector)
		exception_gp(cpu, insn, 0);
	if (state_long(s) && cpu->features.amd)
		exception_ud(cpu, insn);
	if (insn->opsize == 8) {
		if (!access_canonical(cpu, rip) || !access_canonical(cpu, rsp))
			exception_gp(cpu, insn, 0);
		segment_set_flat_code(cpu, (selector + 32) | SELECTOR_RPL, 3, true);
		segment_set_flat_stack(cpu, (selector + 40) | SELECTOR_RPL, 3);
	} else {
		rip = (uint32_t)rip;
		rsp = (uint32_t)rsp;
		segment_set_flat_code(cpu, (selector + 16) | SELECTOR_RPL, 3, false);
		segment_set_flat_stack(cpu, (selector + 24) | SELECTOR_RPL, 3);
	}
	s->gpr[GPR_RSP] = rsp;
	s->rip = rip;
	vcpu_mode_changed(cpu);
}
