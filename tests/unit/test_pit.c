/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices_fixture.h"

#define HZ 1193182ull
#define VECTOR 0x30
#define SPEAKER 0x61

static struct board b;
static struct pit *pit;

/* IRQ 0 through the IOAPIC, as KVM routes it by default. */
static void setup(void)
{
	board_start(&b, IRQCHIP_FULL, 1);
	apics_enable(&b);
	pit = pit_create(b.irqchip, b.bus, b.events, KVM_PIT_SPEAKER_DUMMY);
	ck_assert_ptr_nonnull(pit);
	ioapic_pin(&b, 0, VECTOR);
	out8(&b, 0x21, 0xff);
}

static void teardown(void)
{
	pit_destroy(pit);
	board_stop(&b);
}

static void program(unsigned channel, unsigned mode, uint16_t count)
{
	out8(&b, 0x43, channel << 6 | 3 << 4 | mode << 1);
	out8(&b, 0x40 + channel, count);
	out8(&b, 0x40 + channel, count >> 8);
}

static uint16_t latched(unsigned channel)
{
	uint16_t count;

	out8(&b, 0x43, channel << 6);
	count = in8(&b, 0x40 + channel);
	return count | in8(&b, 0x40 + channel) << 8;
}

static uint8_t status(unsigned channel)
{
	out8(&b, 0x43, 0xe0 | 2 << channel);
	return in8(&b, 0x40 + channel);
}

static bool out2(void)
{
	return in8(&b, SPEAKER) & 0x20;
}

static bool eoi(void)
{
	if (lapic_acknowledge(b.lapic[0]) != VECTOR)
		return false;
	apic_write(b.lapic[0], 0xb0, 0);
	return true;
}

/* ---- counting ---- */

START_TEST(count_follows_the_monotonic_clock)
{
	uint64_t before, programmed, asked, after, ticks;

	/* Until it all happens within one period of 55 ms. */
	do {
		before = events_now();
		program(2, 2, 0xffff);
		programmed = events_now();
		sleep_ms(10);
		asked = events_now();
		ticks = 0xffff - latched(2);
		after = events_now();
	} while (after - before > 50 * MS);
	ck_assert_uint_ge(ticks, (asked - programmed) * HZ / 1000000000);
	ck_assert_uint_le(ticks, (after - before) * HZ / 1000000000 + 1);
}
END_TEST

START_TEST(mode_3_counts_by_two)
{
	const uint64_t before = events_now();
	uint16_t count;

	program(2, 3, 0xfffe);
	sleep_ms(5);
	count = latched(2);
	ck_assert_uint_eq(count & 1, 0);
	if (events_now() - before < 25 * MS) /* else it began anew */
		ck_assert_uint_le(count, 0xfffe - 2 * 5 * HZ / 1000);
}
END_TEST

START_TEST(mode_0_raises_out_at_the_end)
{
	program(2, 0, HZ / 100);
	ck_assert(!out2());
	wait_for(out2());
	program(2, 0, 0xffff);
	ck_assert(!out2());
}
END_TEST

START_TEST(mode_1_starts_at_the_gate)
{
	out8(&b, SPEAKER, 0);
	program(2, 1, HZ / 100);
	sleep_ms(15);
	ck_assert(!out2());
	out8(&b, SPEAKER, 1);
	ck_assert(out2());
	wait_for(!out2());
}
END_TEST

START_TEST(count_zero_is_65536)
{
	struct kvm_pit_state2 state;

	program(2, 2, 0);
	pit_get_state(pit, &state);
	ck_assert_uint_eq(state.channels[2].count, 0x10000);
}
END_TEST

/* ---- reading ---- */

START_TEST(latched_count_stands_still)
{
	struct kvm_pit_state2 state;

	program(2, 2, 0xffff);
	out8(&b, 0x43, 2 << 6);
	pit_get_state(pit, &state);
	sleep_ms(5);
	ck_assert_uint_eq(latched(2), state.channels[2].latched_count);
}
END_TEST

