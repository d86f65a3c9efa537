/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interpreter's own data, shared by interp.c, block.c and mem.c. */
#ifndef FAUXKVM_CPU_INTERP_INTERP_H
#define FAUXKVM_CPU_INTERP_INTERP_H

#include <setjmp.h>

#include "cpu/interp/insn.h"
#include "cpu/interp/mem.h"

#define BLOCK_INSNS_MAX 64
#define BLOCK_ARENA_BYTES (24u << 20)
#define BLOCK_HASH_BITS 15
#define JUMP_CACHE_BITS 12

struct block {
	struct block *hash_next;
	/* Where the bytes are: key of the hash, stable until the memslots change. */
	const uint8_t *host, *host2; /* host2: second page of a crossing instruction */
	_Atomic(uint8_t) *mark, *mark2;
	uint64_t verified;  /* code_epoch at which the bytes were last compared */
	uint32_t key;
	uint16_t bytes;     /* of guest code */
	uint16_t bytes1;    /* of them, on the first page */
	uint16_t count;
	uint16_t heat;      /* executions until the engine is asked; 0: a round of them */
	uint16_t reload;    /* the engine's: what it sets heat to next */
	uint32_t entered;   /* the engine's */
	const uint8_t *source; /* the bytes that were decoded */
	struct insn insn[];
};

struct jump {
	uint64_t linear;
	uint64_t stamp;
	struct block *block;
	uint32_t key;
};

enum interp_leave {
	INTERP_REASON = 1, /* interp->reason */
	INTERP_ALONE,      /* restart the instruction alone */
};

struct interp {
	sigjmp_buf env;
	enum engine_reason reason;
	bool alone;          /* the current instruction runs alone */
	bool faulted;        /* it runs again, to tell by which address a host page is missing */
	uint8_t shadow;      /* events.shadow in front of the current block */
	struct decode_mode mode;
	uint32_t key;        /* of the mode, for blocks and the jump cache */
	uint64_t code_epoch; /* bytes must be compared after it changed */
	uint16_t heat;       /* of a new block */
	uint16_t block_insns; /* a block has at most so many: 1..BLOCK_INSNS_MAX */
	uint32_t pauses;     /* PAUSE instructions since the thread last gave way */
	uint32_t watch_hits; /* data breakpoints hit by the current instruction: DR6 bits */

	struct {
		bool loaded;   /* the thread's MXCSR is the guest's, and @host what it was */
		bool each;     /* its flags are looked at after every instruction */
		bool keep;     /* it may stay loaded between instructions */
		uint32_t host;
	} mxcsr; /* cpu/interp/mxcsr.h */

	struct {
		enum { RMW_SCRATCH, RMW_CODE } kind;
		uint64_t address;
		unsigned bytes;
		const struct memslot *slot;
		uint64_t gpa;
		_Alignas(16) uint64_t scratch[2]; /* CMPXCHG16B wants it aligned */
	} rmw;

	uint8_t *arena;
	size_t arena_used;
	struct block *hash[1u << BLOCK_HASH_BITS];
	struct jump jump[1u << JUMP_CACHE_BITS];
	/* The block of an instruction that runs alone. */
	struct block *alone_block;
};

/* ---- bus_lock.c ---- */

/* @insn was decoded for a vCPU that exits on bus locks. */
void bus_lock_watch(struct insn *insn);

/* ---- block.c ---- */

int block_cache_init(struct interp *interp);
void block_cache_fini(struct interp *interp);
void block_cache_clear(struct interp *interp);
/* The block at state.rip, verified; does not return when the fetch faults. NULL: kicked meanwhile. */
struct block *block_find(struct vcpu *cpu);
/*
 * Whether @jump, which is of this mode but from before translations or epochs changed, still leads to
 * what block_find() would find. False: ask it.
 */
bool block_recheck(struct vcpu *cpu, const struct jump *jump);
/* One freshly decoded instruction at state.rip. */
struct block *block_alone(struct vcpu *cpu);

/* Linear address of the next instruction, in 64-bit code as it is in RIP: canonical or not. */
static inline uint64_t interp_linear(const struct vcpu *cpu)
{
	uint64_t ip = cpu->state.rip;

	return cpu->interp->mode.code == 8 ? ip : (uint32_t)(ip + cpu->state.base[SEG_CS]);
}
/* The same, checked against CS. Faults. */
uint64_t interp_fetch_address(struct vcpu *cpu);

#endif
