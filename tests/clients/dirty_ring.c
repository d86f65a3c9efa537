// SPDX-License-Identifier: GPL-2.0-or-later
/* Dirty rings: what gets into them, when they are full, what comes back, what a client may do. */
#include <pthread.h>

#include "kvm_client.h"

#ifndef KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
#define KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP 225
#endif

#define SLOT_AT 0x40000000ULL
#define SLOT_PAGES 4096
#define SLOT_BYTES (SLOT_PAGES * 0x1000)
#define RING_BYTES 16384
#define RING_ENTRIES (RING_BYTES / sizeof(struct kvm_dirty_gfn))

struct ring {
	struct kvm_dirty_gfn *entry;
	unsigned int next;
};

static int enable(struct vm *vm, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args[0] = arg };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &enable) ? -errno : 0;
}

/* A VM with rings, a logged slot at SLOT_AT, its pages mapped there. */
static uint8_t *boot(struct vm *vm, struct vcpu *vcpu, struct ring *ring, const uint8_t *code,
		     const uint8_t *end)
{
	uint8_t *memory = pages_alloc(SLOT_BYTES);

	vm_create(vm);
	VM_NEED_CAP(vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL);
	CHECK_EQ(-enable(vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, RING_BYTES), 0);
	vcpu_create(vm, vcpu, 0);
	ring->next = 0;
	ring->entry = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd,
			   KVM_DIRTY_LOG_PAGE_OFFSET * 0x1000);
	CHECK(ring->entry != MAP_FAILED, "mmap of the ring: %s", strerror(errno));
	vcpu_load(vcpu, MODE_LONG, code, end);
	CHECK_EQ(-vm_set_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, SLOT_AT, SLOT_BYTES, memory), 0);
	return memory;
}
#define BOOT(vm, vcpu, ring, code) boot(vm, vcpu, ring, code, code##_end)

static void set_regs(struct vcpu *vcpu, uint64_t rbx, uint64_t rcx)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rbx = rbx;
	regs.rdi = rbx;
	regs.rcx = rcx;
	regs.rip = GUEST_CODE;
	vcpu_set_regs(vcpu, &regs);
}

static uint32_t flags_of(struct kvm_dirty_gfn *entry)
{
	return __atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE);
}

/* Takes the next entry; false: there is none. */
static bool harvest(struct ring *ring, uint32_t *slot, uint64_t *page)
{
	struct kvm_dirty_gfn *entry = &ring->entry[ring->next % RING_ENTRIES];

	if (flags_of(entry) != KVM_DIRTY_GFN_F_DIRTY)
		return false;
	*slot = entry->slot;
	*page = entry->offset;
	__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	ring->next++;
	return true;
}

static void expect_page(struct ring *ring, uint64_t expected)
{
	uint32_t slot = ~0u;
	uint64_t page = ~0ULL;

	CHECK(harvest(ring, &slot, &page), "no entry for page %#llx", (unsigned long long)expected);
	CHECK_EQ(slot, 1);
	CHECK_EQ(page, expected);
}

static void expect_empty(struct ring *ring)
{
	uint32_t slot;
	uint64_t page;

	CHECK(!harvest(ring, &slot, &page), "an entry for slot %u page %#llx", slot,
	      (unsigned long long)page);
}

GUEST(write_code, 64, "mov %eax, (%rbx); out %al, $0x10; hlt");
/* A byte to each of RCX pages from RBX on. */
GUEST(pages_code, 64, "1: incb (%rbx); add $0x1000, %rbx; dec %rcx; jnz 1b; out %al, $0x10");
GUEST(string_code, 64, "cld; mov $0x77, %al; rep stosb; out %al, $0x10");

