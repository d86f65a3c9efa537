/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The room's own: what stands behind each kind of descriptor, and the ioctl handlers by subject.
 *
 * References: every vCPU, statistics and guest_memfd object holds one on its VM's object while anybody refers to
 * it, so the VM lives while any descriptor of it is open. A vCPU itself lives as long as its VM
 * (its descriptor may be closed before), which is why vCPU objects are freed with the VM's.
 *
 * Locks: vCPU mutex, then regions_lock, then vm->lock. vm->lock is held while a vCPU or device is
 * made and while VM-wide settings change.
 */
#ifndef FAUXKVM_ABI_INTERNAL_H
#define FAUXKVM_ABI_INTERNAL_H

#include <pthread.h>
#include <stdio.h>

#include "abi/kvm_compat.h"
#include "abi/object.h"
#include "abi/table.h"
#include "cpu/vcpu.h"
#include "cpu/vm.h"

/* The kernel's limits that no header of the interface names. */
#define MSRS_PER_CALL_MAX 256 /* MAX_IO_MSRS: exclusive */
#define MCE_BANKS_MAX 32      /* KVM_MAX_MCE_BANKS, value of KVM_CAP_MCE */
/* KVM_CAP_VM_TYPES: a bit for each type of VM that can be created. */
#define VM_TYPES (1ul << KVM_X86_DEFAULT_VM | 1ul << KVM_X86_SW_PROTECTED_VM)
#define VCPU_MMAP_PAGES 3     /* kvm_run, PIO data, coalesced ring */
#define DIRTY_RING_BYTES_MAX (DIRTY_RING_ENTRIES_MAX * sizeof(struct kvm_dirty_gfn))

struct fauxkvm {
	struct log log;
	const struct engine *engine;
	atomic_uint vm_count; /* numbers VMs for the trace */

	/* With statistics: the living VMs. */
	bool statistics;
	pthread_mutex_t vms_lock;
	struct vm_object *vms;

	/* Handles of fauxkvm.h (library.c); NULL until the first is opened. */
	pthread_mutex_t handles_lock;
	struct handle *_Atomic handles;
};

struct system_object {
	struct object object;
	struct fauxkvm *fauxkvm;
};

/* A memslot's memory as the client named it and as it is visible here. */
struct region {
	uint64_t address;
	uint64_t bytes; /* 0: no such slot */
	uint8_t *hva;
};

struct vcpu_object {
	struct object object;
	struct vm_object *vm;
	struct vcpu *vcpu;
	struct vcpu_object *next;
	uint8_t *pages;    /* kvm_run, the PIO page and the dirty ring in this process */
	uint8_t *dirty_ring; /* in @pages */
	off_t offset;      /* of @pages in the VM's memfd; none for a VM with a space */
	struct coalesced_mirror mirror; /* of a VM with a space: its page of the ring */
	pthread_mutex_t mutex;
	bool has_signal_mask;
	uint64_t signal_mask;
};

struct vm_object {
	struct object object;
	struct fauxkvm *fauxkvm;
	unsigned number;
	struct vm_object *vms_next; /* under fauxkvm->vms_lock */
	bool printed;               /* its statistics: under fauxkvm->vms_lock */
	pid_t pid;                  /* whose statistics they are */
	struct vm *vm;
	/* Reads 1 in the address space that created the VM and 0 in a child of fork(). */
	uint8_t *creator;
	struct space *space; /* of a client that is another process; NULL: this one is */

	/*
	 * What clients map: page 0 is the coalesced ring, then the pages of each vCPU. For a VM with
	 * a space it is the ring alone, which the vCPUs' pages mirror.
	 */
	int memfd;
	off_t memfd_bytes;
	struct kvm_coalesced_mmio_ring *ring;

	struct vcpu_object *vcpus; /* under vm->lock */
	uint32_t max_vcpu_ids;     /* KVM_CAP_MAX_VCPU_ID; 0: not set. Under vm->lock */
	uint64_t x2apic_api;       /* KVM_CAP_X2APIC_API flags. Under vm->lock */
	uint32_t ring_bytes;       /* of a vCPU's dirty ring; set before the first vCPU */

	pthread_mutex_t regions_lock;
	struct region *regions; /* by address space and slot number */
};

