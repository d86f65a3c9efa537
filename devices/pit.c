// SPDX-License-Identifier: GPL-2.0-or-later
/* Intel 8254 PIT and the part of port 0x61 that belongs to it. Counts follow CLOCK_MONOTONIC. */
#include <stdlib.h>
#include <string.h>

#include "devices/internal.h"

#define PIT_HZ 1193182ull
#define NS_PER_SECOND 1000000000ull
/* A guest that asks for less would keep the event thread busy; KVM has the same limit. */
#define PERIOD_MIN_NS 200000ull

#define PORT_COUNTER 0x40
#define PORT_SPEAKER 0x61
#define CONTROL 3 /* relative to the first */
#define CHANNELS 3
#define SPEAKER_CHANNEL 2

#define CONTROL_READ_BACK 3
#define READ_BACK_NO_COUNT 0x20
#define READ_BACK_NO_STATUS 0x10
#define COUNT_MAX 0x10000

#define SPEAKER_GATE 0x01
#define SPEAKER_DATA 0x02
#define SPEAKER_REFRESH 0x10
#define SPEAKER_OUT 0x20
/* The refresh request toggles every 15 us or so. */
#define REFRESH_SHIFT 14

/* After reset nothing counts until the guest chose a mode. */
#define MODE_NONE 0xff

enum access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_WORD, ACCESS_WORD_HIGH };

struct pit {
	struct irqchip *irqchip;
	struct bus *bus;
	bool speaker;

	pthread_mutex_t lock;
	struct kvm_pit_state2 state;

	/* IRQ 0 */
	struct timer timer;
	uint64_t target, period; /* ns; period 0: one-shot */
	/*
	 * Ticks that came while the guest had not acknowledged the one before are kept and
	 * delivered one by one, so that a guest that counts them does not lose time.
	 */
	bool reinject, acknowledged;
	uint64_t pending;
	/* A pulse that began while the line is still up from another would be no edge. */
	pthread_mutex_t pulse_lock;
};

/* ---- counting ---- */

static uint64_t elapsed_ticks(const struct kvm_pit_channel_state *channel)
{
	const int64_t ns = events_now() - channel->count_load_time;

	return ns < 0 ? 0 : (unsigned __int128)ns * PIT_HZ / NS_PER_SECOND;
}

static uint16_t channel_count(const struct kvm_pit_channel_state *channel)
{
	const uint64_t ticks = elapsed_ticks(channel);

	switch (channel->mode) {
	case 0:
	case 1:
	case 4:
	case 5:
		return channel->count - ticks;
	case 3:
		return channel->count - 2 * ticks % channel->count;
	}
	return channel->count - ticks % channel->count;
}

static bool channel_out(const struct kvm_pit_channel_state *channel)
{
	const uint64_t ticks = elapsed_ticks(channel);

	switch (channel->mode) {
	case 1:
		return ticks < channel->count;
	case 2:
		return ticks && ticks % channel->count == 0;
	case 3:
		return ticks % channel->count < (channel->count + 1) / 2;
	case 4:
	case 5:
		return ticks == channel->count;
	}
	return ticks >= channel->count;
}

static void set_gate(struct pit *pit, unsigned index, bool gate)
{
	struct kvm_pit_channel_state *channel = &pit->state.channels[index];

	/* In modes 0 and 4 the gate would only hold the count, which no guest depends on. */
	if (gate && !channel->gate && channel->mode != 0 && channel->mode != 4)
		channel->count_load_time = events_now();
	channel->gate = gate;
}

static void latch_count(struct kvm_pit_channel_state *channel)
{
	if (channel->count_latched)
		return;
	channel->latched_count = channel_count(channel);
	channel->count_latched = channel->rw_mode;
}

static void latch_status(struct kvm_pit_channel_state *channel)
{
	if (channel->status_latched)
		return;
	channel->status = channel_out(channel) << 7 | channel->rw_mode << 4 | channel->mode << 1 |
			  channel->bcd;
	channel->status_latched = 1;
}

