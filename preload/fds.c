/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which object stands behind a descriptor.
 *
 * No locks: close() may be called by a signal handler in the middle of anything. Descriptions live
 * in a static array and are used again, so a stale pointer to one is harmless: whoever takes a
 * reference looks afterwards whether the table still has that description.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "preload/preload.h"
#include "preload/real.h"
#include "util/own_fd.h"

#define FDS_MAX 262144
#define DESCRIPTIONS_MAX 65536
#define CHECK_TRIES 4

/* Values of references: 0 free, 1 and more in use, DYING while the object is let go. */
#define DYING (-1)

struct description {
	atomic_int references;
	struct object *object;
	/* The memfd: how the description is known again. */
	ino_t inode;
	dev_t device;
};

static struct description descriptions[DESCRIPTIONS_MAX];
static atomic_uint descriptions_end; /* all in use are below */

static struct description *_Atomic table[FDS_MAX];
static atomic_uint table_end;

/*
 * Whose descriptors the table describes. A child of vfork() shares our memory but has descriptors
 * of its own, so what it closes stays open here.
 */
static pid_t owner;

static bool table_is_ours(void)
{
	return kernel_getpid() == owner;
}

static void set_owner(void)
{
	owner = kernel_getpid();
}

__attribute__((constructor(102))) static void fds_init(void)
{
	set_owner();
	pthread_atfork(NULL, NULL, set_owner);
}

static void raise_end(atomic_uint *end, unsigned at_least)
{
	unsigned seen = atomic_load(end);

	while (seen < at_least && !atomic_compare_exchange_weak(end, &seen, at_least))
		;
}

/* ---- descriptions ---- */

static bool description_try_get(struct description *description)
{
	int seen = atomic_load(&description->references);

	while (seen > 0)
		if (atomic_compare_exchange_weak(&description->references, &seen, seen + 1))
			return true;
	return false;
}

void description_put(struct description *description)
{
	int seen = atomic_load(&description->references);

	while (!atomic_compare_exchange_weak(&description->references, &seen,
					     seen > 1 ? seen - 1 : DYING))
		;
	if (seen > 1)
		return;
	object_put(description->object);
	atomic_store(&description->references, 0);
}

struct object *description_object(const struct description *description)
{
	return description->object;
}

/* With one reference; NULL: too many. */
static struct description *description_create(struct object *object, const struct stat *st)
{
	unsigned i;

	for (i = 0; i < DESCRIPTIONS_MAX; i++) {
		struct description *description = &descriptions[i];
		int unused = 0;

		/* Nobody believes in it before it is in the table. */
		if (!atomic_compare_exchange_strong(&description->references, &unused, 1))
			continue;
		description->object = object;
		description->inode = st->st_ino;
		description->device = st->st_dev;
		raise_end(&descriptions_end, i + 1);
		return description;
	}
	return NULL;
}

static bool description_is(const struct description *description, const struct stat *st)
{
	return description->inode == st->st_ino && description->device == st->st_dev;
}

/* By its memfd, with a reference. */
static struct description *description_find(const struct stat *st)
{
	unsigned i, end = atomic_load(&descriptions_end);

	for (i = 0; i < end; i++) {
		struct description *description = &descriptions[i];

		if (!atomic_load(&description->references) || !description_is(description, st) ||
		    !description_try_get(description))
			continue;
		if (description_is(description, st))
			return description;
		description_put(description);
	}
	return NULL;
}

/* ---- the table ---- */

static bool in_table(int fd)
{
	return (unsigned)fd < FDS_MAX;
}

/* Takes over the reference to @description, which may be NULL. */
static void table_set(int fd, struct description *description)
{
	struct description *before;

	if (description)
		raise_end(&table_end, fd + 1);
	before = atomic_exchange(&table[fd], description);
	if (before)
		description_put(before);
}

bool fds_known(int fd)
{
	return in_table(fd) && atomic_load_explicit(&table[fd], memory_order_relaxed);
}

bool fds_possible(int fd)
{
	return fds_known(fd) || (in_table(fd) && atomic_load(&descriptions_end));
}

struct description *fds_get(int fd)
{
	struct description *description;

	if (!in_table(fd))
		return NULL;
	while ((description = atomic_load(&table[fd]))) {
		if (!description_try_get(description))
			continue; /* closed just now: the entry has changed */
		if (atomic_load(&table[fd]) == description)
			return description;
		description_put(description);
	}
	return NULL;
}

/* Unless the entry has changed. The caller has a reference of its own. */
static void table_drop(int fd, struct description *description)
{
	struct description *expected = description;

	if (atomic_compare_exchange_strong(&table[fd], &expected, NULL))
		description_put(description);
}

/* Drops the entry if the kernel has something else behind @fd, or nothing. */
static void table_confirm(int fd)
{
	struct description *description = fds_get(fd);
	struct stat st;

	if (!description)
		return;
	if (kernel_fstat(fd, &st) || !description_is(description, &st))
		table_drop(fd, description);
	description_put(description);
}

