/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FPU and extended state: components, KVM_GET/SET_FPU, KVM_GET/SET_XSAVE, XCR0. */
#include "cpu/fpu.h"

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define XFEATURE_AVX512 (7ull << 5)
#define XFEATURES_KNOWN (XFEATURE_BIT(XFEATURE_X87) | XFEATURE_BIT(XFEATURE_SSE) |                 \
			 XFEATURE_BIT(XFEATURE_AVX) | XFEATURE_AVX512 | XFEATURE_BIT(XFEATURE_PKRU))

/* ---- components: facts about the host, found once ---- */

static struct fpu_component components[XFEATURE_COUNT];
static uint64_t supported, offered;
static pthread_once_t found = PTHREAD_ONCE_INIT;

static void find_components(void)
{
	unsigned eax, ebx, ecx, edx, n;
	uint64_t host;

	supported = XFEATURE_BIT(XFEATURE_X87) | XFEATURE_BIT(XFEATURE_SSE);
	offered = supported;
	if (!__get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx))
		return;
	host = (eax | (uint64_t)edx << 32) & XFEATURES_KNOWN;
	for (n = XFEATURE_AVX; n < XFEATURE_COUNT; n++) {
		if (!(host >> n & 1) || !__get_cpuid_count(0xd, n, &eax, &ebx, &ecx, &edx))
			continue;
		if (!eax || ebx + eax > XSAVE_AREA_BYTES)
			continue;
		components[n].offset = ebx;
		components[n].size = eax;
		components[n].aligned = ecx & 2;
		supported |= XFEATURE_BIT(n);
	}
	offered = supported & ~XFEATURE_AVX512;
}

const struct fpu_component *fpu_component(unsigned n)
{
	pthread_once(&found, find_components);
	return &components[n];
}

uint64_t fpu_supported(void)
{
	pthread_once(&found, find_components);
	return supported;
}

uint64_t fpu_offered(void)
{
	pthread_once(&found, find_components);
	return offered;
}

uint32_t fpu_area_bytes(uint64_t features, bool compacted)
{
	uint32_t end = FPU_LEGACY_BYTES + FPU_HEADER_BYTES;
	unsigned n;

	for (n = XFEATURE_AVX; n < XFEATURE_COUNT; n++) {
		const struct fpu_component *component = fpu_component(n);

		if (!(features >> n & 1))
			continue;
		if (compacted)
			end = (component->aligned ? (end + 63) & ~63u : end) + component->size;
		else if (component->offset + component->size > end)
			end = component->offset + component->size;
	}
	return end;
}

static bool all_zero(const uint8_t *p, size_t bytes)
{
	return !bytes || (!p[0] && !memcmp(p, p + 1, bytes - 1));
}

static bool in_use(const struct vcpu *vcpu, unsigned n)
{
	const struct fpu_state *fpu = &vcpu->state.fpu;

	switch (n) {
	case XFEATURE_X87:
		return fpu->fcw != FPU_FCW_INIT || !all_zero(fpu->bytes + 2, 22) ||
		       !all_zero(fpu->st[0], sizeof(fpu->st));
	case XFEATURE_SSE:
		return !all_zero(fpu->xmm[0], sizeof(fpu->xmm));
	case XFEATURE_PKRU:
		return vcpu->state.pkru;
	default:
		return !all_zero(fpu->bytes + components[n].offset, components[n].size);
	}
}

uint64_t fpu_in_use(const struct vcpu *vcpu, uint64_t mask)
{
	uint64_t used = 0;
	unsigned n;

	mask &= fpu_supported();
	for (n = 0; n < XFEATURE_COUNT; n++)
		if ((mask >> n & 1) && in_use(vcpu, n))
			used |= XFEATURE_BIT(n);
	return used;
}

void fpu_init_component(struct vcpu *vcpu, unsigned n)
{
	struct fpu_state *fpu = &vcpu->state.fpu;

	switch (n) {
	case XFEATURE_X87:
		memset(fpu->bytes, 0, 24);
		memset(fpu->st, 0, sizeof(fpu->st));
		fpu->fcw = FPU_FCW_INIT;
		break;
	case XFEATURE_SSE:
		memset(fpu->xmm, 0, sizeof(fpu->xmm));
		break;
	case XFEATURE_PKRU:
		vcpu->state.pkru = 0;
		break;
	default:
		memset(fpu->bytes + fpu_component(n)->offset, 0, fpu_component(n)->size);
	}
}

void fpu_store_pkru(struct vcpu *vcpu)
{
	const struct fpu_component *pkru = fpu_component(XFEATURE_PKRU);

	if (pkru->size)
		memcpy(vcpu->state.fpu.bytes + pkru->offset, &vcpu->state.pkru, 4);
}

