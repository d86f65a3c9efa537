/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interface as a client sees it, through abi/fauxkvm.h: objects, checks, errors. */
#define _GNU_SOURCE /* memfd_create */
#include "abi/fauxkvm.h"
#include "abi/kvm_compat.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BAD ((void *)1)
#define MMAP_BYTES (3 * 4096)
#define RAM_BYTES 0x4000

static struct fauxkvm *module;
static int kvm, vm;

static void setup(void)
{
	module = fauxkvm_create(NULL);
	ck_assert_ptr_nonnull(module);
	kvm = fauxkvm_open(module);
	ck_assert_int_ge(kvm, 0);
	vm = fauxkvm_ioctl(module, kvm, KVM_CREATE_VM, 0);
	ck_assert_int_gt(vm, 0);
}

static void teardown(void)
{
	fauxkvm_destroy(module);
}

#define ioctl_ok(handle, request, argument)                                                        \
	ck_assert_int_ge(fauxkvm_ioctl(module, handle, request, argument), 0)

#define ioctl_fails(handle, request, argument, error)                                              \
	do {                                                                                       \
		errno = 0;                                                                         \
		ck_assert_int_eq(fauxkvm_ioctl(module, handle, request, argument), -1);            \
		ck_assert_int_eq(errno, error);                                                    \
	} while (0)

static int create_vcpu(int id)
{
	int vcpu = fauxkvm_ioctl(module, vm, KVM_CREATE_VCPU, id);

	ck_assert_int_gt(vcpu, 0);
	return vcpu;
}

static void enable_split_irqchip(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	ioctl_ok(vm, KVM_ENABLE_CAP, &cap);
}

static uint8_t *map_ram(void)
{
	uint8_t *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	ck_assert_ptr_ne(ram, MAP_FAILED);
	return ram;
}

/* ---- module and handles ---- */

