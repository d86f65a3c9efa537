/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a vCPU's time goes, for `fauxkvm run --stats`: counted only when asked for.
 *
 * The vCPU's thread counts; anybody may print, whenever it is: the numbers are of about one moment.
 */
#ifndef FAUXKVM_CPU_PROFILE_H
#define FAUXKVM_CPU_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#define PROFILE_EXITS 64
#define PROFILE_KINDS 512

struct insn;
struct vcpu;

/* Instructions of one kind at which Unicorn stopped. */
struct profile_kind {
	uint32_t key; /* 0: free */
	char name[32];
	uint64_t count;
};

struct profile {
	uint64_t exits[PROFILE_EXITS]; /* by KVM_EXIT_* */
	uint64_t interrupted, failed;  /* KVM_RUN returned EINTR or another error */
	/* Of the Unicorn engine. */
	uint64_t entries, stops, fills, refused, published, translated, calls;
	/* Stops at instructions that Unicorn executes as such. */
	uint64_t accesses, new_code, two_pages;
	uint64_t other_kinds; /* more than fit in the table */
	struct profile_kind kind[PROFILE_KINDS];
};

struct profile *profile_create(void); /* NULL: out of memory */
void profile_destroy(struct profile *profile);

/* KVM_RUN is about to return @result. */
void profile_exit(struct vcpu *vcpu, int result);
/* The engine stopped at the instruction @insn of @bytes, that the interpreter has to execute. */
void profile_stop(struct vcpu *vcpu, const struct insn *insn, const uint8_t *bytes);

/* Writes the vCPU's part of the table to @fd. Allocates nothing and takes no lock. */
void profile_print(const struct vcpu *vcpu, unsigned vm, int fd);

#endif