static void capability(void)
{
	struct vm vm;
	struct vcpu vcpu;
	int most;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_DIRTY_LOG_RING);
	most = vm_cap(&vm, KVM_CAP_DIRTY_LOG_RING);
	CHECK_EQ(most, vm_cap(&vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL));
	CHECK_EQ(most, 65536 * sizeof(struct kvm_dirty_gfn));
	CHECK(ioctl(vm.fd, KVM_RESET_DIRTY_RINGS, 0) == -1 && errno == EINVAL, "no ring to reset");
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0), EINVAL);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING, 0), EINVAL);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING, 12288), EINVAL);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING, 2048), EINVAL);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING, most * 2ULL), E2BIG);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING, 1ULL << 63), EINVAL);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING, RING_BYTES), 0);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, RING_BYTES), EINVAL);
	CHECK_EQ(XIOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0), 0);
	vm_destroy(&vm);
	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING, RING_BYTES), EINVAL);
}

/* The ring is shared memory that nobody executes; around it there is nothing. */
static void mapping(void)
{
	const off_t at = KVM_DIRTY_LOG_PAGE_OFFSET * 0x1000;
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring;
	uint8_t *all;

	BOOT(&vm, &vcpu, &ring, write_code);
	CHECK(mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, vcpu.fd, at) ==
			      MAP_FAILED &&
		      errno == EINVAL,
	      "a private ring");
	CHECK(mmap(NULL, RING_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, vcpu.fd, at) ==
			      MAP_FAILED &&
		      (errno == EINVAL || errno == EPERM),
	      "an executable ring");
	CHECK(mmap(NULL, at + 0x1000, PROT_READ, MAP_PRIVATE, vcpu.fd, 0) == MAP_FAILED &&
		      errno == EINVAL,
	      "a private ring at the end");
	all = mmap(NULL, at + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu.fd, 0);
	CHECK(all != MAP_FAILED, "kvm_run and the ring together: %s", strerror(errno));
	set_regs(&vcpu, SLOT_AT, 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK(!memcmp(all + at, ring.entry, RING_BYTES), "two mappings of one ring differ");
	CHECK_EQ(((struct kvm_run *)all)->exit_reason, KVM_EXIT_IO);
}

/* A page is reported once, and again when it was reset and written again. */
static void entries(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring;
	unsigned int i;

	BOOT(&vm, &vcpu, &ring, write_code);
	for (i = 0; i < 3; i++) {
		set_regs(&vcpu, SLOT_AT + 7 * 0x1000, 0);
		vcpu_expect_out(&vcpu, 0x10, 1);
		set_regs(&vcpu, SLOT_AT + 3 * 0x1000 + 8, 0);
		vcpu_expect_out(&vcpu, 0x10, 1);
		set_regs(&vcpu, SLOT_AT + 7 * 0x1000 + 16, 0);
		vcpu_expect_out(&vcpu, 0x10, 1);
		expect_page(&ring, 7);
		/* Only what was harvested is reset. */
		CHECK_EQ(XIOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0), 1);
		CHECK_EQ(XIOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0), 0);
		expect_page(&ring, 3);
		expect_empty(&ring);
		CHECK_EQ(XIOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0), 1);
	}
	/* Across two pages: both. */
	set_regs(&vcpu, SLOT_AT + 0x8ffe, 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	expect_page(&ring, 8);
	expect_page(&ring, 9);
	expect_empty(&ring);
}

/* There is no bitmap then. */
static void no_log(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring;
	uint8_t bitmap[SLOT_PAGES / 8];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	struct kvm_clear_dirty_log clear = { .slot = 1, .num_pages = 64, .dirty_bitmap = bitmap };

	BOOT(&vm, &vcpu, &ring, write_code);
	CHECK(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log) == -1 && errno == ENXIO, "a log: %s",
	      strerror(errno));
	CHECK(ioctl(vm.fd, KVM_CLEAR_DIRTY_LOG, &clear) == -1 && errno == ENXIO, "a log: %s",
	      strerror(errno));
}

