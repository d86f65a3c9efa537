/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: raising and combining exceptions, the order of delivery.
 * Source: Intel SDM volume 3, 6.9 (priority) and 6.15 (double fault).
 */
#include "cpu/event.h"

#include <string.h>

#include "cpu/exit.h"
#include "cpu/smm.h"
#include "util/guard.h"

#define DR6_FIXED 0xfffe0ff0ull
#define DR6_ACTIVE_LOW (1ull << 16 | 1ull << 11) /* RTM, BLD */
#define DR6_TRAP_BITS 0xfull
#define DR7_GD (1ull << 13)

/* ---- raising ---- */

static bool contributory(uint8_t vector)
{
	return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP) || vector == 21;
}

void event_raise(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	struct pending_events *e = &vcpu->state.events;

	if (e->exception.injected || e->exception.pending) {
		uint8_t first = e->exception.vector;

		if (first == VECTOR_DF) {
			memset(&e->exception, 0, sizeof(e->exception));
			e->triple_fault = true;
			return;
		}
		if ((contributory(first) && contributory(vector)) ||
		    (first == VECTOR_PF && (contributory(vector) || vector == VECTOR_PF))) {
			vector = VECTOR_DF;
			has_error = true;
			error = 0;
		}
	}
	memset(&e->exception, 0, sizeof(e->exception));
	e->exception.pending = true;
	e->exception.vector = vector;
	e->exception.has_error_code = has_error;
	e->exception.error_code = has_error ? error : 0;
}

void event_raise_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error)
{
	vcpu->stats.pf_guest++;
	/* CR2 is also the second fault's when the two become #DF. */
	vcpu->state.cr2 = address;
	event_raise(vcpu, VECTOR_PF, true, error);
}

void event_raise_debug(struct vcpu *vcpu, uint64_t dr6_bits)
{
	struct pending_events *e = &vcpu->state.events;

	/* Several debug conditions of one instruction are one exception. */
	if (e->exception.pending && e->exception.vector == VECTOR_DB) {
		e->exception.has_payload = true;
		e->exception.payload |= dr6_bits;
		return;
	}
	event_raise(vcpu, VECTOR_DB, false, 0);
	if (e->exception.pending && e->exception.vector == VECTOR_DB) {
		e->exception.has_payload = true;
		e->exception.payload = dr6_bits;
	}
}

/* ---- delivery ---- */

/* DR6 and CR2 get the values that came with the exception. */
void event_apply_payload(struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	uint64_t payload = s->events.exception.payload;

	if (!s->events.exception.has_payload)
		return;
	s->events.exception.has_payload = false;
	s->events.exception.payload = 0;
	if (s->events.exception.vector == VECTOR_PF) {
		s->cr2 = payload;
	} else if (s->events.exception.vector == VECTOR_DB) {
		/* The payload has 1 for "happened" also where DR6 has 0. */
		s->dr6 = (s->dr6 & ~DR6_TRAP_BITS) | DR6_FIXED | DR6_ACTIVE_LOW;
		s->dr6 |= payload;
		s->dr6 ^= payload & DR6_ACTIVE_LOW;
	}
}

static bool fault_class(uint8_t vector)
{
	switch (vector) {
	case VECTOR_DB: /* who raises an instruction breakpoint has set RF */
	case VECTOR_NMI:
	case VECTOR_BP:
	case VECTOR_OF:
	case VECTOR_DF:
	case VECTOR_MC:
		return false;
	default:
		return true;
	}
}

static int deliver_exception(struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	struct pending_events *e = &s->events;
	enum event_kind kind = EVENT_EXCEPTION;
	uint8_t vector = e->exception.vector;
	uint64_t old_rflags = s->rflags, ip = s->rip;
	int status;

	if (e->exception.pending) {
		event_apply_payload(vcpu);
		if (vector == VECTOR_DB)
			s->dr7 &= ~DR7_GD;
		e->exception.pending = false;
		e->exception.injected = true;
	}
	if (fault_class(vector))
		s->rflags |= RFLAGS_RF;
	/* Raised by user space for the INT3 or INTO at RIP: the handler returns behind it. */
	if (vector == VECTOR_BP || vector == VECTOR_OF) {
		kind = EVENT_SOFT_EXCEPTION;
		ip++;
	}
	status = event_deliver_vector(vcpu, vector, kind, e->exception.has_error_code,
				      e->exception.error_code, ip);
	if (!status)
		memset(&e->exception, 0, sizeof(e->exception));
	else if (status < 0)
		s->rflags = old_rflags;
	return status;
}

