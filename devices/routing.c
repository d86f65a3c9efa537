// SPDX-License-Identifier: GPL-2.0-or-later
/* GSI routing: which pins or which message a GSI's line drives. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/internal.h"
#include "devices/lapic_internal.h"

#define PIC_CHIP_PINS 8

/* MSI, SDM volume 3, section 11.11. */
#define MSI_ADDRESS_DESTINATION_SHIFT 12
#define MSI_ADDRESS_REDIRECTION_HINT (1u << 3)
#define MSI_ADDRESS_LOGICAL (1u << 2)
#define MSI_DATA_MODE_SHIFT 8
#define MSI_DATA_LEVEL (1u << 15)

void irqchip_message_from_msi(const struct irqchip *irqchip, uint32_t address_lo,
			      uint32_t address_hi, uint32_t data, struct irqchip_message *message)
{
	*message = (struct irqchip_message){
		.destination = address_lo >> MSI_ADDRESS_DESTINATION_SHIFT & 0xff,
		.logical = address_lo & MSI_ADDRESS_LOGICAL,
		.redirection_hint = address_lo & MSI_ADDRESS_REDIRECTION_HINT,
		.delivery_mode = data >> MSI_DATA_MODE_SHIFT & 7,
		.vector = data,
		.level = data & MSI_DATA_LEVEL,
		.assert = true,
	};
	if (atomic_load(&irqchip->x2apic_api) & KVM_X2APIC_API_USE_32BIT_IDS)
		message->destination |= address_hi & 0xffffff00;
}

/* With 32-bit IDs the low byte of the upper address word is reserved. */
static bool msi_valid(const struct irqchip *irqchip, uint32_t address_hi)
{
	return !(atomic_load(&irqchip->x2apic_api) & KVM_X2APIC_API_USE_32BIT_IDS) ||
	       !(address_hi & 0xff);
}

/* ---- building a table ---- */

static struct routing *routing_alloc(unsigned count)
{
	struct routing *routing = calloc(1, sizeof(*routing) + count * sizeof(routing->gsi[0]));

	if (!routing)
		return NULL;
	routing->count = count;
	memset(routing->pic_gsi, -1, sizeof(routing->pic_gsi));
	memset(routing->ioapic_gsi, -1, sizeof(routing->ioapic_gsi));
	for (unsigned gsi = 0; gsi < count; gsi++) {
		struct gsi_route *route = &routing->gsi[gsi];

		route->pic[0] = route->pic[1] = route->ioapic = -1;
	}
	return routing;
}

static int add_pin(struct routing *routing, unsigned gsi, unsigned chip, unsigned pin)
{
	struct gsi_route *route = &routing->gsi[gsi];

	switch (chip) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		if (pin >= PIC_CHIP_PINS || route->msi || route->pic[chip] >= 0)
			return -EINVAL;
		pin += chip * PIC_CHIP_PINS;
		route->pic[chip] = pin;
		routing->pic_gsi[pin] = gsi;
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		if (pin >= IRQCHIP_IOAPIC_PINS || route->msi || route->ioapic >= 0)
			return -EINVAL;
		route->ioapic = pin;
		routing->ioapic_gsi[pin] = gsi;
		return 0;
	}
	return -EINVAL;
}

static int add_msi(const struct irqchip *irqchip, struct routing *routing, unsigned gsi,
		   const struct kvm_irq_routing_msi *msi)
{
	struct gsi_route *route = &routing->gsi[gsi];
	const uint8_t vector = msi->data;

	if (route->msi || route->pic[0] >= 0 || route->pic[1] >= 0 || route->ioapic >= 0 ||
	    !msi_valid(irqchip, msi->address_hi))
		return -EINVAL;
	route->msi = true;
	route->address_lo = msi->address_lo;
	route->address_hi = msi->address_hi;
	route->data = msi->data;
	if (irqchip->mode == IRQCHIP_SPLIT && gsi < irqchip->pins && (msi->data & MSI_DATA_LEVEL))
		routing->level_vectors[vector / 32] |= 1u << (vector % 32);
	return 0;
}

static int add_entry(const struct irqchip *irqchip, struct routing *routing,
		     const struct kvm_irq_routing_entry *entry)
{
	switch (entry->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		if (entry->flags || irqchip->mode != IRQCHIP_FULL)
			return -EINVAL;
		return add_pin(routing, entry->gsi, entry->u.irqchip.irqchip, entry->u.irqchip.pin);
	case KVM_IRQ_ROUTING_MSI:
		if (entry->flags & ~KVM_MSI_VALID_DEVID)
			return -EINVAL;
		return add_msi(irqchip, routing, entry->gsi, &entry->u.msi);
	}
	return -EINVAL;
}

struct routing *routing_default(enum irqchip_mode mode)
{
	struct routing *routing = routing_alloc(mode == IRQCHIP_FULL ? IRQCHIP_IOAPIC_PINS : 0);

	for (unsigned gsi = 0; routing && gsi < routing->count; gsi++) {
		if (gsi < PIC_PINS)
			add_pin(routing, gsi, gsi / PIC_CHIP_PINS, gsi % PIC_CHIP_PINS);
		add_pin(routing, gsi, KVM_IRQCHIP_IOAPIC, gsi);
	}
	return routing;
}

