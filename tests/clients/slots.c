// SPDX-License-Identifier: GPL-2.0-or-later
/* Many slots, far slots, slots side by side, and slots that change under a running guest. */
#include <pthread.h>
#include <time.h>

#include "kvm_client.h"

#define PAGE 0x1000ULL
#define FAR_AT 0x100000000ULL

/* Reads and tells the quadword at RBX, or writes RAX there, each time it is run. */
GUEST(read_code, 64,
      "1: mov (%rbx), %rax; out %eax, $0x10; shr $32, %rax; out %eax, $0x11; jmp 1b");
GUEST(write_code, 64, "1: mov %rax, (%rbx); out %al, $0x10; jmp 1b");

static void set_regs(struct vcpu *vcpu, uint64_t rbx, uint64_t rax)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rbx = rbx;
	regs.rax = rax;
	regs.rip = GUEST_CODE;
	vcpu_set_regs(vcpu, &regs);
}

static void put64(struct vm *vm, uint64_t gpa, uint64_t value)
{
	memcpy(vm->ram + gpa, &value, sizeof(value));
}

/* Maps the GiB of linear address 0x100000000 (PDPT entry 4) to @gpa by 2 MiB pages. */
static void map_far(struct vm *vm, uint64_t gpa)
{
	put64(vm, GUEST_PDPT + 4 * 8, GUEST_FREE | 7);
	for (uint64_t i = 0; i < 512; i++)
		put64(vm, GUEST_FREE + i * 8, (gpa + (i << 21)) | 0x87);
}

static void boot(struct vm *vm, struct vcpu *vcpu)
{
	vm_create(vm);
	vcpu_create(vm, vcpu, 0);
	vcpu_set_cpuid(vcpu);
	vcpu_set_mode(vcpu, MODE_LONG, GUEST_CODE);
	map_far(vm, FAR_AT);
}

static uint64_t guest_read(struct vcpu *vcpu, uint64_t at)
{
	uint64_t low;

	vm_load(vcpu->vm, GUEST_CODE, read_code, read_code_end);
	set_regs(vcpu, at, 0);
	low = vcpu_expect_out(vcpu, 0x10, 4);
	return low | (uint64_t)vcpu_expect_out(vcpu, 0x11, 4) << 32;
}

static void guest_write(struct vcpu *vcpu, uint64_t at, uint64_t value)
{
	vm_load(vcpu->vm, GUEST_CODE, write_code, write_code_end);
	set_regs(vcpu, at, value);
	vcpu_expect_out(vcpu, 0x10, 1);
}

/* CPU time of this process, whatever else the machine does. */
static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* All slots that there can be, a page each with a hole behind it. A slow machine leaves some out. */
static void all(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory;
	uint64_t slots, step = 2 * time_scale() - 1;
	uint64_t start = cpu_ns();

	boot(&vm, &vcpu);
	slots = vm_cap(&vm, KVM_CAP_NR_MEMSLOTS);
	CHECK(slots >= 32, "%llu slots", (unsigned long long)slots);
	memory = pages_alloc(slots * PAGE);
	for (uint64_t i = 1; i < slots; i += step) {
		uint8_t *page = memory + i / step * PAGE;

		*(uint64_t *)page = i;
		CHECK_EQ(-vm_set_slot(&vm, i, 0, FAR_AT + i * 2 * PAGE, PAGE, page), 0);
	}
	CHECK_EQ(-vm_set_slot(&vm, slots, 0, 1ULL << 35, PAGE, memory), EINVAL);
	for (uint64_t i = 1; i < slots; i += 97 * step)
		CHECK_EQ(guest_read(&vcpu, FAR_AT + i * 2 * PAGE), i);
	set_regs(&vcpu, FAR_AT + 3 * PAGE, 0);
	vm_load(&vm, GUEST_CODE, read_code, read_code_end);
	vcpu_expect_mmio(&vcpu, false, FAR_AT + 3 * PAGE, 8);
	vcpu_answer_mmio(&vcpu, 0);
	for (uint64_t i = 1; i < slots; i += step)
		CHECK_EQ(-vm_set_slot(&vm, i, 0, 0, 0, NULL), 0);
	CHECK(cpu_ns() - start < 10000000000ULL * time_scale(), "%llu ms",
	      (unsigned long long)(cpu_ns() - start) / 1000000);
}