/* ---- XCR0 ---- */

int vcpu_set_xcr0(struct vcpu *vcpu, uint64_t value)
{
	uint64_t avx512 = value & XFEATURE_AVX512;

	if (!(value & XFEATURE_BIT(XFEATURE_X87)))
		return -EINVAL;
	if ((value & XFEATURE_BIT(XFEATURE_AVX)) && !(value & XFEATURE_BIT(XFEATURE_SSE)))
		return -EINVAL;
	if (avx512 && (avx512 != XFEATURE_AVX512 || !(value & XFEATURE_BIT(XFEATURE_AVX))))
		return -EINVAL;
	/* Without XSAVE in CPUID only the x87 bit exists. */
	if (value & ~(vcpu->features.xcr0 | XFEATURE_BIT(XFEATURE_X87)))
		return -EINVAL;
	vcpu->state.xcr0 = value;
	/* Vector instructions may have become valid or invalid. */
	interp_mode_changed(vcpu);
	return 0;
}

/* ---- user space ---- */

void vcpu_get_fpu(struct vcpu *vcpu, struct kvm_fpu *fpu)
{
	const struct fpu_state *s = &vcpu->state.fpu;

	memset(fpu, 0, sizeof(*fpu));
	memcpy(fpu->fpr, s->st, sizeof(fpu->fpr));
	fpu->fcw = s->fcw;
	fpu->fsw = s->fsw;
	fpu->ftwx = s->ftw;
	fpu->last_opcode = s->fop;
	fpu->last_ip = s->fip;
	fpu->last_dp = s->fdp;
	memcpy(fpu->xmm, s->xmm, sizeof(fpu->xmm));
	fpu->mxcsr = s->mxcsr;
}

int vcpu_set_fpu(struct vcpu *vcpu, const struct kvm_fpu *fpu)
{
	struct fpu_state *s = &vcpu->state.fpu;

	memcpy(s->st, fpu->fpr, sizeof(fpu->fpr));
	s->fcw = fpu->fcw;
	s->fsw = fpu->fsw;
	s->ftw = fpu->ftwx;
	s->fop = fpu->last_opcode;
	s->fip = fpu->last_ip;
	s->fdp = fpu->last_dp;
	memcpy(s->xmm, fpu->xmm, sizeof(fpu->xmm));
	/* The host's own LDMXCSR gets this value. */
	s->mxcsr = fpu->mxcsr & FPU_MXCSR_MASK;
	return 0;
}

void vcpu_get_xsave(struct vcpu *vcpu, void *area, size_t bytes)
{
	struct fpu_state *s = &vcpu->state.fpu;

	fpu_store_pkru(vcpu);
	s->mxcsr_mask = FPU_MXCSR_MASK;
	s->xcomp_bv = 0;
	/* The legacy components are there in any case. */
	s->xstate_bv = fpu_in_use(vcpu, vcpu->state.xcr0 | vcpu->features.xcr0) |
		       XFEATURE_BIT(XFEATURE_X87) | XFEATURE_BIT(XFEATURE_SSE);
	memset(area, 0, bytes);
	memcpy(area, s->bytes, bytes < sizeof(s->bytes) ? bytes : sizeof(s->bytes));
}

int vcpu_set_xsave(struct vcpu *vcpu, const void *area, size_t bytes)
{
	struct cpu_state *state = &vcpu->state;
	struct fpu_state new = { 0 };
	unsigned n;

	memcpy(new.bytes, area, bytes < sizeof(new.bytes) ? bytes : sizeof(new.bytes));
	if ((new.xstate_bv & ~fpu_supported()) || new.xcomp_bv ||
	    !all_zero(new.bytes + FPU_LEGACY_BYTES + 16, FPU_HEADER_BYTES - 16) ||
	    (new.mxcsr & ~FPU_MXCSR_MASK))
		return -EINVAL;
	for (n = XFEATURE_AVX; n < XFEATURE_COUNT; n++) {
		const struct fpu_component *component = fpu_component(n);

		if (!(new.xstate_bv >> n & 1))
			memset(new.bytes + component->offset, 0, component->size);
	}
	new.mxcsr_mask = FPU_MXCSR_MASK;
	state->fpu = new;
	if (!(new.xstate_bv & XFEATURE_BIT(XFEATURE_X87)))
		fpu_init_component(vcpu, XFEATURE_X87);
	if (!(new.xstate_bv & XFEATURE_BIT(XFEATURE_SSE)))
		fpu_init_component(vcpu, XFEATURE_SSE);
	if (fpu_component(XFEATURE_PKRU)->size) {
		memcpy(&state->pkru, new.bytes + fpu_component(XFEATURE_PKRU)->offset, 4);
		vcpu_paging_changed(vcpu);
	}
	return 0;
}
