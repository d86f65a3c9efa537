/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadows of code pages.
 *
 * A shadow is one page that Unicorn translates from in place of the guest's. Bytes of instructions
 * that were published are the guest's own, all others are an opcode that does not exist. A shadow
 * whose guest page was changed under its instructions is given up, and its address is not used
 * again while this Unicorn lives, so that no translation of it is ever found.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/unicorn/unicorn.h"
#include "util/guard.h"
#include "util/pages.h"

/* INT1: Unicorn has none, in any code size. One byte, so that no decoding goes over it. */
#define FILLER 0xf1

#define CODE_BYTES ((size_t)SHADOW_PAGES_MAX * GUEST_PAGE_SIZE)
#define PAGES_BYTES (SHADOW_PAGES_MAX * sizeof(struct shadow))
#define HASH_BYTES (sizeof(struct shadow *) << SHADOW_HASH_BITS)

int shadows_init(struct shadows *shadows)
{
	shadows->code = pages_alloc(CODE_BYTES);
	shadows->page = pages_alloc(PAGES_BYTES);
	shadows->hash = pages_alloc(HASH_BYTES);
	if (shadows->code && shadows->page && shadows->hash)
		return 0;
	shadows_fini(shadows);
	return -ENOMEM;
}

void shadows_fini(struct shadows *shadows)
{
	for (unsigned i = 0; i < shadows->used; i++)
		callouts_free(&shadows->page[i]);
	pages_free(shadows->hash, HASH_BYTES);
	pages_free(shadows->page, PAGES_BYTES);
	pages_free(shadows->code, CODE_BYTES);
}

bool shadows_full(const struct shadows *shadows)
{
	return shadows->used == SHADOW_PAGES_MAX;
}

void shadows_slots_changed(struct shadows *shadows)
{
	shadows->slots_epoch++;
}

static struct shadow **bucket(struct shadows *shadows, const uint8_t *host_page)
{
	uint64_t h = (uintptr_t)host_page >> GUEST_PAGE_SHIFT;

	h ^= h >> SHADOW_HASH_BITS;
	return &shadows->hash[h & ((1u << SHADOW_HASH_BITS) - 1)];
}

static const uint8_t *page_of(const uint8_t *host)
{
	return (const uint8_t *)((uintptr_t)host & GUEST_PAGE_MASK);
}

static unsigned offset_of(const uint8_t *host)
{
	return (uintptr_t)host & ~GUEST_PAGE_MASK;
}

struct shadow *shadow_find(struct shadows *shadows, const uint8_t *host)
{
	const uint8_t *host_page = page_of(host);
	struct shadow *shadow = *bucket(shadows, host_page);

	while (shadow && shadow->host != host_page)
		shadow = shadow->hash_next;
	return shadow;
}

static bool bit(const uint64_t *bits, unsigned index)
{
	return bits[index / 64] >> (index % 64) & 1;
}

static void set_bit(uint64_t *bits, unsigned index)
{
	bits[index / 64] |= 1ull << (index % 64);
}

bool shadow_has(const struct shadow *shadow, const uint8_t *host)
{
	return bit(shadow->starts, offset_of(host));
}

void shadow_remark(struct shadows *shadows, struct shadow *shadow, const struct block *block)
{
	shadow->mark = block->mark;
	shadow->slots = shadows->slots_epoch;
}

static void give_up(struct shadows *shadows, struct shadow *shadow)
{
	struct shadow **link = bucket(shadows, shadow->host);

	while (*link != shadow)
		link = &(*link)->hash_next;
	*link = shadow->hash_next;
}

static struct shadow *create(struct shadows *shadows, const uint8_t *host_page)
{
	struct shadow **link = bucket(shadows, host_page), *shadow;

	if (shadows_full(shadows))
		return NULL;
	shadow = &shadows->page[shadows->used];
	shadow->code = shadows->code + (size_t)shadows->used * GUEST_PAGE_SIZE;
	shadows->used++;
	shadow->host = host_page;
	shadow->hash_next = *link;
	memset(shadow->code, FILLER, GUEST_PAGE_SIZE);
	memset(shadow->covered, 0, sizeof(shadow->covered));
	memset(shadow->starts, 0, sizeof(shadow->starts));
	memset(shadow->called, 0, sizeof(shadow->called));
	/* Not the guest page's: the first comparison takes it. */
	shadow->verified = 0;
	*link = shadow;
	return shadow;
}

