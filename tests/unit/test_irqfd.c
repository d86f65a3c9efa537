/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices_fixture.h"

#include <pthread.h>

#define PIN 10
#define VECTOR 0x51

static struct board b;

static void setup(void)
{
	board_start(&b, IRQCHIP_FULL, 1);
	apics_enable(&b);
	out8(&b, 0x21, 0xff);
	out8(&b, 0xa1, 0xff);
}

static void teardown(void)
{
	board_stop(&b);
}

static int event(void)
{
	return eventfd(0, EFD_NONBLOCK);
}

static int bind(int fd, uint32_t gsi, uint32_t flags, int resample)
{
	const struct kvm_irqfd args = { .gsi = gsi, .flags = flags };

	return irqchip_irqfd(b.irqchip, &args, fd, resample);
}

static uint64_t count_of(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) < 0 ? 0 : count;
}

static bool is_readable(int fd)
{
	uint64_t count = count_of(fd);

	if (count)
		eventfd_write(fd, count);
	return count;
}

static void eoi(void)
{
	apic_write(b.lapic[0], 0xb0, 0);
}

START_TEST(signal_is_an_edge)
{
	int fd = event();

	ioapic_pin(&b, PIN, VECTOR);
	ck_assert_int_eq(bind(fd, PIN, 0, -1), 0);
	for (int i = 0; i < 2; i++) {
		eventfd_write(fd, 1);
		wait_for(lapic_pending(b.lapic[0]));
		ck_assert_int_eq(lapic_acknowledge(b.lapic[0]), VECTOR);
		eoi();
	}
	ck_assert_uint_eq(count_of(fd), 0);
}
END_TEST

START_TEST(earlier_signal_is_not_lost)
{
	int fd = event();

	ioapic_pin(&b, PIN, VECTOR);
	eventfd_write(fd, 1);
	bind(fd, PIN, 0, -1);
	wait_for(lapic_pending(b.lapic[0]));
}
END_TEST

START_TEST(blocking_eventfd_does_not_block)
{
	int fd = eventfd(0, 0), other = event();

	ioapic_pin(&b, PIN, VECTOR);
	ioapic_pin(&b, PIN + 1, VECTOR + 1);
	bind(fd, PIN, 0, -1);
	bind(other, PIN + 1, 0, -1);
	eventfd_write(fd, 1);
	wait_for(lapic_pending(b.lapic[0]));
	ck_assert_int_eq(lapic_acknowledge(b.lapic[0]), VECTOR);
	eoi();
	eventfd_write(other, 1);
	wait_for(lapic_pending(b.lapic[0]));
}
END_TEST

START_TEST(eventfd_can_be_bound_once)
{
	int fd = event();

	ck_assert_int_eq(bind(fd, PIN, 0, -1), 0);
	ck_assert_int_eq(bind(dup(fd), PIN + 1, 0, -1), -EBUSY);
}
END_TEST

START_TEST(mistakes_are_refused)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(bind(event(), PIN, 1 << 5, -1), -EINVAL);
	ck_assert_int_eq(bind(ends[0], PIN, 0, -1), -EINVAL);
	ck_assert_int_eq(bind(event(), PIN, KVM_IRQFD_FLAG_RESAMPLE, ends[0]), -EINVAL);
}
END_TEST

START_TEST(deassigned_eventfd_is_silent)
{
	int fd = event(), twin = dup(fd);

	ioapic_pin(&b, PIN, VECTOR);
	bind(fd, PIN, 0, -1);
	ck_assert_int_eq(bind(twin, PIN, KVM_IRQFD_FLAG_DEASSIGN, -1), 0);
	eventfd_write(twin, 1);
	sleep_ms(20);
	ck_assert(!lapic_pending(b.lapic[0]));
	ck_assert_uint_eq(count_of(twin), 1);
}
END_TEST

START_TEST(deassign_wants_the_same_gsi)
{
	int fd = event();

	ioapic_pin(&b, PIN, VECTOR);
	bind(fd, PIN, 0, -1);
	ck_assert_int_eq(bind(fd, PIN + 1, KVM_IRQFD_FLAG_DEASSIGN, -1), 0);
	eventfd_write(fd, 1);
	wait_for(lapic_pending(b.lapic[0]));
}
END_TEST

/* ---- resampling ---- */

START_TEST(resampled_line_falls_at_eoi)
{
	int fd = event(), resample = event();

	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	ck_assert_int_eq(bind(fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample), 0);
	eventfd_write(fd, 1);
	wait_for(lapic_pending(b.lapic[0]));
	ck_assert(!is_readable(resample));
	lapic_acknowledge(b.lapic[0]);
	eoi();
	ck_assert_uint_eq(count_of(resample), 1);
	ck_assert(!lapic_pending(b.lapic[0]));
}
END_TEST

