// SPDX-License-Identifier: GPL-2.0-or-later
/* The set of interrupt controllers: delivery to local APICs and what crosses controllers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/internal.h"
#include "devices/lapic_internal.h"

/* ---- life ---- */

struct irqchip *irqchip_create(enum irqchip_mode mode, unsigned pins, struct bus *bus,
			       struct events *events, const struct irqchip_host *host)
{
	struct irqchip *irqchip = calloc(1, sizeof(*irqchip));

	if (!irqchip)
		return NULL;
	irqchip->mode = mode;
	irqchip->pins = pins;
	irqchip->bus = bus;
	irqchip->events = events;
	irqchip->bus_cycle_ns = IRQCHIP_BUS_CYCLE_NS;
	irqchip->host = *host;
	pthread_mutex_init(&irqchip->lock, NULL);
	pthread_mutex_init(&irqchip->tables_lock, NULL);
	pthread_mutex_init(&irqchip->irqfd_lock, NULL);
	irqchip->routing = routing_default(mode);
	if (!irqchip->routing)
		goto no_routing;
	if (mode != IRQCHIP_FULL)
		return irqchip;
	if (pic_init(&irqchip->pic, irqchip))
		goto no_pic;
	if (ioapic_init(&irqchip->ioapic, irqchip))
		goto no_ioapic;
	return irqchip;

no_ioapic:
	pic_fini(&irqchip->pic);
no_pic:
	free(irqchip->routing);
no_routing:
	free(irqchip);
	return NULL;
}

void irqchip_destroy(struct irqchip *irqchip)
{
	if (!irqchip)
		return;
	irqfd_destroy(irqchip);
	if (irqchip->mode == IRQCHIP_FULL) {
		ioapic_fini(&irqchip->ioapic);
		pic_fini(&irqchip->pic);
	}
	free(irqchip->routing);
	pthread_mutex_destroy(&irqchip->irqfd_lock);
	pthread_mutex_destroy(&irqchip->tables_lock);
	pthread_mutex_destroy(&irqchip->lock);
	free(irqchip);
}

int irqchip_set_bus_cycle_ns(struct irqchip *irqchip, uint64_t ns)
{
	/* The longest count with the highest divisor. */
	uint64_t longest;

	if (!ns || __builtin_mul_overflow((uint64_t)UINT32_MAX * 128, ns, &longest))
		return -EINVAL;
	irqchip->bus_cycle_ns = ns;
	return 0;
}

enum irqchip_mode irqchip_mode(const struct irqchip *irqchip)
{
	return irqchip->mode;
}

void irqchip_set_x2apic_api(struct irqchip *irqchip, uint64_t flags)
{
	atomic_fetch_or(&irqchip->x2apic_api, flags);
}

/* ---- local APICs ---- */

int irqchip_add_lapic(struct irqchip *irqchip, struct lapic *lapic)
{
	int error = -ENOSPC;

	pthread_mutex_lock(&irqchip->tables_lock);
	for (unsigned slot = 0; slot < IRQCHIP_LAPICS; slot++) {
		if (atomic_load(&irqchip->lapics[slot]))
			continue;
		lapic->slot = slot;
		atomic_store(&irqchip->lapics[slot], lapic);
		if (slot >= atomic_load(&irqchip->lapic_slots))
			atomic_store(&irqchip->lapic_slots, slot + 1);
		error = 0;
		break;
	}
	pthread_mutex_unlock(&irqchip->tables_lock);
	return error;
}

void irqchip_remove_lapic(struct irqchip *irqchip, struct lapic *lapic)
{
	pthread_mutex_lock(&irqchip->tables_lock);
	atomic_store(&irqchip->lapics[lapic->slot], NULL);
	gate_wait(&irqchip->gate);
	pthread_mutex_unlock(&irqchip->tables_lock);
}

/* ---- delivery ---- */

/* @effects remembers whom to tell, or is NULL to tell at once. */
static int lapic_take(struct lapic *lapic, const struct irqchip_message *message, unsigned mode,
		      struct irq_effects *effects)
{
	enum lapic_signal signal;

	if (!lapic_accept(lapic, mode, message->vector, message->level, message->assert, &signal))
		return 0;
	if (!effects) {
		lapic_signal(lapic, signal, message->vector);
		return 1;
	}
	if (signal == LAPIC_SIGNAL_SIPI)
		atomic_store(&lapic->deferred_vector, message->vector);
	atomic_fetch_or(&lapic->deferred, 1u << signal);
	effects->lapics[lapic->slot / 64] |= 1ull << (lapic->slot % 64);
	effects->any_lapic = true;
	return 1;
}