int irqchip_set_routing(struct irqchip *irqchip, const struct kvm_irq_routing_entry *entries,
			unsigned count)
{
	struct routing *routing, *old;
	unsigned gsis = 0;

	for (unsigned i = 0; i < count; i++) {
		if (entries[i].gsi >= IRQCHIP_GSIS)
			return -EINVAL;
		if (entries[i].gsi >= gsis)
			gsis = entries[i].gsi + 1;
	}
	routing = routing_alloc(gsis);
	if (!routing)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		int error = add_entry(irqchip, routing, &entries[i]);

		if (error) {
			free(routing);
			return error;
		}
	}

	pthread_mutex_lock(&irqchip->tables_lock);
	old = atomic_exchange(&irqchip->routing, routing);
	gate_wait(&irqchip->gate);
	pthread_mutex_unlock(&irqchip->tables_lock);
	free(old);

	if (irqchip->mode == IRQCHIP_FULL) {
		pthread_mutex_lock(&irqchip->lock);
		ioapic_update_wanted(&irqchip->ioapic);
		pthread_mutex_unlock(&irqchip->lock);
	}
	return 0;
}

/* ---- using it ---- */

int irqchip_pic_gsi(struct irqchip *irqchip, unsigned pin)
{
	unsigned side = gate_enter(&irqchip->gate);
	int gsi = atomic_load(&irqchip->routing)->pic_gsi[pin];

	gate_leave(&irqchip->gate, side);
	return gsi;
}

int irqchip_ioapic_gsi(struct irqchip *irqchip, unsigned pin)
{
	unsigned side = gate_enter(&irqchip->gate);
	int gsi = atomic_load(&irqchip->routing)->ioapic_gsi[pin];

	gate_leave(&irqchip->gate, side);
	return gsi;
}

/* A GSI with several pins: masked only when all are, else the number that took it. */
static int status_add(int sum, int status)
{
	if (status < 0)
		return sum;
	return sum < 0 ? status : sum + status;
}

static int set_pins(struct irqchip *irqchip, const struct gsi_route *route, enum irq_source source,
		    bool level)
{
	struct irq_effects effects = { 0 };
	int status = IRQ_MASKED;

	pthread_mutex_lock(&irqchip->lock);
	for (int chip = 0; chip < 2; chip++)
		if (route->pic[chip] >= 0)
			status = status_add(status, pic_set_irq(&irqchip->pic, route->pic[chip],
								source, level, &effects));
	if (route->ioapic >= 0)
		status = status_add(status, ioapic_set_irq(&irqchip->ioapic, route->ioapic, source,
							   level, &effects));
	pthread_mutex_unlock(&irqchip->lock);
	irqchip_flush(irqchip, &effects);
	return status;
}

int irqchip_set_line(struct irqchip *irqchip, enum irq_source source, uint32_t gsi, bool level)
{
	unsigned side = gate_enter(&irqchip->gate);
	const struct routing *routing = atomic_load(&irqchip->routing);
	struct irqchip_message message;
	int status = IRQ_MASKED;

	if (gsi < routing->count) {
		const struct gsi_route *route = &routing->gsi[gsi];

		if (route->msi && level) {
			irqchip_message_from_msi(irqchip, route->address_lo, route->address_hi,
						 route->data, &message);
			status = irqchip_send(irqchip, NULL, &message, NULL);
		} else if (!route->msi) {
			status = set_pins(irqchip, route, source, level);
		}
	}
	gate_leave(&irqchip->gate, side);
	return status;
}

int irqchip_set_irq(struct irqchip *irqchip, uint32_t gsi, bool level)
{
	return irqchip_set_line(irqchip, IRQ_SOURCE_USER, gsi, level);
}

int irqchip_signal_msi(struct irqchip *irqchip, const struct kvm_msi *msi)
{
	struct irqchip_message message;
	int status;

	if ((msi->flags & ~KVM_MSI_VALID_DEVID) || !msi_valid(irqchip, msi->address_hi))
		return -EINVAL;
	irqchip_message_from_msi(irqchip, msi->address_lo, msi->address_hi, msi->data, &message);
	status = irqchip_send(irqchip, NULL, &message, NULL);
	return status < 0 ? 0 : status;
}

/*
 * The vector was delivered level triggered, or it is level triggered for this APIC in the table
 * although the message in service said otherwise.
 */
bool routing_wants_eoi(struct irqchip *irqchip, struct lapic *lapic, uint8_t vector, bool level)
{
	unsigned side = gate_enter(&irqchip->gate);
	const struct routing *routing = atomic_load(&irqchip->routing);
	bool wants = routing->level_vectors[vector / 32] >> (vector % 32) & 1;

	if (wants && !level) {
		wants = false;
		for (unsigned gsi = 0; gsi < irqchip->pins && gsi < routing->count; gsi++) {
			const struct gsi_route *route = &routing->gsi[gsi];
			struct irqchip_message message;

			if (!route->msi)
				continue;
			irqchip_message_from_msi(irqchip, route->address_lo, route->address_hi,
						 route->data, &message);
			if (message.level && message.vector == vector &&
			    lapic_matches(lapic, NULL, &message))
				wants = true;
		}
	}
	gate_leave(&irqchip->gate, side);
	return wants;
}
