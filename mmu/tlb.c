/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software TLB.
 *
 * A valid tag carries the current generation, so a flush only advances it. When the generations run
 * out, every entry is cleared before the first one is used again.
 */
#include "mmu/internal.h"

#include <string.h>

static const struct tlb_entry no_entry = {.read = TLB_NONE, .write = TLB_NONE, .exec = TLB_NONE};

static struct tlb_entry *tlb_entry_of(struct mmu *mmu, unsigned mode, uint64_t gva)
{
	return &mmu->tlb[mode][(gva >> GUEST_PAGE_SHIFT) & (TLB_SIZE - 1)];
}

static void tlb_clear(struct mmu *mmu)
{
	for (unsigned mode = 0; mode < TLB_MODES; mode++)
		for (unsigned i = 0; i < TLB_SIZE; i++)
			mmu->tlb[mode][i] = no_entry;
}

int mmu_init(struct mmu *mmu, struct memory *memory)
{
	memset(mmu, 0, sizeof(*mmu));
	tlb_clear(mmu);
	mmu->memory = memory;
	mmu->slots = memory_slots_get(memory);
	mmu->a20_mask = ~0ull;
	mmu->paging.maxphyaddr = 46;
	walk_plan_make(mmu);
	return 0;
}

void mmu_fini(struct mmu *mmu)
{
	memslots_put(mmu->slots);
	mmu->slots = NULL;
	mmu->last_slot = NULL;
}

/* ---- Flushes -------------------------------------------------------------------------------- */

static void tlb_next_generation(struct mmu *mmu)
{
	if (++mmu->generation == TLB_GENERATION_MAX) {
		tlb_clear(mmu);
		mmu->generation = 0;
	}
}

void mmu_flush(struct mmu *mmu)
{
	mmu->epoch++;
	mmu->epoch_global++;
	tlb_next_generation(mmu);
	memset(mmu->large, 0, sizeof(mmu->large));
}

/* A tag of generation @old, if it is one, becomes one of the present generation. */
static bool tag_renew(uint64_t *tag, uint64_t old, uint64_t generation)
{
	if ((*tag & ~GUEST_PAGE_MASK) != old)
		return false;
	*tag ^= old ^ generation;
	return true;
}

static bool tlb_entry_renew(struct tlb_entry *entry, uint64_t old, uint64_t generation)
{
	bool read = tag_renew(&entry->read, old, generation);
	bool write = tag_renew(&entry->write, old, generation);
	bool exec = tag_renew(&entry->exec, old, generation);

	return read || write || exec;
}

void mmu_flush_other(struct mmu *mmu)
{
	const uint64_t old = mmu->generation;

	mmu->epoch++;
	mmu->epoch_other++;
	tlb_next_generation(mmu);
	memset(mmu->large[0], 0, sizeof(mmu->large[0]));
	for (unsigned mode = 0; mode < TLB_MODES; mode++) {
		for (unsigned word = 0; word < TLB_SIZE / 64; word++) {
			uint64_t *bits = &mmu->global[mode][word];

			for (uint64_t left = *bits; left; left &= left - 1) {
				const unsigned i = __builtin_ctzll(left);

				if (!tlb_entry_renew(&mmu->tlb[mode][word * 64 + i], old,
						     mmu->generation))
					*bits &= ~(1ull << i);
			}
		}
	}
}

void mmu_reload_slots(struct mmu *mmu)
{
	memslots_put(mmu->slots);
	mmu->slots = memory_slots_get(mmu->memory);
	mmu->last_slot = NULL;
	mmu_flush(mmu);
}

static bool tlb_may_have_large(const struct tlb_large *large, uint64_t gva)
{
	uint64_t region = gva >> 21;

	return (large->region_2m[region / 64 % 16] >> region % 64 & 1) ||
	       (large->region_1g >> (gva >> 30) % 64 & 1);
}

static void tlb_note_large(struct tlb_large *large, uint64_t gva, unsigned page_shift)
{
	uint64_t region = gva >> 21;

	if (page_shift == 30) {
		large->region_1g |= 1ull << (gva >> 30) % 64;
		return;
	}
	large->region_2m[region / 64 % 16] |= 1ull << region % 64;
	if (page_shift == 22) {
		region ^= 1;
		large->region_2m[region / 64 % 16] |= 1ull << region % 64;
	}
}

void mmu_flush_page(struct mmu *mmu, uint64_t gva)
{
	if (tlb_may_have_large(&mmu->large[0][gva >> 63], gva) ||
	    tlb_may_have_large(&mmu->large[1][gva >> 63], gva)) {
		mmu_flush(mmu);
		return;
	}
	for (unsigned mode = 0; mode < TLB_MODES; mode++)
		*tlb_entry_of(mmu, mode, gva) = no_entry;
	mmu->epoch++;
	mmu->flushed[mmu->page_flushes++ % MMU_FLUSHED] = gva & GUEST_PAGE_MASK;
}

