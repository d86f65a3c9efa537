/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID: what is supported, what a vCPU was given, what its guest sees.
 *
 * A feature is offered when the CPU core implements it and, where instructions run on the host, the
 * host has it. Source: Intel SDM volume 2, CPUID; KVM documents cpuid.rst and api.rst 4.46, 4.20.
 */
#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "cpu/vcpu.h"

enum reg { EAX, EBX, ECX, EDX };

#define BIT(n) (1u << (n))

/* Leaf 1 EDX / ECX, leaf 7 EBX / ECX / EDX, 0x80000001 EDX / ECX that the core implements. */
#define LEAF1_EDX                                                                                  \
	(BIT(0) /* FPU */ | BIT(1) /* VME */ | BIT(2) /* DE */ | BIT(3) /* PSE */ | BIT(4) /* TSC */ | \
	 BIT(5) /* MSR */ | BIT(6) /* PAE */ | BIT(7) /* MCE */ | BIT(8) /* CX8 */ |                \
	 BIT(9) /* APIC */ | BIT(11) /* SEP */ | BIT(12) /* MTRR */ | BIT(13) /* PGE */ |           \
	 BIT(14) /* MCA */ | BIT(15) /* CMOV */ | BIT(16) /* PAT */ | BIT(17) /* PSE36 */ |         \
	 BIT(19) /* CLFSH */ | BIT(23) /* MMX */ | BIT(24) /* FXSR */ | BIT(25) /* SSE */ |         \
	 BIT(26) /* SSE2 */ | BIT(27) /* SS */)
#define LEAF1_ECX_CORE                                                                             \
	(BIT(13) /* CX16 */ | BIT(17) /* PCID */ | BIT(21) /* X2APIC */ | BIT(22) /* MOVBE */ |     \
	 BIT(23) /* POPCNT */ | BIT(26) /* XSAVE */ | BIT(31) /* HYPERVISOR */)
#define LEAF1_ECX_HOST                                                                             \
	(BIT(0) /* SSE3 */ | BIT(1) /* PCLMUL */ | BIT(9) /* SSSE3 */ | BIT(19) /* SSE4.1 */ |      \
	 BIT(20) /* SSE4.2 */ | BIT(25) /* AES */ | BIT(30) /* RDRAND */)
#define LEAF7_EBX_CORE                                                                             \
	(BIT(0) /* FSGSBASE */ | BIT(1) /* TSC_ADJUST */ | BIT(3) /* BMI1 */ | BIT(7) /* SMEP */ |  \
	 BIT(8) /* BMI2 */ | BIT(9) /* ERMS */ | BIT(10) /* INVPCID */ | BIT(19) /* ADX */ |        \
	 BIT(20) /* SMAP */ | BIT(23) /* CLFLUSHOPT */ | BIT(24) /* CLWB */)
#define LEAF7_EBX_HOST (BIT(18) /* RDSEED */ | BIT(29) /* SHA */)
#define LEAF7_ECX_CORE                                                                             \
	(BIT(2) /* UMIP */ | BIT(3) /* PKU */ | BIT(16) /* LA57 */ | BIT(22) /* RDPID */)
#define LEAF7_EDX_CORE (BIT(29) /* ARCH_CAPABILITIES */)
#define EXT1_EDX                                                                                   \
	(BIT(11) /* SYSCALL */ | BIT(20) /* NX */ | BIT(26) /* 1 GiB pages */ | BIT(27) /* RDTSCP */ | \
	 BIT(29) /* LM */)
#define EXT1_ECX (BIT(0) /* LAHF64 */ | BIT(5) /* ABM: LZCNT */ | BIT(8) /* 3DNOWPREFETCH */)
/* What AMD repeats of leaf 1 EDX in 0x80000001 EDX. */
#define EXT1_EDX_REPEATED 0x0183f3ffu

#define KVM_LEAF 0x40000000u
#define KVM_FEATURES_OFFERED                                                                       \
	(BIT(0) /* CLOCKSOURCE */ | BIT(1) /* NOP_IO_DELAY */ | BIT(3) /* CLOCKSOURCE2 */ |         \
	 BIT(4) /* ASYNC_PF: pages are always there */ | BIT(5) /* STEAL_TIME */ |                 \
	 BIT(6) /* PV_EOI */ | BIT(7) /* PV_UNHALT */ | BIT(11) /* PV_SEND_IPI */ |                 \
	 BIT(12) /* POLL_CONTROL */ | BIT(13) /* PV_SCHED_YIELD */ | BIT(14) /* ASYNC_PF_INT */ |   \
	 BIT(24) /* CLOCKSOURCE_STABLE */)

