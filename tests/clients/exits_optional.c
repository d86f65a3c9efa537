// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What user space may switch on or off: bus lock exits, notification of a vCPU that is stuck, MWAIT and
 * C-states in the guest.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "kvm_client.h"

#define RUN_BUS_LOCK (1 << 1) /* KVM_RUN_X86_BUS_LOCK */
#define NOTIFY(window, flags) ((uint64_t)(window) << 32 | (flags))

static int enable(struct vm *vm, uint32_t number, uint64_t value)
{
	struct kvm_enable_cap cap = { .cap = number, .args[0] = value };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap) ? -errno : 0;
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void alarm_in_ms(unsigned int ms)
{
	struct itimerval timer = { .it_value.tv_usec = ms * 1000 };
	struct sigaction action = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* ---- bus locks ---- */

/* Each kind of locking instruction across a cache line at 0xa040, then what does not cross or lock. */
GUEST(lock_code, 64,
      "mov $0xa03e, %ebx\n"
      "lock incl (%rbx); xchg %ecx, (%rbx); lock cmpxchg %edx, (%rbx); lock xadd %ecx, (%rbx)\n"
      "lock cmpxchg8b (%rbx); mov $0xa010, %edi; mov $360, %esi; lock btsw %si, 0x2(%rdi)\n"
      "out %al, $0x10\n"
      "mov $0xa038, %ebx; lock incq (%rbx); xchg %rcx, (%rbx); mov $0xa03e, %ebx; incl (%rbx)\n"
      "mov $0xa03d, %ebx; lock incw (%rbx); out %al, $0x11; hlt");

static void expect_bus_lock(struct vcpu *vcpu, uint64_t rip)
{
	struct kvm_regs regs;

	vcpu_expect(vcpu, KVM_EXIT_X86_BUS_LOCK);
	CHECK_EQ(vcpu->run->flags & RUN_BUS_LOCK, RUN_BUS_LOCK);
	vcpu_get_regs(vcpu, &regs);
	CHECK_EQ(regs.rip, rip);
}

static void bus_lock(void)
{
	/* Where each of them ends. */
	static const uint8_t ends[] = { 8, 10, 14, 18, 22 };
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_X86_BUS_LOCK_EXIT);
	CHECK_EQ(vm_cap(&vm, KVM_CAP_X86_BUS_LOCK_EXIT), 3);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_BUS_LOCK_EXIT, 4), -EINVAL);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_BUS_LOCK_EXIT, 3), -EINVAL);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_BUS_LOCK_EXIT, KVM_BUS_LOCK_DETECTION_OFF), 0);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_BUS_LOCK_EXIT, KVM_BUS_LOCK_DETECTION_EXIT), 0);
	vcpu_create(&vm, &vcpu, 0);
	VCPU_LOAD(&vcpu, MODE_LONG, lock_code);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		expect_bus_lock(&vcpu, GUEST_CODE + ends[i]);
		/* The instruction is done. */
		if (!i)
			CHECK_EQ(vm.ram[0xa03e], 1);
	}
	/* 360 bits are 22 words and 8 bits behind 0xa012: bit 8 of the word at 0xa03e. */
	CHECK_EQ(vm.ram[0xa03f] & 1, 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(vm.ram[0xa03f] & 1, 1);
	CHECK_EQ(vcpu.run->flags & RUN_BUS_LOCK, 0);
	vcpu_expect_out(&vcpu, 0x11, 1);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* Bits of a string: the operand is where the bit is, not where the address says. */
GUEST(lock_bit_code, 64,
      "mov $0xa000, %ebx; mov $496, %esi; lock bts %esi, 0x1(%rbx); out %al, $0x10\n"
      "mov $32, %esi; lock btr %esi, 0x3d(%rbx); out %al, $0x11; hlt");

static void bus_lock_bits(void)
{
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_X86_BUS_LOCK_EXIT);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_BUS_LOCK_EXIT, KVM_BUS_LOCK_DETECTION_EXIT), 0);
	vcpu_create(&vm, &vcpu, 0);
	VCPU_LOAD(&vcpu, MODE_LONG, lock_bit_code);
	/* Doubleword 15 behind 0xa001. */
	vcpu_expect(&vcpu, KVM_EXIT_X86_BUS_LOCK);
	vcpu_expect_out(&vcpu, 0x10, 1);
	/* Doubleword 1 behind 0xa03d does not cross, though 0xa03d itself would. */
	vcpu_expect_out(&vcpu, 0x11, 1);
}

static void no_bus_lock_exit(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, lock_code);
	vcpu_expect_out(&vcpu, 0x10, 1);
	vcpu_expect_out(&vcpu, 0x11, 1);
}

/* ---- notification ---- */

/*
 * The handler of #AC is user code and the stack is not aligned: delivery of #AC raises #AC, for ever
 * (CVE-2015-5307).
 */
GUEST(stuck_code, 32, "mov 1(%ebp), %eax; hlt");

