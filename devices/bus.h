/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIO and MMIO buses of a VM: in-kernel devices, ioeventfds and coalesced zones by address.
 *
 * Lookups are lock free for vCPU threads' common case or take only the bus's own read lock; a
 * device's handler takes its device's lock. Registration may happen while vCPUs run.
 */
#ifndef FAUXKVM_DEVICES_BUS_H
#define FAUXKVM_DEVICES_BUS_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

enum bus_kind { BUS_PIO, BUS_MMIO };

struct bus;

/* @offset is relative to the region's base. Return 0, or -EOPNOTSUPP to let user space have it. */
struct bus_ops {
	int (*read)(void *opaque, uint64_t offset, void *data, unsigned bytes);
	int (*write)(void *opaque, uint64_t offset, const void *data, unsigned bytes);
};

struct bus *bus_create(void); /* both kinds */
void bus_destroy(struct bus *bus);

int bus_register(struct bus *bus, enum bus_kind kind, uint64_t base, uint64_t bytes,
		 const struct bus_ops *ops, void *opaque); /* 0, -ENOMEM, -EEXIST */
void bus_unregister(struct bus *bus, enum bus_kind kind, uint64_t base, void *opaque);

/*
 * One access of 1, 2, 4 or 8 bytes from a vCPU. 0: done here (device, ioeventfd signalled).
 * -EOPNOTSUPP: nobody here, exit to user space (for a write: after coalesced_write refused too).
 */
int bus_read(struct bus *bus, enum bus_kind kind, uint64_t address, void *data, unsigned bytes);
int bus_write(struct bus *bus, enum bus_kind kind, uint64_t address, const void *data,
	      unsigned bytes);

/*
 * KVM_IOEVENTFD. @fd is the core's own duplicate of the client's eventfd: on success the bus owns
 * it for an assignment; for a deassignment the caller keeps it. Eventfds are compared by identity
 * (same eventfd, other number). The kernel's errors: -EINVAL, -EEXIST, -ENOENT, -ENOSPC.
 */
int bus_ioeventfd(struct bus *bus, const struct kvm_ioeventfd *args, int fd);

/*
 * KVM_REGISTER_COALESCED_MMIO / KVM_UNREGISTER_COALESCED_MMIO: zones of either kind (@zone->pio).
 * @ring is the page that the client maps (one a VM); set once before the first zone.
 * Registration: 0, -EINVAL, -ENOMEM, -ENOSPC (a thousand devices and zones on the bus).
 */
void bus_set_coalesced_ring(struct bus *bus, struct kvm_coalesced_mmio_ring *ring);

/*
 * A page of its own that shows the ring, where a client cannot map the ring's. Entries appear in
 * all mirrors at once. What the client has taken out of one is taken out of the others when the
 * next entry comes, or at bus_sync_coalesced(). A mirror stays until the bus is destroyed.
 */
struct coalesced_mirror {
	struct kvm_coalesced_mmio_ring *ring;
	uint32_t first; /* of the ring, as we last saw or wrote it */
	struct coalesced_mirror *next;
};
void bus_add_coalesced_mirror(struct bus *bus, struct coalesced_mirror *mirror);
void bus_sync_coalesced(struct bus *bus);
int bus_coalesced_register(struct bus *bus, const struct kvm_coalesced_mmio_zone *zone);
int bus_coalesced_unregister(struct bus *bus, const struct kvm_coalesced_mmio_zone *zone);

#endif
