/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM_GET/SET_VCPU_EVENTS, KVM_GET/SET_DEBUGREGS, KVM_SET_GUEST_DEBUG, KVM_GET/SET_MP_STATE. */
#include <errno.h>
#include <string.h>

#include "cpu/event.h"
#include "cpu/smm.h"

/* ---- events ---- */

static bool soft_exception(uint8_t vector)
{
	return vector == VECTOR_BP || vector == VECTOR_OF;
}

void vcpu_get_events(struct vcpu *vcpu, struct kvm_vcpu_events *events)
{
	const struct pending_events *e = &vcpu->state.events;
	bool payload = vcpu->vm->exception_payload;

	if (!payload && e->exception.pending)
		event_apply_payload(vcpu);
	memset(events, 0, sizeof(*events));
	/* INT3 and INTO run again: the interface has no instruction length for them. */
	if (!soft_exception(e->exception.vector)) {
		events->exception.injected = e->exception.injected;
		events->exception.pending = e->exception.pending;
		if (!payload)
			events->exception.injected |= e->exception.pending;
	}
	events->exception.nr = e->exception.vector;
	events->exception.has_error_code = e->exception.has_error_code;
	events->exception.error_code = e->exception.error_code;
	events->exception_has_payload = e->exception.has_payload;
	events->exception_payload = e->exception.payload;
	events->interrupt.injected = e->interrupt.injected && !e->interrupt.soft;
	events->interrupt.nr = e->interrupt.vector;
	events->interrupt.shadow = e->shadow;
	events->nmi.injected = e->nmi.injected;
	events->nmi.pending = e->nmi.pending + atomic_load(&vcpu->nmi_queue);
	events->nmi.masked = e->nmi.masked;
	events->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
			KVM_VCPUEVENT_VALID_SMM;
	events->smi.smm = vcpu->state.in_smm;
	events->smi.pending = e->smi_pending ||
			      (atomic_load(&vcpu->requests) & VCPU_REQUEST_SMI);
	events->smi.smm_inside_nmi = e->smm_inside_nmi;
	events->smi.latched_init = vcpu->init_latched;
	if (payload)
		events->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vcpu->vm->triple_fault_event) {
		events->triple_fault.pending = e->triple_fault;
		events->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
}

