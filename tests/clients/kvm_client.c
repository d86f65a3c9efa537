// SPDX-License-Identifier: GPL-2.0-or-later
#include "kvm_client.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>

#define CASE_SECONDS 20
#define CASE_SECONDS_MOST 240 /* on the slowest machine */
#define STATUS_SKIP 77

static const char *case_name = "set-up";
static bool row_failed;

void case_fail(const char *file, int line, const char *format, ...)
{
	char why[512];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	printf("not ok %s: %s:%d: %s\n", case_name,
	       strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, why);
	fflush(stdout);
	_exit(1);
}

void case_skip(const char *format, ...)
{
	char why[512];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	printf("skip %s: %s\n", case_name, why);
	fflush(stdout);
	_exit(STATUS_SKIP);
}

/* CLIENT_SKIP names cases and rows (case:row) that this machine's KVM is known not to manage. */
static bool case_is_listed(const char *name)
{
	const char *list = getenv("CLIENT_SKIP");
	size_t length = strlen(name);

	for (const char *at = list; at && (at = strstr(at, name)); at += length)
		if ((at[length] == ' ' || !at[length]) && (at == list || at[-1] == ' '))
			return true;
	return false;
}

void case_row(bool ok, const char *row, const char *format, ...)
{
	char name[128];
	va_list args;

	if (ok && !getenv("CLIENT_VERBOSE"))
		return;
	snprintf(name, sizeof(name), "%s:%s", case_name, row);
	if (!ok && case_is_listed(name)) {
		printf("skip %s: in CLIENT_SKIP\n", name);
		return;
	}
	row_failed |= !ok;
	va_start(args, format);
	printf("%s %s: ", ok ? "ok" : "not ok", name);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void case_run(const struct test_case *test)
{
	unsigned int seconds = CASE_SECONDS * time_scale();

	case_name = test->name;
	alarm(seconds < CASE_SECONDS_MOST ? seconds : CASE_SECONDS_MOST);
	test->run();
	if (!row_failed)
		printf("ok %s\n", test->name);
	fflush(stdout);
	_exit(row_failed);
}

static bool case_passes(const struct test_case *test)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		case_run(test);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		printf("not ok %s: fork: %s\n", test->name, strerror(errno));
		return false;
	}
	if (WIFSIGNALED(status)) {
		printf("not ok %s: %s\n", test->name,
		       WTERMSIG(status) == SIGALRM ? "hang" : strsignal(WTERMSIG(status)));
		return false;
	}
	return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == STATUS_SKIP;
}

static bool case_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc <= 1;
}

int cases_main(int argc, char **argv, const struct test_case *cases, size_t count)
{
	bool all_pass = true, any = false;

	for (size_t i = 0; i < count; i++) {
		if (!case_wanted(cases[i].name, argc, argv))
			continue;
		any = true;
		if (case_is_listed(cases[i].name)) {
			printf("skip %s: in CLIENT_SKIP\n", cases[i].name);
			continue;
		}
		if (getenv("CLIENT_NO_FORK"))
			case_run(&cases[i]);
		all_pass &= case_passes(&cases[i]);
	}
	return all_pass && any ? 0 : 1;
}

int xioctl(int fd, const char *name, unsigned long request, unsigned long arg)
{
	int result = ioctl(fd, request, arg);

	if (result < 0)
		FAIL("%s: %s", name, strerror(errno));
	return result;
}

int kvm_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		FAIL("open /dev/kvm: %s", strerror(errno));
	return fd;
}

int vm_cap(const struct vm *vm, unsigned int cap)
{
	int value = ioctl(vm->fd, KVM_CHECK_EXTENSION, cap);

	return value < 0 ? 0 : value;
}

void vm_need_cap(const struct vm *vm, unsigned int cap, const char *name)
{
	if (!vm_cap(vm, cap))
		case_skip("no %s", name);
}

void *pages_alloc(size_t bytes)
{
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (pages == MAP_FAILED)
		FAIL("mmap: %s", strerror(errno));
	return pages;
}

int vm_set_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t bytes,
		void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)hva,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

int vm_set_slot2(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t bytes,
		 const void *hva, int fd, uint64_t offset)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)hva,
		.guest_memfd = fd,
		.guest_memfd_offset = offset,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &region) ? -errno : 0;
}

static void put64(struct vm *vm, uint64_t gpa, uint64_t value)
{
	memcpy(vm->ram + gpa, &value, sizeof(value));
}

