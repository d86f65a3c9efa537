/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening /dev/kvm. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "abi/fauxkvm.h"
#include "preload/preload.h"
#include "preload/real.h"

/* ---- opening ---- */

static struct fauxkvm *instance;
static pthread_once_t instance_once = PTHREAD_ONCE_INIT;

static int log_level(void)
{
	static const char *const levels[] = { "error", "warn", "info", "trace" };
	const char *name = getenv("FAUXKVM_LOG");
	int i;

	for (i = 0; name && i < (int)(sizeof(levels) / sizeof(levels[0])); i++)
		if (!strcmp(name, levels[i]))
			return i;
	return 0;
}

static int log_open(void)
{
	const char *file = getenv("FAUXKVM_LOG_FILE");
	int fd, high;

	if (!file || !*file)
		return STDERR_FILENO;
	fd = real()->openat(AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return STDERR_FILENO;
	/* Out of the way of programs that choose descriptors by number. */
	high = real()->fcntl(fd, F_DUPFD_CLOEXEC, 512);
	if (high < 0)
		return fd;
	real()->close(fd);
	return high;
}

static void instance_create(void)
{
	const char *engine = getenv("FAUXKVM_ENGINE"), *statistics = getenv("FAUXKVM_STATS");
	struct fauxkvm_options options = {
		.size = sizeof(options),
		.engine = engine && *engine ? engine : NULL,
		.log_fd = log_open(),
		.log_level = log_level(),
		.statistics = statistics && *statistics && strcmp(statistics, "0"),
	};

	instance = fauxkvm_create(&options);
	if (!instance) {
		dprintf(STDERR_FILENO, "fauxkvm: engine \"%s\": %m\n",
			options.engine ? options.engine : "default");
		return;
	}
	if (options.statistics)
		at_quick_exit(print_statistics);
	signals_arm();
}

void print_statistics(void)
{
	if (instance)
		fauxkvm_print_statistics(instance);
}

/* As an open of /dev/kvm: an object or NULL and errno. */
struct object *kvm_reopen(void)
{
	struct object *object;

	pthread_once(&instance_once, instance_create);
	if (!instance) {
		errno = ENODEV;
		return NULL;
	}
	object = system_open(instance);
	if (!object)
		errno = ENOMEM;
	return object;
}

int kvm_open(int flags)
{
	struct object *object;
	int fd;

	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
		errno = EEXIST;
		return -1;
	}
	if (flags & O_DIRECTORY) {
		errno = ENOTDIR;
		return -1;
	}
	object = kvm_reopen();
	if (!object)
		return -1;
	fd = fds_install(object, "kvm", flags & ~(O_CREAT | O_TRUNC | O_NOCTTY));
	if (fd < 0)
		object_put(object);
	return preload_result(fd);
}

/*
 * @fd is libc's answer to an open that creates nothing, and errno was @saved before: ours instead if
 * it was of /dev/kvm.
 */
static int opened(int directory, const char *path, int flags, int fd, int saved)
{
	if (!path_is_kvm(directory, path, fd >= 0 ? fd : -errno))
		return fd;
	if (fd >= 0)
		real()->close(fd);
	return preload_answer(kvm_open(flags), saved);
}

int open_at(int directory, const char *path, int flags, mode_t mode)
{
	int saved = errno, fd;
	bool first = path_comes_first(flags);

	if (first && path_is_kvm(directory, path, NOT_ASKED))
		return preload_answer(kvm_open(flags), saved);
	fd = real()->openat(directory, path, flags, mode);
	return first ? fd : opened(directory, path, flags, fd, saved);
}

/* ---- open() and its relatives ---- */

#define NEEDS_MODE(flags) ((flags)&O_CREAT || ((flags)&O_TMPFILE) == O_TMPFILE)

#define MODE_ARGUMENT(flags)                                                                       \
	({                                                                                         \
		mode_t mode = 0;                                                                   \
                                                                                                   \
		if (NEEDS_MODE(flags)) {                                                           \
			va_list list;                                                              \
                                                                                                   \
			va_start(list, flags);                                                     \
			mode = va_arg(list, mode_t);                                               \
			va_end(list);                                                              \
		}                                                                                  \
		mode;                                                                              \
	})

