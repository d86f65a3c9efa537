// SPDX-License-Identifier: GPL-2.0-or-later
/* Local APIC: life, base, acceptance, service and state. */
#include "devices/lapic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/lapic_internal.h"

#define BASE_ADDRESS 0x000ffffffffff000ull
#define BASE_RESERVED (~(BASE_ADDRESS | LAPIC_BASE_BSP | LAPIC_BASE_X2APIC | LAPIC_BASE_ENABLE))

#define BROADCAST 0xffu
#define BROADCAST_X2APIC 0xffffffffu

#define DFR_MODEL_SHIFT 28
#define DFR_FLAT 0xf
#define DFR_CLUSTER 0x0

#define LVT_LINT0_EXTINT (LAPIC_EXTINT << 8)
#define SVR_RESET 0xff

/* ---- base and mode ---- */

static bool base_x2apic(uint64_t base)
{
	return (base & LAPIC_BASE_ENABLE) && (base & LAPIC_BASE_X2APIC);
}

uint64_t lapic_get_base(const struct lapic *lapic)
{
	return atomic_load(&lapic->base);
}

bool lapic_x2apic(const struct lapic *lapic)
{
	return base_x2apic(atomic_load(&lapic->base));
}

uint64_t lapic_page(const struct lapic *lapic)
{
	return atomic_load(&lapic->base) & BASE_ADDRESS;
}

uint64_t lapic_mmio_base(const struct lapic *lapic)
{
	const uint64_t base = atomic_load(&lapic->base);

	if (!(base & LAPIC_BASE_ENABLE) || base_x2apic(base))
		return UINT64_MAX;
	return base & BASE_ADDRESS;
}

static void set_x2apic_id(struct lapic *lapic)
{
	lapic_set_reg(lapic, LAPIC_ID, lapic->id);
	lapic_set_reg(lapic, LAPIC_LDR, lapic->id >> 4 << 16 | 1u << (lapic->id & 0xf));
}

int lapic_set_base(struct lapic *lapic, uint64_t value, bool host_initiated)
{
	const uint64_t old = atomic_load(&lapic->base);
	const uint64_t mode = LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC;

	if ((value & BASE_RESERVED) || (value & mode) == LAPIC_BASE_X2APIC)
		return -EINVAL;
	/* SDM figure 11-27: x2APIC mode is entered from xAPIC mode and left by disabling. */
	if (!host_initiated && ((base_x2apic(old) && (value & mode) == LAPIC_BASE_ENABLE) ||
				(!(old & LAPIC_BASE_ENABLE) && base_x2apic(value))))
		return -EINVAL;
	atomic_store(&lapic->base, value);
	if ((old ^ value) & mode) {
		if (base_x2apic(value))
			set_x2apic_id(lapic);
		else if (value & LAPIC_BASE_ENABLE)
			lapic_set_reg(lapic, LAPIC_ID, lapic->id << 24);
		/* A disabled APIC passes the PIC's interrupts. */
		lapic_recheck(lapic);
	}
	return 0;
}

/* ---- life ---- */

struct lapic *lapic_create(struct irqchip *irqchip, struct events *events, uint32_t id, bool bsp,
			   const struct lapic_host *host)
{
	struct lapic *lapic = calloc(1, sizeof(*lapic));

	if (!lapic)
		return NULL;
	lapic->irqchip = irqchip;
	lapic->host = *host;
	lapic->id = id;
	lapic->bsp = bsp;
	pthread_mutex_init(&lapic->lock, NULL);
	lapic_timer_init(lapic, events);
	lapic_reset(lapic, false);
	if (irqchip_add_lapic(irqchip, lapic)) {
		lapic_timer_fini(lapic);
		pthread_mutex_destroy(&lapic->lock);
		free(lapic);
		return NULL;
	}
	return lapic;
}

void lapic_destroy(struct lapic *lapic)
{
	if (!lapic)
		return;
	irqchip_remove_lapic(lapic->irqchip, lapic);
	lapic_timer_fini(lapic);
	pthread_mutex_destroy(&lapic->lock);
	free(lapic);
}

