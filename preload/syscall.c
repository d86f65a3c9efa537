/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syscall(), for programs that call the kernel by number. What may concern KVM goes the way of the
 * interposed call of that name; everything else, our own system calls too, goes to the kernel from
 * here, which is safe in signal handlers.
 */
#define _GNU_SOURCE
#include <stdarg.h>

#include "preload/preload.h"
#include "preload/real.h"

static long call(long number, const unsigned long a[6])
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
	return preload_result(kernel_call(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}

EXPORT long syscall(long number, ...)
{
	unsigned long a[6];
	va_list list;
	int i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(list, unsigned long);
	va_end(list);
	return call(number, a);
}