START_TEST(unknown_engine_is_refused)
{
	struct fauxkvm_options options = {
		.size = sizeof(options),
		.engine = "no such",
		.log_fd = -1,
	};

	errno = 0;
	ck_assert_ptr_null(fauxkvm_create(&options));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(closed_handle_is_gone)
{
	ck_assert_int_eq(fauxkvm_close(module, vm), 0);
	ioctl_fails(vm, KVM_CHECK_EXTENSION, 0, EBADF);
	ck_assert_int_eq(fauxkvm_close(module, vm), -1);
	ck_assert_int_eq(errno, EBADF);
	ioctl_fails(-1, KVM_CHECK_EXTENSION, 0, EBADF);
	ioctl_fails(100000, KVM_CHECK_EXTENSION, 0, EBADF);
}
END_TEST

START_TEST(vcpu_keeps_its_vm_alive)
{
	int vcpu = create_vcpu(0);
	struct kvm_regs regs;

	ck_assert_int_eq(fauxkvm_close(module, vm), 0);
	ck_assert_int_eq(fauxkvm_close(module, kvm), 0);
	ioctl_ok(vcpu, KVM_GET_REGS, &regs);
	ck_assert_uint_eq(regs.rip, 0xfff0);
}
END_TEST

START_TEST(vcpu_outlives_its_handle)
{
	int vcpu = create_vcpu(0);

	ck_assert_int_eq(fauxkvm_close(module, vcpu), 0);
	ioctl_fails(vm, KVM_CREATE_VCPU, 0, EEXIST);
	create_vcpu(1);
}
END_TEST

START_TEST(child_of_fork_is_refused)
{
	int vcpu = create_vcpu(0), status;
	struct kvm_regs regs;
	pid_t child = fork();

	if (!child) {
		int wrong = fauxkvm_ioctl(module, vm, KVM_CHECK_EXTENSION, 0) != -1 || errno != EIO;

		wrong |= fauxkvm_ioctl(module, vcpu, KVM_GET_REGS, &regs) != -1 || errno != EIO;
		wrong |= fauxkvm_ioctl(module, kvm, KVM_GET_API_VERSION, 0) != 12;
		fauxkvm_close(module, vcpu);
		fauxkvm_close(module, vm);
		_exit(wrong);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ioctl_ok(vcpu, KVM_GET_REGS, &regs);
}
END_TEST

/* ---- /dev/kvm ---- */

START_TEST(system_answers)
{
	ck_assert_int_eq(fauxkvm_ioctl(module, kvm, KVM_GET_API_VERSION, 0), 12);
	ioctl_fails(kvm, KVM_GET_API_VERSION, 1, EINVAL);
	ck_assert_int_eq(fauxkvm_ioctl(module, kvm, KVM_GET_VCPU_MMAP_SIZE, 0), MMAP_BYTES);
	ioctl_fails(kvm, KVM_CREATE_VM, 2, EINVAL);
	ioctl_fails(kvm, _IO(KVMIO, 0xfe), 0, EINVAL);
	ioctl_fails(kvm, KVM_RUN, 0, EINVAL);
}
END_TEST

START_TEST(unknown_numbers_fail_as_in_the_kernel)
{
	int vcpu = create_vcpu(0);

	ioctl_fails(vm, _IO(KVMIO, 0xfe), 0, ENOTTY);
	ioctl_fails(vm, KVM_RUN, 0, ENOTTY);
	ioctl_fails(vcpu, _IO(KVMIO, 0xfe), 0, EINVAL);
	ioctl_fails(vcpu, KVM_RUN, 1, EINVAL);
}
END_TEST

START_TEST(capabilities_answer)
{
	ck_assert_int_eq(fauxkvm_ioctl(module, kvm, KVM_CHECK_EXTENSION, KVM_CAP_PIT2), 1);
	ck_assert_int_eq(fauxkvm_ioctl(module, vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING), 4096);
	ck_assert_int_eq(fauxkvm_ioctl(module, vm, KVM_CHECK_EXTENSION, KVM_CAP_HYPERV), 0);
	ck_assert_int_eq(fauxkvm_ioctl(module, vm, KVM_CHECK_EXTENSION, 1ul << 32), 0);
	ck_assert_int_gt(fauxkvm_ioctl(module, kvm, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS), 0);
}
END_TEST

START_TEST(supported_cpuid_wants_room)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	ioctl_fails(kvm, KVM_GET_SUPPORTED_CPUID, BAD, EFAULT);
	ioctl_fails(kvm, KVM_GET_SUPPORTED_CPUID, cpuid, E2BIG);
	cpuid->nent = 1;
	ioctl_fails(kvm, KVM_GET_SUPPORTED_CPUID, cpuid, E2BIG);
	cpuid->nent = 256;
	ioctl_ok(kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	ck_assert_uint_gt(cpuid->nent, 1);
	ck_assert_uint_lt(cpuid->nent, 256);
	free(cpuid);
}
END_TEST

START_TEST(msr_list_tells_its_length)
{
	struct kvm_msr_list *list = calloc(1, 4096);

	ioctl_fails(kvm, KVM_GET_MSR_INDEX_LIST, list, E2BIG);
	ck_assert_uint_gt(list->nmsrs, 0);
	ioctl_ok(kvm, KVM_GET_MSR_INDEX_LIST, list);
	ck_assert_uint_ne(list->indices[0], 0);
	free(list);
}
END_TEST

START_TEST(system_attribute_is_xcr0)
{
	uint64_t xcr0 = 0;
	struct kvm_device_attr attr = { .addr = (uintptr_t)&xcr0 };

	ioctl_ok(kvm, KVM_HAS_DEVICE_ATTR, &attr);
	ioctl_ok(kvm, KVM_GET_DEVICE_ATTR, &attr);
	ck_assert_uint_eq(xcr0 & 3, 3);
	attr.attr = 5;
	ioctl_fails(kvm, KVM_HAS_DEVICE_ATTR, &attr, ENXIO);
	ioctl_fails(kvm, KVM_SET_DEVICE_ATTR, &attr, EINVAL);
}
END_TEST

/* ---- VM ---- */

START_TEST(vcpu_ids_are_checked)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MAX_VCPU_ID, .args = { 4 } };

	ioctl_fails(vm, KVM_CREATE_VCPU, 4096, EINVAL);
	ioctl_fails(vm, KVM_CREATE_VCPU, 1ul << 32, EINVAL);
	ioctl_ok(vm, KVM_ENABLE_CAP, &cap);
	ioctl_fails(vm, KVM_CREATE_VCPU, 4, EINVAL);
	create_vcpu(3);
	ioctl_fails(vm, KVM_CREATE_VCPU, 3, EEXIST);
	cap.args[0] = 5;
	ioctl_fails(vm, KVM_ENABLE_CAP, &cap, EINVAL);
}
END_TEST

START_TEST(too_late_once_a_vcpu_exists)
{
	uint64_t address = 0xfffbc000;

	create_vcpu(0);
	ioctl_fails(vm, KVM_CREATE_IRQCHIP, 0, EINVAL);
	ioctl_fails(vm, KVM_SET_BOOT_CPU_ID, 0, EBUSY);
	ioctl_fails(vm, KVM_SET_IDENTITY_MAP_ADDR, &address, EINVAL);
	ioctl_fails(vm, KVM_SET_TSC_KHZ, 1000000, EINVAL);
}
END_TEST

