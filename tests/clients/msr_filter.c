// SPDX-License-Identifier: GPL-2.0-or-later
/* KVM_X86_SET_MSR_FILTER and KVM_CAP_X86_USER_SPACE_MSR: rules, reasons, answers. */
#include "kvm_client.h"

/* Reads the MSR in EBX, writes EDI to the MSR in ESI, ends with HLT; #GP says so at port 0x13. */
GUEST(access_code, 64,
      "mov %ebx, %ecx; rdmsr; out %eax, $0x10; mov %esi, %ecx; mov %edi, %eax; xor %edx, %edx\n"
      "wrmsr; hlt; .org access_code + 0x80; out %al, $0x13; hlt");

static uint8_t no_bits[8];

static void boot(struct vm *vm, struct vcpu *vcpu, uint32_t read, uint32_t write, uint32_t value)
{
	struct kvm_regs regs;

	VM_BOOT(vm, vcpu, MODE_LONG, access_code);
	VM_NEED_CAP(vm, KVM_CAP_X86_MSR_FILTER);
	vcpu_set_cpuid(vcpu);
	vm_set_gate(vm, MODE_LONG, 13, GUEST_CODE + 0x80);
	vcpu_get_regs(vcpu, &regs);
	regs.rbx = read;
	regs.rsi = write;
	regs.rdi = value;
	vcpu_set_regs(vcpu, &regs);
}

static void exits_on(struct vm *vm, uint64_t reasons)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args[0] = reasons };

	XIOCTL(vm->fd, KVM_ENABLE_CAP, &cap);
}

static struct kvm_msr_filter deny(uint32_t flags, uint32_t base)
{
	return (struct kvm_msr_filter){
		.ranges[0] = { .flags = flags, .base = base, .nmsrs = 1, .bitmap = no_bits },
	};
}

#define BOTH (KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)

static int set_filter(struct vm *vm, struct kvm_msr_filter *filter)
{
	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, filter) ? -errno : 0;
}

static void errors(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args[0] = 8 };
	struct kvm_msr_filter filter;
	struct vm vm;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_X86_MSR_FILTER);
	filter = (struct kvm_msr_filter){ .flags = KVM_MSR_FILTER_DEFAULT_DENY };
	case_row(set_filter(&vm, &filter) == -EINVAL, "deny all", "accepted");
	filter.flags = 2;
	case_row(set_filter(&vm, &filter) == -EINVAL, "unknown flag", "accepted");
	filter.flags = 0;
	case_row(set_filter(&vm, &filter) == 0, "empty", "refused");
	filter = deny(0, 0x174);
	case_row(set_filter(&vm, &filter) == -EINVAL, "range without flags", "accepted");
	filter = deny(4, 0x174);
	case_row(set_filter(&vm, &filter) == -EINVAL, "unknown range flag", "accepted");
	filter = deny(BOTH, 0x174);
	filter.ranges[0].bitmap = (void *)1;
	case_row(set_filter(&vm, &filter) == -EFAULT, "bad bitmap", "accepted");
	filter.ranges[0].nmsrs = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8 + 1;
	case_row(set_filter(&vm, &filter) == -EINVAL, "too long", "accepted");
	case_row(ioctl(vm.fd, KVM_X86_SET_MSR_FILTER, 1) == -1 && errno == EFAULT, "bad pointer",
		 "accepted");
	case_row(ioctl(vm.fd, KVM_ENABLE_CAP, &cap) == -1 && errno == EINVAL, "unknown reason",
		 "accepted");
}

static void reads_and_writes_apart(void)
{
	struct kvm_msr_filter filter = deny(KVM_MSR_FILTER_WRITE, 0x174);
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, 0x174, 0x174, 5);
	XIOCTL(vm.fd, KVM_X86_SET_MSR_FILTER, &filter);
	exits_on(&vm, KVM_MSR_EXIT_REASON_FILTER);
	vcpu_expect_out(&vcpu, 0x10, 4);
	vcpu_expect(&vcpu, KVM_EXIT_X86_WRMSR);
	CHECK_EQ(vcpu.run->msr.index, 0x174);
	CHECK_EQ(vcpu.run->msr.reason, KVM_MSR_EXIT_REASON_FILTER);
	CHECK_EQ(vcpu.run->msr.data, 5);
	CHECK_EQ(vcpu.run->msr.error, 0);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* A denied access is #GP for whom user space did not ask to see it. */
static void denied_is_a_fault(void)
{
	struct kvm_msr_filter filter = deny(BOTH, 0x174);
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, 0x174, 0x174, 5);
	XIOCTL(vm.fd, KVM_X86_SET_MSR_FILTER, &filter);
	exits_on(&vm, KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN);
	vcpu_expect_out(&vcpu, 0x13, 1);
}

