// SPDX-License-Identifier: GPL-2.0-or-later
/* Intel 82093AA IOAPIC, as KVM's: version 0x11, 24 pins. */
#include <string.h>

#include "devices/internal.h"

#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_BYTES 0x100
#define IOAPIC_VERSION 0x11

#define OFFSET_SELECT 0x00
#define OFFSET_WINDOW 0x10

#define REGISTER_ID 0x00
#define REGISTER_VERSION 0x01
#define REGISTER_ARBITRATION 0x02
#define REGISTER_REDIRECTION 0x10

#define TRIGGER_EDGE 0
#define ENTRY_MASKED (1ull << 16)

/*
 * A level-triggered line that stays high through this many EOIs in a row has no driver that serves
 * it. Its vCPU would never leave the handler again, so from then on the guest gets some air.
 */
#define STORM_EOIS 10000
#define STORM_DELAY_NS 10000000ull

typedef __typeof__(((struct kvm_ioapic_state *)NULL)->redirtbl[0]) ioapic_entry;

static int service(struct ioapic *ioapic, unsigned pin, struct irq_effects *effects)
{
	ioapic_entry *entry = &ioapic->state.redirtbl[pin];
	const bool level = entry->fields.trig_mode != TRIGGER_EDGE;
	const struct irqchip_message message = {
		.destination = entry->fields.dest_id,
		.logical = entry->fields.dest_mode,
		.delivery_mode = entry->fields.delivery_mode,
		.vector = entry->fields.vector,
		.level = level,
		.assert = true,
	};
	int status;

	if (entry->fields.mask || (level && entry->fields.remote_irr))
		return IRQ_MASKED;
	status = irqchip_send(ioapic->irqchip, NULL, &message, effects);
	if (!level)
		ioapic->edge_delivered |= 1u << pin;
	else if (status > 0)
		entry->fields.remote_irr = 1;
	return status;
}

static int raise(struct ioapic *ioapic, unsigned pin, struct irq_effects *effects)
{
	const bool pending = ioapic->state.irr >> pin & 1;

	ioapic->state.irr |= 1u << pin;
	if (ioapic->state.redirtbl[pin].fields.trig_mode == TRIGGER_EDGE) {
		ioapic->edge_delivered &= ~(1u << pin);
		if (pending)
			return IRQ_COALESCED;
	}
	return service(ioapic, pin, effects);
}

int ioapic_set_irq(struct ioapic *ioapic, unsigned pin, enum irq_source source, bool level,
		   struct irq_effects *effects)
{
	if (level)
		ioapic->sources[pin] |= 1u << source;
	else
		ioapic->sources[pin] &= ~(1u << source);
	if (ioapic->sources[pin])
		return raise(ioapic, pin, effects);
	ioapic->state.irr &= ~(1u << pin);
	return 1;
}

void ioapic_update_wanted(struct ioapic *ioapic)
{
	struct irqchip *irqchip = ioapic->irqchip;
	uint32_t wanted[8] = { 0 };

	for (unsigned pin = 0; pin < IRQCHIP_IOAPIC_PINS; pin++) {
		const ioapic_entry *entry = &ioapic->state.redirtbl[pin];
		const int gsi = irqchip_ioapic_gsi(irqchip, pin);

		if (entry->fields.trig_mode != TRIGGER_EDGE ||
		    (gsi >= 0 && atomic_load(&irqchip->ack_listeners[gsi])))
			wanted[entry->fields.vector / 32] |= 1u << (entry->fields.vector % 32);
	}
	for (int i = 0; i < 8; i++)
		atomic_store(&ioapic->eoi_wanted[i], wanted[i]);
}

/* ---- EOI ---- */

static void storm_over(void *opaque)
{
	struct ioapic *ioapic = opaque;
	struct irq_effects effects = { 0 };

	pthread_mutex_lock(&ioapic->irqchip->lock);
	for (unsigned pin = 0; pin < IRQCHIP_IOAPIC_PINS; pin++)
		if (ioapic->state.redirtbl[pin].fields.trig_mode != TRIGGER_EDGE &&
		    (ioapic->state.irr >> pin & 1))
			service(ioapic, pin, &effects);
	pthread_mutex_unlock(&ioapic->irqchip->lock);
	irqchip_flush(ioapic->irqchip, &effects);
}