/* ---- profile.c ---- */

/* The VM may be asked for statistics from now on; it is about to go. Nothing without the option. */
void vm_profile_begin(struct vm_object *vm);
void vm_profile_end(struct vm_object *vm);

struct guest_memfd_object {
	struct object object;
	struct vm_object *vm;
	struct guest_memfd *file;
	pthread_mutex_t lock; /* of: */
	uint64_t reserved;    /* bytes on the account of the VM's space, all of the file at most */
};

struct stats_object {
	struct object object;
	struct vm_object *vm;
	struct vcpu *vcpu; /* NULL: statistics of the VM */
};

static inline struct vm_object *call_vm(const struct ioctl_call *call)
{
	return (struct vm_object *)call->object;
}

static inline struct vcpu_object *call_vcpu_object(const struct ioctl_call *call)
{
	return (struct vcpu_object *)call->object;
}

static inline struct vcpu *call_vcpu(const struct ioctl_call *call)
{
	return call_vcpu_object(call)->vcpu;
}

/* vm->irqchip as any thread may read it while another creates it. */
static inline struct irqchip *vm_irqchip(const struct vm *vm)
{
	return __atomic_load_n(&vm->irqchip, __ATOMIC_ACQUIRE);
}

static inline struct pit *vm_pit(const struct vm *vm)
{
	return __atomic_load_n(&vm->pit, __ATOMIC_ACQUIRE);
}

static inline enum irqchip_mode vm_irqchip_mode(const struct vm *vm)
{
	struct irqchip *irqchip = vm_irqchip(vm);

	return irqchip ? irqchip_mode(irqchip) : IRQCHIP_NONE;
}

static inline int copy_in(const struct ioctl_call *call, void *dst, uint64_t address, size_t bytes)
{
	return call->client->ops->copy_in(call->client, dst, address, bytes);
}

static inline int copy_out(const struct ioctl_call *call, uint64_t address, const void *src,
			   size_t bytes)
{
	return call->client->ops->copy_out(call->client, address, src, bytes);
}

/* A descriptor for @object in the client; drops the caller's reference if that fails. */
long object_install(struct ioctl_call *call, struct object *object);

/* ---- life (machine.c) ---- */
int vm_object_create(struct fauxkvm *fauxkvm, struct client *client, unsigned long type,
		     struct vm_object **vm);
void vm_object_free(struct vm_object *vm);
/* Under vm->lock: a vCPU with its pages and one reference; not one of the VM's yet. */
int vcpu_object_create(struct vm_object *vm, uint32_t id, struct vcpu_object **vcpu);
/* The way back, after the last reference is gone. */
void vcpu_object_free(struct vcpu_object *vcpu);

/* ---- table.c, trace.c ---- */
const struct ioctl_row *ioctl_find(uint32_t request, enum object_kind kind);
const struct log *object_log(const struct object *object);
/* The argument as it was given: trace_given() in front of the call, trace_ioctl() behind it. */
struct ioctl_trace {
	uint64_t given[IOCTL_FIELDS_MAX];
	bool known; /* it could be read */
};
void trace_given(struct ioctl_trace *trace, const struct ioctl_row *row,
		 const struct ioctl_call *call);
void trace_ioctl(const struct ioctl_trace *trace, const struct ioctl_row *row,
		 const struct ioctl_call *call, unsigned request, long result);

/* ---- stats.c ---- */
ssize_t stats_read(struct stats_object *stats, struct client *client, uint64_t address,
		   size_t bytes, off_t offset);

/* ---- capability.c ---- */
long ioctl_capability_check(struct ioctl_call *call);
long ioctl_vm_enable_cap(struct ioctl_call *call);
long ioctl_vcpu_enable_cap(struct ioctl_call *call);

/* ---- system_ioctl.c ---- */
long ioctl_system_get_api_version(struct ioctl_call *call);
long ioctl_system_create_vm(struct ioctl_call *call);
long ioctl_system_get_vcpu_mmap_size(struct ioctl_call *call);
long ioctl_system_get_mce_cap_supported(struct ioctl_call *call);

