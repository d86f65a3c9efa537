/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private memory of a client becomes shared memory: same addresses, same content, same rights. The
 * caller maps a memfd of ours over it itself, while all other threads of its process stand still.
 *
 * What is there already is copied; pages that were never touched stay untouched. After fork() a
 * child shares the memory with its parent from then on, where private memory would have been
 * copied.
 *
 * Memory right behind what was exchanged last goes into the same memfd, right behind it too, so that
 * the kernel joins the mappings: many small slots side by side are one mapping in the end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cuse/daemon.h"

#define PRESENT (1ull << 63)
#define SWAPPED (1ull << 62)
#define ENTRIES 4096            /* of pagemap at a time */
#define COPY_MAX (1u << 30)     /* bytes in one call, less than the kernel's limit */
#define FILE_MIN (256ull << 20) /* bytes of a memfd, of which what nobody touches takes none */

struct piece {
	uint64_t start, end;
	int protection;
	bool file;
	uint64_t offset; /* in the memfd */
};

/* Copies [@start, @start + @bytes) to @to. */
static int copy(pid_t tid, uint64_t start, uint64_t bytes, uint8_t *to)
{
	while (bytes) {
		size_t part = bytes < COPY_MAX ? bytes : COPY_MAX;
		struct iovec here = { to, part }, there = { (void *)start, part };
		ssize_t n = process_vm_readv(tid, &here, 1, &there, 1, 0);

		if (n <= 0)
			return -EFAULT;
		start += n;
		to += n;
		bytes -= n;
	}
	return 0;
}

/* What has been touched of anonymous memory. */
static int copy_present(pid_t tid, int pagemap, const struct piece *piece, uint8_t *to)
{
	static const uint64_t there = PRESENT | SWAPPED;
	uint64_t *entries = malloc(ENTRIES * sizeof(*entries)), at, run;
	size_t i, j, n;
	ssize_t got;
	int r = entries ? 0 : -ENOMEM;

	for (at = piece->start; !r && at < piece->end; at += n * PAGE) {
		n = (piece->end - at) / PAGE;
		if (n > ENTRIES)
			n = ENTRIES;
		got = pread(pagemap, entries, n * sizeof(*entries), at / PAGE * sizeof(*entries));
		if (got != (ssize_t)(n * sizeof(*entries))) {
			r = -EFAULT;
			break;
		}
		for (i = 0; !r && i < n; i = j) {
			for (j = i; j < n && !!(entries[j] & there) == !!(entries[i] & there); j++)
				;
			run = at + i * PAGE;
			if (entries[i] & there)
				r = copy(tid, run, (j - i) * PAGE, to + (run - piece->start));
		}
	}
	free(entries);
	return r;
}

static int copy_pieces(pid_t tid, const struct piece *pieces, size_t count, int memfd)
{
	char path[32];
	int pagemap, r = 0;
	uint8_t *to;
	size_t i;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", tid);
	pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		return -errno;
	for (i = 0; !r && i < count; i++) {
		const struct piece *piece = &pieces[i];
		size_t bytes = piece->end - piece->start;

		to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, piece->offset);
		if (to == MAP_FAILED) {
			r = -ENOMEM;
			break;
		}
		r = piece->file ? copy(tid, piece->start, bytes, to) :
				  copy_present(tid, pagemap, piece, to);
		munmap(to, bytes);
	}
	close(pagemap);
	return r;
}

/* The caller maps the memfd over its pieces. */
static int exchange(struct request *request, const struct piece *pieces, size_t count, int memfd)
{
	struct tracee *tracee = request->tracee;
	long fd = tracee_install(tracee, memfd, true), r = 0;
	size_t i;

	if (fd < 0)
		return fd;
	for (i = 0; i < count; i++) {
		r = tracee_call(tracee, SYS_mmap, pieces[i].start, pieces[i].end - pieces[i].start,
				pieces[i].protection, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
				pieces[i].offset);
		/* An address is never one of the last ones, which are errors. */
		if (r < 0 && r >= -4095)
			break;
		r = 0;
		watch_converted(request->process, pieces[i].start, pieces[i].end, memfd,
				pieces[i].offset);
	}
	tracee_call(tracee, SYS_close, fd);
	return r;
}

/* The private pieces of [@start, @end), from malloc(), and how long a file they need. */
static int find_pieces(pid_t tid, uint64_t start, uint64_t end, struct piece **out, size_t *count,
		       uint64_t *bytes)
{
	struct vma *vmas;
	size_t n, i;
	int r = proc_vmas(tid, start, end, &vmas, &n);

	if (r)
		return r;
	*out = calloc(n + 1, sizeof(**out));
	*count = 0;
	*bytes = 0;
	for (i = 0; *out && i < n; i++) {
		struct piece *piece = &(*out)[*count];

		if (vmas[i].shared || !(vmas[i].protection & PROT_READ))
			continue;
		piece->start = vmas[i].start > start ? vmas[i].start : start;
		piece->end = vmas[i].end < end ? vmas[i].end : end;
		piece->protection = vmas[i].protection;
		piece->file = vmas[i].file;
		piece->offset = *bytes;
		*bytes += piece->end - piece->start;
		(*count)++;
	}
	free(vmas);
	return *out ? 0 : -ENOMEM;
}

/* A memfd of at least @bytes that only we could change the size of, and we cannot: or -1. */
static int file_create_sealed(uint64_t bytes)
{
	int memfd = memfd_create("kvm-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (memfd >= 0 && (ftruncate(memfd, bytes > FILE_MIN ? bytes : FILE_MIN) ||
			   fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))) {
		close(memfd);
		return -1;
	}
	return memfd;
}

/* The memfd for @bytes from @start on, at its offset @used: that of the memory before it, or new. */
static int choose_file(struct exchanged *last, uint64_t start, uint64_t bytes)
{
	if (last->memfd >= 0 && last->end == start && last->used + bytes <= FILE_MIN)
		return 0;
	if (last->memfd >= 0)
		close(last->memfd);
	last->memfd = file_create_sealed(bytes);
	last->used = 0;
	return last->memfd < 0 ? -ENOMEM : 0;
}

static int convert_frozen(struct request *request, uint64_t start, uint64_t end)
{
	struct exchanged *last = &request->process->exchanged;
	struct piece *pieces;
	uint64_t bytes;
	size_t count, i;
	int r;

	r = request_capture(request);
	if (!r)
		r = find_pieces(request->tid, start, end, &pieces, &count, &bytes);
	if (r)
		return r;
	r = count ? choose_file(last, pieces[0].start, bytes) : 0;
	if (r || !count)
		goto out;
	for (i = 0; i < count; i++)
		pieces[i].offset += last->used;
	/* Whatever comes of it, no offset is used twice: a child may have the memory behind it. */
	last->used += bytes;
	last->end = pieces[count - 1].end;
	r = copy_pieces(request->tid, pieces, count, last->memfd);
	if (!r)
		r = exchange(request, pieces, count, last->memfd);
out:
	free(pieces);
	return r;
}

int convert_range(struct request *request, uint64_t start, uint64_t end)
{
	struct freezer *freezer;
	int r = process_freeze(request, &freezer);

	if (r)
		return r;
	r = convert_frozen(request, start, end);
	process_thaw(request, freezer);
	return r;
}