static void make_stuck(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	VCPU_LOAD(vcpu, MODE_PROTECTED, stuck_code);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr0 |= 1 << 18; /* AM */
	sregs.cs.selector = SEL_UCODE32;
	sregs.ss.selector = SEL_UDATA;
	sregs.cs.dpl = sregs.ss.dpl = 3;
	vcpu_set_sregs(vcpu, &sregs);
	vm_set_gate(vcpu->vm, MODE_PROTECTED, 17, GUEST_CODE);
	vcpu->vm->ram[GUEST_IDT + 17 * 8 + 2] = SEL_UCODE32;
	vcpu_get_regs(vcpu, &regs);
	regs.rsp = GUEST_STACK - 1;
	regs.rbp = GUEST_DATA;
	regs.rflags |= 1 << 18; /* AC */
	vcpu_set_regs(vcpu, &regs);
}

static void notify(void)
{
	const uint64_t on = KVM_X86_NOTIFY_VMEXIT_ENABLED | KVM_X86_NOTIFY_VMEXIT_USER;
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_X86_NOTIFY_VMEXIT);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_NOTIFY_VMEXIT, NOTIFY(0, 0)), -EINVAL);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_NOTIFY_VMEXIT, NOTIFY(0, KVM_X86_NOTIFY_VMEXIT_USER)),
		 -EINVAL);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_NOTIFY_VMEXIT, NOTIFY(0, on | 4)), -EINVAL);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_NOTIFY_VMEXIT, NOTIFY(100000, on)), 0);
	vcpu_create(&vm, &vcpu, 0);
	CHECK_EQ(enable(&vm, KVM_CAP_X86_NOTIFY_VMEXIT, NOTIFY(100000, on)), -EINVAL);
	make_stuck(&vcpu);
	for (int i = 0; i < 3; i++) {
		vcpu_expect(&vcpu, KVM_EXIT_NOTIFY);
		CHECK_EQ(vcpu.run->notify.flags, 0);
	}
}

