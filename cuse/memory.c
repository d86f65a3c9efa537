/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client's memory in this process. A window is as long as the memslot it is for; what the client
 * has mapped there as shared memory is mapped here from the same file with the same rights, what is
 * private becomes shared memory first (convert.c), and the rest faults, which is looked at again
 * when the guest gets there.
 *
 * A client must not gain by us: its file is opened with the rights of its mapping, not with those
 * that root has, and it has to be the very file that was mapped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cuse/daemon.h"

#define HUGE_PAGE (2ull << 20)

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * May the file be mapped here? Not one of FUSE, whose server may be a client's: the kernel locks our
 * address space while it waits for what has been written to be taken there.
 */
static bool is_mappable(int fd, const struct vma *vma)
{
	struct statfs fs;
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_ino == vma->inode &&
	       major(st.st_dev) == vma->device_major && minor(st.st_dev) == vma->device_minor &&
	       !fstatfs(fd, &fs) && fs.f_type != FUSE_SUPER_MAGIC;
}

/* The file behind a shared mapping, or negative errno. */
static int open_mapped(pid_t tid, const struct vma *vma)
{
	bool write = vma->protection & PROT_WRITE;
	char path[80];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", tid,
		 (unsigned long long)vma->start, (unsigned long long)vma->end);
	/* Not even an attempt on a device. */
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return -EFAULT;
	fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	/* Another one may have been mapped there since, with other rights. */
	if (!is_mappable(fd, vma)) {
		close(fd);
		return -EFAULT;
	}
	return fd;
}

static unsigned bucket_of(const uint8_t *hva)
{
	return (uintptr_t)hva / PAGE % WINDOW_BUCKETS;
}

/* Under the process's lock: is it still there? It may have been somebody else's address since. */
static bool window_exists(const struct process *process, const struct window *window)
{
	const struct window *w;

	for (w = process->windows[bucket_of(window->hva)]; w; w = w->next)
		if (w->hva == window->hva && w->bytes == window->bytes &&
		    w->address == window->address)
			return true;
	return false;
}

static int attach_vma(struct request *request, const struct window *window, const struct vma *vma,
		      uint64_t start, uint64_t end)
{
	int fd = open_mapped(request->tid, vma), r = 0;
	struct process *process = request->process;

	if (fd < 0)
		return fd;
	pthread_mutex_lock(&process->lock);
	if (!window_exists(process, window))
		r = -EFAULT;
	else if (mmap(window->hva + (start - window->address), end - start,
		      vma->protection & (PROT_READ | PROT_WRITE), MAP_SHARED | MAP_FIXED, fd,
		      vma->offset + (start - vma->start)) == MAP_FAILED)
		r = -errno;
	pthread_mutex_unlock(&process->lock);
	close(fd);
	return r;
}

int memory_attach(struct request *request, const struct window *window, uint64_t start,
		  uint64_t end, bool *private_left)
{
	struct vma *vmas;
	size_t count, i;
	int r = request_is_gone(request) ? -ESRCH :
					   proc_vmas(request->tid, start, end, &vmas, &count);

	if (r)
		return r;
	*private_left = false;
	for (i = 0; i < count; i++) {
		uint64_t from = max64(start, vmas[i].start), to = min64(end, vmas[i].end);

		if (!(vmas[i].protection & PROT_READ))
			continue;
		if (!vmas[i].shared)
			*private_left = true;
		else if (attach_vma(request, window, &vmas[i], from, to))
			LOG(INFO, "cannot map what thread %d has at %#llx", request->tid,
			    (unsigned long long)from);
		else
			watch_range(request->process, from, to);
	}
	free(vmas);
	return 0;
}

/* ---- windows ---- */

static void window_add(struct process *process, struct window *window)
{
	struct window **bucket = &process->windows[bucket_of(window->hva)];

	pthread_mutex_lock(&process->lock);
	window->next = *bucket;
	*bucket = window;
	pthread_mutex_unlock(&process->lock);
}

static struct window *window_take(struct process *process, const uint8_t *hva)
{
	struct window **at, *window;

	pthread_mutex_lock(&process->lock);
	for (at = &process->windows[bucket_of(hva)]; *at; at = &(*at)->next)
		if ((*at)->hva == hva)
			break;
	window = *at;
	if (window)
		*at = window->next;
	pthread_mutex_unlock(&process->lock);
	return window;
}

/* Address space for a window, where huge pages lie as they do in the client's. NULL: none. */
static uint8_t *reserve(uint64_t address, uint64_t bytes)
{
	uint64_t more = bytes < HUGE_PAGE ? 0 : HUGE_PAGE;
	uint8_t *all, *hva;

	all = mmap(NULL, bytes + more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		   0);
	if (all == MAP_FAILED)
		return NULL;
	if (!more)
		return all;
	hva = all + ((address - (uintptr_t)all) & (HUGE_PAGE - 1));
	if (hva != all)
		munmap(all, hva - all);
	if (hva + bytes != all + bytes + HUGE_PAGE)
		munmap(hva + bytes, all + HUGE_PAGE - hva);
	return hva;
}

/* Shows what there is in [@start, @end) of the client's. */
static int fill(struct request *request, const struct window *window, uint64_t start, uint64_t end)
{
	bool private_left;
	int r = watch_start(request);

	if (!r)
		r = memory_attach(request, window, start, end, &private_left);
	if (!r && private_left) {
		r = convert_range(request, start, end);
		if (!r)
			r = memory_attach(request, window, start, end, &private_left);
	}
	return r;
}

