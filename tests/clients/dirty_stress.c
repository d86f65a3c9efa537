// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two vCPUs write at random in every way while the client harvests as a live migration does: in the
 * end its copy is what memory is, page tables and code included.
 */
#include <pthread.h>

#include "kvm_client.h"

#define PAGE 0x1000ULL
#define SLOT_AT 0x40000000ULL
#define SLOT_PAGES 2048
#define SLOT_BYTES (SLOT_PAGES * PAGE)
#define TABLES_AT 0x100000ULL /* of the slot, in RAM */
#define RING_BYTES 16384
#define RING_ENTRIES (RING_BYTES / sizeof(struct kvm_dirty_gfn))
#define VCPUS 2
#define SLOTS 2
#define ROUNDS 150000

/*
 * R8: random (xorshift); RCX: rounds. Which page, where in its first half and how it is written are
 * taken from R8. Each page has room for code at 0x900, where all vCPUs write the same.
 */
GUEST(write_code, 64,
      "1: mov %r8, %rax; shl $13, %rax; xor %rax, %r8\n"
      "mov %r8, %rax; shr $7, %rax; xor %rax, %r8\n"
      "mov %r8, %rax; shl $17, %rax; xor %rax, %r8\n"
      "mov %r8, %rbx; and $2047, %rbx; shl $12, %rbx; add $0x40000000, %rbx\n"
      "mov %r8, %rdx; shr $20, %rdx; and $0x7f8, %rdx; add %rdx, %rbx\n"
      "mov %r8, %rdx; shr $40, %rdx; and $15, %rdx\n"
      "cmp $1, %rdx; jb 10f; je 11f; cmp $3, %rdx; jb 12f; je 13f\n"
      "cmp $5, %rdx; jb 14f; je 15f\n"
      "mov %r8, (%rbx); jmp 9f\n"
      "10: lock incq (%rbx); jmp 9f\n"
      "11: movq %r8, %xmm0; movups %xmm0, (%rbx); jmp 9f\n"
      "12: mov %rcx, %r9; mov %rbx, %rdi; mov $16, %ecx; mov %r8, %rax; rep stosq\n"
      "mov %r9, %rcx; jmp 9f\n"
      "13: mov %cr3, %rax; mov %rax, %cr3; jmp 9f\n"
      "14: and $-4096, %rbx; movb $0xc3, 0x900(%rbx); add $0x900, %rbx; call *%rbx; jmp 9f\n"
      "15: invlpg (%rbx); mov %r8, %rax; xchg %rax, (%rbx)\n"
      "9: dec %rcx; jnz 1b; out %al, $0x10");

