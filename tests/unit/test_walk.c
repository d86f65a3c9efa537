/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mmu_fixture.h"

#include <pthread.h>

static struct machine m;

static void setup(void)
{
	machine_start(&m);
}

static void teardown(void)
{
	machine_stop(&m);
}

#define MODE_PAE() set_mode(&m, CR0_WP, CR4_PAE, 0)
#define MODE_PAE_NX() set_mode(&m, CR0_WP, CR4_PAE, EFER_NXE)

/* ---- Modes ---- */

START_TEST(without_paging_linear_is_physical)
{
	ck_assert_ram(&m, PAGE + 5, ACCESS_WRITE, TLB_USER, PAGE + 5);
}
END_TEST

START_TEST(paging_32bit_maps_a_small_page)
{
	set_mode(&m, CR0_WP, 0, 0);
	*entry32(&m, GVA, 1) = PAGE | PWU;
	ck_assert_ram(&m, GVA + 0x678, ACCESS_READ, TLB_USER, PAGE + 0x678);
}
END_TEST

START_TEST(paging_32bit_ps_is_ignored_without_pse)
{
	set_mode(&m, CR0_WP, 0, 0);
	*entry32(&m, GVA, 1) = PAGE | PWU;
	*entry32(&m, GVA, 2) |= PS;
	ck_assert_ram(&m, GVA, ACCESS_READ, TLB_USER, PAGE);
}
END_TEST

START_TEST(paging_32bit_pse_maps_4_mib)
{
	set_mode(&m, CR0_WP, CR4_PSE, 0);
	*entry32(&m, GVA, 2) = 0x400000 | PS | PWU;
	ck_assert_ram(&m, 0x40123456, ACCESS_READ, TLB_USER, 0x523456);
}
END_TEST

START_TEST(paging_32bit_pse36_reaches_above_4_gib)
{
	struct mmu_result result;

	set_mode(&m, CR0_WP, CR4_PSE, 0);
	*entry32(&m, GVA, 2) = 0x400000 | 0xabu << 13 | PS | PWU;
	ck_assert_int_eq(translate(&m, 0x40123456, ACCESS_READ, TLB_USER, &result), MMU_MMIO);
	ck_assert_uint_eq(result.gpa, 0xab00523456);
}
END_TEST

START_TEST(paging_32bit_pse36_bits_above_maxphyaddr_are_reserved)
{
	m.paging.maxphyaddr = 36;
	set_mode(&m, CR0_WP, CR4_PSE, 0);
	*entry32(&m, GVA, 2) = 1u << 17 | PS | PWU;
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_SUPER, PF_P | PF_RSVD);
}
END_TEST

START_TEST(paging_32bit_pse_bit_21_is_reserved)
{
	set_mode(&m, CR0_WP, CR4_PSE, 0);
	*entry32(&m, GVA, 2) = 1u << 21 | PS | PWU;
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_SUPER, PF_P | PF_RSVD);
}
END_TEST

START_TEST(pae_maps_a_small_page)
{
	MODE_PAE();
	*entry64(&m, GVA, 1) = PAGE | PWU;
	ck_assert_ram(&m, GVA + 1, ACCESS_WRITE, TLB_USER, PAGE + 1);
}
END_TEST

START_TEST(pae_maps_2_mib)
{
	MODE_PAE();
	*entry64(&m, GVA, 2) = 0x400000 | PS | PWU;
	ck_assert_ram(&m, 0x40123456, ACCESS_READ, TLB_USER, 0x523456);
}
END_TEST

START_TEST(pae_takes_the_root_from_the_loaded_pdptrs)
{
	MODE_PAE();
	*entry64(&m, 0xc0123000, 1) = PAGE | PWU;
	ck_assert_ram(&m, 0xc0123000, ACCESS_READ, TLB_USER, PAGE);
}
END_TEST

START_TEST(pae_absent_pdptr_is_not_present)
{
	MODE_PAE();
	*entry64(&m, GVA, 1) = PAGE | PWU;
	m.paging.pdptr[1] &= ~P;
	mmu_set_paging(m.mmu, &m.paging);
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_USER, PF_U);
}
END_TEST

START_TEST(pae_bit_52_is_reserved)
{
	MODE_PAE();
	*entry64(&m, GVA, 1) = PAGE | PWU | 1ull << 52;
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_SUPER, PF_P | PF_RSVD);
}
END_TEST