/* The first matching range decides; what none covers has the default. */
static void default_deny(void)
{
	static uint8_t all[8] = { 0xff };
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_DENY,
		.ranges[3] = { .flags = BOTH, .base = 0x174, .nmsrs = 3, .bitmap = all },
		.ranges[5] = { .flags = BOTH, .base = 0x170, .nmsrs = 16, .bitmap = no_bits },
	};
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, 0x176, 0x277, 6);
	XIOCTL(vm.fd, KVM_X86_SET_MSR_FILTER, &filter);
	vcpu_expect_out(&vcpu, 0x10, 4);
	vcpu_expect_out(&vcpu, 0x13, 1);
}

static void empty_filter_disables(void)
{
	struct kvm_msr_filter filter = deny(BOTH, 0x174), empty = { 0 };
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, 0x174, 0x174, 5);
	XIOCTL(vm.fd, KVM_X86_SET_MSR_FILTER, &filter);
	XIOCTL(vm.fd, KVM_X86_SET_MSR_FILTER, &empty);
	vcpu_expect_out(&vcpu, 0x10, 4);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* x2APIC registers cannot be denied. */
static void x2apic_is_left_out(void)
{
	struct kvm_msr_filter filter = deny(BOTH, 0x802);
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu vcpu;

	vm_create_irqchip(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_X86_MSR_FILTER);
	vcpu_create(&vm, &vcpu, 0);
	vcpu_set_cpuid(&vcpu);
	VCPU_LOAD(&vcpu, MODE_LONG, access_code);
	vm_set_gate(&vm, MODE_LONG, 13, GUEST_CODE + 0x80);
	vcpu_get_sregs(&vcpu, &sregs);
	sregs.apic_base |= 1 << 10;
	vcpu_set_sregs(&vcpu, &sregs);
	vcpu_get_regs(&vcpu, &regs);
	regs.rbx = 0x802;
	regs.rsi = 0x80b;
	vcpu_set_regs(&vcpu, &regs);
	XIOCTL(vm.fd, KVM_X86_SET_MSR_FILTER, &filter);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0);
}

/* User space never sees a filter of its own accesses. */
static void user_space_is_not_filtered(void)
{
	struct kvm_msr_filter filter = deny(BOTH, 0x174);
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = 0x174, .data = 8 } };
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_X86_MSR_FILTER);
	vcpu_create(&vm, &vcpu, 0);
	XIOCTL(vm.fd, KVM_X86_SET_MSR_FILTER, &filter);
	CHECK_EQ(ioctl(vcpu.fd, KVM_SET_MSRS, &msrs), 1);
	CHECK_EQ(ioctl(vcpu.fd, KVM_GET_MSRS, &msrs), 1);
}

/* The reasons that are not the filter's: a bad value, an MSR that does not exist. */
static void reasons(void)
{
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, 0xdeadbeef, 0x277, 2);
	exits_on(&vm, KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN);
	vcpu_expect(&vcpu, KVM_EXIT_X86_RDMSR);
	CHECK_EQ(vcpu.run->msr.reason, KVM_MSR_EXIT_REASON_UNKNOWN);
	vcpu.run->msr.data = 0x99;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x99);
	vcpu_expect(&vcpu, KVM_EXIT_X86_WRMSR);
	CHECK_EQ(vcpu.run->msr.reason, KVM_MSR_EXIT_REASON_INVAL);
	vcpu.run->msr.error = 1;
	vcpu_expect_out(&vcpu, 0x13, 1);
}

/* An answer that is given with immediate_exit is taken, and nothing more runs. */
static void answer_completes_alone(void)
{
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, 0xdeadbeef, 0x174, 2);
	exits_on(&vm, KVM_MSR_EXIT_REASON_UNKNOWN);
	vcpu_expect(&vcpu, KVM_EXIT_X86_RDMSR);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rip, GUEST_CODE + 2);
	vcpu.run->msr.data = 0x1122334455667788;
	vcpu.run->immediate_exit = 1;
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	CHECK_EQ(vcpu.run->exit_reason, KVM_EXIT_X86_RDMSR);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rip, GUEST_CODE + 4);
	CHECK_EQ(regs.rax, 0x55667788);
	CHECK_EQ(regs.rdx, 0x11223344);
}

static const struct test_case cases[] = {
	{ "errors", errors },
	{ "reads_and_writes_apart", reads_and_writes_apart },
	{ "denied_is_a_fault", denied_is_a_fault },
	{ "default_deny", default_deny },
	{ "empty_filter_disables", empty_filter_disables },
	{ "x2apic_is_left_out", x2apic_is_left_out },
	{ "user_space_is_not_filtered", user_space_is_not_filtered },
	{ "reasons", reasons },
	{ "answer_completes_alone", answer_completes_alone },
};
CASES_MAIN(cases)