/* Runs the code until it is through; returns how often the ring was full. Pages in order. */
static unsigned int run_through(struct vm *vm, struct vcpu *vcpu, struct ring *ring,
				unsigned int pages)
{
	unsigned int full = 0, seen = 0, before;
	uint32_t slot;
	uint64_t page;
	int reason;

	do {
		reason = vcpu_run(vcpu);
		if (reason == KVM_EXIT_DIRTY_RING_FULL) {
			full++;
			/* Until it was reset there is no going on. */
			CHECK_EQ(vcpu_run(vcpu), KVM_EXIT_DIRTY_RING_FULL);
		} else {
			CHECK(reason == KVM_EXIT_IO, "%s", exit_name(reason));
		}
		for (before = seen; harvest(ring, &slot, &page); seen++) {
			CHECK_EQ(slot, 1);
			CHECK_EQ(page, seen);
		}
		CHECK_EQ(XIOCTL(vm->fd, KVM_RESET_DIRTY_RINGS, 0), seen - before);
		if (reason == KVM_EXIT_DIRTY_RING_FULL)
			CHECK(seen - before >= RING_ENTRIES / 4 && seen - before <= RING_ENTRIES,
			      "%u entries made the ring full", seen - before);
	} while (reason != KVM_EXIT_IO);
	CHECK_EQ(seen, pages);
	return full;
}

static void full(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring;
	uint8_t *memory;
	unsigned int i;

	memory = BOOT(&vm, &vcpu, &ring, pages_code);
	set_regs(&vcpu, SLOT_AT, SLOT_PAGES);
	CHECK(run_through(&vm, &vcpu, &ring, SLOT_PAGES) >= SLOT_PAGES / RING_ENTRIES,
	      "the ring was never full");
	for (i = 0; i < SLOT_PAGES; i++)
		CHECK(memory[i * 0x1000] == 1, "page %u was written %u times", i,
		      memory[i * 0x1000]);
}

/* One instruction that writes more pages than there are entries. */
static void full_string(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring;
	uint8_t *memory;
	unsigned int i;

	memory = BOOT(&vm, &vcpu, &ring, string_code);
	set_regs(&vcpu, SLOT_AT, SLOT_BYTES);
	CHECK(run_through(&vm, &vcpu, &ring, SLOT_PAGES) >= SLOT_PAGES / RING_ENTRIES,
	      "the ring was never full");
	for (i = 0; i < SLOT_BYTES; i += 0x7ff)
		CHECK(memory[i] == 0x77, "byte %#x", i);
}

/*
 * Accessed bits alone fill a ring as well: by reads, by fetches, by what the CPU reads for itself.
 * Each pass goes through a page of page tables; all of them lie in the logged slot.
 */
GUEST(walk_code, 64, "1: mov (%rbx), %eax; add $0x200000, %rbx; dec %rcx; jnz 1b; out %al, $0x10");
GUEST(fetch_code, 64, "add $0x200000, %rbx; dec %rcx; jz 1f; jmp *%rbx; 1: out %al, $0x10");
GUEST(system_code, 64,
      "movw $0x7f, 0xa000; mov $0x10, %edx\n"
      "1: mov %rbx, 0xa002; lgdt 0xa000; mov %edx, %fs; add $0x200000, %rbx; dec %rcx; jnz 1b\n"
      "out %al, $0x10");

#define TABLES 3000
#define TABLES_FIRST 16
#define TABLES_AT (1ULL << 39)

/* TABLES pages from TABLES_AT on, 2 MiB apart, each the guest's page at @gpa. */
static void map_tables(struct vm *vm, uint8_t *memory, uint64_t gpa)
{
	uint64_t *pml4 = (void *)(vm->ram + GUEST_PML4), *table = (void *)memory;

	pml4[1] = SLOT_AT | 3;
	for (unsigned int i = 0; i < TABLES; i++) {
		table[i / 512] = (SLOT_AT + (1 + i / 512) * 0x1000) | 3;
		table[(1 + i / 512) * 512 + i % 512] = (SLOT_AT + (TABLES_FIRST + i) * 0x1000) | 3;
		table[(TABLES_FIRST + i) * 512] = gpa | 3;
	}
}

static const struct walk {
	const char *name;
	const uint8_t *code, *end;
	uint64_t gpa, rip;
} walks[] = {
	{ "reads", walk_code, walk_code_end, GUEST_DATA, GUEST_CODE },
	{ "fetches", fetch_code, fetch_code_end, GUEST_CODE, TABLES_AT },
	{ "descriptors", system_code, system_code_end, GUEST_GDT, GUEST_CODE },
};

