/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM's one background thread: timers and descriptors to watch. Started by the first use, so an
 * idle VM without timers has none; it sleeps in epoll_wait and burns no CPU.
 * Callbacks run on that thread without any lock held. All signals are blocked in it.
 */
#ifndef FAUXKVM_DEVICES_EVENTS_H
#define FAUXKVM_DEVICES_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

struct events;

struct timer {
	struct events *events;
	void (*fire)(void *opaque);
	void *opaque;
	uint64_t deadline; /* CLOCK_MONOTONIC ns; UINT64_MAX: not armed */
	int heap_index;    /* private */
};

struct events *events_create(void);
void events_destroy(struct events *events); /* stops and joins the thread */

uint64_t events_now(void); /* CLOCK_MONOTONIC, ns */

void timer_init(struct timer *timer, struct events *events, void (*fire)(void *), void *opaque);
void timer_arm(struct timer *timer, uint64_t deadline); /* any thread; replaces the old deadline */
void timer_cancel(struct timer *timer);                 /* may not wait for a running callback */
void timer_fini(struct timer *timer); /* cancels and waits; not from a callback */

/* Calls @ready on the thread whenever @fd is readable. */
struct watch;
struct watch *events_watch(struct events *events, int fd, void (*ready)(void *opaque, int fd),
			   void *opaque);
/* No call of @ready is running or will come after it returned. */
void events_unwatch(struct watch *watch);

#endif
