/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID, time stamps, HLT, MONITOR and MWAIT. Source: Intel SDM volume 2. */
#include "cpu/interp/system.h"
#include "cpu/smm.h"

void op_ud(struct vcpu *cpu, const struct insn *insn)
{
	exception_ud(cpu, insn);
}

static void set_pair(struct vcpu *cpu, uint64_t value)
{
	cpu->state.gpr[GPR_RAX] = (uint32_t)value;
	cpu->state.gpr[GPR_RDX] = value >> 32;
}

/* ---- CPUID ---- */

void op_cpuid(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint32_t registers[4];

	/* CPUID faulting (MSR_MISC_FEATURES_ENABLES, bit 0). */
	if ((s->msr.misc_features & 1) && state_cpl(s))
		exception_gp(cpu, insn, 0);
	cpuid_query(cpu, s->gpr[GPR_RAX], s->gpr[GPR_RCX], registers);
	s->gpr[GPR_RAX] = registers[0];
	s->gpr[GPR_RBX] = registers[1];
	s->gpr[GPR_RCX] = registers[2];
	s->gpr[GPR_RDX] = registers[3];
	END_BLOCK(cpu, insn);
}

/* ---- system management mode ---- */

void op_rsm(struct vcpu *cpu, const struct insn *insn)
{
	if (!cpu->state.in_smm)
		exception_ud(cpu, insn);
	system_begin(cpu, insn);
	if (smm_leave(cpu)) {
		cpu->state.events.triple_fault = true;
		event_check(cpu);
	}
}

/* ---- time ---- */

static void check_tsd(struct vcpu *cpu, const struct insn *insn)
{
	if ((cpu->state.cr4 & CR4_TSD) && state_cpl(&cpu->state))
		exception_gp(cpu, insn, 0);
}

void op_rdtsc(struct vcpu *cpu, const struct insn *insn)
{
	check_tsd(cpu, insn);
	set_pair(cpu, tsc_read(&cpu->tsc));
	END_BLOCK(cpu, insn);
}

void op_rdtscp(struct vcpu *cpu, const struct insn *insn)
{
	if (!cpu->features.rdtscp)
		exception_ud(cpu, insn);
	check_tsd(cpu, insn);
	set_pair(cpu, tsc_read(&cpu->tsc));
	cpu->state.gpr[GPR_RCX] = (uint32_t)cpu->state.msr.tsc_aux;
	END_BLOCK(cpu, insn);
}

void op_rdpid(struct vcpu *cpu, const struct insn *insn)
{
	if (!cpu->features.rdpid || (insn->flags & INSN_MEM))
		exception_ud(cpu, insn);
	cpu->state.gpr[insn->rm_number] = (uint32_t)cpu->state.msr.tsc_aux;
	END_BLOCK(cpu, insn);
}

/* There is no PMU: no counter exists. */
void op_rdpmc(struct vcpu *cpu, const struct insn *insn)
{
	exception_gp(cpu, insn, 0);
}

/* ---- waiting ---- */

void op_hlt(struct vcpu *cpu, const struct insn *insn)
{
	require_cpl0(cpu, insn);
	interp_halt(cpu, insn);
}
