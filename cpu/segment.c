/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segment descriptors and segment registers. */
#include "cpu/segment.h"

#include <string.h>

#define DESCRIPTOR_ACCESSED (1ull << 40)
#define DESCRIPTOR_BUSY (2ull << 40)

/* ---- descriptors ---- */

int descriptor_read(struct vcpu *vcpu, uint16_t selector, struct descriptor *d)
{
	const struct cpu_state *s = &vcpu->state;
	uint32_t offset = selector & SELECTOR_INDEX, limit;
	uint64_t base;
	int status;

	d->selector = selector;
	d->valid = false;
	d->raw = 0;
	if (selector & SELECTOR_TI) {
		const struct kvm_segment *ldt = &s->seg[SEG_LDTR];

		if (ldt->unusable || !ldt->present)
			return ACCESS_OK;
		base = ldt->base;
		limit = ldt->limit;
	} else {
		if (!offset)
			return ACCESS_OK;
		base = s->gdt.base;
		limit = s->gdt.limit;
	}
	if (offset + 7 > limit)
		return ACCESS_OK;
	d->linear = base + offset;
	if (!state_long(s))
		d->linear = (uint32_t)d->linear;
	status = access_read(vcpu, d->linear, &d->raw, 8, TLB_SUPER);
	d->valid = !status;
	return status;
}

int descriptor_read_upper(struct vcpu *vcpu, const struct descriptor *d, uint64_t *upper)
{
	const struct cpu_state *s = &vcpu->state;
	uint32_t limit = d->selector & SELECTOR_TI ? s->seg[SEG_LDTR].limit : s->gdt.limit;
	int status;

	if ((d->selector & SELECTOR_INDEX) + 15u > limit)
		return access_fault(vcpu, VECTOR_GP, d->selector & ~SELECTOR_RPL);
	status = access_read(vcpu, d->linear + 8, upper, 8, TLB_SUPER);
	if (status)
		return status;
	/* Its type field must be 0 (SDM volume 3, figure 7-4). */
	if (*upper >> 40 & 0x1f)
		return access_fault(vcpu, VECTOR_GP, d->selector & ~SELECTOR_RPL);
	return ACCESS_OK;
}

/* Only the access byte is written, so that a neighbour's change of the rest is not lost. */
static int write_access_byte(struct vcpu *vcpu, const struct descriptor *d, uint64_t raw)
{
	uint8_t byte = raw >> 40;
	int status = access_write(vcpu, d->linear + 5, &byte, 1, TLB_SUPER);

	return status == ACCESS_MMIO ? ACCESS_OK : status;
}

int descriptor_set_accessed(struct vcpu *vcpu, struct descriptor *d)
{
	if (d->raw & DESCRIPTOR_ACCESSED)
		return ACCESS_OK;
	d->raw |= DESCRIPTOR_ACCESSED;
	return write_access_byte(vcpu, d, d->raw);
}

int descriptor_set_busy(struct vcpu *vcpu, const struct descriptor *d, bool busy)
{
	return write_access_byte(vcpu, d, busy ? d->raw | DESCRIPTOR_BUSY :
						 d->raw & ~DESCRIPTOR_BUSY);
}

void descriptor_segment(const struct descriptor *d, uint16_t selector, struct kvm_segment *segment)
{
	uint64_t raw = d->raw;

	memset(segment, 0, sizeof(*segment));
	segment->selector = selector;
	segment->base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000);
	segment->limit = (raw & 0xffff) | (raw >> 32 & 0xf0000);
	segment->g = raw >> 55 & 1;
	if (segment->g)
		segment->limit = segment->limit << 12 | 0xfff;
	segment->type = descriptor_type(d);
	segment->s = descriptor_s(d);
	segment->dpl = descriptor_dpl(d);
	segment->present = descriptor_present(d);
	segment->avl = raw >> 52 & 1;
	segment->l = descriptor_long(d);
	segment->db = descriptor_db(d);
}

bool segment_contains(const struct kvm_segment *segment, uint64_t offset, unsigned bytes)
{
	uint64_t last = offset + bytes - 1;

	if (segment->s && (segment->type & 0xc) == 4) /* expand-down data */
		return offset > segment->limit && last <= (segment->db ? 0xffffffffull : 0xffff);
	return last <= segment->limit;
}

/* ---- segment registers without checks ---- */

void segment_set_null(struct vcpu *vcpu, enum seg seg, uint16_t selector, unsigned dpl)
{
	struct kvm_segment null = { .selector = selector, .unusable = 1, .dpl = dpl };

	segment_set(vcpu, seg, &null);
}

void segment_set_real(struct vcpu *vcpu, enum seg seg, uint16_t selector)
{
	struct kvm_segment *segment = &vcpu->state.seg[seg];

	/* Real mode keeps limit and attributes ("unreal mode"); V86 always has its own. */
	if (state_v86(&vcpu->state) || segment->unusable) {
		struct kvm_segment clean = { .limit = 0xffff, .type = 3, .present = 1, .s = 1 };

		clean.dpl = state_v86(&vcpu->state) ? 3 : 0;
		*segment = clean;
	}
	segment->selector = selector;
	segment_set_base(vcpu, seg, (uint64_t)selector << 4);
}

