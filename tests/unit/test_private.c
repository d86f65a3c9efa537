// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "mmu_fixture.h"

#define BASE 0x10000000ull
#define SLOT_PAGES 16
#define SIZE (SLOT_PAGES * GUEST_PAGE_SIZE)
#define PRIVATE KVM_MEMORY_ATTRIBUTE_PRIVATE

static struct machine m;
static struct guest_memfd *file;
static uint8_t *shared;

static int bind(uint32_t id, uint64_t gpa, uint64_t size, uint64_t offset)
{
	const struct memory_region region = {
		.id = id,
		.flags = KVM_MEM_GUEST_MEMFD,
		.gpa = gpa,
		.size = size,
		.hva = (uintptr_t)shared,
		.file = file,
		.error = -EBADF,
		.offset = offset,
	};
	int r = memory_change_region(m.memory, &region);

	mmu_reload_slots(m.mmu);
	return r;
}

static void start(void)
{
	machine_start(&m);
	memory_allow_private(m.memory);
	ck_assert_int_eq(guest_memfd_create(2 * SIZE, &file), 0);
	shared = host_pages(SIZE);
	memset(shared, 's', SIZE);
	ck_assert_int_eq(bind(1, BASE, SIZE, SIZE), 0);
}

static void stop(void)
{
	if (file)
		guest_memfd_destroy(m.memory, file);
	machine_stop(&m);
	munmap(shared, SIZE);
}

static int attributes(uint64_t gpa, uint64_t size, uint64_t value)
{
	int r = memory_set_attributes(m.memory, gpa, size, value);

	mmu_reload_slots(m.mmu);
	return r;
}

static uint8_t *host(uint64_t gpa)
{
	struct mmu_result result;

	ck_assert_int_eq(translate(&m, gpa, ACCESS_WRITE, TLB_SUPER, &result), MMU_RAM);
	return result.hva;
}

START_TEST(attribute_chooses_the_memory)
{
	ck_assert_ptr_eq(host(BASE), shared);
	ck_assert_int_eq(attributes(BASE, GUEST_PAGE_SIZE, PRIVATE), 0);
	ck_assert_ptr_ne(host(BASE), shared);
	ck_assert_ptr_eq(host(BASE + GUEST_PAGE_SIZE), shared + GUEST_PAGE_SIZE);
	*host(BASE) = 'p';
	ck_assert_int_eq(attributes(BASE, GUEST_PAGE_SIZE, 0), 0);
	ck_assert_int_eq(*host(BASE), 's');
	ck_assert_int_eq(attributes(BASE, GUEST_PAGE_SIZE, PRIVATE), 0);
	ck_assert_int_eq(*host(BASE), 'p');
}
END_TEST

/* Whatever a client does to its descriptor, it does not get at the contents. */
START_TEST(descriptor_shows_nothing)
{
	int fd = guest_memfd_fd(file);
	uint8_t byte = 1;

	ck_assert_int_eq(attributes(BASE, GUEST_PAGE_SIZE, PRIVATE), 0);
	*host(BASE) = 'p';
	ck_assert_int_eq(pread(fd, &byte, 1, SIZE), 1);
	ck_assert_int_eq(byte, 0);
	ck_assert_int_eq(pwrite(fd, "w", 1, SIZE), -1);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), (off_t)guest_memfd_size(file));
	ck_assert_int_eq(*host(BASE), 'p');
}
END_TEST

START_TEST(access_by_address_chooses_too)
{
	uint8_t bytes[2];

	ck_assert_int_eq(attributes(BASE, GUEST_PAGE_SIZE, PRIVATE), 0);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE + 0xfff, "ab", 2, NULL), 0);
	ck_assert_int_eq(shared[0xfff], 's');
	ck_assert_int_eq(shared[0x1000], 'b');
	ck_assert_int_eq(memory_read(m.memory, NULL, BASE + 0xfff, bytes, 2), 0);
	ck_assert_mem_eq(bytes, "ab", 2);
}
END_TEST

START_TEST(listener_hears_changes_only)
{
	unsigned heard = m.slots_changed;

	ck_assert_int_eq(attributes(BASE, SIZE, 0), 0);
	ck_assert_uint_eq(m.slots_changed, heard);
	ck_assert_int_eq(attributes(BASE, SIZE, PRIVATE), 0);
	ck_assert_uint_eq(m.slots_changed, heard + 1);
	ck_assert_int_eq(attributes(BASE, GUEST_PAGE_SIZE, PRIVATE), 0);
	ck_assert_uint_eq(m.slots_changed, heard + 1);
}
END_TEST