static void full_of_walks(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(walks); i++) {
		const struct walk *walk = &walks[i];
		bool seen[SLOT_PAGES] = { false };
		unsigned int full = 0, missing = 0, n;
		struct kvm_regs regs;
		struct vm vm;
		struct vcpu vcpu;
		struct ring ring;
		uint32_t slot;
		uint64_t page;
		int reason;

		map_tables(&vm, boot(&vm, &vcpu, &ring, walk->code, walk->end), walk->gpa);
		set_regs(&vcpu, TABLES_AT, TABLES);
		vcpu_get_regs(&vcpu, &regs);
		regs.rip = walk->rip;
		vcpu_set_regs(&vcpu, &regs);
		do {
			reason = vcpu_run(&vcpu);
			full += reason == KVM_EXIT_DIRTY_RING_FULL;
			for (n = 0; harvest(&ring, &slot, &page); n++) {
				CHECK_EQ(slot, 1);
				seen[page] = true;
			}
			CHECK_EQ(XIOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0), n);
		} while (reason == KVM_EXIT_DIRTY_RING_FULL);
		CHECK(reason == KVM_EXIT_IO, "%s: %s", walk->name, exit_name(reason));
		for (n = 0; n < TABLES; n++)
			missing += !seen[TABLES_FIRST + n];
		case_row(full && !missing, walk->name, "%u times full, %u pages missing", full,
			 missing);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

/* Every kind of write, each to a page of its own. */
GUEST(kinds_code, 64,
      "mov %rbx, %rsi\n"
      "incl (%rsi); add $0x1000, %rsi\n"
      "lock xadd %eax, (%rsi); add $0x1000, %rsi\n"
      "xchg %eax, (%rsi); add $0x1000, %rsi\n"
      "xorps %xmm0, %xmm0; movups %xmm0, (%rsi); add $0x1000, %rsi\n"
      "fxsave (%rsi); add $0x1000, %rsi\n"
      "mov %rsp, %rbp; lea 0x1000(%rsi), %rsp; push %rax; mov %rbp, %rsp; add $0x1000, %rsi\n"
      "mov %rsi, %rdi; movsb; mov %rdi, %rsi; and $-4096, %rsi; add $0x1000, %rsi\n"
      "sidt (%rsi); add $0x1000, %rsi\n"
      "mov $0x11, %edx; mov %rsi, %rdi; mov $3, %ecx; rep insb; add $0x1000, %rsi\n"
      "mov %rax, %rax; lock cmpxchg8b (%rsi); add $0x1000, %rsi\n"
      "setc (%rsi)\n"
      "out %al, $0x10");
#define KINDS 11

static void kinds(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring;
	unsigned int i;
	int reason;

	BOOT(&vm, &vcpu, &ring, kinds_code);
	set_regs(&vcpu, SLOT_AT, 0);
	do {
		reason = vcpu_run(&vcpu);
		CHECK(reason == KVM_EXIT_IO, "%s", exit_name(reason));
	} while (vcpu.run->io.port != 0x10);
	for (i = 0; i < KINDS; i++)
		expect_page(&ring, i);
	expect_empty(&ring);
}

/* The accessed and dirty bits that the page walk sets, and the clock page. */
GUEST(touch_code, 64, "mov %eax, 0x40000; out %al, $0x10; hlt");

static bool was_harvested(struct ring *ring, unsigned int count, uint64_t page)
{
	for (unsigned int i = 0; i < count; i++)
		if (ring->entry[i].slot == 0 && ring->entry[i].offset == page)
			return true;
	return false;
}

