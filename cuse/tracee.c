/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client's thread that is stopped on its way out of its ioctl(), and made to execute system
 * calls. ptrace(2).
 *
 * PTRACE_INTERRUPT makes it stop before anything else happens to it on its way to user mode. The
 * SYSCALL instruction that it used is right before its RIP; with RIP set back it runs whatever is
 * in its registers. The stops of system calls are used, not single steps: those come as SIGTRAP,
 * which would disturb the client's disposition for it. All signals are blocked meanwhile but SIGSYS,
 * which a seccomp filter sends instead of letting a call through: blocked, it would end the process.
 * Should the daemon die in the middle the thread dies too, rather than go on with wrong registers.
 *
 * A thread that is killed stops once more at its end, and keeps its number until it is let go: else
 * another thread that executes a program could have the number of the first one, and the program's
 * memory, with other rights, would be read and written in place of the client's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cuse/daemon.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* Linux 6.9 */
#endif

#define SYSCALL_BYTES 2
#define USER_CS_64 0x33
#define SYSCALL_STOP (SIGTRAP | 0x80)
#define BLOCKED (~SIGNAL_BIT(SIGSYS))
#define PENDING_MAX 64
#define SIGNAL_SET_BYTES 8
#define SPINS 200 /* looks at a thread before sleeping between them */
#define PAUSE_NS 50000
#define PAUSE_NS_MOST 20000000 /* of a thread that does not stop at all: it is held by others */
#define LONG_WAIT 4000         /* looks, a fifth of a second */
#define SEIZE_TRIES 1000
#define SEIZE_PAUSE_NS 1000000
#define OTHERS_TRIES 10 /* that find another process as its tracer */
#define DEATH_CHECK 200 /* looks between those for a thread that has died */
#define EXIT_STOP (SIGTRAP | PTRACE_EVENT_EXIT << 8)

struct tracee {
	pid_t tid;
	struct user_regs_struct regs; /* where it stopped */
	uint64_t mask;                /* its own */
	uint64_t kept_signals;        /* that came and it has not got: SIGSTOP, SIGSYS */
	bool dead;
	uint64_t scratch; /* 0: none */
};

/* ---- stops ---- */

static void pause_between(unsigned looks)
{
	const struct timespec pause = {
		.tv_nsec = looks < LONG_WAIT ? PAUSE_NS : PAUSE_NS_MOST,
	};

	if (looks < SPINS)
		sched_yield();
	else
		nanosleep(&pause, NULL);
}

/*
 * The next stop of the thread. Not a sleeping waitpid(): the end of a thread group's leader is only
 * told when all its other threads are gone, and those may wait for us.
 */
static int wait_stop(struct tracee *tracee, int *status)
{
	unsigned looks;
	pid_t r;

	for (looks = 0;; looks++) {
		r = waitpid(tracee->tid, status, __WALL | WNOHANG);
		if (r == tracee->tid && WIFSTOPPED(*status) && *status >> 8 != EXIT_STOP)
			return 0;
		if (r || (looks % DEATH_CHECK == DEATH_CHECK - 1 && proc_dead(tracee->tid))) {
			tracee->dead = true;
			return -ESRCH;
		}
		pause_between(looks);
	}
}

static int trace(struct tracee *tracee, int request, void *address, void *data)
{
	if (tracee->dead)
		return -ESRCH;
	if (ptrace(request, tracee->tid, address, data)) {
		if (errno == ESRCH)
			tracee->dead = true;
		return -errno;
	}
	return 0;
}

/* Goes on to the entry or exit of a system call. */
static int next_syscall_stop(struct tracee *tracee)
{
	int status, r;

	for (;;) {
		r = trace(tracee, PTRACE_SYSCALL, NULL, NULL);
		if (!r)
			r = wait_stop(tracee, &status);
		if (r)
			return r;
		if (WSTOPSIG(status) == SYSCALL_STOP)
			return 0;
		if (status >> 16 == 0)
			tracee->kept_signals |= SIGNAL_BIT(WSTOPSIG(status)) &
						(SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGSYS));
	}
}

static int set_mask(struct tracee *tracee, uint64_t mask)
{
	return trace(tracee, PTRACE_SETSIGMASK, (void *)SIGNAL_SET_BYTES, &mask);
}

