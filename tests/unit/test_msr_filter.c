/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter that is replaced while vCPUs use MSRs is one or the other, never a mixture.
 * FAUXKVM_STRESS_SECONDS says for how long it is tried (default 1).
 */
#include "abi/fauxkvm.h"

#include <check.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define VCPUS 2
#define RAM_BYTES 0x4000
#define CODE 0x1000
#define SEQUENCE 0x500
#define SYSENTER_CS 0x174
#define STAR 0xc0000081u
#define MARKER 0x5a /* what user space answers for a denied MSR */

/*
 * Reads SYSENTER_CS (0x18) and STAR (0x11) over and over. The sequence in memory is odd while the
 * filter is being replaced; bit 1 says which of the two is in force. HLT: a wrong value.
 */
extern const uint8_t code[], code_end[];
__asm__(".pushsection .rodata\n.code16\ncode:\n"
	"1: mov 0x500, %ebp\n"
	"mov $0x174, %ecx; rdmsr; mov %eax, %esi\n"
	"mov $0xc0000081, %ecx; rdmsr; mov %eax, %edi\n"
	"mov 0x500, %ebx\n"
	"cmp %ebx, %ebp; jne 3f\n"
	"test $1, %bl; jnz 3f\n"
	"test $2, %bl; jnz 2f\n"
	"cmp $0x18, %esi; jne 5f; cmp $0x5a, %edi; jne 5f; jmp 1b\n"
	"2: cmp $0x5a, %esi; jne 5f; cmp $0x11, %edi; jne 5f; jmp 1b\n"
	"3: cmp $0x18, %esi; je 4f; cmp $0x5a, %esi; jne 5f\n"
	"4: cmp $0x11, %edi; je 1b; cmp $0x5a, %edi; je 1b\n"
	"5: hlt\n"
	"code_end:\n.code64\n.popsection");

static struct fauxkvm *module;
static int vm;
static atomic_bool stop;

struct runner {
	pthread_t thread;
	int vcpu;
	unsigned exits;
	bool wrong;
};

static int call(int handle, unsigned long request, void *argument)
{
	return fauxkvm_ioctl(module, handle, request, argument);
}

/* The guest reads it without the compiler's knowledge, so the thread sanitizer is left out too. */
__attribute__((no_sanitize("thread"))) static void write_sequence(uint8_t *ram, uint32_t value)
{
	__atomic_store_n((volatile uint32_t *)(ram + SEQUENCE), value, __ATOMIC_SEQ_CST);
}

static void deny_one(uint32_t denied)
{
	static uint8_t none[8];
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[0] = {
			.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			.base = denied,
			.nmsrs = 1,
			.bitmap = none,
		},
	};

	ck_assert_int_eq(call(vm, KVM_X86_SET_MSR_FILTER, &filter), 0);
}

static void start_state(int vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[2];
	} msrs = {
		.head.nmsrs = 2,
		.entries = { { .index = SYSENTER_CS, .data = 0x18 },
			     { .index = STAR, .data = 0x11 } },
	};
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	struct kvm_sregs sregs;

	ck_assert_int_eq(call(vcpu, KVM_SET_MSRS, &msrs), 2);
	ck_assert_int_eq(call(vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	ck_assert_int_eq(call(vcpu, KVM_SET_SREGS, &sregs), 0);
	ck_assert_int_eq(call(vcpu, KVM_SET_REGS, &regs), 0);
}

static void *run(void *argument)
{
	struct runner *runner = argument;
	struct kvm_run *run =
		fauxkvm_mmap(module, runner->vcpu, 3 * 4096, PROT_READ | PROT_WRITE, 0);

	while (!atomic_load(&stop) && !runner->wrong) {
		if (call(runner->vcpu, KVM_RUN, NULL) || run->exit_reason != KVM_EXIT_X86_RDMSR ||
		    run->msr.reason != KVM_MSR_EXIT_REASON_FILTER)
			runner->wrong = true;
		run->msr.data = MARKER;
		runner->exits++;
	}
	munmap(run, 3 * 4096);
	return NULL;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

START_TEST(replacement_is_atomic)
{
	const char *text = getenv("FAUXKVM_STRESS_SECONDS");
	const double end = seconds() + (text ? atoi(text) : 1);
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args[0] = KVM_MSR_EXIT_REASON_FILTER,
	};
	struct kvm_userspace_memory_region region = { .memory_size = RAM_BYTES };
	struct runner runner[VCPUS] = { 0 };
	uint32_t sequence;
	uint8_t *ram;
	int kvm;

	module = fauxkvm_create(NULL);
	kvm = fauxkvm_open(module);
	vm = fauxkvm_ioctl(module, kvm, KVM_CREATE_VM, 0);
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(ram + CODE, code, code_end - code);
	region.userspace_addr = (uintptr_t)ram;
	ck_assert_int_eq(call(vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
	ck_assert_int_eq(call(vm, KVM_ENABLE_CAP, &cap), 0);
	deny_one(STAR);
	for (int i = 0; i < VCPUS; i++) {
		runner[i].vcpu = fauxkvm_ioctl(module, vm, KVM_CREATE_VCPU, i);
		start_state(runner[i].vcpu);
		pthread_create(&runner[i].thread, NULL, run, &runner[i]);
	}
	for (sequence = 0; seconds() < end;) {
		write_sequence(ram, ++sequence);
		deny_one((sequence + 1) & 2 ? SYSENTER_CS : STAR);
		write_sequence(ram, ++sequence);
		/* Some filters live long enough for the guest to see nothing else. */
		if (!(sequence & 0x7e))
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < VCPUS; i++) {
		pthread_join(runner[i].thread, NULL);
		ck_assert_msg(!runner[i].wrong, "vCPU %d after %u exits, %u filters", i,
			      runner[i].exits, sequence / 2);
		ck_assert_uint_gt(runner[i].exits, 100);
	}
	ck_assert_uint_gt(sequence, 100);
	fauxkvm_destroy(module);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cpu/msr_filter");
	TCase *tcase = tcase_create("msr_filter");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 110);
	tcase_add_test(tcase, replacement_is_atomic);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