void segment_set_flat_code(struct vcpu *vcpu, uint16_t selector, unsigned dpl, bool wide)
{
	struct kvm_segment flat = { .selector = selector, .limit = 0xffffffff, .type = 0xb,
				    .present = 1, .dpl = dpl, .db = !wide, .s = 1, .l = wide,
				    .g = 1 };

	segment_set(vcpu, SEG_CS, &flat);
}

void segment_set_flat_stack(struct vcpu *vcpu, uint16_t selector, unsigned dpl)
{
	struct kvm_segment flat = { .selector = selector, .limit = 0xffffffff, .type = 3,
				    .present = 1, .dpl = dpl, .db = 1, .s = 1, .g = 1 };

	segment_set(vcpu, SEG_SS, &flat);
}

/* ---- loads with checks ---- */

/* Derived state after a load of a data segment; in 64-bit code nothing depends on it. */
static void data_segment_changed(struct vcpu *vcpu)
{
	if (!state_code64(&vcpu->state))
		interp_mode_changed(vcpu);
}

static int load_null(struct vcpu *vcpu, enum seg seg, uint16_t selector)
{
	unsigned cpl = state_cpl(&vcpu->state);

	if (seg == SEG_SS) {
		/* 64-bit code below level 3 may do without a stack segment. */
		if (!state_code64(&vcpu->state) || cpl == 3 || (selector & SELECTOR_RPL) != cpl)
			return access_fault(vcpu, VECTOR_GP, 0);
		segment_set_null(vcpu, seg, selector, cpl);
	} else {
		segment_set_null(vcpu, seg, selector, 0);
	}
	data_segment_changed(vcpu);
	return ACCESS_OK;
}

static int load_stack(struct vcpu *vcpu, uint16_t selector)
{
	unsigned cpl = state_cpl(&vcpu->state);
	struct kvm_segment ss;
	int status;

	status = segment_check_stack(vcpu, selector, cpl, VECTOR_GP, 0, false, &ss);
	if (status)
		return status;
	segment_set(vcpu, SEG_SS, &ss);
	data_segment_changed(vcpu);
	return ACCESS_OK;
}

int segment_load(struct vcpu *vcpu, enum seg seg, uint16_t selector)
{
	const struct cpu_state *s = &vcpu->state;
	uint32_t error = selector & ~SELECTOR_RPL;
	struct kvm_segment segment;
	struct descriptor d;
	int status;

	if (!state_protected(s) || state_v86(s)) {
		bool was_usable = !s->seg[seg].unusable;

		segment_set_real(vcpu, seg, selector);
		/* Decoding asks whether segments are flat only in protected mode. */
		if (!was_usable)
			interp_mode_changed(vcpu);
		return ACCESS_OK;
	}
	if (!(selector & ~SELECTOR_RPL))
		return load_null(vcpu, seg, selector);
	if (seg == SEG_SS)
		return load_stack(vcpu, selector);
	status = descriptor_read(vcpu, selector, &d);
	if (status)
		return status;
	if (!d.valid || !descriptor_readable(&d))
		return access_fault(vcpu, VECTOR_GP, error);
	/* All but conforming code: both RPL and CPL are at least as privileged as DPL. */
	if (!(descriptor_code(&d) && descriptor_conforming(&d)) &&
	    ((selector & SELECTOR_RPL) > descriptor_dpl(&d) || state_cpl(s) > descriptor_dpl(&d)))
		return access_fault(vcpu, VECTOR_GP, error);
	if (!descriptor_present(&d))
		return access_fault(vcpu, VECTOR_NP, error);
	status = descriptor_set_accessed(vcpu, &d);
	if (status)
		return status;
	descriptor_segment(&d, selector, &segment);
	segment_set(vcpu, seg, &segment);
	data_segment_changed(vcpu);
	return ACCESS_OK;
}

int segment_check_stack(struct vcpu *vcpu, uint16_t selector, unsigned cpl, uint8_t vector,
			uint32_t ext, bool null_allowed, struct kvm_segment *ss)
{
	uint32_t error = (selector & ~SELECTOR_RPL) | ext;
	struct descriptor d;
	int status;

	if (!(selector & ~SELECTOR_RPL)) {
		if (!null_allowed || cpl == 3 || (selector & SELECTOR_RPL) != cpl)
			return access_fault(vcpu, vector, ext);
		memset(ss, 0, sizeof(*ss));
		ss->selector = selector;
		ss->dpl = cpl;
		ss->unusable = 1;
		return ACCESS_OK;
	}
	status = descriptor_read(vcpu, selector, &d);
	if (status)
		return status;
	if (!d.valid || (selector & SELECTOR_RPL) != cpl || !descriptor_writable_data(&d) ||
	    descriptor_dpl(&d) != cpl)
		return access_fault(vcpu, vector, error);
	if (!descriptor_present(&d))
		return access_fault(vcpu, VECTOR_SS, error);
	status = descriptor_set_accessed(vcpu, &d);
	if (status)
		return status;
	descriptor_segment(&d, selector, ss);
	return ACCESS_OK;
}