static void set_version(struct lapic *lapic)
{
	lapic_set_reg(lapic, LAPIC_VERSION,
		      LAPIC_VERSION_INTEGRATED | (lapic_lvt_count(lapic) - 1) << 16);
}

void lapic_reset(struct lapic *lapic, bool init)
{
	uint64_t base = LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLE;
	uint32_t id = lapic->id << 24, ldr = 0;

	if (lapic->bsp)
		base |= LAPIC_BASE_BSP;
	if (init) {
		base = atomic_load(&lapic->base);
		id = lapic_reg(lapic, LAPIC_ID);
		if (base_x2apic(base))
			ldr = lapic_reg(lapic, LAPIC_LDR);
	}
	pthread_mutex_lock(&lapic->lock);
	lapic_timer_stop(lapic);
	for (unsigned i = 0; i < LAPIC_REGISTERS; i++)
		lapic_set_reg(lapic, i << 4, 0);
	atomic_store(&lapic->base, base);
	lapic_set_reg(lapic, LAPIC_ID, id);
	lapic_set_reg(lapic, LAPIC_LDR, ldr);
	set_version(lapic);
	lapic_set_reg(lapic, LAPIC_DFR, UINT32_MAX);
	lapic_set_reg(lapic, LAPIC_SVR, SVR_RESET);
	for (unsigned i = 0; i < lapic_lvt_count(lapic); i++)
		lapic_set_reg(lapic, lapic_lvt_offset(i), LAPIC_LVT_MASKED);
	/* Firmware that never heard of an APIC still gets the PIC's interrupts. */
	if (lapic->bsp && (!lapic->host.lint0_enabled ||
			   lapic->host.lint0_enabled(lapic->host.opaque)))
		lapic_set_reg(lapic, LAPIC_LVT_LINT0, LVT_LINT0_EXTINT);
	pthread_mutex_unlock(&lapic->lock);
}

/* ---- being a destination ---- */

static bool matches_physical(const struct lapic *lapic, uint32_t destination)
{
	if (lapic_x2apic(lapic))
		return destination == BROADCAST_X2APIC || destination == lapic->id;
	if (destination == BROADCAST)
		return true;
	/* A vCPU that is started late is in xAPIC mode and may have no 8-bit ID to be called by. */
	if (lapic->id > BROADCAST && destination == lapic->id)
		return true;
	return destination == lapic_reg(lapic, LAPIC_ID) >> 24;
}

static bool matches_logical(const struct lapic *lapic, uint32_t destination)
{
	const uint32_t ldr = lapic_reg(lapic, LAPIC_LDR);
	const uint32_t id = ldr >> 24;

	if (lapic_x2apic(lapic))
		return destination == BROADCAST_X2APIC ||
		       (ldr >> 16 == destination >> 16 && (ldr & destination & 0xffff));
	if (destination == BROADCAST)
		return true;
	switch (lapic_reg(lapic, LAPIC_DFR) >> DFR_MODEL_SHIFT) {
	case DFR_FLAT:
		return id & destination;
	case DFR_CLUSTER:
		return id >> 4 == destination >> 4 && (id & destination & 0xf);
	}
	return false;
}

bool lapic_matches(const struct lapic *lapic, const struct lapic *source,
		   const struct irqchip_message *message)
{
	uint32_t destination = message->destination;

	switch (message->shorthand) {
	case 1:
		return lapic == source;
	case 2:
		return true;
	case 3:
		return lapic != source;
	}
	/*
	 * Devices know only 8-bit broadcast; KVM lets it reach x2APICs too, unless user space
	 * asked for the letter of the architecture.
	 */
	if (!source && destination == BROADCAST && lapic_x2apic(lapic) &&
	    !(atomic_load(&lapic->irqchip->x2apic_api) & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK))
		destination = BROADCAST_X2APIC;
	if (message->logical)
		return matches_logical(lapic, destination);
	return matches_physical(lapic, destination);
}

