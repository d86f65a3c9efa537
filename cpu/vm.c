/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Creation of a VM, and the handshakes between its vCPUs about memory. */
#include "cpu/vm.h"

#include <stdlib.h>

#include "cpu/msr_filter.h"
#include "cpu/vcpu.h"

/*
 * Waiting for other vCPUs: the thread that waits may be a vCPU in the middle of entering a block.
 * While it waits it counts as outside guest code, so two that wait for each other both go on; it
 * looks at its own requests before it uses a translation again (block_find()).
 */
static void revoke(struct vm *vm, unsigned requests, struct mmu *self)
{
	unsigned i, count = atomic_load(&vm->vcpu_count);
	struct vcpu *own = NULL;
	int mode = VCPU_OUTSIDE;

	for (i = 0; i < count; i++) {
		struct vcpu *vcpu = atomic_load(&vm->vcpus[i]);

		if (self && &vcpu->mmu == self)
			own = vcpu;
		else
			atomic_fetch_or(&vcpu->requests, requests);
	}
	if (count == (own ? 1 : 0))
		return;
	atomic_fetch_add(&vm->remote_tlb_flush, 1);
	if (own)
		mode = atomic_exchange(&own->mode, VCPU_OUTSIDE);
	for (i = 0; i < count; i++) {
		struct vcpu *vcpu = atomic_load(&vm->vcpus[i]);

		if (vcpu != own)
			vcpu_request_and_wait(vcpu, requests, self);
	}
	if (own)
		atomic_store(&own->mode, mode);
}

static void slots_changed(void *opaque)
{
	revoke(opaque, VCPU_REQUEST_SLOTS, NULL);
}

static void writes_revoked(void *opaque, struct mmu *self)
{
	revoke(opaque, VCPU_REQUEST_FLUSH_WRITES, self);
}

static void code_written(void *opaque, struct mmu *self)
{
	struct vm *vm = opaque;
	unsigned i, count = atomic_load(&vm->vcpu_count);

	for (i = 0; i < count; i++) {
		struct vcpu *vcpu = atomic_load(&vm->vcpus[i]);

		if (&vcpu->mmu != self) {
			atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_VERIFY_CODE);
			vcpu_stop_guest(vcpu);
		}
	}
}

struct vm *vm_create(const struct log *log, const struct engine *engine)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct memory_listener listener = {
		.opaque = vm,
		.slots_changed = slots_changed,
		.writes_revoked = writes_revoked,
		.code_written = code_written,
	};

	if (!vm)
		return NULL;
	vm->log = log;
	vm->engine = engine ? engine : engine_find(NULL);
	if (pthread_mutex_init(&vm->lock, NULL))
		goto no_lock;
	if (pthread_mutex_init(&vm->msr_filter_lock, NULL))
		goto no_msr_filter_lock;
	vm->memory = memory_create(&listener);
	if (!vm->memory)
		goto no_memory;
	vm->bus = bus_create();
	if (!vm->bus)
		goto no_bus;
	vm->events = events_create();
	if (!vm->events)
		goto no_events;
	vm->clock = clock_create();
	if (!vm->clock)
		goto no_clock;
	return vm;

no_clock:
	events_destroy(vm->events);
no_events:
	bus_destroy(vm->bus);
no_bus:
	memory_destroy(vm->memory);
no_memory:
	pthread_mutex_destroy(&vm->msr_filter_lock);
no_msr_filter_lock:
	pthread_mutex_destroy(&vm->lock);
no_lock:
	free(vm);
	return NULL;
}

void vm_destroy(struct vm *vm)
{
	unsigned i, count;

	if (!vm)
		return;
	/* Interrupt sources first: nothing may signal a vCPU that is being freed. */
	pit_destroy(vm->pit);
	count = atomic_load(&vm->vcpu_count);
	for (i = 0; i < count; i++)
		vcpu_destroy(vm->vcpus[i]);
	irqchip_destroy(vm->irqchip);
	events_destroy(vm->events);
	clock_destroy(vm->clock);
	bus_destroy(vm->bus);
	memory_destroy(vm->memory);
	msr_filter_put(vm->msr_filter);
	pthread_mutex_destroy(&vm->msr_filter_lock);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

struct vcpu *vm_find_vcpu(struct vm *vm, uint32_t vcpu_id)
{
	unsigned i, count = atomic_load(&vm->vcpu_count);

	for (i = 0; i < count; i++) {
		struct vcpu *vcpu = atomic_load(&vm->vcpus[i]);

		if (vcpu->id == vcpu_id)
			return vcpu;
	}
	return NULL;
}

enum irqchip_mode irqchip_mode_of(const struct vm *vm)
{
	return vm->irqchip ? irqchip_mode(vm->irqchip) : IRQCHIP_NONE;
}
