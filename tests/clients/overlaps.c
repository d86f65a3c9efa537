// SPDX-License-Identifier: GPL-2.0-or-later
/* ioeventfds and coalesced zones against slots and against each other. */
#include <sys/eventfd.h>

#include "kvm_client.h"

#define PAGE 0x1000ULL
#define HERE 0x40000000ULL
#define PORT 0x500

/* A write of each width to RBX, each followed by an OUT that says so. */
GUEST(widths_code, 64,
      "1: mov %al, (%rbx); out %al, $0x11; mov %ax, (%rbx); out %al, $0x12\n"
      "mov %eax, (%rbx); out %al, $0x14; mov %rax, (%rbx); out %al, $0x18; jmp 1b");
GUEST(write_code, 64, "1: mov %eax, (%rbx); out %al, $0x10; jmp 1b");
GUEST(port_code, 64,
      "1: mov $0x500, %edx; out %al, %dx; out %ax, %dx; out %eax, %dx\n"
      "out %al, $0x10; jmp 1b");

static int ioeventfd(struct vm *vm, int fd, uint64_t addr, uint32_t len, uint32_t flags,
		     uint64_t match)
{
	struct kvm_ioeventfd args = {
		.fd = fd,
		.addr = addr,
		.len = len,
		.flags = flags,
		.datamatch = match,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &args) ? errno : 0;
}

static int zone(struct vm *vm, unsigned long request, uint64_t addr, uint32_t size, uint32_t pio)
{
	struct kvm_coalesced_mmio_zone args = { .addr = addr, .size = size, .pio = pio };

	return ioctl(vm->fd, request, &args) ? errno : 0;
}
#define REGISTER(vm, ...) zone(vm, KVM_REGISTER_COALESCED_MMIO, __VA_ARGS__)
#define UNREGISTER(vm, ...) zone(vm, KVM_UNREGISTER_COALESCED_MMIO, __VA_ARGS__)

static uint64_t signals(int fd)
{
	eventfd_t count = 0;

	return eventfd_read(fd, &count) ? 0 : count;
}

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	CHECK(fd >= 0, "eventfd");
	return fd;
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

static struct kvm_coalesced_mmio_ring *ring_of(struct vcpu *vcpu)
{
	return (void *)((uint8_t *)vcpu->run + vm_cap(vcpu->vm, KVM_CAP_COALESCED_MMIO) * PAGE);
}

static unsigned int ring_entries(struct vcpu *vcpu)
{
	struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);
	unsigned int count = ring->last - ring->first;

	ring->first = ring->last;
	return count;
}

/* Memory is memory, whatever waits beneath; a write to a read-only slot gets through. */
static void ioeventfd_under_slot(void)
{
	uint8_t *memory = pages_alloc(PAGE);
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, write_code);
	CHECK_EQ(ioeventfd(&vm, fd, HERE + 8, 4, 0, 0), 0);
	set_regs(&vcpu, HERE + 8, 0x77);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(signals(fd), 1);
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, HERE, PAGE, memory), 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(signals(fd), 0);
	CHECK_EQ(memory[8], 0x77);
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, HERE, 0, NULL), 0);
	memory[8] = 1;
	CHECK_EQ(-vm_set_slot(&vm, 1, KVM_MEM_READONLY, HERE, PAGE, memory), 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(signals(fd), 1);
	CHECK_EQ(memory[8], 1);
}

static void zone_under_slot(void)
{
	uint8_t *memory = pages_alloc(PAGE);
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, write_code);
	CHECK_EQ(REGISTER(&vm, HERE, 2 * PAGE, 0), 0);
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, HERE, PAGE, memory), 0);
	set_regs(&vcpu, HERE + 8, 0x77);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(ring_entries(&vcpu), 0);
	CHECK_EQ(memory[8], 0x77);
	set_regs(&vcpu, HERE + PAGE + 8, 0x77);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(ring_entries(&vcpu), 1);
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, HERE, 0, NULL), 0);
	CHECK_EQ(-vm_set_slot(&vm, 1, KVM_MEM_READONLY, HERE, PAGE, memory), 0);
	set_regs(&vcpu, HERE + 8, 0x78);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(ring_entries(&vcpu), 1);
	CHECK_EQ(memory[8], 0x77);
	/* Out of the zone, across its end: user space. */
	set_regs(&vcpu, HERE + 2 * PAGE - 2, 0x11223344);
	vcpu_expect_mmio(&vcpu, true, HERE + 2 * PAGE, 2);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(ring_entries(&vcpu), 1);
}

