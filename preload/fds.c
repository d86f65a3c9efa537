/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which object stands behind a descriptor number. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/preload.h"

#define FDS_MAX 65536

struct slot {
	struct object *_Atomic object;
	ino_t inode;       /* of the memfd: a number that was reused behind our back is seen */
	unsigned process;  /* @process_count at creation */
};

static struct slot table[FDS_MAX];
/* Taken for changes, so that a lookup that wants a reference never meets a freed object. */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned process_count;
static pid_t process_id;

static void fork_prepare(void)
{
	pthread_mutex_lock(&table_lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&table_lock);
}

static void fork_child(void)
{
	process_count++;
	process_id = getpid();
	pthread_mutex_unlock(&table_lock);
}

__attribute__((constructor)) static void fds_init(void)
{
	process_id = getpid();
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

struct object *fds_object(int fd)
{
	if (fd < 0 || fd >= FDS_MAX)
		return NULL;
	return atomic_load_explicit(&table[fd].object, memory_order_acquire);
}

bool fds_foreign(int fd)
{
	return table[fd].process != process_count;
}

struct object *fds_get(int fd)
{
	struct object *object, *stale = NULL;
	struct stat st;

	if (!fds_object(fd))
		return NULL;
	if (REAL(fstat)(fd, &st))
		st.st_ino = 0;
	pthread_mutex_lock(&table_lock);
	object = atomic_load(&table[fd].object);
	if (object && table[fd].inode != st.st_ino) {
		stale = object;
		atomic_store(&table[fd].object, NULL);
		object = NULL;
	}
	if (object)
		object_get(object);
	pthread_mutex_unlock(&table_lock);
	/* An object from before a fork is the parent's: not ours to free. */
	if (stale && !fds_foreign(fd))
		object_put(stale);
	return object;
}

static void set(int fd, struct object *object, ino_t inode, unsigned process)
{
	struct object *old;
	bool own;

	pthread_mutex_lock(&table_lock);
	old = atomic_load(&table[fd].object);
	own = table[fd].process == process_count;
	table[fd].inode = inode;
	table[fd].process = process;
	atomic_store_explicit(&table[fd].object, object, memory_order_release);
	pthread_mutex_unlock(&table_lock);
	if (old && own)
		object_put(old);
}

int fds_install(struct object *object, int flags)
{
	char name[32];
	struct stat st;
	int fd;

	snprintf(name, sizeof(name), "kvm-%s", object_kind_name(object->kind));
	fd = memfd_create(name, flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd < 0)
		return -errno;
	if (fd >= FDS_MAX || REAL(fstat)(fd, &st)) {
		REAL(close)(fd);
		return -EMFILE;
	}
	set(fd, object, st.st_ino, process_count);
	return fd;
}

void fds_duplicate(int old_fd, int new_fd)
{
	struct object *object = fds_object(old_fd);

	if (!object || new_fd < 0 || new_fd >= FDS_MAX || old_fd == new_fd)
		return;
	set(new_fd, object_get(object), table[old_fd].inode, table[old_fd].process);
}

void fds_forget(int fd)
{
	/* A vfork child shares this memory, but its descriptors are its own. */
	if (!fds_object(fd) || getpid() != process_id)
		return;
	set(fd, NULL, 0, process_count);
}

void fds_forget_range(unsigned first, unsigned last)
{
	unsigned fd;

	for (fd = first; fd <= last && fd < FDS_MAX; fd++)
		fds_forget(fd);
}
