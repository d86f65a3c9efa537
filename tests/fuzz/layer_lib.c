// SPDX-License-Identifier: GPL-2.0-or-later
/* KVM by the library, for builds with sanitizers. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/fauxkvm.h"
#include "fuzz.h"

static struct fauxkvm *fauxkvm;

static int lib_open(void)
{
	const struct fauxkvm_options options = {
		.size = sizeof(options),
		.engine = getenv("FAUXKVM_ENGINE"),
		.log_fd = -1,
	};

	if (!fauxkvm)
		fauxkvm = fauxkvm_create(&options);
	return fauxkvm ? fauxkvm_open(fauxkvm) : -1;
}

static int lib_ioctl(int fd, unsigned long request, unsigned long arg)
{
	return fauxkvm_ioctl(fauxkvm, fd, request, arg);
}

static void *lib_mmap(int fd, size_t bytes, int64_t offset)
{
	void *address = fauxkvm_mmap(fauxkvm, fd, bytes, PROT_READ | PROT_WRITE, offset);

	return address == MAP_FAILED ? NULL : address;
}

static int64_t lib_read(int fd, void *buffer, size_t bytes, int64_t offset)
{
	return fauxkvm_read(fauxkvm, fd, buffer, bytes, offset);
}

static int lib_close(int fd)
{
	return fauxkvm_close(fauxkvm, fd);
}

static void lib_kick(int fd)
{
	int error = errno;

	fauxkvm_kick(fauxkvm, fd);
	errno = error;
}

const struct fuzz_layer layer = {
	.name = "library",
	.handles = true,
	.open = lib_open,
	.ioctl = lib_ioctl,
	.mmap = lib_mmap,
	.read = lib_read,
	.close = lib_close,
	.kick = lib_kick,
};
