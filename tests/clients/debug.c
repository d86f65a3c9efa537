// SPDX-License-Identifier: GPL-2.0-or-later
/* KVM_SET_GUEST_DEBUG: single steps, software and hardware breakpoints, watchpoints. */
#include "kvm_client.h"

GUEST(code, 64,
      "nop; inc %eax; .byte 0x66, 0x90; mov %eax, 0xa000; push %rax; pop %rbx; out %al, $0x10\n"
      "mov 0xa000, %ecx; hlt");

/* The offsets of the instructions above. */
static const unsigned int steps[] = { 1, 3, 5, 12, 13, 14, 16 };

static void set_debug(struct vcpu *vcpu, uint32_t control, uint64_t address, uint64_t dr7)
{
	struct kvm_guest_debug debug = {
		.control = control,
		.arch.debugreg = { [0] = address, [7] = dr7 },
	};

	XIOCTL(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug);
}

static void single_step(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, code);
	VM_NEED_CAP(&vm, KVM_CAP_SET_GUEST_DEBUG);
	set_debug(&vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		if (steps[i] == 16)
			vcpu_expect_out(&vcpu, 0x10, 1);
		vcpu_expect(&vcpu, KVM_EXIT_DEBUG);
		CHECK_EQ(vcpu.run->debug.arch.pc - GUEST_CODE, steps[i]);
		CHECK_EQ(vcpu.run->debug.arch.exception, 1);
		CHECK_EQ(vcpu.run->debug.arch.dr6 & 0x4000, 0x4000);
	}
	set_debug(&vcpu, 0, 0, 0);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* The guest does not see that it is stepped: RFLAGS on its stack has no TF. */
GUEST(pushf_code, 64, "pushfq; pop %rax; hlt");

static void step_is_hidden(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, pushf_code);
	set_debug(&vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	vcpu_expect(&vcpu, KVM_EXIT_DEBUG);
	vcpu_expect(&vcpu, KVM_EXIT_DEBUG);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rflags & 0x100, 0);
}

/* INT3 with KVM_GUESTDBG_USE_SW_BP: an exit with RIP at the INT3, which is not executed. */
GUEST(int3_code, 64, "nop; nop; int3; nop; hlt");

static void software(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, int3_code);
	set_debug(&vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP, 0, 0);
	vcpu_expect(&vcpu, KVM_EXIT_DEBUG);
	CHECK_EQ(vcpu.run->debug.arch.exception, 3);
	CHECK_EQ(vcpu.run->debug.arch.pc, GUEST_CODE + 2);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rip, GUEST_CODE + 2);
	/* What a debugger does: the old byte back, step, breakpoint in again. */
	vm.ram[GUEST_CODE + 2] = 0x90;
	set_debug(&vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	vcpu_expect(&vcpu, KVM_EXIT_DEBUG);
	CHECK_EQ(vcpu.run->debug.arch.pc, GUEST_CODE + 3);
	set_debug(&vcpu, 0, 0, 0);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* Without USE_SW_BP the INT3 is the guest's. */
static void int3_of_guest(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, int3_code);
	vm.ram[GUEST_CODE + 0x80] = 0xe6; /* out %al, $0x20 */
	vm.ram[GUEST_CODE + 0x81] = 0x20;
	vm_set_gate(&vm, MODE_LONG, 3, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x20, 1);
}

/* A breakpoint on execution: before the instruction. */
static void hardware(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, code);
	set_debug(&vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, GUEST_CODE + 5, 0x2);
	vcpu_expect(&vcpu, KVM_EXIT_DEBUG);
	CHECK_EQ(vcpu.run->debug.arch.exception, 1);
	CHECK_EQ(vcpu.run->debug.arch.pc, GUEST_CODE + 5);
	CHECK_EQ(vcpu.run->debug.arch.dr6 & 0xf, 1);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rax, 1);
	CHECK_EQ(vm.ram[GUEST_DATA], 0);
}

/* A watchpoint on writes: behind the instruction. */
static void watchpoint(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, code);
	set_debug(&vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, GUEST_DATA, 0xd0002);
	vcpu_expect(&vcpu, KVM_EXIT_DEBUG);
	CHECK_EQ(vcpu.run->debug.arch.pc, GUEST_CODE + 12);
	CHECK_EQ(vcpu.run->debug.arch.dr6 & 0xf, 1);
	CHECK_EQ(vm.ram[GUEST_DATA], 1);
	vcpu_expect_out(&vcpu, 0x10, 1);
	/* The read is not watched. */
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* A watchpoint on reads and writes sees both. */
static void access_watchpoint(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, code);
	set_debug(&vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, GUEST_DATA + 2, 0x30002);
	vcpu_expect(&vcpu, KVM_EXIT_DEBUG);
	CHECK_EQ(vcpu.run->debug.arch.pc, GUEST_CODE + 12);
	vcpu_expect_out(&vcpu, 0x10, 1);
	vcpu_expect(&vcpu, KVM_EXIT_DEBUG);
	CHECK_EQ(vcpu.run->debug.arch.pc, GUEST_CODE + 23);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* An exception injected by the debugger goes to the guest. */
