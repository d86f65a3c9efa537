/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/smm.h"

#include <errno.h>
#include <string.h>

#include "cpu/access.h"
#include "cpu/control.h"
#include "cpu/flags.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "util/guard.h"

#define SAVE_AREA 0xfe00 /* from SMBASE */
#define SAVE_BYTES 512
#define ENTRY_IP 0x8000

/* ---- the save areas ---- */

/* Offsets in the area of a processor with long mode. A segment: selector, attributes, limit, base. */
enum area64 {
	A64_GDTR = 0x60,
	A64_IDTR = 0x80,
	A64_INT_SHADOW = 0xcb,
	A64_EFER = 0xd0,
	A64_REVISION = 0xfc,
	A64_SMBASE = 0x100,
	A64_CR4 = 0x148,
	A64_CR3 = 0x150,
	A64_CR0 = 0x158,
	A64_DR7 = 0x160,
	A64_DR6 = 0x168,
	A64_RFLAGS = 0x170,
	A64_RIP = 0x178,
	A64_R15 = 0x180, /* down to RAX */
};

static const uint16_t segments64[SEG_COUNT] = {
	[SEG_ES] = 0x00, [SEG_CS] = 0x10, [SEG_SS] = 0x20,   [SEG_DS] = 0x30,
	[SEG_FS] = 0x40, [SEG_GS] = 0x50, [SEG_LDTR] = 0x70, [SEG_TR] = 0x90,
};

/* The other one. A segment: flags, limit, base; its selector lies elsewhere. */
enum area32 {
	A32_SMBASE = 0xf8,
	A32_REVISION = 0xfc,
	A32_CR4 = 0x114,
	A32_INT_SHADOW = 0x11a,
	A32_IDTR = 0x150,
	A32_GDTR = 0x16c,
	A32_DR7 = 0x1c8,
	A32_DR6 = 0x1cc,
	A32_EAX = 0x1d0, /* up to EDI */
	A32_EIP = 0x1f0,
	A32_EFLAGS = 0x1f4,
	A32_CR3 = 0x1f8,
	A32_CR0 = 0x1fc,
};

static const struct {
	uint16_t state, selector;
} segments32[SEG_COUNT] = {
	[SEG_ES] = { 0x184, 0x1a8 }, [SEG_CS] = { 0x190, 0x1ac },   [SEG_SS] = { 0x19c, 0x1b0 },
	[SEG_DS] = { 0x12c, 0x1b4 }, [SEG_FS] = { 0x138, 0x1b8 },   [SEG_GS] = { 0x144, 0x1bc },
	[SEG_LDTR] = { 0x178, 0x1c0 }, [SEG_TR] = { 0x15c, 0x1c4 },
};

static void put(uint8_t *area, unsigned offset, uint64_t value, unsigned bytes)
{
	memcpy(area + offset, &value, bytes);
}

static uint64_t get(const uint8_t *area, unsigned offset, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, area + offset, bytes);
	return value;
}

/* As in the upper half of a descriptor. */
static uint32_t segment_flags(const struct kvm_segment *seg)
{
	return seg->g << 23 | seg->db << 22 | seg->l << 21 | seg->avl << 20 |
	       (seg->present && !seg->unusable) << 15 | seg->dpl << 13 | seg->s << 12 |
	       seg->type << 8;
}

static void load_segment(struct vcpu *vcpu, enum seg number, uint16_t selector, uint32_t flags,
			 uint32_t limit, uint64_t base)
{
	struct kvm_segment seg = {
		.selector = selector,
		.base = base,
		.limit = limit,
		.g = flags >> 23 & 1,
		.db = flags >> 22 & 1,
		.l = flags >> 21 & 1,
		.avl = flags >> 20 & 1,
		.present = flags >> 15 & 1,
		.dpl = flags >> 13 & 3,
		.s = flags >> 12 & 1,
		.type = flags >> 8 & 15,
	};

	seg.unusable = !seg.present;
	segment_set(vcpu, number, &seg);
}

static void save64(const struct vcpu *vcpu, uint8_t *area)
{
	const struct cpu_state *s = &vcpu->state;
	unsigned i;

	for (i = 0; i < 16; i++)
		put(area, A64_R15 + 8 * (15 - i), s->gpr[i], 8);
	put(area, A64_RIP, s->rip, 8);
	put(area, A64_RFLAGS, rflags_get(s), 8);
	put(area, A64_DR6, s->dr6, 8);
	put(area, A64_DR7, s->dr7, 8);
	put(area, A64_CR0, s->cr0, 8);
	put(area, A64_CR3, s->cr3, 8);
	put(area, A64_CR4, s->cr4, 8);
	put(area, A64_SMBASE, s->msr.smbase, 4);
	put(area, A64_REVISION, 0x00020064, 4);
	put(area, A64_EFER, s->efer, 8);
	put(area, A64_INT_SHADOW, s->events.shadow, 1);
	for (i = 0; i < SEG_COUNT; i++) {
		put(area, segments64[i], s->seg[i].selector, 2);
		put(area, segments64[i] + 2, segment_flags(&s->seg[i]) >> 8, 2);
		put(area, segments64[i] + 4, s->seg[i].limit, 4);
		put(area, segments64[i] + 8, s->seg[i].base, 8);
	}
	put(area, A64_GDTR + 4, s->gdt.limit, 4);
	put(area, A64_GDTR + 8, s->gdt.base, 8);
	put(area, A64_IDTR + 4, s->idt.limit, 4);
	put(area, A64_IDTR + 8, s->idt.base, 8);
}

