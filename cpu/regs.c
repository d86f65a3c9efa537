/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM_GET/SET_REGS, KVM_GET/SET_SREGS(2), KVM_TRANSLATE. */
#include <errno.h>
#include <string.h>

#include "cpu/control.h"
#include "cpu/flags.h"
#include "cpu/segment.h"

/* ---- general registers ---- */

void vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs)
{
	const struct cpu_state *s = &vcpu->state;

	*regs = (struct kvm_regs){
		.rax = s->gpr[GPR_RAX], .rbx = s->gpr[GPR_RBX], .rcx = s->gpr[GPR_RCX],
		.rdx = s->gpr[GPR_RDX], .rsi = s->gpr[GPR_RSI], .rdi = s->gpr[GPR_RDI],
		.rsp = s->gpr[GPR_RSP], .rbp = s->gpr[GPR_RBP], .r8 = s->gpr[GPR_R8],
		.r9 = s->gpr[GPR_R9], .r10 = s->gpr[GPR_R10], .r11 = s->gpr[GPR_R11],
		.r12 = s->gpr[GPR_R12], .r13 = s->gpr[GPR_R13], .r14 = s->gpr[GPR_R14],
		.r15 = s->gpr[GPR_R15], .rip = s->rip, .rflags = rflags_get(s),
	};
}

void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	struct cpu_state *s = &vcpu->state;

	s->gpr[GPR_RAX] = regs->rax;
	s->gpr[GPR_RBX] = regs->rbx;
	s->gpr[GPR_RCX] = regs->rcx;
	s->gpr[GPR_RDX] = regs->rdx;
	s->gpr[GPR_RSI] = regs->rsi;
	s->gpr[GPR_RDI] = regs->rdi;
	s->gpr[GPR_RSP] = regs->rsp;
	s->gpr[GPR_RBP] = regs->rbp;
	s->gpr[GPR_R8] = regs->r8;
	s->gpr[GPR_R9] = regs->r9;
	s->gpr[GPR_R10] = regs->r10;
	s->gpr[GPR_R11] = regs->r11;
	s->gpr[GPR_R12] = regs->r12;
	s->gpr[GPR_R13] = regs->r13;
	s->gpr[GPR_R14] = regs->r14;
	s->gpr[GPR_R15] = regs->r15;
	s->rip = regs->rip;
	rflags_set(s, regs->rflags);
	/* As the kernel: an exception that is not being delivered yet belonged to the old RIP. */
	s->events.exception.pending = false;
	vcpu_mode_changed(vcpu);
}

/* ---- special registers ---- */

/* What struct kvm_sregs and struct kvm_sregs2 have in common starts both of them. */
#define SREGS_COMMON_BYTES offsetof(struct kvm_sregs, interrupt_bitmap)
_Static_assert(SREGS_COMMON_BYTES == offsetof(struct kvm_sregs2, flags),
	       "kvm_sregs2 starts as kvm_sregs");

static void get_segment(const struct vcpu *vcpu, enum seg seg, struct kvm_segment *segment)
{
	*segment = vcpu->state.seg[seg];
	if (segment->unusable)
		segment->present = 0;
}

static void get_common(struct vcpu *vcpu, struct kvm_sregs *sregs)
{
	const struct cpu_state *s = &vcpu->state;

	memset(sregs, 0, sizeof(*sregs));
	get_segment(vcpu, SEG_CS, &sregs->cs);
	get_segment(vcpu, SEG_DS, &sregs->ds);
	get_segment(vcpu, SEG_ES, &sregs->es);
	get_segment(vcpu, SEG_FS, &sregs->fs);
	get_segment(vcpu, SEG_GS, &sregs->gs);
	get_segment(vcpu, SEG_SS, &sregs->ss);
	get_segment(vcpu, SEG_TR, &sregs->tr);
	get_segment(vcpu, SEG_LDTR, &sregs->ldt);
	sregs->gdt = s->gdt;
	sregs->idt = s->idt;
	sregs->cr0 = s->cr0;
	sregs->cr2 = s->cr2;
	sregs->cr3 = s->cr3;
	sregs->cr4 = s->cr4;
	sregs->cr8 = vcpu->lapic ? lapic_get_cr8(vcpu->lapic) : s->cr8;
	sregs->efer = s->efer;
	sregs->apic_base = vcpu->lapic ? lapic_get_base(vcpu->lapic) : s->apic_base;
}

void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs)
{
	const struct pending_events *e = &vcpu->state.events;

	get_common(vcpu, sregs);
	if (e->interrupt.injected && !e->interrupt.soft)
		sregs->interrupt_bitmap[e->interrupt.vector / 64] |=
			1ull << (e->interrupt.vector % 64);
}

void vcpu_get_sregs2(struct vcpu *vcpu, struct kvm_sregs2 *sregs)
{
	const struct cpu_state *s = &vcpu->state;
	struct kvm_sregs common;

	get_common(vcpu, &common);
	memset(sregs, 0, sizeof(*sregs));
	memcpy(sregs, &common, SREGS_COMMON_BYTES);
	if (control_pae_paging(s->cr0, s->cr4, s->efer)) {
		memcpy(sregs->pdptrs, s->pdptr, sizeof(sregs->pdptrs));
		sregs->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	}
}