static void walker_and_clock(void)
{
	const uint64_t pte = 0x40000 | 0x07;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = 0x4b564d01, .data = 0x50001 } };
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring;
	unsigned int count = 0;
	uint32_t slot;
	uint64_t page;

	BOOT(&vm, &vcpu, &ring, touch_code);
	CHECK_EQ(-vm_set_slot(&vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_BYTES, vm.ram), 0);
	memcpy(vm.ram + GUEST_PT + 0x40 * 8, &pte, 8);
	CHECK_EQ(XIOCTL(vcpu.fd, KVM_SET_MSRS, &msrs), 1);
	vcpu_expect_out(&vcpu, 0x10, 1);
	while (harvest(&ring, &slot, &page))
		count++;
	CHECK(was_harvested(&ring, count, 0x40), "the page");
	CHECK(was_harvested(&ring, count, GUEST_PT >> 12), "its page table");
	CHECK(was_harvested(&ring, count, 0x50), "the clock's page");
}

/* What the client writes into the ring is believed as little as possible. */
static void hostile(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring;
	unsigned int i;
	int reset;

	BOOT(&vm, &vcpu, &ring, write_code);
	set_regs(&vcpu, SLOT_AT, 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	for (i = 0; i < RING_ENTRIES; i++) {
		ring.entry[i].slot = i * 0x01234567;
		ring.entry[i].offset = ~(uint64_t)i << i % 64;
		ring.entry[i].flags = ~0u;
	}
	reset = XIOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0);
	CHECK(reset >= 1, "nothing was reset");
	/* It goes on all the same: page 0 was not reset, since its entry said something else. */
	ring.next = reset;
	memset(ring.entry, 0, RING_BYTES);
	set_regs(&vcpu, SLOT_AT + 0x5000, 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	/* The slot of an entry may be gone before it is reset. */
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, SLOT_AT, 0, NULL), 0);
	ring.entry[ring.next % RING_ENTRIES].flags = KVM_DIRTY_GFN_F_RESET;
	XIOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0);
}

/* Each vCPU has its own. */
static void two_rings(void)
{
	struct vm vm;
	struct vcpu vcpu[2];
	struct ring ring[2];

	BOOT(&vm, &vcpu[0], &ring[0], write_code);
	vcpu_create(&vm, &vcpu[1], 1);
	ring[1].next = 0;
	ring[1].entry = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu[1].fd,
			     KVM_DIRTY_LOG_PAGE_OFFSET * 0x1000);
	VCPU_LOAD(&vcpu[1], MODE_LONG, write_code);
	for (unsigned int i = 0; i < 2; i++) {
		set_regs(&vcpu[i], SLOT_AT + (i + 1) * 0x1000, 0);
		vcpu_expect_out(&vcpu[i], 0x10, 1);
	}
	expect_page(&ring[0], 1);
	expect_empty(&ring[0]);
	expect_page(&ring[1], 2);
	expect_empty(&ring[1]);
	CHECK_EQ(XIOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0), 2);
}

/* The bitmap besides, for writes of no vCPU: before the first slot only. */
/* A vCPU with a ring, and slot 1, which has a bitmap as well. */
static void boot_with_bitmap(struct vm *vm, struct vcpu *vcpu, struct ring *ring)
{
	CHECK_EQ(-enable(vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0), 0);
	CHECK_EQ(-vm_set_slot(vm, 0, 0, 0, RAM_BYTES, vm->ram), 0);
	CHECK_EQ(-vm_set_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, SLOT_AT, SLOT_BYTES,
			      pages_alloc(SLOT_BYTES)),
		 0);
	vcpu_create(vm, vcpu, 0);
	ring->entry = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd,
			   KVM_DIRTY_LOG_PAGE_OFFSET * 0x1000);
	VCPU_LOAD(vcpu, MODE_LONG, write_code);
}

static void with_bitmap(void)
{
	uint64_t bitmap[SLOT_PAGES / 64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring = { 0 };

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, RING_BYTES), 0);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0), EINVAL);
	CHECK_EQ(-vm_set_slot(&vm, 0, 0, 0, 0, NULL), 0);
	boot_with_bitmap(&vm, &vcpu, &ring);
	set_regs(&vcpu, SLOT_AT + 0x2000, 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	expect_page(&ring, 2);
	memset(bitmap, 0xff, sizeof(bitmap));
	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	for (size_t i = 0; i < ARRAY_SIZE(bitmap); i++)
		CHECK_EQ(bitmap[i], 0);
}