/* ---- cpuid_ioctl.c ---- */
long ioctl_system_get_supported_cpuid(struct ioctl_call *call);
long ioctl_system_get_emulated_cpuid(struct ioctl_call *call);
long ioctl_vcpu_set_cpuid(struct ioctl_call *call);
long ioctl_vcpu_set_cpuid2(struct ioctl_call *call);
long ioctl_vcpu_get_cpuid2(struct ioctl_call *call);
uint64_t cpuid_supported_xcr0(void);

/* ---- msr_ioctl.c ---- */
long ioctl_system_get_msr_index_list(struct ioctl_call *call);
long ioctl_system_get_msr_feature_index_list(struct ioctl_call *call);
long ioctl_system_get_msrs(struct ioctl_call *call);
long ioctl_vcpu_get_msrs(struct ioctl_call *call);
long ioctl_vcpu_get_one_reg(struct ioctl_call *call);
long ioctl_vcpu_set_one_reg(struct ioctl_call *call);
long ioctl_vcpu_get_reg_list(struct ioctl_call *call);
long ioctl_vcpu_set_msrs(struct ioctl_call *call);
long ioctl_vm_set_msr_filter(struct ioctl_call *call);

/* ---- device.c ---- */
long ioctl_vm_create_device(struct ioctl_call *call);
long ioctl_system_has_device_attr(struct ioctl_call *call);
long ioctl_system_get_device_attr(struct ioctl_call *call);
long ioctl_vcpu_has_device_attr(struct ioctl_call *call);
long ioctl_vcpu_get_device_attr(struct ioctl_call *call);
long ioctl_vcpu_set_device_attr(struct ioctl_call *call);

/* ---- stats.c ---- */
long ioctl_get_stats_fd(struct ioctl_call *call);

/* ---- vm_ioctl.c ---- */
long ioctl_vm_create_vcpu(struct ioctl_call *call);
long ioctl_vm_set_boot_cpu_id(struct ioctl_call *call);
long ioctl_vm_set_tss_addr(struct ioctl_call *call);
long ioctl_vm_has_no_vcpu(struct ioctl_call *call);
long ioctl_vm_set_identity_map_addr(struct ioctl_call *call);
long ioctl_vm_set_nr_mmu_pages(struct ioctl_call *call);
long ioctl_vm_register_coalesced_mmio(struct ioctl_call *call);
long ioctl_vm_unregister_coalesced_mmio(struct ioctl_call *call);
long ioctl_vm_ioeventfd(struct ioctl_call *call);
long ioctl_vm_get_clock(struct ioctl_call *call);
long ioctl_vm_set_clock(struct ioctl_call *call);
long ioctl_vm_get_tsc_khz(struct ioctl_call *call);
long ioctl_vm_set_tsc_khz(struct ioctl_call *call);
/* The core's own duplicate of a client's eventfd; -EBADF, -EINVAL for another kind of file. */
int client_eventfd(struct client *client, int fd);

/* ---- slots.c ---- */
long ioctl_vm_set_user_memory_region(struct ioctl_call *call);
long ioctl_vm_set_user_memory_region2(struct ioctl_call *call);

/* ---- guest_memfd.c ---- */
long ioctl_vm_create_guest_memfd(struct ioctl_call *call);
void guest_memfd_object_free(struct guest_memfd_object *object);
/* @bytes more of it may be used: by the guest through a slot, or by fallocate(). 0 or -ENOMEM. */
int guest_memfd_object_reserve(struct guest_memfd_object *object, uint64_t bytes);
long ioctl_vm_set_memory_attributes(struct ioctl_call *call);
long ioctl_vm_set_memory_attributes2(struct ioctl_call *call);
long ioctl_guest_memfd_set_attributes(struct ioctl_call *call);
long ioctl_vcpu_pre_fault_memory(struct ioctl_call *call);

/* ---- dirty.c ---- */
long ioctl_vm_get_dirty_log(struct ioctl_call *call);
long ioctl_vm_clear_dirty_log(struct ioctl_call *call);
long ioctl_vm_reset_dirty_rings(struct ioctl_call *call);
long vm_enable_dirty_ring(struct vm_object *vm, const struct kvm_enable_cap *cap);
long vm_enable_ring_bitmap(struct vm_object *vm, const struct kvm_enable_cap *cap);