static void save32(const struct vcpu *vcpu, uint8_t *area)
{
	const struct cpu_state *s = &vcpu->state;
	unsigned i;

	for (i = 0; i < 8; i++)
		put(area, A32_EAX + 4 * i, s->gpr[i], 4);
	put(area, A32_EIP, s->rip, 4);
	put(area, A32_EFLAGS, rflags_get(s), 4);
	put(area, A32_DR6, s->dr6, 4);
	put(area, A32_DR7, s->dr7, 4);
	put(area, A32_CR0, s->cr0, 4);
	put(area, A32_CR3, s->cr3, 4);
	put(area, A32_CR4, s->cr4, 4);
	put(area, A32_SMBASE, s->msr.smbase, 4);
	put(area, A32_REVISION, 0x00020000, 4);
	put(area, A32_INT_SHADOW, s->events.shadow, 1);
	for (i = 0; i < SEG_COUNT; i++) {
		put(area, segments32[i].selector, s->seg[i].selector, 4);
		put(area, segments32[i].state, segment_flags(&s->seg[i]), 4);
		put(area, segments32[i].state + 4, s->seg[i].limit, 4);
		put(area, segments32[i].state + 8, s->seg[i].base, 4);
	}
	put(area, A32_GDTR + 4, s->gdt.limit, 4);
	put(area, A32_GDTR + 8, s->gdt.base, 4);
	put(area, A32_IDTR + 4, s->idt.limit, 4);
	put(area, A32_IDTR + 8, s->idt.base, 4);
}

/* ---- memory ---- */

int smm_read_physical(struct vcpu *vcpu, uint64_t gpa, void *data, unsigned bytes)
{
	const struct memslot *slot;

	if (!vcpu->mmu.as)
		return memory_read(vcpu->vm->memory, vcpu->mmu.slots, gpa, data, bytes);
	slot = memslots_lookup(vcpu->mmu.slots, vcpu->mmu.as, gpa);
	return slot ? guard_copy_from(data, slot->hva + (gpa - slot->gpa), bytes) : -EFAULT;
}

/* ---- in ---- */

void smm_set(struct vcpu *vcpu, bool in_smm)
{
	if (vcpu->state.in_smm == in_smm)
		return;
	vcpu->state.in_smm = in_smm;
	vcpu->mmu.as = in_smm && memory_address_spaces(vcpu->vm->memory) > 1;
	vcpu->mmu.last_slot = NULL;
	mmu_flush(&vcpu->mmu);
	/* What is remembered by guest-physical address is the other memory's. */
	vcpu_request(vcpu, VCPU_REQUEST_SLOTS);
	if (!in_smm) {
		vcpu->state.events.smm_inside_nmi = false;
		if (vcpu->init_latched)
			vcpu_request(vcpu, VCPU_REQUEST_INIT);
		vcpu->init_latched = false;
	}
}

void smm_enter(struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	const struct kvm_segment data = {
		.limit = 0xffffffff,
		.type = 3,
		.s = 1,
		.g = 1,
		.present = 1,
	};
	struct kvm_segment code = data;
	uint8_t area[SAVE_BYTES] = { 0 };
	unsigned i;

	if (vcpu->features.long_mode)
		save64(vcpu, area);
	else
		save32(vcpu, area);
	smm_set(vcpu, true);
	if (s->events.nmi.masked)
		s->events.smm_inside_nmi = true;
	s->events.nmi.masked = true;
	s->events.shadow = 0;
	rflags_set(s, RFLAGS_FIXED);
	s->rip = ENTRY_IP;
	s->cr0 &= ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
	s->cr4 = 0;
	s->efer = 0;
	s->idt = (struct kvm_dtable){ 0 };
	s->dr7 = 0x400;
	code.selector = s->msr.smbase >> 4;
	code.base = s->msr.smbase;
	for (i = SEG_ES; i < SEG_LDTR; i++)
		segment_set(vcpu, i, i == SEG_CS ? &code : &data);
	vcpu_debug_changed(vcpu);
	vcpu_mode_changed(vcpu);
	vcpu_paging_changed(vcpu);
	/* Without paging linear is physical. Nowhere to save to: nothing could ever return. */
	if (access_write(vcpu, (uint32_t)(s->msr.smbase + SAVE_AREA), area, sizeof(area),
			 vcpu->data_mode)) {
		memset(&s->events.exception, 0, sizeof(s->events.exception));
		s->events.triple_fault = true;
	}
}

/* ---- out ---- */

