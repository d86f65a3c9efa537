/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The caller of the core: a thread of another process, which sleeps in ioctl() until we answer.
 *
 * Signals: the kernel tells with FUSE_INTERRUPT that one waits, once for a request, and lets the
 * thread go only when we answer. For KVM_SET_SIGNAL_MASK the thread's mask itself is exchanged: it
 * is stopped on its way out and made to call again, with the mask from the entry of that second
 * call to its exit, so that no handler runs with it. The thread that serves the first call sees to
 * that, another one serves the second.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "abi/kvm_compat.h"
#include "cuse/daemon.h"

/* The daemon's end: for calls in progress; then for who calls again, until nobody has for a while. */
#define STOP_CALLS_MS 5000
#define STOP_AGAIN_MS 1000
#define STOP_QUIET_MS 100
#define VCPU_BYTES (4ull << 20) /* of ours, once it runs */

/* A thread whose next KVM_RUN finds the mask of KVM_SET_SIGNAL_MASK in effect. */
struct masked {
	struct masked *next;
	pid_t tid;
};

/* The space of one VM. */
struct vm_space {
	struct space space; /* first */
	struct process *process;
	uid_t uid;
};

static struct request *request_of(struct client *client)
{
	return (struct request *)client;
}

bool request_is_gone(const struct request *request)
{
	return request->tracee && tracee_is_dead(request->tracee);
}

/* ---- memory ---- */

typedef ssize_t transfer_function(pid_t, const struct iovec *, unsigned long, const struct iovec *,
				  unsigned long, unsigned long);

static int transfer(struct client *client, transfer_function *function, void *here,
		    uint64_t address, size_t bytes)
{
	struct request *request = request_of(client);
	struct iovec ours = { here, bytes }, theirs = { (void *)address, bytes };
	ssize_t n;

	if (!bytes)
		return 0;
	if (request_is_gone(request))
		return -EFAULT;
	process_touch(request);
	n = function(request->tid, &ours, 1, &theirs, 1, 0);
	process_touched(request);
	return n == (ssize_t)bytes ? 0 : -EFAULT;
}

static int copy_in(struct client *client, void *dst, uint64_t address, size_t bytes)
{
	return transfer(client, process_vm_readv, dst, address, bytes);
}

static int copy_out(struct client *client, uint64_t address, const void *src, size_t bytes)
{
	return transfer(client, process_vm_writev, (void *)src, address, bytes);
}

/* ---- descriptors ---- */

static int get_fd_of(struct request *request, int fd)
{
	if (fd < 0 || !request->process || request_is_gone(request))
		return -EBADF;
	return thread_get_fd(request->tid, fd);
}

static int get_fd(struct client *client, int fd)
{
	return get_fd_of(request_of(client), fd);
}

static struct object *get_object(struct client *client, int fd)
{
	int own = get_fd_of(request_of(client), fd);
	struct object *object = NULL;

	if (own >= 0) {
		object = mount_object(own);
		close(own);
	}
	return object;
}

static void answer(struct request *request, long result)
{
	/* After this no interrupt can reach the request. */
	fuse_req_interrupt_func(request->fuse, NULL, NULL);
	if (result < 0)
		fuse_reply_err(request->fuse, -result);
	else
		fuse_reply_ioctl(request->fuse, result, NULL, 0);
}

int request_capture(struct request *request)
{
	struct tracee *tracee;
	int r;

	if (request->tracee)
		return 0;
	/* Who made it call with the mask lets it go when we have answered. */
	if (request->masked)
		return -EPERM;
	r = tracee_begin(request->tid, &tracee);
	if (r)
		return r;
	answer(request, 0);
	/* Whatever comes now, it is answered. */
	request->tracee = tracee;
	return tracee_wait(tracee);
}

static int install(struct client *client, struct object *object)
{
	struct request *request = request_of(client);
	struct file *file;
	int fd = file_open(object, &file), r;

	if (fd < 0)
		return fd;
	r = request_capture(request);
	if (!r)
		r = tracee_install(request->tracee, fd, object_close_on_exec(object));
	if (r >= 0)
		file_own(file, object);
	close(fd);
	return r;
}

