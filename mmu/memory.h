/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest-physical memory: memslots, dirty state, code pages.
 *
 * The memslots are an immutable sorted snapshot with a reference count. A writer builds a new one,
 * publishes it and then tells the listener, who makes every vCPU drop its translations and its
 * reference to the old snapshot. A vCPU works on its own reference and takes no lock.
 *
 * Source of the semantics: KVM document, sections 4.35 (KVM_SET_USER_MEMORY_REGION), 4.8
 * (KVM_GET_DIRTY_LOG), 4.117 (KVM_CLEAR_DIRTY_LOG).
 */
#ifndef FAUXKVM_MMU_MEMORY_H
#define FAUXKVM_MMU_MEMORY_H

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_PAGE_SHIFT 12
#define GUEST_PAGE_SIZE 4096ull
#define GUEST_PAGE_MASK (~(GUEST_PAGE_SIZE - 1))

#define MEMORY_SLOTS_MAX 32764  /* KVM_CAP_NR_MEMSLOTS */
#define MEMORY_ADDRESS_SPACES 2 /* KVM_CAP_MULTI_ADDRESS_SPACE: the second is SMM's */
#define MEMORY_SLOT_PAGES_MAX ((1ull << 31) - 1)
/* End of the user half of the host's address space, as access_ok() sees it (4-level paging). */
#define MEMORY_HVA_END 0x7ffffffff000ull

#ifndef KVM_MEM_GUEST_MEMFD
#define KVM_MEM_GUEST_MEMFD (1UL << 2)
#endif
#ifndef KVM_MEMORY_ATTRIBUTE_PRIVATE
#define KVM_MEMORY_ATTRIBUTE_PRIVATE (1ULL << 3)
#endif

struct dirty_ring;
struct guest_memfd;
struct memory;
struct mmu;

struct memslot {
	uint32_t id;    /* slot number, bits 16..31 address space */
	uint32_t flags; /* KVM_MEM_* */
	uint64_t gpa;   /* bytes, page aligned */
	uint64_t size;  /* bytes, page aligned, not 0 */
	uint8_t *hva;   /* client's mapping of the first byte, in this process */
	/* One bit a page, set: written since the last harvest. NULL: not logged. */
	atomic_ulong *dirty;
	/* The same in a VM with rings, of what was written by no vCPU. NULL: no such bitmap. */
	atomic_ulong *log;
	/* One byte a page, not 0: some vCPU trusts code that was decoded from this page. */
	_Atomic(uint8_t) *code;
	/* Owners of the arrays, reference counted: shared by the snapshots that hold the slot,
	 * and kept when its flags change or it moves. */
	struct page_array *dirty_array;
	struct page_array *log_array;
	struct page_array *code_array;
	/* What private pages show: the part of a guest_memfd. NULL: none, or its file was closed. */
	struct private_part *private;
};

struct private_part {
	atomic_uint references;
	struct guest_memfd *file;
	uint64_t offset, bytes; /* in the file */
	uint8_t *hva;
};

struct memslots {
	atomic_uint references;
	uint64_t generation;
	unsigned count;
	unsigned capacity;
	struct page_set *private; /* guest pages with KVM_MEMORY_ATTRIBUTE_PRIVATE */
	struct memslot slot[];    /* sorted by (address space, gpa) */
};

struct memory_listener {
	void *opaque;
	/*
	 * The snapshot was replaced. On return every vCPU has dropped its TLB and the old
	 * reference (or will before it runs guest code again). No lock is held by the caller
	 * that a vCPU could want.
	 */
	void (*slots_changed)(void *opaque);
	/*
	 * Write rights were withdrawn (a page became code, or its dirty bit was harvested). On
	 * return no vCPU other than @self (may be NULL) holds a write translation that is older
	 * than the call. @self must have dropped its own before calling. Several vCPUs may call
	 * at once: who waits in here must answer the others' requests meanwhile.
	 */
	void (*writes_revoked)(void *opaque, struct mmu *self);
	/* Bytes of a code page were changed; vCPUs other than @self must verify decoded code. */
	void (*code_written)(void *opaque, struct mmu *self);
};

/* NULL when out of memory. @listener is copied; NULL, also of single members: nobody listens. */
struct memory *memory_create(const struct memory_listener *listener);
void memory_destroy(struct memory *memory);

/* A slot as KVM_SET_USER_MEMORY_REGION2 has it, with host memory as it is visible here. */
struct memory_region {
	uint32_t id, flags;
	uint64_t gpa, size;
	uint64_t hva;
	/* With KVM_MEM_GUEST_MEMFD. NULL: @error is what was wrong with the descriptor. */
	struct guest_memfd *file;
	int error;
	uint64_t offset;
};

/*
 * Create, move, delete, change flags. Errors as the kernel's: -EINVAL (alignment, flags, overflow,
 * slot number, size change, read-only change, delete of nothing, any change of a slot with
 * guest_memfd, its offset), -EEXIST (overlap), -ENOMEM. Takes the slots lock; the listener is called
 * without it. Host memory need not be mapped: that shows at access time.
 */
