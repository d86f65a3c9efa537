/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks the Unicorn engine against the interpreter, stay by stay.
 *
 * What Unicorn executes in one stay is guest code and nothing else: no device, no clock, no
 * interrupt. So after each stay its stores are taken back, and the interpreter executes the same
 * from the same state, one instruction at a time, until it is where Unicorn stopped: with the same
 * whole cpu_state, and the same bytes in every page that either could write. Any guest of one vCPU
 * can be run this way, whatever its devices do between the stays. When somebody else writes memory
 * that the guest reads, the two would rightly differ: with more than one vCPU nothing is checked,
 * nor is a stay in which a page changed that Unicorn only read.
 *
 * Flags that the manuals leave undefined may differ; where the guest goes by one, so may the rest.
 * Any other difference ends the process, with both states and the first instruction that shows it.
 */
#include <capstone/capstone.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "cpu/flags.h"
#include "cpu/interp/mem.h"
#include "cpu/unicorn/flag_effect.h"
#include "cpu/unicorn/unicorn.h"
#include "util/guard.h"

/* Pages of data in one stay; the next one stops Unicorn. */
#define PAGES_MAX 256
/* The interpreter gives up after this many instructions for each TSC cycle of the stay. */
#define STEPS_A_CYCLE 8
#define STEPS_MORE 100000
#define HISTORY 16
/* Instructions among which the one that differs is looked for. */
#define LOCALISE_MAX 300000
#define REPORT_EVERY 10000000
/* Accessed and dirty, twice for two 32-bit entries. */
#define PTE_TOUCHED 0x6000000060ull
#define PTE_PRESENT 1ull

struct page {
	uint8_t *host;
	bool written; /* or may be */
	uint8_t before[GUEST_PAGE_SIZE], after[GUEST_PAGE_SIZE];
};

struct past {
	uint64_t rip;
	uint8_t length, bytes[15];
};

struct lockstep {
	struct interp *interp; /* with blocks of one instruction */
	struct cpu_state before, after;
	struct page page[PAGES_MAX];
	unsigned pages;
	struct past past[HISTORY];
	uint64_t undefined;  /* arithmetic flags */
	bool used_undefined; /* an instruction read one of them */
	uint64_t steps;      /* of the present check */
	struct {
		int reg;       /* vector register half loaded, -1: none */
		uint8_t *host; /* 8 bytes stored, or NULL */
	} torn;                /* by the instruction at which Unicorn stopped */
	uint64_t insns, stays, raced, arbitrary, touched, report;
};

struct lockstep *lockstep_create(void)
{
	struct lockstep *lockstep = calloc(1, sizeof(*lockstep));

	if (!lockstep)
		return NULL;
	lockstep->interp = interp_alloc();
	if (!lockstep->interp) {
		free(lockstep);
		return NULL;
	}
	lockstep->interp->block_insns = 1;
	lockstep->report = REPORT_EVERY;
	return lockstep;
}

void lockstep_destroy(struct lockstep *lockstep)
{
	if (!lockstep)
		return;
	interp_free(lockstep->interp);
	free(lockstep);
}

void lockstep_forget_slots(struct lockstep *lockstep)
{
	block_cache_clear(lockstep->interp);
}

bool lockstep_data(struct lockstep *lockstep, uint8_t *host, bool write)
{
	struct page *page;
	unsigned i;

	host = (uint8_t *)((uintptr_t)host & GUEST_PAGE_MASK);
	for (i = lockstep->pages; i-- > 0;)
		if (lockstep->page[i].host == host) {
			lockstep->page[i].written |= write;
			return true;
		}
	if (lockstep->pages == PAGES_MAX)
		return false;
	page = &lockstep->page[lockstep->pages++];
	page->host = host;
	page->written = write;
	memcpy(page->before, host, GUEST_PAGE_SIZE);
	return true;
}

/*
 * Of a vector that lies across two pages, half has been loaded or stored when the second one is
 * refused. The interpreter does it again, all of it.
 */
