/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM_X86_SET_MSR_FILTER: which MSRs the guest may reach (KVM document 4.97).
 *
 * A filter is immutable once it is installed. Each vCPU keeps a reference to the one it uses and
 * looks at the VM's generation before every access: an access sees one filter, old or new, and once
 * msr_filter_install() has returned every access that begins sees the new one.
 */
#ifndef FAUXKVM_CPU_MSR_FILTER_H
#define FAUXKVM_CPU_MSR_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MSR_FILTER_RANGES 16

struct vm;
struct vcpu;
struct msr_filter;

/* NULL: out of memory. One reference, the caller's. */
struct msr_filter *msr_filter_create(bool default_allow);
/*
 * @flags: KVM_MSR_FILTER_READ and _WRITE. The result has room for @count bits in
 * whole 64-bit words, to be filled in by the caller: 1 allows. NULL: out of memory. At most MSR_FILTER_RANGES; the first that matches counts.
 */
uint8_t *msr_filter_add(struct msr_filter *filter, uint32_t flags, uint32_t first, uint32_t count);
void msr_filter_put(struct msr_filter *filter); /* NULL is ignored */
/* Takes the reference over. */
void msr_filter_install(struct vm *vm, struct msr_filter *filter);

/* May the guest's RDMSR or WRMSR reach @index? By the vCPU's own thread. */
bool msr_filter_allows(struct vcpu *vcpu, uint32_t index, bool write);

#endif