static void host(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	__cpuid_count(leaf, subleaf, r[EAX], r[EBX], r[ECX], r[EDX]);
}

static uint32_t host_max(uint32_t base)
{
	uint32_t r[4];

	host(base, 0, r);
	return r[EAX];
}

bool cpuid_host_is_amd(void)
{
	uint32_t r[4];

	host(0, 0, r);
	return r[EBX] == 0x68747541; /* "Auth" */
}

struct list {
	struct kvm_cpuid_entry2 *entries;
	unsigned max, count;
};

static void add(struct list *list, uint32_t leaf, uint32_t subleaf, bool indexed,
		const uint32_t r[4])
{
	if (list->count < list->max)
		list->entries[list->count] = (struct kvm_cpuid_entry2){
			.function = leaf,
			.index = subleaf,
			.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = r[EAX],
			.ebx = r[EBX],
			.ecx = r[ECX],
			.edx = r[EDX],
		};
	list->count++;
}

static void add_basic(struct list *list)
{
	uint32_t h[4], r[4];

	host(0, 0, r);
	r[EAX] = 0xd;
	add(list, 0, 0, false, r);

	host(1, 0, h);
	r[EAX] = h[EAX];
	r[EBX] = (h[EBX] & 0x0000ff00) | (h[EBX] & 0xff); /* CLFLUSH size, brand index */
	r[ECX] = LEAF1_ECX_CORE | (h[ECX] & LEAF1_ECX_HOST);
	r[EDX] = LEAF1_EDX;
	add(list, 1, 0, false, r);

	if (host_max(0) >= 2) {
		host(2, 0, r);
		add(list, 2, 0, false, r);
	}
	if (host_max(0) >= 4 && !cpuid_host_is_amd()) {
		uint32_t i;

		for (i = 0; i < 8; i++) {
			host(4, i, r);
			r[EAX] &= ~0xffffc000u; /* no sharing: topology is user space's */
			add(list, 4, i, true, r);
			if (!(r[EAX] & 0x1f))
				break;
		}
	}
	memset(r, 0, sizeof(r));
	r[EAX] = BIT(2); /* ARAT: the APIC timer always runs */
	add(list, 6, 0, false, r);

	memset(h, 0, sizeof(h));
	if (host_max(0) >= 7)
		host(7, 0, h);
	r[EAX] = 0;
	r[EBX] = LEAF7_EBX_CORE | (h[EBX] & LEAF7_EBX_HOST);
	r[ECX] = LEAF7_ECX_CORE;
	r[EDX] = LEAF7_EDX_CORE;
	add(list, 7, 0, true, r);
}

static void add_xsave(struct list *list)
{
	uint32_t r[4] = { 0x3, 576, 576, 0 }; /* x87 and SSE; legacy area and header */

	add(list, 0xd, 0, true, r);
	r[EAX] = BIT(0) | BIT(1); /* XSAVEOPT, XSAVEC */
	r[EBX] = 576;
	r[ECX] = r[EDX] = 0;
	add(list, 0xd, 1, true, r);
}

static void add_kvm(struct list *list)
{
	uint32_t r[4] = { KVM_LEAF | 1 };

	memcpy(&r[EBX], "KVMKVMKVM\0\0\0", 12);
	add(list, KVM_LEAF, 0, false, r);
	memset(r, 0, sizeof(r));
	r[EAX] = KVM_FEATURES_OFFERED;
	add(list, KVM_LEAF | 1, 0, false, r);
}