static void look_for_torn(struct lockstep *lockstep, struct vcpu *vcpu)
{
	struct insn insn;
	uint64_t linear;
	enum torn torn;
	bool whole;

	lockstep->torn.reg = -1;
	lockstep->torn.host = NULL;
	unicorn_decode(vcpu, &insn, &whole);
	torn = whole ? unicorn_tears(&insn) : TORN_NOTHING;
	if (torn == TORN_NOTHING)
		return;
	vcpu->state.gpr[GPR_BLOCK] = vcpu->state.rip;
	linear = mem_linear(vcpu, &insn, insn.seg, mem_offset(vcpu, &insn));
	if ((linear & ~GUEST_PAGE_MASK) <= GUEST_PAGE_SIZE - 16)
		return;
	if (torn == TORN_STORE)
		lockstep->torn.host =
			mmu_lookup(&vcpu->mmu, linear, 8, ACCESS_WRITE, vcpu->data_mode);
	else
		lockstep->torn.reg = insn.reg_number;
}

/* ---- memory ---- */

/*
 * What Unicorn has left. False: somebody else has written what it read, or has taken a page away.
 * Nothing has been changed then.
 */
static bool save(struct lockstep *lockstep)
{
	for (unsigned i = 0; i < lockstep->pages; i++) {
		struct page *page = &lockstep->page[i];

		if (guard_copy_from(page->after, page->host, GUEST_PAGE_SIZE) ||
		    (!page->written && memcmp(page->after, page->before, GUEST_PAGE_SIZE)))
			return false;
	}
	return true;
}

/* A page that is gone by now has nothing that could be lost. */
static void take_back(struct lockstep *lockstep)
{
	for (unsigned i = 0; i < lockstep->pages; i++)
		if (lockstep->page[i].written)
			guard_copy_to(lockstep->page[i].host, lockstep->page[i].before,
				      GUEST_PAGE_SIZE);
}

static void bring_back(struct lockstep *lockstep)
{
	for (unsigned i = 0; i < lockstep->pages; i++)
		if (lockstep->page[i].written)
			guard_copy_to(lockstep->page[i].host, lockstep->page[i].after,
				      GUEST_PAGE_SIZE);
}

/*
 * A walk in the stay may have set accessed and dirty bits in a page table that the guest wrote as
 * well; the interpreter finds that translation in the TLB.
 */
static bool only_touched(const struct page *page, unsigned *count)
{
	const uint64_t *a = (const uint64_t *)page->after, *b = (const uint64_t *)page->host;

	for (unsigned i = 0; i < GUEST_PAGE_SIZE / 8; i++) {
		if (a[i] == b[i])
			continue;
		if ((a[i] ^ b[i]) & ~PTE_TOUCHED || !((a[i] | a[i] >> 32) & PTE_PRESENT))
			return false;
		++*count;
	}
	return true;
}

static bool only_torn(const struct lockstep *lockstep, const struct page *page)
{
	const size_t at = lockstep->torn.host - page->host;

	return lockstep->torn.host && at <= GUEST_PAGE_SIZE - 8 &&
	       !memcmp(page->after, page->host, at) &&
	       !memcmp(page->after + at + 8, page->host + at + 8, GUEST_PAGE_SIZE - at - 8);
}

static bool same_memory(const struct lockstep *lockstep, unsigned *touched)
{
	for (unsigned i = 0; i < lockstep->pages; i++) {
		const struct page *page = &lockstep->page[i];

		if (memcmp(page->after, page->host, GUEST_PAGE_SIZE) &&
		    !only_torn(lockstep, page) && !only_touched(page, touched))
			return false;
	}
	return true;
}

/*
 * Did the interpreter use a page that Unicorn never asked for? mmu_flush_writes() came before it
 * began, so it has the right to write only pages that it used.
 */
