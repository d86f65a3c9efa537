/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private memory: guest_memfds behind slots, and the attribute that says who sees which memory. */
#define _GNU_SOURCE /* F_ADD_SEALS, memfd_create */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mmu/internal.h"
#include "util/own_fd.h"

struct guest_memfd {
	int fd;    /* the contents, for nobody else */
	int shown; /* what stands for them in descriptors: of the same size, and empty for ever */
	uint64_t size;
	/*
	 * Pages whose attribute was set through the file, and those of them that are private: what
	 * a slot starts with that is bound to them later. Under the slots lock.
	 */
	struct page_set *known, *private;
};

/* ---- The file ------------------------------------------------------------------------------- */

/* A memfd of @size with @seals besides those that keep its size; or a negative errno. */
static int create_memfd(uint64_t size, int seals)
{
	int fd = own_fd_keep(memfd_create("kvm-gmem", MFD_CLOEXEC | MFD_ALLOW_SEALING)), r;

	if (fd < 0)
		return -errno;
	seals |= F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
	if (!ftruncate(fd, (off_t)size) && !fcntl(fd, F_ADD_SEALS, seals))
		return fd;
	r = -errno;
	own_fd_close(fd);
	return r;
}

int guest_memfd_create(uint64_t size, struct guest_memfd **out)
{
	struct guest_memfd *file;
	int r = -ENOMEM;

	if ((int64_t)size <= 0 || (size & ~GUEST_PAGE_MASK))
		return -EINVAL;
	file = calloc(1, sizeof(*file));
	if (!file)
		return r;
	file->size = size;
	r = file->fd = create_memfd(size, 0);
	if (r < 0)
		goto free_file;
	r = file->shown = create_memfd(size, F_SEAL_WRITE);
	if (r < 0)
		goto close_fd;
	*out = file;
	return 0;

close_fd:
	own_fd_close(file->fd);
free_file:
	free(file);
	return r;
}

int guest_memfd_fd(const struct guest_memfd *file)
{
	return file->shown;
}

uint64_t guest_memfd_size(const struct guest_memfd *file)
{
	return file->size;
}

