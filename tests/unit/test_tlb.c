/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mmu_fixture.h"

static struct machine m;

static void setup(void)
{
	machine_start(&m);
}

static void teardown(void)
{
	machine_stop(&m);
}

static void fill(uint64_t gva, enum access access, enum tlb_mode mode)
{
	struct mmu_result result;

	ck_assert_int_eq(translate(&m, gva, access, mode, &result), MMU_RAM);
}

static uint8_t *lookup(uint64_t gva, enum access access, enum tlb_mode mode)
{
	return mmu_lookup(m.mmu, gva, 1, access, mode);
}

/* ---- Lookup ---- */

START_TEST(new_tlb_matches_nothing)
{
	for (uint64_t gva = 0; gva < RAM_SIZE; gva += GUEST_PAGE_SIZE)
		for (enum access access = ACCESS_READ; access <= ACCESS_EXEC; access++)
			ck_assert_ptr_null(lookup(gva, access, TLB_SUPER));
	ck_assert_ptr_null(lookup(~0ull, ACCESS_READ, TLB_SUPER));
}
END_TEST

START_TEST(lookup_after_fill_gives_the_host_address)
{
	fill(PAGE + 8, ACCESS_READ, TLB_SUPER);
	ck_assert_ptr_eq(lookup(PAGE + 0xffe, ACCESS_READ, TLB_SUPER), m.ram + PAGE + 0xffe);
}
END_TEST

START_TEST(modes_are_separate)
{
	fill(PAGE, ACCESS_READ, TLB_SUPER);
	ck_assert_ptr_null(lookup(PAGE, ACCESS_READ, TLB_USER));
	ck_assert_ptr_null(lookup(PAGE, ACCESS_READ, TLB_SUPER_AC));
}
END_TEST

START_TEST(lookup_across_the_page_end_misses)
{
	fill(PAGE, ACCESS_READ, TLB_SUPER);
	fill(PAGE + 0x1000, ACCESS_READ, TLB_SUPER);
	ck_assert_ptr_nonnull(mmu_lookup(m.mmu, PAGE + 0xffc, 4, ACCESS_READ, TLB_SUPER));
	ck_assert_ptr_null(mmu_lookup(m.mmu, PAGE + 0xffd, 4, ACCESS_READ, TLB_SUPER));
}
END_TEST

START_TEST(lookup_of_a_whole_page_hits)
{
	fill(PAGE, ACCESS_READ, TLB_SUPER);
	ck_assert_ptr_eq(mmu_lookup(m.mmu, PAGE, 4096, ACCESS_READ, TLB_SUPER), m.ram + PAGE);
}
END_TEST

/* ---- Rights that are left out ---- */

START_TEST(read_of_a_clean_page_gives_no_write)
{
	map_long(&m, 0, 0, PWU);
	fill(GVA, ACCESS_READ, TLB_USER);
	ck_assert_ptr_nonnull(lookup(GVA, ACCESS_READ, TLB_USER));
	ck_assert_ptr_null(lookup(GVA, ACCESS_WRITE, TLB_USER));
}
END_TEST

START_TEST(read_of_a_dirty_page_gives_write)
{
	map_long(&m, 0, 0, PWU | D);
	fill(GVA, ACCESS_READ, TLB_USER);
	ck_assert_ptr_nonnull(lookup(GVA, ACCESS_WRITE, TLB_USER));
}
END_TEST

START_TEST(write_gives_all_rights)
{
	map_long(&m, 0, 0, PWU);
	fill(GVA, ACCESS_WRITE, TLB_USER);
	for (enum access access = ACCESS_READ; access <= ACCESS_EXEC; access++)
		ck_assert_ptr_nonnull(lookup(GVA, access, TLB_USER));
}
END_TEST

START_TEST(exec_right_is_the_modes)
{
	map_long(&m, CR4_SMEP | CR4_SMAP, 0, PWU);
	fill(GVA, ACCESS_READ, TLB_SUPER_AC);
	ck_assert_ptr_null(lookup(GVA, ACCESS_EXEC, TLB_SUPER_AC));
	fill(GVA, ACCESS_READ, TLB_USER);
	ck_assert_ptr_nonnull(lookup(GVA, ACCESS_EXEC, TLB_USER));
}
END_TEST

