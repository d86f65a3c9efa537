/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The capability table, and the two ioctls that are made from it. A capability is announced when
 * what it stands for works; what is not in the table is answered with 0.
 */
#include <errno.h>
#include <linux/kvm_para.h>
#include <unistd.h>

#include "abi/internal.h"

#define CAP(capability) .number = capability, .name = #capability
#define EVERYWHERE(value) .system = (value), .vm = (value)

#define GUESTDBG_FLAGS                                                                             \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |                  \
	 KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |                \
	 KVM_GUESTDBG_BLOCKIRQ)

/* Those that concern caching (CD_NW_CLEARED) and shadow pages (SLOT_ZAP_ALL) have nothing to act on. */
#define QUIRKS                                                                                     \
	(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED |                             \
	 KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP |                            \
	 KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN |                   \
	 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS | KVM_X86_QUIRK_SLOT_ZAP_ALL |                        \
	 KVM_X86_QUIRK_STUFF_FEATURE_MSRS)
#define DISABLED_EXITS                                                                             \
	(KVM_X86_DISABLE_EXITS_MWAIT | KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE |   \
	 KVM_X86_DISABLE_EXITS_CSTATE)
#define NOTIFY_FLAGS (KVM_X86_NOTIFY_VMEXIT_ENABLED | KVM_X86_NOTIFY_VMEXIT_USER)
#define HYPERCALL_EXITS (1 << KVM_HC_MAP_GPA_RANGE)
#define MSR_EXIT_REASONS                                                                           \
	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER)

/* ---- values that depend on something ---- */

static int recommended_vcpus(struct object *vm)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	(void)vm;
	return online < 1 ? 1 : online > VM_VCPUS_MAX ? VM_VCPUS_MAX : online;
}

static int vcpu_ids(struct object *object)
{
	struct vm_object *vm = (struct vm_object *)object;
	int ids = VM_VCPU_ID_MAX;

	if (vm) {
		pthread_mutex_lock(&vm->vm->lock);
		if (vm->max_vcpu_ids)
			ids = vm->max_vcpu_ids;
		pthread_mutex_unlock(&vm->vm->lock);
	}
	return ids;
}

/* What the type of the VM allows; before there is one, what any type does. */
static bool private_possible(struct object *vm)
{
	return !vm || memory_private_allowed(((struct vm_object *)vm)->vm->memory);
}

static int memory_attributes(struct object *vm)
{
	return private_possible(vm) ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
}

static int guest_memfds(struct object *vm)
{
	return private_possible(vm);
}

static int address_spaces(struct object *vm)
{
	return vm ? (int)memory_address_spaces(((struct vm_object *)vm)->vm->memory) :
		    MEMORY_ADDRESS_SPACES;
}

/* ---- KVM_ENABLE_CAP on a VM ---- */

static long enable_max_vcpu_id(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	long r = 0;

	if (cap->args[0] > VM_VCPU_ID_MAX)
		return -EINVAL;
	pthread_mutex_lock(&vm->vm->lock);
	/* Once set it stays; 0 leaves it unset. */
	if (vm->vm->bsp_vcpu_id > cap->args[0])
		r = -EINVAL;
	else if (!vm->max_vcpu_ids)
		vm->max_vcpu_ids = cap->args[0];
	else if (vm->max_vcpu_ids != cap->args[0])
		r = -EINVAL;
	pthread_mutex_unlock(&vm->vm->lock);
	return r;
}

static long enable_manual_dirty_log(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	uint64_t allowed = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	/* KVM_DIRTY_LOG_INITIALLY_SET makes sense with the other only. */
	if (cap->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		allowed |= KVM_DIRTY_LOG_INITIALLY_SET;
	if (cap->args[0] & ~allowed)
		return -EINVAL;
	memory_set_manual_dirty_log(vm->vm->memory, cap->args[0]);
	return 0;
}

static long enable_disable_quirks(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	/* Once disabled a quirk stays so. */
	__atomic_fetch_or(&vm->vm->disabled_quirks, cap->args[0] & QUIRKS, __ATOMIC_RELAXED);
	return 0;
}

static long enable_disable_quirks2(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	return cap->args[0] & ~(uint64_t)QUIRKS ? -EINVAL : enable_disable_quirks(vm, cap);
}

static long enable_disable_exits(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(uint64_t)KVM_X86_DISABLE_VALID_EXITS)
		return -EINVAL;
	__atomic_fetch_or(&vm->vm->disabled_exits, cap->args[0] & DISABLED_EXITS,
			  __ATOMIC_RELAXED);
	return 0;
}