/* ---- life ---- */

int tracee_seize(pid_t tid, unsigned long options)
{
	const struct timespec pause = { .tv_nsec = SEIZE_PAUSE_NS };
	unsigned tries, others = 0;
	pid_t tracer, process;
	bool ours = false;

	for (tries = 0; ptrace(PTRACE_SEIZE, tid, NULL, options); tries++) {
		if (errno != EPERM)
			return -errno;
		if (proc_dead(tid))
			return -ESRCH;
		/* A thread of ours may have it, or may just have let it go or ended. */
		tracer = proc_tracer(tid);
		process = tracer ? proc_tgid(tracer) : 0;
		/* When one takes it or lets it go, its parent may be shown as its tracer. */
		others = process && process != getpid() ? others + 1 : 0;
		ours = ours || process == getpid();
		if (others == OTHERS_TRIES)
			return -EPERM;
		if (tries == SEIZE_TRIES)
			return ours ? -EBUSY : -EPERM;
		nanosleep(&pause, NULL);
	}
	return 0;
}

int tracee_begin(pid_t tid, struct tracee **out)
{
	struct tracee *tracee = calloc(1, sizeof(*tracee));
	int r;

	if (!tracee)
		return -ENOMEM;
	tracee->tid = tid;
	r = tracee_seize(tid, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT);
	if (r) {
		/* Another tracer: a debugger, strace. */
		LOG(INFO, "thread %d cannot be given a descriptor or shared memory: ptrace: %s",
		    tid, strerror(-r));
		free(tracee);
		return r;
	}
	trace(tracee, PTRACE_INTERRUPT, NULL, NULL);
	*out = tracee;
	return 0;
}

/* Did it come by the SYSCALL instruction of 64-bit code? */
static bool used_syscall(struct tracee *tracee)
{
	uint8_t code[SYSCALL_BYTES];

	return tracee->regs.cs == USER_CS_64 && (long)tracee->regs.orig_rax == SYS_ioctl &&
	       !tracee_read(tracee, tracee->regs.rip - SYSCALL_BYTES, code, sizeof(code)) &&
	       code[0] == 0x0f && code[1] == 0x05;
}

int tracee_wait(struct tracee *tracee)
{
	int status, r = wait_stop(tracee, &status);

	if (!r)
		r = trace(tracee, PTRACE_GETREGS, NULL, &tracee->regs);
	if (!r)
		r = trace(tracee, PTRACE_GETSIGMASK, (void *)SIGNAL_SET_BYTES, &tracee->mask);
	if (!r)
		r = set_mask(tracee, BLOCKED);
	if (!r && !used_syscall(tracee))
		r = -ENOSYS;
	return r;
}

bool tracee_is_dead(const struct tracee *tracee)
{
	return tracee->dead;
}

/* It dies, and comes to its last stop or has been there: on with it. */
static void let_die(struct tracee *tracee)
{
	unsigned looks;
	int status;
	pid_t r;

	for (looks = 0; ptrace(PTRACE_DETACH, tracee->tid, NULL, NULL); looks++) {
		r = waitpid(tracee->tid, &status, __WALL | WNOHANG);
		if (r < 0 || (r && !WIFSTOPPED(status)) || proc_dead(tracee->tid))
			break;
		pause_between(looks);
	}
	/* Its parent hears of its death when no tracer is left. */
	pool_retire();
}

static void let_go(struct tracee *tracee)
{
	if (tracee->kept_signals & SIGNAL_BIT(SIGSYS) && !tracee->dead)
		syscall(SYS_tkill, tracee->tid, SIGSYS);
	if (tracee->kept_signals & SIGNAL_BIT(SIGSTOP) && !tracee->dead)
		syscall(SYS_tkill, tracee->tid, SIGSTOP);
	trace(tracee, PTRACE_DETACH, NULL, NULL);
	if (tracee->dead)
		let_die(tracee);
	free(tracee);
}

static void drop_scratch(struct tracee *tracee)
{
	if (tracee->scratch)
		tracee_call(tracee, SYS_munmap, tracee->scratch, PAGE);
	tracee->scratch = 0;
}