START_TEST(line_that_is_raised_again_interrupts_again)
{
	int fd = event(), resample = event();

	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	bind(fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample);
	for (int i = 0; i < 3; i++) {
		eventfd_write(fd, 1);
		wait_for(lapic_pending(b.lapic[0]));
		lapic_acknowledge(b.lapic[0]);
		eoi();
	}
	ck_assert_uint_eq(count_of(resample), 3);
}
END_TEST

START_TEST(resampling_leaves_user_spaces_level)
{
	int fd = event(), resample = event();

	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	bind(fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample);
	eventfd_write(fd, 1);
	wait_for(line_raised(&b, PIN));
	irqchip_set_irq(b.irqchip, PIN, true);
	lapic_acknowledge(b.lapic[0]);
	eoi();
	ck_assert_int_eq(lapic_acknowledge(b.lapic[0]), VECTOR);
}
END_TEST

START_TEST(owners_of_a_shared_line_all_hear)
{
	int fd[2] = { event(), event() }, resample[2] = { event(), event() };

	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	for (int i = 0; i < 2; i++)
		bind(fd[i], PIN, KVM_IRQFD_FLAG_RESAMPLE, resample[i]);
	eventfd_write(fd[0], 1);
	wait_for(lapic_pending(b.lapic[0]));
	lapic_acknowledge(b.lapic[0]);
	eoi();
	ck_assert_uint_eq(count_of(resample[0]), 1);
	ck_assert_uint_eq(count_of(resample[1]), 1);
}
END_TEST

START_TEST(pic_eoi_resamples_too)
{
	int fd = event(), resample = event();

	out8(&b, 0x4d0, 1 << 5);
	out8(&b, 0x21, 0);
	bind(fd, 5, KVM_IRQFD_FLAG_RESAMPLE, resample);
	eventfd_write(fd, 1);
	wait_for(irqchip_extint_pending(b.irqchip));
	irqchip_extint_acknowledge(b.irqchip);
	ck_assert(!is_readable(resample));
	out8(&b, 0x20, 0x20);
	ck_assert_uint_eq(count_of(resample), 1);
	ck_assert(!irqchip_extint_pending(b.irqchip));
}
END_TEST

START_TEST(unmask_asks_the_owner_instead_of_delivering)
{
	int fd = event(), resample = event();

	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL | IOAPIC_MASKED);
	bind(fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample);
	eventfd_write(fd, 1);
	wait_for(line_raised(&b, PIN));
	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	ck_assert_uint_eq(count_of(resample), 1);
	ck_assert(!lapic_pending(b.lapic[0]));
}
END_TEST

START_TEST(last_owner_takes_its_level_along)
{
	struct kvm_irqchip state = { .chip_id = KVM_IRQCHIP_IOAPIC };
	int fd = event(), resample = event(), twin = dup(fd);

	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL | IOAPIC_MASKED);
	bind(fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample);
	eventfd_write(fd, 1);
	wait_for(line_raised(&b, PIN));
	bind(twin, PIN, KVM_IRQFD_FLAG_DEASSIGN, -1);
	irqchip_get_state(b.irqchip, &state);
	ck_assert_uint_eq(state.chip.ioapic.irr, 0);
}
END_TEST

START_TEST(split_irqchip_cannot_resample)
{
	int fd = event(), resample = event();

	teardown();
	board_start(&b, IRQCHIP_SPLIT, 1);
	ck_assert_int_eq(bind(fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample), -EINVAL);
	ck_assert_int_eq(bind(fd, PIN, 0, -1), 0);
}
END_TEST

/* ---- threads ---- */

static void *signal_all_the_time(void *opaque)
{
	const int fd = *(int *)opaque;

	for (int i = 0; i < 2000; i++)
		eventfd_write(fd, 1);
	return NULL;
}

START_TEST(irqfds_come_and_go_under_signals)
{
	int fd = event();
	pthread_t thread;

	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	pthread_create(&thread, NULL, signal_all_the_time, &fd);
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(bind(dup(fd), PIN, KVM_IRQFD_FLAG_RESAMPLE, event()), 0);
		if (lapic_acknowledge(b.lapic[0]) >= 0)
			eoi();
		ck_assert_int_eq(bind(fd, PIN, KVM_IRQFD_FLAG_DEASSIGN, -1), 0);
	}
	pthread_join(thread, NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		signal_is_an_edge,
		earlier_signal_is_not_lost,
		blocking_eventfd_does_not_block,
		eventfd_can_be_bound_once,
		mistakes_are_refused,
		deassigned_eventfd_is_silent,
		deassign_wants_the_same_gsi,
		resampled_line_falls_at_eoi,
		line_that_is_raised_again_interrupts_again,
		resampling_leaves_user_spaces_level,
		owners_of_a_shared_line_all_hear,
		pic_eoi_resamples_too,
		unmask_asks_the_owner_instead_of_delivering,
		last_owner_takes_its_level_along,
		split_irqchip_cannot_resample,
		irqfds_come_and_go_under_signals,
	};

	return run_suite("irqfd", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
