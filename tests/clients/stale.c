// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fresh bytes always execute: guest code that is rewritten by the client between two runs, while
 * the guest waits, by a system call of the client, and through another view of the page.
 *
 * The code that changes is one instruction, MOV $value, %EAX; its immediate is what the tests count
 * in.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>

#include "kvm_client.h"

#define ROUNDS 50
#define SPIN_ROUNDS 20   /* lockstep follows all that was spun */
#define FUNCTION 0x30000 /* a page of its own: mov $N, %eax; ret */

GUEST(function, 64, "mov $0, %eax; ret");
GUEST(call_code, 64, "mov $0x30000, %ebx; 1: call *%rbx; out %eax, $0x10; jmp 1b");

static void set_value(uint8_t *code, uint32_t value)
{
	memcpy(code + 1, &value, 4);
}

static void boot(struct vm *vm, struct vcpu *vcpu)
{
	VM_BOOT(vm, vcpu, MODE_LONG, call_code);
	vm_load(vm, FUNCTION, function, function_end);
}

/* Stores of the client between two KVM_RUNs. */
static void between_runs(void)
{
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu);
	for (uint32_t i = 1; i < ROUNDS; i++) {
		set_value(vm.ram + FUNCTION, i);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i);
	}
}

/* The same after the code was hot: a thousand calls between two changes. */
GUEST(hot_code, 64,
      "mov $0x30000, %ebx; 1: mov $1000, %ecx; 2: call *%rbx; dec %ecx; jnz 2b; out %eax, $0x10; "
      "jmp 1b");

static void hot(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, hot_code);
	vm_load(&vm, FUNCTION, function, function_end);
	for (uint32_t i = 1; i < ROUNDS; i++) {
		set_value(vm.ram + FUNCTION, i);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i);
	}
}

/* The instruction after the OUT at which the client is: the next of the same straight line. */
GUEST(line_code, 64, "1: out %eax, $0x10; mov $0, %eax; out %eax, $0x11; jmp 1b");

static void next_instruction(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, line_code);
	for (uint32_t i = 1; i < ROUNDS; i++) {
		vcpu_expect_out(&vcpu, 0x10, 4);
		set_value(vm.ram + GUEST_CODE + 2, i);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), i);
	}
}

/* Instructions of other lengths in the place of the old ones. */
static void other_lengths(void)
{
	static const uint8_t variants[][8] = {
		{ 0xb8, 1, 0, 0, 0, 0xc3 },                   /* mov $1, %eax; ret */
		{ 0x31, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xc3 }, /* xor; inc; inc; ret */
		{ 0x6a, 3, 0x58, 0xc3 },                      /* push $3; pop %rax; ret */
		{ 0x90, 0x90, 0x6a, 4, 0x58, 0xc3 },
	};
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu);
	for (uint32_t i = 0; i < 4 * ROUNDS; i++) {
		memcpy(vm.ram + FUNCTION, variants[i % 4], 8);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i % 4 + 1);
	}
}

/* A file is read into guest memory: DMA as QEMU's disks do it. */
static void file_read(void)
{
	char path[] = "/tmp/staleXXXXXX";
	uint8_t page[4096] = { 0 };
	struct vm vm;
	struct vcpu vcpu;
	int fd = mkstemp(path);

	CHECK(fd >= 0, "mkstemp: %s", strerror(errno));
	unlink(path);
	memcpy(page, function, function_end - function);
	boot(&vm, &vcpu);
	for (uint32_t i = 1; i < ROUNDS; i++) {
		set_value(page, i);
		CHECK_EQ(pwrite(fd, page, sizeof(page), 0), sizeof(page));
		CHECK_EQ(pread(fd, vm.ram + FUNCTION, sizeof(page), 0), sizeof(page));
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i);
	}
}

/* Through a shared mapping whose other view the client writes. */
static void shared_mapping(void)
{
	int fd = memfd_create("stale", MFD_CLOEXEC);
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *guest, *mine;

	CHECK(fd >= 0 && !ftruncate(fd, 0x1000), "memfd: %s", strerror(errno));
	guest = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	mine = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(guest != MAP_FAILED && mine != MAP_FAILED, "mmap");
	memcpy(mine, function, function_end - function);
	VM_BOOT(&vm, &vcpu, MODE_LONG, call_code);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, 0x400000, 0x1000, guest), 0);
	vm.ram[GUEST_CODE + 3] = 0x40; /* call 0x400000 */
	for (uint32_t i = 1; i < ROUNDS; i++) {
		set_value(mine, i);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i);
	}
}

/* The host page under the slot is exchanged: mmap over it, MADV_DONTNEED. */
static void remapped(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *page = pages_alloc(0x1000);

	VM_BOOT(&vm, &vcpu, MODE_LONG, call_code);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, 0x400000, 0x1000, page), 0);
	vm.ram[GUEST_CODE + 3] = 0x40;
	for (uint32_t i = 1; i < ROUNDS; i++) {
		if (i & 1)
			CHECK(mmap(page, 0x1000, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page,
			      "mmap");
		else
			madvise(page, 0x1000, MADV_DONTNEED);
		memcpy(page, function, function_end - function);
		set_value(page, i);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i);
	}
}