START_TEST(pae_nx_denies_execution)
{
	MODE_PAE_NX();
	*entry64(&m, GVA, 1) = PAGE | PWU | NX;
	ck_assert_fault(&m, GVA, ACCESS_EXEC, TLB_USER, PF_P | PF_U | PF_I);
}
END_TEST

START_TEST(long_mode_maps_a_small_page)
{
	map_long(&m, 0, 0, PWU);
	ck_assert_ram(&m, GVA + 0xfff, ACCESS_READ, TLB_USER, PAGE + 0xfff);
}
END_TEST

START_TEST(long_mode_uses_all_48_bits)
{
	const uint64_t gva = 0xffffedcba9876000ull;

	map_long(&m, 0, 0, PWU);
	*entry64(&m, gva, 1) = PAGE | PWU;
	ck_assert_ram(&m, gva, ACCESS_READ, TLB_USER, PAGE);
}
END_TEST

START_TEST(long_mode_maps_2_mib)
{
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 2) = 0x600000 | PS | PWU;
	ck_assert_ram(&m, 0x40123456, ACCESS_READ, TLB_USER, 0x723456);
}
END_TEST

START_TEST(long_mode_maps_1_gib)
{
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 3) = 0 | PS | PWU;
	ck_assert_ram(&m, 0x40523456, ACCESS_READ, TLB_USER, 0x523456);
}
END_TEST

START_TEST(long_mode_1_gib_is_reserved_without_the_feature)
{
	m.paging.gbpages = false;
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 3) = 0 | PS | PWU;
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_SUPER, PF_P | PF_RSVD);
}
END_TEST

START_TEST(long_mode_ps_in_the_top_level_is_reserved)
{
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 4) |= PS;
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_SUPER, PF_P | PF_RSVD);
}
END_TEST

START_TEST(long_mode_low_bits_of_a_large_address_are_reserved)
{
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 2) = 0x600000 | 1 << 13 | PS | PWU;
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_SUPER, PF_P | PF_RSVD);
}
END_TEST

START_TEST(long_mode_pat_bits_are_not_reserved)
{
	map_long(&m, 0, 0, PWU | PS);
	ck_assert_ram(&m, GVA, ACCESS_READ, TLB_SUPER, PAGE);
	*entry64(&m, GVA + (1 << 21), 2) = 0x600000 | 1 << 12 | PS | PWU;
	ck_assert_ram(&m, GVA + (1 << 21), ACCESS_READ, TLB_SUPER, 0x723000);
}
END_TEST

START_TEST(long_mode_bit_at_maxphyaddr_is_reserved)
{
	map_long(&m, 0, 0, PWU | 1ull << 40);
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_USER, PF_P | PF_W | PF_U | PF_RSVD);
}
END_TEST

START_TEST(long_mode_bit_below_maxphyaddr_is_an_address)
{
	struct mmu_result result;

	map_long(&m, 0, 0, PWU | 1ull << 39);
	ck_assert_int_eq(translate(&m, GVA, ACCESS_READ, TLB_USER, &result), MMU_MMIO);
	ck_assert_uint_eq(result.gpa, PAGE | 1ull << 39);
}
END_TEST

START_TEST(long_mode_bits_62_to_52_are_ignored)
{
	map_long(&m, 0, 0, PWU | 0x7ffull << 52);
	ck_assert_ram(&m, GVA, ACCESS_READ, TLB_USER, PAGE);
}
END_TEST

START_TEST(reserved_bits_of_an_absent_entry_do_not_count)
{
	map_long(&m, 0, 0, 1ull << 45);
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_SUPER, 0);
}
END_TEST

START_TEST(five_levels_use_57_bits)
{
	const uint64_t gva = 0x00edcba987654000ull;

	set_mode(&m, CR0_WP, CR4_PAE | CR4_LA57, EFER_LMA);
	*entry64(&m, gva, 1) = PAGE | PWU;
	ck_assert_ram(&m, gva, ACCESS_READ, TLB_USER, PAGE);
	ck_assert_fault(&m, gva ^ 1ull << 56, ACCESS_READ, TLB_USER, PF_U);
}
END_TEST

