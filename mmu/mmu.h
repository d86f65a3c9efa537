/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MMU of one vCPU: paging state, page walk, software TLB.
 *
 * Not thread safe: used by the thread that runs the vCPU, except where noted. Knows no vCPU: the
 * owner keeps @paging current (mmu_set_paging) and turns results into faults and exits.
 *
 * Source: Intel SDM volume 3, chapter 4 (paging).
 */
#ifndef FAUXKVM_MMU_MMU_H
#define FAUXKVM_MMU_MMU_H

#include "mmu/dirty_ring.h"
#include "mmu/memory.h"

#define TLB_BITS 10
#define TLB_SIZE (1u << TLB_BITS)
#define TLB_GENERATION_MAX 0xfffull
#define MMU_FLUSHED 16
/* A tag that nothing matches: a lookup's low 12 bits are a generation, and 0xfff is never one. */
#define TLB_NONE (~0ull)

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_EXEC };

/*
 * Whose rights a translation carries. SUPER_AC: supervisor data access that SMAP does not stop
 * (RFLAGS.AC set); the same as SUPER while CR4.SMAP is 0.
 */
enum tlb_mode { TLB_SUPER, TLB_USER, TLB_SUPER_AC, TLB_MODES };

/*
 * One page. A tag is the page's linear address | current generation, or TLB_NONE where the right
 * is missing: absent by paging, or because the access must take the slow path (MMIO, read-only
 * slot, dirty bit not yet set, page with decoded code, watchpoint). hva = gva + addend.
 *
 * A lookup that crosses a page compares with the tag of the following page, whose index differs, so
 * it never matches.
 */
struct tlb_entry {
	uint64_t read;
	uint64_t write;
	uint64_t exec;
	uintptr_t addend;
};

/* What the walk depends on. */
struct paging {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t pdptr[4];   /* PAE: loaded with CR3 */
	uint32_t pkru;
	uint8_t maxphyaddr;  /* bits, 32..52 */
	bool gbpages;        /* CPUID: 1 GiB pages */
};

/*
 * How the current mode walks: made from struct paging when that changes, so that the walk itself
 * knows no modes. Levels count from 1 (page table); reserved[1] is for entries that map a large
 * page.
 */
struct paging_plan {
	uint8_t levels;      /* 0: no paging */
	uint8_t entry_shift; /* log2 of an entry's bytes */
	uint8_t index_bits;  /* of the address, used by each level */
	uint8_t large;       /* bit n: an entry of level n with PS maps a page */
	bool pdptrs;         /* the root comes from paging.pdptr */
	bool wp, smep, smap, pke, pge;
	bool report_fetch;   /* #PF error codes have I */
	uint64_t root;
	uint64_t reserved[2][6];
};

struct mmu {
	struct tlb_entry tlb[TLB_MODES][TLB_SIZE];
	uint64_t generation; /* low 12 bits of valid tags, 0..TLB_GENERATION_MAX - 1 */
	/*
	 * Incremented on every flush or loss of a right: who caches a translation compares it. The
	 * other three tell more: @epoch_global stands still while no more is lost than what is not
	 * global (@epoch_other) and the last pages in @flushed, of which there were @page_flushes.
	 */
	uint64_t epoch;
	uint64_t epoch_global, epoch_other, page_flushes;
	uint64_t flushed[MMU_FLUSHED]; /* ring of page-aligned linear addresses */
	struct paging paging;
	struct paging_plan plan;
	struct memory *memory;
	struct memslots *slots; /* our reference */
	const struct memslot *last_slot; /* of slots: where the last lookup ended */
	unsigned as;            /* address space: 0, or SMM's 1 */
	struct dirty_ring *ring; /* where this vCPU's dirty pages go, or NULL */
	/* No access is begun while the ring is full (MMU_RING_FULL): a string or a long block could
	 * bring many pages. Else it uses the reserve. */
	bool ring_stops;
	uint64_t a20_mask;      /* all ones: KVM has no A20 gate */
	/*
	 * Where large pages were entered since the last flush, by hashed 2 MiB and 1 GiB region:
	 * INVLPG of one address drops the whole page, which lies scattered over the TLB. By the top
	 * bit of the address, and first those that are not global.
	 */
	struct tlb_large {
		uint64_t region_2m[16], region_1g;
	} large[2][2];
	/* Bits: entries of global pages. */
	uint64_t global[TLB_MODES][TLB_SIZE / 64];
	/* Pages (linear, page aligned) that get no fast read or write: data breakpoints. Flush
	 * after a change. */
	uint64_t watch[4];
	unsigned watches;
	uint64_t fills;         /* statistics */
};

enum mmu_status {
	MMU_RAM,        /* @hva is valid for this access */
	MMU_MMIO,       /* no memory, or a write to a read-only slot: @gpa is valid */
	MMU_PAGE_FAULT, /* @error_code is the #PF's */
	MMU_RING_FULL,  /* see ring_stops */
	MMU_HOST_FAULT, /* the host page behind a page table, or private memory, is missing */
};