/* Another slot with other bytes at the same guest address. */
static void other_slot(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *pages[2] = { pages_alloc(0x1000), pages_alloc(0x1000) };

	VM_BOOT(&vm, &vcpu, MODE_LONG, call_code);
	vm.ram[GUEST_CODE + 3] = 0x40;
	for (uint32_t i = 0; i < 2; i++) {
		memcpy(pages[i], function, function_end - function);
		set_value(pages[i], i + 1);
	}
	for (uint32_t i = 0; i < ROUNDS; i++) {
		CHECK_EQ(vm_set_slot(&vm, 1, 0, 0x400000, 0x1000, pages[i % 2]), 0);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i % 2 + 1);
		CHECK_EQ(vm_set_slot(&vm, 1, 0, 0x400000, 0, NULL), 0);
	}
}

/* Two guest-physical views of one host page: written through one, executed through the other. */
GUEST(alias_code, 64,
      "mov $0x400000, %ebx; mov $0x500000, %edx; mov $1, %ecx\n"
      "1: mov %ecx, 1(%rdx); call *%rbx; out %eax, $0x10; inc %ecx; jmp 1b");

static void alias(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *page = pages_alloc(0x1000);

	VM_BOOT(&vm, &vcpu, MODE_LONG, alias_code);
	memcpy(page, function, function_end - function);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, 0x400000, 0x1000, page), 0);
	CHECK_EQ(vm_set_slot(&vm, 2, 0, 0x500000, 0x1000, page), 0);
	for (uint32_t i = 1; i < ROUNDS; i++)
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i);
}

/* The guest's page table is changed by the client, together with CR3's reload in the guest. */
GUEST(remap_code, 64,
      "mov $0x40000, %ebx; 1: mov %cr3, %rax; mov %rax, %cr3; call *%rbx; out %eax, $0x10; jmp 1b");

static void page_table(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, remap_code);
	for (uint32_t i = 0; i < 2; i++) {
		vm_load(&vm, 0x30000 + i * 0x1000, function, function_end);
		set_value(vm.ram + 0x30000 + i * 0x1000, i);
	}
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t pte = (0x30000 + i % 2 * 0x1000) | 0x67;

		memcpy(vm.ram + GUEST_PT + 0x40 * 8, &pte, 8);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i % 2);
	}
}

/*
 * The guest waits in HLT inside KVM_RUN; another thread rewrites code and then interrupts. Both the
 * handler's page and the code behind HLT are new. Interrupts are on in HLT alone, so one that comes
 * too early on a busy machine waits for it.
 */
GUEST(wait_code, 64,
      "mov $0xfee00000, %ebp; movl $0x1ff, 0xf0(%rbp); mov $0x30000, %ebx; out %eax, $0x12\n"
      "1: sti; hlt; cli; call *%rbx; out %eax, $0x10; jmp 1b\n"
      ".org wait_code + 0x80; mov $0, %eax; out %eax, $0x11; movl $0, 0xb0(%rbp); iretq");

static volatile uint32_t answered;

static void *rewrite_and_raise(void *argument)
{
	struct vm *vm = argument;
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x50 };

	for (uint32_t i = 1; i < ROUNDS; i++) {
		while (answered < i - 1)
			sleep_ms(1);
		sleep_ms(time_scale()); /* the guest is in HLT again */
		set_value(vm->ram + GUEST_CODE + 0x80, i);
		set_value(vm->ram + FUNCTION, i + 1000);
		XIOCTL(vm->fd, KVM_SIGNAL_MSI, &msi);
	}
	return NULL;
}

static void while_waiting(void)
{
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, wait_code);
	vm_load(&vm, FUNCTION, function, function_end);
	vm_set_gate(&vm, MODE_LONG, 0x50, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x12, 4);
	pthread_create(&thread, NULL, rewrite_and_raise, &vm);
	for (uint32_t i = 1; i < ROUNDS; i++) {
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), i);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i + 1000);
		answered = i;
	}
	pthread_join(thread, NULL);
}

/* The same while the guest does not wait but spins: the interrupt's handler is fresh. */
GUEST(spin_code, 64,
      "mov $0xfee00000, %ebp; movl $0x1ff, 0xf0(%rbp); mov $0x30000, %ebx; out %eax, $0x12; sti\n"
      "1: inc %rcx; jmp 1b\n"
      ".org spin_code + 0x80; call *%rbx; out %eax, $0x11; movl $0, 0xb0(%rbp); iretq");

static void *rewrite_spinning(void *argument)
{
	struct vm *vm = argument;
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x50 };

	for (uint32_t i = 1; i < SPIN_ROUNDS; i++) {
		while (answered < i - 1)
			sleep_ms(1);
		set_value(vm->ram + FUNCTION, i);
		XIOCTL(vm->fd, KVM_SIGNAL_MSI, &msi);
	}
	return NULL;
}

static void while_spinning(void)
{
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, spin_code);
	vm_load(&vm, FUNCTION, function, function_end);
	vm_set_gate(&vm, MODE_LONG, 0x50, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x12, 4);
	pthread_create(&thread, NULL, rewrite_spinning, &vm);
	for (uint32_t i = 1; i < SPIN_ROUNDS; i++) {
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), i);
		answered = i;
	}
	pthread_join(thread, NULL);
}

static const struct test_case cases[] = {
	{ "between_runs", between_runs },
	{ "hot", hot },
	{ "next_instruction", next_instruction },
	{ "other_lengths", other_lengths },
	{ "file_read", file_read },
	{ "shared_mapping", shared_mapping },
	{ "remapped", remapped },
	{ "other_slot", other_slot },
	{ "alias", alias },
	{ "page_table", page_table },
	{ "while_waiting", while_waiting },
	{ "while_spinning", while_spinning },
};
CASES_MAIN(cases)
