/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MSRs: one table for the guest's RDMSR and WRMSR, KVM_GET_MSRS and KVM_SET_MSRS, the index
 * lists and the feature MSRs. Source: Intel SDM volume 4; KVM document msr.rst.
 */
#include "cpu/msr.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "cpu/vcpu.h"

#define EFER_KNOWN (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define MTRR_VARIABLE_RANGES 8

struct msr_row {
	uint32_t first, last;
	const char *name;
	/* Plain storage: offset of a uint64_t in struct cpu_state, 0 when get and set do it all. */
	size_t storage;
	uint64_t writable;   /* a set bit outside is #GP */
	bool listed;         /* in KVM_GET_MSR_INDEX_LIST */
	bool feature;        /* in KVM_GET_MSR_FEATURE_INDEX_LIST */
	bool read_only;      /* for the guest; user space may write */
	bool canonical;      /* the value must be a canonical address */
	bool (*present)(const struct vcpu *vcpu); /* for the guest; NULL: always */
	int (*get)(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host);
	int (*set)(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host);
};

#define STORE(field) (offsetof(struct cpu_state, msr) + \
		      offsetof(__typeof__(((struct cpu_state *)0)->msr), field))

static uint64_t *storage(struct vcpu *vcpu, const struct msr_row *row, uint32_t index)
{
	return (uint64_t *)((uint8_t *)&vcpu->state + row->storage) + (index - row->first);
}

static bool canonical(const struct vcpu *vcpu, uint64_t value)
{
	unsigned shift = vcpu->features.la57 ? 7 : 16;

	return (uint64_t)((int64_t)(value << shift) >> shift) == value;
}

/* ---- presence ---- */

#define PRESENT(feature)                                                                           \
static bool has_##feature(const struct vcpu *vcpu)                                                \
{                                                                                                  \
	return vcpu->features.feature;                                                             \
}
PRESENT(tsc_adjust)
PRESENT(arch_capabilities)
PRESENT(spec_ctrl)

static bool has_tsc_aux(const struct vcpu *vcpu)
{
	return vcpu->features.rdtscp || vcpu->features.rdpid;
}

/* ---- TSC ---- */

static int get_tsc(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index, (void)host;
	*value = tsc_read(&vcpu->tsc);
	return 0;
}

static int set_tsc(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index;
	if (host) {
		clock_write_tsc(vcpu->vm->clock, &vcpu->tsc, value);
	} else {
		uint64_t before = tsc_read(&vcpu->tsc);

		/* A guest's write shows in TSC_ADJUST as well (SDM 17.17.3). */
		tsc_write(&vcpu->tsc, value);
		vcpu->state.msr.tsc_adjust += value - before;
	}
	vcpu_request(vcpu, VCPU_REQUEST_CLOCK);
	return 0;
}

static int set_tsc_adjust(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index;
	if (!host) {
		vcpu->tsc.offset += value - vcpu->state.msr.tsc_adjust;
		vcpu_request(vcpu, VCPU_REQUEST_CLOCK);
	}
	vcpu->state.msr.tsc_adjust = value;
	return 0;
}

static int get_deadline(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index, (void)host;
	*value = vcpu->lapic ? lapic_get_tsc_deadline(vcpu->lapic) : 0;
	return 0;
}

static int set_deadline(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (vcpu->lapic)
		lapic_set_tsc_deadline(vcpu->lapic, value);
	return 0;
}

/* ---- local APIC ---- */

static int get_apic_base(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index, (void)host;
	*value = vcpu->lapic ? lapic_get_base(vcpu->lapic) : vcpu->state.apic_base;
	return 0;
}

static int set_apic_base(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index;
	if (vcpu->lapic)
		return lapic_set_base(vcpu->lapic, value, host);
	vcpu->state.apic_base = value;
	return 0;
}

static int get_x2apic(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)host;
	return vcpu->lapic ? lapic_msr_read(vcpu->lapic, index, value) : -EINVAL;
}

static int set_x2apic(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)host;
	return vcpu->lapic ? lapic_msr_write(vcpu->lapic, index, value) : -EINVAL;
}

