// SPDX-License-Identifier: GPL-2.0-or-later
/* What the client does to its memory behind a slot: the guest sees it, and nothing crashes. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "kvm_client.h"

#define PAGE 0x1000ULL
#define SLOT_AT 0x40000000ULL
#define SLOT_PAGES 64
#define SLOT_BYTES (SLOT_PAGES * PAGE)

/* Reads and tells the doubleword at RBX, or writes EAX there, each time it is run. */
GUEST(read_code, 64, "1: mov (%rbx), %eax; out %eax, $0x10; jmp 1b");
GUEST(write_code, 64, "1: mov %eax, (%rbx); out %al, $0x10; jmp 1b");

static uint8_t *boot(struct vm *vm, struct vcpu *vcpu, const uint8_t *code, const uint8_t *end)
{
	uint8_t *memory = pages_alloc(SLOT_BYTES);

	vm_create(vm);
	vcpu_create(vm, vcpu, 0);
	vcpu_load(vcpu, MODE_LONG, code, end);
	CHECK_EQ(-vm_set_slot(vm, 1, 0, SLOT_AT, SLOT_BYTES, memory), 0);
	return memory;
}
#define BOOT(vm, vcpu, code) boot(vm, vcpu, code, code##_end)

static void set_regs(struct vcpu *vcpu, uint64_t rbx, uint64_t rax)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rbx = rbx;
	regs.rax = rax;
	regs.rip = GUEST_CODE;
	vcpu_set_regs(vcpu, &regs);
}

/* KVM_RUN fails, and kvm_run tells which page. */
#define expect_fault(vcpu, error, gpa) expect_fault_at(vcpu, error, gpa, __FILE__, __LINE__)
static void expect_fault_at(struct vcpu *vcpu, int error, uint64_t gpa, const char *file, int line)
{
	int result = vcpu_run(vcpu);
	const struct memory_fault *fault = MEMORY_FAULT(vcpu->run);

	if (result != -error)
		case_fail(file, line, "%s instead of %s", exit_name(result), strerror(error));
	if (!vm_cap(vcpu->vm, KVM_CAP_MEMORY_FAULT_INFO))
		return;
	if (vcpu->run->exit_reason != KVM_EXIT_MEMORY_FAULT || fault->gpa != gpa ||
	    fault->size != PAGE || fault->flags)
		case_fail(file, line, "exit %u, gpa %#llx size %#llx flags %#llx",
			  vcpu->run->exit_reason, fault->gpa, fault->size, fault->flags);
}

static void unmapped(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory = BOOT(&vm, &vcpu, read_code);

	set_regs(&vcpu, SLOT_AT + PAGE, 0);
	vcpu_expect_out(&vcpu, 0x10, 4);
	munmap(memory + PAGE, PAGE);
	for (int i = 0; i < 3; i++)
		expect_fault(&vcpu, EFAULT, SLOT_AT + PAGE);
	/* The second of two pages. */
	set_regs(&vcpu, SLOT_AT + PAGE - 2, 0);
	expect_fault(&vcpu, EFAULT, SLOT_AT + PAGE);
	mmap(memory + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	     -1, 0);
	memory[PAGE] = 0x42;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x420000);
}

/* Read-only for the host is not read-only for the guest, but an error. */
static void protected(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory = BOOT(&vm, &vcpu, write_code);

	set_regs(&vcpu, SLOT_AT, 1);
	vcpu_expect_out(&vcpu, 0x10, 1);
	mprotect(memory, SLOT_BYTES, PROT_READ);
	expect_fault(&vcpu, EFAULT, SLOT_AT);
	CHECK_EQ(memory[0], 1);
	mprotect(memory, SLOT_BYTES, PROT_READ | PROT_WRITE);
	vcpu_expect_out(&vcpu, 0x10, 1);
	mprotect(memory, SLOT_BYTES, PROT_NONE);
	expect_fault(&vcpu, EFAULT, SLOT_AT);
	mprotect(memory, SLOT_BYTES, PROT_READ | PROT_WRITE);
	vcpu_expect_out(&vcpu, 0x10, 1);
}

