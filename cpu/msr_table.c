/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows, by index. Source: Intel SDM volume 4; AMD APM volume 2, appendix A; KVM's msr.rst. */
#include "cpu/msr_table.h"

#include <linux/kvm_para.h>

#include "cpu/smm.h"

#ifndef KVM_FEATURE_POLL_CONTROL
#define KVM_FEATURE_POLL_CONTROL 12
#endif
#ifndef KVM_FEATURE_ASYNC_PF_INT
#define KVM_FEATURE_ASYNC_PF_INT 14
#endif

#define ALL (~0ull)
#define LOW(bits) ((1ull << (bits)) - 1)
#define ONE(index) (index), (index)
#define RANGE(index, count) (index), (index) + (count) - 1
#define STORE(field)                                                                               \
	.storage = offsetof(struct cpu_state, msr) +                                               \
		   offsetof(__typeof__(((struct cpu_state *)0)->msr), field)
#define PV(feature) .pv_feature = KVM_FEATURE_##feature + 1
#define READS_ZERO .flags = MSR_READ_ONLY
#define IGNORES .flags = MSR_IGNORES, .writable = ALL

/*
 * RDCL_NO, IBRS_ALL is not there, SKIP_VMENTRY_L1DFLUSH, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO:
 * nothing here speculates.
 */
#define ARCH_CAPABILITIES 0x179ull
#define PAT_AT_RESET 0x0007040600070406ull

#define PRESENT(name, expression)                                                                  \
	static bool has_##name(const struct vcpu *vcpu)                                            \
	{                                                                                          \
		return expression;                                                                 \
	}
PRESENT(tsc_adjust, vcpu->features.tsc_adjust)
PRESENT(arch_capabilities, vcpu->features.arch_capabilities)
PRESENT(spec_ctrl, vcpu->features.spec_ctrl)
PRESENT(pdcm, vcpu->features.pdcm)
PRESENT(xsaves, vcpu->features.xsaves)
PRESENT(osvw, vcpu->features.osvw)
PRESENT(tsc_aux, vcpu->features.rdtscp || vcpu->features.rdpid)

