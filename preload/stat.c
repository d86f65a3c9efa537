/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at /dev/kvm: a character device 10:232 that everybody may open. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "preload/preload.h"
#include "preload/real.h"

#define KVM_MODE (S_IFCHR | 0666)
#define KVM_MAJOR 10 /* misc devices */
#define KVM_MINOR 232
#define KVM_INODE 232

/*
 * 0 or a negative errno. Device and times are those of the directory that it would be in, which
 * the kernel writes to @st itself: it knows whether there is memory.
 */
static long fill_stat(struct stat *st)
{
	long r = kernel_call(SYS_newfstatat, AT_FDCWD, (unsigned long)"/dev", (unsigned long)st, 0,
			     0, 0);

	if (r && r != -EFAULT)
		r = kernel_call(SYS_newfstatat, AT_FDCWD, (unsigned long)"/", (unsigned long)st, 0,
				0, 0);
	if (r)
		return r;
	st->st_ino = KVM_INODE;
	st->st_mode = KVM_MODE;
	st->st_nlink = 1;
	st->st_uid = 0;
	st->st_gid = 0;
	st->st_rdev = makedev(KVM_MAJOR, KVM_MINOR);
	st->st_size = 0;
	st->st_blocks = 0;
	return 0;
}

/* The same. */
static long fill_statx(struct statx *stx, unsigned mask)
{
	struct stat st;
	long r = fill_stat(&st);

	if (r)
		return r;
	if (real()->statx(AT_FDCWD, "/", 0, mask, stx))
		return -errno;
	memset(stx, 0, sizeof(*stx));
	stx->stx_mask = STATX_BASIC_STATS;
	stx->stx_blksize = st.st_blksize;
	stx->stx_nlink = st.st_nlink;
	stx->stx_mode = st.st_mode;
	stx->stx_ino = st.st_ino;
	stx->stx_rdev_major = KVM_MAJOR;
	stx->stx_rdev_minor = KVM_MINOR;
	stx->stx_dev_major = major(st.st_dev);
	stx->stx_dev_minor = minor(st.st_dev);
	stx->stx_atime.tv_sec = st.st_atim.tv_sec;
	stx->stx_mtime.tv_sec = st.st_mtim.tv_sec;
	stx->stx_ctime.tv_sec = st.st_ctim.tv_sec;
	return 0;
}

static bool fd_is_system(int fd)
{
	struct description *description;
	bool result;

	if (!fds_known(fd))
		return false;
	description = fds_get_checked(fd);
	if (!description)
		return false;
	result = description_object(description)->kind == OBJECT_SYSTEM;
	description_put(description);
	return result;
}

/* Also with AT_EMPTY_PATH, the descriptor itself. @answer as for path_is_kvm(). */
static bool is_kvm(int directory, const char *path, int flags, long answer)
{
	if ((flags & AT_EMPTY_PATH) && !answer && (!path || !*path))
		return fd_is_system(directory);
	return path_is_kvm(directory, path, answer);
}

int stat_at(int directory, const char *path, struct stat *st, int flags)
{
	int saved = errno, result = real()->fstatat(directory, path, st, flags);

	if (!is_kvm(directory, path, flags, result ? -errno : 0))
		return result;
	return preload_answer(preload_result(fill_stat(st)), saved);
}

/* ---- stat() and its relatives: on x86-64 struct stat64 is struct stat ---- */

EXPORT int stat(const char *restrict path, struct stat *restrict st)
{
	return stat_at(AT_FDCWD, path, st, 0);
}

EXPORT int stat64(const char *restrict path, struct stat64 *restrict st)
{
	return stat_at(AT_FDCWD, path, (struct stat *)st, 0);
}

