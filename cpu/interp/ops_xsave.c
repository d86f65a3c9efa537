/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FXSAVE, FXRSTOR, the XSAVE family, LDMXCSR, STMXCSR.
 * Source: Intel SDM volume 1, 10.5 and chapter 13; volume 2.
 */
#include "cpu/fpu.h"
#include "cpu/interp/mxcsr.h"
#include "cpu/interp/system.h"

#define FXSAVE_X87 24      /* bytes of x87 control state */
#define FXSAVE_MXCSR 24
#define FXSAVE_ST 32
#define FXSAVE_XMM 160
#define COMPACTED (1ull << 63)

#define SSE_MASK XFEATURE_BIT(XFEATURE_SSE)
#define AVX_MASK XFEATURE_BIT(XFEATURE_AVX)

/* ---- memory in pieces of a page ---- */

static void bulk_write(struct vcpu *cpu, const struct insn *insn, uint64_t address,
		       const void *data, unsigned bytes)
{
	const uint8_t *from = data;

	while (bytes) {
		unsigned left = GUEST_PAGE_SIZE - (address & ~GUEST_PAGE_MASK);
		unsigned part = bytes < left ? bytes : left;
		uint8_t *to = mem_host(cpu, insn, address, part, ACCESS_WRITE);

		if (to)
			memcpy(to, from, part);
		else
			mem_write_linear(cpu, insn, address, from, part, cpu->data_mode);
		address += part;
		from += part;
		bytes -= part;
	}
}

static void bulk_read(struct vcpu *cpu, const struct insn *insn, uint64_t address, void *data,
		      unsigned bytes)
{
	uint8_t *to = data;

	while (bytes) {
		unsigned left = GUEST_PAGE_SIZE - (address & ~GUEST_PAGE_MASK);
		unsigned part = bytes < left ? bytes : left;
		const uint8_t *from = mem_host(cpu, insn, address, part, ACCESS_READ);

		if (from)
			memcpy(to, from, part);
		else
			mem_read_linear(cpu, insn, address, to, part, cpu->data_mode);
		address += part;
		to += part;
		bytes -= part;
	}
}

/* ---- the legacy image ---- */

static unsigned xmm_bytes(const struct insn *insn)
{
	return insn->code == 8 ? 256 : 128;
}

static void legacy_image(const struct vcpu *cpu, const struct insn *insn, uint8_t *image)
{
	memcpy(image, cpu->state.fpu.bytes, 416);
	/* Without REX.W the pointers are 32 bits and a selector, which reads as 0. */
	if (!(insn->flags & INSN_REXW)) {
		memset(image + 12, 0, 4);
		memset(image + 20, 0, 4);
	}
	memcpy(image + 28, &(uint32_t){ FPU_MXCSR_MASK }, 4);
}

static void take_x87(struct vcpu *cpu, const struct insn *insn, const uint8_t *image)
{
	struct fpu_state *fpu = &cpu->state.fpu;

	memcpy(fpu->bytes, image, FXSAVE_X87);
	fpu->reserved = 0;
	fpu->fop &= 0x7ff;
	if (!(insn->flags & INSN_REXW)) {
		fpu->fip = (uint32_t)fpu->fip;
		fpu->fdp = (uint32_t)fpu->fdp;
	}
	memcpy(fpu->st, image + FXSAVE_ST, sizeof(fpu->st));
}

static uint32_t image_mxcsr(struct vcpu *cpu, const struct insn *insn, const uint8_t *image)
{
	uint32_t mxcsr;

	memcpy(&mxcsr, image + FXSAVE_MXCSR, 4);
	if (mxcsr & ~FPU_MXCSR_MASK)
		exception_gp(cpu, insn, 0);
	return mxcsr;
}