EXPORT int open(const char *path, int flags, ...)
{
	return open_at(AT_FDCWD, path, flags, MODE_ARGUMENT(flags));
}

EXPORT int open64(const char *path, int flags, ...)
{
	return open_at(AT_FDCWD, path, flags, MODE_ARGUMENT(flags));
}

EXPORT int openat(int directory, const char *path, int flags, ...)
{
	return open_at(directory, path, flags, MODE_ARGUMENT(flags));
}

EXPORT int openat64(int directory, const char *path, int flags, ...)
{
	return open_at(directory, path, flags, MODE_ARGUMENT(flags));
}

/* What programs compiled with _FORTIFY_SOURCE call: with O_CREAT libc ends the program. */

EXPORT int __open_2(const char *path, int flags)
{
	if (!NEEDS_MODE(flags))
		return open_at(AT_FDCWD, path, flags, 0);
	return real()->__open_2(path, flags);
}

int __open64_2(const char *path, int flags);

EXPORT int __open64_2(const char *path, int flags)
{
	return __open_2(path, flags);
}

EXPORT int __openat_2(int directory, const char *path, int flags)
{
	if (!NEEDS_MODE(flags))
		return open_at(directory, path, flags, 0);
	return real()->__openat_2(directory, path, flags);
}

int __openat64_2(int directory, const char *path, int flags);

EXPORT int __openat64_2(int directory, const char *path, int flags)
{
	return __openat_2(directory, path, flags);
}

/* ---- openat2(), which glibc has since 2.43 ---- */

/* False: the kernel will say what is wrong. */
static bool read_how(const struct open_how *how, size_t size, struct open_how *copy)
{
	if (size < sizeof(*copy) || !memory_readable(&how->flags) ||
	    !memory_readable(&how->resolve))
		return false;
	memcpy(copy, how, sizeof(*copy));
	return true;
}

EXPORT int openat2(int directory, const char *path, const struct open_how *how, size_t size)
{
	int saved = errno;
	struct open_how copy;
	bool known = read_how(how, size, &copy), first = known && path_comes_first(copy.flags);
	long answer = NOT_ASKED;

	if (!first)
		answer = kernel_call(SYS_openat2, directory, (unsigned long)path,
				     (unsigned long)how, size, 0, 0);
	if (known && path_resolves_to_kvm(directory, path, copy.resolve, answer)) {
		if (answer >= 0)
			kernel_call(SYS_close, answer, 0, 0, 0, 0, 0);
		/* It looks at @how before it looks for a path, and here finds none. */
		answer = kernel_call(SYS_openat2, directory, 0, (unsigned long)how, size, 0, 0);
		return answer == -EFAULT ? preload_answer(kvm_open(copy.flags), saved) :
					   preload_result(answer);
	}
	if (first)
		answer = kernel_call(SYS_openat2, directory, (unsigned long)path,
				     (unsigned long)how, size, 0, 0);
	return preload_result(answer);
}

/* ---- fopen() ---- */

static FILE *fopen_kvm(const char *mode)
{
	int flags = strchr(mode, '+') ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
	FILE *file;
	int fd;

	if (strchr(mode, 'e'))
		flags |= O_CLOEXEC;
	fd = kvm_open(flags);
	if (fd < 0)
		return NULL;
	file = fdopen(fd, mode);
	if (!file)
		close(fd);
	return file;
}

EXPORT FILE *fopen(const char *restrict path, const char *restrict mode)
{
	bool first = path_comes_first(*mode == 'r' ? 0 : O_CREAT);
	FILE *file;

	if (first && path_is_kvm(AT_FDCWD, path, NOT_ASKED))
		return fopen_kvm(mode);
	file = real()->fopen(path, mode);
	if (first || !path_is_kvm(AT_FDCWD, path, file ? 0 : -errno))
		return file;
	if (file)
		real()->fclose(file);
	return fopen_kvm(mode);
}

EXPORT FILE *fopen64(const char *restrict path, const char *restrict mode)
{
	return fopen(path, mode);
}