static long enable_emulation_failure(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~1ull)
		return -EINVAL;
	__atomic_store_n(&vm->vm->exit_on_emulation_error, cap->args[0], __ATOMIC_RELAXED);
	return 0;
}

static long enable_halt_poll(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] >> 32)
		return -EINVAL;
	__atomic_store_n(&vm->vm->halt_poll_ns, cap->args[0], __ATOMIC_RELAXED);
	return 0;
}

static long enable_apic_bus_cycle(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	const uint64_t longest = ~0ull / ((uint64_t)UINT32_MAX * 128);
	long r;

	if (!cap->args[0] || cap->args[0] > longest)
		return -EINVAL;
	pthread_mutex_lock(&vm->vm->lock);
	if (!vm->vm->irqchip)
		r = -ENXIO;
	else if (atomic_load(&vm->vm->vcpu_count))
		r = -EINVAL;
	else
		r = irqchip_set_bus_cycle_ns(vm->vm->irqchip, cap->args[0]);
	pthread_mutex_unlock(&vm->vm->lock);
	return r;
}

static long enable_exit_hypercall(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(uint64_t)HYPERCALL_EXITS)
		return -EINVAL;
	__atomic_store_n(&vm->vm->hypercall_exits, cap->args[0], __ATOMIC_RELAXED);
	return 0;
}

static long enable_exception_payload(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	pthread_mutex_lock(&vm->vm->lock);
	vm->vm->exception_payload = cap->args[0] & 1;
	pthread_mutex_unlock(&vm->vm->lock);
	return 0;
}

static long enable_triple_fault_event(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	pthread_mutex_lock(&vm->vm->lock);
	vm->vm->triple_fault_event = cap->args[0] & 1;
	pthread_mutex_unlock(&vm->vm->lock);
	return 0;
}

static long enable_user_space_msr(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(uint64_t)MSR_EXIT_REASONS)
		return -EINVAL;
	__atomic_store_n(&vm->vm->user_msr_mask, cap->args[0], __ATOMIC_RELAXED);
	return 0;
}

static long enable_bus_lock_exit(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	const uint64_t both = KVM_BUS_LOCK_DETECTION_OFF | KVM_BUS_LOCK_DETECTION_EXIT;

	if ((cap->args[0] & ~both) || cap->args[0] == both)
		return -EINVAL;
	/* As in KVM it cannot be switched off again. */
	if (cap->args[0] & KVM_BUS_LOCK_DETECTION_EXIT)
		__atomic_store_n(&vm->vm->bus_lock_exit, true, __ATOMIC_RELAXED);
	return 0;
}

static long enable_notify(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	const uint32_t flags = (uint32_t)cap->args[0];
	long r = -EINVAL;

	if ((flags & ~(uint32_t)NOTIFY_FLAGS) || !(flags & KVM_X86_NOTIFY_VMEXIT_ENABLED))
		return -EINVAL;
	pthread_mutex_lock(&vm->vm->lock);
	if (!atomic_load(&vm->vm->vcpu_count)) {
		vm->vm->notify_flags = flags;
		vm->vm->notify_window = cap->args[0] >> 32;
		r = 0;
	}
	pthread_mutex_unlock(&vm->vm->lock);
	return r;
}

static long enable_platform_info(struct vm_object *vm, const struct kvm_enable_cap *cap)
{
	__atomic_store_n(&vm->vm->hide_platform_info, !cap->args[0], __ATOMIC_RELAXED);
	return 0;
}

/* ---- KVM_ENABLE_CAP on a vCPU ---- */

static long enable_enforce_pv(struct vcpu_object *vcpu, const struct kvm_enable_cap *cap)
{
	vcpu->vcpu->enforce_pv = cap->args[0];
	return 0;
}

/* ---- the table ---- */