/* The end of the guest's physical addresses. */
static void last_page(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory = pages_alloc(PAGE);
	unsigned int bits = 36;
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[256];
	} cpuid = { .head.nent = 256 };
	uint64_t top;

	boot(&vm, &vcpu);
	XIOCTL(vcpu.fd, KVM_GET_CPUID2, &cpuid);
	for (unsigned int i = 0; i < cpuid.head.nent; i++)
		if (cpuid.entry[i].function == 0x80000008)
			bits = cpuid.entry[i].eax & 0xff;
	top = 1ULL << bits;
	map_far(&vm, top - (1ULL << 30));
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, top - PAGE, PAGE, memory), 0);
	guest_write(&vcpu, FAR_AT + (1ULL << 30) - 8, 0x123456789abcdef0);
	CHECK_EQ(*(uint64_t *)(memory + PAGE - 8), 0x123456789abcdef0);
	CHECK_EQ(guest_read(&vcpu, FAR_AT + (1ULL << 30) - 8), 0x123456789abcdef0);
	/* Beyond what any page table can name there is no slot. */
	CHECK_EQ(-vm_set_slot(&vm, 2, 0, 1ULL << 52, PAGE, memory), EINVAL);
	CHECK_EQ(-vm_set_slot(&vm, 2, 0, -PAGE, PAGE, memory), EINVAL);
	CHECK_EQ(-vm_set_slot(&vm, 2, 0, -PAGE, 2 * PAGE, memory), EINVAL);
}

/* One access on two slots whose host memory lies apart. */
static void adjacent(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *a = pages_alloc(3 * PAGE), *b = a + 2 * PAGE;

	boot(&vm, &vcpu);
	/* The higher guest page has the lower host address. */
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, FAR_AT, PAGE, b), 0);
	CHECK_EQ(-vm_set_slot(&vm, 2, 0, FAR_AT + PAGE, PAGE, a), 0);
	guest_write(&vcpu, FAR_AT + PAGE - 3, 0x8877665544332211);
	CHECK(!memcmp(b + PAGE - 3, "\x11\x22\x33", 3), "the end of the first");
	CHECK(!memcmp(a, "\x44\x55\x66\x77\x88", 5), "the start of the second");
	CHECK_EQ(guest_read(&vcpu, FAR_AT + PAGE - 3), 0x8877665544332211);
}

/* One access on a slot and a hole: memory and MMIO, in both orders; nothing twice. */
static void beside_a_hole(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory = pages_alloc(PAGE);

	boot(&vm, &vcpu);
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, FAR_AT + PAGE, PAGE, memory), 0);
	vm_load(&vm, GUEST_CODE, write_code, write_code_end);
	set_regs(&vcpu, FAR_AT + PAGE - 3, 0x8877665544332211);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, FAR_AT + PAGE - 3, 3), 0x332211);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK(!memcmp(memory, "\x44\x55\x66\x77\x88", 5), "behind the hole");
	set_regs(&vcpu, FAR_AT + 2 * PAGE - 3, 0x8877665544332211);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, FAR_AT + 2 * PAGE, 5), 0x8877665544);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK(!memcmp(memory + PAGE - 3, "\x11\x22\x33", 3), "in front of the hole");
	vm_load(&vm, GUEST_CODE, read_code, read_code_end);
	set_regs(&vcpu, FAR_AT + 2 * PAGE - 3, 0);
	vcpu_expect_mmio(&vcpu, false, FAR_AT + 2 * PAGE, 5);
	vcpu_answer_mmio(&vcpu, 0xaa99887766);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x66332211);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 0xaa998877);
}

/*
 * A page table in a read-only slot: walks read it, the accessed and dirty bits stay as they are, and
 * the guest's own store to it is MMIO.
 */
