// SPDX-License-Identifier: GPL-2.0-or-later
/* Capabilities that change what a VM does: quirks, exits, emulation failures, hypercalls. */
#include <signal.h>
#include <sys/time.h>

#include "kvm_client.h"

#define QUIRK_OUT_7E (1 << 3)
#define QUIRK_LINT0 (1 << 0)
#define QUIRK_LAPIC_HOLE (1 << 2)
#define QUIRK_STUFF_FEATURES (1 << 8)
#define HC_MAP_GPA_RANGE 12

static int enable(struct vm *vm, uint32_t number, uint64_t value)
{
	struct kvm_enable_cap cap = { .cap = number, .args[0] = value };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap) ? -errno : 0;
}

static void need_quirk(struct vm *vm, uint64_t quirk)
{
	VM_NEED_CAP(vm, KVM_CAP_DISABLE_QUIRKS2);
	if (!(vm_cap(vm, KVM_CAP_DISABLE_QUIRKS2) & quirk))
		case_skip("no such quirk");
}

static void quirk_errors(void)
{
	struct vm vm;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_DISABLE_QUIRKS2);
	CHECK_EQ(enable(&vm, KVM_CAP_DISABLE_QUIRKS2, 1ULL << 40), -EINVAL);
	CHECK_EQ(enable(&vm, KVM_CAP_DISABLE_QUIRKS, 1ULL << 40), 0);
}

GUEST(out_7e_code, 64, "out %al, $0x7e; hlt");

static uint64_t rip_at_out(bool disabled)
{
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, out_7e_code);
	need_quirk(&vm, QUIRK_OUT_7E);
	if (disabled)
		CHECK_EQ(enable(&vm, KVM_CAP_DISABLE_QUIRKS2, QUIRK_OUT_7E), 0);
	vcpu_expect_out(&vcpu, 0x7e, 1);
	vcpu_get_regs(&vcpu, &regs);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	return regs.rip;
}

static void out_7e(void)
{
	CHECK_EQ(rip_at_out(false), GUEST_CODE + 2);
	CHECK_EQ(rip_at_out(true), GUEST_CODE);
}

/* The page of a disabled local APIC reads as ones, or is user space's. */
GUEST(lapic_code, 64, "mov $0xfee00020, %ebx; mov (%rbx), %eax; out %eax, $0x10; hlt");

static void lapic_hole(void)
{
	for (int disabled = 0; disabled < 2; disabled++) {
		struct kvm_sregs sregs;
		struct vm vm;
		struct vcpu vcpu;

		VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, lapic_code);
		need_quirk(&vm, QUIRK_LAPIC_HOLE);
		if (disabled)
			CHECK_EQ(enable(&vm, KVM_CAP_DISABLE_QUIRKS2, QUIRK_LAPIC_HOLE), 0);
		vcpu_get_sregs(&vcpu, &sregs);
		sregs.apic_base &= ~(1ULL << 11);
		vcpu_set_sregs(&vcpu, &sregs);
		if (disabled)
			vcpu_expect_mmio(&vcpu, false, 0xfee00020, 4);
		else
			CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0xffffffff);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

static uint32_t lint0_of_new_vcpu(bool disabled)
{
	struct kvm_lapic_state lapic;
	struct vm vm;
	struct vcpu vcpu;
	uint32_t lint0;

	vm_create_irqchip(&vm);
	need_quirk(&vm, QUIRK_LINT0);
	if (disabled)
		CHECK_EQ(enable(&vm, KVM_CAP_DISABLE_QUIRKS2, QUIRK_LINT0), 0);
	vcpu_create(&vm, &vcpu, 0);
	XIOCTL(vcpu.fd, KVM_GET_LAPIC, &lapic);
	memcpy(&lint0, lapic.regs + 0x350, 4);
	return lint0;
}

static void lint0(void)
{
	CHECK_EQ(lint0_of_new_vcpu(false), 7 << 8);
	CHECK_EQ(lint0_of_new_vcpu(true), 1 << 16);
}

static void stuffed_features(void)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = 0xce } };
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	need_quirk(&vm, QUIRK_STUFF_FEATURES);
	vcpu_create(&vm, &vcpu, 0);
	CHECK_EQ(ioctl(vcpu.fd, KVM_GET_MSRS, &msrs), 1);
	CHECK(msrs.entry.data, "PLATFORM_INFO is 0");
	CHECK_EQ(enable(&vm, KVM_CAP_DISABLE_QUIRKS2, QUIRK_STUFF_FEATURES), 0);
	vcpu_create(&vm, &vcpu, 1);
	CHECK_EQ(ioctl(vcpu.fd, KVM_GET_MSRS, &msrs), 1);
	CHECK_EQ(msrs.entry.data, 0);
}

