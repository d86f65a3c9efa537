/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filling in kvm_run for user space. Used by engines and the run loop, vCPU thread only. */
#ifndef FAUXKVM_CPU_EXIT_H
#define FAUXKVM_CPU_EXIT_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/*
 * The instruction at RIP cannot be executed: a log line and, true, KVM_EXIT_INTERNAL_ERROR with
 * KVM_INTERNAL_ERROR_EMULATION and its bytes. False: only #UD for the guest, which is pending.
 */
bool exit_emulation_error(struct vcpu *vcpu);

/*
 * A host page behind a slot is missing: run_error = -EFAULT (-EHWPOISON: @si_code says poisoned)
 * and KVM_EXIT_MEMORY_FAULT for the page that @hva is in.
 */
void exit_host_fault(struct vcpu *vcpu, const uint8_t *hva, int si_code);
void exit_memory_fault(struct vcpu *vcpu, uint64_t gpa, uint64_t bytes, uint64_t flags);
/* The same for MMU_HOST_FAULT of mmu_translate(). */
struct mmu_result;
void exit_translation_fault(struct vcpu *vcpu, const struct mmu_result *result);

/* KVM_EXIT_DIRTY_RING_FULL. */
void exit_dirty_ring_full(struct vcpu *vcpu);

/* KVM_EXIT_MMIO for one fragment of 1..8 bytes. */
void exit_mmio(struct vcpu *vcpu, uint64_t gpa, const void *data, unsigned bytes, int is_write);

#endif
