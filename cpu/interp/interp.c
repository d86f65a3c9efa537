/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interpreter engine: block loop, ways out of an instruction.
 *
 * Handlers leave an instruction by siglongjmp() to the loop; between two jumps nothing on the C
 * stack is worth keeping, so an exit to user space needs no stack of its own.
 */
#include "cpu/interp/interp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/exit.h"
#include "cpu/interp/mxcsr.h"
#include "util/guard.h"
#include "util/pages.h"

/* Blocks that run before code is compared with memory again though nothing asked for it. */
#define BLOCKS_TRUSTED (1u << 16)

static int interp_create(struct vcpu *vcpu)
{
	(void)vcpu; /* every vCPU has the interpreter's data: vcpu_create() made it */
	return 0;
}

static void interp_destroy(struct vcpu *vcpu)
{
	(void)vcpu;
}

struct interp *interp_alloc(void)
{
	struct interp *interp = pages_alloc(sizeof(*interp));

	if (!interp)
		return NULL;
	if (block_cache_init(interp)) {
		pages_free(interp, sizeof(*interp));
		return NULL;
	}
	interp->code_epoch = 1;
	interp->block_insns = BLOCK_INSNS_MAX;
	return interp;
}

void interp_free(struct interp *interp)
{
	if (!interp)
		return;
	block_cache_fini(interp);
	pages_free(interp, sizeof(*interp));
}

static bool segment_flat(const struct kvm_segment *seg, bool writable)
{
	/* Type 8..15 is code; bit 1 is write for data and read for code; bit 2 expand-down. */
	if (seg->unusable || !seg->present || !seg->s || seg->base || seg->limit != 0xffffffff)
		return false;
	if (writable)
		return !(seg->type & 8) && (seg->type & 2) && !(seg->type & 4);
	return seg->type & 8 ? seg->type & 2 : !(seg->type & 4);
}

void interp_mode_changed(struct vcpu *cpu)
{
	const struct cpu_state *s = &cpu->state;
	struct interp *interp = cpu->interp;
	struct decode_mode mode = { 0 };

	mode.v86 = state_v86(s);
	mode.protected_mode = state_protected(s) && !mode.v86;
	if (state_code64(s)) {
		mode.code = 8;
		mode.stack = 8;
	} else {
		mode.code = s->seg[SEG_CS].db ? 4 : 2;
		mode.stack = s->seg[SEG_SS].db ? 4 : 2;
		mode.check = !mode.protected_mode || !segment_flat(&s->seg[SEG_DS], true) ||
			     !segment_flat(&s->seg[SEG_ES], true) ||
			     !segment_flat(&s->seg[SEG_SS], true) ||
			     !segment_flat(&s->seg[SEG_CS], false) ||
			     !segment_flat(&s->seg[SEG_FS], true) ||
			     !segment_flat(&s->seg[SEG_GS], true);
	}
	if ((s->cr0 & CR0_AM) && (s->rflags & RFLAGS_AC) && state_cpl(s) == 3)
		mode.check = true;
	interp->mode = mode;
	interp->key = mode.code | mode.stack << 4 | mode.check << 8 | mode.v86 << 9 |
		      mode.protected_mode << 10 | (unsigned)cpu->code_mode << 11;
}

void interp_forget_code(struct vcpu *vcpu)
{
	block_cache_clear(vcpu->interp);
}

void interp_code_changed(struct vcpu *vcpu)
{
	vcpu->interp->code_epoch++;
}

/* ---- ways out of an instruction ---- */

static _Noreturn void leave(struct vcpu *cpu, enum interp_leave how)
{
	siglongjmp(cpu->interp->env, how);
}

_Noreturn void interp_leave(struct vcpu *cpu, const struct insn *insn, enum engine_reason reason)
{
	cpu->state.rip = insn_ip(cpu, insn);
	cpu->interp->reason = reason;
	/* The first instruction of a block is still in the shadow of the one before. */
	if (!cpu->interp->alone && !insn->offset)
		cpu->state.events.shadow = cpu->interp->shadow;
	leave(cpu, INTERP_REASON);
}

