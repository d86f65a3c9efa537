// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls of files on KVM's descriptors, with arguments that are wrong: the answers are the kernel's.
 * By itself the program passes on a machine with KVM.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>

#include "preload_test.h"
#include "tests/clients/kvm_new.h"

#define PAGE 4096
#define NONE 999
#define HALF (1l << 62)
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define KINDS 5

static const char *const kinds[KINDS] = { "kvm", "vm", "vcpu", "stats", "guest_memfd" };
static int fds[KINDS];

/* ---- arguments, not for the compiler to see ---- */

static void *volatile nowhere = (void *)16, *volatile kernel = (void *)0xffff888000000000;
static volatile size_t huge = SIZE_MAX;
static volatile int below = -1, other = 77;
static char buffer[64];
static struct iovec part = { buffer, 8 }, bad = { (void *)16, 8 }, negative = { buffer, SIZE_MAX };
static struct iovec kernels = { (void *)0xffff888000000000, 8 };
static struct iovec over[2] = { { buffer, HALF }, { buffer, HALF } };
static struct iovec mixed[2] = { { buffer, 8 }, { (void *)16, 8 } };
static struct iovec *cut; /* half of one, then no memory */
static off_t offset;
static int file, readable, writable, number;

/* ---- the calls, and what they say to each kind; 0: they succeed ---- */

