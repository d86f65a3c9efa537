/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handlers of VEX-encoded vector instructions: operands in, thunk, results out. */
#include "cpu/interp/avx.h"

#include "cpu/fpu.h"
#include "cpu/interp/mem.h"
#include "cpu/interp/mxcsr.h"
#include "cpu/interp/ops_system.h"

/* ---- checks ---- */

static bool offered(const struct vcpu *cpu, enum avx_feature feature)
{
	const struct guest_features *f = &cpu->features;

	switch (feature) {
	case AVX_FEATURE_NONE:
		return false;
	case AVX_AVX:
		return f->avx;
	case AVX_AVX2:
		return f->avx2;
	case AVX_FMA:
		return f->fma;
	case AVX_F16C:
		return f->f16c;
	case AVX_AES:
		return f->avx && f->aes;
	case AVX_PCLMUL:
		return f->avx && f->pclmul;
	}
	return false;
}

static void check(struct vcpu *cpu, const struct insn *insn, enum avx_feature feature)
{
	if (!avx_switched_on(&cpu->state) || !offered(cpu, feature))
		exception_ud(cpu, insn);
	if (cpu->state.cr0 & CR0_TS)
		exception(cpu, insn, VECTOR_NM, 0);
}

static const struct avx_row *row_of(const struct insn *insn)
{
	return avx_row(insn->map, insn->prefix, insn->opcode);
}

static void check_row(struct vcpu *cpu, const struct insn *insn, const struct avx_row *row)
{
	check(cpu, insn, row->feature[insn->vector]);
	if ((row->flags & AVX_REG_AVX2) && !(insn->flags & INSN_MEM))
		check(cpu, insn, AVX_AVX2);
}

static unsigned operand_bytes(const struct insn *insn, const struct avx_row *row)
{
	unsigned bytes = row->bytes[insn->vector];

	/* The only ones of 4 bytes that W widens; VCVTTSD2SI has 8 in any case. */
	if ((row->flags & AVX_W_WIDE) && (insn->flags & INSN_REXW))
		return 8;
	if (row->form != AVX_G_RM && (row->flags & AVX_G_WIDE) && bytes == 4 && avx_w(insn, row))
		return 8;
	return bytes;
}

/* ---- registers ---- */

static void ymm_get(const struct vcpu *cpu, unsigned n, uint8_t value[AVX_BYTES])
{
	memcpy(value, cpu->state.fpu.xmm[n], 16);
	memcpy(value + 16, cpu->state.fpu.ymm_high[n], 16);
}

static void ymm_set(struct vcpu *cpu, unsigned n, const uint8_t value[AVX_BYTES])
{
	memcpy(cpu->state.fpu.xmm[n], value, 16);
	memcpy(cpu->state.fpu.ymm_high[n], value + 16, 16);
}

/* ---- through a thunk ---- */

static bool reads_memory(const struct avx_row *row)
{
	return row->form != AVX_MR && row->form != AVX_MOVE_MR && row->form != AVX_GM_R;
}

static void load_operands(struct vcpu *cpu, const struct insn *insn, const struct avx_row *row,
			  struct avx_call *call)
{
	const uint64_t *gpr = cpu->state.gpr;
	bool memory = insn->flags & INSN_MEM;
	unsigned bytes = operand_bytes(insn, row);

	if (memory && (row->flags & AVX_ALIGN) &&
	    mem_linear(cpu, insn, insn->seg, mem_offset(cpu, insn)) & (bytes - 1))
		exception_gp(cpu, insn, 0);
	if (memory && reads_memory(row))
		load_bytes(cpu, insn, call->memory, bytes);
	ymm_get(cpu, insn->reg_number & 15, call->reg);
	ymm_get(cpu, insn->vvvv & 15, call->third);
	if (!memory) {
		ymm_get(cpu, insn->rm_number & 15, call->rm);
		call->gpr = gpr[insn->rm_number];
	}
	if (row->form == AVX_RVMR)
		ymm_get(cpu, avx_fourth(insn), call->fourth);
	if (row->flags & AVX_STRING) {
		bool wide = avx_w(insn, row);

		call->rax = wide ? gpr[GPR_RAX] : (uint64_t)(int32_t)gpr[GPR_RAX];
		call->rdx = wide ? gpr[GPR_RDX] : (uint64_t)(int32_t)gpr[GPR_RDX];
		call->rcx = gpr[GPR_RCX];
	}
}