/* ---- signals ---- */

static void on_interrupt(fuse_req_t fuse, void *opaque)
{
	struct request *request = opaque;

	(void)fuse;
	atomic_store(&request->interrupted, true);
	object_kick(request->object);
}

/* Of a long call that asks signal_pending() itself. */
static void on_interrupt_of_long(fuse_req_t fuse, void *opaque)
{
	struct request *request = opaque;

	(void)fuse;
	atomic_store(&request->interrupted, true);
}

static bool signal_pending(struct client *client)
{
	struct request *request = request_of(client);

	/* Who has been answered cannot be interrupted any more: he is to call again. */
	if (request->tracee)
		request->restart = true;
	return request->restart || atomic_load(&request->interrupted) ||
	       atomic_load(&daemon_stopping);
}

static void masked_add(struct process *process, struct masked *masked)
{
	pthread_mutex_lock(&process->lock);
	masked->next = process->masked;
	process->masked = masked;
	pthread_mutex_unlock(&process->lock);
}

/* Takes the thread out of the list: was it there? */
static bool masked_take(struct process *process, pid_t tid)
{
	struct masked **at;
	bool found;

	pthread_mutex_lock(&process->lock);
	for (at = &process->masked; *at; at = &(*at)->next)
		if ((*at)->tid == tid)
			break;
	found = *at;
	if (found)
		*at = (*at)->next;
	pthread_mutex_unlock(&process->lock);
	return found;
}

static bool is_masked(struct process *process, pid_t tid)
{
	const struct masked *masked;

	pthread_mutex_lock(&process->lock);
	for (masked = process->masked; masked; masked = masked->next)
		if (masked->tid == tid)
			break;
	pthread_mutex_unlock(&process->lock);
	return masked;
}

static int signal_mask(struct client *client, const uint64_t *set)
{
	struct request *request = request_of(client);

	if (!set)
		return 0;
	if (!masked_take(request->process, request->tid)) {
		request->wants_mask = true;
		request->wanted_mask = *set;
		return -EINTR;
	}
	/* What waited before must not be overtaken by the guest's first instructions. */
	if (proc_pending(request->tid, NULL))
		atomic_store(&request->interrupted, true);
	return 0;
}

/* ---- spaces ---- */

static struct vm_space *vm_space(struct space *space)
{
	return (struct vm_space *)space;
}

static bool is_callers(struct space *space, struct client *client)
{
	return request_of(client)->process == vm_space(space)->process;
}

static void unmap(struct space *space, uint8_t *hva, uint64_t bytes)
{
	memory_unmap(vm_space(space)->process, hva, bytes);
}

static int pages_create(struct space *space, struct object *vcpu, size_t count, uint8_t **pages)
{
	uid_t uid = vm_space(space)->uid;
	int r = limits_take_memory(uid, VCPU_BYTES);

	if (r)
		return r;
	r = mount_pages_create(vcpu, count, pages);
	if (r)
		limits_give_memory(uid, VCPU_BYTES);
	return r;
}

static void pages_destroy(struct space *space, struct object *vcpu, uint8_t *pages)
{
	mount_pages_destroy(vcpu, pages);
	limits_give_memory(vm_space(space)->uid, VCPU_BYTES);
}

/* A guest_memfd costs descriptors of ours, which are as many as slots can be. */
static int reserve(struct space *space, unsigned files, uint64_t bytes)
{
	uid_t uid = vm_space(space)->uid;
	int r = files ? limits_take_window(uid) : 0;

	if (r)
		return r;
	r = limits_take_memory(uid, bytes);
	if (r && files)
		limits_give_window(uid);
	return r;
}

static void release(struct space *space, unsigned files, uint64_t bytes)
{
	if (files)
		limits_give_window(vm_space(space)->uid);
	limits_give_memory(vm_space(space)->uid, bytes);
}

static void space_destroy(struct space *space)
{
	struct vm_space *s = vm_space(space);

	process_put(s->process);
	/* Last: what may not come to its end is still on the account. */
	limits_give_vm(s->uid);
	free(s);
}

