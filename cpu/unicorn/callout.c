/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that Unicorn's code calls us for.
 *
 * A vector in memory has to be aligned, and Unicorn does not look; AVX it does not know, and of the
 * privileged state nothing. In the shadow such an instruction is prefixes that mean nothing and
 * FWAIT, of the same length: for FWAIT Unicorn calls a function of C (stop.c), which comes here.
 * With whatever is not as usual Unicorn stops there, and the interpreter executes the instruction.
 * Who jumps into the middle of one finds FWAIT as well, but nothing that belongs to the address, and
 * stops.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/event.h"
#include "cpu/interp/avx.h"
#include "cpu/segment.h"
#include "cpu/unicorn/unicorn.h"
#include "util/guard.h"

#define FWAIT 0x9b
#define CS_PREFIX 0x2e

enum kind { LOAD, STORE, CALCULATE, AVX, SYSTEM };

struct callout {
	struct callout *next; /* of the shadow */
	enum kind kind;
	simd_direct *thunk; /* CALCULATE */
	avx_direct *avx;
	bool offered; /* AVX: the guest has it; else it is not known */
	enum system_call system;
	struct avx_operand operand;
	struct insn insn;
	uint16_t offset; /* in the page */
	uint8_t bytes[15];
};

/* ---- in the shadow ---- */

static enum kind kind_of(const struct insn *insn)
{
	if (insn->flags & INSN_VEX)
		return AVX;
	if (unicorn_system(insn) != NO_SYSTEM)
		return SYSTEM;
	switch (insn->opcode) {
	case 0x28: /* MOVAPS, MOVAPD */
	case 0x6f: /* MOVDQA */
		return LOAD;
	case 0x29: /* MOVAPS, MOVAPD */
	case 0x2b: /* MOVNTPS, MOVNTPD */
	case 0x7f: /* MOVDQA */
	case 0xe7: /* MOVNTDQ */
		return STORE;
	default:
		return CALCULATE;
	}
}

/* False: out of memory. */
static bool prepare(struct callout *callout)
{
	const struct insn *insn = &callout->insn;

	if (callout->kind == AVX) {
		callout->operand = avx_operand(insn);
		callout->avx = avx_plain_get(insn);
		return callout->avx;
	}
	if (callout->kind == SYSTEM) {
		callout->system = unicorn_system(insn);
		return true;
	}
	callout->operand = (struct avx_operand){ 16, callout->kind == STORE, true };
	if (callout->kind == CALCULATE)
		callout->thunk =
			simd_direct_get(insn, simd_row(insn->map, insn->prefix, insn->opcode));
	return callout->kind != CALCULATE || callout->thunk;
}

bool callout_publish(struct shadow *shadow, unsigned offset, const struct insn *insn,
		     const uint8_t *bytes)
{
	struct callout *callout = calloc(1, sizeof(*callout));

	if (!callout)
		return false;
	callout->kind = kind_of(insn);
	callout->insn = *insn;
	callout->offset = offset;
	memcpy(callout->bytes, bytes, insn->length);
	if (!prepare(callout)) {
		free(callout);
		return false;
	}
	callout->next = shadow->callouts;
	shadow->callouts = callout;
	memset(shadow->code + offset, CS_PREFIX, insn->length - 1);
	shadow->code[offset + insn->length - 1] = FWAIT;
	return true;
}

bool callouts_agree(const struct shadow *shadow, unsigned offset, const uint8_t *bytes,
		    unsigned count)
{
	const struct callout *callout;

	for (callout = shadow->callouts; callout; callout = callout->next) {
		const unsigned start = callout->offset, end = start + callout->insn.length;
		const unsigned from = start > offset ? start : offset;
		const unsigned to = end < offset + count ? end : offset + count;

		if (from < to && memcmp(callout->bytes + (from - start), bytes + (from - offset),
					to - from))
			return false;
	}
	return true;
}

void callouts_free(struct shadow *shadow)
{
	struct callout *callout;

	while ((callout = shadow->callouts)) {
		shadow->callouts = callout->next;
		free(callout);
	}
}

/* ---- Unicorn's own registers ---- */

#define SEARCHED_BYTES 4096
#define UNKNOWN (-1)
#define NOT_FOUND (-2)