_Noreturn void interp_complete(struct vcpu *cpu, const struct insn *insn, enum engine_reason reason)
{
	cpu->state.rip = insn_next_ip(cpu, insn);
	/* Complete also means that the shadow of the instruction before has ended. */
	cpu->state.events.shadow = 0;
	cpu->interp->alone = false;
	cpu->replay.count = cpu->replay.next = 0;
	cpu->interp->reason = reason;
	leave(cpu, INTERP_REASON);
}

_Noreturn void interp_halt(struct vcpu *cpu, const struct insn *insn)
{
	interp_complete(cpu, insn, ENGINE_HALT);
}

_Noreturn void exception_recorded(struct vcpu *cpu, const struct insn *insn)
{
	cpu->replay.count = cpu->replay.next = 0;
	interp_leave(cpu, insn, ENGINE_EXCEPTION);
}

_Noreturn void exception(struct vcpu *cpu, const struct insn *insn, uint8_t vector, uint32_t error)
{
	const uint32_t with_error = 1u << VECTOR_DF | 1u << VECTOR_TS | 1u << VECTOR_NP |
				    1u << VECTOR_SS | 1u << VECTOR_GP | 1u << VECTOR_PF |
				    1u << VECTOR_AC;

	event_raise(cpu, vector, with_error >> vector & 1, error);
	exception_recorded(cpu, insn);
}

_Noreturn void exception_page_fault(struct vcpu *cpu, const struct insn *insn, uint64_t address,
				    uint32_t error)
{
	event_raise_page_fault(cpu, address, error);
	exception_recorded(cpu, insn);
}

void interp_alone(struct vcpu *cpu, const struct insn *insn)
{
	if (cpu->interp->alone)
		return;
	cpu->state.rip = insn_ip(cpu, insn);
	if (!insn->offset)
		cpu->state.events.shadow = cpu->interp->shadow;
	leave(cpu, INTERP_ALONE);
}

_Noreturn void interp_emulation_error(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.rip = insn_ip(cpu, insn);
	cpu->interp->reason = exit_emulation_error(cpu) ? ENGINE_EXIT : ENGINE_EXCEPTION;
	leave(cpu, INTERP_REASON);
}

/* ---- the loop ---- */

static void run_alone(struct vcpu *cpu)
{
	struct interp *interp = cpu->interp;
	struct block *block = block_alone(cpu);
	uint8_t shadow = cpu->state.events.shadow;

	interp->alone = true;
	interp->watch_hits = 0;
	cpu->state.gpr[GPR_BLOCK] = cpu->state.rip;
	/* Cleared here so that the instruction can be seen to set it again; an instruction that is
	 * left in the middle gets it back from interp_run(). */
	interp->shadow = shadow;
	cpu->state.events.shadow = 0;
	block->insn[0].fn(cpu, block->insn);
	interp->alone = false;
	cpu->replay.count = cpu->replay.next = 0;
	/* A second STI or MOV SS in the shadow of the first does not prolong it. */
	if (shadow && cpu->state.events.shadow == shadow)
		cpu->state.events.shadow = 0;
	if (interp->watch_hits)
		event_raise_debug(cpu, interp->watch_hits);
}

/* @jump leads to the block at state.rip, which is at @linear. False: kicked meanwhile. */
static bool jump_fill(struct vcpu *cpu, struct jump *jump, uint64_t linear)
{
	struct block *block = block_find(cpu);

	if (!block)
		return false;
	jump->linear = linear;
	jump->key = cpu->interp->key;
	jump->stamp = cpu->mmu.epoch + cpu->interp->code_epoch;
	jump->block = block;
	return true;
}

