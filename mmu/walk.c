/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page walk: one for all modes, driven by struct paging_plan. Intel SDM volume 3, chapter 4. */
#include "mmu/internal.h"

#include "util/guard.h"

#include <string.h>

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

#define ENTRY_P (1ull << 0)
#define ENTRY_W (1ull << 1)
#define ENTRY_U (1ull << 2)
#define ENTRY_A (1ull << 5)
#define ENTRY_D (1ull << 6)
#define ENTRY_PS (1ull << 7)
#define ENTRY_G (1ull << 8)
#define ENTRY_NX (1ull << 63)
#define ENTRY_ADDRESS 0x000ffffffffff000ull
#define ENTRY_KEY(entry) ((entry) >> 59 & 15)

#define PF_P (1u << 0)
#define PF_W (1u << 1)
#define PF_U (1u << 2)
#define PF_RSVD (1u << 3)
#define PF_I (1u << 4)
#define PF_PK (1u << 5)

#define LEVELS_MAX 5

/* Bits @high..@low; none when @high is below @low. */
static uint64_t bits(int high, int low)
{
	return high < low ? 0 : (~0ull >> (63 - high)) & (~0ull << low);
}

/* ---- The plan ------------------------------------------------------------------------------- */

/* Section 4.3: 4 KiB pages, and 4 MiB ones with CR4.PSE whose address reaches up to bit 39. */
static void plan_32bit(struct paging_plan *plan, const struct paging *paging)
{
	int physical = paging->maxphyaddr < 40 ? paging->maxphyaddr : 40;

	plan->levels = 2;
	plan->entry_shift = 2;
	plan->index_bits = 10;
	plan->root = paging->cr3 & 0xfffff000;
	if (paging->cr4 & CR4_PSE) {
		plan->large = 1 << 2;
		plan->reserved[1][2] = bits(21, 21) | bits(20, physical - 19);
	}
}

/* Sections 4.4 and 4.5: PAE, 4-level and 5-level paging share the format of their entries. */
static void plan_64bit_entries(struct paging_plan *plan, const struct paging *paging)
{
	bool long_mode = paging->efer & EFER_LMA;
	/* Bits 62:52 are ignored in long mode only. */
	uint64_t common = bits(long_mode ? 51 : 62, paging->maxphyaddr);

	plan->entry_shift = 3;
	plan->index_bits = 9;
	if (long_mode) {
		plan->levels = paging->cr4 & CR4_LA57 ? 5 : 4;
		plan->root = paging->cr3 & ENTRY_ADDRESS & bits(paging->maxphyaddr - 1, 0);
	} else {
		plan->levels = 2;
		plan->pdptrs = true;
	}
	plan->large = 1 << 2 | (long_mode && paging->gbpages ? 1 << 3 : 0);
	if (!(paging->efer & EFER_NXE))
		common |= ENTRY_NX;
	for (unsigned level = 1; level <= plan->levels; level++) {
		plan->reserved[0][level] = common;
		plan->reserved[1][level] = common | bits(11 + 9 * (level - 1), 13);
		/* PS that maps no page is reserved, except that a level 1 entry has PAT there. */
		if (level > 1 && !(plan->large >> level & 1))
			plan->reserved[0][level] |= ENTRY_PS;
	}
}

void walk_plan_make(struct mmu *mmu)
{
	const struct paging *paging = &mmu->paging;
	struct paging_plan *plan = &mmu->plan;
	bool nx = (paging->cr4 & CR4_PAE) && (paging->efer & EFER_NXE);

	memset(plan, 0, sizeof(*plan));
	if (!(paging->cr0 & CR0_PG))
		return;
	if (paging->cr4 & CR4_PAE)
		plan_64bit_entries(plan, paging);
	else
		plan_32bit(plan, paging);
	plan->wp = paging->cr0 & CR0_WP;
	plan->pge = paging->cr4 & CR4_PGE;
	plan->smep = paging->cr4 & CR4_SMEP;
	plan->smap = paging->cr4 & CR4_SMAP;
	plan->pke = (paging->cr4 & CR4_PKE) && (paging->efer & EFER_LMA);
	plan->report_fetch = plan->smep || nx;
}

/* ---- Down the levels ------------------------------------------------------------------------ */

struct walk_step {
	void *entry; /* in host memory */
	const struct memslot *slot;
	uint64_t gpa;
	uint64_t value;
};

