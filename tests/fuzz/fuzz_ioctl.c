// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random calls on KVM's descriptors: `fuzz-ioctl [--seed N] [--calls N] [--verbose]`.
 *
 * Several VMs and vCPUs are kept alive, closed and made anew; guests run whatever bytes are in
 * their memory. Nothing is expected of a call but that it returns: no crash, no hang (ten seconds),
 * no report of a sanitizer. A failure prints the seed and the call, and the same seed makes the
 * same calls again (as far as the guests' timing allows).
 */
#include "fuzz.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "../clients/kvm_new.h"

#define TICK_US 1000
#define HANG_TICKS 10000

static struct object objects[MAX_OBJECTS];
static unsigned int object_count;
static uint64_t seed = 1, state, calls = 100000, call;
static bool verbose;
static char current[160];
static volatile int running_fd = -1;
static struct kvm_run *volatile running;
static volatile uint64_t tick_call, ticks;

uint64_t random64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1d;
}

static void say_where(void)
{
	char text[300];
	int n = snprintf(text, sizeof(text), "\nfuzz: %s: --seed %llu, call %llu: %s\n", layer.name,
			 (unsigned long long)seed, (unsigned long long)call, current);

	if (write(STDERR_FILENO, text, n) < 0)
		_exit(3);
}

static void on_crash(int signal)
{
	say_where();
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigaction(signal, &action, NULL);
	raise(signal);
}

/* The timer: lets no KVM_RUN last longer than a tick or two, and sees hangs. */
static void on_tick(int signal)
{
	(void)signal;
	if (running) {
		running->immediate_exit = 1;
		layer.kick(running_fd);
	}
	if (tick_call != call) {
		tick_call = call;
		ticks = 0;
	} else if (++ticks == HANG_TICKS) {
		strncat(current, " (hangs)", sizeof(current) - strlen(current) - 1);
		abort();
	}
}

/* With a sanitizer: it tells of the call as well. */
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void catch_failures(void)
{
	struct sigaction crash = { .sa_handler = on_crash }, tick = { .sa_handler = on_tick };
	struct itimerval every = { { 0, TICK_US }, { 0, TICK_US } };

	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(say_where);
	} else {
		sigaction(SIGSEGV, &crash, NULL);
		sigaction(SIGBUS, &crash, NULL);
		sigaction(SIGILL, &crash, NULL);
		sigaction(SIGFPE, &crash, NULL);
	}
	sigaction(SIGABRT, &crash, NULL);
	sigaction(SIGALRM, &tick, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

static struct object *any_object(unsigned int kinds)
{
	unsigned int start = object_count ? below(object_count) : 0;

	for (unsigned int i = 0; i < object_count; i++) {
		struct object *object = &objects[(start + i) % object_count];

		if (kinds & 1 << object->kind)
			return object;
	}
	return NULL;
}

int any_fd(enum kind kind)
{
	struct object *object = any_object(1 << kind);

	return object ? object->fd : -1;
}

static unsigned int count_kind(enum kind kind)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < object_count; i++)
		count += objects[i].kind == kind;
	return count;
}

static void unmap_run(struct object *object)
{
	if (object->run)
		munmap(object->run, object->run_bytes);
	object->run = NULL;
}

static void close_object(struct object *object)
{
	if (one_in(4) && object->run) {
		/* The mapping outlives the descriptor: written once more after the close. */
		struct kvm_run *run = object->run;
		size_t bytes = object->run_bytes;

		layer.close(object->fd);
		memset(run, 0x55, 64);
		munmap(run, bytes);
	} else {
		unmap_run(object);
		if (object->kind == KIND_EVENT)
			close(object->fd);
		else
			layer.close(object->fd);
	}
	*object = objects[--object_count];
}

static void map_run(struct object *object)
{
	int bytes = any_fd(KIND_KVM) < 0 ? 0 :
					   layer.ioctl(any_fd(KIND_KVM), KVM_GET_VCPU_MMAP_SIZE, 0);

	unmap_run(object);
	object->run_bytes = bytes >= 0x1000 ? bytes : 0x1000;
	object->run = layer.mmap(object->fd, object->run_bytes, 0);
}

static void add_object(enum kind kind, int fd)
{
	if (fd < 0)
		return;
	while (object_count == MAX_OBJECTS)
		close_object(&objects[below(object_count)]);
	objects[object_count] = (struct object){ .kind = kind, .fd = fd };
	if (kind == KIND_VCPU)
		map_run(&objects[object_count]);
	object_count++;
}

/* The capabilities that change how much of what follows goes. */
static void enable_some(int vm)
{
	static const struct kvm_enable_cap caps[] = {
		{ .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 3 } },
		{ .cap = KVM_CAP_DIRTY_LOG_RING, .args = { 0x10000 } },
		{ .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } },
		{ .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { 7 } },
		{ .cap = KVM_CAP_X2APIC_API, .args = { 3 } },
		{ .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } },
	};

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
		if (one_in(4))
			layer.ioctl(vm, KVM_ENABLE_CAP, (unsigned long)&caps[i]);
}