static int deliver_nmi(struct vcpu *vcpu)
{
	struct pending_events *e = &vcpu->state.events;
	int status;

	status = event_deliver_vector(vcpu, VECTOR_NMI, EVENT_NMI, false, 0, vcpu->state.rip);
	if (status == ACCESS_HOST_FAULT)
		return status;
	e->nmi.injected = false;
	if (status >= 0) {
		e->nmi.masked = true;
		vcpu->stats.nmi_injections++;
	}
	return status;
}

static int deliver_interrupt(struct vcpu *vcpu)
{
	struct pending_events *e = &vcpu->state.events;
	int status;

	status = event_deliver_vector(vcpu, e->interrupt.vector,
				      e->interrupt.soft ? EVENT_SOFT_INTERRUPT : EVENT_INTERRUPT,
				      false, 0, vcpu->state.rip);
	if (status == ACCESS_HOST_FAULT)
		return status;
	e->interrupt.injected = false;
	e->interrupt.soft = false;
	if (status >= 0)
		vcpu->stats.irq_injections++;
	return status;
}

/* INTA cycle: the vector, or -1. */
static int acknowledge(struct vcpu *vcpu)
{
	int vector = -1;

	if (!vcpu->lapic)
		return -1;
	if (irqchip_extint_pending(vcpu->vm->irqchip) && lapic_accepts_extint(vcpu->lapic))
		vector = irqchip_extint_acknowledge(vcpu->vm->irqchip);
	return vector >= 0 ? vector : lapic_acknowledge(vcpu->lapic);
}

static int deliver_most_urgent(struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	struct pending_events *e = &s->events;
	bool interruptible = (s->rflags & RFLAGS_IF) && !e->shadow;
	int vector;

	if (e->exception.injected || e->exception.pending)
		return deliver_exception(vcpu);
	if (e->nmi.injected)
		return deliver_nmi(vcpu);
	if (e->interrupt.injected && (interruptible || e->interrupt.soft))
		return deliver_interrupt(vcpu);
	if (e->smi_pending && !s->in_smm) {
		e->smi_pending = false;
		s->msr.smi_count++;
		smm_enter(vcpu);
		return ACCESS_OK;
	}
	if (e->nmi.pending && !e->nmi.masked && !e->shadow) {
		e->nmi.pending--;
		e->nmi.injected = true;
		return deliver_nmi(vcpu);
	}
	if (!interruptible || e->interrupt.injected ||
	    ((vcpu->debug_control & KVM_GUESTDBG_ENABLE) &&
	     (vcpu->debug_control & KVM_GUESTDBG_BLOCKIRQ)))
		return ACCESS_OK;
	vector = acknowledge(vcpu);
	if (vector < 0)
		return ACCESS_OK;
	e->interrupt.injected = true;
	e->interrupt.soft = false;
	e->interrupt.vector = vector;
	return deliver_interrupt(vcpu);
}

void event_deliver(struct vcpu *vcpu)
{
	struct guard guard;
	int status;

	if (guard_enter(&guard)) {
		/* The event stays as it is: injected. */
		exit_host_fault(vcpu, (const uint8_t *)guard.address, guard.code);
		return;
	}
	status = deliver_most_urgent(vcpu);
	guard_leave(&guard);
	if (status == ACCESS_MMIO) {
		/* A stack or table outside RAM. */
		memset(&vcpu->state.events.exception, 0, sizeof(vcpu->state.events.exception));
		vcpu->state.events.triple_fault = true;
	}
}

bool event_wakeup(struct vcpu *vcpu)
{
	const struct pending_events *e = &vcpu->state.events;

	if (e->exception.pending || e->exception.injected || e->nmi.injected || e->triple_fault)
		return true;
	if ((e->nmi.pending && !e->nmi.masked) || (e->smi_pending && !vcpu->state.in_smm))
		return true;
	if (vcpu->unhalted) {
		vcpu->unhalted = false;
		return true;
	}
	return (vcpu->state.rflags & RFLAGS_IF) && event_interrupt_waits(vcpu);
}