static uint64_t legacy_operand(struct vcpu *cpu, const struct insn *insn, enum access access)
{
	uint64_t address;

	if (!(insn->flags & INSN_MEM))
		exception_ud(cpu, insn);
	if (cpu->state.cr0 & (CR0_EM | CR0_TS))
		exception(cpu, insn, VECTOR_NM, 0);
	address = mem_operand(cpu, insn, FPU_LEGACY_BYTES, access);
	if (address & 15)
		exception_gp(cpu, insn, 0);
	return address;
}

void op_fxsave(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t address = legacy_operand(cpu, insn, ACCESS_WRITE);
	uint8_t image[416];

	mxcsr_unload(cpu);
	legacy_image(cpu, insn, image);
	bulk_write(cpu, insn, address, image, FXSAVE_XMM + xmm_bytes(insn));
	NEXT(cpu, insn);
}

void op_fxrstor(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t address = legacy_operand(cpu, insn, ACCESS_READ);
	uint8_t image[FPU_LEGACY_BYTES];
	uint32_t mxcsr;

	bulk_read(cpu, insn, address, image, sizeof(image));
	mxcsr = image_mxcsr(cpu, insn, image);
	take_x87(cpu, insn, image);
	mxcsr_unload(cpu);
	cpu->state.fpu.mxcsr = mxcsr;
	memcpy(cpu->state.fpu.xmm, image + FXSAVE_XMM, xmm_bytes(insn));
	NEXT(cpu, insn);
}

/* ---- XSAVE ---- */

/* RFBM, after the checks that all of the family share. */
static uint64_t xsave_features(struct vcpu *cpu, const struct insn *insn)
{
	const struct cpu_state *s = &cpu->state;

	if (!(s->cr4 & CR4_OSXSAVE) || !(insn->flags & INSN_MEM))
		exception_ud(cpu, insn);
	if (s->cr0 & CR0_TS)
		exception(cpu, insn, VECTOR_NM, 0);
	return s->xcr0 & ((uint32_t)s->gpr[GPR_RAX] | s->gpr[GPR_RDX] << 32);
}

/* End of the area that @features occupy; offsets of the compacted format into @offset. */
static unsigned compacted_layout(uint64_t features, uint32_t offset[XFEATURE_COUNT])
{
	unsigned end = FPU_LEGACY_BYTES + FPU_HEADER_BYTES, n;

	for (n = XFEATURE_AVX; n < XFEATURE_COUNT; n++) {
		const struct fpu_component *component = fpu_component(n);

		if (!(features >> n & 1))
			continue;
		if (component->aligned)
			end = (end + 63) & ~63u;
		offset[n] = end;
		end += component->size;
	}
	return end;
}

static unsigned standard_layout(uint64_t features, uint32_t offset[XFEATURE_COUNT])
{
	unsigned end = FPU_LEGACY_BYTES + FPU_HEADER_BYTES, n;

	for (n = XFEATURE_AVX; n < XFEATURE_COUNT; n++) {
		const struct fpu_component *component = fpu_component(n);

		if (!(features >> n & 1))
			continue;
		offset[n] = component->offset;
		if (component->offset + component->size > end)
			end = component->offset + component->size;
	}
	return end;
}

static uint64_t xsave_operand(struct vcpu *cpu, const struct insn *insn, unsigned bytes,
			      enum access access)
{
	uint64_t address = mem_operand(cpu, insn, bytes, access);

	if (address & 63)
		exception_gp(cpu, insn, 0);
	return address;
}

