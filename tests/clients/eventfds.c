// SPDX-License-Identifier: GPL-2.0-or-later
/* ioeventfd, irqfd with and without resampling, and coalesced MMIO and PIO. */
#include <sys/eventfd.h>

#include "kvm_client.h"

static uint64_t events(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static int event_create(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	CHECK(fd >= 0, "eventfd: %s", strerror(errno));
	return fd;
}

static void ioeventfd(struct vm *vm, int fd, uint64_t addr, uint32_t len, uint32_t flags,
		      uint64_t match)
{
	struct kvm_ioeventfd io = {
		.fd = fd,
		.addr = addr,
		.len = len,
		.flags = flags,
		.datamatch = match,
	};

	XIOCTL(vm->fd, KVM_IOEVENTFD, &io);
}

/* Every length at its own address; a store of that length signals, another exits. */
GUEST(mmio_code, 64,
      "mov $0x10000000, %ebx; movb $1, 0x10(%rbx); movw $1, 0x20(%rbx); movl $1, 0x40(%rbx)\n"
      "movq $1, 0x80(%rbx); out %al, $0x80; movl $1, 0x20(%rbx); mov 0x40(%rbx), %eax; hlt");

static void ioeventfd_mmio(void)
{
	struct vm vm;
	struct vcpu vcpu;
	int fd[4];

	VM_BOOT(&vm, &vcpu, MODE_LONG, mmio_code);
	VM_NEED_CAP(&vm, KVM_CAP_IOEVENTFD);
	for (int i = 0; i < 4; i++) {
		fd[i] = event_create();
		ioeventfd(&vm, fd[i], MMIO_BASE + (0x10 << i), 1 << i, 0, 0);
	}
	vcpu_expect_out(&vcpu, 0x80, 1);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(events(fd[i]), 1);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 0x20, 4), 1);
	vcpu_expect_mmio(&vcpu, false, MMIO_BASE + 0x40, 4);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(events(fd[i]), 0);
}

/* Length 0 takes stores of every size (KVM_CAP_IOEVENTFD_ANY_LENGTH). */
GUEST(any_code, 64,
      "mov $0x10000000, %ebx; movb $1, (%rbx); movw $1, (%rbx); movl $1, (%rbx); movq $1, (%rbx)\n"
      "out %al, $0x80; hlt");

static void ioeventfd_any(void)
{
	struct vm vm;
	struct vcpu vcpu;
	int fd = event_create();

	VM_BOOT(&vm, &vcpu, MODE_LONG, any_code);
	VM_NEED_CAP(&vm, KVM_CAP_IOEVENTFD_ANY_LENGTH);
	ioeventfd(&vm, fd, MMIO_BASE, 0, 0, 0);
	vcpu_expect_out(&vcpu, 0x80, 1);
	CHECK_EQ(events(fd), 4);
}

/* Two values at one address; a third value exits. */
GUEST(match_code, 64,
      "mov $0x10000000, %ebx; movl $5, (%rbx); movl $6, (%rbx); movl $6, (%rbx); movl $7, (%rbx)\n"
      "mov $5, %eax; mov $0x300, %edx; out %ax, %dx; inc %eax; out %ax, %dx; hlt");

static void ioeventfd_datamatch(void)
{
	struct vm vm;
	struct vcpu vcpu;
	int five = event_create(), six = event_create(), port = event_create();

	VM_BOOT(&vm, &vcpu, MODE_LONG, match_code);
	ioeventfd(&vm, five, MMIO_BASE, 4, KVM_IOEVENTFD_FLAG_DATAMATCH, 5);
	ioeventfd(&vm, six, MMIO_BASE, 4, KVM_IOEVENTFD_FLAG_DATAMATCH, 6);
	ioeventfd(&vm, port, 0x300, 2, KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO, 5);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE, 4), 7);
	CHECK_EQ(events(five), 1);
	CHECK_EQ(events(six), 2);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x300, 2), 6);
	CHECK_EQ(events(port), 1);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

GUEST(pio_code, 64,
      "mov $0x300, %edx; out %al, %dx; mov $0x302, %edx; out %ax, %dx; mov $0x304, %edx\n"
      "out %eax, %dx; out %al, $0x80; in %dx, %eax; hlt");