int memory_map(struct client *client, uint64_t address, uint64_t bytes, uint8_t **hva)
{
	struct request *request = (struct request *)client;
	struct process *process = request->process;
	struct window *window;
	int r;

	if (!process)
		return -EFAULT;
	r = limits_take_memory(process->uid, bytes);
	if (r)
		return r;
	r = limits_take_window(process->uid);
	if (r)
		goto give_memory;
	r = -ENOMEM;
	window = calloc(1, sizeof(*window));
	if (!window)
		goto give_window;
	window->address = address;
	window->bytes = bytes;
	window->hva = reserve(address, bytes);
	if (!window->hva)
		goto free_window;
	window_add(process, window);
	/* What does not work now may work when the guest gets there. */
	r = fill(request, window, address, address + bytes);
	if (r == -ENOMEM) {
		memory_unmap(process, window->hva, bytes);
		return r;
	}
	*hva = window->hva;
	return 0;

free_window:
	free(window);
give_window:
	limits_give_window(process->uid);
give_memory:
	limits_give_memory(process->uid, bytes);
	return r;
}

static void release(struct window *window)
{
	if (window)
		munmap(window->hva, window->bytes);
	free(window);
}

void memory_end(struct process *process)
{
	unsigned i;

	for (i = 0; i < RETIRED_MAX; i++)
		release(process->retired[i]);
}

void memory_unmap(struct process *process, uint8_t *hva, uint64_t bytes)
{
	struct window *window = window_take(process, hva), *oldest;

	/* A vCPU that has not yet noticed finds nothing here, and nothing of others. */
	mmap(hva, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	limits_give_memory(process->uid, bytes);
	limits_give_window(process->uid);
	pthread_mutex_lock(&process->lock);
	oldest = process->retired[process->retired_next];
	process->retired[process->retired_next] = window;
	process->retired_next = (process->retired_next + 1) % RETIRED_MAX;
	pthread_mutex_unlock(&process->lock);
	release(oldest);
}

/* How the memory at @address of the client's is visible here: PROT_*; -1: it is not. */
static int visible(const uint8_t *hva)
{
	struct vma *vmas;
	size_t count;
	int protection = -1;

	if (proc_vmas(getpid(), (uintptr_t)hva, (uintptr_t)hva + 1, &vmas, &count))
		return -1;
	if (count && vmas[0].shared)
		protection = vmas[0].protection & (PROT_READ | PROT_WRITE);
	free(vmas);
	return protection;
}

/* Widens a page to the whole of the client's mapping, as far as the window goes. */
static void fault_range(struct request *request, const struct window *window, uint64_t *start,
			uint64_t *end)
{
	struct vma *vmas;
	size_t count;

	if (proc_vmas(request->tid, *start, *end, &vmas, &count))
		return;
	if (count) {
		*start = max64(window->address, vmas[0].start);
		*end = min64(window->address + window->bytes, vmas[0].end);
	}
	free(vmas);
}

/* Copies the window that has @hva. */
static bool window_around(struct process *process, const uint8_t *hva, struct window *copy)
{
	const struct window *window = NULL;
	unsigned i;

	pthread_mutex_lock(&process->lock);
	for (i = 0; i < WINDOW_BUCKETS && !window; i++)
		for (window = process->windows[i]; window; window = window->next)
			if (hva >= window->hva && (uint64_t)(hva - window->hva) < window->bytes)
				break;
	if (window)
		*copy = *window;
	pthread_mutex_unlock(&process->lock);
	return window;
}

int memory_fault_in(struct client *client, uint8_t *hva)
{
	struct request *request = (struct request *)client;
	struct process *process = request->process;
	uint64_t start, end, address;
	int before, after, r;
	struct window copy;

	if (!window_around(process, hva, &copy) || request_is_gone(request))
		return -EFAULT;
	/* As far as the client's mapping goes: the rest has not changed for this one's sake. */
	address = copy.address + (hva - copy.hva);
	start = address & ~(PAGE - 1);
	end = start + PAGE;
	fault_range(request, &copy, &start, &end);
	before = visible(hva);
	r = fill(request, &copy, start, end);
	after = visible(hva);
	if (!r && after == before)
		r = -EFAULT;
	/*
	 * The caller has been answered already if its memory had to be exchanged. And if another
	 * thread of its would not stop for that, it is to try again: KVM knows no such error.
	 */
	if ((!r && request->tracee) || r == -EBUSY) {
		request->restart = true;
		r = -EINTR;
	}
	return r;
}

/* Under the process's lock: nothing is seen any more of [@start, @end) in the window. */
static void forget(const struct window *window, uint64_t start, uint64_t end)
{
	uint64_t from = max64(start, window->address);
	uint64_t to = min64(end, window->address + window->bytes);

	if (from < to)
		mmap(window->hva + (from - window->address), to - from, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

void memory_forget(struct process *process, uint64_t start, uint64_t end)
{
	const struct window *window;
	unsigned i;

	pthread_mutex_lock(&process->lock);
	for (i = 0; i < WINDOW_BUCKETS; i++)
		for (window = process->windows[i]; window; window = window->next)
			forget(window, start, end);
	pthread_mutex_unlock(&process->lock);
}