static void add_extended(struct list *list)
{
	uint32_t r[4], h[4], leaf;

	host(0x80000000u, 0, r);
	r[EAX] = 0x80000008u;
	add(list, 0x80000000u, 0, false, r);
	host(0x80000001u, 0, h);
	r[EAX] = h[EAX];
	r[EBX] = 0;
	r[ECX] = EXT1_ECX;
	r[EDX] = EXT1_EDX | (cpuid_host_is_amd() ? LEAF1_EDX & EXT1_EDX_REPEATED : 0);
	add(list, 0x80000001u, 0, false, r);
	for (leaf = 0x80000002u; leaf <= 0x80000006u; leaf++) {
		memset(r, 0, sizeof(r));
		if (host_max(0x80000000u) >= leaf)
			host(leaf, 0, r);
		add(list, leaf, 0, false, r);
	}
	memset(r, 0, sizeof(r));
	r[EDX] = BIT(8); /* invariant TSC */
	add(list, 0x80000007u, 0, false, r);
	host(0x80000008u, 0, h);
	r[EAX] = (h[EAX] & 0xff) | 48 << 8;
	r[EBX] = r[ECX] = r[EDX] = 0;
	add(list, 0x80000008u, 0, false, r);
}

unsigned cpuid_supported(struct kvm_cpuid_entry2 *entries, unsigned max)
{
	struct list list = { entries, max, 0 };

	add_basic(&list);
	add_xsave(&list);
	add_kvm(&list);
	add_extended(&list);
	return list.count;
}

unsigned cpuid_emulated(struct kvm_cpuid_entry2 *entries, unsigned max)
{
	struct list list = { entries, max, 0 };
	uint32_t r[4] = { 0 };

	r[EAX] = 7;
	add(&list, 0, 0, false, r);
	memset(r, 0, sizeof(r));
	r[ECX] = BIT(22); /* MOVBE */
	add(&list, 1, 0, false, r);
	memset(r, 0, sizeof(r));
	r[ECX] = BIT(22); /* RDPID */
	add(&list, 7, 0, true, r);
	return list.count;
}

/* ---- a vCPU's table ---- */

static const struct kvm_cpuid_entry2 *find(const struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
	unsigned i;

	for (i = 0; i < vcpu->cpuid_count; i++) {
		const struct kvm_cpuid_entry2 *entry = &vcpu->cpuid[i];

		if (entry->function == leaf &&
		    (!(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || entry->index == subleaf))
			return entry;
	}
	return NULL;
}

static uint32_t reg_of(const struct vcpu *vcpu, uint32_t leaf, enum reg reg)
{
	const struct kvm_cpuid_entry2 *entry = find(vcpu, leaf, 0);

	if (!entry)
		return 0;
	return reg == EAX ? entry->eax : reg == EBX ? entry->ebx :
	       reg == ECX ? entry->ecx : entry->edx;
}

#define CR4_SUPPORTED                                                                              \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |   \
	 CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_LA57 | CR4_FSGSBASE | CR4_PCIDE |            \
	 CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_PKE)

/* As KVM: only features that came later are bound to CPUID. */
static uint64_t cr4_reserved(const struct guest_features *f)
{
	uint64_t allowed = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE |
			   CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	allowed |= f->umip ? CR4_UMIP : 0;
	allowed |= f->la57 ? CR4_LA57 : 0;
	allowed |= f->fsgsbase ? CR4_FSGSBASE : 0;
	allowed |= f->pcid ? CR4_PCIDE : 0;
	allowed |= f->xsave ? CR4_OSXSAVE : 0;
	allowed |= f->smep ? CR4_SMEP : 0;
	allowed |= f->smap ? CR4_SMAP : 0;
	allowed |= f->pku ? CR4_PKE : 0;
	return ~allowed;
}