static bool lapic_selected(const struct lapic *lapic, const struct lapic *source,
			   const struct irqchip_message *message)
{
	return lapic && lapic_hw_enabled(lapic) && lapic_matches(lapic, source, message);
}

/*
 * Lowest priority is arbitrated by vector, as KVM does by default: interrupts of one vector stay
 * on one vCPU, different vectors spread.
 */
static int send_lowest(struct irqchip *irqchip, struct lapic *source,
		       const struct irqchip_message *message, struct irq_effects *effects)
{
	const unsigned slots = atomic_load(&irqchip->lapic_slots);
	unsigned candidates = 0, chosen;

	for (unsigned slot = 0; slot < slots; slot++) {
		struct lapic *lapic = atomic_load(&irqchip->lapics[slot]);

		if (lapic_selected(lapic, source, message) && lapic_sw_enabled(lapic))
			candidates++;
	}
	if (!candidates)
		return -1;
	chosen = message->vector % candidates;
	for (unsigned slot = 0; slot < slots; slot++) {
		struct lapic *lapic = atomic_load(&irqchip->lapics[slot]);

		if (lapic_selected(lapic, source, message) && lapic_sw_enabled(lapic) && !chosen--)
			return lapic_take(lapic, message, message->delivery_mode, effects);
	}
	/* A candidate was disabled between the two passes. */
	return 0;
}

static int send_all(struct irqchip *irqchip, struct lapic *source,
		    const struct irqchip_message *message, unsigned mode,
		    struct irq_effects *effects)
{
	const unsigned slots = atomic_load(&irqchip->lapic_slots);
	int delivered = -1;

	for (unsigned slot = 0; slot < slots; slot++) {
		struct lapic *lapic = atomic_load(&irqchip->lapics[slot]);

		if (!lapic_selected(lapic, source, message))
			continue;
		if (delivered < 0)
			delivered = 0;
		delivered += lapic_take(lapic, message, mode, effects);
	}
	return delivered;
}

int irqchip_send(struct irqchip *irqchip, struct lapic *source,
		 const struct irqchip_message *message, struct irq_effects *effects)
{
	unsigned side = gate_enter(&irqchip->gate);
	bool lowest = message->delivery_mode == LAPIC_LOWEST || message->redirection_hint;
	unsigned mode = message->delivery_mode;
	int delivered;

	/* There is no arbitration in a physical broadcast. */
	if (lowest && !message->logical && !message->shorthand && message->destination == 0xff) {
		lowest = false;
		mode = LAPIC_FIXED;
	}
	if (lowest)
		delivered = send_lowest(irqchip, source, message, effects);
	else
		delivered = send_all(irqchip, source, message, mode, effects);
	gate_leave(&irqchip->gate, side);
	return delivered;
}

int irqchip_deliver(struct irqchip *irqchip, struct lapic *source,
		    const struct irqchip_message *message)
{
	int delivered = irqchip_send(irqchip, source, message, NULL);

	return delivered < 0 ? 0 : delivered;
}

static void flush_lapic(struct lapic *lapic)
{
	static const enum lapic_signal order[] = {
		LAPIC_SIGNAL_INIT, LAPIC_SIGNAL_SIPI,	   LAPIC_SIGNAL_SMI,
		LAPIC_SIGNAL_NMI,  LAPIC_SIGNAL_INTERRUPT,
	};
	const unsigned signals = atomic_exchange(&lapic->deferred, 0);

	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (signals & 1u << order[i])
			lapic_signal(lapic, order[i], atomic_load(&lapic->deferred_vector));
}

void irqchip_flush(struct irqchip *irqchip, struct irq_effects *effects)
{
	if (effects->any_lapic) {
		unsigned side = gate_enter(&irqchip->gate);

		for (unsigned word = 0; word < IRQCHIP_LAPICS / 64; word++) {
			for (uint64_t bits = effects->lapics[word]; bits; bits &= bits - 1) {
				unsigned slot = word * 64 + __builtin_ctzll(bits);
				struct lapic *lapic = atomic_load(&irqchip->lapics[slot]);

				if (lapic)
					flush_lapic(lapic);
			}
		}
		gate_leave(&irqchip->gate, side);
	}
	if (effects->extint && irqchip->host.extint)
		irqchip->host.extint(irqchip->host.opaque);
	if (effects->pit_unmasked) {
		unsigned side = gate_enter(&irqchip->gate);
		struct pit *pit = atomic_load(&irqchip->pit);

		if (pit)
			pit_unmasked(pit);
		gate_leave(&irqchip->gate, side);
	}
	memset(effects, 0, sizeof(*effects));
}