/* ---- IRQ 0 ---- */

static void reset_reinject(struct pit *pit)
{
	pit->pending = 0;
	pit->acknowledged = true;
}

static void stop_timer(struct pit *pit)
{
	pit->target = 0;
	timer_cancel(&pit->timer);
}

static void start_timer(struct pit *pit, uint32_t count, bool periodic)
{
	uint64_t ns = count * NS_PER_SECOND / PIT_HZ;

	/* The HPET drives IRQ 0 then. */
	if (pit->state.flags & KVM_PIT_FLAGS_HPET_LEGACY)
		return;
	if (periodic && ns < PERIOD_MIN_NS)
		ns = PERIOD_MIN_NS;
	reset_reinject(pit);
	pit->period = periodic ? ns : 0;
	pit->target = events_now() + ns;
	timer_arm(&pit->timer, pit->target);
}

static void load_count(struct pit *pit, unsigned index, uint32_t count)
{
	struct kvm_pit_channel_state *channel = &pit->state.channels[index];

	channel->count = count ? count : COUNT_MAX;
	channel->count_load_time = events_now();
	if (index)
		return;
	switch (channel->mode) {
	case 0:
	case 1:
	case 4:
		start_timer(pit, channel->count, false);
		break;
	case 2:
	case 3:
		start_timer(pit, channel->count, true);
		break;
	default:
		stop_timer(pit);
	}
}

static void pulse(struct pit *pit)
{
	pthread_mutex_lock(&pit->pulse_lock);
	irqchip_set_line(pit->irqchip, IRQ_SOURCE_PIT, PIT_GSI, true);
	irqchip_set_line(pit->irqchip, IRQ_SOURCE_PIT, PIT_GSI, false);
	pthread_mutex_unlock(&pit->pulse_lock);
	irqchip_lint0_nmi(pit->irqchip);
}

/* With the lock. True: a tick is due now. */
static bool tick(struct pit *pit, uint64_t ticks)
{
	if (!pit->reinject)
		return true;
	pit->pending += ticks;
	if (!pit->acknowledged)
		return false;
	pit->acknowledged = false;
	return true;
}

static void timer_fire(void *opaque)
{
	struct pit *pit = opaque;
	const uint64_t now = events_now();
	uint64_t ticks = 1;
	bool due = false;

	pthread_mutex_lock(&pit->lock);
	/* Else a callback that was under way while the timer was set anew. */
	if (pit->target && now >= pit->target) {
		if (pit->period) {
			ticks = (now - pit->target) / pit->period + 1;
			pit->target += ticks * pit->period;
			timer_arm(&pit->timer, pit->target);
		} else {
			pit->target = 0;
		}
		due = tick(pit, ticks);
	}
	pthread_mutex_unlock(&pit->lock);
	if (due)
		pulse(pit);
}

void pit_acknowledged(struct pit *pit)
{
	bool due = false;

	pthread_mutex_lock(&pit->lock);
	pit->acknowledged = true;
	if (pit->reinject && pit->pending && --pit->pending) {
		pit->acknowledged = false;
		due = true;
	}
	pthread_mutex_unlock(&pit->lock);
	if (due)
		pulse(pit);
}

/* What came while the guest did not want to hear is no lost time. */
void pit_unmasked(struct pit *pit)
{
	pthread_mutex_lock(&pit->lock);
	if (pit->reinject)
		reset_reinject(pit);
	pthread_mutex_unlock(&pit->lock);
}

/* ---- ports ---- */

