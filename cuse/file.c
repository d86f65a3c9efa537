/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open file descriptions: what a client's descriptors, all its duplicates included, have in common.
 *
 * The daemon opens the file itself and hands the descriptor on. The kernel's question comes to
 * another thread, which knows by the number of the thread that opens what it is about. Until the
 * client has it for good there is no object behind it: a client can take it out of the socket, use
 * it, and have what gives it fail all the same.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cuse/daemon.h"

struct expected {
	struct expected *next;
	pid_t tid;
	struct file *file;
	bool found;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct expected *list;
static __thread struct expected own;
static atomic_uint files;

bool files_are_open(void)
{
	return atomic_load(&files);
}

struct file *file_create(struct object *object)
{
	struct file *file = calloc(1, sizeof(*file));

	if (file) {
		file->object = object;
		atomic_fetch_add(&files, 1);
	}
	return file;
}

void file_free(struct file *file)
{
	if (file)
		atomic_fetch_sub(&files, 1);
	free(file);
}

void file_expect(struct file *file)
{
	own = (struct expected){ .tid = gettid(), .file = file };
	pthread_mutex_lock(&lock);
	own.next = list;
	list = &own;
	pthread_mutex_unlock(&lock);
}

bool file_was_expected(struct file *file)
{
	struct expected **at;

	(void)file;
	pthread_mutex_lock(&lock);
	for (at = &list; *at != &own; at = &(*at)->next)
		;
	*at = own.next;
	pthread_mutex_unlock(&lock);
	return own.found;
}

struct file *file_expected_by(pid_t tid)
{
	struct file *file = NULL;
	struct expected *expected;

	pthread_mutex_lock(&lock);
	for (expected = list; expected; expected = expected->next) {
		if (expected->tid != tid || expected->found)
			continue;
		expected->found = true;
		file = expected->file;
		break;
	}
	pthread_mutex_unlock(&lock);
	return file;
}

void file_own(struct file *file, struct object *object)
{
	pthread_mutex_lock(&lock);
	file->object = object;
	pthread_mutex_unlock(&lock);
}

struct object *file_object(struct file *file)
{
	struct object *object;

	pthread_mutex_lock(&lock);
	object = file->object;
	if (object)
		object_get(object);
	pthread_mutex_unlock(&lock);
	return object;
}

void file_closing(struct file *file, struct process *process, uint64_t inode)
{
	bool first;

	pthread_mutex_lock(&lock);
	first = !file->closer;
	file->closer = process;
	pthread_mutex_unlock(&lock);
	/* The release comes after the answer to the close. */
	process_closing(process, inode, first);
}

void file_destroy(struct file *file)
{
	struct object *object;

	pthread_mutex_lock(&lock);
	object = file->object;
	file->object = NULL;
	pthread_mutex_unlock(&lock);
	if (file->node)
		mount_released(file->node);
	if (object)
		object_put(object);
	if (file->closer)
		process_closed(file->closer);
	file_free(file);
}

int file_open(struct object *object, struct file **out)
{
	struct file *file = file_create(object);
	int fd = -ENODEV;

	if (!file)
		return -ENOMEM;
	/* The device's ioctls are of the better kind; but it cannot be mapped, nor read at an offset. */
	if (object->kind == OBJECT_VM)
		fd = device_open(file);
	if (fd == -ENODEV)
		fd = mount_open(file);
	if (fd < 0) {
		file_free(file);
		return fd;
	}
	file_own(file, NULL);
	*out = file;
	return fd;
}