static void ioeventfd_pio(void)
{
	struct vm vm;
	struct vcpu vcpu;
	int fd[3];

	VM_BOOT(&vm, &vcpu, MODE_LONG, pio_code);
	for (int i = 0; i < 3; i++) {
		fd[i] = event_create();
		ioeventfd(&vm, fd[i], 0x300 + 2 * i, 1 << i, KVM_IOEVENTFD_FLAG_PIO, 0);
	}
	vcpu_expect_out(&vcpu, 0x80, 1);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(events(fd[i]), 1);
	vcpu_expect(&vcpu, KVM_EXIT_IO);
	CHECK_EQ(vcpu.run->io.direction, KVM_EXIT_IO_IN);
}

/* After deassigning, stores exit again; the same assignment twice is refused. */
GUEST(loop_code, 64, "mov $0x10000000, %ebx; 1: movl $1, (%rbx); out %al, $0x80; jmp 1b");

/* Whose count is full already, and who would wait to write to it: the guest does not. */
GUEST(full_code, 64, "out %eax, $0x10; out %eax, $0x10; hlt");

static void ioeventfd_full(void)
{
	uint64_t count = UINT64_MAX - 1;
	int fd = eventfd(0, EFD_CLOEXEC);
	struct vcpu vcpu;
	struct vm vm;

	VM_BOOT(&vm, &vcpu, MODE_LONG, full_code);
	VM_NEED_CAP(&vm, KVM_CAP_IOEVENTFD);
	CHECK(write(fd, &count, sizeof(count)) == sizeof(count), "write: %s", strerror(errno));
	ioeventfd(&vm, fd, 0x10, 4, KVM_IOEVENTFD_FLAG_PIO, 0);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	CHECK(read(fd, &count, sizeof(count)) == sizeof(count), "read: %s", strerror(errno));
	CHECK(count >= UINT64_MAX - 1, "count is %#llx", (unsigned long long)count);
}

static void ioeventfd_deassign(void)
{
	struct kvm_ioeventfd io = { .addr = MMIO_BASE, .len = 4 };
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, loop_code);
	io.fd = event_create();
	for (int i = 0; i < 3; i++) {
		io.flags = 0;
		XIOCTL(vm.fd, KVM_IOEVENTFD, &io);
		CHECK(ioctl(vm.fd, KVM_IOEVENTFD, &io) == -1 && errno == EEXIST, "assigned twice");
		vcpu_expect_out(&vcpu, 0x80, 1);
		CHECK_EQ(events(io.fd), 1);
		io.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
		XIOCTL(vm.fd, KVM_IOEVENTFD, &io);
		CHECK(ioctl(vm.fd, KVM_IOEVENTFD, &io) == -1 && errno == ENOENT,
		      "deassigned twice");
		vcpu_expect_mmio(&vcpu, true, MMIO_BASE, 4);
		vcpu_expect_out(&vcpu, 0x80, 1);
		CHECK_EQ(events(io.fd), 0);
	}
}

/* A guest that waits in HLT for interrupts through the IOAPIC; handlers tell the vector. */
GUEST(wait_code, 64,
      "mov $0xfee00000, %ebp; movl $0x1ff, 0xf0(%rbp); sti; out %al, $0x80; 1: hlt; jmp 1b\n"
      ".org wait_code + 0x80; mov $0x5a, %al; out %al, $0x30; movl $0, 0xb0(%rbp); iretq\n"
      ".org wait_code + 0xc0; mov $0x5b, %al; out %al, $0x30; movl $0, 0xb0(%rbp); iretq");

static void boot_waiting(struct vm *vm, struct vcpu *vcpu, uint64_t entry)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	VM_BOOT_IRQCHIP(vm, vcpu, MODE_LONG, wait_code);
	vm_set_gate(vm, MODE_LONG, 0x5a, GUEST_CODE + 0x80);
	vm_set_gate(vm, MODE_LONG, 0x5b, GUEST_CODE + 0xc0);
	vcpu_expect_out(vcpu, 0x80, 1);
	XIOCTL(vm->fd, KVM_GET_IRQCHIP, &chip);
	chip.chip.ioapic.redirtbl[20].bits = entry;
	chip.chip.ioapic.redirtbl[21].bits = 0x5b;
	XIOCTL(vm->fd, KVM_SET_IRQCHIP, &chip);
}

