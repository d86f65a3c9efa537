/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupt controllers, timers and interrupt sources. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/internal.h"

/* ---- creation ---- */

/* The PIC wants a vCPU: those whose LINT0 lets it through must look. */
static void extint(void *opaque)
{
	struct vm *vm = opaque;
	unsigned i, count = atomic_load(&vm->vcpu_count);

	for (i = 0; i < count; i++) {
		struct vcpu *vcpu = atomic_load(&vm->vcpus[i]);

		if (vcpu->lapic && lapic_accepts_extint(vcpu->lapic))
			vcpu_request(vcpu, VCPU_REQUEST_EVENT);
	}
}

/* Under vm->lock. */
static int create_irqchip(struct vm_object *object, enum irqchip_mode mode, unsigned pins)
{
	struct vm *vm = object->vm;
	const struct irqchip_host host = { .opaque = vm, .extint = extint };
	struct irqchip *irqchip = irqchip_create(mode, pins, vm->bus, vm->events, &host);

	if (!irqchip)
		return -ENOMEM;
	irqchip_set_x2apic_api(irqchip, object->x2apic_api);
	__atomic_store_n(&vm->irqchip, irqchip, __ATOMIC_RELEASE);
	return 0;
}

long ioctl_vm_create_irqchip(struct ioctl_call *call)
{
	struct vm_object *vm = call_vm(call);
	long r;

	pthread_mutex_lock(&vm->vm->lock);
	if (vm->vm->irqchip)
		r = -EEXIST;
	else if (atomic_load(&vm->vm->vcpu_count))
		r = -EINVAL;
	else
		r = create_irqchip(vm, IRQCHIP_FULL, 0);
	pthread_mutex_unlock(&vm->vm->lock);
	return r;
}

long vm_enable_split_irqchip(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	long r;

	if (cap->args[0] > IRQCHIP_GSIS)
		return -EINVAL;
	pthread_mutex_lock(&vm->vm->lock);
	if (vm->vm->irqchip || atomic_load(&vm->vm->vcpu_count))
		r = -EEXIST;
	else
		r = create_irqchip(vm, IRQCHIP_SPLIT, cap->args[0]);
	pthread_mutex_unlock(&vm->vm->lock);
	return r;
}

long vm_enable_x2apic_api(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(uint64_t)(KVM_X2APIC_API_USE_32BIT_IDS |
				       KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK))
		return -EINVAL;
	pthread_mutex_lock(&vm->vm->lock);
	vm->x2apic_api |= cap->args[0];
	if (vm->vm->irqchip)
		irqchip_set_x2apic_api(vm->vm->irqchip, vm->x2apic_api);
	pthread_mutex_unlock(&vm->vm->lock);
	return 0;
}

/* ---- PIC and IOAPIC state ---- */

long ioctl_vm_get_irqchip(struct ioctl_call *call)
{
	struct vm *vm = call_vm(call)->vm;

	if (vm_irqchip_mode(vm) != IRQCHIP_FULL)
		return -ENXIO;
	return irqchip_get_state(vm_irqchip(vm), call->data);
}

long ioctl_vm_set_irqchip(struct ioctl_call *call)
{
	struct vm *vm = call_vm(call)->vm;

	if (vm_irqchip_mode(vm) != IRQCHIP_FULL)
		return -ENXIO;
	return irqchip_set_state(vm_irqchip(vm), call->data);
}

/* ---- interrupt sources ---- */

/* KVM_IRQ_LINE and KVM_IRQ_LINE_STATUS differ in whether the status is copied out. */
long ioctl_vm_irq_line(struct ioctl_call *call)
{
	struct irqchip *irqchip = vm_irqchip(call_vm(call)->vm);
	struct kvm_irq_level *line = call->data;

	if (!irqchip)
		return -ENXIO;
	line->status = irqchip_set_irq(irqchip, line->irq, line->level);
	return 0;
}

long ioctl_vm_signal_msi(struct ioctl_call *call)
{
	struct irqchip *irqchip = vm_irqchip(call_vm(call)->vm);

	return irqchip ? irqchip_signal_msi(irqchip, call->data) : -EINVAL;
}