EXPORT int lstat(const char *restrict path, struct stat *restrict st)
{
	return stat_at(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int lstat64(const char *restrict path, struct stat64 *restrict st)
{
	return stat_at(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int fstat(int fd, struct stat *st)
{
	return fd_is_system(fd) ? preload_result(fill_stat(st)) : real()->fstat(fd, st);
}

EXPORT int fstat64(int fd, struct stat64 *st)
{
	return fstat(fd, (struct stat *)st);
}

EXPORT int fstatat(int directory, const char *restrict path, struct stat *restrict st, int flags)
{
	return stat_at(directory, path, st, flags);
}

EXPORT int fstatat64(int directory, const char *restrict path, struct stat64 *restrict st,
		     int flags)
{
	return stat_at(directory, path, (struct stat *)st, flags);
}

EXPORT int statx(int directory, const char *restrict path, int flags, unsigned mask,
		 struct statx *restrict stx)
{
	int saved = errno, result = real()->statx(directory, path, flags, mask, stx);

	if (!is_kvm(directory, path, flags, result ? -errno : 0))
		return result;
	return preload_answer(preload_result(fill_statx(stx, mask)), saved);
}

/* ---- what programs call that were linked before glibc 2.33 ---- */

#define STAT_VERSION_MAX 1 /* 0 and 1 are the same structure */

static int with_version(int version, int directory, const char *path, struct stat *st, int flags)
{
	if (version >= 0 && version <= STAT_VERSION_MAX)
		return stat_at(directory, path, st, flags);
	errno = EINVAL;
	return -1;
}

static int fstat_with_version(int version, int fd, struct stat *st)
{
	if (version >= 0 && version <= STAT_VERSION_MAX)
		return fstat(fd, st);
	errno = EINVAL;
	return -1;
}

int __xstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstat(int version, int fd, struct stat *st);
int __fxstat64(int version, int fd, struct stat64 *st);
int __fxstatat(int version, int directory, const char *path, struct stat *st, int flags);
int __fxstatat64(int version, int directory, const char *path, struct stat64 *st, int flags);

EXPORT int __xstat(int version, const char *path, struct stat *st)
{
	return with_version(version, AT_FDCWD, path, st, 0);
}

EXPORT int __xstat64(int version, const char *path, struct stat64 *st)
{
	return with_version(version, AT_FDCWD, path, (struct stat *)st, 0);
}

EXPORT int __lxstat(int version, const char *path, struct stat *st)
{
	return with_version(version, AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int __lxstat64(int version, const char *path, struct stat64 *st)
{
	return with_version(version, AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int __fxstat(int version, int fd, struct stat *st)
{
	return fstat_with_version(version, fd, st);
}

EXPORT int __fxstat64(int version, int fd, struct stat64 *st)
{
	return fstat_with_version(version, fd, (struct stat *)st);
}

EXPORT int __fxstatat(int version, int directory, const char *path, struct stat *st, int flags)
{
	return with_version(version, directory, path, st, flags);
}

EXPORT int __fxstatat64(int version, int directory, const char *path, struct stat64 *st, int flags)
{
	return with_version(version, directory, path, (struct stat *)st, flags);
}

/* ---- access() and its relatives ---- */

/* Nobody may execute it, not even root. @result is what libc says, errno was @saved before. */
static int answer_access(int directory, const char *path, int mode, int result, int saved)
{
	if (!path_is_kvm(directory, path, result ? -errno : 0))
		return result;
	return preload_answer(preload_result(mode & X_OK ? -EACCES : 0), saved);
}

int access_at(int directory, const char *path, int mode, int flags)
{
	int saved = errno, result = real()->faccessat(directory, path, mode, flags);

	return answer_access(directory, path, mode, result, saved);
}

EXPORT int access(const char *path, int mode)
{
	int saved = errno, result = real()->access(path, mode);

	return answer_access(AT_FDCWD, path, mode, result, saved);
}

EXPORT int faccessat(int directory, const char *path, int mode, int flags)
{
	return access_at(directory, path, mode, flags);
}

EXPORT int euidaccess(const char *path, int mode)
{
	int saved = errno, result = real()->euidaccess(path, mode);

	return answer_access(AT_FDCWD, path, mode, result, saved);
}

EXPORT int eaccess(const char *path, int mode)
{
	return euidaccess(path, mode);
}