/* A slot of memory that never was writable: a write fails, unless the slot is read-only too. */
static void readonly_file(void)
{
	struct vm vm;
	struct vcpu vcpu;
	int fd = memfd_create("rom", MFD_CLOEXEC);
	uint8_t *rom;

	BOOT(&vm, &vcpu, write_code);
	CHECK(fd >= 0 && !ftruncate(fd, SLOT_BYTES), "memfd");
	rom = mmap(NULL, SLOT_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	CHECK_EQ(-vm_set_slot(&vm, 2, 0, 0x50000000, SLOT_BYTES, rom), 0);
	CHECK_EQ(-vm_set_slot(&vm, 3, KVM_MEM_READONLY, 0x60000000, SLOT_BYTES, rom), 0);
	set_regs(&vcpu, 0x50000000, 1);
	expect_fault(&vcpu, EFAULT, 0x50000000);
	set_regs(&vcpu, 0x60000008, 0x99);
	CHECK_EQ(vcpu_expect_mmio(&vcpu, true, 0x60000008, 4), 0x99);
	vcpu_expect_out(&vcpu, 0x10, 1);
}

/* A file that got too short is SIGBUS to who touches it. */
static void truncated(void)
{
	struct vm vm;
	struct vcpu vcpu;
	int fd = memfd_create("ram", MFD_CLOEXEC);
	uint8_t *ram;

	BOOT(&vm, &vcpu, read_code);
	CHECK(fd >= 0 && !ftruncate(fd, SLOT_BYTES), "memfd");
	ram = mmap(NULL, SLOT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ram[0] = 7;
	CHECK_EQ(-vm_set_slot(&vm, 2, 0, 0x50000000, SLOT_BYTES, ram), 0);
	set_regs(&vcpu, 0x50000000, 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 7);
	CHECK(!ftruncate(fd, 0), "ftruncate");
	expect_fault(&vcpu, EFAULT, 0x50000000);
	CHECK(!ftruncate(fd, SLOT_BYTES), "ftruncate");
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0);
}

static void no_code(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory = BOOT(&vm, &vcpu, read_code);

	memcpy(memory, read_code, read_code_end - read_code);
	set_regs(&vcpu, GUEST_DATA, 0);
	vcpu_expect_out(&vcpu, 0x10, 4);
	vcpu_set_mode(&vcpu, MODE_LONG, SLOT_AT);
	for (int i = 0; i < 500; i++)
		vcpu_expect_out(&vcpu, 0x10, 4);
	mprotect(memory, PAGE, PROT_NONE);
	expect_fault(&vcpu, EFAULT, SLOT_AT);
	mprotect(memory, PAGE, PROT_READ | PROT_WRITE);
	vcpu_expect_out(&vcpu, 0x10, 4);
}

static void no_page_table(void)
{
	struct vm vm;
	struct vcpu vcpu;

	BOOT(&vm, &vcpu, read_code);
	set_regs(&vcpu, GUEST_DATA, 0);
	vcpu_expect_out(&vcpu, 0x10, 4);
	mprotect(vm.ram + GUEST_PD, PAGE, PROT_NONE);
	vcpu_set_mode(&vcpu, MODE_LONG, GUEST_CODE);
	expect_fault(&vcpu, EFAULT, GUEST_PD);
	mprotect(vm.ram + GUEST_PD, PAGE, PROT_READ | PROT_WRITE);
	set_regs(&vcpu, GUEST_DATA, 0);
	vcpu_expect_out(&vcpu, 0x10, 4);
}

/* The stack that an interrupt wants to use. */
GUEST(trap_code, 64, "mov $0x40001000, %rsp; int3; 1: out %al, $0x10; jmp 1b");
GUEST(trap_handler, 64, "out %al, $0x11; iretq");

static void no_stack(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory = BOOT(&vm, &vcpu, trap_code);

	vm_load(&vm, GUEST_DATA, trap_handler, trap_handler_end);
	vm_set_gate(&vm, MODE_LONG, 3, GUEST_DATA);
	mprotect(memory, PAGE, PROT_NONE);
	expect_fault(&vcpu, EFAULT, SLOT_AT);
	mprotect(memory, PAGE, PROT_READ | PROT_WRITE);
	vcpu_expect_out(&vcpu, 0x11, 1);
	vcpu_expect_out(&vcpu, 0x10, 1);
}

/* One host page at several guest addresses: the one that was used is told. */
static void alias(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory = BOOT(&vm, &vcpu, read_code);

	CHECK_EQ(-vm_set_slot(&vm, 2, 0, 0x50000000, SLOT_BYTES, memory), 0);
	CHECK_EQ(-vm_set_slot(&vm, 3, 0, 0x30000000, 2 * PAGE, memory + PAGE), 0);
	for (int i = 0; i < 2; i++) {
		/* At first its translation is there already. */
		set_regs(&vcpu, 0x50001000, 0);
		if (!i)
			vcpu_expect_out(&vcpu, 0x10, 4);
		munmap(memory + PAGE, PAGE);
		expect_fault(&vcpu, EFAULT, 0x50001000);
		set_regs(&vcpu, 0x30000000, 0);
		expect_fault(&vcpu, EFAULT, 0x30000000);
		set_regs(&vcpu, SLOT_AT + PAGE, 0);
		expect_fault(&vcpu, EFAULT, SLOT_AT + PAGE);
	}
}

/*
 * Pages with a memory error. Where nobody can make one, a tracer turns the fault of a protected page
 * into what the kernel tells of a poisoned one.
 */
static volatile unsigned int *poisonings;

static void poisoner(pid_t thread)
{
	int status;

	if (ptrace(PTRACE_SEIZE, thread, NULL, NULL))
		_exit(1);
	*poisonings = 1;
	while (waitpid(thread, &status, __WALL) == thread && WIFSTOPPED(status)) {
		int signo = WSTOPSIG(status);
		siginfo_t info;

		if (signo == SIGSEGV && !ptrace(PTRACE_GETSIGINFO, thread, NULL, &info) &&
		    info.si_code > 0) {
			info.si_signo = signo = SIGBUS;
			info.si_code = BUS_MCEERR_AR;
			info.si_addr_lsb = 12;
			ptrace(PTRACE_SETSIGINFO, thread, NULL, &info);
			++*poisonings;
		}
		if (status >> 16)
			signo = 0;
		ptrace(PTRACE_CONT, thread, NULL, signo);
	}
	_exit(0);
}

static void poison(uint8_t *page)
{
	static bool traced;
	pid_t self = getpid();

	if (!madvise(page, PAGE, MADV_HWPOISON))
		return;
	if (!traced) {
		poisonings =
			mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		if (!fork())
			poisoner(self);
		for (int i = 0; !*poisonings; i++) {
			if (i == 1000)
				case_skip("no MADV_HWPOISON, and no tracing");
			sleep_ms(1);
		}
		traced = true;
	}
	mprotect(page, PAGE, PROT_NONE);
}

static void poisoned(void)
{
	struct kvm_pre_fault_memory range = { .gpa = SLOT_AT + PAGE, .size = PAGE };
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *memory = BOOT(&vm, &vcpu, read_code);
	int result;

	memcpy(memory + 2 * PAGE, read_code, read_code_end - read_code);
	memory[PAGE] = 1;
	/* With its translation there, and without. */
	set_regs(&vcpu, SLOT_AT + PAGE, 0);
	vcpu_expect_out(&vcpu, 0x10, 4);
	poison(memory + PAGE);
	set_regs(&vcpu, SLOT_AT + PAGE, 0);
	result = vcpu_run(&vcpu);
	if (result == -EFAULT && poisonings && *poisonings == 1)
		case_skip("the fault is no signal of this process");
	CHECK(result == -EHWPOISON, "%s", exit_name(result));
	expect_fault(&vcpu, EHWPOISON, SLOT_AT + PAGE);
	if (vm_cap(&vm, KVM_CAP_PRE_FAULT_MEMORY))
		CHECK(ioctl(vcpu.fd, KVM_PRE_FAULT_MEMORY, &range) == -1 && errno == EHWPOISON,
		      "%s", strerror(errno));
	/* A fetch, and a page table. */
	poison(memory + 2 * PAGE);
	vcpu_set_mode(&vcpu, MODE_LONG, SLOT_AT + 2 * PAGE);
	expect_fault(&vcpu, EHWPOISON, SLOT_AT + 2 * PAGE);
	poison(vm.ram + GUEST_PD);
	vcpu_set_mode(&vcpu, MODE_LONG, GUEST_CODE);
	expect_fault(&vcpu, EHWPOISON, GUEST_PD);
}

/* Pages go and come while the guest sums them up in a hot loop. */
GUEST(sum_code, 64,
      "xor %edx, %edx\n"
      "1: mov $0x40000000, %ebx; mov $64, %ecx\n"
      "2: add (%rbx), %eax; add %eax, 8(%rbx); add $0x1000, %rbx; dec %ecx; jnz 2b\n"
      "inc %edx; cmp $20000, %edx; jb 1b; out %al, $0x10");

static uint8_t *churned;
static volatile bool stop;

static void *churn(void *argument)
{
	(void)argument;
	for (unsigned int i = 0; !stop; i++) {
		uint8_t *page = churned + i % SLOT_PAGES * PAGE;

		switch (i / SLOT_PAGES % 4) {
		case 0:
			munmap(page, PAGE);
			break;
		case 1:
			mmap(page, PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			break;
		case 2:
			mprotect(page, PAGE, PROT_READ);
			break;
		case 3:
			mprotect(page, PAGE, PROT_READ | PROT_WRITE);
			madvise(page, PAGE, MADV_DONTNEED);
			break;
		}
		if (i % 16 == 0)
			sleep_ms(1);
	}
	return NULL;
}

static void while_running(void)
{
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	unsigned int faults = 0;
	int result;

	churned = BOOT(&vm, &vcpu, sum_code);
	pthread_create(&thread, NULL, churn, NULL);
	while ((result = vcpu_run(&vcpu)) == -EFAULT)
		if (++faults == 2000 / time_scale()) {
			stop = true;
			pthread_join(thread, NULL);
			mmap(churned, SLOT_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		}
	CHECK(result == KVM_EXIT_IO, "%s", exit_name(result));
	if (!stop) {
		stop = true;
		pthread_join(thread, NULL);
	}
}

/* The same for a guest that counts: what it did before the missing page is done, and done once. */
GUEST(once_code, 64,
      "xor %edx, %edx; mov %rdx, 0xa000\n"
      "1: mov $0x40000000, %ebx; mov $64, %ecx\n"
      "2: incq 0xa000; inc %rdx; mov (%rbx), %eax; cmp %rdx, 0xa000; jne 3f\n"
      "add $0x1000, %rbx; dec %ecx; jnz 2b\n"
      "cmp $3000000, %edx; jb 1b; out %al, $0x10; hlt; 3: out %al, $0x11; hlt");

static void once(void)
{
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	int result;

	churned = BOOT(&vm, &vcpu, once_code);
	pthread_create(&thread, NULL, churn, NULL);
	while ((result = vcpu_run(&vcpu)) == -EFAULT)
		sched_yield();
	CHECK(result == KVM_EXIT_IO, "%s", exit_name(result));
	stop = true;
	pthread_join(thread, NULL);
	CHECK_EQ(vcpu.run->io.port, 0x10);
}

/* Short calls, of which none ends with EINTR: nobody has sent a signal. */
static void exits_meanwhile(void)
{
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	int result;

	churned = BOOT(&vm, &vcpu, read_code);
	set_regs(&vcpu, GUEST_DATA, 0);
	pthread_create(&thread, NULL, churn, NULL);
	for (unsigned int i = 0; i < 100000 / time_scale(); i++) {
		result = vcpu_run(&vcpu);
		CHECK(result == KVM_EXIT_IO || result == -EFAULT, "%s", exit_name(result));
	}
	stop = true;
	pthread_join(thread, NULL);
}

/* Or one that is ignored, with or without asking for it. */
static void *send_ignored(void *target)
{
	while (!stop) {
		kill(getpid(), SIGWINCH);
		pthread_kill(*(pthread_t *)target, SIGUSR2);
	}
	return NULL;
}

static void ignored_signals(void)
{
	pthread_t self = pthread_self(), thread;

	signal(SIGUSR2, SIG_IGN);
	pthread_create(&thread, NULL, send_ignored, &self);
	exits_meanwhile();
	pthread_join(thread, NULL);
}

static const struct test_case cases[] = {
	{ "unmapped", unmapped },
	{ "protected", protected },
	{ "readonly_file", readonly_file },
	{ "truncated", truncated },
	{ "no_code", no_code },
	{ "no_page_table", no_page_table },
	{ "no_stack", no_stack },
	{ "alias", alias },
	{ "poisoned", poisoned },
	{ "while_running", while_running },
	{ "once", once },
	{ "exits_meanwhile", exits_meanwhile },
	{ "ignored_signals", ignored_signals },
};
CASES_MAIN(cases)
