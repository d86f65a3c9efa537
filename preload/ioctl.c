/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioctl, and reading statistics. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <stdarg.h>

#include "preload/preload.h"
#include "preload/real.h"

/* What the kernel does itself, whatever the file is. */
static bool of_any_file(unsigned request)
{
	return request == FIOCLEX || request == FIONCLEX || request == FIONBIO ||
	       request == FIOASYNC;
}

/* What it does to what is on a disk, whatever the file is, before it asks for its own ioctls. */
static bool of_regular_file(unsigned request)
{
	return request == FIOQSIZE || request == FIGETBSZ || request == FS_IOC_FIEMAP ||
	       request == FICLONE || request == FICLONERANGE || request == FIDEDUPERANGE;
}

static int ioctl_of_file(int fd, unsigned long request, unsigned long argument)
{
	int stands = stand_in(fd, fds_kind(fd)), result = real()->ioctl(stands, request, argument);

	stand_in_end(stands, fd);
	return result;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct description *description;
	unsigned long argument;
	va_list list;

	va_start(list, request);
	argument = va_arg(list, unsigned long);
	va_end(list);
	if (_IOC_TYPE(request) != KVMIO && (!fds_known(fd) || of_any_file(request)))
		return real()->ioctl(fd, request, argument);
	if (of_regular_file(request))
		return ioctl_of_file(fd, request, argument);
	/* The one that must be fast. No other file knows its number. */
	description = (unsigned)request == KVM_RUN ? fds_get(fd) : NULL;
	if (!description)
		description = fds_get_checked(fd);
	if (!description)
		return real()->ioctl(fd, request, argument);
	return client_ioctl(description, request, argument);
}

/* ---- read(): the memfd's own file offset is the position ---- */

/*
 * Where statistics are read, the kernel finds all that is wrong with the arguments when it reads
 * the memfd, which is empty. @offset -1: at its position.
 */
static bool wrong(int fd, const struct description *description, void *buffer, size_t bytes,
		  off_t offset)
{
	if (description_object(description)->kind != OBJECT_STATS)
		return false;
	return (offset < 0 ? real()->read(fd, buffer, bytes) :
			     real()->pread(fd, buffer, bytes, offset)) < 0;
}

static ssize_t read_at_position(int fd, struct description *description, void *buffer, size_t bytes)
{
	off_t offset = real()->lseek(fd, 0, SEEK_CUR);
	ssize_t result;

	if (wrong(fd, description, buffer, bytes, -1)) {
		description_put(description);
		return -1;
	}
	result = client_read(description, buffer, bytes, offset);
	if (result > 0)
		real()->lseek(fd, offset + result, SEEK_SET);
	return result;
}

EXPORT ssize_t read(int fd, void *buffer, size_t bytes)
{
	struct description *description = fds_find(fd);

	return description ? read_at_position(fd, description, buffer, bytes) :
			     real()->read(fd, buffer, bytes);
}

/* Only /dev/kvm and statistics have places at all. */
static ssize_t read_at(int fd, struct description *description, void *buffer, size_t bytes,
		       off_t offset)
{
	enum object_kind kind = description_object(description)->kind;
	int error = offset < 0 ? EINVAL : ESPIPE;

	if (offset >= 0 && (kind == OBJECT_SYSTEM || kind == OBJECT_STATS)) {
		if (!wrong(fd, description, buffer, bytes, offset))
			return client_read(description, buffer, bytes, offset);
		error = errno;
	}
	description_put(description);
	return preload_result(-error);
}

EXPORT ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset)
{
	struct description *description = fds_find(fd);

	return description ? read_at(fd, description, buffer, bytes, offset) :
			     real()->pread(fd, buffer, bytes, offset);
}

EXPORT ssize_t pread64(int fd, void *buffer, size_t bytes, off_t offset)
{
	return pread(fd, buffer, bytes, offset);
}

/* For programs compiled with _FORTIFY_SOURCE; libc's own end the program if @room is small. */

EXPORT ssize_t __read_chk(int fd, void *buffer, size_t bytes, size_t room)
{
	struct description *description = bytes <= room ? fds_find(fd) : NULL;

	return description ? read_at_position(fd, description, buffer, bytes) :
			     real()->__read_chk(fd, buffer, bytes, room);
}

EXPORT ssize_t __pread_chk(int fd, void *buffer, size_t bytes, off_t offset, size_t room)
{
	struct description *description = bytes <= room ? fds_find(fd) : NULL;

	return description ? read_at(fd, description, buffer, bytes, offset) :
			     real()->__pread_chk(fd, buffer, bytes, offset, room);
}

ssize_t __pread64_chk(int fd, void *buffer, size_t bytes, off_t offset, size_t room);

EXPORT ssize_t __pread64_chk(int fd, void *buffer, size_t bytes, off_t offset, size_t room)
{
	return __pread_chk(fd, buffer, bytes, offset, room);
}