START_TEST(irqchip_is_made_once)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	ioctl_ok(vm, KVM_CREATE_IRQCHIP, 0);
	ioctl_fails(vm, KVM_CREATE_IRQCHIP, 0, EEXIST);
	ioctl_fails(vm, KVM_ENABLE_CAP, &cap, EEXIST);
}
END_TEST

START_TEST(irqchip_ioctls_want_an_irqchip)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_irq_level line = { .irq = 1 };
	struct kvm_msi msi = { 0 };
	struct kvm_pit_config pit = { 0 };
	struct kvm_lapic_state lapic;
	int vcpu;

	ioctl_fails(vm, KVM_GET_IRQCHIP, BAD, EFAULT);
	ioctl_fails(vm, KVM_GET_IRQCHIP, &chip, ENXIO);
	ioctl_fails(vm, KVM_IRQ_LINE, &line, ENXIO);
	ioctl_fails(vm, KVM_SIGNAL_MSI, &msi, EINVAL);
	ioctl_fails(vm, KVM_CREATE_PIT2, &pit, ENOENT);
	ioctl_fails(vm, KVM_GET_PIT2, BAD, ENXIO);
	vcpu = create_vcpu(0);
	ioctl_fails(vcpu, KVM_GET_LAPIC, &lapic, EINVAL);
}
END_TEST

START_TEST(split_irqchip_has_no_pins)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_pit_config pit = { 0 };
	struct kvm_lapic_state lapic;
	int vcpu;

	enable_split_irqchip();
	ioctl_fails(vm, KVM_GET_IRQCHIP, &chip, ENXIO);
	ioctl_fails(vm, KVM_CREATE_PIT2, &pit, ENOENT);
	vcpu = create_vcpu(0);
	ioctl_ok(vcpu, KVM_GET_LAPIC, &lapic);
}
END_TEST

START_TEST(pit_is_saved_and_restored)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_pit_state2 state;
	struct kvm_pit_state channels;

	ioctl_ok(vm, KVM_CREATE_IRQCHIP, 0);
	ioctl_ok(vm, KVM_CREATE_PIT2, &config);
	ioctl_fails(vm, KVM_CREATE_PIT2, &config, EEXIST);
	ioctl_ok(vm, KVM_GET_PIT2, &state);
	state.channels[2].count = 0x1234;
	ioctl_ok(vm, KVM_SET_PIT2, &state);
	ioctl_ok(vm, KVM_GET_PIT, &channels);
	ck_assert_uint_eq(channels.channels[2].count, 0x1234);
}
END_TEST

START_TEST(irqfd_checks_its_descriptors)
{
	struct kvm_irqfd args = { .fd = -1, .gsi = 5 };
	int event = eventfd(0, 0);

	ioctl_fails(vm, KVM_IRQFD, &args, EINVAL); /* no irqchip */
	ioctl_ok(vm, KVM_CREATE_IRQCHIP, 0);
	ioctl_fails(vm, KVM_IRQFD, &args, EBADF);
	args.fd = memfd_create("no eventfd", 0);
	ioctl_fails(vm, KVM_IRQFD, &args, EINVAL);
	close(args.fd);
	args.fd = event;
	ioctl_ok(vm, KVM_IRQFD, &args);
	ioctl_fails(vm, KVM_IRQFD, &args, EBUSY);
	args.flags = KVM_IRQFD_FLAG_DEASSIGN;
	ioctl_ok(vm, KVM_IRQFD, &args);
	ioctl_ok(vm, KVM_IRQFD, &args);
	args.flags = 8;
	ioctl_fails(vm, KVM_IRQFD, &args, EINVAL);
	close(event);
}
END_TEST

START_TEST(ioeventfd_checks_come_in_order)
{
	struct kvm_ioeventfd args = { .fd = -1, .len = 3 };
	int event = eventfd(0, 0);

	ioctl_fails(vm, KVM_IOEVENTFD, &args, EINVAL);
	args.len = 4;
	ioctl_fails(vm, KVM_IOEVENTFD, &args, EBADF);
	args.fd = event;
	ioctl_ok(vm, KVM_IOEVENTFD, &args);
	ioctl_fails(vm, KVM_IOEVENTFD, &args, EEXIST);
	args.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	ioctl_ok(vm, KVM_IOEVENTFD, &args);
	ioctl_fails(vm, KVM_IOEVENTFD, &args, ENOENT);
	close(event);
}
END_TEST

