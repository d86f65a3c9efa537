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

void mmu_flush(struct mmu *mmu)
{
	mmu->epoch++;
	if (++mmu->generation == TLB_GENERATION_MAX) {
		tlb_clear(mmu);
		mmu->generation = 0;
	}
	memset(mmu->large_2m, 0, sizeof(mmu->large_2m));
	mmu->large_1g = 0;
}

void mmu_reload_slots(struct mmu *mmu)
{
	memslots_put(mmu->slots);
	mmu->slots = memory_slots_get(mmu->memory);
	mmu->last_slot = NULL;
	mmu_flush(mmu);
}

static bool tlb_may_have_large(const struct mmu *mmu, uint64_t gva)
{
	uint64_t region = gva >> 21;

	return (mmu->large_2m[region / 64 % 16] >> region % 64 & 1) ||
	       (mmu->large_1g >> (gva >> 30) % 64 & 1);
}

static void tlb_note_large(struct mmu *mmu, uint64_t gva, unsigned page_shift)
{
	uint64_t region = gva >> 21;

	if (page_shift == 30) {
		mmu->large_1g |= 1ull << (gva >> 30) % 64;
		return;
	}
	mmu->large_2m[region / 64 % 16] |= 1ull << region % 64;
	if (page_shift == 22) {
		region ^= 1;
		mmu->large_2m[region / 64 % 16] |= 1ull << region % 64;
	}
}

void mmu_flush_page(struct mmu *mmu, uint64_t gva)
{
	if (tlb_may_have_large(mmu, gva)) {
		mmu_flush(mmu);
		return;
	}
	for (unsigned mode = 0; mode < TLB_MODES; mode++)
		*tlb_entry_of(mmu, mode, gva) = no_entry;
	mmu->epoch++;
}

void mmu_flush_writes(struct mmu *mmu)
{
	for (unsigned mode = 0; mode < TLB_MODES; mode++)
		for (unsigned i = 0; i < TLB_SIZE; i++)
			mmu->tlb[mode][i].write = TLB_NONE;
	mmu->epoch++;
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
}

/* ---- Entries -------------------------------------------------------------------------------- */

/*
 * All rights are new: what the entry had for the same page was given by older page tables, and
 * these say the same or the guest is about to flush.
 */
void tlb_fill(struct mmu *mmu, enum tlb_mode mode, uint64_t gva, const uint8_t *hva,
	      unsigned rights, unsigned page_shift)
{
	const uint64_t page = gva & GUEST_PAGE_MASK, tag = page | mmu->generation;
	struct tlb_entry *entry = tlb_entry_of(mmu, mode, gva);

	for (unsigned i = 0; i < mmu->watches; i++)
		if (mmu->watch[i] == page)
			rights &= RIGHT_EXEC;

	entry->read = rights & RIGHT_READ ? tag : TLB_NONE;
	entry->write = rights & RIGHT_WRITE ? tag : TLB_NONE;
	entry->exec = rights & RIGHT_EXEC ? tag : TLB_NONE;
	entry->addend = (uintptr_t)hva - gva;
	if (page_shift > GUEST_PAGE_SHIFT)
		tlb_note_large(mmu, gva, page_shift);
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
	if (!((old.cr0 ^ paging->cr0) & CR0_FLUSH) && old.cr3 == paging->cr3 &&
	    !((old.cr4 ^ paging->cr4) & CR4_FLUSH) && !((old.efer ^ paging->efer) & EFER_FLUSH) &&
	    old.pkru == paging->pkru && old.maxphyaddr == paging->maxphyaddr &&
	    old.gbpages == paging->gbpages &&
	    !memcmp(old.pdptr, paging->pdptr, sizeof(old.pdptr)))
		return;
	walk_plan_make(mmu);
	mmu_flush(mmu);
}
