/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Unicorn engine's own data.
 *
 * The interpreter runs everything until a block is hot. Then the block's instructions, as far as
 * Unicorn may have them (select.c), are copied to a shadow of their code page (shadow.c). Unicorn
 * executes the shadows and nothing else: what was not copied there reads as an undefined opcode,
 * where it stops with exact state and the interpreter goes on. So no instruction reaches Unicorn
 * that nobody looked at, and guest code that changes is never executed from memory.
 *
 * Unicorn's "physical" addresses are this process's own: the whole address space is mapped once,
 * one to one, and what a linear address means is asked of the MMU in the TLB-fill hook.
 */
#ifndef FAUXKVM_CPU_UNICORN_UNICORN_H
#define FAUXKVM_CPU_UNICORN_UNICORN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unicorn/unicorn.h>

#include "cpu/interp/interp.h"
#include "cpu/interp/simd.h"
#include "cpu/vcpu.h"
#include "devices/events.h"

#define SHADOW_PAGES_MAX 2048
#define SHADOW_HASH_BITS 12
#define CALL_SITES 1024
#define REGISTERS_MAX (18 + 16)

/* A guest page of which code has been copied. */
struct shadow {
	struct shadow *hash_next;
	const uint8_t *host;                    /* the guest page, in our memory */
	_Atomic(uint8_t) *mark;                 /* its code mark; valid while @slots is current */
	uint64_t slots;                         /* side's slots_epoch when @mark was taken */
	uint64_t verified;                      /* interp's code_epoch when last compared */
	uint8_t *code;                          /* what Unicorn sees */
	uint64_t covered[GUEST_PAGE_SIZE / 64]; /* bits: bytes of @code that stand for the guest's */
	uint64_t starts[GUEST_PAGE_SIZE / 64];  /* bits: first bytes of instructions */
	uint64_t called[GUEST_PAGE_SIZE / 64];  /* bits: bytes of those that are in @callouts */
	struct callout *callouts;
	uint8_t image[GUEST_PAGE_SIZE];         /* of the guest page at @verified */
};

/* What code means, as far as it is not in its bytes. */
struct guest_code {
	bool supervisor;   /* CPL is 0 */
	bool clock;        /* nobody executes it again and compares */
	bool vectors;      /* SSE2 may be used */
	bool bmi1, lzcnt;  /* the guest has these features */
	bool bits;         /* Unicorn's CPU has these and POPCNT, as the guest's */
};

struct shadows {
	uint8_t *code; /* SHADOW_PAGES_MAX pages */
	struct shadow *page;
	unsigned used;
	uint64_t slots_epoch;
	struct shadow **hash; /* 1 << SHADOW_HASH_BITS */
	struct guest_code guest;
};

/* What Unicorn's TLB was filled from. */
struct side_tlb {
	bool stale; /* to be flushed in any case */
	enum tlb_mode data_mode;
	uint64_t code_epoch;
	uint64_t epoch, epoch_global, epoch_other, page_flushes; /* the MMU's */
	uint64_t pages[2][64];    /* bits: hashed pages that it may hold, of either half */
	bool other;               /* it may hold pages that are not global */
	unsigned refused;         /* such pages, since CR3 changed */
	unsigned global, foreign; /* fills and refusals of either kind; recent ones count more */
};

/* Where translated code has called us, and for what. */
struct call_site {
	uintptr_t from; /* 0: nowhere */
	uint64_t rip;
	struct callout *callout;
};

/* One Unicorn: code of one privilege and one code size, with SSE2 or without. */
struct side {
	struct unicorn *unicorn;
	uc_engine *uc;
	struct shadows shadows;
	bool wide; /* 64-bit code */
	bool user;
	/* What is read after a stay: general registers, RFLAGS, RIP, then vectors. */
	int registers[REGISTERS_MAX];
	unsigned gprs, vector_count;
	/* General registers as Unicorn has them. */
	uint64_t gpr[16];
	bool gprs_known;
	/* The same of vectors: registers that its code names; those of which Unicorn has what is in @xmm. */
	uint8_t vector[16];
	uint16_t vectors, vectors_known;
	uint8_t xmm[16][16];
	struct side_tlb tlb;
	uint64_t fs_base, gs_base; /* as Unicorn has them */
	uint64_t after_sti;        /* where the interrupt shadow of the last STI ends */
	struct call_site sites[CALL_SITES];
	unsigned fills, flushes;   /* in the present run */
	/*
	 * At most what the translations take of Unicorn's buffer: when that is full Unicorn empties
	 * it under the code that it runs, and crashes. A side is closed long before.
	 */
	uint64_t charged;
	uint32_t number; /* of the side, for block->entered */
	bool broken;     /* it was left by a fault of the host */
	uint64_t used;   /* the engine's count of entries at the last one here */
	/* Translations of this one are being removed: fetches get it unchecked. */
	struct shadow *forgetting;
};

/* Bits of a side's index. */
enum { SIDE_USER = 1, SIDE_32 = 2, SIDE_VECTORS = 4, SIDES = 8 };

struct unicorn {
	struct vcpu *vcpu;
	bool eager;                /* everything goes to Unicorn at once: for tests */
	struct lockstep *lockstep; /* NULL: nobody looks */
	struct side *side[SIDES];
	_Atomic(uc_engine *) running;
	atomic_int kicking; /* who may be using what they found in @running */
	uint32_t sides_opened;
	uint64_t next_sweep;  /* count of entries at which unused sides are looked for */
	struct side *entered; /* set while a side runs; found set later, it was left by a fault */
	uint64_t stopped_at;  /* RIP that Unicorn could not get past */
	bool stopped;
	/* Repeats a kick that came before Unicorn listened. */
	int poke_fd;
	struct watch *poke_watch;
	struct timer poke_timer;
	/* A guest that spins in Unicorn sees at last what the client writes into its loop. */
	struct timer verify_timer;
	atomic_bool verify_armed;
	struct {
		uint64_t entries, stops, fills, refused, published, translated, calls;
	} stats;
};

