// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VMs and vCPUs come and go: two in one process, fds that outlive each other, fork, sudden death.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kvm_client.h"

GUEST(count_code, 64, "1: mov 0xa000, %eax; inc %eax; mov %eax, 0xa000; out %eax, $0x10; jmp 1b");
GUEST(spin_code, 64, "1: incl 0xa000; jmp 1b");

/* Two VMs in turn: neither sees the other's memory or registers. */
static void two_vms(void)
{
	struct vm vm[2];
	struct vcpu vcpu[2];

	for (int i = 0; i < 2; i++) {
		VM_BOOT(&vm[i], &vcpu[i], MODE_LONG, count_code);
		vm[i].ram[GUEST_DATA + 1] = i + 1;
	}
	for (uint32_t round = 1; round < 100; round++)
		for (uint32_t i = 0; i < 2; i++)
			CHECK_EQ(vcpu_expect_out(&vcpu[i], 0x10, 4), (i + 1) * 256 + round);
}

/* Both at the same time, on two threads. */
static void *run_many(void *argument)
{
	struct vcpu *vcpu = argument;

	for (uint32_t round = 1; round < 2000; round++)
		CHECK_EQ(vcpu_expect_out(vcpu, 0x10, 4), round);
	return NULL;
}

static void two_vms_parallel(void)
{
	struct vm vm[4];
	struct vcpu vcpu[4];
	pthread_t thread[4];

	for (int i = 0; i < 4; i++) {
		VM_BOOT(&vm[i], &vcpu[i], MODE_LONG, count_code);
		pthread_create(&thread[i], NULL, run_many, &vcpu[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

/* A vCPU keeps its VM: the VM's and the system's fds may be closed before. */
static void close_vm_first(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
	close(vm.kvm);
	close(vm.fd);
	for (uint32_t round = 1; round < 10; round++)
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), round);
}

/* kvm_run stays mapped after the vCPU's fd is closed. */
static void mapping_outlives_fd(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
	vcpu_expect_out(&vcpu, 0x10, 4);
	close(vcpu.fd);
	CHECK_EQ(vcpu.run->io.port, 0x10);
	close(vm.fd);
	vcpu.run->immediate_exit = 1;
	munmap(vcpu.run, vcpu.run_bytes);
}

/* A duplicate is the same vCPU; the original can be closed. */
static void duplicate(void)
{
	struct vm vm;
	struct vcpu vcpu;
	int vm_copy, vcpu_copy;

	VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
	vcpu_expect_out(&vcpu, 0x10, 4);
	vcpu_copy = dup(vcpu.fd);
	vm_copy = fcntl(vm.fd, F_DUPFD_CLOEXEC, 200);
	CHECK(vcpu_copy >= 0 && vm_copy >= 200, "dup: %s", strerror(errno));
	close(vcpu.fd);
	close(vm.fd);
	vcpu.fd = vcpu_copy;
	vm.fd = vm_copy;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 2);
	CHECK(vm_cap(&vm, KVM_CAP_USER_MEMORY) == 1, "the VM's copy");
	/* dup2 onto a number that was something else. */
	int null = open("/dev/null", O_RDWR);
	CHECK_EQ(dup2(vcpu.fd, null), null);
	close(vcpu.fd);
	vcpu.fd = null;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 3);
	/* The number is reused for something else: no longer a vCPU. */
	close(vcpu.fd);
	CHECK_EQ(open("/dev/null", O_RDWR), vcpu.fd);
	CHECK(ioctl(vcpu.fd, KVM_RUN, 0) == -1 && errno == ENOTTY, "KVM_RUN on /dev/null: %s",
	      strerror(errno));
}