/* Whether the engine executed something of @block itself. */
static bool ask_engine(struct vcpu *cpu, struct block *block)
{
	bool done;

	mxcsr_release(cpu);
	done = cpu->engine->hot(cpu, block);
	mxcsr_keep(cpu);
	return done;
}

static enum engine_reason interp_run(struct vcpu *cpu, bool single)
{
	struct interp *interp = cpu->interp;
	enum engine_reason reason;
	struct guard guard;
	struct block *block;
	unsigned trust;
	uint64_t gpa;
	int how;

	if (guard_enter(&guard)) {
		/* A host page is missing. The access was an operand's of insn_now, or the fetch. */
		if (cpu->insn_now) {
			cpu->state.rip = insn_ip(cpu, cpu->insn_now);
			if (!cpu->insn_now->offset)
				cpu->state.events.shadow = interp->shadow;
		}
		interp->alone = false;
		cpu->rmw_pending = false;
		mxcsr_release(cpu);
		/* Several addresses lead to the page: only the one that is used comes back. */
		if (!interp->faulted &&
		    mmu_find_gpa(&cpu->mmu, (const uint8_t *)guard.address, &gpa) > 1) {
			interp->faulted = true;
			mmu_flush(&cpu->mmu);
			return ENGINE_EXCEPTION;
		}
		interp->faulted = false;
		exit_host_fault(cpu, (const uint8_t *)guard.address, guard.code);
		return ENGINE_ERROR;
	}
	how = sigsetjmp(interp->env, 0);
	mxcsr_keep(cpu);
	if (how) {
		if (interp->alone)
			cpu->state.events.shadow = interp->shadow;
		interp->alone = false;
		cpu->rmw_pending = false;
		if (how == INTERP_REASON) {
			reason = interp->reason;
			goto out;
		}
	}
	if (single || how == INTERP_ALONE || cpu->replay.count) {
		run_alone(cpu);
		if (cpu->state.events.exception.pending) {
			reason = ENGINE_EXCEPTION;
			goto out;
		}
		if (single) {
			reason = ENGINE_KICKED;
			goto out;
		}
	}
	reason = ENGINE_KICKED;
	trust = BLOCKS_TRUSTED;
	while (!atomic_load_explicit(&cpu->exit_request, memory_order_relaxed)) {
		struct jump *jump;
		uint64_t linear = interp_linear(cpu);

		/* A guest that spins sees at last what the client writes into its loop. */
		if (unlikely(!--trust)) {
			trust = BLOCKS_TRUSTED;
			interp->code_epoch++;
		}
		jump = &interp->jump[(linear ^ linear >> JUMP_CACHE_BITS) &
				     ((1u << JUMP_CACHE_BITS) - 1)];
		/* An empty entry's key is no mode's. */
		if (unlikely(jump->linear != linear || jump->key != interp->key)) {
			if (!jump_fill(cpu, jump, linear))
				break;
		} else if (unlikely(jump->stamp != cpu->mmu.epoch + interp->code_epoch)) {
			if (block_recheck(cpu, jump))
				jump->stamp = cpu->mmu.epoch + interp->code_epoch;
			else if (!jump_fill(cpu, jump, linear))
				break;
		}
		block = jump->block;
		if (unlikely(!--block->heat) && cpu->engine->hot && !cpu->bus_lock_exit &&
		    ask_engine(cpu, block))
			continue;
		cpu->state.gpr[GPR_BLOCK] = cpu->state.rip;
		/* What a block leaves here is its last instruction's. */
		interp->shadow = cpu->state.events.shadow;
		cpu->state.events.shadow = 0;
		block->insn[0].fn(cpu, block->insn);
	}
out:
	mxcsr_release(cpu);
	guard_leave(&guard);
	cpu->insn_now = NULL;
	interp->faulted = false;
	return reason;
}

const struct engine engine_interp = {
	.name = "interp",
	.create = interp_create,
	.destroy = interp_destroy,
	.run = interp_run,
	.verify_code = interp_code_changed,
};
