/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same of a vCPU: its ioctls and mapping, guests that reach user space, statistics. */
#include "library_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

	return library_main("abi/library: vCPU", tests, sizeof(tests) / sizeof(tests[0]));
}