struct mmu_result {
	uint64_t gpa;
	uint8_t *hva;
	const struct memslot *slot;
	uint32_t error_code;
	bool code; /* ACCESS_WRITE on MMU_RAM: the page has the code mark; call mmu_code_written */
	/* MMU_HOST_FAULT: @gpa is private; the host page is there, but poisoned. */
	bool private, poisoned;
};

int mmu_init(struct mmu *mmu, struct memory *memory);
void mmu_fini(struct mmu *mmu);

/*
 * New paging state; flushes when CR0.PG/WP, CR4.PSE/PAE/PGE/PCIDE/LA57/SMEP/SMAP/PKE, EFER.LMA/NXE,
 * PKRU, MAXPHYADDR or gbpages changed; when only CR3 or a PDPTR did, what is not global. A MOV to
 * CR3 of the value it has must flush as well: the caller calls mmu_flush_other().
 */
void mmu_set_paging(struct mmu *mmu, const struct paging *paging);

/* Drops all translations (O(1)). */
void mmu_flush(struct mmu *mmu);
/* Keeps those of global pages (O(entries of such)). */
void mmu_flush_other(struct mmu *mmu);
/* Takes the current slots snapshot, drops the old one and all translations. */
void mmu_reload_slots(struct mmu *mmu);
void mmu_flush_page(struct mmu *mmu, uint64_t gva); /* INVLPG: all modes, all of a large page */
void mmu_flush_writes(struct mmu *mmu);             /* keeps read and execute rights */

/*
 * Translates @gva (canonical, checked by the caller; 32 bits outside long mode) for one access that
 * does not cross a page, sets accessed and dirty bits, marks the page dirty for ACCESS_WRITE and
 * enters the TLB with all rights that are free of duties. Page-table writes use host atomics.
 *
 * As KVM does: accessed and dirty bits of page tables in a read-only slot stay as they are, and a
 * page table where no slot is reads as not present.
 *
 * @result: gpa is set for RAM, MMIO and host faults; hva, slot and code for RAM; error_code for
 * page faults.
 */
enum mmu_status mmu_translate(struct mmu *mmu, uint64_t gva, enum access access,
			      enum tlb_mode mode, struct mmu_result *result);

/*
 * KVM_TRANSLATE: as a supervisor read that neither SMAP nor a protection key stops, without side
 * effects. @writable and @user say what the page tables grant. false: not mapped.
 */
bool mmu_probe(struct mmu *mmu, uint64_t gva, uint64_t *gpa, bool *writable, bool *user);

/*
 * The guest address by which the host page of @hva, which went away under an access, was used: how
 * many translations lead there (more than 1: several, perhaps counted twice), and where one of them
 * goes. 0: none is left.
 */
unsigned mmu_find_gpa(struct mmu *mmu, const uint8_t *hva, uint64_t *gpa);

/*
 * Before code of the page at @gpa is decoded (or verified): sets its code mark and, if it was not
 * set, takes the write right away from every TLB of the VM. False: not RAM. If the page is written
 * before this returns, the listener's code_written() is called and the mark is gone again: the
 * owner must look at what code_written() left for it between decoding and executing.
 */
bool mmu_mark_code(struct mmu *mmu, uint64_t gpa);

/*
 * After a store to a page with the code mark: clears the mark and tells the VM's other vCPUs. The
 * caller verifies its own decoded code. (Who decodes marks first, then reads: so a store is either
 * seen by the reading or finds the mark.)
 */
void mmu_code_written(struct mmu *mmu, const struct memslot *slot, uint64_t gpa);

/* Fast lookup: host address of @gva or NULL. @bytes must be 1..4096; crossing a page is a miss. */
static inline uint8_t *mmu_lookup(struct mmu *mmu, uint64_t gva, unsigned bytes,
				  enum access access, enum tlb_mode mode)
{
	struct tlb_entry *e = &mmu->tlb[mode][(gva >> GUEST_PAGE_SHIFT) & (TLB_SIZE - 1)];
	uint64_t tag = ((gva + bytes - 1) & GUEST_PAGE_MASK) | mmu->generation;
	uint64_t have = access == ACCESS_READ	 ? e->read
			: access == ACCESS_WRITE ? e->write
						 : e->exec;

	return have == tag ? (uint8_t *)(uintptr_t)(gva + e->addend) : NULL;
}

/* Of a page that was just translated for @mode: CR3 does not matter to it. */
static inline bool mmu_is_global(const struct mmu *mmu, uint64_t gva, enum tlb_mode mode)
{
	const unsigned i = (gva >> GUEST_PAGE_SHIFT) & (TLB_SIZE - 1);

	return mmu->global[mode][i / 64] >> i % 64 & 1;
}

#endif