static bool valid(const struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	if ((sregs->efer & EFER_LME) && (sregs->cr0 & CR0_PG)) {
		if (!(sregs->cr4 & CR4_PAE) || !(sregs->efer & EFER_LMA))
			return false;
		if (sregs->cr3 & (~0ull << vcpu->features.maxphyaddr))
			return false;
	} else if ((sregs->efer & EFER_LMA) || sregs->cs.l) {
		return false;
	}
	if (sregs->cr4 & vcpu->features.cr4_reserved)
		return false;
	if (sregs->cr0 >> 32 || ((sregs->cr0 & CR0_NW) && !(sregs->cr0 & CR0_CD)))
		return false;
	return !(sregs->cr0 & CR0_PG) || (sregs->cr0 & CR0_PE);
}

static void set_segment(struct vcpu *vcpu, enum seg seg, const struct kvm_segment *from)
{
	struct kvm_segment segment = *from;

	segment.type &= 15;
	segment.s &= 1;
	segment.dpl &= 3;
	segment.db &= 1;
	segment.l &= 1;
	segment.g &= 1;
	segment.avl &= 1;
	segment.unusable = from->unusable || !from->present;
	segment.present = !segment.unusable;
	segment.padding = 0;
	segment_set(vcpu, seg, &segment);
}

/* @pdptr: the four entries, or NULL to read them where CR3 points. */
static int set_common(struct vcpu *vcpu, const struct kvm_sregs *sregs, const uint64_t *pdptr)
{
	struct cpu_state *s = &vcpu->state;
	uint64_t loaded[4];

	if (!valid(vcpu, sregs))
		return -EINVAL;
	if (vcpu_set_apic_base(vcpu, sregs->apic_base, true))
		return -EINVAL;
	s->gdt = sregs->gdt;
	s->idt = sregs->idt;
	s->cr0 = sregs->cr0 | CR0_ET;
	s->cr2 = sregs->cr2;
	s->cr3 = sregs->cr3;
	s->cr4 = sregs->cr4;
	s->efer = sregs->efer;
	if (vcpu->lapic)
		lapic_set_cr8(vcpu->lapic, sregs->cr8 & 0xf);
	else
		s->cr8 = sregs->cr8 & 0xf;
	if (control_pae_paging(s->cr0, s->cr4, s->efer)) {
		if (pdptr)
			memcpy(s->pdptr, pdptr, sizeof(s->pdptr));
		else if (!control_read_pdptrs(vcpu, s->cr3, loaded))
			memcpy(s->pdptr, loaded, sizeof(s->pdptr));
	}
	set_segment(vcpu, SEG_CS, &sregs->cs);
	set_segment(vcpu, SEG_DS, &sregs->ds);
	set_segment(vcpu, SEG_ES, &sregs->es);
	set_segment(vcpu, SEG_FS, &sregs->fs);
	set_segment(vcpu, SEG_GS, &sregs->gs);
	set_segment(vcpu, SEG_SS, &sregs->ss);
	set_segment(vcpu, SEG_TR, &sregs->tr);
	set_segment(vcpu, SEG_LDTR, &sregs->ldt);
	/* User space that resets a halted boot processor this way expects it to run. */
	if (vcpu->bsp && s->rip == 0xfff0 && sregs->cs.selector == 0xf000 &&
	    sregs->cs.base == 0xffff0000 && !(s->cr0 & CR0_PE))
		s->mp_state = KVM_MP_STATE_RUNNABLE;
	vcpu_mode_changed(vcpu);
	vcpu_paging_changed(vcpu);
	mmu_flush(&vcpu->mmu);
	return 0;
}

int vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	struct pending_events *e = &vcpu->state.events;
	int i, error;

	error = set_common(vcpu, sregs, NULL);
	if (error)
		return error;
	for (i = 0; i < 4; i++) {
		uint64_t bits = sregs->interrupt_bitmap[i];

		if (!bits)
			continue;
		e->interrupt.injected = true;
		e->interrupt.soft = false;
		e->interrupt.vector = i * 64 + __builtin_ctzll(bits);
		break;
	}
	return 0;
}

int vcpu_set_sregs2(struct vcpu *vcpu, const struct kvm_sregs2 *sregs)
{
	bool given = sregs->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	struct kvm_sregs common = { 0 };
	uint64_t pdptr[4];

	if (sregs->flags & ~(uint64_t)KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return -EINVAL;
	if (given && !control_pae_paging(sregs->cr0, sregs->cr4, sregs->efer))
		return -EINVAL;
	memcpy(&common, sregs, SREGS_COMMON_BYTES);
	memcpy(pdptr, sregs->pdptrs, sizeof(pdptr));
	return set_common(vcpu, &common, given ? pdptr : NULL);
}

void vcpu_translate(struct vcpu *vcpu, struct kvm_translation *translation)
{
	bool writable, user;
	uint64_t gpa;

	/* Rights are constants in the kernel too. */
	translation->writeable = 1;
	translation->usermode = 0;
	translation->valid = mmu_probe(&vcpu->mmu, translation->linear_address, &gpa, &writable,
				       &user);
	translation->physical_address = translation->valid ? gpa : ~0ull;
}