/* A VM with RAM and a vCPU whose registers lead to the bytes of that RAM. */
static void make_vm(void)
{
	int kvm = any_fd(KIND_KVM), vm, vcpu;
	struct kvm_userspace_memory_region region = {
		.memory_size = 0x100000,
		.userspace_addr = (unsigned long)pool + below(4) * 0x100000,
	};
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vm = kvm < 0 ? -1 : layer.ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return;
	add_object(KIND_VM, vm);
	enable_some(vm);
	if (one_in(2))
		layer.ioctl(vm, KVM_CREATE_IRQCHIP, 0);
	if (one_in(4))
		region.flags = KVM_MEM_LOG_DIRTY_PAGES;
	layer.ioctl(vm, KVM_SET_USER_MEMORY_REGION, (unsigned long)&region);
	vcpu = layer.ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return;
	add_object(KIND_VCPU, vcpu);
	if (layer.ioctl(vcpu, KVM_GET_SREGS, (unsigned long)&sregs) ||
	    layer.ioctl(vcpu, KVM_GET_REGS, (unsigned long)&regs))
		return;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (one_in(2)) { /* protected mode, flat */
		struct kvm_segment *segments[] = { &sregs.cs, &sregs.ds, &sregs.es, &sregs.ss };

		sregs.cr0 |= 1;
		for (unsigned int i = 0; i < 4; i++)
			*segments[i] = (struct kvm_segment){
				.limit = 0xffffffff,
				.selector = i ? 16 : 8,
				.type = i ? 3 : 11,
				.present = 1,
				.s = 1,
				.db = 1,
				.g = 1,
			};
	}
	layer.ioctl(vcpu, KVM_SET_SREGS, (unsigned long)&sregs);
	regs.rip = below(16) * 0x1000;
	regs.rsp = 0x8000;
	layer.ioctl(vcpu, KVM_SET_REGS, (unsigned long)&regs);
}

/* Something of every sort is always there. */
static void refill(void)
{
	if (!count_kind(KIND_KVM) || one_in(200))
		add_object(KIND_KVM, layer.open());
	if (count_kind(KIND_VM) < 3)
		make_vm();
	if (!count_kind(KIND_EVENT))
		add_object(KIND_EVENT, eventfd(below(2), EFD_NONBLOCK | EFD_CLOEXEC));
}

/* The descriptors that a successful call made. */
static void keep_result(unsigned long request, int result, unsigned long arg)
{
	if (result < 0)
		return;
	switch (request) {
	case KVM_CREATE_VM:
		add_object(KIND_VM, result);
		break;
	case KVM_CREATE_VCPU:
		add_object(KIND_VCPU, result);
		break;
	case KVM_GET_STATS_FD:
		add_object(KIND_STATS, result);
		break;
	case KVM_CREATE_GUEST_MEMFD:
		add_object(KIND_MEMFD, result);
		break;
	case KVM_CREATE_DEVICE: {
		struct kvm_create_device *device = (void *)arg;

		if (!(device->flags & KVM_CREATE_DEVICE_TEST))
			add_object(KIND_DEVICE, device->fd);
		break;
	}
	}
}

static const struct ioctl_row *any_row(void)
{
	static unsigned int total;
	unsigned int at;

	if (!total)
		for (size_t i = 0; i < ioctl_row_count; i++)
			total += ioctl_rows[i].weight;
	at = below(total);
	for (const struct ioctl_row *row = ioctl_rows;; row++) {
		if (at < row->weight)
			return row;
		at -= row->weight;
	}
}

static void fuzz_run(struct object *vcpu, unsigned long arg)
{
	vcpu->run->immediate_exit = one_in(3);
	if (one_in(4))
		vcpu->run->request_interrupt_window = one_in(2);
	running_fd = vcpu->fd;
	running = vcpu->run;
	layer.ioctl(vcpu->fd, KVM_RUN, arg);
	running = NULL;
	/* The answer to an exit: whatever. */
	if (one_in(2) && vcpu->run->exit_reason == KVM_EXIT_MMIO)
		memset(vcpu->run->mmio.data, random64(), 8);
}

static void fuzz_ioctl(void)
{
	const struct ioctl_row *row = any_row();
	unsigned long request = row->request, arg;
	struct object *object = any_object(one_in(16) ? ~(1U << KIND_EVENT) : row->kinds);
	int result;

	if (!object)
		return;
	if (one_in(64)) /* another size, direction or number */
		request ^= 1UL << below(32);
	if (request == KVM_RUN && (object->kind != KIND_VCPU || !object->run))
		return;
	if (object->kind == KIND_VM && row->request == KVM_CREATE_VCPU)
		arg = one_in(8) ? random64() & 0xffff8000ffffffff : below(8);
	else
		arg = make_arg(object->fd, request);
	snprintf(current, sizeof(current), "%s (%#lx) on fd %d (kind %d), %#lx", row->name, request,
		 object->fd, object->kind, arg);
	if (verbose)
		fprintf(stderr, "%llu: %s\n", (unsigned long long)call, current);
	if (request == KVM_RUN) {
		fuzz_run(object, arg);
		return;
	}
	result = layer.ioctl(object->fd, request, arg);
	if (verbose && result < 0)
		fprintf(stderr, "  %s\n", strerror(errno));
	keep_result(request, result, arg);
}