START_TEST(pcid_in_cr3_is_no_address)
{
	map_long(&m, 0, 0, PWU);
	m.paging.cr3 |= 0xfff;
	mmu_set_paging(m.mmu, &m.paging);
	ck_assert_ram(&m, GVA, ACCESS_READ, TLB_USER, PAGE);
}
END_TEST

START_TEST(page_table_outside_memory_is_not_present)
{
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 2) = NO_RAM | PWU;
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_SUPER, PF_W);
}
END_TEST

START_TEST(page_table_on_a_missing_host_page_is_a_host_fault)
{
	struct mmu_result result;

	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 2) = 0x700000 | PWU;
	munmap(m.ram + 0x700000, GUEST_PAGE_SIZE);
	ck_assert_int_eq(translate(&m, GVA, ACCESS_READ, TLB_USER, &result), MMU_HOST_FAULT);
	ck_assert_uint_eq(result.gpa, 0x700000 + (GVA >> 12 & 511) * 8);
}
END_TEST

/* ---- Rights ---- */

START_TEST(absent_page_reports_the_access)
{
	map_long(&m, 0, 0, 0);
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_SUPER, 0);
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_SUPER, PF_W);
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_USER, PF_W | PF_U);
	ck_assert_fault(&m, GVA, ACCESS_EXEC, TLB_USER, PF_U);
}
END_TEST

START_TEST(fetch_is_reported_with_nxe)
{
	map_long(&m, 0, EFER_NXE, 0);
	ck_assert_fault(&m, GVA, ACCESS_EXEC, TLB_USER, PF_U | PF_I);
}
END_TEST

START_TEST(fetch_is_reported_with_smep)
{
	map_long(&m, CR4_SMEP, 0, 0);
	ck_assert_fault(&m, GVA, ACCESS_EXEC, TLB_USER, PF_U | PF_I);
}
END_TEST

START_TEST(nxe_without_pae_does_not_report_fetch)
{
	set_mode(&m, CR0_WP, 0, EFER_NXE);
	ck_assert_fault(&m, GVA, ACCESS_EXEC, TLB_USER, PF_U);
}
END_TEST

START_TEST(user_may_not_touch_a_supervisor_page)
{
	map_long(&m, 0, 0, P | W);
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_USER, PF_P | PF_U);
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_SUPER, PAGE);
}
END_TEST

START_TEST(user_right_needs_all_levels)
{
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 3) &= ~U;
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_USER, PF_P | PF_U);
}
END_TEST

START_TEST(write_right_needs_all_levels)
{
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 2) &= ~W;
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_USER, PF_P | PF_W | PF_U);
}
END_TEST

START_TEST(wp_stops_the_supervisor)
{
	map_long(&m, 0, 0, P | U);
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_SUPER, PF_P | PF_W);
}
END_TEST

START_TEST(without_wp_the_supervisor_writes_anywhere)
{
	set_mode(&m, 0, CR4_PAE, EFER_LMA);
	*entry64(&m, GVA, 1) = PAGE | P | U;
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_SUPER, PAGE);
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_USER, PF_P | PF_W | PF_U);
}
END_TEST

START_TEST(nx_at_any_level_denies_execution_only)
{
	map_long(&m, 0, EFER_NXE, PWU);
	*entry64(&m, GVA, 3) |= NX;
	ck_assert_fault(&m, GVA, ACCESS_EXEC, TLB_SUPER, PF_P | PF_I);
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_SUPER, PAGE);
}
END_TEST

START_TEST(nx_is_reserved_without_nxe)
{
	map_long(&m, 0, 0, PWU | NX);
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_SUPER, PF_P | PF_RSVD);
}
END_TEST

START_TEST(smep_stops_supervisor_execution_of_user_pages)
{
	map_long(&m, CR4_SMEP, 0, PWU);
	ck_assert_fault(&m, GVA, ACCESS_EXEC, TLB_SUPER, PF_P | PF_I);
	ck_assert_ram(&m, GVA, ACCESS_EXEC, TLB_USER, PAGE);
}
END_TEST

START_TEST(smap_stops_supervisor_data_access_to_user_pages)
{
	map_long(&m, CR4_SMAP, 0, PWU);
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_SUPER, PF_P);
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_SUPER, PF_P | PF_W);
	ck_assert_ram(&m, GVA, ACCESS_EXEC, TLB_SUPER, PAGE);
	ck_assert_ram(&m, GVA, ACCESS_READ, TLB_USER, PAGE);
}
END_TEST