START_TEST(nothing_private_there_is_a_host_fault)
{
	struct mmu_result result;

	ck_assert_int_eq(attributes(0, GUEST_PAGE_SIZE, PRIVATE), 0);
	ck_assert_int_eq(attributes(NO_RAM, GUEST_PAGE_SIZE, PRIVATE), 0);
	ck_assert_int_eq(translate(&m, 0x10, ACCESS_READ, TLB_SUPER, &result), MMU_HOST_FAULT);
	ck_assert_uint_eq(result.gpa, 0x10);
	ck_assert(result.private && !result.poisoned);
	ck_assert_int_eq(translate(&m, NO_RAM, ACCESS_EXEC, TLB_SUPER, &result), MMU_HOST_FAULT);
	ck_assert(result.private);
	ck_assert(!mmu_mark_code(m.mmu, 0));
	ck_assert_int_eq(memory_read(m.memory, NULL, 0, &result, 1), -EFAULT);
	ck_assert_int_eq(memory_write(m.memory, NULL, 0, "a", 1, NULL), -EFAULT);
}
END_TEST

START_TEST(private_page_table_that_is_not_there)
{
	struct mmu_result result;

	map_long(&m, 0, 0, PWU);
	ck_assert_int_eq(attributes(TABLES, GUEST_PAGE_SIZE, PRIVATE), 0);
	ck_assert_int_eq(translate(&m, GVA, ACCESS_READ, TLB_SUPER, &result), MMU_HOST_FAULT);
	ck_assert_uint_eq(result.gpa & GUEST_PAGE_MASK, TABLES);
	ck_assert(result.private);
}
END_TEST

START_TEST(parts_do_not_overlap)
{
	ck_assert_int_eq(bind(2, BASE + SIZE, SIZE, GUEST_PAGE_SIZE), -EINVAL);
	ck_assert_int_eq(bind(2, BASE + SIZE, SIZE, SIZE + GUEST_PAGE_SIZE), -EINVAL);
	ck_assert_int_eq(bind(2, BASE + SIZE, SIZE, 0), 0);
	ck_assert_int_eq(bind(1, BASE, SIZE, SIZE), -EINVAL);
	ck_assert_int_eq(set_slot(&m, 1, 0, 0, 0, NULL), 0);
	ck_assert_int_eq(bind(3, BASE, SIZE, SIZE), 0);
}
END_TEST

START_TEST(file_that_is_closed)
{
	struct mmu_result result;

	ck_assert_int_eq(attributes(BASE, SIZE, PRIVATE), 0);
	host(BASE);
	guest_memfd_destroy(m.memory, file);
	file = NULL;
	mmu_reload_slots(m.mmu);
	ck_assert_int_eq(translate(&m, BASE, ACCESS_READ, TLB_SUPER, &result), MMU_HOST_FAULT);
	ck_assert_int_eq(attributes(BASE, SIZE, 0), 0);
	ck_assert_ptr_eq(host(BASE), shared);
	ck_assert_int_eq(bind(2, BASE + SIZE, SIZE, 0), -EBADF);
}
END_TEST

START_TEST(attributes_by_offset)
{
	ck_assert_int_eq(
		guest_memfd_set_attributes(m.memory, file, 0, SIZE + GUEST_PAGE_SIZE, PRIVATE), 0);
	ck_assert(memory_is_private(m.memory, BASE));
	ck_assert(!memory_is_private(m.memory, BASE + GUEST_PAGE_SIZE));
	ck_assert(!memory_is_private(m.memory, BASE - GUEST_PAGE_SIZE));
	/* The other half is bound now. */
	ck_assert_int_eq(bind(2, BASE + 2 * SIZE, SIZE, 0), 0);
	ck_assert(memory_is_private(m.memory, BASE + 2 * SIZE));
	ck_assert(memory_is_private(m.memory, BASE + 3 * SIZE - 1));
	ck_assert(!memory_is_private(m.memory, BASE + 3 * SIZE));
	ck_assert_int_eq(guest_memfd_set_attributes(m.memory, file, 0, SIZE, 0), 0);
	ck_assert(!memory_is_private(m.memory, BASE + 2 * SIZE));
	ck_assert(memory_is_private(m.memory, BASE));
	ck_assert_int_eq(guest_memfd_set_attributes(m.memory, file, 0, 2 * SIZE + 4096, PRIVATE),
			 -EINVAL);
	ck_assert_int_eq(guest_memfd_set_attributes(m.memory, file, 1, 4096, PRIVATE), -EINVAL);
	ck_assert_int_eq(guest_memfd_set_attributes(m.memory, file, 0, 4096, 1), -EINVAL);
}
END_TEST

