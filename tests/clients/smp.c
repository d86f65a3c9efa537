// SPDX-License-Identifier: GPL-2.0-or-later
/* Several vCPUs in parallel: atomics, INIT and SIPI, IPIs. */
#include <pthread.h>

#include "kvm_client.h"

#define CPUS 4
#define ROUNDS 20000

/* Each ends with HLT after ROUNDS additions to the counter at 0xa000 (or 0xa040 …). */
GUEST(xadd_code, 64,
      "mov $" STRING(
	      ROUNDS) ", %ecx; 1: mov $1, %eax; lock xadd %eax, 0xa000; dec %ecx; jnz 1b; hlt");
GUEST(inc_code, 64, "mov $" STRING(ROUNDS) ", %ecx; 1: lock incq 0xa000; dec %ecx; jnz 1b; hlt");
GUEST(cmpxchg_code, 64,
      "mov $" STRING(ROUNDS) ", %ecx; 1: mov 0xa000, %eax; 2: lea 1(%rax), %edx\n"
			     "lock cmpxchg %edx, 0xa000; jnz 2b; dec %ecx; jnz 1b; hlt");
GUEST(cmpxchg16b_code, 64,
      "mov $" STRING(ROUNDS) ", %esi; 1: mov 0xa000, %rax; mov 0xa008, %rdx; 2: mov %rax, %rbx\n"
			     "mov %rdx, %rcx; inc %rbx; dec %rcx; lock cmpxchg16b 0xa000; jnz 2b; "
			     "dec %esi; jnz 1b; hlt");
GUEST(spinlock_code, 64,
      "mov $" STRING(
	      ROUNDS) ", %ecx; 1: mov $1, %eax; 2: xchg %eax, 0xa040; test %eax, %eax; jz 3f\n"
		      "pause; jmp 1b; 3: incl 0xa000; movl $0, 0xa040; dec %ecx; jnz 1b; hlt");
GUEST(bts_code, 64,
      "mov $" STRING(ROUNDS) ", %ecx; 1: lock btsl $5, 0xa040; jnc 3f; pause; jmp 1b\n"
			     "3: incl 0xa000; lock btrl $5, 0xa040; dec %ecx; jnz 1b; hlt");
/* A counter that crosses a page: a split lock. */
GUEST(split_code, 64, "mov $" STRING(ROUNDS) ", %ecx; 1: lock incl 0xaffe; dec %ecx; jnz 1b; hlt");
GUEST(sub_code, 64,
      "mov $" STRING(ROUNDS) ", %ecx; 1: lock addw $3, 0xa000; lock subw $2, 0xa000; dec %ecx\n"
			     "jnz 1b; hlt");

static void *run_to_hlt(void *argument)
{
	vcpu_expect(argument, KVM_EXIT_HLT);
	return NULL;
}

static void run_all(struct vm *vm, const uint8_t *code, const uint8_t *end)
{
	struct vcpu vcpu[CPUS];
	pthread_t thread[CPUS];

	vm_create(vm);
	for (unsigned int i = 0; i < CPUS; i++) {
		vcpu_create(vm, &vcpu[i], i);
		vcpu_set_cpuid(&vcpu[i]);
		vcpu_load(&vcpu[i], MODE_LONG, code, end);
	}
	for (unsigned int i = 0; i < CPUS; i++)
		pthread_create(&thread[i], NULL, run_to_hlt, &vcpu[i]);
	for (unsigned int i = 0; i < CPUS; i++)
		pthread_join(thread[i], NULL);
}

static uint32_t counter(struct vm *vm, uint64_t gpa)
{
	uint32_t value;

	memcpy(&value, vm->ram + gpa, sizeof(value));
	return value;
}

