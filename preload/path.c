/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is it /dev/kvm that a path names?
 *
 * Every program asks for every path that it opens or looks at, with whatever pointers it has, so
 * only what is known to be readable may be read. Mostly the kernel has looked at the path already,
 * for the call itself; else it is asked whether there is memory. Nothing else is safe in signal
 * handlers, with any signal blocked and in children of vfork() alike.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

#include "preload/preload.h"
#include "preload/real.h"

#define PAGE 4096ul
#define NAME "kvm"
#define NAME_LENGTH (sizeof(NAME) - 1)

/* ---- reading what may not be there ---- */

/*
 * The kernel reads a signal mask before it finds that nothing can be done with it in this way. Of
 * all calls that read memory this is among the shortest, and no filter can do without it: libc
 * calls it to make threads and processes.
 */
bool memory_readable(const void *address)
{
	return kernel_call(SYS_rt_sigprocmask, -1, (unsigned long)address, 0, sizeof(uint64_t), 0,
			   0) == -EINVAL;
}

/*
 * 0: empty, too long or not readable. @seen: the kernel has just read its first byte. Pages are
 * asked for one by one, so a string that another thread changes meanwhile ends all the same.
 */
static size_t path_length(const char *path, bool seen)
{
	const char *at = path, *end;

	while (at - path < PATH_MAX) {
		size_t room = PAGE - (uintptr_t)at % PAGE;

		if (!seen && !memory_readable((const void *)((uintptr_t)at & -sizeof(uint64_t))))
			return 0;
		end = memchr(at, 0, room);
		if (end)
			return end - path < PATH_MAX ? end - path : 0;
		at += room;
		seen = false;
	}
	return 0;
}

/* ---- the machine's own ---- */

static bool device_exists;

static void __attribute__((constructor)) look_for_device(void)
{
	device_exists = !kernel_call(SYS_access, (unsigned long)"/dev/" NAME, F_OK, 0, 0, 0, 0);
}

bool path_comes_first(int flags)
{
	return flags & O_CREAT || device_exists;
}

/* ---- what it names ---- */

/* "/dev/kvm" with any number of "/" and "/." where one "/" is enough. */
static bool spells_kvm(const char *path)
{
	static const char *const parts[] = { "dev", NAME };
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

/* fstatat() for a directory that is reached as openat2() would. */
static long resolved_stat(int directory, const char *path, uint64_t resolve, struct stat *st)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = resolve };
	long fd, r;

	if (!resolve)
		return kernel_call(SYS_newfstatat, directory, (unsigned long)path,
				   (unsigned long)st, 0, 0, 0);
	fd = kernel_call(SYS_openat2, directory, (unsigned long)path, (unsigned long)&how,
			 sizeof(how), 0, 0);
	if (fd < 0)
		return fd;
	r = kernel_fstat(fd, st);
	kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
	return r;
}

/* The kernel finds out whether the directory is /dev. */
static bool directory_is_dev(int directory, const char *path, uint64_t resolve)
{
	struct stat st, dev;

	if (resolved_stat(directory, *path ? path : ".", resolve, &st) ||
	    resolved_stat(AT_FDCWD, "/dev", 0, &dev))
		return false;
	return st.st_ino == dev.st_ino && st.st_dev == dev.st_dev;
}

static bool names_kvm(int directory, const char *given, size_t length, uint64_t resolve)
{
	char path[PATH_MAX];

	memcpy(path, given, length);
	path[length] = 0;
	if (!resolve && spells_kvm(path))
		return true;
	path[length - NAME_LENGTH] = 0;
	return directory_is_dev(directory, path, resolve);
}

bool path_resolves_to_kvm(int directory, const char *path, uint64_t resolve, long answer)
{
	const char *name;
	size_t length;

	if (!path || answer == -EFAULT || answer == -EINVAL)
		return false;
	length = path_length(path, answer >= 0 || answer == -ENOENT);
	if (length < NAME_LENGTH)
		return false;
	name = path + length - NAME_LENGTH;
	if (memcmp(name, NAME, NAME_LENGTH) || (name > path && name[-1] != '/'))
		return false;
	return names_kvm(directory, path, length, resolve);
}

bool path_is_kvm(int directory, const char *path, long answer)
{
	return path_resolves_to_kvm(directory, path, 0, answer);
}
