/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hardware task switching. Source: Intel SDM volume 3, 8.2 (structures) and 8.3 (the steps). */
#include "cpu/task.h"

#include <string.h>

#include "cpu/control.h"
#include "cpu/event.h"
#include "cpu/flags.h"

#define DR6_BT (1ull << 15)

struct tss32 {
	uint16_t link, reserved0;
	uint32_t stacks[6];
	uint32_t cr3;
	uint32_t eip, eflags;
	uint32_t gpr[8];     /* in the order of the register numbers */
	uint32_t segment[6]; /* ES CS SS DS FS GS */
	uint32_t ldt;
	uint16_t trap, io_map;
} __attribute__((packed));
_Static_assert(sizeof(struct tss32) == 104, "TSS");

struct tss16 {
	uint16_t link;
	uint16_t stacks[6];
	uint16_t ip, flags;
	uint16_t gpr[8];
	uint16_t segment[4];
	uint16_t ldt;
} __attribute__((packed));
_Static_assert(sizeof(struct tss16) == 44, "16-bit TSS");

/* A task as either TSS describes it. */
struct task {
	uint32_t cr3, eip, eflags, gpr[8];
	uint16_t segment[6], ldt;
	bool trap, wide;
};

/* ---- the TSS in memory ---- */

static int read_task(struct vcpu *vcpu, uint64_t base, bool wide, struct task *task)
{
	union {
		struct tss32 wide;
		struct tss16 narrow;
	} tss;
	unsigned i;
	int status;

	memset(task, 0, sizeof(*task));
	task->wide = wide;
	status = access_read(vcpu, base, &tss, wide ? sizeof(tss.wide) : sizeof(tss.narrow),
			     TLB_SUPER);
	if (status)
		return status;
	if (wide) {
		task->cr3 = tss.wide.cr3;
		task->eip = tss.wide.eip;
		task->eflags = tss.wide.eflags;
		memcpy(task->gpr, tss.wide.gpr, sizeof(task->gpr));
		for (i = 0; i < 6; i++)
			task->segment[i] = tss.wide.segment[i];
		task->ldt = tss.wide.ldt;
		task->trap = tss.wide.trap & 1;
		return ACCESS_OK;
	}
	task->eip = tss.narrow.ip;
	task->eflags = tss.narrow.flags;
	for (i = 0; i < 8; i++)
		task->gpr[i] = tss.narrow.gpr[i] | 0xffff0000;
	for (i = 0; i < 4; i++)
		task->segment[i] = tss.narrow.segment[i];
	task->ldt = tss.narrow.ldt;
	return ACCESS_OK;
}

/* The dynamic fields of the old task. */
static int save_task(struct vcpu *vcpu, uint32_t eip, uint32_t eflags)
{
	const struct cpu_state *s = &vcpu->state;
	uint64_t base = s->seg[SEG_TR].base;
	unsigned i;

	if (s->seg[SEG_TR].type & 8) {
		struct tss32 tss = { .eip = eip, .eflags = eflags };
		unsigned from = offsetof(struct tss32, eip);

		for (i = 0; i < 8; i++)
			tss.gpr[i] = s->gpr[i];
		for (i = 0; i < 6; i++)
			tss.segment[i] = s->seg[i].selector;
		return access_write(vcpu, base + from, &tss.eip,
				    offsetof(struct tss32, ldt) - from, TLB_SUPER);
	} else {
		struct tss16 tss = { .ip = eip, .flags = eflags };
		unsigned from = offsetof(struct tss16, ip);

		for (i = 0; i < 8; i++)
			tss.gpr[i] = s->gpr[i];
		for (i = 0; i < 4; i++)
			tss.segment[i] = s->seg[i].selector;
		return access_write(vcpu, base + from, &tss.ip,
				    offsetof(struct tss16, ldt) - from, TLB_SUPER);
	}
}

/* ---- the new task, after the commit point ---- */

static int load_code(struct vcpu *vcpu, uint16_t selector, uint32_t ext)
{
	uint32_t error = (selector & ~SELECTOR_RPL) | ext;
	unsigned rpl = selector & SELECTOR_RPL;
	struct kvm_segment cs;
	struct descriptor d;
	int status;

	status = descriptor_read(vcpu, selector, &d);
	if (status)
		return status;
	if (!d.valid || !descriptor_code(&d))
		return access_fault(vcpu, VECTOR_TS, error);
	if (descriptor_conforming(&d) ? descriptor_dpl(&d) > rpl : descriptor_dpl(&d) != rpl)
		return access_fault(vcpu, VECTOR_TS, error);
	if (!descriptor_present(&d))
		return access_fault(vcpu, VECTOR_NP, error);
	status = descriptor_set_accessed(vcpu, &d);
	if (status)
		return status;
	descriptor_segment(&d, selector, &cs);
	segment_set(vcpu, SEG_CS, &cs);
	return ACCESS_OK;
}

