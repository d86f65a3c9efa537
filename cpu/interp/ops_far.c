/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far CALL, JMP and RET.
 * Source: Intel SDM volume 2 (the instructions), volume 3, 5.8 (control transfers).
 */
#include "cpu/interp/system.h"
#include "cpu/task.h"

static void check_target(struct vcpu *cpu, const struct insn *insn, const struct kvm_segment *cs,
			 uint64_t ip)
{
	if (state_long(&cpu->state) && cs->l) {
		if (!access_canonical(cpu, ip))
			exception_gp(cpu, insn, 0);
	} else if (ip > cs->limit) {
		exception_gp(cpu, insn, 0);
	}
}

static void enter_code(struct vcpu *cpu, const struct kvm_segment *cs, uint64_t ip)
{
	segment_set(cpu, SEG_CS, cs);
	cpu->state.rip = ip;
	vcpu_mode_changed(cpu);
}

/* Task switch of JMP or CALL; does not come back into the instruction. */
static void switch_task(struct vcpu *cpu, const struct insn *insn, uint16_t selector, bool call)
{
	int status;

	system_begin(cpu, insn);
	status = task_switch(cpu, selector, call ? TASK_CALL : TASK_JUMP,
			     insn_next_ip(cpu, insn), false, 0, 0);
	must(cpu, insn, status);
	if (status == ACCESS_SWITCHED)
		event_check(cpu);
}

/* ---- real and V86 mode ---- */

static void far_real(struct vcpu *cpu, const struct insn *insn, uint16_t selector, uint64_t ip,
		     bool call)
{
	if (ip > cpu->state.seg[SEG_CS].limit)
		exception_gp(cpu, insn, 0);
	if (call) {
		uint64_t values[2] = { cpu->state.seg[SEG_CS].selector, insn_next_ip(cpu, insn) };
		uint64_t sp = system_stack_push(cpu, insn, values, 2, insn->opsize);

		system_set_sp(cpu, system_stack_mask(cpu, insn), sp);
	}
	segment_set_real(cpu, SEG_CS, selector);
	cpu->state.rip = ip;
}

/* ---- protected mode ---- */

/* Direct transfer to a code segment: no change of privilege. */
static void far_code(struct vcpu *cpu, const struct insn *insn, struct descriptor *d, uint64_t ip,
		     bool call)
{
	unsigned cpl = state_cpl(&cpu->state), dpl = descriptor_dpl(d);
	uint32_t error = d->selector & ~SELECTOR_RPL;
	uint64_t sp = 0, mask = system_stack_mask(cpu, insn);
	struct kvm_segment cs;

	if (descriptor_conforming(d)) {
		if (dpl > cpl)
			exception_gp(cpu, insn, error);
	} else if ((d->selector & SELECTOR_RPL) > cpl || dpl != cpl) {
		exception_gp(cpu, insn, error);
	}
	if (state_long(&cpu->state) && descriptor_long(d) && descriptor_db(d))
		exception_gp(cpu, insn, error);
	if (!descriptor_present(d))
		exception(cpu, insn, VECTOR_NP, error);
	must(cpu, insn, descriptor_set_accessed(cpu, d));
	descriptor_segment(d, selector_with_rpl(d->selector, cpl), &cs);
	check_target(cpu, insn, &cs, ip);
	if (call) {
		uint64_t values[2] = { cpu->state.seg[SEG_CS].selector, insn_next_ip(cpu, insn) };

		sp = system_stack_push(cpu, insn, values, 2, insn->opsize);
		system_set_sp(cpu, mask, sp);
	}
	enter_code(cpu, &cs, ip);
}

/* The code segment behind a call gate. */
static void gate_target(struct vcpu *cpu, const struct insn *insn, uint16_t selector, bool call,
			struct kvm_segment *cs, unsigned *new_cpl)
{
	unsigned cpl = state_cpl(&cpu->state), dpl;
	uint32_t error = selector & ~SELECTOR_RPL;
	struct descriptor d;