/* ---- hypercalls ---- */

GUEST(hypercall_code, 64,
      "mov $12, %eax; mov $0x5000, %ebx; mov $2, %ecx; mov $1, %edx\n"
      "1: vmcall; out %eax, $0x10; mov $0x5001, %ebx; mov $12, %eax; jmp 1b");

static void map_gpa_range(void)
{
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, hypercall_code);
	VM_NEED_CAP(&vm, KVM_CAP_EXIT_HYPERCALL);
	CHECK_EQ(vm_cap(&vm, KVM_CAP_EXIT_HYPERCALL), 1 << HC_MAP_GPA_RANGE);
	CHECK_EQ(enable(&vm, KVM_CAP_EXIT_HYPERCALL, 1), -EINVAL);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ((int)vcpu_expect_out(&vcpu, 0x10, 4), -1000); /* KVM_ENOSYS */
	regs.rip = GUEST_CODE;
	vcpu_set_regs(&vcpu, &regs);
	CHECK_EQ(enable(&vm, KVM_CAP_EXIT_HYPERCALL, 1 << HC_MAP_GPA_RANGE), 0);
	vcpu_expect(&vcpu, KVM_EXIT_HYPERCALL);
	CHECK_EQ(vcpu.run->hypercall.nr, HC_MAP_GPA_RANGE);
	CHECK_EQ(vcpu.run->hypercall.args[0], 0x5000);
	CHECK_EQ(vcpu.run->hypercall.args[1], 2);
	CHECK_EQ(vcpu.run->hypercall.args[2], 1);
	CHECK_EQ(vcpu.run->hypercall.longmode & 1, 1);
	vcpu.run->hypercall.ret = 77;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 77);
	CHECK_EQ((int)vcpu_expect_out(&vcpu, 0x10, 4), -22); /* not a page */
}

/* ---- emulation failures ---- */

GUEST(fld_code, 64,
      "mov $0x10000000, %eax; .byte 0xd9, 0x00; hlt\n"
      ".org fld_code + 0x80; out %al, $0x13; hlt");

static void expect_failure(struct vcpu *vcpu)
{
	vcpu_expect(vcpu, KVM_EXIT_INTERNAL_ERROR);
	CHECK_EQ(vcpu->run->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
	CHECK(vcpu->run->emulation_failure.ndata >= 3, "no bytes");
	CHECK_EQ(vcpu->run->emulation_failure.insn_bytes[0], 0xd9);
	CHECK_EQ(vcpu->run->emulation_failure.insn_bytes[1], 0);
}

static void emulation_failure(void)
{
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, fld_code);
	VM_NEED_CAP(&vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE);
	vm_set_gate(&vm, MODE_LONG, 6, GUEST_CODE + 0x80);
	CHECK_EQ(enable(&vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 2), -EINVAL);
	CHECK_EQ(enable(&vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1), 0);
	expect_failure(&vcpu);
	expect_failure(&vcpu);
	vcpu_get_regs(&vcpu, &regs);
	regs.rip += 2;
	vcpu_set_regs(&vcpu, &regs);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* Without the capability the guest gets #UD when user space just goes on. */
static void emulation_failure_is_ud(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, fld_code);
	vm_set_gate(&vm, MODE_LONG, 6, GUEST_CODE + 0x80);
	expect_failure(&vcpu);
	vcpu_expect_out(&vcpu, 0x13, 1);
}

/* The code is gone when its access has been answered: #UD for a user program, and no hang. */
GUEST(user_in_code, 64, "in $0x10, %al; hlt");

static void code_gone_in_user_mode(void)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *page = pages_alloc(0x1000);

	VM_BOOT(&vm, &vcpu, MODE_LONG, user_in_code);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, RAM_BYTES, 0x1000, page), 0);
	memcpy(page, user_in_code, user_in_code_end - user_in_code);
	vcpu_get_sregs(&vcpu, &sregs);
	sregs.cs.dpl = sregs.ss.dpl = 3;
	sregs.cs.selector = SEL_UCODE64;
	sregs.ss.selector = SEL_UDATA;
	vcpu_set_sregs(&vcpu, &sregs);
	vcpu_get_regs(&vcpu, &regs);
	regs.rip = RAM_BYTES;
	regs.rflags |= 3 << 12; /* I/O privilege */
	vcpu_set_regs(&vcpu, &regs);
	vcpu_expect(&vcpu, KVM_EXIT_IO);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, RAM_BYTES, 0, page), 0);
	vcpu_expect(&vcpu, KVM_EXIT_SHUTDOWN); /* there is no handler */
}

