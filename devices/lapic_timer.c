// SPDX-License-Identifier: GPL-2.0-or-later
/* The local APIC's timer. It counts nanoseconds: the bus clock is 1 GHz, as KVM's. */
#include "devices/lapic_internal.h"

/* A guest that asks for less would keep the event thread busy; KVM has the same limit. */
#define PERIOD_MIN_NS 200000ull
#define NS_PER_MS 1000000ull

static uint32_t timer_mode(const struct lapic *lapic)
{
	return lapic_reg(lapic, LAPIC_LVT_TIMER) & LAPIC_LVT_TIMER_MODE;
}

/* SDM figure 11-10: bits 3, 1 and 0; all ones divide by 1. */
static unsigned divide_shift(uint32_t tdcr)
{
	return (((tdcr & 3) | (tdcr >> 1 & 4)) + 1) & 7;
}

static uint64_t count_to_ns(const struct lapic *lapic, uint32_t count)
{
	return ((uint64_t)count << divide_shift(lapic_reg(lapic, LAPIC_TDCR))) *
	       lapic->irqchip->bus_cycle_ns;
}

/* ---- with the lock ---- */

void lapic_timer_stop(struct lapic *lapic)
{
	lapic->period = 0;
	lapic->target = 0;
	lapic->tsc_deadline = 0;
	timer_cancel(&lapic->timer);
}

static void set_period(struct lapic *lapic, uint64_t period)
{
	if (period && period < PERIOD_MIN_NS && timer_mode(lapic) == LAPIC_TIMER_PERIODIC)
		period = PERIOD_MIN_NS;
	lapic->period = period;
}

static void set_target(struct lapic *lapic, uint64_t target)
{
	lapic->target = target;
	if (target)
		timer_arm(&lapic->timer, target);
	else
		timer_cancel(&lapic->timer);
}

static uint64_t remaining(const struct lapic *lapic)
{
	const uint64_t now = events_now();
	uint64_t late;

	if (!lapic->target || !lapic->period)
		return 0;
	if (lapic->target > now)
		return lapic->target - now;
	if (timer_mode(lapic) != LAPIC_TIMER_PERIODIC)
		return 0;
	late = (now - lapic->target) % lapic->period;
	return lapic->period - late;
}

/*
 * The deadline is an MSR and not part of the state: it stays, and the callback finds out how long
 * there is to go.
 */
void lapic_timer_restore(struct lapic *lapic, uint32_t current_count)
{
	const uint64_t deadline = lapic->tsc_deadline;
	uint64_t left = count_to_ns(lapic, current_count);

	lapic_timer_stop(lapic);
	if (timer_mode(lapic) == LAPIC_TIMER_DEADLINE) {
		lapic->tsc_deadline = deadline;
		if (deadline)
			timer_arm(&lapic->timer, events_now());
		return;
	}
	set_period(lapic, count_to_ns(lapic, lapic_reg(lapic, LAPIC_TICR)));
	if (!lapic->period)
		return;
	if (left > lapic->period || (!left && timer_mode(lapic) == LAPIC_TIMER_PERIODIC))
		left = lapic->period;
	/*
	 * As KVM: a one-shot without a current count fires at once. QEMU restores the initial count
	 * alone, and a guest that waits for this timer would wait for ever.
	 */
	set_target(lapic, events_now() + left);
}

static uint64_t deadline_to_ns(uint64_t cycles, uint64_t khz)
{
	/* Up, so that the guest never finds its deadline in the future. */
	unsigned __int128 ns = (unsigned __int128)cycles * NS_PER_MS / (khz ? khz : 1) + 1;

	return ns > UINT64_MAX / 4 ? UINT64_MAX / 4 : ns;
}

/* ---- expiry ---- */

static bool deadline_expired(struct lapic *lapic, uint64_t tsc, uint64_t khz)
{
	if (!lapic->tsc_deadline)
		return false;
	if (tsc < lapic->tsc_deadline) {
		/* The guest's TSC was moved, or runs slower than its nominal frequency. */
		timer_arm(&lapic->timer,
			  events_now() + deadline_to_ns(lapic->tsc_deadline - tsc, khz));
		return false;
	}
	lapic->tsc_deadline = 0;
	return true;
}

static bool count_expired(struct lapic *lapic)
{
	const uint64_t now = events_now();

	/* A callback that was under way while the timer was set anew. */
	if (!lapic->target || now < lapic->target)
		return false;
	if (timer_mode(lapic) != LAPIC_TIMER_PERIODIC || !lapic->period) {
		lapic->target = 0;
		return true;
	}
	/* From the old target, so there is no drift; missed periods coalesce as in IRR. */
	set_target(lapic,
		   lapic->target + ((now - lapic->target) / lapic->period + 1) * lapic->period);
	return true;
}

