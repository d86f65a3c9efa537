// SPDX-License-Identifier: GPL-2.0-or-later
/* Interrupts without an in-kernel irqchip: KVM_INTERRUPT, the interrupt window, KVM_NMI. */
#include "kvm_client.h"

/* The handler at +0x80 (vector 0x30) tells of itself; the main program counts. */
GUEST(loop_code, 64,
      "sti; 1: inc %ebx; out %al, $0x11; jmp 1b\n"
      ".org loop_code + 0x80; push %rax; mov %ebx, %eax; out %eax, $0x30; pop %rax; iretq");
GUEST(closed_code, 64,
      "cli; out %al, $0x11; out %al, $0x12; sti; nop; out %al, $0x13; out %al, $0x14; hlt\n"
      ".org closed_code + 0x80; out %al, $0x30; iretq");
GUEST(hlt_code, 64, "sti; hlt; out %al, $0x11; hlt; .org hlt_code + 0x80; out %al, $0x30; iretq");

static void inject(struct vcpu *vcpu, unsigned int vector)
{
	struct kvm_interrupt interrupt = { .irq = vector };

	XIOCTL(vcpu->fd, KVM_INTERRUPT, &interrupt);
}

/* With IF set the interrupt comes at once; when its handler returns the program goes on. */
static void interrupt(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, loop_code);
	vm_set_gate(&vm, MODE_LONG, 0x30, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x11, 1);
	for (uint32_t i = 1; i < 10; i++) {
		CHECK_EQ(vcpu.run->if_flag, 1);
		CHECK_EQ(vcpu.run->ready_for_interrupt_injection, 1);
		inject(&vcpu, 0x30);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 4), i);
		CHECK_EQ(vcpu.run->if_flag, 0);
		CHECK_EQ(vcpu.run->ready_for_interrupt_injection, 0);
		vcpu_expect_out(&vcpu, 0x11, 1);
	}
}

/* request_interrupt_window: an exit as soon as an interrupt could be taken, behind STI's shadow. */
static void window(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, closed_code);
	vm_set_gate(&vm, MODE_LONG, 0x30, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x11, 1);
	CHECK_EQ(vcpu.run->ready_for_interrupt_injection, 0);
	CHECK_EQ(vcpu.run->if_flag, 0);
	vcpu.run->request_interrupt_window = 1;
	vcpu_expect_out(&vcpu, 0x12, 1);
	vcpu_expect(&vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	CHECK_EQ(vcpu.run->ready_for_interrupt_injection, 1);
	CHECK_EQ(vcpu.run->if_flag, 1);
	vcpu.run->request_interrupt_window = 0;
	inject(&vcpu, 0x30);
	vcpu_expect_out(&vcpu, 0x30, 1);
	vcpu_expect_out(&vcpu, 0x13, 1);
	vcpu_expect_out(&vcpu, 0x14, 1);
}

/* HLT leaves to user space, and the injected interrupt continues behind it. */
static void wakes_hlt(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, hlt_code);
	vm_set_gate(&vm, MODE_LONG, 0x30, GUEST_CODE + 0x80);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	inject(&vcpu, 0x30);
	vcpu_expect_out(&vcpu, 0x30, 1);
	vcpu_expect_out(&vcpu, 0x11, 1);
}

/* Every vector from 32 to 255 arrives as itself, in real mode too. */
GUEST(vectors_code, 16,
      "sti; 1: out %al, $0x11; jmp 1b; .org vectors_code + 0x80; out %al, $0x30; iret");

static void real_vectors(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_REAL, vectors_code);
	/* One handler per vector: mov $vector, %al; out %al, $0x30; iret */
	for (unsigned int vector = 32; vector < 256; vector++) {
		const uint8_t handler[] = { 0xb0, vector, 0xe6, 0x30, 0xcf };

		vm_set_gate(&vm, MODE_REAL, vector, 0xb000 + vector * 8);
		memcpy(vm.ram + 0xb000 + vector * 8, handler, sizeof(handler));
	}
	vcpu_expect_out(&vcpu, 0x11, 1);
	for (unsigned int vector = 32; vector < 256; vector++) {
		inject(&vcpu, vector);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), vector);
		vcpu_get_regs(&vcpu, &regs);
		CHECK_EQ(regs.rsp, GUEST_STACK - 6);
		vcpu_expect_out(&vcpu, 0x11, 1);
	}
}

