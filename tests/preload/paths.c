// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any pointer may be given for a path: the answer is the kernel's, wherever the call is made. By
 * itself the program passes on a machine with KVM.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "preload_test.h"

#define PAGE 4096

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);
int __xstat(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstatat(int version, int directory, const char *path, struct stat *st, int flags);

/* ---- the calls ---- */

enum answer { DESCRIPTOR, ZERO, STREAM };

static struct stat st;
static struct stat64 st64;
static struct statx stx;
static struct open_how reads = { .flags = O_RDWR }, creates = { .flags = O_RDWR | O_CREAT };

/* clang-format off */
#define CALLS(CALL)                                                                                \
	CALL(DESCRIPTOR, open(path, O_RDONLY))                                                     \
	CALL(DESCRIPTOR, open(path, O_RDWR | O_CREAT, 0600))                                       \
	CALL(DESCRIPTOR, open64(path, O_RDWR))                                                     \
	CALL(DESCRIPTOR, openat(AT_FDCWD, path, O_RDWR))                                           \
	CALL(DESCRIPTOR, openat64(AT_FDCWD, path, O_RDWR | O_CREAT | O_TRUNC, 0600))               \
	CALL(DESCRIPTOR, __open_2(path, O_RDWR))                                                   \
	CALL(DESCRIPTOR, __open64_2(path, O_RDWR))                                                 \
	CALL(DESCRIPTOR, __openat_2(AT_FDCWD, path, O_RDWR))                                       \
	CALL(DESCRIPTOR, __openat64_2(AT_FDCWD, path, O_RDWR))                                     \
	CALL(DESCRIPTOR, syscall(SYS_open, path, O_RDWR, 0))                                       \
	CALL(DESCRIPTOR, syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT, 0600))              \
	CALL(DESCRIPTOR, syscall(SYS_openat2, AT_FDCWD, path, &reads, sizeof(reads)))              \
	CALL(DESCRIPTOR, syscall(SYS_openat2, AT_FDCWD, path, &creates, sizeof(creates)))          \
	CALL(STREAM, fopen(path, "r"))                                                             \
	CALL(STREAM, fopen(path, "w"))                                                             \
	CALL(STREAM, fopen64(path, "r+e"))                                                         \
	CALL(ZERO, stat(path, &st))                                                                \
	CALL(ZERO, lstat(path, &st))                                                               \
	CALL(ZERO, stat64(path, &st64))                                                            \
	CALL(ZERO, lstat64(path, &st64))                                                           \
	CALL(ZERO, fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW))                              \
	CALL(ZERO, fstatat64(AT_FDCWD, path, &st64, 0))                                            \
	CALL(ZERO, statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &stx))                              \
	CALL(ZERO, __xstat(1, path, &st))                                                          \
	CALL(ZERO, __lxstat64(1, path, &st64))                                                     \
	CALL(ZERO, __fxstatat(1, AT_FDCWD, path, &st, 0))                                          \
	CALL(ZERO, syscall(SYS_stat, path, &st))                                                   \
	CALL(ZERO, syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0))                                \
	CALL(ZERO, access(path, F_OK))                                                             \
	CALL(ZERO, faccessat(AT_FDCWD, path, R_OK, AT_EACCESS))                                    \
	CALL(ZERO, euidaccess(path, R_OK))                                                         \
	CALL(ZERO, eaccess(path, R_OK))                                                            \
	CALL(ZERO, syscall(SYS_access, path, F_OK))                                                \
	CALL(ZERO, syscall(SYS_faccessat2, AT_FDCWD, path, F_OK, 0))
/* clang-format on */

/* One function for all: the number chooses. */
static long make(int number, const char *path)
{
	int n = 0;

#define MAKE(kind, expression)                                                                     \
	if (number == n++)                                                                         \
		return (long)(expression);
	CALLS(MAKE)
	return -1;
}

static const struct {
	enum answer answer;
	const char *name;
} calls[] = {
#define ROW(kind, expression) { kind, #expression },
	CALLS(ROW)
};

#define CALLS_COUNT (int)(sizeof(calls) / sizeof(calls[0]))

/* ---- the paths ---- */

struct path {
	const char *name;
	const char *path;
	int error; /* 0: it is /dev/kvm */
};

static struct path paths[32];
static int paths_count;

static void add(const char *name, const char *path, int error)
{
	paths[paths_count++] = (struct path){ name, path, error };
}

/* @bytes of @text end where memory ends. */
static char *at_end(const char *text, size_t bytes)
{
	char *pages =
		mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(pages != MAP_FAILED && !mprotect(pages + 2 * PAGE, PAGE, PROT_NONE));
	return memcpy(pages + 2 * PAGE - bytes, text, bytes);
}

