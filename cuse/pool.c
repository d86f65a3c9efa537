/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that serve a session. KVM_RUN stays in its thread for as long as the guest runs, so there
 * are as many as there are requests, and some that wait for the next.
 *
 * A thread that stores to a vCPU's page while the kernel writes it back waits in its page fault for
 * our answer, and the address space is locked meanwhile (mmap_lock): whoever maps memory waits, and
 * behind them everybody whose memory is not there. So one thread at least always reads, on memory
 * that is locked, and what is part of a page fault it answers at once, without asking for memory. If
 * it is the only one that reads, it leaves other requests in a backlog to those who come after it;
 * and threads are made by one that does nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "cuse/daemon.h"

#define POOLS 2 /* the device's and the mount's */
#define READING_MIN 2
#define READING_MAX 4
#define STACK_BYTES (1u << 20)
#define STACK_LOCKED (32u << 10) /* below the buffer: for reading and answering */
#define BACKLOG_BYTES (256u << 10)
#define RETRY_NS 10000000

struct pool {
	struct fuse_session *session;
	pool_at_once *at_once;
	int fd;

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t wanted;
	unsigned reading;  /* threads that wait for a request, or have not yet looked at it */
	unsigned starting; /* threads that are not there yet */
	unsigned waiting;  /* requests in the backlog, each behind its length */
	size_t first, used;
	uint8_t backlog[BACKLOG_BYTES];
};

static struct pool pools[POOLS]; /* in memory that is locked when the daemon starts */
static unsigned pools_used;

static __thread bool retired;

void pool_retire(void)
{
	retired = true;
}

/* ---- answers to requests that libfuse does not see ---- */

void pool_answer(int fd, uint64_t unique, int error, const struct iovec *data, unsigned count)
{
	struct fuse_out_header header = { .unique = unique, .error = error };
	struct iovec parts[1 + POOL_PARTS_MAX] = { { &header, sizeof(header) } };
	unsigned i;

	header.len = sizeof(header);
	for (i = 0; i < count; i++) {
		parts[1 + i] = data[i];
		header.len += data[i].iov_len;
	}
	/* ENOENT: the caller has gone. */
	if (writev(fd, parts, 1 + count) < 0 && errno != ENOENT)
		LOG(ERROR, "an answer is refused: %m");
}

/* Does somebody's end depend on it? */
static bool is_end(const struct fuse_in_header *in)
{
	return in->opcode == FUSE_RELEASE || in->opcode == FUSE_INTERRUPT;
}

static void refuse(const struct pool *pool, const struct fuse_in_header *in)
{
	LOG(ERROR, "too many requests wait for a thread");
	if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET && !is_end(in))
		pool_answer(pool->fd, in->unique, -ENOMEM, NULL, 0);
}

/* ---- the backlog, under the lock ---- */

static void append(struct pool *pool, const void *data, size_t bytes)
{
	size_t at = (pool->first + pool->used) % BACKLOG_BYTES;
	size_t part = bytes < BACKLOG_BYTES - at ? bytes : BACKLOG_BYTES - at;

	memcpy(pool->backlog + at, data, part);
	memcpy(pool->backlog, (const uint8_t *)data + part, bytes - part);
	pool->used += bytes;
}

static void take(struct pool *pool, void *data, size_t bytes)
{
	size_t part = bytes < BACKLOG_BYTES - pool->first ? bytes : BACKLOG_BYTES - pool->first;

	memcpy(data, pool->backlog + pool->first, part);
	memcpy((uint8_t *)data + part, pool->backlog, bytes - part);
	pool->first = (pool->first + bytes) % BACKLOG_BYTES;
	pool->used -= bytes;
}

static bool put_aside(struct pool *pool, const void *request, size_t bytes)
{
	/* The last quarter is for those that are waited for. */
	size_t room = is_end(request) ? BACKLOG_BYTES : BACKLOG_BYTES / 4 * 3;

	if (pool->used + sizeof(bytes) + bytes > room)
		return false;
	append(pool, &bytes, sizeof(bytes));
	append(pool, request, bytes);
	pool->waiting++;
	return true;
}

