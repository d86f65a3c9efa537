// SPDX-License-Identifier: GPL-2.0-or-later
/* Memslots: deleted, moved, read-only, two views of one page, and the dirty log. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "kvm_client.h"
#include "kvm_new.h"

#define SLOT_AT 0x400000
#define SLOT_PAGES 64
#define SLOT_BYTES (SLOT_PAGES * 0x1000)

/* Reads and tells the doubleword at RBX, or writes EAX there, each time it is run. */
GUEST(read_code, 64, "1: mov (%rbx), %eax; out %eax, $0x10; jmp 1b");
GUEST(write_code, 64, "1: mov %eax, (%rbx); out %al, $0x10; jmp 1b");

static void set_rbx(struct vcpu *vcpu, uint64_t rbx, uint64_t rax)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rbx = rbx;
	regs.rax = rax;
	vcpu_set_regs(vcpu, &regs);
}

static void set_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t bytes,
		     void *hva)
{
	int error = vm_set_slot(vm, slot, flags, gpa, bytes, hva);

	CHECK(!error, "slot %u at %#llx: %s", slot, (unsigned long long)gpa, strerror(-error));
}

/* A deleted slot's addresses are MMIO again, a new one's are RAM. */
static void delete (void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint32_t *memory = pages_alloc(SLOT_BYTES);

	VM_BOOT(&vm, &vcpu, MODE_LONG, read_code);
	set_rbx(&vcpu, SLOT_AT, 0);
	for (uint32_t i = 0; i < 10; i++) {
		memory[0] = i;
		set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, memory);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i);
		set_slot(&vm, 1, 0, SLOT_AT, 0, NULL);
		vcpu_expect_mmio(&vcpu, false, SLOT_AT, 4);
		vcpu_answer_mmio(&vcpu, ~i);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), ~i);
	}
}

/* KVM_SET_USER_MEMORY_REGION2 makes and deletes the same slots as the first. */
static void second(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint32_t *memory = pages_alloc(SLOT_BYTES);
	struct kvm_userspace_memory_region2 region = {
		.slot = 1,
		.guest_phys_addr = SLOT_AT,
		.memory_size = SLOT_BYTES,
		.userspace_addr = (uintptr_t)memory,
		/* Not looked at without KVM_MEM_GUEST_MEMFD. */
		.guest_memfd_offset = 1,
		.guest_memfd = -1,
	};

	VM_BOOT(&vm, &vcpu, MODE_LONG, read_code);
	set_rbx(&vcpu, SLOT_AT, 0);
	memory[0] = 42;
	CHECK_EQ(ioctl(vm.fd, KVM_SET_USER_MEMORY_REGION2, &region), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 42);
	set_slot(&vm, 1, 0, SLOT_AT, 0, NULL);
	vcpu_expect_mmio(&vcpu, false, SLOT_AT, 4);
	vcpu_answer_mmio(&vcpu, 1);
	vcpu_expect_out(&vcpu, 0x10, 4);

	set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, memory);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 42);
	region.memory_size = 0;
	CHECK_EQ(ioctl(vm.fd, KVM_SET_USER_MEMORY_REGION2, &region), 0);
	vcpu_expect_mmio(&vcpu, false, SLOT_AT, 4);
}

/* A slot moves to another guest address with its memory. */
static void move(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint32_t *memory = pages_alloc(SLOT_BYTES);

	VM_BOOT(&vm, &vcpu, MODE_LONG, read_code);
	memory[0] = 0x1234;
	set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, memory);
	set_rbx(&vcpu, SLOT_AT, 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x1234);
	set_slot(&vm, 1, 0, SLOT_AT + SLOT_BYTES, SLOT_BYTES, memory);
	vcpu_expect_mmio(&vcpu, false, SLOT_AT, 4);
	vcpu_answer_mmio(&vcpu, 7);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 7);
	set_rbx(&vcpu, SLOT_AT + SLOT_BYTES, 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x1234);
}

/* Other host memory behind the same guest address needs a delete, and is seen at once. */
static void replace(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint32_t *a = pages_alloc(SLOT_BYTES), *b = pages_alloc(SLOT_BYTES);

	VM_BOOT(&vm, &vcpu, MODE_LONG, read_code);
	a[0] = 1;
	b[0] = 2;
	set_rbx(&vcpu, SLOT_AT, 0);
	for (int i = 0; i < 10; i++) {
		set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, a);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 1);
		CHECK_EQ(-vm_set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, b), EINVAL);
		set_slot(&vm, 1, 0, SLOT_AT, 0, NULL);
		set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, b);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 2);
		set_slot(&vm, 1, 0, SLOT_AT, 0, NULL);
	}
}

