// SPDX-License-Identifier: GPL-2.0-or-later
/* KVM_IOEVENTFD: a guest's write that becomes an eventfd signal. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/bus_internal.h"
#include "devices/eventfd.h"

struct ioeventfd {
	uint64_t address, datamatch, identity;
	uint32_t bytes; /* 0: any width */
	bool wildcard;  /* any data */
	int fd;
};

/* Sorted by address; one address may have several, told apart by width and data. */
struct ioeventfd_table {
	unsigned count;
	struct ioeventfd entry[];
};

/* Index of the first entry at or above @address. */
static unsigned entry_at(const struct ioeventfd_table *table, uint64_t address)
{
	unsigned low = 0, high = table ? table->count : 0;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (table->entry[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool ioeventfd_write(struct bus *bus, enum bus_kind kind, uint64_t address, const void *data,
		     unsigned bytes)
{
	const struct ioeventfd_table *table = atomic_load(&bus->ioeventfds[kind]);
	uint64_t value = 0;

	if (!table)
		return false;
	for (unsigned i = entry_at(table, address);
	     i < table->count && table->entry[i].address == address; i++) {
		const struct ioeventfd *entry = &table->entry[i];

		if (entry->bytes && entry->bytes != bytes)
			continue;
		if (!entry->wildcard) {
			memcpy(&value, data, bytes);
			if (value != entry->datamatch)
				continue;
		}
		eventfd_signal(entry->fd);
		return true;
	}
	return false;
}

static void table_publish(struct bus *bus, enum bus_kind kind, struct ioeventfd_table *table)
{
	struct ioeventfd_table *old = atomic_exchange(&bus->ioeventfds[kind], table);

	gate_wait(&bus->gate);
	free(old);
}

/* Would one write be able to match both? */
static bool collide(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (a->address != b->address)
		return false;
	if (!a->bytes || !b->bytes)
		return true;
	return a->bytes == b->bytes && (a->wildcard || b->wildcard || a->datamatch == b->datamatch);
}

static int assign(struct bus *bus, enum bus_kind kind, const struct ioeventfd *new)
{
	struct ioeventfd_table *old = bus->ioeventfds[kind], *table;
	unsigned count = old ? old->count : 0;
	unsigned at = entry_at(old, new->address);

	for (unsigned i = at; i < count && old->entry[i].address == new->address; i++)
		if (collide(&old->entry[i], new))
			return -EEXIST;
	if (count == EVENTFDS_MAX)
		return -ENOSPC;
	table = malloc(sizeof(*table) + (count + 1) * sizeof(table->entry[0]));
	if (!table)
		return -ENOMEM;
	if (old) {
		memcpy(table->entry, old->entry, at * sizeof(table->entry[0]));
		memcpy(table->entry + at + 1, old->entry + at,
		       (count - at) * sizeof(table->entry[0]));
	}
	table->entry[at] = *new;
	table->count = count + 1;
	table_publish(bus, kind, table);
	return 0;
}

static bool same(const struct ioeventfd *a, const struct ioeventfd *b)
{
	return a->address == b->address && a->bytes == b->bytes && a->identity == b->identity &&
	       a->wildcard == b->wildcard && (a->wildcard || a->datamatch == b->datamatch);
}

static int deassign(struct bus *bus, enum bus_kind kind, const struct ioeventfd *which)
{
	struct ioeventfd_table *old = bus->ioeventfds[kind], *table;
	unsigned count = old ? old->count : 0, i;
	int fd;

	for (i = 0; i < count; i++)
		if (same(&old->entry[i], which))
			break;
	if (i == count)
		return -ENOENT;
	table = malloc(sizeof(*table) + (count - 1) * sizeof(table->entry[0]));
	if (!table)
		return -ENOMEM;
	memcpy(table->entry, old->entry, i * sizeof(table->entry[0]));
	memcpy(table->entry + i, old->entry + i + 1, (count - i - 1) * sizeof(table->entry[0]));
	table->count = count - 1;
	fd = old->entry[i].fd;
	table_publish(bus, kind, table);
	close(fd);
	return 0;
}

static int check(const struct kvm_ioeventfd *args)
{
	const uint32_t known = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO |
			       KVM_IOEVENTFD_FLAG_DEASSIGN;

	switch (args->len) {
	case 0:
		if (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)
			return -EINVAL;
		break;
	case 1:
	case 2:
	case 4:
	case 8:
		break;
	default:
		return -EINVAL;
	}
	return args->addr + args->len < args->addr || (args->flags & ~known) ? -EINVAL : 0;
}

int bus_ioeventfd(struct bus *bus, const struct kvm_ioeventfd *args, int fd)
{
	const enum bus_kind kind = args->flags & KVM_IOEVENTFD_FLAG_PIO ? BUS_PIO : BUS_MMIO;
	struct ioeventfd entry = {
		.address = args->addr,
		.datamatch = args->datamatch,
		.bytes = args->len,
		.wildcard = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
		.fd = fd,
	};
	int error;

	/* What is taken away need not make sense: it is not there then. */
	if (!(args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)) {
		error = check(args);
		if (error)
			return error;
	}
	error = eventfd_identity(fd, &entry.identity);
	if (error)
		return error;

	pthread_mutex_lock(&bus->lock);
	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		error = deassign(bus, kind, &entry);
	else
		error = assign(bus, kind, &entry);
	pthread_mutex_unlock(&bus->lock);
	return error;
}

void ioeventfd_destroy(struct bus *bus)
{
	for (int kind = 0; kind < BUS_KINDS; kind++) {
		struct ioeventfd_table *table = bus->ioeventfds[kind];

		for (unsigned i = 0; table && i < table->count; i++)
			close(table->entry[i].fd);
		free(table);
	}
}
