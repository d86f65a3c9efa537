/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events: what instruction handlers and the run loop need beyond cpu/vcpu.h. */
#ifndef FAUXKVM_CPU_EVENT_H
#define FAUXKVM_CPU_EVENT_H

#include "cpu/access.h"

enum event_kind {
	EVENT_INTERRUPT,       /* maskable */
	EVENT_NMI,
	EVENT_EXCEPTION,       /* from hardware: fault, trap, abort */
	EVENT_SOFT_INTERRUPT,  /* INT n */
	EVENT_SOFT_EXCEPTION,  /* INT3, INTO */
	EVENT_PRIVILEGED_SOFT, /* INT1: no check of the gate's DPL */
};

/* Software events check the gate's DPL and have EXT 0 in error codes of faults on the way. */
static inline bool event_software(enum event_kind kind)
{
	return kind >= EVENT_SOFT_INTERRUPT;
}

/*
 * Goes through the IDT (or IVT) to the handler of @vector, which will return to @return_ip. The
 * state has not changed if the result (enum access_status) is negative. The caller has armed a
 * guard. (deliver.c)
 */
int event_deliver_vector(struct vcpu *vcpu, uint8_t vector, enum event_kind kind, bool has_error,
			 uint32_t error, uint64_t return_ip);
/* INT n in V86 mode that CR4.VME sends to the V86 program's own vector table. */
bool event_redirected(struct vcpu *vcpu, uint8_t vector, int *status);
int event_deliver_redirected(struct vcpu *vcpu, uint8_t vector, uint64_t return_ip);

/* DR6 or CR2 gets the value that came with the pending exception. */
void event_apply_payload(struct vcpu *vcpu);

/* A maskable interrupt waits for RFLAGS.IF (TPR is taken into account). */
static inline bool event_interrupt_waits(const struct vcpu *vcpu)
{
	const struct pending_events *e = &vcpu->state.events;

	if (e->interrupt.injected)
		return true;
	if (!vcpu->lapic)
		return false;
	return lapic_pending(vcpu->lapic) || (irqchip_extint_pending(vcpu->vm->irqchip) &&
					      lapic_accepts_extint(vcpu->lapic));
}

/* This vCPU's own thread: the run loop looks for events after the current instruction. */
static inline void event_check(struct vcpu *vcpu)
{
	atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_EVENT);
	atomic_store(&vcpu->exit_request, 1);
}

/* Is there anything for the run loop to do when RFLAGS.IF goes from 0 to 1, or TPR falls? */
static inline bool event_checks_soon(const struct vcpu *vcpu)
{
	return event_interrupt_waits(vcpu) || vcpu->state.events.nmi.pending ||
	       *(volatile __u8 *)&vcpu->run->request_interrupt_window;
}

/* It did. */
static inline void event_check_soon(struct vcpu *vcpu)
{
	if (event_checks_soon(vcpu))
		event_check(vcpu);
}

/* After an instruction replaced RFLAGS, whose system flags were @old. VM is the caller's. */
static inline void event_flags_changed(struct vcpu *vcpu, uint64_t old)
{
	uint64_t now = vcpu->state.rflags;

	if ((old ^ now) & RFLAGS_AC)
		vcpu_mode_changed(vcpu);
	if (now & ~old & RFLAGS_TF)
		event_check(vcpu);
	else if (now & ~old & RFLAGS_IF)
		event_check_soon(vcpu);
}

#endif