START_TEST(memslot_rules)
{
	uint8_t *ram = map_ram();
	struct kvm_userspace_memory_region region = {
		.memory_size = 0x2000,
		.userspace_addr = (uintptr_t)ram,
	};

	ioctl_ok(vm, KVM_SET_USER_MEMORY_REGION, &region);
	region.userspace_addr += 0x1000;
	ioctl_fails(vm, KVM_SET_USER_MEMORY_REGION, &region, EINVAL);
	region.slot = 1;
	ioctl_fails(vm, KVM_SET_USER_MEMORY_REGION, &region, EEXIST);
	region.userspace_addr++;
	ioctl_fails(vm, KVM_SET_USER_MEMORY_REGION, &region, EINVAL);
	region.memory_size = 0;
	region.userspace_addr = 0;
	ioctl_fails(vm, KVM_SET_USER_MEMORY_REGION, &region, EINVAL);
	region.slot = 0;
	ioctl_ok(vm, KVM_SET_USER_MEMORY_REGION, &region);
	ioctl_fails(vm, KVM_SET_USER_MEMORY_REGION, BAD, EFAULT);
	munmap(ram, RAM_BYTES);
}
END_TEST

START_TEST(dirty_log_errors)
{
	uint8_t *ram = map_ram();
	uint64_t bitmap = ~0ull;
	struct kvm_dirty_log log = { .dirty_bitmap = &bitmap };
	struct kvm_clear_dirty_log clear = { .num_pages = 4, .dirty_bitmap = &bitmap };
	struct kvm_userspace_memory_region region = {
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
		.memory_size = 0x4000,
		.userspace_addr = (uintptr_t)ram,
	};

	ioctl_fails(vm, KVM_GET_DIRTY_LOG, &log, ENOENT);
	ioctl_ok(vm, KVM_SET_USER_MEMORY_REGION, &region);
	ioctl_ok(vm, KVM_GET_DIRTY_LOG, &log);
	ck_assert_uint_eq(bitmap, 0);
	ioctl_ok(vm, KVM_CLEAR_DIRTY_LOG, &clear);
	clear.num_pages = 5;
	ioctl_fails(vm, KVM_CLEAR_DIRTY_LOG, &clear, EINVAL);
	clear.num_pages = 4;
	clear.dirty_bitmap = BAD;
	ioctl_fails(vm, KVM_CLEAR_DIRTY_LOG, &clear, EFAULT);
	log.dirty_bitmap = BAD;
	ioctl_fails(vm, KVM_GET_DIRTY_LOG, &log, EFAULT);
	log.slot = 32764;
	ioctl_fails(vm, KVM_GET_DIRTY_LOG, &log, EINVAL);
	munmap(ram, RAM_BYTES);
}
END_TEST

START_TEST(enable_cap_refuses_what_it_does_not_know)
{
	struct kvm_enable_cap cap = { .cap = 9999 };

	ioctl_fails(vm, KVM_ENABLE_CAP, &cap, EINVAL);
	cap.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
	cap.args[0] = KVM_DIRTY_LOG_INITIALLY_SET;
	ioctl_fails(vm, KVM_ENABLE_CAP, &cap, EINVAL);
	cap.args[0] = KVM_DIRTY_LOG_INITIALLY_SET | KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	ioctl_ok(vm, KVM_ENABLE_CAP, &cap);
	cap.flags = 1;
	ioctl_fails(vm, KVM_ENABLE_CAP, &cap, EINVAL);
}
END_TEST

START_TEST(no_device_types)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_device_attr attr = { 0 };

	ioctl_fails(vm, KVM_CREATE_DEVICE, &device, ENODEV);
	ioctl_fails(vm, KVM_HAS_DEVICE_ATTR, &attr, ENOTTY);
}
END_TEST

/* ---- vCPU ---- */