/* ---- irqchip_ioctl.c ---- */
long ioctl_vm_create_irqchip(struct ioctl_call *call);
long vm_enable_split_irqchip(struct vm_object *vm, const struct kvm_enable_cap *cap);
long vm_enable_x2apic_api(struct vm_object *vm, const struct kvm_enable_cap *cap);
long ioctl_vm_get_irqchip(struct ioctl_call *call);
long ioctl_vm_set_irqchip(struct ioctl_call *call);
long ioctl_vm_irq_line(struct ioctl_call *call);
long ioctl_vm_signal_msi(struct ioctl_call *call);
long ioctl_vm_set_gsi_routing(struct ioctl_call *call);
long ioctl_vm_irqfd(struct ioctl_call *call);
long ioctl_vm_create_pit(struct ioctl_call *call);
long ioctl_vm_create_pit2(struct ioctl_call *call);
long ioctl_vm_get_pit(struct ioctl_call *call);
long ioctl_vm_set_pit(struct ioctl_call *call);
long ioctl_vm_get_pit2(struct ioctl_call *call);
long ioctl_vm_set_pit2(struct ioctl_call *call);
long ioctl_vm_reinject_control(struct ioctl_call *call);
/* Checks that the kernel makes before it looks at the argument. */
long ioctl_vm_has_pit(struct ioctl_call *call);
long ioctl_vcpu_has_lapic(struct ioctl_call *call);
long ioctl_vcpu_get_lapic(struct ioctl_call *call);
long ioctl_vcpu_set_lapic(struct ioctl_call *call);
long ioctl_vcpu_interrupt(struct ioctl_call *call);
long ioctl_vcpu_smi(struct ioctl_call *call);
long ioctl_vcpu_nmi(struct ioctl_call *call);
long ioctl_vcpu_tpr_access_reporting(struct ioctl_call *call);
long ioctl_vcpu_set_vapic_addr(struct ioctl_call *call);

/* ---- vcpu_ioctl.c ---- */
long ioctl_vcpu_run(struct ioctl_call *call);
long ioctl_vcpu_set_signal_mask(struct ioctl_call *call);
long ioctl_vcpu_get_mp_state(struct ioctl_call *call);
long ioctl_vcpu_set_mp_state(struct ioctl_call *call);
long ioctl_vcpu_get_events(struct ioctl_call *call);
long ioctl_vcpu_set_events(struct ioctl_call *call);
long ioctl_vcpu_set_guest_debug(struct ioctl_call *call);
long ioctl_vcpu_translate(struct ioctl_call *call);
long ioctl_vcpu_get_tsc_khz(struct ioctl_call *call);
long ioctl_vcpu_set_tsc_khz(struct ioctl_call *call);
long ioctl_vcpu_kvmclock_ctrl(struct ioctl_call *call);
long ioctl_vcpu_setup_mce(struct ioctl_call *call);
long ioctl_vcpu_set_mce(struct ioctl_call *call);

/* ---- register_ioctl.c ---- */
long ioctl_vcpu_get_regs(struct ioctl_call *call);
long ioctl_vcpu_set_regs(struct ioctl_call *call);
long ioctl_vcpu_get_sregs(struct ioctl_call *call);
long ioctl_vcpu_set_sregs(struct ioctl_call *call);
long ioctl_vcpu_get_sregs2(struct ioctl_call *call);
long ioctl_vcpu_set_sregs2(struct ioctl_call *call);
long ioctl_vcpu_get_fpu(struct ioctl_call *call);
long ioctl_vcpu_set_fpu(struct ioctl_call *call);
long ioctl_vcpu_get_xsave(struct ioctl_call *call);
long ioctl_vcpu_set_xsave(struct ioctl_call *call);
long ioctl_vcpu_get_xcrs(struct ioctl_call *call);
long ioctl_vcpu_set_xcrs(struct ioctl_call *call);
long ioctl_vcpu_get_debugregs(struct ioctl_call *call);
long ioctl_vcpu_set_debugregs(struct ioctl_call *call);
/* Registers in kvm_run (KVM_CAP_SYNC_REGS), before and after KVM_RUN. */
int vcpu_sync_in(struct vcpu *vcpu);
void vcpu_sync_out(struct vcpu *vcpu);

#endif
