/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioctl, mmap, read, close and the dup family on our descriptors. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload/preload.h"

#define PAGE 4096ul

/* ---- ioctl ---- */

static int kvm_ioctl(int fd, unsigned long request, unsigned long argument)
{
	struct object *object;
	long result;
	bool run = request == KVM_RUN;

	if (fds_foreign(fd)) {
		errno = EIO;
		return -1;
	}
	object = fds_get(fd);
	if (!object)
		return REAL(ioctl)(fd, request, argument);
	if (run && object->kind == OBJECT_VCPU) {
		client_enter(object);
		result = object_ioctl(object, client_self(), request, argument);
		client_leave();
	} else {
		result = object_ioctl(object, client_self(), request, argument);
	}
	object_put(object);
	if (result < 0) {
		errno = -result;
		return -1;
	}
	return result;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	unsigned long argument;
	va_list list;

	va_start(list, request);
	argument = va_arg(list, unsigned long);
	va_end(list);
	if (fds_object(fd))
		return kvm_ioctl(fd, (unsigned)request, argument);
	return REAL(ioctl)(fd, request, argument);
}

/* ---- mmap ---- */

static void *map_object(struct object *object, void *address, size_t length, int prot, int flags,
			off_t offset)
{
	size_t pages = (length + PAGE - 1) / PAGE, i = 0;
	struct object_page first, next;
	void *base;
	int error;

	if (!length || offset & (PAGE - 1)) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	error = object_page(object, offset / PAGE, &first);
	if (error) {
		errno = -error;
		return MAP_FAILED;
	}
	base = REAL(mmap)(address, length, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)),
			  -1, 0);
	if (base == MAP_FAILED)
		return base;
	/* Pages past the object's end stay without access: the kernel would raise SIGBUS there. */
	while (i < pages && !object_page(object, offset / PAGE + i, &first)) {
		size_t run = 1;

		while (i + run < pages && !object_page(object, offset / PAGE + i + run, &next) &&
		       next.fd == first.fd && next.offset == first.offset + (off_t)(run * PAGE))
			run++;
		if (REAL(mmap)((char *)base + i * PAGE, run * PAGE, prot, MAP_SHARED | MAP_FIXED,
			       first.fd, first.offset) == MAP_FAILED) {
			error = errno;
			munmap(base, length);
			errno = error;
			return MAP_FAILED;
		}
		i += run;
	}
	return base;
}

#define DEFINE_MMAP(name)                                                                          \
EXPORT void *name(void *address, size_t length, int prot, int flags, int fd, off_t offset)        \
{                                                                                                  \
	struct object *object = flags & MAP_ANONYMOUS ? NULL : fds_object(fd);                     \
	void *result;                                                                              \
                                                                                                   \
	if (!object)                                                                               \
		return REAL(name)(address, length, prot, flags, fd, offset);                       \
	object = fds_get(fd);                                                                      \
	if (!object)                                                                               \
		return REAL(name)(address, length, prot, flags, fd, offset);                       \
	result = map_object(object, address, length, prot, flags, offset);                         \
	object_put(object);                                                                        \
	return result;                                                                             \
}

DEFINE_MMAP(mmap)
DEFINE_MMAP(mmap64)

/* ---- read: statistics ---- */

static ssize_t read_object(int fd, void *buffer, size_t bytes, off_t offset)
{
	struct object *object = fds_get(fd);
	ssize_t result;

	if (!object)
		return REAL(pread)(fd, buffer, bytes, offset);
	result = object_read(object, client_self(), (uint64_t)buffer, bytes, offset);
	object_put(object);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

EXPORT ssize_t read(int fd, void *buffer, size_t bytes)
{
	ssize_t result;
	off_t offset;

	if (!fds_object(fd))
		return REAL(read)(fd, buffer, bytes);
	/* The memfd's own position is the descriptor's. */
	offset = lseek(fd, 0, SEEK_CUR);
	result = read_object(fd, buffer, bytes, offset);
	if (result > 0)
		lseek(fd, offset + result, SEEK_SET);
	return result;
}

EXPORT ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset)
{
	return fds_object(fd) ? read_object(fd, buffer, bytes, offset) :
				REAL(pread)(fd, buffer, bytes, offset);
}

