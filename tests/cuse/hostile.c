// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Clients that work against the daemon while it makes one of their threads execute system calls:
 * what they do to themselves is theirs, nobody else and nothing of the daemon's is to be harmed.
 *
 * A seccomp filter of the thread's answers such a call instead of the kernel, or makes it wait.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kvm_client.h"
#include "on_file.h"

#define EVENTFDS 4096
#define PART_BYTES (8ull << 30)
#define PARTS 16 /* twice what on_file lets a user have */
#define SECRET_ADDRESS ((void *)0x200000000)
#define SECRET_BYTES 0x200000
#define SECRET_NAME "secret-of-another-program"

/* The calling thread's calls of @number have @action. A listener, with SECCOMP_RET_USER_NOTIF. */
static int filter(int number, unsigned int action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };
	unsigned int flags = action == SECCOMP_RET_USER_NOTIF ? SECCOMP_FILTER_FLAG_NEW_LISTENER :
								0;
	int r;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	if (r < 0)
		case_skip("seccomp: %s", strerror(errno));
	return r;
}

/* ---- a descriptor that has been taken before it is given ---- */

struct maker {
	int vm, result, error;
	unsigned int id;
	atomic_int listener; /* 0: not yet */
};

static void *make_vcpu(void *argument)
{
	struct maker *maker = argument;

	atomic_store(&maker->listener, filter(SYS_recvmsg, SECCOMP_RET_USER_NOTIF));
	maker->result = ioctl(maker->vm, KVM_CREATE_VCPU, maker->id);
	maker->error = errno;
	return NULL;
}

static int receive(int socket)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec part = { &byte, 1 };
	struct msghdr header = { .msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control) };
	int fd;

	CHECK(recvmsg(socket, &header, 0) == 1, "recvmsg: %s", strerror(errno));
	memcpy(&fd, CMSG_DATA(&control.align), sizeof(fd));
	return fd;
}

static void *use_vcpu(void *argument)
{
	struct kvm_regs regs;
	int i;

	for (i = 0; i < 100; i++)
		ioctl(*(int *)argument, KVM_GET_REGS, &regs);
	return NULL;
}

/*
 * Takes the descriptor out of the socket, uses it, and then says that there was none: the daemon is
 * done with a vCPU that is in use.
 */