/* Present, writable, user; accessed and dirty, so that the guest's tables stay as built. */
#define PTE_RAM 0x67ULL
#define PTE_LARGE 0x80ULL

static void build_page_tables(struct vm *vm)
{
	put64(vm, GUEST_PML4, GUEST_PDPT | 0x27);
	for (uint64_t gib = 0; gib < 4; gib++) {
		put64(vm, GUEST_PDPT + gib * 8, (GUEST_PD + gib * 0x1000) | 0x27);
		put64(vm, GUEST_PAE + gib * 8, (GUEST_PD + gib * 0x1000) | 0x1);
	}
	for (uint64_t i = 0; i < 4 * 512; i++)
		put64(vm, GUEST_PD + i * 8, (i << 21) | PTE_LARGE | PTE_RAM);
	put64(vm, GUEST_PD, GUEST_PT | 0x27);
	for (uint64_t i = 0; i < 512; i++)
		put64(vm, GUEST_PT + i * 8, (i << 12) | PTE_RAM);
}

static void build_gdt(struct vm *vm)
{
	put64(vm, GUEST_GDT + SEL_CODE64, 0x00af9b000000ffffULL);
	put64(vm, GUEST_GDT + SEL_DATA, 0x00cf93000000ffffULL);
	put64(vm, GUEST_GDT + SEL_CODE32, 0x00cf9b000000ffffULL);
	put64(vm, GUEST_GDT + SEL_CODE16, 0x000f9b000000ffffULL);
	put64(vm, GUEST_GDT + (SEL_UDATA & ~3), 0x00cff3000000ffffULL);
	put64(vm, GUEST_GDT + (SEL_UCODE64 & ~3), 0x00affb000000ffffULL);
	put64(vm, GUEST_GDT + (SEL_UCODE32 & ~3), 0x00cffb000000ffffULL);
	put64(vm, GUEST_GDT + SEL_TSS, 0x00008b0000000067ULL | (uint64_t)GUEST_TSS << 16);
	put64(vm, GUEST_GDT + SEL_TSS + 8, 0);
}