const struct capability_row capability_table[] = {
	{ CAP(KVM_CAP_IRQCHIP), EVERYWHERE(1), .note = "PIC, IOAPIC and local APICs" },
	{ CAP(KVM_CAP_HLT), EVERYWHERE(1) },
	{ CAP(KVM_CAP_MMU_SHADOW_CACHE_CONTROL), EVERYWHERE(1), .note = "accepted, no effect" },
	{ CAP(KVM_CAP_USER_MEMORY), EVERYWHERE(1) },
	{ CAP(KVM_CAP_SET_TSS_ADDR), EVERYWHERE(1), .note = "accepted, not needed" },
	{ CAP(KVM_CAP_VAPIC), EVERYWHERE(1) },
	{ CAP(KVM_CAP_EXT_CPUID), EVERYWHERE(1) },
	{ CAP(KVM_CAP_CLOCKSOURCE), EVERYWHERE(1) },
	{ CAP(KVM_CAP_NR_VCPUS), .dynamic = recommended_vcpus, .note = "host CPUs" },
	{ CAP(KVM_CAP_NR_MEMSLOTS), EVERYWHERE(MEMORY_SLOTS_MAX) },
	{ CAP(KVM_CAP_PIT), EVERYWHERE(1) },
	{ CAP(KVM_CAP_NOP_IO_DELAY), EVERYWHERE(1) },
	{ CAP(KVM_CAP_MP_STATE), EVERYWHERE(1) },
	{ CAP(KVM_CAP_COALESCED_MMIO), EVERYWHERE(KVM_COALESCED_MMIO_PAGE_OFFSET),
	  .note = "page of the ring in a vCPU's mapping" },
	{ CAP(KVM_CAP_SYNC_MMU), EVERYWHERE(1) },
	{ CAP(KVM_CAP_DESTROY_MEMORY_REGION_WORKS), EVERYWHERE(1) },
	{ CAP(KVM_CAP_USER_NMI), EVERYWHERE(1) },
	{ CAP(KVM_CAP_SET_GUEST_DEBUG), EVERYWHERE(1) },
	{ CAP(KVM_CAP_REINJECT_CONTROL), EVERYWHERE(1) },
	{ CAP(KVM_CAP_IRQ_ROUTING), EVERYWHERE(IRQCHIP_GSIS), .note = "entries" },
	{ CAP(KVM_CAP_IRQ_INJECT_STATUS), EVERYWHERE(1) },
	{ CAP(KVM_CAP_JOIN_MEMORY_REGIONS_WORKS), EVERYWHERE(1) },
	{ CAP(KVM_CAP_MCE), EVERYWHERE(MCE_BANKS_MAX), .note = "banks" },
	{ CAP(KVM_CAP_IRQFD), EVERYWHERE(1) },
	{ CAP(KVM_CAP_PIT2), EVERYWHERE(1) },
	{ CAP(KVM_CAP_SET_BOOT_CPU_ID), EVERYWHERE(1) },
	{ CAP(KVM_CAP_PIT_STATE2), EVERYWHERE(1) },
	{ CAP(KVM_CAP_IOEVENTFD), EVERYWHERE(1) },
	{ CAP(KVM_CAP_SET_IDENTITY_MAP_ADDR), EVERYWHERE(1), .note = "accepted, not needed" },
	{ CAP(KVM_CAP_ADJUST_CLOCK),
	  EVERYWHERE(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC),
	  .note = "flags of KVM_GET_CLOCK" },
	{ CAP(KVM_CAP_INTERNAL_ERROR_DATA), EVERYWHERE(1) },
	{ CAP(KVM_CAP_VCPU_EVENTS), EVERYWHERE(1) },
	{ CAP(KVM_CAP_INTR_SHADOW), EVERYWHERE(1) },
	{ CAP(KVM_CAP_DEBUGREGS), EVERYWHERE(1) },
	{ CAP(KVM_CAP_X86_ROBUST_SINGLESTEP), EVERYWHERE(1) },
	{ CAP(KVM_CAP_ENABLE_CAP), EVERYWHERE(1) },
	{ CAP(KVM_CAP_XSAVE), EVERYWHERE(1) },
	{ CAP(KVM_CAP_XCRS), EVERYWHERE(1) },
	{ CAP(KVM_CAP_TSC_CONTROL), EVERYWHERE(1) },
	{ CAP(KVM_CAP_GET_TSC_KHZ), EVERYWHERE(1) },
	{ CAP(KVM_CAP_MAX_VCPUS), EVERYWHERE(VM_VCPUS_MAX) },
	{ CAP(KVM_CAP_TSC_DEADLINE_TIMER), EVERYWHERE(1) },
	{ CAP(KVM_CAP_SYNC_REGS), EVERYWHERE(KVM_SYNC_X86_VALID_FIELDS),
	  .note = "registers, special registers, events" },
	{ CAP(KVM_CAP_KVMCLOCK_CTRL), EVERYWHERE(1) },
	{ CAP(KVM_CAP_SIGNAL_MSI), EVERYWHERE(1) },
	{ CAP(KVM_CAP_READONLY_MEM), EVERYWHERE(1) },
	{ CAP(KVM_CAP_IRQFD_RESAMPLE), EVERYWHERE(1) },
	{ CAP(KVM_CAP_DEVICE_CTRL), EVERYWHERE(1), .note = "no device type exists" },
	{ CAP(KVM_CAP_EXT_EMUL_CPUID), EVERYWHERE(1) },
	{ CAP(KVM_CAP_ENABLE_CAP_VM), EVERYWHERE(1) },
	{ CAP(KVM_CAP_IOEVENTFD_NO_LENGTH), EVERYWHERE(1) },
	{ CAP(KVM_CAP_CHECK_EXTENSION_VM), EVERYWHERE(1) },
	{ CAP(KVM_CAP_X86_SMM), EVERYWHERE(1) },
	{ CAP(KVM_CAP_MULTI_ADDRESS_SPACE), .dynamic = address_spaces,
	  .note = "the second is SMM's" },
	{ CAP(KVM_CAP_DISABLE_QUIRKS), EVERYWHERE(1), .enable_vm = enable_disable_quirks },
	{ CAP(KVM_CAP_SPLIT_IRQCHIP), EVERYWHERE(1), .enable_vm = vm_enable_split_irqchip },
	{ CAP(KVM_CAP_IOEVENTFD_ANY_LENGTH), EVERYWHERE(1) },
	{ CAP(KVM_CAP_VCPU_ATTRIBUTES), EVERYWHERE(1), .note = "KVM_VCPU_TSC_CTRL" },
	{ CAP(KVM_CAP_MAX_VCPU_ID), .dynamic = vcpu_ids, .enable_vm = enable_max_vcpu_id },
	{ CAP(KVM_CAP_X2APIC_API),
	  EVERYWHERE(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK),
	  .enable_vm = vm_enable_x2apic_api },
	{ CAP(KVM_CAP_IMMEDIATE_EXIT), EVERYWHERE(1) },
	{ CAP(KVM_CAP_GET_MSR_FEATURES), EVERYWHERE(1) },
	{ CAP(KVM_CAP_COALESCED_PIO), EVERYWHERE(1) },
	{ CAP(KVM_CAP_X86_DISABLE_EXITS), EVERYWHERE(DISABLED_EXITS), .note = "MWAIT, HLT, PAUSE, CSTATE",
	  .enable_vm = enable_disable_exits },
	{ CAP(KVM_CAP_X86_BUS_LOCK_EXIT),
	  EVERYWHERE(KVM_BUS_LOCK_DETECTION_OFF | KVM_BUS_LOCK_DETECTION_EXIT), .note = "off, exit",
	  .enable_vm = enable_bus_lock_exit },
	{ CAP(KVM_CAP_X86_NOTIFY_VMEXIT), EVERYWHERE(1), .enable_vm = enable_notify },
	{ CAP(KVM_CAP_SMALLER_MAXPHYADDR), EVERYWHERE(1) },
	{ CAP(KVM_CAP_HALT_POLL), EVERYWHERE(1), .enable_vm = enable_halt_poll },
	{ CAP(KVM_CAP_X86_APIC_BUS_CYCLES_NS), EVERYWHERE(IRQCHIP_BUS_CYCLE_NS),
	  .note = "the default, in ns", .enable_vm = enable_apic_bus_cycle },
	{ CAP(KVM_CAP_EXIT_HYPERCALL), EVERYWHERE(HYPERCALL_EXITS), .note = "KVM_HC_MAP_GPA_RANGE",
	  .enable_vm = enable_exit_hypercall },
	{ CAP(KVM_CAP_EXIT_ON_EMULATION_FAILURE), EVERYWHERE(1),
	  .enable_vm = enable_emulation_failure },
	{ CAP(KVM_CAP_DISABLE_QUIRKS2), EVERYWHERE(QUIRKS), .note = "quirks",
	  .enable_vm = enable_disable_quirks2 },
	{ CAP(KVM_CAP_STEAL_TIME), EVERYWHERE(1) },
	{ CAP(KVM_CAP_ASYNC_PF), EVERYWHERE(1), .note = "pages are never late" },
	{ CAP(KVM_CAP_ASYNC_PF_INT), EVERYWHERE(1), .note = "pages are never late" },
	{ CAP(KVM_CAP_PCI_SEGMENT), EVERYWHERE(1) },
	{ CAP(KVM_CAP_IOAPIC_POLARITY_IGNORED), EVERYWHERE(1) },
	{ CAP(KVM_CAP_X86_GUEST_MODE), EVERYWHERE(1), .note = "no guest is ever in guest mode" },
	{ CAP(KVM_CAP_ONE_REG), EVERYWHERE(1), .note = "MSRs" },
	{ CAP(KVM_CAP_MSR_PLATFORM_INFO), EVERYWHERE(1), .enable_vm = enable_platform_info },
	{ CAP(KVM_CAP_EXCEPTION_PAYLOAD), EVERYWHERE(1), .enable_vm = enable_exception_payload },
	{ CAP(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2),
	  EVERYWHERE(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET),
	  .enable_vm = enable_manual_dirty_log },
	{ CAP(KVM_CAP_DIRTY_LOG_RING), EVERYWHERE(DIRTY_RING_BYTES_MAX), .note = "bytes at most",
	  .enable_vm = vm_enable_dirty_ring },
	{ CAP(KVM_CAP_DIRTY_LOG_RING_ACQ_REL), EVERYWHERE(DIRTY_RING_BYTES_MAX),
	  .note = "bytes at most", .enable_vm = vm_enable_dirty_ring },
	{ CAP(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), EVERYWHERE(1),
	  .enable_vm = vm_enable_ring_bitmap },
	{ CAP(KVM_CAP_X86_USER_SPACE_MSR), EVERYWHERE(1), .enable_vm = enable_user_space_msr },
	{ CAP(KVM_CAP_X86_MSR_FILTER), EVERYWHERE(1) },
	{ CAP(KVM_CAP_ENFORCE_PV_FEATURE_CPUID), EVERYWHERE(1), .enable_vcpu = enable_enforce_pv },
	{ CAP(KVM_CAP_SET_GUEST_DEBUG2), EVERYWHERE(GUESTDBG_FLAGS), .note = "flags" },
	{ CAP(KVM_CAP_SREGS2), EVERYWHERE(1) },
	{ CAP(KVM_CAP_BINARY_STATS_FD), EVERYWHERE(1) },
	{ CAP(KVM_CAP_XSAVE2), EVERYWHERE(XSAVE_AREA_BYTES), .note = "bytes of KVM_GET_XSAVE2" },
	{ CAP(KVM_CAP_SYS_ATTRIBUTES), EVERYWHERE(1), .note = "KVM_X86_XCOMP_GUEST_SUPP" },
	{ CAP(KVM_CAP_VM_TSC_CONTROL), EVERYWHERE(1) },
	{ CAP(KVM_CAP_X86_TRIPLE_FAULT_EVENT), EVERYWHERE(1),
	  .enable_vm = enable_triple_fault_event },
	{ CAP(KVM_CAP_MEMORY_FAULT_INFO), EVERYWHERE(1) },
	{ CAP(KVM_CAP_USER_MEMORY2), EVERYWHERE(1) },
	{ CAP(KVM_CAP_VM_TYPES), EVERYWHERE(VM_TYPES),
	  .note = "bit 0: KVM_X86_DEFAULT_VM, bit 1: KVM_X86_SW_PROTECTED_VM" },
	{ CAP(KVM_CAP_MEMORY_ATTRIBUTES), .dynamic = memory_attributes,
	  .note = "KVM_MEMORY_ATTRIBUTE_PRIVATE; 0 in a default VM" },
	{ CAP(KVM_CAP_GUEST_MEMFD), .dynamic = guest_memfds, .note = "0 in a default VM" },
	{ CAP(KVM_CAP_PRE_FAULT_MEMORY), EVERYWHERE(1) },
	{ CAP(KVM_CAP_MEMORY_ATTRIBUTES2), .dynamic = memory_attributes,
	  .note = "KVM_SET_MEMORY_ATTRIBUTES2 of a VM; a proposal" },
	{ CAP(KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES), .dynamic = memory_attributes,
	  .note = "the same of a guest_memfd; a proposal" },
};