/* One host page in two slots: what is written through one is read through the other. */
static void alias(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint32_t *memory = pages_alloc(SLOT_BYTES);

	VM_BOOT(&vm, &vcpu, MODE_LONG, write_code);
	set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, memory);
	set_slot(&vm, 2, 0, SLOT_AT + SLOT_BYTES, SLOT_BYTES, memory);
	set_rbx(&vcpu, SLOT_AT, 0x55);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(memory[0], 0x55);
	VCPU_LOAD(&vcpu, MODE_LONG, read_code);
	set_rbx(&vcpu, SLOT_AT + SLOT_BYTES, 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x55);
}

/* New host pages under a slot, by mmap and by MADV_DONTNEED: the guest sees what the host sees. */
static void remap(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint32_t *memory = pages_alloc(SLOT_BYTES);

	VM_BOOT(&vm, &vcpu, MODE_LONG, read_code);
	set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, memory);
	set_rbx(&vcpu, SLOT_AT, 0);
	for (uint32_t i = 1; i < 10; i++) {
		memory[0] = i;
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i);
		madvise(memory, SLOT_BYTES, MADV_DONTNEED);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0);
		void *again = mmap(memory, SLOT_BYTES, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		CHECK(again == memory, "mmap");
		memory[0] = ~i;
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), ~i);
	}
}

/* A write to a read-only slot is MMIO, a read is not; the memory stays as it was. */
static void readonly(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint32_t *memory = pages_alloc(SLOT_BYTES);

	VM_BOOT(&vm, &vcpu, MODE_LONG, write_code);
	VM_NEED_CAP(&vm, KVM_CAP_READONLY_MEM);
	memory[1] = 0xabcd;
	set_slot(&vm, 1, KVM_MEM_READONLY, SLOT_AT, SLOT_BYTES, memory);
	set_rbx(&vcpu, SLOT_AT + 4, 0x12345678);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, SLOT_AT + 4, 4), 0x12345678);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(memory[1], 0xabcd);
	VCPU_LOAD(&vcpu, MODE_LONG, read_code);
	set_rbx(&vcpu, SLOT_AT + 4, 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0xabcd);
	/* The host may write it. */
	memory[1] = 0xabce;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0xabce);
}

/* The guest executes from a read-only slot: firmware. */
static void readonly_exec(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory = pages_alloc(SLOT_BYTES);

	VM_BOOT(&vm, &vcpu, MODE_LONG, read_code);
	memcpy(memory, read_code, read_code_end - read_code);
	set_slot(&vm, 1, KVM_MEM_READONLY, SLOT_AT, SLOT_BYTES, memory);
	vcpu_set_mode(&vcpu, MODE_LONG, SLOT_AT);
	set_rbx(&vcpu, GUEST_DATA, 0);
	vm.ram[GUEST_DATA] = 0x66;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x66);
}

/* Flags of a living slot can change, also that of the dirty log. */
static void dirty_log(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint64_t bitmap[1];
	uint8_t *memory = pages_alloc(SLOT_BYTES);
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	VM_BOOT(&vm, &vcpu, MODE_LONG, write_code);
	set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, memory);
	set_rbx(&vcpu, SLOT_AT, 1);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log) == -1 && errno == ENOENT, "a log without flag");
	set_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, SLOT_AT, SLOT_BYTES, memory);
	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	CHECK_EQ(bitmap[0], 0);
	for (unsigned int page = 0; page < SLOT_PAGES; page += 7) {
		set_rbx(&vcpu, SLOT_AT + page * 0x1000 + 8, 2);
		vcpu_expect_out(&vcpu, 0x10, 1);
		vcpu_expect_out(&vcpu, 0x10, 1);
		XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
		CHECK_EQ(bitmap[0], 1ULL << page);
	}
	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	CHECK_EQ(bitmap[0], 0);
	/* Across two pages: both. */
	set_rbx(&vcpu, SLOT_AT + 0x3ffe, 3);
	vcpu_expect_out(&vcpu, 0x10, 1);
	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	CHECK_EQ(bitmap[0], 0x18);
	/* A read is no write. */
	VCPU_LOAD(&vcpu, MODE_LONG, read_code);
	set_rbx(&vcpu, SLOT_AT + 0x9000, 0);
	vcpu_expect_out(&vcpu, 0x10, 4);
	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	CHECK_EQ(bitmap[0], 0);
}

