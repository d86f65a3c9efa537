// SPDX-License-Identifier: GPL-2.0-or-later
/* KVM_IRQFD: an eventfd whose signal is an interrupt. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/eventfd.h"
#include "devices/internal.h"

struct irqfd {
	struct irqfd *next;
	struct irqchip *irqchip;
	struct watch *watch;
	uint64_t identity;
	uint32_t gsi;
	int fd;
	int resample_fd; /* -1: edge triggered */
};

/*
 * Without resampling a signal is a pulse. With it the line stays high until the guest acknowledges
 * the interrupt; the owner then signals again if its device still wants attention.
 */
static void irqfd_ready(void *opaque, int fd)
{
	struct irqfd *irqfd = opaque;
	struct irqchip *irqchip = irqfd->irqchip;

	if (!eventfd_consume(fd))
		return;
	if (irqfd->resample_fd >= 0) {
		irqchip_set_line(irqchip, IRQ_SOURCE_RESAMPLE, irqfd->gsi, true);
		return;
	}
	irqchip_set_line(irqchip, IRQ_SOURCE_USER, irqfd->gsi, true);
	irqchip_set_line(irqchip, IRQ_SOURCE_USER, irqfd->gsi, false);
}

/* With the irqfd lock. */
static bool gsi_resampled(const struct irqchip *irqchip, uint32_t gsi)
{
	for (const struct irqfd *irqfd = irqchip->irqfds; irqfd; irqfd = irqfd->next)
		if (irqfd->gsi == gsi && irqfd->resample_fd >= 0)
			return true;
	return false;
}

void irqfd_acknowledge(struct irqchip *irqchip, uint32_t gsi)
{
	bool resampled;

	pthread_mutex_lock(&irqchip->irqfd_lock);
	resampled = gsi_resampled(irqchip, gsi);
	pthread_mutex_unlock(&irqchip->irqfd_lock);
	if (!resampled)
		return;

	/* Low before its owners hear of it: they may raise it at once. */
	irqchip_set_line(irqchip, IRQ_SOURCE_RESAMPLE, gsi, false);
	pthread_mutex_lock(&irqchip->irqfd_lock);
	for (struct irqfd *irqfd = irqchip->irqfds; irqfd; irqfd = irqfd->next)
		if (irqfd->gsi == gsi && irqfd->resample_fd >= 0)
			eventfd_signal(irqfd->resample_fd);
	pthread_mutex_unlock(&irqchip->irqfd_lock);
}

static int assign(struct irqchip *irqchip, uint32_t gsi, uint64_t identity, int fd, int resample_fd)
{
	struct irqfd *new = calloc(1, sizeof(*new));
	unsigned count = 0;
	int error = 0;

	if (!new)
		return -ENOMEM;
	*new = (struct irqfd){
		.irqchip = irqchip,
		.identity = identity,
		.gsi = gsi,
		.fd = fd,
		.resample_fd = resample_fd,
	};
	pthread_mutex_lock(&irqchip->irqfd_lock);
	for (struct irqfd *irqfd = irqchip->irqfds; irqfd && !error; irqfd = irqfd->next) {
		if (irqfd->identity == identity)
			error = -EBUSY;
		else if (++count == EVENTFDS_MAX)
			error = -ENOSPC;
	}
	if (error) {
		pthread_mutex_unlock(&irqchip->irqfd_lock);
		free(new);
		return error;
	}
	/* A count that is there already makes the watch report at once. */
	new->watch = events_watch(irqchip->events, fd, irqfd_ready, new);
	if (!new->watch) {
		pthread_mutex_unlock(&irqchip->irqfd_lock);
		free(new);
		return -ENOMEM;
	}
	new->next = irqchip->irqfds;
	irqchip->irqfds = new;
	if (resample_fd >= 0)
		irqchip_listen(irqchip, gsi, 1);
	pthread_mutex_unlock(&irqchip->irqfd_lock);
	return 0;
}

/* Unlinked, so no acknowledgement finds it any more. */
static void irqfd_free(struct irqfd *irqfd, bool last_resampler)
{
	struct irqchip *irqchip = irqfd->irqchip;

	events_unwatch(irqfd->watch);
	if (irqfd->resample_fd >= 0) {
		irqchip_listen(irqchip, irqfd->gsi, -1);
		if (last_resampler)
			irqchip_set_line(irqchip, IRQ_SOURCE_RESAMPLE, irqfd->gsi, false);
		close(irqfd->resample_fd);
	}
	close(irqfd->fd);
	free(irqfd);
}

static void deassign(struct irqchip *irqchip, uint32_t gsi, uint64_t identity)
{
	struct irqfd **link = &irqchip->irqfds, *found = NULL;
	bool last_resampler = false;

	pthread_mutex_lock(&irqchip->irqfd_lock);
	for (; *link; link = &(*link)->next) {
		if ((*link)->identity == identity && (*link)->gsi == gsi) {
			found = *link;
			*link = found->next;
			last_resampler = !gsi_resampled(irqchip, gsi);
			break;
		}
	}
	pthread_mutex_unlock(&irqchip->irqfd_lock);
	if (found)
		irqfd_free(found, last_resampler);
}

int irqchip_irqfd(struct irqchip *irqchip, const struct kvm_irqfd *args, int fd, int resample_fd)
{
	const bool resample = args->flags & KVM_IRQFD_FLAG_RESAMPLE;
	uint64_t identity, ignored;
	int error;

	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	error = eventfd_identity(fd, &identity);
	if (error)
		return error;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN) {
		deassign(irqchip, args->gsi, identity);
		return 0;
	}
	/* Only an IOAPIC or PIC in here knows when a line was acknowledged. */
	if (resample && irqchip->mode != IRQCHIP_FULL)
		return -EINVAL;
	if (resample) {
		error = eventfd_identity(resample_fd, &ignored);
		if (error)
			return error;
	}
	return assign(irqchip, args->gsi, identity, fd, resample ? resample_fd : -1);
}

void irqfd_destroy(struct irqchip *irqchip)
{
	while (irqchip->irqfds) {
		struct irqfd *irqfd = irqchip->irqfds;

		irqchip->irqfds = irqfd->next;
		irqfd_free(irqfd, false);
	}
}
