/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients' address spaces: whose they are, and how their threads are kept from running while their
 * memory is exchanged.
 *
 * A thread of the process is harmless when it is stopped, or when it waits for an answer of ours:
 * then process_leave() holds the answer back. So threads in KVM_RUN are not disturbed. The others
 * are stopped by a thread made for that, whose end sets them free whatever state they are in.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cuse/daemon.h"

#define STOP_TIMEOUT_NS 5000000000ull
#define PAUSE_NS 20000
#define CLOSE_TIMEOUT_NS 500000000ull

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct process *processes;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* ---- life ---- */

/*
 * Is the address space still somebody's? Its pagemap reads as empty once it is nobody's: after the
 * process's end, and after an exec, which keeps the number. Before that part of an entry is refused,
 * with no lock of the address space taken: it may be held, in wait for a file system of the client's.
 */
static bool alive(const struct process *process)
{
	char byte;

	return pread(process->pagemap, &byte, 1, 0) != 0;
}

/* The first thread may have ended before the others, and has no address space then. */
static bool is_thread_of(const struct process *process, pid_t tid)
{
	return proc_dead(process->pid) && proc_tgid(tid) == process->pid;
}

bool process_is(const struct process *process, pid_t tid)
{
	/* The second says that the number does not stand for another address space by now. */
	return (!syscall(SYS_kcmp, process->pid, tid, KCMP_VM, 0, 0) ||
		is_thread_of(process, tid)) &&
	       alive(process);
}

static struct process *process_create(pid_t tid, pid_t pid, uid_t uid)
{
	struct process *process = calloc(1, sizeof(*process));
	char path[32];

	if (!process)
		return NULL;
	process->references = 1;
	process->uid = uid;
	process->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", tid);
	process->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (process->pagemap < 0) {
		free(process);
		return NULL;
	}
	pthread_mutex_init(&process->lock, NULL);
	pthread_cond_init(&process->changed, NULL);
	pthread_mutex_init(&process->watch_lock, NULL);
	process->watch_fd = -1;
	process->exchanged.memfd = -1;
	process->changes_end = &process->changes;
	return process;
}

/* The one that had the number last; @made: it is new. NULL: no memory. */
static struct process *find_or_make(pid_t tid, pid_t pid, uid_t uid, bool *made)
{
	struct process *process;

	pthread_mutex_lock(&list_lock);
	for (process = processes; process; process = process->next)
		if (process->pid == pid && !process->over)
			break;
	*made = !process;
	if (process) {
		process->references++;
	} else {
		process = process_create(tid, pid, uid);
		if (process) {
			process->next = processes;
			processes = process;
		}
	}
	pthread_mutex_unlock(&list_lock);
	return process;
}

int process_get(pid_t tid, uid_t uid, struct process **out)
{
	struct process *process;
	pid_t pid = proc_tgid(tid);
	bool made;

	/* The comparison may wait for an exec of the client's, so not with the list's lock. */
	while ((process = find_or_make(tid, pid, uid, &made)) && !made &&
	       !process_is(process, tid)) {
		pthread_mutex_lock(&list_lock);
		process->over = true;
		pthread_mutex_unlock(&list_lock);
		process_put(process);
	}
	*out = process;
	return process ? 0 : -ENOMEM;
}

struct process *process_ref(struct process *process)
{
	pthread_mutex_lock(&list_lock);
	process->references++;
	pthread_mutex_unlock(&list_lock);
	return process;
}

void process_put(struct process *process)
{
	struct process **at;

	pthread_mutex_lock(&list_lock);
	if (--process->references) {
		pthread_mutex_unlock(&list_lock);
		return;
	}
	for (at = &processes; *at != process; at = &(*at)->next)
		;
	*at = process->next;
	pthread_mutex_unlock(&list_lock);
	watch_end(process);
	memory_end(process);
	close(process->pagemap);
	pthread_mutex_destroy(&process->watch_lock);
	pthread_cond_destroy(&process->changed);
	pthread_mutex_destroy(&process->lock);
	free(process);
}

/* ---- descriptors that are closed ---- */

void process_closing(struct process *process, uint64_t inode, bool first)
{
	uint64_t until = now_ns() + CLOSE_TIMEOUT_NS;

	if (first)
		process_ref(process);
	pthread_mutex_lock(&process->lock);
	process->settled.tv_sec = until / 1000000000;
	process->settled.tv_nsec = until % 1000000000;
	process->closing_inode = inode;
	if (first)
		atomic_fetch_add(&process->closing, 1);
	pthread_mutex_unlock(&process->lock);
}

