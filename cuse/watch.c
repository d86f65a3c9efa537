/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a client changes in the mappings behind its slots. userfaultfd(2), events.
 *
 * The kernel makes the thread that unmaps, moves or drops memory wait until its event has been
 * read, no longer. So all threads are told to stop before that: the one that waits then stops on
 * its way to user mode, and none has seen the change before we have followed it. Memory that was
 * private reads as zeros after MADV_DONTNEED; the shared memory that it has become is emptied for
 * that.
 *
 * Registered are the ranges for write protection, of which no page ever has any: no access faults.
 * Where the kernel cannot do that for shared memory (before 5.19), or the client has a userfaultfd
 * of its own there, changes are not noticed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cuse/daemon.h"

/* Taken at a time: processes that share the memory, whom nobody stops, may make more for ever. */
#define EVENTS_MOST 4096
#define PAUSE_NS 1000000

#define FEATURES                                                                                   \
	(UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP |         \
	 UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP)

/* Memory that was private: where it is in the memfd that it has become. */
struct converted {
	struct converted *next;
	uint64_t start, end, offset;
	int memfd;
	ino_t inode; /* its */
};

struct change {
	struct change *next;
	uint64_t start, end;
	bool removed; /* the pages, not the mapping */
};

/* ---- what happens to memory; the process is frozen ---- */

void watch_converted(struct process *process, uint64_t start, uint64_t end, int memfd,
		     uint64_t offset)
{
	struct converted *converted = process->converted;
	struct stat st;

	if (fstat(memfd, &st))
		return;
	if (converted && converted->end == start && converted->inode == st.st_ino &&
	    converted->offset + (start - converted->start) == offset) {
		converted->end = end;
		return;
	}
	converted = calloc(1, sizeof(*converted));
	if (!converted)
		return;
	converted->memfd = fcntl(memfd, F_DUPFD_CLOEXEC, 0);
	if (converted->memfd < 0) {
		free(converted);
		return;
	}
	converted->inode = st.st_ino;
	converted->start = start;
	converted->end = end;
	converted->offset = offset;
	converted->next = process->converted;
	process->converted = converted;
}

static void empty(const struct converted *converted, uint64_t start, uint64_t end)
{
	if (fallocate(converted->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      converted->offset + (start - converted->start), end - start))
		LOG(WARN, "memory that a client has dropped cannot be: %m");
}

/* Takes [@start, @end) out of the entry at @at, which may leave two, one or none. */
static void cut(struct process *process, struct converted **at, uint64_t start, uint64_t end)
{
	struct converted *converted = *at;

	if (end < converted->end)
		watch_converted(process, end, converted->end, converted->memfd,
				converted->offset + (end - converted->start));
	if (start > converted->start) {
		converted->end = start;
		return;
	}
	/* watch_converted() may have put a new entry in front of this one. */
	while (*at != converted)
		at = &(*at)->next;
	*at = converted->next;
	close(converted->memfd);
	free(converted);
}

static void apply(struct process *process, const struct change *change)
{
	struct converted **at = &process->converted, *converted;

	while ((converted = *at)) {
		uint64_t start = change->start > converted->start ? change->start :
								    converted->start;
		uint64_t end = change->end < converted->end ? change->end : converted->end;

		if (start < end && change->removed)
			empty(converted, start, end);
		if (start < end && !change->removed) {
			cut(process, at, start, end);
			at = &process->converted;
			continue;
		}
		at = &converted->next;
	}
	if (!change->removed)
		memory_forget(process, change->start, change->end);
}

void watch_apply(struct process *process)
{
	struct change *change;

	/* In the order in which they came. */
	while ((change = process->changes)) {
		apply(process, change);
		process->changes = change->next;
		free(change);
	}
	process->changes_end = &process->changes;
	/* Nobody is to hold what no mapping shows any more. */
	if (!process->converted && process->exchanged.memfd >= 0) {
		close(process->exchanged.memfd);
		process->exchanged.memfd = -1;
	}
}

static void add_change(struct process *process, uint64_t start, uint64_t end, bool removed)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change) {
		LOG(ERROR, "no memory to follow a client's mappings");
		return;
	}
	change->start = start;
	change->end = end;
	change->removed = removed;
	*process->changes_end = change;
	process->changes_end = &change->next;
}

/* Never waits: whether a read does is the client's to change, if it has the file as well. */
static bool read_news(int fd, struct uffd_msg *message)
{
	struct pollfd news = { .fd = fd, .events = POLLIN };

	return fd >= 0 && poll(&news, 1, 0) == 1 && news.revents == POLLIN &&
	       read(fd, message, sizeof(*message)) == sizeof(*message);
}