static void vm_create_with(struct vm *vm, bool irqchip)
{
	vm->kvm = kvm_open();
	vm->fd = XIOCTL(vm->kvm, KVM_CREATE_VM, 0);
	if (irqchip) {
		XIOCTL(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
		XIOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
	}
	vm->ram_bytes = RAM_BYTES;
	vm->ram = pages_alloc(vm->ram_bytes);
	int error = vm_set_slot(vm, 0, 0, 0, vm->ram_bytes, vm->ram);
	if (error)
		FAIL("KVM_SET_USER_MEMORY_REGION: %s", strerror(-error));
	build_page_tables(vm);
	build_gdt(vm);
}

void vm_create(struct vm *vm)
{
	vm_create_with(vm, false);
}

void vm_create_irqchip(struct vm *vm)
{
	vm_create_with(vm, true);
}

void vm_destroy(struct vm *vm)
{
	close(vm->fd);
	close(vm->kvm);
	munmap(vm->ram, vm->ram_bytes);
}

void vm_load(struct vm *vm, uint64_t gpa, const uint8_t *code, const uint8_t *end)
{
	CHECK(gpa + (end - code) <= vm->ram_bytes, "guest code does not fit");
	memcpy(vm->ram + gpa, code, end - code);
}

void vm_set_gate(struct vm *vm, enum mode mode, unsigned int vector, uint64_t handler)
{
	uint64_t sel = mode == MODE_LONG ? SEL_CODE64 : SEL_CODE32;
	uint64_t gate = (handler & 0xffff) | sel << 16 | 0xee00ULL << 32 |
			(handler & 0xffff0000) << 32;

	switch (mode) {
	case MODE_REAL:
		vm->ram[vector * 4 + 0] = handler;
		vm->ram[vector * 4 + 1] = handler >> 8;
		vm->ram[vector * 4 + 2] = 0;
		vm->ram[vector * 4 + 3] = 0;
		break;
	case MODE_PROTECTED:
	case MODE_PAE:
		put64(vm, GUEST_IDT + vector * 8, gate);
		break;
	case MODE_LONG:
		put64(vm, GUEST_IDT + vector * 16, gate);
		put64(vm, GUEST_IDT + vector * 16 + 8, handler >> 32);
		break;
	}
}

void vcpu_create(struct vm *vm, struct vcpu *vcpu, unsigned int id)
{
	vcpu->vm = vm;
	vcpu->fd = XIOCTL(vm->fd, KVM_CREATE_VCPU, id);
	vcpu->run_bytes = XIOCTL(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vcpu->run = mmap(NULL, vcpu->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		FAIL("mmap of the vCPU: %s", strerror(errno));
}

void vcpu_destroy(struct vcpu *vcpu)
{
	munmap(vcpu->run, vcpu->run_bytes);
	close(vcpu->fd);
}

static void set_segments(struct kvm_sregs *sregs, enum mode mode)
{
	const struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = SEL_DATA,
		.type = 3,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
	};
	const struct kvm_segment code = {
		.limit = 0xffffffff,
		.selector = mode == MODE_LONG ? SEL_CODE64 : SEL_CODE32,
		.type = 11,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = mode != MODE_LONG,
		.l = mode == MODE_LONG,
	};

	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->tr = (struct kvm_segment){
		.base = GUEST_TSS,
		.limit = 0x67,
		.selector = SEL_TSS,
		.type = 11,
		.present = 1,
	};
	sregs->ldt = (struct kvm_segment){ .unusable = 1 };
	sregs->gdt.base = GUEST_GDT;
	sregs->gdt.limit = SEL_TSS + 15;
	sregs->idt.base = GUEST_IDT;
	sregs->idt.limit = 0xfff;
}

static void set_real_segments(struct kvm_sregs *sregs)
{
	struct kvm_segment *all[] = {
		&sregs->cs, &sregs->ds, &sregs->es, &sregs->fs, &sregs->gs, &sregs->ss,
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		*all[i] = (struct kvm_segment){ .limit = 0xffff, .type = 3, .present = 1, .s = 1 };
	sregs->cs.type = 11;
	sregs->idt.base = 0;
	sregs->idt.limit = 0x3ff;
}

void vcpu_set_mode(struct vcpu *vcpu, enum mode mode, uint64_t rip)
{
	struct kvm_regs regs = { .rip = rip, .rsp = GUEST_STACK, .rflags = 2 };
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	/* RSP0, or ESP0 and SS0 */
	put64(vcpu->vm, GUEST_TSS + 4, GUEST_STACK0);
	if (mode != MODE_LONG)
		vcpu->vm->ram[GUEST_TSS + 8] = SEL_DATA;
	if (mode == MODE_REAL) {
		sregs.cr0 = 0x10; /* ET */
		sregs.cr4 = 0;
		sregs.efer = 0;
		set_real_segments(&sregs);
		regs.rsp = GUEST_STACK & 0xffff;
	} else {
		sregs.cr0 = 0x31;  /* NE, ET, PE */
		sregs.cr4 = 0x600; /* OSXMMEXCPT, OSFXSR */
		sregs.efer = 0;
		set_segments(&sregs, mode);
	}
	if (mode == MODE_PAE) {
		sregs.cr0 |= 0x80010000; /* PG, WP */
		sregs.cr3 = GUEST_PAE;
		sregs.cr4 |= 0x20;
	} else if (mode == MODE_LONG) {
		sregs.cr0 |= 0x80010000;
		sregs.cr3 = GUEST_PML4;
		sregs.cr4 |= 0x20;
		sregs.efer = 0x500; /* LMA, LME */
	}
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
}

void vcpu_load(struct vcpu *vcpu, enum mode mode, const uint8_t *code, const uint8_t *end)
{
	vm_load(vcpu->vm, GUEST_CODE, code, end);
	vcpu_set_mode(vcpu, mode, GUEST_CODE);
}

void vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs)
{
	XIOCTL(vcpu->fd, KVM_GET_REGS, regs);
}

void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	XIOCTL(vcpu->fd, KVM_SET_REGS, regs);
}

void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs)
{
	XIOCTL(vcpu->fd, KVM_GET_SREGS, sregs);
}

void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	XIOCTL(vcpu->fd, KVM_SET_SREGS, sregs);
}

void vcpu_set_cpuid(struct vcpu *vcpu)
{
	const unsigned int max = 256;
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + max * sizeof(cpuid->entries[0]));

	cpuid->nent = max;
	XIOCTL(vcpu->vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	/* The kernel's list lacks the deadline timer, which it has with an in-kernel irqchip. */
	for (unsigned int i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 1 && vm_cap(vcpu->vm, KVM_CAP_TSC_DEADLINE_TIMER))
			cpuid->entries[i].ecx |= 1 << 24;
	XIOCTL(vcpu->fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
}

int vcpu_run(struct vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, 0) ? -errno : (int)vcpu->run->exit_reason;
}

