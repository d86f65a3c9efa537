/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VMs there are whose statistics are wanted, and printing those. */
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>

#include "abi/fauxkvm.h"
#include "abi/internal.h"

#define LOCK_TRIES 100
#define LOCK_WAIT_NS 1000000

/*
 * The process may be ending in a signal handler that interrupted who holds the lock, so this does not
 * wait for ever.
 */
static bool lock(struct fauxkvm *fauxkvm)
{
	const struct timespec wait = { .tv_nsec = LOCK_WAIT_NS };

	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (!pthread_mutex_trylock(&fauxkvm->vms_lock))
			return true;
		nanosleep(&wait, NULL);
	}
	return false;
}

static void print(struct vm_object *vm)
{
	const unsigned count = atomic_load(&vm->vm->vcpu_count);

	/* In a child of fork() or vfork() it is the parent's to tell. */
	if (vm->printed || vm->pid != getpid() || vm->fauxkvm->log.fd < 0)
		return;
	vm->printed = true;
	for (unsigned i = 0; i < count; i++)
		profile_print(atomic_load(&vm->vm->vcpus[i]), vm->number, vm->fauxkvm->log.fd);
}

void vm_profile_begin(struct vm_object *vm)
{
	if (!vm->fauxkvm->statistics)
		return;
	pthread_mutex_lock(&vm->fauxkvm->vms_lock);
	vm->pid = getpid();
	vm->vms_next = vm->fauxkvm->vms;
	vm->fauxkvm->vms = vm;
	pthread_mutex_unlock(&vm->fauxkvm->vms_lock);
}

void vm_profile_end(struct vm_object *vm)
{
	struct vm_object **link = &vm->fauxkvm->vms;

	if (!vm->fauxkvm->statistics)
		return;
	pthread_mutex_lock(&vm->fauxkvm->vms_lock);
	print(vm);
	while (*link != vm)
		link = &(*link)->vms_next;
	*link = vm->vms_next;
	pthread_mutex_unlock(&vm->fauxkvm->vms_lock);
}

void fauxkvm_print_statistics(struct fauxkvm *fauxkvm)
{
	struct vm_object *vm;

	if (!fauxkvm->statistics || !lock(fauxkvm))
		return;
	for (vm = fauxkvm->vms; vm; vm = vm->vms_next)
		print(vm);
	pthread_mutex_unlock(&fauxkvm->vms_lock);
}