/* clang-format off */
#define CALLS(CALL)                                                                                \
	CALL(read(fd, nowhere, 8), EINVAL, EINVAL, EINVAL, EFAULT, EINVAL)                         \
	CALL(read(fd, buffer, 0), EINVAL, EINVAL, EINVAL, 0, EINVAL)                               \
	CALL(read(fd, kernel, 8), EINVAL, EINVAL, EINVAL, EFAULT, EINVAL)                          \
	CALL(read(fd, buffer, huge), EINVAL, EINVAL, EINVAL, EFAULT, EINVAL)                       \
	CALL(pread(fd, nowhere, 8, 0), EINVAL, ESPIPE, ESPIPE, EFAULT, ESPIPE)                     \
	CALL(pread(fd, nowhere, 8, -1), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                    \
	CALL(pread(fd, buffer, 8, INT64_MAX), EINVAL, ESPIPE, ESPIPE, EINVAL, ESPIPE)              \
	CALL(write(fd, nowhere, 8), EINVAL, EINVAL, EINVAL, EBADF, EINVAL)                         \
	CALL(write(fd, nowhere, 0), EINVAL, EINVAL, EINVAL, EBADF, EINVAL)                         \
	CALL(pwrite(fd, nowhere, 8, 0), EINVAL, ESPIPE, ESPIPE, ESPIPE, ESPIPE)                    \
	CALL(pwrite(fd, nowhere, 8, -1), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                   \
	CALL(readv(fd, nowhere, 1), EINVAL, EINVAL, EINVAL, EFAULT, EINVAL)                        \
	CALL(readv(fd, &bad, 1), EINVAL, EINVAL, EINVAL, EFAULT, EINVAL)                           \
	CALL(readv(fd, &negative, 1), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                      \
	CALL(readv(fd, over, 2), EINVAL, EINVAL, EINVAL, EFAULT, EINVAL)                           \
	CALL(readv(fd, &kernels, 1), EINVAL, EINVAL, EINVAL, EFAULT, EINVAL)                       \
	CALL(readv(fd, &part, below), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                      \
	CALL(readv(fd, cut, 1), EINVAL, EINVAL, EINVAL, EFAULT, EINVAL)                            \
	CALL(preadv(fd, nowhere, 1, 0), EINVAL, ESPIPE, ESPIPE, EFAULT, ESPIPE)                    \
	CALL(preadv(fd, &part, 1, -1), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                     \
	CALL(preadv(fd, &bad, 1, 0), EINVAL, ESPIPE, ESPIPE, EFAULT, ESPIPE)                       \
	CALL(preadv(fd, mixed, 2, 0), EINVAL, ESPIPE, ESPIPE, 0, ESPIPE)                           \
	CALL(preadv(fd, &part, 1, INT64_MAX), EINVAL, ESPIPE, ESPIPE, EINVAL, ESPIPE)              \
	CALL(preadv2(fd, &part, 1, -2, 0), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                 \
	CALL(preadv2(fd, nowhere, 1, -1, 0), EINVAL, EINVAL, EINVAL, EFAULT, EINVAL)               \
	CALL(writev(fd, nowhere, 1), EINVAL, EINVAL, EINVAL, EBADF, EINVAL)                        \
	CALL(writev(fd, &part, below), EINVAL, EINVAL, EINVAL, EBADF, EINVAL)                      \
	CALL(pwritev(fd, nowhere, 1, 0), EINVAL, ESPIPE, ESPIPE, ESPIPE, ESPIPE)                   \
	CALL(pwritev(fd, nowhere, 1, -1), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                  \
	CALL(pwritev2(fd, &part, 1, -2, 0), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                \
	CALL(sendfile(file, fd, nowhere, 8), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)               \
	CALL(sendfile(file, fd, &offset, 8), EINVAL, ESPIPE, ESPIPE, EINVAL, ESPIPE)               \
	CALL(sendfile(file, fd, 0, 8), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                     \
	CALL(sendfile(fd, file, nowhere, 8), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)               \
	CALL(sendfile(fd, file, 0, 8), EINVAL, EINVAL, EINVAL, EBADF, EINVAL)                      \
	CALL(sendfile(NONE, fd, 0, 8), EBADF, EBADF, EBADF, EBADF, EBADF)                          \
	CALL(sendfile(fd, NONE, 0, 8), EBADF, EBADF, EBADF, EBADF, EBADF)                          \
	CALL(sendfile(NONE, fd, nowhere, 8), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)               \
	CALL(splice(fd, nowhere, writable, 0, 8, 0), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)       \
	CALL(splice(fd, 0, writable, nowhere, 8, 0), ESPIPE, ESPIPE, ESPIPE, ESPIPE, ESPIPE)       \
	CALL(splice(fd, 0, writable, 0, 8, 0), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)             \
	CALL(splice(readable, 0, fd, nowhere, 8, 0), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)       \
	CALL(splice(readable, nowhere, fd, 0, 8, 0), ESPIPE, ESPIPE, ESPIPE, ESPIPE, ESPIPE)       \
	CALL(splice(readable, 0, fd, 0, 8, 0), EINVAL, EINVAL, EINVAL, EBADF, EINVAL)              \
	CALL(splice(fd, 0, writable, 0, 0, 0), 0, 0, 0, 0, 0)                                      \
	CALL(splice(fd, 0, writable, 0, 8, 1 << 12), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)       \
	CALL(splice(fd, 0, NONE, 0, 8, 0), EBADF, EBADF, EBADF, EBADF, EBADF)                      \
	CALL(splice(NONE, 0, fd, 0, 8, 0), EBADF, EBADF, EBADF, EBADF, EBADF)                      \
	CALL(copy_file_range(fd, nowhere, file, 0, 8, 0), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)  \
	CALL(copy_file_range(file, nowhere, fd, 0, 8, 0), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)  \
	CALL(copy_file_range(fd, 0, file, nowhere, 8, 0), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)  \
	CALL(copy_file_range(file, 0, fd, nowhere, 8, 0), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)  \
	CALL(copy_file_range(fd, 0, file, 0, 8, 0), EINVAL, EINVAL, EINVAL, EINVAL, EXDEV)         \
	CALL(copy_file_range(file, 0, fd, 0, 8, 0), EINVAL, EINVAL, EINVAL, EINVAL, EXDEV)         \
	CALL(copy_file_range(fd, 0, file, 0, 8, 1), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)        \
	CALL(copy_file_range(NONE, 0, fd, 0, 8, 0), EBADF, EBADF, EBADF, EBADF, EBADF)             \
	CALL(copy_file_range(fd, 0, NONE, 0, 8, 0), EBADF, EBADF, EBADF, EBADF, EBADF)             \
	CALL(copy_file_range(fd, 0, writable, 0, 8, 0), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)    \
	CALL(copy_file_range(fd, 0, fd, 0, 8, 0), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)          \
	CALL(lseek(fd, 0, other), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                          \
	CALL(fsync(fd), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                                    \
	CALL(fdatasync(fd), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                                \
	CALL(ftruncate(fd, 0), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                             \
	CALL(ftruncate(fd, -1), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                            \
	CALL(readahead(fd, 0, 4096), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                       \
	CALL(sync_file_range(fd, 0, 0, 7), ESPIPE, ESPIPE, ESPIPE, ESPIPE, 0)                      \
	CALL(sync_file_range(fd, -1, 0, 7), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                \
	CALL(fallocate(fd, 0, 0, 4096), ENODEV, ENODEV, ENODEV, EBADF, EOPNOTSUPP)                 \
	CALL(fallocate(fd, 3, 0, 0), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                       \
	CALL(fallocate(fd, 2, 0, 4096),                                                            \
	     EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP)                           \
	CALL(fallocate(fd, 1 << 20, 0, 4096),                                                      \
	     EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP)                           \
	CALL(fallocate(fd, 0, -1, 4096), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                   \
	CALL(fallocate(fd, 0, HALF, HALF), ENODEV, ENODEV, ENODEV, EBADF, EFBIG)                   \
	CALL(fcntl(fd, F_SETLK, nowhere), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)                  \
	CALL(fcntl(fd, F_GETLK, nowhere), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)                  \
	CALL(fcntl(fd, F_GET_SEALS), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                       \
	CALL(fcntl(fd, F_SETLEASE, F_WRLCK), EINVAL, EINVAL, EINVAL, EINVAL, EAGAIN)               \
	CALL(fcntl(fd, F_GETOWN_EX, nowhere), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)              \
	CALL(fstat(fd, nowhere), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)                           \
	CALL(fstatfs(fd, nowhere), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)                         \
	CALL(ioctl(fd, FIONBIO, nowhere), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)                  \
	CALL(ioctl(fd, FIOASYNC, nowhere), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)                 \
	CALL(ioctl(fd, FIGETBSZ, &number), 0, 0, 0, 0, 0)                                          \
	CALL(ioctl(fd, FIGETBSZ, nowhere), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)                 \
	CALL(ioctl(fd, FS_IOC_FIEMAP, nowhere),                                                    \
	     EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP)                           \
	CALL(ioctl(fd, FICLONERANGE, nowhere), EFAULT, EFAULT, EFAULT, EFAULT, EFAULT)             \
	CALL(mmap(nowhere, PAGE, READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),                       \
	     EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)                                               \
	CALL(mmap(0, PAGE, READ_WRITE, 0, fd, 0), EINVAL, EINVAL, EINVAL, EINVAL, EINVAL)          \
	CALL(mmap(0, SIZE_MAX, READ_WRITE, MAP_SHARED, fd, 0),                                     \
	     ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM)
/* clang-format on */

static long make(int which, int fd)
{
	int n = 0;

#define MAKE(expression, ...)                                                                      \
	if (which == n++)                                                                          \
		return (long)(expression);
	CALLS(MAKE)
	return 0;
}

static const struct {
	const char *name;
	int error[KINDS];
} calls[] = {
#define ROW(expression, ...) { #expression, { __VA_ARGS__ } },
	CALLS(ROW)
};

static void check_calls(void)
{
	int i, kind, failed = 0;

	for (i = 0; i < (int)(sizeof(calls) / sizeof(calls[0])); i++) {
		for (kind = 0; kind < KINDS; kind++) {
			int expected = calls[i].error[kind];
			long result;

			if (fds[kind] < 0)
				continue;
			errno = 0;
			result = make(i, fds[kind]);
			if (expected ? result == -1 && errno == expected : result >= 0)
				continue;
			fprintf(stderr, "%s, %s: %ld (%s), not %s\n", calls[i].name, kinds[kind],
				result, strerror(errno), strerror(expected));
			failed = 1;
		}
	}
	CHECK(!failed);
}

/* ---- flags of preadv2() and pwritev2() ---- */

/* Statistics are read by parts: that much says the kernel to all flags but one. */
static void flags(void)
{
	struct iovec empty = { buffer, 0 };
	int vm = fds[1], stats = fds[3], flag;

	for (flag = 1; flag > 0; flag <<= 1) {
		if (flag == RWF_HIPRI)
			continue;
		CHECK_FAILS(preadv2(stats, &part, 1, 0, flag), EOPNOTSUPP);
		CHECK_FAILS(preadv2(stats, &part, 1, -1, flag), EOPNOTSUPP);
		CHECK_FAILS(preadv2(stats, &bad, 1, 0, flag), EOPNOTSUPP);
		CHECK_FAILS(preadv2(stats, nowhere, 1, 0, flag), EFAULT);
		CHECK(preadv2(stats, &empty, 1, 0, flag) == 0);
		CHECK_FAILS(pwritev2(stats, &part, 1, -1, flag), EBADF);
		CHECK_FAILS(pwritev2(vm, &part, 1, -1, flag), EINVAL);
		CHECK_FAILS(pwritev2(vm, &part, 1, 0, flag), ESPIPE);
		CHECK_FAILS(preadv2(vm, &part, 1, -1, flag), EINVAL);
	}
	CHECK(preadv2(stats, &part, 1, 0, RWF_HIPRI) == 8);
	CHECK((fcntl(stats, F_GETFL) & O_ACCMODE) == O_RDONLY);
}

/* ---- owner, mode and times ---- */

/* Kernels differ in what they say about anonymous inodes. */
static void changes(void)
{
	int anonymous = epoll_create1(0), kind, expected, r;

	CHECK(anonymous >= 0);
	for (kind = 1; kind < KINDS; kind++) {
		int fd = fds[kind];

		if (fd < 0)
			continue;
		r = fchmod(anonymous, 0600);
		expected = kind == 4 ? EINVAL : r ? errno : 0;
		errno = 0;
		CHECK(fchmod(fd, 0600) == (expected ? -1 : 0) && errno == expected);
		errno = 0;
		CHECK(fchown(fd, getuid(), getgid()) == (expected ? -1 : 0) && errno == expected);
		errno = 0;
		CHECK(futimens(fd, NULL) == (expected ? -1 : 0) && errno == expected);
		CHECK_FAILS(futimens(fd, nowhere), EFAULT);
	}
	CHECK(!close(anonymous));
}

/* ---- KVM's own ioctls ---- */

static void ioctls(void)
{
	static const struct {
		int kind;
		unsigned long number;
	} of_pointers[] = {
		{ 0, KVM_GET_MSR_INDEX_LIST },
		{ 0, KVM_GET_SUPPORTED_CPUID },
		{ 0, KVM_GET_MSRS },
		{ 1, KVM_SET_USER_MEMORY_REGION },
		{ 1, KVM_GET_DIRTY_LOG },
		{ 1, KVM_CREATE_DEVICE },
		{ 1, KVM_ENABLE_CAP },
		{ 1, KVM_IOEVENTFD },
		{ 1, KVM_IRQFD },
		{ 1, KVM_GET_CLOCK },
		{ 1, KVM_SET_CLOCK },
		{ 2, KVM_GET_REGS },
		{ 2, KVM_SET_REGS },
		{ 2, KVM_GET_SREGS },
		{ 2, KVM_SET_SREGS },
		{ 2, KVM_GET_FPU },
		{ 2, KVM_SET_FPU },
		{ 2, KVM_GET_MSRS },
		{ 2, KVM_SET_MSRS },
		{ 2, KVM_SET_CPUID2 },
		{ 2, KVM_GET_CPUID2 },
		{ 2, KVM_SET_SIGNAL_MASK },
		{ 2, KVM_TRANSLATE },
		{ 2, KVM_GET_MP_STATE },
		{ 2, KVM_SET_MP_STATE },
		{ 2, KVM_GET_VCPU_EVENTS },
		{ 2, KVM_SET_VCPU_EVENTS },
		{ 2, KVM_GET_XSAVE },
		{ 2, KVM_GET_DEBUGREGS },
		{ 2, KVM_SET_DEBUGREGS },
	};
	size_t i;

	for (i = 0; i < sizeof(of_pointers) / sizeof(of_pointers[0]); i++) {
		CHECK_FAILS(ioctl(fds[of_pointers[i].kind], of_pointers[i].number, nowhere),
			    EFAULT);
		CHECK_FAILS(ioctl(fds[of_pointers[i].kind], of_pointers[i].number, kernel), EFAULT);
	}
}

/* ---- with all signals blocked, the one for a fault too ---- */

static void check_blocked(void)
{
	const int blocked[] = { SIGSEGV, SIGBUS, SIGUSR2 };
	struct kvm_regs regs;
	sigset_t set;

	ioctls();
	CHECK_FAILS(read(fds[3], nowhere, 8), EFAULT);
	CHECK_FAILS(pread(fds[3], nowhere, 8, 0), EFAULT);
	CHECK_FAILS(preadv(fds[3], &bad, 1, 0), EFAULT);
	CHECK(!ioctl(fds[2], KVM_GET_REGS, &regs));
	CHECK(!pthread_sigmask(SIG_BLOCK, NULL, &set));
	for (int i = 0; i < 3; i++)
		CHECK(sigismember(&set, blocked[i]) == 1);
}

static void in_handler(int signo)
{
	(void)signo;
	check_blocked();
}

static void *in_thread(void *argument)
{
	check_blocked();
	return argument;
}

/* The guest's only page is gone: KVM_RUN says so in its way. */
static void run_nowhere(int argument)
{
	int vm = ioctl(kvm(), KVM_CREATE_VM, 0), vcpu, r;
	struct kvm_userspace_memory_region slot = { 0 };
	struct kvm_run *run;

	(void)argument;
	vcpu = spinning_vcpu(vm, &run);
	CHECK(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
	slot.memory_size = PAGE;
	slot.userspace_addr =
		(unsigned long)mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
	r = ioctl(vcpu, KVM_RUN, 0);
	CHECK(r ? errno == EFAULT : run->exit_reason != KVM_EXIT_UNKNOWN);
}

static void blocked(void)
{
	struct sigaction action = { .sa_handler = in_handler };
	sigset_t all, before;
	pthread_t thread;

	sigfillset(&action.sa_mask);
	CHECK(!sigaction(SIGUSR1, &action, NULL) && !raise(SIGUSR1));
	/* Not by a fault, whose handler has its signal blocked. */
	CHECK(!sigaction(SIGSEGV, &action, NULL) && !raise(SIGSEGV));
	CHECK(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
	ioctls();
	sigfillset(&all);
	CHECK(!pthread_sigmask(SIG_SETMASK, &all, &before));
	check_blocked();
	CHECK(!pthread_create(&thread, NULL, in_thread, NULL) && !pthread_join(thread, NULL));
	CHECK(in_child(run_nowhere, 0) == 0);
	CHECK(!sigprocmask(SIG_SETMASK, &before, NULL));
	ioctls();
	CHECK(!sigprocmask(SIG_BLOCK, &all, NULL));
	check_blocked();
	CHECK(!sigprocmask(SIG_SETMASK, &before, NULL));
}

int main(void)
{
	struct kvm_create_guest_memfd memory = { .size = 16 * PAGE };
	char *pages = mmap(NULL, 2 * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int pipes[2];

	CHECK(pages != MAP_FAILED && !mprotect(pages + PAGE, PAGE, PROT_NONE));
	cut = (struct iovec *)(pages + PAGE - sizeof(*cut) / 2);
	CHECK(!pipe2(pipes, O_NONBLOCK) && write(pipes[1], buffer, sizeof(buffer)) > 0);
	readable = pipes[0];
	writable = pipes[1];
	file = memfd_create("file", 0);
	CHECK(file >= 0 && !ftruncate(file, PAGE));

	fds[0] = kvm();
	fds[1] = ioctl(fds[0], KVM_CREATE_VM, 0);
	fds[2] = ioctl(fds[1], KVM_CREATE_VCPU, 0);
	fds[3] = ioctl(fds[1], KVM_GET_STATS_FD, NULL);
	CHECK(fds[1] >= 0 && fds[2] >= 0 && fds[3] >= 0);
	fds[4] = ioctl(fds[1], KVM_CREATE_GUEST_MEMFD, &memory);
	if (fds[4] < 0)
		puts("no guest_memfd");
	check_calls();
	flags();
	changes();
	ioctls();
	blocked();
	return 0;
}