static void end_with(struct tracee *tracee, uint64_t mask)
{
	trace(tracee, PTRACE_SETREGS, NULL, &tracee->regs);
	set_mask(tracee, mask);
	let_go(tracee);
}

void tracee_end(struct tracee *tracee, long result)
{
	drop_scratch(tracee);
	tracee->regs.rax = result;
	end_with(tracee, tracee->mask);
}

static void call_again(struct tracee *tracee)
{
	drop_scratch(tracee);
	tracee->regs.rip -= SYSCALL_BYTES;
	tracee->regs.rax = tracee->regs.orig_rax;
	tracee->regs.orig_rax = -1;
}

void tracee_end_restart(struct tracee *tracee)
{
	call_again(tracee);
	end_with(tracee, tracee->mask);
}

int tracee_run_masked(struct tracee *tracee, uint64_t mask)
{
	int status, r;

	call_again(tracee);
	r = trace(tracee, PTRACE_SETREGS, NULL, &tracee->regs);
	/* With all signals blocked nothing comes before the call. */
	if (!r)
		r = next_syscall_stop(tracee);
	if (!r)
		r = set_mask(tracee, mask);
	/* It may last: the thread need not die with us. */
	if (!r)
		r = trace(tracee, PTRACE_SETOPTIONS, NULL, (void *)PTRACE_O_TRACESYSGOOD);
	if (!r)
		r = trace(tracee, PTRACE_SYSCALL, NULL, NULL);
	if (r)
		return r;
	if (waitpid(tracee->tid, &status, __WALL) != tracee->tid || !WIFSTOPPED(status)) {
		tracee->dead = true;
		return -ESRCH;
	}
	return 0;
}

void tracee_end_masked(struct tracee *tracee)
{
	set_mask(tracee, tracee->mask);
	let_go(tracee);
}

/* ---- system calls ---- */

/* At the exit of a call: does SIGSYS wait for it? */
static bool has_sigsys(struct tracee *tracee)
{
	struct __ptrace_peeksiginfo_args which = { .nr = PENDING_MAX };
	siginfo_t pending[PENDING_MAX];
	long count, i;

	count = ptrace(PTRACE_PEEKSIGINFO, tracee->tid, &which, pending);
	for (i = 0; i < count; i++)
		if (pending[i].si_signo == SIGSYS)
			return true;
	return false;
}

/* The filter's signal comes now. Whoever goes on from that stop does not give it. */
static int take_sigsys(struct tracee *tracee)
{
	int status, r;

	do {
		r = trace(tracee, PTRACE_SYSCALL, NULL, NULL);
		if (!r)
			r = wait_stop(tracee, &status);
	} while (!r && (status >> 16 || WSTOPSIG(status) != SIGSYS));
	return r;
}

long tracee_call_with(struct tracee *tracee, long number, const uint64_t arguments[6])
{
	struct user_regs_struct regs = tracee->regs;
	int r;

	regs.rdi = arguments[0];
	regs.rsi = arguments[1];
	regs.rdx = arguments[2];
	regs.r10 = arguments[3];
	regs.r8 = arguments[4];
	regs.r9 = arguments[5];
	regs.rip -= SYSCALL_BYTES;
	regs.rax = number;
	regs.orig_rax = -1;
	r = trace(tracee, PTRACE_SETREGS, NULL, &regs);
	if (!r)
		r = next_syscall_stop(tracee); /* in */
	if (!r)
		r = next_syscall_stop(tracee); /* out */
	if (!r)
		r = trace(tracee, PTRACE_GETREGS, NULL, &regs);
	if (r)
		return r;
	/* A filter that traps leaves the number where the result would be. */
	if (regs.rax != (unsigned long)number || !has_sigsys(tracee))
		return regs.rax;
	LOG(INFO, "thread %d cannot be given a descriptor or shared memory: its seccomp filter traps "
		  "system call %ld",
	    tracee->tid, number);
	r = take_sigsys(tracee);
	return r ? r : -EPERM;
}

int tracee_scratch(struct tracee *tracee, uint64_t *address)
{
	long r = 0;

	if (!tracee->scratch) {
		r = tracee_call(tracee, SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1ull);
		if (r < 0 && r > -(long)PAGE)
			return r;
		tracee->scratch = r;
	}
	*address = tracee->scratch;
	return 0;
}