static int load_data(struct vcpu *vcpu, enum seg seg, uint16_t selector, unsigned cpl,
		     uint32_t ext)
{
	uint32_t error = (selector & ~SELECTOR_RPL) | ext;
	struct kvm_segment segment;
	struct descriptor d;
	int status;

	if (!(selector & ~SELECTOR_RPL))
		return ACCESS_OK;
	status = descriptor_read(vcpu, selector, &d);
	if (status)
		return status;
	if (!d.valid || !descriptor_readable(&d))
		return access_fault(vcpu, VECTOR_TS, error);
	if (!(descriptor_code(&d) && descriptor_conforming(&d)) &&
	    ((selector & SELECTOR_RPL) > descriptor_dpl(&d) || cpl > descriptor_dpl(&d)))
		return access_fault(vcpu, VECTOR_TS, error);
	if (!descriptor_present(&d))
		return access_fault(vcpu, VECTOR_NP, error);
	status = descriptor_set_accessed(vcpu, &d);
	if (status)
		return status;
	descriptor_segment(&d, selector, &segment);
	segment_set(vcpu, seg, &segment);
	return ACCESS_OK;
}

static int load_segments(struct vcpu *vcpu, const struct task *task, uint32_t ext)
{
	static const enum seg data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	unsigned cpl = task->segment[SEG_CS] & SELECTOR_RPL, i;
	struct kvm_segment ss;
	int status;

	status = segment_load_ldt(vcpu, task->ldt, VECTOR_TS, ext);
	if (status)
		return status;
	if (task->eflags & RFLAGS_VM) {
		for (i = 0; i < 6; i++)
			segment_set_real(vcpu, i, task->segment[i]);
		return ACCESS_OK;
	}
	status = load_code(vcpu, task->segment[SEG_CS], ext);
	if (status)
		return status;
	status = segment_check_stack(vcpu, task->segment[SEG_SS], cpl, VECTOR_TS, ext, false, &ss);
	if (status)
		return status;
	segment_set(vcpu, SEG_SS, &ss);
	for (i = 0; i < 4; i++) {
		status = load_data(vcpu, data[i], task->segment[data[i]], cpl, ext);
		if (status)
			return status;
	}
	return ACCESS_OK;
}

static int push_error(struct vcpu *vcpu, const struct task *task, uint32_t error)
{
	struct cpu_state *s = &vcpu->state;
	const struct kvm_segment *ss = &s->seg[SEG_SS];
	unsigned bytes = task->wide ? 4 : 2;
	uint64_t mask = ss->db ? 0xffffffff : 0xffff, sp = (s->gpr[GPR_RSP] - bytes) & mask;
	int status;

	if (!segment_contains(ss, sp, bytes))
		return access_fault(vcpu, VECTOR_SS, 1);
	status = access_write(vcpu, (uint32_t)(ss->base + sp), &error, bytes,
			      state_cpl(s) == 3 ? TLB_USER : TLB_SUPER);
	if (!status)
		s->gpr[GPR_RSP] = (s->gpr[GPR_RSP] & ~mask & 0xffffffff) | sp;
	return status;
}

/* Registers that cannot fault; segments with their selectors but not usable. */
static void enter(struct vcpu *vcpu, const struct task *task, uint64_t eflags)
{
	struct cpu_state *s = &vcpu->state;
	unsigned i;

	rflags_set(s, eflags & (RFLAGS_ARITH | RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL |
				RFLAGS_NT | RFLAGS_RF | RFLAGS_VM | RFLAGS_AC | RFLAGS_VIF |
				RFLAGS_VIP | RFLAGS_ID));
	for (i = 0; i < 8; i++)
		s->gpr[i] = task->gpr[i];
	for (i = 0; i < 6; i++)
		segment_set_null(vcpu, i, task->segment[i],
				 task->segment[SEG_CS] & SELECTOR_RPL);
	s->rip = task->eip;
}

