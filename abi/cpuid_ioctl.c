/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID tables: what is supported, what a vCPU has. KVM document 4.20, 4.46, 4.88. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "abi/internal.h"

#define ENTRIES_OFFSET offsetof(struct kvm_cpuid2, entries)

typedef unsigned cpuid_list(struct kvm_cpuid_entry2 *entries, unsigned max);

/* KVM insists that entries for the emulated list come with clear padding. */
static int check_padding(const struct ioctl_call *call, struct kvm_cpuid_entry2 *entries,
			 unsigned count)
{
	unsigned i, j;

	if (copy_in(call, entries, call->argument + ENTRIES_OFFSET, count * sizeof(*entries)))
		return -EINVAL;
	for (i = 0; i < count; i++)
		for (j = 0; j < 3; j++)
			if (entries[i].padding[j])
				return -EINVAL;
	return 0;
}

static long get_list(struct ioctl_call *call, cpuid_list *list, bool padding_checked)
{
	struct kvm_cpuid_entry2 *entries;
	struct kvm_cpuid2 header;
	unsigned needed;
	long r;

	r = copy_in(call, &header, call->argument, ENTRIES_OFFSET);
	if (r)
		return r;
	if (header.nent < 1)
		return -E2BIG;
	if (header.nent > VCPU_CPUID_MAX)
		header.nent = VCPU_CPUID_MAX;
	entries = calloc(header.nent, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	if (padding_checked) {
		r = check_padding(call, entries, header.nent);
		if (r)
			goto out;
		memset(entries, 0, header.nent * sizeof(*entries));
	}
	needed = list(entries, header.nent);
	r = -E2BIG;
	if (needed > header.nent)
		goto out;
	header.nent = needed;
	r = copy_out(call, call->argument + ENTRIES_OFFSET, entries, needed * sizeof(*entries));
	if (!r)
		r = copy_out(call, call->argument, &header, ENTRIES_OFFSET);
out:
	free(entries);
	return r;
}

long ioctl_system_get_supported_cpuid(struct ioctl_call *call)
{
	return get_list(call, cpuid_supported, false);
}

long ioctl_system_get_emulated_cpuid(struct ioctl_call *call)
{
	return get_list(call, cpuid_emulated, true);
}

uint64_t cpuid_supported_xcr0(void)
{
	struct kvm_cpuid_entry2 *entries = calloc(VCPU_CPUID_MAX, sizeof(*entries));
	uint64_t xcr0 = 0;
	unsigned i, count;

	if (!entries)
		return 0;
	count = cpuid_supported(entries, VCPU_CPUID_MAX);
	for (i = 0; i < count && i < VCPU_CPUID_MAX; i++)
		if (entries[i].function == 0xd && entries[i].index == 0)
			xcr0 = (uint64_t)entries[i].edx << 32 | entries[i].eax;
	free(entries);
	return xcr0;
}

/* ---- vCPU ---- */

long ioctl_vcpu_set_cpuid(struct ioctl_call *call)
{
	struct kvm_cpuid_entry2 *entries;
	struct kvm_cpuid_entry old;
	struct kvm_cpuid header;
	unsigned i;
	long r;

	r = copy_in(call, &header, call->argument, sizeof(header));
	if (r)
		return r;
	if (header.nent > VCPU_CPUID_MAX)
		return -E2BIG;
	entries = calloc(header.nent + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (i = 0; i < header.nent; i++) {
		r = copy_in(call, &old, call->argument + sizeof(header) + i * sizeof(old),
			    sizeof(old));
		if (r)
			goto out;
		entries[i] = (struct kvm_cpuid_entry2){
			.function = old.function,
			.eax = old.eax,
			.ebx = old.ebx,
			.ecx = old.ecx,
			.edx = old.edx,
		};
	}
	r = cpuid_set(call_vcpu(call), entries, header.nent);
out:
	free(entries);
	return r;
}

long ioctl_vcpu_set_cpuid2(struct ioctl_call *call)
{
	struct kvm_cpuid_entry2 *entries;
	struct kvm_cpuid2 header;
	long r;

	r = copy_in(call, &header, call->argument, ENTRIES_OFFSET);
	if (r)
		return r;
	if (header.nent > VCPU_CPUID_MAX)
		return -E2BIG;
	entries = calloc(header.nent + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	r = copy_in(call, entries, call->argument + ENTRIES_OFFSET,
		    header.nent * sizeof(*entries));
	if (!r)
		r = cpuid_set(call_vcpu(call), entries, header.nent);
	free(entries);
	return r;
}

long ioctl_vcpu_get_cpuid2(struct ioctl_call *call)
{
	struct vcpu *vcpu = call_vcpu(call);
	struct kvm_cpuid_entry2 *entries;
	struct kvm_cpuid2 header;
	unsigned count;
	long r;

	r = copy_in(call, &header, call->argument, ENTRIES_OFFSET);
	if (r)
		return r;
	if (header.nent < vcpu->cpuid_count)
		return -E2BIG;
	entries = calloc(VCPU_CPUID_MAX, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	count = cpuid_get(vcpu, entries, VCPU_CPUID_MAX);
	header.nent = count;
	r = copy_out(call, call->argument + ENTRIES_OFFSET, entries, count * sizeof(*entries));
	if (!r)
		r = copy_out(call, call->argument, &header, ENTRIES_OFFSET);
	free(entries);
	return r;
}