	if (!error)
		exception_gp(cpu, insn, 0);
	must(cpu, insn, descriptor_read(cpu, selector, &d));
	dpl = descriptor_dpl(&d);
	if (!d.valid || !descriptor_code(&d) || dpl > cpl)
		exception_gp(cpu, insn, error);
	if (!call && !descriptor_conforming(&d) && dpl != cpl)
		exception_gp(cpu, insn, error);
	if (state_long(&cpu->state) && (!descriptor_long(&d) || descriptor_db(&d)))
		exception_gp(cpu, insn, error);
	if (!descriptor_present(&d))
		exception(cpu, insn, VECTOR_NP, error);
	must(cpu, insn, descriptor_set_accessed(cpu, &d));
	*new_cpl = descriptor_conforming(&d) ? cpl : dpl;
	descriptor_segment(&d, selector_with_rpl(selector, *new_cpl), cs);
}

/* A call through a 16- or 32-bit gate to an inner level: new stack, parameters are copied. */
static void gate_inner(struct vcpu *cpu, const struct insn *insn, const struct descriptor *gate,
		       const struct kvm_segment *cs, unsigned cpl, uint64_t ip)
{
	struct cpu_state *s = &cpu->state;
	unsigned size = descriptor_type(gate) & 8 ? 4 : 2, count = gate->raw >> 32 & 31, i, bytes;
	uint64_t old_sp = s->gpr[GPR_RSP] & system_stack_mask(cpu, insn), sp, mask, value;
	uint8_t image[4 * (31 + 4)];
	struct kvm_segment ss;

	must(cpu, insn, segment_inner_stack(cpu, cpl, 0, &ss, &sp));
	mask = ss.db ? 0xffffffff : 0xffff;
	bytes = (count + 4) * size;
	if (!segment_contains(&ss, (sp - bytes) & mask, bytes))
		exception(cpu, insn, VECTOR_SS, ss.selector & ~SELECTOR_RPL);
	memset(image, 0, sizeof(image));
	value = insn_next_ip(cpu, insn);
	memcpy(image, &value, size);
	memcpy(image + size, &s->seg[SEG_CS].selector, 2);
	for (i = 0; i < count; i++) {
		value = system_stack_read(cpu, insn, old_sp + i * size, size);
		memcpy(image + (2 + i) * size, &value, size);
	}
	memcpy(image + (2 + count) * size, &s->gpr[GPR_RSP], size);
	memcpy(image + (3 + count) * size, &s->seg[SEG_SS].selector, 2);
	must(cpu, insn, access_write(cpu, (uint32_t)(ss.base + ((sp - bytes) & mask)), image,
				     bytes, cpl == 3 ? TLB_USER : TLB_SUPER));
	segment_set(cpu, SEG_SS, &ss);
	s->gpr[GPR_RSP] = sp;
	system_set_sp(cpu, mask, sp - bytes);
	enter_code(cpu, cs, ip);
}

static void gate_inner64(struct vcpu *cpu, const struct insn *insn, const struct kvm_segment *cs,
			 unsigned cpl, uint64_t ip)
{
	struct cpu_state *s = &cpu->state;
	uint64_t frame[4] = { insn_next_ip(cpu, insn), s->seg[SEG_CS].selector,
			      s->gpr[GPR_RSP], s->seg[SEG_SS].selector };
	uint64_t rsp;

	must(cpu, insn, segment_inner_rsp(cpu, 4 + 8 * cpl, 0, &rsp));
	if (!access_canonical(cpu, rsp - sizeof(frame)))
		exception(cpu, insn, VECTOR_SS, 0);
	must(cpu, insn, access_write(cpu, rsp - sizeof(frame), frame, sizeof(frame), TLB_SUPER));
	segment_set_null(cpu, SEG_SS, cpl, cpl);
	s->gpr[GPR_RSP] = rsp - sizeof(frame);
	enter_code(cpu, cs, ip);
}

