/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control registers and what follows from them. Source: Intel SDM volume 3, 2.5 and 4.1. */
#include "cpu/control.h"

#include <errno.h>
#include <string.h>

#include "cpu/smm.h"

#define CR0_KNOWN (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM |         \
		   CR0_NW | CR0_CD | CR0_PG)
#define CR3_NO_FLUSH (1ull << 63)
#define PDPTE_RESERVED 0x1e6ull
#define APIC_BASE_RESERVED 0x2ffull
#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)

void vcpu_mode_changed(struct vcpu *vcpu)
{
	const struct cpu_state *s = &vcpu->state;

	if (state_cpl(s) == 3) {
		vcpu->data_mode = vcpu->code_mode = TLB_USER;
	} else {
		vcpu->code_mode = TLB_SUPER;
		vcpu->data_mode = (s->cr4 & CR4_SMAP) && (s->rflags & RFLAGS_AC) ? TLB_SUPER_AC :
										     TLB_SUPER;
	}
	interp_mode_changed(vcpu);
}

void vcpu_paging_changed(struct vcpu *vcpu)
{
	const struct cpu_state *s = &vcpu->state;
	struct paging paging = {
		.cr0 = s->cr0,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.efer = s->efer,
		.pkru = s->pkru,
		.maxphyaddr = vcpu->features.maxphyaddr,
		.gbpages = vcpu->features.gbpages,
	};

	memcpy(paging.pdptr, s->pdptr, sizeof(paging.pdptr));
	mmu_set_paging(&vcpu->mmu, &paging);
}

static uint64_t physical_reserved(const struct vcpu *vcpu)
{
	return ~0ull << vcpu->features.maxphyaddr;
}

int control_read_pdptrs(struct vcpu *vcpu, uint64_t cr3, uint64_t pdptr[4])
{
	unsigned i;

	if (smm_read_physical(vcpu, cr3 & 0xffffffe0, pdptr, 32))
		return -EFAULT;
	for (i = 0; i < 4; i++)
		if ((pdptr[i] & 1) && (pdptr[i] & (PDPTE_RESERVED | physical_reserved(vcpu))))
			return -EINVAL;
	return 0;
}

int control_write_cr0(struct vcpu *vcpu, uint64_t value)
{
	struct cpu_state *s = &vcpu->state;
	uint64_t old = s->cr0, efer = s->efer, pdptr[4];
	bool pdptrs = false;

	if (value >> 32)
		return -EINVAL;
	value = (value & CR0_KNOWN) | CR0_ET;
	if ((value & CR0_NW) && !(value & CR0_CD))
		return -EINVAL;
	if ((value & CR0_PG) && !(value & CR0_PE))
		return -EINVAL;
	if (value & CR0_PG) {
		if (!(old & CR0_PG) && (efer & EFER_LME)) {
			if (!(s->cr4 & CR4_PAE) || s->seg[SEG_CS].l)
				return -EINVAL;
			efer |= EFER_LMA;
		}
	} else {
		if (state_code64(s) || (s->cr4 & CR4_PCIDE))
			return -EINVAL;
		efer &= ~EFER_LMA;
	}
	if (control_pae_paging(value, s->cr4, efer) &&
	    ((old ^ value) & (CR0_PG | CR0_CD | CR0_NW))) {
		if (control_read_pdptrs(vcpu, s->cr3, pdptr))
			return -EINVAL;
		pdptrs = true;
	}
	/* Privilege starts at level 0 on the way into protected mode. */
	if ((value & CR0_PE) && !(old & CR0_PE))
		s->seg[SEG_CS].dpl = s->seg[SEG_SS].dpl = 0;
	s->cr0 = value;
	s->efer = efer;
	if (pdptrs)
		memcpy(s->pdptr, pdptr, sizeof(pdptr));
	if (((old ^ value) & (CR0_PG | CR0_WP)) || pdptrs)
		vcpu_paging_changed(vcpu);
	if ((old ^ value) & (CR0_PE | CR0_PG | CR0_AM))
		vcpu_mode_changed(vcpu);
	return 0;
}

int vcpu_set_apic_base(struct vcpu *vcpu, uint64_t value, bool host)
{
	uint64_t reserved = physical_reserved(vcpu) | APIC_BASE_RESERVED;

	if (!vcpu->features.x2apic)
		reserved |= APIC_BASE_X2APIC;
	if (value & reserved)
		return -EINVAL;
	if (vcpu->lapic)
		return lapic_set_base(vcpu->lapic, value, host);
	if ((value & APIC_BASE_X2APIC) && !(value & APIC_BASE_ENABLE))
		return -EINVAL;
	vcpu->state.apic_base = value;
	return 0;
}

uint64_t control_cr3_reserved(const struct vcpu *vcpu)
{
	return state_long(&vcpu->state) ? physical_reserved(vcpu) : 0;
}

int control_write_cr3(struct vcpu *vcpu, uint64_t value)
{
	struct cpu_state *s = &vcpu->state;
	bool keep = false;

	if (state_long(s) && (s->cr4 & CR4_PCIDE)) {
		keep = value & CR3_NO_FLUSH;
		value &= ~CR3_NO_FLUSH;
	}
	if (value & control_cr3_reserved(vcpu))
		return -EINVAL;
	if (control_pae_paging(s->cr0, s->cr4, s->efer)) {
		uint64_t pdptr[4];

		if (control_read_pdptrs(vcpu, value, pdptr))
			return -EINVAL;
		memcpy(s->pdptr, pdptr, sizeof(pdptr));
		keep = false;
	}
	/* The TLB has no PCID tags: another PCID is another CR3 and flushes. */
	if (value != s->cr3) {
		s->cr3 = value;
		vcpu_paging_changed(vcpu);
	} else if (!keep) {
		vcpu_paging_changed(vcpu);
		mmu_flush_other(&vcpu->mmu);
	}
	return 0;
}

int control_write_cr4(struct vcpu *vcpu, uint64_t value)
{
	struct cpu_state *s = &vcpu->state;
	uint64_t old = s->cr4, changed = old ^ value, pdptr[4];

	if (value & vcpu->features.cr4_reserved)
		return -EINVAL;
	if (state_long(s)) {
		if (!(value & CR4_PAE) || (changed & CR4_LA57))
			return -EINVAL;
	} else if (value & CR4_PCIDE) {
		return -EINVAL;
	}
	if ((value & CR4_PCIDE) && !(old & CR4_PCIDE) && (s->cr3 & 0xfff))
		return -EINVAL;
	if (control_pae_paging(s->cr0, value, s->efer) &&
	    (changed & (CR4_PGE | CR4_PSE | CR4_PAE | CR4_SMEP))) {
		if (control_read_pdptrs(vcpu, s->cr3, pdptr))
			return -EINVAL;
		memcpy(s->pdptr, pdptr, sizeof(pdptr));
	}
	s->cr4 = value;
	vcpu_paging_changed(vcpu);
	if (changed & CR4_SMAP)
		vcpu_mode_changed(vcpu);
	return 0;
}
