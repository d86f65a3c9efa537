/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A local APIC's state, for lapic*.c and the delivery in irqchip.c.
 *
 * Registers are atomics and stand alone; the lock orders what belongs to the timer.
 */
#ifndef FAUXKVM_DEVICES_LAPIC_INTERNAL_H
#define FAUXKVM_DEVICES_LAPIC_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/events.h"
#include "devices/internal.h"
#include "devices/lapic.h"

/* SDM volume 3, table 11-1. */
#define LAPIC_ID 0x020
#define LAPIC_VERSION 0x030
#define LAPIC_TPR 0x080
#define LAPIC_APR 0x090
#define LAPIC_PPR 0x0a0
#define LAPIC_EOI 0x0b0
#define LAPIC_LDR 0x0d0
#define LAPIC_DFR 0x0e0
#define LAPIC_SVR 0x0f0
#define LAPIC_ISR 0x100
#define LAPIC_TMR 0x180
#define LAPIC_IRR 0x200
#define LAPIC_ESR 0x280
#define LAPIC_LVT_CMCI 0x2f0
#define LAPIC_ICR 0x300
#define LAPIC_ICR2 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LVT_THERMAL 0x330
#define LAPIC_LVT_PMC 0x340
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_LVT_LINT1 0x360
#define LAPIC_LVT_ERROR 0x370
#define LAPIC_TICR 0x380
#define LAPIC_TCCR 0x390
#define LAPIC_TDCR 0x3e0
#define LAPIC_SELF_IPI 0x3f0

#define LAPIC_REGISTERS 64
#define LAPIC_LVTS 7 /* the last one, CMCI, only where the vCPU has it */
#define LAPIC_VERSION_INTEGRATED 0x14u

#define LAPIC_SVR_ENABLE (1u << 8)
#define LAPIC_LVT_MASKED (1u << 16)
#define LAPIC_LVT_LEVEL (1u << 15)
#define LAPIC_LVT_TIMER_MODE (3u << 17)
#define LAPIC_TIMER_PERIODIC (1u << 17)
#define LAPIC_TIMER_DEADLINE (2u << 17)

#define LAPIC_BASE_BSP (1ull << 8)
#define LAPIC_BASE_X2APIC (1ull << 10)
#define LAPIC_BASE_ENABLE (1ull << 11)
#define LAPIC_BASE_DEFAULT 0xfee00000ull

struct lapic {
	struct irqchip *irqchip;
	struct lapic_host host;
	uint32_t id;
	bool bsp;
	bool cmci;
	unsigned slot; /* in the irqchip */

	_Atomic uint64_t base;
	_Atomic uint32_t reg[LAPIC_REGISTERS];

	/* Signals that wait for irqchip_flush(): bits of enum lapic_signal. */
	atomic_uint deferred;
	atomic_uchar deferred_vector;

	pthread_mutex_t lock;
	struct timer timer;
	uint64_t period;       /* ns of a full count, 0: stopped */
	uint64_t target;       /* next expiry on events_now()'s clock, 0: none */
	uint64_t tsc_deadline; /* guest TSC, 0: none */
};

static inline unsigned lapic_lvt_count(const struct lapic *lapic)
{
	return lapic->cmci ? LAPIC_LVTS : LAPIC_LVTS - 1;
}

static inline unsigned lapic_lvt_offset(unsigned i)
{
	return i == LAPIC_LVTS - 1 ? LAPIC_LVT_CMCI : LAPIC_LVT_TIMER + i * 0x10;
}

static inline uint32_t lapic_reg(const struct lapic *lapic, unsigned offset)
{
	return atomic_load_explicit(&lapic->reg[offset >> 4], memory_order_acquire);
}

static inline void lapic_set_reg(struct lapic *lapic, unsigned offset, uint32_t value)
{
	atomic_store_explicit(&lapic->reg[offset >> 4], value, memory_order_release);
}

/* IRR, ISR and TMR are 256 bits in eight registers from @offset. */
static inline bool lapic_vector_test(const struct lapic *lapic, unsigned offset, uint8_t vector)
{
	return lapic_reg(lapic, offset + (vector / 32) * 0x10) >> (vector % 32) & 1;
}

static inline void lapic_vector_set(struct lapic *lapic, unsigned offset, uint8_t vector)
{
	atomic_fetch_or(&lapic->reg[(offset >> 4) + vector / 32], 1u << (vector % 32));
}

static inline void lapic_vector_clear(struct lapic *lapic, unsigned offset, uint8_t vector)
{
	atomic_fetch_and(&lapic->reg[(offset >> 4) + vector / 32], ~(1u << (vector % 32)));
}

/* Highest vector, or -1. */
static inline int lapic_vector_highest(const struct lapic *lapic, unsigned offset)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t bits = lapic_reg(lapic, offset + i * 0x10);

		if (bits)
			return i * 32 + 31 - __builtin_clz(bits);
	}
	return -1;
}

static inline bool lapic_hw_enabled(const struct lapic *lapic)
{
	return atomic_load(&lapic->base) & LAPIC_BASE_ENABLE;
}

static inline bool lapic_sw_enabled(const struct lapic *lapic)
{
	return lapic_reg(lapic, LAPIC_SVR) & LAPIC_SVR_ENABLE;
}

static inline void lapic_signal(struct lapic *lapic, enum lapic_signal signal, uint8_t vector)
{
	lapic->host.signal(lapic->host.opaque, signal, vector);
}

/* ---- lapic.c ---- */

/* Is this APIC a destination of @message? */
bool lapic_matches(const struct lapic *lapic, const struct lapic *source,
		   const struct irqchip_message *message);
/* Takes an interrupt in; @signal is what its vCPU must be told then. False: refused. */
bool lapic_accept(struct lapic *lapic, unsigned mode, uint8_t vector, bool level, bool assert,
		  enum lapic_signal *signal);
/* An interrupt of the APIC's own, as the LVT register at @offset says. */
void lapic_deliver_local(struct lapic *lapic, unsigned offset);
/* Tells the vCPU when a change of TPR, ISR or IRR made something deliverable. */
void lapic_recheck(struct lapic *lapic);

/* ---- lapic_timer.c ---- */

void lapic_timer_init(struct lapic *lapic, struct events *events);
void lapic_timer_fini(struct lapic *lapic);
/* With the lock. */
void lapic_timer_stop(struct lapic *lapic);
void lapic_timer_restore(struct lapic *lapic, uint32_t current_count);
/* Without. */
void lapic_timer_set_count(struct lapic *lapic, uint32_t count);
void lapic_timer_set_divide(struct lapic *lapic, uint32_t value);
void lapic_timer_set_lvt(struct lapic *lapic, uint32_t value);
uint32_t lapic_timer_current(struct lapic *lapic);

#endif