START_TEST(exec_under_smap_gives_no_read)
{
	map_long(&m, CR4_SMAP, 0, PWU);
	fill(GVA, ACCESS_EXEC, TLB_SUPER);
	ck_assert_ptr_nonnull(lookup(GVA, ACCESS_EXEC, TLB_SUPER));
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_SUPER));
}
END_TEST

START_TEST(protection_key_leaves_exec_only)
{
	m.paging.pkru = 1u << 2 * 3;
	map_long(&m, CR4_PKE, 0, PWU | D | 3ull << 59);
	fill(GVA, ACCESS_EXEC, TLB_USER);
	ck_assert_ptr_nonnull(lookup(GVA, ACCESS_EXEC, TLB_USER));
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
	ck_assert_ptr_null(lookup(GVA, ACCESS_WRITE, TLB_USER));
}
END_TEST

START_TEST(write_protected_page_gives_no_write)
{
	map_long(&m, 0, 0, P | U | D);
	fill(GVA, ACCESS_READ, TLB_USER);
	ck_assert_ptr_null(lookup(GVA, ACCESS_WRITE, TLB_USER));
}
END_TEST

START_TEST(read_only_slot_gives_no_write)
{
	uint8_t *rom = host_pages(GUEST_PAGE_SIZE);

	ck_assert_int_eq(set_slot(&m, 1, KVM_MEM_READONLY, NO_RAM, GUEST_PAGE_SIZE, rom), 0);
	fill(NO_RAM, ACCESS_READ, TLB_SUPER);
	ck_assert_ptr_nonnull(lookup(NO_RAM, ACCESS_READ, TLB_SUPER));
	ck_assert_ptr_null(lookup(NO_RAM, ACCESS_WRITE, TLB_SUPER));
}
END_TEST