static void taken_descriptor(void)
{
	struct seccomp_notif call;
	struct seccomp_notif_resp answer;
	struct maker maker;
	pthread_t thread, user;
	struct vcpu vcpu;
	struct vm vm;
	unsigned int round;
	int fd;

	vm_create(&vm);
	for (round = 0; round < 20; round++) {
		maker = (struct maker){ .vm = vm.fd, .id = round };
		pthread_create(&thread, NULL, make_vcpu, &maker);
		while (!atomic_load(&maker.listener))
			sleep_ms(1);
		memset(&call, 0, sizeof(call));
		CHECK(!ioctl(maker.listener, SECCOMP_IOCTL_NOTIF_RECV, &call), "listener: %s",
		      strerror(errno));
		fd = receive(call.data.args[0]);
		pthread_create(&user, NULL, use_vcpu, &fd);
		sleep_ms(20);
		answer = (struct seccomp_notif_resp){ .id = call.id, .error = -EIO };
		CHECK(!ioctl(maker.listener, SECCOMP_IOCTL_NOTIF_SEND, &answer), "answer: %s",
		      strerror(errno));
		pthread_join(thread, NULL);
		CHECK(maker.result == -1 && maker.error == EIO, "KVM_CREATE_VCPU: %d, %s",
		      maker.result, strerror(maker.error));
		pthread_join(user, NULL);
		close(maker.listener);
		close(fd);
	}
	vcpu_create(&vm, &vcpu, 0);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

/* ---- the daemon's socket ---- */

/*
 * socketpair() that does nothing leaves number 0 where two new ones should be: a socket that this
 * process has not made. Nothing is sent to whoever has its other end.
 */
static void socket_of_another(void)
{
	struct pollfd other = { .events = POLLIN };
	int kvm = kvm_open(), pair[2], status;
	pid_t child;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair: %s", strerror(errno));
	other.fd = pair[1];
	child = fork();
	if (!child) {
		dup2(pair[0], 0);
		filter(SYS_socketpair, SECCOMP_RET_ERRNO);
		_exit(ioctl(kvm, KVM_CREATE_VM, 0) < 0 ? errno : 0);
	}
	waitpid(child, &status, 0);
	CHECK(WIFEXITED(status), "status %#x", status);
	CHECK_EQ(WEXITSTATUS(status), EBADF);
	CHECK_EQ(poll(&other, 1, 0), 0);
}

/* ---- a number that is another program's by now ---- */

static bool maps_have(pid_t pid, const char *text)
{
	char path[64], line[512];
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	CHECK(maps, "%s: %s", path, strerror(errno));
	while (!found && fgets(line, sizeof(line), maps))
		found = strstr(line, text);
	fclose(maps);
	return found;
}

/* What is executed in the middle, with the number that the daemon knows. */
static int another_program(pid_t daemon)
{
	int fd = memfd_create(SECRET_NAME, 0);
	void *at;

	CHECK(!ftruncate(fd, SECRET_BYTES), "ftruncate: %s", strerror(errno));
	at = mmap(SECRET_ADDRESS, SECRET_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		  0);
	CHECK(at == SECRET_ADDRESS, "mmap: %s", strerror(errno));
	memset(at, 1, SECRET_BYTES);
	sleep_ms(1000 * time_scale());
	return maps_have(daemon, SECRET_NAME);
}

static atomic_int exec_listener;
static pid_t exec_daemon;

static void *exec_when_held(void *argument)
{
	struct seccomp_notif call = { 0 };
	char daemon[16];

	(void)argument;
	while (!atomic_load(&exec_listener))
		sleep_ms(1);
	ioctl(exec_listener, SECCOMP_IOCTL_NOTIF_RECV, &call);
	/* It looks again when the other program is there already. */
	kill(exec_daemon, SIGSTOP);
	snprintf(daemon, sizeof(daemon), "%d", exec_daemon);
	execl("/proc/self/exe", "another-program", daemon, NULL);
	_exit(99);
}

/* The caller is held in the daemon's call when another thread of its process executes a program. */
static void set_slot_and_exec(void)
{
	struct kvm_userspace_memory_region slot = {
		.slot = 0,
		.memory_size = SECRET_BYTES,
		.userspace_addr = (uintptr_t)SECRET_ADDRESS,
	};
	int vm = ioctl(kvm_open(), KVM_CREATE_VM, 0);
	pthread_t thread;

	CHECK(vm >= 0, "KVM_CREATE_VM: %s", strerror(errno));
	fcntl(vm, F_SETFD, 0);
	pthread_create(&thread, NULL, exec_when_held, NULL);
	atomic_store(&exec_listener, filter(SYS_userfaultfd, SECCOMP_RET_USER_NOTIF));
	ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
	_exit(98);
}

static void number_of_another(void)
{
	pid_t child;
	int status;

	exec_daemon = find_daemon();
	if (!exec_daemon)
		case_skip("the daemon is nowhere");
	child = fork();
	if (!child)
		set_slot_and_exec();
	sleep_ms(500 * time_scale());
	kill(exec_daemon, SIGCONT);
	waitpid(child, &status, 0);
	CHECK(WIFEXITED(status), "status %#x", status);
	CHECK(WEXITSTATUS(status) != 1, "the daemon has mapped the program's memory");
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/* ---- a userfaultfd of the client's ---- */

#define NEWS_BYTES 0x10000

struct setter {
	struct vm *vm;
	uint8_t *memory;
	int result;
	atomic_int listener;
};

static void *set_slot(void *argument)
{
	struct setter *setter = argument;

	atomic_store(&setter->listener, filter(SYS_userfaultfd, SECCOMP_RET_USER_NOTIF));
	setter->result = vm_set_slot(setter->vm, 1, 0, MMIO_BASE, NEWS_BYTES, setter->memory);
	return NULL;
}

/*
 * In place of the one that the daemon has it make, one whose reader waits for news. on_file sees
 * whether the daemon still has it at the end.
 */
static void waiting_userfaultfd(void)
{
	int own = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	struct seccomp_notif_resp answer;
	struct seccomp_notif call = { 0 };
	struct setter setter = { 0 };
	struct vm vm = { .kvm = kvm_open() };
	pthread_t thread;

	if (own < 0)
		case_skip("userfaultfd: %s", strerror(errno));
	vm.fd = XIOCTL(vm.kvm, KVM_CREATE_VM, 0);
	setter.vm = &vm;
	setter.memory = pages_alloc(NEWS_BYTES);
	pthread_create(&thread, NULL, set_slot, &setter);
	while (!atomic_load(&setter.listener))
		sleep_ms(1);
	CHECK(!ioctl(setter.listener, SECCOMP_IOCTL_NOTIF_RECV, &call), "listener: %s",
	      strerror(errno));
	answer = (struct seccomp_notif_resp){ .id = call.id, .val = dup(own) };
	CHECK(!ioctl(setter.listener, SECCOMP_IOCTL_NOTIF_SEND, &answer), "answer: %s",
	      strerror(errno));
	pthread_join(thread, NULL);
	CHECK_EQ(setter.result, 0);
}

/* ---- the daemon's descriptors and memory ---- */

/* One eventfd, and as many descriptors of the daemon's as it lets itself be talked into. */
static void many_eventfds(void)
{
	struct kvm_ioeventfd io = { .len = 1, .fd = eventfd(0, EFD_NONBLOCK) };
	struct kvm_irqfd irq = { .gsi = 1 };
	struct vm vm;
	int r = 0;

	vm_create_irqchip(&vm);
	for (io.addr = 0x10000000; !r && io.addr < 0x10000000 + 2 * EVENTFDS; io.addr++)
		r = ioctl(vm.fd, KVM_IOEVENTFD, &io);
	CHECK(r == -1 && errno == ENOSPC, "%llu ioeventfds, %s", io.addr - 0x10000000,
	      strerror(errno));
	for (io.addr = 0, r = 0; !r && io.addr < 2 * EVENTFDS; io.addr++) {
		irq.fd = eventfd(0, EFD_NONBLOCK);
		r = ioctl(vm.fd, KVM_IRQFD, &irq);
		close(irq.fd);
	}
	CHECK(r == -1 && errno == ENOSPC, "%llu irqfds, %s", io.addr, strerror(errno));
	vm_destroy(&vm);
}

/* What has been behind a slot counts, until the guest_memfd is closed. */
static void large_guest_memfd(void)
{
	struct kvm_create_guest_memfd args = { .size = 1ull << 40 };
	struct vm vm = { .kvm = kvm_open() };
	unsigned int round, parts;
	int fd, r;

	vm.fd = XIOCTL(vm.kvm, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM);
	VM_NEED_CAP(&vm, KVM_CAP_GUEST_MEMFD);
	vm.ram = mmap(NULL, PART_BYTES, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		      0);
	for (round = 0; round < 3; round++) {
		fd = XIOCTL(vm.fd, KVM_CREATE_GUEST_MEMFD, &args);
		for (parts = 0, r = 0; !r && parts < PARTS; parts++) {
			r = vm_set_slot2(&vm, 1, KVM_MEM_GUEST_MEMFD, 0, PART_BYTES, vm.ram, fd,
					 parts * PART_BYTES);
			if (!r)
				CHECK_EQ(vm_set_slot2(&vm, 1, 0, 0, 0, vm.ram, -1, 0), 0);
		}
		CHECK_EQ(r, -ENOMEM);
		CHECK(parts > PARTS / 4, "%u parts", parts);
		CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, PART_BYTES) == -1 && errno == ENOMEM,
		      "fallocate: %s", strerror(errno));
		close(fd);
		/* Its release comes by itself. */
		sleep_ms(50 * time_scale());
	}
	close(vm.fd);
}

