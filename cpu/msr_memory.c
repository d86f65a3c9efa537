/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs of memory types and machine checks. Source: Intel SDM volume 3, 12.11 (MTRR), 12.12 (PAT),
 * 16.3 (machine check).
 */
#include <errno.h>

#include "cpu/msr_table.h"

#define MCG_BANKS 0xffull
#define MCG_CTL_P (1ull << 8)
#define MCG_CMCI_P (1ull << 10)
#define CTL2_WRITABLE (1ull << 30 | 0x7fff) /* CMCI enable, threshold */
#define HWCR_MC_STATUS_WRITE (1ull << 18)

enum { BANK_CTL, BANK_STATUS, BANK_ADDR, BANK_MISC, BANK_MSRS };

/* ---- memory types ---- */

static bool memory_type_valid(uint8_t type)
{
	return type < 8 && (1u << type & 0x73); /* UC WC WT WP WB */
}

int msr_set_pat(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	unsigned i;

	(void)index, (void)host;
	for (i = 0; i < 8; i++) {
		uint8_t type = value >> (8 * i);

		if (!memory_type_valid(type) && type != 7 /* UC- */)
			return -EINVAL;
	}
	vcpu->state.msr.pat = value;
	return 0;
}

int msr_set_mtrr_fixed(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	unsigned i;

	(void)host;
	for (i = 0; i < 8; i++)
		if (!memory_type_valid(value >> (8 * i)))
			return -EINVAL;
	if (index == MSR_MTRR_FIX64K)
		vcpu->state.msr.mtrr_fixed[0] = value;
	else if (index < MSR_MTRR_FIX4K)
		vcpu->state.msr.mtrr_fixed[1 + index - MSR_MTRR_FIX16K] = value;
	else
		vcpu->state.msr.mtrr_fixed[3 + index - MSR_MTRR_FIX4K] = value;
	return 0;
}

int msr_set_mtrr_def_type(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (!memory_type_valid(value & 0xff))
		return -EINVAL;
	vcpu->state.msr.mtrr_def_type = value;
	return 0;
}

int msr_set_mtrr_variable(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	uint64_t reserved = ~0ull << vcpu->features.maxphyaddr;

	(void)host;
	if (index & 1) {
		if (value & (reserved | 0x7ff))
			return -EINVAL;
	} else if ((value & (reserved | 0xf00)) || !memory_type_valid(value & 0xff)) {
		return -EINVAL;
	}
	vcpu->state.msr.mtrr_var[index - MSR_MTRR_PHYSBASE0] = value;
	return 0;
}

/* ---- machine check ---- */

int msr_get_mc(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	unsigned i = index - MSR_MC0_CTL;

	(void)host;
	if (i >= BANK_MSRS * (vcpu->state.msr.mcg_cap & MCG_BANKS))
		return -EINVAL;
	*value = vcpu->state.msr.mc_banks[i];
	return 0;
}

int msr_set_mc(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	unsigned i = index - MSR_MC0_CTL, which = i % BANK_MSRS;

	if (i >= BANK_MSRS * (vcpu->state.msr.mcg_cap & MCG_BANKS))
		return -EINVAL;
	/* MCi_CTL is all or nothing, but for bits 10 and 0 that guests are known to clear. */
	if (which == BANK_CTL && value && (value | 1ull << 10 | 1) != ~0ull)
		return -EINVAL;
	/* A guest clears MCi_STATUS; other values need AMD's HWCR. */
	if (!host && which == BANK_STATUS && value &&
	    !(vcpu->features.amd && (vcpu->state.msr.hwcr & HWCR_MC_STATUS_WRITE)))
		return -EINVAL;
	vcpu->state.msr.mc_banks[i] = value;
	return 0;
}

int msr_get_mc_ctl2(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	unsigned bank = index - MSR_MC0_CTL2;

	if (bank >= (vcpu->state.msr.mcg_cap & MCG_BANKS))
		return -EINVAL;
	if (!(vcpu->state.msr.mcg_cap & MCG_CMCI_P) && !host)
		return -EINVAL;
	*value = vcpu->state.msr.mc_ctl2[bank];
	return 0;
}

int msr_set_mc_ctl2(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	unsigned bank = index - MSR_MC0_CTL2;

	if (bank >= (vcpu->state.msr.mcg_cap & MCG_BANKS))
		return -EINVAL;
	if (!(vcpu->state.msr.mcg_cap & MCG_CMCI_P) && (value || !host))
		return -EINVAL;
	if (value & ~CTL2_WRITABLE)
		return -EINVAL;
	vcpu->state.msr.mc_ctl2[bank] = value;
	return 0;
}

int msr_get_mcg_ctl(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index;
	if (!(vcpu->state.msr.mcg_cap & MCG_CTL_P) && !host)
		return -EINVAL;
	*value = vcpu->state.msr.mcg_ctl;
	return 0;
}

int msr_set_mcg_ctl(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index;
	if (!(vcpu->state.msr.mcg_cap & MCG_CTL_P) && (value || !host))
		return -EINVAL;
	if (value && value != ~0ull)
		return -EINVAL;
	vcpu->state.msr.mcg_ctl = value;
	return 0;
}