const size_t capability_table_rows = sizeof(capability_table) / sizeof(capability_table[0]);

static const struct capability_row *capability_find(uint64_t number)
{
	size_t i;

	for (i = 0; i < capability_table_rows; i++)
		if (capability_table[i].number == number)
			return &capability_table[i];
	return NULL;
}

/* ---- the ioctls ---- */

long ioctl_capability_check(struct ioctl_call *call)
{
	const struct capability_row *row = capability_find(call->argument);
	struct object *vm = call->object->kind == OBJECT_VM ? call->object : NULL;

	if (!row)
		return 0;
	if (row->dynamic)
		return row->dynamic(vm);
	return vm ? row->vm : row->system;
}

long ioctl_vm_enable_cap(struct ioctl_call *call)
{
	const struct kvm_enable_cap *cap = call->data;
	const struct capability_row *row = capability_find(cap->cap);

	if (cap->flags || !row || !row->enable_vm)
		return -EINVAL;
	return row->enable_vm(call_vm(call), cap);
}

long ioctl_vcpu_enable_cap(struct ioctl_call *call)
{
	const struct kvm_enable_cap *cap = call->data;
	const struct capability_row *row = capability_find(cap->cap);

	if (cap->flags || !row || !row->enable_vcpu)
		return -EINVAL;
	return row->enable_vcpu(call_vcpu_object(call), cap);
}