START_TEST(unmarked_page_of_a_logged_slot_gives_no_write)
{
	ck_assert_int_eq(set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_SIZE, m.ram), 0);
	fill(PAGE, ACCESS_READ, TLB_SUPER);
	ck_assert_ptr_null(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
	fill(PAGE, ACCESS_WRITE, TLB_SUPER);
	ck_assert_ptr_nonnull(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
}
END_TEST

START_TEST(watched_page_gives_execute_only)
{
	m.mmu->watch[0] = PAGE;
	m.mmu->watches = 1;
	fill(PAGE, ACCESS_WRITE, TLB_SUPER);
	ck_assert_ptr_null(lookup(PAGE, ACCESS_READ, TLB_SUPER));
	ck_assert_ptr_null(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
	ck_assert_ptr_nonnull(lookup(PAGE, ACCESS_EXEC, TLB_SUPER));
}
END_TEST

/* ---- Flushes ---- */

START_TEST(flush_drops_everything)
{
	uint64_t epoch = m.mmu->epoch;

	fill(PAGE, ACCESS_WRITE, TLB_SUPER);
	mmu_flush(m.mmu);
	for (enum access access = ACCESS_READ; access <= ACCESS_EXEC; access++)
		ck_assert_ptr_null(lookup(PAGE, access, TLB_SUPER));
	ck_assert_uint_gt(m.mmu->epoch, epoch);
}
END_TEST

START_TEST(no_entry_comes_back_when_generations_wrap)
{
	for (unsigned i = 0; i < 2 * TLB_GENERATION_MAX; i++) {
		fill(PAGE, ACCESS_WRITE, TLB_SUPER);
		mmu_flush(m.mmu);
		ck_assert_uint_lt(m.mmu->generation, TLB_GENERATION_MAX);
		ck_assert_ptr_null(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
	}
	fill(PAGE, ACCESS_WRITE, TLB_SUPER);
	for (unsigned i = 0; i < TLB_GENERATION_MAX; i++) {
		mmu_flush(m.mmu);
		ck_assert_ptr_null(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
	}
}
END_TEST

START_TEST(absent_right_never_matches_in_any_generation)
{
	for (unsigned i = 0; i <= TLB_GENERATION_MAX; i++) {
		ck_assert_ptr_null(lookup(~0ull, ACCESS_WRITE, TLB_SUPER));
		mmu_flush(m.mmu);
	}
}
END_TEST

START_TEST(flush_page_drops_one_page_in_all_modes)
{
	for (enum tlb_mode mode = TLB_SUPER; mode < TLB_MODES; mode++)
		fill(PAGE, ACCESS_WRITE, mode);
	fill(PAGE + 0x1000, ACCESS_READ, TLB_SUPER);
	mmu_flush_page(m.mmu, PAGE + 0x123);
	for (enum tlb_mode mode = TLB_SUPER; mode < TLB_MODES; mode++)
		ck_assert_ptr_null(lookup(PAGE, ACCESS_READ, mode));
	ck_assert_ptr_nonnull(lookup(PAGE + 0x1000, ACCESS_READ, TLB_SUPER));
}
END_TEST

START_TEST(flush_page_drops_all_of_a_large_page)
{
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 2) = 0x600000 | PS | PWU;
	fill(GVA, ACCESS_READ, TLB_USER);
	mmu_flush_page(m.mmu, GVA & ~0x1fffffull);
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
}
END_TEST

START_TEST(flush_page_drops_both_halves_of_4_mib)
{
	set_mode(&m, CR0_WP, CR4_PSE, 0);
	*entry32(&m, GVA, 2) = 0x400000 | PS | PWU;
	fill(GVA, ACCESS_READ, TLB_USER);
	mmu_flush_page(m.mmu, GVA ^ 1 << 21);
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
}
END_TEST

START_TEST(flush_page_drops_all_of_1_gib)
{
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 3) = 0 | PS | PWU;
	fill(GVA, ACCESS_READ, TLB_USER);
	mmu_flush_page(m.mmu, GVA ^ 1 << 29 ^ 1 << 12); /* another index, too */
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
}
END_TEST

START_TEST(flush_writes_keeps_the_other_rights)
{
	uint64_t epoch = m.mmu->epoch;

	fill(PAGE, ACCESS_WRITE, TLB_SUPER);
	mmu_flush_writes(m.mmu);
	ck_assert_ptr_null(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
	ck_assert_ptr_nonnull(lookup(PAGE, ACCESS_READ, TLB_SUPER));
	ck_assert_ptr_nonnull(lookup(PAGE, ACCESS_EXEC, TLB_SUPER));
	ck_assert_uint_gt(m.mmu->epoch, epoch);
}
END_TEST

/* ---- Global pages ---- */

/* GVA is global and OTHER is not. */
#define OTHER (GVA + 0x1000)

static void map_global(uint64_t cr4)
{
	map_long(&m, cr4, 0, PWU | G);
	*entry64(&m, OTHER, 1) = (PAGE + 0x1000) | PWU;
	fill(GVA, ACCESS_WRITE, TLB_USER);
	fill(GVA, ACCESS_READ, TLB_SUPER);
	fill(OTHER, ACCESS_WRITE, TLB_USER);
}

static void load_cr3(uint64_t cr3)
{
	m.paging.cr3 = cr3;
	mmu_set_paging(m.mmu, &m.paging);
}

START_TEST(cr3_keeps_global_pages)
{
	uint64_t epoch, epoch_global, epoch_other;

	map_global(CR4_PGE);
	epoch = m.mmu->epoch;
	epoch_global = m.mmu->epoch_global;
	epoch_other = m.mmu->epoch_other;
	load_cr3(PAGE);
	for (enum access access = ACCESS_READ; access <= ACCESS_EXEC; access++)
		ck_assert_ptr_eq(lookup(GVA, access, TLB_USER), m.ram + PAGE);
	ck_assert_ptr_eq(lookup(GVA, ACCESS_READ, TLB_SUPER), m.ram + PAGE);
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_SUPER_AC));
	for (enum access access = ACCESS_READ; access <= ACCESS_EXEC; access++)
		ck_assert_ptr_null(lookup(OTHER, access, TLB_USER));
	ck_assert_uint_gt(m.mmu->epoch, epoch);
	ck_assert_uint_gt(m.mmu->epoch_other, epoch_other);
	ck_assert_uint_eq(m.mmu->epoch_global, epoch_global);
	/* The new tables have no page there. */
	mmu_flush(m.mmu);
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
}
END_TEST

START_TEST(without_pge_no_page_is_global)
{
	map_global(0);
	load_cr3(PAGE);
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
}
END_TEST

START_TEST(pge_flushes_global_pages)
{
	map_global(CR4_PGE);
	m.paging.cr4 &= ~CR4_PGE;
	mmu_set_paging(m.mmu, &m.paging);
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
}
END_TEST

START_TEST(flush_page_drops_global_pages)
{
	uint64_t epoch_global;

	map_global(CR4_PGE);
	epoch_global = m.mmu->epoch_global;
	mmu_flush_page(m.mmu, GVA + 5);
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_SUPER));
	ck_assert_ptr_nonnull(lookup(OTHER, ACCESS_READ, TLB_USER));
	load_cr3(PAGE);
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
	ck_assert_uint_eq(m.mmu->epoch_global, epoch_global);
	ck_assert_uint_eq(m.mmu->page_flushes, 1);
	ck_assert_uint_eq(m.mmu->flushed[0], GVA);
}
END_TEST