static void store_flags(struct vcpu *cpu, const struct insn *insn, const struct avx_row *row,
			const struct avx_call *call)
{
	cpu->state.arith = call->arith;
	if (!(row->flags & AVX_STRING))
		return;
	if (insn->opcode & 1) /* VPCMPESTRI, VPCMPISTRI: an index */
		cpu->state.gpr[GPR_RCX] = call->rcx;
	else
		ymm_set(cpu, 0, call->xmm0);
}

static void store_results(struct vcpu *cpu, const struct insn *insn, const struct avx_row *row,
			  const struct avx_call *call)
{
	bool memory = insn->flags & INSN_MEM;

	switch ((enum avx_form)row->form) {
	case AVX_MR:
	case AVX_MOVE_MR:
	case AVX_GM_R:
		if (memory)
			store_bytes(cpu, insn, call->memory, operand_bytes(insn, row));
		else if (row->form == AVX_GM_R)
			cpu->state.gpr[insn->rm_number] = call->gpr;
		else
			ymm_set(cpu, insn->rm_number, call->rm);
		break;
	case AVX_G_RM:
		cpu->state.gpr[insn->reg_number] = call->gpr;
		break;
	case AVX_VM:
		ymm_set(cpu, insn->vvvv, call->third);
		break;
	default:
		if (row->flags & AVX_COMPARE)
			store_flags(cpu, insn, row, call);
		else
			ymm_set(cpu, insn->reg_number, call->reg);
		break;
	}
}

/* VCVTPS2PH to memory: a store that faults leaves the flags as they were. */
static void store_with_flags(struct vcpu *cpu, const struct insn *insn, const struct avx_row *row,
			     const struct avx_call *call)
{
	uint32_t flags = mxcsr_take(cpu);

	if (mxcsr_unmasked(cpu, flags)) {
		cpu->state.fpu.mxcsr |= flags;
		mxcsr_exception(cpu, insn);
	}
	store_results(cpu, insn, row, call);
	cpu->state.fpu.mxcsr |= flags;
}

static void op_avx(struct vcpu *cpu, const struct insn *insn)
{
	const struct avx_row *row = row_of(insn);
	avx_thunk *thunk = (avx_thunk *)insn->thunk;
	struct avx_call call;

	check_row(cpu, insn, row);
	load_operands(cpu, insn, row, &call);
	/* There was no memory for it when the instruction was decoded. */
	if (unlikely(!thunk))
		thunk = avx_thunk_get(insn, row);
	if (!thunk)
		interp_emulation_error(cpu, insn);
	if (row->flags & AVX_FP) {
		bool stores = insn->flags & INSN_MEM && !reads_memory(row);

		if (stores)
			mxcsr_unload(cpu);
		mxcsr_load(cpu);
		thunk(&call);
		if (stores) {
			store_with_flags(cpu, insn, row, &call);
			NEXT(cpu, insn);
		}
		if (unlikely(cpu->interp->mxcsr.each) && mxcsr_raised(cpu))
			mxcsr_exception(cpu, insn);
	} else {
		thunk(&call);
	}
	store_results(cpu, insn, row, &call);
	NEXT(cpu, insn);
}

/* ---- whole registers without a thunk: the moves that copying memory is made of ---- */

static void load_vector(struct vcpu *cpu, const struct insn *insn)
{
	unsigned bytes = insn->vector ? 32 : 16;
	uint8_t value[AVX_BYTES] = { 0 };

	check(cpu, insn, AVX_AVX);
	load_bytes(cpu, insn, value, bytes);
	ymm_set(cpu, insn->reg_number, value);
	NEXT(cpu, insn);
}