static void make_paths(void)
{
	static char slashes[PATH_MAX + 16], over[PAGE + 16];
	char *none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *long_one;

	add("null", NULL, EFAULT);
	add("small", (char *)16, EFAULT);
	add("last", (char *)-1, EFAULT);
	add("kernel's", (char *)0xffff888000000000, EFAULT);
	add("not canonical", (char *)0x8000000000000000, EFAULT);
	add("no access", none, EFAULT);
	add("kvm", at_end("/dev/kvm", 9), 0);
	add("kvm without end", at_end("/dev/kvm", 8), EFAULT);
	add("less than kvm", at_end("/dev/kv", 7), EFAULT);
	add("one byte", at_end("/", 1), EFAULT);
	add("empty", at_end("", 1), ENOENT);
	add("other", at_end("/nonexistent/kvm", 17), ENOENT);
	memset(slashes, '/', sizeof(slashes));
	memcpy(slashes + PATH_MAX - 8, "dev/kvm", 8);
	add("longest", at_end(slashes, PATH_MAX), 0);
	memcpy(slashes + PATH_MAX - 7, "dev/kvm", 8);
	add("too long", at_end(slashes, PATH_MAX + 1), ENAMETOOLONG);
	memset(over, '/', sizeof(over));
	long_one = at_end(over, PAGE + 16);
	memcpy(long_one + 8, "/dev/kvm", 9);
	add("over a page's end", long_one + 8, 0);
	add("too long without end", at_end(slashes, PATH_MAX), ENAMETOOLONG);
}

/* ---- all calls with all paths ---- */

static bool is_expected(long result, int error, enum answer answer)
{
	if (!error && answer == DESCRIPTOR)
		return result >= 0 && !errno && is_kvm(result) && !close(result);
	if (!error && answer == STREAM)
		return result && is_kvm(fileno((FILE *)result)) && !fclose((FILE *)result);
	return error ? result == (answer == STREAM ? 0 : -1) && errno == error : !result && !errno;
}

static void check_all(bool only_failing)
{
	int i, n;

	for (i = 0; i < paths_count; i++) {
		for (n = 0; n < CALLS_COUNT; n++) {
			const struct path *path = &paths[i];
			long result;

			if (only_failing && !path->error)
				continue;
			errno = 0;
			result = make(n, path->path);
			if (is_expected(result, path->error, calls[n].answer))
				continue;
			fprintf(stderr, "%s, path \"%s\": %ld (%s)\n", calls[n].name, path->name,
				result, strerror(errno));
			_exit(1);
		}
	}
}

static void before_use(int argument)
{
	(void)argument;
	check_all(true);
	check_all(false);
}

static void *in_thread(void *argument)
{
	check_all(false);
	return argument;
}

static void in_handler(int signo)
{
	(void)signo;
	check_all(true);
}

