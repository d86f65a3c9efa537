/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID: what is supported and what is emulated.
 *
 * A feature is offered when the CPU core implements it and, where instructions run on the host, the
 * host has it. Source: Intel SDM volume 2, CPUID; KVM documents cpuid.rst and api.rst 4.46, 4.88.
 */
#include <cpuid.h>
#include <string.h>

#include "cpu/fpu.h"
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
#define LEAF1_ECX_AVX (BIT(12) /* FMA */ | BIT(28) /* AVX */ | BIT(29) /* F16C */)
#define LEAF7_EBX_CORE                                                                             \
	(BIT(0) /* FSGSBASE */ | BIT(1) /* TSC_ADJUST */ | BIT(3) /* BMI1 */ | BIT(7) /* SMEP */ |  \
	 BIT(8) /* BMI2 */ | BIT(9) /* ERMS */ | BIT(10) /* INVPCID */ | BIT(19) /* ADX */ |        \
	 BIT(20) /* SMAP */ | BIT(23) /* CLFLUSHOPT */ | BIT(24) /* CLWB */)
#define LEAF7_EBX_HOST (BIT(18) /* RDSEED */ | BIT(29) /* SHA */)
#define LEAF7_EBX_AVX BIT(5) /* AVX2 */
#define LEAF7_ECX_CORE                                                                             \
	(BIT(2) /* UMIP */ | BIT(16) /* LA57 */ | BIT(22) /* RDPID */)
#define LEAF7_EDX_CORE (BIT(29) /* ARCH_CAPABILITIES */)
#define EXT1_EDX                                                                                   \
	(BIT(11) /* SYSCALL */ | BIT(20) /* NX */ | BIT(26) /* 1 GiB pages */ | BIT(27) /* RDTSCP */ | \
	 BIT(29) /* LM */)
/* No instructions, but how to read the number of cores, and which leaves there are. */
#define EXT1_ECX_HOST (BIT(1) /* CMP_LEGACY */ | EXT1_ECX_TOPOEXT)
#define EXT1_ECX_TOPOEXT BIT(22)
#define EXT1_ECX (BIT(0) /* LAHF64 */ | BIT(5) /* ABM: LZCNT */ | BIT(8) /* 3DNOWPREFETCH */)
/* What AMD repeats of leaf 1 EDX in 0x80000001 EDX. */
#define EXT1_EDX_REPEATED 0x0183f3ffu

#define CACHES_MAX 8
#define KVM_LEAF 0x40000000u
#define KVM_FEATURES_OFFERED                                                                       \
	(BIT(0) /* CLOCKSOURCE */ | BIT(1) /* NOP_IO_DELAY */ | BIT(3) /* CLOCKSOURCE2 */ |         \
	 BIT(4) /* ASYNC_PF: pages are always there */ | BIT(5) /* STEAL_TIME */ |                 \
	 BIT(6) /* PV_EOI */ | BIT(7) /* PV_UNHALT */ | BIT(11) /* PV_SEND_IPI */ |                 \
	 BIT(12) /* POLL_CONTROL */ | BIT(13) /* PV_SCHED_YIELD */ | BIT(14) /* ASYNC_PF_INT */ |   \
	 BIT(24) /* CLOCKSOURCE_STABLE */)

/* Host features for AVX: nothing if the host's system does not save its registers. */
static uint32_t avx_mask(uint32_t mask)
{
	return fpu_offered() & XFEATURE_BIT(XFEATURE_AVX) ? mask : 0;
}

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

/* The host's caches, one a subleaf; who shares them is topology, which is user space's. */
static void add_caches(struct list *list, uint32_t leaf)
{
	uint32_t r[4], i;

	for (i = 0; i < CACHES_MAX; i++) {
		host(leaf, i, r);
		r[EAX] &= ~0xffffc000u;
		add(list, leaf, i, true, r);
		if (!(r[EAX] & 0x1f))
			break;
	}
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
	r[ECX] = LEAF1_ECX_CORE | (h[ECX] & (LEAF1_ECX_HOST | avx_mask(LEAF1_ECX_AVX)));
	r[EDX] = LEAF1_EDX;
	add(list, 1, 0, false, r);

	if (host_max(0) >= 2) {
		host(2, 0, r);
		add(list, 2, 0, false, r);
	}
	if (host_max(0) >= 4 && !cpuid_host_is_amd())
		add_caches(list, 4);
	memset(r, 0, sizeof(r));
	r[EAX] = BIT(2); /* ARAT: the APIC timer always runs */
	add(list, 6, 0, false, r);

	memset(h, 0, sizeof(h));
	if (host_max(0) >= 7)
		host(7, 0, h);
	r[EAX] = 0;
	r[EBX] = LEAF7_EBX_CORE | (h[EBX] & (LEAF7_EBX_HOST | avx_mask(LEAF7_EBX_AVX)));
	r[ECX] = LEAF7_ECX_CORE;
	if (fpu_offered() & XFEATURE_BIT(XFEATURE_PKRU))
		r[ECX] |= BIT(3); /* PKU */
	r[EDX] = LEAF7_EDX_CORE;
	add(list, 7, 0, true, r);

	memset(r, 0, sizeof(r));
	add(list, 0xb, 0, true, r); /* for user space to fill in */
}

static void add_xsave(struct list *list)
{
	uint64_t features = fpu_offered();
	uint32_t bytes = fpu_area_bytes(features, false);
	uint32_t r[4] = { features, bytes, bytes, features >> 32 };
	unsigned n;

	add(list, 0xd, 0, true, r);
	r[EAX] = BIT(0) | BIT(1) | BIT(2) | BIT(3); /* XSAVEOPT, XSAVEC, XGETBV with ECX 1, XSAVES */
	r[EBX] = fpu_area_bytes(features, true);
	r[ECX] = r[EDX] = 0;
	add(list, 0xd, 1, true, r);
	for (n = XFEATURE_AVX; n < XFEATURE_COUNT; n++) {
		const struct fpu_component *component = fpu_component(n);

		if (!(features >> n & 1))
			continue;
		r[EAX] = component->size;
		r[EBX] = component->offset;
		r[ECX] = component->aligned ? BIT(1) : 0;
		r[EDX] = 0;
		add(list, 0xd, n, true, r);
	}
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
	bool topoext;

	host(0x80000001u, 0, h);
	topoext = cpuid_host_is_amd() && h[ECX] & EXT1_ECX_TOPOEXT;
	host(0x80000000u, 0, r);
	r[EAX] = topoext ? 0x8000001eu : 0x80000008u;
	add(list, 0x80000000u, 0, false, r);
	r[EAX] = h[EAX];
	r[EBX] = 0;
	r[ECX] = EXT1_ECX | (h[ECX] & EXT1_ECX_HOST);
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
	if (!topoext)
		return;
	add_caches(list, 0x8000001du);
	memset(r, 0, sizeof(r));
	add(list, 0x8000001eu, 0, false, r); /* as 0xb */
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
