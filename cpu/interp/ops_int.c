/* SPDX-License-Identifier: GPL-2.0-or-later */
/* INT n, INT3, INT1, INTO, IRET. Source: Intel SDM volume 2; volume 3, 21.3 (V86). */
#include "cpu/interp/system.h"
#include "cpu/task.h"

/* ---- to a handler ---- */

static void soft_event(struct vcpu *cpu, const struct insn *insn, uint8_t vector,
		       enum event_kind kind)
{
	int status;

	system_begin(cpu, insn);
	status = event_deliver_vector(cpu, vector, kind, false, 0, insn_next_ip(cpu, insn));
	must(cpu, insn, status);
	if (status == ACCESS_SWITCHED)
		event_check(cpu);
}

void op_int3(struct vcpu *cpu, const struct insn *insn)
{
	/* The client's debugger sees its breakpoint at the address of the INT3. */
	if ((cpu->debug_control & KVM_GUESTDBG_ENABLE) &&
	    (cpu->debug_control & KVM_GUESTDBG_USE_SW_BP))
		exception(cpu, insn, VECTOR_BP, 0);
	soft_event(cpu, insn, VECTOR_BP, EVENT_SOFT_EXCEPTION);
}

void op_int1(struct vcpu *cpu, const struct insn *insn)
{
	soft_event(cpu, insn, VECTOR_DB, EVENT_PRIVILEGED_SOFT);
}

void op_into(struct vcpu *cpu, const struct insn *insn)
{
	if (insn->code == 8)
		exception_ud(cpu, insn);
	if (!(cpu->state.arith & ARITH_OF))
		END_BLOCK(cpu, insn);
	soft_event(cpu, insn, VECTOR_OF, EVENT_SOFT_EXCEPTION);
}

void op_int(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint8_t vector = insn->imm;

	if (state_protected(s) && state_v86(s)) {
		bool redirected;
		int status;

		system_begin(cpu, insn);
		redirected = event_redirected(cpu, vector, &status);
		must(cpu, insn, status);
		if (redirected) {
			must(cpu, insn, event_deliver_redirected(cpu, vector,
								 insn_next_ip(cpu, insn)));
			return;
		}
		if ((s->rflags & RFLAGS_IOPL) != RFLAGS_IOPL)
			exception_gp(cpu, insn, 0);
	}
	soft_event(cpu, insn, vector, EVENT_SOFT_INTERRUPT);
}

/* ---- IRET ---- */

#define FLAGS_USER (RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT)
#define FLAGS_USER32 (RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)

/* IRET ends the blocking of NMIs, whatever else it does. */
static void nmi_unmask(struct vcpu *cpu)
{
	struct pending_events *e = &cpu->state.events;

	if (!e->nmi.masked)
		return;
	e->nmi.masked = false;
	if (e->nmi.pending)
		event_check(cpu);
}

/* Takes from @flags what @mask and the operand size allow. */
static void set_flags(struct vcpu *cpu, const struct insn *insn, uint64_t flags, uint64_t mask)
{
	struct cpu_state *s = &cpu->state;
	uint64_t old = rflags_get(s);

	if (insn->opsize == 2)
		mask &= 0xffff;
	rflags_set(s, (old & ~mask) | (flags & mask));
}

static void iret_real(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	unsigned size = insn->opsize;
	uint64_t sp = s->gpr[GPR_RSP], old = s->rflags;
	uint64_t mask = FLAGS_USER | FLAGS_USER32 | RFLAGS_IF;
	uint64_t ip = system_stack_read(cpu, insn, sp, size);
	uint16_t selector = system_stack_read(cpu, insn, sp + size, size);
	uint64_t flags = system_stack_read(cpu, insn, sp + 2 * size, size);

	if (state_protected(s)) { /* V86 */
		if ((s->rflags & RFLAGS_IOPL) != RFLAGS_IOPL) {
			if (!(s->cr4 & CR4_VME) || size != 2 || (flags & RFLAGS_TF) ||
			    ((flags & RFLAGS_IF) && (s->rflags & RFLAGS_VIP)))
				exception_gp(cpu, insn, 0);
			mask &= ~(uint64_t)RFLAGS_IF;
		}
	} else {
		mask |= RFLAGS_IOPL;
	}
	if (ip > s->seg[SEG_CS].limit)
		exception_gp(cpu, insn, 0);
	system_set_sp(cpu, system_stack_mask(cpu, insn), sp + 3 * size);
	segment_set_real(cpu, SEG_CS, selector);
	s->rip = ip;
	set_flags(cpu, insn, flags, mask);
	if (!(mask & RFLAGS_IF))
		s->rflags = (s->rflags & ~(uint64_t)RFLAGS_VIF) |
			    (flags & RFLAGS_IF ? RFLAGS_VIF : 0);
	event_flags_changed(cpu, old);
}

