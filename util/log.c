/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static const char *const level_name[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_TRACE] = "trace",
};

void log_printf(const struct log *log, enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int saved_errno = errno;
	const int limit = sizeof(line) - 1; /* the newline */
	va_list arguments;
	int length, body;

	if (!log_enabled(log, level))
		return;

	length = snprintf(line, sizeof(line), "fauxkvm: %s: ", level_name[level]);
	errno = saved_errno; /* for %m */
	va_start(arguments, format);
	body = vsnprintf(line + length, limit - length, format, arguments);
	va_end(arguments);
	if (body < 0)
		body = 0;
	length += body;
	if (length >= limit)
		length = limit - 1;
	line[length++] = '\n';

	/* A line that the descriptor does not take is lost: there is nobody to tell. */
	while (write(log->fd, line, length) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}
