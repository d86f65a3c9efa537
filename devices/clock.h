/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM's clock: guest TSC, kvmclock, wall clock, steal time pages.
 * Guest TSC = scaled host TSC + offset; kvmclock counts nanoseconds since VM creation + adjustment.
 * Source: KVM documents cpuid.rst, msr.rst, timekeeping.rst; KVM document 4.30, 4.31.
 */
#ifndef FAUXKVM_DEVICES_CLOCK_H
#define FAUXKVM_DEVICES_CLOCK_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "mmu/mmu.h"

struct clock; /* one a VM */
struct clock *clock_create(void);
void clock_destroy(struct clock *clock);

uint64_t clock_host_tsc_khz(void); /* calibrated once a process or from CPUID; kHz */
uint64_t clock_now(const struct clock *clock); /* kvmclock, ns */
void clock_get(const struct clock *clock, struct kvm_clock_data *data);      /* KVM_GET_CLOCK */
int clock_set(struct clock *clock, const struct kvm_clock_data *data);       /* KVM_SET_CLOCK */

/* One a vCPU: its TSC. */
struct tsc {
	uint64_t khz;     /* guest frequency */
	uint64_t ratio;   /* guest / host, 16.48 fixed point; 1 << 48 when equal */
	int64_t offset;   /* added after scaling */
};
void tsc_init(struct tsc *tsc);
uint64_t tsc_read(const struct tsc *tsc);
uint64_t tsc_scale(const struct tsc *tsc, uint64_t host_tsc); /* without the offset */
void tsc_write(struct tsc *tsc, uint64_t value);          /* as WRMSR of IA32_TSC */
/*
 * KVM_SET_TSC_KHZ: -EINVAL, or what the host has counted is scaled from now on, all of it, and the
 * offset stays: the value jumps.
 */
int tsc_set_khz(struct tsc *tsc, uint64_t khz);

/*
 * A TSC that is set from outside the guest: by @user space or, with 0, for a new vCPU. As in KVM a
 * 0, or what another vCPU's TSC that user space set is now give or take a second, means "in step
 * with the others" and takes over their offset: so vCPUs that are created, reset or restored one
 * after the other have equal TSCs. User space's first value is taken as it is.
 */
void clock_write_tsc(struct clock *clock, struct tsc *tsc, uint64_t value, bool user);
/* KVM_VCPU_TSC_OFFSET: taken as it is, and later TSCs may be in step with this one. */
void clock_write_tsc_offset(struct clock *clock, struct tsc *tsc, uint64_t offset);

/*
 * Writes struct pvclock_vcpu_time_info at @gpa with the version protocol. @paused sets the "guest
 * was stopped" flag (KVM_KVMCLOCK_CTRL). @self: the writing vCPU's, as for memory_write(). 0 or
 * -EFAULT.
 */
int clock_write_vcpu_time(const struct clock *clock, const struct tsc *tsc, struct memory *memory,
			  struct mmu *self, uint64_t gpa, bool paused);
/* Writes struct pvclock_wall_clock at @gpa (MSR_KVM_WALL_CLOCK_NEW). */
int clock_write_wall_clock(const struct clock *clock, struct memory *memory, struct mmu *self,
			   uint64_t gpa);

#endif