START_TEST(mapping_has_three_pages)
{
	int vcpu = create_vcpu(0), other = create_vcpu(1);
	uint8_t *a = fauxkvm_mmap(module, vcpu, MMAP_BYTES, PROT_READ | PROT_WRITE, 0);
	uint8_t *b = fauxkvm_mmap(module, other, MMAP_BYTES, PROT_READ | PROT_WRITE, 0);

	ck_assert_ptr_ne(a, MAP_FAILED);
	ck_assert_ptr_ne(b, MAP_FAILED);
	a[0] = 1;
	a[2 * 4096 + 100] = 7;
	ck_assert_uint_eq(b[0], 0);
	ck_assert_uint_eq(b[2 * 4096 + 100], 7); /* one coalesced ring a VM */
	ck_assert_ptr_eq(fauxkvm_mmap(module, vcpu, MMAP_BYTES + 1, PROT_READ, 0), MAP_FAILED);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_eq(fauxkvm_mmap(module, vm, 4096, PROT_READ, 0), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	munmap(a, MMAP_BYTES);
	munmap(b, MMAP_BYTES);
}
END_TEST

START_TEST(msrs_stop_at_the_first_bad_one)
{
	struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + 256 * sizeof(msrs->entries[0]));
	int vcpu = create_vcpu(0);

	msrs->nmsrs = 256;
	ioctl_fails(vcpu, KVM_GET_MSRS, msrs, E2BIG);
	msrs->nmsrs = 2;
	msrs->entries[0].index = 0xc0000080;
	msrs->entries[1].index = 0xdeadbeef;
	ck_assert_int_eq(fauxkvm_ioctl(module, vcpu, KVM_GET_MSRS, msrs), 1);
	ck_assert_int_eq(fauxkvm_ioctl(module, vcpu, KVM_SET_MSRS, msrs), 1);
	msrs->nmsrs = 0;
	ck_assert_int_eq(fauxkvm_ioctl(module, vcpu, KVM_SET_MSRS, msrs), 0);
	free(msrs);
}
END_TEST

START_TEST(cpuid2_counts)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 4 * sizeof(cpuid->entries[0]));
	int vcpu = create_vcpu(0);

	cpuid->nent = 257;
	ioctl_fails(vcpu, KVM_SET_CPUID2, cpuid, E2BIG);
	cpuid->nent = 1;
	ioctl_ok(vcpu, KVM_SET_CPUID2, cpuid);
	cpuid->nent = 0;
	ioctl_fails(vcpu, KVM_GET_CPUID2, cpuid, E2BIG);
	cpuid->nent = 4;
	ioctl_ok(vcpu, KVM_GET_CPUID2, cpuid);
	ck_assert_uint_eq(cpuid->nent, 1);
	free(cpuid);
}
END_TEST

START_TEST(interrupt_depends_on_the_irqchip)
{
	struct kvm_interrupt interrupt = { 256 };
	int vcpu;

	enable_split_irqchip();
	vcpu = create_vcpu(0);
	ioctl_fails(vcpu, KVM_INTERRUPT, &interrupt, EINVAL);
	interrupt.irq = 32;
	ioctl_ok(vcpu, KVM_INTERRUPT, &interrupt);
	ioctl_fails(vcpu, KVM_INTERRUPT, &interrupt, EEXIST);
}
END_TEST

START_TEST(signal_mask_length)
{
	struct {
		uint32_t len;
		uint8_t set[8];
	} mask = { .len = 4 };
	int vcpu = create_vcpu(0);

	ioctl_fails(vcpu, KVM_SET_SIGNAL_MASK, &mask, EINVAL);
	mask.len = 8;
	ioctl_ok(vcpu, KVM_SET_SIGNAL_MASK, &mask);
	ioctl_ok(vcpu, KVM_SET_SIGNAL_MASK, NULL);
	ioctl_fails(vcpu, KVM_SET_SIGNAL_MASK, BAD, EFAULT);
}
END_TEST

START_TEST(mce_banks)
{
	struct kvm_x86_mce mce = { .bank = 1 };
	int vcpu = create_vcpu(0);
	uint64_t capability = 0;

	ioctl_fails(vcpu, KVM_X86_SETUP_MCE, &capability, EINVAL);
	capability = 33;
	ioctl_fails(vcpu, KVM_X86_SETUP_MCE, &capability, EINVAL);
	capability = 10 | 1 << 26;
	ioctl_fails(vcpu, KVM_X86_SETUP_MCE, &capability, EINVAL);
	ioctl_ok(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &capability);
	capability |= 10;
	ioctl_ok(vcpu, KVM_X86_SETUP_MCE, &capability);
	ioctl_fails(vcpu, KVM_X86_SET_MCE, &mce, EINVAL);
	mce.status = 1ull << 63;
	ioctl_ok(vcpu, KVM_X86_SET_MCE, &mce);
	mce.bank = 10;
	ioctl_fails(vcpu, KVM_X86_SET_MCE, &mce, EINVAL);
}
END_TEST

#define LAPIC_WORD(state, offset) (*(uint32_t *)((state)->regs + (offset)))