static void store_vector(struct vcpu *cpu, const struct insn *insn)
{
	uint8_t value[AVX_BYTES];

	check(cpu, insn, AVX_AVX);
	ymm_get(cpu, insn->reg_number, value);
	store_bytes(cpu, insn, value, insn->vector ? 32 : 16);
	NEXT(cpu, insn);
}

static void op_vzero(struct vcpu *cpu, const struct insn *insn)
{
	struct fpu_state *fpu = &cpu->state.fpu;
	unsigned registers = insn->code == 8 ? 16 : 8;

	check(cpu, insn, AVX_AVX);
	memset(fpu->ymm_high, 0, registers * 16);
	if (insn->vector)
		memset(fpu->xmm, 0, registers * 16);
	NEXT(cpu, insn);
}

/* ---- element by element ---- */

static bool element_selected(const uint8_t mask[AVX_BYTES], unsigned i, unsigned size)
{
	return mask[i * size + size - 1] & 0x80;
}

/* What is not selected is not accessed: it may be on a page that is not there. */
static void element_load(struct vcpu *cpu, const struct insn *insn, uint64_t offset, unsigned size,
			 uint8_t *to)
{
	if (size == 4) {
		uint32_t value = seg_read32(cpu, insn, insn->seg, offset & insn->amask);

		memcpy(to, &value, 4);
	} else {
		uint64_t value = seg_read64(cpu, insn, insn->seg, offset & insn->amask);

		memcpy(to, &value, 8);
	}
}

static void element_store(struct vcpu *cpu, const struct insn *insn, uint64_t offset, unsigned size,
			  const uint8_t *from)
{
	uint32_t low;
	uint64_t all;

	memcpy(&low, from, 4);
	if (size == 4) {
		seg_write32(cpu, insn, insn->seg, offset & insn->amask, low);
	} else {
		memcpy(&all, from, 8);
		seg_write64(cpu, insn, insn->seg, offset & insn->amask, all);
	}
}

/* VMASKMOVPS (2C, 2E) and PD (2D, 2F); VPMASKMOVD and Q (8C, 8E) by W. */
static unsigned masked_size(const struct insn *insn)
{
	if (insn->opcode >= 0x8c)
		return insn->flags & INSN_REXW ? 8 : 4;
	return insn->opcode & 1 ? 8 : 4;
}

static void op_masked_load(struct vcpu *cpu, const struct insn *insn)
{
	unsigned size = masked_size(insn), count = (insn->vector ? 32 : 16) / size, i;
	uint8_t mask[AVX_BYTES], value[AVX_BYTES] = { 0 };
	uint64_t offset;

	check_row(cpu, insn, row_of(insn));
	offset = mem_offset(cpu, insn);
	ymm_get(cpu, insn->vvvv, mask);
	for (i = 0; i < count; i++)
		if (element_selected(mask, i, size))
			element_load(cpu, insn, offset + i * size, size, value + i * size);
	ymm_set(cpu, insn->reg_number, value);
	NEXT(cpu, insn);
}

static void op_masked_store(struct vcpu *cpu, const struct insn *insn)
{
	unsigned size = masked_size(insn), count = (insn->vector ? 32 : 16) / size, i;
	uint8_t mask[AVX_BYTES], value[AVX_BYTES];
	uint64_t offset;

	check_row(cpu, insn, row_of(insn));
	offset = mem_offset(cpu, insn);
	ymm_get(cpu, insn->vvvv, mask);
	ymm_get(cpu, insn->reg_number, value);
	for (i = 0; i < count; i++)
		if (element_selected(mask, i, size))
			element_store(cpu, insn, offset + i * size, size, value + i * size);
	NEXT(cpu, insn);
}

/* VMASKMOVDQU: bytes of ModRM.reg whose mask bit in ModRM.rm is set, to DS:[rDI]. */
static void op_masked_bytes(struct vcpu *cpu, const struct insn *insn)
{
	const struct fpu_state *fpu = &cpu->state.fpu;
	unsigned i;

	check_row(cpu, insn, row_of(insn));
	for (i = 0; i < 16; i++)
		if (fpu->xmm[insn->rm_number][i] & 0x80)
			seg_write8(cpu, insn, insn->seg,
				   (cpu->state.gpr[GPR_RDI] + i) & insn->amask,
				   fpu->xmm[insn->reg_number][i]);
	NEXT(cpu, insn);
}

