/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc says about a client's thread. proc(5). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuse/daemon.h"

#define STATUS_MAX 4096
#define READ_STEP 65536

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

static bool read_status(pid_t tid, char text[STATUS_MAX])
{
	int fd = open_proc(tid, "status");
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, STATUS_MAX - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	return true;
}

/* The value of a line "NAME:\tVALUE", 0 when there is none. */
static uint64_t status_value(const char *text, const char *name, int base)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

pid_t proc_tgid(pid_t tid)
{
	char text[STATUS_MAX];

	return read_status(tid, text) ? (pid_t)status_value(text, "\nTgid:", 10) : 0;
}

uint64_t proc_pending(pid_t tid, const uint64_t *blocked)
{
	char text[STATUS_MAX];
	uint64_t pending;

	if (!read_status(tid, text))
		return ~0ull;
	pending = status_value(text, "\nSigPnd:", 16) | status_value(text, "\nShdPnd:", 16);
	return pending & ~(blocked ? *blocked : status_value(text, "\nSigBlk:", 16));
}

pid_t proc_tracer(pid_t tid)
{
	char text[STATUS_MAX];

	return read_status(tid, text) ? (pid_t)status_value(text, "\nTracerPid:", 10) : 0;
}

bool proc_dead(pid_t tid)
{
	char text[STATUS_MAX], *state;

	if (!read_status(tid, text))
		return true;
	state = strstr(text, "\nState:\t");
	return !state || strchr("ZX", state[8]);
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

int proc_vmas(pid_t tid, uint64_t start, uint64_t end, struct vma **out, size_t *count)
{
	struct vma *vmas = NULL, *more, vma;
	char *text = NULL, *line, *next;
	size_t n = 0, room = 0;
	int r = read_all(tid, "maps", &text);

	if (r)
		return r;
	for (line = text; *line; line = next) {
		next = strchr(line, '\n');
		next = next ? next + 1 : line + strlen(line);
		if (!parse_vma(line, &vma) || vma.end <= start || vma.start >= end)
			continue;
		if (n == room) {
			room = 2 * room + 16;
			more = realloc(vmas, room * sizeof(*vmas));
			if (!more) {
				free(vmas);
				free(text);
				return -ENOMEM;
			}
			vmas = more;
		}
		vmas[n++] = vma;
	}
	free(text);
	*out = vmas;
	*count = n;
	return 0;
}
