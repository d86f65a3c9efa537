/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libc's own versions of the calls that we interpose, and system calls without libc.
 *
 * Include with _GNU_SOURCE defined.
 */
#ifndef FAUXKVM_PRELOAD_REAL_H
#define FAUXKVM_PRELOAD_REAL_H

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Declared by no header, or only for fortified programs. */
int __open_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
ssize_t __read_chk(int fd, void *buffer, size_t bytes, size_t room);
ssize_t __pread_chk(int fd, void *buffer, size_t bytes, off_t offset, size_t room);

/* clang-format off */
#define REAL_CALLS(CALL)                                                                           \
	CALL(openat) CALL(__open_2) CALL(__openat_2) CALL(fopen)                                   \
	CALL(fstatat) CALL(fstat) CALL(statx) CALL(access) CALL(faccessat) CALL(euidaccess)        \
	CALL(ioctl) CALL(mmap) CALL(read) CALL(pread) CALL(__read_chk) CALL(__pread_chk)           \
	CALL(close) CALL(fclose) CALL(close_range) CALL(closefrom)                                 \
	CALL(write) CALL(pwrite) CALL(fallocate) CALL(posix_fallocate) CALL(ftruncate)             \
	CALL(readv) CALL(preadv) CALL(preadv2) CALL(writev) CALL(pwritev) CALL(pwritev2)           \
	CALL(sendfile) CALL(splice) CALL(copy_file_range) CALL(lseek) CALL(fsync) CALL(fdatasync)  \
	CALL(readahead) CALL(sync_file_range) CALL(fchmod) CALL(fchown) CALL(futimens)             \
	CALL(dup) CALL(dup2) CALL(dup3) CALL(fcntl)                                                \
	CALL(sigaction) CALL(pthread_sigmask) CALL(sigprocmask)
/* clang-format on */

struct real {
#define CALL_MEMBER(name) __typeof__(name) *name;
	REAL_CALLS(CALL_MEMBER)
#undef CALL_MEMBER
};

extern struct real real_calls;
extern atomic_bool real_resolved;

void real_resolve(void);

/* Usable before our constructor ran. */
static inline const struct real *real(void)
{
	if (__builtin_expect(!atomic_load_explicit(&real_resolved, memory_order_acquire), 0))
		real_resolve();
	return &real_calls;
}

/* The kernel's answer: a result or a negative errno. */
static inline long kernel_call(long number, unsigned long a, unsigned long b, unsigned long c,
			       unsigned long d, unsigned long e, unsigned long f)
{
	register unsigned long r10 __asm__("r10") = d;
	register unsigned long r8 __asm__("r8") = e;
	register unsigned long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* fstat(2) past our own version and without touching errno: 0 or a negative errno. */
static inline int kernel_fstat(int fd, struct stat *st)
{
	return kernel_call(SYS_fstat, fd, (unsigned long)st, 0, 0, 0, 0);
}

static inline pid_t kernel_getpid(void)
{
	return kernel_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

#endif
