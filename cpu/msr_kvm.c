/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM's own MSRs. Source: KVM document msr.rst. */
#include <errno.h>
#include <linux/kvm_para.h>

#include "cpu/msr_table.h"

#define ASYNC_PF_RESERVED 0x30ull
#define ASYNC_PF_AS_VMEXIT (1ull << 2)
#define ASYNC_PF_AS_INT (1ull << 3)
#define STEAL_TIME_RESERVED 0x3eull

#ifndef KVM_FEATURE_ASYNC_PF_VMEXIT
#define KVM_FEATURE_ASYNC_PF_VMEXIT 10
#endif
#ifndef KVM_FEATURE_ASYNC_PF_INT
#define KVM_FEATURE_ASYNC_PF_INT 14
#endif

/* The wall clock is one for the VM, but written where this vCPU says. */
int msr_set_wall_clock(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	vcpu->state.msr.kvm_wall_clock = value;
	/* A bad address leaves the guest without a wall clock, as in the kernel. */
	if (value)
		clock_write_wall_clock(vcpu->vm->clock, vcpu->vm->memory, &vcpu->mmu,
				       value);
	return 0;
}

int msr_set_system_time(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	vcpu->state.msr.kvm_system_time = value;
	vcpu_update_clock(vcpu);
	return 0;
}

int msr_set_async_pf(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (value & ASYNC_PF_RESERVED)
		return -EINVAL;
	if ((value & ASYNC_PF_AS_VMEXIT) && !vcpu_pv_feature(vcpu, KVM_FEATURE_ASYNC_PF_VMEXIT))
		return -EINVAL;
	if ((value & ASYNC_PF_AS_INT) && !vcpu_pv_feature(vcpu, KVM_FEATURE_ASYNC_PF_INT))
		return -EINVAL;
	if (!vcpu->lapic)
		return value ? -EINVAL : 0;
	vcpu->state.msr.kvm_async_pf_en = value;
	return 0;
}

int msr_set_async_pf_int(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (!vcpu->lapic)
		return -EINVAL;
	vcpu->state.msr.kvm_async_pf_int = value;
	return 0;
}

/* No page is ever late here, so there is nothing to acknowledge. */
int msr_set_async_pf_ack(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)vcpu, (void)index, (void)value, (void)host;
	return 0;
}

int msr_set_steal_time(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (value & STEAL_TIME_RESERVED)
		return -EINVAL;
	vcpu->state.msr.kvm_steal_time = value;
	vcpu_update_steal_time(vcpu);
	return 0;
}

/* The record is the guest's hint that an EOI may be skipped; it is never given here. */
int msr_set_pv_eoi(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (value & 2)
		return -EINVAL;
	vcpu->state.msr.kvm_pv_eoi = value;
	return 0;
}
