/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines with a level, to a descriptor that the front end chose. */
#ifndef FAUXKVM_UTIL_LOG_H
#define FAUXKVM_UTIL_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_TRACE };

struct log {
	int fd; /* -1: nowhere */
	enum log_level level;
};

/* One line, one write(2). A newline is added. Thread safe; errno is kept. NULL @log is allowed. */
void log_printf(const struct log *log, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static inline int log_enabled(const struct log *log, enum log_level level)
{
	return log && log->fd >= 0 && level <= log->level;
}

#endif