void watch_collect(struct process *process)
{
	struct uffd_msg message;
	unsigned i;

	for (i = 0; i < EVENTS_MOST && read_news(process->watch_fd, &message); i++) {
		switch (message.event) {
		case UFFD_EVENT_REMOVE:
			add_change(process, message.arg.remove.start, message.arg.remove.end, true);
			break;
		case UFFD_EVENT_UNMAP:
			add_change(process, message.arg.remove.start, message.arg.remove.end,
				   false);
			break;
		case UFFD_EVENT_REMAP:
			add_change(process, message.arg.remap.from,
				   message.arg.remap.from + message.arg.remap.len, false);
			break;
		default:
			break;
		}
	}
}

/* ---- watching ---- */

static void *watch(void *argument)
{
	struct process *process = argument;
	struct pollfd fds[] = {
		{ .fd = process->watch_fd, .events = POLLIN },
		{ .fd = process->watch_stop, .events = POLLIN },
	};
	struct request request = { .process = process };
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	struct freezer *freezer;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[1].revents || (fds[0].revents & (POLLERR | POLLNVAL)))
			return NULL;
		if (!(fds[0].revents & POLLIN))
			continue;
		/* What there is to do is done in here. */
		if (process_freeze(&request, &freezer))
			nanosleep(&pause, NULL);
		else
			process_thaw(&request, freezer);
	}
}

/* Or has the client put something else in its place, whose every call may wait? */
static bool is_userfaultfd(int fd)
{
	static const char expected[] = "anon_inode:[userfaultfd]";
	char path[32], name[sizeof(expected)];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, name, sizeof(name)) == sizeof(expected) - 1 &&
	       !memcmp(name, expected, sizeof(expected) - 1);
}

/* A userfaultfd of the caller's address space, which is captured, or negative errno. */
static int open_userfaultfd(struct request *request)
{
	struct uffdio_api api = { .api = UFFD_API, .features = FEATURES };
	long theirs;
	int fd;

	theirs = tracee_call(request->tracee, SYS_userfaultfd,
			     O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (theirs < 0)
		return theirs;
	fd = thread_get_fd(request->tid, theirs);
	tracee_call(request->tracee, SYS_close, theirs);
	if (fd < 0)
		return fd;
	if (!is_userfaultfd(fd) || ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -ENOSYS;
	}
	return fd;
}

int watch_start(struct request *request)
{
	struct process *process = request->process;
	int fd, r = 0;

	pthread_mutex_lock(&process->watch_lock);
	if (process->watch_fd >= 0 || process->watch_failed)
		goto out;
	r = request_capture(request);
	if (r)
		goto out;
	process->watch_failed = true;
	fd = open_userfaultfd(request);
	if (fd < 0) {
		LOG(INFO, "mappings of process %d are not watched: %s", process->pid,
		    strerror(-fd));
		goto out;
	}
	process->watch_stop = eventfd(0, EFD_CLOEXEC);
	process->watch_fd = fd;
	if (process->watch_stop < 0 ||
	    pthread_create(&process->watch_thread, NULL, watch, process)) {
		process->watch_fd = -1;
		close(fd);
		if (process->watch_stop >= 0)
			close(process->watch_stop);
		goto out;
	}
	process->watch_failed = false;
out:
	pthread_mutex_unlock(&process->watch_lock);
	return r;
}

void watch_range(struct process *process, uint64_t start, uint64_t end)
{
	struct uffdio_register range = {
		.range = { .start = start, .len = end - start },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (process->watch_fd >= 0 && ioctl(process->watch_fd, UFFDIO_REGISTER, &range))
		LOG(INFO, "process %d: %#llx to %#llx is not watched: %m", process->pid,
		    (unsigned long long)start, (unsigned long long)end);
}

void watch_end(struct process *process)
{
	struct converted *converted;
	const uint64_t one = 1;

	if (process->watch_fd >= 0) {
		if (write(process->watch_stop, &one, sizeof(one)) == sizeof(one))
			pthread_join(process->watch_thread, NULL);
		/* Whoever still waits for an event to be read goes on. */
		close(process->watch_fd);
		close(process->watch_stop);
	}
	while ((converted = process->converted)) {
		process->converted = converted->next;
		close(converted->memfd);
		free(converted);
	}
	watch_apply(process);
}
