/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment descriptors and segment registers: the only writer of state.seg[] and state.base[].
 * Functions that return int return enum access_status. Source: Intel SDM volume 3, chapters 3
 * and 5 (segmentation, protection).
 */
#ifndef FAUXKVM_CPU_SEGMENT_H
#define FAUXKVM_CPU_SEGMENT_H

#include "cpu/access.h"

#define SELECTOR_RPL 3u
#define SELECTOR_TI 4u
#define SELECTOR_INDEX 0xfff8u

/* Types of system descriptors. */
enum { SYSTEM_TSS16 = 1, SYSTEM_LDT = 2, SYSTEM_TSS16_BUSY = 3, SYSTEM_CALL16 = 4,
       SYSTEM_TASK_GATE = 5, SYSTEM_INT16 = 6, SYSTEM_TRAP16 = 7, SYSTEM_TSS = 9,
       SYSTEM_TSS_BUSY = 11, SYSTEM_CALL = 12, SYSTEM_INT = 14, SYSTEM_TRAP = 15 };

struct descriptor {
	uint64_t raw;
	uint64_t linear; /* where it lies */
	uint16_t selector;
	bool valid;      /* inside its table and not the null selector */
};

static inline unsigned descriptor_type(const struct descriptor *d) { return d->raw >> 40 & 15; }
static inline bool descriptor_s(const struct descriptor *d) { return d->raw >> 44 & 1; }
static inline unsigned descriptor_dpl(const struct descriptor *d) { return d->raw >> 45 & 3; }
static inline bool descriptor_present(const struct descriptor *d) { return d->raw >> 47 & 1; }
static inline bool descriptor_long(const struct descriptor *d) { return d->raw >> 53 & 1; }
static inline bool descriptor_db(const struct descriptor *d) { return d->raw >> 54 & 1; }
static inline bool descriptor_code(const struct descriptor *d)
{
	return descriptor_s(d) && (d->raw >> 43 & 1);
}
static inline bool descriptor_conforming(const struct descriptor *d)
{
	return d->raw >> 42 & 1;
}
static inline bool descriptor_writable_data(const struct descriptor *d)
{
	return descriptor_s(d) && (d->raw >> 40 & 0xa) == 2;
}
static inline bool descriptor_readable(const struct descriptor *d)
{
	return descriptor_s(d) && (d->raw >> 40 & 0xa) != 8;
}
/* Call, interrupt and trap gates. */
static inline uint16_t gate_selector(const struct descriptor *d) { return d->raw >> 16; }
static inline uint32_t gate_offset(const struct descriptor *d)
{
	return (uint32_t)(d->raw & 0xffff) | (uint32_t)(d->raw >> 32 & 0xffff0000);
}

/*
 * Reads the descriptor that @selector names. One outside its table, or the null selector, is not a
 * fault: @d->valid is false and the caller knows the exception.
 */
int descriptor_read(struct vcpu *vcpu, uint16_t selector, struct descriptor *d);
/* The upper half of a 16-byte descriptor (long mode); #GP(selector) outside the table. */
int descriptor_read_upper(struct vcpu *vcpu, const struct descriptor *d, uint64_t *upper);
/* Sets the accessed bit in memory and in @d if it is not set. Tables in ROM stay as they are. */
int descriptor_set_accessed(struct vcpu *vcpu, struct descriptor *d);
/* Sets or clears the busy bit of a TSS descriptor in memory. */
int descriptor_set_busy(struct vcpu *vcpu, const struct descriptor *d, bool busy);
/* As KVM shows a loaded segment. */
void descriptor_segment(const struct descriptor *d, uint16_t selector, struct kvm_segment *segment);

/* Plain assignments; the caller calls vcpu_mode_changed() when CS, SS, or flatness changed. */
static inline void segment_set(struct vcpu *vcpu, enum seg seg, const struct kvm_segment *value)
{
	vcpu->state.seg[seg] = *value;
	vcpu->state.base[seg] = value->base;
}
static inline void segment_set_base(struct vcpu *vcpu, enum seg seg, uint64_t base)
{
	vcpu->state.seg[seg].base = base;
	vcpu->state.base[seg] = base;
}
/* SWAPGS. */
static inline void segment_swap_gs(struct vcpu *vcpu)
{
	const uint64_t base = vcpu->state.base[SEG_GS];

	segment_set_base(vcpu, SEG_GS, vcpu->state.msr.kernel_gs_base);
	vcpu->state.msr.kernel_gs_base = base;
}
void segment_set_null(struct vcpu *vcpu, enum seg seg, uint16_t selector, unsigned dpl);
void segment_set_real(struct vcpu *vcpu, enum seg seg, uint16_t selector);
/* The flat segments of SYSCALL and SYSENTER. */
void segment_set_flat_code(struct vcpu *vcpu, uint16_t selector, unsigned dpl, bool wide);
void segment_set_flat_stack(struct vcpu *vcpu, uint16_t selector, unsigned dpl);
/* RPL field and DPL of CS as the new privilege level wants it. */
static inline uint16_t selector_with_rpl(uint16_t selector, unsigned rpl)
{
	return (selector & ~SELECTOR_RPL) | rpl;
}

/*
 * MOV, POP, LxS to ES, SS, DS, FS, GS in any mode, all checks; derived state is updated. Nothing
 * changes unless ACCESS_OK.
 */
int segment_load(struct vcpu *vcpu, enum seg seg, uint16_t selector);
/*
 * The new SS of a transfer to privilege level @cpl. @vector: of bad selectors (#TS, #GP), @ext is
 * or'ed to error codes. @null_allowed: return to 64-bit code below level 3.
 */
int segment_check_stack(struct vcpu *vcpu, uint16_t selector, unsigned cpl, uint8_t vector,
			uint32_t ext, bool null_allowed, struct kvm_segment *ss);
/* After a return to an outer level: data segments that it must not see become null. */
void segment_drop_inner(struct vcpu *vcpu, unsigned cpl);
/* LLDT and task switches: @vector #GP or #TS. LTR: sets the busy bit. */
int segment_load_ldt(struct vcpu *vcpu, uint16_t selector, uint8_t vector, uint32_t ext);
int segment_load_tr(struct vcpu *vcpu, uint16_t selector);

/* The stack of inner level @cpl that the TSS names; 64-bit: RSP at @offset of the TSS. */
int segment_inner_stack(struct vcpu *vcpu, unsigned cpl, uint32_t ext, struct kvm_segment *ss,
			uint64_t *sp);
int segment_inner_rsp(struct vcpu *vcpu, unsigned offset, uint32_t ext, uint64_t *rsp);

/* Does [@offset, @offset + @bytes) lie inside the limit? Not for 64-bit code. */
bool segment_contains(const struct kvm_segment *segment, uint64_t offset, unsigned bytes);

#endif