/* ---- modes and segments ---- */

static int get_efer(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index, (void)host;
	*value = vcpu->state.efer;
	return 0;
}

static int set_efer(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	struct cpu_state *s = &vcpu->state;

	(void)index;
	if (value & ~EFER_KNOWN)
		return -EINVAL;
	if (!host) {
		if (value & ~(vcpu->features.efer_allowed | EFER_LMA))
			return -EINVAL;
		/* LME may not change while paging is on; LMA is the processor's own. */
		if ((s->cr0 & CR0_PG) && ((value ^ s->efer) & EFER_LME))
			return -EINVAL;
		value = (value & ~EFER_LMA) | (s->efer & EFER_LMA);
	}
	s->efer = value;
	vcpu_mode_changed(vcpu);
	vcpu_paging_changed(vcpu);
	return 0;
}

static int get_base(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)host;
	*value = vcpu->state.seg[index == MSR_FS_BASE_NUMBER ? SEG_FS : SEG_GS].base;
	return 0;
}

static int set_base(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	unsigned seg = index == MSR_FS_BASE_NUMBER ? SEG_FS : SEG_GS;

	(void)host;
	vcpu->state.seg[seg].base = value;
	vcpu->state.base[seg] = value;
	return 0;
}

/* ---- memory types ---- */

static bool memory_type_valid(uint8_t type)
{
	return type < 8 && (1u << type & 0x73); /* UC WC WT WP WB */
}

static int set_pat(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	unsigned i;

	(void)index, (void)host;
	for (i = 0; i < 8; i++) {
		uint8_t type = value >> (8 * i);

		if (!memory_type_valid(type) && type != 7)
			return -EINVAL;
	}
	vcpu->state.msr.pat = value;
	return 0;
}

static int set_mtrr_fixed(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	unsigned i, slot;

	(void)host;
	for (i = 0; i < 8; i++)
		if (!memory_type_valid(value >> (8 * i)))
			return -EINVAL;
	slot = index == MSR_MTRR_FIX64K ? 0 : index < MSR_MTRR_FIX4K ? 1 + index - MSR_MTRR_FIX16K :
								       3 + index - MSR_MTRR_FIX4K;
	vcpu->state.msr.mtrr_fixed[slot] = value;
	return 0;
}

static int get_mtrr_fixed(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	unsigned slot = index == MSR_MTRR_FIX64K ? 0 :
			index < MSR_MTRR_FIX4K ? 1 + index - MSR_MTRR_FIX16K :
						 3 + index - MSR_MTRR_FIX4K;

	(void)host;
	*value = vcpu->state.msr.mtrr_fixed[slot];
	return 0;
}

static int set_mtrr_def_type(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if ((value & ~0xcffull) || !memory_type_valid(value & 0xff))
		return -EINVAL;
	vcpu->state.msr.mtrr_def_type = value;
	return 0;
}

static int set_mtrr_variable(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	uint64_t reserved = ~((1ull << vcpu->features.maxphyaddr) - 1);

	(void)host;
	if (index & 1) {
		if (value & (reserved | 0x7ff))
			return -EINVAL;
	} else if ((value & (reserved | 0xf00)) || !memory_type_valid(value & 0xff)) {
		return -EINVAL;
	}
	vcpu->state.msr.mtrr_var[index - MSR_MTRR_PHYSBASE0] = value;
	return 0;
}

static int get_mtrrcap(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)vcpu, (void)index, (void)host;
	*value = MTRR_VARIABLE_RANGES | 1 << 8 /* fixed */ | 1 << 10 /* WC */;
	return 0;
}

/* ---- machine check ---- */

static int get_mc(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	unsigned i = index - MSR_MC0_CTL;

	(void)host;
	if (i >= 4 * (vcpu->state.msr.mcg_cap & 0xff))
		return -EINVAL;
	*value = vcpu->state.msr.mc_banks[i];
	return 0;
}