int vcpu_set_events(struct vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	const uint32_t known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			       KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |
			       KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	struct pending_events *e = &vcpu->state.events;
	bool pending = false, injected = events->exception.injected, has_payload = false;

	if (events->flags & ~known)
		return -EINVAL;
	if (events->flags & KVM_VCPUEVENT_VALID_PAYLOAD) {
		if (!vcpu->vm->exception_payload)
			return -EINVAL;
		pending = events->exception.pending;
		if (pending) {
			injected = false;
			has_payload = events->exception_has_payload;
		}
	}
	if ((injected || pending) &&
	    (events->exception.nr > 31 || events->exception.nr == VECTOR_NMI))
		return -EINVAL;
	/* A processor that waits for SIPI takes no SMI. */
	if ((events->flags & KVM_VCPUEVENT_VALID_SMM) &&
	    (events->smi.smm || events->smi.pending) &&
	    vcpu->state.mp_state == KVM_MP_STATE_INIT_RECEIVED)
		return -EINVAL;
	if ((events->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) && !vcpu->vm->triple_fault_event)
		return -EINVAL;

	memset(&e->exception, 0, sizeof(e->exception));
	e->exception.pending = pending;
	e->exception.injected = injected;
	e->exception.vector = events->exception.nr;
	e->exception.has_error_code = events->exception.has_error_code;
	e->exception.error_code = events->exception.error_code;
	e->exception.has_payload = has_payload;
	e->exception.payload = has_payload ? events->exception_payload : 0;
	e->interrupt.injected = events->interrupt.injected;
	e->interrupt.vector = events->interrupt.nr;
	e->interrupt.soft = events->interrupt.soft;
	if (events->flags & KVM_VCPUEVENT_VALID_SHADOW)
		e->shadow = events->interrupt.shadow &
			    (KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI);
	e->nmi.injected = events->nmi.injected;
	if (events->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		atomic_store(&vcpu->nmi_queue, 0);
		e->nmi.pending = events->nmi.pending < 2 ? events->nmi.pending : 2;
	}
	e->nmi.masked = events->nmi.masked;
	if ((events->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && vcpu->lapic)
		e->sipi_vector = events->sipi_vector;
	if (events->flags & KVM_VCPUEVENT_VALID_SMM) {
		smm_set(vcpu, events->smi.smm);
		e->smi_pending = events->smi.pending;
		e->smm_inside_nmi = events->smi.smm && events->smi.smm_inside_nmi;
		if (vcpu->lapic)
			vcpu->init_latched = events->smi.smm && events->smi.latched_init;
	}
	if (events->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
		e->triple_fault = events->triple_fault.pending;
	event_check(vcpu);
	return 0;
}

/* ---- debug registers ---- */

enum breakpoint_type { BREAKPOINT_EXECUTE, BREAKPOINT_WRITE, BREAKPOINT_IO, BREAKPOINT_ACCESS };

void vcpu_debug_changed(struct vcpu *vcpu)
{
	bool debugger = vcpu->debug_control & KVM_GUESTDBG_USE_HW_BP;
	const uint64_t *dr = debugger ? vcpu->debug_dr : vcpu->state.dr;
	uint64_t dr7 = debugger ? vcpu->debug_dr7 : vcpu->state.dr7;
	uint64_t watch[4];
	unsigned watches = 0, i;

	for (i = 0; i < 4; i++) {
		enum breakpoint_type type = dr7 >> (16 + 4 * i) & 3;

		/* A breakpoint is aligned to its length, so it never crosses a page. */
		if ((dr7 >> (2 * i) & 3) &&
		    (type == BREAKPOINT_WRITE || type == BREAKPOINT_ACCESS))
			watch[watches++] = dr[i] & GUEST_PAGE_MASK;
	}
	vcpu->effective_dr7 = dr7;
	if (watches != vcpu->mmu.watches ||
	    memcmp(watch, vcpu->mmu.watch, watches * sizeof(watch[0]))) {
		memcpy(vcpu->mmu.watch, watch, watches * sizeof(watch[0]));
		vcpu->mmu.watches = watches;
		mmu_flush(&vcpu->mmu);
	}
	/* The run loop decides anew how to run. */
	event_check(vcpu);
}

void vcpu_get_debugregs(struct vcpu *vcpu, struct kvm_debugregs *regs)
{
	const struct cpu_state *s = &vcpu->state;

	memset(regs, 0, sizeof(*regs));
	memcpy(regs->db, s->dr, sizeof(regs->db));
	regs->dr6 = s->dr6;
	regs->dr7 = s->dr7;
}

int vcpu_set_debugregs(struct vcpu *vcpu, const struct kvm_debugregs *regs)
{
	struct cpu_state *s = &vcpu->state;

	if (regs->flags || regs->dr6 >> 32 || regs->dr7 >> 32)
		return -EINVAL;
	memcpy(s->dr, regs->db, sizeof(s->dr));
	s->dr6 = regs->dr6;
	s->dr7 = regs->dr7;
	vcpu_debug_changed(vcpu);
	return 0;
}

int vcpu_set_guest_debug(struct vcpu *vcpu, const struct kvm_guest_debug *debug)
{
	struct pending_events *e = &vcpu->state.events;

	if (debug->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (e->exception.pending || e->exception.injected)
			return -EBUSY;
		memset(&e->exception, 0, sizeof(e->exception));
		/* Not "pending": the debugger that injects it does not want to see it again. */
		e->exception.injected = true;
		e->exception.vector = debug->control & KVM_GUESTDBG_INJECT_DB ? VECTOR_DB :
										 VECTOR_BP;
	}
	vcpu->debug_control = debug->control & KVM_GUESTDBG_ENABLE ? debug->control : 0;
	if (vcpu->debug_control & KVM_GUESTDBG_USE_HW_BP) {
		memcpy(vcpu->debug_dr, debug->arch.debugreg, sizeof(vcpu->debug_dr));
		vcpu->debug_dr7 = debug->arch.debugreg[7];
	}
	vcpu_debug_changed(vcpu);
	return 0;
}

/* ---- multiprocessor state ---- */

int vcpu_get_mp_state(struct vcpu *vcpu, struct kvm_mp_state *mp)
{
	mp->mp_state = vcpu->state.mp_state;
	/* HLT that does not exit (KVM_CAP_X86_DISABLE_EXITS) is no state that is seen. */
	if (mp->mp_state == KVM_MP_STATE_HALTED && (vcpu->unhalted || !vcpu->lapic))
		mp->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

int vcpu_set_mp_state(struct vcpu *vcpu, const struct kvm_mp_state *mp)
{
	switch (mp->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_AP_RESET_HOLD:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		if (!vcpu->lapic)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	/* In SMM or about to be in it neither INIT nor SIPI is taken. */
	if ((vcpu->state.in_smm || vcpu->state.events.smi_pending) &&
	    (mp->mp_state == KVM_MP_STATE_INIT_RECEIVED ||
	     mp->mp_state == KVM_MP_STATE_SIPI_RECEIVED))
		return -EINVAL;
	if (mp->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		vcpu->state.mp_state = KVM_MP_STATE_INIT_RECEIVED;
		vcpu->sipi_request_vector = vcpu->state.events.sipi_vector;
		vcpu_request(vcpu, VCPU_REQUEST_SIPI);
	} else {
		vcpu->state.mp_state = mp->mp_state;
	}
	event_check(vcpu);
	return 0;
}
