// SPDX-License-Identifier: GPL-2.0-or-later
/* /dev/kvm is there for everybody who looks, however it is spelled. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/sysmacros.h>

#include "preload_test.h"

static int opens(int fd)
{
	char path[64], target[64] = "";

	CHECK(fd >= 0);
	/* Ours, not one that the machine may have. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(readlink(path, target, sizeof(target) - 1) > 0);
	CHECK(!strcmp(target, "/memfd:kvm (deleted)"));
	CHECK(is_kvm(fd) && !close(fd));
	return 0;
}

static void spellings(void)
{
	static const char *const names[] = {
		"/dev/kvm",        "//dev//kvm",      "/dev/./kvm",
		"/./dev/././/kvm", "/dev/../dev/kvm", "/proc/self/root/dev/kvm",
	};
	volatile int read_write = O_RDWR; /* not a constant: __open_2() */
	int dev = open("/dev", O_RDONLY | O_DIRECTORY), root = open("/", O_PATH);
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		opens(open(names[i], O_RDWR));
		opens(open64(names[i], O_RDONLY));
		opens(open(names[i], read_write));
		opens(open64(names[i], read_write));
		opens(openat(AT_FDCWD, names[i], O_RDWR));
		opens(openat64(AT_FDCWD, names[i], read_write));
		opens(openat(AT_FDCWD, names[i], read_write));
		opens(syscall(SYS_open, names[i], O_RDWR));
		opens(syscall(SYS_openat, AT_FDCWD, names[i], O_RDWR));
		CHECK(!access(names[i], R_OK | W_OK));
	}
	opens(openat(dev, "kvm", O_RDWR));
	opens(openat(dev, "./kvm", O_RDWR));
	opens(openat(root, "dev/kvm", O_RDWR));
	CHECK(!chdir("/dev"));
	opens(open("kvm", O_RDWR));
	CHECK(!chdir("/"));
	opens(open("dev/kvm", O_RDWR));
	CHECK_FAILS(open("kvm", O_RDWR), ENOENT);
	CHECK_FAILS(openat(root, "kvm", O_RDWR), ENOENT);
	CHECK_FAILS(open("/dev/kvm2", O_RDWR), ENOENT);
	CHECK_FAILS(open("/dev/kvm/", O_RDWR), ENOTDIR);
	CHECK_FAILS(open("/dev/kvm", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_FAILS(open("/dev/kvm", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	opens(open("/dev/kvm", O_RDWR | O_CREAT | O_TRUNC, 0600));
	CHECK(!close(dev) && !close(root));
}

static bool is_device(const struct stat *st)
{
	return st->st_mode == (S_IFCHR | 0666) && st->st_rdev == makedev(10, 232);
}

int __xstat(int version, const char *path, struct stat *st);
int __fxstat(int version, int fd, struct stat *st);

static void stats(void)
{
	struct statx stx;
	struct stat64 st64;
	struct stat st;
	int fd = kvm();

	CHECK(!stat("/dev/kvm", &st) && is_device(&st));
	CHECK(!lstat("/dev//kvm", &st) && is_device(&st));
	CHECK(!fstat(fd, &st) && is_device(&st));
	CHECK(!fstatat(AT_FDCWD, "/dev/kvm", &st, AT_SYMLINK_NOFOLLOW) && is_device(&st));
	CHECK(!fstatat(fd, "", &st, AT_EMPTY_PATH) && is_device(&st));
	CHECK(!__xstat(1, "/dev/kvm", &st) && is_device(&st));
	CHECK(!__fxstat(1, fd, &st) && is_device(&st));
	CHECK(!syscall(SYS_newfstatat, AT_FDCWD, "/dev/kvm", &st, 0) && is_device(&st));
	CHECK(!stat64("/dev/kvm", &st64) && is_device((struct stat *)&st64));
	CHECK(!fstat64(fd, &st64) && is_device((struct stat *)&st64));
	CHECK(!statx(AT_FDCWD, "/dev/kvm", 0, STATX_BASIC_STATS, &stx));
	CHECK(stx.stx_mode == (S_IFCHR | 0666) && stx.stx_rdev_major == 10 &&
	      stx.stx_rdev_minor == 232);
	CHECK(!statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) && stx.stx_rdev_minor == 232);
	CHECK(!stat("/dev/null", &st) && st.st_rdev == makedev(1, 3));
	CHECK_FAILS(stat("/dev/nokvm", &st), ENOENT);
	CHECK(!close(fd));
}

static void accesses(void)
{
	CHECK(!access("/dev/kvm", F_OK) && !access("/dev/kvm", R_OK | W_OK));
	CHECK_FAILS(access("/dev/kvm", X_OK), EACCES);
	CHECK_FAILS(access("/dev/kvm", 64), EINVAL);
	CHECK(!faccessat(AT_FDCWD, "/dev/kvm", R_OK | W_OK, AT_EACCESS));
	CHECK(!euidaccess("/dev/kvm", R_OK) && !eaccess("/dev/kvm", W_OK));
	CHECK(!syscall(SYS_access, "/dev/kvm", R_OK | W_OK));
}

static void streams(void)
{
	FILE *file = fopen("/dev/kvm", "r+e");

	CHECK(file && is_kvm(fileno(file)) && fcntl(fileno(file), F_GETFD) == FD_CLOEXEC);
	CHECK(!fclose(file));
	file = fopen64("/dev/kvm", "r");
	CHECK(file && is_kvm(fileno(file)) && !fclose(file));
}

/* Statistics are read at a position of the description's own. */
static void statistics(void)
{
	int fd = kvm(), vm = ioctl(fd, KVM_CREATE_VM, 0), stats = ioctl(vm, KVM_GET_STATS_FD, NULL);
	/* Not for the compiler to see. */
	const struct iovec *volatile nowhere = (const struct iovec *)16;
	volatile int below = -1, above = UIO_MAXIOV + 1;
	struct kvm_stats_header header, again;
	volatile size_t size = sizeof(header);
	struct iovec parts[] = { { &again, 4 }, { (char *)&again + 4, sizeof(again) - 4 } };

	CHECK(stats >= 0);
	CHECK(pread(stats, &header, size, 0) == (ssize_t)size && header.name_size);
	CHECK(read(stats, &again, size) == (ssize_t)size);
	CHECK(!memcmp(&header, &again, sizeof(header)));
	CHECK(lseek(stats, 0, SEEK_CUR) == (off_t)size);
	CHECK(read(stats, &again, size) > 0 && memcmp(&header, &again, sizeof(header)));
	/* The position cannot be set, and is used by all ways to read. */
	CHECK(lseek(stats, 8, SEEK_SET) == lseek(stats, 0, SEEK_END));
	CHECK(preadv(stats, parts, 2, 0) == (ssize_t)size);
	CHECK(!memcmp(&header, &again, sizeof(header)));
	CHECK(readv(stats, parts, 2) > 0 && memcmp(&header, &again, sizeof(header)));
	CHECK_FAILS(readv(stats, nowhere, 2), EFAULT);
	CHECK_FAILS(preadv(stats, nowhere, 2, 0), EFAULT);
	CHECK_FAILS(readv(stats, parts, below), EINVAL);
	CHECK_FAILS(readv(stats, parts, above), EINVAL);
	CHECK_FAILS(writev(stats, parts, 2), EBADF);
	CHECK_FAILS(pwritev(stats, parts, 2, 0), ESPIPE);
	/* The others have no place at all. */
	CHECK(lseek(fd, 5, SEEK_END) == 0 && lseek(vm, 5, SEEK_SET) == 0);
	CHECK_FAILS(lseek(vm, 0, 99), EINVAL);
	CHECK_FAILS(readv(fd, parts, 2), EINVAL);
	CHECK_FAILS(preadv(fd, parts, 2, 0), EINVAL);
	CHECK_FAILS(preadv(vm, parts, 2, 0), ESPIPE);
	CHECK_FAILS(writev(vm, parts, 2), EINVAL);
	CHECK_FAILS(sendfile(1, vm, NULL, 1), EINVAL);
	CHECK_FAILS(copy_file_range(vm, NULL, vm, NULL, 1, 0), EINVAL);
	CHECK(!close(stats) && !close(vm) && !close(fd));
}

int main(void)
{
	spellings();
	stats();
	accesses();
	streams();
	statistics();
	return 0;
}