START_TEST(flush_page_drops_large_global_pages_after_cr3)
{
	map_long(&m, CR4_PGE, 0, 0);
	*entry64(&m, GVA, 2) = 0x600000 | PS | PWU | G;
	fill(GVA, ACCESS_READ, TLB_USER);
	load_cr3(PAGE);
	ck_assert_ptr_nonnull(lookup(GVA, ACCESS_READ, TLB_USER));
	mmu_flush_page(m.mmu, GVA & ~0x1fffffull);
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
}
END_TEST

START_TEST(page_that_is_no_longer_global_does_not_stay)
{
	map_global(CR4_PGE);
	*entry64(&m, GVA, 1) &= ~G;
	fill(GVA, ACCESS_WRITE, TLB_USER);
	load_cr3(PAGE);
	ck_assert_ptr_null(lookup(GVA, ACCESS_READ, TLB_USER));
	ck_assert_ptr_nonnull(lookup(GVA, ACCESS_READ, TLB_SUPER));
}
END_TEST

START_TEST(global_pages_go_when_generations_wrap)
{
	map_global(CR4_PGE);
	for (unsigned i = 0; i < 2 * TLB_GENERATION_MAX; i++) {
		mmu_flush_other(m.mmu);
		ck_assert_ptr_null(lookup(OTHER, ACCESS_READ, TLB_USER));
		fill(OTHER, ACCESS_READ, TLB_USER);
		ck_assert_uint_lt(m.mmu->generation, TLB_GENERATION_MAX);
	}
}
END_TEST

START_TEST(lost_write_rights_are_a_loss_of_global_pages)
{
	uint64_t epoch_global;

	map_global(CR4_PGE);
	epoch_global = m.mmu->epoch_global;
	mmu_flush_writes(m.mmu);
	ck_assert_uint_gt(m.mmu->epoch_global, epoch_global);
	load_cr3(PAGE);
	ck_assert_ptr_null(lookup(GVA, ACCESS_WRITE, TLB_USER));
	ck_assert_ptr_nonnull(lookup(GVA, ACCESS_READ, TLB_USER));
}
END_TEST

START_TEST(reload_takes_the_new_slots)
{
	fill(PAGE, ACCESS_READ, TLB_SUPER);
	ck_assert_int_eq(set_slot(&m, 0, 0, 0, 0, NULL), 0);
	ck_assert_ptr_null(lookup(PAGE, ACCESS_READ, TLB_SUPER));
	ck_assert_uint_eq(m.mmu->slots->count, 0);
}
END_TEST

/* One bit of the paging state a row. */
static const struct {
	uint64_t cr0, cr3, cr4, efer;
	uint32_t pkru;
} flushing[] = {
	{.cr0 = CR0_WP},   {.cr0 = CR0_PG},   {.cr3 = 0x1000},   {.cr4 = CR4_PAE},
	{.cr4 = CR4_PSE},  {.cr4 = 1 << 7},   {.cr4 = 1 << 17},  {.cr4 = CR4_LA57},
	{.cr4 = CR4_SMEP}, {.cr4 = CR4_SMAP}, {.cr4 = CR4_PKE},  {.efer = EFER_NXE},
	{.efer = EFER_LMA}, {.pkru = 4},
};

