/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one does to a file itself and not to KVM's descriptors, a guest_memfd's holes excepted. The
 * kernel would do it to the memfd.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/epoll.h>

#include "preload/preload.h"
#include "preload/real.h"

/*
 * An epoll descriptor is an anonymous inode without reading, writing and seeking, like KVM's, so
 * what the kernel says to it is what this kernel would say to one of KVM's.
 */
int stand_in(int fd, int kind)
{
	return kind < 0 ? fd : (int)kernel_call(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0);
}

void stand_in_end(int fd, int instead_of)
{
	if (fd != instead_of)
		kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

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

/* ---- what has no meaning for any of them ---- */

static int refused(int fd)
{
	if (fds_kind(fd) < 0)
		return 0;
	errno = EINVAL;
	return -1;
}

EXPORT int fsync(int fd)
{
	return refused(fd) ? -1 : real()->fsync(fd);
}

EXPORT int fdatasync(int fd)
{
	return refused(fd) ? -1 : real()->fdatasync(fd);
}

EXPORT int ftruncate(int fd, off_t bytes)
{
	return refused(fd) ? -1 : real()->ftruncate(fd, bytes);
}

EXPORT int ftruncate64(int fd, off_t bytes)
{
	return ftruncate(fd, bytes);
}

EXPORT ssize_t readahead(int fd, off_t offset, size_t bytes)
{
	return refused(fd) ? -1 : real()->readahead(fd, offset, bytes);
}

/* A guest_memfd alone is a regular file, and has no pages to write back. */
EXPORT int sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags)
{
	int kind = fds_kind(fd);
	int stands = stand_in(fd, kind == OBJECT_GUEST_MEMFD ? -1 : kind);
	int result = real()->sync_file_range(stands, offset, bytes, flags);

	stand_in_end(stands, fd);
	return result;
}

/* ---- owner, mode and times: the memfd of /dev/kvm has them as the device does ---- */

static int stand_in_for_change(int fd, int kind)
{
	return stand_in(fd, kind == OBJECT_SYSTEM ? -1 : kind);
}

/* A guest_memfd has no call for it, other anonymous inodes have one that fails, in new kernels. */
static int changed(int stands, int fd, int kind, int result)
{
	stand_in_end(stands, fd);
	if (kind == OBJECT_GUEST_MEMFD && (!result || errno == EOPNOTSUPP))
		return preload_result(-EINVAL);
	return result;
}

EXPORT int fchmod(int fd, mode_t mode)
{
	int kind = fds_kind(fd), stands = stand_in_for_change(fd, kind);

	return changed(stands, fd, kind, real()->fchmod(stands, mode));
}

EXPORT int fchown(int fd, uid_t owner, gid_t group)
{
	int kind = fds_kind(fd), stands = stand_in_for_change(fd, kind);

	return changed(stands, fd, kind, real()->fchown(stands, owner, group));
}

EXPORT int futimens(int fd, const struct timespec times[2])
{
	int kind = fds_kind(fd), stands = stand_in_for_change(fd, kind);

	return changed(stands, fd, kind, real()->futimens(stands, times));
}

/* ---- a guest_memfd's holes ---- */

static int allocate(struct description *description, int mode, off_t offset, off_t bytes)
{
	struct object *object = description_object(description);
	int stands, result;

	if (object->kind == OBJECT_GUEST_MEMFD) {
		result = object_fallocate(object, mode, offset, bytes);
	} else {
		stands = stand_in(-1, object->kind);
		result = kernel_call(SYS_fallocate, stands, mode, offset, bytes, 0, 0);
		stand_in_end(stands, -1);
		if (object->kind == OBJECT_STATS && result == -ENODEV)
			result = -EBADF;
	}
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
