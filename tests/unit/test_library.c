/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interface as a client sees it, through abi/fauxkvm.h: the module, /dev/kvm, the VM. */
#define _GNU_SOURCE /* memfd_create */
#include "library_fixture.h"

#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

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
	};

	return library_main("abi/library", tests, sizeof(tests) / sizeof(tests[0]));
}
