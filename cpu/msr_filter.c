/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/msr_filter.h"

#include <linux/kvm.h>
#include <stdlib.h>

#include "cpu/msr.h"
#include "cpu/vcpu.h"

struct range {
	uint32_t flags, first, count;
	uint8_t *allowed; /* a bit for each MSR */
};

struct msr_filter {
	atomic_uint references;
	bool default_allow;
	unsigned ranges;
	struct range range[MSR_FILTER_RANGES];
};

struct msr_filter *msr_filter_create(bool default_allow)
{
	struct msr_filter *filter = calloc(1, sizeof(*filter));

	if (!filter)
		return NULL;
	atomic_init(&filter->references, 1);
	filter->default_allow = default_allow;
	return filter;
}

uint8_t *msr_filter_add(struct msr_filter *filter, uint32_t flags, uint32_t first, uint32_t count)
{
	struct range *range = &filter->range[filter->ranges];

	range->allowed = calloc(((size_t)count + 63) / 64, 8);
	if (!range->allowed)
		return NULL;
	range->flags = flags;
	range->first = first;
	range->count = count;
	filter->ranges++;
	return range->allowed;
}

void msr_filter_put(struct msr_filter *filter)
{
	unsigned i;

	if (!filter || atomic_fetch_sub(&filter->references, 1) != 1)
		return;
	for (i = 0; i < filter->ranges; i++)
		free(filter->range[i].allowed);
	free(filter);
}

void msr_filter_install(struct vm *vm, struct msr_filter *filter)
{
	struct msr_filter *old;

	pthread_mutex_lock(&vm->msr_filter_lock);
	old = vm->msr_filter;
	vm->msr_filter = filter;
	atomic_fetch_add(&vm->msr_filter_generation, 1);
	pthread_mutex_unlock(&vm->msr_filter_lock);
	msr_filter_put(old);
}

static void refresh(struct vcpu *vcpu)
{
	struct msr_filter *old = vcpu->msr_filter;
	struct vm *vm = vcpu->vm;

	pthread_mutex_lock(&vm->msr_filter_lock);
	vcpu->msr_filter = vm->msr_filter;
	if (vcpu->msr_filter)
		atomic_fetch_add(&vcpu->msr_filter->references, 1);
	vcpu->msr_filter_generation = atomic_load(&vm->msr_filter_generation);
	pthread_mutex_unlock(&vm->msr_filter_lock);
	msr_filter_put(old);
}

bool msr_filter_allows(struct vcpu *vcpu, uint32_t index, bool write)
{
	const uint32_t kind = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;
	const struct msr_filter *filter;
	unsigned i;

	if (atomic_load(&vcpu->vm->msr_filter_generation) != vcpu->msr_filter_generation)
		refresh(vcpu);
	filter = vcpu->msr_filter;
	if (!filter || (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST))
		return true;
	for (i = 0; i < filter->ranges; i++) {
		const struct range *range = &filter->range[i];
		uint32_t bit = index - range->first;

		if ((range->flags & kind) && bit < range->count)
			return range->allowed[bit / 8] >> (bit % 8) & 1;
	}
	return filter->default_allow;
}
