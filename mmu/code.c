/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code marks: which pages' contents some vCPU trusts as decoded.
 *
 * A mark means that a store to the page takes the slow path. It is set first and becomes true once
 * every TLB has lost its write rights, and only then may the page be decoded. So a mark has two
 * steps: a token while its setter still collects the rights, the token with MARK_HELD afterwards.
 * Who finds a bare token does not wait for its setter (they may be waiting for each other) but
 * collects the rights itself. The token keeps a slow setter from confirming a later mark than its
 * own.
 */
#include "mmu/internal.h"

#define MARK_HELD 0x80
#define MARK_TOKENS 0x7f

bool memslot_clear_code(const struct memslot *slot, uint64_t gpa)
{
	return memslot_has_code(slot, gpa) &&
	       atomic_exchange(&slot->code[memslot_page_index(slot, gpa)], 0) != 0;
}

bool mmu_mark_code(struct mmu *mmu, uint64_t gpa)
{
	const struct memory_listener *listener = &mmu->memory->listener;
	const struct memslot *slot = mmu_find_slot(mmu, gpa);
	const uint8_t *hva;
	_Atomic(uint8_t) *mark;
	uint8_t token, seen;

	hva = slot ? memslot_hva(mmu->slots, slot, gpa & GUEST_PAGE_MASK) : NULL;
	if (!hva)
		return false;
	mark = &slot->code[memslot_page_index(slot, gpa)];
	seen = atomic_load(mark);
	if (seen & MARK_HELD)
		return true;

	token = atomic_fetch_add_explicit(&mmu->memory->code_marks, 1, memory_order_relaxed) %
			MARK_TOKENS +
		1;
	seen = 0;
	if (!atomic_compare_exchange_strong(mark, &seen, token)) {
		if (seen & MARK_HELD)
			return true;
		token = seen;
	}
	tlb_drop_writes_to(mmu, hva);
	listener->writes_revoked(listener->opaque, mmu);
	/*
	 * Fails when the page was written meanwhile. Then the writer has told us to verify, and
	 * that marks again; trying until it succeeds would let a storm of stores keep us from a
	 * kick.
	 */
	atomic_compare_exchange_strong(mark, &token, token | MARK_HELD);
	return true;
}

void mmu_code_written(struct mmu *mmu, const struct memslot *slot, uint64_t gpa)
{
	const struct memory_listener *listener = &mmu->memory->listener;

	/*
	 * No mark: somebody else cleared it and told everybody, and nobody has marked again, so all
	 * will do so before they look at the page. The exchange orders our store before that.
	 */
	if (atomic_exchange(&slot->code[memslot_page_index(slot, gpa)], 0))
		listener->code_written(listener->opaque, mmu);
}