static void inject_db(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, code);
	vm.ram[GUEST_CODE + 0x80] = 0xe6; /* out %al, $0x20 */
	vm.ram[GUEST_CODE + 0x81] = 0x20;
	vm_set_gate(&vm, MODE_LONG, 1, GUEST_CODE + 0x80);
	set_debug(&vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB, 0, 0);
	vcpu_expect_out(&vcpu, 0x20, 1);
}

/* The same for #BP, though the debugger asked to see the guest's own; not on top of an exception. */
static void inject_bp(void)
{
	struct kvm_vcpu_events events;
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP };
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, code);
	vm.ram[GUEST_CODE + 0x80] = 0xe6; /* out %al, $0x23 */
	vm.ram[GUEST_CODE + 0x81] = 0x23;
	vm_set_gate(&vm, MODE_LONG, 3, GUEST_CODE + 0x80);
	set_debug(&vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_INJECT_BP, 0,
		  0);
	vcpu_expect_out(&vcpu, 0x23, 1);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	events.exception.injected = 1;
	events.exception.nr = 6;
	XIOCTL(vcpu.fd, KVM_SET_VCPU_EVENTS, &events);
	CHECK_EQ(ioctl(vcpu.fd, KVM_SET_GUEST_DEBUG, &debug), -1);
	CHECK_EQ(errno, EBUSY);
}

/* KVM_GUESTDBG_BLOCKIRQ: the guest is stepped past an interrupt that waits. */
GUEST(blocked_code, 64, "sti; nop; nop; nop; nop; out %al, $0x10; hlt");

static void block_irq(void)
{
	const uint32_t step = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
	struct kvm_lapic_state lapic;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, blocked_code);
	if (!(vm_cap(&vm, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ))
		case_skip("no KVM_GUESTDBG_BLOCKIRQ");
	vm.ram[GUEST_CODE + 0x80] = 0xe6; /* out %al, $0x24 */
	vm.ram[GUEST_CODE + 0x81] = 0x24;
	vm_set_gate(&vm, MODE_LONG, 0x40, GUEST_CODE + 0x80);
	XIOCTL(vcpu.fd, KVM_GET_LAPIC, &lapic);
	*(uint32_t *)(lapic.regs + 0xf0) = 0x1ff;
	*(uint32_t *)(lapic.regs + 0x220) = 1; /* IRR: vector 0x40 */
	XIOCTL(vcpu.fd, KVM_SET_LAPIC, &lapic);
	set_debug(&vcpu, step | KVM_GUESTDBG_BLOCKIRQ, 0, 0);
	for (uint64_t i = 1; i < 5; i++) {
		vcpu_expect(&vcpu, KVM_EXIT_DEBUG);
		CHECK_EQ(vcpu.run->debug.arch.pc - GUEST_CODE, i);
	}
	set_debug(&vcpu, 0, 0, 0);
	vcpu_expect_out(&vcpu, 0x24, 1);
}

/* KVM_TRANSLATE walks the guest's page tables. */
static void translate(void)
{
	struct kvm_translation translation = { .linear_address = 0x30123 };
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, code);
	vm.ram[GUEST_PT + 0x30 * 8 + 1] = 0x50; /* 0x30000 → 0x35000 */
	XIOCTL(vcpu.fd, KVM_TRANSLATE, &translation);
	CHECK_EQ(translation.valid, 1);
	CHECK_EQ(translation.physical_address, 0x35123);
	vm.ram[GUEST_PT + 0x30 * 8] = 0;
	XIOCTL(vcpu.fd, KVM_TRANSLATE, &translation);
	CHECK_EQ(translation.valid, 0);
}

static const struct test_case cases[] = {
	{ "single_step", single_step },
	{ "step_is_hidden", step_is_hidden },
	{ "software", software },
	{ "int3_of_guest", int3_of_guest },
	{ "hardware", hardware },
	{ "watchpoint", watchpoint },
	{ "access_watchpoint", access_watchpoint },
	{ "inject_db", inject_db },
	{ "inject_bp", inject_bp },
	{ "block_irq", block_irq },
	{ "translate", translate },
};
CASES_MAIN(cases)