/* An NMI comes with interrupts off, once; a second one waits for IRET. */
GUEST(nmi_code, 64,
      "cli; 1: out %al, $0x11; jmp 1b; .org nmi_code + 0x80; out %al, $0x12; out %al, $0x13; "
      "iretq");

static void nmi(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_vcpu_events events;

	VM_BOOT(&vm, &vcpu, MODE_LONG, nmi_code);
	VM_NEED_CAP(&vm, KVM_CAP_USER_NMI);
	vm_set_gate(&vm, MODE_LONG, 2, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x11, 1);
	XIOCTL(vcpu.fd, KVM_NMI, 0);
	vcpu_expect_out(&vcpu, 0x12, 1);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	CHECK_EQ(events.nmi.masked, 1);
	XIOCTL(vcpu.fd, KVM_NMI, 0);
	vcpu_expect_out(&vcpu, 0x13, 1);
	vcpu_expect_out(&vcpu, 0x12, 1);
	vcpu_expect_out(&vcpu, 0x13, 1);
	vcpu_expect_out(&vcpu, 0x11, 1);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	CHECK_EQ(events.nmi.masked, 0);
}

/* The window opens behind the shadow of STI. */
GUEST(shadow_code, 64,
      "mov %ss, %ecx; cli; out %al, $0x11; sti; mov %ecx, %ss; inc %edx; inc %edx; 1: inc %edx\n"
      "out %al, $0x12; hlt; .org shadow_code + 0x80; mov %edx, %eax; out %eax, $0x30; iretq");

static void sti_shadow(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, shadow_code);
	vm_set_gate(&vm, MODE_LONG, 0x30, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x11, 1);
	vcpu.run->request_interrupt_window = 1;
	vcpu_expect(&vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	vcpu_get_regs(&vcpu, &regs);
	/* STI's shadow covers MOV SS; whether that one's covers INC too is up to the processor. */
	CHECK(regs.rip >= GUEST_CODE + 8 && regs.rdx <= 2, "the window opened at %#llx", regs.rip);
}

/* A pending interrupt shows in KVM_GET_SREGS's bitmap until it is taken. */
static void pending_is_state(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_sregs sregs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, loop_code);
	vm_set_gate(&vm, MODE_LONG, 0x30, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x11, 1);
	inject(&vcpu, 0x30);
	vcpu_get_sregs(&vcpu, &sregs);
	CHECK_EQ(sregs.interrupt_bitmap[0], 1ULL << 0x30);
	vcpu_expect_out(&vcpu, 0x30, 4);
	vcpu_get_sregs(&vcpu, &sregs);
	CHECK_EQ(sregs.interrupt_bitmap[0], 0);
}

/* CR8 of the guest is in kvm_run, both ways. */
GUEST(cr8_code, 64,
      "mov $5, %eax; mov %rax, %cr8; out %al, $0x11; mov %cr8, %rax; out %al, $0x12; hlt");

static void cr8(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, cr8_code);
	for (;;) {
		int reason = vcpu_run(&vcpu);

		if (reason == KVM_EXIT_SET_TPR)
			continue;
		CHECK_EQ(reason, KVM_EXIT_IO);
		break;
	}
	CHECK_EQ(vcpu.run->cr8, 5);
	vcpu.run->cr8 = 9;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x12, 1), 9);
}

static const struct test_case cases[] = {
	{ "interrupt", interrupt },
	{ "window", window },
	{ "wakes_hlt", wakes_hlt },
	{ "real_vectors", real_vectors },
	{ "nmi", nmi },
	{ "sti_shadow", sti_shadow },
	{ "pending_is_state", pending_is_state },
	{ "cr8", cr8 },
};
CASES_MAIN(cases)