/* @features: what is asked for; @used: of that, what is written. */
static void save(struct vcpu *cpu, const struct insn *insn, uint64_t features, uint64_t used,
		 bool compacted)
{
	uint32_t offset[XFEATURE_COUNT];
	unsigned end = compacted ? compacted_layout(features, offset) :
				   standard_layout(features, offset);
	uint64_t address = xsave_operand(cpu, insn, end, ACCESS_WRITE);
	uint64_t in_use = fpu_in_use(cpu, features), header[2];
	uint8_t image[416];
	unsigned n;

	mxcsr_unload(cpu);
	if (compacted) {
		/* Here MXCSR is part of the SSE component. */
		if ((features & SSE_MASK) && cpu->state.fpu.mxcsr != FPU_MXCSR_INIT)
			in_use |= SSE_MASK;
		used = in_use;
		header[0] = in_use;
		header[1] = COMPACTED | features;
	} else {
		bulk_read(cpu, insn, address + FPU_LEGACY_BYTES, header, 8);
		header[0] = (header[0] & ~features) | in_use;
	}
	fpu_store_pkru(cpu);
	legacy_image(cpu, insn, image);
	if (used & XFEATURE_BIT(XFEATURE_X87)) {
		bulk_write(cpu, insn, address, image, FXSAVE_X87);
		bulk_write(cpu, insn, address + FXSAVE_ST, image + FXSAVE_ST,
			   FXSAVE_XMM - FXSAVE_ST);
	}
	if (compacted ? used & SSE_MASK : features & (SSE_MASK | AVX_MASK))
		bulk_write(cpu, insn, address + FXSAVE_MXCSR, image + FXSAVE_MXCSR, 8);
	if (used & SSE_MASK)
		bulk_write(cpu, insn, address + FXSAVE_XMM, image + FXSAVE_XMM, xmm_bytes(insn));
	for (n = XFEATURE_AVX; n < XFEATURE_COUNT; n++)
		if (used >> n & 1)
			bulk_write(cpu, insn, address + offset[n],
				   cpu->state.fpu.bytes + fpu_component(n)->offset,
				   fpu_component(n)->size);
	bulk_write(cpu, insn, address + FPU_LEGACY_BYTES, header, compacted ? 16 : 8);
}

void op_xsave(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t features = xsave_features(cpu, insn);

	save(cpu, insn, features, features, false);
	NEXT(cpu, insn);
}

void op_xsaveopt(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t features = xsave_features(cpu, insn);

	save(cpu, insn, features, fpu_in_use(cpu, features), false);
	NEXT(cpu, insn);
}

void op_xsavec(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t features = xsave_features(cpu, insn);

	save(cpu, insn, features, 0, true);
	NEXT(cpu, insn);
}

/* No supervisor component exists: IA32_XSS is 0. */
static void check_supervisor(struct vcpu *cpu, const struct insn *insn)
{
	if (cpu->cpuid_count && !cpu->features.xsaves)
		exception_ud(cpu, insn);
	if (!(cpu->state.cr4 & CR4_OSXSAVE))
		exception_ud(cpu, insn);
	require_cpl0(cpu, insn);
}

void op_xsaves(struct vcpu *cpu, const struct insn *insn)
{
	check_supervisor(cpu, insn);
	op_xsavec(cpu, insn);
}

/* ---- XRSTOR ---- */

static void check_header(struct vcpu *cpu, const struct insn *insn, const uint64_t header[8])
{
	uint64_t xcr0 = cpu->state.xcr0;
	unsigned i;

	if (header[1] & COMPACTED) {
		if (header[1] & ~(COMPACTED | xcr0) || header[0] & ~header[1])
			exception_gp(cpu, insn, 0);
	} else if (header[0] & ~xcr0 || header[1]) {
		exception_gp(cpu, insn, 0);
	}
	for (i = 2; i < (header[1] & COMPACTED ? 8 : 3); i++)
		if (header[i])
			exception_gp(cpu, insn, 0);
}

