// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/events.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "util/own_fd.h"

#define NS_PER_SECOND 1000000000ull
#define NOT_QUEUED (-1)
#define BATCH 16

/* What epoll hands back for the two descriptors of our own; watches use slot and generation. */
#define TOKEN_TIMER UINT64_MAX
#define TOKEN_STOP (UINT64_MAX - 1)

struct watch {
	struct events *events;
	int fd;
	void (*ready)(void *opaque, int fd);
	void *opaque;
	unsigned slot;
};

/* epoll may report a watch that is gone by then: the generation tells. */
struct watch_slot {
	struct watch *watch;
	uint32_t generation;
};

struct events {
	pthread_mutex_t lock;
	pthread_cond_t idle; /* a callback returned */
	pthread_t thread;
	bool started;
	int epoll_fd, timer_fd, stop_fd;

	struct timer **heap; /* earliest first */
	unsigned timers, heap_size;
	uint64_t programmed; /* deadline that the timerfd is set to; UINT64_MAX: none */

	struct watch_slot *slots;
	unsigned slot_count;

	const void *running; /* the timer or watch whose callback is in progress */
};

uint64_t events_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* ---- heap ---- */

static void heap_put(struct events *events, unsigned index, struct timer *timer)
{
	events->heap[index] = timer;
	timer->heap_index = index;
}

static void heap_sift_up(struct events *events, unsigned index)
{
	struct timer *timer = events->heap[index];

	while (index) {
		unsigned parent = (index - 1) / 2;

		if (events->heap[parent]->deadline <= timer->deadline)
			break;
		heap_put(events, index, events->heap[parent]);
		index = parent;
	}
	heap_put(events, index, timer);
}

static void heap_sift_down(struct events *events, unsigned index)
{
	struct timer *timer = events->heap[index];

	for (;;) {
		unsigned child = 2 * index + 1;

		if (child >= events->timers)
			break;
		if (child + 1 < events->timers &&
		    events->heap[child + 1]->deadline < events->heap[child]->deadline)
			child++;
		if (timer->deadline <= events->heap[child]->deadline)
			break;
		heap_put(events, index, events->heap[child]);
		index = child;
	}
	heap_put(events, index, timer);
}

static void heap_remove(struct events *events, struct timer *timer)
{
	unsigned index = timer->heap_index;
	struct timer *last = events->heap[--events->timers];

	timer->heap_index = NOT_QUEUED;
	timer->deadline = UINT64_MAX;
	if (last == timer)
		return;
	heap_put(events, index, last);
	heap_sift_up(events, index);
	heap_sift_down(events, last->heap_index);
}

static bool heap_add(struct events *events, struct timer *timer)
{
	if (events->timers == events->heap_size) {
		unsigned size = events->heap_size ? 2 * events->heap_size : 16;
		struct timer **heap = realloc(events->heap, size * sizeof(*heap));

		if (!heap)
			return false;
		events->heap = heap;
		events->heap_size = size;
	}
	heap_put(events, events->timers++, timer);
	heap_sift_up(events, timer->heap_index);
	return true;
}

/* ---- thread ---- */

