/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Access to MSRs through the table: for the guest, for user space, for the lists, at reset. */
#include "cpu/msr.h"

#include <errno.h>
#include <string.h>

#include "cpu/msr_table.h"

#ifndef KVM_X86_QUIRK_STUFF_FEATURE_MSRS
#define KVM_X86_QUIRK_STUFF_FEATURE_MSRS (1 << 8)
#endif

/* As KVM: what the processor can address, not what CR4.LA57 says now. */
#define MSR_ADDRESS_BITS 57

const struct msr_row *msr_find(uint32_t index)
{
	size_t low = 0, high = msr_table_rows;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (index > msr_table[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	return low < msr_table_rows && index >= msr_table[low].first ? &msr_table[low] : NULL;
}

static uint64_t *storage(struct vcpu *vcpu, const struct msr_row *row, uint32_t index)
{
	return (uint64_t *)((uint8_t *)&vcpu->state + row->storage) + (index - row->first);
}

static bool canonical(uint64_t value)
{
	const unsigned shift = 64 - MSR_ADDRESS_BITS;

	return (uint64_t)((int64_t)(value << shift) >> shift) == value;
}

static bool guest_has(const struct vcpu *vcpu, const struct msr_row *row)
{
	return !(row->flags & MSR_HOST_ONLY) && (!row->present || row->present(vcpu));
}

/* -ENOENT: the vCPU has no such MSR, which is not the same as one that may not be accessed. */
static int lookup(const struct vcpu *vcpu, uint32_t index, const struct msr_row **row)
{
	*row = msr_find(index);
	if (!*row)
		return -ENOENT;
	if ((*row)->pv_feature && !vcpu_pv_feature(vcpu, (*row)->pv_feature - 1))
		return -ENOENT;
	return 0;
}

/* User space may save and restore what is in the list even where the guest lacks it. */
static bool listed(uint32_t index)
{
	const struct msr_row *row = msr_find(index);

	return row && (row->flags & MSR_LISTED);
}

int msr_read(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	const struct msr_row *row;

	if (lookup(vcpu, index, &row)) {
		*value = 0;
		return host && listed(index) ? 0 : -ENOENT;
	}
	if (!host && !guest_has(vcpu, row))
		return -EINVAL;
	if (row->flags & MSR_WRITE_ONLY)
		return -ENOENT;
	if (row->get)
		return row->get(vcpu, index, value, host);
	*value = row->storage ? *storage(vcpu, row, index) : row->reset;
	return 0;
}

/* A vCPU that has run keeps the features that it was given. */
static int check_immutable(struct vcpu *vcpu, const struct msr_row *row, uint32_t index,
			   uint64_t value)
{
	if (!(row->flags & MSR_IMMUTABLE) || !vcpu->has_run)
		return 0;
	return *storage(vcpu, row, index) == value ? 0 : -EINVAL;
}

static int check_guest_write(const struct vcpu *vcpu, const struct msr_row *row)
{
	return guest_has(vcpu, row) && !(row->flags & MSR_GUEST_READS) ? 0 : -EINVAL;
}

int msr_write(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	const struct msr_row *row;

	if (lookup(vcpu, index, &row))
		return host && !value && listed(index) ? 0 : -ENOENT;
	if (row->flags & MSR_READ_ONLY)
		return -ENOENT;
	if (host ? check_immutable(vcpu, row, index, value) : check_guest_write(vcpu, row))
		return -EINVAL;
	if (value & ~row->writable)
		return -EINVAL;
	if ((row->flags & MSR_CANONICAL) && !canonical(value))
		return -EINVAL;
	if ((row->flags & MSR_IGNORES) || (!host && (row->flags & MSR_GUEST_DROPPED)))
		return 0;
	if (row->set)
		return row->set(vcpu, index, value, host);
	*storage(vcpu, row, index) = value;
	return 0;
}

/* ---- lists ---- */

static unsigned list(uint32_t *out, unsigned flag)
{
	unsigned count = 0;
	uint32_t index;
	size_t i;

	for (i = 0; i < msr_table_rows; i++) {
		if (!(msr_table[i].flags & flag))
			continue;
		for (index = msr_table[i].first; index <= msr_table[i].last; index++) {
			if (out)
				out[count] = index;
			count++;
		}
	}
	return count;
}

unsigned msr_index_list(uint32_t *out)
{
	return list(out, MSR_LISTED);
}

unsigned msr_feature_list(uint32_t *out)
{
	return list(out, MSR_FEATURE);
}

int msr_feature_read(uint32_t index, uint64_t *value)
{
	const struct msr_row *row = msr_find(index);

	if (!row || !(row->flags & MSR_FEATURE))
		return -EINVAL;
	*value = row->reset;
	return 0;
}

/* ---- reset ---- */

void msr_reset(struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	uint32_t index;
	size_t i;

	memset(&s->msr, 0, sizeof(s->msr));
	for (i = 0; i < msr_table_rows; i++)
		for (index = msr_table[i].first; index <= msr_table[i].last; index++)
			if (msr_table[i].storage)
				*storage(vcpu, &msr_table[i], index) = msr_table[i].reset;
	/* User space that wants no feature it did not ask for gets none. */
	if (vm_disabled_quirks(vcpu->vm) & KVM_X86_QUIRK_STUFF_FEATURE_MSRS)
		s->msr.arch_capabilities = s->msr.platform_info = 0;
	/* MCi_CTL: all errors are reported. */
	for (i = 0; i < sizeof(s->msr.mc_banks) / sizeof(s->msr.mc_banks[0]); i += 4)
		s->msr.mc_banks[i] = ~0ull;
}