static void restore(struct vcpu *cpu, const struct insn *insn, bool supervisor)
{
	uint64_t features = xsave_features(cpu, insn), address, header[8], present;
	struct cpu_state *s = &cpu->state;
	uint32_t offset[XFEATURE_COUNT], mxcsr;
	uint8_t legacy[FPU_LEGACY_BYTES], extended[XSAVE_AREA_BYTES];
	bool compacted;
	unsigned n;

	mxcsr_unload(cpu);
	mxcsr = s->fpu.mxcsr;
	address = xsave_operand(cpu, insn, FPU_LEGACY_BYTES + FPU_HEADER_BYTES, ACCESS_READ);
	bulk_read(cpu, insn, address + FPU_LEGACY_BYTES, header, sizeof(header));
	check_header(cpu, insn, header);
	compacted = header[1] & COMPACTED;
	if (supervisor && !compacted)
		exception_gp(cpu, insn, 0);
	present = features & header[0];
	/* Everything is read before anything changes. */
	bulk_read(cpu, insn, address, legacy, sizeof(legacy));
	if (compacted)
		compacted_layout(header[1] & ~COMPACTED, offset);
	else
		standard_layout(features, offset);
	for (n = XFEATURE_AVX; n < XFEATURE_COUNT; n++)
		if (present >> n & 1)
			bulk_read(cpu, insn, address + offset[n],
				  extended + fpu_component(n)->offset, fpu_component(n)->size);
	if (compacted) {
		if (features & SSE_MASK)
			mxcsr = present & SSE_MASK ? image_mxcsr(cpu, insn, legacy) :
						     FPU_MXCSR_INIT;
	} else if (features & (SSE_MASK | AVX_MASK)) {
		mxcsr = image_mxcsr(cpu, insn, legacy);
	}
	s->fpu.mxcsr = mxcsr;
	for (n = 0; n < XFEATURE_COUNT; n++) {
		if (!(features >> n & 1))
			continue;
		if (!(present >> n & 1))
			fpu_init_component(cpu, n);
		else if (n == XFEATURE_X87)
			take_x87(cpu, insn, legacy);
		else if (n == XFEATURE_SSE)
			memcpy(s->fpu.xmm, legacy + FXSAVE_XMM, xmm_bytes(insn));
		else if (n == XFEATURE_PKRU)
			memcpy(&s->pkru, extended + fpu_component(n)->offset, 4);
		else
			memcpy(s->fpu.bytes + fpu_component(n)->offset,
			       extended + fpu_component(n)->offset, fpu_component(n)->size);
	}
	if (features >> XFEATURE_PKRU & 1)
		vcpu_paging_changed(cpu);
}

void op_xrstor(struct vcpu *cpu, const struct insn *insn)
{
	restore(cpu, insn, false);
	NEXT(cpu, insn);
}

void op_xrstors(struct vcpu *cpu, const struct insn *insn)
{
	check_supervisor(cpu, insn);
	restore(cpu, insn, true);
	NEXT(cpu, insn);
}

/* ---- MXCSR ---- */

static void check_mxcsr(struct vcpu *cpu, const struct insn *insn)
{
	const struct cpu_state *s = &cpu->state;

	if (!(insn->flags & INSN_MEM))
		exception_ud(cpu, insn);
	if (insn->flags & INSN_VEX) {
		if (!(s->cr4 & CR4_OSXSAVE) || (s->xcr0 & (SSE_MASK | AVX_MASK)) !=
					       (SSE_MASK | AVX_MASK))
			exception_ud(cpu, insn);
	} else if ((s->cr0 & CR0_EM) || !(s->cr4 & CR4_OSFXSR)) {
		exception_ud(cpu, insn);
	}
	if (s->cr0 & CR0_TS)
		exception(cpu, insn, VECTOR_NM, 0);
}

void op_ldmxcsr(struct vcpu *cpu, const struct insn *insn)
{
	uint32_t mxcsr;

	check_mxcsr(cpu, insn);
	mxcsr = load32(cpu, insn);
	if (mxcsr & ~FPU_MXCSR_MASK)
		exception_gp(cpu, insn, 0);
	mxcsr_unload(cpu);
	cpu->state.fpu.mxcsr = mxcsr;
	NEXT(cpu, insn);
}

void op_stmxcsr(struct vcpu *cpu, const struct insn *insn)
{
	check_mxcsr(cpu, insn);
	mxcsr_unload(cpu);
	store32(cpu, insn, cpu->state.fpu.mxcsr);
	NEXT(cpu, insn);
}