static bool used_another(const struct lockstep *lockstep, const struct mmu *mmu)
{
	for (unsigned mode = 0; mode < TLB_MODES; mode++) {
		for (unsigned i = 0; i < TLB_SIZE; i++) {
			const struct tlb_entry *entry = &mmu->tlb[mode][i];
			const uint64_t host = (entry->write & GUEST_PAGE_MASK) + entry->addend;
			unsigned known = 0;

			if ((entry->write & ~GUEST_PAGE_MASK) != mmu->generation)
				continue;
			while (known < lockstep->pages &&
			       (uintptr_t)lockstep->page[known].host != host)
				known++;
			if (known == lockstep->pages)
				return true;
		}
	}
	return false;
}

/* ---- state ---- */

static bool same_registers(const struct lockstep *lockstep, const struct cpu_state *s)
{
	const struct cpu_state *after = &lockstep->after;

	return s->rip == after->rip && !memcmp(s->gpr, after->gpr, 16 * sizeof(s->gpr[0])) &&
	       !((rflags_get(s) ^ rflags_get(after)) & ~lockstep->undefined);
}

/* Everything, but what is the interpreter's own and flags that are undefined. */
static bool same_state(const struct lockstep *lockstep, const struct cpu_state *s)
{
	static __thread struct cpu_state copy;

	copy = *s;
	copy.gpr[GPR_BLOCK] = lockstep->after.gpr[GPR_BLOCK];
	copy.arith = lockstep->after.arith;
	if (lockstep->torn.reg >= 0)
		memcpy(copy.fpu.xmm[lockstep->torn.reg],
		       lockstep->after.fpu.xmm[lockstep->torn.reg], 8);
	return same_registers(lockstep, s) && !memcmp(&copy, &lockstep->after, sizeof(copy));
}

/* ---- a difference ---- */

static void print_insn(const struct past *past, uint8_t code)
{
	char hex[3 * 15 + 1] = "", text[200] = "?";
	cs_insn *insn;
	csh handle;

	for (unsigned i = 0; i < past->length; i++)
		snprintf(hex + 3 * i, 4, "%02x ", past->bytes[i]);
	if (cs_open(CS_ARCH_X86, code == 8 ? CS_MODE_64 : CS_MODE_32, &handle) == CS_ERR_OK) {
		if (cs_disasm(handle, past->bytes, past->length, past->rip, 1, &insn)) {
			snprintf(text, sizeof(text), "%s %s", insn->mnemonic, insn->op_str);
			cs_free(insn, 1);
		}
		cs_close(&handle);
	}
	fprintf(stderr, "  %016" PRIx64 "  %-45s %s\n", past->rip, hex, text);
}

static void print_state(const char *name, const struct cpu_state *s)
{
	fprintf(stderr, "%s: rip %016" PRIx64 " rflags %08" PRIx64, name, s->rip, rflags_get(s));
	for (unsigned i = 0; i < 16; i++)
		fprintf(stderr, "%s%2u %016" PRIx64, i % 4 ? "  " : "\n  ", i, s->gpr[i]);
	fputc('\n', stderr);
}

static void print_memory(const struct lockstep *lockstep)
{
	unsigned lines = 0;

	for (unsigned i = 0; i < lockstep->pages; i++) {
		const struct page *page = &lockstep->page[i];

		for (unsigned at = 0; at < GUEST_PAGE_SIZE && lines < 32; at += 8) {
			uint64_t before, unicorn, interp;

			memcpy(&before, page->before + at, 8);
			memcpy(&unicorn, page->after + at, 8);
			memcpy(&interp, page->host + at, 8);
			if (unicorn == interp)
				continue;
			lines++;
			fprintf(stderr,
				"  %p: before %016" PRIx64 " unicorn %016" PRIx64
				" interpreter %016" PRIx64 "\n",
				(void *)(page->host + at), before, unicorn, interp);
		}
	}
}

static void print_difference(struct lockstep *lockstep, struct vcpu *vcpu)
{
	const uint64_t steps = lockstep->steps;

	fprintf(stderr, "instructions: %" PRIu64 ", undefined flags: %04" PRIx64 "; the last:\n",
		steps, lockstep->undefined);
	for (uint64_t i = steps > HISTORY ? steps - HISTORY : 0; i < steps; i++)
		print_insn(&lockstep->past[i % HISTORY], lockstep->interp->mode.code);
	print_state("before     ", &lockstep->before);
	print_state("unicorn    ", &lockstep->after);
	print_state("interpreter", &vcpu->state);
	print_memory(lockstep);
}