const char *exit_name(int reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "UNKNOWN",
		[KVM_EXIT_EXCEPTION] = "EXCEPTION",
		[KVM_EXIT_IO] = "IO",
		[KVM_EXIT_HYPERCALL] = "HYPERCALL",
		[KVM_EXIT_DEBUG] = "DEBUG",
		[KVM_EXIT_HLT] = "HLT",
		[KVM_EXIT_MMIO] = "MMIO",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
		[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
		[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
		[KVM_EXIT_INTR] = "INTR",
		[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
	};

	if (reason < 0)
		return strerror(-reason);
	if (reason >= (int)ARRAY_SIZE(names) || !names[reason])
		return "another reason";
	return names[reason];
}

static void describe_exit(struct vcpu *vcpu, int reason, char *text, size_t bytes)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs = { 0 };
	int n;

	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	n = snprintf(text, bytes, "%s (%d) at rip %#llx", exit_name(reason), reason, regs.rip);
	if (reason == KVM_EXIT_IO)
		snprintf(text + n, bytes - n, ", port %#x %s %u x %u, data %#x", run->io.port,
			 run->io.direction ? "out" : "in", run->io.size, run->io.count,
			 *(uint32_t *)((uint8_t *)run + run->io.data_offset));
	else if (reason == KVM_EXIT_MMIO)
		snprintf(text + n, bytes - n, ", %s gpa %#llx len %u data %#llx",
			 run->mmio.is_write ? "write" : "read", run->mmio.phys_addr, run->mmio.len,
			 *(unsigned long long *)run->mmio.data);
	else if (reason == KVM_EXIT_INTERNAL_ERROR)
		snprintf(text + n, bytes - n, ", suberror %u data %#llx %#llx %#llx %#llx",
			 run->internal.suberror, run->internal.data[0], run->internal.data[1],
			 run->internal.data[2], run->internal.data[3]);
}

void vcpu_expect_at(struct vcpu *vcpu, int reason, const char *file, int line)
{
	int got = vcpu_run(vcpu);
	char text[256];

	if (got == reason)
		return;
	describe_exit(vcpu, got, text, sizeof(text));
	case_fail(file, line, "expected exit %s, got %s", exit_name(reason), text);
}

uint32_t vcpu_expect_out_at(struct vcpu *vcpu, uint16_t port, unsigned int bytes, const char *file,
			    int line)
{
	struct kvm_run *run = vcpu->run;
	uint32_t value = 0;
	char text[256];

	vcpu_expect_at(vcpu, KVM_EXIT_IO, file, line);
	if (run->io.direction != KVM_EXIT_IO_OUT || run->io.port != port || run->io.size != bytes ||
	    run->io.count != 1) {
		describe_exit(vcpu, KVM_EXIT_IO, text, sizeof(text));
		case_fail(file, line, "expected out of %u bytes to port %#x, got %s", bytes, port,
			  text);
	}
	memcpy(&value, (uint8_t *)run + run->io.data_offset, bytes);
	return value;
}

uint64_t vcpu_expect_mmio_at(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
			     const char *file, int line)
{
	struct kvm_run *run = vcpu->run;
	uint64_t value = 0;
	char text[256];

	vcpu_expect_at(vcpu, KVM_EXIT_MMIO, file, line);
	if (run->mmio.is_write != write || run->mmio.phys_addr != gpa || run->mmio.len != bytes) {
		describe_exit(vcpu, KVM_EXIT_MMIO, text, sizeof(text));
		case_fail(file, line, "expected %s of %u bytes at %#llx, got %s",
			  write ? "write" : "read", bytes, (unsigned long long)gpa, text);
	}
	memcpy(&value, run->mmio.data, bytes);
	return value;
}

void vcpu_answer_mmio(struct vcpu *vcpu, uint64_t data)
{
	memcpy(vcpu->run->mmio.data, &data, sizeof(data));
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

unsigned int time_scale(void)
{
	const char *scale = getenv("CLIENT_TIME_SCALE");
	int value = scale ? atoi(scale) : 1;

	return value > 1 ? value : 1;
}

void sleep_ms(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}