/* ---- acknowledgement ---- */

void irqchip_listen(struct irqchip *irqchip, uint32_t gsi, int change)
{
	if (gsi >= IRQCHIP_GSIS)
		return;
	atomic_fetch_add(&irqchip->ack_listeners[gsi], change);
	if (irqchip->mode != IRQCHIP_FULL)
		return;
	pthread_mutex_lock(&irqchip->lock);
	ioapic_update_wanted(&irqchip->ioapic);
	pthread_mutex_unlock(&irqchip->lock);
}

void irqchip_acknowledged(struct irqchip *irqchip, int gsi)
{
	if (gsi < 0 || !atomic_load(&irqchip->ack_listeners[gsi]))
		return;
	irqfd_acknowledge(irqchip, gsi);
	if (gsi == PIT_GSI) {
		unsigned side = gate_enter(&irqchip->gate);
		struct pit *pit = atomic_load(&irqchip->pit);

		if (pit)
			pit_acknowledged(pit);
		gate_leave(&irqchip->gate, side);
	}
}

void irqchip_lapic_eoi(struct irqchip *irqchip, struct lapic *lapic, uint8_t vector, bool level)
{
	if (irqchip->mode == IRQCHIP_SPLIT) {
		if (routing_wants_eoi(irqchip, lapic, vector, level))
			lapic_signal(lapic, LAPIC_SIGNAL_EOI, vector);
		return;
	}
	if (level || (atomic_load(&irqchip->ioapic.eoi_wanted[vector / 32]) >> (vector % 32) & 1))
		ioapic_eoi(&irqchip->ioapic, vector, level);
}

void irqchip_eoi(struct irqchip *irqchip, uint8_t vector)
{
	if (irqchip->mode == IRQCHIP_FULL)
		ioapic_eoi(&irqchip->ioapic, vector, true);
}

/* ---- PIT ---- */

void irqchip_attach_pit(struct irqchip *irqchip, struct pit *pit)
{
	pthread_mutex_lock(&irqchip->tables_lock);
	atomic_store(&irqchip->pit, pit);
	gate_wait(&irqchip->gate);
	pthread_mutex_unlock(&irqchip->tables_lock);
}

void irqchip_lint0_nmi(struct irqchip *irqchip)
{
	unsigned side = gate_enter(&irqchip->gate);
	const unsigned slots = atomic_load(&irqchip->lapic_slots);

	for (unsigned slot = 0; slot < slots; slot++) {
		struct lapic *lapic = atomic_load(&irqchip->lapics[slot]);

		if (lapic && (lapic_reg(lapic, LAPIC_LVT_LINT0) >> 8 & 7) == LAPIC_NMI)
			lapic_deliver_local(lapic, LAPIC_LVT_LINT0);
	}
	gate_leave(&irqchip->gate, side);
}

/* ---- PIC's output, state ---- */

bool irqchip_extint_pending(const struct irqchip *irqchip)
{
	return atomic_load(&irqchip->pic.output);
}

int irqchip_extint_acknowledge(struct irqchip *irqchip)
{
	return irqchip->mode == IRQCHIP_FULL ? pic_acknowledge(&irqchip->pic) : -1;
}

int irqchip_get_state(struct irqchip *irqchip, struct kvm_irqchip *state)
{
	int error = 0;

	if (irqchip->mode != IRQCHIP_FULL)
		return -ENXIO;
	pthread_mutex_lock(&irqchip->lock);
	switch (state->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		state->chip.pic = irqchip->pic.chip[state->chip_id];
		break;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_get_state(&irqchip->ioapic, &state->chip.ioapic);
		break;
	default:
		error = -EINVAL;
	}
	pthread_mutex_unlock(&irqchip->lock);
	return error;
}

int irqchip_set_state(struct irqchip *irqchip, const struct kvm_irqchip *state)
{
	struct irq_effects effects = { 0 };
	int error = 0;

	if (irqchip->mode != IRQCHIP_FULL)
		return -ENXIO;
	pthread_mutex_lock(&irqchip->lock);
	switch (state->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_set_state(&irqchip->pic, state->chip_id, &state->chip.pic, &effects);
		break;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_set_state(&irqchip->ioapic, &state->chip.ioapic, &effects);
		break;
	default:
		error = -EINVAL;
	}
	pthread_mutex_unlock(&irqchip->lock);
	irqchip_flush(irqchip, &effects);
	return error;
}
