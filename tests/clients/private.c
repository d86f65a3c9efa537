// SPDX-License-Identifier: GPL-2.0-or-later
/* Private memory: which memory the guest sees, what ends KVM_RUN, attributes by every ioctl. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm_para.h>
#include <pthread.h>

#include "kvm_client.h"

#ifndef KVM_HC_MAP_GPA_RANGE
#define KVM_HC_MAP_GPA_RANGE 12
#endif

#define PAGE 0x1000ULL
#define SLOT_AT 0x40000000ULL
#define SLOT_PAGES 1024
#define SLOT_BYTES (SLOT_PAGES * PAGE)
#define PRIVATE KVM_MEMORY_ATTRIBUTE_PRIVATE

/* Reads and tells the doubleword at RBX, or writes EAX there, each time it is run. */
GUEST(read_code, 64, "1: mov (%rbx), %eax; out %eax, $0x10; jmp 1b");
GUEST(write_code, 64, "1: mov %eax, (%rbx); out %al, $0x10; jmp 1b");

struct protected
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory; /* shared, at SLOT_AT */
	int file;
};

static int set_attributes(struct vm *vm, uint64_t gpa, uint64_t size, uint64_t attributes)
{
	struct kvm_memory_attributes args = {
		.address = gpa,
		.size = size,
		.attributes = attributes,
	};

	return ioctl(vm->fd, KVM_SET_MEMORY_ATTRIBUTES, &args) ? errno : 0;
}

/* The slot at SLOT_AT, with a new guest_memfd. */
static void set_slot(struct protected *p)
{
	struct kvm_create_guest_memfd create = { .size = SLOT_BYTES };

	p->file = XIOCTL(p->vm.fd, KVM_CREATE_GUEST_MEMFD, &create);
	CHECK_EQ(-vm_set_slot2(&p->vm, 1, KVM_MEM_GUEST_MEMFD, SLOT_AT, SLOT_BYTES, p->memory,
			       p->file, 0),
		 0);
}

static void boot(struct protected *p)
{
	struct vm *vm = &p->vm, plain;

	/* The tables and descriptors of a default VM, taken over. */
	vm_create(&plain);
	*vm = plain;
	if (!(ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES) >> KVM_X86_SW_PROTECTED_VM & 1))
		case_skip("no KVM_X86_SW_PROTECTED_VM");
	vm->fd = XIOCTL(vm->kvm, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM);
	close(plain.fd);
	CHECK_EQ(-vm_set_slot(vm, 0, 0, 0, RAM_BYTES, vm->ram), 0);
	p->memory = pages_alloc(SLOT_BYTES);
	set_slot(p);
	vcpu_create(vm, &p->vcpu, 0);
}

static void set_regs(struct vcpu *vcpu, uint64_t rbx, uint64_t rax)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rbx = rbx;
	regs.rax = rax;
	regs.rip = GUEST_CODE;
	vcpu_set_regs(vcpu, &regs);
}

static uint32_t guest_read(struct vcpu *vcpu, uint64_t at)
{
	vm_load(vcpu->vm, GUEST_CODE, read_code, read_code_end);
	set_regs(vcpu, at, 0);
	return vcpu_expect_out(vcpu, 0x10, 4);
}

static void guest_write(struct vcpu *vcpu, uint64_t at, uint32_t value)
{
	vm_load(vcpu->vm, GUEST_CODE, write_code, write_code_end);
	set_regs(vcpu, at, value);
	vcpu_expect_out(vcpu, 0x10, 1);
}

#define expect_fault(vcpu, gpa, flags) expect_fault_at(vcpu, gpa, flags, __FILE__, __LINE__)
static void expect_fault_at(struct vcpu *vcpu, uint64_t gpa, uint64_t flags, const char *file,
			    int line)
{
	int result = vcpu_run(vcpu);
	const struct memory_fault *fault = MEMORY_FAULT(vcpu->run);

	if (result != -EFAULT || vcpu->run->exit_reason != KVM_EXIT_MEMORY_FAULT)
		case_fail(file, line, "%s, exit %u", exit_name(result), vcpu->run->exit_reason);
	if (fault->gpa != gpa || fault->size != PAGE || fault->flags != flags)
		case_fail(file, line, "gpa %#llx size %#llx flags %#llx", fault->gpa, fault->size,
			  fault->flags);
}