/* The vector that a SIB byte names as index; as a general register number 4 means none. */
static unsigned gather_index(const struct insn *insn)
{
	return insn->index == GPR_ZERO ? 4 : insn->index;
}

/*
 * VPGATHERDD and the like: opcode bit 0 says whether indices are quadwords, W whether elements are.
 * Loads can be repeated, so nothing is committed before the last one.
 */
static void op_gather(struct vcpu *cpu, const struct insn *insn)
{
	unsigned index_size = insn->opcode & 1 ? 8 : 4, size = insn->flags & INSN_REXW ? 8 : 4;
	unsigned count = (insn->vector ? 32 : 16) / (index_size > size ? index_size : size), i;
	uint8_t index[AVX_BYTES], mask[AVX_BYTES], old[AVX_BYTES], value[AVX_BYTES] = { 0 };
	uint64_t base;

	check_row(cpu, insn, row_of(insn));
	ymm_get(cpu, gather_index(insn), index);
	ymm_get(cpu, insn->vvvv, mask);
	ymm_get(cpu, insn->reg_number, old);
	base = cpu->state.gpr[insn->base] + (uint64_t)insn->disp;
	for (i = 0; i < count; i++) {
		int64_t at;
		int32_t narrow;

		memcpy(value + i * size, old + i * size, size);
		if (!element_selected(mask, i, size))
			continue;
		memcpy(&narrow, index + i * 4, 4);
		memcpy(&at, index + (index_size == 8 ? i * 8 : 0), 8);
		if (index_size == 4)
			at = narrow;
		element_load(cpu, insn, base + ((uint64_t)at << insn->scale), size,
			     value + i * size);
	}
	memset(mask, 0, sizeof(mask));
	ymm_set(cpu, insn->vvvv, mask);
	ymm_set(cpu, insn->reg_number, value);
	NEXT(cpu, insn);
}

/* ---- selection ---- */

static bool uses_third(const struct insn *insn, const struct avx_row *row)
{
	switch ((enum avx_form)row->form) {
	case AVX_RVM:
	case AVX_RVMR:
	case AVX_VM:
	case AVX_R_V_GM:
	case AVX_MASKED_LOAD:
	case AVX_MASKED_STORE:
	case AVX_GATHER:
		return true;
	case AVX_MOVE:
	case AVX_MOVE_MR:
		return !(insn->flags & INSN_MEM);
	default:
		return false;
	}
}

static bool encoding_exists(const struct insn *insn, const struct avx_row *row)
{
	bool memory = insn->flags & INSN_MEM, w = insn->flags & INSN_REXW;

	if (row->form == AVX_FORM_NONE || !row->feature[insn->vector & 1] || insn->vector > 1)
		return false;
	if (memory ? row->flags & AVX_REG_ONLY : row->flags & AVX_MEM_ONLY)
		return false;
	if ((row->flags & AVX_W0 && w) || (row->flags & AVX_W1 && !w))
		return false;
	return uses_third(insn, row) || !insn->vvvv;
}

/* 71, 72: right, arithmetic right, left; 73 has no arithmetic, but byte shifts. */
static bool shift_exists(const struct insn *insn)
{
	unsigned op = insn->modrm >> 3 & 7;

	return op == 2 || op == 6 || (insn->opcode == 0x73 ? op == 3 || op == 7 : op == 4);
}

/* The index must be a vector, and the three registers different ones (SDM volume 2, 2.3.12). */
static bool gather_exists(const struct insn *insn)
{
	unsigned index = gather_index(insn);

	return (insn->modrm & 7) == 4 && insn->address != 2 && index != insn->vvvv &&
	       index != insn->reg_number && insn->vvvv != insn->reg_number;
}

