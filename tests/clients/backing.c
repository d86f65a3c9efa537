// SPDX-License-Identifier: GPL-2.0-or-later
/* Every kind of memory that can lie behind a slot: guest and client see each other's stores. */
#define _GNU_SOURCE
#include <fcntl.h>

#include "kvm_client.h"

#define SLOT_AT 0x400000
#define SLOT_BYTES (2u << 20) /* of a huge page */
#define FROM_GUEST 0x55

/* The guest's store, then what the client stored beside it. */
GUEST(exchange_code, 64,
      "mov $0x400000, %ebx; movl $0x55, (%rbx); mov 4(%rbx), %eax; out %eax, $0x10\n"
      "mov 8(%rbx), %eax; out %eax, $0x10; hlt");

static void exchange(void *memory, size_t bytes)
{
	volatile uint32_t *words = memory;
	struct vm vm;
	struct vcpu vcpu;

	words[1] = 7; /* before the slot is there */
	VM_BOOT(&vm, &vcpu, MODE_LONG, exchange_code);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, SLOT_AT, bytes, memory), 0);
	CHECK_EQ(words[1], 7);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 7);
	CHECK_EQ(words[0], FROM_GUEST);
	words[2] = 9;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 9);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	CHECK_EQ(words[0], FROM_GUEST);
}

static void *map(int flags, int fd)
{
	void *memory = mmap(NULL, SLOT_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED && (flags & MAP_HUGETLB))
		case_skip("no huge pages: %s", strerror(errno));
	CHECK(memory != MAP_FAILED, "mmap: %s", strerror(errno));
	return memory;
}

static int temporary_file(void)
{
	char name[] = "/tmp/backing.XXXXXX";
	int fd = mkstemp(name);

	CHECK(fd >= 0 && !ftruncate(fd, SLOT_BYTES), "%s: %s", name, strerror(errno));
	unlink(name);
	return fd;
}

static void private_anonymous(void)
{
	exchange(map(MAP_PRIVATE | MAP_ANONYMOUS, -1), SLOT_BYTES);
}

static void shared_anonymous(void)
{
	exchange(map(MAP_SHARED | MAP_ANONYMOUS, -1), SLOT_BYTES);
}

static void private_huge(void)
{
	exchange(map(MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1), SLOT_BYTES);
}

static void shared_huge(void)
{
	exchange(map(MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1), SLOT_BYTES);
}

static void shared_memfd(void)
{
	int fd = memfd_create("backing", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, SLOT_BYTES), "memfd: %s", strerror(errno));
	exchange(map(MAP_SHARED, fd), SLOT_BYTES);
}

static void shared_file(void)
{
	int fd = temporary_file();
	uint32_t word;

	exchange(map(MAP_SHARED, fd), SLOT_BYTES);
	CHECK(pread(fd, &word, sizeof(word), 0) == sizeof(word) && word == FROM_GUEST,
	      "the file has %#x", word);
}

/* What the guest stores stays out of the file. */
static void private_file(void)
{
	int fd = temporary_file();
	uint32_t word;

	exchange(map(MAP_PRIVATE, fd), SLOT_BYTES);
	CHECK(pread(fd, &word, sizeof(word), 0) == sizeof(word) && !word, "the file has %#x", word);
}

static uint8_t bss[SLOT_BYTES] __attribute__((aligned(4096)));

static void static_data(void)
{
	exchange(bss, sizeof(bss));
}

static void heap(void)
{
	uint8_t *memory = aligned_alloc(4096, 0x10000), *other;

	memset(memory, 1, 0x10000);
	exchange(memory, 0x10000);
	/* The heap around it works as before. */
	other = realloc(malloc(100), 0x200000);
	memset(other, 2, 0x200000);
	free(other);
	free(memory);
}

static void stack(void)
{
	uint8_t memory[0x8000] __attribute__((aligned(4096)));

	exchange(memory, sizeof(memory));
}

/* Two mappings, one of each kind, behind one slot. */
static void two_pieces(void)
{
	uint8_t *memory = map(MAP_SHARED | MAP_ANONYMOUS, -1);
	struct vm vm;
	struct vcpu vcpu;

	CHECK(mmap(memory, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		   -1, 0) == memory,
	      "mmap: %s", strerror(errno));
	memory[0x1004] = 3;
	exchange(memory, SLOT_BYTES);
	VM_BOOT(&vm, &vcpu, MODE_LONG, exchange_code);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, SLOT_AT - 0x1000, SLOT_BYTES, memory), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 3);
	CHECK_EQ(memory[0x1000], FROM_GUEST);
}

/* A file that the client may only read is not written for it. */
static void readonly_file(void)
{
	int fd = temporary_file(), again, result;
	struct vm vm;
	struct vcpu vcpu;
	char path[32];
	uint32_t word;
	void *memory;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY);
	memory = mmap(NULL, SLOT_BYTES, PROT_READ, MAP_SHARED, again, 0);
	CHECK(again >= 0 && memory != MAP_FAILED, "mmap: %s", strerror(errno));
	VM_BOOT(&vm, &vcpu, MODE_LONG, exchange_code);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, SLOT_AT, SLOT_BYTES, memory), 0);
	/* A KVM with shadow page tables emulates the store, and finds no memory for it. */
	result = vcpu_run(&vcpu);
	CHECK(result == -EFAULT || result == KVM_EXIT_MMIO, "%s", exit_name(result));
	CHECK(pread(fd, &word, sizeof(word), 0) == sizeof(word) && !word, "the file has %#x", word);
}

static const struct test_case cases[] = {
	{ "private_anonymous", private_anonymous },
	{ "shared_anonymous", shared_anonymous },
	{ "private_huge", private_huge },
	{ "shared_huge", shared_huge },
	{ "shared_memfd", shared_memfd },
	{ "shared_file", shared_file },
	{ "private_file", private_file },
	{ "static_data", static_data },
	{ "heap", heap },
	{ "stack", stack },
	{ "two_pieces", two_pieces },
	{ "readonly_file", readonly_file },
};
CASES_MAIN(cases)