/* Without a length any width will do, at the very address. */
static void no_length(void)
{
	int fd = new_eventfd(), other = new_eventfd();
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, widths_code);
	VM_NEED_CAP(&vm, KVM_CAP_IOEVENTFD_NO_LENGTH);
	CHECK_EQ(ioeventfd(&vm, fd, HERE, 0, 0, 0), 0);
	for (unsigned int width = 1; width <= 8; width *= 2)
		CHECK_EQ(ioeventfd(&vm, other, HERE, width, 0, 0), EEXIST);
	CHECK_EQ(ioeventfd(&vm, other, HERE, 0, 0, 0), EEXIST);
	CHECK_EQ(ioeventfd(&vm, other, HERE + 1, 0, 0, 0), 0);
	CHECK_EQ(ioeventfd(&vm, other, HERE + 2, 0, KVM_IOEVENTFD_FLAG_DATAMATCH, 0), EINVAL);
	set_regs(&vcpu, HERE, 0x1122334455667788);
	for (unsigned int width = 1; width <= 8; width *= 2) {
		vcpu_expect_out(&vcpu, 0x10 + width, 1);
		CHECK_EQ(signals(fd), 1);
	}
	CHECK_EQ(signals(other), 0);
	set_regs(&vcpu, HERE + 1, 0);
	vcpu_expect_out(&vcpu, 0x11, 1);
	CHECK_EQ(signals(other), 1);
	CHECK_EQ(ioeventfd(&vm, fd, HERE, 4, KVM_IOEVENTFD_FLAG_DEASSIGN, 0), ENOENT);
	CHECK_EQ(ioeventfd(&vm, other, HERE, 0, KVM_IOEVENTFD_FLAG_DEASSIGN, 0), ENOENT);
	CHECK_EQ(ioeventfd(&vm, fd, HERE, 0, KVM_IOEVENTFD_FLAG_DEASSIGN, 0), 0);
	CHECK_EQ(ioeventfd(&vm, fd, HERE, 0, KVM_IOEVENTFD_FLAG_DEASSIGN, 0), ENOENT);
	set_regs(&vcpu, HERE, 0x42);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, HERE, 1), 0x42);
}

static void no_length_port(void)
{
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, port_code);
	VM_NEED_CAP(&vm, KVM_CAP_IOEVENTFD_NO_LENGTH);
	CHECK_EQ(ioeventfd(&vm, fd, PORT, 0, KVM_IOEVENTFD_FLAG_PIO, 0), 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(signals(fd), 3);
}

/* Widths and data that a write could match twice are refused; those that differ live side by side. */
static void collisions(void)
{
	const uint32_t match = KVM_IOEVENTFD_FLAG_DATAMATCH;
	int a = new_eventfd(), b = new_eventfd();
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, write_code);
	CHECK_EQ(ioeventfd(&vm, a, HERE, 4, match, 1), 0);
	CHECK_EQ(ioeventfd(&vm, b, HERE, 4, match, 1), EEXIST);
	CHECK_EQ(ioeventfd(&vm, b, HERE, 4, 0, 0), EEXIST);
	CHECK_EQ(ioeventfd(&vm, b, HERE, 0, 0, 0), EEXIST);
	CHECK_EQ(ioeventfd(&vm, b, HERE, 4, match, 2), 0);
	CHECK_EQ(ioeventfd(&vm, b, HERE, 2, 0, 0), 0);
	CHECK_EQ(ioeventfd(&vm, a, HERE, 4, KVM_IOEVENTFD_FLAG_PIO, 0), 0);
	set_regs(&vcpu, HERE, 1);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(signals(a), 1);
	set_regs(&vcpu, HERE, 2);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(signals(b), 1);
	CHECK_EQ(signals(a), 0);
	set_regs(&vcpu, HERE, 3);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, HERE, 4), 3);
	/* Nothing is checked of what is taken away: it is just not there. */
	CHECK_EQ(ioeventfd(&vm, a, HERE, 3, KVM_IOEVENTFD_FLAG_DEASSIGN, 0), ENOENT);
	CHECK_EQ(ioeventfd(&vm, a, HERE, 4, KVM_IOEVENTFD_FLAG_DEASSIGN, 0), ENOENT);
	CHECK_EQ(ioeventfd(&vm, a, HERE, 4, KVM_IOEVENTFD_FLAG_DEASSIGN | match, 2), ENOENT);
	CHECK_EQ(ioeventfd(&vm, a, -1ULL, 8, KVM_IOEVENTFD_FLAG_DEASSIGN, 0), ENOENT);
	CHECK_EQ(ioeventfd(&vm, -1, HERE, 4, KVM_IOEVENTFD_FLAG_DEASSIGN | match, 1), EBADF);
	CHECK_EQ(ioeventfd(&vm, a, HERE, 4, KVM_IOEVENTFD_FLAG_DEASSIGN | match, 1), 0);
}

