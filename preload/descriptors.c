/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that are closed and duplicated. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/close_range.h>
#include <stdarg.h>

#include "preload/preload.h"
#include "preload/real.h"

/* ---- closing: forgotten first, because the number may be used again at once ---- */

EXPORT int close(int fd)
{
	fds_closing(fd);
	return real()->close(fd);
}

EXPORT int fclose(FILE *file)
{
	fds_closing(fileno(file));
	return real()->fclose(file);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	/* With CLOSE_RANGE_UNSHARE the other threads' descriptors stay open. */
	if (!(flags & (CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)) && first <= last)
		fds_closing_range(first, last);
	return real()->close_range(first, last, flags);
}

EXPORT void closefrom(int first)
{
	fds_closing_range(first < 0 ? 0 : first, ~0u);
	real()->closefrom(first);
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
	int result = real()->fcntl(fd, command, argument);

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