static int finish(struct vcpu *vcpu, const struct task *task, bool has_error, uint32_t error,
		  uint32_t ext)
{
	struct cpu_state *s = &vcpu->state;
	int status = ACCESS_OK;

	if (task->wide && (s->cr0 & CR0_PG) && control_write_cr3(vcpu, task->cr3))
		status = access_fault(vcpu, VECTOR_GP, ext);
	if (!status)
		status = load_segments(vcpu, task, ext);
	if (!status && task->eip > s->seg[SEG_CS].limit)
		status = access_fault(vcpu, VECTOR_GP, ext);
	if (!status && has_error)
		status = push_error(vcpu, task, error);
	return status;
}

/* ---- the switch ---- */

static int new_tss(struct vcpu *vcpu, uint16_t selector, enum task_reason reason, uint32_t ext,
		   struct descriptor *d, struct kvm_segment *tr)
{
	uint32_t error = (selector & ~SELECTOR_RPL) | ext, types;
	uint8_t vector = reason == TASK_IRET ? VECTOR_TS : VECTOR_GP;
	int status;

	if (selector & SELECTOR_TI)
		return access_fault(vcpu, vector, error);
	status = descriptor_read(vcpu, selector, d);
	if (status)
		return status;
	types = reason == TASK_IRET ? 1u << SYSTEM_TSS_BUSY | 1u << SYSTEM_TSS16_BUSY :
				      1u << SYSTEM_TSS | 1u << SYSTEM_TSS16;
	if (!d->valid || descriptor_s(d) || !(types >> descriptor_type(d) & 1))
		return access_fault(vcpu, vector, error);
	if (!descriptor_present(d))
		return access_fault(vcpu, VECTOR_NP, error);
	descriptor_segment(d, selector, tr);
	if (tr->limit < (tr->type & 8 ? sizeof(struct tss32) : sizeof(struct tss16)) - 1)
		return access_fault(vcpu, VECTOR_TS, error);
	tr->type |= 2;
	return ACCESS_OK;
}

int task_switch(struct vcpu *vcpu, uint16_t selector, enum task_reason reason, uint64_t return_ip,
		bool has_error, uint32_t error, uint32_t ext)
{
	struct cpu_state *s = &vcpu->state;
	bool nested = reason == TASK_CALL || reason == TASK_GATE;
	uint64_t old_flags = rflags_get(s), new_flags;
	uint16_t old_tr = s->seg[SEG_TR].selector;
	struct descriptor d, old;
	struct kvm_segment tr;
	struct task task;
	int status;

	status = new_tss(vcpu, selector, reason, ext, &d, &tr);
	if (!status)
		status = read_task(vcpu, tr.base, tr.type & 8, &task);
	if (!status)
		status = descriptor_read(vcpu, old_tr, &old);
	/* Room for the link is checked now, used when the old task is saved. */
	if (!status && nested)
		status = access_probe_write(vcpu, tr.base, 2, TLB_SUPER);
	if (status)
		return status;
	if (reason == TASK_IRET)
		old_flags &= ~(uint64_t)RFLAGS_NT;
	status = save_task(vcpu, return_ip, old_flags);
	if (!status && !nested && old.valid)
		status = descriptor_set_busy(vcpu, &old, false);
	if (!status && nested)
		status = access_write(vcpu, tr.base, &old_tr, 2, TLB_SUPER);
	if (!status && reason != TASK_IRET) {
		/* Another processor or the step above may have changed it since. */
		status = descriptor_read(vcpu, selector, &d);
		if (!status)
			status = descriptor_set_busy(vcpu, &d, true);
	}
	if (status)
		return status;

	new_flags = task.eflags | (nested ? RFLAGS_NT : 0);
	segment_set(vcpu, SEG_TR, &tr);
	s->cr0 |= CR0_TS;
	s->dr7 &= ~0x155ull; /* local breakpoints belong to the old task */
	enter(vcpu, &task, new_flags);
	status = finish(vcpu, &task, has_error, error, ext);
	vcpu_mode_changed(vcpu);
	vcpu_debug_changed(vcpu);
	if (status == ACCESS_HOST_FAULT)
		return status;
	if (status == ACCESS_MMIO) {
		s->events.triple_fault = true;
		event_check(vcpu);
		return ACCESS_OK;
	}
	if (!status && task.trap) {
		event_raise_debug(vcpu, DR6_BT);
		return ACCESS_SWITCHED;
	}
	return status ? ACCESS_SWITCHED : ACCESS_OK;
}