static void accept_vector(struct lapic *lapic, uint8_t vector, bool level)
{
	/* Before IRR: the EOI must find the trigger mode of the interrupt that it ends. */
	if (level)
		lapic_vector_set(lapic, LAPIC_TMR, vector);
	else
		lapic_vector_clear(lapic, LAPIC_TMR, vector);
	lapic_vector_set(lapic, LAPIC_IRR, vector);
}

bool lapic_accept(struct lapic *lapic, unsigned mode, uint8_t vector, bool level, bool assert,
		  enum lapic_signal *signal)
{
	switch ((enum lapic_delivery)mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		if ((level && !assert) || !lapic_sw_enabled(lapic))
			return false;
		accept_vector(lapic, vector, level);
		*signal = LAPIC_SIGNAL_INTERRUPT;
		return true;
	case LAPIC_SMI:
		*signal = LAPIC_SIGNAL_SMI;
		return true;
	case LAPIC_NMI:
		*signal = LAPIC_SIGNAL_NMI;
		return true;
	case LAPIC_INIT:
		/* "INIT level de-assert" only synchronised arbitration IDs, long ago. */
		if (level && !assert)
			return false;
		*signal = LAPIC_SIGNAL_INIT;
		return true;
	case LAPIC_SIPI:
		*signal = LAPIC_SIGNAL_SIPI;
		return true;
	case LAPIC_REMOTE_READ:
	case LAPIC_EXTINT: /* the PIC's line is looked at, not sent */
		break;
	}
	return false;
}

void lapic_deliver(struct lapic *lapic, unsigned delivery_mode, uint8_t vector, bool level,
		   bool assert)
{
	enum lapic_signal signal;

	if (lapic_accept(lapic, delivery_mode, vector, level, assert, &signal))
		lapic_signal(lapic, signal, vector);
}

void lapic_deliver_local(struct lapic *lapic, unsigned offset)
{
	const uint32_t lvt = lapic_reg(lapic, offset);

	if (!lapic_hw_enabled(lapic) || (lvt & LAPIC_LVT_MASKED))
		return;
	lapic_deliver(lapic, lvt >> 8 & 7, lvt, lvt & LAPIC_LVT_LEVEL, true);
}

void lapic_set_cmci(struct lapic *lapic, bool present)
{
	pthread_mutex_lock(&lapic->lock);
	if (present != lapic->cmci) {
		lapic->cmci = present;
		lapic_set_reg(lapic, LAPIC_LVT_CMCI, present ? LAPIC_LVT_MASKED : 0);
		set_version(lapic);
	}
	pthread_mutex_unlock(&lapic->lock);
}

void lapic_deliver_cmci(struct lapic *lapic)
{
	lapic_deliver_local(lapic, LAPIC_LVT_CMCI);
}

/* ---- service ---- */

uint8_t lapic_get_tpr(const struct lapic *lapic)
{
	return lapic_reg(lapic, LAPIC_TPR);
}

void lapic_set_tpr(struct lapic *lapic, uint8_t tpr)
{
	lapic_set_reg(lapic, LAPIC_TPR, tpr);
	lapic_recheck(lapic);
}

uint32_t lapic_get_vapic(const struct lapic *lapic)
{
	const int serving = lapic_vector_highest(lapic, LAPIC_ISR);
	const int waiting = lapic_vector_highest(lapic, LAPIC_IRR);

	return lapic_get_tpr(lapic) | (serving < 0 ? 0 : (uint32_t)(serving & 0xf0) << 8) |
	       (waiting < 0 ? 0 : (uint32_t)waiting << 24);
}

uint8_t lapic_get_ppr(const struct lapic *lapic)
{
	const uint8_t tpr = lapic_reg(lapic, LAPIC_TPR);
	const int serving = lapic_vector_highest(lapic, LAPIC_ISR);

	if (serving < 0 || (tpr & 0xf0) >= (serving & 0xf0))
		return tpr;
	return serving & 0xf0;
}

uint64_t lapic_get_cr8(const struct lapic *lapic)
{
	return lapic_get_tpr(lapic) >> 4;
}

void lapic_set_cr8(struct lapic *lapic, uint64_t cr8)
{
	lapic_set_reg(lapic, LAPIC_TPR, (cr8 & 0xf) << 4);
	lapic_recheck(lapic);
}

