/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ioctl fuzzer's parts: the layer it calls KVM through, the world of descriptors it keeps
 * alive, and the arguments it makes.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* How KVM is reached: the system calls (natively, or under the preload), or the library. */
struct fuzz_layer {
	const char *name;
	bool handles; /* its numbers are not file descriptors */
	int (*open)(void);
	int (*ioctl)(int fd, unsigned long request, unsigned long arg);
	void *(*mmap)(int fd, size_t bytes, int64_t offset); /* NULL on failure */
	int64_t (*read)(int fd, void *buffer, size_t bytes, int64_t offset);
	int (*close)(int fd);
	void (*kick)(int fd); /* from the signal handler: ends KVM_RUN on the vCPU */
};
extern const struct fuzz_layer layer;

enum kind {
	KIND_KVM,
	KIND_VM,
	KIND_VCPU,
	KIND_DEVICE,
	KIND_STATS,
	KIND_MEMFD,
	KIND_EVENT, /* an eventfd: not KVM's, but the argument of some calls */
	KIND_COUNT
};

#define MAX_OBJECTS 24

struct object {
	enum kind kind;
	int fd;
	struct kvm_run *run; /* of a vCPU, or NULL */
	size_t run_bytes;
};

/* The random numbers: the same seed, the same calls. */
uint64_t random64(void);
static inline uint64_t below(uint64_t limit)
{
	return random64() % limit;
}
static inline bool one_in(uint64_t n)
{
	return !below(n);
}

/* A living descriptor of @kind, or -1. */
int any_fd(enum kind kind);

/*
 * Guest RAM: everything that a memslot may name is in one reserved range that begins with this much
 * real memory, so that a guest with a wild slot cannot overwrite the fuzzer itself.
 */
#define POOL_BYTES (8ULL << 20)
#define POOL_RESERVED (64ULL << 30)
extern uint8_t *pool;

void args_init(void);
/*
 * An address of every sort: good (@bytes readable and writable), null, unmapped, cut off, read-
 * only.
 */
unsigned long any_pointer(size_t bytes, uint8_t **good);
/* An argument for @request, which is one of the table's or any number. */
unsigned long make_arg(int fd, unsigned long request);

struct ioctl_row {
	const char *name;
	unsigned long request;
	unsigned int kinds; /* bits of enum kind that know it */
	unsigned long get;  /* the request that reads the same structure, or 0 */
	unsigned int weight;
};
extern const struct ioctl_row ioctl_rows[];
extern const size_t ioctl_row_count;

#endif