static insn_fn *select_special(const struct insn *insn, const struct avx_row *row)
{
	switch ((enum avx_form)row->form) {
	case AVX_MASKED_LOAD:
		return op_masked_load;
	case AVX_MASKED_STORE:
		return op_masked_store;
	case AVX_MASKED_BYTES:
		return op_masked_bytes;
	case AVX_GATHER:
		return op_gather;
	case AVX_RM:
	case AVX_MR:
		break;
	default:
		return NULL;
	}
	if (insn->map != 1 || !(insn->flags & INSN_MEM) || (row->flags & AVX_ALIGN))
		return NULL;
	if (insn->opcode == 0x6f || insn->opcode == 0x10)
		return load_vector;
	return insn->opcode == 0x7f || insn->opcode == 0x11 ? store_vector : NULL;
}

insn_fn *avx_select(struct insn *insn)
{
	const struct avx_row *row = row_of(insn);
	insn_fn *fn;

	if (insn->map == 1 && insn->opcode == 0x77)
		return insn->prefix || insn->vvvv ? NULL : op_vzero;
	if (insn->map == 1 && insn->opcode == 0xae) {
		unsigned op = insn->modrm >> 3 & 7;

		if (insn->prefix || insn->vector || insn->vvvv || !(insn->flags & INSN_MEM))
			return NULL;
		return op == 2 ? op_ldmxcsr : op == 3 ? op_stmxcsr : NULL;
	}
	if (!encoding_exists(insn, row) || (row->form == AVX_VM && !shift_exists(insn)) ||
	    (row->form == AVX_GATHER && !gather_exists(insn)))
		return NULL;
	fn = select_special(insn, row);
	if (fn)
		return fn;
	insn->thunk = (void *)avx_thunk_get(insn, row);
	return op_avx;
}

/* ---- for who has the registers elsewhere ---- */

static bool is_vzeroupper(const struct insn *insn)
{
	return insn->fn == op_vzero && !insn->vector;
}

bool avx_is_plain(const struct insn *insn)
{
	if (!(insn->flags & INSN_VEX) || insn->flags & INSN_EVEX)
		return false;
	return insn->fn == load_vector || insn->fn == store_vector || is_vzeroupper(insn) ||
	       (insn->fn == op_avx &&
		!(row_of(insn)->flags & (AVX_FP | AVX_COMPARE | AVX_STRING)));
}

uint16_t avx_vectors(const struct insn *insn)
{
	const struct avx_row *row = row_of(insn);
	uint16_t vectors = 1u << (insn->reg_number & 15) | 1u << (insn->vvvv & 15);

	if (is_vzeroupper(insn))
		return 0;
	if (!(insn->flags & INSN_MEM))
		vectors |= 1u << (insn->rm_number & 15);
	if (row->form == AVX_RVMR)
		vectors |= 1u << avx_fourth(insn);
	return vectors;
}

struct avx_operand avx_operand(const struct insn *insn)
{
	const struct avx_row *row = row_of(insn);

	if (!(insn->flags & INSN_MEM))
		return (struct avx_operand){ 0 };
	return (struct avx_operand){
		.bytes = operand_bytes(insn, row),
		.written = !reads_memory(row),
		.aligned = row->flags & AVX_ALIGN,
	};
}

bool avx_offered(const struct vcpu *cpu, const struct insn *insn)
{
	const struct avx_row *row = row_of(insn);

	if (is_vzeroupper(insn))
		return offered(cpu, AVX_AVX);
	return offered(cpu, row->feature[insn->vector]) &&
	       (!(row->flags & AVX_REG_AVX2) || insn->flags & INSN_MEM ||
		offered(cpu, AVX_AVX2));
}

static void zero_upper(uint8_t *low, uint8_t (*high)[16], uint64_t *gpr, uint8_t *memory)
{
	(void)low;
	(void)gpr;
	(void)memory;
	memset(high, 0, 16 * sizeof(*high));
}

static void zero_upper_8(uint8_t *low, uint8_t (*high)[16], uint64_t *gpr, uint8_t *memory)
{
	(void)low;
	(void)gpr;
	(void)memory;
	memset(high, 0, 8 * sizeof(*high));
}

avx_direct *avx_plain_get(const struct insn *insn)
{
	if (is_vzeroupper(insn))
		return insn->code == 8 ? zero_upper : zero_upper_8;
	return avx_direct_get(insn, row_of(insn));
}