static struct vm vm;
static struct vcpu vcpus[VCPUS];
static struct {
	struct kvm_dirty_gfn *entry;
	unsigned int next;
} rings[VCPUS];
static struct {
	uint8_t *memory, *copy;
	unsigned int pages;
	uint8_t dirty[SLOT_PAGES];
} slots[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile bool stop;
static enum { RING, LOG, LOG_CLEARED } how;

static void reap_ring(unsigned int i, int *total)
{
	for (;; rings[i].next++, ++*total) {
		struct kvm_dirty_gfn *entry = &rings[i].entry[rings[i].next % RING_ENTRIES];

		if (__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			return;
		slots[entry->slot].dirty[entry->offset] = 1;
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
}

/* What was handed out is what is taken back, at any time. */
static void reap_rings(void)
{
	int total = 0;

	for (unsigned int i = 0; i < VCPUS; i++)
		reap_ring(i, &total);
	if (total)
		CHECK_EQ(XIOCTL(vm.fd, KVM_RESET_DIRTY_RINGS, 0), total);
}

/* The second half is cleared by itself, as who sends a part at a time does. */
static void reap_log(unsigned int i)
{
	static uint64_t bitmap[SLOT_PAGES / 64];
	struct kvm_dirty_log log = { .slot = i, .dirty_bitmap = bitmap };
	struct kvm_clear_dirty_log clear = { .slot = i, .num_pages = slots[i].pages / 2 };

	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	for (unsigned int half = 0; how == LOG_CLEARED && half < 2; half++) {
		clear.first_page = half * clear.num_pages;
		clear.dirty_bitmap = bitmap + clear.first_page / 64;
		XIOCTL(vm.fd, KVM_CLEAR_DIRTY_LOG, &clear);
	}
	for (unsigned int page = 0; page < slots[i].pages; page++)
		slots[i].dirty[page] |= bitmap[page / 64] >> page % 64 & 1;
}

static void reap(void)
{
	pthread_mutex_lock(&lock);
	if (how == RING)
		reap_rings();
	for (unsigned int i = 0; how != RING && i < SLOTS; i++)
		reap_log(i);
	pthread_mutex_unlock(&lock);
}

static void copy_dirty(void)
{
	static uint8_t dirty[SLOT_PAGES];

	reap();
	for (unsigned int i = 0; i < SLOTS; i++) {
		pthread_mutex_lock(&lock);
		memcpy(dirty, slots[i].dirty, sizeof(dirty));
		memset(slots[i].dirty, 0, sizeof(slots[i].dirty));
		pthread_mutex_unlock(&lock);
		for (unsigned int page = 0; page < slots[i].pages; page++)
			if (dirty[page])
				memcpy(slots[i].copy + page * PAGE, slots[i].memory + page * PAGE,
				       PAGE);
	}
}

static void *collector(void *argument)
{
	for (unsigned int i = 0; !stop; i++) {
		copy_dirty();
		if (i % 3 == 0)
			sleep_ms(1);
	}
	return argument;
}

static void *runner(void *vcpu)
{
	int reason;

	while ((reason = vcpu_run(vcpu)) == KVM_EXIT_DIRTY_RING_FULL)
		reap();
	CHECK(reason == KVM_EXIT_IO, "%s", exit_name(reason));
	return NULL;
}

static void boot(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
				      .args[0] = RING_BYTES };
	uint64_t *directory, *table;

	vm_create(&vm);
	if (how == RING)
		VM_NEED_CAP(&vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL);
	if (how == LOG_CLEARED) {
		cap.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
		cap.args[0] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
	}
	if (how != LOG)
		XIOCTL(vm.fd, KVM_ENABLE_CAP, &cap);
	slots[0].memory = vm.ram;
	slots[0].pages = RAM_BYTES / PAGE;
	slots[1].memory = pages_alloc(SLOT_BYTES);
	slots[1].pages = SLOT_PAGES;
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, slots[1].memory), 0);
	for (unsigned int i = 0; i < VCPUS; i++) {
		vcpu_create(&vm, &vcpus[i], i);
		if (how == RING)
			rings[i].entry = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
					      vcpus[i].fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
		CHECK(rings[i].entry != MAP_FAILED, "mmap of the ring: %s", strerror(errno));
		VCPU_LOAD(&vcpus[i], MODE_LONG, write_code);
	}
	directory = (void *)(vm.ram + GUEST_PD + PAGE);
	table = (void *)(vm.ram + TABLES_AT);
	for (uint64_t i = 0; i < SLOT_PAGES; i++) {
		directory[i / 512] = (TABLES_AT + i / 512 * PAGE) | 7;
		table[i] = (SLOT_AT + i * PAGE) | 7;
	}
}

static void migrate(void)
{
	pthread_t threads[VCPUS], thread;
	struct kvm_regs regs;
	unsigned int lost = 0;

	boot();
	for (unsigned int i = 0; i < VCPUS; i++) {
		vcpu_get_regs(&vcpus[i], &regs);
		regs.r8 = 88172645463325252ULL + now_ns() + i;
		regs.rcx = ROUNDS;
		regs.rsp = GUEST_STACK - i * 0x400;
		vcpu_set_regs(&vcpus[i], &regs);
		pthread_create(&threads[i], NULL, runner, &vcpus[i]);
	}
	sleep_ms(5);
	/* Logging begins while they run: from then on nothing is missed, before that is copied. */
	for (unsigned int i = 0; i < SLOTS; i++) {
		slots[i].copy = pages_alloc(slots[i].pages * PAGE);
		CHECK_EQ(-vm_set_slot(&vm, i, KVM_MEM_LOG_DIRTY_PAGES, i ? SLOT_AT : 0,
				      slots[i].pages * PAGE, slots[i].memory),
			 0);
		memset(slots[i].dirty, 1, sizeof(slots[i].dirty));
	}
	pthread_create(&thread, NULL, collector, NULL);
	for (unsigned int i = 0; i < VCPUS; i++)
		pthread_join(threads[i], NULL);
	stop = true;
	pthread_join(thread, NULL);
	copy_dirty();
	for (unsigned int i = 0; i < SLOTS; i++)
		for (unsigned int page = 0; page < slots[i].pages; page++)
			lost += !!memcmp(slots[i].copy + page * PAGE, slots[i].memory + page * PAGE,
					 PAGE);
	CHECK(!lost, "%u pages are not what was copied last", lost);
}

static void log_at_once(void)
{
	how = LOG;
	migrate();
}

static void log_cleared(void)
{
	how = LOG_CLEARED;
	migrate();
}

static const struct test_case cases[] = {
	{ "ring", migrate },
	{ "log", log_at_once },
	{ "log_cleared", log_cleared },
};
CASES_MAIN(cases)