START_TEST(smap_lets_access_with_ac_through)
{
	map_long(&m, CR4_SMAP, 0, PWU);
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_SUPER_AC, PAGE);
}
END_TEST

START_TEST(smap_does_not_concern_supervisor_pages)
{
	map_long(&m, CR4_SMAP, 0, P | W);
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_SUPER, PAGE);
}
END_TEST

START_TEST(pkru_access_disable_stops_data_access)
{
	m.paging.pkru = 1u << 2 * 5;
	map_long(&m, CR4_PKE, 0, PWU | 5ull << 59);
	ck_assert_fault(&m, GVA, ACCESS_READ, TLB_USER, PF_P | PF_U | PF_PK);
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_SUPER, PF_P | PF_W | PF_PK);
	ck_assert_ram(&m, GVA, ACCESS_EXEC, TLB_USER, PAGE);
}
END_TEST

START_TEST(pkru_write_disable_stops_writes)
{
	m.paging.pkru = 2u << 2 * 5;
	map_long(&m, CR4_PKE, 0, PWU | 5ull << 59);
	ck_assert_ram(&m, GVA, ACCESS_READ, TLB_USER, PAGE);
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_USER, PF_P | PF_W | PF_U | PF_PK);
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_SUPER, PF_P | PF_W | PF_PK);
}
END_TEST

START_TEST(pkru_write_disable_spares_the_supervisor_without_wp)
{
	m.paging.pkru = 2u << 2 * 5;
	set_mode(&m, 0, CR4_PAE | CR4_PKE, EFER_LMA);
	*entry64(&m, GVA, 1) = PAGE | PWU | 5ull << 59;
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_SUPER, PAGE);
}
END_TEST

START_TEST(pkru_does_not_concern_supervisor_pages)
{
	m.paging.pkru = ~0u;
	map_long(&m, CR4_PKE, 0, P | W | 5ull << 59);
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_SUPER, PAGE);
}
END_TEST

START_TEST(pkru_without_pke_does_nothing)
{
	m.paging.pkru = ~0u;
	map_long(&m, 0, 0, PWU | 5ull << 59);
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_USER, PAGE);
}
END_TEST

/* ---- Accessed and dirty ---- */

START_TEST(read_sets_accessed_at_all_levels)
{
	map_long(&m, 0, 0, PWU);
	ck_assert_ram(&m, GVA, ACCESS_READ, TLB_USER, PAGE);
	for (unsigned level = 1; level <= 4; level++)
		ck_assert_uint_eq(*entry64(&m, GVA, level) & (A | D), A);
}
END_TEST

START_TEST(write_sets_dirty_in_the_leaf_only)
{
	map_long(&m, 0, 0, PWU);
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_USER, PAGE);
	ck_assert_uint_eq(*entry64(&m, GVA, 1) & (A | D), A | D);
	ck_assert_uint_eq(*entry64(&m, GVA, 2) & (A | D), A);
}
END_TEST

START_TEST(write_sets_dirty_in_a_large_leaf)
{
	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 2) = 0x600000 | PS | PWU;
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_USER, 0x723000);
	ck_assert_uint_eq(*entry64(&m, GVA, 2), 0x600000 | PS | PWU | A | D);
}
END_TEST

START_TEST(entries_of_32_bits_keep_their_neighbours)
{
	set_mode(&m, CR0_WP, 0, 0);
	entry32(&m, GVA, 1)[0] = PAGE | PWU;
	entry32(&m, GVA, 1)[1] = 0x5a5a5a5a;
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_USER, PAGE);
	ck_assert_uint_eq(entry32(&m, GVA, 1)[0], PAGE | PWU | A | D);
	ck_assert_uint_eq(entry32(&m, GVA, 1)[1], 0x5a5a5a5a);
}
END_TEST

START_TEST(refused_access_sets_nothing)
{
	map_long(&m, 0, 0, P | U);
	ck_assert_fault(&m, GVA, ACCESS_WRITE, TLB_USER, PF_P | PF_W | PF_U);
	for (unsigned level = 1; level <= 4; level++)
		ck_assert_uint_eq(*entry64(&m, GVA, level) & (A | D), 0);
}
END_TEST