void segment_drop_inner(struct vcpu *vcpu, unsigned cpl)
{
	static const enum seg data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	unsigned i;

	for (i = 0; i < 4; i++) {
		const struct kvm_segment *segment = &vcpu->state.seg[data[i]];

		if (segment->unusable || segment->dpl >= cpl)
			continue;
		if ((segment->type & 0xc) != 0xc) /* not conforming code */
			segment_set_null(vcpu, data[i], 0, 0);
	}
}

/* ---- LDT and TSS ---- */

static int read_system(struct vcpu *vcpu, uint16_t selector, uint8_t vector, uint32_t ext,
		       unsigned types, struct descriptor *d, struct kvm_segment *segment)
{
	uint32_t error = (selector & ~SELECTOR_RPL) | ext;
	uint64_t upper;
	int status;

	if (selector & SELECTOR_TI)
		return access_fault(vcpu, vector, error);
	status = descriptor_read(vcpu, selector, d);
	if (status)
		return status;
	if (!d->valid || descriptor_s(d) || !(types >> descriptor_type(d) & 1))
		return access_fault(vcpu, vector, error);
	if (!descriptor_present(d))
		return access_fault(vcpu, vector == VECTOR_TS ? VECTOR_TS : VECTOR_NP, error);
	descriptor_segment(d, selector, segment);
	if (state_long(&vcpu->state)) {
		status = descriptor_read_upper(vcpu, d, &upper);
		if (status)
			return status;
		segment->base |= upper << 32;
		if (!access_canonical(vcpu, segment->base))
			return access_fault(vcpu, VECTOR_GP, error);
	}
	return ACCESS_OK;
}

int segment_load_ldt(struct vcpu *vcpu, uint16_t selector, uint8_t vector, uint32_t ext)
{
	struct kvm_segment segment;
	struct descriptor d;
	int status;

	if (!(selector & ~SELECTOR_RPL)) {
		segment_set_null(vcpu, SEG_LDTR, selector, 0);
		return ACCESS_OK;
	}
	status = read_system(vcpu, selector, vector, ext, 1u << SYSTEM_LDT, &d, &segment);
	if (status)
		return status;
	segment_set(vcpu, SEG_LDTR, &segment);
	return ACCESS_OK;
}

int segment_load_tr(struct vcpu *vcpu, uint16_t selector)
{
	unsigned types = 1u << SYSTEM_TSS;
	struct kvm_segment segment;
	struct descriptor d;
	int status;

	if (!(selector & ~SELECTOR_RPL))
		return access_fault(vcpu, VECTOR_GP, 0);
	if (!state_long(&vcpu->state))
		types |= 1u << SYSTEM_TSS16;
	status = read_system(vcpu, selector, VECTOR_GP, 0, types, &d, &segment);
	if (status)
		return status;
	status = descriptor_set_busy(vcpu, &d, true);
	if (status)
		return status;
	segment.type |= 2;
	segment_set(vcpu, SEG_TR, &segment);
	return ACCESS_OK;
}

int segment_inner_stack(struct vcpu *vcpu, unsigned cpl, uint32_t ext, struct kvm_segment *ss,
			uint64_t *sp)
{
	const struct kvm_segment *tr = &vcpu->state.seg[SEG_TR];
	bool tss32 = tr->type & 8;
	unsigned offset = tss32 ? 4 + 8 * cpl : 2 + 4 * cpl;
	struct { uint32_t esp; uint16_t ss; } __attribute__((packed)) inner32;
	uint16_t inner16[2], selector;
	int status;

	if (offset + (tss32 ? 5 : 3) > tr->limit)
		return access_fault(vcpu, VECTOR_TS, (tr->selector & ~SELECTOR_RPL) | ext);
	if (tss32)
		status = access_read(vcpu, tr->base + offset, &inner32, 6, TLB_SUPER);
	else
		status = access_read(vcpu, tr->base + offset, inner16, 4, TLB_SUPER);
	if (status)
		return status;
	*sp = tss32 ? inner32.esp : inner16[0];
	selector = tss32 ? inner32.ss : inner16[1];
	return segment_check_stack(vcpu, selector, cpl, VECTOR_TS, ext, false, ss);
}

int segment_inner_rsp(struct vcpu *vcpu, unsigned offset, uint32_t ext, uint64_t *rsp)
{
	const struct kvm_segment *tr = &vcpu->state.seg[SEG_TR];

	if (offset + 7 > tr->limit)
		return access_fault(vcpu, VECTOR_TS, (tr->selector & ~SELECTOR_RPL) | ext);
	return access_read(vcpu, tr->base + offset, rsp, 8, TLB_SUPER);
}
