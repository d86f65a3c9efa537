// SPDX-License-Identifier: GPL-2.0-or-later
/* Signals end KVM_RUN with EINTR, soon, and with complete state. */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#include "kvm_client.h"

#define TRIES 101

GUEST(spin_code, 64, "1: inc %rax; jmp 1b");
GUEST(sum_code, 64, "1: add $1, %rax; add $2, %rbx; add $3, %rcx; push %rax; pop %rdx; jmp 1b");

static volatile uint64_t handled_at;

static void on_signal(int signal)
{
	(void)signal;
	handled_at = now_ns();
}

static void catch (int signal)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(signal, &action, NULL);
}

struct kicker {
	pthread_t target;
	volatile uint64_t sent_at;
	volatile bool arrived;
	volatile bool goes_on; /* until that is false, too */
	int tries;
};

static void *kick_once(void *argument)
{
	struct kicker *kicker = argument;

	/* On a busy machine the first may come before KVM_RUN: nobody waits for it then. */
	sleep_ms(3);
	while (!kicker->arrived) {
		kicker->sent_at = now_ns();
		pthread_kill(kicker->target, SIGUSR1);
		for (int i = 0; i < 1000 && !kicker->arrived; i++)
			usleep(100);
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The median over many kicks of a spinning guest: ns from pthread_kill to the return of KVM_RUN. */
static uint64_t median_latency(struct vcpu *vcpu)
{
	uint64_t took[TRIES];

	for (int i = 0; i < TRIES; i++) {
		struct kicker kicker = { .target = pthread_self() };
		pthread_t thread;

		pthread_create(&thread, NULL, kick_once, &kicker);
		CHECK_EQ(vcpu_run(vcpu), -EINTR);
		took[i] = now_ns() - kicker.sent_at;
		kicker.arrived = true;
		CHECK_EQ(vcpu->run->exit_reason, KVM_EXIT_INTR);
		pthread_join(thread, NULL);
	}
	qsort(took, TRIES, sizeof(took[0]), compare);
	return took[TRIES / 2];
}

static void latency(void)
{
	const uint64_t enough = 2000000ull * time_scale();
	struct kvm_regs regs;
	struct vcpu vcpu;
	struct vm vm;
	uint64_t median;
	int round = 0;

	VM_BOOT(&vm, &vcpu, MODE_LONG, spin_code);
	catch (SIGUSR1);
	/* A busy machine gives the CPU to others meanwhile, but not always. */
	do {
		median = median_latency(&vcpu);
	} while (median >= enough && ++round < 5);
	CHECK(median < enough, "median %llu us", (unsigned long long)median / 1000);
	vcpu_get_regs(&vcpu, &regs);
	CHECK(regs.rax > 1000, "the guest did not run");
}

/* At whatever instruction the signal comes, the registers are those between two instructions. */
static void exact_state(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, sum_code);
	catch (SIGUSR1);
	for (int i = 0; i < 50; i++) {
		struct kicker kicker = { .target = pthread_self() };
		struct kvm_regs regs;
		pthread_t thread;
		unsigned int at;

		pthread_create(&thread, NULL, kick_once, &kicker);
		CHECK_EQ(vcpu_run(&vcpu), -EINTR);
		kicker.arrived = true;
		pthread_join(thread, NULL);
		vcpu_get_regs(&vcpu, &regs);
		at = regs.rip - GUEST_CODE;
		CHECK(at == 0 || at == 4 || at == 8 || at == 12 || at == 13 || at == 14, "rip +%u",
		      at);
		CHECK_EQ(regs.rbx, (regs.rax - (at == 4)) * 2);
		CHECK_EQ(regs.rcx, (regs.rax - (at == 4 || at == 8)) * 3);
		CHECK_EQ(regs.rsp, GUEST_STACK - (at == 13 ? 8 : 0));
		CHECK(at == 14 || at == 0 ? regs.rdx == regs.rax : regs.rdx + 1 == regs.rax,
		      "rdx %llu, rax %llu at +%u", regs.rdx, regs.rax, at);
	}
}

/* A signal that waited before KVM_RUN ends it before the first instruction. */
static void pending_before(void)
{
	struct vm vm;
	struct vcpu vcpu;
	sigset_t all, usr1;
	struct kvm_regs regs;
	struct {
		struct kvm_signal_mask head;
		uint8_t set[8];
	} mask = { .head.len = 8 };

	VM_BOOT(&vm, &vcpu, MODE_LONG, spin_code);
	catch (SIGUSR1);
	sigfillset(&all);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	XIOCTL(vcpu.fd, KVM_SET_SIGNAL_MASK, &mask.head); /* nothing is blocked in KVM_RUN */
	raise(SIGUSR1);
	handled_at = 0;
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rax, 0);
	CHECK_EQ(vcpu.run->exit_reason, KVM_EXIT_INTR);
	/*
	 * The mask of KVM_RUN was not the thread's: the handler has not run, the signal still
	 * waits.
	 */
	CHECK_EQ(handled_at, 0);
	sigpending(&all);
	CHECK(sigismember(&all, SIGUSR1), "the signal was taken");
}

/* A signal that KVM_SET_SIGNAL_MASK blocks does not end KVM_RUN; another does. */
static void *kick_twice(void *argument)
{
	struct kicker *kicker = argument;

	sleep_ms(20);
	pthread_kill(kicker->target, SIGUSR1);
	sleep_ms(50);
	kicker->sent_at = now_ns();
	/* Again, if KVM_RUN has not begun yet. */
	while (!kicker->arrived) {
		pthread_kill(kicker->target, SIGUSR2);
		sleep_ms(50);
	}
	return NULL;
}