/* The page walker's own writes, the accessed and dirty bits, are in the log too. */
GUEST(touch_code, 64, "mov %eax, 0x40000; out %al, $0x10; hlt");

static void dirty_log_walker(void)
{
	const uint64_t pte = 0x40000 | 0x07;
	struct vm vm;
	struct vcpu vcpu;
	uint64_t bitmap[RAM_BYTES / 0x1000 / 64];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };

	VM_BOOT(&vm, &vcpu, MODE_LONG, touch_code);
	memcpy(vm.ram + GUEST_PT + 0x40 * 8, &pte, 8);
	set_slot(&vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_BYTES, vm.ram);
	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	vcpu_expect_out(&vcpu, 0x10, 1);
	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	CHECK(bitmap[1] & 1, "the page");
	CHECK(bitmap[0] & 1ULL << (GUEST_PT >> 12), "its page table");
	CHECK_EQ(vm.ram[GUEST_PT + 0x40 * 8] & 0x60, 0x60);
}

/* With KVM_DIRTY_LOG_MANUAL_PROTECT2 the log stays until it is cleared. */
static void manual_protect(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint64_t bitmap[1];
	uint8_t *memory = pages_alloc(SLOT_BYTES);
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	struct kvm_clear_dirty_log clear = {
		.slot = 1,
		.num_pages = SLOT_PAGES,
		.dirty_bitmap = bitmap,
	};
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args[0] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
	};

	VM_BOOT(&vm, &vcpu, MODE_LONG, write_code);
	VM_NEED_CAP(&vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
	XIOCTL(vm.fd, KVM_ENABLE_CAP, &cap);
	set_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, SLOT_AT, SLOT_BYTES, memory);
	set_rbx(&vcpu, SLOT_AT + 0x5000, 1);
	vcpu_expect_out(&vcpu, 0x10, 1);
	for (int i = 0; i < 2; i++) {
		XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
		CHECK_EQ(bitmap[0], 1 << 5);
	}
	XIOCTL(vm.fd, KVM_CLEAR_DIRTY_LOG, &clear);
	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	CHECK_EQ(bitmap[0], 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	XIOCTL(vm.fd, KVM_GET_DIRTY_LOG, &log);
	CHECK_EQ(bitmap[0], 1 << 5);
}

/* Host memory that is not there: -EFAULT, not the client's SIGSEGV. */
static void hole_behind_slot(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory = pages_alloc(SLOT_BYTES);
	int result;

	VM_BOOT(&vm, &vcpu, MODE_LONG, read_code);
	set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, memory);
	munmap(memory + 0x1000, 0x1000);
	set_rbx(&vcpu, SLOT_AT + 0x1000, 0);
	result = vcpu_run(&vcpu);
	CHECK(result == -EFAULT, "%s", exit_name(result));
	set_rbx(&vcpu, SLOT_AT + 0x2000, 0);
	vcpu_expect_out(&vcpu, 0x10, 4);
}

/* Slots come and go while another thread's vCPU runs in RAM: it never notices. */
GUEST(count_code, 64,
      "xor %ecx, %ecx; 1: mov %ecx, 0xa000; cmp %ecx, 0xa000; jne 2f; inc %ecx\n"
      "cmp $1000000, %ecx; jne 1b; hlt; 2: ud2");

static volatile bool stop;

static void *churn(void *argument)
{
	struct vm *vm = argument;
	uint8_t *memory = pages_alloc(SLOT_BYTES);

	while (!stop) {
		set_slot(vm, 1, 0, SLOT_AT, SLOT_BYTES, memory);
		set_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, SLOT_AT, SLOT_BYTES, memory);
		set_slot(vm, 1, 0, SLOT_AT, 0, NULL);
		sleep_ms(1);
	}
	return NULL;
}

static void churn_while_running(void)
{
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;

	VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
	pthread_create(&thread, NULL, churn, &vm);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	stop = true;
	pthread_join(thread, NULL);
}

