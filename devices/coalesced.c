// SPDX-License-Identifier: GPL-2.0-or-later
/* Coalesced MMIO and PIO: writes that wait in a ring for the client's next look. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/bus_internal.h"

#define RING_PAGE 4096
#define RING_ENTRIES                                                                               \
	((RING_PAGE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

struct zone_table {
	unsigned count;
	struct kvm_coalesced_mmio_zone zone[];
};

static bool zone_holds(const struct kvm_coalesced_mmio_zone *zone, uint64_t address, uint64_t bytes)
{
	return address >= zone->addr && address - zone->addr <= zone->size &&
	       bytes <= zone->size - (address - zone->addr);
}

/* ---- mirrors: under ring_lock ---- */

/* The place up to which the client has taken entries out of any of them. */
static void mirrors_collect(struct bus *bus)
{
	struct coalesced_mirror *mirror;
	uint32_t first;

	for (mirror = bus->mirrors; mirror; mirror = mirror->next) {
		first = __atomic_load_n(&mirror->ring->first, __ATOMIC_ACQUIRE);
		if (first == mirror->first)
			continue;
		mirror->first = first;
		bus->ring->first = first;
	}
	for (mirror = bus->mirrors; mirror; mirror = mirror->next) {
		if (mirror->first == bus->ring->first)
			continue;
		mirror->first = bus->ring->first;
		__atomic_store_n(&mirror->ring->first, mirror->first, __ATOMIC_RELEASE);
	}
}

static void mirrors_put(struct bus *bus, uint32_t last)
{
	struct coalesced_mirror *mirror;

	for (mirror = bus->mirrors; mirror; mirror = mirror->next) {
		mirror->ring->coalesced_mmio[last] = bus->ring->coalesced_mmio[last];
		__atomic_store_n(&mirror->ring->last, (last + 1) % RING_ENTRIES, __ATOMIC_RELEASE);
	}
}

void bus_add_coalesced_mirror(struct bus *bus, struct coalesced_mirror *mirror)
{
	pthread_mutex_lock(&bus->ring_lock);
	memcpy(mirror->ring, bus->ring, RING_PAGE);
	mirror->first = bus->ring->first;
	mirror->next = bus->mirrors;
	bus->mirrors = mirror;
	pthread_mutex_unlock(&bus->ring_lock);
}

void bus_sync_coalesced(struct bus *bus)
{
	pthread_mutex_lock(&bus->ring_lock);
	mirrors_collect(bus);
	pthread_mutex_unlock(&bus->ring_lock);
}

static bool ring_put(struct bus *bus, enum bus_kind kind, uint64_t address, const void *data,
		     unsigned bytes)
{
	struct kvm_coalesced_mmio_ring *ring = bus->ring;
	struct kvm_coalesced_mmio entry = {
		.phys_addr = address,
		.len = bytes,
		.pio = kind == BUS_PIO,
	};
	bool put = false;
	uint32_t last;

	memcpy(entry.data, data, bytes);
	pthread_mutex_lock(&bus->ring_lock);
	mirrors_collect(bus);
	/* The client can write both indices at any time, with any value. */
	last = __atomic_load_n(&ring->last, __ATOMIC_RELAXED);
	if (last < RING_ENTRIES &&
	    (last + 1) % RING_ENTRIES != __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE)) {
		ring->coalesced_mmio[last] = entry;
		__atomic_store_n(&ring->last, (last + 1) % RING_ENTRIES, __ATOMIC_RELEASE);
		mirrors_put(bus, last);
		put = true;
	}
	pthread_mutex_unlock(&bus->ring_lock);
	return put;
}

bool coalesced_write(struct bus *bus, enum bus_kind kind, uint64_t address, const void *data,
		     unsigned bytes)
{
	const struct zone_table *table = atomic_load(&bus->zones[kind]);

	for (unsigned i = 0; table && i < table->count; i++)
		if (zone_holds(&table->zone[i], address, bytes))
			return ring_put(bus, kind, address, data, bytes);
	return false;
}

void bus_set_coalesced_ring(struct bus *bus, struct kvm_coalesced_mmio_ring *ring)
{
	bus->ring = ring;
}

static void table_publish(struct bus *bus, enum bus_kind kind, struct zone_table *table)
{
	struct zone_table *old = atomic_exchange(&bus->zones[kind], table);

	gate_wait(&bus->gate);
	free(old);
}

int bus_coalesced_register(struct bus *bus, const struct kvm_coalesced_mmio_zone *zone)
{
	struct zone_table *old, *table;
	unsigned count;
	int error = 0;

	if (zone->pio > 1 || !bus->ring)
		return -EINVAL;
	pthread_mutex_lock(&bus->lock);
	old = bus->zones[zone->pio ? BUS_PIO : BUS_MMIO];
	count = old ? old->count : 0;
	if (count + bus_regions(bus, zone->pio ? BUS_PIO : BUS_MMIO) >= BUS_DEVICES_MAX) {
		error = -ENOSPC;
		goto out;
	}
	table = malloc(sizeof(*table) + (count + 1) * sizeof(table->zone[0]));
	if (!table) {
		error = -ENOMEM;
		goto out;
	}
	if (old)
		memcpy(table->zone, old->zone, count * sizeof(table->zone[0]));
	table->zone[count] = *zone;
	table->count = count + 1;
	table_publish(bus, zone->pio ? BUS_PIO : BUS_MMIO, table);
out:
	pthread_mutex_unlock(&bus->lock);
	return error;
}

/* Every zone that holds the given range goes; none is not an error. */
int bus_coalesced_unregister(struct bus *bus, const struct kvm_coalesced_mmio_zone *zone)
{
	struct zone_table *old, *table;
	int error = 0;

	if (zone->pio > 1)
		return -EINVAL;
	pthread_mutex_lock(&bus->lock);
	old = bus->zones[zone->pio ? BUS_PIO : BUS_MMIO];
	if (!old)
		goto out;
	table = malloc(sizeof(*table) + old->count * sizeof(table->zone[0]));
	if (!table) {
		error = -ENOMEM;
		goto out;
	}
	table->count = 0;
	for (unsigned i = 0; i < old->count; i++)
		if (!zone_holds(&old->zone[i], zone->addr, zone->size))
			table->zone[table->count++] = old->zone[i];
	table_publish(bus, zone->pio ? BUS_PIO : BUS_MMIO, table);
out:
	pthread_mutex_unlock(&bus->lock);
	return error;
}

void coalesced_destroy(struct bus *bus)
{
	for (int kind = 0; kind < BUS_KINDS; kind++)
		free(bus->zones[kind]);
}
