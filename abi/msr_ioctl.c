/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs: lists, reading and writing several with one call, or one as a register. KVM document 4.3,
 * 4.18, 4.19, 4.68, 4.69.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "abi/internal.h"
#include "cpu/msr_filter.h"

#define ENTRIES_OFFSET offsetof(struct kvm_msrs, entries)
#define INDICES_OFFSET offsetof(struct kvm_msr_list, indices)

/* ---- lists ---- */

static long get_index_list(struct ioctl_call *call, unsigned (*list)(uint32_t *))
{
	struct kvm_msr_list header;
	uint32_t *indices;
	unsigned room;
	long r;

	r = copy_in(call, &header, call->argument, INDICES_OFFSET);
	if (r)
		return r;
	room = header.nmsrs;
	header.nmsrs = list(NULL);
	r = copy_out(call, call->argument, &header, INDICES_OFFSET);
	if (r)
		return r;
	if (room < header.nmsrs)
		return -E2BIG;
	indices = calloc(header.nmsrs + 1, sizeof(*indices));
	if (!indices)
		return -ENOMEM;
	list(indices);
	r = copy_out(call, call->argument + INDICES_OFFSET, indices,
		     header.nmsrs * sizeof(*indices));
	free(indices);
	return r;
}

long ioctl_system_get_msr_index_list(struct ioctl_call *call)
{
	return get_index_list(call, msr_index_list);
}

long ioctl_system_get_msr_feature_index_list(struct ioctl_call *call)
{
	return get_index_list(call, msr_feature_list);
}

/* ---- values ---- */

static int read_feature(struct vcpu *vcpu, struct kvm_msr_entry *entry)
{
	(void)vcpu;
	return msr_feature_read(entry->index, (uint64_t *)&entry->data);
}

static int read_msr(struct vcpu *vcpu, struct kvm_msr_entry *entry)
{
	return msr_read(vcpu, entry->index, (uint64_t *)&entry->data, true);
}

static int write_msr(struct vcpu *vcpu, struct kvm_msr_entry *entry)
{
	return msr_write(vcpu, entry->index, entry->data, true);
}

/* The number of MSRs done before the first that failed. */
static long each_msr(struct ioctl_call *call, struct vcpu *vcpu,
		     int (*access)(struct vcpu *, struct kvm_msr_entry *), bool write_back)
{
	struct kvm_msr_entry *entries;
	struct kvm_msrs header;
	size_t bytes;
	long r, done;

	r = copy_in(call, &header, call->argument, ENTRIES_OFFSET);
	if (r)
		return r;
	if (header.nmsrs >= MSRS_PER_CALL_MAX)
		return -E2BIG;
	bytes = header.nmsrs * sizeof(*entries);
	entries = malloc(bytes + 1);
	if (!entries)
		return -ENOMEM;
	r = copy_in(call, entries, call->argument + ENTRIES_OFFSET, bytes);
	if (r)
		goto out;
	for (done = 0; done < header.nmsrs; done++)
		if (access(vcpu, &entries[done]))
			break;
	if (write_back)
		r = copy_out(call, call->argument + ENTRIES_OFFSET, entries, bytes);
	if (!r)
		r = done;
out:
	free(entries);
	return r;
}

long ioctl_system_get_msrs(struct ioctl_call *call)
{
	return each_msr(call, NULL, read_feature, true);
}

long ioctl_vcpu_get_msrs(struct ioctl_call *call)
{
	return each_msr(call, call_vcpu(call), read_msr, true);
}

long ioctl_vcpu_set_msrs(struct ioctl_call *call)
{
	return each_msr(call, call_vcpu(call), write_msr, false);
}

/* ---- as registers: an identifier is the MSR's index, a type, a size and the architecture ---- */

#define REG_TYPE (0xffull << 32)
#define REG_TYPE_MSR (2ull << 32)
#define REG_RESERVED (0xfffull << 40)

static bool reg_is_msr(uint64_t id)
{
	return (id & KVM_REG_ARCH_MASK) == KVM_REG_X86 && !(id & REG_RESERVED) &&
	       (id & REG_TYPE) == REG_TYPE_MSR && (id & KVM_REG_SIZE_MASK) == KVM_REG_SIZE_U64;
}

long ioctl_vcpu_get_one_reg(struct ioctl_call *call)
{
	const struct kvm_one_reg *reg = call->data;
	uint64_t value;

	if (!reg_is_msr(reg->id) || msr_read(call_vcpu(call), (uint32_t)reg->id, &value, true))
		return -EINVAL;
	return copy_out(call, reg->addr, &value, sizeof(value));
}

long ioctl_vcpu_set_one_reg(struct ioctl_call *call)
{
	const struct kvm_one_reg *reg = call->data;
	uint64_t value;
	long r;

	if (!reg_is_msr(reg->id))
		return -EINVAL;
	r = copy_in(call, &value, reg->addr, sizeof(value));
	if (r)
		return r;
	return msr_write(call_vcpu(call), (uint32_t)reg->id, value, true) ? -EINVAL : 0;
}

/* Registers that are no MSRs: none, since shadow stacks are not offered. */
long ioctl_vcpu_get_reg_list(struct ioctl_call *call)
{
	uint64_t count;
	long r = copy_in(call, &count, call->argument, sizeof(count));

	count = 0;
	return r ? r : copy_out(call, call->argument, &count, sizeof(count));
}

/* ---- the filter: KVM document 4.97 ---- */

_Static_assert(MSR_FILTER_RANGES == KVM_MSR_FILTER_MAX_RANGES, "ranges of the interface");

static long add_range(struct ioctl_call *call, struct msr_filter *filter,
		      const struct kvm_msr_filter_range *range)
{
	/* The kernel copies whole words of the bitmap. */
	size_t words = ((size_t)range->nmsrs + 63) / 64, bytes = words * 8;
	uint8_t *bitmap;

	if (!range->nmsrs)
		return 0;
	if (range->flags & ~(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE) || !range->flags)
		return -EINVAL;
	if (bytes > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	bitmap = msr_filter_add(filter, range->flags, range->base, range->nmsrs);
	if (!bitmap)
		return -ENOMEM;
	return copy_in(call, bitmap, (uintptr_t)range->bitmap, bytes);
}

long ioctl_vm_set_msr_filter(struct ioctl_call *call)
{
	const struct kvm_msr_filter *request = call->data;
	bool empty = true, allow;
	struct msr_filter *filter;
	unsigned i;
	long r;

	if (request->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
		empty &= !request->ranges[i].nmsrs;
	/* Denying everything would leave a guest that cannot even start. */
	allow = !(request->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	if (empty && !allow)
		return -EINVAL;
	filter = msr_filter_create(allow);
	if (!filter)
		return -ENOMEM;
	for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++) {
		r = add_range(call, filter, &request->ranges[i]);
		if (r) {
			msr_filter_put(filter);
			return r;
		}
	}
	msr_filter_install(call_vm(call)->vm, filter);
	return 0;
}
