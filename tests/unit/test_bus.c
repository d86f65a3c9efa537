/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices_fixture.h"

#include <pthread.h>

#define RING_ENTRIES                                                                               \
	((4096 - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

static struct bus *bus;
static union {
	struct kvm_coalesced_mmio_ring ring;
	uint8_t bytes[4096];
} page;

static void setup(void)
{
	bus = bus_create();
	memset(&page, 0, sizeof(page));
	bus_set_coalesced_ring(bus, &page.ring);
}

static void teardown(void)
{
	bus_destroy(bus);
}

/* A device that answers with its offset and remembers the last write. */
struct device {
	uint64_t offset, value;
	unsigned writes;
};

static int device_read(void *opaque, uint64_t offset, void *data, unsigned bytes)
{
	(void)opaque;
	memset(data, offset, bytes);
	return 0;
}

static int device_write(void *opaque, uint64_t offset, const void *data, unsigned bytes)
{
	struct device *device = opaque;

	device->offset = offset;
	device->value = 0;
	memcpy(&device->value, data, bytes);
	device->writes++;
	return 0;
}

static const struct bus_ops ops = { device_read, device_write };

static int put(enum bus_kind kind, uint64_t address, uint64_t value, unsigned bytes)
{
	return bus_write(bus, kind, address, &value, bytes);
}

static uint64_t count_of(int fd)
{
	uint64_t count = 0;

	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	return count;
}

static int event(void)
{
	return eventfd(0, EFD_NONBLOCK);
}

/* ---- devices ---- */

START_TEST(access_reaches_the_device_by_offset)
{
	struct device device = { 0 };
	uint8_t byte = 0xff;

	bus_register(bus, BUS_PIO, 0x40, 4, &ops, &device);
	ck_assert_int_eq(bus_read(bus, BUS_PIO, 0x43, &byte, 1), 0);
	ck_assert_uint_eq(byte, 3);
	ck_assert_int_eq(put(BUS_PIO, 0x42, 0x99, 1), 0);
	ck_assert_uint_eq(device.offset, 2);
	ck_assert_uint_eq(device.value, 0x99);
}
END_TEST

START_TEST(nobody_is_user_space)
{
	struct device device;
	uint32_t value;

	bus_register(bus, BUS_PIO, 0x40, 4, &ops, &device);
	ck_assert_int_eq(bus_read(bus, BUS_PIO, 0x3f, &value, 1), -EOPNOTSUPP);
	ck_assert_int_eq(bus_read(bus, BUS_PIO, 0x44, &value, 1), -EOPNOTSUPP);
	ck_assert_int_eq(bus_read(bus, BUS_MMIO, 0x40, &value, 1), -EOPNOTSUPP);
}
END_TEST

START_TEST(access_across_the_end_is_user_spaces)
{
	struct device device;

	bus_register(bus, BUS_PIO, 0x40, 4, &ops, &device);
	ck_assert_int_eq(put(BUS_PIO, 0x43, 0, 2), -EOPNOTSUPP);
}
END_TEST

START_TEST(regions_cannot_overlap)
{
	struct device device;

	ck_assert_int_eq(bus_register(bus, BUS_PIO, 0x40, 4, &ops, &device), 0);
	ck_assert_int_eq(bus_register(bus, BUS_PIO, 0x43, 1, &ops, &device), -EEXIST);
	ck_assert_int_eq(bus_register(bus, BUS_PIO, 0x30, 0x20, &ops, &device), -EEXIST);
	ck_assert_int_eq(bus_register(bus, BUS_PIO, 0x44, 1, &ops, &device), 0);
}
END_TEST

START_TEST(every_region_is_found_in_any_order)
{
	struct device device[64] = { 0 };

	for (unsigned i = 0; i < 64; i++)
		bus_register(bus, BUS_MMIO, (i * 37 % 64) * 0x1000, 8, &ops, &device[i]);
	for (unsigned i = 0; i < 64; i++) {
		put(BUS_MMIO, (i * 37 % 64) * 0x1000, i, 8);
		ck_assert_uint_eq(device[i].value, i);
	}
}
END_TEST

START_TEST(unregistered_device_is_gone)
{
	struct device device[2] = { 0 };

	bus_register(bus, BUS_PIO, 0x40, 4, &ops, &device[0]);
	bus_register(bus, BUS_PIO, 0x50, 4, &ops, &device[1]);
	bus_unregister(bus, BUS_PIO, 0x40, &device[0]);
	ck_assert_int_eq(put(BUS_PIO, 0x40, 0, 1), -EOPNOTSUPP);
	ck_assert_int_eq(put(BUS_PIO, 0x50, 0, 1), 0);
}
END_TEST

/* ---- ioeventfd ---- */

START_TEST(ioeventfd_is_signalled)
{
	struct kvm_ioeventfd args = { .addr = 0x1000, .len = 4 };
	int fd = event();

	ck_assert_int_eq(bus_ioeventfd(bus, &args, fd), 0);
	ck_assert_int_eq(put(BUS_MMIO, 0x1000, 7, 4), 0);
	ck_assert_int_eq(put(BUS_MMIO, 0x1000, 8, 4), 0);
	ck_assert_uint_eq(count_of(fd), 2);
}
END_TEST

START_TEST(ioeventfd_wants_its_width_and_address)
{
	struct kvm_ioeventfd args = { .addr = 0x1000, .len = 4 };

	bus_ioeventfd(bus, &args, event());
	ck_assert_int_eq(put(BUS_MMIO, 0x1000, 7, 2), -EOPNOTSUPP);
	ck_assert_int_eq(put(BUS_MMIO, 0x1001, 7, 4), -EOPNOTSUPP);
	ck_assert_int_eq(put(BUS_PIO, 0x1000, 7, 4), -EOPNOTSUPP);
}
END_TEST

START_TEST(ioeventfd_without_length_takes_any)
{
	struct kvm_ioeventfd args = { .addr = 0x1000 };
	int fd = event();

	bus_ioeventfd(bus, &args, fd);
	for (unsigned bytes = 1; bytes <= 8; bytes *= 2)
		ck_assert_int_eq(put(BUS_MMIO, 0x1000, 7, bytes), 0);
	ck_assert_uint_eq(count_of(fd), 4);
}
END_TEST

START_TEST(datamatch_tells_eventfds_apart)
{
	struct kvm_ioeventfd args = {
		.addr = 0xc050,
		.len = 2,
		.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH,
	};
	int fd[3];

	for (args.datamatch = 0; args.datamatch < 3; args.datamatch++) {
		fd[args.datamatch] = event();
		ck_assert_int_eq(bus_ioeventfd(bus, &args, fd[args.datamatch]), 0);
	}
	ck_assert_int_eq(put(BUS_PIO, 0xc050, 1, 2), 0);
	ck_assert_int_eq(put(BUS_PIO, 0xc050, 3, 2), -EOPNOTSUPP);
	ck_assert_uint_eq(count_of(fd[0]), 0);
	ck_assert_uint_eq(count_of(fd[1]), 1);
}
END_TEST

START_TEST(ioeventfd_goes_before_the_device)
{
	struct kvm_ioeventfd args = { .addr = 0x1004, .len = 4 };
	struct device device = { 0 };

	bus_register(bus, BUS_MMIO, 0x1000, 0x1000, &ops, &device);
	bus_ioeventfd(bus, &args, event());
	put(BUS_MMIO, 0x1004, 7, 4);
	ck_assert_uint_eq(device.writes, 0);
	put(BUS_MMIO, 0x1008, 7, 4);
	ck_assert_uint_eq(device.writes, 1);
}
END_TEST

static const struct {
	struct kvm_ioeventfd first, second;
	int error;
} collisions[] = {
	{ { .addr = 8, .len = 4 }, { .addr = 8, .len = 4 }, -EEXIST },
	{ { .addr = 8, .len = 4 }, { .addr = 8, .len = 0 }, -EEXIST },
	{ { .addr = 8, .len = 4 }, { .addr = 8, .len = 4, .flags = 1 }, -EEXIST },
	{ { .addr = 8, .len = 4 }, { .addr = 8, .len = 2 }, 0 },
	{ { .addr = 8, .len = 4 }, { .addr = 9, .len = 4 }, 0 },
	{ { .addr = 8, .len = 4 }, { .addr = 8, .len = 4, .flags = 2 }, 0 },
	{ { .addr = 8, .len = 4, .flags = 1 },
	  { .addr = 8, .len = 4, .flags = 1, .datamatch = 1 },
	  0 },
};

START_TEST(colliding_ioeventfds_are_refused)
{
	for (unsigned i = 0; i < sizeof(collisions) / sizeof(collisions[0]); i++) {
		teardown();
		setup();
		ck_assert_int_eq(bus_ioeventfd(bus, &collisions[i].first, event()), 0);
		ck_assert_int_eq(bus_ioeventfd(bus, &collisions[i].second, event()),
				 collisions[i].error);
	}
}
END_TEST

START_TEST(mistaken_ioeventfds_are_refused)
{
	const struct kvm_ioeventfd mistakes[] = {
		{ .addr = 8, .len = 3 },
		{ .addr = 8, .len = 16 },
		{ .addr = UINT64_MAX - 1, .len = 8 },
		{ .addr = 8, .len = 4, .flags = 1 << 20 },
		{ .addr = 8, .len = 0, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH },
	};
	const struct kvm_ioeventfd good = { .addr = 8, .len = 4 };
	int ends[2];

	for (unsigned i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
		ck_assert_int_eq(bus_ioeventfd(bus, &mistakes[i], event()), -EINVAL);
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(bus_ioeventfd(bus, &good, ends[1]), -EINVAL);
}
END_TEST

START_TEST(deassign_knows_the_eventfd_by_another_number)
{
	struct kvm_ioeventfd args = { .addr = 0x1000, .len = 4 };
	int fd = event(), twin = dup(fd), stranger = event();

	bus_ioeventfd(bus, &args, fd);
	args.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	ck_assert_int_eq(bus_ioeventfd(bus, &args, stranger), -ENOENT);
	ck_assert_int_eq(bus_ioeventfd(bus, &args, twin), 0);
	ck_assert_int_eq(put(BUS_MMIO, 0x1000, 7, 4), -EOPNOTSUPP);
	ck_assert_int_eq(bus_ioeventfd(bus, &args, twin), -ENOENT);
}
END_TEST

START_TEST(deassign_wants_the_same_match)
{
	struct kvm_ioeventfd args = {
		.addr = 8,
		.len = 4,
		.datamatch = 5,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};
	int fd = event();

	bus_ioeventfd(bus, &args, fd);
	args.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	args.datamatch = 6;
	ck_assert_int_eq(bus_ioeventfd(bus, &args, fd), -ENOENT);
}
END_TEST

/* ---- coalesced ---- */

static void zone(uint64_t address, uint32_t bytes, uint32_t pio)
{
	const struct kvm_coalesced_mmio_zone args = { address, bytes, { pio } };

	ck_assert_int_eq(bus_coalesced_register(bus, &args), 0);
}

START_TEST(write_to_a_zone_waits_in_the_ring)
{
	zone(0xa0000, 0x1000, 0);
	ck_assert_int_eq(put(BUS_MMIO, 0xa0004, 0x11223344, 4), 0);
	ck_assert_uint_eq(page.ring.last, 1);
	ck_assert_uint_eq(page.ring.coalesced_mmio[0].phys_addr, 0xa0004);
	ck_assert_uint_eq(page.ring.coalesced_mmio[0].len, 4);
	ck_assert_uint_eq(page.ring.coalesced_mmio[0].pio, 0);
	ck_assert_mem_eq(page.ring.coalesced_mmio[0].data, "\x44\x33\x22\x11", 4);
}
END_TEST

START_TEST(pio_zone_is_marked)
{
	zone(0xcf8, 4, 1);
	ck_assert_int_eq(put(BUS_MMIO, 0xcf8, 1, 4), -EOPNOTSUPP);
	ck_assert_int_eq(put(BUS_PIO, 0xcf8, 1, 4), 0);
	ck_assert_uint_eq(page.ring.coalesced_mmio[0].pio, 1);
}
END_TEST

START_TEST(zone_ends_at_its_last_byte)
{
	zone(0xa0000, 0x1000, 0);
	ck_assert_int_eq(put(BUS_MMIO, 0xa0ffc, 0, 4), 0);
	ck_assert_int_eq(put(BUS_MMIO, 0xa0ffe, 0, 4), -EOPNOTSUPP);
	ck_assert_int_eq(put(BUS_MMIO, 0x9fffe, 0, 4), -EOPNOTSUPP);
}
END_TEST

START_TEST(full_ring_is_user_spaces)
{
	zone(0xa0000, 0x1000, 0);
	for (unsigned i = 0; i < RING_ENTRIES - 1; i++)
		ck_assert_int_eq(put(BUS_MMIO, 0xa0000, i, 4), 0);
	ck_assert_int_eq(put(BUS_MMIO, 0xa0000, 0, 4), -EOPNOTSUPP);
	page.ring.first = 1;
	ck_assert_int_eq(put(BUS_MMIO, 0xa0000, 0, 4), 0);
	ck_assert_uint_eq(page.ring.last, 0);
}
END_TEST

/* Where a client cannot map the ring itself. */
static union {
	struct kvm_coalesced_mmio_ring ring;
	uint8_t bytes[4096];
} shown[2];
static struct coalesced_mirror mirrors[2];

static void add_mirrors(void)
{
	for (unsigned i = 0; i < 2; i++) {
		memset(&shown[i], 0xff, sizeof(shown[i]));
		mirrors[i] = (struct coalesced_mirror){ .ring = &shown[i].ring };
		bus_add_coalesced_mirror(bus, &mirrors[i]);
	}
}

START_TEST(mirrors_show_what_is_in_the_ring)
{
	zone(0xa0000, 0x1000, 0);
	ck_assert_int_eq(put(BUS_MMIO, 0xa0000, 1, 4), 0);
	add_mirrors();
	ck_assert_int_eq(put(BUS_MMIO, 0xa0004, 2, 4), 0);
	ck_assert_mem_eq(&shown[0], &page, sizeof(page));
	ck_assert_mem_eq(&shown[1], &page, sizeof(page));
	ck_assert_uint_eq(page.ring.last, 2);
}
END_TEST

START_TEST(taken_out_of_one_mirror_is_taken_out_of_all)
{
	zone(0xa0000, 0x1000, 0);
	add_mirrors();
	for (unsigned i = 0; i < RING_ENTRIES - 1; i++)
		ck_assert_int_eq(put(BUS_MMIO, 0xa0000, i, 4), 0);
	ck_assert_int_eq(put(BUS_MMIO, 0xa0000, 0, 4), -EOPNOTSUPP);
	shown[1].ring.first = 3;
	bus_sync_coalesced(bus);
	ck_assert_uint_eq(shown[0].ring.first, 3);
	shown[0].ring.first = 5;
	ck_assert_int_eq(put(BUS_MMIO, 0xa0000, 7, 4), 0);
	ck_assert_uint_eq(shown[1].ring.first, 5);
	ck_assert_uint_eq(shown[1].ring.last, 0);
}
END_TEST

START_TEST(hostile_mirror_writes_nowhere)
{
	zone(0xa0000, 0x1000, 0);
	add_mirrors();
	shown[0].ring.last = UINT32_MAX;
	shown[1].ring.first = UINT32_MAX;
	for (unsigned i = 0; i < 2 * RING_ENTRIES; i++)
		put(BUS_MMIO, 0xa0000, i, 4);
	ck_assert_uint_lt(shown[0].ring.last, RING_ENTRIES);
}
END_TEST

START_TEST(hostile_index_writes_nowhere)
{
	zone(0xa0000, 0x1000, 0);
	page.ring.last = RING_ENTRIES;
	ck_assert_int_eq(put(BUS_MMIO, 0xa0000, 0, 4), -EOPNOTSUPP);
	page.ring.last = UINT32_MAX;
	ck_assert_int_eq(put(BUS_MMIO, 0xa0000, 0, 4), -EOPNOTSUPP);
}
END_TEST

START_TEST(unregistered_zone_is_gone)
{
	const struct kvm_coalesced_mmio_zone inside = { 0xa0800, 4, { 0 } };

	zone(0xa0000, 0x1000, 0);
	zone(0xb0000, 0x1000, 0);
	ck_assert_int_eq(bus_coalesced_unregister(bus, &inside), 0);
	ck_assert_int_eq(put(BUS_MMIO, 0xa0000, 0, 4), -EOPNOTSUPP);
	ck_assert_int_eq(put(BUS_MMIO, 0xb0000, 0, 4), 0);
}
END_TEST

START_TEST(unknown_kind_of_zone_is_refused)
{
	const struct kvm_coalesced_mmio_zone args = { 0xa0000, 4, { 2 } };

	ck_assert_int_eq(bus_coalesced_register(bus, &args), -EINVAL);
	ck_assert_int_eq(bus_coalesced_unregister(bus, &args), -EINVAL);
}
END_TEST

/* ---- threads ---- */

static atomic_bool stop;

static void *write_all_the_time(void *opaque)
{
	(void)opaque;
	while (!atomic_load(&stop))
		put(BUS_MMIO, 0x1000, 0, 4);
	return NULL;
}

START_TEST(tables_change_under_readers)
{
	struct kvm_ioeventfd args = { .addr = 0x1000, .len = 4 };
	pthread_t thread[2];
	int fd = event();

	atomic_store(&stop, false);
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, write_all_the_time, NULL);
	for (int i = 0; i < 200; i++) {
		args.flags = 0;
		ck_assert_int_eq(bus_ioeventfd(bus, &args, dup(fd)), 0);
		args.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
		ck_assert_int_eq(bus_ioeventfd(bus, &args, fd), 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		access_reaches_the_device_by_offset,
		nobody_is_user_space,
		access_across_the_end_is_user_spaces,
		regions_cannot_overlap,
		every_region_is_found_in_any_order,
		unregistered_device_is_gone,
		ioeventfd_is_signalled,
		ioeventfd_wants_its_width_and_address,
		ioeventfd_without_length_takes_any,
		datamatch_tells_eventfds_apart,
		ioeventfd_goes_before_the_device,
		colliding_ioeventfds_are_refused,
		mistaken_ioeventfds_are_refused,
		deassign_knows_the_eventfd_by_another_number,
		deassign_wants_the_same_match,
		write_to_a_zone_waits_in_the_ring,
		pio_zone_is_marked,
		zone_ends_at_its_last_byte,
		full_ring_is_user_spaces,
		mirrors_show_what_is_in_the_ring,
		taken_out_of_one_mirror_is_taken_out_of_all,
		hostile_mirror_writes_nowhere,
		hostile_index_writes_nowhere,
		unregistered_zone_is_gone,
		unknown_kind_of_zone_is_refused,
		tables_change_under_readers,
	};

	return run_suite("bus", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
