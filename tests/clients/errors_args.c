// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Wrong contents: memslots, flags, sizes, descriptors and ranges that the kernel refuses, and how.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/eventfd.h>

#include "kvm_client.h"

#define BIG (1ULL << 40)

static void expect(const char *row, int fd, unsigned long request, void *arg, int expected)
{
	int result = ioctl(fd, request, arg);
	int error = result < 0 ? errno : 0;

	case_row(error == expected, row, "%s, expected %s",
		 error ? strerrorname_np(error) : "success",
		 expected ? strerrorname_np(expected) : "success");
}

/* Slot 0 is 0 to RAM_BYTES; slot 1 is 0x400000 to 0x404000. ADDR is the hva of 16 free pages. */
#define ADDR 1
#define WRAP 2
static const struct {
	const char *name;
	uint32_t slot, flags;
	uint64_t gpa, bytes;
	uint64_t hva; /* 0, ADDR plus an offset, or WRAP */
	int expected;
} slots[] = {
	{ "good", 2, 0, 0x500000, 0x1000, ADDR, 0 },
	{ "delete_good", 2, 0, 0, 0, 0, 0 },
	{ "delete_none", 2, 0, 0, 0, 0, EINVAL },
	{ "overlap_start", 2, 0, 0x3ff000, 0x2000, ADDR, EEXIST },
	{ "overlap_end", 2, 0, 0x403000, 0x2000, ADDR, EEXIST },
	{ "overlap_inside", 2, 0, 0x401000, 0x1000, ADDR, EEXIST },
	{ "overlap_around", 2, 0, 0x3ff000, 0x8000, ADDR, EEXIST },
	{ "overlap_same", 2, 0, 0x400000, 0x4000, ADDR, EEXIST },
	{ "touching_before", 2, 0, 0x3ff000, 0x1000, ADDR, 0 },
	{ "touching_behind", 3, 0, 0x404000, 0x1000, ADDR, 0 },
	{ "move_onto", 3, 0, 0x402000, 0x1000, ADDR, EEXIST },
	{ "gpa_unaligned", 4, 0, 0x600100, 0x1000, ADDR, EINVAL },
	{ "size_unaligned", 4, 0, 0x600000, 0x1800, ADDR, EINVAL },
	{ "hva_unaligned", 4, 0, 0x600000, 0x1000, ADDR + 0x80, EINVAL },
	{ "hva_kernel", 4, 0, 0x600000, 0x1000, 0xffff888000000000, EINVAL },
	{ "hva_wraps", 4, 0, 0x600000, 0x2000, 0xfffffffffffff000, EINVAL },
	{ "hva_null", 4, 0, 0x600000, 0x1000, 0, 0 }, /* not mapped is no matter */
	{ "gpa_wraps", 5, 0, 0xfffffffffffff000, 0x2000, ADDR, EINVAL },
	{ "flag_unknown", 5, 8, 0x700000, 0x1000, ADDR, EINVAL },
	{ "flags_all", 5, 0xffffffff, 0x700000, 0x1000, ADDR, EINVAL },
	{ "slot_too_high", 40000, 0, 0x700000, 0x1000, ADDR, EINVAL },
	{ "address_space", 0x20005, 0, 0x700000, 0x1000, ADDR, EINVAL },
	{ "size_change", 1, 0, 0x400000, 0x2000, ADDR, EINVAL },
	{ "hva_change", 1, 0, 0x400000, 0x4000, ADDR + 0x1000, EINVAL },
	{ "readonly_change", 1, KVM_MEM_READONLY, 0x400000, 0x4000, ADDR, EINVAL },
	{ "same_again", 1, 0, 0x400000, 0x4000, ADDR, 0 },
	{ "log_on", 1, KVM_MEM_LOG_DIRTY_PAGES, 0x400000, 0x4000, ADDR, 0 },
	{ "size_huge", 6, 0, BIG, (1ULL << 43) + 0x1000, ADDR, EINVAL },
};

