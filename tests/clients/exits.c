// SPDX-License-Identifier: GPL-2.0-or-later
/* How KVM_RUN returns: HLT, shutdown, immediate_exit, and a guest that runs where nothing is. */
#include <signal.h>
#include <time.h>

#include "kvm_client.h"

GUEST(hlt_code, 64, "hlt; mov $7, %eax; hlt; jmp .");

/* After KVM_EXIT_HLT the RIP is behind it, and the next run goes on there. */
static void hlt(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, hlt_code);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rip, GUEST_CODE + 1);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rax, 7);
}

/* The registers set between two runs are those the guest goes on with. */
static void set_between(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, hlt_code);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	regs.rip = GUEST_CODE;
	regs.rax = 1;
	vcpu_set_regs(&vcpu, &regs);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rip, GUEST_CODE + 1);
	CHECK_EQ(regs.rax, 1);
}

/* An exception with an empty IDT becomes a triple fault. */
GUEST(shutdown_code, 64, "ud2");

static void triple_fault(enum mode mode)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_sregs sregs;

	VM_BOOT(&vm, &vcpu, mode, shutdown_code);
	vcpu_get_sregs(&vcpu, &sregs);
	sregs.idt.limit = 0;
	vcpu_set_sregs(&vcpu, &sregs);
	vcpu_expect(&vcpu, KVM_EXIT_SHUTDOWN);
}

static void shutdown_long(void)
{
	triple_fault(MODE_LONG);
}

static void shutdown_protected(void)
{
	triple_fault(MODE_PROTECTED);
}

GUEST(spin_code, 64, "1: inc %rax; jmp 1b");

static void immediate_exit(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, spin_code);
	vcpu.run->immediate_exit = 1;
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rip, GUEST_CODE);
	CHECK_EQ(regs.rax, 0);
}

/* Completing an instruction without going on leaves the exit reason that asked for it. */
GUEST(in_code, 64, "in $0x10, %al; hlt");

static void completion_keeps_the_reason(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, in_code);
	vcpu_expect(&vcpu, KVM_EXIT_IO);
	vcpu.run->immediate_exit = 1;
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	CHECK_EQ(vcpu.run->exit_reason, KVM_EXIT_IO);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rip, GUEST_CODE + 2);
}

/* The exits that a jump to a page with nothing behind it may lead to. */
static void expect_no_memory(struct vcpu *vcpu, uint64_t gpa)
{
	int reason = vcpu_run(vcpu);
	struct kvm_run *run = vcpu->run;

	switch (reason) {
	case KVM_EXIT_INTERNAL_ERROR:
		CHECK_EQ(run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
		break;
	case KVM_EXIT_MMIO:
		CHECK_EQ(run->mmio.is_write, 0);
		CHECK_EQ(run->mmio.phys_addr & ~0xfffULL, gpa & ~0xfffULL);
		break;
	case -ENOSPC:
		CHECK(gpa == 0xfffffff0, "ENOSPC in a VM with memory");
		break;
	default:
		FAIL("exit %s", exit_name(reason));
	}
}

GUEST(jump_code, 64, "mov $0x10000000, %eax; jmp *%rax");

static void jump_to_nothing(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, jump_code);
	expect_no_memory(&vcpu, MMIO_BASE);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rip, MMIO_BASE);
}

/* The VM survives it: new registers and it runs on. */
static void jump_and_recover(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, jump_code);
	expect_no_memory(&vcpu, MMIO_BASE);
	VCPU_LOAD(&vcpu, MODE_LONG, hlt_code);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

GUEST(fall_off_code, 64, "mov $0x1ffffe, %eax; movw $0x9090, (%rax); jmp *%rax");

/* Running off the end of RAM. */
static void fall_off_ram(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, fall_off_code);
	expect_no_memory(&vcpu, RAM_BYTES);
	vcpu_get_regs(&vcpu, &regs);
	CHECK(regs.rip == RAM_BYTES || regs.rip == RAM_BYTES - 1 || regs.rip == RAM_BYTES - 2,
	      "rip %#llx", regs.rip);
}

