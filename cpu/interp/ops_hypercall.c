/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMCALL and VMMCALL. Source: KVM document hypercalls.rst; api.rst 7.27 (user-space exits). */
#include <errno.h>
#include <linux/kvm_para.h>
#include <string.h>

#include "cpu/interp/system.h"

#ifndef KVM_FEATURE_PV_UNHALT
#define KVM_FEATURE_PV_UNHALT 7
#define KVM_FEATURE_PV_SEND_IPI 11
#define KVM_FEATURE_PV_SCHED_YIELD 13
#endif
#ifndef KVM_HC_MAP_GPA_RANGE
#define KVM_HC_MAP_GPA_RANGE 12
#endif
#ifndef KVM_EXIT_HYPERCALL_LONG_MODE
#define KVM_EXIT_HYPERCALL_LONG_MODE 1
#endif

#define HYPERCALL_BYTES 3
#define MODRM_VMMCALL 0xd9

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

/* User space keeps what is private: it is told of every range. */
static uint64_t map_gpa_range(struct vcpu *cpu, const struct insn *insn, const uint64_t argument[4])
{
	uint64_t gpa = argument[0], pages = argument[1], result;
	const struct replay_entry *entry;
	struct kvm_run *run = cpu->run;

	if (!(__atomic_load_n(&cpu->vm->hypercall_exits, __ATOMIC_RELAXED) >>
	      KVM_HC_MAP_GPA_RANGE & 1))
		return -KVM_ENOSYS;
	if ((gpa & ~GUEST_PAGE_MASK) || !pages ||
	    (gpa >> GUEST_PAGE_SHIFT) + pages <= gpa >> GUEST_PAGE_SHIFT)
		return -KVM_EINVAL;
	entry = replay_answer(cpu, REPLAY_HYPERCALL, KVM_HC_MAP_GPA_RANGE);
	if (entry) {
		memcpy(&result, entry->data, sizeof(result));
		return result;
	}
	replay_ask(cpu, REPLAY_HYPERCALL, KVM_HC_MAP_GPA_RANGE);
	run->exit_reason = KVM_EXIT_HYPERCALL;
	memset(&run->hypercall, 0, sizeof(run->hypercall));
	run->hypercall.nr = KVM_HC_MAP_GPA_RANGE;
	memcpy(run->hypercall.args, argument, 3 * sizeof(argument[0]));
	run->hypercall.longmode = insn->code == 8 ? KVM_EXIT_HYPERCALL_LONG_MODE : 0;
	interp_leave(cpu, insn, ENGINE_EXIT);
}

static uint64_t hypercall(struct vcpu *cpu, const struct insn *insn, uint64_t nr,
			  const uint64_t argument[4])
{
	switch (nr) {
	case KVM_HC_VAPIC_POLL_IRQ:
		/* What it is for: the run loop looks at the page and for interrupts. */
		event_check(cpu);
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
		return send_ipi(cpu, argument, argument[2], argument[3],
				insn->code == 8 ? 64 : 32);
	case KVM_HC_SCHED_YIELD:
		if (!vcpu_pv_feature(cpu, KVM_FEATURE_PV_SCHED_YIELD))
			break;
		cpu->stats.directed_yield_attempted++;
		return 0;
	case KVM_HC_MAP_GPA_RANGE:
		return map_gpa_range(cpu, insn, argument);
	}
	return -KVM_ENOSYS;
}

/*
 * The instruction of the other vendor is #UD on a real processor. KVM replaces it in the guest's
 * code unless the quirk is disabled. True: done, the instruction begins again.
 */
static bool replace_instruction(struct vcpu *cpu, const struct insn *insn)
{
	static const uint8_t vmcall[HYPERCALL_BYTES] = { 0x0f, 0x01, 0xc1 };
	static const uint8_t vmmcall[HYPERCALL_BYTES] = { 0x0f, 0x01, 0xd9 };
	bool amd = cpuid_host_is_amd();
	int status;

	if (amd == (insn->modrm == MODRM_VMMCALL))
		return false;
	if (vm_disabled_quirks(cpu->vm) & KVM_X86_QUIRK_FIX_HYPERCALL_INSN)
		exception_ud(cpu, insn);
	system_begin(cpu, insn);
	status = access_write(cpu, mem_linear(cpu, insn, insn->code == 8 ? SEG_FLAT : SEG_CS,
					      insn_ip(cpu, insn)),
			      amd ? vmmcall : vmcall, HYPERCALL_BYTES, cpu->data_mode);
	if (status)
		system_failed(cpu, insn, status);
	cpu->state.rip = insn_ip(cpu, insn);
	return true;
}

void op_vmcall(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t *gpr = cpu->state.gpr, result;
	uint64_t argument[4] = { gpr[GPR_RBX], gpr[GPR_RCX], gpr[GPR_RDX], gpr[GPR_RSI] };
	uint64_t nr = gpr[GPR_RAX];
	bool wide = insn->code == 8;
	unsigned i;

	if (replace_instruction(cpu, insn))
		return;
	if (!wide) {
		nr = (uint32_t)nr;
		for (i = 0; i < 4; i++)
			argument[i] = (uint32_t)argument[i];
	}
	if (state_cpl(&cpu->state))
		result = -KVM_EPERM;
	else
		result = hypercall(cpu, insn, nr, argument);
	cpu->stats.hypercalls++;
	gpr[GPR_RAX] = wide ? result : (uint32_t)result;
	END_BLOCK(cpu, insn);
}