static void irqfd(void)
{
	struct kvm_irqfd irqfd = { .gsi = 20 };
	const uint64_t one = 1;
	struct vm vm;
	struct vcpu vcpu;

	boot_waiting(&vm, &vcpu, 0x5a);
	VM_NEED_CAP(&vm, KVM_CAP_IRQFD);
	irqfd.fd = event_create();
	XIOCTL(vm.fd, KVM_IRQFD, &irqfd);
	CHECK(ioctl(vm.fd, KVM_IRQFD, &irqfd) == -1 && errno == EBUSY, "assigned twice");
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(write(irqfd.fd, &one, 8), 8);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x5a);
	}
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	XIOCTL(vm.fd, KVM_IRQFD, &irqfd);
	CHECK_EQ(write(irqfd.fd, &one, 8), 8);
	sleep_ms(20);
	struct kvm_irq_level line = { .irq = 21, .level = 1 };
	XIOCTL(vm.fd, KVM_IRQ_LINE, &line);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x5b);
}

/* What was written before the irqfd was assigned is delivered as well. */
static void irqfd_early(void)
{
	struct kvm_irqfd irqfd = { .gsi = 20 };
	const uint64_t one = 1;
	struct vm vm;
	struct vcpu vcpu;

	boot_waiting(&vm, &vcpu, 0x5a);
	irqfd.fd = event_create();
	CHECK_EQ(write(irqfd.fd, &one, 8), 8);
	XIOCTL(vm.fd, KVM_IRQFD, &irqfd);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x5a);
}

/* Level triggered: the line stays up until EOI, which lowers it and signals the resample fd. */
static void irqfd_resample(void)
{
	struct kvm_irqfd irqfd = { .gsi = 20, .flags = KVM_IRQFD_FLAG_RESAMPLE };
	const uint64_t one = 1;
	struct vm vm;
	struct vcpu vcpu;

	boot_waiting(&vm, &vcpu, 0x8000 | 0x5a);
	VM_NEED_CAP(&vm, KVM_CAP_IRQFD_RESAMPLE);
	irqfd.fd = event_create();
	irqfd.resamplefd = event_create();
	XIOCTL(vm.fd, KVM_IRQFD, &irqfd);
	for (int i = 0; i < 5; i++) {
		struct kvm_irq_level line = { .irq = 21, .level = 1 };

		CHECK_EQ(write(irqfd.fd, &one, 8), 8);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x5a);
		CHECK(events(irqfd.resamplefd) == 0, "signalled before EOI %d", i);
		XIOCTL(vm.fd, KVM_IRQ_LINE, &line);
		line.level = 0;
		XIOCTL(vm.fd, KVM_IRQ_LINE, &line);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x5b);
		CHECK_EQ(events(irqfd.resamplefd), 1);
	}
}

/* An ioeventfd that is an irqfd as well: the guest interrupts itself without the client. */
GUEST(loopback_code, 64,
      "mov $0xfee00000, %ebp; movl $0x1ff, 0xf0(%rbp); sti; out %al, $0x80\n"
      "mov $0x10000000, %ebx; movl $1, (%rbx); 1: hlt; jmp 1b\n"
      ".org loopback_code + 0x80; mov $0x5a, %al; out %al, $0x30; hlt");

static void loopback(void)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_irqfd irqfd = { .gsi = 20 };
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, loopback_code);
	vm_set_gate(&vm, MODE_LONG, 0x5a, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x80, 1);
	XIOCTL(vm.fd, KVM_GET_IRQCHIP, &chip);
	chip.chip.ioapic.redirtbl[20].bits = 0x5a;
	XIOCTL(vm.fd, KVM_SET_IRQCHIP, &chip);
	irqfd.fd = event_create();
	XIOCTL(vm.fd, KVM_IRQFD, &irqfd);
	ioeventfd(&vm, irqfd.fd, MMIO_BASE, 4, 0, 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x5a);
}

/* Stores to a coalesced zone stay in the ring until something else exits. */
GUEST(coalesced_code, 64,
      "mov $0x10000000, %ebx; movl $0x11, (%rbx); movw $0x22, 4(%rbx); movb $0x33, 6(%rbx)\n"
      "out %al, $0x80; movl $0x44, 0x1000(%rbx); mov (%rbx), %eax; hlt");

