// SPDX-License-Identifier: GPL-2.0-or-later
/* KVM by the system calls: the real one, or FauxKVM's when the fuzzer runs under the preload. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

static int dev_open(void)
{
	return open("/dev/kvm", O_RDWR | O_CLOEXEC);
}

static int dev_ioctl(int fd, unsigned long request, unsigned long arg)
{
	return ioctl(fd, request, arg);
}

static void *dev_mmap(int fd, size_t bytes, int64_t offset)
{
	void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	return address == MAP_FAILED ? NULL : address;
}

static int64_t dev_read(int fd, void *buffer, size_t bytes, int64_t offset)
{
	return pread(fd, buffer, bytes, offset);
}

/* The signal itself ends KVM_RUN. */
static void dev_kick(int fd)
{
	(void)fd;
}

const struct fuzz_layer layer = {
	.name = "/dev/kvm",
	.open = dev_open,
	.ioctl = dev_ioctl,
	.mmap = dev_mmap,
	.read = dev_read,
	.close = close,
	.kick = dev_kick,
};