/* Without the exit the vCPU is stuck, but not its thread. */
static void stuck_is_interrupted(void)
{
	for (int notified = 0; notified < 2; notified++) {
		struct vm vm;
		struct vcpu vcpu;

		vm_create(&vm);
		VM_NEED_CAP(&vm, KVM_CAP_X86_NOTIFY_VMEXIT);
		if (notified)
			CHECK_EQ(enable(&vm, KVM_CAP_X86_NOTIFY_VMEXIT,
					NOTIFY(1000, KVM_X86_NOTIFY_VMEXIT_ENABLED)),
				 0);
		vcpu_create(&vm, &vcpu, 0);
		make_stuck(&vcpu);
		alarm_in_ms(30);
		CHECK_EQ(vcpu_run(&vcpu), -EINTR);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

/* ---- MWAIT ---- */

/* Waits until the word at 0xa000 is not 0, and says at 0xb000 that it is about to; EAX counts. */
GUEST(mwait_code, 64,
      "xor %esi, %esi; mov $0xa000, %ebx; movl $1, 0xb000\n"
      "1: mov %rbx, %rax; xor %ecx, %ecx; xor %edx, %edx; monitor\n"
      "cmpl $0, (%rbx); jne 2f; xor %eax, %eax; mwait; inc %esi; jmp 1b\n"
      "2: mov %esi, %eax; out %eax, $0x10; hlt");

static void mwait_boot(struct vm *vm, struct vcpu *vcpu, const uint8_t *code, const uint8_t *end)
{
	vm_create(vm);
	if (!(vm_cap(vm, KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_MWAIT))
		case_skip("no MWAIT in the guest");
	CHECK_EQ(enable(vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_MWAIT), 0);
	vcpu_create(vm, vcpu, 0);
	vcpu_load(vcpu, MODE_LONG, code, end);
}

static void *store_later(void *ram)
{
	while (!*(volatile uint32_t *)((uint8_t *)ram + 0xb000))
		sleep_ms(1);
	sleep_ms(100);
	__atomic_store_n((uint32_t *)((uint8_t *)ram + 0xa000), 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void mwait_waits_for_a_store(void)
{
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	uint32_t waits;

	mwait_boot(&vm, &vcpu, mwait_code, mwait_code_end);
	pthread_create(&thread, NULL, store_later, vm.ram);
	waits = vcpu_expect_out(&vcpu, 0x10, 4);
	pthread_join(thread, NULL);
	/* As a NOP it would have been some hundred thousand. */
	CHECK(waits >= 1 && waits < 2000 * time_scale(), "%u waits in 100 ms", waits);
}

static void mwait_is_interrupted(void)
{
	struct vm vm;
	struct vcpu vcpu;

	mwait_boot(&vm, &vcpu, mwait_code, mwait_code_end);
	alarm_in_ms(20);
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
}

GUEST(monitor_gp_code, 64, "mov $0xa000, %eax; mov $1, %ecx; xor %edx, %edx; monitor; hlt");
GUEST(mwait_gp_code, 64, "xor %eax, %eax; mov $2, %ecx; mwait; hlt");
GUEST(monitor_fault_code, 64, "movabs $0x8000000000000000, %rax; xor %ecx, %ecx; monitor; hlt");

static void mwait_faults(void)
{
	static const struct {
		const uint8_t *code, *end;
	} row[] = {
		{ monitor_gp_code, monitor_gp_code_end },
		{ mwait_gp_code, mwait_gp_code_end },
		{ monitor_fault_code, monitor_fault_code_end },
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct vm vm;
		struct vcpu vcpu;

		mwait_boot(&vm, &vcpu, row[i].code, row[i].end);
		/* out %al, $0x13 */
		vm.ram[0x9000] = 0xe6;
		vm.ram[0x9001] = 0x13;
		vm_set_gate(&vm, MODE_LONG, 13, 0x9000);
		vcpu_expect_out(&vcpu, 0x13, 1);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

/* Without CPUID's bit both are NOPs, unless that quirk is disabled; the bit may follow an MSR. */
GUEST(mwait_nop_code, 64,
      "mov $0xa000, %eax; xor %ecx, %ecx; xor %edx, %edx; monitor; xor %eax, %eax; mwait\n"
      "mov $1, %eax; cpuid; shr $3, %ecx; and $1, %ecx; mov %ecx, %eax; out %eax, $0x10; hlt");

static void mwait_quirks(void)
{
	const uint64_t never_ud = 1 << 6, follows_msr = 1 << 4;
	const struct {
		uint64_t disabled;
		bool msr, fault;
	} row[] = {
		{ 0, false, false },
		{ never_ud, false, true },
		{ follows_msr, false, false },
		{ follows_msr, true, false },
		{ never_ud | follows_msr, false, true },
		{ never_ud | follows_msr, true, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} msrs = { .head.nmsrs = 1, .entry = { 0x1a0, .data = row[i].msr << 18 | 1 } };
		struct vm vm;
		struct vcpu vcpu;

		vm_create(&vm);
		if ((vm_cap(&vm, KVM_CAP_DISABLE_QUIRKS2) & (never_ud | follows_msr)) !=
		    (never_ud | follows_msr))
			case_skip("no such quirks");
		vcpu_create(&vm, &vcpu, 0);
		vcpu_set_cpuid(&vcpu);
		VCPU_LOAD(&vcpu, MODE_LONG, mwait_nop_code);
		vm.ram[0x9000] = 0xe6;
		vm.ram[0x9001] = 0x06;
		vm_set_gate(&vm, MODE_LONG, 6, 0x9000);
		CHECK_EQ(enable(&vm, KVM_CAP_DISABLE_QUIRKS2, row[i].disabled), 0);
		CHECK_EQ(ioctl(vcpu.fd, KVM_SET_MSRS, &msrs), 1);
		if (row[i].fault)
			vcpu_expect_out(&vcpu, 0x06, 1);
		else
			CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), row[i].msr);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

/* ---- C-states ---- */

GUEST(residency_code, 64,
      "1: mov $0x660, %ecx; rdmsr; out %eax, $0x10; mov $0x3fd, %ecx; rdmsr; out %eax, $0x11\n"
      "hlt; jmp 1b");

static void residency(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint32_t before;

	vm_create(&vm);
	if (!(vm_cap(&vm, KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_CSTATE) ||
	    !(vm_cap(&vm, KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_MWAIT))
		case_skip("no C-states in the guest");
	CHECK_EQ(enable(&vm, KVM_CAP_X86_DISABLE_EXITS,
			KVM_X86_DISABLE_EXITS_CSTATE | KVM_X86_DISABLE_EXITS_HLT),
		 0);
	vcpu_create(&vm, &vcpu, 0);
	VCPU_LOAD(&vcpu, MODE_LONG, residency_code);
	/* NMI: iretq */
	vm.ram[0x9000] = 0x48;
	vm.ram[0x9001] = 0xcf;
	vm_set_gate(&vm, MODE_LONG, 2, 0x9000);
	before = vcpu_expect_out(&vcpu, 0x10, 4);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 0);
	alarm_in_ms(20);
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	XIOCTL(vcpu.fd, KVM_NMI, 0);
	CHECK(vcpu_expect_out(&vcpu, 0x10, 4) - before > 1000000, "slept for 20 ms");
}

static void no_residency(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, residency_code);
	vm.ram[0x9000] = 0xe6;
	vm.ram[0x9001] = 0x13;
	vm_set_gate(&vm, MODE_LONG, 13, 0x9000);
	vcpu_expect_out(&vcpu, 0x13, 1);
}

static const struct test_case cases[] = {
	{ "bus_lock", bus_lock },
	{ "bus_lock_bits", bus_lock_bits },
	{ "no_bus_lock_exit", no_bus_lock_exit },
	{ "notify", notify },
	{ "stuck_is_interrupted", stuck_is_interrupted },
	{ "mwait_waits_for_a_store", mwait_waits_for_a_store },
	{ "mwait_is_interrupted", mwait_is_interrupted },
	{ "mwait_faults", mwait_faults },
	{ "mwait_quirks", mwait_quirks },
	{ "residency", residency },
	{ "no_residency", no_residency },
};
CASES_MAIN(cases)
