/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that are closed and duplicated. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdarg.h>

#include "preload/preload.h"
#include "preload/real.h"
#include "util/own_fd.h"

/* ---- closing ---- */

EXPORT int close(int fd)
{
	int result, saved;

	if (own_fd_is(fd)) {
		errno = EBADF;
		return -1;
	}
	result = real()->close(fd);
	saved = errno;
	fds_closed(fd);
	errno = saved;
	return result;
}

EXPORT int fclose(FILE *file)
{
	int fd = fileno(file), result = real()->fclose(file), saved = errno;

	fds_closed(fd);
	errno = saved;
	return result;
}

/* The core's own stay open, as they do not exist for the program. */
static int close_range_but_own(unsigned first, unsigned last, int flags)
{
	int own = first > INT_MAX ? -1 : own_fd_next(first);
	bool split = false;

	while (own >= 0 && (unsigned)own <= last && !(flags & CLOSE_RANGE_CLOEXEC)) {
		if ((unsigned)own > first && real()->close_range(first, own - 1, flags))
			return -1;
		first = (unsigned)own + 1;
		split = true;
		own = own_fd_next(own + 1);
	}
	return split && first > last ? 0 : real()->close_range(first, last, flags);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	int result = close_range_but_own(first, last, flags), saved = errno;

	/* With CLOSE_RANGE_UNSHARE the other threads' descriptors stay open. */
	if (!result && !(flags & (CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)))
		fds_closed_range(first, last);
	errno = saved;
	return result;
}

EXPORT void closefrom(int first)
{
	if (close_range_but_own(first < 0 ? 0 : first, ~0u, 0))
		real()->closefrom(first); /* a kernel without close_range() */
	fds_closed_range(first < 0 ? 0 : first, ~0u);
}

/* ---- duplicating ---- */

static int duplicated(int from, int result)
{
	int saved = errno;

	if (result >= 0)
		fds_duplicated(from, result);
	errno = saved;
	return result;
}

EXPORT int dup(int fd)
{
	return duplicated(fd, real()->dup(fd));
}

EXPORT int dup2(int fd, int to)
{
	return duplicated(fd, real()->dup2(fd, to));
}

EXPORT int dup3(int fd, int to, int flags)
{
	return duplicated(fd, real()->dup3(fd, to, flags));
}

static int control(int fd, int command, unsigned long argument)
{
	bool of_memfd = command == F_ADD_SEALS || command == F_GET_SEALS;
	int result, kind = of_memfd || command == F_SETLEASE ? fds_kind(fd) : -1;

	/* What the memfd has behind a descriptor, and leases are for regular files. */
	if (kind >= 0 && (of_memfd || kind != OBJECT_GUEST_MEMFD))
		return preload_result(-EINVAL);
	result = real()->fcntl(fd, command, argument);
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated(fd, result) : result;
}

EXPORT int fcntl(int fd, int command, ...)
{
	unsigned long argument;
	va_list list;

	va_start(list, command);
	argument = va_arg(list, unsigned long);
	va_end(list);
	return control(fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...)
{
	unsigned long argument;
	va_list list;

	va_start(list, command);
	argument = va_arg(list, unsigned long);
	va_end(list);
	return control(fd, command, argument);
}
