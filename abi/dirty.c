/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dirty logs and dirty rings. KVM document 4.8, 4.117, 8.29. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/internal.h"

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
