/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linear memory access outside operands: descriptor tables, TSS, IDT, stacks of event delivery.
 *
 * These return a status where operand accesses (cpu/interp/mem.h) leave the instruction, so they
 * serve event delivery, where no instruction runs, and handlers. The caller has armed a guard
 * (util/guard.h); in a handler vcpu->insn_now is set.
 */
#ifndef FAUXKVM_CPU_ACCESS_H
#define FAUXKVM_CPU_ACCESS_H

#include "cpu/vcpu.h"

enum access_status {
	ACCESS_OK = 0,
	ACCESS_EXCEPTION = -1,   /* recorded with event_raise*() */
	ACCESS_MMIO = -2,        /* not RAM; nothing was done */
	ACCESS_HOST_FAULT = -3,  /* run_error and kvm_run are filled in */
	ACCESS_SWITCHED = 1,     /* task_switch(): done, the new task has an exception */
};

/* @linear is 32 bits wide outside long mode; 1..512 bytes. A write is complete or not begun. */
int access_read(struct vcpu *vcpu, uint64_t linear, void *data, unsigned bytes,
		enum tlb_mode mode);
int access_write(struct vcpu *vcpu, uint64_t linear, const void *data, unsigned bytes,
		 enum tlb_mode mode);
/* Would access_write() of the same succeed? */
int access_probe_write(struct vcpu *vcpu, uint64_t linear, unsigned bytes, enum tlb_mode mode);

static inline bool access_canonical(const struct vcpu *vcpu, uint64_t address)
{
	unsigned shift = vcpu->state.cr4 & CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(address << shift) >> shift) == address;
}

/* Records an exception and yields the status to return. */
static inline int access_fault(struct vcpu *vcpu, uint8_t vector, uint32_t error)
{
	event_raise(vcpu, vector, true, error);
	return ACCESS_EXCEPTION;
}

#endif