static void derive(struct vcpu *vcpu)
{
	struct guest_features *f = &vcpu->features;
	uint32_t c1 = reg_of(vcpu, 1, ECX), d1 = reg_of(vcpu, 1, EDX);
	uint32_t b7 = reg_of(vcpu, 7, EBX), c7 = reg_of(vcpu, 7, ECX), d7 = reg_of(vcpu, 7, EDX);
	uint32_t ec = reg_of(vcpu, 0x80000001u, ECX), ed = reg_of(vcpu, 0x80000001u, EDX);
	uint32_t vendor = reg_of(vcpu, 0, EBX);
	uint32_t phys = reg_of(vcpu, 0x80000008u, EAX) & 0xff;
	const struct kvm_cpuid_entry2 *xsave = find(vcpu, 0xd, 1);

	memset(f, 0, sizeof(*f));
	f->maxphyaddr = phys >= 32 && phys <= 52 ? phys : 36;
	f->intel = vendor == 0x756e6547;
	f->amd = vendor == 0x68747541 || vendor == 0x6f677948;
	f->pse = d1 & BIT(3);
	f->pae = d1 & BIT(6);
	f->mce = d1 & BIT(7);
	f->mtrr = d1 & BIT(12);
	f->pge = d1 & BIT(13);
	f->pat = d1 & BIT(16);
	f->pse36 = d1 & BIT(17);
	f->clflush = d1 & BIT(19);
	f->fxsr = d1 & BIT(24);
	f->sse = d1 & BIT(25);
	f->sse2 = d1 & BIT(26);
	f->sse3 = c1 & BIT(0);
	f->pclmul = c1 & BIT(1);
	f->monitor = c1 & BIT(3);
	f->ssse3 = c1 & BIT(9);
	f->cmpxchg16b = c1 & BIT(13);
	f->pcid = c1 & BIT(17);
	f->sse41 = c1 & BIT(19);
	f->sse42 = c1 & BIT(20);
	f->x2apic = c1 & BIT(21);
	f->movbe = c1 & BIT(22);
	f->popcnt = c1 & BIT(23);
	f->tsc_deadline = c1 & BIT(24);
	f->aes = c1 & BIT(25);
	f->xsave = c1 & BIT(26);
	f->rdrand = c1 & BIT(30);
	f->fsgsbase = b7 & BIT(0);
	f->tsc_adjust = b7 & BIT(1);
	f->bmi1 = b7 & BIT(3);
	f->smep = b7 & BIT(7);
	f->bmi2 = b7 & BIT(8);
	f->erms = b7 & BIT(9);
	f->invpcid = b7 & BIT(10);
	f->rdseed = b7 & BIT(18);
	f->adx = b7 & BIT(19);
	f->smap = b7 & BIT(20);
	f->clflushopt = b7 & BIT(23);
	f->clwb = b7 & BIT(24);
	f->sha = b7 & BIT(29);
	f->umip = c7 & BIT(2);
	f->pku = c7 & BIT(3);
	f->la57 = c7 & BIT(16);
	f->rdpid = c7 & BIT(22);
	f->arch_capabilities = d7 & BIT(29);
	f->spec_ctrl = d7 & (BIT(26) | BIT(27) | BIT(31)); /* IBRS, STIBP, SSBD */
	f->pdcm = c1 & BIT(15);
	f->osvw = ec & BIT(9);
	f->lahf64 = ec & BIT(0);
	f->lzcnt = ec & BIT(5);
	f->syscall = ed & BIT(11);
	f->nx = ed & BIT(20);
	f->gbpages = ed & BIT(26);
	f->rdtscp = ed & BIT(27);
	f->long_mode = ed & BIT(29);
	f->xsaves = f->xsave && xsave && (xsave->eax & BIT(3));
	f->xcr0 = f->xsave ? 3 : 0;
	f->cr4_reserved = cr4_reserved(f);
	f->efer_allowed = (f->syscall ? EFER_SCE : 0) | (f->long_mode ? EFER_LME | EFER_LMA : 0) |
			  (f->nx ? EFER_NXE : 0);
	f->kvm_features = reg_of(vcpu, KVM_LEAF | 1, EAX);
	vcpu_paging_changed(vcpu);
}

/* A guest whose HLT nobody sees cannot be kicked out of it either. */
static void drop_unhalt(struct vcpu *vcpu)
{
	struct kvm_cpuid_entry2 *features = (struct kvm_cpuid_entry2 *)find(vcpu, KVM_LEAF, 0);

	if (!(vm_disabled_exits(vcpu->vm) & KVM_X86_DISABLE_EXITS_HLT) || !features ||
	    memcmp(&features->ebx, "KVMK", 4))
		return;
	features = (struct kvm_cpuid_entry2 *)find(vcpu, KVM_LEAF | 1, 0);
	if (features)
		features->eax &= ~BIT(7);
}

void cpuid_reset(struct vcpu *vcpu)
{
	vcpu->cpuid_count = 0;
	derive(vcpu);
	/* As KVM: a vCPU that was given no CPUID may be set to anything that is supported. */
	vcpu->features.cr4_reserved = ~CR4_SUPPORTED;
}