/* With MAX_MEMORY=64M: a vCPU takes memory of the daemon's, which is the user's in the end. */
static void many_vcpus(void)
{
	struct vm vm;
	int i, fd = 0;

	vm_create(&vm);
	for (i = 0; fd >= 0 && i < 64; i++)
		fd = ioctl(vm.fd, KVM_CREATE_VCPU, i);
	CHECK(fd == -1 && errno == ENOMEM, "%d vCPUs, %s", i, strerror(errno));
	CHECK(i > 8, "%d vCPUs", i);
}

/* ---- calls that the thread's filter does not let through ---- */

struct filtered {
	const char *name;
	int number;
	unsigned int action;
	int error; /* what KVM's call is to fail with */
	unsigned int slot;
	struct vm *vm;
	int failed; /* as it did */
};

static atomic_int traps;

static void count_trap(int signo)
{
	(void)signo;
	atomic_fetch_add(&traps, 1);
}

static void *make_filtered(void *argument)
{
	struct filtered *filtered = argument;
	void *page = pages_alloc(0x1000);

	filter(filtered->number, filtered->action);
	if (ioctl(filtered->vm->fd, KVM_CREATE_VCPU, 0) >= 0)
		return "a vCPU was made";
	filtered->failed = errno;
	/* Its memory is looked at once more when the guest gets there. */
	vm_set_slot(filtered->vm, filtered->slot, 0, MMIO_BASE + filtered->slot * 0x1000, 0x1000, page);
	if (atomic_load(&traps))
		return "a signal came";
	/* Its own such calls are as before. */
	syscall(filtered->number, -1, 0, 0, 0, 0, 0);
	if (atomic_load(&traps) != (filtered->action == SECCOMP_RET_TRAP))
		return "its own call has another end";
	return NULL;
}

