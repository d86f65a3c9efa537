/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ioctl and capability tables: data for dispatch, tracing, documents and the fuzzer. */
#ifndef FAUXKVM_ABI_TABLE_H
#define FAUXKVM_ABI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "abi/object.h"

struct kvm_enable_cap;
struct vm_object;
struct vcpu_object;

#define ON(kind) (1u << (kind))

/* How the argument is used. */
enum ioctl_argument {
	ARGUMENT_NONE,   /* must be 0 or is ignored, see the handler */
	ARGUMENT_VALUE,  /* the argument itself */
	ARGUMENT_IN,     /* copied in before the handler */
	ARGUMENT_OUT,    /* copied out after success */
	ARGUMENT_INOUT,
	ARGUMENT_RAW,    /* the handler copies (variable length) */
};

struct ioctl_call {
	struct object *object;
	struct client *client;
	unsigned long argument; /* as passed */
	void *data;             /* ARGUMENT_IN/OUT/INOUT: @size bytes in our memory */
};

/* A field of the fixed part that the trace shows. */
struct ioctl_field {
	const char *name; /* NULL ends a list */
	uint16_t offset;
	uint8_t size;     /* bytes: 1, 2, 4, 8 */
	bool hex;
	const char *result; /* what the call leaves there, when that is something else */
};

#define IOCTL_FIELDS_MAX 8 /* in a list */

struct ioctl_row {
	uint32_t request; /* full number */
	const char *name;
	unsigned kinds;   /* ON(OBJECT_...) */
	enum ioctl_argument argument;
	uint16_t size;    /* bytes of the fixed part, at most IOCTL_DATA_MAX */
	bool without_lock; /* vCPU: callable while KVM_RUN is running (asynchronous) */
	/* What must hold before the argument is looked at: 0 or the negative errno. May be NULL. */
	long (*require)(struct ioctl_call *call);
	/* NULL: a number of the interface that is not offered; every call gets -@absent. */
	long (*handler)(struct ioctl_call *call);
	int absent;
	const struct ioctl_field *fields;
	const char *section; /* of the KVM document; NULL: it has none of its own */
};

#define IOCTL_DATA_MAX 4096

extern const struct ioctl_row ioctl_table[];
extern const size_t ioctl_table_rows;

struct capability_row {
	uint32_t number;
	const char *name;
	int system, vm;           /* KVM_CHECK_EXTENSION on /dev/kvm, on a VM */
	int (*dynamic)(struct object *vm_or_null); /* instead of the two, when not NULL */
	/* KVM_ENABLE_CAP; NULL: cannot be enabled there. */
	long (*enable_vm)(struct vm_object *vm, const struct kvm_enable_cap *cap);
	long (*enable_vcpu)(struct vcpu_object *vcpu, const struct kvm_enable_cap *cap);
	const char *note;
};

extern const struct capability_row capability_table[];
extern const size_t capability_table_rows;

/* docs/interface.md: both tables as Markdown. */
void document_write(FILE *out);

#endif