static int open_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Many VMs one after the other leave no descriptor and little memory behind. */
static void no_leak(void)
{
	struct rusage before, after;
	int fds = open_fds();

	for (int i = 0; i < 100; i++) {
		struct vm vm;
		struct vcpu vcpu;

		if (i == 20)
			getrusage(RUSAGE_SELF, &before);
		VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
		vcpu_expect_out(&vcpu, 0x10, 4);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
	getrusage(RUSAGE_SELF, &after);
	CHECK_EQ(open_fds(), fds);
	CHECK(after.ru_maxrss - before.ru_maxrss < 16384, "grew by %ld KiB",
	      after.ru_maxrss - before.ru_maxrss);
}

static int child_status(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid, "waitpid: %s", strerror(errno));
	return status;
}

/* A process that ends by _exit, or is killed, with a vCPU running: it ends at once. */
static void *run_forever(void *argument)
{
	for (;;)
		vcpu_run(argument);
	return NULL;
}

static void die_running(bool by_kill)
{
	for (int round = 0; round < 5; round++) {
		int ready[2];
		char byte;
		pid_t pid;

		CHECK(!pipe(ready), "pipe");
		pid = fork();
		if (!pid) {
			struct vm vm;
			struct vcpu vcpu;
			pthread_t thread;

			VM_BOOT(&vm, &vcpu, MODE_LONG, spin_code);
			pthread_create(&thread, NULL, run_forever, &vcpu);
			while (!*(volatile uint32_t *)(vm.ram + GUEST_DATA))
				;
			if (write(ready[1], "r", 1) != 1 || !by_kill)
				_exit(42);
			for (;;)
				pause();
		}
		CHECK_EQ(read(ready[0], &byte, 1), 1);
		uint64_t start = now_ns();
		if (by_kill)
			kill(pid, SIGKILL);
		int status = child_status(pid);
		CHECK(by_kill ? WIFSIGNALED(status) : WEXITSTATUS(status) == 42, "status %#x",
		      status);
		CHECK(now_ns() - start < 2000000000ull * time_scale(), "it took %llu ms",
		      (unsigned long long)(now_ns() - start) / 1000000);
		close(ready[0]);
		close(ready[1]);
	}
}

static void exit_running(void)
{
	die_running(false);
}

static void killed_running(void)
{
	die_running(true);
}

/* exec while the guest runs on another thread: the new program has none of it. */
static void exec_running(void)
{
	pid_t pid = fork();

	if (!pid) {
		struct vm vm;
		struct vcpu vcpu;
		pthread_t thread;

		VM_BOOT(&vm, &vcpu, MODE_LONG, spin_code);
		pthread_create(&thread, NULL, run_forever, &vcpu);
		while (!*(volatile uint32_t *)(vm.ram + GUEST_DATA))
			;
		/* Descriptors of KVM are close-on-exec. */
		CHECK(fcntl(vm.fd, F_GETFD) & FD_CLOEXEC, "the VM's fd survives exec");
		CHECK(fcntl(vcpu.fd, F_GETFD) & FD_CLOEXEC, "the vCPU's fd survives exec");
		execl("/bin/true", "true", NULL);
		_exit(0);
	}
	CHECK_EQ(child_status(pid), 0);
}

/*
 * A program that inherits the descriptors by exec does not have the VM: EIO, or ENOTTY where it died
 * with the old program.
 */
#define INHERITED "LIFECYCLE_INHERITED"

static int inherited(const char *descriptors)
{
	struct kvm_regs regs;
	int vm, vcpu;

	if (sscanf(descriptors, "%d,%d", &vm, &vcpu) != 2 || fcntl(vcpu, F_GETFD) < 0)
		return 2;
	if (ioctl(vcpu, KVM_GET_REGS, &regs) != -1 || (errno != EIO && errno != ENOTTY))
		return 3;
	if (ioctl(vcpu, KVM_RUN, 0) != -1 || (errno != EIO && errno != ENOTTY))
		return 4;
	if (ioctl(vm, KVM_CREATE_VCPU, 1) != -1 || (errno != EIO && errno != ENOTTY))
		return 5;
	return 0;
}

