/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filling in kvm_run for user space. Used by engines and the run loop, vCPU thread only. */
#ifndef FAUXKVM_CPU_EXIT_H
#define FAUXKVM_CPU_EXIT_H

#include <stdint.h>

struct vcpu;

/* KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_EMULATION with the bytes at RIP, and a log line. */
void exit_emulation_error(struct vcpu *vcpu);

/*
 * A host page behind a slot is missing: run_error = -EFAULT (-EHWPOISON: @si_code says poisoned)
 * and KVM_EXIT_MEMORY_FAULT for the page that @hva is in.
 */
void exit_host_fault(struct vcpu *vcpu, const uint8_t *hva, int si_code);
void exit_memory_fault(struct vcpu *vcpu, uint64_t gpa, uint64_t bytes, uint64_t flags);

/* KVM_EXIT_MMIO for one fragment of 1..8 bytes. */
void exit_mmio(struct vcpu *vcpu, uint64_t gpa, const void *data, unsigned bytes, int is_write);

#endif
