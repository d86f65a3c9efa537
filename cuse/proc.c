/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc says about a client's thread. proc(5). */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuse/daemon.h"

#define READ_STEP 65536
/* What a signal without a handler does is nothing. signal(7) */
#define IGNORED_BY_DEFAULT                                                                         \
	(SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH))

static int open_proc(pid_t tid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The whole file as a string from malloc(). */
static int read_all(pid_t tid, const char *name, char **out)
{
	size_t room = 0, used = 0;
	char *text = NULL, *more;
	int fd = open_proc(tid, name);
	ssize_t n;

	if (fd < 0)
		return fd;
	do {
		if (used + READ_STEP > room) {
			room = 2 * room + READ_STEP;
			more = realloc(text, room + 1);
			if (!more) {
				n = -1;
				errno = ENOMEM;
				break;
			}
			text = more;
		}
		n = read(fd, text + used, READ_STEP);
		if (n > 0)
			used += n;
	} while (n > 0);
	if (n < 0) {
		n = -errno;
		free(text);
	} else {
		text[used] = 0;
		*out = text;
	}
	close(fd);
	return n;
}

/* From malloc(): of a user with many groups it is long. NULL: gone. */
static char *read_status(pid_t tid)
{
	char *text = NULL;

	return read_all(tid, "status", &text) ? NULL : text;
}

/* The value of a line "NAME:\tVALUE", 0 when there is none. */
static uint64_t status_value(const char *text, const char *name, int base)
{
	const char *at = text ? strstr(text, name) : NULL;

	return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

pid_t proc_tgid(pid_t tid)
{
	char *text = read_status(tid);
	pid_t tgid = status_value(text, "\nTgid:", 10);

	free(text);
	return tgid;
}

uint64_t proc_pending(pid_t tid, const uint64_t *blocked)
{
	char *text = read_status(tid);
	uint64_t pending, ignored;

	if (!text)
		return ~0ull;
	pending = status_value(text, "\nSigPnd:", 16) | status_value(text, "\nShdPnd:", 16);
	pending &= ~(blocked ? *blocked : status_value(text, "\nSigBlk:", 16));
	/* While a thread is traced, by us too, those wait as well that nobody gets. */
	ignored = status_value(text, "\nSigIgn:", 16) |
		  (IGNORED_BY_DEFAULT & ~status_value(text, "\nSigCgt:", 16));
	pending &= ~ignored;
	free(text);
	return pending;
}

pid_t proc_tracer(pid_t tid)
{
	char *text = read_status(tid);
	pid_t tracer = status_value(text, "\nTracerPid:", 10);

	free(text);
	return tracer;
}

bool proc_dead(pid_t tid)
{
	char *text = read_status(tid), *state = text ? strstr(text, "\nState:\t") : NULL;
	bool dead = !state || strchr("ZX", state[8]);

	free(text);
	return dead;
}

/* One line of /proc/PID/maps. */
static bool parse_vma(const char *line, struct vma *vma)
{
	unsigned long long start, end, offset, inode;
	char flags[5];

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu", &start, &end, flags, &offset,
		   &vma->device_major, &vma->device_minor, &inode) != 7)
		return false;
	vma->start = start;
	vma->end = end;
	vma->offset = offset;
	vma->inode = inode;
	vma->protection = (flags[0] == 'r' ? PROT_READ : 0) | (flags[1] == 'w' ? PROT_WRITE : 0) |
			  (flags[2] == 'x' ? PROT_EXEC : 0);
	vma->shared = flags[3] == 's';
	vma->file = inode != 0;
	return true;
}

struct vmas {
	struct vma *vmas;
	size_t count, room;
};

