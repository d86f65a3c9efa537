/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers of a vCPU: one ioctl each way for each structure, and kvm_run's synchronised ones. */
#include <errno.h>

#include "abi/internal.h"

long ioctl_vcpu_get_regs(struct ioctl_call *call)
{
	vcpu_get_regs(call_vcpu(call), call->data);
	return 0;
}

long ioctl_vcpu_set_regs(struct ioctl_call *call)
{
	vcpu_set_regs(call_vcpu(call), call->data);
	return 0;
}

long ioctl_vcpu_get_sregs(struct ioctl_call *call)
{
	vcpu_get_sregs(call_vcpu(call), call->data);
	return 0;
}

long ioctl_vcpu_set_sregs(struct ioctl_call *call)
{
	return vcpu_set_sregs(call_vcpu(call), call->data);
}

long ioctl_vcpu_get_sregs2(struct ioctl_call *call)
{
	vcpu_get_sregs2(call_vcpu(call), call->data);
	return 0;
}

long ioctl_vcpu_set_sregs2(struct ioctl_call *call)
{
	return vcpu_set_sregs2(call_vcpu(call), call->data);
}

long ioctl_vcpu_get_fpu(struct ioctl_call *call)
{
	vcpu_get_fpu(call_vcpu(call), call->data);
	return 0;
}

long ioctl_vcpu_set_fpu(struct ioctl_call *call)
{
	return vcpu_set_fpu(call_vcpu(call), call->data);
}

long ioctl_vcpu_get_debugregs(struct ioctl_call *call)
{
	vcpu_get_debugregs(call_vcpu(call), call->data);
	return 0;
}

long ioctl_vcpu_set_debugregs(struct ioctl_call *call)
{
	return vcpu_set_debugregs(call_vcpu(call), call->data);
}

/* ---- extended state ---- */

/* KVM_GET_XSAVE and KVM_GET_XSAVE2 are one: no state needs more than the 4 KiB of the former. */
long ioctl_vcpu_get_xsave(struct ioctl_call *call)
{
	vcpu_get_xsave(call_vcpu(call), call->data, XSAVE_AREA_BYTES);
	return 0;
}

long ioctl_vcpu_set_xsave(struct ioctl_call *call)
{
	return vcpu_set_xsave(call_vcpu(call), call->data, XSAVE_AREA_BYTES);
}

long ioctl_vcpu_get_xcrs(struct ioctl_call *call)
{
	struct kvm_xcrs *xcrs = call->data;

	xcrs->nr_xcrs = 1;
	xcrs->xcrs[0].xcr = 0;
	xcrs->xcrs[0].value = call_vcpu(call)->state.xcr0;
	return 0;
}

long ioctl_vcpu_set_xcrs(struct ioctl_call *call)
{
	const struct kvm_xcrs *xcrs = call->data;
	unsigned i;

	if (xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (i = 0; i < xcrs->nr_xcrs; i++)
		if (xcrs->xcrs[i].xcr == 0)
			return vcpu_set_xcr0(call_vcpu(call), xcrs->xcrs[i].value);
	return 0;
}

/* ---- kvm_run: KVM_CAP_SYNC_REGS ---- */

/*
 * The client may write the page at any time: a structure is copied before it is checked, and each
 * word of flags is read once.
 */
int vcpu_sync_in(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t valid = *(volatile __u64 *)&run->kvm_valid_regs;
	uint64_t dirty = *(volatile __u64 *)&run->kvm_dirty_regs;

	if ((valid | dirty) & ~(uint64_t)KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	if (dirty & KVM_SYNC_X86_REGS) {
		struct kvm_regs regs = run->s.regs.regs;

		vcpu_set_regs(vcpu, &regs);
	}
	if (dirty & KVM_SYNC_X86_SREGS) {
		struct kvm_sregs sregs = run->s.regs.sregs;

		if (vcpu_set_sregs(vcpu, &sregs))
			return -EINVAL;
	}
	if (dirty & KVM_SYNC_X86_EVENTS) {
		struct kvm_vcpu_events events = run->s.regs.events;

		if (vcpu_set_events(vcpu, &events))
			return -EINVAL;
	}
	run->kvm_dirty_regs &= ~(uint64_t)KVM_SYNC_X86_VALID_FIELDS;
	return 0;
}

void vcpu_sync_out(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t valid = *(volatile __u64 *)&run->kvm_valid_regs;

	if (valid & KVM_SYNC_X86_REGS)
		vcpu_get_regs(vcpu, &run->s.regs.regs);
	if (valid & KVM_SYNC_X86_SREGS)
		vcpu_get_sregs(vcpu, &run->s.regs.sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		vcpu_get_events(vcpu, &run->s.regs.events);
}