static int set_mc(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	unsigned i = index - MSR_MC0_CTL;

	if (i >= 4 * (vcpu->state.msr.mcg_cap & 0xff))
		return -EINVAL;
	/* MCi_CTL is all or nothing (bit 10 may be clear, a known quirk of guests); a guest may
	 * only clear MCi_STATUS. */
	if ((i & 3) == 0 && value && (value | 1ull << 10 | 1) != ~0ull)
		return -EINVAL;
	if (!host && (i & 3) == 1 && value)
		return -EINVAL;
	vcpu->state.msr.mc_banks[i] = value;
	return 0;
}

static int set_mcg_ctl(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index;
	if (!(vcpu->state.msr.mcg_cap & 1 << 8) && !host)
		return -EINVAL;
	if (value != 0 && value != ~0ull)
		return -EINVAL;
	vcpu->state.msr.mcg_ctl = value;
	return 0;
}

/* ---- KVM's own ---- */

static int set_system_time(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	vcpu->state.msr.kvm_system_time = value;
	vcpu_update_clock(vcpu);
	return 0;
}

static int get_system_time(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index, (void)host;
	*value = vcpu->state.msr.kvm_system_time;
	return 0;
}

static int get_wall_clock(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)index, (void)host;
	*value = vcpu->state.msr.kvm_wall_clock;
	return 0;
}

static int set_wall_clock(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	vcpu->state.msr.kvm_wall_clock = value;
	/* A bad address leaves the guest without a wall clock, as in the kernel. */
	if (value)
		clock_write_wall_clock(vcpu->vm->clock, vcpu->vm->memory, value);
	return 0;
}

static int set_async_pf(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (value & 0x30)
		return -EINVAL;
	vcpu->state.msr.kvm_async_pf_en = value;
	return 0;
}

/* struct kvm_steal_time: this vCPU's time waiting for a host CPU. */
static int set_steal_time(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	if (value & 0x3e)
		return -EINVAL;
	vcpu->state.msr.kvm_steal_time = value;
	vcpu_update_steal_time(vcpu);
	return 0;
}

static int get_zero(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)vcpu, (void)index, (void)host;
	*value = 0;
	return 0;
}

static int set_ignored(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)vcpu, (void)index, (void)value, (void)host;
	return 0;
}

static int set_misc_enable(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	(void)index, (void)host;
	vcpu->state.msr.misc_enable = value;
	return 0;
}

static int get_perf_status(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	(void)vcpu, (void)index, (void)host;
	*value = 1000ull | 4ull << 40; /* as KVM: bus frequency and ratio that old guests divide by */
	return 0;
}

#define ALL (~0ull)