const struct msr_row msr_table[] = {
	{ ONE(0x0), "P5_MC_ADDR", READS_ZERO },
	{ ONE(0x1), "P5_MC_TYPE", READS_ZERO },
	{ ONE(MSR_TSC), "TSC", MSR_LISTED, .writable = ALL, .get = msr_get_tsc, .set = msr_set_tsc },
	{ ONE(MSR_KVM_WALL_CLOCK_OLD), "KVM_WALL_CLOCK", MSR_LISTED, STORE(kvm_wall_clock),
	  .writable = ALL, PV(CLOCKSOURCE), .set = msr_set_wall_clock },
	{ ONE(MSR_KVM_SYSTEM_TIME_OLD), "KVM_SYSTEM_TIME", MSR_LISTED, STORE(kvm_system_time),
	  .writable = ALL, PV(CLOCKSOURCE), .set = msr_set_system_time },
	{ ONE(0x17), "PLATFORM_ID", READS_ZERO },
	{ ONE(MSR_APIC_BASE), "APIC_BASE", .writable = ALL, .get = msr_get_apic_base,
	  .set = msr_set_apic_base },
	{ ONE(0x2a), "EBL_CR_POWERON", READS_ZERO },
	{ ONE(0x2c), "EBC_FREQUENCY_ID", MSR_READ_ONLY, .reset = 1ull << 24 },
	{ ONE(MSR_SMI_COUNT), "SMI_COUNT", MSR_LISTED | MSR_GUEST_READS, STORE(smi_count),
	  .writable = ALL },
	{ ONE(MSR_FEATURE_CONTROL), "FEATURE_CONTROL", MSR_LISTED, STORE(feature_control),
	  .writable = 1, .set = msr_set_feature_control },
	{ ONE(MSR_TSC_ADJUST), "TSC_ADJUST", MSR_LISTED, STORE(tsc_adjust), .writable = ALL,
	  .present = has_tsc_adjust, .set = msr_set_tsc_adjust },
	{ ONE(MSR_SPEC_CTRL), "SPEC_CTRL", MSR_LISTED, STORE(spec_ctrl), .writable = 7,
	  .present = has_spec_ctrl },
	{ ONE(MSR_PRED_CMD), "PRED_CMD", MSR_IGNORES | MSR_WRITE_ONLY, .writable = 1,
	  .present = has_spec_ctrl },
	{ ONE(MSR_BIOS_UPDT_TRIG), "BIOS_UPDT_TRIG", MSR_IGNORES | MSR_WRITE_ONLY,
	  .writable = ALL },
	{ ONE(MSR_UCODE_REV), "UCODE_REV", MSR_LISTED | MSR_FEATURE | MSR_GUEST_DROPPED,
	  STORE(ucode_rev), .reset = 1ull << 32, .writable = ALL },
	{ ONE(MSR_SMBASE), "SMBASE", MSR_LISTED | MSR_HOST_ONLY, STORE(smbase),
	  .reset = SMBASE_AT_RESET, .writable = ALL },
	{ RANGE(0xc1, 2), "P6_PERFCTR", IGNORES },
	{ ONE(0xcd), "FSB_FREQ", MSR_READ_ONLY, .reset = 3 },
	{ ONE(MSR_PLATFORM_INFO), "PLATFORM_INFO", MSR_LISTED | MSR_FEATURE | MSR_GUEST_READS,
	  STORE(platform_info), .reset = 1ull << 31 /* CPUID faulting */, .writable = ALL,
	  .get = msr_get_platform_info, .set = msr_set_platform_info },
	{ ONE(MSR_MTRRCAP), "MTRRCAP", MSR_READ_ONLY,
	  .reset = MTRR_VARIABLE_RANGES | 1 << 8 /* fixed */ | 1 << 10 /* WC */ },
	{ ONE(MSR_ARCH_CAPABILITIES), "ARCH_CAPABILITIES",
	  MSR_LISTED | MSR_FEATURE | MSR_GUEST_READS | MSR_IMMUTABLE, STORE(arch_capabilities),
	  .reset = ARCH_CAPABILITIES, .writable = ALL, .present = has_arch_capabilities },
	{ ONE(0x11e), "BBL_CR_CTL3", MSR_IGNORES, .reset = 0xbe702111, .writable = ALL },
	{ ONE(0x140), "MISC_FEATURES_ENABLES", MSR_LISTED, STORE(misc_features), .writable = 1,
	  .set = msr_set_misc_features },
	{ ONE(MSR_SYSENTER_CS), "SYSENTER_CS", MSR_LISTED, STORE(sysenter_cs), .writable = ALL },
	{ ONE(MSR_SYSENTER_ESP), "SYSENTER_ESP", MSR_LISTED, STORE(sysenter_esp), .writable = ALL,
	  .set = msr_set_sysenter_address },
	{ ONE(MSR_SYSENTER_EIP), "SYSENTER_EIP", MSR_LISTED, STORE(sysenter_eip), .writable = ALL,
	  .set = msr_set_sysenter_address },
	{ ONE(MSR_MCG_CAP), "MCG_CAP", MSR_READ_ONLY, STORE(mcg_cap) },
	{ ONE(MSR_MCG_STATUS), "MCG_STATUS", MSR_LISTED, STORE(mcg_status), .writable = ALL },
	{ ONE(MSR_MCG_CTL), "MCG_CTL", MSR_LISTED, .writable = ALL, .get = msr_get_mcg_ctl,
	  .set = msr_set_mcg_ctl },
	{ RANGE(0x186, 2), "P6_EVNTSEL", IGNORES },
	{ ONE(MSR_PERF_STATUS), "PERF_STATUS", MSR_READ_ONLY,
	  .reset = 1000ull | 4ull << 40 /* frequency and ratio that old guests divide by */ },
	{ ONE(0x199), "PERF_CTL", READS_ZERO },
	{ ONE(MSR_MISC_ENABLE), "MISC_ENABLE", MSR_LISTED, STORE(misc_enable), .reset = 1,
	  .writable = ALL, .set = msr_set_misc_enable },
	/* Branch records and single-stepping on branches are switched on without effect, as KVM's. */
	{ ONE(MSR_DEBUGCTL), "DEBUGCTL", MSR_IGNORES, .writable = 3 },
	{ RANGE(0x1db, 4), "LAST_BRANCH", READS_ZERO },
	{ ONE(MSR_POWER_CTL), "POWER_CTL", MSR_LISTED, STORE(power_ctl), .writable = ALL },
	{ RANGE(MSR_MTRR_PHYSBASE0, 2 * MTRR_VARIABLE_RANGES), "MTRR_PHYS", STORE(mtrr_var),
	  .writable = ALL, .set = msr_set_mtrr_variable },
	{ ONE(MSR_MTRR_FIX64K), "MTRR_FIX64K", STORE(mtrr_fixed[0]), .writable = ALL,
	  .set = msr_set_mtrr_fixed },
	{ RANGE(MSR_MTRR_FIX16K, 2), "MTRR_FIX16K", STORE(mtrr_fixed[1]), .writable = ALL,
	  .set = msr_set_mtrr_fixed },
	{ RANGE(MSR_MTRR_FIX4K, 8), "MTRR_FIX4K", STORE(mtrr_fixed[3]), .writable = ALL,
	  .set = msr_set_mtrr_fixed },
	{ ONE(MSR_PAT), "PAT", MSR_LISTED, STORE(pat), .reset = PAT_AT_RESET, .writable = ALL,
	  .set = msr_set_pat },
	{ RANGE(MSR_MC0_CTL2, MCE_BANKS), "MC_CTL2", .writable = ALL, .get = msr_get_mc_ctl2,
	  .set = msr_set_mc_ctl2 },
	{ ONE(MSR_MTRR_DEF_TYPE), "MTRR_DEF_TYPE", STORE(mtrr_def_type), .writable = 0xcff,
	  .set = msr_set_mtrr_def_type },
	{ ONE(MSR_PERF_CAPABILITIES), "PERF_CAPABILITIES",
	  MSR_LISTED | MSR_FEATURE | MSR_GUEST_READS | MSR_IMMUTABLE, STORE(perf_capabilities),
	  .present = has_pdcm },
	/* A vCPU that waits is in C1, never deeper. */
	{ RANGE(MSR_CORE_C3_RESIDENCY, 3), "CORE_C3_C6_C7_RESIDENCY", MSR_READ_ONLY,
	  .get = msr_get_residency },
	{ RANGE(MSR_MC0_CTL, 4 * MCE_BANKS), "MC", .writable = ALL, .get = msr_get_mc,
	  .set = msr_set_mc },
	{ ONE(0x606), "RAPL_POWER_UNIT", READS_ZERO },
	{ ONE(0x611), "PKG_ENERGY_STATUS", READS_ZERO },
	{ ONE(0x619), "DRAM_ENERGY_STATUS", READS_ZERO },
	{ ONE(0x639), "PP0_ENERGY_STATUS", READS_ZERO },
	{ ONE(0x641), "PP1_ENERGY_STATUS", READS_ZERO },
	{ ONE(MSR_CORE_C1_RESIDENCY), "CORE_C1_RESIDENCY", MSR_READ_ONLY,
	  .get = msr_get_residency },
	{ ONE(MSR_TSC_DEADLINE), "TSC_DEADLINE", MSR_LISTED, .writable = ALL,
	  .get = msr_get_tsc_deadline, .set = msr_set_tsc_deadline },
	{ MSR_X2APIC_FIRST, MSR_X2APIC_LAST, "X2APIC", .writable = ALL, .get = msr_get_x2apic,
	  .set = msr_set_x2apic },
	{ ONE(MSR_XSS), "XSS", STORE(xss), .present = has_xsaves },

	{ ONE(MSR_KVM_WALL_CLOCK_NUMBER), "KVM_WALL_CLOCK_NEW", MSR_LISTED, STORE(kvm_wall_clock),
	  .writable = ALL, PV(CLOCKSOURCE2), .set = msr_set_wall_clock },
	{ ONE(MSR_KVM_SYSTEM_TIME_NUMBER), "KVM_SYSTEM_TIME_NEW", MSR_LISTED,
	  STORE(kvm_system_time), .writable = ALL, PV(CLOCKSOURCE2), .set = msr_set_system_time },
	{ ONE(MSR_KVM_ASYNC_PF_EN_NUMBER), "KVM_ASYNC_PF_EN", MSR_LISTED, STORE(kvm_async_pf_en),
	  .writable = ALL, PV(ASYNC_PF), .set = msr_set_async_pf },
	{ ONE(MSR_KVM_STEAL_TIME_NUMBER), "KVM_STEAL_TIME", MSR_LISTED, STORE(kvm_steal_time),
	  .writable = ALL, PV(STEAL_TIME), .set = msr_set_steal_time },
	{ ONE(MSR_KVM_PV_EOI_NUMBER), "KVM_PV_EOI_EN", MSR_LISTED, STORE(kvm_pv_eoi),
	  .writable = ALL, PV(PV_EOI), .set = msr_set_pv_eoi },
	{ ONE(MSR_KVM_POLL_CONTROL_NUMBER), "KVM_POLL_CONTROL", MSR_LISTED,
	  STORE(kvm_poll_control), .reset = 1, .writable = 1, PV(POLL_CONTROL) },
	{ ONE(MSR_KVM_ASYNC_PF_INT_NUMBER), "KVM_ASYNC_PF_INT", MSR_LISTED,
	  STORE(kvm_async_pf_int), .writable = LOW(8), PV(ASYNC_PF_INT),
	  .set = msr_set_async_pf_int },
	{ ONE(MSR_KVM_ASYNC_PF_ACK_NUMBER), "KVM_ASYNC_PF_ACK", MSR_LISTED, .writable = ALL,
	  PV(ASYNC_PF_INT), .set = msr_set_async_pf_ack },

	{ ONE(MSR_EFER_NUMBER), "EFER", .writable = ALL, .get = msr_get_efer,
	  .set = msr_set_efer },
	{ ONE(MSR_STAR_NUMBER), "STAR", MSR_LISTED, STORE(star), .writable = ALL },
	{ ONE(MSR_LSTAR_NUMBER), "LSTAR", MSR_LISTED | MSR_CANONICAL, STORE(lstar),
	  .writable = ALL },
	{ ONE(MSR_CSTAR_NUMBER), "CSTAR", MSR_LISTED | MSR_CANONICAL, STORE(cstar),
	  .writable = ALL },
	{ ONE(MSR_SFMASK_NUMBER), "SFMASK", MSR_LISTED, STORE(sfmask), .writable = ALL },
	{ MSR_FS_BASE_NUMBER, MSR_GS_BASE_NUMBER, "FS_GS_BASE", MSR_CANONICAL, .writable = ALL,
	  .get = msr_get_base, .set = msr_set_base },
	{ ONE(MSR_KERNEL_GS_BASE_NUMBER), "KERNEL_GS_BASE", MSR_LISTED | MSR_CANONICAL,
	  STORE(kernel_gs_base), .writable = ALL },
	{ ONE(MSR_TSC_AUX_NUMBER), "TSC_AUX", MSR_LISTED, STORE(tsc_aux), .writable = ALL,
	  .present = has_tsc_aux, .set = msr_set_tsc_aux },

	{ RANGE(0xc0010000u, 8), "K7_PERF", IGNORES },
	{ ONE(0xc0010010u), "SYSCFG", IGNORES },
	{ ONE(MSR_AMD_HWCR), "HWCR", MSR_LISTED, STORE(hwcr), .writable = ALL,
	  .set = msr_set_hwcr },
	{ ONE(0xc001001bu), "K7_CLK_CTL", MSR_IGNORES, .reset = 0x20000000, .writable = ALL },
	{ ONE(0xc001001fu), "NB_CFG", IGNORES },
	{ ONE(MSR_AMD_PATCH_LOADER), "PATCH_LOADER", MSR_IGNORES | MSR_WRITE_ONLY,
	  .writable = ALL },
	{ ONE(0xc0010055u), "INT_PENDING_MSG", READS_ZERO },
	{ ONE(0xc0010058u), "MMIO_CONF_BASE", .flags = MSR_IGNORES },
	{ RANGE(0xc0010112u, 2), "TSEG", READS_ZERO },
	{ ONE(0xc0010117u), "VM_HSAVE_PA", IGNORES },
	{ ONE(0xc0010140u), "OSVW_ID_LENGTH", STORE(osvw_length), .writable = ALL,
	  .present = has_osvw },
	{ ONE(0xc0010141u), "OSVW_STATUS", STORE(osvw_status), .writable = ALL,
	  .present = has_osvw },
	{ RANGE(0xc0011022u, 2), "DC_TW_CFG", IGNORES },
	{ ONE(MSR_AMD_DE_CFG), "DE_CFG", MSR_FEATURE | MSR_IMMUTABLE, STORE(de_cfg), .reset = 2,
	  .writable = 2 },
	{ ONE(0xc001102au), "BU_CFG2", IGNORES },
	{ ONE(0xc001102cu), "EX_CFG", IGNORES },
};

const size_t msr_table_rows = sizeof(msr_table) / sizeof(msr_table[0]);