START_TEST(single_byte_access)
{
	struct kvm_pit_state2 state;

	out8(&b, 0x43, 2 << 6 | 2 << 4 | 2 << 1);
	out8(&b, 0x42, 0x12);
	pit_get_state(pit, &state);
	ck_assert_uint_eq(state.channels[2].count, 0x1200);
	out8(&b, 0x43, 2 << 6 | 1 << 4 | 2 << 1);
	out8(&b, 0x42, 0x34);
	pit_get_state(pit, &state);
	ck_assert_uint_eq(state.channels[2].count, 0x34);
}
END_TEST

START_TEST(read_back_tells_mode_and_access)
{
	program(2, 3, 100);
	ck_assert_uint_eq(status(2) & 0x7f, 3 << 4 | 3 << 1);
}
END_TEST

START_TEST(read_back_latches_several_channels)
{
	struct kvm_pit_state2 state;

	program(1, 2, 0xffff);
	program(2, 2, 0xffff);
	out8(&b, 0x43, 0xc0 | 0x10 | 4 | 8);
	pit_get_state(pit, &state);
	ck_assert_uint_eq(state.channels[0].count_latched, 0);
	ck_assert_uint_eq(state.channels[1].count_latched, 3);
	ck_assert_uint_eq(state.channels[2].count_latched, 3);
}
END_TEST

START_TEST(modes_6_and_7_are_2_and_3)
{
	program(2, 7, 100);
	ck_assert_uint_eq(status(2) >> 1 & 7, 3);
}
END_TEST

/* ---- speaker port ---- */

START_TEST(speaker_port_keeps_gate_and_data)
{
	out8(&b, SPEAKER, 3);
	ck_assert_uint_eq(in8(&b, SPEAKER) & 3, 3);
	out8(&b, SPEAKER, 0);
	ck_assert_uint_eq(in8(&b, SPEAKER) & 3, 0);
}
END_TEST

START_TEST(refresh_bit_toggles)
{
	const uint64_t end = events_now() + 5000 * MS;
	const uint8_t first = in8(&b, SPEAKER) & 0x10;

	while ((in8(&b, SPEAKER) & 0x10) == first)
		ck_assert_uint_lt(events_now(), end);
}
END_TEST

START_TEST(speaker_port_can_be_left_to_user_space)
{
	uint8_t value;

	pit_destroy(pit);
	pit = pit_create(b.irqchip, b.bus, b.events, 0);
	ck_assert_int_eq(bus_read(b.bus, BUS_PIO, SPEAKER, &value, 1), -EOPNOTSUPP);
}
END_TEST

/* ---- IRQ 0 ---- */

START_TEST(idle_until_programmed)
{
	sleep_ms(80);
	ck_assert(!lapic_pending(b.lapic[0]));
}
END_TEST

START_TEST(one_shot_interrupts_once)
{
	program(0, 0, HZ / 200);
	wait_for(lapic_pending(b.lapic[0]));
	ck_assert(eoi());
	sleep_ms(15);
	ck_assert(!lapic_pending(b.lapic[0]));
}
END_TEST

START_TEST(periodic_keeps_its_rate)
{
	const uint64_t start = events_now();

	program(0, 2, HZ / 200);
	for (int i = 0; i < 10; i++) {
		wait_for(lapic_pending(b.lapic[0]));
		eoi();
	}
	ck_assert_uint_ge(events_now() - start, 49 * MS);
	ck_assert_uint_lt(events_now() - start, 1000 * MS);
}
END_TEST

/* Takes what is there: have there been as many ticks as periods of 5 ms since @start? */
static bool caught_up(uint64_t start, unsigned *ticks)
{
	while (eoi())
		++*ticks;
	return *ticks + 1 >= (events_now() - start) / (5 * MS);
}

/* However late the timer's thread is: lost ones would stay lost. */
START_TEST(missed_ticks_are_reinjected)
{
	uint64_t start = events_now();
	unsigned ticks = 0;

	program(0, 2, HZ / 200);
	sleep_ms(52);
	wait_for(caught_up(start, &ticks));
	ck_assert_uint_ge(ticks, 9);
}
END_TEST

START_TEST(missed_ticks_are_lost_without_reinjection)
{
	unsigned ticks = 0;

	pit_set_reinject(pit, false);
	program(0, 2, HZ / 100);
	sleep_ms(52);
	while (eoi())
		ticks++;
	ck_assert_uint_lt(ticks, 3);
}
END_TEST