static void capabilities(void)
{
	struct protected p;

	boot(&p);
	CHECK_EQ(vm_cap(&p.vm, KVM_CAP_MEMORY_ATTRIBUTES), PRIVATE);
	CHECK_EQ(vm_cap(&p.vm, KVM_CAP_GUEST_MEMFD), 1);
	CHECK_EQ(ioctl(p.vm.kvm, KVM_CREATE_VM, 2), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(ioctl(p.vm.kvm, KVM_CREATE_VM, 1UL << 32), -1);
	CHECK_EQ(errno, EINVAL);
}

/* One guest address, two memories; conversion keeps both. */
static void two_memories(void)
{
	struct protected p;
	const uint64_t at = SLOT_AT + 5 * PAGE + 8;
	uint32_t *shared;

	boot(&p);
	shared = (uint32_t *)(p.memory + 5 * PAGE + 8);
	vcpu_set_mode(&p.vcpu, MODE_LONG, GUEST_CODE);
	*shared = 0x1111;
	CHECK_EQ(guest_read(&p.vcpu, at), 0x1111);
	CHECK_EQ(set_attributes(&p.vm, SLOT_AT + 5 * PAGE, PAGE, PRIVATE), 0);
	CHECK_EQ(guest_read(&p.vcpu, at), 0);
	guest_write(&p.vcpu, at, 0x2222);
	CHECK_EQ(guest_read(&p.vcpu, at), 0x2222);
	CHECK_EQ(*shared, 0x1111);
	CHECK_EQ(set_attributes(&p.vm, SLOT_AT + 5 * PAGE, PAGE, 0), 0);
	CHECK_EQ(guest_read(&p.vcpu, at), 0x1111);
	guest_write(&p.vcpu, at, 0x3333);
	CHECK_EQ(*shared, 0x3333);
	CHECK_EQ(set_attributes(&p.vm, SLOT_AT, SLOT_BYTES, PRIVATE), 0);
	CHECK_EQ(guest_read(&p.vcpu, at), 0x2222);
	/* A hole is zeros again. */
	CHECK(!fallocate(p.file, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 5 * PAGE, PAGE),
	      "fallocate");
	CHECK_EQ(guest_read(&p.vcpu, at), 0);
}

/* One access on a shared and a private page. */
static void across(void)
{
	struct protected p;

	boot(&p);
	vcpu_set_mode(&p.vcpu, MODE_LONG, GUEST_CODE);
	memset(p.memory, 0xaa, 2 * PAGE);
	CHECK_EQ(set_attributes(&p.vm, SLOT_AT + PAGE, PAGE, PRIVATE), 0);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT + PAGE - 2), 0x0000aaaa);
	guest_write(&p.vcpu, SLOT_AT + PAGE - 2, 0x12345678);
	CHECK_EQ(p.memory[PAGE - 1], 0x56);
	CHECK_EQ(p.memory[PAGE], 0xaa);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT + PAGE), 0x1234);
}