/* Where the first vector register is behind the general ones; AVX_DIRECT_STRIDE on is the next one. */
static atomic_int xmm_offset = UNKNOWN;

static int find(const uint8_t *place, const uint8_t *bytes)
{
	for (int i = 0; i + 16 <= SEARCHED_BYTES; i += 8)
		if (!memcmp(place + i, bytes, 16))
			return i;
	return NOT_FOUND;
}

/* Writes a register by its name and looks where that came out. */
static int place_of(uc_engine *uc, const uint8_t *registers, int name)
{
	static const uint8_t mark[16] = { 0xd6, 0x1f, 0x95, 0x3c, 0x08, 0xe7, 0x6a, 0xb1,
					  0x43, 0xcc, 0x72, 0x9d, 0x0e, 0xf5, 0x81, 0x2b };
	uint8_t before[16], written[16];
	void *values[] = { before };
	int place;

	memcpy(written, mark, sizeof(written));
	uc_reg_read_batch(uc, &name, values, 1);
	uc_reg_write(uc, name, written);
	place = find(registers, mark);
	uc_reg_write(uc, name, before);
	return place;
}

/* The general registers are at the start, in the order of their numbers. */
static bool begins_with(uc_engine *uc, const uint64_t *registers, int *names, unsigned count)
{
	uint64_t value;
	void *values[] = { &value };

	for (unsigned i = 0; i < count; i++) {
		value = 0;
		uc_reg_read_batch(uc, &names[i], values, 1);
		if (value != registers[i])
			return false;
	}
	return true;
}

static int find_vectors(struct side *side, const uint64_t *registers)
{
	const uint8_t *start = (const uint8_t *)registers;
	int first = place_of(side->uc, start, UC_X86_REG_XMM0);
	int last = place_of(side->uc, start, UC_X86_REG_XMM7);

	if (!begins_with(side->uc, registers, side->registers, side->gprs) || first < 0 ||
	    last - first != 7 * AVX_DIRECT_STRIDE)
		first = NOT_FOUND;
	atomic_store(&xmm_offset, first);
	return first;
}

/* ---- in the code ---- */

static const struct call_site *look_up(struct side *side, uintptr_t from)
{
	struct call_site *site = &side->sites[(from >> 3) % CALL_SITES];
	struct vcpu *vcpu = side->unicorn->vcpu;
	struct callout *callout = NULL;
	const struct shadow *shadow;
	const uint8_t *host;
	uint64_t rip = 0;
	void *values[] = { &rip };

	if (site->from == from)
		return site;
	if (!unicorn_locate(from))
		return NULL;
	uc_reg_read_batch(side->uc, &side->registers[side->gprs + 1], values, 1);
	host = mmu_lookup(&vcpu->mmu, rip, 1, ACCESS_EXEC, vcpu->code_mode);
	shadow = host ? shadow_find(&side->shadows, host) : NULL;
	if (shadow)
		for (callout = shadow->callouts; callout; callout = callout->next)
			if (callout->offset == (rip & ~GUEST_PAGE_MASK))
				break;
	if (!callout)
		return NULL;
	*site = (struct call_site){ from, rip, callout };
	return site;
}

static uint64_t operand(const struct side *side, const struct call_site *site,
			const uint64_t *registers)
{
	const struct insn *insn = &site->callout->insn;
	uint64_t address = insn->disp;

	if (insn->base == GPR_BLOCK)
		address += site->rip - insn->offset;
	else if (insn->base != GPR_ZERO)
		address += registers[insn->base];
	if (insn->index != GPR_ZERO)
		address += registers[insn->index] << insn->scale;
	address &= insn->amask;
	if (insn->code != 8)
		return (uint32_t)address;
	if (insn->seg == SEG_FS)
		address += side->fs_base;
	else if (insn->seg == SEG_GS)
		address += side->gs_base;
	return address;
}

static uint8_t *operand_host(struct side *side, uint64_t address, const struct callout *callout)
{
	const enum access access = callout->operand.written ? ACCESS_WRITE : ACCESS_READ;
	struct vcpu *vcpu = side->unicorn->vcpu;
	uint8_t *host;

	if (callout->operand.aligned && address & (callout->operand.bytes - 1))
		return NULL;
	host = mmu_lookup(&vcpu->mmu, address, callout->operand.bytes, access, vcpu->data_mode);
	if (!host)
		host = side_operand(side, address, callout->operand.bytes, access);
	if (host && side->unicorn->lockstep &&
	    !lockstep_data(side->unicorn->lockstep, host, callout->operand.written))
		return NULL;
	return host;
}