int guest_memfd_allocate(struct memory *memory, struct guest_memfd *file, int mode, int64_t offset,
			 int64_t bytes)
{
	if (offset < 0 || bytes <= 0)
		return -EINVAL;
	if (offset > INT64_MAX - bytes)
		return -EFBIG;
	if (mode != FALLOC_FL_KEEP_SIZE && mode != (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	if ((offset | bytes) & (int64_t)~GUEST_PAGE_MASK)
		return -EINVAL;
	if (!(mode & FALLOC_FL_PUNCH_HOLE) && (uint64_t)(offset + bytes) > file->size)
		return -EINVAL;
	if (fallocate(file->fd, mode, offset, bytes))
		return -errno;
	/* What was decoded there is gone. */
	if (mode & FALLOC_FL_PUNCH_HOLE)
		memory->listener.code_written(memory->listener.opaque, NULL);
	return 0;
}

/* ---- A slot's part of it -------------------------------------------------------------------- */

struct private_part *private_part_get(struct private_part *part)
{
	if (part)
		atomic_fetch_add_explicit(&part->references, 1, memory_order_relaxed);
	return part;
}

void private_part_put(struct private_part *part)
{
	if (!part || atomic_fetch_sub_explicit(&part->references, 1, memory_order_acq_rel) != 1)
		return;
	munmap(part->hva, part->bytes);
	free(part);
}

static bool part_overlaps(const struct private_part *part, const struct guest_memfd *file,
			  uint64_t offset, uint64_t bytes)
{
	return part && part->file == file && part->offset < offset + bytes &&
	       offset < part->offset + part->bytes;
}

int private_part_create(const struct memory *memory, struct guest_memfd *file, uint64_t offset,
			uint64_t bytes, struct private_part **out)
{
	const struct memslots *slots = memory->current;
	struct private_part *part;

	if ((int64_t)offset < 0 || offset > file->size || bytes > file->size - offset)
		return -EINVAL;
	for (unsigned i = 0; i < slots->count; i++)
		if (part_overlaps(slots->slot[i].private, file, offset, bytes))
			return -EINVAL;
	part = malloc(sizeof(*part));
	if (!part)
		return -ENOMEM;
	atomic_init(&part->references, 1);
	part->file = file;
	part->offset = offset;
	part->bytes = bytes;
	part->hva = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file->fd,
			 (off_t)offset);
	if (part->hva == MAP_FAILED) {
		free(part);
		return -ENOMEM;
	}
	/* Nobody but the guest may see it, not even a child. */
	madvise(part->hva, bytes, MADV_DONTFORK);
	*out = part;
	return 0;
}

/* ---- Attributes ----------------------------------------------------------------------------- */

static int change_pages(struct page_set **pages, uint64_t gpa, uint64_t bytes, bool private)
{
	return page_set_change(*pages, gpa >> GUEST_PAGE_SHIFT, (gpa + bytes) >> GUEST_PAGE_SHIFT,
			       private, pages);
}

static bool pages_are(const struct page_set *pages, uint64_t gpa, uint64_t bytes, bool private)
{
	return page_set_is(pages, gpa >> GUEST_PAGE_SHIFT, (gpa + bytes) >> GUEST_PAGE_SHIFT,
			   private);
}

/* Takes over the reference to @pages on success, which it is unless -ENOMEM. Under slots_lock. */
static int publish_private(struct memory *memory, struct page_set *pages)
{
	struct memslots *slots;

	pthread_rwlock_wrlock(&memory->accessors);
	slots = slots_make_writable(memory);
	if (slots) {
		page_set_put(slots->private);
		slots->private = pages;
		slots->generation++;
	}
	pthread_rwlock_unlock(&memory->accessors);
	return slots ? 0 : -ENOMEM;
}

/* 1: something changed; 0, -ENOMEM. Under slots_lock. */
static int set_private(struct memory *memory, uint64_t gpa, uint64_t bytes, bool private)
{
	struct page_set *pages;
	int r;

	if (pages_are(memory->current->private, gpa, bytes, private))
		return 0;
	pages = page_set_get(memory->current->private);
	r = change_pages(&pages, gpa, bytes, private);
	if (!r)
		r = publish_private(memory, pages);
	if (r)
		page_set_put(pages);
	return r ? r : 1;
}

void memory_allow_private(struct memory *memory)
{
	memory->private_allowed = true;
}

bool memory_private_allowed(const struct memory *memory)
{
	return memory->private_allowed;
}

unsigned memory_address_spaces(const struct memory *memory)
{
	return memory->private_allowed ? 1 : MEMORY_ADDRESS_SPACES;
}

static bool attributes_valid(const struct memory *memory, uint64_t attributes)
{
	return !(attributes & ~(memory->private_allowed ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0));
}

int memory_set_attributes(struct memory *memory, uint64_t gpa, uint64_t bytes, uint64_t attributes)
{
	int r;

	if (!attributes_valid(memory, attributes) || !bytes || gpa + bytes < gpa ||
	    ((gpa | bytes) & ~GUEST_PAGE_MASK))
		return -EINVAL;
	pthread_mutex_lock(&memory->slots_lock);
	r = set_private(memory, gpa, bytes, attributes);
	pthread_mutex_unlock(&memory->slots_lock);
	if (r <= 0)
		return r;
	memory->listener.slots_changed(memory->listener.opaque);
	return 0;
}

bool memory_is_private(struct memory *memory, uint64_t gpa)
{
	bool private;

	pthread_rwlock_rdlock(&memory->accessors);
	private = page_set_has(memory->current->private, gpa >> GUEST_PAGE_SHIFT);
	pthread_rwlock_unlock(&memory->accessors);
	return private;
}

/* The guest-physical range that @part's slot at @slot_gpa shows of the file's [offset, end). */
static bool shown_range(const struct private_part *part, uint64_t slot_gpa, uint64_t offset,
			uint64_t end, uint64_t *gpa, uint64_t *bytes)
{
	uint64_t first = offset > part->offset ? offset : part->offset;
	uint64_t last = end < part->offset + part->bytes ? end : part->offset + part->bytes;

	if (first >= last)
		return false;
	*gpa = slot_gpa + (first - part->offset);
	*bytes = last - first;
	return true;
}

/* The same range's pages in all slots that show it. *@changed: some were different. */
static int change_shown(const struct memory *memory, const struct guest_memfd *file,
			uint64_t offset, uint64_t bytes, bool private, struct page_set **pages,
			bool *changed)
{
	int r = 0;

	for (unsigned i = 0; !r && i < memory->current->count; i++) {
		const struct memslot *slot = &memory->current->slot[i];
		uint64_t gpa, length;

		if (!slot->private || slot->private->file != file ||
		    !shown_range(slot->private, slot->gpa, offset, offset + bytes, &gpa, &length) ||
		    pages_are(*pages, gpa, length, private))
			continue;
		*changed = true;
		r = change_pages(pages, gpa, length, private);
	}
	return r;
}

int guest_memfd_set_attributes(struct memory *memory, struct guest_memfd *file, uint64_t offset,
			       uint64_t bytes, uint64_t attributes)
{
	struct page_set *known, *private, *pages;
	bool changed = false;
	int r;

	if (!attributes_valid(memory, attributes) || !bytes || offset + bytes < offset ||
	    ((offset | bytes) & ~GUEST_PAGE_MASK) || offset + bytes > file->size)
		return -EINVAL;
	pthread_mutex_lock(&memory->slots_lock);
	/* All or nothing: the sets are changed aside. */
	known = page_set_get(file->known);
	private = page_set_get(file->private);
	pages = page_set_get(memory->current->private);
	r = change_pages(&known, offset, bytes, true);
	if (!r)
		r = change_pages(&private, offset, bytes, attributes);
	if (!r)
		r = change_shown(memory, file, offset, bytes, attributes, &pages, &changed);
	if (!r && changed)
		r = publish_private(memory, pages);
	if (r || !changed)
		page_set_put(pages);
	page_set_put(r ? known : file->known);
	page_set_put(r ? private : file->private);
	if (!r) {
		file->known = known;
		file->private = private;
	}
	pthread_mutex_unlock(&memory->slots_lock);
	if (!r && changed)
		memory->listener.slots_changed(memory->listener.opaque);
	return r;
}

/* The slot's pages that @set, of its file, has become private or shared. */
static int apply_set(struct page_set **pages, const struct memslot *slot,
		     const struct page_set *set, bool private)
{
	const struct private_part *part = slot->private;
	const struct page_range *range;
	int r = 0;

	for (range = page_set_next(set, 0); !r && range; range = page_set_next(set, range->end)) {
		uint64_t gpa, length;

		if (shown_range(part, slot->gpa, range->first << GUEST_PAGE_SHIFT,
				range->end << GUEST_PAGE_SHIFT, &gpa, &length))
			r = change_pages(pages, gpa, length, private);
	}
	return r;
}

/* Under both locks. */
int private_part_apply(struct memslots *slots, const struct memslot *slot)
{
	struct page_set *pages;
	int r;

	if (!slot->private)
		return 0;
	pages = page_set_get(slots->private);
	r = apply_set(&pages, slot, slot->private->file->known, false);
	if (!r)
		r = apply_set(&pages, slot, slot->private->file->private, true);
	page_set_put(r ? pages : slots->private);
	if (!r)
		slots->private = pages;
	return r;
}

/* ---- The end of a file ---------------------------------------------------------------------- */

void guest_memfd_destroy(struct memory *memory, struct guest_memfd *file)
{
	bool bound = false;

	pthread_mutex_lock(&memory->slots_lock);
	for (unsigned i = 0; i < memory->current->count; i++)
		bound |= memory->current->slot[i].private &&
			 memory->current->slot[i].private->file == file;
	if (bound) {
		struct memslots *slots;

		pthread_rwlock_wrlock(&memory->accessors);
		slots = slots_make_writable(memory);
		for (unsigned i = 0; slots && i < slots->count; i++) {
			struct memslot *slot = &slots->slot[i];

			if (!slot->private || slot->private->file != file)
				continue;
			private_part_put(slot->private);
			slot->private = NULL;
		}
		/* Out of memory: the slots keep what they have mapped, which needs no file. */
		if (!slots)
			for (unsigned i = 0; i < memory->current->count; i++)
				if (memory->current->slot[i].private &&
				    memory->current->slot[i].private->file == file)
					memory->current->slot[i].private->file = NULL;
		pthread_rwlock_unlock(&memory->accessors);
	}
	pthread_mutex_unlock(&memory->slots_lock);
	if (bound)
		memory->listener.slots_changed(memory->listener.opaque);
	page_set_put(file->known);
	page_set_put(file->private);
	own_fd_close(file->shown);
	own_fd_close(file->fd);
	free(file);
}
