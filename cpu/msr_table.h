/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MSR table: what drives RDMSR and WRMSR of the guest, KVM_GET_MSRS and KVM_SET_MSRS, the index
 * lists and the values at reset. Adding an MSR is adding a row.
 */
#ifndef FAUXKVM_CPU_MSR_TABLE_H
#define FAUXKVM_CPU_MSR_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "cpu/msr.h"
#include "cpu/vcpu.h"

enum msr_flag {
	MSR_LISTED = 1 << 0,      /* in KVM_GET_MSR_INDEX_LIST */
	MSR_FEATURE = 1 << 1,     /* in KVM_GET_MSR_FEATURE_INDEX_LIST; its value there is @reset */
	MSR_READ_ONLY = 1 << 2,   /* nobody writes it */
	MSR_GUEST_READS = 1 << 3, /* a guest's write is #GP */
	MSR_HOST_ONLY = 1 << 4,   /* any access of a guest is #GP */
	MSR_IGNORES = 1 << 5,     /* reads @reset, writes are dropped */
	MSR_CANONICAL = 1 << 6,   /* the value must be a canonical address */
	MSR_WRITE_ONLY = 1 << 7,  /* nobody reads it */
	MSR_GUEST_DROPPED = 1 << 8, /* a guest's write has no effect */
	MSR_IMMUTABLE = 1 << 9,   /* user space cannot change it once the vCPU has run */
};

struct msr_row {
	uint32_t first, last; /* rows are sorted and do not overlap */
	const char *name;
	unsigned flags;
	size_t storage;    /* of a uint64_t an index in struct cpu_state; 0: get and set do it all */
	uint64_t reset;
	uint64_t writable; /* a set bit outside is #GP */
	/* What an access depends on: a guest without it gets #GP. NULL: nothing. */
	bool (*present)(const struct vcpu *vcpu);
	/* A paravirtual feature (bit + 1 of CPUID 0x40000001 EAX); without it the MSR is unknown. */
	unsigned pv_feature;
	/* Beside or instead of @storage. 0 or -EINVAL. */
	int (*get)(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host);
	int (*set)(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host);
};

extern const struct msr_row msr_table[];
extern const size_t msr_table_rows;

/* The row of @index, or NULL. */
const struct msr_row *msr_find(uint32_t index);

#define MSR_GETTER(name) int name(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
#define MSR_SETTER(name) int name(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)

/* ---- msr_system.c ---- */
MSR_GETTER(msr_get_tsc);
MSR_SETTER(msr_set_tsc);
MSR_SETTER(msr_set_tsc_adjust);
MSR_GETTER(msr_get_residency);
MSR_GETTER(msr_get_tsc_deadline);
MSR_SETTER(msr_set_tsc_deadline);
MSR_GETTER(msr_get_apic_base);
MSR_SETTER(msr_set_apic_base);
MSR_GETTER(msr_get_x2apic);
MSR_SETTER(msr_set_x2apic);
MSR_GETTER(msr_get_efer);
MSR_SETTER(msr_set_efer);
MSR_GETTER(msr_get_base);
MSR_SETTER(msr_set_base);
MSR_SETTER(msr_set_sysenter_address);
MSR_SETTER(msr_set_tsc_aux);
MSR_SETTER(msr_set_feature_control);
MSR_SETTER(msr_set_misc_enable);
MSR_GETTER(msr_get_platform_info);
MSR_SETTER(msr_set_platform_info);
MSR_SETTER(msr_set_misc_features);
MSR_SETTER(msr_set_hwcr);

/* ---- msr_memory.c: memory types, machine checks ---- */
MSR_SETTER(msr_set_pat);
MSR_SETTER(msr_set_mtrr_fixed);
MSR_SETTER(msr_set_mtrr_def_type);
MSR_SETTER(msr_set_mtrr_variable);
MSR_GETTER(msr_get_mc);
MSR_SETTER(msr_set_mc);
MSR_GETTER(msr_get_mc_ctl2);
MSR_SETTER(msr_set_mc_ctl2);
MSR_GETTER(msr_get_mcg_ctl);
MSR_SETTER(msr_set_mcg_ctl);

/* ---- msr_kvm.c: KVM's own ---- */
MSR_SETTER(msr_set_wall_clock);
MSR_SETTER(msr_set_system_time);
MSR_SETTER(msr_set_async_pf);
MSR_SETTER(msr_set_async_pf_int);
MSR_SETTER(msr_set_async_pf_ack);
MSR_SETTER(msr_set_steal_time);
MSR_SETTER(msr_set_pv_eoi);

#endif
