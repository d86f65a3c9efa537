/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one does to files and not to KVM's descriptors, a guest_memfd's holes excepted. The kernel
 * would do it to the memfd.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "preload/preload.h"
#include "preload/real.h"
#include "util/guard.h"

enum use { READS, WRITES, OTHER };

/*
 * Whether @fd is ours; then the call fails. @position: it names a place in the file, which only
 * /dev/kvm and statistics have at all.
 */
static bool refuse(int fd, enum use use, bool position)
{
	int kind = fds_kind(fd);

	if (kind < 0)
		return false;
	if (position && kind != OBJECT_SYSTEM && !(kind == OBJECT_STATS && use == READS))
		errno = ESPIPE;
	else
		errno = kind == OBJECT_STATS && use == WRITES ? EBADF : EINVAL;
	return true;
}

/* ---- reading and writing; read() itself is in ioctl.c ---- */

EXPORT ssize_t write(int fd, const void *buffer, size_t bytes)
{
	return refuse(fd, WRITES, false) ? -1 : real()->write(fd, buffer, bytes);
}

EXPORT ssize_t pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
	return refuse(fd, WRITES, true) ? -1 : real()->pwrite(fd, buffer, bytes, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *buffer, size_t bytes, off_t offset)
{
	return pwrite(fd, buffer, bytes, offset);
}

/* Statistics are read part by part. @offset -1: at the description's position. */
static ssize_t read_parts(int fd, const struct iovec *given, int count, off_t offset)
{
	struct iovec parts[UIO_MAXIOV];
	ssize_t done = 0, n;

	if (count < 0 || count > UIO_MAXIOV)
		return preload_result(-EINVAL);
	if (guard_copy_from(parts, given, count * sizeof(*parts)))
		return preload_result(-EFAULT);
	for (int i = 0; i < count; i++) {
		n = offset < 0 ? read(fd, parts[i].iov_base, parts[i].iov_len) :
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
		return read_parts(fd, parts, count, -1);
	return refuse(fd, READS, false) ? -1 : real()->readv(fd, parts, count);
}

EXPORT ssize_t preadv(int fd, const struct iovec *parts, int count, off_t offset)
{
	if (fds_kind(fd) == OBJECT_STATS && offset >= 0)
		return read_parts(fd, parts, count, offset);
	return refuse(fd, READS, offset >= 0) ? -1 : real()->preadv(fd, parts, count, offset);
}

EXPORT ssize_t preadv64(int fd, const struct iovec *parts, int count, off_t offset)
{
	return preadv(fd, parts, count, offset);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	if (fds_kind(fd) == OBJECT_STATS && offset >= -1)
		return read_parts(fd, parts, count, offset);
	return refuse(fd, READS, offset != -1) ? -1 :
						 real()->preadv2(fd, parts, count, offset, flags);
}

EXPORT ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	return preadv2(fd, parts, count, offset, flags);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
	return refuse(fd, WRITES, false) ? -1 : real()->writev(fd, parts, count);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	return refuse(fd, WRITES, true) ? -1 : real()->pwritev(fd, parts, count, offset);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
	return pwritev(fd, parts, count, offset);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	return refuse(fd, WRITES, offset != -1) ? -1 :
						  real()->pwritev2(fd, parts, count, offset, flags);
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	return pwritev2(fd, parts, count, offset, flags);
}

/* ---- from file to file ---- */

EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t bytes)
{
	if (refuse(from, READS, offset != NULL) || refuse(to, WRITES, false))
		return -1;
	return real()->sendfile(to, from, offset, bytes);
}

EXPORT ssize_t sendfile64(int to, int from, off_t *offset, size_t bytes)
{
	return sendfile(to, from, offset, bytes);
}

EXPORT ssize_t splice(int from, off_t *from_offset, int to, off_t *to_offset, size_t bytes,
		      unsigned flags)
{
	if (refuse(from, READS, false) || refuse(to, WRITES, false))
		return -1;
	return real()->splice(from, from_offset, to, to_offset, bytes, flags);
}

/* A guest_memfd is a regular file, but its file system has no other. */
EXPORT ssize_t copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t bytes,
			       unsigned flags)
{
	int kind = fds_kind(from), other = fds_kind(to);

	if (kind < 0 && other < 0)
		return real()->copy_file_range(from, from_offset, to, to_offset, bytes, flags);
	errno = (kind < 0 && other == OBJECT_GUEST_MEMFD) ||
				(other < 0 && kind == OBJECT_GUEST_MEMFD) ?
			EXDEV :
			EINVAL;
	return -1;
}

/* ---- the file itself ---- */

/* The kernel's only look at @whence, and tell the position that reading statistics moves. */
EXPORT off_t lseek(int fd, off_t offset, int whence)
{
	int kind = fds_kind(fd);

	if (kind < 0)
		return real()->lseek(fd, offset, whence);
	if (whence < SEEK_SET || whence > SEEK_HOLE)
		return preload_result(-EINVAL);
	if (kind == OBJECT_GUEST_MEMFD)
		return preload_result(-ESPIPE);
	return kind == OBJECT_STATS ? real()->lseek(fd, 0, SEEK_CUR) : 0;
}

EXPORT off_t lseek64(int fd, off_t offset, int whence)
{
	return lseek(fd, offset, whence);
}

EXPORT int fsync(int fd)
{
	return refuse(fd, OTHER, false) ? -1 : real()->fsync(fd);
}

EXPORT int fdatasync(int fd)
{
	return refuse(fd, OTHER, false) ? -1 : real()->fdatasync(fd);
}

EXPORT int ftruncate(int fd, off_t bytes)
{
	return refuse(fd, OTHER, false) ? -1 : real()->ftruncate(fd, bytes);
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
	struct description *description = fds_find(fd);

	return description ? preload_result(allocate(description, mode, offset, bytes)) :
			     real()->fallocate(fd, mode, offset, bytes);
}

EXPORT int fallocate64(int fd, int mode, off_t offset, off_t bytes)
{
	return fallocate(fd, mode, offset, bytes);
}

/* Its result is the errno. Where the kernel does not know how, libc reads and writes the file. */
EXPORT int posix_fallocate(int fd, off_t offset, off_t bytes)
{
	struct description *description = fds_find(fd);
	int error;

	if (!description)
		return real()->posix_fallocate(fd, offset, bytes);
	error = -allocate(description, 0, offset, bytes);
	return error == EOPNOTSUPP ? ESPIPE : error;
}

EXPORT int posix_fallocate64(int fd, off_t offset, off_t bytes)
{
	return posix_fallocate(fd, offset, bytes);
}