EXPORT ssize_t pread64(int fd, void *buffer, size_t bytes, off_t offset)
{
	return fds_object(fd) ? read_object(fd, buffer, bytes, offset) :
				REAL(pread64)(fd, buffer, bytes, offset);
}

/* ---- descriptors ---- */

EXPORT int close(int fd)
{
	fds_forget(fd);
	return REAL(close)(fd);
}

EXPORT int fclose(FILE *file)
{
	fds_forget(fileno(file));
	return REAL(fclose)(file);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	if (!(flags & CLOSE_RANGE_CLOEXEC) && first <= last)
		fds_forget_range(first, last);
	return REAL(close_range)(first, last, flags);
}

EXPORT void closefrom(int first)
{
	fds_forget_range(first < 0 ? 0 : first, ~0u);
	REAL(closefrom)(first);
}

EXPORT int dup(int fd)
{
	int copy = REAL(dup)(fd);

	if (copy >= 0)
		fds_duplicate(fd, copy);
	return copy;
}

EXPORT int dup2(int fd, int to)
{
	int copy;

	if (fd != to && fds_object(to) && REAL(fcntl)(fd, F_GETFD) >= 0)
		fds_forget(to);
	copy = REAL(dup2)(fd, to);
	if (copy >= 0)
		fds_duplicate(fd, copy);
	return copy;
}

EXPORT int dup3(int fd, int to, int flags)
{
	int copy;

	if (fd != to && fds_object(to) && REAL(fcntl)(fd, F_GETFD) >= 0)
		fds_forget(to);
	copy = REAL(dup3)(fd, to, flags);
	if (copy >= 0)
		fds_duplicate(fd, copy);
	return copy;
}

#define DEFINE_FCNTL(name)                                                                         \
EXPORT int name(int fd, int command, ...)                                                         \
{                                                                                                  \
	unsigned long argument;                                                                    \
	va_list list;                                                                              \
	int result;                                                                                \
                                                                                                   \
	va_start(list, command);                                                                   \
	argument = va_arg(list, unsigned long);                                                    \
	va_end(list);                                                                              \
	result = REAL(name)(fd, command, argument);                                                \
	if (result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))                     \
		fds_duplicate(fd, result);                                                         \
	return result;                                                                             \
}

DEFINE_FCNTL(fcntl)
DEFINE_FCNTL(fcntl64)

/* ---- syscall() ---- */

EXPORT long syscall(long number, ...)
{
	unsigned long a[6];
	va_list list;
	int i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(list, unsigned long);
	va_end(list);
	switch (number) {
	case SYS_open:
		if (path_is_kvm(AT_FDCWD, (const char *)a[0]))
			return kvm_open(a[1]);
		break;
	case SYS_openat:
		if (path_is_kvm(a[0], (const char *)a[1]))
			return kvm_open(a[2]);
		break;
	case SYS_ioctl:
		if (fds_object(a[0]))
			return kvm_ioctl(a[0], (unsigned)a[1], a[2]);
		break;
	case SYS_mmap:
		if (!(a[3] & MAP_ANONYMOUS) && fds_object(a[4]))
			return (long)mmap((void *)a[0], a[1], a[2], a[3], a[4], a[5]);
		break;
	case SYS_read:
		if (fds_object(a[0]))
			return read(a[0], (void *)a[1], a[2]);
		break;
	case SYS_pread64:
		if (fds_object(a[0]))
			return pread(a[0], (void *)a[1], a[2], a[3]);
		break;
	case SYS_close:
		return close(a[0]);
	case SYS_close_range:
		return close_range(a[0], a[1], a[2]);
	case SYS_dup:
		return dup(a[0]);
	case SYS_dup2:
		return dup2(a[0], a[1]);
	case SYS_dup3:
		return dup3(a[0], a[1], a[2]);
	case SYS_fcntl:
		return fcntl(a[0], a[1], a[2]);
	}
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