static void memslots(void)
{
	struct vm vm;
	uint8_t *memory = pages_alloc(0x10000);

	vm_create(&vm);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, 0x400000, 0x4000, memory), 0);
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		struct kvm_userspace_memory_region region = {
			.slot = slots[i].slot,
			.flags = slots[i].flags,
			.guest_phys_addr = slots[i].gpa,
			.memory_size = slots[i].bytes,
			.userspace_addr = slots[i].hva,
		};

		if (slots[i].hva && slots[i].hva < 0x10000)
			region.userspace_addr += (uintptr_t)memory - ADDR;
		expect(slots[i].name, vm.fd, KVM_SET_USER_MEMORY_REGION, &region,
		       slots[i].expected);
	}
}

/* The second form of the call, with guest_memfd. */
static void memslots2(void)
{
	struct kvm_userspace_memory_region2 good = {
		.slot = 1, .guest_phys_addr = 0x400000, .memory_size = 0x4000,
	}, bad;
	struct vm vm;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_USER_MEMORY2);
	good.userspace_addr = (uintptr_t)pages_alloc(0x4000);
	expect("good", vm.fd, KVM_SET_USER_MEMORY_REGION2, &good, 0);
	bad = good;
	bad.slot = 2;
	bad.guest_phys_addr = 0x500000;
	bad.flags = 1 << 5;
	expect("flag", vm.fd, KVM_SET_USER_MEMORY_REGION2, &bad, EINVAL);
	/* A VM of the default type has no private memory. */
	bad.flags = KVM_MEM_GUEST_MEMFD;
	bad.guest_memfd = -1;
	int result = ioctl(vm.fd, KVM_SET_USER_MEMORY_REGION2, &bad);
	case_row(result == -1 && (errno == EINVAL || errno == EBADF), "guest_memfd", "%d", result);
	/* The flag is unknown to the first form. */
	expect("first_form", vm.fd, KVM_SET_USER_MEMORY_REGION, &bad, EINVAL);
}

static void ioeventfd(void)
{
	struct vm vm;
	struct kvm_ioeventfd good = { .addr = 0x10000000, .len = 4 }, io;
	int event = eventfd(0, EFD_CLOEXEC);

	vm_create(&vm);
	good.fd = event;
#define IO(row, change, expected)                                                                  \
	do {                                                                                       \
		io = good;                                                                         \
		change;                                                                            \
		expect(row, vm.fd, KVM_IOEVENTFD, &io, expected);                                  \
	} while (0)
	IO("length_3", io.len = 3, EINVAL);
	IO("length_16", io.len = 16, EINVAL);
	IO("wraps", (io.addr = ~0ULL, io.len = 4), EINVAL);
	IO("flag", io.flags = 1 << 7, EINVAL);
	IO("length_0_match", (io.len = 0, io.flags = KVM_IOEVENTFD_FLAG_DATAMATCH), EINVAL);
	IO("fd_closed", io.fd = 900, EBADF);
	IO("fd_negative", io.fd = -1, EBADF);
	IO("fd_no_eventfd", io.fd = vm.kvm, EINVAL);
	IO("deassign_none", io.flags = KVM_IOEVENTFD_FLAG_DEASSIGN, ENOENT);
	IO("good", (void)0, 0);
	IO("twice", (void)0, EEXIST);
	IO("match_beside_wildcard", io.flags = KVM_IOEVENTFD_FLAG_DATAMATCH, EEXIST);
	IO("other_length", io.len = 2, 0);
	IO("deassign_other_fd", (io.flags = KVM_IOEVENTFD_FLAG_DEASSIGN, io.fd = eventfd(0, 0)),
	   ENOENT);
	IO("deassign", io.flags = KVM_IOEVENTFD_FLAG_DEASSIGN, 0);
#undef IO
}

