/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mapping a vCPU.
 *
 * The descriptor's own memfd is mapped first: it is empty, so the kernel makes all checks of the
 * call and a touch past the vCPU's pages is the SIGBUS that KVM has there. Then the pages that
 * exist are laid over it.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "preload/preload.h"
#include "preload/real.h"

#define PAGE 4096ul

/* How many pages from @first on follow each other in one file; 0: @first does not exist. */
static size_t pages_together(struct object *object, uint64_t first, size_t most,
			     struct object_page *at)
{
	struct object_page next;
	size_t n;

	if (object_page(object, first, at))
		return 0;
	for (n = 1; n < most && !object_page(object, first + n, &next); n++)
		if (next.fd != at->fd || next.offset != at->offset + (off_t)(n * PAGE))
			break;
	return n;
}

/*
 * What cannot be mapped at all: the kernel tells what is wrong besides. Its own files, but not
 * devices, have a file system without execution.
 */
static void *map_nothing(int kind, void *address, size_t length, int prot, int flags, off_t offset)
{
	int stands = stand_in(-1, kind);
	void *result;

	if (kind == OBJECT_SYSTEM)
		prot &= ~PROT_EXEC;
	result = real()->mmap(address, length, prot, flags, stands, offset);

	stand_in_end(stands, -1);
	return result;
}

static void *map_object(struct object *object, void *address, size_t length, int prot, int flags,
			int fd, off_t offset)
{
	size_t pages = (length + PAGE - 1) / PAGE, done, n;
	const int kept = MAP_SHARED | MAP_PRIVATE | MAP_POPULATE | MAP_LOCKED;
	struct object_page at;
	char *base;
	int r;

	r = object_mmap_check(object, offset / PAGE, pages, prot, flags);
	if (r == -ENODEV)
		return map_nothing(object->kind, address, length, prot, flags, offset);
	if (!r && (!length || offset % PAGE))
		r = -EINVAL;
	if (r) {
		errno = -r;
		return MAP_FAILED;
	}
	base = real()->mmap(address, length, prot, flags & ~(MAP_POPULATE | MAP_LOCKED), fd,
			    offset);
	if (base == MAP_FAILED)
		return MAP_FAILED;
	for (done = 0; done < pages; done += n) {
		n = pages_together(object, offset / PAGE + done, pages - done, &at);
		if (!n) {
			n = 1;
			continue;
		}
		if (real()->mmap(base + done * PAGE, n * PAGE, prot, (flags & kept) | MAP_FIXED,
				 at.fd, at.offset) == MAP_FAILED) {
			int saved = errno;

			munmap(base, length);
			errno = saved;
			return MAP_FAILED;
		}
	}
	return base;
}

EXPORT void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct description *description = NULL;
	void *result;

	if (!(flags & MAP_ANONYMOUS) && fds_possible(fd))
		description = fds_get_checked(fd);
	if (!description)
		return real()->mmap(address, length, prot, flags, fd, offset);
	result = map_object(description_object(description), address, length, prot, flags, fd,
			    offset);
	description_put(description);
	return result;
}

EXPORT void *mmap64(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
	return mmap(address, length, prot, flags, fd, offset);
}
