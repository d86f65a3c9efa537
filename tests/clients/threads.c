// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A VM belongs to an address space: any thread may use it, whatever becomes of the others, and
 * what numbers of descriptors mean is the calling thread's to say.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kvm_client.h"

GUEST(out_code, 64, "1: mov 0xa000, %eax; inc %eax; mov %eax, 0xa000; out %eax, $0x10; jmp 1b");
GUEST(event_code, 64, "out %eax, $0x10; hlt");

#define MEMORY_BYTES 0x10000
#define ROUNDS 30

static void use_vm(void)
{
	struct vcpu vcpu;
	struct vm vm;
	uint32_t i;

	VM_BOOT(&vm, &vcpu, MODE_LONG, out_code);
	for (i = 1; i < 10; i++)
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), i);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

/* ---- the first thread ends before the others ---- */

static bool first_has_ended(void)
{
	char path[32], text[256] = "";
	FILE *status;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", getpid());
	status = fopen(path, "r");
	n = status ? fread(text, 1, sizeof(text) - 1, status) : 0;
	if (status)
		fclose(status);
	return n && strstr(text, "Z (zombie)");
}

static void *outlive(void *argument)
{
	while (!first_has_ended())
		sleep_ms(1);
	use_vm();
	(void)argument;
	_exit(0);
}

static void first_thread_gone(void)
{
	pthread_t thread;
	int status;
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pthread_create(&thread, NULL, outlive, NULL);
		pthread_exit(NULL);
	}
	waitpid(child, &status, 0);
	CHECK_EQ(status, 0);
}

/* ---- a thread with descriptors of its own ---- */

static void *use_own_table(void *argument)
{
	struct kvm_ioeventfd ioeventfd = {
		.addr = 0x10,
		.len = 4,
		.flags = KVM_IOEVENTFD_FLAG_PIO,
	};
	struct vcpu vcpu;
	uint64_t count = 0;
	struct vm vm;
	int event;

	CHECK(!unshare(CLONE_FILES), "unshare: %s", strerror(errno));
	/* Not what the number is for the others. */
	event = *(int *)argument;
	close(event);
	CHECK_EQ(eventfd(0, EFD_NONBLOCK), event);
	VM_BOOT(&vm, &vcpu, MODE_LONG, event_code);
	vm_need_cap(&vm, KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD");
	ioeventfd.fd = event;
	XIOCTL(vm.fd, KVM_IOEVENTFD, &ioeventfd);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	CHECK(read(event, &count, sizeof(count)) == sizeof(count), "eventfd: %s", strerror(errno));
	CHECK_EQ(count, 1);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	return NULL;
}

static void own_descriptors(void)
{
	pthread_t thread;
	int event = eventfd(0, EFD_NONBLOCK);

	pthread_create(&thread, NULL, use_own_table, &event);
	pthread_join(thread, NULL);
}

/* ---- calls at the same time ---- */

static void *make_vms(void *argument)
{
	int kvm = kvm_open(), i, vm;

	for (i = 0; i < ROUNDS; i++) {
		vm = ioctl(kvm, KVM_CREATE_VM, 0);
		CHECK(vm >= 0, "KVM_CREATE_VM: %s", strerror(errno));
		close(vm);
	}
	close(kvm);
	return argument;
}

/* Memory comes and goes in one VM while others are made. */
static void vms_beside_slots(void)
{
	pthread_t thread;
	uint8_t *memory;
	struct vm vm;
	int i;

	vm_create(&vm);
	pthread_create(&thread, NULL, make_vms, NULL);
	for (i = 0; i < ROUNDS; i++) {
		memory = pages_alloc(MEMORY_BYTES);
		memset(memory, 1, MEMORY_BYTES);
		CHECK_EQ(vm_set_slot(&vm, 1, 0, MMIO_BASE, MEMORY_BYTES, memory), 0);
		CHECK_EQ(vm_set_slot(&vm, 1, 0, MMIO_BASE, 0, memory), 0);
		munmap(memory, MEMORY_BYTES);
	}
	pthread_join(thread, NULL);
	vm_destroy(&vm);
}

static const struct test_case cases[] = {
	{ "first_thread_gone", first_thread_gone },
	{ "own_descriptors", own_descriptors },
	{ "vms_beside_slots", vms_beside_slots },
};

CASES_MAIN(cases)