int tracee_write(struct tracee *tracee, uint64_t address, const void *data, size_t bytes)
{
	struct iovec here = { (void *)data, bytes }, there = { (void *)address, bytes };

	if (process_vm_writev(tracee->tid, &here, 1, &there, 1, 0) != (ssize_t)bytes)
		return -EFAULT;
	return 0;
}

int tracee_read(struct tracee *tracee, uint64_t address, void *data, size_t bytes)
{
	struct iovec here = { data, bytes }, there = { (void *)address, bytes };

	if (process_vm_readv(tracee->tid, &here, 1, &there, 1, 0) != (ssize_t)bytes)
		return -EFAULT;
	return 0;
}

/* ---- descriptors ---- */

/* What recvmsg() wants, in the client's memory. */
struct message {
	struct msghdr header;
	struct iovec part;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	int pair[2];
};

static int send_fd(int socket, int fd)
{
	char byte = 0;
	struct message m = {
		.part = { &byte, 1 },
		.header = { .msg_iov = &m.part,
			    .msg_iovlen = 1,
			    .msg_control = &m.control,
			    .msg_controllen = sizeof(m.control) },
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m.header);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(socket, &m.header, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
}

/* The other end of the socket is in the daemon and has the descriptor in flight. */
static long receive_fd(struct tracee *tracee, uint64_t at, int socket, bool cloexec)
{
	struct message m = { 0 };
	struct cmsghdr *c;
	long r;
	int fd;

	m.part.iov_base = (void *)(at + offsetof(struct message, byte));
	m.part.iov_len = 1;
	m.header.msg_iov = (void *)(at + offsetof(struct message, part));
	m.header.msg_iovlen = 1;
	m.header.msg_control = (void *)(at + offsetof(struct message, control));
	m.header.msg_controllen = sizeof(m.control);
	r = tracee_write(tracee, at, &m, sizeof(m));
	if (r)
		return r;
	r = tracee_call(tracee, SYS_recvmsg, socket, at,
			(cloexec ? MSG_CMSG_CLOEXEC : 0) | MSG_DONTWAIT);
	if (r != 1)
		return r < 0 ? r : -EIO;
	r = tracee_read(tracee, at, &m, sizeof(m));
	if (r)
		return r;
	/* Without room in its table the kernel leaves the descriptor out. */
	c = &m.control.align;
	if (m.header.msg_controllen < CMSG_LEN(sizeof(int)) || c->cmsg_type != SCM_RIGHTS)
		return -EMFILE;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Did its process make the other end? Its memory, from which we have the number, may change. */
static bool is_its_own(const struct tracee *tracee, int socket)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	return !getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) &&
	       peer.pid == proc_tgid(tracee->tid);
}

int thread_get_fd(pid_t tid, int fd)
{
	int pidfd = syscall(SYS_pidfd_open, tid, PIDFD_THREAD), own;

	if (pidfd < 0)
		pidfd = syscall(SYS_pidfd_open, proc_tgid(tid), 0);
	if (pidfd < 0)
		return -EBADF;
	own = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	close(pidfd);
	return own < 0 ? -EBADF : own;
}

int tracee_install(struct tracee *tracee, int fd, bool cloexec)
{
	uint64_t at, pair_at;
	int pair[2], ours;
	long r;

	r = tracee_scratch(tracee, &at);
	if (r)
		return r;
	pair_at = at + offsetof(struct message, pair);
	r = tracee_call(tracee, SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair_at);
	if (r)
		return r;
	r = tracee_read(tracee, pair_at, pair, sizeof(pair));
	if (r)
		return r;
	ours = thread_get_fd(tracee->tid, pair[0]);
	if (ours < 0)
		r = ours;
	else
		r = is_its_own(tracee, ours) ? send_fd(ours, fd) : -EBADF;
	/* Its own end goes first, so that the new number is the lowest that was free. */
	tracee_call(tracee, SYS_close, pair[0]);
	if (!r)
		r = receive_fd(tracee, at, pair[1], cloexec);
	tracee_call(tracee, SYS_close, pair[1]);
	if (ours >= 0)
		close(ours);
	return r;
}