struct walk {
	struct walk_step step[LEVELS_MAX]; /* from the root down */
	unsigned steps;
	unsigned page_shift;
	uint64_t gpa;     /* of the entry being accessed; in the end, of the byte asked for */
	uint64_t granted; /* W and U of all levels */
	uint64_t leaf;
	bool no_execute;
	uint32_t error; /* of a page fault: P, RSVD and PK */
	bool code_touched;
	bool absent;   /* a private page table at @gpa that is not there: a host fault */
	bool poisoned; /* of a host fault */
};

static uint64_t entry_load(const void *entry, unsigned shift)
{
	return shift == 3 ? __atomic_load_n((const uint64_t *)entry, __ATOMIC_ACQUIRE)
			  : __atomic_load_n((const uint32_t *)entry, __ATOMIC_ACQUIRE);
}

static bool entry_replace(void *entry, unsigned shift, uint64_t old, uint64_t new)
{
	uint32_t old_32 = (uint32_t)old;

	if (shift == 3)
		return __atomic_compare_exchange_n((uint64_t *)entry, &old, new, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n((uint32_t *)entry, &old_32, (uint32_t)new, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static uint64_t leaf_gpa(const struct paging_plan *plan, const struct walk *walk, uint64_t gva)
{
	uint64_t offset = bits(walk->page_shift - 1, 0);
	uint64_t base;

	if (plan->entry_shift == 3)
		base = walk->leaf & ENTRY_ADDRESS;
	else if (walk->page_shift == 22)
		base = (walk->leaf & 0xffc00000) | (walk->leaf >> 13 & 0xff) << 32;
	else
		base = walk->leaf & 0xfffff000;
	return (base & ~offset) | (gva & offset);
}

/* Follows the tables to the page of @gva. False: page fault, with walk->error. Under a guard. */
static bool walk_descend(struct mmu *mmu, uint64_t gva, struct walk *walk)
{
	const struct paging_plan *plan = &mmu->plan;
	const uint64_t index_mask = (1u << plan->index_bits) - 1;
	uint64_t table = plan->root;
	uint64_t granted = ENTRY_W | ENTRY_U, no_execute = 0;
	unsigned level = plan->levels;
	unsigned shift = GUEST_PAGE_SHIFT + (level - 1) * plan->index_bits;

	walk->error = 0;
	walk->absent = false;
	walk->steps = 0;
	if (plan->pdptrs) {
		table = mmu->paging.pdptr[gva >> 30 & 3];
		if (!(table & ENTRY_P))
			return false;
		table &= ENTRY_ADDRESS;
	}

	for (;; level--, shift -= plan->index_bits) {
		struct walk_step *step = &walk->step[walk->steps];
		uint64_t gpa = table + ((gva >> shift & index_mask) << plan->entry_shift);
		bool large;

		walk->gpa = gpa;
		step->gpa = gpa;
		step->slot = mmu_find_slot(mmu, gpa);
		step->entry = step->slot ? memslot_hva(mmu->slots, step->slot, gpa) : NULL;
		if (!step->entry) {
			walk->absent = page_is_private(mmu->slots, gpa);
			return false;
		}
		atomic_signal_fence(memory_order_seq_cst); /* walk->gpa is what a fault reports */
		step->value = entry_load(step->entry, plan->entry_shift);

		if (!(step->value & ENTRY_P))
			return false;
		large = (step->value & ENTRY_PS) && (plan->large >> level & 1);
		if (step->value & plan->reserved[large][level]) {
			walk->error = PF_P | PF_RSVD;
			return false;
		}
		walk->steps++;
		granted &= step->value;
		no_execute |= step->value;
		if (large || level == 1) {
			walk->leaf = step->value;
			break;
		}
		table = step->value & ENTRY_ADDRESS;
	}
	walk->page_shift = shift;
	walk->granted = granted;
	/* Without EFER.NXE bit 63 was reserved, and 32-bit entries have none. */
	walk->no_execute = no_execute & ENTRY_NX;
	walk->gpa = leaf_gpa(plan, walk, gva) & mmu->a20_mask;
	return true;
}

/* ---- Rights --------------------------------------------------------------------------------- */

/* What protection keys take away (section 4.6.2). */
static unsigned walk_key_denies(const struct mmu *mmu, const struct walk *walk, enum tlb_mode mode)
{
	unsigned key_rights;

	if (!mmu->plan.pke || !(walk->granted & ENTRY_U))
		return 0;
	key_rights = mmu->paging.pkru >> 2 * ENTRY_KEY(walk->leaf) & 3;
	if (key_rights & 1)
		return RIGHT_READ | RIGHT_WRITE;
	if ((key_rights & 2) && (mode == TLB_USER || mmu->plan.wp))
		return RIGHT_WRITE;
	return 0;
}

/* What the page tables grant to @mode, protection keys aside (section 4.6.1). */
static unsigned walk_rights(const struct paging_plan *plan, const struct walk *walk,
			    enum tlb_mode mode)
{
	bool user_page = walk->granted & ENTRY_U;
	unsigned rights = RIGHT_READ | RIGHT_EXEC;

	if (mode == TLB_USER && !user_page)
		return 0;
	if ((walk->granted & ENTRY_W) || (mode != TLB_USER && !plan->wp))
		rights |= RIGHT_WRITE;
	if (mode != TLB_USER && user_page) {
		if (plan->smep)
			rights &= ~RIGHT_EXEC;
		if (plan->smap && mode == TLB_SUPER)
			rights &= RIGHT_EXEC;
	}
	if (walk->no_execute)
		rights &= ~RIGHT_EXEC;
	return rights;
}

/* ---- Accessed and dirty --------------------------------------------------------------------- */

/*
 * Sets A in all entries used and D in the last one for a write. False: an entry changed under us,
 * walk again. Under a guard.
 */
static bool walk_set_accessed(struct mmu *mmu, struct walk *walk, bool write)
{
	const struct paging_plan *plan = &mmu->plan;

	for (unsigned i = 0; i < walk->steps; i++) {
		struct walk_step *step = &walk->step[i];
		bool last = i + 1 == walk->steps;
		uint64_t wanted = step->value | ENTRY_A | (last && write ? ENTRY_D : 0);

		if (wanted == step->value)
			continue;
		/*
		 * KVM leaves page tables in a ROM as they are and lets the access proceed. Without
		 * D there the page gets no write right, so every write comes here again.
		 */
		if (step->slot->flags & KVM_MEM_READONLY)
			continue;
		walk->gpa = step->gpa;
		atomic_signal_fence(memory_order_seq_cst);
		if (!entry_replace(step->entry, plan->entry_shift, step->value, wanted))
			return false;
		step->value = wanted;
		memslot_mark_dirty(step->slot, step->gpa, mmu->ring);
		if (memslot_clear_code(step->slot, step->gpa))
			walk->code_touched = true;
		if (last)
			walk->leaf = wanted;
	}
	return true;
}

/* ---- Translation ---------------------------------------------------------------------------- */

/* The rights of @mode on the page of @gva; 0 when @wanted is not among them. Under a guard. */
static unsigned __attribute__((noinline))
walk_page(struct mmu *mmu, uint64_t gva, unsigned wanted, enum tlb_mode mode, struct walk *walk)
{
	unsigned rights, denied;
	uint64_t gpa;

	do {
		if (!walk_descend(mmu, gva, walk))
			return 0;
		rights = walk_rights(&mmu->plan, walk, mode);
		denied = walk_key_denies(mmu, walk, mode);
		if (!(rights & ~denied & wanted)) {
			walk->error = PF_P | (denied & wanted ? PF_PK : 0);
			return 0;
		}
		gpa = walk->gpa;
	} while (!walk_set_accessed(mmu, walk, wanted == RIGHT_WRITE));
	walk->gpa = gpa;
	return rights & ~denied;
}

static uint32_t page_fault_code(const struct paging_plan *plan, uint32_t found, unsigned wanted,
				enum tlb_mode mode)
{
	if (wanted == RIGHT_WRITE)
		found |= PF_W;
	if (mode == TLB_USER)
		found |= PF_U;
	if (wanted == RIGHT_EXEC && plan->report_fetch)
		found |= PF_I;
	return found;
}

/*
 * Walks, with the faults of missing host pages caught. A frame of its own, so that nothing that
 * lives across the guard's second return is ever kept in a register. False: host fault.
 */
static bool __attribute__((noinline))
walk_guarded(struct mmu *mmu, uint64_t gva, unsigned wanted, enum tlb_mode mode, struct walk *walk,
	     unsigned *rights)
{
	struct guard guard;

	if (guard_enter(&guard)) {
		walk->poisoned = guard_poisoned(&guard);
		return false;
	}
	*rights = walk_page(mmu, gva, wanted, mode, walk);
	guard_leave(&guard);
	return !walk->absent;
}

static enum mmu_status host_fault(const struct mmu *mmu, struct mmu_result *result, bool poisoned)
{
	result->private = page_is_private(mmu->slots, result->gpa);
	result->poisoned = poisoned;
	return MMU_HOST_FAULT;
}

enum mmu_status mmu_translate(struct mmu *mmu, uint64_t gva, enum access access,
			      enum tlb_mode mode, struct mmu_result *result)
{
	const unsigned wanted = access == ACCESS_READ	 ? RIGHT_READ
				: access == ACCESS_WRITE ? RIGHT_WRITE
							 : RIGHT_EXEC;
	unsigned rights = RIGHT_READ | RIGHT_WRITE | RIGHT_EXEC;
	struct tlb_page page = { .shift = GUEST_PAGE_SHIFT };
	const struct memslot *slot;
	uint64_t gpa = gva & mmu->a20_mask;

	result->code = false;
	/* Any access: the walk sets accessed bits in page tables, which may be clean pages too. */
	if (mmu->ring_stops && mmu->ring && dirty_ring_full(mmu->ring))
		return MMU_RING_FULL;
	if (mmu->plan.levels) {
		struct walk walk;
		bool walked;

		walk.code_touched = false;
		walk.poisoned = false;
		walk.gpa = 0;
		walked = walk_guarded(mmu, gva, wanted, mode, &walk, &rights);
		if (walk.code_touched) {
			const struct memory_listener *listener = &mmu->memory->listener;

			listener->code_written(listener->opaque, NULL);
		}
		result->gpa = gpa = walk.gpa;
		if (!walked)
			return host_fault(mmu, result, walk.poisoned);
		if (!rights) {
			result->error_code = page_fault_code(&mmu->plan, walk.error, wanted, mode);
			return MMU_PAGE_FAULT;
		}
		if (!(walk.leaf & ENTRY_D))
			rights &= ~RIGHT_WRITE;
		page.shift = walk.page_shift;
		page.global = walk.leaf & ENTRY_G && mmu->plan.pge;
	}

	result->gpa = gpa;
	slot = mmu_find_slot(mmu, gpa);
	result->hva = slot ? memslot_hva(mmu->slots, slot, gpa) : NULL;
	if (!result->hva) {
		if (page_is_private(mmu->slots, gpa))
			return host_fault(mmu, result, false);
		return MMU_MMIO;
	}
	if (slot->flags & KVM_MEM_READONLY) {
		if (access == ACCESS_WRITE)
			return MMU_MMIO;
		rights &= ~RIGHT_WRITE;
	}
	result->slot = slot;

	if (access == ACCESS_WRITE) {
		memslot_mark_dirty(slot, gpa, mmu->ring);
		result->code = memslot_has_code(slot, gpa);
	}
	/*
	 * Somebody may set a code mark or clear the dirty bit after we looked: then he asks this
	 * vCPU to flush its write rights, which it does at the end of this instruction.
	 */
	if ((rights & RIGHT_WRITE) && (!memslot_is_dirty(slot, gpa) || memslot_has_code(slot, gpa)))
		rights &= ~RIGHT_WRITE;
	tlb_fill(mmu, mode, gva, result->hva, rights, &page);
	return MMU_RAM;
}

/* ---- Probe ---------------------------------------------------------------------------------- */

static bool __attribute__((noinline))
probe_guarded(struct mmu *mmu, uint64_t gva, struct walk *walk, bool *mapped)
{
	struct guard guard;

	if (guard_enter(&guard))
		return false;
	*mapped = walk_descend(mmu, gva, walk);
	guard_leave(&guard);
	return true;
}

bool mmu_probe(struct mmu *mmu, uint64_t gva, uint64_t *gpa, bool *writable, bool *user)
{
	struct walk walk;
	bool mapped;

	if (!mmu->plan.levels) {
		*gpa = gva & mmu->a20_mask;
		*writable = true;
		*user = true;
		return true;
	}
	if (!probe_guarded(mmu, gva, &walk, &mapped) || !mapped)
		return false;
	*gpa = walk.gpa;
	*writable = walk.granted & ENTRY_W;
	*user = walk.granted & ENTRY_U;
	return true;
}

unsigned mmu_find_gpa(struct mmu *mmu, const uint8_t *hva, uint64_t *gpa)
{
	bool writable, user;
	uint64_t gva;
	unsigned found = tlb_find(mmu, hva, &gva);

	return found && mmu_probe(mmu, gva, gpa, &writable, &user) ? found : 0;
}