/* ---- stepping ---- */

enum stepped { STEPPED, LEFT };

static enum stepped step(struct lockstep *lockstep, struct vcpu *vcpu)
{
	struct interp *interp = lockstep->interp;
	struct past *past = &lockstep->past[lockstep->steps % HISTORY];
	struct flag_effect effect;
	struct block *block;

	if (sigsetjmp(interp->env, 0))
		return LEFT;
	do {
		block = block_find(vcpu);
	} while (!block);
	if (flags_read(block->insn) & lockstep->undefined)
		lockstep->used_undefined = true;
	effect = flag_effect(block->insn, (uint8_t)vcpu->state.gpr[GPR_RCX]);
	past->rip = vcpu->state.rip;
	past->length = block->bytes < 15 ? block->bytes : 15;
	memcpy(past->bytes, block->source, past->length);
	lockstep->steps++;
	vcpu->state.gpr[GPR_BLOCK] = vcpu->state.rip;
	interp->shadow = vcpu->state.events.shadow;
	vcpu->state.events.shadow = 0;
	block->insn[0].fn(vcpu, block->insn);
	lockstep->undefined = (lockstep->undefined & ~(uint64_t)effect.defined) | effect.undefined;
	return STEPPED;
}

/* Until it is where Unicorn was. False: it was not after @limit steps, or left before. */
static bool follow(struct lockstep *lockstep, struct vcpu *vcpu, uint64_t limit)
{
	lockstep->steps = lockstep->undefined = 0;
	lockstep->used_undefined = false;
	for (;;) {
		unsigned touched = 0;

		if (same_registers(lockstep, &vcpu->state) && same_memory(lockstep, &touched) &&
		    same_state(lockstep, &vcpu->state)) {
			lockstep->touched += touched;
			return true;
		}
		if (lockstep->steps == limit || step(lockstep, vcpu) == LEFT)
			return false;
	}
}

/* Where each of the next instructions is. Returns how many there were. */
static uint64_t record_path(struct lockstep *lockstep, struct vcpu *vcpu, uint64_t *path,
			    uint64_t count)
{
	uint64_t i;

	for (i = 0; i < count; i++) {
		path[i] = vcpu->state.rip;
		if (step(lockstep, vcpu) == LEFT)
			break;
	}
	return i;
}

/* One instruction in Unicorn, which is to end at @next; then take_back() undoes it. */
static void unicorn_step(struct lockstep *lockstep, struct side *side, uint64_t next)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	struct cpu_state state = vcpu->state;

	lockstep->pages = 0;
	side->tlb.stale = true;
	uc_ctl_set_exits(side->uc, &next, 1);
	uc_ctl_flush_tb(side->uc);
	side_forget_sites(side);
	side_run(side);
	lockstep->after = vcpu->state;
	save(lockstep);
	take_back(lockstep);
	vcpu->state = state;
}

/*
 * Executes the same again, every instruction by itself both ways. Leaves the states of the first
 * that differs and returns true; false: what differs are blocks, none of their instructions alone.
 */
static bool first_difference(struct lockstep *lockstep, struct side *side, uint64_t count)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	struct interp *own = vcpu->interp;
	uint64_t *path = calloc(count + 1, sizeof(*path)), i;
	bool found = false;

	if (!path)
		return false;
	vcpu->interp = lockstep->interp;
	take_back(lockstep);
	vcpu->state = lockstep->before;
	count = record_path(lockstep, vcpu, path, count);
	path[count] = vcpu->state.rip;
	take_back(lockstep);
	vcpu->state = lockstep->before;
	for (i = 0; i < count && !found; i++) {
		unsigned touched = 0;

		lockstep->before = vcpu->state;
		vcpu->interp = own;
		unicorn_step(lockstep, side, path[i + 1]);
		vcpu->interp = lockstep->interp;
		lockstep->steps = lockstep->undefined = 0;
		if (step(lockstep, vcpu) == LEFT)
			break;
		/* Refused, by itself it is the interpreter's. */
		if (lockstep->after.rip == path[i] && path[i + 1] != path[i])
			continue;
		found = !same_memory(lockstep, &touched) || !same_state(lockstep, &vcpu->state);
	}
	vcpu->interp = own;
	free(path);
	return found;
}