static void everywhere(void)
{
	struct sigaction action = { .sa_handler = in_handler };
	pthread_t thread;
	int status;
	pid_t pid;

	check_all(false);
	CHECK(!pthread_create(&thread, NULL, in_thread, NULL) && !pthread_join(thread, NULL));
	sigfillset(&action.sa_mask); /* a fault would be the end */
	CHECK(!sigaction(SIGUSR1, &action, NULL) && !raise(SIGUSR1));
	pid = vfork();
	if (!pid) {
		check_all(true);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* ---- openat2()'s structure ---- */

static long open_how(int directory, const char *path, const void *how, size_t size)
{
	long result = syscall(SYS_openat2, directory, path, how, size);

	if (result >= 0)
		CHECK(is_kvm(result) && !close(result));
	return result;
}

static void structures(void)
{
	struct {
		struct open_how how;
		uint64_t more;
	} large = { .how.flags = O_RDWR };
	const struct open_how wrong[] = {
		{ .flags = O_RDWR | 1ull << 60 },
		{ .flags = O_RDWR, .mode = 0600 },
		{ .flags = O_RDWR | O_CREAT, .mode = 1ull << 40 },
		{ .flags = O_RDWR | O_CREAT, .resolve = 1ull << 40 },
		{ .flags = O_PATH | O_RDWR },
	};
	struct open_how beneath = { .flags = O_RDWR, .resolve = RESOLVE_BENEATH };
	struct open_how in_root = { .flags = O_RDWR, .resolve = RESOLVE_IN_ROOT };
	struct open_how no_links = { .flags = O_RDWR, .resolve = RESOLVE_NO_SYMLINKS };
	struct open_how exclusive = { .flags = O_RDWR | O_CREAT | O_EXCL };
	int root = open("/", O_PATH), folder = open("/proc/self", O_PATH);
	const char *name = "/dev/kvm";
	size_t size = sizeof(large.how), i;

	CHECK(root >= 0 && folder >= 0);
	CHECK_FAILS(open_how(AT_FDCWD, name, NULL, size), EFAULT);
	CHECK_FAILS(open_how(AT_FDCWD, name, (void *)-8, size), EFAULT);
	CHECK(open_how(AT_FDCWD, name, at_end((void *)&large, size), size) >= 0);
	for (i = 1; i < size; i++)
		CHECK_FAILS(open_how(AT_FDCWD, name, at_end((void *)&large, i), size), EFAULT);
	CHECK_FAILS(open_how(AT_FDCWD, name, &large, 0), EINVAL);
	CHECK_FAILS(open_how(AT_FDCWD, name, &large, size - 1), EINVAL);
	CHECK_FAILS(open_how(AT_FDCWD, name, NULL, PAGE + 1), E2BIG);
	CHECK(open_how(AT_FDCWD, name, &large, sizeof(large)) >= 0);
	large.more = 1;
	CHECK_FAILS(open_how(AT_FDCWD, name, &large, sizeof(large)), E2BIG);
	large.how.flags |= O_CREAT;
	CHECK_FAILS(open_how(AT_FDCWD, name, &large, sizeof(large)), E2BIG);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_FAILS(open_how(AT_FDCWD, name, &wrong[i], size), EINVAL);
	CHECK_FAILS(open_how(AT_FDCWD, name, &exclusive, size), EEXIST);
	/* Where the path may lead. */
	CHECK_FAILS(open_how(AT_FDCWD, name, &beneath, size), EXDEV);
	CHECK(open_how(root, "dev/kvm", &beneath, size) >= 0);
	CHECK(open_how(root, "../dev/kvm", &in_root, size) >= 0);
	CHECK_FAILS(open_how(folder, name, &in_root, size), ENOENT);
	CHECK(open_how(AT_FDCWD, name, &no_links, size) >= 0);
	CHECK_FAILS(open_how(folder, "root/dev/kvm", &no_links, size), ELOOP);
	in_root.flags |= O_CREAT;
	CHECK(open_how(root, name, &in_root, size) >= 0);
	CHECK_FAILS(open_how(folder, name, &in_root, size), ENOENT);
	CHECK(!close(root) && !close(folder));
}

/* ---- what looking writes to ---- */

static void results(void)
{
	char *cut = at_end("", 1);
	void *const nowhere[] = { NULL, (void *)16, (void *)-4096, cut - sizeof(st) + 2,
				  cut - sizeof(stx) + 2 };
	const char *names[] = { "/dev/kvm", "/dev/null" };
	int fd = kvm(), i, n;

	for (n = 0; n < 2; n++) {
		for (i = 0; i < 4; i++) {
			struct stat *volatile to = nowhere[i];

			CHECK_FAILS(stat(names[n], to), EFAULT);
			CHECK_FAILS(lstat(names[n], to), EFAULT);
			CHECK_FAILS(fstatat(AT_FDCWD, names[n], to, 0), EFAULT);
			CHECK_FAILS(__xstat(1, names[n], to), EFAULT);
			CHECK_FAILS(fstat(n ? 0 : fd, to), EFAULT);
			CHECK_FAILS(fstatat(n ? 0 : fd, "", to, AT_EMPTY_PATH), EFAULT);
			CHECK_FAILS(syscall(SYS_fstat, n ? 0 : fd, to), EFAULT);
		}
		for (i = 0; i < 5; i++) {
			struct statx *volatile to = nowhere[i];

			CHECK_FAILS(statx(AT_FDCWD, names[n], 0, STATX_BASIC_STATS, to), EFAULT);
			CHECK_FAILS(statx(n ? 0 : fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, to),
				    EFAULT);
		}
	}
	CHECK(!fstat(fd, (struct stat *)(cut + 1 - sizeof(st))));
	CHECK(!statx(AT_FDCWD, "/dev/kvm", 0, 0, (struct statx *)(cut + 1 - sizeof(stx))));
	CHECK_FAILS(statx(AT_FDCWD, "/dev/kvm", 0, STATX__RESERVED, &stx), EINVAL);
	CHECK_FAILS(statx(AT_FDCWD, "/dev/kvm", 1 << 20, 0, &stx), EINVAL);
	CHECK_FAILS(fstatat(AT_FDCWD, "/dev/kvm", &st, 1 << 20), EINVAL);
	CHECK(!close(fd));
}

/* ---- programs that allow themselves few calls ---- */

#define ALLOW(number)                                                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, allowed)

static void install(struct sock_filter *code, unsigned short length)
{
	struct sock_fprog program = { length, code };

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

/* Without what the preload does. */
static bool machine_has_kvm(void)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(SYS_access), "D"("/dev/kvm"), "S"(F_OK)
			 : "rcx", "r11", "memory");
	return !result;
}

/*
 * The calls about paths return with @allowed, those behind them are left, others kill: so does the
 * one that asks for memory, unless the machine has a device that must not be opened.
 */
static void filter(uint32_t allowed)
{
	const bool asks = allowed != SECCOMP_RET_ALLOW || machine_has_kvm();
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_openat),
		ALLOW(SYS_newfstatat),
		ALLOW(SYS_access),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, asks ? SYS_rt_sigprocmask : SYS_close, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	install(code, sizeof(code) / sizeof(code[0]));
}