void process_closed(struct process *process)
{
	pthread_mutex_lock(&process->lock);
	atomic_fetch_sub(&process->closing, 1);
	pthread_cond_broadcast(&process->changed);
	pthread_mutex_unlock(&process->lock);
	process_put(process);
}

void process_settle(struct process *process, pid_t tid)
{
	uint64_t inode;
	int r = 0;

	if (!process || !atomic_load_explicit(&process->closing, memory_order_relaxed))
		return;
	pthread_mutex_lock(&process->lock);
	while (atomic_load(&process->closing) && process->closing_inode && !r) {
		inode = process->closing_inode;
		pthread_mutex_unlock(&process->lock);
		if (proc_has_file(tid, inode))
			r = EEXIST;
		pthread_mutex_lock(&process->lock);
		if (!r && atomic_load(&process->closing))
			r = pthread_cond_clockwait(&process->changed, &process->lock,
						   CLOCK_MONOTONIC, &process->settled);
		/* Until the next close nobody looks again. */
		if (r && process->closing_inode == inode)
			process->closing_inode = 0;
	}
	pthread_mutex_unlock(&process->lock);
}

/* ---- requests ---- */

void process_enter(struct request *request)
{
	struct process *process = request->process;

	if (!process)
		return;
	pthread_mutex_lock(&process->lock);
	/* In the list first: who freezes the process does not wait for a thread that waits here. */
	request->next = process->requests;
	request->previous = &process->requests;
	if (request->next)
		request->next->previous = &request->next;
	process->requests = request;
	while (process->frozen)
		pthread_cond_wait(&process->changed, &process->lock);
	pthread_mutex_unlock(&process->lock);
}

void process_leave(struct request *request)
{
	struct process *process = request->process;

	if (!process)
		return;
	pthread_mutex_lock(&process->lock);
	while (process->frozen)
		pthread_cond_wait(&process->changed, &process->lock);
	*request->previous = request->next;
	if (request->next)
		request->next->previous = request->previous;
	pthread_mutex_unlock(&process->lock);
}

static bool waits_for_us(struct process *process, pid_t tid)
{
	const struct request *request;

	pthread_mutex_lock(&process->lock);
	for (request = process->requests; request; request = request->next)
		if (request->tid == tid)
			break;
	pthread_mutex_unlock(&process->lock);
	return request;
}

void process_touch(struct request *request)
{
	struct process *process = request->process;

	if (!process || request->freezes)
		return;
	pthread_mutex_lock(&process->lock);
	while (process->frozen)
		pthread_cond_wait(&process->changed, &process->lock);
	process->touching++;
	pthread_mutex_unlock(&process->lock);
}

void process_touched(struct request *request)
{
	struct process *process = request->process;

	if (!process || request->freezes)
		return;
	pthread_mutex_lock(&process->lock);
	if (!--process->touching)
		pthread_cond_broadcast(&process->changed);
	pthread_mutex_unlock(&process->lock);
}

/* ---- stopping the other threads ---- */

struct freezer {
	struct process *process;
	pid_t but;  /* the caller */
	bool stops; /* threads, by one of its own: */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done, thaw;
	int result;
	struct {
		pid_t tid;
		bool told;
	} * threads;
	size_t count, room;
};

static bool is_known(const struct freezer *freezer, pid_t tid)
{
	size_t i;

	for (i = 0; i < freezer->count; i++)
		if (freezer->threads[i].tid == tid)
			return true;
	return false;
}

static int remember(struct freezer *freezer, pid_t tid, bool told)
{
	void *more;

	if (freezer->count == freezer->room) {
		freezer->room = 2 * freezer->room + 16;
		more = realloc(freezer->threads, freezer->room * sizeof(*freezer->threads));
		if (!more)
			return -ENOMEM;
		freezer->threads = more;
	}
	freezer->threads[freezer->count].tid = tid;
	freezer->threads[freezer->count++].told = told;
	return 0;
}

/* Tells a thread to stop. 1: it will; 0: it is harmless already. */
static int tell(struct freezer *freezer, pid_t tid)
{
	int r;

	if (waits_for_us(freezer->process, tid))
		return 0;
	r = tracee_seize(tid, 0);
	if (r)
		return r == -ESRCH || waits_for_us(freezer->process, tid) ? 0 : -EBUSY;
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	return 1;
}

