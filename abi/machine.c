/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Life of what stands behind VM and vCPU descriptors, and the pages that clients map. */
#define _GNU_SOURCE /* memfd_create, seals */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/internal.h"
#include "util/own_fd.h"

#define PAGE ((size_t)GUEST_PAGE_SIZE)

/* The page that a child of fork() finds empty. */
static int creator_mark(uint8_t **creator)
{
	uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);

	if (page == MAP_FAILED)
		return -ENOMEM;
	if (madvise(page, PAGE, MADV_WIPEONFORK)) {
		munmap(page, PAGE);
		return -ENOSYS;
	}
	*page = 1;
	*creator = page;
	return 0;
}

/* Appends @pages zeroed pages to the VM's file and maps them here. */
static int append_pages(struct vm_object *vm, size_t pages, uint8_t **mapping, off_t *offset)
{
	off_t at = vm->memfd_bytes;
	uint8_t *mapped;

	if (ftruncate(vm->memfd, at + (off_t)(pages * PAGE)))
		return -ENOMEM;
	mapped = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vm->memfd, at);
	if (mapped == MAP_FAILED)
		return -ENOMEM;
	vm->memfd_bytes = at + (off_t)(pages * PAGE);
	*mapping = mapped;
	*offset = at;
	return 0;
}

int vm_object_create(struct fauxkvm *fauxkvm, struct client *client, unsigned long type,
		     struct vm_object **out)
{
	struct vm_object *vm = calloc(1, sizeof(*vm));
	uint8_t *ring;
	off_t offset;
	int r;