/* ---- select.c ---- */

/*
 * Does Unicorn execute @insn as the CPU does, without knowing privileged state? @start: address of
 * its block, of which the lowest four bits count.
 */
bool unicorn_executes(const struct insn *insn, uint64_t start, const struct guest_code *guest);
/* Of one that it executes: does it need us for that (callout.c)? */
bool unicorn_calls(const struct insn *insn, uint64_t start);
/* Those that change what Unicorn does not know, or read it. */
enum system_call { NO_SYSTEM, CLI, STI, SWAPGS, RDTSC, RDTSCP };
enum system_call unicorn_system(const struct insn *insn);
/* The vector registers that an instruction which Unicorn executes names. */
uint16_t unicorn_vectors(const struct insn *insn);
/* What does it in two steps, of which the first stays done when the second faults? */
enum torn { TORN_NOTHING, TORN_LOAD, TORN_STORE };
enum torn unicorn_tears(const struct insn *insn);

/* ---- shadow.c ---- */

int shadows_init(struct shadows *shadows);
void shadows_fini(struct shadows *shadows);
/* The memslots changed: code marks are elsewhere. */
void shadows_slots_changed(struct shadows *shadows);
/* @host: anywhere in the page. */
struct shadow *shadow_find(struct shadows *shadows, const uint8_t *host);
/* Whether an instruction that starts at @host was copied. */
bool shadow_has(const struct shadow *shadow, const uint8_t *host);
/*
 * Copies the leading instructions of @block that Unicorn executes, and tells which vector registers
 * they name. Returns how many bytes that was; 0: none, or no page is left.
 */
unsigned shadow_publish(struct shadows *shadows, const struct block *block, uint64_t epoch,
			uint16_t *vectors);
/* Takes the code mark of @block, whose page it is, after the memslots changed. */
void shadow_remark(struct shadows *shadows, struct shadow *shadow, const struct block *block);
/* Compares with the guest page. False: it may not be executed now. */
bool shadow_verify(struct shadows *shadows, struct shadow *shadow, uint64_t epoch);
bool shadows_full(const struct shadows *shadows);

/* ---- callout.c ---- */

/*
 * Puts @insn with its @bytes, at @offset in its page, into the shadow. False: out of memory, nothing
 * is changed.
 */
bool callout_publish(struct shadow *shadow, unsigned offset, const struct insn *insn,
		     const uint8_t *bytes);
/* Are those of them that lie in @count bytes from @offset on still the same there? */
bool callouts_agree(const struct shadow *shadow, unsigned offset, const uint8_t *bytes,
		    unsigned count);
void callouts_free(struct shadow *shadow);
/* A unicorn_callout for a side. */
bool callout(void *side, uint64_t *registers, uintptr_t from);

/* ---- side.c ---- */

/* @index: bits SIDE_*. */
struct side *side_open(struct unicorn *unicorn, unsigned index);
void side_close(struct side *side);
/* Removes translations of @shadow's @bytes at @linear, where the vCPU is about to execute. */
void side_forget(struct side *side, struct shadow *shadow, uint64_t linear, unsigned bytes);
/* Code that was published names the vector registers @mask. */
void side_use_vectors(struct side *side, uint16_t mask);
/* Translation of @insns instructions that no hook reports is due. */
void side_charge(struct side *side, unsigned insns);
/* Its buffer fills: to be closed. */
bool side_is_full(const struct side *side);
/*
 * Runs from state.rip. True: stopped at an instruction that the interpreter must execute. With
 * side->broken: because a host page is missing; the side can only be closed.
 */
bool side_run(struct side *side);

/* Where @bytes at @address are, or NULL: also if they are on two pages. */
uint8_t *side_operand(struct side *side, uint64_t address, unsigned bytes, enum access access);
/* All translations are gone. */
void side_forget_sites(struct side *side);

/* ---- engine.c ---- */

/*
 * Decodes the instruction at state.rip. NULL: the TLB does not know its page. @whole: it lies on that
 * page alone; else @insn is not filled.
 */
const uint8_t *unicorn_decode(struct vcpu *vcpu, struct insn *insn, bool *whole);

/* ---- stop.c, inside Unicorn ---- */

/* After a fault of translated code at @host_pc: makes the state exact. False: it was not there. */
bool unicorn_restore_state(uintptr_t host_pc);
/*
 * What FWAIT does in the calling thread, called @from a place in translated code. @registers:
 * Unicorn's general ones, and the others somewhere behind. False: Unicorn stops at the instruction.
 */
typedef bool unicorn_callout(void *opaque, uint64_t *registers, uintptr_t from);
void unicorn_set_callout(unicorn_callout *function, void *opaque);
/* Makes Unicorn's RIP that of the instruction which called. False: not known. */
bool unicorn_locate(uintptr_t from);

/* ---- lockstep.c ---- */

struct lockstep *lockstep_create(void); /* NULL: out of memory */
void lockstep_destroy(struct lockstep *lockstep);
void lockstep_forget_slots(struct lockstep *lockstep);
/* Unicorn is about to get the right to read or write @host's page. False: it may not. */
bool lockstep_data(struct lockstep *lockstep, uint8_t *host, bool write);
/* side_run(), and the same by the interpreter. Does not return when they differ. */
bool lockstep_run(struct lockstep *lockstep, struct side *side);

#endif