static int load_control(struct vcpu *vcpu, uint64_t cr0, uint64_t cr3, uint64_t cr4)
{
	uint64_t pcid = cr4 & CR4_PCIDE ? cr3 & 0xfff : 0;

	/* PCIDs need long mode, which needs paging, which needs PAE. */
	if (control_write_cr3(vcpu, cr3 & ~pcid) || control_write_cr4(vcpu, cr4 & ~CR4_PCIDE) ||
	    control_write_cr0(vcpu, cr0))
		return -EINVAL;
	if (!(cr4 & CR4_PCIDE))
		return 0;
	if (control_write_cr4(vcpu, cr4) || control_write_cr3(vcpu, cr3))
		return -EINVAL;
	return 0;
}

static int load_debug(struct vcpu *vcpu, uint64_t dr6, uint64_t dr7)
{
	if (dr6 >> 32 || dr7 >> 32)
		return -EINVAL;
	vcpu->state.dr6 = dr6;
	vcpu->state.dr7 = dr7;
	return 0;
}

static int load64(struct vcpu *vcpu, const uint8_t *area)
{
	struct cpu_state *s = &vcpu->state;
	unsigned i;

	for (i = 0; i < 16; i++)
		s->gpr[i] = get(area, A64_R15 + 8 * (15 - i), 8);
	s->rip = get(area, A64_RIP, 8);
	rflags_set(s, get(area, A64_RFLAGS, 8) | RFLAGS_FIXED);
	s->msr.smbase = get(area, A64_SMBASE, 4);
	s->gdt.limit = get(area, A64_GDTR + 4, 4);
	s->gdt.base = get(area, A64_GDTR + 8, 8);
	s->idt.limit = get(area, A64_IDTR + 4, 4);
	s->idt.base = get(area, A64_IDTR + 8, 8);
	if (load_debug(vcpu, get(area, A64_DR6, 8), get(area, A64_DR7, 8)) ||
	    msr_write(vcpu, MSR_EFER_NUMBER, get(area, A64_EFER, 8) & ~EFER_LMA, false) ||
	    load_control(vcpu, get(area, A64_CR0, 8), get(area, A64_CR3, 8), get(area, A64_CR4, 8)))
		return -EINVAL;
	for (i = 0; i < SEG_COUNT; i++)
		load_segment(vcpu, i, get(area, segments64[i], 2),
			     (uint32_t)get(area, segments64[i] + 2, 2) << 8,
			     get(area, segments64[i] + 4, 4), get(area, segments64[i] + 8, 8));
	s->events.shadow = get(area, A64_INT_SHADOW, 1);
	return 0;
}

static int load32(struct vcpu *vcpu, const uint8_t *area)
{
	struct cpu_state *s = &vcpu->state;
	unsigned i;

	for (i = 0; i < 8; i++)
		s->gpr[i] = get(area, A32_EAX + 4 * i, 4);
	s->rip = get(area, A32_EIP, 4);
	rflags_set(s, get(area, A32_EFLAGS, 4) | RFLAGS_FIXED);
	s->msr.smbase = get(area, A32_SMBASE, 4);
	s->gdt.limit = get(area, A32_GDTR + 4, 4);
	s->gdt.base = get(area, A32_GDTR + 8, 4);
	s->idt.limit = get(area, A32_IDTR + 4, 4);
	s->idt.base = get(area, A32_IDTR + 8, 4);
	if (load_debug(vcpu, get(area, A32_DR6, 4), get(area, A32_DR7, 4)) ||
	    load_control(vcpu, get(area, A32_CR0, 4), get(area, A32_CR3, 4), get(area, A32_CR4, 4)))
		return -EINVAL;
	for (i = 0; i < SEG_COUNT; i++)
		load_segment(vcpu, i, get(area, segments32[i].selector, 4),
			     get(area, segments32[i].state, 4),
			     get(area, segments32[i].state + 4, 4),
			     get(area, segments32[i].state + 8, 4));
	s->events.shadow = get(area, A32_INT_SHADOW, 1);
	return 0;
}

int smm_leave(struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	uint8_t area[SAVE_BYTES];
	int error;

	/* Everything comes from the save area: real mode, where linear is physical, until then. */
	s->cr0 &= ~(CR0_PG | CR0_PE);
	s->cr4 = 0;
	s->efer = 0;
	rflags_set(s, RFLAGS_FIXED);
	load_segment(vcpu, SEG_CS, 0, 1 << 23 | 1 << 15 | 1 << 12 | 0xb << 8, 0xffffffff, 0);
	vcpu_mode_changed(vcpu);
	vcpu_paging_changed(vcpu);
	error = access_read(vcpu, (uint32_t)(s->msr.smbase + SAVE_AREA), area, sizeof(area),
			    vcpu->data_mode);
	if (error) {
		memset(&s->events.exception, 0, sizeof(s->events.exception));
		return -EINVAL;
	}
	if (!s->events.smm_inside_nmi)
		s->events.nmi.masked = false;
	smm_set(vcpu, false);
	error = vcpu->features.long_mode ? load64(vcpu, area) : load32(vcpu, area);
	vcpu_debug_changed(vcpu);
	vcpu_mode_changed(vcpu);
	vcpu_paging_changed(vcpu);
	return error;
}