/* Private, but nothing private is there: the exit says where, and the access is made afterwards. */
static void faults(void)
{
	struct protected p;
	uint8_t *memory = pages_alloc(PAGE);

	boot(&p);
	vcpu_set_mode(&p.vcpu, MODE_LONG, GUEST_CODE);
	vm_load(&p.vm, GUEST_CODE, read_code, read_code_end);
	/* No slot at all. */
	CHECK_EQ(set_attributes(&p.vm, 0x80000000, 2 * PAGE, PRIVATE), 0);
	set_regs(&p.vcpu, 0x80000ffc, 0);
	expect_fault(&p.vcpu, 0x80000000, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	expect_fault(&p.vcpu, 0x80000000, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	/* A slot without guest_memfd. */
	CHECK_EQ(-vm_set_slot(&p.vm, 2, 0, 0x80001000, PAGE, memory), 0);
	set_regs(&p.vcpu, 0x80001234, 0);
	expect_fault(&p.vcpu, 0x80001000, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	memory[0x234] = 0x42;
	CHECK_EQ(set_attributes(&p.vm, 0x80001000, PAGE, 0), 0);
	CHECK_EQ(vcpu_expect_out(&p.vcpu, 0x10, 4), 0x42);
	/* Not private, and no slot: MMIO as ever. */
	CHECK_EQ(set_attributes(&p.vm, 0x80000000, PAGE, 0), 0);
	set_regs(&p.vcpu, 0x80000010, 0);
	vcpu_expect_mmio(&p.vcpu, false, 0x80000010, 4);
	vcpu_answer_mmio(&p.vcpu, 7);
	CHECK_EQ(vcpu_expect_out(&p.vcpu, 0x10, 4), 7);
}

/* Page tables and code are in private memory, too. */
static void tables_and_code(void)
{
	struct protected p;
	const uint64_t stub = SLOT_AT + 16 * PAGE;

	boot(&p);
	/* As shared memory, copied by the guest itself into its private one. */
	GUEST(copy_code, 64,
	      "mov $0x40010000, %edi; lea 1f(%rip), %rsi; mov $16, %ecx; rep movsb\n"
	      "out %al, $0x10; mov $0x40010000, %eax; jmp *%rax\n"
	      "1: mov $0x5a, %al; out %al, $0x11; jmp 1b");
	VCPU_LOAD(&p.vcpu, MODE_LONG, copy_code);
	memset(p.memory + 16 * PAGE, 0xf4, PAGE); /* HLT for who executes the wrong memory */
	CHECK_EQ(set_attributes(&p.vm, stub, PAGE, PRIVATE), 0);
	vcpu_expect_out(&p.vcpu, 0x10, 1);
	CHECK_EQ(vcpu_expect_out(&p.vcpu, 0x11, 1), 0x5a);
	CHECK_EQ(vcpu_expect_out(&p.vcpu, 0x11, 1), 0x5a);
	CHECK_EQ(set_attributes(&p.vm, stub, PAGE, 0), 0);
	vcpu_expect(&p.vcpu, KVM_EXIT_HLT);
	/* A page table that is private and not there. */
	vcpu_set_mode(&p.vcpu, MODE_LONG, GUEST_CODE);
	CHECK_EQ(set_attributes(&p.vm, GUEST_PDPT, PAGE, PRIVATE), 0);
	expect_fault(&p.vcpu, GUEST_PDPT, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	CHECK_EQ(set_attributes(&p.vm, GUEST_PDPT, PAGE, 0), 0);
	vcpu_expect_out(&p.vcpu, 0x10, 1);
}

/*
 * The file's last descriptor is closed, as often as it takes to find one who is late: its slot keeps
 * existing, without private memory.
 */
static void closed_file(void)
{
	struct protected p;
	unsigned int i;
	int copy;

	boot(&p);
	vcpu_set_mode(&p.vcpu, MODE_LONG, GUEST_CODE);
	CHECK_EQ(set_attributes(&p.vm, SLOT_AT, PAGE, PRIVATE), 0);
	for (i = 0; i < 100; i++) {
		guest_write(&p.vcpu, SLOT_AT, 1);
		copy = dup(p.file);
		close(p.file);
		vcpu_expect_out(&p.vcpu, 0x10, 1);
		close(copy);
		expect_fault(&p.vcpu, SLOT_AT, KVM_MEMORY_EXIT_FLAG_PRIVATE);
		CHECK_EQ(-vm_set_slot(&p.vm, 1, 0, SLOT_AT, 0, NULL), 0);
		set_slot(&p);
	}
	guest_write(&p.vcpu, SLOT_AT + PAGE, 1);
	CHECK_EQ(p.memory[PAGE], 1);
}

static void attribute_errors(void)
{
	struct protected p;
	struct vm plain;
	struct kvm_memory_attributes args = { .size = PAGE, .flags = 1 };
	struct kvm_memory_attributes2 second;

	boot(&p);
	CHECK_EQ(set_attributes(&p.vm, 0, 0, PRIVATE), EINVAL);
	CHECK_EQ(set_attributes(&p.vm, 1, PAGE, PRIVATE), EINVAL);
	CHECK_EQ(set_attributes(&p.vm, 0, PAGE + 1, PRIVATE), EINVAL);
	CHECK_EQ(set_attributes(&p.vm, -PAGE, PAGE, PRIVATE), EINVAL);
	CHECK_EQ(set_attributes(&p.vm, -PAGE, 2 * PAGE, PRIVATE), EINVAL);
	CHECK_EQ(set_attributes(&p.vm, 0, PAGE, 1), EINVAL);
	CHECK_EQ(set_attributes(&p.vm, 0, PAGE, PRIVATE | 1), EINVAL);
	CHECK_EQ(ioctl(p.vm.fd, KVM_SET_MEMORY_ATTRIBUTES, &args) == -1 ? errno : 0, EINVAL);
	CHECK_EQ(ioctl(p.vm.fd, KVM_SET_MEMORY_ATTRIBUTES, 8) == -1 ? errno : 0, EFAULT);
	if (vm_cap(&p.vm, KVM_CAP_MEMORY_ATTRIBUTES2)) {
		for (size_t i = 3; i < sizeof(second) / 8; i++) {
			memset(&second, 0, sizeof(second));
			second.size = PAGE;
			((uint64_t *)&second)[i] = 1;
			CHECK(ioctl(p.vm.fd, KVM_SET_MEMORY_ATTRIBUTES2, &second) == -1 &&
				      errno == EINVAL,
			      "field %zu of the VM's", i);
			CHECK(ioctl(p.file, KVM_SET_MEMORY_ATTRIBUTES2, &second) == -1 &&
				      errno == EINVAL,
			      "field %zu of the file's", i);
		}
	}
	/* Without private memory there is nothing that could be set. */
	vm_create(&plain);
	CHECK_EQ(set_attributes(&plain, 0, PAGE, PRIVATE), EINVAL);
	CHECK_EQ(set_attributes(&plain, 0, PAGE, 0), 0);
}

/* The second ioctl on the VM, and on the file, where offsets take the place of addresses. */
static void second_ioctl(void)
{
	struct protected p;
	struct kvm_memory_attributes2 args = {
		.address = SLOT_AT,
		.size = PAGE,
		.attributes = PRIVATE,
	};

	boot(&p);
	VM_NEED_CAP(&p.vm, KVM_CAP_MEMORY_ATTRIBUTES2);
	VM_NEED_CAP(&p.vm, KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES);
	vcpu_set_mode(&p.vcpu, MODE_LONG, GUEST_CODE);
	memset(p.memory, 0x11, SLOT_BYTES);
	XIOCTL(p.vm.fd, KVM_SET_MEMORY_ATTRIBUTES2, &args);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT), 0);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT + PAGE), 0x11111111);
	args.offset = PAGE;
	XIOCTL(p.file, KVM_SET_MEMORY_ATTRIBUTES2, &args);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT + PAGE), 0);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT + 2 * PAGE), 0x11111111);
	args.offset = 0;
	args.size = SLOT_BYTES;
	args.attributes = 0;
	XIOCTL(p.file, KVM_SET_MEMORY_ATTRIBUTES2, &args);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT), 0x11111111);
	args.offset = PAGE;
	CHECK(ioctl(p.file, KVM_SET_MEMORY_ATTRIBUTES2, &args) == -1 && errno == EINVAL,
	      "behind the file's end");
	/* What is set before a slot is bound holds for the slot. */
	args.offset = 3 * PAGE;
	args.size = PAGE;
	args.attributes = PRIVATE;
	CHECK_EQ(-vm_set_slot2(&p.vm, 1, 0, 0, 0, NULL, 0, 0), 0);
	XIOCTL(p.file, KVM_SET_MEMORY_ATTRIBUTES2, &args);
	CHECK_EQ(-vm_set_slot2(&p.vm, 2, KVM_MEM_GUEST_MEMFD, SLOT_AT + 0x1000000, 4 * PAGE,
			       p.memory, p.file, 2 * PAGE),
		 0);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT + 0x1000000), 0x11111111);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT + 0x1001000), 0);
}

