/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A board for the tests of devices/: bus, event thread, interrupt controllers, silent vCPUs. */
#ifndef FAUXKVM_TESTS_DEVICES_FIXTURE_H
#define FAUXKVM_TESTS_DEVICES_FIXTURE_H

#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "devices/bus.h"
#include "devices/events.h"
#include "devices/irqchip.h"

#define MS 1000000ull
#define SIGNALS 6
#define BOARD_LAPICS 4

/* What the host of one local APIC was told. */
struct told {
	atomic_uint count[SIGNALS]; /* by enum lapic_signal */
	atomic_uint vector[SIGNALS];
	_Atomic uint64_t tsc;
	atomic_bool tsc_runs; /* 1 GHz from events_now(), else what @tsc says */
};

struct board {
	struct bus *bus;
	struct events *events;
	struct irqchip *irqchip;
	struct lapic *lapic[BOARD_LAPICS];
	struct told told[BOARD_LAPICS];
	unsigned lapics;
	atomic_uint extints;
};

static inline void told_signal(void *opaque, enum lapic_signal signal, uint8_t vector)
{
	struct told *told = opaque;

	atomic_store(&told->vector[signal], vector);
	atomic_fetch_add(&told->count[signal], 1);
}

static inline uint64_t told_tsc(void *opaque)
{
	struct told *told = opaque;

	return atomic_load(&told->tsc_runs) ? events_now() : atomic_load(&told->tsc);
}

static inline uint64_t told_khz(void *opaque)
{
	(void)opaque;
	return 1000000;
}

static inline void board_extint(void *opaque)
{
	atomic_fetch_add(&((struct board *)opaque)->extints, 1);
}

/* Local APIC 0 is the BSP's. */
static inline void board_start(struct board *board, enum irqchip_mode mode, unsigned lapics)
{
	const struct irqchip_host host = { .opaque = board, .extint = board_extint };

	memset(board, 0, sizeof(*board));
	board->bus = bus_create();
	board->events = events_create();
	board->irqchip =
		irqchip_create(mode, IRQCHIP_IOAPIC_PINS, board->bus, board->events, &host);
	ck_assert_ptr_nonnull(board->irqchip);
	board->lapics = lapics;
	for (unsigned i = 0; i < lapics; i++) {
		const struct lapic_host lapic_host = {
			.opaque = &board->told[i],
			.signal = told_signal,
			.read_tsc = told_tsc,
			.tsc_khz = told_khz,
		};

		board->lapic[i] =
			lapic_create(board->irqchip, board->events, i, i == 0, &lapic_host);
		ck_assert_ptr_nonnull(board->lapic[i]);
	}
}

static inline void board_stop(struct board *board)
{
	for (unsigned i = 0; i < board->lapics; i++)
		lapic_destroy(board->lapic[i]);
	irqchip_destroy(board->irqchip);
	events_destroy(board->events);
	bus_destroy(board->bus);
}

static inline uint8_t in8(struct board *board, uint16_t port)
{
	uint8_t value = 0xa5;

	ck_assert_int_eq(bus_read(board->bus, BUS_PIO, port, &value, 1), 0);
	return value;
}

static inline void out8(struct board *board, uint16_t port, uint8_t value)
{
	ck_assert_int_eq(bus_write(board->bus, BUS_PIO, port, &value, 1), 0);
}

static inline uint32_t apic_read(struct lapic *lapic, unsigned offset)
{
	uint32_t value = 0xa5a5a5a5;

	lapic_mmio_read(lapic, offset, &value, 4);
	return value;
}

static inline void apic_write(struct lapic *lapic, unsigned offset, uint32_t value)
{
	lapic_mmio_write(lapic, offset, &value, 4);
}

/* What every guest does first. */
static inline void apics_enable(struct board *board)
{
	for (unsigned i = 0; i < board->lapics; i++)
		apic_write(board->lapic[i], 0xf0, 0x1ff);
}

static inline uint32_t ioapic_get(struct board *board, uint32_t index)
{
	uint32_t value = 0;

	ck_assert_int_eq(bus_write(board->bus, BUS_MMIO, 0xfec00000, &index, 4), 0);
	ck_assert_int_eq(bus_read(board->bus, BUS_MMIO, 0xfec00010, &value, 4), 0);
	return value;
}

static inline void ioapic_put(struct board *board, uint32_t index, uint32_t value)
{
	ck_assert_int_eq(bus_write(board->bus, BUS_MMIO, 0xfec00000, &index, 4), 0);
	ck_assert_int_eq(bus_write(board->bus, BUS_MMIO, 0xfec00010, &value, 4), 0);
}

/* Physical destination 0. @low: vector and the other bits 31..0 of the entry. */
static inline void ioapic_pin(struct board *board, unsigned pin, uint32_t low)
{
	ioapic_put(board, 0x11 + 2 * pin, 0);
	ioapic_put(board, 0x10 + 2 * pin, low);
}

#define IOAPIC_LEVEL (1u << 15)
#define IOAPIC_MASKED (1u << 16)
#define IOAPIC_REMOTE_IRR (1u << 14)

/* The irqchip's idea of the line of @gsi, in the default routing. */
static inline bool line_raised(struct board *board, unsigned gsi)
{
	struct kvm_irqchip ioapic = { .chip_id = KVM_IRQCHIP_IOAPIC };

	irqchip_get_state(board->irqchip, &ioapic);
	return ioapic.chip.ioapic.irr >> gsi & 1;
}

static inline void sleep_ms(unsigned ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS };

	nanosleep(&time, NULL);
}

/* Waits up to five seconds for @condition: a loaded machine is no failure. */
#define wait_for(condition)                                                                        \
	do {                                                                                       \
		const uint64_t end_ = events_now() + 5000 * MS;                                    \
		while (!(condition) && events_now() < end_)                                        \
			sleep_ms(1);                                                               \
		ck_assert_msg(condition, "waited in vain for " #condition);                        \
	} while (0)

static inline int run_suite(const char *name, const TTest *const *tests, size_t count, SFun setup,
			    SFun teardown)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