/* Is @fd a descriptor of /dev/kvm from before an exec, or from another process of ours? */
static bool is_foreign_system(int fd)
{
	char path[32], target[32];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = kernel_call(SYS_readlink, (unsigned long)path, (unsigned long)target,
			     sizeof(target) - 1, 0, 0, 0);
	if (length < 0)
		return false;
	target[length] = 0;
	return !strcmp(target, "/memfd:kvm (deleted)");
}

/* A descriptor that no call of ours made. */
static struct description *adopt(int fd, const struct stat *st)
{
	struct description *description = description_find(st);
	struct object *object;

	if (!description) {
		if (st->st_size || !S_ISREG(st->st_mode) || !is_foreign_system(fd))
			return NULL;
		object = kvm_reopen();
		if (!object)
			return NULL;
		description = description_create(object, st);
		if (!description) {
			object_put(object);
			return NULL;
		}
	}
	if (table_is_ours() && description_try_get(description)) {
		table_set(fd, description);
		table_confirm(fd);
	}
	return description;
}

struct description *fds_get_checked(int fd)
{
	struct description *description;
	struct stat st;
	int tries;

	/* The core's own may be of the same file as a client's. */
	if (!in_table(fd) || own_fd_is(fd))
		return NULL;
	/* Again if another thread turns the number into something else meanwhile. */
	for (tries = 0; tries < CHECK_TRIES; tries++) {
		description = fds_get(fd);
		if (kernel_fstat(fd, &st))
			memset(&st, 0, sizeof(st));
		if (description && description_is(description, &st))
			return description;
		if (description) {
			if (table_is_ours())
				table_drop(fd, description);
			description_put(description);
		}
		description = st.st_ino ? adopt(fd, &st) : NULL;
		if (description || !fds_known(fd))
			return description;
	}
	return NULL;
}

struct description *fds_find(int fd)
{
	return fds_known(fd) ? fds_get_checked(fd) : NULL;
}

int fds_kind(int fd)
{
	struct description *description = fds_find(fd);
	int kind = -1;

	if (description) {
		kind = description_object(description)->kind;
		description_put(description);
	}
	return kind;
}

/* ---- descriptors come and go ---- */

/* The access mode and flags that the client asked for, on the same number. */
static int apply_flags(int fd, int flags)
{
	char path[32];
	long again;

	if ((flags & O_ACCMODE) == O_RDWR) {
		kernel_call(SYS_fcntl, fd, F_SETFL, flags, 0, 0, 0);
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = kernel_call(SYS_openat, AT_FDCWD, (unsigned long)path,
			    flags & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_CLOEXEC), 0, 0, 0);
	/* Without /proc the descriptor is read-write: more than was asked for. */
	if (again == -EMFILE || again == -ENFILE)
		return again;
	if (again < 0)
		return 0;
	kernel_call(SYS_dup3, again, fd, flags & O_CLOEXEC, 0, 0, 0);
	kernel_call(SYS_close, again, 0, 0, 0, 0, 0);
	return 0;
}

/* A memfd that stays empty: writing to it fails, touching a mapping of it is SIGBUS. */
static int create_empty(const char *name, int flags)
{
	int fd = kernel_call(SYS_memfd_create, (unsigned long)name,
			     MFD_ALLOW_SEALING | (flags & O_CLOEXEC ? MFD_CLOEXEC : 0), 0, 0, 0, 0);

	if (fd >= 0)
		kernel_call(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL,
			    0, 0, 0);
	return fd;
}

int fds_install(struct object *object, const char *name, int flags)
{
	struct description *description;
	struct stat st;
	int fd, r;

	fd = object_file(object);
	if (fd >= 0) /* has a memfd of its own, with contents */
		fd = kernel_call(SYS_fcntl, fd, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0, 0,
				 0, 0);
	else
		fd = create_empty(name, flags);
	if (fd < 0)
		return fd;
	r = in_table(fd) ? apply_flags(fd, flags) : -EMFILE;
	if (!r)
		r = kernel_fstat(fd, &st);
	if (r)
		goto close;
	description = description_create(object, &st);
	if (!description) {
		r = -ENFILE;
		goto close;
	}
	table_set(fd, description);
	return fd;

close:
	kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
	return r;
}

void fds_duplicated(int from, int to)
{
	struct description *description;

	if (from == to || (!fds_known(from) && !fds_known(to)))
		return;
	if (!in_table(to) || !table_is_ours())
		return;
	description = fds_get(from);
	table_set(to, description);
}

void fds_closed(int fd)
{
	if (fds_known(fd) && table_is_ours())
		table_confirm(fd);
}

void fds_closed_range(unsigned first, unsigned last)
{
	unsigned fd, end = atomic_load(&table_end);

	for (fd = first; fd < end && fd <= last; fd++)
		fds_closed(fd);
}