START_TEST(accessed_bit_marks_the_table_dirty)
{
	uint64_t bitmap[RAM_SIZE / GUEST_PAGE_SIZE / 64], page;

	map_long(&m, 0, 0, PWU);
	ck_assert_int_eq(set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_SIZE, m.ram), 0);
	ck_assert_ram(&m, GVA, ACCESS_READ, TLB_USER, PAGE);
	ck_assert_int_eq(memory_get_dirty_log(m.memory, 0, bitmap, sizeof(bitmap), NULL), 0);
	page = ((uint8_t *)entry64(&m, GVA, 1) - m.ram) / GUEST_PAGE_SIZE;
	ck_assert(bitmap[page / 64] >> page % 64 & 1);
}
END_TEST

START_TEST(accessed_bit_in_a_code_page_is_told)
{
	map_long(&m, 0, 0, PWU);
	ck_assert(mmu_mark_code(m.mmu, TABLES));
	ck_assert_ram(&m, GVA, ACCESS_READ, TLB_USER, PAGE);
	ck_assert_uint_eq(m.code_written, 1);
}
END_TEST

START_TEST(tables_in_rom_are_walked_and_stay_as_they_are)
{
	uint64_t *rom = host_pages(GUEST_PAGE_SIZE);

	map_long(&m, 0, 0, PWU);
	rom[GVA >> 12 & 511] = PAGE | PWU;
	mprotect(rom, GUEST_PAGE_SIZE, PROT_READ);
	ck_assert_int_eq(set_slot(&m, 1, KVM_MEM_READONLY, NO_RAM, GUEST_PAGE_SIZE, rom), 0);
	*entry64(&m, GVA, 2) = NO_RAM | PWU;
	ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_USER, PAGE);
	ck_assert_uint_eq(rom[GVA >> 12 & 511], PAGE | PWU);
	ck_assert_ptr_null(mmu_lookup(m.mmu, GVA, 1, ACCESS_WRITE, TLB_USER));
}
END_TEST

static void *toggle_neighbour_bits(void *argument)
{
	_Atomic(uint64_t) *entry = argument;

	/* Bit 9 is software's; the toggling must never lose an A or D bit, nor be lost. */
	for (unsigned i = 0; i < 200000; i++)
		atomic_fetch_xor(entry, 1 << 9);
	return NULL;
}

START_TEST(accessed_and_dirty_are_set_atomically)
{
	uint64_t *entry;
	pthread_t other;

	map_long(&m, 0, 0, PWU);
	entry = entry64(&m, GVA, 1);
	ck_assert_int_eq(pthread_create(&other, NULL, toggle_neighbour_bits, entry), 0);
	for (unsigned i = 0; i < 100000; i++) {
		atomic_fetch_and((_Atomic(uint64_t) *)entry, ~(A | D));
		ck_assert_ram(&m, GVA, ACCESS_WRITE, TLB_USER, PAGE);
		ck_assert_uint_eq(atomic_load((_Atomic(uint64_t) *)entry) & (A | D), A | D);
	}
	pthread_join(other, NULL);
	ck_assert_uint_eq(*entry & 1 << 9, 0);
}
END_TEST

/* ---- Where the page lies ---- */

START_TEST(no_slot_is_mmio)
{
	struct mmu_result result;

	map_long(&m, 0, 0, PWU);
	*entry64(&m, GVA, 1) = NO_RAM | PWU;
	ck_assert_int_eq(translate(&m, GVA + 8, ACCESS_WRITE, TLB_USER, &result), MMU_MMIO);
	ck_assert_uint_eq(result.gpa, NO_RAM + 8);
	ck_assert_uint_eq(*entry64(&m, GVA, 1), NO_RAM | PWU | A | D);
}
END_TEST

START_TEST(write_to_a_read_only_slot_is_mmio)
{
	uint8_t *rom = host_pages(GUEST_PAGE_SIZE);
	struct mmu_result result;

	ck_assert_int_eq(set_slot(&m, 1, KVM_MEM_READONLY, NO_RAM, GUEST_PAGE_SIZE, rom), 0);
	ck_assert_int_eq(translate(&m, NO_RAM + 4, ACCESS_WRITE, TLB_SUPER, &result), MMU_MMIO);
	ck_assert_uint_eq(result.gpa, NO_RAM + 4);
	ck_assert_int_eq(translate(&m, NO_RAM + 4, ACCESS_READ, TLB_SUPER, &result), MMU_RAM);
	ck_assert_ptr_eq(result.hva, rom + 4);
}
END_TEST