/* Bytes of guest memory, of kvm_run and of the rings change behind KVM's back. */
static void scribble(void)
{
	struct object *vcpu = any_object(1 << KIND_VCPU);
	uint64_t value = random64();

	snprintf(current, sizeof(current), "scribble");
	if (one_in(2)) {
		uint8_t *at = pool + below(POOL_BYTES - 64);

		/* Programs with a chance to run for a while: whole instructions of a few sorts. */
		static const uint8_t pieces[][4] = {
			{ 0x90, 0x90, 0x90, 0x90 }, { 0xe6, 0x10, 0x90, 0x90 },
			{ 0xe4, 0x20, 0x90, 0x90 }, { 0xf4, 0x90, 0x90, 0x90 },
			{ 0x0f, 0xa2, 0x90, 0x90 }, { 0x0f, 0x32, 0x90, 0x90 },
			{ 0x0f, 0x30, 0x90, 0x90 }, { 0x89, 0x07, 0x8b, 0x07 },
			{ 0xfb, 0xeb, 0xfe, 0x90 }, { 0x0f, 0x01, 0xd0, 0x90 },
			{ 0xf3, 0xa4, 0xf3, 0x6e }, { 0xcd, 0x10, 0xcf, 0x90 },
		};
		if (one_in(2))
			for (int i = 0; i < 16; i++)
				memcpy(at + i * 4, pieces[below(12)], 4);
		else
			memcpy(at, &value, 8);
	} else if (vcpu && vcpu->run) {
		((uint8_t *)vcpu->run)[below(vcpu->run_bytes)] = value;
	}
}

static void fuzz_once(void)
{
	struct object *object;
	uint8_t buffer[512];

	refill();
	switch (below(64)) {
	case 0:
		object = any_object(~0U);
		snprintf(current, sizeof(current), "close fd %d (kind %d)", object->fd,
			 object->kind);
		close_object(object);
		break;
	case 1:
		object = any_object(1 << KIND_VCPU);
		snprintf(current, sizeof(current), "map again");
		if (object)
			map_run(object);
		break;
	case 2:
		object = any_object(~(1U << KIND_EVENT));
		snprintf(current, sizeof(current), "mmap fd %d (kind %d)", object->fd,
			 object->kind);
		if (object->kind != KIND_MEMFD) {
			size_t bytes = 0x1000 << below(5);
			void *mapping = layer.mmap(object->fd, bytes, below(80) * 0x1000);

			if (mapping)
				munmap(mapping, bytes);
		}
		break;
	case 3:
		object = any_object(~(1U << KIND_EVENT));
		snprintf(current, sizeof(current), "read fd %d (kind %d)", object->fd,
			 object->kind);
		layer.read(object->fd, buffer, below(sizeof(buffer)),
			   random64() >> (1 + below(63)));
		break;
	case 4:
		object = any_object(1 << KIND_EVENT);
		if (object && write(object->fd, &(uint64_t){ 1 }, 8) < 0 && errno != EAGAIN)
			perror("write");
		break;
	case 5:
	case 6:
	case 7:
		scribble();
		break;
	default:
		fuzz_ioctl();
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
			seed = strtoull(argv[++i], NULL, 0);
		} else if (!strcmp(argv[i], "--calls") && i + 1 < argc) {
			calls = strtoull(argv[++i], NULL, 0);
		} else if (!strcmp(argv[i], "--verbose")) {
			verbose = true;
		} else {
			fprintf(stderr, "usage: %s [--seed N] [--calls N] [--verbose]\n", argv[0]);
			return 2;
		}
	}
	state = seed * 0x9e3779b97f4a7c15 + 1;
	args_init();
	for (uint64_t i = 0; i < POOL_BYTES; i += 8)
		*(uint64_t *)(pool + i) = random64();
	/* Before KVM: the library takes over SIGSEGV and passes on what is not its own. */
	catch_failures();
	add_object(KIND_KVM, layer.open());
	if (!object_count) {
		perror(layer.name);
		return 2;
	}
	for (call = 1; call <= calls; call++)
		fuzz_once();
	while (object_count)
		close_object(&objects[0]);
	printf("ok fuzz: %s, seed %llu, %llu calls\n", layer.name, (unsigned long long)seed,
	       (unsigned long long)calls);
	return 0;
}