/* An error that needs no action interrupts through LVT CMCI where the guest enabled it in the bank. */
START_TEST(corrected_machine_check_interrupts)
{
	struct kvm_x86_mce mce = { .bank = 3, .status = 1ull << 63 | 0x90, .addr = 0x1234000 };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[2];
	} msrs = { .head.nmsrs = 2, .entries = { { .index = 0x283 }, { .index = 0x40e } } };
	uint64_t capability = 10 | 1 << 10;
	struct kvm_lapic_state lapic;
	int vcpu;

	ioctl_ok(vm, KVM_CREATE_IRQCHIP, 0);
	vcpu = create_vcpu(0);
	ioctl_ok(vcpu, KVM_GET_LAPIC, &lapic);
	ck_assert_uint_eq(LAPIC_WORD(&lapic, 0x30), 0x50014);
	ioctl_ok(vcpu, KVM_X86_SETUP_MCE, &capability);
	ioctl_ok(vcpu, KVM_GET_LAPIC, &lapic);
	ck_assert_uint_eq(LAPIC_WORD(&lapic, 0x30), 0x60014);
	ck_assert_uint_eq(LAPIC_WORD(&lapic, 0x2f0), 0x10000);
	LAPIC_WORD(&lapic, 0xf0) |= 0x100;
	LAPIC_WORD(&lapic, 0x2f0) = 0x41;
	ioctl_ok(vcpu, KVM_SET_LAPIC, &lapic);
	for (int enabled = 0; enabled < 2; enabled++) {
		msrs.entries[0].data = enabled ? 1ull << 30 : 0;
		msrs.entries[1].data = 0;
		ck_assert_int_eq(fauxkvm_ioctl(module, vcpu, KVM_SET_MSRS, &msrs), 2);
		ioctl_ok(vcpu, KVM_X86_SET_MCE, &mce);
		ck_assert_int_eq(fauxkvm_ioctl(module, vcpu, KVM_GET_MSRS, &msrs), 2);
		ck_assert_uint_eq(msrs.entries[1].data, mce.addr);
		ioctl_ok(vcpu, KVM_GET_LAPIC, &lapic);
		ck_assert_uint_eq(LAPIC_WORD(&lapic, 0x220) >> 1 & 1, enabled);
	}
}
END_TEST

START_TEST(tsc_offset_is_an_attribute)
{
	int64_t offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};
	int vcpu = create_vcpu(0);

	ioctl_ok(vcpu, KVM_HAS_DEVICE_ATTR, &attr);
	offset = -12345;
	ioctl_ok(vcpu, KVM_SET_DEVICE_ATTR, &attr);
	offset = 0;
	ioctl_ok(vcpu, KVM_GET_DEVICE_ATTR, &attr);
	ck_assert_int_eq(offset, -12345);
	attr.addr = 1;
	ioctl_fails(vcpu, KVM_GET_DEVICE_ATTR, &attr, EFAULT);
	attr.attr = 1;
	ioctl_fails(vcpu, KVM_GET_DEVICE_ATTR, &attr, ENXIO);
}
END_TEST

START_TEST(immediate_exit_and_synchronised_registers)
{
	int vcpu = create_vcpu(0);
	struct kvm_run *run = fauxkvm_mmap(module, vcpu, MMAP_BYTES, PROT_READ | PROT_WRITE, 0);

	run->immediate_exit = 1;
	run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	ioctl_fails(vcpu, KVM_RUN, 0, EINTR);
	ck_assert_uint_eq(run->s.regs.regs.rip, 0xfff0);
	run->s.regs.regs.rip = 0x1234;
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	run->s.regs.regs.rflags = 2;
	ioctl_fails(vcpu, KVM_RUN, 0, EINTR);
	ck_assert_uint_eq(run->kvm_dirty_regs, 0);
	ck_assert_uint_eq(run->s.regs.regs.rip, 0x1234);
	run->kvm_valid_regs = 1 << 8;
	ioctl_fails(vcpu, KVM_RUN, 0, EINVAL);
	munmap(run, MMAP_BYTES);
}
END_TEST

static void *kick_soon(void *vcpu)
{
	usleep(20000);
	fauxkvm_kick(module, *(int *)vcpu);
	return NULL;
}

