/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What bus.c, ioeventfd.c and coalesced.c share. */
#ifndef FAUXKVM_DEVICES_BUS_INTERNAL_H
#define FAUXKVM_DEVICES_BUS_INTERNAL_H

#include <pthread.h>

#include "devices/bus.h"
#include "devices/gate.h"

#define BUS_KINDS 2
#define BUS_DEVICES_MAX 999 /* on a bus, ioeventfds not counted: NR_IOBUS_DEVS - 1 */

/*
 * Each table is immutable: a change builds a new one under @lock, publishes it and frees the old
 * one after gate_wait(). NULL: empty.
 */
struct bus {
	struct gate gate;
	pthread_mutex_t lock;
	struct region_table *_Atomic regions[BUS_KINDS];
	struct ioeventfd_table *_Atomic ioeventfds[BUS_KINDS];
	struct zone_table *_Atomic zones[BUS_KINDS];

	pthread_mutex_t ring_lock; /* producers of the coalesced ring */
	struct kvm_coalesced_mmio_ring *ring;
	struct coalesced_mirror *mirrors; /* under ring_lock */
};

/* Inside the gate. True: the write ended here. */
bool ioeventfd_write(struct bus *bus, enum bus_kind kind, uint64_t address, const void *data,
		     unsigned bytes);
bool coalesced_write(struct bus *bus, enum bus_kind kind, uint64_t address, const void *data,
		     unsigned bytes);

/* Devices on the bus. Under bus->lock. */
unsigned bus_regions(struct bus *bus, enum bus_kind kind);

/* The bus is going away. */
void ioeventfd_destroy(struct bus *bus);
void coalesced_destroy(struct bus *bus);

#endif
