/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one does to files and not to KVM's descriptors, a guest_memfd's holes excepted. The kernel
 * would do it to the memfd.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "preload/preload.h"
#include "preload/real.h"

static struct description *get(int fd)
{
	return fds_known(fd) ? fds_get_checked(fd) : NULL;
}

/* Whether @fd is ours; then the call fails. @position: it is about a place in a file. */
static bool refuse(int fd, bool position)
{
	struct description *description = get(fd);

	if (!description)
		return false;
	errno = position && description_object(description)->kind != OBJECT_SYSTEM ? ESPIPE :
										     EINVAL;
	description_put(description);
	return true;
}

EXPORT ssize_t write(int fd, const void *buffer, size_t bytes)
{
	return refuse(fd, false) ? -1 : real()->write(fd, buffer, bytes);
}

EXPORT ssize_t pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
	return refuse(fd, true) ? -1 : real()->pwrite(fd, buffer, bytes, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *buffer, size_t bytes, off_t offset)
{
	return pwrite(fd, buffer, bytes, offset);
}

EXPORT int ftruncate(int fd, off_t bytes)
{
	return refuse(fd, false) ? -1 : real()->ftruncate(fd, bytes);
}

EXPORT int ftruncate64(int fd, off_t bytes)
{
	return ftruncate(fd, bytes);
}

static int allocate(struct description *description, int mode, off_t offset, off_t bytes)
{
	int result = object_fallocate(description_object(description), mode, offset, bytes);

	description_put(description);
	return result;
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
	struct description *description = get(fd);

	return description ? preload_result(allocate(description, mode, offset, bytes)) :
			     real()->fallocate(fd, mode, offset, bytes);
}

EXPORT int fallocate64(int fd, int mode, off_t offset, off_t bytes)
{
	return fallocate(fd, mode, offset, bytes);
}

/* Its result is the errno. */
EXPORT int posix_fallocate(int fd, off_t offset, off_t bytes)
{
	struct description *description = get(fd);

	return description ? -allocate(description, 0, offset, bytes) :
			     real()->posix_fallocate(fd, offset, bytes);
}

EXPORT int posix_fallocate64(int fd, off_t offset, off_t bytes)
{
	return posix_fallocate(fd, offset, bytes);
}
