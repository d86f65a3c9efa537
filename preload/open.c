/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening /dev/kvm and looking at it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "abi/fauxkvm.h"
#include "preload/preload.h"

/* ---- is it /dev/kvm? ---- */

/* Drops "//" and "/./"; ".." is left to the kernel, who would have to follow links. */
static void squeeze(const char *path, char out[PATH_MAX])
{
	size_t n = 0;

	while (*path && n < PATH_MAX - 1) {
		if (path[0] == '/' && path[1] == '/') {
			path++;
		} else if (path[0] == '/' && path[1] == '.' && path[2] == '/') {
			path += 2;
		} else {
			out[n++] = *path++;
		}
	}
	out[n] = 0;
}

bool path_is_kvm(int directory, const char *path)
{
	char whole[PATH_MAX], link[64];
	const char *name;
	ssize_t n;

	if (!path)
		return false;
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	if (strcmp(name, "kvm"))
		return false;
	squeeze(path, whole);
	if (whole[0] == '/')
		return !strcmp(whole, "/dev/kvm");
	if (strcmp(whole, "kvm") && strcmp(whole, "./kvm"))
		return false;
	if (directory == AT_FDCWD) {
		return getcwd(whole, sizeof(whole)) && !strcmp(whole, "/dev");
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", directory);
	n = readlink(link, whole, sizeof(whole) - 1);
	if (n < 0)
		return false;
	whole[n] = 0;
	return !strcmp(whole, "/dev");
}

/* ---- opening ---- */

static struct fauxkvm *instance;
static pthread_once_t instance_once = PTHREAD_ONCE_INIT;
static int log_fd = -1;

static void instance_create(void)
{
	const char *level = getenv("FAUXKVM_LOG"), *file = getenv("FAUXKVM_LOG_FILE");
	static const char *const levels[] = { "error", "warn", "info", "trace" };
	struct fauxkvm_options options = {
		.size = sizeof(options),
		.engine = getenv("FAUXKVM_ENGINE"),
		.log_fd = 2,
		.log_level = 0,
	};
	int i;

	for (i = 0; level && i < 4; i++)
		if (!strcmp(level, levels[i]))
			options.log_level = i;
	if (options.engine && !*options.engine)
		options.engine = NULL;
	if (file && *file)
		log_fd = REAL(open)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (log_fd >= 0)
		options.log_fd = log_fd;
	instance = fauxkvm_create(&options);
	if (!instance)
		dprintf(2, "fauxkvm: no engine \"%s\"\n", options.engine ? options.engine : "");
}

int kvm_open(int flags)
{
	struct object *object;
	int fd;

	pthread_once(&instance_once, instance_create);
	if (!instance) {
		errno = ENODEV;
		return -1;
	}
	object = system_open(instance);
	if (!object) {
		errno = ENOMEM;
		return -1;
	}
	fd = fds_install(object, flags);
	if (fd < 0) {
		object_put(object);
		errno = -fd;
		return -1;
	}
	return fd;
}

static mode_t mode_argument(int flags, va_list list)
{
	return flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? va_arg(list, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                                          \
EXPORT int name(const char *path, int flags, ...)                                                 \
{                                                                                                  \
	va_list list;                                                                              \
	mode_t mode;                                                                               \
                                                                                                   \
	va_start(list, flags);                                                                     \
	mode = mode_argument(flags, list);                                                         \
	va_end(list);                                                                              \
	if (path_is_kvm(AT_FDCWD, path))                                                           \
		return kvm_open(flags);                                                            \
	return REAL(name)(path, flags, mode);                                                      \
}

#define DEFINE_OPENAT(name)                                                                        \
EXPORT int name(int directory, const char *path, int flags, ...)                                  \
{                                                                                                  \
	va_list list;                                                                              \
	mode_t mode;                                                                               \
                                                                                                   \
	va_start(list, flags);                                                                     \
	mode = mode_argument(flags, list);                                                         \
	va_end(list);                                                                              \
	if (path_is_kvm(directory, path))                                                          \
		return kvm_open(flags);                                                            \
	return REAL(name)(directory, path, flags, mode);                                           \
}

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

/* What fortified programs call; no mode, so no O_CREAT. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

EXPORT int __open_2(const char *path, int flags)
{
	return path_is_kvm(AT_FDCWD, path) ? kvm_open(flags) : REAL(__open_2)(path, flags);
}

EXPORT int __open64_2(const char *path, int flags)
{
	return path_is_kvm(AT_FDCWD, path) ? kvm_open(flags) : REAL(__open64_2)(path, flags);
}

EXPORT int __openat_2(int directory, const char *path, int flags)
{
	return path_is_kvm(directory, path) ? kvm_open(flags) :
					      REAL(__openat_2)(directory, path, flags);
}

EXPORT int __openat64_2(int directory, const char *path, int flags)
{
	return path_is_kvm(directory, path) ? kvm_open(flags) :
					      REAL(__openat64_2)(directory, path, flags);
}

#define DEFINE_FOPEN(name)                                                                         \
EXPORT FILE *name(const char *path, const char *mode)                                             \
{                                                                                                  \
	FILE *file;                                                                                \
	int fd;                                                                                    \
                                                                                                   \
	if (!path_is_kvm(AT_FDCWD, path))                                                          \
		return REAL(name)(path, mode);                                                     \
	fd = kvm_open(strchr(mode, 'e') ? O_CLOEXEC : 0);                                          \
	if (fd < 0)                                                                                \
		return NULL;                                                                       \
	file = fdopen(fd, mode);                                                                   \
	if (!file)                                                                                 \
		close(fd);                                                                         \
	return file;                                                                               \
}

DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

/* ---- looking ---- */

static void fill_stat(struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFCHR | 0666;
	st->st_rdev = makedev(10, 232);
	st->st_nlink = 1;
	st->st_blksize = 4096;
	st->st_ino = 232;
	st->st_dev = makedev(0, 5);
}

static bool fd_is_system(int fd)
{
	struct object *object = fds_object(fd);

	return object && object->kind == OBJECT_SYSTEM;
}

/* AT_EMPTY_PATH: the descriptor itself. */
static bool names_fd(const char *path)
{
	return !path || !*path;
}

#define DEFINE_STAT(name, type)                                                                    \
EXPORT int name(const char *path, struct type *st)                                                \
{                                                                                                  \
	if (!path_is_kvm(AT_FDCWD, path))                                                          \
		return REAL(name)(path, st);                                                       \
	fill_stat((struct stat *)st);                                                              \
	return 0;                                                                                  \
}

DEFINE_STAT(stat, stat)
DEFINE_STAT(lstat, stat)
DEFINE_STAT(stat64, stat64)
DEFINE_STAT(lstat64, stat64)

#define DEFINE_FSTAT(name, type)                                                                   \
EXPORT int name(int fd, struct type *st)                                                          \
{                                                                                                  \
	if (!fd_is_system(fd))                                                                     \
		return REAL(name)(fd, st);                                                         \
	fill_stat((struct stat *)st);                                                              \
	return 0;                                                                                  \
}

DEFINE_FSTAT(fstat, stat)
DEFINE_FSTAT(fstat64, stat64)

#define DEFINE_FSTATAT(name, type)                                                                 \
EXPORT int name(int directory, const char *path, struct type *st, int flags)                      \
{                                                                                                  \
	if (!path_is_kvm(directory, path) &&                                                       \
	    !((flags & AT_EMPTY_PATH) && names_fd(path) && fd_is_system(directory)))               \
		return REAL(name)(directory, path, st, flags);                                     \
	fill_stat((struct stat *)st);                                                              \
	return 0;                                                                                  \
}

DEFINE_FSTATAT(fstatat, stat)
DEFINE_FSTATAT(fstatat64, stat64)

EXPORT int statx(int directory, const char *restrict path, int flags, unsigned mask,
		 struct statx *restrict stx)
{
	if (!path_is_kvm(directory, path) &&
	    !((flags & AT_EMPTY_PATH) && names_fd(path) && fd_is_system(directory)))
		return REAL(statx)(directory, path, flags, mask, stx);
	memset(stx, 0, sizeof(*stx));
	stx->stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID | STATX_INO;
	stx->stx_mode = S_IFCHR | 0666;
	stx->stx_nlink = 1;
	stx->stx_ino = 232;
	stx->stx_rdev_major = 10;
	stx->stx_rdev_minor = 232;
	stx->stx_blksize = 4096;
	return 0;
}

static int access_kvm(int mode)
{
	if (!(mode & X_OK))
		return 0;
	errno = EACCES;
	return -1;
}

EXPORT int access(const char *path, int mode)
{
	return path_is_kvm(AT_FDCWD, path) ? access_kvm(mode) : REAL(access)(path, mode);
}

EXPORT int euidaccess(const char *path, int mode)
{
	return path_is_kvm(AT_FDCWD, path) ? access_kvm(mode) : REAL(euidaccess)(path, mode);
}

EXPORT int eaccess(const char *path, int mode)
{
	return path_is_kvm(AT_FDCWD, path) ? access_kvm(mode) : REAL(eaccess)(path, mode);
}

EXPORT int faccessat(int directory, const char *path, int mode, int flags)
{
	return path_is_kvm(directory, path) ? access_kvm(mode) :
					      REAL(faccessat)(directory, path, mode, flags);
}