static void far_gate(struct vcpu *cpu, const struct insn *insn, const struct descriptor *gate,
		     bool call)
{
	bool wide = state_long(&cpu->state);
	unsigned size = wide ? 8 : descriptor_type(gate) & 8 ? 4 : 2, cpl;
	uint64_t ip = gate_offset(gate), upper;
	struct kvm_segment cs;

	if (wide) {
		must(cpu, insn, descriptor_read_upper(cpu, gate, &upper));
		ip |= upper << 32;
	} else if (size == 2) {
		ip &= 0xffff;
	}
	gate_target(cpu, insn, gate_selector(gate), call, &cs, &cpl);
	check_target(cpu, insn, &cs, ip);
	if (call && cpl < state_cpl(&cpu->state)) {
		if (wide)
			gate_inner64(cpu, insn, &cs, cpl, ip);
		else
			gate_inner(cpu, insn, gate, &cs, cpl, ip);
		return;
	}
	if (call) {
		uint64_t values[2] = { cpu->state.seg[SEG_CS].selector, insn_next_ip(cpu, insn) };
		uint64_t sp = system_stack_push(cpu, insn, values, 2, size);

		system_set_sp(cpu, system_stack_mask(cpu, insn), sp);
	}
	enter_code(cpu, &cs, ip);
}

static void far_protected(struct vcpu *cpu, const struct insn *insn, uint16_t selector,
			  uint64_t ip, bool call)
{
	unsigned cpl = state_cpl(&cpu->state), rpl = selector & SELECTOR_RPL;
	uint32_t error = selector & ~SELECTOR_RPL;
	bool wide = state_long(&cpu->state);
	struct descriptor d;

	system_begin(cpu, insn);
	if (!error)
		exception_gp(cpu, insn, 0);
	must(cpu, insn, descriptor_read(cpu, selector, &d));
	if (!d.valid)
		exception_gp(cpu, insn, error);
	if (descriptor_code(&d)) {
		far_code(cpu, insn, &d, ip, call);
		return;
	}
	if (descriptor_s(&d) || descriptor_dpl(&d) < cpl || descriptor_dpl(&d) < rpl)
		exception_gp(cpu, insn, error);
	switch (descriptor_type(&d)) {
	case SYSTEM_CALL16:
	case SYSTEM_CALL:
		if (wide && descriptor_type(&d) == SYSTEM_CALL16)
			exception_gp(cpu, insn, error);
		if (!descriptor_present(&d))
			exception(cpu, insn, VECTOR_NP, error);
		far_gate(cpu, insn, &d, call);
		return;
	case SYSTEM_TASK_GATE:
	case SYSTEM_TSS16:
	case SYSTEM_TSS:
		if (wide)
			exception_gp(cpu, insn, error);
		if (!descriptor_present(&d))
			exception(cpu, insn, VECTOR_NP, error);
		switch_task(cpu, insn, descriptor_type(&d) == SYSTEM_TASK_GATE ?
			    gate_selector(&d) : selector, call);
		return;
	default:
		exception_gp(cpu, insn, error);
	}
}

static void far_transfer(struct vcpu *cpu, const struct insn *insn, uint16_t selector,
			 uint64_t ip, bool call)
{
	if (system_protected(&cpu->state))
		far_protected(cpu, insn, selector, ip, call);
	else
		far_real(cpu, insn, selector, ip, call);
}

static void far_immediate(struct vcpu *cpu, const struct insn *insn, bool call)
{
	uint32_t offset = insn->imm;

	if (insn->opsize == 2)
		offset &= 0xffff;
	far_transfer(cpu, insn, insn->imm >> 32 & 0xffff, offset, call);
}

static void far_memory(struct vcpu *cpu, const struct insn *insn, bool call)
{
	uint8_t pointer[10];
	uint64_t offset = 0;
	uint16_t selector;

	if (!(insn->flags & INSN_MEM))
		exception_ud(cpu, insn);
	load_bytes(cpu, insn, pointer, insn->opsize + 2);
	memcpy(&offset, pointer, insn->opsize);
	memcpy(&selector, pointer + insn->opsize, 2);
	far_transfer(cpu, insn, selector, offset, call);
}