static void irqfd(void)
{
	struct vm none, vm;
	struct kvm_irqfd good = { .gsi = 5 }, irq;

	vm_create(&none);
	vm_create_irqchip(&vm);
	good.fd = eventfd(0, EFD_CLOEXEC);
	irq = good;
	expect("no_irqchip", none.fd, KVM_IRQFD, &irq, EINVAL);
#define IRQ(row, change, expected)                                                                 \
	do {                                                                                       \
		irq = good;                                                                        \
		change;                                                                            \
		expect(row, vm.fd, KVM_IRQFD, &irq, expected);                                     \
	} while (0)
	IRQ("flag", irq.flags = 1 << 7, EINVAL);
	IRQ("fd_closed", irq.fd = 900, EBADF);
	IRQ("fd_no_eventfd", irq.fd = vm.kvm, EINVAL);
	IRQ("resample_closed", (irq.flags = KVM_IRQFD_FLAG_RESAMPLE, irq.resamplefd = 900), EBADF);
	IRQ("resample_no_eventfd", (irq.flags = KVM_IRQFD_FLAG_RESAMPLE, irq.resamplefd = vm.kvm),
	    EINVAL);
	IRQ("good", (void)0, 0);
	IRQ("twice", (void)0, EBUSY);
	IRQ("deassign", irq.flags = KVM_IRQFD_FLAG_DEASSIGN, 0);
	IRQ("deassign_none", irq.flags = KVM_IRQFD_FLAG_DEASSIGN, 0);
	IRQ("deassign_no_fd", (irq.flags = KVM_IRQFD_FLAG_DEASSIGN, irq.fd = 900), EBADF);
#undef IRQ
}

static void routing(void)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[2];
	} good = {
		.head.nr = 1,
		.entries[0] = { .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP,
				.u.irqchip = { KVM_IRQCHIP_IOAPIC, 5 } },
	}, table;
	struct vm none, vm;

	vm_create(&none);
	vm_create_irqchip(&vm);
	expect("no_irqchip", none.fd, KVM_SET_GSI_ROUTING, &good, EINVAL);
#define ROUTE(row, change, expected)                                                               \
	do {                                                                                       \
		table = good;                                                                      \
		change;                                                                            \
		expect(row, vm.fd, KVM_SET_GSI_ROUTING, &table, expected);                         \
	} while (0)
	ROUTE("good", (void)0, 0);
	ROUTE("too_many", table.head.nr = 5000, EINVAL);
	ROUTE("flags", table.head.flags = 1, EINVAL);
	ROUTE("type", table.entries[0].type = 99, EINVAL);
	ROUTE("gsi", table.entries[0].gsi = 4096, EINVAL);
	ROUTE("chip", table.entries[0].u.irqchip.irqchip = 7, EINVAL);
	ROUTE("pin", table.entries[0].u.irqchip.pin = 24, EINVAL);
	ROUTE("entry_flags", table.entries[0].flags = 8, EINVAL);
	ROUTE("twice_same_chip", (table.head.nr = 2, table.entries[1] = table.entries[0]), EINVAL);
	ROUTE("empty", table.head.nr = 0, 0);
#undef ROUTE
}

static void irq_line(void)
{
	struct kvm_irq_level line = { .irq = 5, .level = 1 };
	struct kvm_irqchip chip = { .chip_id = 3 };
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x50, .flags = 1 << 3 };
	struct vm none, vm;

	vm_create(&none);
	vm_create_irqchip(&vm);
	expect("no_irqchip", none.fd, KVM_IRQ_LINE, &line, ENXIO);
	expect("good", vm.fd, KVM_IRQ_LINE, &line, 0);
	expect("get_chip", vm.fd, KVM_GET_IRQCHIP, &chip, EINVAL);
	expect("set_chip", vm.fd, KVM_SET_IRQCHIP, &chip, EINVAL);
	chip.chip_id = 0;
	expect("get_no_chip", none.fd, KVM_GET_IRQCHIP, &chip, ENXIO);
	expect("set_no_chip", none.fd, KVM_SET_IRQCHIP, &chip, ENXIO);
	expect("msi_no_chip", none.fd, KVM_SIGNAL_MSI, &msi, EINVAL);
	expect("msi_flags", vm.fd, KVM_SIGNAL_MSI, &msi, EINVAL);
}