static const struct msr_row table[] = {
	{ MSR_TSC, MSR_TSC, "TSC", .writable = ALL, .listed = true, .get = get_tsc, .set = set_tsc },
	{ MSR_KVM_WALL_CLOCK_OLD, MSR_KVM_WALL_CLOCK_OLD, "KVM_WALL_CLOCK", .writable = ALL,
	  .listed = true, .get = get_wall_clock, .set = set_wall_clock },
	{ MSR_KVM_SYSTEM_TIME_OLD, MSR_KVM_SYSTEM_TIME_OLD, "KVM_SYSTEM_TIME", .writable = ALL,
	  .listed = true, .get = get_system_time, .set = set_system_time },
	{ 0x17, 0x17, "PLATFORM_ID", .get = get_zero, .read_only = true },
	{ MSR_APIC_BASE, MSR_APIC_BASE, "APIC_BASE", .writable = ALL, .get = get_apic_base,
	  .set = set_apic_base },
	{ 0x2a, 0x2a, "EBL_CR_POWERON", .get = get_zero, .read_only = true },
	{ MSR_FEATURE_CONTROL, MSR_FEATURE_CONTROL, "FEATURE_CONTROL",
	  STORE(feature_control), .writable = 1, .listed = true },
	{ MSR_TSC_ADJUST, MSR_TSC_ADJUST, "TSC_ADJUST", STORE(tsc_adjust), .writable = ALL,
	  .listed = true, .present = has_tsc_adjust, .set = set_tsc_adjust },
	{ MSR_SPEC_CTRL, MSR_SPEC_CTRL, "SPEC_CTRL", STORE(spec_ctrl), .writable = 7,
	  .listed = true, .present = has_spec_ctrl },
	{ MSR_PRED_CMD, MSR_PRED_CMD, "PRED_CMD", .writable = 1, .present = has_spec_ctrl,
	  .get = get_zero, .set = set_ignored },
	{ MSR_BIOS_UPDT_TRIG, MSR_BIOS_UPDT_TRIG, "BIOS_UPDT_TRIG", .writable = ALL,
	  .get = get_zero, .set = set_ignored },
	{ MSR_UCODE_REV, MSR_UCODE_REV, "UCODE_REV", STORE(ucode_rev), .writable = ALL,
	  .feature = true, .listed = true },
	{ MSR_PLATFORM_INFO, MSR_PLATFORM_INFO, "PLATFORM_INFO", STORE(platform_info),
	  .writable = 1ull << 31, .listed = true, .feature = true, .read_only = true },
	{ MSR_MTRRCAP, MSR_MTRRCAP, "MTRRCAP", .get = get_mtrrcap, .read_only = true },
	{ MSR_ARCH_CAPABILITIES, MSR_ARCH_CAPABILITIES, "ARCH_CAPABILITIES",
	  STORE(arch_capabilities), .writable = ALL, .listed = true, .feature = true,
	  .read_only = true, .present = has_arch_capabilities },
	{ 0x140, 0x140, "MISC_FEATURES_ENABLES", STORE(misc_features), .writable = 0,
	  .listed = true },
	{ MSR_SYSENTER_CS, MSR_SYSENTER_CS, "SYSENTER_CS", STORE(sysenter_cs), .writable = ALL,
	  .listed = true },
	{ MSR_SYSENTER_ESP, MSR_SYSENTER_ESP, "SYSENTER_ESP", STORE(sysenter_esp), .writable = ALL,
	  .listed = true, .canonical = true },
	{ MSR_SYSENTER_EIP, MSR_SYSENTER_EIP, "SYSENTER_EIP", STORE(sysenter_eip), .writable = ALL,
	  .listed = true, .canonical = true },
	{ MSR_MCG_CAP, MSR_MCG_CAP, "MCG_CAP", STORE(mcg_cap), .read_only = true },
	{ MSR_MCG_STATUS, MSR_MCG_STATUS, "MCG_STATUS", STORE(mcg_status), .writable = ALL,
	  .listed = true },
	{ MSR_MCG_CTL, MSR_MCG_CTL, "MCG_CTL", STORE(mcg_ctl), .writable = ALL, .listed = true,
	  .set = set_mcg_ctl },
	{ MSR_PERF_STATUS, MSR_PERF_STATUS, "PERF_STATUS", .get = get_perf_status,
	  .read_only = true },
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, "MISC_ENABLE", STORE(misc_enable), .writable = ALL,
	  .listed = true, .set = set_misc_enable },
	{ MSR_DEBUGCTL, MSR_DEBUGCTL, "DEBUGCTL", STORE(debugctl), .writable = 0 },
	{ MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE_RANGES - 1, "MTRR_PHYS",
	  STORE(mtrr_var), .writable = ALL, .set = set_mtrr_variable },
	{ MSR_MTRR_FIX64K, MSR_MTRR_FIX64K, "MTRR_FIX64K", .writable = ALL, .get = get_mtrr_fixed,
	  .set = set_mtrr_fixed },
	{ MSR_MTRR_FIX16K, MSR_MTRR_FIX16K + 1, "MTRR_FIX16K", .writable = ALL,
	  .get = get_mtrr_fixed, .set = set_mtrr_fixed },
	{ MSR_MTRR_FIX4K, MSR_MTRR_FIX4K + 7, "MTRR_FIX4K", .writable = ALL, .get = get_mtrr_fixed,
	  .set = set_mtrr_fixed },
	{ MSR_PAT, MSR_PAT, "PAT", STORE(pat), .writable = ALL, .listed = true, .set = set_pat },
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, "MTRR_DEF_TYPE", STORE(mtrr_def_type),
	  .writable = ALL, .set = set_mtrr_def_type },
	{ MSR_MC0_CTL, MSR_MC0_CTL + 4 * 32 - 1, "MC", .writable = ALL, .get = get_mc,
	  .set = set_mc },
	{ MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, "TSC_DEADLINE", .writable = ALL, .listed = true,
	  .get = get_deadline, .set = set_deadline },
	{ MSR_X2APIC_FIRST, MSR_X2APIC_LAST, "X2APIC", .writable = ALL, .get = get_x2apic,
	  .set = set_x2apic },
	{ MSR_KVM_WALL_CLOCK_NUMBER, MSR_KVM_WALL_CLOCK_NUMBER, "KVM_WALL_CLOCK_NEW",
	  .writable = ALL, .listed = true, .get = get_wall_clock, .set = set_wall_clock },
	{ MSR_KVM_SYSTEM_TIME_NUMBER, MSR_KVM_SYSTEM_TIME_NUMBER, "KVM_SYSTEM_TIME_NEW",
	  .writable = ALL, .listed = true, .get = get_system_time, .set = set_system_time },
	{ MSR_KVM_ASYNC_PF_EN_NUMBER, MSR_KVM_ASYNC_PF_EN_NUMBER, "KVM_ASYNC_PF_EN",
	  STORE(kvm_async_pf_en), .writable = ALL, .listed = true, .set = set_async_pf },
	{ MSR_KVM_STEAL_TIME_NUMBER, MSR_KVM_STEAL_TIME_NUMBER, "KVM_STEAL_TIME",
	  STORE(kvm_steal_time), .writable = ALL, .listed = true, .set = set_steal_time },
	{ MSR_KVM_PV_EOI_NUMBER, MSR_KVM_PV_EOI_NUMBER, "KVM_PV_EOI_EN", STORE(kvm_pv_eoi),
	  .writable = ~2ull, .listed = true },
	{ MSR_KVM_POLL_CONTROL_NUMBER, MSR_KVM_POLL_CONTROL_NUMBER, "KVM_POLL_CONTROL",
	  STORE(kvm_poll_control), .writable = 1, .listed = true },
	{ MSR_KVM_ASYNC_PF_INT_NUMBER, MSR_KVM_ASYNC_PF_INT_NUMBER, "KVM_ASYNC_PF_INT",
	  STORE(kvm_async_pf_int), .writable = 0xff, .listed = true },
	{ MSR_KVM_ASYNC_PF_ACK_NUMBER, MSR_KVM_ASYNC_PF_ACK_NUMBER, "KVM_ASYNC_PF_ACK",
	  STORE(kvm_async_pf_ack), .writable = 1, .listed = true },
	{ MSR_EFER_NUMBER, MSR_EFER_NUMBER, "EFER", .writable = ALL, .get = get_efer,
	  .set = set_efer },
	{ MSR_STAR_NUMBER, MSR_STAR_NUMBER, "STAR", STORE(star), .writable = ALL, .listed = true,
	 },
	{ MSR_LSTAR_NUMBER, MSR_LSTAR_NUMBER, "LSTAR", STORE(lstar), .writable = ALL, .listed = true,
	  .canonical = true },
	{ MSR_CSTAR_NUMBER, MSR_CSTAR_NUMBER, "CSTAR", STORE(cstar), .writable = ALL, .listed = true,
	  .canonical = true },
	{ MSR_SFMASK_NUMBER, MSR_SFMASK_NUMBER, "SFMASK", STORE(sfmask), .writable = ALL,
	  .listed = true },
	{ MSR_FS_BASE_NUMBER, MSR_GS_BASE_NUMBER, "FS_GS_BASE", .writable = ALL,
	  .canonical = true, .get = get_base, .set = set_base },
	{ MSR_KERNEL_GS_BASE_NUMBER, MSR_KERNEL_GS_BASE_NUMBER, "KERNEL_GS_BASE",
	  STORE(kernel_gs_base), .writable = ALL, .listed = true, .canonical = true,
	},
	{ MSR_TSC_AUX_NUMBER, MSR_TSC_AUX_NUMBER, "TSC_AUX", STORE(tsc_aux),
	  .writable = 0xffffffff, .listed = true, .present = has_tsc_aux },
	{ 0xc0010010u, 0xc0010010u, "K8_SYSCFG", .get = get_zero, .set = set_ignored,
	  .writable = ALL },
	{ MSR_AMD_HWCR, MSR_AMD_HWCR, "K7_HWCR", .get = get_zero, .set = set_ignored,
	  .writable = 1ull << 3 | 1ull << 6 | 1ull << 8 | 1ull << 18 | 1ull << 24 },
	{ MSR_AMD_PATCH_LOADER, MSR_AMD_PATCH_LOADER, "PATCH_LOADER", .writable = ALL,
	  .get = get_zero, .set = set_ignored },
	{ MSR_AMD_DE_CFG, MSR_AMD_DE_CFG, "DE_CFG", STORE(power_ctl), .writable = 2,
	  .feature = true },
};

