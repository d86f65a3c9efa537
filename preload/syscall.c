/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syscall(), for programs that call the kernel by number. What concerns KVM goes the way of the
 * interposed call of that name; everything else, our own system calls too, goes to the kernel from
 * here: as that very call, which is what filters know, and without being a cancellation point.
 */
#define _GNU_SOURCE
#include <stdarg.h>

#include "preload/preload.h"
#include "preload/real.h"
#include "util/own_fd.h"

static long ask(long number, const unsigned long a[6])
{
	return kernel_call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static long interposed(long number, const unsigned long a[6])
{
	switch (number) {
	case SYS_open:
		return open_at(AT_FDCWD, (const char *)a[0], a[1], a[2]);
	case SYS_openat:
		return open_at(a[0], (const char *)a[1], a[2], a[3]);
	case SYS_openat2:
		return openat2(a[0], (const char *)a[1], (const struct open_how *)a[2], a[3]);
	case SYS_stat:
		return stat_at(AT_FDCWD, (const char *)a[0], (struct stat *)a[1], 0);
	case SYS_lstat:
		return stat_at(AT_FDCWD, (const char *)a[0], (struct stat *)a[1],
			       AT_SYMLINK_NOFOLLOW);
	case SYS_fstat:
		return fstat(a[0], (struct stat *)a[1]);
	case SYS_newfstatat:
		return stat_at(a[0], (const char *)a[1], (struct stat *)a[2], a[3]);
	case SYS_statx:
		return statx(a[0], (const char *)a[1], a[2], a[3], (struct statx *)a[4]);
	case SYS_access:
		return access((const char *)a[0], a[1]);
	case SYS_faccessat:
		return access_at(a[0], (const char *)a[1], a[2], 0);
	case SYS_faccessat2:
		return access_at(a[0], (const char *)a[1], a[2], a[3]);
	case SYS_ioctl:
		return ioctl(a[0], a[1], a[2]);
	case SYS_mmap:
		return (long)mmap((void *)a[0], a[1], a[2], a[3], a[4], a[5]);
	case SYS_read:
		return read(a[0], (void *)a[1], a[2]);
	case SYS_pread64:
		return pread(a[0], (void *)a[1], a[2], a[3]);
	case SYS_write:
		return write(a[0], (const void *)a[1], a[2]);
	case SYS_pwrite64:
		return pwrite(a[0], (const void *)a[1], a[2], a[3]);
	case SYS_readv:
		return readv(a[0], (const struct iovec *)a[1], a[2]);
	case SYS_preadv:
		return preadv(a[0], (const struct iovec *)a[1], a[2], a[3]);
	case SYS_preadv2:
		return preadv2(a[0], (const struct iovec *)a[1], a[2], a[3], a[5]);
	case SYS_writev:
		return writev(a[0], (const struct iovec *)a[1], a[2]);
	case SYS_pwritev:
		return pwritev(a[0], (const struct iovec *)a[1], a[2], a[3]);
	case SYS_pwritev2:
		return pwritev2(a[0], (const struct iovec *)a[1], a[2], a[3], a[5]);
	case SYS_sendfile:
		return sendfile(a[0], a[1], (off_t *)a[2], a[3]);
	case SYS_splice:
		return splice(a[0], (off_t *)a[1], a[2], (off_t *)a[3], a[4], a[5]);
	case SYS_copy_file_range:
		return copy_file_range(a[0], (off_t *)a[1], a[2], (off_t *)a[3], a[4], a[5]);
	case SYS_lseek:
		return lseek(a[0], a[1], a[2]);
	case SYS_fsync:
		return fsync(a[0]);
	case SYS_fdatasync:
		return fdatasync(a[0]);
	case SYS_ftruncate:
		return ftruncate(a[0], a[1]);
	case SYS_readahead:
		return readahead(a[0], a[1], a[2]);
	case SYS_sync_file_range:
		return sync_file_range(a[0], a[1], a[2], a[3]);
	case SYS_fchmod:
		return fchmod(a[0], a[1]);
	case SYS_fchown:
		return fchown(a[0], a[1], a[2]);
	case SYS_fallocate:
		return fallocate(a[0], a[1], a[2], a[3]);
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
	case SYS_rt_sigprocmask:
		client_mask_changed();
		break;
	case SYS_exit_group:
		print_statistics();
		break;
	}
	return preload_result(ask(number, a));
}

/* Whether the call may concern KVM by its descriptors. */
static bool has_ours(long number, const unsigned long a[6])
{
	switch (number) {
	case SYS_sendfile:
		return fds_known(a[0]) || fds_known(a[1]);
	case SYS_splice:
	case SYS_copy_file_range:
		return fds_known(a[0]) || fds_known(a[2]);
	case SYS_close:
		return fds_known(a[0]) || own_fd_is(a[0]);
	/* They make descriptors, close others than the first, or look for themselves. */
	case SYS_openat2:
	case SYS_ioctl:
	case SYS_mmap:
	case SYS_close_range:
	case SYS_dup:
	case SYS_dup2:
	case SYS_dup3:
	case SYS_fcntl:
	case SYS_rt_sigprocmask:
	case SYS_exit_group:
		return true;
	}
	return fds_known(a[0]);
}

/* A call with a path: which, and whether that is looked at first. */
struct path_call {
	int directory;
	const char *path;
	bool opens, first;
};

static bool is_path_call(long number, const unsigned long a[6], struct path_call *call)
{
	const char *first = (const char *)a[0], *second = (const char *)a[1];

	switch (number) {
	case SYS_open:
		*call = (struct path_call){ AT_FDCWD, first, true, path_comes_first(a[1]) };
		return true;
	case SYS_openat:
		*call = (struct path_call){ a[0], second, true, path_comes_first(a[2]) };
		return true;
	case SYS_stat:
	case SYS_lstat:
	case SYS_access:
		*call = (struct path_call){ .directory = AT_FDCWD, .path = first };
		return true;
	case SYS_newfstatat:
	case SYS_statx:
	case SYS_faccessat:
	case SYS_faccessat2:
		*call = (struct path_call){ .directory = a[0], .path = second };
		return true;
	}
	return false;
}

static long call_with_path(const struct path_call *call, long number, const unsigned long a[6])
{
	long answer = call->first ? NOT_ASKED : ask(number, a);

	if (path_is_kvm(call->directory, call->path, answer) || fds_known(call->directory)) {
		if (answer >= 0 && call->opens)
			kernel_call(SYS_close, answer, 0, 0, 0, 0, 0);
		return interposed(number, a);
	}
	return preload_result(call->first ? ask(number, a) : answer);
}

EXPORT long syscall(long number, ...)
{
	struct path_call path;
	unsigned long a[6];
	va_list list;
	int i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(list, unsigned long);
	va_end(list);
	if (is_path_call(number, a, &path))
		return call_with_path(&path, number, a);
	return has_ours(number, a) ? interposed(number, a) : preload_result(ask(number, a));
}
