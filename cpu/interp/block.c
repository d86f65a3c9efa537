/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks of decoded code.
 *
 * A block is trusted while interp->code_epoch stands still; after that its bytes are compared with
 * memory once. Order matters when code is read: first the page gets its code mark (from then on
 * stores to it are seen), then the bytes are read or compared.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/exit.h"
#include "cpu/interp/interp.h"
#include "util/pages.h"

#define BLOCK_BYTES_MAX 512
#define HEAT_RELOAD 16

int block_cache_init(struct interp *interp)
{
	void *arena = pages_alloc(BLOCK_ARENA_BYTES);

	if (!arena)
		return -ENOMEM;
	interp->alone_block = calloc(1, sizeof(struct block) + 2 * sizeof(struct insn));
	if (!interp->alone_block) {
		pages_free(arena, BLOCK_ARENA_BYTES);
		return -ENOMEM;
	}
	interp->arena = arena;
	return 0;
}

void block_cache_fini(struct interp *interp)
{
	pages_free(interp->arena, BLOCK_ARENA_BYTES);
	free(interp->alone_block);
}

void block_cache_clear(struct interp *interp)
{
	interp->arena_used = 0;
	memset(interp->hash, 0, sizeof(interp->hash));
	memset(interp->jump, 0, sizeof(interp->jump));
	interp->code_epoch++;
}

static void *arena_alloc(struct interp *interp, size_t bytes)
{
	void *p = interp->arena + interp->arena_used;

	interp->arena_used += (bytes + 15) & ~(size_t)15;
	return p;
}

static _Noreturn void fetch_fault(struct vcpu *cpu)
{
	cpu->replay.count = cpu->replay.next = 0;
	cpu->interp->reason = ENGINE_EXCEPTION;
	siglongjmp(cpu->interp->env, INTERP_REASON);
}

static void check_canonical(struct vcpu *cpu, uint64_t linear)
{
	unsigned shift = cpu->state.cr4 & CR4_LA57 ? 7 : 16;

	if ((uint64_t)((int64_t)(linear << shift) >> shift) != linear) {
		event_raise(cpu, VECTOR_GP, true, 0);
		fetch_fault(cpu);
	}
}

uint64_t interp_fetch_address(struct vcpu *cpu)
{
	uint64_t ip = cpu->state.rip;

	if (cpu->interp->mode.code == 8) {
		check_canonical(cpu, ip);
	} else if (ip > cpu->state.seg[SEG_CS].limit) {
		event_raise(cpu, VECTOR_GP, true, 0);
		fetch_fault(cpu);
	}
	return interp_linear(cpu);
}

/* Translates for a fetch and marks the page as code. */
static void fetch_translate(struct vcpu *cpu, uint64_t linear, struct mmu_result *result, bool mark)
{
	enum mmu_status status;

	cpu->mmu.ring_stops = !cpu->replay.count;
	status = mmu_translate(&cpu->mmu, linear, ACCESS_EXEC, cpu->code_mode, result);
	cpu->mmu.ring_stops = false;
	switch (status) {
	case MMU_RAM:
		if (mark)
			mmu_mark_code(&cpu->mmu, result->gpa);
		return;
	case MMU_PAGE_FAULT:
		event_raise_page_fault(cpu, linear, result->error_code);
		fetch_fault(cpu);
	case MMU_MMIO:
		cpu->interp->reason = exit_emulation_error(cpu) ? ENGINE_EXIT : ENGINE_EXCEPTION;
		break;
	case MMU_RING_FULL:
		exit_dirty_ring_full(cpu);
		cpu->interp->reason = ENGINE_EXIT;
		break;
	case MMU_HOST_FAULT:
		exit_translation_fault(cpu, result);
		cpu->interp->reason = ENGINE_ERROR;
		break;
	}
	siglongjmp(cpu->interp->env, INTERP_REASON);
}

static _Atomic(uint8_t) *page_mark(const struct mmu_result *result)
{
	return result->slot->code + ((result->gpa - result->slot->gpa) >> GUEST_PAGE_SHIFT);
}

/* A straight block that ran into its end: the last, empty instruction. */
static void op_block_end(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.rip = insn_ip(cpu, insn);
	if (insn->code != 8)
		cpu->state.rip = insn->code == 4 ? (uint32_t)cpu->state.rip :
						   (uint16_t)cpu->state.rip;
}