void op_call_far_imm(struct vcpu *cpu, const struct insn *insn)
{
	far_immediate(cpu, insn, true);
}

void op_jmp_far_imm(struct vcpu *cpu, const struct insn *insn)
{
	far_immediate(cpu, insn, false);
}

void op_call_far_mem(struct vcpu *cpu, const struct insn *insn)
{
	far_memory(cpu, insn, true);
}

void op_jmp_far_mem(struct vcpu *cpu, const struct insn *insn)
{
	far_memory(cpu, insn, false);
}

/* ---- RET ---- */

static void ret_protected(struct vcpu *cpu, const struct insn *insn, uint64_t ip,
			  uint16_t selector)
{
	struct cpu_state *s = &cpu->state;
	unsigned cpl = state_cpl(s), rpl = selector & SELECTOR_RPL, size = insn->opsize;
	uint64_t mask = system_stack_mask(cpu, insn), sp = s->gpr[GPR_RSP] + 2 * size + insn->imm;
	uint32_t error = selector & ~SELECTOR_RPL;
	struct kvm_segment cs, ss;
	struct descriptor d;
	uint16_t ss_selector;
	uint64_t new_sp;

	system_begin(cpu, insn);
	if (!error)
		exception_gp(cpu, insn, 0);
	must(cpu, insn, descriptor_read(cpu, selector, &d));
	if (!d.valid || !descriptor_code(&d) || rpl < cpl)
		exception_gp(cpu, insn, error);
	if (descriptor_conforming(&d) ? descriptor_dpl(&d) > rpl : descriptor_dpl(&d) != rpl)
		exception_gp(cpu, insn, error);
	if (state_long(s) && descriptor_long(&d) && descriptor_db(&d))
		exception_gp(cpu, insn, error);
	if (!descriptor_present(&d))
		exception(cpu, insn, VECTOR_NP, error);
	must(cpu, insn, descriptor_set_accessed(cpu, &d));
	descriptor_segment(&d, selector, &cs);
	if (rpl == cpl) {
		check_target(cpu, insn, &cs, ip);
		system_set_sp(cpu, mask, sp);
		enter_code(cpu, &cs, ip);
		return;
	}
	new_sp = system_stack_read(cpu, insn, sp, size);
	ss_selector = system_stack_read(cpu, insn, sp + size, size);
	system_begin(cpu, insn);
	must(cpu, insn, segment_check_stack(cpu, ss_selector, rpl, VECTOR_GP, 0,
					    state_long(s) && cs.l, &ss));
	check_target(cpu, insn, &cs, ip);
	segment_set(cpu, SEG_SS, &ss);
	if (state_long(s) && cs.l)
		s->gpr[GPR_RSP] = new_sp + insn->imm;
	else if (ss.db)
		s->gpr[GPR_RSP] = (uint32_t)(new_sp + insn->imm);
	else
		system_set_sp(cpu, 0xffff, new_sp + insn->imm);
	segment_drop_inner(cpu, rpl);
	enter_code(cpu, &cs, ip);
}

void op_ret_far(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint64_t sp = s->gpr[GPR_RSP], ip = system_stack_read(cpu, insn, sp, insn->opsize);
	uint16_t selector = system_stack_read(cpu, insn, sp + insn->opsize, insn->opsize);

	if (system_protected(s)) {
		ret_protected(cpu, insn, ip, selector);
		return;
	}
	if (ip > s->seg[SEG_CS].limit)
		exception_gp(cpu, insn, 0);
	system_set_sp(cpu, system_stack_mask(cpu, insn), sp + 2 * insn->opsize + insn->imm);
	segment_set_real(cpu, SEG_CS, selector);
	s->rip = ip;
}