static _Noreturn void difference(struct lockstep *lockstep, struct side *side, const char *why)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	uint64_t steps = lockstep->steps;

	fprintf(stderr,
		"lockstep: vCPU %u, after %" PRIu64 " instructions that were the same: %s\n",
		vcpu->id, lockstep->insns, why);
	print_difference(lockstep, vcpu);
	fprintf(stderr, "looking for the first instruction that differs ...\n");
	if (first_difference(lockstep, side, steps < LOCALISE_MAX ? steps : LOCALISE_MAX))
		print_difference(lockstep, vcpu);
	else
		fprintf(stderr, "none differs by itself\n");
	fflush(stderr);
	abort();
}

/* ---- a stay ---- */

/* False: they may differ. */
static bool check(struct lockstep *lockstep, struct side *side, uint64_t limit)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	struct interp *own = vcpu->interp, *interp = lockstep->interp;
	struct guard guard;
	bool same;

	mmu_flush_writes(&vcpu->mmu);
	/* The client took a page away meanwhile. */
	if (guard_enter(&guard)) {
		vcpu->interp = own;
		vcpu->insn_now = NULL;
		vcpu->rmw_pending = false;
		return false;
	}
	interp->mode = own->mode;
	interp->key = own->key;
	interp->code_epoch++;
	vcpu->interp = interp;
	same = follow(lockstep, vcpu, limit);
	vcpu->interp = own;
	vcpu->insn_now = NULL;
	guard_leave(&guard);
	if (!same && lockstep->used_undefined)
		return false;
	if (!same)
		difference(lockstep, side,
			   lockstep->steps == limit ? "the interpreter never came there" :
						      "the interpreter left its loop");
	if (used_another(lockstep, &vcpu->mmu))
		difference(lockstep, side, "the interpreter used another page as well");
	return true;
}

bool lockstep_run(struct lockstep *lockstep, struct side *side)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	uint64_t start;
	bool stopped;

	if (atomic_load(&vcpu->vm->vcpu_count) > 1)
		return side_run(side);
	lockstep->pages = 0;
	lockstep->before = vcpu->state;
	side->tlb.stale = true; /* every page that is written has to be asked for */
	start = __rdtsc();
	stopped = side_run(side);
	start = __rdtsc() - start;
	/* With a host page missing, or the ring full, the interpreter would not come as far. */
	if (side->broken || !save(lockstep) || dirty_ring_full(&vcpu->ring)) {
		lockstep->raced++;
		return stopped;
	}
	lockstep->after = vcpu->state;
	look_for_torn(lockstep, vcpu);
	take_back(lockstep);
	vcpu->state = lockstep->before;
	if (check(lockstep, side, start * STEPS_A_CYCLE + STEPS_MORE)) {
		lockstep->insns += lockstep->steps;
		lockstep->stays++;
	} else {
		lockstep->arbitrary++;
	}
	vcpu->state = lockstep->after;
	bring_back(lockstep);
	if (lockstep->insns >= lockstep->report) {
		lockstep->report = lockstep->insns + REPORT_EVERY;
		log_printf(vcpu->vm->log, LOG_LEVEL_INFO,
			   "lockstep: vCPU %u: %" PRIu64 " instructions in %" PRIu64
			   " stays were the same; stays that raced: %" PRIu64
			   ", that went by undefined flags: %" PRIu64
			   "; page-table entries touched early: %" PRIu64,
			   vcpu->id, lockstep->insns, lockstep->stays, lockstep->raced,
			   lockstep->arbitrary, lockstep->touched);
	}
	return stopped;
}
