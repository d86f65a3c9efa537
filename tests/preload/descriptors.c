/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that come from /dev/kvm behave as the kernel's: run under fauxkvm run. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("not ok line %d: %s (errno %s)\n", __LINE__, #condition,            \
			       strerror(errno));                                                   \
			failures++;                                                                \
		}                                                                                  \
	} while (0)

static int is_kvm(int fd)
{
	return ioctl(fd, KVM_GET_API_VERSION, 0) == 12;
}

static void spellings(void)
{
	int directory = open("/dev", O_RDONLY | O_DIRECTORY);
	FILE *file;
	int fd;

	fd = open("/dev/kvm", O_RDWR);
	CHECK(fd >= 0 && is_kvm(fd));
	CHECK(!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
	close(fd);
	fd = openat(directory, "kvm", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && is_kvm(fd));
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	fd = open("/dev//./kvm", O_RDWR);
	CHECK(fd >= 0 && is_kvm(fd));
	close(fd);
	fd = syscall(SYS_openat, AT_FDCWD, "/dev/kvm", O_RDWR);
	CHECK(fd >= 0 && is_kvm(fd));
	close(fd);
	file = fopen("/dev/kvm", "r+");
	CHECK(file && is_kvm(fileno(file)));
	if (file)
		fclose(file);
	close(directory);
}

static void looks(void)
{
	struct stat st;
	int fd = open("/dev/kvm", O_RDWR);

	CHECK(!access("/dev/kvm", R_OK | W_OK));
	CHECK(access("/dev/kvm", X_OK) == -1 && errno == EACCES);
	CHECK(!stat("/dev/kvm", &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 232));
	CHECK((st.st_mode & 0777) == 0666);
	CHECK(!fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 232));
	close(fd);
}

static void duplicates(void)
{
	int fd = open("/dev/kvm", O_RDWR), copy, other;
	int pipes[2];
	char byte;

	copy = dup(fd);
	other = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	CHECK(other >= 100);
	close(fd);
	CHECK(ioctl(fd, KVM_GET_API_VERSION, 0) == -1 && errno == EBADF);
	CHECK(is_kvm(copy) && is_kvm(other));
	/* A number that becomes something else is no longer ours. */
	CHECK(!pipe(pipes));
	CHECK(dup2(pipes[0], copy) == copy);
	CHECK(ioctl(copy, KVM_GET_API_VERSION, 0) == -1 && errno == ENOTTY);
	CHECK(write(pipes[1], "x", 1) == 1 && read(copy, &byte, 1) == 1 && byte == 'x');
	close(copy);
	close(pipes[0]);
	close(pipes[1]);
	close_range(other, other, 0);
	CHECK(ioctl(other, KVM_GET_API_VERSION, 0) == -1 && errno == EBADF);
}

static void forks(void)
{
	int fd = open("/dev/kvm", O_RDWR), vm = ioctl(fd, KVM_CREATE_VM, 0), status = -1;
	pid_t child;

	CHECK(vm >= 0 && (fcntl(vm, F_GETFD) & FD_CLOEXEC));
	child = fork();
	if (!child) {
		int own;

		/* The VM is bound to the address space that created it. */
		if (ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) != -1 || errno != EIO)
			_exit(1);
		close(vm);
		close(fd);
		own = open("/dev/kvm", O_RDWR);
		if (!is_kvm(own) || ioctl(own, KVM_CREATE_VM, 0) < 0)
			_exit(2);
		_exit(0);
	}
	waitpid(child, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) == 1);
	close(vm);
	close(fd);
}

static void maps(void)
{
	int fd = open("/dev/kvm", O_RDWR), vm = ioctl(fd, KVM_CREATE_VM, 0);
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0), size = ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *run, *again;

	CHECK(size >= 4096);
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	again = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	CHECK(run != MAP_FAILED && again != MAP_FAILED);
	run->immediate_exit = 1;
	CHECK(again->immediate_exit == 1);
	CHECK(ioctl(vcpu, KVM_RUN, 0) == -1 && errno == EINTR);
	munmap(again, 4096);
	munmap(run, size);
	/* The VM lives as long as its vCPU. */
	close(vm);
	close(fd);
	CHECK(ioctl(vcpu, KVM_GET_MP_STATE, &(struct kvm_mp_state){ 0 }) == 0);
	close(vcpu);
}

static int count_descriptors(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void leaks(void)
{
	int before = count_descriptors(), i;

	for (i = 0; i < 20; i++) {
		int fd = open("/dev/kvm", O_RDWR), vm = ioctl(fd, KVM_CREATE_VM, 0);
		int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

		close(fd);
		close(vcpu);
		close(vm);
	}
	CHECK(count_descriptors() == before);
}

int main(void)
{
	spellings();
	looks();
	duplicates();
	forks();
	maps();
	leaks();
	printf("%d failures\n", failures);
	return failures != 0;
}
