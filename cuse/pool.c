/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that serve a session. KVM_RUN stays in its thread for as long as the guest runs, so there
 * are as many as there are requests, and one that waits for the next.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cuse/daemon.h"

#define IDLE_MAX 4
#define STACK_BYTES (1u << 20)

struct pool {
	struct fuse_session *session;
	atomic_int idle;
};

static __thread bool retired;

void pool_retire(void)
{
	retired = true;
}

static void *serve(void *argument);

static int add_thread(struct pool *pool)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	atomic_fetch_add(&pool->idle, 1);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	r = pthread_create(&thread, &attributes, serve, pool);
	pthread_attr_destroy(&attributes);
	if (r) {
		atomic_fetch_sub(&pool->idle, 1);
		LOG(ERROR, "no thread for requests: %s", strerror(r));
	}
	return -r;
}

/* Counts itself idle again, unless there are enough that are. */
static bool stay(struct pool *pool)
{
	int idle = atomic_load(&pool->idle);

	/* Without a successor it has to go on. */
	if (retired && (idle >= 1 || !add_thread(pool)))
		return false;
	while (idle < IDLE_MAX)
		if (atomic_compare_exchange_weak(&pool->idle, &idle, idle + 1))
			return true;
	return false;
}

static void *serve(void *argument)
{
	struct fuse_buf buffer = { 0 };
	struct pool *pool = argument;
	int r;

	for (;;) {
		r = fuse_session_receive_buf(pool->session, &buffer);
		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r <= 0)
			break;
		confine_thread();
		if (atomic_fetch_sub(&pool->idle, 1) == 1)
			add_thread(pool);
		fuse_session_process_buf(pool->session, &buffer);
		if (!stay(pool))
			break;
	}
	free(buffer.mem);
	return NULL;
}

int pool_start(struct fuse_session *session)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->session = session;
	return add_thread(pool);
}
