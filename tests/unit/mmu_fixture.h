/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small machine for the tests of mmu/: RAM at 0, one MMU, page tables built on demand. */
#ifndef FAUXKVM_TESTS_MMU_FIXTURE_H
#define FAUXKVM_TESTS_MMU_FIXTURE_H

#include "mmu/mmu.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CR0_WP (1ull << 16)
#define CR0_PG (1ull << 31)
#define CR4_PSE (1ull << 4)
#define CR4_PAE (1ull << 5)
#define CR4_PGE (1ull << 7)
#define CR4_LA57 (1ull << 12)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define CR4_PKE (1ull << 22)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)

#define P 0x1ull
#define W 0x2ull
#define U 0x4ull
#define A 0x20ull
#define D 0x40ull
#define PS 0x80ull
#define G 0x100ull
#define NX (1ull << 63)
#define PWU (P | W | U)

#define PF_P 0x1
#define PF_W 0x2
#define PF_U 0x4
#define PF_RSVD 0x8
#define PF_I 0x10
#define PF_PK 0x20

#define RAM_SIZE (16ull << 20)
#define TABLES 0x100000ull /* gpa of the root; further tables follow */
#define PAGE 0x345000ull   /* gpa of the page the tests map */
#define GVA 0x40123000ull  /* where they map it */
#define NO_RAM 0xe0000000ull

struct machine {
	struct memory *memory;
	struct mmu *mmu;
	uint8_t *ram;
	struct paging paging;
	uint64_t next_table;
	unsigned slots_changed, writes_revoked, code_written;
	struct mmu *last_self;
};

static inline void count_slots_changed(void *opaque)
{
	((struct machine *)opaque)->slots_changed++;
}

static inline void count_writes_revoked(void *opaque, struct mmu *self)
{
	struct machine *m = opaque;

	m->writes_revoked++;
	m->last_self = self;
	if (m->mmu && self != m->mmu)
		mmu_flush_writes(m->mmu);
}

static inline void count_code_written(void *opaque, struct mmu *self)
{
	struct machine *m = opaque;

	m->code_written++;
	m->last_self = self;
}

static inline int set_slot(struct machine *m, uint32_t id, uint32_t flags, uint64_t gpa,
			   uint64_t size, const void *hva)
{
	const struct kvm_userspace_memory_region region = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};
	int r = memory_set_region(m->memory, &region);

	if (!r && m->mmu)
		mmu_reload_slots(m->mmu);
	return r;
}

static inline void *host_pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static inline void machine_start(struct machine *m)
{
	const struct memory_listener listener = {
		.opaque = m,
		.slots_changed = count_slots_changed,
		.writes_revoked = count_writes_revoked,
		.code_written = count_code_written,
	};

	memset(m, 0, sizeof(*m));
	m->memory = memory_create(&listener);
	ck_assert_ptr_nonnull(m->memory);
	m->ram = host_pages(RAM_SIZE);
	ck_assert_int_eq(set_slot(m, 0, 0, 0, RAM_SIZE, m->ram), 0);
	m->mmu = malloc(sizeof(*m->mmu));
	ck_assert_ptr_nonnull(m->mmu);
	ck_assert_int_eq(mmu_init(m->mmu, m->memory), 0);
	m->paging.maxphyaddr = 40;
	m->paging.gbpages = true;
	m->next_table = TABLES + GUEST_PAGE_SIZE;
}

static inline void machine_stop(struct machine *m)
{
	mmu_fini(m->mmu);
	free(m->mmu);
	memory_destroy(m->memory);
	munmap(m->ram, RAM_SIZE);
}

static inline void set_mode(struct machine *m, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	m->paging.cr0 = cr0 | CR0_PG;
	m->paging.cr4 = cr4;
	m->paging.efer = efer;
	m->paging.cr3 = TABLES;
	if ((cr4 & CR4_PAE) && !(efer & EFER_LMA))
		for (unsigned i = 0; i < 4; i++)
			m->paging.pdptr[i] = (TABLES + 0x10000 + i * GUEST_PAGE_SIZE) | P;
	mmu_set_paging(m->mmu, &m->paging);
}

/* Page-table entry of @gva at @level in the current mode; upper levels are made as needed. */
static inline void *entry_at(struct machine *m, uint64_t gva, unsigned level)
{
	bool wide = m->paging.cr4 & CR4_PAE, lma = m->paging.efer & EFER_LMA;
	unsigned bits = wide ? 9 : 10;
	unsigned top = !lma ? 2 : m->paging.cr4 & CR4_LA57 ? 5 : 4;
	uint64_t table = wide && !lma ? m->paging.pdptr[gva >> 30 & 3] & ~0xfffull : TABLES;

	for (unsigned l = top;; l--) {
		unsigned index = gva >> (12 + bits * (l - 1)) & ((1u << bits) - 1);
		uint64_t *e64 = (uint64_t *)(m->ram + table) + index;
		uint32_t *e32 = (uint32_t *)(m->ram + table) + index;

		if (l == level)
			return wide ? (void *)e64 : (void *)e32;
		if (!((wide ? *e64 : *e32) & P)) {
			if (wide)
				*e64 = m->next_table | PWU;
			else
				*e32 = (uint32_t)(m->next_table | PWU);
			m->next_table += GUEST_PAGE_SIZE;
		}
		table = (wide ? *e64 : *e32) & 0xffffffffff000ull;
	}
}

static inline uint64_t *entry64(struct machine *m, uint64_t gva, unsigned level)
{
	return entry_at(m, gva, level);
}

static inline uint32_t *entry32(struct machine *m, uint64_t gva, unsigned level)
{
	return entry_at(m, gva, level);
}

/* 4-level paging with CR0.WP and @cr4, @efer on top; GVA maps PAGE with @entry's bits. */
static inline void map_long(struct machine *m, uint64_t cr4, uint64_t efer, uint64_t entry)
{
	set_mode(m, CR0_WP, CR4_PAE | cr4, EFER_LMA | efer);
	*entry64(m, GVA, 1) = PAGE | entry;
}

static inline enum mmu_status translate(struct machine *m, uint64_t gva, enum access access,
					enum tlb_mode mode, struct mmu_result *result)
{
	memset(result, 0xa5, sizeof(*result));
	return mmu_translate(m->mmu, gva, access, mode, result);
}

#define ck_assert_ram(m, gva, access, mode, expected_gpa)                                          \
	do {                                                                                       \
		struct mmu_result result_;                                                         \
		ck_assert_int_eq(translate(m, gva, access, mode, &result_), MMU_RAM);              \
		ck_assert_uint_eq(result_.gpa, expected_gpa);                                      \
		ck_assert_ptr_eq(result_.hva, (m)->ram + (expected_gpa));                          \
	} while (0)

#define ck_assert_fault(m, gva, access, mode, code)                                                \
	do {                                                                                       \
		struct mmu_result result_;                                                         \
		ck_assert_int_eq(translate(m, gva, access, mode, &result_), MMU_PAGE_FAULT);       \
		ck_assert_uint_eq(result_.error_code, code);                                       \
	} while (0)

static inline int run_suite(const char *name, const TTest *const *tests, size_t count,
			    SFun setup, SFun teardown)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60); /* sanitizers slow the large ones down */
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
