/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest_memfds and memory attributes. KVM document 4.141 to 4.143, and the proposal of
 * KVM_SET_MEMORY_ATTRIBUTES2.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "abi/internal.h"

/* ---- guest_memfds ---- */

static struct guest_memfd_object *guest_memfd_of(struct object *object)
{
	return (struct guest_memfd_object *)object;
}

int guest_memfd_object_reserve(struct guest_memfd_object *object, uint64_t bytes)
{
	struct space *space = object->vm->space;
	uint64_t left;
	int r = 0;

	if (!space)
		return 0;
	pthread_mutex_lock(&object->lock);
	left = guest_memfd_size(object->file) - object->reserved;
	if (bytes > left)
		bytes = left;
	if (bytes)
		r = space->ops->reserve(space, 0, bytes);
	if (!r)
		object->reserved += bytes;
	pthread_mutex_unlock(&object->lock);
	return r;
}

long ioctl_vm_create_guest_memfd(struct ioctl_call *call)
{
	const struct kvm_create_guest_memfd *args = call->data;
	struct vm_object *vm = call_vm(call);
	struct guest_memfd_object *object;
	int r;

	if (args->flags)
		return -EINVAL;
	object = calloc(1, sizeof(*object));
	if (!object)
		return -ENOMEM;
	r = guest_memfd_create(args->size, &object->file);
	if (r)
		goto free_object;
	r = vm->space ? vm->space->ops->reserve(vm->space, 1, 0) : 0;
	if (r)
		goto destroy_file;
	pthread_mutex_init(&object->lock, NULL);
	object->object.kind = OBJECT_GUEST_MEMFD;
	atomic_init(&object->object.references, 1);
	object->vm = vm;
	object_get(&vm->object);
	return object_install(call, &object->object);

destroy_file:
	guest_memfd_destroy(vm->vm->memory, object->file);
free_object:
	free(object);
	return r;
}

void guest_memfd_object_free(struct guest_memfd_object *object)
{
	struct vm_object *vm = object->vm;

	/* Of a VM that a child of fork() inherited nothing can be torn down, only forgotten. */
	if (*vm->creator)
		guest_memfd_destroy(vm->vm->memory, object->file);
	if (vm->space)
		vm->space->ops->release(vm->space, 1, object->reserved);
	pthread_mutex_destroy(&object->lock);
	free(object);
	object_put(&vm->object);
}

int object_file(struct object *object)
{
	return object->kind == OBJECT_GUEST_MEMFD ? guest_memfd_fd(guest_memfd_of(object)->file) :
						    -1;
}

bool object_close_on_exec(const struct object *object)
{
	return object->kind != OBJECT_GUEST_MEMFD;
}

int object_fallocate(struct object *object, int mode, off_t offset, off_t bytes)
{
	struct guest_memfd_object *file = guest_memfd_of(object);
	int r = 0;

	if (object->kind != OBJECT_GUEST_MEMFD)
		return -ENODEV;
	if (!(mode & FALLOC_FL_PUNCH_HOLE) && bytes > 0)
		r = guest_memfd_object_reserve(file, bytes);
	if (r)
		return r;
	return guest_memfd_allocate(file->vm->vm->memory, file->file, mode, offset, bytes);
}

/* ---- attributes ---- */

long ioctl_vm_set_memory_attributes(struct ioctl_call *call)
{
	const struct kvm_memory_attributes *args = call->data;

	if (args->flags)
		return -EINVAL;
	return memory_set_attributes(call_vm(call)->vm->memory, args->address, args->size,
				     args->attributes);
}

static bool reserved_zero(const struct kvm_memory_attributes2 *args)
{
	uint64_t bits = args->flags | args->error_offset;

	for (unsigned i = 0; i < sizeof(args->reserved) / sizeof(args->reserved[0]); i++)
		bits |= args->reserved[i];
	return !bits;
}

long ioctl_vm_set_memory_attributes2(struct ioctl_call *call)
{
	return reserved_zero(call->data) ? ioctl_vm_set_memory_attributes(call) : -EINVAL;
}

/* What failed is told in error_offset; only running out of memory is no mistake of the caller's. */
long ioctl_guest_memfd_set_attributes(struct ioctl_call *call)
{
	struct kvm_memory_attributes2 *args = call->data;
	struct guest_memfd_object *file = guest_memfd_of(call->object);
	long r;

	if (!reserved_zero(args))
		return -EINVAL;
	r = guest_memfd_set_attributes(file->vm->vm->memory, file->file, args->offset, args->size,
				       args->attributes);
	if (r == -ENOMEM) {
		args->error_offset = args->offset;
		if (copy_out(call, call->argument, args, sizeof(*args)))
			return -EFAULT;
	}
	return r;
}

/* ---- pages in advance ---- */

/* How many between two looks for a signal. */
#define PAGES_TO_SIGNAL 64

/* The rest that was not done is the client's to see, whatever happened. */
long ioctl_vcpu_pre_fault_memory(struct ioctl_call *call)
{
	struct kvm_pre_fault_memory args;
	struct vcpu *vcpu = call_vcpu(call);
	struct memslots *slots;
	uint64_t full, pages = 0;
	long r = 0;

	if (copy_in(call, &args, call->argument, sizeof(args)))
		return -EFAULT;
	full = args.size;
	if (args.flags || ((args.gpa | args.size) & ~GUEST_PAGE_MASK) ||
	    args.gpa + args.size <= args.gpa) {
		r = -EINVAL;
		goto out;
	}
	slots = memory_slots_get(vcpu->vm->memory);
	for (; args.size; pages++) {
		if (pages % PAGES_TO_SIGNAL == 0 && call->client->ops->signal_pending(call->client))
			r = -EINTR;
		else
			r = memslots_prefault(slots, vcpu->mmu.as, args.gpa);
		if (r)
			break;
		args.gpa += GUEST_PAGE_SIZE;
		args.size -= GUEST_PAGE_SIZE;
	}
	memslots_put(slots);
	if (args.size != full)
		r = 0;
out:
	return copy_out(call, call->argument, &args, sizeof(args)) ? -EFAULT : r;
}