static int deliverable(const struct lapic *lapic)
{
	int vector;

	if (!lapic_hw_enabled(lapic))
		return -1;
	vector = lapic_vector_highest(lapic, LAPIC_IRR);
	if (vector < 0 || (vector & 0xf0) <= (lapic_get_ppr(lapic) & 0xf0))
		return -1;
	return vector;
}

bool lapic_pending(const struct lapic *lapic)
{
	return deliverable(lapic) >= 0;
}

int lapic_acknowledge(struct lapic *lapic)
{
	const int vector = deliverable(lapic);

	if (vector < 0)
		return -1;
	/* In this order, so that a reader always finds it in one of the two. */
	lapic_vector_set(lapic, LAPIC_ISR, vector);
	lapic_vector_clear(lapic, LAPIC_IRR, vector);
	return vector;
}

bool lapic_accepts_extint(const struct lapic *lapic)
{
	const uint32_t lvt = lapic_reg(lapic, LAPIC_LVT_LINT0);

	return !lapic_hw_enabled(lapic) ||
	       (!(lvt & LAPIC_LVT_MASKED) && (lvt >> 8 & 7) == LAPIC_EXTINT);
}

void lapic_recheck(struct lapic *lapic)
{
	if (lapic_pending(lapic) ||
	    (lapic_accepts_extint(lapic) && irqchip_extint_pending(lapic->irqchip)))
		lapic_signal(lapic, LAPIC_SIGNAL_INTERRUPT, 0);
}

void lapic_eoi(struct lapic *lapic)
{
	const int vector = lapic_vector_highest(lapic, LAPIC_ISR);

	if (vector < 0)
		return;
	lapic_vector_clear(lapic, LAPIC_ISR, vector);
	irqchip_lapic_eoi(lapic->irqchip, lapic, vector,
			  lapic_vector_test(lapic, LAPIC_TMR, vector));
	lapic_recheck(lapic);
}

/* ---- KVM_GET_LAPIC, KVM_SET_LAPIC ---- */

static uint32_t state_load(const struct kvm_lapic_state *state, unsigned offset)
{
	uint32_t value;

	memcpy(&value, state->regs + offset, sizeof(value));
	return value;
}

static void state_store(struct kvm_lapic_state *state, unsigned offset, uint32_t value)
{
	memcpy(state->regs + offset, &value, sizeof(value));
}

static bool id_in_top_byte(const struct lapic *lapic)
{
	return lapic_x2apic(lapic) &&
	       !(atomic_load(&lapic->irqchip->x2apic_api) & KVM_X2APIC_API_USE_32BIT_IDS);
}

void lapic_get_state(struct lapic *lapic, struct kvm_lapic_state *state)
{
	memset(state, 0, sizeof(*state));
	for (unsigned i = 0; i < LAPIC_REGISTERS; i++)
		state_store(state, i << 4, lapic_reg(lapic, i << 4));
	state_store(state, LAPIC_PPR, lapic_get_ppr(lapic));
	state_store(state, LAPIC_TCCR, lapic_timer_current(lapic));
	if (id_in_top_byte(lapic))
		state_store(state, LAPIC_ID, lapic->id << 24);
}

int lapic_set_state(struct lapic *lapic, const struct kvm_lapic_state *state)
{
	if (lapic_x2apic(lapic)) {
		uint32_t id = state_load(state, LAPIC_ID);

		/* Who did not ask for 32-bit IDs may say what it likes: it is read-only. */
		if (!id_in_top_byte(lapic) && id != lapic->id)
			return -EINVAL;
	}
	pthread_mutex_lock(&lapic->lock);
	for (unsigned i = 0; i < LAPIC_REGISTERS; i++)
		lapic_set_reg(lapic, i << 4, state_load(state, i << 4));
	set_version(lapic);
	if (lapic_x2apic(lapic))
		set_x2apic_id(lapic);
	lapic_timer_restore(lapic, state_load(state, LAPIC_TCCR));
	pthread_mutex_unlock(&lapic->lock);
	lapic_recheck(lapic);
	return 0;
}