int cpuid_set(struct vcpu *vcpu, const struct kvm_cpuid_entry2 *entries, unsigned count)
{
	if (count > VCPU_CPUID_MAX)
		return -E2BIG;
	if (vcpu->has_run) {
		/* The same table again is allowed: clients do it on reset and hotplug. */
		if (count == vcpu->cpuid_count &&
		    !memcmp(vcpu->cpuid, entries, count * sizeof(*entries)))
			return 0;
		return -EINVAL;
	}
	memcpy(vcpu->cpuid, entries, count * sizeof(*entries));
	vcpu->cpuid_count = count;
	drop_unhalt(vcpu);
	derive(vcpu);
	return 0;
}

/* Bits that follow the vCPU's registers. */
static void runtime_bits(const struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	const struct cpu_state *s = &vcpu->state;
	uint64_t base = vcpu->lapic ? lapic_get_base(vcpu->lapic) : s->apic_base;

	if (leaf == 1) {
		r[ECX] = (r[ECX] & ~BIT(27)) | (s->cr4 & CR4_OSXSAVE ? BIT(27) : 0);
		if (!(base & 1 << 11))
			r[EDX] &= ~BIT(9);
		if (vm_disabled_quirks(vcpu->vm) & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT)
			r[ECX] = (r[ECX] & ~BIT(3)) | (s->msr.misc_enable >> 18 & 1 ? BIT(3) : 0);
	} else if (leaf == 7 && !subleaf) {
		r[ECX] = (r[ECX] & ~BIT(4)) | (s->cr4 & CR4_PKE ? BIT(4) : 0);
	} else if (leaf == 0xd && !subleaf && vcpu->features.xsave) {
		r[EBX] = 576;
	}
}

unsigned cpuid_get(struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries, unsigned max)
{
	unsigned i;

	for (i = 0; i < vcpu->cpuid_count && i < max; i++) {
		uint32_t r[4] = { vcpu->cpuid[i].eax, vcpu->cpuid[i].ebx, vcpu->cpuid[i].ecx,
				  vcpu->cpuid[i].edx };

		runtime_bits(vcpu, vcpu->cpuid[i].function, vcpu->cpuid[i].index, r);
		entries[i] = vcpu->cpuid[i];
		entries[i].eax = r[EAX];
		entries[i].ebx = r[EBX];
		entries[i].ecx = r[ECX];
		entries[i].edx = r[EDX];
	}
	return vcpu->cpuid_count;
}

/*
 * A leaf beyond the maximum of its range reads, on Intel, as the highest basic leaf; hypervisor and
 * unknown ranges belong to the basic range. AMD answers zeroes.
 */
static const struct kvm_cpuid_entry2 *out_of_range(const struct vcpu *vcpu, uint32_t *leaf,
						   uint32_t subleaf)
{
	const struct kvm_cpuid_entry2 *basic = find(vcpu, 0, 0), *range;

	if (!basic || vcpu->features.amd)
		return NULL;
	range = *leaf >= 0x80000000u ? find(vcpu, 0x80000000u, 0) :
		*leaf >= 0x40000000u ? find(vcpu, *leaf & 0xffffff00u, 0) : basic;
	if (range && *leaf <= range->eax)
		return NULL;
	*leaf = basic->eax;
	return find(vcpu, *leaf, subleaf);
}

void cpuid_query(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, uint32_t registers[4])
{
	const struct kvm_cpuid_entry2 *entry = find(vcpu, leaf, subleaf);

	if (!entry)
		entry = out_of_range(vcpu, &leaf, subleaf);
	memset(registers, 0, 4 * sizeof(registers[0]));
	if (entry) {
		registers[EAX] = entry->eax;
		registers[EBX] = entry->ebx;
		registers[ECX] = entry->ecx;
		registers[EDX] = entry->edx;
		runtime_bits(vcpu, leaf, subleaf, registers);
	} else if (leaf == 0xb || leaf == 0x1f) {
		/* Subleaves past the last level still give the x2APIC ID (SDM, leaf 0BH). */
		entry = find(vcpu, leaf, 1);
		if (entry) {
			registers[ECX] = subleaf & 0xff;
			registers[EDX] = entry->edx;
		}
	}
}