static void timer_fire(void *opaque)
{
	struct lapic *lapic = opaque;
	uint64_t tsc = 0, khz = 0;
	bool expired;

	if (timer_mode(lapic) == LAPIC_TIMER_DEADLINE) {
		tsc = lapic->host.read_tsc(lapic->host.opaque);
		khz = lapic->host.tsc_khz(lapic->host.opaque);
	}
	pthread_mutex_lock(&lapic->lock);
	/* A mode that changed since has stopped the timer, whichever way it went. */
	if (timer_mode(lapic) == LAPIC_TIMER_DEADLINE)
		expired = khz && deadline_expired(lapic, tsc, khz);
	else
		expired = count_expired(lapic);
	pthread_mutex_unlock(&lapic->lock);
	if (expired)
		lapic_deliver_local(lapic, LAPIC_LVT_TIMER);
}

void lapic_timer_init(struct lapic *lapic, struct events *events)
{
	timer_init(&lapic->timer, events, timer_fire, lapic);
}

void lapic_timer_fini(struct lapic *lapic)
{
	timer_fini(&lapic->timer);
}

/* ---- registers ---- */

void lapic_timer_set_count(struct lapic *lapic, uint32_t count)
{
	pthread_mutex_lock(&lapic->lock);
	if (timer_mode(lapic) != LAPIC_TIMER_DEADLINE) {
		lapic_set_reg(lapic, LAPIC_TICR, count);
		set_period(lapic, count_to_ns(lapic, count));
		set_target(lapic, lapic->period ? events_now() + lapic->period : 0);
	}
	pthread_mutex_unlock(&lapic->lock);
}

void lapic_timer_set_divide(struct lapic *lapic, uint32_t value)
{
	unsigned old_shift, shift;
	uint64_t left;

	pthread_mutex_lock(&lapic->lock);
	left = remaining(lapic);
	old_shift = divide_shift(lapic_reg(lapic, LAPIC_TDCR));
	lapic_set_reg(lapic, LAPIC_TDCR, value & 0xb);
	shift = divide_shift(value);
	if (shift != old_shift && lapic->period) {
		/* The counts that are left stay; each now takes another time. */
		set_period(lapic, count_to_ns(lapic, lapic_reg(lapic, LAPIC_TICR)));
		if (left)
			set_target(lapic, events_now() + (left >> old_shift << shift) + 1);
	}
	pthread_mutex_unlock(&lapic->lock);
}

void lapic_timer_set_lvt(struct lapic *lapic, uint32_t value)
{
	uint32_t old;

	pthread_mutex_lock(&lapic->lock);
	old = timer_mode(lapic);
	lapic_set_reg(lapic, LAPIC_LVT_TIMER, value);
	if ((old == LAPIC_TIMER_DEADLINE) != (timer_mode(lapic) == LAPIC_TIMER_DEADLINE)) {
		lapic_timer_stop(lapic);
		lapic_set_reg(lapic, LAPIC_TICR, 0);
	}
	set_period(lapic, lapic->period);
	pthread_mutex_unlock(&lapic->lock);
}

uint32_t lapic_timer_current(struct lapic *lapic)
{
	uint32_t count;

	pthread_mutex_lock(&lapic->lock);
	count = remaining(lapic) / lapic->irqchip->bus_cycle_ns >>
		divide_shift(lapic_reg(lapic, LAPIC_TDCR));
	pthread_mutex_unlock(&lapic->lock);
	return count;
}

uint64_t lapic_get_tsc_deadline(struct lapic *lapic)
{
	uint64_t deadline;

	pthread_mutex_lock(&lapic->lock);
	deadline = timer_mode(lapic) == LAPIC_TIMER_DEADLINE ? lapic->tsc_deadline : 0;
	pthread_mutex_unlock(&lapic->lock);
	return deadline;
}

void lapic_set_tsc_deadline(struct lapic *lapic, uint64_t value)
{
	const uint64_t tsc = lapic->host.read_tsc(lapic->host.opaque);
	const uint64_t khz = lapic->host.tsc_khz(lapic->host.opaque);
	bool expired = false;

	pthread_mutex_lock(&lapic->lock);
	if (timer_mode(lapic) == LAPIC_TIMER_DEADLINE && lapic_hw_enabled(lapic)) {
		lapic->tsc_deadline = value;
		if (!value)
			timer_cancel(&lapic->timer);
		else
			expired = deadline_expired(lapic, tsc, khz);
		if (expired)
			timer_cancel(&lapic->timer);
	}
	pthread_mutex_unlock(&lapic->lock);
	if (expired)
		lapic_deliver_local(lapic, LAPIC_LVT_TIMER);
}