static void dirty_log(void)
{
	uint64_t bitmap[RAM_BYTES / 0x1000 / 64];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };
	struct kvm_clear_dirty_log clear = { .slot = 0, .num_pages = 64, .dirty_bitmap = bitmap };
	struct vm vm;

	vm_create(&vm);
	expect("no_flag", vm.fd, KVM_GET_DIRTY_LOG, &log, ENOENT);
	CHECK_EQ(vm_set_slot(&vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_BYTES, vm.ram), 0);
	expect("good", vm.fd, KVM_GET_DIRTY_LOG, &log, 0);
	log.dirty_bitmap = NULL;
	expect("null_bitmap", vm.fd, KVM_GET_DIRTY_LOG, &log, EFAULT);
	log.slot = 9;
	expect("no_slot", vm.fd, KVM_GET_DIRTY_LOG, &log, ENOENT);
	log.slot = 40000;
	expect("slot_too_high", vm.fd, KVM_GET_DIRTY_LOG, &log, EINVAL);
	clear.first_page = 3;
	expect("clear_unaligned", vm.fd, KVM_CLEAR_DIRTY_LOG, &clear, EINVAL);
	clear.first_page = 1 << 20;
	expect("clear_behind", vm.fd, KVM_CLEAR_DIRTY_LOG, &clear, EINVAL);
	clear.first_page = 0;
	clear.num_pages = 13;
	expect("clear_odd_count", vm.fd, KVM_CLEAR_DIRTY_LOG, &clear, EINVAL);
}

static void vcpu_arguments(void)
{
	struct {
		struct kvm_signal_mask head;
		uint8_t set[16];
	} mask = { .head.len = 16 };
	struct kvm_interrupt interrupt = { .irq = 256 };
	struct kvm_mp_state mp_state = { 77 };
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
	struct kvm_xcrs xcrs;
	struct kvm_cpuid2 cpuid = { .nent = 1000 };
	struct kvm_msrs msrs = { .nmsrs = 100000 };
	struct kvm_enable_cap cap = { .cap = 9999 };
	struct vm vm, chip;
	struct vcpu vcpu, apic;

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	vm_create_irqchip(&chip);
	vcpu_create(&chip, &apic, 0);
	expect("signal_mask_length", vcpu.fd, KVM_SET_SIGNAL_MASK, &mask, EINVAL);
	expect("interrupt_256", vcpu.fd, KVM_INTERRUPT, &interrupt, EINVAL);
	interrupt.irq = 0x30;
	expect("interrupt_with_chip", apic.fd, KVM_INTERRUPT, &interrupt, ENXIO);
	expect("interrupt", vcpu.fd, KVM_INTERRUPT, &interrupt, 0);
	expect("mp_state", apic.fd, KVM_SET_MP_STATE, &mp_state, EINVAL);
	mp_state.mp_state = KVM_MP_STATE_HALTED;
	expect("mp_state_no_chip", vcpu.fd, KVM_SET_MP_STATE, &mp_state, EINVAL);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	events.flags = 1 << 20;
	expect("events_flag", vcpu.fd, KVM_SET_VCPU_EVENTS, &events, EINVAL);
	events.flags = 0;
	events.exception.injected = 1;
	events.exception.nr = 40;
	expect("events_vector", vcpu.fd, KVM_SET_VCPU_EVENTS, &events, EINVAL);
	events.exception.nr = 2;
	expect("events_nmi", vcpu.fd, KVM_SET_VCPU_EVENTS, &events, EINVAL);
	XIOCTL(vcpu.fd, KVM_GET_DEBUGREGS, &debugregs);
	debugregs.flags = 1;
	expect("debugregs_flags", vcpu.fd, KVM_SET_DEBUGREGS, &debugregs, EINVAL);
	debugregs.flags = 0;
	debugregs.dr7 = 1ULL << 40;
	expect("dr7_upper", vcpu.fd, KVM_SET_DEBUGREGS, &debugregs, EINVAL);
	XIOCTL(vcpu.fd, KVM_GET_XCRS, &xcrs);
	xcrs.nr_xcrs = KVM_MAX_XCRS + 1;
	expect("xcrs_many", vcpu.fd, KVM_SET_XCRS, &xcrs, EINVAL);
	xcrs.nr_xcrs = 1;
	xcrs.flags = 1;
	expect("xcrs_flags", vcpu.fd, KVM_SET_XCRS, &xcrs, EINVAL);
	expect("cpuid_many", vcpu.fd, KVM_SET_CPUID2, &cpuid, E2BIG);
	expect("msrs_many", vcpu.fd, KVM_GET_MSRS, &msrs, E2BIG);
	expect("enable_cap", vcpu.fd, KVM_ENABLE_CAP, &cap, EINVAL);
	expect("vm_enable_cap", vm.fd, KVM_ENABLE_CAP, &cap, EINVAL);
	cap.flags = 1;
	expect("enable_cap_flags", vcpu.fd, KVM_ENABLE_CAP, &cap, EINVAL);
	expect("vm_enable_cap_flags", vm.fd, KVM_ENABLE_CAP, &cap, EINVAL);
}

