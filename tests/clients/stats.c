// SPDX-License-Identifier: GPL-2.0-or-later
/* The binary statistics: header, descriptors and data of a VM's and a vCPU's stats fd. */
#include "kvm_client.h"

GUEST(out_code, 64, "1: out %al, $0x10; jmp 1b");

static void check_stats(int fd)
{
	struct kvm_stats_header header;
	size_t descriptor_bytes;
	uint64_t value;

	CHECK_EQ(pread(fd, &header, sizeof(header), 0), sizeof(header));
	CHECK_EQ(header.flags & KVM_STATS_TYPE_MASK, 0);
	CHECK(header.name_size > 0 && header.name_size <= 64, "name_size %u", header.name_size);
	CHECK(header.num_desc > 0 && header.num_desc < 1000, "num_desc %u", header.num_desc);
	CHECK(header.id_offset >= sizeof(header), "id_offset %u", header.id_offset);
	descriptor_bytes = sizeof(struct kvm_stats_desc) + header.name_size;
	for (unsigned int i = 0; i < header.num_desc; i++) {
		char buffer[sizeof(struct kvm_stats_desc) + 64];
		struct kvm_stats_desc *desc = (void *)buffer;

		CHECK_EQ(pread(fd, desc, descriptor_bytes,
			       header.desc_offset + i * descriptor_bytes),
			 descriptor_bytes);
		CHECK((desc->flags & KVM_STATS_TYPE_MASK) <= KVM_STATS_TYPE_MAX, "type");
		CHECK(desc->size >= 1, "size");
		CHECK(desc->name[0] && memchr(desc->name, 0, header.name_size), "name");
		CHECK_EQ(pread(fd, &value, 8, header.data_offset + desc->offset), 8);
	}
}

/* The value of statistic @name, or -1. */
static int64_t stat_value(int fd, const char *name)
{
	struct kvm_stats_header header;
	int64_t value = -1;

	CHECK_EQ(pread(fd, &header, sizeof(header), 0), sizeof(header));
	for (unsigned int i = 0; i < header.num_desc; i++) {
		char buffer[sizeof(struct kvm_stats_desc) + 64];
		struct kvm_stats_desc *desc = (void *)buffer;
		size_t bytes = sizeof(*desc) + header.name_size;

		CHECK_EQ(pread(fd, desc, bytes, header.desc_offset + i * bytes), bytes);
		if (!strcmp(desc->name, name))
			CHECK_EQ(pread(fd, &value, 8, header.data_offset + desc->offset), 8);
	}
	return value;
}

static void vm_stats(void)
{
	struct vm vm;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_BINARY_STATS_FD);
	int fd = XIOCTL(vm.fd, KVM_GET_STATS_FD, 0);
	check_stats(fd);
	/* It is read-only and keeps the VM. */
	CHECK(write(fd, "x", 1) == -1, "it can be written");
	close(vm.fd);
	check_stats(fd);
}

static void vcpu_stats(void)
{
	struct vm vm;
	struct vcpu vcpu;
	int64_t exits;

	VM_BOOT(&vm, &vcpu, MODE_LONG, out_code);
	VM_NEED_CAP(&vm, KVM_CAP_BINARY_STATS_FD);
	int fd = XIOCTL(vcpu.fd, KVM_GET_STATS_FD, 0);
	check_stats(fd);
	exits = stat_value(fd, "io_exits");
	CHECK(exits >= 0, "no io_exits");
	for (int i = 0; i < 10; i++)
		vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(stat_value(fd, "io_exits"), exits + 10);
	CHECK(stat_value(fd, "exits") > 0, "no exits");
}

/* Counters count: a device access, a page fault, a window that user space asked for. */
GUEST(busy_code, 64,
      "mov $0x10000000, %ebx; mov (%rbx), %eax; mov $0x7000000000, %rbx; mov (%rbx), %eax\n"
      ".org busy_code + 0x80; out %al, $0x13; sti; nop; 1: jmp 1b");

static void counters(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, busy_code);
	VM_NEED_CAP(&vm, KVM_CAP_BINARY_STATS_FD);
	vm_set_gate(&vm, MODE_LONG, 14, GUEST_CODE + 0x80);
	int fd = XIOCTL(vcpu.fd, KVM_GET_STATS_FD, 0);
	vcpu_expect_mmio(&vcpu, false, 0x10000000, 4);
	vcpu_expect_out(&vcpu, 0x13, 1);
	CHECK_EQ(stat_value(fd, "insn_emulation"), 1);
	CHECK_EQ(stat_value(fd, "pf_guest"), 1);
	CHECK(stat_value(fd, "pf_fixed") > 0, "no pf_fixed");
	vcpu.run->request_interrupt_window = 1;
	vcpu_expect(&vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	CHECK_EQ(stat_value(fd, "request_irq_exits"), 1);
}

/* read() goes on where the last one ended; behind the end there is nothing. */
static void sequential(void)
{
	struct vm vm;
	char whole[8192], parts[8192];
	ssize_t total, at = 0, got;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_BINARY_STATS_FD);
	int fd = XIOCTL(vm.fd, KVM_GET_STATS_FD, 0);
	total = pread(fd, whole, sizeof(whole), 0);
	CHECK(total > 100, "%zd bytes", total);
	while ((got = read(fd, parts + at, 37)) > 0)
		at += got;
	CHECK_EQ(got, 0);
	CHECK_EQ(at, total);
	CHECK_EQ(pread(fd, parts, 8, total), 0);
	CHECK_EQ(pread(fd, parts, 8, total + 1000000), 0);
}

static const struct test_case cases[] = {
	{ "vm_stats", vm_stats },
	{ "vcpu_stats", vcpu_stats },
	{ "counters", counters },
	{ "sequential", sequential },
};
CASES_MAIN(cases)