/* ---- Probe ---- */

START_TEST(probe_tells_address_and_rights_without_side_effects)
{
	bool writable, user;
	uint64_t gpa;

	map_long(&m, CR4_SMAP, 0, P | U);
	ck_assert(mmu_probe(m.mmu, GVA + 3, &gpa, &writable, &user));
	ck_assert_uint_eq(gpa, PAGE + 3);
	ck_assert(!writable);
	ck_assert(user);
	ck_assert_uint_eq(*entry64(&m, GVA, 1), PAGE | P | U);
}
END_TEST

START_TEST(probe_of_an_absent_page_fails)
{
	bool writable, user;
	uint64_t gpa;

	map_long(&m, 0, 0, 0);
	ck_assert(!mmu_probe(m.mmu, GVA, &gpa, &writable, &user));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		without_paging_linear_is_physical,
		paging_32bit_maps_a_small_page,
		paging_32bit_ps_is_ignored_without_pse,
		paging_32bit_pse_maps_4_mib,
		paging_32bit_pse36_reaches_above_4_gib,
		paging_32bit_pse36_bits_above_maxphyaddr_are_reserved,
		paging_32bit_pse_bit_21_is_reserved,
		pae_maps_a_small_page,
		pae_maps_2_mib,
		pae_takes_the_root_from_the_loaded_pdptrs,
		pae_absent_pdptr_is_not_present,
		pae_bit_52_is_reserved,
		pae_nx_denies_execution,
		long_mode_maps_a_small_page,
		long_mode_uses_all_48_bits,
		long_mode_maps_2_mib,
		long_mode_maps_1_gib,
		long_mode_1_gib_is_reserved_without_the_feature,
		long_mode_ps_in_the_top_level_is_reserved,
		long_mode_low_bits_of_a_large_address_are_reserved,
		long_mode_pat_bits_are_not_reserved,
		long_mode_bit_at_maxphyaddr_is_reserved,
		long_mode_bit_below_maxphyaddr_is_an_address,
		long_mode_bits_62_to_52_are_ignored,
		reserved_bits_of_an_absent_entry_do_not_count,
		five_levels_use_57_bits,
		pcid_in_cr3_is_no_address,
		page_table_outside_memory_is_not_present,
		page_table_on_a_missing_host_page_is_a_host_fault,
		absent_page_reports_the_access,
		fetch_is_reported_with_nxe,
		fetch_is_reported_with_smep,
		nxe_without_pae_does_not_report_fetch,
		user_may_not_touch_a_supervisor_page,
		user_right_needs_all_levels,
		write_right_needs_all_levels,
		wp_stops_the_supervisor,
		without_wp_the_supervisor_writes_anywhere,
		nx_at_any_level_denies_execution_only,
		nx_is_reserved_without_nxe,
		smep_stops_supervisor_execution_of_user_pages,
		smap_stops_supervisor_data_access_to_user_pages,
		smap_lets_access_with_ac_through,
		smap_does_not_concern_supervisor_pages,
		pkru_access_disable_stops_data_access,
		pkru_write_disable_stops_writes,
		pkru_write_disable_spares_the_supervisor_without_wp,
		pkru_does_not_concern_supervisor_pages,
		pkru_without_pke_does_nothing,
		read_sets_accessed_at_all_levels,
		write_sets_dirty_in_the_leaf_only,
		write_sets_dirty_in_a_large_leaf,
		entries_of_32_bits_keep_their_neighbours,
		refused_access_sets_nothing,
		accessed_bit_marks_the_table_dirty,
		accessed_bit_in_a_code_page_is_told,
		tables_in_rom_are_walked_and_stay_as_they_are,
		accessed_and_dirty_are_set_atomically,
		no_slot_is_mmio,
		write_to_a_read_only_slot_is_mmio,
		probe_tells_address_and_rights_without_side_effects,
		probe_of_an_absent_page_fails,
	};

	return run_suite("walk", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