void client_closes(struct file *file, uint64_t inode)
{
	struct object *object = file_object(file);
	struct space *space = object ? object_space(object) : NULL;

	/* Only here there is more to a close than that the descriptor is gone. */
	if (space && object->kind == OBJECT_GUEST_MEMFD)
		file_closing(file, vm_space(space)->process, inode);
	if (object)
		object_put(object);
}

static const struct space_ops space_ops = {
	.is_callers = is_callers,
	.unmap = unmap,
	.pages_create = pages_create,
	.pages_destroy = pages_destroy,
	.reserve = reserve,
	.release = release,
	.destroy = space_destroy,
};

static int space_create(struct client *client, struct space **out)
{
	struct request *request = request_of(client);
	struct vm_space *space = request->process ? calloc(1, sizeof(*space)) : NULL;
	int r;

	if (!space)
		return -ENOMEM;
	space->uid = request->uid;
	r = limits_take_vm(space->uid);
	if (r) {
		free(space);
		return r;
	}
	space->process = process_ref(request->process);
	space->space.ops = &space_ops;
	space->space.pid = space->process->pid;
	*out = &space->space;
	return 0;
}

/* ---- the end ---- */

/* All calls in progress. */
static pthread_mutex_t calls_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t calls_changed = PTHREAD_COND_INITIALIZER;
static struct request *calls;

static void call_begins(struct request *request)
{
	pthread_mutex_lock(&calls_lock);
	request->all_next = calls;
	request->all_previous = &calls;
	if (calls)
		calls->all_previous = &request->all_next;
	calls = request;
	pthread_mutex_unlock(&calls_lock);
}

static void call_ends(struct request *request)
{
	pthread_mutex_lock(&calls_lock);
	*request->all_previous = request->all_next;
	if (request->all_next)
		request->all_next->all_previous = request->all_previous;
	pthread_cond_broadcast(&calls_changed);
	pthread_mutex_unlock(&calls_lock);
}

/* A call that comes when the daemon is about to end. */
static void refuse(fuse_req_t fuse)
{
	fuse_reply_err(fuse, EIO);
	if (!atomic_load(&daemon_stopping))
		return;
	pthread_mutex_lock(&calls_lock);
	pthread_cond_broadcast(&calls_changed);
	pthread_mutex_unlock(&calls_lock);
}

static struct timespec in_ms(uint64_t ms)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	ms += time.tv_nsec / 1000000;
	return (struct timespec){ time.tv_sec + ms / 1000, ms % 1000 * 1000000 };
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* With the lock: until no call is in progress. False: it takes too long. */
static bool end_calls(void)
{
	const struct timespec until = in_ms(STOP_CALLS_MS);
	const struct request *request;
	int r = 0;

	while (calls && !r) {
		for (request = calls; request; request = request->all_next)
			object_kick(request->object);
		r = pthread_cond_timedwait(&calls_changed, &calls_lock, &until);
	}
	return !calls;
}

/* With the lock: who was on the way from one call to the next is to find us, too. */
static void refuse_calls(void)
{
	const struct timespec until = in_ms(STOP_AGAIN_MS);
	struct timespec quiet = in_ms(STOP_QUIET_MS);

	while (files_are_open() && is_before(&quiet, &until)) {
		if (pthread_cond_timedwait(&calls_changed, &calls_lock, &quiet))
			break;
		quiet = in_ms(STOP_QUIET_MS);
	}
}

void clients_stop(void)
{
	bool ended;

	atomic_store(&daemon_stopping, true);
	pthread_mutex_lock(&calls_lock);
	ended = end_calls();
	if (ended) {
		refuse_calls();
		/* Some may have begun just before they would have been refused. */
		ended = end_calls();
	}
	if (!ended)
		LOG(WARN, "not all calls have ended");
	pthread_mutex_unlock(&calls_lock);
}

/* ---- the calls ---- */

static const struct client_ops ops = {
	.copy_in = copy_in,
	.copy_out = copy_out,
	.map = memory_map,
	.get_fd = get_fd,
	.get_object = get_object,
	.install = install,
	.signal_pending = signal_pending,
	.signal_mask = signal_mask,
	.space_create = space_create,
	.fault_in = memory_fault_in,
};

