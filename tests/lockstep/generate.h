/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What making instructions (generate.c) and making sequences of them (sequences.c) share. */
#ifndef LOCKSTEP_GENERATE_H
#define LOCKSTEP_GENERATE_H

#include "lockstep.h"

#define ALL_REGISTERS 0xffffu
#define BIT(n) (1u << (n))

struct generator {
	uint64_t random;
	enum guest_mode mode;
	struct decode_mode decode;
	struct sequence *sequence;
	uint8_t *code; /* of the sequence */
	unsigned at;
	unsigned undefined; /* flags */
	unsigned known;     /* registers whose values are those in @value */
	unsigned written;   /* registers, since somebody cleared it */
	uint64_t value[16];
};

unsigned below(struct generator *g, unsigned limit);
bool one_in(struct generator *g, unsigned n);
/* At the edges of every operand size, small, or any. */
uint64_t any_value(struct generator *g);
/* An offset in the data pages: mostly plain, often at an edge of a page, sometimes forbidden. */
uint32_t any_target(struct generator *g);

/* One instruction of the sequence. */
void emit(struct generator *g, const void *bytes, unsigned count);
/* Whether there is some for another few. */
bool room(const struct generator *g);
/* mov reg32, @value: from then on known. */
void emit_load(struct generator *g, unsigned reg, uint32_t value);
/* Any but a jump; sometimes none. */
void random_instruction(struct generator *g);

#endif
