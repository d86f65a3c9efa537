/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Binary statistics. KVM document 4.133: a file of four blocks (header, id, descriptors, data), all
 * of which stays as it is but the data. It is laid out anew for every read; it is small.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/internal.h"

#define NAME_BYTES 48 /* KVM_STATS_NAME_SIZE */
#define DESCRIPTOR_BYTES (sizeof(struct kvm_stats_desc) + NAME_BYTES)

struct statistic {
	char name[NAME_BYTES];
	uint32_t flags;
	size_t offset; /* of a uint64_t in struct vcpu */
	uint64_t (*value)(const struct vm *vm);
	int16_t exponent;
};

#define COUNT (KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define LEVEL (KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define VCPU_COUNT(field) { #field, COUNT, offsetof(struct vcpu, stats.field), NULL, 0 }
#define VCPU_NS(field)                                                                             \
	{ #field, KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_SECONDS | KVM_STATS_BASE_POW10,       \
	  offsetof(struct vcpu, stats.field), NULL, -9 }

static const struct statistic vcpu_statistics[] = {
	VCPU_COUNT(exits),
	VCPU_COUNT(io_exits),
	VCPU_COUNT(mmio_exits),
	VCPU_COUNT(signal_exits),
	VCPU_COUNT(irq_window_exits),
	VCPU_COUNT(request_irq_exits),
	VCPU_COUNT(halt_exits),
	VCPU_COUNT(halt_wakeup),
	VCPU_COUNT(halt_attempted_poll),
	VCPU_COUNT(halt_successful_poll),
	VCPU_NS(halt_poll_success_ns),
	VCPU_NS(halt_poll_fail_ns),
	VCPU_NS(halt_wait_ns),
	VCPU_COUNT(irq_injections),
	VCPU_COUNT(nmi_injections),
	VCPU_COUNT(hypercalls),
	VCPU_COUNT(insn_emulation),
	VCPU_COUNT(insn_emulation_fail),
	VCPU_COUNT(notify_window_exits),
	VCPU_COUNT(tlb_flush),
	VCPU_COUNT(invlpg),
	VCPU_COUNT(pf_guest),
	/* A miss of the software TLB is what a fault on a shadow page table is to KVM. */
	{ "pf_fixed", COUNT, offsetof(struct vcpu, mmu.fills), NULL, 0 },
	VCPU_COUNT(directed_yield_attempted),
	{ "guest_mode", KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BOOLEAN | KVM_STATS_BASE_POW10,
	  offsetof(struct vcpu, stats.guest_mode), NULL, 0 },
	/* FauxKVM's own: blocks of guest code decoded, and compared with memory again. */
	VCPU_COUNT(blocks),
	VCPU_COUNT(verified),
};

static uint64_t vm_vcpus(const struct vm *vm)
{
	return atomic_load(&vm->vcpu_count);
}

static uint64_t vm_memslots(const struct vm *vm)
{
	struct memslots *slots = memory_slots_get(vm->memory);
	uint64_t count = slots->count;

	memslots_put(slots);
	return count;
}

static uint64_t vm_remote_tlb_flush(const struct vm *vm)
{
	return atomic_load(&vm->remote_tlb_flush);
}

static const struct statistic vm_statistics[] = {
	{ "vcpus", LEVEL, 0, vm_vcpus, 0 },
	{ "memslots", LEVEL, 0, vm_memslots, 0 },
	{ "remote_tlb_flush", COUNT, 0, vm_remote_tlb_flush, 0 },
};

static uint64_t statistic_value(const struct statistic *statistic, const struct stats_object *stats)
{
	if (statistic->value)
		return statistic->value(stats->vm->vm);
	/* The vCPU may be running: each number is right, together they are of about one moment. */
	return __atomic_load_n((const uint64_t *)((const uint8_t *)stats->vcpu + statistic->offset),
			       __ATOMIC_RELAXED);
}

/* The whole file, from malloc(). */
static uint8_t *lay_out(const struct stats_object *stats, size_t *bytes)
{
	const struct statistic *list = stats->vcpu ? vcpu_statistics : vm_statistics;
	size_t count = stats->vcpu ? sizeof(vcpu_statistics) / sizeof(vcpu_statistics[0]) :
				     sizeof(vm_statistics) / sizeof(vm_statistics[0]);
	struct kvm_stats_header header = {
		.name_size = NAME_BYTES,
		.num_desc = count,
		.id_offset = sizeof(header),
		.desc_offset = sizeof(header) + NAME_BYTES,
		.data_offset = sizeof(header) + NAME_BYTES + count * DESCRIPTOR_BYTES,
	};
	int pid = stats->vm->space ? stats->vm->space->pid : getpid();
	uint8_t *file;
	size_t i;

	*bytes = header.data_offset + count * sizeof(uint64_t);
	file = calloc(1, *bytes);
	if (!file)
		return NULL;
	memcpy(file, &header, sizeof(header));
	if (stats->vcpu)
		snprintf((char *)file + header.id_offset, NAME_BYTES, "kvm-%d/vcpu-%u", pid,
			 stats->vcpu->id);
	else
		snprintf((char *)file + header.id_offset, NAME_BYTES, "kvm-%d", pid);
	for (i = 0; i < count; i++) {
		const struct kvm_stats_desc descriptor = {
			.flags = list[i].flags,
			.exponent = list[i].exponent,
			.size = 1,
			.offset = i * sizeof(uint64_t),
		};
		uint64_t value = statistic_value(&list[i], stats);
		uint8_t *at = file + header.desc_offset + i * DESCRIPTOR_BYTES;

		memcpy(at, &descriptor, sizeof(descriptor));
		memcpy(at + sizeof(descriptor), list[i].name, NAME_BYTES);
		memcpy(file + header.data_offset + descriptor.offset, &value, sizeof(value));
	}
	return file;
}

ssize_t stats_read(struct stats_object *stats, struct client *client, uint64_t address,
		   size_t bytes, off_t offset)
{
	size_t size;
	uint8_t *file = lay_out(stats, &size);
	ssize_t r = 0;

	if (!file)
		return -ENOMEM;
	if ((size_t)offset < size) {
		size_t available = size - offset;

		if (bytes > available)
			bytes = available;
		r = client->ops->copy_out(client, address, file + offset, bytes);
		if (!r)
			r = bytes;
	}
	free(file);
	return r;
}

long ioctl_get_stats_fd(struct ioctl_call *call)
{
	struct stats_object *stats = calloc(1, sizeof(*stats));

	if (!stats)
		return -ENOMEM;
	stats->object.kind = OBJECT_STATS;
	atomic_init(&stats->object.references, 1);
	if (call->object->kind == OBJECT_VCPU) {
		stats->vm = call_vcpu_object(call)->vm;
		stats->vcpu = call_vcpu(call);
	} else {
		stats->vm = call_vm(call);
	}
	object_get(&stats->vm->object);
	return object_install(call, &stats->object);
}
