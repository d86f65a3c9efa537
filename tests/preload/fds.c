// SPDX-License-Identifier: GPL-2.0-or-later
/* Descriptors of KVM behave as descriptors do. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "preload_test.h"

static char self[4096];

static void duplicates(void)
{
	int fd = kvm(), vm = ioctl(fd, KVM_CREATE_VM, 0), copy;

	CHECK(vm >= 0 && is_vm(vm));
	copy = dup(vm);
	CHECK(!close(vm) && is_vm(copy));
	CHECK_FAILS(ioctl(vm, KVM_CHECK_EXTENSION, 0), EBADF);
	CHECK(dup2(copy, 300) == 300 && is_vm(300));
	CHECK(dup3(copy, 301, O_CLOEXEC) == 301 && is_vm(301));
	CHECK(fcntl(301, F_GETFD) == FD_CLOEXEC && fcntl(300, F_GETFD) == 0);
	CHECK(fcntl(copy, F_DUPFD, 400) == 400 && is_vm(400));
	CHECK(fcntl(copy, F_DUPFD_CLOEXEC, 401) == 401 && is_vm(401));
	CHECK(syscall(SYS_dup2, copy, 402) == 402 && is_vm(402));
	/* Over a descriptor of ours, and back. */
	CHECK(dup2(fd, 300) == 300 && is_kvm(300));
	CHECK(dup2(STDERR_FILENO, 300) == 300 && !is_kvm(300) && errno == ENOTTY);
	CHECK(dup2(copy, copy) == copy && is_vm(copy));
	CHECK_FAILS(dup2(999, copy), EBADF);
	CHECK(is_vm(copy));
	closefrom(300);
	CHECK_FAILS(ioctl(402, KVM_CHECK_EXTENSION, 0), EBADF);
	CHECK(!close(copy) && !close(fd));
}

static void flags(void)
{
	int fd = open("/dev/kvm", O_RDWR), vm, vcpu;

	CHECK(fcntl(fd, F_GETFD) == 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	vm = ioctl(fd, KVM_CREATE_VM, 0);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	CHECK(fcntl(vm, F_GETFD) == FD_CLOEXEC && fcntl(vcpu, F_GETFD) == FD_CLOEXEC);
	CHECK(!close(vcpu) && !close(vm) && !close(fd));
	fd = open("/dev/kvm", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK((fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDONLY | O_NONBLOCK));
	CHECK(is_kvm(fd) && !close(fd));
}

/* A number that was closed and used again, with and without our knowledge. */
static void reused(void)
{
	int fd = kvm(), again, pipes[2];
	FILE *file;

	CHECK(!close(fd) && !pipe(pipes) && pipes[0] == fd);
	CHECK_FAILS(ioctl(fd, KVM_GET_API_VERSION, 0), ENOTTY);
	CHECK(!close(pipes[0]) && !close(pipes[1]));

	file = fopen("/dev/kvm", "r+");
	CHECK(file && is_kvm(fileno(file)));
	fd = fileno(file);
	CHECK(!fclose(file));
	again = open("/dev/null", O_RDWR);
	CHECK(again == fd);
	CHECK_FAILS(ioctl(again, KVM_GET_API_VERSION, 0), ENOTTY);
	CHECK(!close(again));

	/* A close that no interposed call sees. */
	fd = kvm();
	__asm__ volatile("syscall"
			 : "=a"(again)
			 : "a"(SYS_close), "D"(fd)
			 : "rcx", "r11", "memory");
	CHECK(!again);
	CHECK_FAILS(ioctl(fd, KVM_GET_API_VERSION, 0), EBADF);
	CHECK(open("/dev/null", O_RDWR) == fd);
	CHECK_FAILS(ioctl(fd, KVM_GET_API_VERSION, 0), ENOTTY);
	CHECK(!close(fd));
}

static void ranges(void)
{
	int fd = kvm(), vm = ioctl(fd, KVM_CREATE_VM, 0);

	CHECK(dup2(fd, 500) == 500 && dup2(vm, 501) == 501 && dup2(fd, 510) == 510);
	CHECK(!close_range(500, 505, 0));
	CHECK_FAILS(ioctl(500, KVM_GET_API_VERSION, 0), EBADF);
	CHECK_FAILS(ioctl(501, KVM_CHECK_EXTENSION, 0), EBADF);
	CHECK(is_kvm(510) && is_vm(vm));
	CHECK(!close_range(510, 510, CLOSE_RANGE_CLOEXEC) && is_kvm(510));
	CHECK(!syscall(SYS_close_range, 510, 510, 0));
	CHECK_FAILS(ioctl(510, KVM_GET_API_VERSION, 0), EBADF);
	CHECK(!close(vm) && !close(fd));
}

/* What the core holds open does not exist for the program. */
static void descriptors_of_the_core(void)
{
	int fd = kvm(), vm = ioctl(fd, KVM_CREATE_VM, 0), n, open_numbers = 0;
	char link[64];
	struct kvm_irqfd irqfd = { .gsi = 4 };
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	CHECK(!ioctl(vm, KVM_CREATE_IRQCHIP, 0) && ioctl(vm, KVM_CREATE_VCPU, 0) >= 0);
	for (n = 512; n < 1024; n++) {
		irqfd.fd = n;
		CHECK_FAILS(ioctl(vm, KVM_IRQFD, &irqfd), EBADF);
		CHECK_FAILS(close(n), EBADF);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", n);
		open_numbers += !access(link, F_OK);
	}
	CHECK(open_numbers > 2);
	closefrom(512);
	CHECK(!close_range(512, ~0u, 0));
	CHECK(!ioctl(vm, KVM_GET_IRQCHIP, &chip));
	/* Waits for the thread that those descriptors serve. */
	CHECK(!close(vm) && !close(fd));
}

static void child_uses(int vm)
{
	int fd, own;

	CHECK_FAILS(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY), EIO);
	CHECK_FAILS(ioctl(vm, KVM_CREATE_VCPU, 7), EIO);
	CHECK(!close(vm));
	fd = kvm();
	own = ioctl(fd, KVM_CREATE_VM, 0);
	CHECK(own >= 0 && is_vm(own) && ioctl(own, KVM_CREATE_VCPU, 0) >= 0);
}

static void child_execs(int fd)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	execl(self, self, "inherited", number, NULL);
	_exit(99);
}