/* An instruction whose first half is in RAM and whose second half is nowhere. */
GUEST(split_code, 64, "mov $0x1ffffe, %eax; movw $0xb848, (%rax); jmp *%rax");

static void split_off_ram(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, split_code);
	expect_no_memory(&vcpu, RAM_BYTES);
}

/*
 * A VM without any memory: the kernel's shadow MMU has a quota of pages in proportion to the slots,
 * so that KVM_RUN returns ENOSPC; its TDP MMU has none and goes the way of any jump to nothing.
 */
static void no_memory(void)
{
	struct vm vm;
	struct vcpu vcpu;

	vm.kvm = kvm_open();
	vm.fd = XIOCTL(vm.kvm, KVM_CREATE_VM, 0);
	vcpu_create(&vm, &vcpu, 0);
	expect_no_memory(&vcpu, 0xfffffff0);
}

/* Garbage bytes: every seed ends in a fault, an exit or the alarm's signal, never in a hang. */
GUEST(handler_code, 64, "hlt");

static void on_alarm(int signal)
{
	(void)signal;
}

static void garbage(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	const struct itimerspec never = { 0 };
	const struct itimerspec every = {
		.it_interval.tv_nsec = 2000000,
		.it_value.tv_nsec = 2000000,
	};
	static const enum mode modes[] = { MODE_REAL, MODE_PROTECTED, MODE_LONG };
	uint32_t random = 1;
	timer_t timer;

	sigaction(SIGUSR1, &action, NULL);
	CHECK(!timer_create(CLOCK_MONOTONIC, &event, &timer), "timer_create: %s", strerror(errno));
	/* A slow machine has fewer of them. */
	for (unsigned int round = 0; round < 300 / time_scale() + 30; round++) {
		struct vm vm;
		struct vcpu vcpu;
		enum mode mode = modes[round % ARRAY_SIZE(modes)];

		vm_create(&vm);
		vcpu_create(&vm, &vcpu, 0);
		for (size_t i = 0; i < 0x10000; i++) {
			random = random * 1664525 + 1013904223;
			vm.ram[GUEST_FREE + i] = random >> 24;
		}
		vcpu_set_mode(&vcpu, mode, mode == MODE_REAL ? 0x8000 : GUEST_FREE);
		if (mode == MODE_REAL)
			memcpy(vm.ram + 0x8000, vm.ram + GUEST_FREE, 0x1000);
		timer_settime(timer, 0, &every, NULL);
		for (int run = 0; run < 50; run++) {
			int reason = vcpu_run(&vcpu);

			CHECK(reason != KVM_EXIT_UNKNOWN, "round %u: KVM_EXIT_UNKNOWN", round);
			CHECK(reason >= 0 || reason == -EINTR || reason == -EFAULT, "round %u: %s",
			      round, exit_name(reason));
			if (reason != KVM_EXIT_IO && reason != KVM_EXIT_MMIO)
				break;
		}
		timer_settime(timer, 0, &never, NULL);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

/* An unknown instruction at CPL 0 is the guest's #UD, not the client's business. */
GUEST(ud_code, 64, "mov $5, %eax; ud2; .org ud_code + 0x80; out %eax, $0x10; hlt");

static void ud_is_the_guests(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, ud_code);
	vm_set_gate(&vm, MODE_LONG, 6, GUEST_CODE + 0x80);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 5);
}

static const struct test_case cases[] = {
	{ "hlt", hlt },
	{ "set_between", set_between },
	{ "shutdown_long", shutdown_long },
	{ "shutdown_protected", shutdown_protected },
	{ "immediate_exit", immediate_exit },
	{ "completion_keeps_the_reason", completion_keeps_the_reason },
	{ "jump_to_nothing", jump_to_nothing },
	{ "jump_and_recover", jump_and_recover },
	{ "fall_off_ram", fall_off_ram },
	{ "split_off_ram", split_off_ram },
	{ "no_memory", no_memory },
	{ "garbage", garbage },
	{ "ud_is_the_guests", ud_is_the_guests },
};
CASES_MAIN(cases)
