/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSRs of time, local APIC, modes and the processor's identity. Source: Intel SDM volume 4. */
#include <errno.h>

#include "cpu/msr_table.h"

#define EFER_KNOWN (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define MISC_ENABLE_EMON (1ull << 7)
#define MISC_ENABLE_PMU_READ_ONLY (1ull << 11 | 1ull << 12) /* BTS and PEBS unavailable */
#define MISC_ENABLE_MWAIT (1ull << 18)
#define PLATFORM_INFO_CPUID_FAULT (1ull << 31)
#define MISC_FEATURES_CPUID_FAULT 1ull
#define HWCR_IGNORED (1ull << 3 | 1ull << 6 | 1ull << 8)
#define HWCR_WRITABLE (1ull << 18 | 1ull << 24) /* McStatusWrEn, TscFreqSel */

/* ---- time ---- */

int msr_get_tsc(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index, (void)host;
	*value = tsc_read(&vcpu->tsc);
	return 0;
}

int msr_set_tsc(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index;
	if (host) {
		clock_write_tsc(vcpu->vm->clock, &vcpu->tsc, value, true);
	} else {
		uint64_t before = tsc_read(&vcpu->tsc);

		/* A guest's write shows in TSC_ADJUST as well (SDM 17.17.3). */
		tsc_write(&vcpu->tsc, value);
		vcpu->state.msr.tsc_adjust += value - before;
	}
	vcpu_request(vcpu, VCPU_REQUEST_CLOCK);
	return 0;
}

int msr_set_tsc_adjust(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index;
	if (!host) {
		vcpu->tsc.offset += value - vcpu->state.msr.tsc_adjust;
		vcpu_request(vcpu, VCPU_REQUEST_CLOCK);
	}
	vcpu->state.msr.tsc_adjust = value;
	return 0;
}

/*
 * With KVM_X86_DISABLE_EXITS_CSTATE a guest sees how long its vCPU has slept, in TSC cycles; user
 * space never does. Without it there are no such MSRs.
 */
int msr_get_residency(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	unsigned __int128 ns = vcpu->stats.halt_wait_ns;

	if (host || !(vm_disabled_exits(vcpu->vm) & KVM_X86_DISABLE_EXITS_CSTATE))
		return -ENOENT;
	*value = index == MSR_CORE_C1_RESIDENCY ? (uint64_t)(ns * vcpu->tsc.khz / 1000000) : 0;
	return 0;
}

int msr_get_tsc_deadline(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index, (void)host;
	*value = vcpu->lapic ? lapic_get_tsc_deadline(vcpu->lapic) : 0;
	return 0;
}

int msr_set_tsc_deadline(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (vcpu->lapic)
		lapic_set_tsc_deadline(vcpu->lapic, value);
	return 0;
}

/* ---- local APIC ---- */

int msr_get_apic_base(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index, (void)host;
	*value = vcpu->lapic ? lapic_get_base(vcpu->lapic) : vcpu->state.apic_base;
	return 0;
}

int msr_set_apic_base(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index;
	return vcpu_set_apic_base(vcpu, value, host);
}

int msr_get_x2apic(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)host;
	return vcpu->lapic ? lapic_msr_read(vcpu->lapic, index, value) : -EINVAL;
}

int msr_set_x2apic(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)host;
	return vcpu->lapic ? lapic_msr_write(vcpu->lapic, index, value) : -EINVAL;
}

/* ---- modes and segments ---- */

int msr_get_efer(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index, (void)host;
	*value = vcpu->state.efer;
	return 0;
}

int msr_set_efer(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	struct cpu_state *s = &vcpu->state;

	(void)index;
	if (value & ~EFER_KNOWN)
		return -EINVAL;
	if (!host) {
		/* As KVM: SCE is not bound to CPUID. */
		if (value & ~(vcpu->features.efer_allowed | EFER_SCE))
			return -EINVAL;
		/* LME may not change while paging is on. */
		if ((s->cr0 & CR0_PG) && ((value ^ s->efer) & EFER_LME))
			return -EINVAL;
	}
	/* LMA is the processor's own. */
	s->efer = (value & ~EFER_LMA) | (s->efer & EFER_LMA);
	vcpu_mode_changed(vcpu);
	vcpu_paging_changed(vcpu);
	return 0;
}

int msr_get_base(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)host;
	*value = vcpu->state.seg[index == MSR_FS_BASE_NUMBER ? SEG_FS : SEG_GS].base;
	return 0;
}

int msr_set_base(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	unsigned seg = index == MSR_FS_BASE_NUMBER ? SEG_FS : SEG_GS;

	(void)host;
	vcpu->state.seg[seg].base = value;
	vcpu->state.base[seg] = value;
	return 0;
}

/* AMD ignores the upper half, Intel faults: like KVM, the value is made canonical. */
int msr_set_sysenter_address(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	uint64_t address = (uint64_t)((int64_t)(value << 7) >> 7);

	(void)host;
	if (index == MSR_SYSENTER_ESP)
		vcpu->state.msr.sysenter_esp = address;
	else
		vcpu->state.msr.sysenter_eip = address;
	return 0;
}

int msr_set_tsc_aux(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	/* The upper half is reserved on Intel and ignored on AMD. */
	if (!vcpu->features.amd && value >> 32)
		return -EINVAL;
	vcpu->state.msr.tsc_aux = (uint32_t)value;
	return 0;
}

/* ---- the processor's identity ---- */

int msr_set_feature_control(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index;
	/* Bit 0 locks the rest until reset. */
	if (!host && (vcpu->state.msr.feature_control & 1))
		return -EINVAL;
	vcpu->state.msr.feature_control = value;
	return 0;
}

int msr_set_misc_enable(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	uint64_t old = vcpu->state.msr.misc_enable;

	(void)index;
	if (!host) {
		if ((old ^ value) & MISC_ENABLE_PMU_READ_ONLY)
			return -EINVAL;
		value = (value & ~MISC_ENABLE_EMON) | (old & MISC_ENABLE_EMON);
	}
	/* Without the quirk the bit shows in CPUID, which old processors cannot change. */
	if ((vm_disabled_quirks(vcpu->vm) & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT) &&
	    ((old ^ value) & MISC_ENABLE_MWAIT) && !vcpu->features.sse3)
		return -EINVAL;
	vcpu->state.msr.misc_enable = value;
	return 0;
}

int msr_get_platform_info(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index;
	if (!host && __atomic_load_n(&vcpu->vm->hide_platform_info, __ATOMIC_RELAXED))
		return -EINVAL;
	*value = vcpu->state.msr.platform_info;
	return 0;
}

int msr_set_platform_info(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (!(value & PLATFORM_INFO_CPUID_FAULT) &&
	    (vcpu->state.msr.misc_features & MISC_FEATURES_CPUID_FAULT))
		return -EINVAL;
	vcpu->state.msr.platform_info = value;
	return 0;
}

int msr_set_misc_features(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (value && !(vcpu->state.msr.platform_info & PLATFORM_INFO_CPUID_FAULT))
		return -EINVAL;
	vcpu->state.msr.misc_features = value;
	return 0;
}

int msr_set_hwcr(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	value &= ~HWCR_IGNORED;
	if (value & ~HWCR_WRITABLE)
		return -EINVAL;
	vcpu->state.msr.hwcr = value;
	return 0;
}