static void entry_eoi(struct ioapic *ioapic, unsigned pin, struct irq_effects *effects)
{
	ioapic_entry *entry = &ioapic->state.redirtbl[pin];

	if (entry->fields.trig_mode == TRIGGER_EDGE)
		return;
	entry->fields.remote_irr = 0;
	if (entry->fields.mask || !(ioapic->state.irr >> pin & 1)) {
		ioapic->eoi_count[pin] = 0;
		return;
	}
	if (++ioapic->eoi_count[pin] < STORM_EOIS) {
		service(ioapic, pin, effects);
		return;
	}
	ioapic->eoi_count[pin] = 0;
	timer_arm(&ioapic->storm, events_now() + STORM_DELAY_NS);
}

/*
 * Listeners run between looking and acting: they may lower the line, and only a line that is
 * still high afterwards is delivered again.
 */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector, bool level)
{
	struct irqchip *irqchip = ioapic->irqchip;
	struct irq_effects effects = { 0 };
	uint32_t pins = 0;

	pthread_mutex_lock(&irqchip->lock);
	for (unsigned pin = 0; pin < IRQCHIP_IOAPIC_PINS; pin++)
		if (ioapic->state.redirtbl[pin].fields.vector == vector)
			pins |= 1u << pin;
	pthread_mutex_unlock(&irqchip->lock);

	for (unsigned pin = 0; pin < IRQCHIP_IOAPIC_PINS; pin++)
		if (pins >> pin & 1)
			irqchip_acknowledged(irqchip, irqchip_ioapic_gsi(irqchip, pin));
	if (!level)
		return;

	pthread_mutex_lock(&irqchip->lock);
	for (unsigned pin = 0; pin < IRQCHIP_IOAPIC_PINS; pin++)
		if ((pins >> pin & 1) && ioapic->state.redirtbl[pin].fields.vector == vector)
			entry_eoi(ioapic, pin, &effects);
	pthread_mutex_unlock(&irqchip->lock);
	irqchip_flush(irqchip, &effects);
}

/* ---- registers ---- */

static uint32_t register_read(const struct ioapic *ioapic)
{
	const struct kvm_ioapic_state *state = &ioapic->state;
	unsigned index;

	switch (state->ioregsel) {
	case REGISTER_VERSION:
		return (IRQCHIP_IOAPIC_PINS - 1) << 16 | IOAPIC_VERSION;
	case REGISTER_ID:
	case REGISTER_ARBITRATION:
		return (state->id & 0xf) << 24;
	}
	index = (state->ioregsel - REGISTER_REDIRECTION) >> 1;
	if (index >= IRQCHIP_IOAPIC_PINS)
		return UINT32_MAX;
	return state->redirtbl[index].bits >> (state->ioregsel & 1 ? 32 : 0);
}

/* Returns the pin whose pending level interrupt the write unmasked, or -1. */
static int entry_write(struct ioapic *ioapic, unsigned pin, uint32_t value,
		       struct irq_effects *effects)
{
	ioapic_entry *entry = &ioapic->state.redirtbl[pin];
	const ioapic_entry old = *entry;

	if (ioapic->state.ioregsel & 1) {
		entry->bits = (uint32_t)old.bits | (uint64_t)value << 32;
	} else {
		entry->bits = (old.bits & ~0xffffffffull) | value;
		entry->fields.remote_irr = old.fields.remote_irr;
		entry->fields.delivery_status = old.fields.delivery_status;
	}
	/* Guests rely on this to get rid of a Remote IRR that nobody will EOI any more. */
	if (entry->fields.trig_mode == TRIGGER_EDGE)
		entry->fields.remote_irr = 0;
	ioapic_update_wanted(ioapic);
	if (old.fields.mask && !entry->fields.mask &&
	    irqchip_ioapic_gsi(ioapic->irqchip, pin) == PIT_GSI)
		effects->pit_unmasked = true;
	if (entry->fields.trig_mode == TRIGGER_EDGE || entry->fields.mask ||
	    entry->fields.remote_irr || !(ioapic->state.irr >> pin & 1))
		return -1;
	return pin;
}

