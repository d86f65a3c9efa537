/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioctls of a VM about vCPUs, addresses, buses and clocks. */
#include <errno.h>
#include <unistd.h>

#include "abi/internal.h"
#include "devices/eventfd.h"

#define MMU_PAGES_MIN 64                /* KVM_MIN_ALLOC_MMU_PAGES */
#define TSS_ADDR_MAX (0xffffffffu - 3 * 0x1000 + 1)

/* ---- vCPUs ---- */

static void vcpu_publish(struct vm_object *vm, struct vcpu_object *vcpu)
{
	unsigned index = atomic_load(&vm->vm->vcpu_count);

	vcpu->vcpu->index = index;
	atomic_store(&vm->vm->vcpus[index], vcpu->vcpu);
	atomic_store(&vm->vm->vcpu_count, index + 1);
	/* Who changed the slots before this did not reach it. */
	atomic_fetch_or(&vcpu->vcpu->requests, VCPU_REQUEST_SLOTS);
	if (vcpu->mirror.ring)
		bus_add_coalesced_mirror(vm->vm->bus, &vcpu->mirror);
	vcpu->next = vm->vcpus;
	vm->vcpus = vcpu;
}

static long create_vcpu(struct ioctl_call *call, struct vm_object *vm)
{
	struct vcpu_object *vcpu;
	long fd;
	int r;

	if (atomic_load(&vm->vm->vcpu_count) >= VM_VCPUS_MAX)
		return -EINVAL;
	if (vm->max_vcpu_ids && call->argument >= vm->max_vcpu_ids)
		return -EINVAL;
	if (vm_find_vcpu(vm->vm, call->argument))
		return -EEXIST;
	r = vcpu_object_create(vm, call->argument, &vcpu);
	if (r)
		return r;
	/* Who guesses the new descriptor before we return waits until the VM knows the vCPU. */
	pthread_mutex_lock(&vcpu->mutex);
	fd = object_install(call, &vcpu->object);
	if (fd >= 0)
		vcpu_publish(vm, vcpu);
	pthread_mutex_unlock(&vcpu->mutex);
	if (fd < 0) {
		vcpu_destroy(vcpu->vcpu);
		vcpu_object_free(vcpu);
	}
	return fd;
}

long ioctl_vm_create_vcpu(struct ioctl_call *call)
{
	struct vm_object *vm = call_vm(call);
	long r;

	if (call->argument >= VM_VCPU_ID_MAX)
		return -EINVAL;
	pthread_mutex_lock(&vm->vm->lock);
	r = create_vcpu(call, vm);
	pthread_mutex_unlock(&vm->vm->lock);
	return r;
}

long ioctl_vm_set_boot_cpu_id(struct ioctl_call *call)
{
	struct vm_object *vm = call_vm(call);
	long r = 0;

	pthread_mutex_lock(&vm->vm->lock);
	if (atomic_load(&vm->vm->vcpu_count))
		r = -EBUSY;
	else if (call->argument > VM_VCPU_ID_MAX ||
		 (vm->max_vcpu_ids && call->argument > vm->max_vcpu_ids))
		r = -EINVAL;
	else
		vm->vm->bsp_vcpu_id = call->argument;
	pthread_mutex_unlock(&vm->vm->lock);
	return r;
}

/* ---- addresses that VMX without unrestricted guest needs ---- */

/* Real mode runs as it is, so three pages for a TSS are never used: only the check remains. */
long ioctl_vm_set_tss_addr(struct ioctl_call *call)
{
	return call->argument > TSS_ADDR_MAX ? -EINVAL : 0;
}

long ioctl_vm_has_no_vcpu(struct ioctl_call *call)
{
	return atomic_load(&call_vm(call)->vm->vcpu_count) ? -EINVAL : 0;
}

/* Nor is an identity-mapped page table for real mode. */
long ioctl_vm_set_identity_map_addr(struct ioctl_call *call)
{
	(void)call;
	return 0;
}

/* A limit for shadow page tables: translations live in TLBs of fixed size, below any limit. */
long ioctl_vm_set_nr_mmu_pages(struct ioctl_call *call)
{
	return call->argument < MMU_PAGES_MIN ? -EINVAL : 0;
}

/* ---- coalesced MMIO, ioeventfd ---- */

long ioctl_vm_register_coalesced_mmio(struct ioctl_call *call)
{
	return bus_coalesced_register(call_vm(call)->vm->bus, call->data);
}

long ioctl_vm_unregister_coalesced_mmio(struct ioctl_call *call)
{
	return bus_coalesced_unregister(call_vm(call)->vm->bus, call->data);
}

int client_eventfd(struct client *client, int fd)
{
	int own = client->ops->get_fd(client, fd), r;
	uint64_t identity;

	if (own < 0)
		return own;
	r = eventfd_identity(own, &identity);
	if (r) {
		close(own);
		return r;
	}
	return own;
}

static int check_ioeventfd(const struct kvm_ioeventfd *args)
{
	switch (args->len) {
	case 0:
	case 1:
	case 2:
	case 4:
	case 8:
		break;
	default:
		return -EINVAL;
	}
	if (args->addr + args->len < args->addr)
		return -EINVAL;
	if (args->flags & ~KVM_IOEVENTFD_VALID_FLAG_MASK)
		return -EINVAL;
	if (!args->len && (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH))
		return -EINVAL;
	return 0;
}

long ioctl_vm_ioeventfd(struct ioctl_call *call)
{
	const struct kvm_ioeventfd *args = call->data;
	bool assign = !(args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN);
	int fd, r;

	if (assign) {
		r = check_ioeventfd(args);
		if (r)
			return r;
	}
	fd = client_eventfd(call->client, args->fd);
	if (fd < 0)
		return fd;
	r = bus_ioeventfd(call_vm(call)->vm->bus, args, fd);
	if (r || !assign)
		close(fd);
	return r;
}

/* ---- clocks ---- */

long ioctl_vm_get_clock(struct ioctl_call *call)
{
	clock_get(call_vm(call)->vm->clock, call->data);
	return 0;
}

long ioctl_vm_set_clock(struct ioctl_call *call)
{
	struct vm *vm = call_vm(call)->vm;
	unsigned i, count;
	int r;

	r = clock_set(vm->clock, call->data);
	if (r)
		return r;
	count = atomic_load(&vm->vcpu_count);
	for (i = 0; i < count; i++)
		vcpu_request(atomic_load(&vm->vcpus[i]), VCPU_REQUEST_CLOCK);
	return 0;
}

long ioctl_vm_get_tsc_khz(struct ioctl_call *call)
{
	uint64_t khz = __atomic_load_n(&call_vm(call)->vm->default_tsc_khz, __ATOMIC_RELAXED);

	return khz ? khz : clock_host_tsc_khz();
}

long ioctl_vm_set_tsc_khz(struct ioctl_call *call)
{
	struct vm *vm = call_vm(call)->vm;
	uint32_t khz = call->argument;
	struct tsc probe;
	long r = -EINVAL;

	tsc_init(&probe);
	if (khz && tsc_set_khz(&probe, khz))
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	if (!atomic_load(&vm->vcpu_count)) {
		__atomic_store_n(&vm->default_tsc_khz, khz, __ATOMIC_RELAXED);
		r = 0;
	}
	pthread_mutex_unlock(&vm->lock);
	return r;
}