long ioctl_vm_set_gsi_routing(struct ioctl_call *call)
{
	struct irqchip *irqchip = vm_irqchip(call_vm(call)->vm);
	struct kvm_irq_routing_entry *entries = NULL;
	struct kvm_irq_routing header;
	long r;

	r = copy_in(call, &header, call->argument, sizeof(header));
	if (r)
		return r;
	if (!irqchip || header.nr > IRQCHIP_GSIS || header.flags)
		return -EINVAL;
	if (header.nr) {
		entries = malloc(header.nr * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		r = copy_in(call, entries, call->argument + sizeof(header),
			    header.nr * sizeof(*entries));
	}
	if (!r)
		r = irqchip_set_routing(irqchip, entries, header.nr);
	free(entries);
	return r;
}

static long assign_irqfd(struct ioctl_call *call, struct irqchip *irqchip,
			 const struct kvm_irqfd *args)
{
	bool resample = args->flags & KVM_IRQFD_FLAG_RESAMPLE;
	int fd, resample_fd = -1;
	long r;

	/* Resampling needs to see EOIs at the pins, which a user-space IOAPIC keeps to itself. */
	if (!irqchip || (resample && irqchip_mode(irqchip) != IRQCHIP_FULL))
		return -EINVAL;
	fd = client_eventfd(call->client, args->fd);
	if (fd < 0)
		return fd;
	if (resample) {
		resample_fd = client_eventfd(call->client, args->resamplefd);
		if (resample_fd < 0) {
			close(fd);
			return resample_fd;
		}
	}
	r = irqchip_irqfd(irqchip, args, fd, resample_fd);
	if (r) {
		close(fd);
		if (resample)
			close(resample_fd);
	}
	return r;
}

long ioctl_vm_irqfd(struct ioctl_call *call)
{
	struct irqchip *irqchip = vm_irqchip(call_vm(call)->vm);
	const struct kvm_irqfd *args = call->data;
	int fd;

	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (!(args->flags & KVM_IRQFD_FLAG_DEASSIGN))
		return assign_irqfd(call, irqchip, args);
	fd = client_eventfd(call->client, args->fd);
	if (fd < 0)
		return fd;
	/* Taking away what was not there succeeds, as the kernel's does. */
	if (irqchip)
		irqchip_irqfd(irqchip, args, fd, -1);
	close(fd);
	return 0;
}

/* ---- PIT ---- */

static long create_pit(struct vm *vm, uint32_t flags)
{
	struct pit *pit;
	long r = 0;

	pthread_mutex_lock(&vm->lock);
	if (vm->pit) {
		r = -EEXIST;
	} else if (vm_irqchip_mode(vm) != IRQCHIP_FULL) {
		r = -ENOENT;
	} else {
		pit = pit_create(vm->irqchip, vm->bus, vm->events, flags);
		if (pit)
			__atomic_store_n(&vm->pit, pit, __ATOMIC_RELEASE);
		else
			r = -ENOMEM;
	}
	pthread_mutex_unlock(&vm->lock);
	return r;
}

long ioctl_vm_create_pit(struct ioctl_call *call)
{
	return create_pit(call_vm(call)->vm, KVM_PIT_SPEAKER_DUMMY);
}

long ioctl_vm_create_pit2(struct ioctl_call *call)
{
	const struct kvm_pit_config *config = call->data;

	return create_pit(call_vm(call)->vm, config->flags);
}

long ioctl_vm_has_pit(struct ioctl_call *call)
{
	return vm_pit(call_vm(call)->vm) ? 0 : -ENXIO;
}

long ioctl_vm_get_pit2(struct ioctl_call *call)
{
	pit_get_state(vm_pit(call_vm(call)->vm), call->data);
	return 0;
}

long ioctl_vm_set_pit2(struct ioctl_call *call)
{
	struct pit *pit = vm_pit(call_vm(call)->vm);

	return pit ? pit_set_state(pit, call->data) : -ENXIO;
}

/* struct kvm_pit_state is the three channels without flags. */
long ioctl_vm_get_pit(struct ioctl_call *call)
{
	struct pit *pit = vm_pit(call_vm(call)->vm);
	struct kvm_pit_state *channels = call->data;
	struct kvm_pit_state2 state;

	if (!pit)
		return -ENXIO;
	pit_get_state(pit, &state);
	memcpy(channels->channels, state.channels, sizeof(channels->channels));
	return 0;
}

long ioctl_vm_set_pit(struct ioctl_call *call)
{
	struct pit *pit = vm_pit(call_vm(call)->vm);
	const struct kvm_pit_state *channels = call->data;
	struct kvm_pit_state2 state;

	if (!pit)
		return -ENXIO;
	pit_get_state(pit, &state);
	memcpy(state.channels, channels->channels, sizeof(state.channels));
	return pit_set_state(pit, &state);
}

long ioctl_vm_reinject_control(struct ioctl_call *call)
{
	struct pit *pit = vm_pit(call_vm(call)->vm);
	const struct kvm_reinject_control *control = call->data;

	if (!pit)
		return -ENXIO;
	pit_set_reinject(pit, control->pit_reinject);
	return 0;
}

/* ---- vCPU: local APIC, interrupts from user space ---- */

long ioctl_vcpu_has_lapic(struct ioctl_call *call)
{
	return call_vcpu(call)->lapic ? 0 : -EINVAL;
}

long ioctl_vcpu_get_lapic(struct ioctl_call *call)
{
	lapic_get_state(call_vcpu(call)->lapic, call->data);
	return 0;
}

long ioctl_vcpu_set_lapic(struct ioctl_call *call)
{
	struct vcpu *vcpu = call_vcpu(call);
	int r = lapic_set_state(vcpu->lapic, call->data);

	if (!r)
		vcpu_request(vcpu, VCPU_REQUEST_EVENT);
	return r;
}

long ioctl_vcpu_interrupt(struct ioctl_call *call)
{
	const struct kvm_interrupt *interrupt = call->data;
	struct vcpu *vcpu = call_vcpu(call);
	struct pending_events *events = &vcpu->state.events;
	enum irqchip_mode mode = vm_irqchip_mode(vcpu->vm);

	if (interrupt->irq >= 256)
		return -EINVAL;
	if (mode == IRQCHIP_FULL)
		return -ENXIO;
	/* With local APICs here it is the INTA answer of the client's PIC: one at a time. */
	if (mode == IRQCHIP_SPLIT && events->interrupt.injected)
		return -EEXIST;
	events->interrupt.injected = true;
	events->interrupt.vector = interrupt->irq;
	events->interrupt.soft = false;
	vcpu_request(vcpu, VCPU_REQUEST_EVENT);
	return 0;
}

long ioctl_vcpu_smi(struct ioctl_call *call)
{
	vcpu_request(call_vcpu(call), VCPU_REQUEST_SMI);
	return 0;
}

long ioctl_vcpu_nmi(struct ioctl_call *call)
{
	vcpu_nmi(call_vcpu(call));
	return 0;
}

long ioctl_vcpu_tpr_access_reporting(struct ioctl_call *call)
{
	const struct kvm_tpr_access_ctl *control = call->data;

	if (control->flags)
		return -EINVAL;
	call_vcpu(call)->tpr_reporting = control->enabled;
	return 0;
}

long ioctl_vcpu_set_vapic_addr(struct ioctl_call *call)
{
	const struct kvm_vapic_addr *vapic = call->data;
	struct vcpu *vcpu = call_vcpu(call);

	if (vapic->vapic_addr) {
		struct memslots *slots = memory_slots_get(vcpu->vm->memory);
		bool memory = memslots_lookup(slots, 0, vapic->vapic_addr);

		memslots_put(slots);
		if (!memory)
			return -EINVAL;
	}
	vcpu->vapic_gpa = vapic->vapic_addr;
	return 0;
}