/* Whether what was published of @bytes at @offset is still the same. */
static bool agrees(const struct shadow *shadow, unsigned offset, const uint8_t *bytes,
		   unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (bit(shadow->covered, offset + i) && shadow->code[offset + i] != bytes[i] &&
		    !bit(shadow->called, offset + i))
			return false;
	return callouts_agree(shadow, offset, bytes, count);
}

/* How many instructions from the block's start on Unicorn executes. */
static unsigned leading_insns(const struct shadows *shadows, const struct block *block)
{
	unsigned i;

	for (i = 0; i < block->count; i++)
		if (!unicorn_executes(&block->insn[i], (uintptr_t)block->host, &shadows->guest))
			break;
	return i;
}

static bool any_bit(const uint64_t *bits, unsigned start, unsigned count)
{
	for (unsigned i = start; i < start + count; i++)
		if (bit(bits, i))
			return true;
	return false;
}

/*
 * Puts one instruction into the shadow. Those for which Unicorn calls us are not there as they are, so
 * they cannot lie across others, as code that jumps into its instructions has them. False: it does.
 */
static bool publish(struct shadow *shadow, const struct block *block, const struct insn *insn)
{
	const unsigned offset = offset_of(block->host) + insn->offset;
	const uint8_t *bytes = block->source + insn->offset;
	const bool calls = unicorn_calls(insn, (uintptr_t)block->host);
	unsigned i;

	if (bit(shadow->starts, offset) && bit(shadow->called, offset) == calls)
		return true;
	if (any_bit(calls ? shadow->covered : shadow->called, offset, insn->length))
		return false;
	if (calls && !callout_publish(shadow, offset, insn, bytes))
		return false;
	if (!calls)
		memcpy(shadow->code + offset, bytes, insn->length);
	for (i = offset; i < offset + insn->length; i++) {
		set_bit(shadow->covered, i);
		if (calls)
			set_bit(shadow->called, i);
	}
	set_bit(shadow->starts, offset);
	return true;
}

unsigned shadow_publish(struct shadows *shadows, const struct block *block, uint64_t epoch,
			uint16_t *vectors)
{
	const unsigned count = leading_insns(shadows, block), offset = offset_of(block->host);
	const uint8_t *host_page = page_of(block->host);
	const struct insn *insn = block->insn;
	unsigned bytes, i;
	struct shadow *shadow;

	*vectors = 0;
	if (!count)
		return 0;
	bytes = insn[count - 1].offset + insn[count - 1].length;
	shadow = shadow_find(shadows, host_page);
	if (shadow && !agrees(shadow, offset, block->source, bytes)) {
		give_up(shadows, shadow);
		shadow = NULL;
	}
	if (!shadow)
		shadow = create(shadows, host_page);
	if (!shadow)
		return 0;
	shadow_remark(shadows, shadow, block);
	bytes = 0;
	for (i = 0; i < count && publish(shadow, block, &insn[i]); i++) {
		*vectors |= unicorn_vectors(&insn[i]);
		bytes = insn[i].offset + insn[i].length;
	}
	/* The other instructions of the page may have been compared with something older. */
	if (shadow->verified != epoch)
		shadow->verified = 0;
	return bytes;
}

bool shadow_verify(struct shadows *shadows, struct shadow *shadow, uint64_t epoch)
{
	uint8_t now[GUEST_PAGE_SIZE];

	if (shadow->slots != shadows->slots_epoch || !*shadow->mark)
		return false;
	if (shadow->verified == epoch)
		return true;
	if (guard_copy_from(now, shadow->host, sizeof(now)))
		return false;
	if (!shadow->verified || memcmp(now, shadow->image, sizeof(now))) {
		if (!agrees(shadow, 0, now, sizeof(now))) {
			give_up(shadows, shadow);
			return false;
		}
		memcpy(shadow->image, now, sizeof(now));
	}
	shadow->verified = epoch;
	return true;
}
