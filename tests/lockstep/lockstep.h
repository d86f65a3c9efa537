/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random sequences of instructions on several CPUs that must agree: the interpreter, Unicorn, and
 * where it can execute them the host's own.
 *
 * A batch is a region full of sequences and the data that each of them starts with. The seed and the
 * number of a batch determine it entirely.
 */
#ifndef LOCKSTEP_LOCKSTEP_H
#define LOCKSTEP_LOCKSTEP_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/interp/interp.h"
#include "cpu/vcpu.h"

/* Linear addresses, in the guest and, for the host's CPU, in this process. */
#define CODE_LINEAR 0x20000000u
#define CODE_BYTES 0x40000u
#define DATA_LINEAR 0x30000000u
#define PAGE 4096u
/* Pages of data, by what can be done to them. */
#define DATA_PLAIN 0u /* three pages */
#define DATA_READ_ONLY 3u
#define DATA_ABSENT 4u
#define DATA_SUPERVISOR 5u
#define DATA_MMIO 6u
#define DATA_PAGES 7u

#define SEQUENCES_MAX 8192
#define INSNS_MAX 40
#define SEQUENCE_BYTES_MAX 400

enum guest_mode { SUPER64, USER64, SUPER32, USER32, MODES };
extern const char *const mode_names[MODES];

static inline bool mode_is_64(enum guest_mode mode)
{
	return mode == SUPER64 || mode == USER64;
}

static inline bool mode_is_user(enum guest_mode mode)
{
	return mode == USER64 || mode == USER32;
}

struct sequence {
	uint32_t start, bytes; /* in the code region; its last byte is HLT */
	uint64_t gpr[16];
	uint64_t flags;
	bool native; /* the host may execute it in user mode */
	uint16_t insns;
	struct {
		uint16_t offset;
		uint16_t undefined; /* arithmetic flags before it */
	} insn[INSNS_MAX + 1];      /* HLT is the last one */
};

struct batch {
	enum guest_mode mode;
	uint32_t sequences;
	uint8_t code[CODE_BYTES];
	uint8_t data[DATA_PAGES * PAGE];
	struct sequence sequence[SEQUENCES_MAX];
};

/* ---- generate.c, sequences.c ---- */

void generate_init(void);
/* @mode: MODES for one that the seed chooses. */
void generate_batch(struct batch *batch, uint64_t seed, uint64_t number, enum guest_mode mode);
uint64_t random_next(uint64_t *state);

/* ---- machine.c ---- */

enum outcome_kind {
	OUTCOME_HALT, /* HLT at privilege 0: at the end, or in an exception's handler */
	OUTCOME_SHUTDOWN,
	OUTCOME_ERROR, /* nobody executes this: KVM_EXIT_INTERNAL_ERROR */
	OUTCOME_TIMEOUT,
};

struct outcome {
	enum outcome_kind kind;
	int vector;         /* of the exception that ended it, -1: none */
	uint64_t rip;       /* where that was, or where it stands */
	uint64_t undefined; /* arithmetic flags at that point */
	uint64_t exits;     /* a hash of the accesses that went to user space */
	unsigned accesses;
	struct cpu_state state; /* normalised: flags that are undefined are 0 */
};

struct machine;

struct machine *machine_create(const char *engine);
void machine_destroy(struct machine *machine);
void machine_load(struct machine *machine, const struct batch *batch);
/* The code alone: it was changed. */
void machine_load_code(struct machine *machine, const struct batch *batch);
void machine_run(struct machine *machine, const struct batch *batch,
		 const struct sequence *sequence, struct outcome *outcome);
/*
 * Follows @sequence instruction by instruction: the arithmetic flags that are undefined where it
 * ends, wherever it went. True: it went by one of them, and anything may follow.
 */
bool machine_undefined(struct machine *machine, const struct batch *batch,
		       const struct sequence *sequence, uint64_t *undefined);
/* Flags that machine_run() takes for undefined at the end of every sequence. */
extern uint64_t machine_ignored_flags;
/* Guests have BMI1, LZCNT and POPCNT. To be set before a machine is made. */
extern bool machine_has_bits;

/* Where data page @page is, and the kernel's stack for page DATA_PAGES. */
uint8_t *machine_page(struct machine *machine, unsigned page);
/* Looks at all of RAM, page tables included: a guest-physical address. */
#define MEMORY_SAME (~0u)
uint32_t machine_memory_differs(struct machine *a, struct machine *b);
uint64_t machine_entries(struct machine *machine); /* into Unicorn */
/* How often Unicorn's code has called us; of a machine with Unicorn. */
uint64_t machine_calls(struct machine *machine);

/* ---- native.c ---- */

struct native_outcome {
	int vector;
	uint64_t rip, flags, gpr[16];
};

bool native_init(void);
void native_load(const struct batch *batch);
void native_run(const struct batch *batch, const struct sequence *sequence,
		struct native_outcome *outcome);
const uint8_t *native_page(unsigned page);

#endif
