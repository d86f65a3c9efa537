/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FauxKVM as a library: /dev/kvm without a descriptor table, for embedding without a preload.
 *
 * Handles stand for what the kernel's descriptors stand for. All functions may be called from any
 * thread; an ioctl that returns a new descriptor in the kernel (KVM_CREATE_VM, KVM_CREATE_VCPU,
 * KVM_CREATE_DEVICE, KVM_GET_STATS_FD) returns a new handle number here. Descriptors that an ioctl
 * is given (eventfds) are the process's own. Results are as the system calls': -1 and errno on
 * error.
 */
#ifndef FAUXKVM_H
#define FAUXKVM_H

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FAUXKVM_VERSION "0.1.0"
#define FAUXKVM_API __attribute__((visibility("default")))

struct fauxkvm_options {
	size_t size;        /* sizeof(struct fauxkvm_options) */
	const char *engine; /* NULL: the default */
	int log_fd;         /* -1: no log */
	int log_level;      /* 0 errors, 1 warnings, 2 info, 3 trace of every ioctl */
	int statistics;     /* 1: vCPUs count where time goes; see fauxkvm_print_statistics() */
};

struct fauxkvm;

/* NULL and errno: EINVAL unknown engine, ENOMEM. @options NULL: defaults. */
FAUXKVM_API struct fauxkvm *fauxkvm_create(const struct fauxkvm_options *options);
/* Closes every handle that is still open. No other call may be in progress. */
FAUXKVM_API void fauxkvm_destroy(struct fauxkvm *fauxkvm);

/*
 * Writes what the vCPUs of living VMs have counted to the log's descriptor; a VM that goes writes it
 * as well. For each VM once. Nothing without the option.
 */
FAUXKVM_API void fauxkvm_print_statistics(struct fauxkvm *fauxkvm);

/* As open("/dev/kvm"): a handle, 0 or more. EMFILE beyond 65536 handles. */
FAUXKVM_API int fauxkvm_open(struct fauxkvm *fauxkvm);
FAUXKVM_API int fauxkvm_close(struct fauxkvm *fauxkvm, int handle);
FAUXKVM_API int fauxkvm_ioctl(struct fauxkvm *fauxkvm, int handle, unsigned long request, ...);
/* As mmap(NULL, length, prot, MAP_SHARED, handle, offset); undone by munmap(2). */
FAUXKVM_API void *fauxkvm_mmap(struct fauxkvm *fauxkvm, int handle, size_t length, int prot,
			       off_t offset);
FAUXKVM_API ssize_t fauxkvm_read(struct fauxkvm *fauxkvm, int handle, void *buffer, size_t bytes,
				 off_t offset);

/*
 * Makes the KVM_RUN that is in progress on the vCPU, or else its next one, return EINTR. A library
 * does not see the process's signals, so this is what ends KVM_RUN where the kernel would have a
 * signal do it. May be called from signal handlers; the handle stays open during the call.
 * EBADF, EINVAL: not a vCPU.
 */
FAUXKVM_API int fauxkvm_kick(struct fauxkvm *fauxkvm, int handle);

#ifdef __cplusplus
}
#endif

#endif