static size_t take_oldest(struct pool *pool, void *request)
{
	size_t bytes;

	take(pool, &bytes, sizeof(bytes));
	take(pool, request, bytes);
	pool->waiting--;
	return bytes;
}

/* ---- the threads ---- */

/*
 * Reads one request that is to be served by the caller, which does not count as reading then. 0: the
 * session is at its end.
 */
static size_t read_one(struct pool *pool, void *request)
{
	bool served = false, refused;
	ssize_t bytes;

	while (!served) {
		bytes = read(pool->fd, request, POOL_REQUEST_BYTES);
		if (bytes < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (bytes < (ssize_t)sizeof(struct fuse_in_header))
			return 0;
		confine_thread();
		if (pool->at_once && pool->at_once(pool->fd, request))
			continue;
		pthread_mutex_lock(&pool->lock);
		served = pool->reading > 1;
		if (served)
			pool->reading--;
		refused = !served && !put_aside(pool, request, bytes);
		if (pool->reading < READING_MIN)
			pthread_cond_signal(&pool->wanted);
		pthread_mutex_unlock(&pool->lock);
		if (refused)
			refuse(pool, request);
	}
	return bytes;
}

/* The next request for the calling thread, or 0: it is to end. */
static size_t next(struct pool *pool, void *request)
{
	size_t bytes = 0;
	bool read;

	pthread_mutex_lock(&pool->lock);
	read = !pool->waiting && pool->reading < READING_MAX;
	if (pool->waiting)
		bytes = take_oldest(pool, request);
	else if (read)
		pool->reading++;
	pthread_mutex_unlock(&pool->lock);
	return read ? read_one(pool, request) : bytes;
}

/* From below the caller's frame to the end, where the thread's own variables are. */
static __attribute__((noinline)) void lock_stack(void)
{
	uintptr_t low = ((uintptr_t)__builtin_frame_address(0) - STACK_LOCKED) & -PAGE;
	pthread_attr_t attributes;
	size_t bytes;
	void *start;

	if (pthread_getattr_np(pthread_self(), &attributes))
		return;
	pthread_attr_getstack(&attributes, &start, &bytes);
	pthread_attr_destroy(&attributes);
	if (mlock((void *)low, (uintptr_t)start + bytes - low))
		LOG(WARN, "a thread's stack is not locked: %m");
}

static void *serve(void *argument)
{
	_Alignas(struct fuse_in_header) uint8_t request[POOL_REQUEST_BYTES];
	struct fuse_buf buffer = { .mem = request };
	struct pool *pool = argument;

	lock_stack();
	pthread_mutex_lock(&pool->lock);
	pool->starting--;
	pthread_mutex_unlock(&pool->lock);
	while (!retired && (buffer.size = next(pool, request)))
		fuse_session_process_buf(pool->session, &buffer);
	return NULL;
}

static int add_thread(struct pool *pool)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	r = pthread_create(&thread, &attributes, serve, pool);
	pthread_attr_destroy(&attributes);
	return r;
}

static bool too_few(const struct pool *pool)
{
	return pool->reading + pool->starting < READING_MIN || pool->waiting > pool->starting;
}

static void *make_threads(void *argument)
{
	const struct timespec pause = { .tv_nsec = RETRY_NS };
	struct pool *pool = argument;
	int r;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (!too_few(pool))
			pthread_cond_wait(&pool->wanted, &pool->lock);
		pool->starting++;
		pthread_mutex_unlock(&pool->lock);
		confine_thread();
		r = add_thread(pool);
		if (r) {
			LOG(ERROR, "no thread for requests: %s", strerror(r));
			nanosleep(&pause, NULL);
		}
		pthread_mutex_lock(&pool->lock);
		if (r)
			pool->starting--;
	}
	return NULL;
}

int pool_start(struct fuse_session *session, pool_at_once *at_once)
{
	struct pool *pool;
	pthread_t maker;

	if (pools_used == POOLS)
		return -ENOMEM;
	pool = &pools[pools_used++];
	pool->session = session;
	pool->at_once = at_once;
	pool->fd = fuse_session_fd(session);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wanted, NULL);
	return -pthread_create(&maker, NULL, make_threads, pool);
}
