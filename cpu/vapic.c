/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM_TPR_ACCESS_REPORTING and KVM_SET_VAPIC_ADDR: user space patches a 32-bit guest's accesses to
 * TPR into accesses to a page that the vCPU keeps in step with its local APIC.
 */
#include "cpu/interp/insn.h"

void vcpu_tpr_accessed(struct vcpu *vcpu, bool write)
{
	if (!vcpu->tpr_reporting)
		return;
	vcpu->tpr_access.rip = vcpu->insn_now ? insn_ip(vcpu, vcpu->insn_now) :
						vcpu->state.gpr[GPR_BLOCK];
	vcpu->tpr_access.write = write;
	vcpu_request(vcpu, VCPU_REQUEST_TPR_ACCESS);
}

bool vcpu_exit_tpr_access(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (!(atomic_load(&vcpu->requests) & VCPU_REQUEST_TPR_ACCESS))
		return false;
	atomic_fetch_and(&vcpu->requests, ~(unsigned)VCPU_REQUEST_TPR_ACCESS);
	run->exit_reason = KVM_EXIT_TPR_ACCESS;
	run->tpr_access.rip = vcpu->tpr_access.rip;
	run->tpr_access.is_write = vcpu->tpr_access.write;
	return true;
}

void vcpu_vapic_in(struct vcpu *vcpu)
{
	uint32_t word;

	/* A page that is gone leaves TPR as it is. */
	if (!memory_read(vcpu->vm->memory, NULL, vcpu->vapic_gpa, &word, sizeof(word)) &&
	    (uint8_t)word != lapic_get_tpr(vcpu->lapic))
		lapic_set_tpr(vcpu->lapic, word);
}

void vcpu_vapic_out(struct vcpu *vcpu)
{
	uint32_t word = lapic_get_vapic(vcpu->lapic), old;

	/* Only changes dirty the page. */
	if (memory_read(vcpu->vm->memory, NULL, vcpu->vapic_gpa, &old, sizeof(old)) || old == word)
		return;
	memory_write(vcpu->vm->memory, NULL, vcpu->vapic_gpa, &word, sizeof(word),
		     &vcpu->mmu);
}