/* Usual calls make no others. */
static void few_calls(int argument)
{
	const char *volatile nowhere = (char *)16;
	int fd;

	(void)argument;
	filter(SECCOMP_RET_ALLOW);
	fd = open("/dev/null", O_RDONLY);
	if (fd < 0 || close(fd) || stat("/dev/null", &st) || access("/dev/null", F_OK))
		_exit(1);
	if (open("/nonexistent", O_RDONLY) != -1 || errno != ENOENT ||
	    stat("/nonexistent", &st) != -1 || errno != ENOENT)
		_exit(2);
	if (open(nowhere, O_RDONLY) != -1 || errno != EFAULT || stat(nowhere, &st) != -1 ||
	    errno != EFAULT || access(nowhere, F_OK) != -1 || errno != EFAULT)
		_exit(3);
}

/* Calls by number are those very calls, and no libc has replaced them by newer ones. */
static void old_calls(int argument)
{
	const uint32_t allowed = SECCOMP_RET_ALLOW;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_open),
		ALLOW(SYS_stat),
		ALLOW(SYS_lstat),
		ALLOW(SYS_fstat),
		ALLOW(SYS_access),
		ALLOW(SYS_close),
		ALLOW(SYS_exit_group),
		ALLOW(machine_has_kvm() ? SYS_rt_sigprocmask : SYS_close),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	long fd;

	(void)argument;
	install(code, sizeof(code) / sizeof(code[0]));
	fd = syscall(SYS_open, "/dev/null", O_RDONLY, 0);
	if (fd < 0 || syscall(SYS_fstat, fd, &st) || syscall(SYS_close, fd) ||
	    syscall(SYS_stat, "/dev/null", &st) || syscall(SYS_lstat, "/dev/null", &st) ||
	    syscall(SYS_access, "/dev/null", F_OK))
		_exit(1);
}

/* Nor do they end a thread that is to be cancelled. */
static void *reads_by_number(void *argument)
{
	int *pipes = argument;
	char byte;

	pthread_cancel(pthread_self());
	CHECK(syscall(SYS_read, pipes[0], &byte, 1) == 1);
	CHECK(syscall(SYS_open, "/dev/null", O_RDONLY, 0) >= 0);
	return argument;
}

static void cancelled(void)
{
	pthread_t thread;
	void *result;
	int pipes[2];

	CHECK(!pipe(pipes) && write(pipes[1], "", 1) == 1);
	CHECK(!pthread_create(&thread, NULL, reads_by_number, pipes));
	CHECK(!pthread_join(thread, &result) && result == pipes);
	CHECK(!close(pipes[0]) && !close(pipes[1]));
}

/* The kernel has an answer and has not seen the path. */
static void forbidden_calls(int argument)
{
	const char *volatile nowhere = (char *)16;

	(void)argument;
	filter(SECCOMP_RET_ERRNO | EACCES);
	if (open(nowhere, O_RDONLY) != -1 || errno != EACCES || stat(nowhere, &st) != -1 ||
	    errno != EACCES || access(nowhere, F_OK) != -1 || errno != EACCES)
		_exit(1);
}

/* ---- a machine without /dev/kvm ---- */

static void without_device(int argument)
{
	(void)argument;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/dev", "tmpfs", 0, NULL)) {
		puts("no namespace to take /dev/kvm away in");
		_exit(0);
	}
	check_all(false);
	/* Nothing has come to be. */
	CHECK_FAILS(syscall(SYS_readlink, "/dev/kvm", &st, 1), ENOENT);
}

int main(void)
{
	const char *preload = getenv("LD_PRELOAD");

	make_paths();
	CHECK(in_child(few_calls, 0) == 0);
	CHECK(in_child(old_calls, 0) == 0);
	CHECK(in_child(forbidden_calls, 0) == 0);
	cancelled();
	if (preload && strstr(preload, "fauxkvm"))
		CHECK(in_child(without_device, 0) == 0);
	CHECK(in_child(before_use, 0) == 0);
	everywhere();
	structures();
	results();
	return 0;
}
