/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt controllers of a VM: two 8259A (pic.c), IOAPIC (ioapic.c), local APICs (lapic.c),
 * GSI routing (routing.c), irqfds (irqfd.c), PIT (pit.c).
 *
 * Locks: irqchip, then local APIC. All functions may be called from any thread.
 */
#ifndef FAUXKVM_DEVICES_IRQCHIP_H
#define FAUXKVM_DEVICES_IRQCHIP_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/events.h"
#include "devices/lapic.h"

#define IRQCHIP_GSIS 4096        /* KVM_CAP_IRQ_ROUTING */
#define IRQCHIP_IOAPIC_PINS 24

enum irqchip_mode {
	IRQCHIP_NONE,  /* everything in user space */
	IRQCHIP_FULL,  /* KVM_CREATE_IRQCHIP */
	IRQCHIP_SPLIT, /* KVM_CAP_SPLIT_IRQCHIP: only local APICs here */
};

struct irqchip;

/* What the irqchip needs of its VM; called without locks. */
struct irqchip_host {
	void *opaque;
	/* The PIC's INTR output rose: whoever accepts ExtINT must look. */
	void (*extint)(void *opaque);
};

/*
 * IRQCHIP_FULL: PIC at its ports and ELCR, IOAPIC at 0xfec00000 on @bus, KVM's default routing
 * (GSI 0..15 to the PIC and to the IOAPIC's pin of the same number, 16..23 to the IOAPIC).
 * IRQCHIP_SPLIT: @pins GSIs are reserved for the user-space IOAPIC, routing is MSI only.
 * NULL: out of memory.
 */
struct irqchip *irqchip_create(enum irqchip_mode mode, unsigned pins, struct bus *bus,
			       struct events *events, const struct irqchip_host *host);
void irqchip_destroy(struct irqchip *irqchip);
enum irqchip_mode irqchip_mode(const struct irqchip *irqchip);

#define IRQCHIP_BUS_CYCLE_NS 1 /* default */
/* KVM_CAP_X86_APIC_BUS_CYCLES_NS, before the first vCPU. -EINVAL: 0 or counts would overflow. */
int irqchip_set_bus_cycle_ns(struct irqchip *irqchip, uint64_t ns);

/*
 * KVM_IRQ_LINE(_STATUS): level of @gsi's line from source "user space". Returns the kernel's
 * status (>0 delivered, 0 coalesced, -1 ignored: masked).
 */
int irqchip_set_irq(struct irqchip *irqchip, uint32_t gsi, bool level);

/* KVM_SIGNAL_MSI: >0 delivered, 0 blocked by the guest, -EINVAL bad flags. */
int irqchip_signal_msi(struct irqchip *irqchip, const struct kvm_msi *msi);

/* KVM_SET_GSI_ROUTING: replaces the table. -EINVAL as the kernel's checks. */
int irqchip_set_routing(struct irqchip *irqchip, const struct kvm_irq_routing_entry *entries,
			unsigned count);

/*
 * KVM_IRQFD. @fd and @resample_fd are the core's own duplicates (resample -1: none): owned by the
 * irqchip on a successful assignment, kept by the caller otherwise. -EINVAL, -EBUSY (the eventfd
 * is already bound). Deassigning what is not there is 0, as in the kernel.
 */
int irqchip_irqfd(struct irqchip *irqchip, const struct kvm_irqfd *args, int fd, int resample_fd);

/* KVM_GET_IRQCHIP / KVM_SET_IRQCHIP: chip_id PIC master, slave, IOAPIC. -EINVAL for others. */
int irqchip_get_state(struct irqchip *irqchip, struct kvm_irqchip *state);
int irqchip_set_state(struct irqchip *irqchip, const struct kvm_irqchip *state);

/* PIC's INTR output. Lock free. */
bool irqchip_extint_pending(const struct irqchip *irqchip);
/* INTA cycle: the PIC's vector (spurious 7 included), or -1 when INTR is low again. */
int irqchip_extint_acknowledge(struct irqchip *irqchip);

/* Local APICs report here. */
void irqchip_eoi(struct irqchip *irqchip, uint8_t vector); /* level-triggered EOI broadcast */
/* ICR / MSI style delivery to a set of local APICs: >0 delivered to n, 0 none. */
struct irqchip_message {
	uint32_t destination; /* APIC ID or logical destination */
	bool logical;
	unsigned shorthand;     /* 0 none, 1 self, 2 all, 3 all but self */
	unsigned delivery_mode; /* ICR encoding */
	uint8_t vector;
	bool level, assert;
	bool redirection_hint;
};
int irqchip_deliver(struct irqchip *irqchip, struct lapic *source,
		    const struct irqchip_message *message);

/* KVM_CAP_X2APIC_API flags: 1 use 32-bit IDs, 2 disable broadcast quirk. */
void irqchip_set_x2apic_api(struct irqchip *irqchip, uint64_t flags);

/* Lets a local APIC be found for delivery. Called by lapic_create/lapic_destroy. */
int irqchip_add_lapic(struct irqchip *irqchip, struct lapic *lapic);
void irqchip_remove_lapic(struct irqchip *irqchip, struct lapic *lapic);

/* 8254 PIT: ports 0x40..0x43 and, with KVM_PIT_SPEAKER_DUMMY, 0x61; IRQ 0. */
struct pit;
struct pit *pit_create(struct irqchip *irqchip, struct bus *bus, struct events *events,
		       uint32_t flags);
void pit_destroy(struct pit *pit);
void pit_get_state(struct pit *pit, struct kvm_pit_state2 *state);
int pit_set_state(struct pit *pit, const struct kvm_pit_state2 *state);
void pit_set_reinject(struct pit *pit, bool reinject); /* KVM_REINJECT_CONTROL */

#endif
