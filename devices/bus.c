// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/bus_internal.h"

struct region {
	uint64_t base, bytes;
	const struct bus_ops *ops;
	void *opaque;
};

/* Sorted by base, never overlapping. */
struct region_table {
	unsigned count;
	struct region region[];
};

/* Index of the first region whose base is above @address. */
static unsigned region_above(const struct region_table *table, uint64_t address)
{
	unsigned low = 0, high = table ? table->count : 0;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (table->region[middle].base <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The region that holds the whole access. */
static const struct region *region_find(const struct region_table *table, uint64_t address,
					unsigned bytes)
{
	unsigned above = region_above(table, address);
	const struct region *region;
	uint64_t offset;

	if (!above)
		return NULL;
	region = &table->region[above - 1];
	offset = address - region->base;
	if (offset >= region->bytes || bytes > region->bytes - offset)
		return NULL;
	return region;
}

struct bus *bus_create(void)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return NULL;
	pthread_mutex_init(&bus->lock, NULL);
	pthread_mutex_init(&bus->ring_lock, NULL);
	return bus;
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	ioeventfd_destroy(bus);
	coalesced_destroy(bus);
	for (int kind = 0; kind < BUS_KINDS; kind++)
		free(bus->regions[kind]);
	pthread_mutex_destroy(&bus->ring_lock);
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}

unsigned bus_regions(struct bus *bus, enum bus_kind kind)
{
	struct region_table *table = atomic_load(&bus->regions[kind]);

	return table ? table->count : 0;
}

static bool regions_overlap(const struct region_table *table, uint64_t base, uint64_t bytes)
{
	for (unsigned i = 0; table && i < table->count; i++) {
		const struct region *region = &table->region[i];

		if (base - region->base < region->bytes || region->base - base < bytes)
			return true;
	}
	return false;
}

static void regions_publish(struct bus *bus, enum bus_kind kind, struct region_table *table)
{
	struct region_table *old = atomic_exchange(&bus->regions[kind], table);

	gate_wait(&bus->gate);
	free(old);
}

int bus_register(struct bus *bus, enum bus_kind kind, uint64_t base, uint64_t bytes,
		 const struct bus_ops *ops, void *opaque)
{
	struct region_table *old, *table;
	unsigned count, at;
	int error = 0;

	pthread_mutex_lock(&bus->lock);
	old = bus->regions[kind];
	count = old ? old->count : 0;
	if (!bytes || base + bytes < base || regions_overlap(old, base, bytes)) {
		error = -EEXIST;
		goto out;
	}
	table = malloc(sizeof(*table) + (count + 1) * sizeof(table->region[0]));
	if (!table) {
		error = -ENOMEM;
		goto out;
	}
	at = region_above(old, base);
	if (old) {
		memcpy(table->region, old->region, at * sizeof(table->region[0]));
		memcpy(table->region + at + 1, old->region + at,
		       (count - at) * sizeof(table->region[0]));
	}
	table->region[at] = (struct region){ base, bytes, ops, opaque };
	table->count = count + 1;
	regions_publish(bus, kind, table);
out:
	pthread_mutex_unlock(&bus->lock);
	return error;
}

void bus_unregister(struct bus *bus, enum bus_kind kind, uint64_t base, void *opaque)
{
	struct region_table *old, *table;
	unsigned at;

	pthread_mutex_lock(&bus->lock);
	old = bus->regions[kind];
	at = region_above(old, base);
	if (!at || old->region[at - 1].base != base || old->region[at - 1].opaque != opaque)
		goto out;
	table = malloc(sizeof(*table) + (old->count - 1) * sizeof(table->region[0]));
	if (!table) {
		/* No memory for the smaller table: shorten the old one while nobody reads it. */
		atomic_store(&bus->regions[kind], NULL);
		gate_wait(&bus->gate);
		memmove(old->region + at - 1, old->region + at,
			(old->count - at) * sizeof(old->region[0]));
		old->count--;
		atomic_store(&bus->regions[kind], old);
		goto out;
	}
	memcpy(table->region, old->region, (at - 1) * sizeof(table->region[0]));
	memcpy(table->region + at - 1, old->region + at,
	       (old->count - at) * sizeof(table->region[0]));
	table->count = old->count - 1;
	regions_publish(bus, kind, table);
out:
	pthread_mutex_unlock(&bus->lock);
}

int bus_read(struct bus *bus, enum bus_kind kind, uint64_t address, void *data, unsigned bytes)
{
	unsigned side = gate_enter(&bus->gate);
	const struct region *region = region_find(atomic_load(&bus->regions[kind]), address, bytes);
	int result = -EOPNOTSUPP;

	if (region && region->ops->read)
		result = region->ops->read(region->opaque, address - region->base, data, bytes);
	gate_leave(&bus->gate, side);
	return result;
}

int bus_write(struct bus *bus, enum bus_kind kind, uint64_t address, const void *data,
	      unsigned bytes)
{
	unsigned side = gate_enter(&bus->gate);
	const struct region *region;
	int result = -EOPNOTSUPP;

	if (ioeventfd_write(bus, kind, address, data, bytes)) {
		result = 0;
		goto out;
	}
	region = region_find(atomic_load(&bus->regions[kind]), address, bytes);
	if (region && region->ops->write)
		result = region->ops->write(region->opaque, address - region->base, data, bytes);
	if (result == -EOPNOTSUPP && coalesced_write(bus, kind, address, data, bytes))
		result = 0;
out:
	gate_leave(&bus->gate, side);
	return result;
}