/* From level 0 to a V86 program. */
static void iret_to_v86(struct vcpu *cpu, const struct insn *insn, uint64_t ip, uint16_t selector,
			uint64_t flags)
{
	static const enum seg order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	struct cpu_state *s = &cpu->state;
	uint64_t sp = s->gpr[GPR_RSP] + 12, esp = system_stack_read(cpu, insn, sp, 4);
	uint16_t selectors[5];
	unsigned i;

	for (i = 0; i < 5; i++)
		selectors[i] = system_stack_read(cpu, insn, sp + 4 + 4 * i, 4);
	rflags_set(s, flags & (FLAGS_USER | FLAGS_USER32 | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VIF |
			       RFLAGS_VIP | RFLAGS_VM));
	for (i = 0; i < 5; i++)
		segment_set_real(cpu, order[i], selectors[i]);
	segment_set_real(cpu, SEG_CS, selector);
	s->gpr[GPR_RSP] = esp;
	s->rip = ip & 0xffff;
	vcpu_mode_changed(cpu);
	if (s->rflags & RFLAGS_TF)
		event_check(cpu);
	else if (s->rflags & RFLAGS_IF)
		event_check_soon(cpu);
}

static void iret_task(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint16_t link;
	int status;

	if (state_long(s))
		exception_gp(cpu, insn, 0);
	system_begin(cpu, insn);
	must(cpu, insn, access_read(cpu, s->seg[SEG_TR].base, &link, 2, TLB_SUPER));
	status = task_switch(cpu, link, TASK_IRET, insn_next_ip(cpu, insn), false, 0, 0);
	must(cpu, insn, status);
	nmi_unmask(cpu);
	event_check(cpu);
}

static void iret_code(struct vcpu *cpu, const struct insn *insn, uint16_t selector,
		      struct kvm_segment *cs)
{
	unsigned cpl = state_cpl(&cpu->state), rpl = selector & SELECTOR_RPL;
	uint32_t error = selector & ~SELECTOR_RPL;
	struct descriptor d;

	system_begin(cpu, insn);
	if (!error)
		exception_gp(cpu, insn, 0);
	must(cpu, insn, descriptor_read(cpu, selector, &d));
	if (!d.valid || !descriptor_code(&d) || rpl < cpl)
		exception_gp(cpu, insn, error);
	if (descriptor_conforming(&d) ? descriptor_dpl(&d) > rpl : descriptor_dpl(&d) != rpl)
		exception_gp(cpu, insn, error);
	if (state_long(&cpu->state) && descriptor_long(&d) && descriptor_db(&d))
		exception_gp(cpu, insn, error);
	if (!descriptor_present(&d))
		exception(cpu, insn, VECTOR_NP, error);
	must(cpu, insn, descriptor_set_accessed(cpu, &d));
	descriptor_segment(&d, selector, cs);
}

static void iret_protected(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	unsigned size = insn->opsize, cpl = state_cpl(s), rpl;
	uint64_t sp = s->gpr[GPR_RSP], old = s->rflags, mask = system_stack_mask(cpu, insn);
	uint64_t ip = system_stack_read(cpu, insn, sp, size), flags, new_sp = 0;
	uint16_t selector = system_stack_read(cpu, insn, sp + size, size), ss_selector;
	struct kvm_segment cs, ss;
	bool wide;

	flags = system_stack_read(cpu, insn, sp + 2 * size, size);
	if ((flags & RFLAGS_VM) && size == 4 && !cpl && !state_long(s)) {
		iret_to_v86(cpu, insn, ip, selector, flags);
		nmi_unmask(cpu);
		return;
	}
	rpl = selector & SELECTOR_RPL;
	iret_code(cpu, insn, selector, &cs);
	wide = state_long(s) && cs.l;
	if (rpl != cpl || insn->code == 8) {
		new_sp = system_stack_read(cpu, insn, sp + 3 * size, size);
		ss_selector = system_stack_read(cpu, insn, sp + 4 * size, size);
		system_begin(cpu, insn);
		must(cpu, insn, segment_check_stack(cpu, ss_selector, rpl, VECTOR_GP, 0, wide,
						    &ss));
	}
	if (wide ? !access_canonical(cpu, ip) : ip > cs.limit)
		exception_gp(cpu, insn, 0);
	if (rpl != cpl || insn->code == 8) {
		segment_set(cpu, SEG_SS, &ss);
		if (wide)
			s->gpr[GPR_RSP] = new_sp;
		else if (ss.db)
			s->gpr[GPR_RSP] = (uint32_t)new_sp;
		else
			system_set_sp(cpu, 0xffff, new_sp);
	} else {
		system_set_sp(cpu, mask, sp + 3 * size);
	}
	/* What may change depends on the level that IRET ran at. */
	mask = FLAGS_USER | FLAGS_USER32;
	if (cpl <= (old & RFLAGS_IOPL) >> 12)
		mask |= RFLAGS_IF;
	if (!cpl)
		mask |= RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP;
	set_flags(cpu, insn, flags, mask);
	segment_set(cpu, SEG_CS, &cs);
	s->rip = ip;
	if (rpl != cpl)
		segment_drop_inner(cpu, rpl);
	vcpu_mode_changed(cpu);
	event_flags_changed(cpu, old ^ ((old ^ s->rflags) & RFLAGS_AC));
	nmi_unmask(cpu);
}

void op_iret(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;

	if (!system_protected(s)) {
		iret_real(cpu, insn);
		nmi_unmask(cpu);
	} else if (s->rflags & RFLAGS_NT) {
		iret_task(cpu, insn);
	} else {
		iret_protected(cpu, insn);
	}
}