/* The guest asks for the conversion itself. */
GUEST(convert_code, 64,
      "mov $12, %eax; mov $0x40000000, %ebx; mov $2, %ecx; mov $0x10, %edx; vmmcall\n"
      "out %eax, $0x10; movl $0x77, 0x40000000; out %al, $0x11; hlt");

static void hypercall(void)
{
	struct protected p;
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_EXIT_HYPERCALL,
		.args[0] = 1 << KVM_HC_MAP_GPA_RANGE,
	};

	boot(&p);
	XIOCTL(p.vm.fd, KVM_ENABLE_CAP, &cap);
	vcpu_set_cpuid(&p.vcpu);
	VCPU_LOAD(&p.vcpu, MODE_LONG, convert_code);
	vcpu_expect(&p.vcpu, KVM_EXIT_HYPERCALL);
	CHECK_EQ(p.vcpu.run->hypercall.args[0], SLOT_AT);
	CHECK_EQ(p.vcpu.run->hypercall.args[1], 2);
	CHECK_EQ(set_attributes(&p.vm, SLOT_AT, 2 * PAGE, PRIVATE), 0);
	p.vcpu.run->hypercall.ret = 0;
	CHECK_EQ(vcpu_expect_out(&p.vcpu, 0x10, 4), 0);
	vcpu_expect_out(&p.vcpu, 0x11, 1);
	CHECK_EQ(p.memory[0], 0);
	CHECK_EQ(set_attributes(&p.vm, SLOT_AT, PAGE, 0), 0);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT), 0);
	CHECK_EQ(set_attributes(&p.vm, SLOT_AT, PAGE, PRIVATE), 0);
	CHECK_EQ(guest_read(&p.vcpu, SLOT_AT), 0x77);
}