static void forks(void)
{
	int fd = kvm(), vm = ioctl(fd, KVM_CREATE_VM, 0), vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	struct kvm_regs regs;
	pid_t pid;
	int status;

	CHECK(in_child(child_uses, vm) == 0);
	CHECK(is_vm(vm) && !ioctl(vcpu, KVM_GET_REGS, &regs));

	/* A child of vfork() closes its own descriptors. */
	pid = vfork();
	if (!pid) {
		close(vm);
		close(vcpu);
		dup2(2, fd);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(is_kvm(fd) && is_vm(vm) && !ioctl(vcpu, KVM_GET_REGS, &regs));
	CHECK(!close(vcpu) && !close(vm) && !close(fd));
}

/* Close-on-exec, and a descriptor of /dev/kvm that is meant to be inherited. */
static void execs(void)
{
	char number[16], *arguments[] = { self, "gone", number, NULL };
	int fd = open("/dev/kvm", O_RDWR), vm = ioctl(fd, KVM_CREATE_VM, 0), status;
	pid_t pid;

	CHECK(in_child(child_execs, fd) == 0);
	snprintf(number, sizeof(number), "%d", vm);
	CHECK(!posix_spawn(&pid, self, NULL, NULL, arguments, environ));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(is_kvm(fd) && is_vm(vm) && !close(vm) && !close(fd));
}

/* In the new program. */
static int after_exec(const char *what, int fd)
{
	if (!strcmp(what, "gone"))
		CHECK_FAILS(ioctl(fd, KVM_CHECK_EXTENSION, 0), EBADF);
	else
		CHECK(is_kvm(fd) && ioctl(fd, KVM_CREATE_VM, 0) >= 0);
	CHECK(is_kvm(kvm()));
	return 0;
}

static void polls(void)
{
	struct pollfd p = { .fd = kvm(), .events = POLLIN | POLLOUT };

	CHECK(poll(&p, 1, 1000) == 1 && p.revents == (POLLIN | POLLOUT));
	CHECK(write(p.fd, "x", 1) == -1);
	CHECK_FAILS(read(p.fd, &p, 1), EINVAL);
	CHECK(!close(p.fd));
}

/* Through a socket, to ourselves. */
static void passed(void)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int fd = kvm(), vm = ioctl(fd, KVM_CREATE_VM, 0), sockets[2], got;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &vm, sizeof(vm));
	CHECK(sendmsg(sockets[0], &message, 0) == 1 && recvmsg(sockets[1], &message, 0) == 1);
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(got));
	CHECK(got != vm && is_vm(got) && !close(vm) && is_vm(got));
	CHECK(!close(got) && !close(sockets[0]) && !close(sockets[1]) && !close(fd));
}

/*
 * Descriptors come and go while other threads use them: an answer or an error, never a crash. A
 * number that was closed when it was looked up and open when the kernel was asked is ENOTTY.
 */
static atomic_bool done;

static void *uses_main(void *argument)
{
	(void)argument;
	while (!atomic_load(&done)) {
		int r = ioctl(600, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY);

		CHECK(r == 1 || errno == EBADF || errno == ENOTTY);
		close(dup(600));
	}
	return NULL;
}

static void races(void)
{
	pthread_t threads[3];
	int fd = kvm(), i;

	for (i = 0; i < 3; i++)
		CHECK(!pthread_create(&threads[i], NULL, uses_main, NULL));
	for (i = 0; i < 3000; i++) {
		int vm = ioctl(fd, KVM_CREATE_VM, 0);

		CHECK(vm >= 0 && dup2(vm, 600) == 600 && !close(vm));
		CHECK(dup2(fd, 600) == 600);
		CHECK(i % 2 || !close(600));
	}
	atomic_store(&done, true);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	close(600);
	CHECK(!close(fd));
}

int main(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	CHECK(n > 0);
	if (argc == 3)
		return after_exec(argv[1], atoi(argv[2]));
	duplicates();
	flags();
	reused();
	ranges();
	descriptors_of_the_core();
	forks();
	execs();
	polls();
	passed();
	races();
	return 0;
}