START_TEST(unmask_forgets_missed_ticks)
{
	unsigned ticks = 0;

	program(0, 2, HZ / 100);
	sleep_ms(52);
	ioapic_pin(&b, 0, VECTOR | IOAPIC_MASKED);
	ioapic_pin(&b, 0, VECTOR);
	while (eoi())
		ticks++;
	ck_assert_uint_lt(ticks, 3);
}
END_TEST

START_TEST(reprogramming_stops_the_old_period)
{
	program(0, 2, HZ / 200);
	program(0, 0, 0xffff);
	sleep_ms(20);
	ck_assert(!lapic_pending(b.lapic[0]));
}
END_TEST

START_TEST(lint0_in_nmi_mode_is_a_watchdog)
{
	apic_write(b.lapic[0], 0x350, LAPIC_NMI << 8);
	program(0, 0, HZ / 1000);
	wait_for(b.told[0].count[LAPIC_SIGNAL_NMI] == 1);
}
END_TEST

/* ---- state ---- */

START_TEST(state_comes_back_as_it_was)
{
	struct kvm_pit_state2 state;

	program(2, 3, 1234);
	out8(&b, SPEAKER, 3);
	pit_get_state(pit, &state);
	ck_assert_uint_eq(state.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	program(2, 0, 1);
	out8(&b, SPEAKER, 0);
	ck_assert_int_eq(pit_set_state(pit, &state), 0);
	ck_assert_uint_eq(status(2) & 0x7f, 3 << 4 | 3 << 1);
	ck_assert_uint_eq(in8(&b, SPEAKER) & 3, 3);
}
END_TEST

START_TEST(restored_period_runs)
{
	struct kvm_pit_state2 state;

	program(0, 2, HZ / 200);
	pit_get_state(pit, &state);
	program(0, 0, 0);
	pit_set_state(pit, &state);
	wait_for(b.told[0].count[LAPIC_SIGNAL_INTERRUPT] >= 1);
}
END_TEST

START_TEST(hpet_takes_irq_0_over)
{
	struct kvm_pit_state2 state;

	program(0, 2, HZ / 200);
	pit_get_state(pit, &state);
	state.flags |= KVM_PIT_FLAGS_HPET_LEGACY;
	pit_set_state(pit, &state);
	eoi();
	sleep_ms(20);
	ck_assert(!lapic_pending(b.lapic[0]));
}
END_TEST

START_TEST(hostile_state_divides_by_nothing)
{
	struct kvm_pit_state2 state;

	for (int fill = 0; fill < 256; fill += 0xff) {
		memset(&state, fill, sizeof(state));
		pit_set_state(pit, &state);
		for (int channel = 0; channel < 3; channel++) {
			state.channels[channel].mode = 2;
			status(channel);
			latched(channel);
		}
		pit_set_state(pit, &state);
		for (int channel = 0; channel < 3; channel++)
			latched(channel);
		pit_get_state(pit, &state);
		ck_assert_uint_ne(state.channels[2].count, 0);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		count_follows_the_monotonic_clock,
		mode_3_counts_by_two,
		mode_0_raises_out_at_the_end,
		mode_1_starts_at_the_gate,
		count_zero_is_65536,
		latched_count_stands_still,
		single_byte_access,
		read_back_tells_mode_and_access,
		read_back_latches_several_channels,
		modes_6_and_7_are_2_and_3,
		speaker_port_keeps_gate_and_data,
		refresh_bit_toggles,
		speaker_port_can_be_left_to_user_space,
		idle_until_programmed,
		one_shot_interrupts_once,
		periodic_keeps_its_rate,
		missed_ticks_are_reinjected,
		missed_ticks_are_lost_without_reinjection,
		unmask_forgets_missed_ticks,
		reprogramming_stops_the_old_period,
		lint0_in_nmi_mode_is_a_watchdog,
		state_comes_back_as_it_was,
		restored_period_runs,
		hpet_takes_irq_0_over,
		hostile_state_divides_by_nothing,
	};

	return run_suite("pit", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
