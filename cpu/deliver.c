/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery of one event through the IVT or IDT.
 * Source: Intel SDM volume 3, chapter 6; volume 2, INT n; volume 3, chapter 21 (V86).
 */
#include <string.h>

#include "cpu/event.h"
#include "cpu/flags.h"
#include "cpu/segment.h"
#include "cpu/task.h"

/* ---- the stack frame ---- */

struct frame {
	uint64_t value[12]; /* in the order of the pushes */
	unsigned count;
	unsigned size;      /* of each, bytes */
};

struct stack {
	struct kvm_segment ss;
	uint64_t sp;
	uint64_t mask;
	enum tlb_mode mode;
	bool wide;      /* 64 bit: no segment */
	uint32_t error; /* of #SS when it does not fit */
};

static enum tlb_mode mode_of_cpl(unsigned cpl)
{
	return cpl == 3 ? TLB_USER : TLB_SUPER;
}

static uint64_t stack_mask(const struct kvm_segment *ss)
{
	return ss->db ? 0xffffffff : 0xffff;
}

static void push(struct frame *frame, uint64_t value)
{
	frame->value[frame->count++] = value;
}

/* Alignment checks, where the handler is user code: #AC of a delivery is delivered in its turn. */
static bool misaligned(const struct vcpu *vcpu, const struct stack *stack,
		       const struct frame *frame, uint64_t linear)
{
	const struct cpu_state *s = &vcpu->state;

	return stack->mode == TLB_USER && (s->cr0 & CR0_AM) && (s->rflags & RFLAGS_AC) &&
	       (linear & (frame->size - 1));
}

/* One element of a frame that wraps at the end of a 16-bit or 32-bit stack. */
static int push_wrapping(struct vcpu *vcpu, struct stack *stack, const struct frame *frame,
			 bool write)
{
	uint64_t sp = stack->sp;
	unsigned i;
	int status;

	for (i = 0; i < frame->count; i++) {
		uint64_t linear;

		sp = (sp - frame->size) & stack->mask;
		if (!segment_contains(&stack->ss, sp, frame->size))
			return access_fault(vcpu, VECTOR_SS, stack->error);
		linear = (uint32_t)(stack->ss.base + sp);
		if (misaligned(vcpu, stack, frame, linear))
			return access_fault(vcpu, VECTOR_AC, 0);
		if (write)
			status = access_write(vcpu, linear, &frame->value[i], frame->size,
					      stack->mode);
		else
			status = access_probe_write(vcpu, linear, frame->size, stack->mode);
		if (status)
			return status;
	}
	if (write)
		stack->sp = sp;
	return ACCESS_OK;
}

/* Writes the frame and moves stack->sp below it. */
static int push_frame(struct vcpu *vcpu, struct stack *stack, const struct frame *frame)
{
	unsigned bytes = frame->count * frame->size, i;
	uint64_t low = (stack->sp - bytes) & stack->mask, linear;
	uint8_t image[sizeof(frame->value)];
	int status;

	if (stack->wide) {
		if (!access_canonical(vcpu, low) || !access_canonical(vcpu, low + bytes - 1))
			return access_fault(vcpu, VECTOR_SS, stack->error);
		linear = low;
	} else {
		if (stack->ss.unusable)
			return access_fault(vcpu, VECTOR_SS, stack->error);
		if (low + bytes - 1 > stack->mask) {
			status = push_wrapping(vcpu, stack, frame, false);
			return status ? status : push_wrapping(vcpu, stack, frame, true);
		}
		if (!segment_contains(&stack->ss, low, bytes))
			return access_fault(vcpu, VECTOR_SS, stack->error);
		linear = (uint32_t)(stack->ss.base + low);
	}
	if (misaligned(vcpu, stack, frame, linear))
		return access_fault(vcpu, VECTOR_AC, 0);
	for (i = 0; i < frame->count; i++)
		memcpy(image + i * frame->size, &frame->value[frame->count - 1 - i], frame->size);
	status = access_write(vcpu, linear, image, bytes, stack->mode);
	if (!status)
		stack->sp = low;
	return status;
}

static void set_sp(struct cpu_state *s, const struct stack *stack)
{
	if (stack->mask == 0xffff)
		s->gpr[GPR_RSP] = (s->gpr[GPR_RSP] & ~0xffffull) | (stack->sp & 0xffff);
	else
		s->gpr[GPR_RSP] = stack->sp;
}