static void control_write(struct pit *pit, uint8_t value)
{
	const unsigned index = value >> 6;
	const enum access access = value >> 4 & 3;
	struct kvm_pit_channel_state *channel;

	if (index == CONTROL_READ_BACK) {
		for (unsigned i = 0; i < CHANNELS; i++) {
			if (!(value & 2u << i))
				continue;
			if (!(value & READ_BACK_NO_COUNT))
				latch_count(&pit->state.channels[i]);
			if (!(value & READ_BACK_NO_STATUS))
				latch_status(&pit->state.channels[i]);
		}
		return;
	}
	channel = &pit->state.channels[index];
	if (access == ACCESS_LATCH) {
		latch_count(channel);
		return;
	}
	channel->rw_mode = access;
	channel->read_state = access;
	channel->write_state = access;
	channel->mode = value >> 1 & 7;
	if (channel->mode > 5) /* bit 2 is not decoded for modes 2 and 3 */
		channel->mode -= 4;
	channel->bcd = value & 1;
}

static void counter_write(struct pit *pit, unsigned index, uint8_t value)
{
	struct kvm_pit_channel_state *channel = &pit->state.channels[index];

	switch (channel->write_state) {
	case ACCESS_HIGH:
		load_count(pit, index, value << 8);
		break;
	case ACCESS_WORD:
		channel->write_latch = value;
		channel->write_state = ACCESS_WORD_HIGH;
		break;
	case ACCESS_WORD_HIGH:
		load_count(pit, index, channel->write_latch | value << 8);
		channel->write_state = ACCESS_WORD;
		break;
	default:
		load_count(pit, index, value);
	}
}

static uint8_t counter_read(struct pit *pit, unsigned index)
{
	struct kvm_pit_channel_state *channel = &pit->state.channels[index];

	if (channel->status_latched) {
		channel->status_latched = 0;
		return channel->status;
	}
	switch (channel->count_latched) {
	case 0:
		break;
	case ACCESS_HIGH:
		channel->count_latched = 0;
		return channel->latched_count >> 8;
	case ACCESS_WORD:
		channel->count_latched = ACCESS_HIGH;
		return channel->latched_count;
	default:
		channel->count_latched = 0;
		return channel->latched_count;
	}
	switch (channel->read_state) {
	case ACCESS_HIGH:
		return channel_count(channel) >> 8;
	case ACCESS_WORD:
		channel->read_state = ACCESS_WORD_HIGH;
		return channel_count(channel);
	case ACCESS_WORD_HIGH:
		channel->read_state = ACCESS_WORD;
		return channel_count(channel) >> 8;
	}
	return channel_count(channel);
}

static int port_read(void *opaque, uint64_t offset, void *data, unsigned bytes)
{
	struct pit *pit = opaque;
	uint8_t value = 0;

	pthread_mutex_lock(&pit->lock);
	if (offset != CONTROL)
		value = counter_read(pit, offset);
	pthread_mutex_unlock(&pit->lock);
	memset(data, 0, bytes);
	memcpy(data, &value, 1);
	return 0;
}

