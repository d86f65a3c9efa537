/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memslots, their dirty logs, dirty rings. KVM document 4.8, 4.35, 4.117, 8.29. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/internal.h"

/* ---- memslots ---- */

static struct region *region_find(struct vm_object *vm, uint32_t slot)
{
	unsigned i;

	for (i = 0; i < vm->region_count; i++)
		if (vm->regions[i].slot == slot)
			return &vm->regions[i];
	return NULL;
}

static void region_remove(struct vm_object *vm, struct client *client, struct region *region)
{
	if (client->ops->unmap)
		client->ops->unmap(client, region->hva, region->bytes);
	*region = vm->regions[--vm->region_count];
}

/* Makes the client's memory of a new slot visible here and remembers it. */
static int region_add(struct vm_object *vm, struct client *client,
		      const struct kvm_userspace_memory_region *args, struct region **out)
{
	struct region *regions, *region;
	int r;

	regions = realloc(vm->regions, (vm->region_count + 1) * sizeof(*regions));
	if (!regions)
		return -ENOMEM;
	vm->regions = regions;
	region = &regions[vm->region_count];
	region->slot = args->slot;
	region->address = args->userspace_addr;
	region->bytes = args->memory_size;
	r = client->ops->map(client, region->address, region->bytes, &region->hva);
	if (r)
		return r;
	vm->region_count++;
	*out = region;
	return 0;
}

/* Whether the client's range makes sense at all; if not the memslots' own checks refuse it. */
static bool range_mappable(const struct kvm_userspace_memory_region *args)
{
	return !((args->userspace_addr | args->memory_size) & ~GUEST_PAGE_MASK) &&
	       args->userspace_addr + args->memory_size >= args->userspace_addr;
}

/*
 * Both KVM_SET_USER_MEMORY_REGION and the second, whose structure begins like the first's. What
 * follows there is read with KVM_MEM_GUEST_MEMFD only, a flag that the memslots refuse.
 *
 * regions_lock keeps the list and the slots together. Changing slots waits for vCPUs to leave guest
 * code, which they do without any lock of this room.
 */
long ioctl_vm_set_user_memory_region(struct ioctl_call *call)
{
	struct kvm_userspace_memory_region args =
		*(const struct kvm_userspace_memory_region *)call->data;
	struct vm_object *vm = call_vm(call);
	struct region *region;
	bool added = false;
	long r;

	pthread_mutex_lock(&vm->regions_lock);
	region = region_find(vm, args.slot);
	if (args.memory_size && region) {
		/* A slot keeps its memory until it is deleted. */
		r = -EINVAL;
		if (args.userspace_addr != region->address || args.memory_size != region->bytes)
			goto out;
	} else if (args.memory_size && range_mappable(&args)) {
		r = region_add(vm, call->client, &args, &region);
		if (r)
			goto out;
		added = true;
	}
	if (args.memory_size && region)
		args.userspace_addr = (uintptr_t)region->hva;
	r = memory_set_region(vm->vm->memory, &args);
	if (region && (r ? added : !args.memory_size))
		region_remove(vm, call->client, region);
out:
	pthread_mutex_unlock(&vm->regions_lock);
	return r;
}

/* ---- dirty logs ---- */

long ioctl_vm_get_dirty_log(struct ioctl_call *call)
{
	const struct kvm_dirty_log *log = call->data;
	struct memory *memory = call_vm(call)->vm->memory;
	size_t bytes, needed;
	void *bitmap;
	long r;

	r = memory_get_dirty_log(memory, log->slot, NULL, 0, &bytes);
	if (r)
		return r;
	bitmap = malloc(bytes);
	if (!bitmap)
		return -ENOMEM;
	r = memory_get_dirty_log(memory, log->slot, bitmap, bytes, &needed);
	if (!r)
		r = copy_out(call, (uintptr_t)log->dirty_bitmap, bitmap, needed);
	free(bitmap);
	return r;
}

long ioctl_vm_clear_dirty_log(struct ioctl_call *call)
{
	const struct kvm_clear_dirty_log *log = call->data;
	struct memory *memory = call_vm(call)->vm->memory;
	size_t bytes = ((size_t)log->num_pages + 63) / 64 * 8;
	void *bitmap;
	long r;

	/* Checks only: afterwards @bytes is no more than the slot's own bitmap. */
	r = memory_clear_dirty_log(memory, log, NULL);
	if (r)
		return r;
	bitmap = malloc(bytes + 1);
	if (!bitmap)
		return -ENOMEM;
	r = copy_in(call, bitmap, (uintptr_t)log->dirty_bitmap, bytes);
	if (!r)
		r = memory_clear_dirty_log(memory, log, bitmap);
	free(bitmap);
	return r;
}

/* ---- dirty rings ---- */

long vm_enable_dirty_ring(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	uint32_t bytes = cap->args[0]; /* the kernel looks at no more of it */
	long r = 0;

	if (!bytes || (bytes & (bytes - 1)) || bytes < GUEST_PAGE_SIZE)
		return -EINVAL;
	if (bytes > DIRTY_RING_BYTES_MAX)
		return -E2BIG;
	pthread_mutex_lock(&vm->vm->lock);
	if (vm->ring_bytes || atomic_load(&vm->vm->vcpu_count)) {
		r = -EINVAL;
	} else {
		vm->ring_bytes = bytes;
		memory_use_dirty_rings(vm->vm->memory);
	}
	pthread_mutex_unlock(&vm->vm->lock);
	return r;
}

long vm_enable_ring_bitmap(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	(void)cap;
	return memory_use_ring_bitmap(vm->vm->memory);
}

long ioctl_vm_reset_dirty_rings(struct ioctl_call *call)
{
	struct vm *vm = call_vm(call)->vm;
	unsigned i, count;
	long reset = 0;
	bool rings;

	pthread_mutex_lock(&vm->lock);
	rings = call_vm(call)->ring_bytes;
	pthread_mutex_unlock(&vm->lock);
	if (!rings)
		return -EINVAL;
	count = atomic_load(&vm->vcpu_count);
	for (i = 0; i < count; i++)
		reset += memory_reset_dirty_ring(vm->memory, &atomic_load(&vm->vcpus[i])->ring);
	if (reset)
		memory_revoke_writes(vm->memory);
	return reset;
}
