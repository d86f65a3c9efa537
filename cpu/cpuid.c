/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID of a vCPU: the table it was given, what follows from it, what its guest sees.
 * Source: Intel SDM volume 2, CPUID; KVM document api.rst 4.20.
 */
#include <errno.h>
#include <string.h>

#include "cpu/fpu.h"
#include "cpu/interp/simd.h"
#include "cpu/vcpu.h"

enum reg { EAX, EBX, ECX, EDX };

#define BIT(n) (1u << (n))
#define KVM_LEAF 0x40000000u

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
	 CR4_OSXSAVE | CR4_SMEP | CR4_SMAP)

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

static bool pku_offered(void)
{
	return fpu_offered() & XFEATURE_BIT(XFEATURE_PKRU);
}

/* Bits of enum simd_feature. As on KVM, who was told of nothing has every instruction. */
static uint16_t simd_features(const struct vcpu *vcpu, uint32_t d1, uint32_t c1, uint32_t b7)
{
	if (!vcpu->cpuid_count)
		return UINT16_MAX;
	return (d1 >> 25 & 1) << SIMD_SSE | (d1 >> 26 & 1) << SIMD_SSE2 |
	       (c1 >> 0 & 1) << SIMD_SSE3 | (c1 >> 9 & 1) << SIMD_SSSE3 |
	       (c1 >> 19 & 1) << SIMD_SSE41 | (c1 >> 20 & 1) << SIMD_SSE42 |
	       (c1 >> 25 & 1) << SIMD_AES | (c1 >> 1 & 1) << SIMD_PCLMUL |
	       (b7 >> 29 & 1) << SIMD_SHA | 1 << SIMD_MMX_BASE;
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
	f->sse3 = c1 & BIT(0);
	f->pclmul = c1 & BIT(1);
	f->monitor = c1 & BIT(3);
	f->cmpxchg16b = c1 & BIT(13);
	f->pcid = c1 & BIT(17);
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
	f->simd = simd_features(vcpu, d1, c1, b7);
	f->umip = c7 & BIT(2);
	f->pku = c7 & BIT(3) && pku_offered();
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
	xsave = find(vcpu, 0xd, 0);
	if (f->xsave && xsave)
		f->xcr0 = ((uint64_t)xsave->edx << 32 | xsave->eax) & fpu_offered();
	/* Where the host executes them it decides, too. */
	f->avx = f->xsave && c1 & BIT(28) && __builtin_cpu_supports("avx");
	f->fma = f->avx && c1 & BIT(12) && __builtin_cpu_supports("fma");
	f->f16c = f->avx && c1 & BIT(29) && __builtin_cpu_supports("f16c");
	f->avx2 = f->avx && b7 & BIT(5) && __builtin_cpu_supports("avx2");
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
	vcpu->features.cr4_reserved = ~(CR4_SUPPORTED | (pku_offered() ? CR4_PKE : 0));
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
		r[EBX] = fpu_area_bytes(s->xcr0, false);
	} else if (leaf == 0xd && subleaf == 1 && r[EAX] & (BIT(1) | BIT(3))) {
		r[EBX] = fpu_area_bytes(s->xcr0 | s->msr.xss, true);
	}
}

/* What user space got from KVM_GET_CPUID2 may be set again though bits in it follow registers. */
static bool same_entry(const struct vcpu *vcpu, const struct kvm_cpuid_entry2 *a,
		       const struct kvm_cpuid_entry2 *b)
{
	uint32_t ra[4] = { a->eax, a->ebx, a->ecx, a->edx };
	uint32_t rb[4] = { b->eax, b->ebx, b->ecx, b->edx };

	if (a->function != b->function || a->index != b->index || a->flags != b->flags)
		return false;
	runtime_bits(vcpu, a->function, a->index, ra);
	runtime_bits(vcpu, b->function, b->index, rb);
	return !memcmp(ra, rb, sizeof(ra));
}

/* KVM knows linear addresses of 48 and 57 bits. */
static bool addresses_known(const struct kvm_cpuid_entry2 *entries, unsigned count)
{
	unsigned i, bits;

	for (i = 0; i < count; i++) {
		if (entries[i].function != 0x80000008u)
			continue;
		bits = entries[i].eax >> 8 & 0xff;
		return bits == 0 || bits == 48 || bits == 57;
	}
	return true;
}

int cpuid_set(struct vcpu *vcpu, const struct kvm_cpuid_entry2 *entries, unsigned count)
{
	unsigned i;

	if (count > VCPU_CPUID_MAX)
		return -E2BIG;
	if (vcpu->has_run) {
		/* The same table again is allowed: clients do it on reset and hotplug. */
		if (count != vcpu->cpuid_count)
			return -EINVAL;
		for (i = 0; i < count; i++)
			if (!same_entry(vcpu, &vcpu->cpuid[i], &entries[i]))
				return -EINVAL;
		return 0;
	}
	if (!addresses_known(entries, count))
		return -EINVAL;
	memcpy(vcpu->cpuid, entries, count * sizeof(*entries));
	vcpu->cpuid_count = count;
	drop_unhalt(vcpu);
	derive(vcpu);
	return 0;
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