static void append_end(struct insn *insn, const struct interp *interp, unsigned offset)
{
	memset(insn, 0, sizeof(*insn));
	insn->fn = op_block_end;
	insn->offset = offset;
	insn->code = interp->mode.code;
	insn->flags = INSN_END;
}

static struct block **bucket(struct interp *interp, const uint8_t *host)
{
	uint64_t h = (uintptr_t)host;

	h ^= h >> 17;
	return &interp->hash[h & ((1u << BLOCK_HASH_BITS) - 1)];
}

/* Bytes of CS that may be fetched from @ip on, outside 64-bit code. */
static unsigned limit_bytes(struct vcpu *cpu, unsigned bytes)
{
	uint64_t left;

	if (cpu->interp->mode.code == 8)
		return bytes;
	left = (uint64_t)cpu->state.seg[SEG_CS].limit - cpu->state.rip + 1;
	return left < bytes ? (unsigned)left : bytes;
}

static int decode_watched(struct vcpu *cpu, const uint8_t *bytes, unsigned available, unsigned offset,
			  struct insn *insn)
{
	int length = decode(&cpu->interp->mode, bytes, available, offset, insn);

	if (unlikely(cpu->bus_lock_exit) && length != DECODE_MORE)
		bus_lock_watch(insn);
	return length;
}

/*
 * Decodes one instruction that may lie on two pages, with all the checks of a fetch. @bytes gets
 * what was read. Returns its length.
 */
static int decode_one(struct vcpu *cpu, uint64_t linear, struct mmu_result *first,
		      struct mmu_result *second, uint8_t bytes[32], struct insn *insn, bool mark)
{
	unsigned on_page = GUEST_PAGE_SIZE - (linear & ~GUEST_PAGE_MASK);
	unsigned available = on_page < 15 ? on_page : 15;
	unsigned allowed;
	int length;

	second->hva = NULL;
	allowed = limit_bytes(cpu, 16);
	if (available > allowed)
		available = allowed;
	memcpy(bytes, first->hva, available);
	length = decode_watched(cpu, bytes, available, 0, insn);
	if (length != DECODE_MORE)
		return length;
	if (available == allowed) {
		event_raise(cpu, VECTOR_GP, true, 0);
		fetch_fault(cpu);
	}
	/*
	 * Marking the first page may have waited for other vCPUs, and so counted as outside guest
	 * code: what the slots were before must not be walked through any more.
	 */
	if (mark && atomic_load(&cpu->requests) & VCPU_REQUEST_SLOTS) {
		cpu->interp->reason = ENGINE_KICKED;
		siglongjmp(cpu->interp->env, INTERP_REASON);
	}
	linear += on_page;
	if (cpu->interp->mode.code == 8)
		check_canonical(cpu, linear);
	else
		linear = (uint32_t)linear;
	fetch_translate(cpu, linear, second, mark);
	allowed = allowed < 15 ? allowed : 15;
	memcpy(bytes + on_page, second->hva, allowed - on_page);
	length = decode_watched(cpu, bytes, allowed, 0, insn);
	if (length == DECODE_MORE) {
		event_raise(cpu, VECTOR_GP, true, 0);
		fetch_fault(cpu);
	}
	return length;
}

static struct block *build(struct vcpu *cpu, uint64_t linear, struct mmu_result *first)
{
	struct interp *interp = cpu->interp;
	struct mmu_result second = { 0 };
	unsigned on_page = GUEST_PAGE_SIZE - (linear & ~GUEST_PAGE_MASK);
	unsigned available, offset = 0, count = 0;
	uint8_t bytes[BLOCK_BYTES_MAX];
	struct block *block;
	uint8_t *source;
	int length = 0;