static void readonly_table(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint64_t *table = pages_alloc(PAGE);
	uint8_t *memory = pages_alloc(0x200000);
	const uint64_t at = 0x50000000;

	boot(&vm, &vcpu);
	VM_NEED_CAP(&vm, KVM_CAP_READONLY_MEM);
	table[0] = FAR_AT | 0x87;
	CHECK_EQ(-vm_set_slot(&vm, 1, KVM_MEM_READONLY, at, PAGE, table), 0);
	CHECK_EQ(-vm_set_slot(&vm, 2, 0, FAR_AT, 0x200000, memory), 0);
	put64(&vm, GUEST_PDPT + 4 * 8, at | 7);
	guest_write(&vcpu, FAR_AT + 0x100, 0x55);
	CHECK_EQ(memory[0x100], 0x55);
	CHECK_EQ(table[0], FAR_AT | 0x87);
	vm_load(&vm, GUEST_CODE, write_code, write_code_end);
	set_regs(&vcpu, at, 0x99);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, at, 8), 0x99);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(table[0], FAR_AT | 0x87);
	CHECK_EQ(guest_read(&vcpu, FAR_AT + 0x100), 0x55);
}

/*
 * A slot is deleted, made and moved under a guest that counts in it. What is written to it is MMIO
 * meanwhile, and no count is lost.
 */
GUEST(count_code, 64,
      "mov $0x100000000, %rbx\n"
      "1: inc %rax; mov %rax, (%rbx); mov (%rbx), %rcx; cmp %rcx, %rax; jne 2f\n"
      "cmp $400000, %rax; jb 1b; out %al, $0x10; 2: out %al, $0x11");

static volatile bool stop;

struct changer {
	struct vm *vm;
	uint8_t *memory;
	bool move;
};

static void *change(void *argument)
{
	const struct changer *c = argument;

	while (!stop) {
		if (c->move) {
			vm_set_slot(c->vm, 1, 0, FAR_AT + 0x200000, PAGE, c->memory);
			vm_set_slot(c->vm, 1, 0, FAR_AT, PAGE, c->memory);
		} else {
			vm_set_slot(c->vm, 1, 0, FAR_AT, 0, NULL);
			vm_set_slot(c->vm, 1, 0, FAR_AT, PAGE, c->memory);
		}
		sleep_ms(1);
	}
	return NULL;
}

static void change_while_running(bool move)
{
	struct changer changer = { .memory = pages_alloc(PAGE), .move = move };
	uint64_t device = 0;
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	int reason;

	boot(&vm, &vcpu);
	changer.vm = &vm;
	vm_load(&vm, GUEST_CODE, count_code, count_code_end);
	set_regs(&vcpu, 0, 0);
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, FAR_AT, PAGE, changer.memory), 0);
	pthread_create(&thread, NULL, change, &changer);
	/* A device that remembers, and memory that does, must agree: a read may meet the other. */
	while ((reason = vcpu_run(&vcpu)) == KVM_EXIT_MMIO) {
		CHECK_EQ(vcpu.run->mmio.phys_addr, FAR_AT);
		if (vcpu.run->mmio.is_write) {
			memcpy(&device, vcpu.run->mmio.data, 8);
			*(volatile uint64_t *)changer.memory = device;
		} else {
			device = *(volatile uint64_t *)changer.memory;
			memcpy(vcpu.run->mmio.data, &device, 8);
		}
	}
	stop = true;
	pthread_join(thread, NULL);
	CHECK(reason == KVM_EXIT_IO, "%s", exit_name(reason));
	CHECK(vcpu.run->io.port == 0x10, "a count was lost");
}

static void delete_while_running(void)
{
	change_while_running(false);
}

static void move_while_running(void)
{
	change_while_running(true);
}

static const struct test_case cases[] = {
	{ "all", all },
	{ "last_page", last_page },
	{ "adjacent", adjacent },
	{ "beside_a_hole", beside_a_hole },
	{ "readonly_table", readonly_table },
	{ "delete_while_running", delete_while_running },
	{ "move_while_running", move_while_running },
};
CASES_MAIN(cases)