/* A log that starts full is the client's to clear; the rings have nothing to do with that. */
static void bitmap_initially_set(void)
{
	uint64_t bitmap[SLOT_PAGES / 64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	struct kvm_clear_dirty_log clear = { .slot = 1,
					     .num_pages = SLOT_PAGES,
					     .dirty_bitmap = bitmap };
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring = { 0 };

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
	CHECK_EQ(-enable(&vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3), 0);
	CHECK_EQ(-enable(&vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, RING_BYTES), 0);
	CHECK_EQ(-vm_set_slot(&vm, 0, 0, 0, 0, NULL), 0);
	boot_with_bitmap(&vm, &vcpu, &ring);
	for (int i = 0; i < 2; i++) {
		XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
		for (size_t j = 0; j < ARRAY_SIZE(bitmap); j++)
			CHECK_EQ(bitmap[j], ~0ULL);
	}
	XIOCTL(vm.fd, KVM_CLEAR_DIRTY_LOG, &clear);
	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	for (size_t j = 0; j < ARRAY_SIZE(bitmap); j++)
		CHECK_EQ(bitmap[j], 0);
	set_regs(&vcpu, SLOT_AT + 0x2000, 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	expect_page(&ring, 2);
}

/* A thread resets while the guest writes round and round: no page's last write goes unreported. */
GUEST(round_code, 64,
      "mov %rbx, %r8; mov %rcx, %r9; xor %eax, %eax\n"
      "1: inc %eax; mov %r8, %rbx; mov %r9, %rcx\n"
      "2: mov %eax, (%rbx); add $0x1000, %rbx; dec %rcx; jnz 2b\n"
      "cmp $300, %eax; jb 1b; out %al, $0x10");
#define ROUND_PAGES 100

struct collector {
	struct vm *vm;
	struct ring *ring;
	uint8_t *memory;
	uint32_t copy[ROUND_PAGES];
	bool dirty[ROUND_PAGES];
	volatile bool stop;
};

static void collect(struct collector *c)
{
	uint32_t slot;
	uint64_t page;

	while (harvest(c->ring, &slot, &page))
		c->dirty[page] = true;
	XIOCTL(c->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
	for (unsigned int i = 0; i < ROUND_PAGES; i++) {
		if (c->dirty[i])
			c->copy[i] = *(volatile uint32_t *)(c->memory + i * 0x1000);
		c->dirty[i] = false;
	}
}

static void *collector(void *argument)
{
	struct collector *c = argument;

	while (!c->stop)
		collect(c);
	return NULL;
}

static void reset_while_running(void)
{
	static struct collector c;
	struct vm vm;
	struct vcpu vcpu;
	struct ring ring;
	pthread_t thread;
	int reason;

	c = (struct collector){ .vm = &vm, .ring = &ring };
	c.memory = BOOT(&vm, &vcpu, &ring, round_code);
	set_regs(&vcpu, SLOT_AT, ROUND_PAGES);
	pthread_create(&thread, NULL, collector, &c);
	while ((reason = vcpu_run(&vcpu)) == KVM_EXIT_DIRTY_RING_FULL)
		sleep_ms(1);
	CHECK(reason == KVM_EXIT_IO, "%s", exit_name(reason));
	c.stop = true;
	pthread_join(thread, NULL);
	collect(&c);
	for (unsigned int i = 0; i < ROUND_PAGES; i++)
		CHECK(c.copy[i] == 300, "page %u: %u was copied last", i, c.copy[i]);
}

static const struct test_case cases[] = {
	{ "capability", capability },
	{ "mapping", mapping },
	{ "entries", entries },
	{ "no_log", no_log },
	{ "full", full },
	{ "full_string", full_string },
	{ "full_of_walks", full_of_walks },
	{ "kinds", kinds },
	{ "walker_and_clock", walker_and_clock },
	{ "hostile", hostile },
	{ "two_rings", two_rings },
	{ "with_bitmap", with_bitmap },
	{ "bitmap_initially_set", bitmap_initially_set },
	{ "reset_while_running", reset_while_running },
};
CASES_MAIN(cases)
