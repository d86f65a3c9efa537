/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing files, which KVM's descriptors are not, statistics excepted. The kernel would
 * do it to the memfd.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "preload/preload.h"
#include "preload/real.h"
#include "util/guard.h"

enum use { READS, WRITES };

/* No place in the file is named, only its position used. */
#define AT_POSITION (-1)

/*
 * Whether @fd is ours; then the call fails. Only /dev/kvm and statistics have places in them that
 * can be named at all.
 */
static bool refuse(int fd, enum use use, off_t offset)
{
	int kind = fds_kind(fd);

	if (kind < 0)
		return false;
	if (offset < AT_POSITION)
		errno = EINVAL;
	else if (offset != AT_POSITION && kind != OBJECT_SYSTEM &&
		 !(kind == OBJECT_STATS && use == READS))
		errno = ESPIPE;
	else
		errno = kind == OBJECT_STATS && use == WRITES ? EBADF : EINVAL;
	return true;
}

/* For calls in which -1 is a place, and a wrong one. */
static off_t named(off_t offset)
{
	return offset < 0 ? AT_POSITION - 1 : offset;
}

/* ---- reading and writing; read() itself is in ioctl.c ---- */

EXPORT ssize_t write(int fd, const void *buffer, size_t bytes)
{
	return refuse(fd, WRITES, AT_POSITION) ? -1 : real()->write(fd, buffer, bytes);
}

EXPORT ssize_t pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
	return refuse(fd, WRITES, named(offset)) ? -1 : real()->pwrite(fd, buffer, bytes, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *buffer, size_t bytes, off_t offset)
{
	return pwrite(fd, buffer, bytes, offset);
}

/*
 * Statistics are read part by part. The kernel finds all that is wrong with the arguments when it
 * reads the memfd, which is empty, and knows one flag for files that are read by parts.
 */
static ssize_t read_parts(int fd, const struct iovec *given, int count, off_t offset, int flags)
{
	struct iovec parts[UIO_MAXIOV];
	ssize_t done = 0, n;

	if (real()->preadv2(fd, given, count, offset, 0) < 0)
		return -1;
	if (guard_copy_from(parts, given, count * sizeof(*parts)))
		return preload_result(-EFAULT);
	for (int i = 0; i < count; i++) {
		if (parts[i].iov_len && (flags & ~RWF_HIPRI))
			return preload_result(-EOPNOTSUPP);
		n = offset == AT_POSITION ?
			    read(fd, parts[i].iov_base, parts[i].iov_len) :
			    pread(fd, parts[i].iov_base, parts[i].iov_len, offset + done);
		if (n < 0)
			return done ? done : -1;
		done += n;
		if ((size_t)n < parts[i].iov_len)
			break;
	}
	return done;
}

EXPORT ssize_t readv(int fd, const struct iovec *parts, int count)
{
	if (fds_kind(fd) == OBJECT_STATS)
		return read_parts(fd, parts, count, AT_POSITION, 0);
	return refuse(fd, READS, AT_POSITION) ? -1 : real()->readv(fd, parts, count);
}

EXPORT ssize_t preadv(int fd, const struct iovec *parts, int count, off_t offset)
{
	if (fds_kind(fd) == OBJECT_STATS && offset >= 0)
		return read_parts(fd, parts, count, offset, 0);
	return refuse(fd, READS, named(offset)) ? -1 : real()->preadv(fd, parts, count, offset);
}

EXPORT ssize_t preadv64(int fd, const struct iovec *parts, int count, off_t offset)
{
	return preadv(fd, parts, count, offset);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	if (fds_kind(fd) == OBJECT_STATS && offset >= AT_POSITION)
		return read_parts(fd, parts, count, offset, flags);
	return refuse(fd, READS, offset) ? -1 : real()->preadv2(fd, parts, count, offset, flags);
}

EXPORT ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	return preadv2(fd, parts, count, offset, flags);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
	return refuse(fd, WRITES, AT_POSITION) ? -1 : real()->writev(fd, parts, count);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	return refuse(fd, WRITES, named(offset)) ? -1 : real()->pwritev(fd, parts, count, offset);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
	return pwritev(fd, parts, count, offset);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	return refuse(fd, WRITES, offset) ? -1 : real()->pwritev2(fd, parts, count, offset, flags);
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	return pwritev2(fd, parts, count, offset, flags);
}

/* ---- from file to file: the kernel looks at the other arguments ---- */

/* Statistics can be read at a place and cannot be written, but are neither here. */
static ssize_t answer(ssize_t result, int from_kind, int to_kind, bool position)
{
	bool placed = from_kind == OBJECT_SYSTEM || from_kind == OBJECT_STATS;

	if (result < 0 && errno == ESPIPE && position && placed)
		errno = EINVAL;
	if (result < 0 && errno == EINVAL && to_kind == OBJECT_STATS)
		errno = EBADF;
	return result;
}

EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t bytes)
{
	int from_kind = fds_kind(from), to_kind = fds_kind(to);
	int source = stand_in(from, from_kind), target = stand_in(to, to_kind);
	ssize_t result = real()->sendfile(target, source, offset, bytes);

	stand_in_end(source, from);
	stand_in_end(target, to);
	return answer(result, from_kind, to_kind, offset != NULL);
}

EXPORT ssize_t sendfile64(int to, int from, off_t *offset, size_t bytes)
{
	return sendfile(to, from, offset, bytes);
}

EXPORT ssize_t splice(int from, off_t *from_offset, int to, off_t *to_offset, size_t bytes,
		      unsigned flags)
{
	int from_kind = fds_kind(from), to_kind = fds_kind(to);
	int source = stand_in(from, from_kind), target = stand_in(to, to_kind);
	ssize_t result = real()->splice(source, from_offset, target, to_offset, bytes, flags);

	stand_in_end(source, from);
	stand_in_end(target, to);
	return answer(result, from_kind, to_kind, false);
}

/* Whether one is a guest_memfd, a regular file in a file system of its own, and @other regular. */
static bool crosses(int kind, int other_kind, int other)
{
	struct stat st;

	return kind == OBJECT_GUEST_MEMFD && other_kind < 0 && !kernel_fstat(other, &st) &&
	       S_ISREG(st.st_mode);
}

EXPORT ssize_t copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t bytes,
			       unsigned flags)
{
	int from_kind = fds_kind(from), to_kind = fds_kind(to);
	int source = stand_in(from, from_kind), target = stand_in(to, to_kind);
	ssize_t result =
		real()->copy_file_range(source, from_offset, target, to_offset, bytes, flags);

	stand_in_end(source, from);
	stand_in_end(target, to);
	if (result < 0 && errno == EINVAL && !flags &&
	    (crosses(from_kind, to_kind, to) || crosses(to_kind, from_kind, from)))
		errno = EXDEV;
	return result;
}