START_TEST(change_of_paging_state_flushes)
{
	for (size_t i = 0; i < sizeof(flushing) / sizeof(flushing[0]); i++) {
		uint64_t generation = m.mmu->generation;
		struct paging paging = m.mmu->paging;

		paging.cr0 ^= flushing[i].cr0;
		paging.cr3 ^= flushing[i].cr3;
		paging.cr4 ^= flushing[i].cr4;
		paging.efer ^= flushing[i].efer;
		paging.pkru ^= flushing[i].pkru;
		mmu_set_paging(m.mmu, &paging);
		ck_assert_msg(m.mmu->generation != generation, "row %zu does not flush", i);
	}
}
END_TEST

START_TEST(change_of_a_pdptr_flushes)
{
	uint64_t generation = m.mmu->generation;

	m.paging = m.mmu->paging;
	m.paging.pdptr[3] = 0x5001;
	mmu_set_paging(m.mmu, &m.paging);
	ck_assert_uint_ne(m.mmu->generation, generation);
}
END_TEST

START_TEST(other_bits_do_not_flush)
{
	uint64_t generation = m.mmu->generation;

	m.paging = m.mmu->paging;
	m.paging.cr0 ^= 1 << 3; /* TS */
	m.paging.cr4 ^= 1 << 9; /* OSFXSR */
	m.paging.efer ^= 1;     /* SCE */
	mmu_set_paging(m.mmu, &m.paging);
	ck_assert_uint_eq(m.mmu->generation, generation);
}
END_TEST

/* ---- Code marks ---- */

START_TEST(mark_code_takes_own_write_rights_to_the_page)
{
	uint64_t epoch;

	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA + 0x1000, 1) = (PAGE + 0x1000) | PWU;
	fill(GVA, ACCESS_WRITE, TLB_USER);
	fill(GVA, ACCESS_WRITE, TLB_SUPER);
	fill(GVA + 0x1000, ACCESS_WRITE, TLB_USER);
	epoch = m.mmu->epoch;
	ck_assert(mmu_mark_code(m.mmu, PAGE + 0x20));
	ck_assert_ptr_null(lookup(GVA, ACCESS_WRITE, TLB_USER));
	ck_assert_ptr_null(lookup(GVA, ACCESS_WRITE, TLB_SUPER));
	ck_assert_ptr_nonnull(lookup(GVA, ACCESS_READ, TLB_USER));
	ck_assert_ptr_nonnull(lookup(GVA + 0x1000, ACCESS_WRITE, TLB_USER));
	ck_assert_uint_gt(m.mmu->epoch, epoch);
}
END_TEST

START_TEST(mark_code_revokes_elsewhere_once)
{
	ck_assert(mmu_mark_code(m.mmu, PAGE));
	ck_assert(mmu_mark_code(m.mmu, PAGE + 8));
	ck_assert_uint_eq(m.writes_revoked, 1);
	ck_assert_ptr_eq(m.last_self, m.mmu);
}
END_TEST

START_TEST(mark_code_outside_memory_fails)
{
	ck_assert(!mmu_mark_code(m.mmu, NO_RAM));
}
END_TEST

static struct mmu *second;

static void second_marks_meanwhile(void *opaque, struct mmu *self)
{
	struct machine *machine = opaque;

	/* While the first is still waiting for the rights, the second must not trust its mark. */
	if (++machine->writes_revoked == 1) {
		ck_assert(self != second);
		ck_assert(mmu_mark_code(second, PAGE));
	}
}

START_TEST(mark_in_progress_is_not_trusted)
{
	const struct memory_listener listener = {
		.opaque = &m,
		.writes_revoked = second_marks_meanwhile,
	};
	struct memory *memory = memory_create(&listener);
	struct mmu *first = malloc(sizeof(*first));
	const struct kvm_userspace_memory_region region = {
		.memory_size = RAM_SIZE,
		.userspace_addr = (uintptr_t)m.ram,
	};

	second = malloc(sizeof(*second));
	ck_assert_int_eq(memory_set_region(memory, &region), 0);
	mmu_init(first, memory);
	mmu_init(second, memory);
	ck_assert(mmu_mark_code(first, PAGE));
	ck_assert_uint_eq(m.writes_revoked, 2);
	ck_assert(mmu_mark_code(first, PAGE));
	ck_assert_uint_eq(m.writes_revoked, 2);
	mmu_fini(first);
	mmu_fini(second);
	free(first);
	free(second);
	memory_destroy(memory);
}
END_TEST