static void devices(void)
{
	struct kvm_create_device device = { .type = 99 };
	struct kvm_clock_data clock = { .flags = 1 << 10 };
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x1000, .size = 0x1000, .pio = 2 };
	struct kvm_pit_state2 pit;
	struct kvm_msr_filter filter = { .flags = 1 << 4 };
	struct vm vm;

	vm_create(&vm);
	expect("type", vm.fd, KVM_CREATE_DEVICE, &device, ENODEV);
	expect("clock_flags", vm.fd, KVM_SET_CLOCK, &clock, EINVAL);
	expect("coalesced_pio_2", vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone, EINVAL);
	expect("get_pit2", vm.fd, KVM_GET_PIT2, &pit, ENXIO);
	expect("set_pit2", vm.fd, KVM_SET_PIT2, &pit, ENXIO);
	if (vm_cap(&vm, KVM_CAP_X86_MSR_FILTER))
		expect("msr_filter_flags", vm.fd, KVM_X86_SET_MSR_FILTER, &filter, EINVAL);
}

/* Mappings of the descriptors. */
static void mappings(void)
{
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
#define MAP(row, fd, bytes, offset, expected)                                                      \
	do {                                                                                       \
		void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);       \
		int error = p == MAP_FAILED ? errno : 0;                                           \
		case_row(error == (expected), row, "%s",                                           \
			 error ? strerrorname_np(error) : "mapped");                               \
	} while (0)
	MAP("vcpu", vcpu.fd, vcpu.run_bytes, 0, 0);
	MAP("vcpu_first_page", vcpu.fd, 0x1000, 0, 0);
	MAP("vcpu_second_page", vcpu.fd, 0x1000, 0x1000, 0);
	MAP("kvm", vm.kvm, 0x1000, 0, ENODEV);
	MAP("vm", vm.fd, 0x1000, 0, ENODEV);
#undef MAP
}

/* read, write and the like on KVM's descriptors. */
static void other_calls(void)
{
	char byte = 0;
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	const int fds[] = { vm.kvm, vm.fd, vcpu.fd };
	static const char *const names[] = { "kvm", "vm", "vcpu" };
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		int result = read(fds[i], &byte, 1);

		case_row(result == -1 && errno == EINVAL, names[i], "read: %d, %s", result,
			 strerror(errno));
		result = write(fds[i], &byte, 1);
		/*
		 * The kernel's is EINVAL; what is behind the descriptor elsewhere may say it
		 * otherwise.
		 */
		case_row(result == -1, names[i], "write: %d", result);
	}
}

static const struct test_case cases[] = {
	{ "memslots", memslots },       { "memslots2", memslots2 },
	{ "ioeventfd", ioeventfd },     { "irqfd", irqfd },
	{ "routing", routing },         { "irq_line", irq_line },
	{ "dirty_log", dirty_log },     { "vcpu_arguments", vcpu_arguments },
	{ "devices", devices },         { "mappings", mappings },
	{ "other_calls", other_calls },
};
CASES_MAIN(cases)