/* The allocation that fails, counted from one; 0: none. */
static unsigned failing;

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

void *__wrap_malloc(size_t bytes)
{
	return failing && !--failing ? NULL : __real_malloc(bytes);
}

/* Bit by bit whether the pages of a slot at @gpa are private. */
static unsigned private_bits(uint64_t gpa)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < SLOT_PAGES; i++)
		bits |= memory_is_private(m.memory, gpa + i * GUEST_PAGE_SIZE) << i;
	return bits;
}

/* Whichever allocation fails, attributes are those from before. */
START_TEST(out_of_memory)
{
	const uint64_t other = BASE + 2 * SIZE;
	unsigned number, i;
	int r;

	for (i = 0; i < SLOT_PAGES; i += 2)
		ck_assert_int_eq(guest_memfd_set_attributes(m.memory, file, i * GUEST_PAGE_SIZE,
							    GUEST_PAGE_SIZE, i & 4 ? PRIVATE : 0),
				 0);
	ck_assert_int_eq(attributes(other, SIZE, PRIVATE), 0);
	for (number = 1;; number++) {
		failing = number;
		r = bind(2, other, SIZE, 0);
		if (failing)
			break;
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_uint_eq(private_bits(other), 0xffff);
	}
	failing = 0;
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(number, 8);
	ck_assert_uint_eq(private_bits(other), 0xfafa);

	/* Half of each slot. */
	for (number = 1;; number++) {
		failing = number;
		r = guest_memfd_set_attributes(m.memory, file, SIZE / 2, SIZE, PRIVATE);
		if (failing)
			break;
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_uint_eq(private_bits(other), 0xfafa);
		ck_assert_uint_eq(private_bits(BASE), 0);
	}
	failing = 0;
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(number, 4);
	ck_assert_uint_eq(private_bits(other), 0xfffa);
	ck_assert_uint_eq(private_bits(BASE), 0x00ff);
}
END_TEST

START_TEST(hole_is_zero_and_told)
{
	unsigned heard = m.code_written;

	ck_assert_int_eq(attributes(BASE, SIZE, PRIVATE), 0);
	*host(BASE) = 'p';
	ck_assert_int_eq(guest_memfd_allocate(m.memory, file,
					      FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, SIZE,
					      GUEST_PAGE_SIZE),
			 0);
	ck_assert_int_eq(*host(BASE), 0);
	ck_assert_uint_eq(m.code_written, heard + 1);
}
END_TEST

START_TEST(prefault_tells_what_is_there)
{
	struct memslots *slots;

	ck_assert_int_eq(attributes(0, GUEST_PAGE_SIZE, PRIVATE), 0);
	ck_assert_int_eq(attributes(BASE, GUEST_PAGE_SIZE, PRIVATE), 0);
	munmap(shared + GUEST_PAGE_SIZE, GUEST_PAGE_SIZE);
	slots = memory_slots_get(m.memory);
	ck_assert_int_eq(memslots_prefault(slots, 0, BASE), 0);
	ck_assert_int_eq(memslots_prefault(slots, 0, BASE + GUEST_PAGE_SIZE), -EFAULT);
	ck_assert_int_eq(memslots_prefault(slots, 0, BASE + 2 * GUEST_PAGE_SIZE), 0);
	ck_assert_int_eq(memslots_prefault(slots, 0, 0), -EFAULT);
	ck_assert_int_eq(memslots_prefault(slots, 0, NO_RAM), -ENOENT);
	memslots_put(slots);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		attribute_chooses_the_memory,
		descriptor_shows_nothing,
		access_by_address_chooses_too,
		listener_hears_changes_only,
		nothing_private_there_is_a_host_fault,
		private_page_table_that_is_not_there,
		parts_do_not_overlap,
		file_that_is_closed,
		attributes_by_offset,
		out_of_memory,
		hole_is_zero_and_told,
		prefault_tells_what_is_there,
	};

	return run_suite("private", tests, sizeof(tests) / sizeof(tests[0]), start, stop);
}