int memory_change_region(struct memory *memory, const struct memory_region *region);
/* The same without guest_memfd. */
int memory_set_region(struct memory *memory, const struct kvm_userspace_memory_region *region);

/* Largest guest-physical address + 1 that a slot may reach. Default 1 << 52, as far as page tables. */
void memory_set_gpa_limit(struct memory *memory, uint64_t limit);

/*
 * KVM_GET_DIRTY_LOG: hands out and clears the bits of slot @id. @bitmap has room for
 * @bytes; *@needed (may be NULL) is its size in bytes (pages rounded up to 64, divided by 8).
 * -EINVAL: no such slot number, or @bytes too small; -ENOENT: no such slot or not logged; -ENXIO:
 * the vCPUs have rings and there is no bitmap besides.
 * With @bitmap NULL nothing is cleared.
 */
int memory_get_dirty_log(struct memory *memory, uint32_t id, void *bitmap, size_t bytes,
			 size_t *needed);
/*
 * KVM_CLEAR_DIRTY_LOG with the kernel's checks (-EINVAL, -ENOENT, -ENXIO). @bitmap is in our memory, bit 0
 * is @log->first_page, num_pages rounded up to 64. NULL: only checks, so that the caller knows how
 * much to copy in.
 */
int memory_clear_dirty_log(struct memory *memory, const struct kvm_clear_dirty_log *log,
			   const void *bitmap);
/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: GET no longer clears (bit 0), initially all set (bit 1). */
void memory_set_manual_dirty_log(struct memory *memory, uint64_t flags);

/* Current snapshot with a reference for the caller. Any thread. */
struct memslots *memory_slots_get(struct memory *memory);
void memslots_put(struct memslots *slots);

/* Slot that holds @gpa in address space @as, or NULL. */
const struct memslot *memslots_lookup(const struct memslots *slots, unsigned as, uint64_t gpa);

/*
 * Guest-physical access by devices, clocks and instructions that go around the TLB. May cross
 * pages and slots. 0, -EFAULT (no slot, host page missing; read-only slot on write); what lies
 * before the failing page was then transferred. Writes mark dirty, in the dirty ring of @self (NULL:
 * no vCPU's), and tell all code readers.
 * @slots: the caller's reference, or NULL for the current ones, which then cannot change (and a
 * deleted slot's host memory is not touched after memory_set_region() returned).
 */
int memory_read(struct memory *memory, const struct memslots *slots, uint64_t gpa, void *data,
		size_t bytes);
int memory_write(struct memory *memory, const struct memslots *slots, uint64_t gpa,
		 const void *data, size_t bytes, struct mmu *self);

/*
 * KVM_PRE_FAULT_MEMORY of one page: 0 when it is there for the next access; -ENOENT: no slot, -EFAULT,
 * -EHWPOISON. May sleep for it.
 */
int memslots_prefault(const struct memslots *slots, unsigned as, uint64_t gpa);

/* ---- Private memory (private.c); KVM document 4.141, 4.142 ---- */

/*
 * A VM of the type KVM_X86_SW_PROTECTED_VM: its pages may be private, and SMM has no address space of
 * its own. Before anything else.
 */
void memory_allow_private(struct memory *memory);
bool memory_private_allowed(const struct memory *memory);
unsigned memory_address_spaces(const struct memory *memory);

/*
 * KVM_SET_MEMORY_ATTRIBUTES: 0, -EINVAL, -ENOMEM. On return no vCPU uses a translation that is older
 * than the change.
 */
int memory_set_attributes(struct memory *memory, uint64_t gpa, uint64_t bytes, uint64_t attributes);
bool memory_is_private(struct memory *memory, uint64_t gpa);

/*
 * A guest_memfd of this VM's: a file that only the guest sees, where its pages are private. Creation:
 * 0, -EINVAL, or what the kernel says.
 */
int guest_memfd_create(uint64_t size, struct guest_memfd **file);
/* Its last descriptor is closed: slots that are bound to it have no private memory any more. */
void guest_memfd_destroy(struct memory *memory, struct guest_memfd *file);
/* A memfd of its size without its contents: what descriptors show of it. */
int guest_memfd_fd(const struct guest_memfd *file);
uint64_t guest_memfd_size(const struct guest_memfd *file);
/* fallocate() of it, with a guest_memfd's own errors. */
int guest_memfd_allocate(struct memory *memory, struct guest_memfd *file, int mode, int64_t offset,
			 int64_t bytes);
/*
 * KVM_SET_MEMORY_ATTRIBUTES2 of the file: for the pages that slots show of it now, and for those that
 * are bound to it later. What is set by guest address afterwards holds for that address.
 */
int guest_memfd_set_attributes(struct memory *memory, struct guest_memfd *file, uint64_t offset,
			       uint64_t bytes, uint64_t attributes);

const struct memory_listener *memory_listener(const struct memory *memory);

#endif
