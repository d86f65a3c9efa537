/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control registers: the checks that instructions, task switches and KVM_SET_SREGS share. */
#ifndef FAUXKVM_CPU_CONTROL_H
#define FAUXKVM_CPU_CONTROL_H

#include "cpu/vcpu.h"

/* The four PDPTEs that @cr3 points to in PAE paging. -EINVAL: reserved bits; -EFAULT: no memory. */
int control_read_pdptrs(struct vcpu *vcpu, uint64_t cr3, uint64_t pdptr[4]);
static inline bool control_pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

/*
 * MOV to a control register: 0 or -EINVAL (#GP(0)), with everything that follows from the change
 * (LMA, PDPTRs, TLB). Nothing has changed after an error.
 */
int control_write_cr0(struct vcpu *vcpu, uint64_t value);
int control_write_cr3(struct vcpu *vcpu, uint64_t value);
int control_write_cr4(struct vcpu *vcpu, uint64_t value);
/* Bits of CR3 that must be 0. */
uint64_t control_cr3_reserved(const struct vcpu *vcpu);

#endif