void mmu_flush_writes(struct mmu *mmu)
{
	for (unsigned mode = 0; mode < TLB_MODES; mode++)
		for (unsigned i = 0; i < TLB_SIZE; i++)
			mmu->tlb[mode][i].write = TLB_NONE;
	mmu->epoch++;
	mmu->epoch_global++;
}

void tlb_drop_writes_to(struct mmu *mmu, const uint8_t *hva)
{
	for (unsigned mode = 0; mode < TLB_MODES; mode++) {
		for (unsigned i = 0; i < TLB_SIZE; i++) {
			struct tlb_entry *entry = &mmu->tlb[mode][i];

			if ((entry->write & GUEST_PAGE_MASK) + entry->addend == (uintptr_t)hva)
				entry->write = TLB_NONE;
		}
	}
	mmu->epoch++;
	mmu->epoch_global++;
}

/* ---- Entries -------------------------------------------------------------------------------- */

/*
 * All rights are new: what the entry had for the same page was given by older page tables, and
 * these say the same or the guest is about to flush.
 */
void tlb_fill(struct mmu *mmu, enum tlb_mode mode, uint64_t gva, const uint8_t *hva,
	      unsigned rights, const struct tlb_page *page)
{
	const uint64_t linear = gva & GUEST_PAGE_MASK, tag = linear | mmu->generation;
	struct tlb_entry *entry = tlb_entry_of(mmu, mode, gva);
	const unsigned i = entry - mmu->tlb[mode];

	for (unsigned n = 0; n < mmu->watches; n++)
		if (mmu->watch[n] == linear)
			rights &= RIGHT_EXEC;

	entry->read = rights & RIGHT_READ ? tag : TLB_NONE;
	entry->write = rights & RIGHT_WRITE ? tag : TLB_NONE;
	entry->exec = rights & RIGHT_EXEC ? tag : TLB_NONE;
	entry->addend = (uintptr_t)hva - gva;
	if (page->global)
		mmu->global[mode][i / 64] |= 1ull << i % 64;
	else
		mmu->global[mode][i / 64] &= ~(1ull << i % 64);
	if (page->shift > GUEST_PAGE_SHIFT)
		tlb_note_large(&mmu->large[page->global][gva >> 63], gva, page->shift);
	mmu->fills++;
}

static bool tag_leads_to(const struct mmu *mmu, const struct tlb_entry *entry, uint64_t tag,
			 uint64_t host_page)
{
	return (tag & ~GUEST_PAGE_MASK) == mmu->generation &&
	       (tag & GUEST_PAGE_MASK) + entry->addend == host_page;
}

unsigned tlb_find(const struct mmu *mmu, const uint8_t *hva, uint64_t *gva)
{
	const uint64_t host_page = (uintptr_t)hva & GUEST_PAGE_MASK;
	unsigned found = 0;

	for (unsigned i = 0; i < TLB_MODES * TLB_SIZE; i++) {
		const struct tlb_entry *entry = &mmu->tlb[i / TLB_SIZE][i % TLB_SIZE];
		uint64_t page = host_page - entry->addend;

		if (!tag_leads_to(mmu, entry, entry->read, host_page) &&
		    !tag_leads_to(mmu, entry, entry->write, host_page) &&
		    !tag_leads_to(mmu, entry, entry->exec, host_page))
			continue;
		if (!found || page != *gva)
			found++;
		*gva = page;
	}
	return found;
}

/* ---- Paging state --------------------------------------------------------------------------- */

#define CR0_FLUSH (1ull << 31 | 1ull << 16) /* PG, WP */
/* PSE, PAE, PGE, LA57, PCIDE, SMEP, SMAP, PKE */
#define CR4_FLUSH                                                                                  \
	(1ull << 4 | 1ull << 5 | 1ull << 7 | 1ull << 12 | 1ull << 17 | 1ull << 20 | 1ull << 21 |   \
	 1ull << 22)
#define EFER_FLUSH (1ull << 10 | 1ull << 11) /* LMA, NXE */

void mmu_set_paging(struct mmu *mmu, const struct paging *paging)
{
	const struct paging old = mmu->paging;

	mmu->paging = *paging;
	if ((old.cr0 ^ paging->cr0) & CR0_FLUSH || (old.cr4 ^ paging->cr4) & CR4_FLUSH ||
	    (old.efer ^ paging->efer) & EFER_FLUSH || old.pkru != paging->pkru ||
	    old.maxphyaddr != paging->maxphyaddr || old.gbpages != paging->gbpages) {
		walk_plan_make(mmu);
		mmu_flush(mmu);
	} else if (old.cr3 != paging->cr3 || memcmp(old.pdptr, paging->pdptr, sizeof(old.pdptr))) {
		walk_plan_make(mmu);
		mmu_flush_other(mmu);
	}
}
