/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System management mode. In it the vCPU sees address space 1 of the memslots (SMRAM).
 * Source: Intel SDM volume 3, chapter 32; the save areas are those that KVM's guests know: AMD's
 * layout for processors with long mode, the P6's for others.
 */
#ifndef FAUXKVM_CPU_SMM_H
#define FAUXKVM_CPU_SMM_H

#include "cpu/vcpu.h"

#define SMBASE_AT_RESET 0x30000

/* From the run loop: the SMI that is pending takes effect. The caller has armed a guard. */
void smm_enter(struct vcpu *vcpu);
/* RSM. -EINVAL: the save area makes no sense, which is shutdown. The caller has armed a guard. */
int smm_leave(struct vcpu *vcpu);
/* Guest-physical memory as the vCPU sees it now, on one page. 0 or -EFAULT. */
int smm_read_physical(struct vcpu *vcpu, uint64_t gpa, void *data, unsigned bytes);
/* In SMM or not; memory follows. */
void smm_set(struct vcpu *vcpu, bool in_smm);

#endif
