/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the interrupt controllers' files share.
 *
 * Nothing that a controller causes outside the irqchip happens under its lock: it is noted in
 * struct irq_effects and carried out by irqchip_flush().
 */
#ifndef FAUXKVM_DEVICES_INTERNAL_H
#define FAUXKVM_DEVICES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/gate.h"
#include "devices/irqchip.h"

#define IRQCHIP_LAPICS 1024 /* KVM_CAP_MAX_VCPUS */
#define PIC_PINS 16
#define PIT_GSI 0

/* A line is the OR of its sources. */
enum irq_source { IRQ_SOURCE_USER, IRQ_SOURCE_RESAMPLE, IRQ_SOURCE_PIT };

/* Statuses of an interrupt, as KVM_IRQ_LINE_STATUS returns them; above 0: delivered. */
#define IRQ_COALESCED 0
#define IRQ_MASKED (-1)

struct irq_effects {
	uint64_t lapics[IRQCHIP_LAPICS / 64]; /* by slot: have something to signal */
	bool any_lapic;
	bool extint;	   /* the PIC's output rose */
	bool pit_unmasked; /* the guest unmasked a pin of the PIT's GSI */
};

/* ---- pic.c ---- */

struct pic {
	struct irqchip *irqchip;
	struct kvm_pic_state chip[2];
	uint8_t sources[PIC_PINS];
	atomic_bool output;
};

int pic_init(struct pic *pic, struct irqchip *irqchip);
void pic_fini(struct pic *pic);
/* With the irqchip's lock. */
int pic_set_irq(struct pic *pic, unsigned pin, enum irq_source source, bool level,
		struct irq_effects *effects);
void pic_set_state(struct pic *pic, unsigned chip, const struct kvm_pic_state *state,
		   struct irq_effects *effects);
/* Without. */
int pic_acknowledge(struct pic *pic);

/* ---- ioapic.c ---- */

struct ioapic {
	struct irqchip *irqchip;
	struct kvm_ioapic_state state;
	uint32_t edge_delivered; /* bits of state.irr that stay only until the line falls */
	uint8_t sources[IRQCHIP_IOAPIC_PINS];
	uint32_t eoi_count[IRQCHIP_IOAPIC_PINS]; /* EOIs with the line still high, in a row */
	struct timer storm; /* slows a level interrupt down that nobody serves */
	/* By vector: somebody here wants to know of its EOI. Read without a lock. */
	_Atomic uint32_t eoi_wanted[8];
};

int ioapic_init(struct ioapic *ioapic, struct irqchip *irqchip);
void ioapic_fini(struct ioapic *ioapic);
/* With the irqchip's lock. */
int ioapic_set_irq(struct ioapic *ioapic, unsigned pin, enum irq_source source, bool level,
		   struct irq_effects *effects);
void ioapic_get_state(struct ioapic *ioapic, struct kvm_ioapic_state *state);
void ioapic_set_state(struct ioapic *ioapic, const struct kvm_ioapic_state *state,
		      struct irq_effects *effects);
void ioapic_update_wanted(struct ioapic *ioapic);
/* Without. */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector, bool level);

/* ---- routing.c ---- */

struct gsi_route {
	int8_t pic[2], ioapic; /* pin, or -1 */
	bool msi;
	uint32_t address_lo, address_hi, data;
};

struct routing {
	int16_t pic_gsi[PIC_PINS]; /* -1: none */
	int16_t ioapic_gsi[IRQCHIP_IOAPIC_PINS];
	/* Split: vectors that a reserved GSI delivers level triggered. */
	uint32_t level_vectors[8];
	unsigned count;
	struct gsi_route gsi[];
};

struct routing *routing_default(enum irqchip_mode mode);
/* Sets a line from any source; the body of irqchip_set_irq. No locks held. */
int irqchip_set_line(struct irqchip *irqchip, enum irq_source source, uint32_t gsi, bool level);
/* Split: does user space's IOAPIC want the EOI that @lapic made? */
bool routing_wants_eoi(struct irqchip *irqchip, struct lapic *lapic, uint8_t vector, bool level);

/* ---- irqfd.c ---- */

struct irqfd;

/* An interrupt of @gsi was acknowledged: lowers resampled lines, tells their owners. No locks. */
void irqfd_acknowledge(struct irqchip *irqchip, uint32_t gsi);
void irqfd_destroy(struct irqchip *irqchip);

/* ---- pit.c ---- */

/* The guest acknowledged an interrupt of PIT_GSI, or unmasked it. No locks held. */
void pit_acknowledged(struct pit *pit);
void pit_unmasked(struct pit *pit);

/* ---- irqchip.c ---- */

struct irqchip {
	enum irqchip_mode mode;
	unsigned pins;
	struct bus *bus;
	struct events *events;
	struct irqchip_host host;
	atomic_uint_fast64_t x2apic_api;
	uint64_t bus_cycle_ns; /* of the local APICs' timers; set before there are vCPUs */

	pthread_mutex_t lock; /* pic, ioapic */
	struct pic pic;
	struct ioapic ioapic;

	/* Readers of @lapics' entries, @routing and @pit. */
	struct gate gate;
	pthread_mutex_t tables_lock; /* writers of the three */
	struct lapic *_Atomic lapics[IRQCHIP_LAPICS];
	atomic_uint lapic_slots; /* entries above are NULL */
	struct routing *_Atomic routing;

	pthread_mutex_t irqfd_lock;
	struct irqfd *irqfds;
	/* How many want to hear of the acknowledgement of a GSI. */
	atomic_ushort ack_listeners[IRQCHIP_GSIS];

	struct pit *_Atomic pit; /* used inside the gate */
};

/* Carries out and clears. No locks held. */
void irqchip_flush(struct irqchip *irqchip, struct irq_effects *effects);
/* Runs the listeners of @gsi (-1: none). No locks held. */
void irqchip_acknowledged(struct irqchip *irqchip, int gsi);
/* GSI of a pin in the current routing, or -1. */
int irqchip_pic_gsi(struct irqchip *irqchip, unsigned pin);
int irqchip_ioapic_gsi(struct irqchip *irqchip, unsigned pin);
/*
 * As irqchip_deliver, but -1: no such destination. @effects NULL: signal at once (no locks held).
 */
int irqchip_send(struct irqchip *irqchip, struct lapic *source,
		 const struct irqchip_message *message, struct irq_effects *effects);
void irqchip_message_from_msi(const struct irqchip *irqchip, uint32_t address_lo,
			      uint32_t address_hi, uint32_t data, struct irqchip_message *message);
/* Adds or removes an ack listener. */
void irqchip_listen(struct irqchip *irqchip, uint32_t gsi, int change);
/* NULL: detaches; none of pit.c's two functions below runs for the old one afterwards. */
void irqchip_attach_pit(struct irqchip *irqchip, struct pit *pit);
/* LINT0 in NMI mode is wired to the PIT's output on every local APIC. */
void irqchip_lint0_nmi(struct irqchip *irqchip);
/* An EOI at @lapic; @level is the TMR bit. */
void irqchip_lapic_eoi(struct irqchip *irqchip, struct lapic *lapic, uint8_t vector, bool level);

#endif
