/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Components of the extended state (XSAVE), in the host's standard layout.
 * Source: Intel SDM volume 1, chapter 13.
 */
#ifndef FAUXKVM_CPU_FPU_H
#define FAUXKVM_CPU_FPU_H

#include "cpu/vcpu.h"

enum { XFEATURE_X87, XFEATURE_SSE, XFEATURE_AVX, XFEATURE_PKRU = 9, XFEATURE_COUNT = 32 };
#define XFEATURE_BIT(n) (1ull << (n))

#define FPU_LEGACY_BYTES 512
#define FPU_HEADER_BYTES 64
#define FPU_MXCSR_MASK 0xffffu
#define FPU_MXCSR_INIT 0x1f80u
#define FPU_FCW_INIT 0x37fu

/* Extended component @n (2 and up): place in the standard format. Size 0: the host lacks it. */
struct fpu_component {
	uint32_t offset, size;
	bool aligned; /* to 64 bytes in the compacted format */
};
const struct fpu_component *fpu_component(unsigned n);

/* Components that the host has and struct fpu_state has room for. */
uint64_t fpu_supported(void);
/*
 * Those that a guest's XCR0 may have. Protection keys are the core's own work, but clients take the
 * layout of the XSAVE area from the host: without its PKRU there is none.
 */
uint64_t fpu_offered(void);
/* Bytes of an XSAVE area with @features. */
uint32_t fpu_area_bytes(uint64_t features, bool compacted);
/* Those of @mask that are not in their initial state. */
uint64_t fpu_in_use(const struct vcpu *vcpu, uint64_t mask);
void fpu_init_component(struct vcpu *vcpu, unsigned n);
/* PKRU lives in state.pkru: brings its place in state.fpu up to date. */
void fpu_store_pkru(struct vcpu *vcpu);

#endif