START_TEST(kick_ends_a_halted_run)
{
	pthread_t thread;
	int vcpu;

	/* An AP that waits for INIT sleeps in KVM_RUN. */
	ioctl_ok(vm, KVM_CREATE_IRQCHIP, 0);
	create_vcpu(0);
	vcpu = create_vcpu(1);
	pthread_create(&thread, NULL, kick_soon, &vcpu);
	ioctl_fails(vcpu, KVM_RUN, 0, EINTR);
	pthread_join(thread, NULL);
	ck_assert_int_eq(fauxkvm_kick(module, vm), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- a guest ---- */

/* 16-bit code at 0x1000 of a VM's RAM, entered in real mode. */
static int create_guest(const uint8_t *code, size_t bytes, struct kvm_run **run)
{
	uint8_t *ram = map_ram();
	struct kvm_userspace_memory_region region = {
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
		.memory_size = RAM_BYTES,
		.userspace_addr = (uintptr_t)ram,
	};
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
	struct kvm_sregs sregs;
	int vcpu;

	memcpy(ram + 0x1000, code, bytes);
	ioctl_ok(vm, KVM_SET_USER_MEMORY_REGION, &region);
	vcpu = create_vcpu(0);
	ioctl_ok(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = sregs.cs.selector = 0;
	ioctl_ok(vcpu, KVM_SET_SREGS, &sregs);
	ioctl_ok(vcpu, KVM_SET_REGS, &regs);
	*run = fauxkvm_mmap(module, vcpu, MMAP_BYTES, PROT_READ | PROT_WRITE, 0);
	ck_assert_ptr_ne(*run, MAP_FAILED);
	return vcpu;
}

START_TEST(guest_reaches_user_space)
{
	static const uint8_t code[] = {
		0xb0, 'x',               /* mov $'x', %al */
		0xe6, 0x10,              /* out %al, $0x10 */
		0xe4, 0x11,              /* in $0x11, %al */
		0xa2, 0x00, 0x20,        /* mov %al, 0x2000 */
		0xf4,                    /* hlt */
	};
	uint64_t dirty = 0;
	struct kvm_dirty_log log = { .dirty_bitmap = &dirty };
	struct kvm_run *run;
	int vcpu = create_guest(code, sizeof(code), &run);

	ioctl_ok(vcpu, KVM_RUN, 0);
	ck_assert_uint_eq(run->exit_reason, KVM_EXIT_IO);
	ck_assert_uint_eq(run->io.direction, KVM_EXIT_IO_OUT);
	ck_assert_uint_eq(run->io.port, 0x10);
	ck_assert_uint_eq(((uint8_t *)run)[run->io.data_offset], 'x');
	ioctl_ok(vcpu, KVM_RUN, 0);
	ck_assert_uint_eq(run->exit_reason, KVM_EXIT_IO);
	ck_assert_uint_eq(run->io.direction, KVM_EXIT_IO_IN);
	((uint8_t *)run)[run->io.data_offset] = 'y';
	ioctl_ok(vcpu, KVM_RUN, 0);
	ck_assert_uint_eq(run->exit_reason, KVM_EXIT_HLT);
	ioctl_ok(vm, KVM_GET_DIRTY_LOG, &log);
	ck_assert_uint_eq(dirty, 1 << 2);
}
END_TEST

START_TEST(ioeventfd_takes_a_guest_s_write)
{
	static const uint8_t code[] = { 0xe6, 0x10, 0xf4 }; /* out %al, $0x10; hlt */
	int event = eventfd(0, EFD_NONBLOCK);
	struct kvm_ioeventfd args = {
		.addr = 0x10,
		.len = 1,
		.fd = event,
		.flags = KVM_IOEVENTFD_FLAG_PIO,
	};
	struct kvm_run *run;
	int vcpu = create_guest(code, sizeof(code), &run);
	uint64_t count = 0;

	ioctl_ok(vm, KVM_IOEVENTFD, &args);
	ioctl_ok(vcpu, KVM_RUN, 0);
	ck_assert_uint_eq(run->exit_reason, KVM_EXIT_HLT);
	ck_assert_int_eq(read(event, &count, sizeof(count)), sizeof(count));
	ck_assert_uint_eq(count, 1);
	close(event);
}
END_TEST

START_TEST(coalesced_writes_wait_in_the_ring)
{
	static const uint8_t code[] = { 0xe6, 0x10, 0xf4 };
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x10, .size = 1, .pio = 1 };
	struct kvm_coalesced_mmio_ring *ring;
	struct kvm_run *run;
	int vcpu = create_guest(code, sizeof(code), &run);

	ring = (void *)((uint8_t *)run + KVM_COALESCED_MMIO_PAGE_OFFSET * 4096);
	ioctl_ok(vm, KVM_REGISTER_COALESCED_MMIO, &zone);
	ioctl_ok(vcpu, KVM_RUN, 0);
	ck_assert_uint_eq(run->exit_reason, KVM_EXIT_HLT);
	ck_assert_uint_eq(ring->first, 0);
	ck_assert_uint_eq(ring->last, 1);
	ck_assert_uint_eq(ring->coalesced_mmio[0].phys_addr, 0x10);
}
END_TEST

START_TEST(kick_ends_an_endless_loop)
{
	static const uint8_t code[] = { 0xeb, 0xfe }; /* jmp . */
	struct kvm_userspace_memory_region more = {
		.slot = 1,
		.guest_phys_addr = 0x100000,
		.memory_size = RAM_BYTES,
		.userspace_addr = (uintptr_t)map_ram(),
	};
	struct kvm_run *run;
	int vcpu = create_guest(code, sizeof(code), &run);
	pthread_t thread;

	pthread_create(&thread, NULL, kick_soon, &vcpu);
	ioctl_fails(vcpu, KVM_RUN, 0, EINTR);
	pthread_join(thread, NULL);
	/* Not lost when nobody runs, and for one KVM_RUN only. */
	ck_assert_int_eq(fauxkvm_kick(module, vcpu), 0);
	ioctl_fails(vcpu, KVM_RUN, 0, EINTR);
	pthread_create(&thread, NULL, kick_soon, &vcpu);
	ioctl_ok(vm, KVM_SET_USER_MEMORY_REGION, &more);
	ioctl_fails(vcpu, KVM_RUN, 0, EINTR);
	pthread_join(thread, NULL);
}
END_TEST

/* ---- statistics ---- */

static void check_stats(int handle, const char *first, const char *id)
{
	int stats = fauxkvm_ioctl(module, handle, KVM_GET_STATS_FD, 0);
	struct kvm_stats_header header;
	char name[48], expected[48];
	uint64_t value;

	ck_assert_int_gt(stats, 0);
	ck_assert_int_eq(fauxkvm_read(module, stats, &header, sizeof(header), 0), sizeof(header));
	ck_assert_uint_eq(header.name_size, 48);
	ck_assert_int_eq(fauxkvm_read(module, stats, name, 48, header.id_offset), 48);
	snprintf(expected, sizeof(expected), "kvm-%d%s", getpid(), id);
	ck_assert_str_eq(name, expected);
	ck_assert_int_eq(fauxkvm_read(module, stats, name, 48,
				      header.desc_offset + sizeof(struct kvm_stats_desc)), 48);
	ck_assert_str_eq(name, first);
	ck_assert_int_eq(fauxkvm_read(module, stats, &value, 8, header.data_offset), 8);
	ck_assert_uint_eq(value, 1);
	ck_assert_int_eq(fauxkvm_read(module, stats, &value, 8, 1 << 20), 0);
	ck_assert_int_eq(fauxkvm_read(module, stats, &value, 8, -1), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(fauxkvm_ioctl(module, stats, KVM_GET_API_VERSION, 0), -1);
	ck_assert_int_eq(errno, ENOTTY);
}

START_TEST(statistics_describe_themselves)
{
	int vcpu = create_vcpu(0);
	struct kvm_run *run = fauxkvm_mmap(module, vcpu, MMAP_BYTES, PROT_READ | PROT_WRITE, 0);

	run->immediate_exit = 1;
	ioctl_fails(vcpu, KVM_RUN, 0, EINTR);
	munmap(run, MMAP_BYTES);
	check_stats(vm, "vcpus", "");
	check_stats(vcpu, "exits", "/vcpu-0");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		unknown_engine_is_refused,
		closed_handle_is_gone,
		vcpu_keeps_its_vm_alive,
		vcpu_outlives_its_handle,
		child_of_fork_is_refused,
		system_answers,
		unknown_numbers_fail_as_in_the_kernel,
		capabilities_answer,
		supported_cpuid_wants_room,
		msr_list_tells_its_length,
		system_attribute_is_xcr0,
		vcpu_ids_are_checked,
		too_late_once_a_vcpu_exists,
		irqchip_is_made_once,
		irqchip_ioctls_want_an_irqchip,
		split_irqchip_has_no_pins,
		pit_is_saved_and_restored,
		irqfd_checks_its_descriptors,
		ioeventfd_checks_come_in_order,
		memslot_rules,
		dirty_log_errors,
		enable_cap_refuses_what_it_does_not_know,
		no_device_types,
		mapping_has_three_pages,
		msrs_stop_at_the_first_bad_one,
		cpuid2_counts,
		interrupt_depends_on_the_irqchip,
		signal_mask_length,
		mce_banks,
		corrected_machine_check_interrupts,
		tsc_offset_is_an_attribute,
		immediate_exit_and_synchronised_registers,
		kick_ends_a_halted_run,
		guest_reaches_user_space,
		ioeventfd_takes_a_guest_s_write,
		coalesced_writes_wait_in_the_ring,
		kick_ends_an_endless_loop,
		statistics_describe_themselves,
	};
	Suite *suite = suite_create("abi/library");
	TCase *tcase = tcase_create("library");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
