/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine that vCPUs belong to: what they share. Descriptors and ioctls around it are abi's.
 */
#ifndef FAUXKVM_CPU_VM_H
#define FAUXKVM_CPU_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/clock.h"
#include "devices/events.h"
#include "devices/irqchip.h"
#include "mmu/memory.h"
#include "util/log.h"

#define VM_VCPUS_MAX 1024      /* KVM_CAP_MAX_VCPUS */
#define VM_VCPU_ID_MAX 4096    /* KVM_CAP_MAX_VCPU_ID: exclusive bound */

struct vcpu;
struct engine;

struct vm {
	/* Creation of vCPUs and devices, slots, capabilities. */
	pthread_mutex_t lock;
	struct memory *memory;
	struct bus *bus;
	struct events *events;
	struct clock *clock;
	struct irqchip *irqchip; /* NULL: none. Set once, before a vCPU runs */
	struct pit *pit;
	const struct log *log;
	const struct engine *engine; /* for new vCPUs */
	bool profiling;              /* vCPUs have a profile. Set before the first vCPU */

	/* vCPUs by creation order. Entries appear once and stay until the VM is destroyed;
	 * @vcpu_count is published after the entry. */
	struct vcpu *_Atomic vcpus[VM_VCPUS_MAX];
	atomic_uint vcpu_count;

	atomic_uint_fast64_t remote_tlb_flush; /* statistics: vCPUs made to let go of translations */
	uint32_t bsp_vcpu_id;          /* KVM_SET_BOOT_CPU_ID */
	uint64_t disabled_quirks;      /* KVM_CAP_DISABLE_QUIRKS(2); see vm_disabled_quirks() */
	uint64_t disabled_exits;       /* KVM_CAP_X86_DISABLE_EXITS */
	uint64_t halt_poll_ns;         /* KVM_CAP_HALT_POLL */
	uint64_t hypercall_exits;      /* KVM_CAP_EXIT_HYPERCALL: bit for a number */
	uint64_t user_msr_mask;        /* KVM_CAP_X86_USER_SPACE_MSR */
	bool exception_payload;        /* KVM_CAP_EXCEPTION_PAYLOAD */
	bool triple_fault_event;       /* KVM_CAP_X86_TRIPLE_FAULT_EVENT */
	bool hide_platform_info;       /* KVM_CAP_MSR_PLATFORM_INFO switched off */
	bool exit_on_emulation_error;  /* KVM_CAP_EXIT_ON_EMULATION_FAILURE */
	bool bus_lock_exit;            /* KVM_CAP_X86_BUS_LOCK_EXIT, for new vCPUs */
	/* KVM_CAP_X86_NOTIFY_VMEXIT: set before a vCPU exists. Window in TSC cycles. */
	uint32_t notify_flags, notify_window;

	/* KVM_X86_SET_MSR_FILTER. The pointer is under the lock; see cpu/msr_filter.h. */
	pthread_mutex_t msr_filter_lock;
	struct msr_filter *msr_filter;
	atomic_uint msr_filter_generation;
	uint64_t default_tsc_khz;      /* KVM_SET_TSC_KHZ on the VM; 0: the host's */
};

/* Memory, bus, events, clock. NULL: out of memory. @engine NULL: interp. */
struct vm *vm_create(const struct log *log, const struct engine *engine);
/* All vCPUs are stopped. Destroys vCPUs, devices and memory. */
void vm_destroy(struct vm *vm);

static inline uint64_t vm_disabled_quirks(const struct vm *vm)
{
	return __atomic_load_n(&vm->disabled_quirks, __ATOMIC_RELAXED);
}

static inline uint64_t vm_disabled_exits(const struct vm *vm)
{
	return __atomic_load_n(&vm->disabled_exits, __ATOMIC_RELAXED);
}

/* The vCPU with @vcpu_id (its APIC ID), or NULL. Any thread. */
struct vcpu *vm_find_vcpu(struct vm *vm, uint32_t vcpu_id);

#endif
