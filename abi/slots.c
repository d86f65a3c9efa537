/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memslots. KVM document 4.35, 4.140. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi/internal.h"

#define V1_FLAGS (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)

/* The record of the client's memory behind @slot, or NULL: no such number. */
static struct region *region_of(struct vm_object *vm, uint32_t slot)
{
	uint32_t number = slot & 0xffff, as = slot >> 16;

	if (number >= MEMORY_SLOTS_MAX || as >= MEMORY_ADDRESS_SPACES)
		return NULL;
	return &vm->regions[as * MEMORY_SLOTS_MAX + number];
}

static void region_remove(struct vm_object *vm, struct region *region)
{
	if (vm->space)
		vm->space->ops->unmap(vm->space, region->hva, region->bytes);
	region->bytes = 0;
}

/* Makes the client's memory of a new slot visible here and remembers it. */
static int region_add(struct client *client, const struct kvm_userspace_memory_region2 *args,
		      struct region *region)
{
	int r = client->ops->map(client, args->userspace_addr, args->memory_size, &region->hva);

	if (r)
		return r;
	region->address = args->userspace_addr;
	region->bytes = args->memory_size;
	return 0;
}

/* Whether the client's range makes sense at all; if not the memslots' own checks refuse it. */
static bool range_mappable(const struct kvm_userspace_memory_region2 *args)
{
	return !((args->userspace_addr | args->memory_size) & ~GUEST_PAGE_MASK) &&
	       args->memory_size <= MEMORY_SLOT_PAGES_MAX * GUEST_PAGE_SIZE &&
	       args->userspace_addr <= MEMORY_HVA_END &&
	       args->memory_size <= MEMORY_HVA_END - args->userspace_addr;
}

/* Adds the guest_memfd that @fd of the client is, or what is wrong with it. */
static struct object *find_file(struct ioctl_call *call, int fd, struct memory_region *region)
{
	struct object *object = call->client->ops->get_object(call->client, fd);
	int own;

	region->error = -EINVAL;
	if (!object) {
		own = call->client->ops->get_fd(call->client, fd);
		if (own < 0)
			region->error = -EBADF;
		else
			close(own);
		return NULL;
	}
	if (object->kind == OBJECT_GUEST_MEMFD &&
	    ((struct guest_memfd_object *)object)->vm == call_vm(call))
		region->file = ((struct guest_memfd_object *)object)->file;
	return object;
}

/*
 * regions_lock keeps the records and the slots together. Changing slots waits for vCPUs to leave
 * guest code, which they do without any lock of this room.
 */
static long set_region(struct ioctl_call *call, const struct kvm_userspace_memory_region2 *args)
{
	struct memory_region slot = {
		.id = args->slot,
		.flags = args->flags,
		.gpa = args->guest_phys_addr,
		.size = args->memory_size,
		.hva = args->userspace_addr,
		.offset = args->guest_memfd_offset,
	};
	struct vm_object *vm = call_vm(call);
	struct object *file = NULL;
	struct region *region;
	bool added = false;
	long r;

	if (args->flags & KVM_MEM_GUEST_MEMFD)
		file = find_file(call, args->guest_memfd, &slot);
	if (slot.file && args->memory_size) {
		r = guest_memfd_object_reserve((struct guest_memfd_object *)file,
					       args->memory_size);
		if (r)
			goto put_file;
	}
	pthread_mutex_lock(&vm->regions_lock);
	region = region_of(vm, args->slot);
	if (args->memory_size && region && region->bytes) {
		/* A slot keeps its memory until it is deleted. */
		r = -EINVAL;
		if (args->userspace_addr != region->address || args->memory_size != region->bytes)
			goto out;
		slot.hva = (uintptr_t)region->hva;
	} else if (args->memory_size && region && range_mappable(args)) {
		r = region_add(call->client, args, region);
		if (r)
			goto out;
		added = true;
		slot.hva = (uintptr_t)region->hva;
	}
	r = memory_change_region(vm->vm->memory, &slot);
	if (region && region->bytes && (r ? added : !args->memory_size))
		region_remove(vm, region);
out:
	pthread_mutex_unlock(&vm->regions_lock);
put_file:
	if (file)
		object_put(file);
	return r;
}

long ioctl_vm_set_user_memory_region(struct ioctl_call *call)
{
	const struct kvm_userspace_memory_region *args = call->data;
	const struct kvm_userspace_memory_region2 second = {
		.slot = args->slot,
		.flags = args->flags,
		.guest_phys_addr = args->guest_phys_addr,
		.memory_size = args->memory_size,
		.userspace_addr = args->userspace_addr,
	};

	return args->flags & ~(uint32_t)V1_FLAGS ? -EINVAL : set_region(call, &second);
}

long ioctl_vm_set_user_memory_region2(struct ioctl_call *call)
{
	return set_region(call, call->data);
}
