/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon gives up once it serves: capabilities, new privileges, and the system calls that
 * it has no use for, those that start programs or processes first of all.
 *
 * capset(2) is for one thread, and the threads that serve are there already: each does it before
 * its next request. The filter is put on all at once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cuse/daemon.h"

#define BIT(capability) (1ull << (capability))

static const uint64_t kept =
	BIT(CAP_SYS_PTRACE) |         /* ptrace, process_vm_*, kcmp, pidfd_getfd on anybody's */
	BIT(CAP_CHECKPOINT_RESTORE) | /* /proc/PID/map_files */
	BIT(CAP_DAC_OVERRIDE) |       /* what is behind those, and /proc/PID of other users */
	BIT(CAP_DAC_READ_SEARCH) |
	BIT(CAP_KILL) |    /* a SIGSTOP that came at the wrong moment is sent again */
	BIT(CAP_IPC_LOCK); /* pages of kvm_run */

static atomic_bool confined;
static __thread bool thread_confined;

static int keep(uint64_t capabilities)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	int i;

	for (i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = capabilities >> (32 * i);
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

void confine_thread(void)
{
	if (thread_confined || !atomic_load_explicit(&confined, memory_order_relaxed))
		return;
	if (keep(kept))
		LOG(ERROR, "capabilities: %m");
	thread_confined = true;
}

/* clang-format off */
static const int allowed[] = {
	/* requests */
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_preadv2, SYS_futex, SYS_kcmp, SYS_pidfd_send_signal,
	SYS_process_vm_readv, SYS_process_vm_writev, SYS_openat, SYS_open, SYS_close, SYS_fstat, SYS_fstatfs,
	SYS_newfstatat, SYS_stat, SYS_statx, SYS_lseek, SYS_pread64, SYS_pwrite64, SYS_fcntl,
	SYS_dup, SYS_dup3, SYS_getdents64, SYS_readlink, SYS_access, SYS_faccessat2,
	/* memory */
	SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_mlock, SYS_munlock,
	SYS_brk, SYS_memfd_create, SYS_ftruncate, SYS_fallocate,
	/* threads and time */
	SYS_exit, SYS_exit_group, SYS_set_robust_list, SYS_rseq, SYS_gettid, SYS_getpid,
	SYS_sched_yield, SYS_sched_getaffinity, SYS_nanosleep, SYS_clock_nanosleep,
	SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_getrandom, SYS_membarrier,
	SYS_restart_syscall, SYS_capset, SYS_prctl, SYS_sysinfo, SYS_uname, SYS_getrusage,
	/* signals */
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigtimedwait,
	SYS_sigaltstack, SYS_tgkill, SYS_tkill,
	/* devices of VMs */
	SYS_eventfd2, SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime,
	SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_wait, SYS_epoll_pwait, SYS_poll, SYS_ppoll,
	SYS_ioctl, /* userfaultfd */
	/* clients */
	SYS_ptrace, SYS_wait4, SYS_pidfd_open, SYS_pidfd_getfd, SYS_getsockopt, SYS_sendmsg,
	/* the end */
	SYS_umount2,
};
/* Waits, writes, ends. */
static const int allowed_guard[] = {
	SYS_futex, SYS_write, SYS_exit, SYS_exit_group, SYS_restart_syscall, SYS_rt_sigreturn,
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* @threads: new ones may be made, but no processes. */
static int filter_system_calls(const int *calls, size_t count, bool threads)
{
	enum { HEAD = 5, CLONE = 3, TAIL = 2, MOST = COUNT(allowed) };
	struct sock_filter code[HEAD + MOST + CLONE + TAIL], *at = code;
	struct sock_fprog program = { .filter = code };
	const size_t more = threads ? CLONE : 0;
	const struct sock_filter
		head[HEAD] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			/* Its flags are in memory: glibc then uses clone(). */
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, count + more, 0),
		},
		/* A new thread, not a new process. */
		clone[CLONE] = {
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, CLONE - 1),
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
			BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
		};
	size_t i;

	for (i = 0; i < HEAD; i++)
		*at++ = head[i];
	for (i = 0; i < count; i++)
		*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i],
						     count - 1 - i + more + TAIL - 1, 0);
	for (i = 0; i < more; i++)
		*at++ = clone[i];
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = at - code;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) ?
		       -errno :
		       0;
}

int confine(const struct daemon_options *options)
{
	int r = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		r = -errno;
	if (!r)
		r = keep(kept | (options->file ? BIT(CAP_SYS_ADMIN) : 0)); /* to unmount it */
	if (!r)
		r = filter_system_calls(allowed, COUNT(allowed), true);
	if (r)
		LOG(ERROR, "cannot give up privileges: %s", strerror(-r));
	thread_confined = true;
	atomic_store(&confined, true);
	return r;
}

void confine_guard(void)
{
	if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		keep(0);
	filter_system_calls(allowed_guard, COUNT(allowed_guard), false);
}