/* A timer that was only pushed back is found by an early wake-up instead of a system call. */
static void timerfd_program(struct events *events)
{
	uint64_t deadline = events->timers ? events->heap[0]->deadline : UINT64_MAX;
	struct itimerspec spec = { 0 };

	if (deadline >= events->programmed)
		return;
	events->programmed = deadline;
	/* All zeros would disarm. */
	spec.it_value.tv_sec = deadline / NS_PER_SECOND;
	spec.it_value.tv_nsec = deadline % NS_PER_SECOND;
	if (!deadline)
		spec.it_value.tv_nsec = 1;
	timerfd_settime(events->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void callback_done(struct events *events)
{
	pthread_mutex_lock(&events->lock);
	events->running = NULL;
	pthread_cond_broadcast(&events->idle);
}

static void run_timers(struct events *events)
{
	uint64_t expirations;
	ssize_t n = read(events->timer_fd, &expirations, sizeof(expirations));

	(void)n; /* level: nothing to read means that it was set again */
	pthread_mutex_lock(&events->lock);
	events->programmed = UINT64_MAX;
	while (events->timers && events->heap[0]->deadline <= events_now()) {
		struct timer *timer = events->heap[0];
		void (*fire)(void *) = timer->fire;
		void *opaque = timer->opaque;

		heap_remove(events, timer);
		events->running = timer;
		pthread_mutex_unlock(&events->lock);
		fire(opaque);
		callback_done(events);
	}
	timerfd_program(events);
	pthread_mutex_unlock(&events->lock);
}

static void run_watch(struct events *events, uint64_t token)
{
	unsigned slot = (uint32_t)token;
	struct watch *watch;
	int fd;

	pthread_mutex_lock(&events->lock);
	watch = events->slots[slot].watch;
	if (!watch || events->slots[slot].generation != token >> 32) {
		pthread_mutex_unlock(&events->lock);
		return;
	}
	events->running = watch;
	fd = watch->fd;
	pthread_mutex_unlock(&events->lock);
	watch->ready(watch->opaque, fd);
	callback_done(events);
	pthread_mutex_unlock(&events->lock);
}

static void *events_main(void *opaque)
{
	struct events *events = opaque;
	struct epoll_event ready[BATCH];

	for (;;) {
		int n = epoll_wait(events->epoll_fd, ready, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (ready[i].data.u64 == TOKEN_STOP)
				return NULL;
			if (ready[i].data.u64 == TOKEN_TIMER)
				run_timers(events);
			else
				run_watch(events, ready[i].data.u64);
		}
	}
}

/* With the lock held. */
static bool events_start(struct events *events)
{
	sigset_t mask, old;
	int error;

	if (events->started)
		return true;
	/* Faults stay deliverable: a guarded copy on this thread must be able to come back. */
	sigfillset(&mask);
	sigdelset(&mask, SIGSEGV);
	sigdelset(&mask, SIGBUS);
	sigdelset(&mask, SIGFPE);
	sigdelset(&mask, SIGILL);
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	error = pthread_create(&events->thread, NULL, events_main, events);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	events->started = !error;
	return !error;
}

static bool on_own_thread(const struct events *events)
{
	return events->started && pthread_equal(pthread_self(), events->thread);
}

static void wait_idle(struct events *events, const void *what)
{
	while (events->running == what && !on_own_thread(events))
		pthread_cond_wait(&events->idle, &events->lock);
}

static int epoll_add(struct events *events, int fd, uint64_t token)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = token };

	return epoll_ctl(events->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

struct events *events_create(void)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events)
		return NULL;
	pthread_mutex_init(&events->lock, NULL);
	pthread_cond_init(&events->idle, NULL);
	events->programmed = UINT64_MAX;
	events->epoll_fd = own_fd_keep(epoll_create1(EPOLL_CLOEXEC));
	events->timer_fd =
		own_fd_keep(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	events->stop_fd = own_fd_keep(eventfd(0, EFD_CLOEXEC));
	if (events->epoll_fd < 0 || events->timer_fd < 0 || events->stop_fd < 0 ||
	    epoll_add(events, events->timer_fd, TOKEN_TIMER) ||
	    epoll_add(events, events->stop_fd, TOKEN_STOP)) {
		events_destroy(events);
		return NULL;
	}
	return events;
}

void events_destroy(struct events *events)
{
	if (!events)
		return;
	if (events->started) {
		eventfd_write(events->stop_fd, 1);
		pthread_join(events->thread, NULL);
	}
	for (unsigned i = 0; i < events->slot_count; i++)
		free(events->slots[i].watch);
	free(events->slots);
	free(events->heap);
	own_fd_close(events->stop_fd);
	own_fd_close(events->timer_fd);
	own_fd_close(events->epoll_fd);
	pthread_cond_destroy(&events->idle);
	pthread_mutex_destroy(&events->lock);
	free(events);
}

/* ---- timers ---- */

void timer_init(struct timer *timer, struct events *events, void (*fire)(void *), void *opaque)
{
	*timer = (struct timer){
		.events = events,
		.fire = fire,
		.opaque = opaque,
		.deadline = UINT64_MAX,
		.heap_index = NOT_QUEUED,
	};
}

void timer_arm(struct timer *timer, uint64_t deadline)
{
	struct events *events = timer->events;

	pthread_mutex_lock(&events->lock);
	if (timer->heap_index != NOT_QUEUED)
		heap_remove(events, timer);
	if (deadline != UINT64_MAX) {
		timer->deadline = deadline;
		if (heap_add(events, timer) && events_start(events))
			timerfd_program(events);
	}
	pthread_mutex_unlock(&events->lock);
}

void timer_cancel(struct timer *timer)
{
	timer_arm(timer, UINT64_MAX);
}

void timer_fini(struct timer *timer)
{
	struct events *events = timer->events;

	pthread_mutex_lock(&events->lock);
	for (;;) {
		/* The callback that is waited for may arm it again. */
		if (timer->heap_index != NOT_QUEUED)
			heap_remove(events, timer);
		if (events->running != timer || on_own_thread(events))
			break;
		wait_idle(events, timer);
	}
	pthread_mutex_unlock(&events->lock);
}

/* ---- watches ---- */

static int slot_find(struct events *events)
{
	const unsigned used = events->slot_count;
	const unsigned count = used ? 2 * used : 16;
	struct watch_slot *slots;

	for (unsigned i = 0; i < used; i++)
		if (!events->slots[i].watch)
			return i;
	slots = realloc(events->slots, count * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	memset(slots + used, 0, (count - used) * sizeof(*slots));
	events->slots = slots;
	events->slot_count = count;
	return used;
}

struct watch *events_watch(struct events *events, int fd, void (*ready)(void *opaque, int fd),
			   void *opaque)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	uint64_t token;
	int slot;

	if (!watch)
		return NULL;
	*watch = (struct watch){ .events = events, .fd = fd, .ready = ready, .opaque = opaque };
	pthread_mutex_lock(&events->lock);
	slot = slot_find(events);
	if (slot < 0 || !events_start(events))
		goto fail;
	watch->slot = slot;
	token = (uint64_t)events->slots[slot].generation << 32 | slot;
	if (epoll_add(events, fd, token))
		goto fail;
	events->slots[slot].watch = watch;
	pthread_mutex_unlock(&events->lock);
	return watch;
fail:
	pthread_mutex_unlock(&events->lock);
	free(watch);
	return NULL;
}

void events_unwatch(struct watch *watch)
{
	struct events *events;

	if (!watch)
		return;
	events = watch->events;
	pthread_mutex_lock(&events->lock);
	epoll_ctl(events->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	events->slots[watch->slot].watch = NULL;
	/* The two top values of a token are ours, so the generation has 31 bits. */
	events->slots[watch->slot].generation =
		(events->slots[watch->slot].generation + 1) & 0x7fffffff;
	wait_idle(events, watch);
	pthread_mutex_unlock(&events->lock);
	free(watch);
}