/* Zones may overlap; one entry for a write, and a range takes all zones along that hold it. */
static void zones(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, write_code);
	CHECK_EQ(REGISTER(&vm, HERE, PAGE, 0), 0);
	CHECK_EQ(REGISTER(&vm, HERE, 0x100, 0), 0);
	CHECK_EQ(REGISTER(&vm, HERE, 0x100, 0), 0);
	CHECK_EQ(REGISTER(&vm, HERE, PAGE, 2), EINVAL);
	set_regs(&vcpu, HERE + 0x10, 1);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(ring_entries(&vcpu), 1);
	CHECK_EQ(UNREGISTER(&vm, HERE, 2 * PAGE, 0), 0);
	CHECK_EQ(UNREGISTER(&vm, HERE, PAGE, 1), 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(ring_entries(&vcpu), 1);
	CHECK_EQ(UNREGISTER(&vm, HERE, 0x100, 0), 0);
	vcpu_expect_mmio(&vcpu, true, HERE + 0x10, 4);
	vcpu_expect_out(&vcpu, 0x10, 1);
	/* Of no size: nothing fits. */
	CHECK_EQ(REGISTER(&vm, HERE + 0x10, 0, 0), 0);
	vcpu_expect_mmio(&vcpu, true, HERE + 0x10, 4);
	vcpu_expect_out(&vcpu, 0x10, 1);
	/* Up to the last address, and over it. */
	CHECK_EQ(REGISTER(&vm, -PAGE, PAGE, 0), 0);
	CHECK_EQ(REGISTER(&vm, -PAGE, ~0u, 0), 0);
}

/* There is an end to them. */
static void too_many_zones(void)
{
	struct vm vm;
	unsigned int count;
	int error = 0;

	vm_create(&vm);
	for (count = 0; count < 2000 && !error; count++)
		error = REGISTER(&vm, HERE + count * PAGE, PAGE, 0);
	CHECK_EQ(error, ENOSPC);
	CHECK(count > 900, "%u zones", count);
	CHECK_EQ(UNREGISTER(&vm, HERE, PAGE, 0), 0);
	CHECK_EQ(REGISTER(&vm, HERE, PAGE, 0), 0);
}

/* Device memory that is written through a slot's hole by one access with memory on both sides. */
static void hole_between_slots(void)
{
	uint8_t *memory = pages_alloc(2 * PAGE);
	struct vm vm;
	struct vcpu vcpu;
	int fd = new_eventfd();

	VM_BOOT(&vm, &vcpu, MODE_LONG, write_code);
	CHECK_EQ(-vm_set_slot(&vm, 1, 0, HERE, PAGE, memory), 0);
	CHECK_EQ(-vm_set_slot(&vm, 2, 0, HERE + 2 * PAGE, PAGE, memory + PAGE), 0);
	CHECK_EQ(REGISTER(&vm, HERE + PAGE, PAGE, 0), 0);
	set_regs(&vcpu, HERE + PAGE - 2, 0x44332211);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK(!memcmp(memory + PAGE - 2, "\x11\x22", 2), "in front of the hole");
	CHECK_EQ(ring_of(&vcpu)->coalesced_mmio[0].len, 2);
	CHECK_EQ(ring_of(&vcpu)->coalesced_mmio[0].phys_addr, HERE + PAGE);
	CHECK_EQ(ring_entries(&vcpu), 1);
	CHECK_EQ(UNREGISTER(&vm, HERE + PAGE, PAGE, 0), 0);
	CHECK_EQ(ioeventfd(&vm, fd, HERE + 2 * PAGE - 2, 2, 0, 0), 0);
	set_regs(&vcpu, HERE + 2 * PAGE - 2, 0x44332211);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(signals(fd), 1);
	CHECK(!memcmp(memory + PAGE, "\x33\x44", 2), "behind the hole");
}

static const struct test_case cases[] = {
	{ "ioeventfd_under_slot", ioeventfd_under_slot },
	{ "zone_under_slot", zone_under_slot },
	{ "no_length", no_length },
	{ "no_length_port", no_length_port },
	{ "collisions", collisions },
	{ "zones", zones },
	{ "too_many_zones", too_many_zones },
	{ "hole_between_slots", hole_between_slots },
};
CASES_MAIN(cases)