/* Conversions while the guest runs: every store goes to one of the two memories, none elsewhere. */
GUEST(count_code, 64,
      "xor %eax, %eax; 1: inc %eax; mov %eax, (%rbx); cmp $3000000, %eax; jb 1b\n"
      "out %al, $0x10");

static volatile bool stop;

static void *convert(void *argument)
{
	struct protected *p = argument;

	for (unsigned int i = 0; !stop; i++) {
		CHECK_EQ(set_attributes(&p->vm, SLOT_AT, PAGE, i & 1 ? 0 : PRIVATE), 0);
		/* Sparse ones that the guest does not look at. */
		CHECK_EQ(set_attributes(&p->vm, (i % 1000) * 2 * PAGE + 0x100000000, PAGE, PRIVATE),
			 0);
	}
	return NULL;
}

static void while_running(void)
{
	struct protected p;
	pthread_t thread;
	uint32_t last;

	boot(&p);
	VCPU_LOAD(&p.vcpu, MODE_LONG, count_code);
	set_regs(&p.vcpu, SLOT_AT, 0);
	pthread_create(&thread, NULL, convert, &p);
	vcpu_expect_out(&p.vcpu, 0x10, 1);
	stop = true;
	pthread_join(thread, NULL);
	CHECK_EQ(set_attributes(&p.vm, SLOT_AT, PAGE, PRIVATE), 0);
	last = guest_read(&p.vcpu, SLOT_AT);
	CHECK(last == 3000000 || *(uint32_t *)p.memory == 3000000, "%u private, %u shared", last,
	      *(uint32_t *)p.memory);
}