static struct kvm_coalesced_mmio_ring *ring_of(struct vm *vm, struct vcpu *vcpu)
{
	long page = XIOCTL(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	if (!page)
		case_skip("no KVM_CAP_COALESCED_MMIO");
	return (void *)((uint8_t *)vcpu->run + page * 4096);
}

static void expect_entry(struct kvm_coalesced_mmio_ring *ring, uint64_t addr, uint32_t len,
			 uint32_t data, bool pio)
{
	struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[ring->first];
	uint32_t got = 0;

	CHECK(ring->first != ring->last, "the ring is empty");
	memcpy(&got, entry->data, len);
	CHECK_EQ(entry->phys_addr, addr);
	CHECK_EQ(entry->len, len);
	CHECK_EQ(got, data);
	CHECK_EQ(entry->pio, pio);
	ring->first = (ring->first + 1) % ((4096 - sizeof(*ring)) / sizeof(*entry));
}

static void coalesced_mmio(void)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = MMIO_BASE, .size = 0x1000 };
	struct kvm_coalesced_mmio_ring *ring;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, coalesced_code);
	ring = ring_of(&vm, &vcpu);
	XIOCTL(vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone);
	vcpu_expect_out(&vcpu, 0x80, 1);
	expect_entry(ring, MMIO_BASE, 4, 0x11, false);
	expect_entry(ring, MMIO_BASE + 4, 2, 0x22, false);
	expect_entry(ring, MMIO_BASE + 6, 1, 0x33, false);
	CHECK_EQ(ring->first, ring->last);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE + 0x1000, 4), 0x44);
	vcpu_expect_mmio(&vcpu, false, MMIO_BASE, 4);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

GUEST(coalesced_pio_code, 64,
      "mov $0x1234, %eax; mov $0x3c0, %edx; out %al, %dx; out %ax, %dx; out %al, $0x80; hlt");

static void coalesced_pio(void)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x3c0, .size = 16, .pio = 1 };
	struct kvm_coalesced_mmio_ring *ring;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, coalesced_pio_code);
	VM_NEED_CAP(&vm, KVM_CAP_COALESCED_PIO);
	ring = ring_of(&vm, &vcpu);
	XIOCTL(vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone);
	vcpu_expect_out(&vcpu, 0x80, 1);
	expect_entry(ring, 0x3c0, 1, 0x34, true);
	expect_entry(ring, 0x3c0, 2, 0x1234, true);
	CHECK_EQ(ring->first, ring->last);
}

/* A full ring: the next store exits as ever, and none is lost. Unregistered: all exit. */
GUEST(flood_code, 64,
      "mov $0x10000000, %ebx; xor %eax, %eax; 1: inc %eax; mov %eax, (%rbx); jmp 1b");

static void coalesced_full(void)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = MMIO_BASE, .size = 0x1000 };
	struct kvm_coalesced_mmio_ring *ring;
	struct vm vm;
	struct vcpu vcpu;
	uint32_t expected = 0;

	VM_BOOT(&vm, &vcpu, MODE_LONG, flood_code);
	ring = ring_of(&vm, &vcpu);
	XIOCTL(vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone);
	for (int i = 0; i < 3; i++) {
		uint32_t exited = vcpu_expect_mmio(&vcpu, true, MMIO_BASE, 4);

		while (ring->first != ring->last)
			expect_entry(ring, MMIO_BASE, 4, ++expected, false);
		CHECK_EQ(exited, ++expected);
		CHECK(expected > 50, "only %u in the ring", expected);
	}
	XIOCTL(vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &zone);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(vcpu_expect_mmio(&vcpu, true, MMIO_BASE, 4), ++expected);
	CHECK_EQ(ring->first, ring->last);
}

/* A client that writes nonsense into the shared ring hurts nobody but itself. */
static void coalesced_hostile(void)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = MMIO_BASE, .size = 0x1000 };
	struct kvm_coalesced_mmio_ring *ring;
	struct vm vm;
	struct vcpu vcpu;
	static const uint32_t values[] = { 169, 170, 171, 4096, 0x7fffffff, 0xffffffff };

	VM_BOOT(&vm, &vcpu, MODE_LONG, flood_code);
	ring = ring_of(&vm, &vcpu);
	XIOCTL(vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		ring->first = 0;
		ring->last = values[i];
		vcpu_expect(&vcpu, KVM_EXIT_MMIO);
	}
}

static const struct test_case cases[] = {
	{ "ioeventfd_mmio", ioeventfd_mmio },
	{ "ioeventfd_any", ioeventfd_any },
	{ "ioeventfd_datamatch", ioeventfd_datamatch },
	{ "ioeventfd_pio", ioeventfd_pio },
	{ "ioeventfd_full", ioeventfd_full },
	{ "ioeventfd_deassign", ioeventfd_deassign },
	{ "irqfd", irqfd },
	{ "irqfd_early", irqfd_early },
	{ "irqfd_resample", irqfd_resample },
	{ "loopback", loopback },
	{ "coalesced_mmio", coalesced_mmio },
	{ "coalesced_pio", coalesced_pio },
	{ "coalesced_full", coalesced_full },
	{ "coalesced_hostile", coalesced_hostile },
};
CASES_MAIN(cases)