static int port_write(void *opaque, uint64_t offset, const void *data, unsigned bytes)
{
	struct pit *pit = opaque;
	uint8_t value;

	(void)bytes;
	memcpy(&value, data, 1);
	pthread_mutex_lock(&pit->lock);
	if (offset == CONTROL)
		control_write(pit, value);
	else
		counter_write(pit, offset, value);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

static int speaker_read(void *opaque, uint64_t offset, void *data, unsigned bytes)
{
	struct pit *pit = opaque;
	const struct kvm_pit_channel_state *channel = &pit->state.channels[SPEAKER_CHANNEL];
	uint8_t value = 0;

	(void)offset;
	pthread_mutex_lock(&pit->lock);
	if (channel->gate)
		value |= SPEAKER_GATE;
	if (pit->state.flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON)
		value |= SPEAKER_DATA;
	if (events_now() >> REFRESH_SHIFT & 1)
		value |= SPEAKER_REFRESH;
	if (channel_out(channel))
		value |= SPEAKER_OUT;
	pthread_mutex_unlock(&pit->lock);
	memset(data, 0, bytes);
	memcpy(data, &value, 1);
	return 0;
}

static int speaker_write(void *opaque, uint64_t offset, const void *data, unsigned bytes)
{
	struct pit *pit = opaque;
	uint8_t value;

	(void)offset;
	(void)bytes;
	memcpy(&value, data, 1);
	pthread_mutex_lock(&pit->lock);
	if (value & SPEAKER_DATA)
		pit->state.flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	else
		pit->state.flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	set_gate(pit, SPEAKER_CHANNEL, value & SPEAKER_GATE);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

static const struct bus_ops port_ops = { port_read, port_write };
static const struct bus_ops speaker_ops = { speaker_read, speaker_write };

/* ---- life and state ---- */

struct pit *pit_create(struct irqchip *irqchip, struct bus *bus, struct events *events,
		       uint32_t flags)
{
	struct pit *pit = calloc(1, sizeof(*pit));

	if (!pit)
		return NULL;
	pit->irqchip = irqchip;
	pit->bus = bus;
	pit->speaker = flags & KVM_PIT_SPEAKER_DUMMY;
	pthread_mutex_init(&pit->lock, NULL);
	pthread_mutex_init(&pit->pulse_lock, NULL);
	timer_init(&pit->timer, events, timer_fire, pit);
	for (unsigned i = 0; i < CHANNELS; i++) {
		pit->state.channels[i].mode = MODE_NONE;
		pit->state.channels[i].gate = i != SPEAKER_CHANNEL;
		load_count(pit, i, 0);
	}
	if (bus_register(bus, BUS_PIO, PORT_COUNTER, CHANNELS + 1, &port_ops, pit))
		goto no_port;
	if (pit->speaker && bus_register(bus, BUS_PIO, PORT_SPEAKER, 1, &speaker_ops, pit))
		goto no_speaker;
	irqchip_attach_pit(irqchip, pit);
	pit_set_reinject(pit, true);
	return pit;

no_speaker:
	bus_unregister(bus, BUS_PIO, PORT_COUNTER, pit);
no_port:
	pthread_mutex_destroy(&pit->pulse_lock);
	pthread_mutex_destroy(&pit->lock);
	free(pit);
	return NULL;
}

void pit_destroy(struct pit *pit)
{
	if (!pit)
		return;
	if (pit->speaker)
		bus_unregister(pit->bus, BUS_PIO, PORT_SPEAKER, pit);
	bus_unregister(pit->bus, BUS_PIO, PORT_COUNTER, pit);
	pit_set_reinject(pit, false);
	irqchip_attach_pit(pit->irqchip, NULL);
	timer_fini(&pit->timer);
	pthread_mutex_destroy(&pit->pulse_lock);
	pthread_mutex_destroy(&pit->lock);
	free(pit);
}

void pit_get_state(struct pit *pit, struct kvm_pit_state2 *state)
{
	pthread_mutex_lock(&pit->lock);
	*state = pit->state;
	pthread_mutex_unlock(&pit->lock);
	memset(state->reserved, 0, sizeof(state->reserved));
}

int pit_set_state(struct pit *pit, const struct kvm_pit_state2 *state)
{
	pthread_mutex_lock(&pit->lock);
	pit->state = *state;
	if (pit->state.flags & KVM_PIT_FLAGS_HPET_LEGACY)
		stop_timer(pit);
	/* Also keeps a count of 0, by which nothing can be divided, out. */
	for (unsigned i = 0; i < CHANNELS; i++)
		load_count(pit, i, pit->state.channels[i].count);
	pthread_mutex_unlock(&pit->lock);
	return 0;
}

void pit_set_reinject(struct pit *pit, bool reinject)
{
	bool changed;

	pthread_mutex_lock(&pit->lock);
	changed = pit->reinject != reinject;
	pit->reinject = reinject;
	reset_reinject(pit);
	pthread_mutex_unlock(&pit->lock);
	if (changed)
		irqchip_listen(pit->irqchip, PIT_GSI, reinject ? 1 : -1);
}