static int register_write(struct ioapic *ioapic, uint32_t value, struct irq_effects *effects)
{
	unsigned index;

	switch (ioapic->state.ioregsel) {
	case REGISTER_ID:
		ioapic->state.id = value >> 24 & 0xf;
		return -1;
	case REGISTER_VERSION:
	case REGISTER_ARBITRATION:
		return -1;
	}
	index = (ioapic->state.ioregsel - REGISTER_REDIRECTION) >> 1;
	if (index >= IRQCHIP_IOAPIC_PINS)
		return -1;
	return entry_write(ioapic, index, value, effects);
}

/*
 * A resampled line's level is only known as of its last signal; by the time of the unmask its
 * device may be quiet. Asking the owner, who raises it again if need be, avoids an interrupt that
 * nobody wants.
 */
static void deliver_unmasked(struct ioapic *ioapic, unsigned pin, struct irq_effects *effects)
{
	struct irqchip *irqchip = ioapic->irqchip;

	if (ioapic->sources[pin] == 1u << IRQ_SOURCE_RESAMPLE) {
		const int gsi = irqchip_ioapic_gsi(irqchip, pin);

		pthread_mutex_unlock(&irqchip->lock);
		irqchip_acknowledged(irqchip, gsi);
		pthread_mutex_lock(&irqchip->lock);
		return;
	}
	service(ioapic, pin, effects);
}

static int ioapic_read(void *opaque, uint64_t offset, void *data, unsigned bytes)
{
	struct ioapic *ioapic = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&ioapic->irqchip->lock);
	if (offset == OFFSET_SELECT)
		value = ioapic->state.ioregsel;
	else if (offset == OFFSET_WINDOW)
		value = register_read(ioapic);
	pthread_mutex_unlock(&ioapic->irqchip->lock);
	memcpy(data, &value, bytes);
	return 0;
}

static int ioapic_write(void *opaque, uint64_t offset, const void *data, unsigned bytes)
{
	struct ioapic *ioapic = opaque;
	struct irq_effects effects = { 0 };
	uint32_t value = 0;

	memcpy(&value, data, bytes < sizeof(value) ? bytes : sizeof(value));
	pthread_mutex_lock(&ioapic->irqchip->lock);
	if (offset == OFFSET_SELECT) {
		ioapic->state.ioregsel = value & 0xff;
	} else if (offset == OFFSET_WINDOW) {
		int pin = register_write(ioapic, value, &effects);

		if (pin >= 0)
			deliver_unmasked(ioapic, pin, &effects);
	}
	pthread_mutex_unlock(&ioapic->irqchip->lock);
	irqchip_flush(ioapic->irqchip, &effects);
	return 0;
}

static const struct bus_ops ioapic_ops = { ioapic_read, ioapic_write };

/* ---- life and state ---- */

int ioapic_init(struct ioapic *ioapic, struct irqchip *irqchip)
{
	ioapic->irqchip = irqchip;
	ioapic->state.base_address = IOAPIC_BASE;
	for (unsigned pin = 0; pin < IRQCHIP_IOAPIC_PINS; pin++)
		ioapic->state.redirtbl[pin].bits = ENTRY_MASKED;
	timer_init(&ioapic->storm, irqchip->events, storm_over, ioapic);
	return bus_register(irqchip->bus, BUS_MMIO, IOAPIC_BASE, IOAPIC_BYTES, &ioapic_ops, ioapic);
}

void ioapic_fini(struct ioapic *ioapic)
{
	bus_unregister(ioapic->irqchip->bus, BUS_MMIO, IOAPIC_BASE, ioapic);
	timer_fini(&ioapic->storm);
}

void ioapic_get_state(struct ioapic *ioapic, struct kvm_ioapic_state *state)
{
	*state = ioapic->state;
	/* An edge that was delivered must not be delivered again by whoever restores this. */
	state->irr &= ~ioapic->edge_delivered;
}

void ioapic_set_state(struct ioapic *ioapic, const struct kvm_ioapic_state *state,
		      struct irq_effects *effects)
{
	const uint32_t pending = state->irr;

	ioapic->state = *state;
	ioapic->state.ioregsel &= 0xff;
	ioapic->state.irr = 0;
	ioapic->edge_delivered = 0;
	ioapic_update_wanted(ioapic);
	for (unsigned pin = 0; pin < IRQCHIP_IOAPIC_PINS; pin++)
		if (pending >> pin & 1)
			raise(ioapic, pin, effects);
}