/* ---- real mode, and V86 with redirection ---- */

static int through_vectors(struct vcpu *vcpu, uint64_t entry, uint64_t flags, uint64_t return_ip,
			   enum tlb_mode mode)
{
	struct cpu_state *s = &vcpu->state;
	struct frame frame = { .size = 2 };
	struct stack stack = {
		.ss = s->seg[SEG_SS],
		.mask = stack_mask(&s->seg[SEG_SS]),
		.mode = mode,
	};
	uint16_t target[2];
	int status;

	status = access_read(vcpu, entry, target, 4, mode);
	if (status)
		return status;
	stack.sp = s->gpr[GPR_RSP] & stack.mask;
	push(&frame, flags);
	push(&frame, s->seg[SEG_CS].selector);
	push(&frame, return_ip);
	status = push_frame(vcpu, &stack, &frame);
	if (status)
		return status;
	set_sp(s, &stack);
	segment_set_real(vcpu, SEG_CS, target[1]);
	s->rip = target[0];
	return ACCESS_OK;
}

static int deliver_real(struct vcpu *vcpu, uint8_t vector, bool software, uint64_t return_ip)
{
	struct cpu_state *s = &vcpu->state;
	int status;

	if (vector * 4 + 3 > s->idt.limit)
		return access_fault(vcpu, VECTOR_GP, vector * 8 + 2 + !software);
	status = through_vectors(vcpu, s->idt.base + vector * 4, rflags_get(s), return_ip,
				 TLB_SUPER);
	if (status)
		return status;
	s->rflags &= ~(uint64_t)(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
	vcpu_mode_changed(vcpu);
	return ACCESS_OK;
}

bool event_redirected(struct vcpu *vcpu, uint8_t vector, int *status)
{
	const struct cpu_state *s = &vcpu->state;
	const struct kvm_segment *tr = &s->seg[SEG_TR];
	uint32_t map;
	uint16_t io_map;
	uint8_t byte;

	*status = ACCESS_OK;
	if (!(s->cr4 & CR4_VME) || tr->limit < 103)
		return false;
	*status = access_read(vcpu, tr->base + 102, &io_map, 2, TLB_SUPER);
	if (*status)
		return false;
	/* The redirection bitmap is the 32 bytes in front of the I/O bitmap. */
	map = io_map - 32u + vector / 8;
	if (io_map < 32 || map > tr->limit)
		return false;
	*status = access_read(vcpu, tr->base + map, &byte, 1, TLB_SUPER);
	return !*status && !(byte >> (vector & 7) & 1);
}

int event_deliver_redirected(struct vcpu *vcpu, uint8_t vector, uint64_t return_ip)
{
	struct cpu_state *s = &vcpu->state;
	uint64_t flags = rflags_get(s), clear = RFLAGS_TF | RFLAGS_NT;
	int status;

	if ((flags & RFLAGS_IOPL) == RFLAGS_IOPL) {
		clear |= RFLAGS_IF;
	} else {
		clear |= RFLAGS_VIF;
		flags &= ~(uint64_t)RFLAGS_IF;
		flags |= RFLAGS_IOPL | (flags & RFLAGS_VIF ? RFLAGS_IF : 0);
	}
	status = through_vectors(vcpu, vector * 4, flags, return_ip, TLB_USER);
	if (status)
		return status;
	s->rflags &= ~clear;
	return ACCESS_OK;
}

/* ---- protected and long mode ---- */

/* What the IDT says, checked as far as it depends on nothing else. */
struct gate {
	uint16_t selector;
	uint64_t offset;
	unsigned type;
	unsigned ist;
};

static int read_gate(struct vcpu *vcpu, uint8_t vector, bool software, bool check_dpl,
		     struct gate *gate)
{
	const struct cpu_state *s = &vcpu->state;
	unsigned bytes = state_long(s) ? 16 : 8;
	uint32_t error = vector * 8 + 2 + !software, types;
	struct descriptor d;
	uint64_t raw[2] = { 0, 0 };
	int status;

	if (vector * bytes + bytes - 1 > s->idt.limit)
		return access_fault(vcpu, VECTOR_GP, error);
	status = access_read(vcpu, s->idt.base + vector * bytes, raw, bytes, TLB_SUPER);
	if (status)
		return status;
	d.raw = raw[0];
	gate->type = descriptor_type(&d);
	types = 1u << SYSTEM_INT | 1u << SYSTEM_TRAP;
	if (!state_long(s))
		types |= 1u << SYSTEM_INT16 | 1u << SYSTEM_TRAP16 | 1u << SYSTEM_TASK_GATE;
	if (descriptor_s(&d) || !(types >> gate->type & 1))
		return access_fault(vcpu, VECTOR_GP, error);
	if (check_dpl && descriptor_dpl(&d) < state_cpl(s))
		return access_fault(vcpu, VECTOR_GP, error);
	if (!descriptor_present(&d))
		return access_fault(vcpu, VECTOR_NP, error);
	gate->selector = gate_selector(&d);
	gate->offset = gate_offset(&d);
	gate->ist = 0;
	if (state_long(s)) {
		gate->offset |= raw[1] << 32;
		gate->ist = d.raw >> 32 & 7;
	} else if (gate->type == SYSTEM_INT16 || gate->type == SYSTEM_TRAP16) {
		gate->offset &= 0xffff;
	}
	return ACCESS_OK;
}

/* The handler's code segment and privilege level. */
static int read_target(struct vcpu *vcpu, uint16_t selector, uint32_t ext, struct kvm_segment *cs,
		       unsigned *new_cpl)
{
	const struct cpu_state *s = &vcpu->state;
	uint32_t error = (selector & ~SELECTOR_RPL) | ext;
	struct descriptor d;
	bool conforming;
	int status;

	if (!(selector & ~SELECTOR_RPL))
		return access_fault(vcpu, VECTOR_GP, ext);
	status = descriptor_read(vcpu, selector, &d);
	if (status)
		return status;
	if (!d.valid || !descriptor_code(&d) || descriptor_dpl(&d) > state_cpl(s))
		return access_fault(vcpu, VECTOR_GP, error);
	conforming = descriptor_conforming(&d);
	if (state_v86(s) && (conforming || descriptor_dpl(&d)))
		return access_fault(vcpu, VECTOR_GP, error);
	if (state_long(s) && (!descriptor_long(&d) || descriptor_db(&d)))
		return access_fault(vcpu, VECTOR_GP, error);
	if (!descriptor_present(&d))
		return access_fault(vcpu, VECTOR_NP, error);
	status = descriptor_set_accessed(vcpu, &d);
	if (status)
		return status;
	*new_cpl = conforming ? state_cpl(s) : descriptor_dpl(&d);
	descriptor_segment(&d, selector_with_rpl(selector, *new_cpl), cs);
	return ACCESS_OK;
}

static int inner_stack(struct vcpu *vcpu, unsigned cpl, uint32_t ext, struct stack *stack)
{
	int status = segment_inner_stack(vcpu, cpl, ext, &stack->ss, &stack->sp);

	stack->mask = stack_mask(&stack->ss);
	stack->mode = mode_of_cpl(cpl);
	stack->error = (stack->ss.selector & ~SELECTOR_RPL) | ext;
	return status;
}

static uint64_t handler_flags(uint64_t rflags, unsigned gate_type)
{
	rflags &= ~(uint64_t)(RFLAGS_TF | RFLAGS_VM | RFLAGS_RF | RFLAGS_NT);
	if (!(gate_type & 1)) /* interrupt gate, not trap gate */
		rflags &= ~(uint64_t)RFLAGS_IF;
	return rflags;
}

static int deliver_protected(struct vcpu *vcpu, const struct gate *gate, uint32_t ext,
			     bool has_error, uint32_t error, uint64_t return_ip)
{
	static const enum seg v86_saved[] = { SEG_GS, SEG_FS, SEG_DS, SEG_ES };
	struct cpu_state *s = &vcpu->state;
	struct frame frame = { .size = gate->type & 8 ? 4 : 2 };
	bool v86 = state_v86(s), inner;
	struct kvm_segment cs;
	struct stack stack = { 0 };
	unsigned cpl, i;
	int status;

	status = read_target(vcpu, gate->selector, ext, &cs, &cpl);
	if (status)
		return status;
	inner = cpl < state_cpl(s);
	if (inner) {
		status = inner_stack(vcpu, cpl, ext, &stack);
		if (status)
			return status;
		for (i = 0; v86 && i < 4; i++)
			push(&frame, s->seg[v86_saved[i]].selector);
		push(&frame, s->seg[SEG_SS].selector);
		push(&frame, s->gpr[GPR_RSP]);
	} else {
		stack.ss = s->seg[SEG_SS];
		stack.mask = stack_mask(&stack.ss);
		stack.sp = s->gpr[GPR_RSP] & stack.mask;
		stack.mode = mode_of_cpl(cpl);
		stack.error = ext;
	}
	push(&frame, rflags_get(s));
	push(&frame, s->seg[SEG_CS].selector);
	push(&frame, return_ip);
	if (has_error)
		push(&frame, error);
	if (gate->offset > cs.limit)
		return access_fault(vcpu, VECTOR_GP, ext);
	if (inner) {
		uint64_t esp = stack.sp;

		stack.sp &= stack.mask;
		status = push_frame(vcpu, &stack, &frame);
		if (status)
			return status;
		s->gpr[GPR_RSP] = esp;
		segment_set(vcpu, SEG_SS, &stack.ss);
		for (i = 0; v86 && i < 4; i++)
			segment_set_null(vcpu, v86_saved[i], 0, 0);
	} else {
		status = push_frame(vcpu, &stack, &frame);
		if (status)
			return status;
	}
	set_sp(s, &stack);
	segment_set(vcpu, SEG_CS, &cs);
	s->rip = gate->offset;
	s->rflags = handler_flags(s->rflags, gate->type);
	vcpu_mode_changed(vcpu);
	return ACCESS_OK;
}

static int deliver_long(struct vcpu *vcpu, const struct gate *gate, uint32_t ext, bool has_error,
			uint32_t error, uint64_t return_ip)
{
	struct cpu_state *s = &vcpu->state;
	struct stack stack = { .mask = ~0ull, .wide = true, .error = ext };
	struct frame frame = { .size = 8 };
	struct kvm_segment cs;
	unsigned cpl;
	bool inner;
	int status;

	status = read_target(vcpu, gate->selector, ext, &cs, &cpl);
	if (status)
		return status;
	inner = cpl < state_cpl(s);
	if (gate->ist)
		status = segment_inner_rsp(vcpu, 0x24 + 8 * (gate->ist - 1), ext, &stack.sp);
	else if (inner)
		status = segment_inner_rsp(vcpu, 4 + 8 * cpl, ext, &stack.sp);
	else
		stack.sp = s->gpr[GPR_RSP];
	if (status)
		return status;
	if (!access_canonical(vcpu, gate->offset))
		return access_fault(vcpu, VECTOR_GP, ext);
	stack.sp &= ~15ull;
	stack.mode = mode_of_cpl(cpl);
	push(&frame, s->seg[SEG_SS].selector);
	push(&frame, s->gpr[GPR_RSP]);
	push(&frame, rflags_get(s));
	push(&frame, s->seg[SEG_CS].selector);
	push(&frame, return_ip);
	if (has_error)
		push(&frame, error);
	status = push_frame(vcpu, &stack, &frame);
	if (status)
		return status;
	if (inner)
		segment_set_null(vcpu, SEG_SS, cpl, cpl);
	s->gpr[GPR_RSP] = stack.sp;
	segment_set(vcpu, SEG_CS, &cs);
	s->rip = gate->offset;
	s->rflags = handler_flags(s->rflags, gate->type);
	vcpu_mode_changed(vcpu);
	return ACCESS_OK;
}

int event_deliver_vector(struct vcpu *vcpu, uint8_t vector, enum event_kind kind, bool has_error,
			 uint32_t error, uint64_t return_ip)
{
	struct cpu_state *s = &vcpu->state;
	bool software = event_software(kind);
	struct gate gate;
	int status;

	if (!state_protected(s)) {
		status = deliver_real(vcpu, vector, software, return_ip);
	} else {
		uint32_t ext = !software;

		status = read_gate(vcpu, vector, software,
				   software && kind != EVENT_PRIVILEGED_SOFT, &gate);
		if (status)
			return status;
		if (state_long(s))
			status = deliver_long(vcpu, &gate, ext, has_error, error, return_ip);
		else if (gate.type == SYSTEM_TASK_GATE)
			status = task_switch(vcpu, gate.selector, TASK_GATE, return_ip, has_error,
					     error, ext);
		else
			status = deliver_protected(vcpu, &gate, ext, has_error, error, return_ip);
	}
	if (!status)
		s->events.shadow = 0;
	return status;
}
