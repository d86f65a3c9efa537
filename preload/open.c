/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening /dev/kvm. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "abi/fauxkvm.h"
#include "preload/preload.h"
#include "preload/real.h"

/* ---- is it /dev/kvm? ---- */

/* "/dev/kvm" with any number of "/" and "/." where one "/" is enough. */
static bool spells_kvm(const char *path)
{
	static const char *const parts[] = { "dev", "kvm" };
	size_t i;

	for (i = 0; i < 2; i++) {
		size_t length = strlen(parts[i]);

		if (*path != '/')
			return false;
		while (*path == '/' || (*path == '.' && path[1] == '/'))
			path++;
		if (strncmp(path, parts[i], length))
			return false;
		path += length;
	}
	return !*path;
}

/* The kernel finds out whether the directory is /dev. */
static bool directory_is_dev(int directory, const char *path, size_t length)
{
	char name[PATH_MAX] = ".";
	struct stat st, dev;
	long r;

	if (length >= sizeof(name))
		return false;
	if (length)
		memcpy(name, path, length), name[length] = 0;
	r = kernel_call(SYS_newfstatat, directory, (unsigned long)name, (unsigned long)&st, 0, 0,
			0);
	if (r)
		return false;
	r = kernel_call(SYS_newfstatat, AT_FDCWD, (unsigned long)"/dev", (unsigned long)&dev, 0, 0,
			0);
	return !r && st.st_ino == dev.st_ino && st.st_dev == dev.st_dev;
}

bool path_is_kvm(int directory, const char *path)
{
	const char *name;

	if (!path)
		return false;
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	if (name[0] != 'k' || strcmp(name, "kvm"))
		return false;
	return spells_kvm(path) || directory_is_dev(directory, path, name - path);
}

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

int open_at(int directory, const char *path, int flags, mode_t mode)
{
	return path_is_kvm(directory, path) ? kvm_open(flags) :
					      real()->openat(directory, path, flags, mode);
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

/* What programs compiled with _FORTIFY_SOURCE call when there is no mode. */

EXPORT int __open_2(const char *path, int flags)
{
	return path_is_kvm(AT_FDCWD, path) ? kvm_open(flags) : real()->__open_2(path, flags);
}

int __open64_2(const char *path, int flags);

EXPORT int __open64_2(const char *path, int flags)
{
	return __open_2(path, flags);
}

EXPORT int __openat_2(int directory, const char *path, int flags)
{
	return path_is_kvm(directory, path) ? kvm_open(flags) :
					      real()->__openat_2(directory, path, flags);
}

int __openat64_2(int directory, const char *path, int flags);

EXPORT int __openat64_2(int directory, const char *path, int flags)
{
	return __openat_2(directory, path, flags);
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
	return path_is_kvm(AT_FDCWD, path) ? fopen_kvm(mode) : real()->fopen(path, mode);
}

EXPORT FILE *fopen64(const char *restrict path, const char *restrict mode)
{
	return fopen(path, mode);
}