static const struct msr_row *find(uint32_t index)
{
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (index >= table[i].first && index <= table[i].last)
			return &table[i];
	return NULL;
}

int msr_read(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host)
{
	const struct msr_row *row = find(index);

	if (!row || (!host && row->present && !row->present(vcpu)))
		return -EINVAL;
	if (row->get)
		return row->get(vcpu, index, value, host);
	*value = *storage(vcpu, row, index);
	return 0;
}

int msr_write(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host)
{
	const struct msr_row *row = find(index);

	if (!row || (!host && ((row->present && !row->present(vcpu)) || row->read_only)))
		return -EINVAL;
	if (host && row->read_only && row->storage) {
		*storage(vcpu, row, index) = value;
		return 0;
	}
	if (row->read_only)
		return -EINVAL;
	if (value & ~row->writable)
		return -EINVAL;
	if (row->canonical && !canonical(vcpu, value))
		return -EINVAL;
	if (row->set)
		return row->set(vcpu, index, value, host);
	*storage(vcpu, row, index) = value;
	return 0;
}

static unsigned list(uint32_t *out, bool features)
{
	unsigned count = 0;
	size_t i;
	uint32_t index;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (!(features ? table[i].feature : table[i].listed))
			continue;
		for (index = table[i].first; index <= table[i].last; index++) {
			if (out)
				out[count] = index;
			count++;
		}
	}
	return count;
}

