/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID, time stamps, HLT, MONITOR and MWAIT, hypercalls.
 * Source: Intel SDM volume 2; KVM document hypercalls.rst.
 */
#include <errno.h>
#include <linux/kvm_para.h>

#include "cpu/interp/system.h"

#ifndef KVM_FEATURE_PV_UNHALT
#define KVM_FEATURE_PV_UNHALT 7
#define KVM_FEATURE_PV_SEND_IPI 11
#define KVM_FEATURE_PV_SCHED_YIELD 13
#endif

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

static void check_monitor(struct vcpu *cpu, const struct insn *insn)
{
	/* KVM executes both as NOP even where CPUID lacks them, unless the quirk is disabled. */
	if (!cpu->features.monitor &&
	    (vm_disabled_quirks(cpu->vm) & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS))
		exception_ud(cpu, insn);
	if (state_cpl(&cpu->state))
		exception_ud(cpu, insn);
}

void op_monitor(struct vcpu *cpu, const struct insn *insn)
{
	check_monitor(cpu, insn);
	END_BLOCK(cpu, insn);
}

void op_mwait(struct vcpu *cpu, const struct insn *insn)
{
	check_monitor(cpu, insn);
	END_BLOCK(cpu, insn);
}

/* ---- hypercalls ---- */

/* Ends the HLT of the vCPU with @apic_id without an interrupt. */
static void kick_cpu(struct vcpu *cpu, uint32_t apic_id)
{
	struct vcpu *target = vm_find_vcpu(cpu->vm, apic_id);

	if (target)
		vcpu_request(target, VCPU_REQUEST_UNHALT);
}

static uint64_t send_ipi(struct vcpu *cpu, const uint64_t bitmap[2], uint32_t first, uint32_t icr,
			 unsigned width)
{
	struct irqchip_message message = {
		.delivery_mode = icr >> 8 & 7,
		.vector = icr,
		.level = icr >> 15 & 1,
		.assert = icr >> 14 & 1,
	};
	uint64_t count = 0;
	unsigned i;

	if (!cpu->lapic || (icr >> 18 & 3)) /* a shorthand */
		return -KVM_EINVAL;
	for (i = 0; i < 2 * width; i++) {
		int delivered;

		if (!(bitmap[i / width] >> (i % width) & 1) ||
		    !vm_find_vcpu(cpu->vm, first + i))
			continue;
		message.destination = first + i;
		delivered = irqchip_deliver(cpu->vm->irqchip, cpu->lapic, &message);
		if (delivered > 0)
			count += delivered;
	}
	return count;
}

static uint64_t hypercall(struct vcpu *cpu, uint64_t nr, const uint64_t argument[4], bool wide)
{
	switch (nr) {
	case KVM_HC_VAPIC_POLL_IRQ:
		return 0;
	case KVM_HC_KICK_CPU:
		if (!vcpu_pv_feature(cpu, KVM_FEATURE_PV_UNHALT))
			break;
		kick_cpu(cpu, argument[1]);
		return 0;
	case KVM_HC_CLOCK_PAIRING:
		return -KVM_EOPNOTSUPP;
	case KVM_HC_SEND_IPI:
		if (!vcpu_pv_feature(cpu, KVM_FEATURE_PV_SEND_IPI))
			break;
		return send_ipi(cpu, argument, argument[2], argument[3], wide ? 64 : 32);
	case KVM_HC_SCHED_YIELD:
		if (!vcpu_pv_feature(cpu, KVM_FEATURE_PV_SCHED_YIELD))
			break;
		return 0;
	}
	return -KVM_ENOSYS;
}

void op_vmcall(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t *gpr = cpu->state.gpr, result;
	uint64_t argument[4] = { gpr[GPR_RBX], gpr[GPR_RCX], gpr[GPR_RDX], gpr[GPR_RSI] };
	uint64_t nr = gpr[GPR_RAX];
	bool wide = insn->code == 8;
	unsigned i;

	cpu->stats.hypercalls++;
	if (!wide) {
		nr = (uint32_t)nr;
		for (i = 0; i < 4; i++)
			argument[i] = (uint32_t)argument[i];
	}
	if (state_cpl(&cpu->state))
		result = -KVM_EPERM;
	else
		result = hypercall(cpu, nr, argument, wide);
	gpr[GPR_RAX] = wide ? result : (uint32_t)result;
	END_BLOCK(cpu, insn);
}
