/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the preload tests share: checks, and a VM whose guest spins. */
#ifndef FAUXKVM_TESTS_PRELOAD_TEST_H
#define FAUXKVM_TESTS_PRELOAD_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition,        \
				strerror(errno));                                                  \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* @call fails with @error. */
#define CHECK_FAILS(call, error) CHECK((errno = 0, (call) == -1) && errno == (error))

/* The exit status of @function in a child: 0 when its checks hold. */
static inline int in_child(void (*function)(int), int argument)
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (!pid) {
		function(argument);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

static inline int kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

static inline bool is_kvm(int fd)
{
	return ioctl(fd, KVM_GET_API_VERSION, 0) == KVM_API_VERSION;
}

static inline bool is_vm(int fd)
{
	return ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1 && !is_kvm(fd);
}

/* A vCPU in real mode at address 0, where "jmp ." is. */
static inline int spinning_vcpu(int vm, struct kvm_run **run)
{
	unsigned char *page =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = {
		.memory_size = 4096,
		.userspace_addr = (unsigned long)page,
	};
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs sregs;
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

	CHECK(page != MAP_FAILED && vcpu >= 0);
	memcpy(page, "\xeb\xfe", 2);
	CHECK(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
	CHECK(!ioctl(vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	CHECK(!ioctl(vcpu, KVM_SET_SREGS, &sregs));
	CHECK(!ioctl(vcpu, KVM_SET_REGS, &regs));
	*run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	CHECK(*run != MAP_FAILED);
	return vcpu;
}

#endif
