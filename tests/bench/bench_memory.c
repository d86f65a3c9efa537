// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What memory management costs: the attribute of a terabyte in one call, those of pages here and
 * there in a call each, harvesting the dirty log of a 4 GiB slot with one page in a hundred dirty,
 * and how much slower a guest stores while it is logged and harvested ten times a second.
 *
 *   fauxkvm run [--engine=ENGINE] -- bench-memory
 */
#include <malloc.h>
#include <pthread.h>

#include "../clients/kvm_client.h"

#define PAGE 0x1000ULL
#define GIB (1ULL << 30)
#define SLOT_AT (4 * GIB)
#define SLOT_BYTES (4 * GIB)
#define SLOT_PAGES (SLOT_BYTES / PAGE)
#define ROUNDS 15
#define STORE_BYTES (64ULL << 20)
#define STORE_PASSES 40

/* Each page in RCX steps of RDX bytes from RBX on is written once. */
GUEST(touch_code, 64, "1: movb $1, (%rbx); add %rdx, %rbx; dec %rcx; jnz 1b; out %al, $0x10");
/* RDX passes of stores to all cache lines from RBX on, RCX of them. */
GUEST(store_code, 64,
      "1: mov %rbx, %rdi; mov %rcx, %rsi\n"
      "2: mov %rdx, (%rdi); mov %rsi, 8(%rdi); add $64, %rdi; dec %rsi; jnz 2b\n"
      "dec %rdx; jnz 1b; out %al, $0x10");

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint64_t median(uint64_t *values, unsigned int count)
{
	qsort(values, count, sizeof(values[0]), compare);
	return values[count / 2];
}

static void terabyte(void)
{
	const uint64_t tib = 1ULL << 40;
	struct kvm_memory_attributes args = { .address = tib, .size = tib };
	uint64_t took[ROUNDS];
	size_t before, grown;
	int kvm = kvm_open(), vm = ioctl(kvm, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM);

	if (vm < 0) {
		puts("attribute of 1 TiB: no KVM_X86_SW_PROTECTED_VM");
		return;
	}
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start = now_ns();

		args.attributes = i & 1 ? 0 : KVM_MEMORY_ATTRIBUTE_PRIVATE;
		XIOCTL(vm, KVM_SET_MEMORY_ATTRIBUTES, &args);
		took[i] = now_ns() - start;
	}
	grown = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	printf("attribute of 1 TiB: median %.1f us, %zu bytes\n", median(took, ROUNDS) / 1e3,
	       grown);
	close(vm);
	close(kvm);
}

/* Every other page of 2 GiB in no order becomes private. */
static void scattered(void)
{
	const uint64_t count = 1 << 18;
	struct kvm_memory_attributes args = {
		.size = PAGE,
		.attributes = KVM_MEMORY_ATTRIBUTE_PRIVATE,
	};
	int kvm = kvm_open(), vm = ioctl(kvm, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM);
	uint64_t start = now_ns();

	for (uint64_t i = 0; vm >= 0 && i < count; i++) {
		args.address = i * 40503 % count * 2 * PAGE;
		XIOCTL(vm, KVM_SET_MEMORY_ATTRIBUTES, &args);
		if (i + 1 == count / 8 || i + 1 == count)
			printf("attributes of %llu scattered pages: %.3f s\n",
			       (unsigned long long)i + 1, (now_ns() - start) / 1e9);
	}
	if (vm >= 0)
		close(vm);
	close(kvm);
}

/* SLOT_AT on is mapped by 2 MiB pages, whose tables are in free RAM. */
static uint8_t *boot(struct vm *vm, struct vcpu *vcpu)
{
	uint8_t *memory = pages_alloc(SLOT_BYTES);

	vm_create(vm);
	for (uint64_t gib = 0; gib < 4; gib++) {
		uint64_t *pdpt = (uint64_t *)(vm->ram + GUEST_PDPT);
		uint64_t *table = (uint64_t *)(vm->ram + GUEST_FREE + gib * PAGE);

		pdpt[4 + gib] = (GUEST_FREE + gib * PAGE) | 7;
		for (uint64_t i = 0; i < 512; i++)
			table[i] = (SLOT_AT + gib * GIB + (i << 21)) | 0x87;
	}
	vcpu_create(vm, vcpu, 0);
	vcpu_set_cpuid(vcpu);
	return memory;
}

static uint64_t run(struct vcpu *vcpu, const uint8_t *code, const uint8_t *end, uint64_t count,
		    uint64_t rdx)
{
	struct kvm_regs regs;
	uint64_t start;

	vcpu_load(vcpu, MODE_LONG, code, end);
	vcpu_get_regs(vcpu, &regs);
	regs.rbx = SLOT_AT;
	regs.rcx = count;
	regs.rdx = rdx;
	vcpu_set_regs(vcpu, &regs);
	start = now_ns();
	vcpu_expect_out(vcpu, 0x10, 1);
	return now_ns() - start;
}

static void set_slot(struct vm *vm, uint32_t flags, uint8_t *memory)
{
	int error = vm_set_slot(vm, 1, flags, SLOT_AT, SLOT_BYTES, memory);

	if (error)
		FAIL("slot: %s", strerror(-error));
}

static uint64_t bitmap[SLOT_PAGES / 64];

static void harvest(struct vm *vm)
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	XIOCTL(vm->fd, KVM_GET_DIRTY_LOG, &log);
}

static void harvests(struct vm *vm, struct vcpu *vcpu, uint8_t *memory)
{
	uint64_t took[ROUNDS], dirty = 0;

	set_slot(vm, KVM_MEM_LOG_DIRTY_PAGES, memory);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start;

		run(vcpu, touch_code, touch_code_end, SLOT_PAGES / 100, 100 * PAGE);
		start = now_ns();
		harvest(vm);
		took[i] = now_ns() - start;
		dirty = 0;
		for (size_t word = 0; word < ARRAY_SIZE(bitmap); word++)
			dirty += __builtin_popcountll(bitmap[word]);
	}
	printf("harvest of 4 GiB with %llu dirty pages: median %.3f ms\n",
	       (unsigned long long)dirty, median(took, ROUNDS) / 1e6);
}

static volatile bool stop;

static void *harvester(void *argument)
{
	while (!stop) {
		harvest(argument);
		sleep_ms(100);
	}
	return NULL;
}

static void slowdown(struct vm *vm, struct vcpu *vcpu, uint8_t *memory)
{
	const uint64_t lines = STORE_BYTES / 64;
	uint64_t plain, logged;
	pthread_t thread;

	set_slot(vm, 0, memory);
	run(vcpu, store_code, store_code_end, lines, 2);
	plain = run(vcpu, store_code, store_code_end, lines, STORE_PASSES);
	set_slot(vm, KVM_MEM_LOG_DIRTY_PAGES, memory);
	run(vcpu, store_code, store_code_end, lines, 2);
	pthread_create(&thread, NULL, harvester, vm);
	logged = run(vcpu, store_code, store_code_end, lines, STORE_PASSES);
	stop = true;
	pthread_join(thread, NULL);
	printf("stores: %.0f ms, %.0f ms while logged: %.2f times\n", plain / 1e6, logged / 1e6,
	       (double)logged / plain);
}

int main(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory;

	terabyte();
	scattered();
	memory = boot(&vm, &vcpu);
	harvests(&vm, &vcpu, memory);
	slowdown(&vm, &vcpu, memory);
	return 0;
}
