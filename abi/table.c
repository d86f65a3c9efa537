/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ioctl table. Sections are those of the KVM document (Documentation/virt/kvm/api.rst). No row
 * is without_lock: on x86 every ioctl on a vCPU waits for KVM_RUN to return.
 */
#include <errno.h>
#include <stddef.h>

#include "abi/internal.h"

/* ---- fields that the trace shows ---- */

#define MEMBER_SIZE(type, member) sizeof(((type *)0)->member)
#define FIELD(type, member, hex, result)                                                           \
	{ #member, offsetof(type, member), MEMBER_SIZE(type, member), hex, result }
#define DECIMAL(type, member) FIELD(type, member, false, NULL)
#define HEX(type, member) FIELD(type, member, true, NULL)
#define FIELDS(name) static const struct ioctl_field name##_fields[]

FIELDS(u64) = { { "value", 0, sizeof(uint64_t), true, NULL }, { 0 } };
FIELDS(irq_level) = {
	DECIMAL(struct kvm_irq_level, irq),
	DECIMAL(struct kvm_irq_level, level),
	{ 0 },
};
FIELDS(irq_status) = {
	FIELD(struct kvm_irq_level, irq, false, "status"),
	DECIMAL(struct kvm_irq_level, level),
	{ 0 },
};
FIELDS(msi) = {
	HEX(struct kvm_msi, address_lo),
	HEX(struct kvm_msi, address_hi),
	HEX(struct kvm_msi, data),
	HEX(struct kvm_msi, flags),
	{ 0 },
};
FIELDS(interrupt) = {
	DECIMAL(struct kvm_interrupt, irq),
	{ 0 },
};
FIELDS(msr_list) = {
	DECIMAL(struct kvm_msr_list, nmsrs),
	{ 0 },
};
FIELDS(msrs) = {
	DECIMAL(struct kvm_msrs, nmsrs),
	{ 0 },
};
FIELDS(one_reg) = {
	HEX(struct kvm_one_reg, id),
	HEX(struct kvm_one_reg, addr),
	{ 0 },
};
FIELDS(reg_list) = {
	DECIMAL(struct kvm_reg_list, n),
	{ 0 },
};
FIELDS(msr_filter) = {
	HEX(struct kvm_msr_filter, flags),
	HEX(struct kvm_msr_filter, ranges[0].base),
	DECIMAL(struct kvm_msr_filter, ranges[0].nmsrs),
	{ 0 },
};
FIELDS(cpuid) = {
	DECIMAL(struct kvm_cpuid2, nent),
	{ 0 },
};
FIELDS(device_attr) = {
	HEX(struct kvm_device_attr, flags),
	DECIMAL(struct kvm_device_attr, group),
	DECIMAL(struct kvm_device_attr, attr),
	HEX(struct kvm_device_attr, addr),
	{ 0 },
};
FIELDS(region) = {
	DECIMAL(struct kvm_userspace_memory_region, slot),
	HEX(struct kvm_userspace_memory_region, flags),
	HEX(struct kvm_userspace_memory_region, guest_phys_addr),
	HEX(struct kvm_userspace_memory_region, memory_size),
	HEX(struct kvm_userspace_memory_region, userspace_addr),
	{ 0 },
};
FIELDS(region2) = {
	DECIMAL(struct kvm_userspace_memory_region2, slot),
	HEX(struct kvm_userspace_memory_region2, flags),
	HEX(struct kvm_userspace_memory_region2, guest_phys_addr),
	HEX(struct kvm_userspace_memory_region2, memory_size),
	HEX(struct kvm_userspace_memory_region2, userspace_addr),
	DECIMAL(struct kvm_userspace_memory_region2, guest_memfd),
	HEX(struct kvm_userspace_memory_region2, guest_memfd_offset),
	{ 0 },
};
FIELDS(attributes) = {
	HEX(struct kvm_memory_attributes, address),
	HEX(struct kvm_memory_attributes, size),
	HEX(struct kvm_memory_attributes, attributes),
	HEX(struct kvm_memory_attributes, flags),
	{ 0 },
};
FIELDS(guest_memfd) = {
	HEX(struct kvm_create_guest_memfd, size),
	HEX(struct kvm_create_guest_memfd, flags),
	{ 0 },
};
FIELDS(pre_fault) = {
	HEX(struct kvm_pre_fault_memory, gpa),
	HEX(struct kvm_pre_fault_memory, size),
	HEX(struct kvm_pre_fault_memory, flags),
	{ 0 },
};
FIELDS(dirty_log) = {
	DECIMAL(struct kvm_dirty_log, slot),
	{ 0 },
};
FIELDS(clear_dirty_log) = {
	DECIMAL(struct kvm_clear_dirty_log, slot),
	DECIMAL(struct kvm_clear_dirty_log, num_pages),
	DECIMAL(struct kvm_clear_dirty_log, first_page),
	{ 0 },
};
FIELDS(enable_cap) = {
	DECIMAL(struct kvm_enable_cap, cap),
	HEX(struct kvm_enable_cap, flags),
	HEX(struct kvm_enable_cap, args[0]),
	{ 0 },
};
FIELDS(create_device) = {
	DECIMAL(struct kvm_create_device, type),
	HEX(struct kvm_create_device, flags),
	{ 0 },
};
FIELDS(irqchip) = {
	DECIMAL(struct kvm_irqchip, chip_id),
	{ 0 },
};
FIELDS(irq_routing) = {
	DECIMAL(struct kvm_irq_routing, nr),
	HEX(struct kvm_irq_routing, flags),
	{ 0 },
};
FIELDS(irqfd) = {
	DECIMAL(struct kvm_irqfd, fd),
	DECIMAL(struct kvm_irqfd, gsi),
	HEX(struct kvm_irqfd, flags),
	DECIMAL(struct kvm_irqfd, resamplefd),
	{ 0 },
};
FIELDS(ioeventfd) = {
	HEX(struct kvm_ioeventfd, addr),
	DECIMAL(struct kvm_ioeventfd, len),
	DECIMAL(struct kvm_ioeventfd, fd),
	HEX(struct kvm_ioeventfd, flags),
	HEX(struct kvm_ioeventfd, datamatch),
	{ 0 },
};
FIELDS(zone) = {
	HEX(struct kvm_coalesced_mmio_zone, addr),
	HEX(struct kvm_coalesced_mmio_zone, size),
	DECIMAL(struct kvm_coalesced_mmio_zone, pio),
	{ 0 },
};
FIELDS(pit_config) = {
	HEX(struct kvm_pit_config, flags),
	{ 0 },
};
FIELDS(pit_state2) = {
	HEX(struct kvm_pit_state2, flags),
	{ 0 },
};
FIELDS(reinject) = {
	DECIMAL(struct kvm_reinject_control, pit_reinject),
	{ 0 },
};
FIELDS(clock_data) = {
	DECIMAL(struct kvm_clock_data, clock),
	HEX(struct kvm_clock_data, flags),
	{ 0 },
};
FIELDS(regs) = {
	HEX(struct kvm_regs, rip),
	HEX(struct kvm_regs, rsp),
	HEX(struct kvm_regs, rflags),
	{ 0 },
};
FIELDS(sregs) = {
	HEX(struct kvm_sregs, cr0),
	HEX(struct kvm_sregs, cr3),
	HEX(struct kvm_sregs, cr4),
	HEX(struct kvm_sregs, efer),
	{ 0 },
};
FIELDS(sregs2) = {
	HEX(struct kvm_sregs2, cr0),
	HEX(struct kvm_sregs2, cr3),
	HEX(struct kvm_sregs2, cr4),
	HEX(struct kvm_sregs2, efer),
	HEX(struct kvm_sregs2, flags),
	{ 0 },
};
FIELDS(xcrs) = {
	DECIMAL(struct kvm_xcrs, nr_xcrs),
	HEX(struct kvm_xcrs, xcrs[0].value),
	{ 0 },
};
FIELDS(debugregs) = {
	HEX(struct kvm_debugregs, dr6),
	HEX(struct kvm_debugregs, dr7),
	{ 0 },
};
FIELDS(translation) = {
	HEX(struct kvm_translation, linear_address),
	HEX(struct kvm_translation, physical_address),
	DECIMAL(struct kvm_translation, valid),
	{ 0 },
};
FIELDS(mp_state) = {
	DECIMAL(struct kvm_mp_state, mp_state),
	{ 0 },
};
FIELDS(vcpu_events) = {
	HEX(struct kvm_vcpu_events, flags),
	DECIMAL(struct kvm_vcpu_events, exception.injected),
	DECIMAL(struct kvm_vcpu_events, exception.nr),
	DECIMAL(struct kvm_vcpu_events, interrupt.injected),
	DECIMAL(struct kvm_vcpu_events, interrupt.nr),
	DECIMAL(struct kvm_vcpu_events, nmi.pending),
	{ 0 },
};
FIELDS(signal_mask) = {
	DECIMAL(struct kvm_signal_mask, len),
	{ 0 },
};
FIELDS(guest_debug) = {
	HEX(struct kvm_guest_debug, control),
	{ 0 },
};
FIELDS(tpr_access) = {
	DECIMAL(struct kvm_tpr_access_ctl, enabled),
	HEX(struct kvm_tpr_access_ctl, flags),
	{ 0 },
};
FIELDS(vapic_addr) = {
	HEX(struct kvm_vapic_addr, vapic_addr),
	{ 0 },
};
FIELDS(mce) = {
	DECIMAL(struct kvm_x86_mce, bank),
	HEX(struct kvm_x86_mce, status),
	HEX(struct kvm_x86_mce, addr),
	HEX(struct kvm_x86_mce, mcg_status),
	{ 0 },
};

/* ---- the table ---- */

#define IOCTL(number) .request = (uint32_t)number, .name = #number
#define NO_ARGUMENT .argument = ARGUMENT_NONE
#define VALUE .argument = ARGUMENT_VALUE
#define ARGUMENT(kind, type) .argument = ARGUMENT_##kind, .size = sizeof(type)

const struct ioctl_row ioctl_table[] = {
	/* First what is called most: the table is searched from the top. */
	{ IOCTL(KVM_RUN), .kinds = ON(OBJECT_VCPU), NO_ARGUMENT, .handler = ioctl_vcpu_run,
	  .section = "4.10" },
	{ IOCTL(KVM_IRQ_LINE_STATUS), .kinds = ON(OBJECT_VM),
	  ARGUMENT(INOUT, struct kvm_irq_level), .handler = ioctl_vm_irq_line,
	  .fields = irq_status_fields, .section = "4.25" },
	{ IOCTL(KVM_IRQ_LINE), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_irq_level),
	  .handler = ioctl_vm_irq_line, .fields = irq_level_fields, .section = "4.25" },
	{ IOCTL(KVM_SIGNAL_MSI), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_msi),
	  .handler = ioctl_vm_signal_msi, .fields = msi_fields, .section = "4.71" },
	{ IOCTL(KVM_INTERRUPT), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_interrupt),
	  .handler = ioctl_vcpu_interrupt, .fields = interrupt_fields, .section = "4.16" },

	/* /dev/kvm */
	{ IOCTL(KVM_GET_API_VERSION), .kinds = ON(OBJECT_SYSTEM), NO_ARGUMENT,
	  .handler = ioctl_system_get_api_version, .section = "4.1" },
	{ IOCTL(KVM_CREATE_VM), .kinds = ON(OBJECT_SYSTEM), VALUE,
	  .handler = ioctl_system_create_vm, .section = "4.2" },
	{ IOCTL(KVM_CHECK_EXTENSION), .kinds = ON(OBJECT_SYSTEM) | ON(OBJECT_VM), VALUE,
	  .handler = ioctl_capability_check, .section = "4.4" },
	{ IOCTL(KVM_GET_VCPU_MMAP_SIZE), .kinds = ON(OBJECT_SYSTEM), NO_ARGUMENT,
	  .handler = ioctl_system_get_vcpu_mmap_size, .section = "4.5" },
	{ IOCTL(KVM_GET_MSR_INDEX_LIST), .kinds = ON(OBJECT_SYSTEM),
	  ARGUMENT(RAW, struct kvm_msr_list), .handler = ioctl_system_get_msr_index_list,
	  .fields = msr_list_fields, .section = "4.3" },
	{ IOCTL(KVM_GET_MSR_FEATURE_INDEX_LIST), .kinds = ON(OBJECT_SYSTEM),
	  ARGUMENT(RAW, struct kvm_msr_list), .handler = ioctl_system_get_msr_feature_index_list,
	  .fields = msr_list_fields, .section = "4.3" },
	{ IOCTL(KVM_GET_SUPPORTED_CPUID), .kinds = ON(OBJECT_SYSTEM),
	  ARGUMENT(RAW, struct kvm_cpuid2), .handler = ioctl_system_get_supported_cpuid,
	  .fields = cpuid_fields, .section = "4.46" },
	{ IOCTL(KVM_GET_EMULATED_CPUID), .kinds = ON(OBJECT_SYSTEM),
	  ARGUMENT(RAW, struct kvm_cpuid2), .handler = ioctl_system_get_emulated_cpuid,
	  .fields = cpuid_fields, .section = "4.88" },
	{ IOCTL(KVM_X86_GET_MCE_CAP_SUPPORTED), .kinds = ON(OBJECT_SYSTEM),
	  ARGUMENT(OUT, uint64_t), .handler = ioctl_system_get_mce_cap_supported,
	  .fields = u64_fields, .section = "4.104" },
	{ IOCTL(KVM_GET_MSRS), .kinds = ON(OBJECT_SYSTEM), ARGUMENT(RAW, struct kvm_msrs),
	  .handler = ioctl_system_get_msrs, .fields = msrs_fields, .section = "4.18" },
	{ IOCTL(KVM_HAS_DEVICE_ATTR), .kinds = ON(OBJECT_SYSTEM),
	  ARGUMENT(IN, struct kvm_device_attr), .handler = ioctl_system_has_device_attr,
	  .fields = device_attr_fields, .section = "4.81" },
	{ IOCTL(KVM_GET_DEVICE_ATTR), .kinds = ON(OBJECT_SYSTEM),
	  ARGUMENT(IN, struct kvm_device_attr), .handler = ioctl_system_get_device_attr,
	  .fields = device_attr_fields, .section = "4.80" },

	/* VM: memory */
	{ IOCTL(KVM_SET_USER_MEMORY_REGION), .kinds = ON(OBJECT_VM),
	  ARGUMENT(IN, struct kvm_userspace_memory_region),
	  .handler = ioctl_vm_set_user_memory_region, .fields = region_fields,
	  .section = "4.35" },
	{ IOCTL(KVM_SET_USER_MEMORY_REGION2), .kinds = ON(OBJECT_VM),
	  ARGUMENT(IN, struct kvm_userspace_memory_region2),
	  .handler = ioctl_vm_set_user_memory_region2, .fields = region2_fields,
	  .section = "4.140" },
	{ IOCTL(KVM_SET_MEMORY_ATTRIBUTES), .kinds = ON(OBJECT_VM),
	  ARGUMENT(IN, struct kvm_memory_attributes), .handler = ioctl_vm_set_memory_attributes,
	  .fields = attributes_fields, .section = "4.141" },
	{ IOCTL(KVM_SET_MEMORY_ATTRIBUTES2), .kinds = ON(OBJECT_VM),
	  ARGUMENT(IN, struct kvm_memory_attributes2), .handler = ioctl_vm_set_memory_attributes2,
	  .fields = attributes_fields, .section = "4.145" },
	{ IOCTL(KVM_CREATE_GUEST_MEMFD), .kinds = ON(OBJECT_VM),
	  ARGUMENT(IN, struct kvm_create_guest_memfd), .handler = ioctl_vm_create_guest_memfd,
	  .fields = guest_memfd_fields, .section = "4.142" },
	{ IOCTL(KVM_GET_DIRTY_LOG), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_dirty_log),
	  .handler = ioctl_vm_get_dirty_log, .fields = dirty_log_fields, .section = "4.8" },
	{ IOCTL(KVM_CLEAR_DIRTY_LOG), .kinds = ON(OBJECT_VM),
	  ARGUMENT(IN, struct kvm_clear_dirty_log), .handler = ioctl_vm_clear_dirty_log,
	  .fields = clear_dirty_log_fields, .section = "4.117" },
	{ IOCTL(KVM_RESET_DIRTY_RINGS), .kinds = ON(OBJECT_VM), NO_ARGUMENT,
	  .handler = ioctl_vm_reset_dirty_rings, .section = "8.29" },
	{ IOCTL(KVM_SET_NR_MMU_PAGES), .kinds = ON(OBJECT_VM), VALUE,
	  .handler = ioctl_vm_set_nr_mmu_pages },
	{ IOCTL(KVM_SET_TSS_ADDR), .kinds = ON(OBJECT_VM), VALUE,
	  .handler = ioctl_vm_set_tss_addr, .section = "4.36" },
	{ IOCTL(KVM_SET_IDENTITY_MAP_ADDR), .kinds = ON(OBJECT_VM), ARGUMENT(IN, uint64_t),
	  .require = ioctl_vm_has_no_vcpu, .handler = ioctl_vm_set_identity_map_addr,
	  .fields = u64_fields, .section = "4.40" },

	/* guest_memfd */
	{ IOCTL(KVM_SET_MEMORY_ATTRIBUTES2), .kinds = ON(OBJECT_GUEST_MEMFD),
	  ARGUMENT(IN, struct kvm_memory_attributes2),
	  .handler = ioctl_guest_memfd_set_attributes, .fields = attributes_fields,
	  .section = "4.145" },

	/* VM: vCPUs, capabilities, devices */
	{ IOCTL(KVM_CREATE_VCPU), .kinds = ON(OBJECT_VM), VALUE, .handler = ioctl_vm_create_vcpu,
	  .section = "4.7" },
	{ IOCTL(KVM_SET_BOOT_CPU_ID), .kinds = ON(OBJECT_VM), VALUE,
	  .handler = ioctl_vm_set_boot_cpu_id, .section = "4.41" },
	{ IOCTL(KVM_ENABLE_CAP), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_enable_cap),
	  .handler = ioctl_vm_enable_cap, .fields = enable_cap_fields, .section = "4.37" },
	{ IOCTL(KVM_X86_SET_MSR_FILTER), .kinds = ON(OBJECT_VM),
	  ARGUMENT(IN, struct kvm_msr_filter), .handler = ioctl_vm_set_msr_filter,
	  .fields = msr_filter_fields, .section = "4.97" },
	{ IOCTL(KVM_CREATE_DEVICE), .kinds = ON(OBJECT_VM),
	  ARGUMENT(INOUT, struct kvm_create_device), .handler = ioctl_vm_create_device,
	  .fields = create_device_fields, .section = "4.79" },
	{ IOCTL(KVM_GET_STATS_FD), .kinds = ON(OBJECT_VM) | ON(OBJECT_VCPU), NO_ARGUMENT,
	  .handler = ioctl_get_stats_fd, .section = "4.133" },

	/* VM: interrupts */
	{ IOCTL(KVM_CREATE_IRQCHIP), .kinds = ON(OBJECT_VM), NO_ARGUMENT,
	  .handler = ioctl_vm_create_irqchip, .section = "4.24" },
	{ IOCTL(KVM_GET_IRQCHIP), .kinds = ON(OBJECT_VM), ARGUMENT(INOUT, struct kvm_irqchip),
	  .handler = ioctl_vm_get_irqchip, .fields = irqchip_fields, .section = "4.26" },
	{ IOCTL(KVM_SET_IRQCHIP), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_irqchip),
	  .handler = ioctl_vm_set_irqchip, .fields = irqchip_fields, .section = "4.27" },
	{ IOCTL(KVM_SET_GSI_ROUTING), .kinds = ON(OBJECT_VM),
	  ARGUMENT(RAW, struct kvm_irq_routing), .handler = ioctl_vm_set_gsi_routing,
	  .fields = irq_routing_fields, .section = "4.52" },
	{ IOCTL(KVM_IRQFD), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_irqfd),
	  .handler = ioctl_vm_irqfd, .fields = irqfd_fields, .section = "4.75" },
	{ IOCTL(KVM_IOEVENTFD), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_ioeventfd),
	  .handler = ioctl_vm_ioeventfd, .fields = ioeventfd_fields, .section = "4.59" },
	{ IOCTL(KVM_REGISTER_COALESCED_MMIO), .kinds = ON(OBJECT_VM),
	  ARGUMENT(IN, struct kvm_coalesced_mmio_zone),
	  .handler = ioctl_vm_register_coalesced_mmio, .fields = zone_fields,
	  .section = "4.116" },
	{ IOCTL(KVM_UNREGISTER_COALESCED_MMIO), .kinds = ON(OBJECT_VM),
	  ARGUMENT(IN, struct kvm_coalesced_mmio_zone),
	  .handler = ioctl_vm_unregister_coalesced_mmio, .fields = zone_fields,
	  .section = "4.116" },

	/* VM: timers and clocks */
	{ IOCTL(KVM_CREATE_PIT), .kinds = ON(OBJECT_VM), NO_ARGUMENT,
	  .handler = ioctl_vm_create_pit },
	{ IOCTL(KVM_CREATE_PIT2), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_pit_config),
	  .handler = ioctl_vm_create_pit2, .fields = pit_config_fields, .section = "4.71" },
	{ IOCTL(KVM_GET_PIT), .kinds = ON(OBJECT_VM), ARGUMENT(INOUT, struct kvm_pit_state),
	  .handler = ioctl_vm_get_pit },
	{ IOCTL(KVM_SET_PIT), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_pit_state),
	  .handler = ioctl_vm_set_pit },
	{ IOCTL(KVM_GET_PIT2), .kinds = ON(OBJECT_VM), ARGUMENT(OUT, struct kvm_pit_state2),
	  .require = ioctl_vm_has_pit, .handler = ioctl_vm_get_pit2, .fields = pit_state2_fields,
	  .section = "4.72" },
	{ IOCTL(KVM_SET_PIT2), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_pit_state2),
	  .handler = ioctl_vm_set_pit2, .fields = pit_state2_fields, .section = "4.73" },
	{ IOCTL(KVM_REINJECT_CONTROL), .kinds = ON(OBJECT_VM),
	  ARGUMENT(IN, struct kvm_reinject_control), .handler = ioctl_vm_reinject_control,
	  .fields = reinject_fields },
	{ IOCTL(KVM_GET_CLOCK), .kinds = ON(OBJECT_VM), ARGUMENT(OUT, struct kvm_clock_data),
	  .handler = ioctl_vm_get_clock, .fields = clock_data_fields, .section = "4.29" },
	{ IOCTL(KVM_SET_CLOCK), .kinds = ON(OBJECT_VM), ARGUMENT(IN, struct kvm_clock_data),
	  .handler = ioctl_vm_set_clock, .fields = clock_data_fields, .section = "4.30" },
	{ IOCTL(KVM_GET_TSC_KHZ), .kinds = ON(OBJECT_VM), NO_ARGUMENT,
	  .handler = ioctl_vm_get_tsc_khz, .section = "4.56" },
	{ IOCTL(KVM_SET_TSC_KHZ), .kinds = ON(OBJECT_VM), VALUE, .handler = ioctl_vm_set_tsc_khz,
	  .section = "4.55" },

	/* vCPU: registers */
	{ IOCTL(KVM_GET_REGS), .kinds = ON(OBJECT_VCPU), ARGUMENT(OUT, struct kvm_regs),
	  .handler = ioctl_vcpu_get_regs, .fields = regs_fields, .section = "4.11" },
	{ IOCTL(KVM_SET_REGS), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_regs),
	  .handler = ioctl_vcpu_set_regs, .fields = regs_fields, .section = "4.12" },
	{ IOCTL(KVM_GET_SREGS), .kinds = ON(OBJECT_VCPU), ARGUMENT(OUT, struct kvm_sregs),
	  .handler = ioctl_vcpu_get_sregs, .fields = sregs_fields, .section = "4.13" },
	{ IOCTL(KVM_SET_SREGS), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_sregs),
	  .handler = ioctl_vcpu_set_sregs, .fields = sregs_fields, .section = "4.14" },
	{ IOCTL(KVM_GET_SREGS2), .kinds = ON(OBJECT_VCPU), ARGUMENT(OUT, struct kvm_sregs2),
	  .handler = ioctl_vcpu_get_sregs2, .fields = sregs2_fields, .section = "4.131" },
	{ IOCTL(KVM_SET_SREGS2), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_sregs2),
	  .handler = ioctl_vcpu_set_sregs2, .fields = sregs2_fields, .section = "4.132" },
	{ IOCTL(KVM_GET_FPU), .kinds = ON(OBJECT_VCPU), ARGUMENT(OUT, struct kvm_fpu),
	  .handler = ioctl_vcpu_get_fpu, .section = "4.22" },
	{ IOCTL(KVM_SET_FPU), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_fpu),
	  .handler = ioctl_vcpu_set_fpu, .section = "4.23" },
	{ IOCTL(KVM_GET_XSAVE), .kinds = ON(OBJECT_VCPU), ARGUMENT(OUT, struct kvm_xsave),
	  .handler = ioctl_vcpu_get_xsave, .section = "4.42" },
	{ IOCTL(KVM_GET_XSAVE2), .kinds = ON(OBJECT_VCPU), ARGUMENT(OUT, struct kvm_xsave),
	  .handler = ioctl_vcpu_get_xsave, .section = "4.134" },
	{ IOCTL(KVM_SET_XSAVE), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_xsave),
	  .handler = ioctl_vcpu_set_xsave, .section = "4.43" },
	{ IOCTL(KVM_GET_XCRS), .kinds = ON(OBJECT_VCPU), ARGUMENT(OUT, struct kvm_xcrs),
	  .handler = ioctl_vcpu_get_xcrs, .fields = xcrs_fields, .section = "4.44" },
	{ IOCTL(KVM_SET_XCRS), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_xcrs),
	  .handler = ioctl_vcpu_set_xcrs, .fields = xcrs_fields, .section = "4.45" },
	{ IOCTL(KVM_GET_DEBUGREGS), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(OUT, struct kvm_debugregs), .handler = ioctl_vcpu_get_debugregs,
	  .fields = debugregs_fields, .section = "4.33" },
	{ IOCTL(KVM_SET_DEBUGREGS), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_debugregs),
	  .handler = ioctl_vcpu_set_debugregs, .fields = debugregs_fields, .section = "4.34" },
	{ IOCTL(KVM_GET_MSRS), .kinds = ON(OBJECT_VCPU), ARGUMENT(RAW, struct kvm_msrs),
	  .handler = ioctl_vcpu_get_msrs, .fields = msrs_fields, .section = "4.18" },
	{ IOCTL(KVM_SET_MSRS), .kinds = ON(OBJECT_VCPU), ARGUMENT(RAW, struct kvm_msrs),
	  .handler = ioctl_vcpu_set_msrs, .fields = msrs_fields, .section = "4.19" },
	{ IOCTL(KVM_SET_CPUID), .kinds = ON(OBJECT_VCPU), ARGUMENT(RAW, struct kvm_cpuid),
	  .handler = ioctl_vcpu_set_cpuid, .fields = cpuid_fields, .section = "4.20" },
	{ IOCTL(KVM_SET_CPUID2), .kinds = ON(OBJECT_VCPU), ARGUMENT(RAW, struct kvm_cpuid2),
	  .handler = ioctl_vcpu_set_cpuid2, .fields = cpuid_fields },
	{ IOCTL(KVM_GET_CPUID2), .kinds = ON(OBJECT_VCPU), ARGUMENT(RAW, struct kvm_cpuid2),
	  .handler = ioctl_vcpu_get_cpuid2, .fields = cpuid_fields },
	{ IOCTL(KVM_TRANSLATE), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(INOUT, struct kvm_translation), .handler = ioctl_vcpu_translate,
	  .fields = translation_fields, .section = "4.15" },

	{ IOCTL(KVM_PRE_FAULT_MEMORY), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(RAW, struct kvm_pre_fault_memory), .handler = ioctl_vcpu_pre_fault_memory,
	  .fields = pre_fault_fields, .section = "4.143" },

	/* vCPU: events, interrupts, debugging */
	{ IOCTL(KVM_GET_MP_STATE), .kinds = ON(OBJECT_VCPU), ARGUMENT(OUT, struct kvm_mp_state),
	  .handler = ioctl_vcpu_get_mp_state, .fields = mp_state_fields, .section = "4.38" },
	{ IOCTL(KVM_SET_MP_STATE), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_mp_state),
	  .handler = ioctl_vcpu_set_mp_state, .fields = mp_state_fields, .section = "4.39" },
	{ IOCTL(KVM_GET_VCPU_EVENTS), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(OUT, struct kvm_vcpu_events), .handler = ioctl_vcpu_get_events,
	  .fields = vcpu_events_fields, .section = "4.31" },
	{ IOCTL(KVM_SET_VCPU_EVENTS), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(IN, struct kvm_vcpu_events), .handler = ioctl_vcpu_set_events,
	  .fields = vcpu_events_fields, .section = "4.32" },
	{ IOCTL(KVM_SET_SIGNAL_MASK), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(RAW, struct kvm_signal_mask), .handler = ioctl_vcpu_set_signal_mask,
	  .fields = signal_mask_fields, .section = "4.21" },
	{ IOCTL(KVM_SMI), .kinds = ON(OBJECT_VCPU), NO_ARGUMENT, .handler = ioctl_vcpu_smi,
	  .section = "4.96" },
	{ IOCTL(KVM_NMI), .kinds = ON(OBJECT_VCPU), NO_ARGUMENT, .handler = ioctl_vcpu_nmi,
	  .section = "4.64" },
	{ IOCTL(KVM_SET_GUEST_DEBUG), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(IN, struct kvm_guest_debug), .handler = ioctl_vcpu_set_guest_debug,
	  .fields = guest_debug_fields, .section = "4.87" },
	{ IOCTL(KVM_GET_LAPIC), .kinds = ON(OBJECT_VCPU), ARGUMENT(OUT, struct kvm_lapic_state),
	  .require = ioctl_vcpu_has_lapic, .handler = ioctl_vcpu_get_lapic, .section = "4.57" },
	{ IOCTL(KVM_SET_LAPIC), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_lapic_state),
	  .require = ioctl_vcpu_has_lapic, .handler = ioctl_vcpu_set_lapic, .section = "4.58" },
	{ IOCTL(KVM_TPR_ACCESS_REPORTING), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(INOUT, struct kvm_tpr_access_ctl), .handler = ioctl_vcpu_tpr_access_reporting,
	  .fields = tpr_access_fields },
	{ IOCTL(KVM_SET_VAPIC_ADDR), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(IN, struct kvm_vapic_addr), .require = ioctl_vcpu_has_lapic,
	  .handler = ioctl_vcpu_set_vapic_addr, .fields = vapic_addr_fields },
	{ IOCTL(KVM_X86_SETUP_MCE), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, uint64_t),
	  .handler = ioctl_vcpu_setup_mce, .fields = u64_fields, .section = "4.105" },
	{ IOCTL(KVM_X86_SET_MCE), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_x86_mce),
	  .handler = ioctl_vcpu_set_mce, .fields = mce_fields, .section = "4.106" },

	/* vCPU: clocks, capabilities, attributes */
	{ IOCTL(KVM_GET_TSC_KHZ), .kinds = ON(OBJECT_VCPU), NO_ARGUMENT,
	  .handler = ioctl_vcpu_get_tsc_khz, .section = "4.56" },
	{ IOCTL(KVM_SET_TSC_KHZ), .kinds = ON(OBJECT_VCPU), VALUE,
	  .handler = ioctl_vcpu_set_tsc_khz, .section = "4.55" },
	{ IOCTL(KVM_KVMCLOCK_CTRL), .kinds = ON(OBJECT_VCPU), NO_ARGUMENT,
	  .handler = ioctl_vcpu_kvmclock_ctrl, .section = "4.70" },
	{ IOCTL(KVM_ENABLE_CAP), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_enable_cap),
	  .handler = ioctl_vcpu_enable_cap, .fields = enable_cap_fields, .section = "4.37" },
	{ IOCTL(KVM_HAS_DEVICE_ATTR), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(IN, struct kvm_device_attr), .handler = ioctl_vcpu_has_device_attr,
	  .fields = device_attr_fields, .section = "4.81" },
	{ IOCTL(KVM_GET_DEVICE_ATTR), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(IN, struct kvm_device_attr), .handler = ioctl_vcpu_get_device_attr,
	  .fields = device_attr_fields, .section = "4.80" },
	{ IOCTL(KVM_SET_DEVICE_ATTR), .kinds = ON(OBJECT_VCPU),
	  ARGUMENT(IN, struct kvm_device_attr), .handler = ioctl_vcpu_set_device_attr,
	  .fields = device_attr_fields, .section = "4.80" },

	{ IOCTL(KVM_GET_ONE_REG), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_one_reg),
	  .handler = ioctl_vcpu_get_one_reg, .fields = one_reg_fields, .section = "4.69" },
	{ IOCTL(KVM_SET_ONE_REG), .kinds = ON(OBJECT_VCPU), ARGUMENT(IN, struct kvm_one_reg),
	  .handler = ioctl_vcpu_set_one_reg, .fields = one_reg_fields, .section = "4.68" },
	{ IOCTL(KVM_GET_REG_LIST), .kinds = ON(OBJECT_VCPU), ARGUMENT(RAW, struct kvm_reg_list),
	  .handler = ioctl_vcpu_get_reg_list, .fields = reg_list_fields, .section = "4.84" },

	/* Not offered: named for the trace, answered as a KVM without the feature does. */
	{ IOCTL(KVM_GET_SUPPORTED_HV_CPUID), .kinds = ON(OBJECT_SYSTEM) | ON(OBJECT_VCPU),
	  .absent = EINVAL, .section = "4.118" },
	{ IOCTL(KVM_GET_NESTED_STATE), .kinds = ON(OBJECT_VCPU), .absent = EINVAL },
	{ IOCTL(KVM_SET_NESTED_STATE), .kinds = ON(OBJECT_VCPU), .absent = EINVAL },
	{ IOCTL(KVM_SET_PMU_EVENT_FILTER), .kinds = ON(OBJECT_VM), .absent = ENOTTY },
	{ IOCTL(KVM_XEN_HVM_CONFIG), .kinds = ON(OBJECT_VM), .absent = ENOTTY },
	{ IOCTL(KVM_HYPERV_EVENTFD), .kinds = ON(OBJECT_VM), .absent = ENOTTY },
	{ IOCTL(KVM_MEMORY_ENCRYPT_OP), .kinds = ON(OBJECT_VM), .absent = ENOTTY },
};

const size_t ioctl_table_rows = sizeof(ioctl_table) / sizeof(ioctl_table[0]);

const struct ioctl_row *ioctl_find(uint32_t request, enum object_kind kind)
{
	size_t i;

	for (i = 0; i < ioctl_table_rows; i++)
		if (ioctl_table[i].request == request && (ioctl_table[i].kinds & ON(kind)))
			return &ioctl_table[i];
	return NULL;
}