static int wait_for(struct freezer *freezer, pid_t tid)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	uint64_t start = now_ns();
	int status;

	/* It stops, or dies, or turns out to be in a call of ours. */
	while (!waitpid(tid, &status, __WALL | WNOHANG) && !waits_for_us(freezer->process, tid) &&
	       !proc_dead(tid)) {
		if (now_ns() - start > STOP_TIMEOUT_NS)
			return -EBUSY;
		/* Or it waits for what it has done to be noticed. */
		watch_collect(freezer->process);
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* One look at all threads: how many new ones there were. */
static int stop_new_threads(struct freezer *freezer)
{
	size_t first = freezer->count, i;
	struct dirent *entry;
	char path[32];
	DIR *folder;
	int r = 0;
	pid_t tid;

	snprintf(path, sizeof(path), "/proc/%d/task", freezer->process->pid);
	folder = opendir(path);
	if (!folder)
		return -ESRCH;
	while (r >= 0 && (entry = readdir(folder))) {
		tid = atoi(entry->d_name);
		if (!tid || tid == freezer->but || is_known(freezer, tid))
			continue;
		r = tell(freezer, tid);
		if (r >= 0)
			r = remember(freezer, tid, r);
	}
	closedir(folder);
	/* Only now: nobody goes on who has waited for an event to be read. */
	for (i = first; r >= 0 && i < freezer->count; i++)
		if (freezer->threads[i].told)
			r = wait_for(freezer, freezer->threads[i].tid);
	return r < 0 ? r : (int)(freezer->count - first);
}

/* Do all threads but the caller wait for us? Then none can run, and none can be made. */
static bool all_wait(struct freezer *freezer)
{
	struct dirent *entry;
	char path[32];
	DIR *folder;
	bool wait = true;
	pid_t tid;

	snprintf(path, sizeof(path), "/proc/%d/task", freezer->process->pid);
	folder = opendir(path);
	if (!folder)
		return false;
	while (wait && (entry = readdir(folder))) {
		tid = atoi(entry->d_name);
		wait = !tid || tid == freezer->but || waits_for_us(freezer->process, tid);
	}
	closedir(folder);
	return wait;
}

static void follow(struct process *process)
{
	watch_collect(process);
	watch_apply(process);
}

static void *freezer_main(void *argument)
{
	struct freezer *freezer = argument;
	int r;

	do
		r = stop_new_threads(freezer);
	while (r > 0);
	follow(freezer->process);
	pthread_mutex_lock(&freezer->lock);
	freezer->result = r;
	freezer->done = true;
	pthread_cond_broadcast(&freezer->changed);
	while (!freezer->thaw)
		pthread_cond_wait(&freezer->changed, &freezer->lock);
	pthread_mutex_unlock(&freezer->lock);
	return NULL;
}

static void freezer_destroy(struct freezer *freezer)
{
	pthread_mutex_destroy(&freezer->lock);
	pthread_cond_destroy(&freezer->changed);
	free(freezer->threads);
	free(freezer);
}

static void unfreeze(struct request *request)
{
	struct process *process = request->process;

	pthread_mutex_lock(&process->lock);
	process->frozen = false;
	request->freezes = false;
	pthread_cond_broadcast(&process->changed);
	pthread_mutex_unlock(&process->lock);
}

int process_freeze(struct request *request, struct freezer **out)
{
	struct process *process = request->process;
	struct freezer *freezer = calloc(1, sizeof(*freezer));
	int r;

	if (!freezer)
		return -ENOMEM;
	freezer->process = process;
	freezer->but = request->tid;
	pthread_mutex_init(&freezer->lock, NULL);
	pthread_cond_init(&freezer->changed, NULL);
	pthread_mutex_lock(&process->lock);
	while (process->frozen)
		pthread_cond_wait(&process->changed, &process->lock);
	process->frozen = true;
	request->freezes = true;
	while (process->touching)
		pthread_cond_wait(&process->changed, &process->lock);
	pthread_mutex_unlock(&process->lock);
	if (all_wait(freezer)) {
		follow(process);
		*out = freezer;
		return 0;
	}
	freezer->stops = true;
	r = pthread_create(&freezer->thread, NULL, freezer_main, freezer);
	if (r) {
		unfreeze(request);
		freezer_destroy(freezer);
		return -r;
	}
	pthread_mutex_lock(&freezer->lock);
	while (!freezer->done)
		pthread_cond_wait(&freezer->changed, &freezer->lock);
	r = freezer->result;
	pthread_mutex_unlock(&freezer->lock);
	if (r)
		process_thaw(request, freezer);
	else
		*out = freezer;
	return r;
}

void process_thaw(struct request *request, struct freezer *freezer)
{
	if (freezer->stops) {
		pthread_mutex_lock(&freezer->lock);
		freezer->thaw = true;
		pthread_cond_broadcast(&freezer->changed);
		pthread_mutex_unlock(&freezer->lock);
		/* Its end lets all threads go. */
		pthread_join(freezer->thread, NULL);
	}
	freezer_destroy(freezer);
	unfreeze(request);
}