/* Changes that follow each other at once: a running vCPU misses none of them. */
GUEST(two_code, 64, "1: incl 0x40000000; incl 0x50000000; jmp 1b");

static void *run_to_mmio(void *vcpu)
{
	vcpu_expect(vcpu, KVM_EXIT_MMIO);
	return NULL;
}

static bool logged(struct vm *vm, uint32_t slot)
{
	uint64_t bitmap = 0;
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = &bitmap };

	XIOCTL(vm->fd, KVM_GET_DIRTY_LOG, &log);
	return bitmap & 1;
}

static void changes_in_a_row(void)
{
	const uint64_t end = now_ns() + 1500000000ULL;
	volatile uint32_t *counter[2];
	uint32_t seen[2];
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;

	VM_BOOT(&vm, &vcpu, MODE_LONG, two_code);
	for (unsigned int i = 0; i < 2; i++) {
		counter[i] = pages_alloc(0x1000);
		set_slot(&vm, 1 + i, 0, 0x40000000 + i * 0x10000000ULL, 0x1000, (void *)counter[i]);
	}
	pthread_create(&thread, NULL, run_to_mmio, &vcpu);
	for (unsigned int round = 0; now_ns() < end; round++) {
		for (unsigned int i = 0; i < 2; i++)
			set_slot(&vm, 1 + i, KVM_MEM_LOG_DIRTY_PAGES,
				 0x40000000 + i * 0x10000000ULL, 0x1000, (void *)counter[i]);
		for (unsigned int i = 0; i < 2; i++)
			seen[i] = *counter[i];
		while (*counter[0] - seen[0] < 2 || *counter[1] - seen[1] < 2)
			sched_yield();
		for (unsigned int i = 0; i < 2; i++)
			CHECK(logged(&vm, 1 + i), "round %u: a write to slot %u is not logged",
			      round, 1 + i);
		for (unsigned int i = 0; i < 2; i++)
			set_slot(&vm, 1 + i, 0, 0x40000000 + i * 0x10000000ULL, 0x1000,
				 (void *)counter[i]);
	}
	set_slot(&vm, 1, 0, 0x40000000, 0, NULL);
	pthread_join(thread, NULL);
}

/* Pages in advance take long: a signal ends that, and the rest is told. */
#define HUGE_BYTES (16ULL << 30)

static void nothing(int signo)
{
	(void)signo;
}

static void *send_signal(void *thread)
{
	sleep_ms(20);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

static void interrupted_pre_fault(void)
{
	struct kvm_pre_fault_memory range = { .gpa = 1ULL << 32, .size = HUGE_BYTES };
	struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	pthread_t self = pthread_self(), thread;
	struct vm vm;
	struct vcpu vcpu;
	void *memory;
	int result;

	VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
	VM_NEED_CAP(&vm, KVM_CAP_PRE_FAULT_MEMORY);
	memory = mmap(NULL, HUGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		      0);
	CHECK(memory != MAP_FAILED, "mmap: %s", strerror(errno));
	madvise(memory, HUGE_BYTES, MADV_NOHUGEPAGE);
	set_slot(&vm, 1, 0, 1ULL << 32, HUGE_BYTES, memory);
	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&thread, NULL, send_signal, &self);
	result = ioctl(vcpu.fd, KVM_PRE_FAULT_MEMORY, &range);
	pthread_join(thread, NULL);
	CHECK(!result, "%s", strerror(errno));
	CHECK(range.size && range.size < HUGE_BYTES, "%#llx bytes are left", range.size);
	CHECK_EQ(range.gpa, (1ULL << 32) + HUGE_BYTES - range.size);
}

static const struct test_case cases[] = {
	{ "delete", delete },
	{ "second", second },
	{ "move", move },
	{ "replace", replace },
	{ "alias", alias },
	{ "remap", remap },
	{ "readonly", readonly },
	{ "readonly_exec", readonly_exec },
	{ "dirty_log", dirty_log },
	{ "dirty_log_walker", dirty_log_walker },
	{ "manual_protect", manual_protect },
	{ "hole_behind_slot", hole_behind_slot },
	{ "churn_while_running", churn_while_running },
	{ "changes_in_a_row", changes_in_a_row },
	{ "interrupted_pre_fault", interrupted_pre_fault },
};
CASES_MAIN(cases)