#define COUNTS(name, address)                                                                      \
	static void name(void)                                                                     \
	{                                                                                          \
		struct vm vm;                                                                      \
		run_all(&vm, name##_code, name##_code_end);                                        \
		CHECK_EQ(counter(&vm, address), CPUS *ROUNDS);                                     \
	}
COUNTS(xadd, 0xa000)
COUNTS(inc, 0xa000)
COUNTS(cmpxchg, 0xa000)
COUNTS(spinlock, 0xa000)
COUNTS(bts, 0xa000)
COUNTS(split, 0xaffe)

static void sub(void)
{
	struct vm vm;

	run_all(&vm, sub_code, sub_code_end);
	CHECK_EQ(counter(&vm, 0xa000), CPUS * ROUNDS & 0xffff);
}

static void cmpxchg16b(void)
{
	struct vm vm;
	int64_t up, down;

	run_all(&vm, cmpxchg16b_code, cmpxchg16b_code_end);
	memcpy(&up, vm.ram + 0xa000, 8);
	memcpy(&down, vm.ram + 0xa008, 8);
	CHECK_EQ(up, CPUS * ROUNDS);
	CHECK_EQ(down, -CPUS * ROUNDS);
}

/* The host takes part: its atomics and the guest's are the same. */
static void with_host(void)
{
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;

	VM_BOOT(&vm, &vcpu, MODE_LONG, xadd_code);
	pthread_create(&thread, NULL, run_to_hlt, &vcpu);
	for (int i = 0; i < ROUNDS; i++)
		__atomic_fetch_add((uint32_t *)(vm.ram + 0xa000), 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	CHECK_EQ(counter(&vm, 0xa000), 2 * ROUNDS);
}

/* Message passing: stores of one vCPU are seen in their order by the other. */
GUEST(writer_code, 64,
      "xor %ecx, %ecx; 1: inc %ecx; mov %ecx, 0xa000; mov %ecx, 0xb000; cmp $200000, %ecx; jne 1b; "
      "hlt");
GUEST(reader_code, 64,
      "1: mov 0xb000, %eax; mov 0xa000, %edx; cmp %eax, %edx; jb 2f; cmp $200000, %eax; jne 1b; "
      "hlt\n"
      "2: ud2");

static void store_order(void)
{
	struct vm vm;
	struct vcpu vcpu[2];
	pthread_t thread[2];

	vm_create(&vm);
	for (unsigned int i = 0; i < 2; i++)
		vcpu_create(&vm, &vcpu[i], i);
	vm_load(&vm, GUEST_CODE, writer_code, writer_code_end);
	vm_load(&vm, 0x9000, reader_code, reader_code_end);
	vcpu_set_mode(&vcpu[0], MODE_LONG, GUEST_CODE);
	vcpu_set_mode(&vcpu[1], MODE_LONG, 0x9000);
	for (unsigned int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, run_to_hlt, &vcpu[i]);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

/* The boot processor starts the second one with INIT, SIPI: real mode at the vector's page. */
GUEST(bsp_code, 64,
      "mov $0xfee00000, %ebp; movl $0x1ff, 0xf0(%rbp); movl $0x01000000, 0x310(%rbp)\n"
      "movl $0x4500, 0x300(%rbp); movl $0x4609, 0x300(%rbp); 1: pause; cmpw $0, 0xa000; je 1b\n"
      "mov 0xa000, %eax; out %eax, $0x10; 2: hlt; jmp 2b");
GUEST(ap_code, 16,
      "mov %cs, %ax; mov %ax, 0xa002; movw $0x1234, 0xa000; out %al, $0x11; 1: hlt; jmp 1b");

static void *run_ap(void *argument)
{
	struct vcpu *vcpu = argument;
	int reason;

	/* KVM_RUN of an uninitialised vCPU waits, and may return EAGAIN when SIPI has come. */
	do
		reason = vcpu_run(vcpu);
	while (reason == -EAGAIN);
	CHECK_EQ(reason, KVM_EXIT_IO);
	CHECK_EQ(vcpu->run->io.port, 0x11);
	return NULL;
}

static void init_sipi(void)
{
	struct vm vm;
	struct vcpu bsp, ap;
	struct kvm_mp_state state;
	struct kvm_regs regs;
	pthread_t thread;

	VM_BOOT_IRQCHIP(&vm, &bsp, MODE_LONG, bsp_code);
	vcpu_create(&vm, &ap, 1);
	vm_load(&vm, 0x9000, ap_code, ap_code_end);
	pthread_create(&thread, NULL, run_ap, &ap);
	CHECK_EQ(vcpu_expect_out(&bsp, 0x10, 4), 0x09001234);
	pthread_join(thread, NULL);
	XIOCTL(ap.fd, KVM_GET_MP_STATE, &state);
	CHECK_EQ(state.mp_state, KVM_MP_STATE_RUNNABLE);
	vcpu_get_regs(&ap, &regs);
	CHECK_EQ(regs.rip >> 12, 0);
}

/*
 * Two vCPUs send each other IPIs by turns. None comes between the last look at their number and HLT:
 * nobody would send another.
 */
GUEST(ping_code, 64,
      "mov $0xfee00000, %ebp; movl $0x1ff, 0xf0(%rbp); mov 0x20(%rbp), %ebx; xor $0x01000000, "
      "%ebx\n"
      "mov %ebx, 0x310(%rbp); sti; movl $1, 0xa000; test $0x01000000, %ebx; jz 1f\n"
      "movl $0x4050, 0x300(%rbp)\n"
      "1: cli; cmp $500, %ecx; jae 2f; sti; hlt; jmp 1b; 2: out %al, $0x10; jmp 2b\n"
      ".org ping_code + 0x80; inc %ecx; movl $0, 0xb0(%rbp); movl $0x4050, 0x300(%rbp); iretq");

static void *run_to_out(void *argument)
{
	vcpu_expect_out(argument, 0x10, 1);
	return NULL;
}

static void ipi_ping_pong(void)
{
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct vm vm;
	struct vcpu vcpu[2];
	pthread_t thread[2];

	vm_create_irqchip(&vm);
	vm_set_gate(&vm, MODE_LONG, 0x50, GUEST_CODE + 0x80);
	for (unsigned int i = 0; i < 2; i++) {
		struct kvm_regs regs;

		vcpu_create(&vm, &vcpu[i], i);
		VCPU_LOAD(&vcpu[i], MODE_LONG, ping_code);
		vcpu_get_regs(&vcpu[i], &regs);
		regs.rsp -= i * 0x400;
		vcpu_set_regs(&vcpu[i], &regs);
		XIOCTL(vcpu[i].fd, KVM_SET_MP_STATE, &runnable);
	}
	/* The second one first: its local APIC has to be enabled when the first IPI comes. */
	for (int i = 1; i >= 0; i--) {
		pthread_create(&thread[i], NULL, run_to_out, &vcpu[i]);
		while (!*(volatile uint32_t *)(vm.ram + 0xa000))
			sleep_ms(1);
	}
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

static const struct test_case cases[] = {
	{ "xadd", xadd },           { "inc", inc },
	{ "cmpxchg", cmpxchg },     { "cmpxchg16b", cmpxchg16b },
	{ "spinlock", spinlock },   { "bts", bts },
	{ "split", split },         { "sub", sub },
	{ "with_host", with_host }, { "store_order", store_order },
	{ "init_sipi", init_sipi }, { "ipi_ping_pong", ipi_ping_pong },
};
CASES_MAIN(cases)