unsigned msr_index_list(uint32_t *out)
{
	return list(out, false);
}

unsigned msr_feature_list(uint32_t *out)
{
	return list(out, true);
}

/* What a guest may be told of this processor: RDCL_NO, SKIP_VMENTRY_L1DFLUSH, SSB_NO, MDS_NO,
 * PSCHANGE_MC_NO, TAA_NO: nothing here speculates. */
#define ARCH_CAPABILITIES_VALUE 0x179ull

int msr_feature_read(uint32_t index, uint64_t *value)
{
	switch (index) {
	case MSR_UCODE_REV:
		*value = 1ull << 32;
		return 0;
	case MSR_PLATFORM_INFO:
		*value = 1ull << 31;
		return 0;
	case MSR_ARCH_CAPABILITIES:
		*value = ARCH_CAPABILITIES_VALUE;
		return 0;
	case MSR_AMD_DE_CFG:
		*value = 2;
		return 0;
	}
	return -EINVAL;
}

void msr_reset(struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	unsigned i;

	memset(&s->msr, 0, sizeof(s->msr));
	s->msr.pat = 0x0007040600070406ull;
	s->msr.misc_enable = 1;
	s->msr.ucode_rev = 1ull << 32;
	s->msr.platform_info = 1ull << 31;
	s->msr.arch_capabilities = ARCH_CAPABILITIES_VALUE;
	s->msr.mcg_cap = 0;
	s->msr.kvm_poll_control = 1;
	for (i = 0; i < sizeof(s->msr.mc_banks) / sizeof(s->msr.mc_banks[0]); i += 4)
		s->msr.mc_banks[i] = ~0ull;
}