	if (interp->arena_used + sizeof(*block) + (BLOCK_INSNS_MAX + 1) * sizeof(struct insn) +
		    BLOCK_BYTES_MAX + 64 >
	    BLOCK_ARENA_BYTES)
		block_cache_clear(interp);
	/* Grown in place at the arena's end and allocated when its size is known. */
	block = (struct block *)(interp->arena + interp->arena_used);
	available = on_page < BLOCK_BYTES_MAX ? on_page : BLOCK_BYTES_MAX;
	available = limit_bytes(cpu, available);
	memcpy(bytes, first->hva, available);
	while (count < interp->block_insns && offset < available) {
		struct insn *insn = &block->insn[count];

		length = decode_watched(cpu, bytes + offset, available - offset, offset, insn);
		if (length == DECODE_MORE)
			break;
		insn->offset = offset;
		offset += length;
		count++;
		if (insn->flags & INSN_END)
			break;
	}
	block->host2 = NULL;
	block->mark2 = NULL;
	if (!count) {
		length = decode_one(cpu, linear, first, &second, bytes, &block->insn[0], true);
		block->insn[0].offset = 0;
		offset = length;
		count = 1;
		if (second.hva) {
			block->insn[0].flags |= INSN_CROSS;
			block->host2 = second.hva;
			block->mark2 = page_mark(&second);
		}
	}
	block->host = first->hva;
	block->mark = page_mark(first);
	block->key = interp->key;
	block->heat = interp->heat;
	block->reload = HEAT_RELOAD;
	block->entered = 0;
	block->bytes = offset;
	block->bytes1 = offset < on_page ? offset : on_page;
	if (!(block->insn[count - 1].flags & INSN_END)) {
		append_end(&block->insn[count], interp, offset);
		count++;
	}
	block->count = count;
	arena_alloc(interp, sizeof(*block) + count * sizeof(struct insn));
	source = arena_alloc(interp, offset);
	memcpy(source, bytes, offset);
	block->source = source;
	block->verified = interp->code_epoch;
	cpu->stats.blocks++;
	return block;
}

static bool same_bytes(const struct block *block)
{
	return !memcmp(block->host, block->source, block->bytes1) &&
	       (!block->host2 ||
		!memcmp(block->host2, block->source + block->bytes1, block->bytes - block->bytes1));
}

/* Its bytes, where the page is still marked, are what was decoded. */
static bool verify(struct vcpu *cpu, struct block *block)
{
	if (block->verified == cpu->interp->code_epoch)
		return true;
	if (!*block->mark || (block->mark2 && !*block->mark2))
		return false;
	cpu->stats.verified++;
	if (!same_bytes(block))
		return false;
	block->verified = cpu->interp->code_epoch;
	return true;
}

bool block_recheck(struct vcpu *cpu, const struct jump *jump)
{
	struct block *block = jump->block;

	cpu->insn_now = NULL;
	/* A limit of CS that matters may have changed as well. */
	return !cpu->interp->mode.check && !block->host2 &&
	       mmu_lookup(&cpu->mmu, jump->linear, 1, ACCESS_EXEC, cpu->code_mode) == block->host &&
	       verify(cpu, block);
}

struct block *block_find(struct vcpu *cpu)
{
	struct interp *interp = cpu->interp;
	struct mmu_result first, second;
	struct block **link, *block;
	uint64_t linear;
	uint8_t *host;

	cpu->insn_now = NULL;
	linear = interp_fetch_address(cpu);
	host = mmu_lookup(&cpu->mmu, linear, 1, ACCESS_EXEC, cpu->code_mode);
	first.hva = NULL;
	if (!host) {
		fetch_translate(cpu, linear, &first, false);
		host = first.hva;
	}
	for (link = bucket(interp, host); (block = *link); link = &block->hash_next) {
		if (block->host != host || block->key != interp->key)
			continue;
		if (block->host2) {
			uint64_t next = (linear | ~GUEST_PAGE_MASK) + 1;

			fetch_translate(cpu, interp->mode.code == 8 ? next : (uint32_t)next,
					&second, false);
			if (second.hva != block->host2)
				continue;
		}
		break;
	}
	if (block) {
		if (verify(cpu, block))
			return block;
		/* Changed, or a store took the mark away: out of the hash, and decoded anew. */
		*link = block->hash_next;
	}
	fetch_translate(cpu, linear, &first, true);
	block = build(cpu, linear, &first);
	link = bucket(interp, block->host);
	block->hash_next = *link;
	*link = block;
	/* Marking may have waited for other vCPUs, who may have asked for something. */
	if (atomic_load(&cpu->exit_request))
		return NULL;
	return block;
}

struct block *block_alone(struct vcpu *cpu)
{
	struct block *block = cpu->interp->alone_block;
	struct mmu_result first, second;
	uint64_t linear;
	uint8_t bytes[32];
	int length;

	cpu->insn_now = NULL;
	linear = interp_fetch_address(cpu);
	fetch_translate(cpu, linear, &first, false);
	length = decode_one(cpu, linear, &first, &second, bytes, &block->insn[0], false);
	block->insn[0].offset = 0;
	if (!(block->insn[0].flags & INSN_END))
		append_end(&block->insn[1], cpu->interp, length);
	return block;
}