	if (!vm)
		return -ENOMEM;
	vm->object.kind = OBJECT_VM;
	atomic_init(&vm->object.references, 1);
	vm->fauxkvm = fauxkvm;
	vm->number = atomic_fetch_add(&fauxkvm->vm_count, 1) + 1;
	pthread_mutex_init(&vm->regions_lock, NULL);
	vm->regions = calloc(MEMORY_ADDRESS_SPACES * MEMORY_SLOTS_MAX, sizeof(vm->regions[0]));
	if (!vm->regions) {
		r = -ENOMEM;
		goto free_object;
	}
	if (client->ops->space_create) {
		r = client->ops->space_create(client, &vm->space);
		if (r)
			goto free_regions;
	}
	r = creator_mark(&vm->creator);
	if (r)
		goto destroy_space;
	vm->memfd = own_fd_keep(memfd_create("kvm-vm", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (vm->memfd < 0) {
		r = -errno;
		goto unmap_creator;
	}
	/* Nobody may truncate the pages that vCPUs and clients have mapped. */
	if (fcntl(vm->memfd, F_ADD_SEALS, F_SEAL_SHRINK)) {
		r = -errno;
		goto close_memfd;
	}
	r = append_pages(vm, 1, &ring, &offset);
	if (r)
		goto close_memfd;
	vm->ring = (struct kvm_coalesced_mmio_ring *)ring;
	vm->vm = vm_create(&fauxkvm->log, fauxkvm->engine);
	if (!vm->vm) {
		r = -ENOMEM;
		goto unmap_ring;
	}
	if (type == KVM_X86_SW_PROTECTED_VM)
		memory_allow_private(vm->vm->memory);
	bus_set_coalesced_ring(vm->vm->bus, vm->ring);
	vm->vm->profiling = fauxkvm->statistics;
	vm_profile_begin(vm);
	*out = vm;
	return 0;

unmap_ring:
	munmap(vm->ring, PAGE);
close_memfd:
	own_fd_close(vm->memfd);
unmap_creator:
	munmap(vm->creator, PAGE);
destroy_space:
	if (vm->space)
		vm->space->ops->destroy(vm->space);
free_regions:
	free(vm->regions);
free_object:
	pthread_mutex_destroy(&vm->regions_lock);
	free(vm);
	return r;
}

void vm_object_free(struct vm_object *vm)
{
	struct vcpu_object *vcpu, *next;
	size_t i;

	/*
	 * In a child of fork() the VM's threads do not exist and its locks may be held by nobody:
	 * nothing of it can be torn down, only forgotten.
	 */
	if (!*vm->creator)
		return;
	vm_profile_end(vm);
	vm_destroy(vm->vm);
	for (vcpu = vm->vcpus; vcpu; vcpu = next) {
		next = vcpu->next;
		vcpu_object_free(vcpu);
	}
	if (vm->space) {
		for (i = 0; i < MEMORY_ADDRESS_SPACES * MEMORY_SLOTS_MAX; i++)
			if (vm->regions[i].bytes)
				vm->space->ops->unmap(vm->space, vm->regions[i].hva,
						      vm->regions[i].bytes);
		vm->space->ops->destroy(vm->space);
	}
	free(vm->regions);
	pthread_mutex_destroy(&vm->regions_lock);
	munmap(vm->ring, PAGE);
	own_fd_close(vm->memfd);
	munmap(vm->creator, PAGE);
	free(vm);
}

/* kvm_run, PIO data, dirty ring: as they lie in the VM's memfd. */
static size_t vcpu_pages(const struct vm_object *vm)
{
	return 2 + vm->ring_bytes / PAGE;
}

/* With a space they lie as the client maps them. */
static int map_pages(struct vcpu_object *vcpu)
{
	struct space *space = vcpu->vm->space;
	int r;

	if (!space) {
		r = append_pages(vcpu->vm, vcpu_pages(vcpu->vm), &vcpu->pages, &vcpu->offset);
		vcpu->dirty_ring = vcpu->pages + 2 * PAGE;
		return r;
	}
	r = space->ops->pages_create(space, &vcpu->object, object_mmap_size(&vcpu->object) / PAGE,
				     &vcpu->pages);
	if (r)
		return r;
	vcpu->dirty_ring = vcpu->pages + KVM_DIRTY_LOG_PAGE_OFFSET * PAGE;
	vcpu->mirror.ring = (struct kvm_coalesced_mmio_ring *)(vcpu->pages +
							       KVM_COALESCED_MMIO_PAGE_OFFSET *
								       PAGE);
	return 0;
}

static void unmap_pages(struct vcpu_object *vcpu)
{
	struct space *space = vcpu->vm->space;

	if (space)
		space->ops->pages_destroy(space, &vcpu->object, vcpu->pages);
	else
		munmap(vcpu->pages, vcpu_pages(vcpu->vm) * PAGE);
}

int vcpu_object_create(struct vm_object *vm, uint32_t id, struct vcpu_object **out)
{
	struct vcpu_object *vcpu = calloc(1, sizeof(*vcpu));
	int r;

	if (!vcpu)
		return -ENOMEM;
	vcpu->object.kind = OBJECT_VCPU;
	atomic_init(&vcpu->object.references, 1);
	vcpu->vm = vm;
	pthread_mutex_init(&vcpu->mutex, NULL);
	r = map_pages(vcpu);
	if (r)
		goto free_object;
	r = vcpu_create(vm->vm, id, (struct kvm_run *)vcpu->pages, vcpu->pages + PAGE,
			&vcpu->vcpu);
	if (r)
		goto unmap_pages;
	if (vm->ring_bytes)
		vcpu_set_dirty_ring(vcpu->vcpu, vcpu->dirty_ring, vm->ring_bytes);
	object_get(&vm->object);
	*out = vcpu;
	return 0;

unmap_pages:
	unmap_pages(vcpu);
free_object:
	pthread_mutex_destroy(&vcpu->mutex);
	free(vcpu);
	return r;
}

void vcpu_object_free(struct vcpu_object *vcpu)
{
	unmap_pages(vcpu);
	pthread_mutex_destroy(&vcpu->mutex);
	free(vcpu);
}