/* Not with an interrupt that waits: the interpreter lets it in behind the next instruction. */
static bool execute_sti(struct side *side, const struct call_site *site)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	struct cpu_state *s = &vcpu->state;
	const bool was_set = s->rflags & RFLAGS_IF;

	if (!was_set && event_checks_soon(vcpu))
		return false;
	s->rflags |= RFLAGS_IF;
	s->events.shadow = was_set ? 0 : KVM_X86_SHADOW_INT_STI;
	side->after_sti = site->rip + site->callout->insn.length;
	return true;
}

static void execute_swapgs(struct side *side)
{
	struct vcpu *vcpu = side->unicorn->vcpu;

	segment_swap_gs(vcpu);
	side->gs_base = vcpu->state.base[SEG_GS];
	uc_reg_write(side->uc, UC_X86_REG_GS_BASE, &side->gs_base);
}

static bool read_clock(struct vcpu *vcpu, uint64_t *registers, bool with_aux)
{
	const struct cpu_state *s = &vcpu->state;
	uint64_t now;

	if ((s->cr4 & CR4_TSD && state_cpl(s)) || (with_aux && !vcpu->features.rdtscp))
		return false;
	now = tsc_read(&vcpu->tsc);
	registers[GPR_RAX] = (uint32_t)now;
	registers[GPR_RDX] = now >> 32;
	if (with_aux)
		registers[GPR_RCX] = (uint32_t)s->msr.tsc_aux;
	return true;
}

static bool execute_system(struct side *side, const struct call_site *site, uint64_t *registers)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	const enum system_call call = site->callout->system;

	switch (call) {
	case CLI:
		vcpu->state.rflags &= ~(uint64_t)RFLAGS_IF;
		vcpu->state.events.shadow = 0;
		return true;
	case STI:
		return execute_sti(side, site);
	case SWAPGS:
		execute_swapgs(side);
		return true;
	case RDTSC:
	case RDTSCP:
		return read_clock(vcpu, registers, call == RDTSCP);
	case NO_SYSTEM:
		break;
	}
	return false;
}

static bool execute(struct side *side, const struct call_site *site, uint64_t *registers,
		    uint8_t *vectors, uint8_t *memory)
{
	struct callout *callout = site->callout;
	uint8_t *reg = vectors + callout->insn.reg_number * AVX_DIRECT_STRIDE;
	struct vcpu *vcpu = side->unicorn->vcpu;
	uint16_t flags;

	switch (callout->kind) {
	case LOAD:
		memcpy(reg, memory, 16);
		return true;
	case STORE:
		memcpy(memory, reg, 16);
		return true;
	case CALCULATE:
		callout->thunk(reg, memory, NULL, &flags);
		return true;
	case AVX:
		if (unlikely(!avx_enabled(vcpu)))
			return false;
		if (unlikely(!callout->offered))
			callout->offered = avx_offered(vcpu, &callout->insn);
		if (unlikely(!callout->offered))
			return false;
		callout->avx(vectors, vcpu->state.fpu.ymm_high, registers, memory);
		return true;
	case SYSTEM:
		return execute_system(side, site, registers);
	}
	return false;
}

bool callout(void *opaque, uint64_t *registers, uintptr_t from)
{
	struct side *side = opaque;
	const struct call_site *site;
	int offset = atomic_load_explicit(&xmm_offset, memory_order_relaxed);
	uint8_t *memory = NULL;

	if (unlikely(offset < 0)) {
		if (offset == UNKNOWN)
			offset = find_vectors(side, registers);
		if (offset < 0)
			return false;
	}
	site = look_up(side, from);
	if (unlikely(!site))
		return false;
	if (site->callout->operand.bytes) {
		memory = operand_host(side, operand(side, site, registers), site->callout);
		if (unlikely(!memory))
			return false;
	}
	side->unicorn->stats.calls++;
	return execute(side, site, registers, (uint8_t *)registers + offset, memory);
}