START_TEST(write_to_a_code_page_is_reported)
{
	struct mmu_result result;

	ck_assert(mmu_mark_code(m.mmu, PAGE));
	ck_assert_int_eq(translate(&m, PAGE, ACCESS_WRITE, TLB_SUPER, &result), MMU_RAM);
	ck_assert(result.code);
	ck_assert_ptr_null(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
	ck_assert_int_eq(translate(&m, PAGE, ACCESS_READ, TLB_SUPER, &result), MMU_RAM);
	ck_assert(!result.code);
	ck_assert_ptr_null(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
}
END_TEST

START_TEST(code_written_clears_the_mark_and_tells)
{
	struct mmu_result result;

	ck_assert(mmu_mark_code(m.mmu, PAGE));
	translate(&m, PAGE, ACCESS_WRITE, TLB_SUPER, &result);
	mmu_code_written(m.mmu, result.slot, result.gpa);
	ck_assert_uint_eq(m.code_written, 1);
	ck_assert_ptr_eq(m.last_self, m.mmu);
	translate(&m, PAGE, ACCESS_WRITE, TLB_SUPER, &result);
	ck_assert(!result.code);
	ck_assert_ptr_nonnull(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
}
END_TEST

START_TEST(harvest_takes_the_write_right)
{
	uint64_t bitmap[RAM_SIZE / GUEST_PAGE_SIZE / 64];

	ck_assert_int_eq(set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_SIZE, m.ram), 0);
	fill(PAGE, ACCESS_WRITE, TLB_SUPER);
	ck_assert_int_eq(memory_get_dirty_log(m.memory, 0, bitmap, sizeof(bitmap), NULL), 0);
	ck_assert_ptr_null(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
	fill(PAGE, ACCESS_READ, TLB_SUPER);
	ck_assert_ptr_null(lookup(PAGE, ACCESS_WRITE, TLB_SUPER));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		new_tlb_matches_nothing,
		lookup_after_fill_gives_the_host_address,
		modes_are_separate,
		lookup_across_the_page_end_misses,
		lookup_of_a_whole_page_hits,
		read_of_a_clean_page_gives_no_write,
		read_of_a_dirty_page_gives_write,
		write_gives_all_rights,
		exec_right_is_the_modes,
		exec_under_smap_gives_no_read,
		protection_key_leaves_exec_only,
		write_protected_page_gives_no_write,
		read_only_slot_gives_no_write,
		unmarked_page_of_a_logged_slot_gives_no_write,
		watched_page_gives_execute_only,
		flush_drops_everything,
		no_entry_comes_back_when_generations_wrap,
		absent_right_never_matches_in_any_generation,
		flush_page_drops_one_page_in_all_modes,
		flush_page_drops_all_of_a_large_page,
		flush_page_drops_both_halves_of_4_mib,
		flush_page_drops_all_of_1_gib,
		flush_writes_keeps_the_other_rights,
		cr3_keeps_global_pages,
		without_pge_no_page_is_global,
		pge_flushes_global_pages,
		flush_page_drops_global_pages,
		flush_page_drops_large_global_pages_after_cr3,
		page_that_is_no_longer_global_does_not_stay,
		global_pages_go_when_generations_wrap,
		lost_write_rights_are_a_loss_of_global_pages,
		reload_takes_the_new_slots,
		change_of_paging_state_flushes,
		change_of_a_pdptr_flushes,
		other_bits_do_not_flush,
		mark_code_takes_own_write_rights_to_the_page,
		mark_code_revokes_elsewhere_once,
		mark_code_outside_memory_fails,
		mark_in_progress_is_not_trusted,
		write_to_a_code_page_is_reported,
		code_written_clears_the_mark_and_tells,
		harvest_takes_the_write_right,
	};

	return run_suite("tlb", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