/*
 * Was it interrupted, and not by a signal (by a debugger, or by us)? The kernel will not tell of a
 * signal again: the call has to be made anew. Not so one with a mask, which has its tracer.
 */
static bool interrupted_by_nothing(struct request *request)
{
	if (request->masked || !atomic_load(&request->interrupted) || atomic_load(&daemon_stopping))
		return false;
	/* Who stops the process has let it go again. */
	process_touch(request);
	process_touched(request);
	return !proc_pending(request->tid, NULL);
}

/* The thread is stopped: its call ends now. */
static void end_captured(struct request *request, long result)
{
	if (request->restart)
		tracee_end_restart(request->tracee);
	else
		tracee_end(request->tracee, result);
}

/* If that fails there is a debugger, who finds an interrupted call. */
static void capture_to_restart(struct request *request)
{
	/* Who of us has it may have ended, and the kernel takes its time to let it go. */
	while (request_capture(request) == -EBUSY && !atomic_load(&daemon_stopping))
		;
}

/* KVM_RUN is called again with the other mask. The call that has come here lasts until then. */
static void run_masked(struct request *request)
{
	struct masked masked = { .tid = request->tid };
	int r;

	r = request_capture(request);
	if (!request->tracee) {
		process_leave(request);
		answer(request, r);
		return;
	}
	if (!r) {
		masked_add(request->process, &masked);
		r = tracee_run_masked(request->tracee, request->wanted_mask);
		/* If it never came. */
		masked_take(request->process, request->tid);
	}
	process_leave(request);
	if (r)
		tracee_end(request->tracee, r);
	else
		tracee_end_masked(request->tracee);
}

static void finish(struct request *request, long result)
{
	if (atomic_load(&daemon_stopping) && result == -EINTR)
		result = -EIO;
	if (request->wants_mask && result == -EINTR) {
		run_masked(request);
		return;
	}
	if (request->restart)
		capture_to_restart(request);
	process_leave(request);
	if (request->tracee)
		end_captured(request, result);
	else
		answer(request, result);
}

void client_ioctl(fuse_req_t fuse, struct object *object, unsigned number, unsigned long argument)
{
	const struct fuse_ctx *context = fuse_req_ctx(fuse);
	bool run = number == KVM_RUN && object->kind == OBJECT_VCPU;
	struct request request = {
		.client.ops = &ops,
		.fuse = fuse,
		.tid = context->pid,
		.uid = context->uid,
		.object = object,
	};
	struct space *space = object_space(object);
	struct process *created_in = NULL;
	long result;

	/* 0: the caller is not in our PID namespace or one below it. */
	if (atomic_load(&daemon_stopping) || !request.tid) {
		refuse(fuse);
		return;
	}
	result = limits_take_request(request.uid);
	if (result) {
		fuse_reply_err(fuse, -result);
		return;
	}
	/* The VM may end with this call, the process must not. */
	object_get(object);
	call_begins(&request);
	if (space && process_is(vm_space(space)->process, request.tid))
		request.process = vm_space(space)->process;
	/* The new VM's, which may have others, whose calls stop threads. */
	if (object->kind == OBJECT_SYSTEM && number == KVM_CREATE_VM) {
		process_get(request.tid, request.uid, &created_in);
		request.process = created_in;
	}
	process_enter(&request);
	process_settle(request.process, request.tid);
	if (run && request.process)
		request.masked = is_masked(request.process, request.tid);
	if (run)
		fuse_req_interrupt_func(fuse, on_interrupt, &request);
	else if (number == KVM_PRE_FAULT_MEMORY)
		fuse_req_interrupt_func(fuse, on_interrupt_of_long, &request);
	if (run && interrupted_by_nothing(&request)) {
		request.restart = true;
		result = -EINTR;
	} else {
		result = object_ioctl(object, &request.client, number, argument);
		if (run && result == -EINTR && interrupted_by_nothing(&request))
			request.restart = true;
	}
	finish(&request, result);
	if (created_in)
		process_put(created_in);
	call_ends(&request);
	object_put(object);
	limits_give_request(request.uid);
}