static void exec_inherits(void)
{
	char descriptors[32];
	pid_t pid = fork();

	if (!pid) {
		struct vm vm;
		struct vcpu vcpu;

		VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
		vcpu_expect_out(&vcpu, 0x10, 4);
		fcntl(vm.fd, F_SETFD, 0);
		fcntl(vcpu.fd, F_SETFD, 0);
		snprintf(descriptors, sizeof(descriptors), "%d,%d", vm.fd, vcpu.fd);
		setenv(INHERITED, descriptors, 1);
		execl("/proc/self/exe", "lifecycle", NULL);
		_exit(6);
	}
	CHECK_EQ(child_status(pid), 0);
}

/* A forked child has the descriptors but not the VM: its address space is another one. EIO. */
static void fork_child(void)
{
	struct vm vm;
	struct vcpu vcpu;
	pid_t pid;

	VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
	vcpu_expect_out(&vcpu, 0x10, 4);
	pid = fork();
	if (!pid) {
		struct kvm_regs regs;

		CHECK(ioctl(vcpu.fd, KVM_GET_REGS, &regs) == -1 && errno == EIO, "KVM_GET_REGS: %s",
		      strerror(errno));
		CHECK(ioctl(vcpu.fd, KVM_RUN, 0) == -1 && errno == EIO, "KVM_RUN: %s",
		      strerror(errno));
		CHECK(ioctl(vm.fd, KVM_CREATE_VCPU, 1) == -1 && errno == EIO, "KVM_CREATE_VCPU: %s",
		      strerror(errno));
		/* It can make its own. */
		VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 1);
		_exit(0);
	}
	CHECK_EQ(child_status(pid), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 2);
}

/* One vCPU's KVM_RUN moves from thread to thread. */
static void *run_once(void *argument)
{
	struct vcpu *vcpu = argument;

	return (void *)(uintptr_t)vcpu_expect_out(vcpu, 0x10, 4);
}

static void thread_to_thread(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, count_code);
	for (uintptr_t round = 1; round < 50; round++) {
		pthread_t thread;
		void *result;

		pthread_create(&thread, NULL, run_once, &vcpu);
		pthread_join(thread, &result);
		CHECK_EQ((uintptr_t)result, round);
	}
}

/* Closing the vCPU's fd on another thread does not disturb KVM_RUN that is in progress. */
static void on_usr1(int signal)
{
	(void)signal;
}

static void *run_until_signal(void *argument)
{
	return (void *)(intptr_t)vcpu_run(argument);
}

static void close_while_running(void)
{
	struct sigaction action = { .sa_handler = on_usr1 };
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	void *result;

	VM_BOOT(&vm, &vcpu, MODE_LONG, spin_code);
	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&thread, NULL, run_until_signal, &vcpu);
	while (!*(volatile uint32_t *)(vm.ram + GUEST_DATA))
		;
	close(vm.fd);
	close(vcpu.fd);
	uint32_t seen = *(volatile uint32_t *)(vm.ram + GUEST_DATA);
	/* Or it has stopped, and this does not end. */
	while (*(volatile uint32_t *)(vm.ram + GUEST_DATA) == seen)
		sleep_ms(1);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, &result);
	CHECK_EQ((int)(intptr_t)result, -EINTR);
}

static const struct test_case cases[] = {
	{ "two_vms", two_vms },
	{ "two_vms_parallel", two_vms_parallel },
	{ "close_vm_first", close_vm_first },
	{ "mapping_outlives_fd", mapping_outlives_fd },
	{ "duplicate", duplicate },
	{ "no_leak", no_leak },
	{ "exit_running", exit_running },
	{ "killed_running", killed_running },
	{ "exec_running", exec_running },
	{ "exec_inherits", exec_inherits },
	{ "fork_child", fork_child },
	{ "thread_to_thread", thread_to_thread },
	{ "close_while_running", close_while_running },
};

int main(int argc, char **argv)
{
	const char *descriptors = getenv(INHERITED);

	if (descriptors)
		return inherited(descriptors);
	return cases_main(argc, argv, cases, ARRAY_SIZE(cases));
}