/* A terabyte in one call, and holes in it. */
static void terabyte(void)
{
	struct protected p;
	uint64_t start;

	boot(&p);
	vcpu_set_mode(&p.vcpu, MODE_LONG, GUEST_CODE);
	start = now_ns();
	CHECK_EQ(set_attributes(&p.vm, 1ULL << 40, 1ULL << 40, PRIVATE), 0);
	CHECK_EQ(set_attributes(&p.vm, 3ULL << 39, PAGE, 0), 0);
	CHECK_EQ(set_attributes(&p.vm, 1ULL << 40, 1ULL << 40, 0), 0);
	CHECK(now_ns() - start < 100000000, "%llu us",
	      (unsigned long long)(now_ns() - start) / 1000);
}

static int pre_fault(struct vcpu *vcpu, struct kvm_pre_fault_memory *args)
{
	return ioctl(vcpu->fd, KVM_PRE_FAULT_MEMORY, args) ? errno : 0;
}

static void pre_faults(void)
{
	struct protected p;
	struct kvm_pre_fault_memory args;

	boot(&p);
	VM_NEED_CAP(&p.vm, KVM_CAP_PRE_FAULT_MEMORY);
#define PRE_FAULT(at, length, error, rest)                                                         \
	do {                                                                                       \
		args = (struct kvm_pre_fault_memory){ .gpa = (at), .size = (length) };             \
		CHECK_EQ(pre_fault(&p.vcpu, &args), error);                                        \
		CHECK_EQ(args.size, rest);                                                         \
		CHECK_EQ(args.gpa, (at) + (length) - (rest));                                      \
	} while (0)
	PRE_FAULT(SLOT_AT, 8 * PAGE, 0, 0);
	PRE_FAULT(SLOT_AT + 1, PAGE, EINVAL, PAGE);
	PRE_FAULT(SLOT_AT, PAGE + 1, EINVAL, PAGE + 1);
	PRE_FAULT(SLOT_AT, 0, EINVAL, 0);
	PRE_FAULT(-PAGE, PAGE, EINVAL, PAGE);
	PRE_FAULT(SLOT_AT + SLOT_BYTES, PAGE, ENOENT, PAGE);
	/* Some is success, and the rest is told. */
	PRE_FAULT(SLOT_AT + SLOT_BYTES - PAGE, 3 * PAGE, 0, 2 * PAGE);
	CHECK_EQ(set_attributes(&p.vm, SLOT_AT, PAGE, PRIVATE), 0);
	PRE_FAULT(SLOT_AT, 2 * PAGE, 0, 0);
	CHECK_EQ(set_attributes(&p.vm, 0x1000, PAGE, PRIVATE), 0);
	PRE_FAULT(0x1000, PAGE, EFAULT, PAGE);
	munmap(p.memory + 4 * PAGE, PAGE);
	PRE_FAULT(SLOT_AT + 3 * PAGE, 2 * PAGE, 0, PAGE);
	PRE_FAULT(SLOT_AT + 4 * PAGE, PAGE, EFAULT, PAGE);
	args = (struct kvm_pre_fault_memory){ .gpa = SLOT_AT, .size = PAGE, .flags = 1 };
	CHECK_EQ(pre_fault(&p.vcpu, &args), EINVAL);
	CHECK_EQ(ioctl(p.vcpu.fd, KVM_PRE_FAULT_MEMORY, 8) == -1 ? errno : 0, EFAULT);
}

static const struct test_case cases[] = {
	{ "capabilities", capabilities },
	{ "two_memories", two_memories },
	{ "across", across },
	{ "faults", faults },
	{ "tables_and_code", tables_and_code },
	{ "closed_file", closed_file },
	{ "attribute_errors", attribute_errors },
	{ "second_ioctl", second_ioctl },
	{ "hypercall", hypercall },
	{ "while_running", while_running },
	{ "terabyte", terabyte },
	{ "pre_faults", pre_faults },
};
CASES_MAIN(cases)
