// SPDX-License-Identifier: GPL-2.0-or-later
/* mmap() of a vCPU. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "preload_test.h"

#define PAGE 4096

static sigjmp_buf jump;

static void on_bus(int signo)
{
	siglongjmp(jump, signo);
}

static int touch(volatile char *address)
{
	int signo = sigsetjmp(jump, 1);

	if (!signo)
		*address;
	return signo;
}

static void *map(int fd, size_t length, int prot, int flags, off_t offset)
{
	return mmap(NULL, length, prot, flags, fd, offset);
}

#define CHECK_NO_MAP(call, error) CHECK((call) == MAP_FAILED && errno == (error))

int main(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	int fd = kvm(), vm = ioctl(fd, KVM_CREATE_VM, 0), vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	int size = ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	volatile uint8_t *whole, *first, *second, *twice;
	struct sigaction action = { .sa_handler = on_bus };
	char *room;

	CHECK(vcpu >= 0 && size >= 2 * PAGE);
	CHECK(!sigaction(SIGBUS, &action, NULL) && !sigaction(SIGSEGV, &action, NULL));

	/* Every mapping shows the same pages. */
	whole = map(vcpu, size, rw, MAP_SHARED, 0);
	first = map(vcpu, 100, rw, MAP_SHARED, 0);
	second = map(vcpu, PAGE, rw, MAP_SHARED | MAP_POPULATE, PAGE);
	twice = (void *)syscall(SYS_mmap, 0, size, PROT_READ, MAP_SHARED, vcpu, 0);
	CHECK(whole != MAP_FAILED && first != MAP_FAILED && second != MAP_FAILED);
	CHECK(twice != MAP_FAILED);
	whole[4] = 0x5a;
	whole[PAGE + 4] = 0xa5;
	CHECK(first[4] == 0x5a && second[4] == 0xa5 && twice[4] == 0x5a && twice[PAGE + 4] == 0xa5);
	CHECK(touch((char *)twice) == 0);

	/* Where the caller wants it, with the access it wants. */
	room = mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mmap(room + PAGE, size, PROT_READ, MAP_SHARED | MAP_FIXED, vcpu, 0) == room + PAGE);
	CHECK(room[PAGE + 4] == 0x5a);
	CHECK_NO_MAP(mmap(room, size, rw, MAP_SHARED | MAP_FIXED_NOREPLACE, vcpu, 0), EEXIST);
	CHECK(touch(room) == SIGSEGV && touch(room + PAGE) == 0);

	/* Past the end a mapping is possible, an access is not. */
	room = map(vcpu, 8 * PAGE, rw, MAP_SHARED, 0);
	CHECK(room != MAP_FAILED && room[4] == 0x5a && touch(room + 7 * PAGE) == SIGBUS);

	CHECK_NO_MAP(map(vcpu, 0, rw, MAP_SHARED, 0), EINVAL);
	CHECK_NO_MAP(map(vcpu, PAGE, rw, MAP_SHARED, 1), EINVAL);
	CHECK_NO_MAP(map(vm, PAGE, rw, MAP_SHARED, 0), ENODEV);
	CHECK_NO_MAP(map(fd, PAGE, rw, MAP_SHARED, 0), ENODEV);

	/* The mapping outlives the descriptor. */
	CHECK(!close(vcpu) && !close(vm) && !close(fd));
	CHECK(first[4] == 0x5a);
	CHECK(!munmap((void *)whole, size));
	return 0;
}