static void filtered_calls(void)
{
	struct filtered rows[] = {
		{ .name = "mmap", .number = SYS_mmap, .action = SECCOMP_RET_TRAP, .error = EPERM },
		{ .name = "socketpair", .number = SYS_socketpair, .action = SECCOMP_RET_TRAP,
		  .error = EPERM },
		{ .name = "recvmsg", .number = SYS_recvmsg, .action = SECCOMP_RET_TRAP, .error = EPERM },
		{ .name = "mmap_errno", .number = SYS_mmap, .action = SECCOMP_RET_ERRNO | ENODEV,
		  .error = ENODEV },
	};
	const struct sigaction action = { .sa_handler = count_trap };
	pthread_t thread;
	unsigned int i;
	void *wrong;
	struct vm vm;

	sigaction(SIGSYS, &action, NULL);
	vm_create(&vm);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		atomic_store(&traps, 0);
		rows[i].vm = &vm;
		rows[i].slot = 1 + i;
		pthread_create(&thread, NULL, make_filtered, &rows[i]);
		pthread_join(thread, &wrong);
		case_row(!wrong && rows[i].failed == rows[i].error, rows[i].name, "%s, error %d",
			 wrong ? (char *)wrong : "ended", rows[i].failed);
	}
}

static const struct test_case cases[] = {
	{ "taken_descriptor", taken_descriptor },
	{ "socket_of_another", socket_of_another },
	{ "number_of_another", number_of_another },
	{ "waiting_userfaultfd", waiting_userfaultfd },
	{ "many_eventfds", many_eventfds },
	{ "large_guest_memfd", large_guest_memfd },
	{ "many_vcpus", many_vcpus },
	{ "filtered_calls", filtered_calls },
};

int main(int argc, char **argv)
{
	if (!strcmp(argv[0], "another-program"))
		return another_program(atoi(argv[1]));
	return cases_main(argc, argv, cases, ARRAY_SIZE(cases));
}