/* ---- exits that can be switched off ---- */

GUEST(hlt_code, 64, "hlt; out %al, $0x10; hlt");

static void on_alarm(int signal)
{
	(void)signal;
}

static void hlt_in_guest(void)
{
	struct itimerval timer = { .it_value.tv_usec = 50000, .it_interval.tv_usec = 50000 };
	struct sigaction action = { .sa_handler = on_alarm };
	struct kvm_regs regs;
	unsigned int runs = 0;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, hlt_code);
	VM_NEED_CAP(&vm, KVM_CAP_X86_DISABLE_EXITS);
	if (!(vm_cap(&vm, KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_HLT))
		case_skip("HLT always exits");
	CHECK_EQ(enable(&vm, KVM_CAP_X86_DISABLE_EXITS, 1 << 10), -EINVAL);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT), 0);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	/* It may come before the vCPU has got there. */
	do {
		CHECK_EQ(vcpu_run(&vcpu), -EINTR);
		vcpu_get_regs(&vcpu, &regs);
	} while (regs.rip == GUEST_CODE && ++runs < 10 * time_scale());
	CHECK_EQ(regs.rip, GUEST_CODE + 1);
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	timer = (struct itimerval){ 0 };
	setitimer(ITIMER_REAL, &timer, NULL);
	/* An NMI ends it. */
	vm_set_gate(&vm, MODE_LONG, 2, GUEST_CODE + 1);
	XIOCTL(vcpu.fd, KVM_NMI, 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
}

/* ---- what user space does to a string of input ---- */

GUEST(ins_code, 64,
      "cld; mov $0xa000, %edi; mov $2, %ecx; mov $0x80, %edx; rep insb\n"
      "mov %edi, %eax; out %eax, $0x10; mov $1, %ecx; rep insb; hlt");

static void ins_count_changed(void)
{
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, ins_code);
	vcpu_expect(&vcpu, KVM_EXIT_IO);
	CHECK_EQ(vcpu.run->io.count, 2);
	memset((uint8_t *)vcpu.run + vcpu.run->io.data_offset, 0xaa, 2);
	vcpu_get_regs(&vcpu, &regs);
	regs.rcx = 1;
	vcpu_set_regs(&vcpu, &regs);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0xa001);
	/* What was left over is not the next instruction's. */
	vcpu_expect(&vcpu, KVM_EXIT_IO);
	CHECK_EQ(vcpu.run->io.direction, KVM_EXIT_IO_IN);
}

/* ---- identifiers, features ---- */

static void boot_id_bounds_ids(void)
{
	struct vm vm;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_MAX_VCPU_ID);
	XIOCTL(vm.fd, KVM_SET_BOOT_CPU_ID, 8);
	CHECK_EQ(enable(&vm, KVM_CAP_MAX_VCPU_ID, 7), -EINVAL);
	CHECK_EQ(enable(&vm, KVM_CAP_MAX_VCPU_ID, 8), 0);
	CHECK_EQ(enable(&vm, KVM_CAP_MAX_VCPU_ID, 8), 0);
	CHECK_EQ(enable(&vm, KVM_CAP_MAX_VCPU_ID, 9), -EINVAL);
}

GUEST(platform_code, 64,
      "mov $0xce, %ecx; rdmsr; out %al, $0x10; hlt\n"
      ".org platform_code + 0x80; out %al, $0x13; hlt");

static void platform_info_hidden(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, platform_code);
	VM_NEED_CAP(&vm, KVM_CAP_MSR_PLATFORM_INFO);
	vm_set_gate(&vm, MODE_LONG, 13, GUEST_CODE + 0x80);
	CHECK_EQ(enable(&vm, KVM_CAP_MSR_PLATFORM_INFO, 0), 0);
	vcpu_expect_out(&vcpu, 0x13, 1);
}

static const struct test_case cases[] = {
	{ "quirk_errors", quirk_errors },
	{ "out_7e", out_7e },
	{ "lapic_hole", lapic_hole },
	{ "lint0", lint0 },
	{ "stuffed_features", stuffed_features },
	{ "map_gpa_range", map_gpa_range },
	{ "emulation_failure", emulation_failure },
	{ "emulation_failure_is_ud", emulation_failure_is_ud },
	{ "code_gone_in_user_mode", code_gone_in_user_mode },
	{ "hlt_in_guest", hlt_in_guest },
	{ "ins_count_changed", ins_count_changed },
	{ "boot_id_bounds_ids", boot_id_bounds_ids },
	{ "platform_info_hidden", platform_info_hidden },
};
CASES_MAIN(cases)