static int add_vma(struct vmas *list, const struct vma *vma)
{
	struct vma *more;

	if (list->count == list->room) {
		list->room = 2 * list->room + 16;
		more = realloc(list->vmas, list->room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		list->vmas = more;
	}
	list->vmas[list->count++] = *vma;
	return 0;
}

/* Of older kernels: the text with all mappings. */
static int read_vmas(pid_t tid, uint64_t start, uint64_t end, struct vmas *list)
{
	char *text = NULL, *line, *next, *rest;
	struct vma vma;
	uint64_t from;
	int r = read_all(tid, "maps", &text);

	if (r)
		return r;
	for (line = text; !r && *line; line = next) {
		next = strchr(line, '\n');
		next = next ? next + 1 : line + strlen(line);
		/* The rest of a line costs more than a look at its addresses, which ascend. */
		from = strtoull(line, &rest, 16);
		if (from >= end)
			break;
		if (*rest == '-' && strtoull(rest + 1, NULL, 16) > start && parse_vma(line, &vma))
			r = add_vma(list, &vma);
	}
	free(text);
	return r;
}

/* PROCMAP_QUERY of <linux/fs.h>, Linux 6.11. */
struct procmap_query {
	uint64_t size, flags, address;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t device_major, device_minor, name_bytes, build_id_bytes;
	uint64_t name_address, build_id_address;
};
#define QUERY _IOWR('f', 17, struct procmap_query)
#define QUERY_READABLE 0x01
#define QUERY_WRITABLE 0x02
#define QUERY_EXECUTABLE 0x04
#define QUERY_SHARED 0x08
#define QUERY_COVERING_OR_NEXT 0x10

/* -ENOTTY: the kernel is older. */
static int query_vmas(pid_t tid, uint64_t start, uint64_t end, struct vmas *list)
{
	struct procmap_query query;
	int fd = open_proc(tid, "maps"), r = 0;
	struct vma vma;

	if (fd < 0)
		return fd;
	while (!r && start < end) {
		memset(&query, 0, sizeof(query));
		query.size = sizeof(query);
		query.flags = QUERY_COVERING_OR_NEXT;
		query.address = start;
		if (ioctl(fd, QUERY, &query)) {
			r = errno == ENOENT ? 0 : -errno;
			break;
		}
		if (query.vma_start >= end)
			break;
		vma = (struct vma){
			.start = query.vma_start,
			.end = query.vma_end,
			.offset = query.vma_offset,
			.device_major = query.device_major,
			.device_minor = query.device_minor,
			.inode = query.inode,
			.protection = (query.vma_flags & QUERY_READABLE ? PROT_READ : 0) |
				      (query.vma_flags & QUERY_WRITABLE ? PROT_WRITE : 0) |
				      (query.vma_flags & QUERY_EXECUTABLE ? PROT_EXEC : 0),
			.shared = query.vma_flags & QUERY_SHARED,
			.file = query.inode != 0,
		};
		r = add_vma(list, &vma);
		start = query.vma_end;
	}
	close(fd);
	return r;
}

int proc_vmas(pid_t tid, uint64_t start, uint64_t end, struct vma **out, size_t *count)
{
	struct vmas list = { 0 };
	int r = query_vmas(tid, start, end, &list);

	if (r == -ENOTTY)
		r = read_vmas(tid, start, end, &list);
	if (r) {
		free(list.vmas);
		return r;
	}
	*out = list.vmas;
	*count = list.count;
	return 0;
}

bool proc_has_file(pid_t tid, uint64_t inode)
{
	char path[64], entry_path[320], wanted[32], seen[32];
	struct dirent *entry;
	bool found = false;
	DIR *folder;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd", tid);
	folder = opendir(path);
	if (!folder)
		return false;
	/* The file's own name, in a mount that has no place: nothing is asked of other file systems. */
	snprintf(wanted, sizeof(wanted), "/%llu", (unsigned long long)inode);
	while (!found && (entry = readdir(folder))) {
		snprintf(entry_path, sizeof(entry_path), "%s/%s", path, entry->d_name);
		n = readlink(entry_path, seen, sizeof(seen) - 1);
		seen[n < 0 ? 0 : n] = 0;
		found = !strcmp(seen, wanted);
	}
	closedir(folder);
	return found;
}