static void masked(void)
{
	struct kicker kicker = { .target = pthread_self() };
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	struct {
		struct kvm_signal_mask head;
		uint64_t set;
	} __attribute__((packed)) mask = { .head.len = 8, .set = 1ULL << (SIGUSR1 - 1) };

	VM_BOOT(&vm, &vcpu, MODE_LONG, spin_code);
	catch (SIGUSR1);
	catch (SIGUSR2);
	XIOCTL(vcpu.fd, KVM_SET_SIGNAL_MASK, &mask);
	pthread_create(&thread, NULL, kick_twice, &kicker);
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	CHECK(kicker.sent_at && now_ns() >= kicker.sent_at, "the blocked signal ended KVM_RUN");
	kicker.arrived = true;
	pthread_join(thread, NULL);
}

/* Without the mask again, the signal ends KVM_RUN. */
static void mask_taken_back(void)
{
	struct kicker kicker = { .target = pthread_self() };
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	struct {
		struct kvm_signal_mask head;
		uint64_t set;
	} __attribute__((packed)) mask = { .head.len = 8, .set = 1ULL << (SIGUSR1 - 1) };

	VM_BOOT(&vm, &vcpu, MODE_LONG, spin_code);
	catch (SIGUSR1);
	XIOCTL(vcpu.fd, KVM_SET_SIGNAL_MASK, &mask);
	XIOCTL(vcpu.fd, KVM_SET_SIGNAL_MASK, NULL);
	pthread_create(&thread, NULL, kick_once, &kicker);
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	kicker.arrived = true;
	pthread_join(thread, NULL);
}

/* immediate_exit set by a handler: the usual way not to lose a kick before KVM_RUN. */
static struct kvm_run *volatile kicked_run;

static void on_kick(int signal)
{
	(void)signal;
	kicked_run->immediate_exit = 1;
}

static void *kick_often(void *argument)
{
	struct kicker *kicker = argument;

	for (int i = 0; i < kicker->tries || kicker->goes_on; i++) {
		for (volatile int spin = 0; spin < i * 7 % 5000; spin++)
			;
		pthread_kill(kicker->target, SIGUSR1);
		sleep_ms(1);
	}
	kicker->sent_at = 1;
	return NULL;
}

static void immediate_by_handler(void)
{
	struct kicker kicker = { .target = pthread_self(), .tries = 300, .goes_on = true };
	struct sigaction action = { .sa_handler = on_kick };
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	int returns = 0;

	VM_BOOT(&vm, &vcpu, MODE_LONG, spin_code);
	kicked_run = vcpu.run;
	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&thread, NULL, kick_often, &kicker);
	while (returns < 10) {
		CHECK_EQ(vcpu_run(&vcpu), -EINTR);
		vcpu.run->immediate_exit = 0;
		returns++;
	}
	kicker.goes_on = false;
	pthread_join(thread, NULL);
}

/* A timer signal while the guest does port I/O in a loop: every OUT is seen exactly once. */
GUEST(count_code, 64, "1: inc %eax; out %eax, $0x10; jmp 1b");

static void no_lost_exit(void)
{
	struct kicker kicker = { .target = pthread_self(), .tries = 200 };
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	uint32_t expected = 0;

	VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
	catch (SIGUSR1);
	pthread_create(&thread, NULL, kick_often, &kicker);
	while (!kicker.sent_at) {
		int reason = vcpu_run(&vcpu);
		uint32_t value;

		if (reason == -EINTR)
			continue;
		CHECK_EQ(reason, KVM_EXIT_IO);
		memcpy(&value, (uint8_t *)vcpu.run + vcpu.run->io.data_offset, 4);
		CHECK_EQ(value, ++expected);
	}
	pthread_join(thread, NULL);
}

/* A thread that is cancelled in KVM_RUN leaves a VM that can be changed and a vCPU that can run. */
GUEST(halt_code, 64, "movb $1, 0xa000; sti; hlt");

static void *run_cancelled(void *argument)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	vcpu_run(argument);
	return NULL;
}

static void cancelled_thread(void)
{
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	void *result;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, halt_code);
	pthread_create(&thread, NULL, run_cancelled, &vcpu);
	while (!*(volatile uint8_t *)(vm.ram + 0xa000))
		sleep_ms(1);
	sleep_ms(50);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	CHECK(result == PTHREAD_CANCELED, "it was not cancelled");
	CHECK_EQ(vm_set_slot(&vm, 0, 0, 0, 0, NULL), 0);
	vcpu_get_regs(&vcpu, &regs);
	/* Behind HLT; a busy machine may have left it on the way there from the store. */
	CHECK(regs.rip - GUEST_CODE <= (uint64_t)(halt_code_end - halt_code) &&
		      regs.rip - GUEST_CODE >= (uint64_t)(halt_code_end - halt_code) - 2,
	      "rip %#llx", regs.rip);
}

static const struct test_case cases[] = {
	{ "cancelled_thread", cancelled_thread },
	{ "latency", latency },
	{ "exact_state", exact_state },
	{ "pending_before", pending_before },
	{ "masked", masked },
	{ "mask_taken_back", mask_taken_back },
	{ "immediate_by_handler", immediate_by_handler },
	{ "no_lost_exit", no_lost_exit },
};
CASES_MAIN(cases)
