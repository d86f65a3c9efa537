/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Unicorn engine: when to enter, how to be stopped.
 *
 * A stay has to be long enough to pay for going in and out, so each block from which Unicorn was
 * entered learns by the time that Unicorn stayed whether that is worth while.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <x86intrin.h>

#include "cpu/interp/simd.h"
#include "cpu/unicorn/unicorn.h"
#include "util/own_fd.h"

/* Executions of a block before Unicorn translates it: what that costs, in interpreted blocks. */
#define HEAT 200
/* Stays below this many TSC cycles do not pay. */
#define STAY_SHORT 900
#define FILL_CYCLES 600
#define FLUSH_CYCLES 900
#define RELOAD_MAX 8192
/* Entries between two looks for sides to close, and those without any here that close one. */
#define SWEEP_ENTRIES 32768
#define UNUSED_ENTRIES 100000
/* A kick is repeated until Unicorn has noticed. */
#define POKE_AGAIN_NS 100000
#define VERIFY_NS 20000000
/* The interpreter takes a hundred times longer for what it checks. */
#define LOCKSTEP_NS 1000000

/* ---- kicks ---- */

/*
 * uc_emu_start() forgets a stop that came while it was getting ready. Whoever kicks cannot wait for
 * that (it may be a signal handler on the same thread), so the VM's event thread looks again.
 */
static bool stop(struct unicorn *unicorn)
{
	uc_engine *uc;

	atomic_fetch_add(&unicorn->kicking, 1);
	uc = atomic_load(&unicorn->running);
	if (uc)
		uc_emu_stop(uc);
	atomic_fetch_sub(&unicorn->kicking, 1);
	return uc != NULL;
}

static void poke(struct unicorn *unicorn)
{
	if (atomic_load(&unicorn->vcpu->exit_request) && stop(unicorn))
		timer_arm(&unicorn->poke_timer, events_now() + POKE_AGAIN_NS);
}

static void poke_ready(void *opaque, int fd)
{
	eventfd_t count;

	eventfd_read(fd, &count);
	poke(opaque);
}

static void poke_timer(void *opaque)
{
	poke(opaque);
}

static void verify_timer(void *opaque)
{
	struct unicorn *unicorn = opaque;

	atomic_store(&unicorn->verify_armed, false);
	if (atomic_load(&unicorn->running))
		vcpu_request(unicorn->vcpu, VCPU_REQUEST_VERIFY_CODE);
}

static void unicorn_kick(struct vcpu *vcpu)
{
	struct unicorn *unicorn = vcpu->engine_data;

	if (unicorn && stop(unicorn))
		eventfd_write(unicorn->poke_fd, 1);
}

/* ---- entering ---- */

/* Do instructions of SSE2 do what they are for, and not raise an exception? */
static bool may_use_vectors(const struct vcpu *vcpu)
{
	const uint16_t both = 1 << SIMD_SSE | 1 << SIMD_SSE2;
	const struct cpu_state *s = &vcpu->state;

	return !(s->cr0 & (CR0_EM | CR0_TS)) && s->cr4 & CR4_OSFXSR &&
	       (vcpu->features.simd & both) == both;
}

/* The Unicorn for the vCPU's present mode; -1: the interpreter's alone. */
static int side_index(const struct vcpu *vcpu)
{
	const struct decode_mode *mode = &vcpu->interp->mode;
	const struct cpu_state *s = &vcpu->state;
	int index = state_cpl(s) == 3 ? SIDE_USER : 0;
	unsigned i;

	if (mode->check)
		return -1;
	/* Between STAC and CLAC: short, and other rights mean another TLB. */
	if (vcpu->data_mode == TLB_SUPER_AC)
		return -1;
	if (may_use_vectors(vcpu))
		index |= SIDE_VECTORS;
	if (mode->code == 8)
		return index;
	if (mode->code != 4 || mode->stack != 4)
		return -1;
	/* Unicorn would lose what 64-bit code left in the upper halves. */
	for (i = 0; i < 8; i++)
		if (s->gpr[i] >> 32)
			return -1;
	return index | SIDE_32;
}

static bool prepare_kicks(struct unicorn *unicorn)
{
	struct events *events = unicorn->vcpu->vm->events;

	if (unicorn->poke_watch)
		return true;
	if (unicorn->poke_fd < 0)
		unicorn->poke_fd = own_fd_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (unicorn->poke_fd < 0)
		return false;
	unicorn->poke_watch = events_watch(events, unicorn->poke_fd, poke_ready, unicorn);
	return unicorn->poke_watch != NULL;
}

/* Not while it runs. */
static void drop(struct unicorn *unicorn, unsigned index)
{
	struct side *side = unicorn->side[index];

	unicorn->side[index] = NULL;
	/* Seen by all before the count is looked at: run() leaves that open. */
	atomic_store(&unicorn->running, NULL);
	while (atomic_load(&unicorn->kicking))
		sched_yield();
	side_close(side);
}

static void drop_side(struct unicorn *unicorn, const struct side *side)
{
	for (unsigned i = 0; i < SIDES; i++)
		if (unicorn->side[i] == side)
			drop(unicorn, i);
}

/* The code of a boot loader or of a program that has ended is not worth its memory. */
static void drop_unused(struct unicorn *unicorn)
{
	uint64_t entries = unicorn->stats.entries;

	for (unsigned i = 0; i < SIDES; i++)
		if (unicorn->side[i] && entries - unicorn->side[i]->used > UNUSED_ENTRIES)
			drop(unicorn, i);
}

static struct side *side_get(struct unicorn *unicorn)
{
	int index = side_index(unicorn->vcpu);

	if (index < 0)
		return NULL;
	if (unlikely(unicorn->stats.entries >= unicorn->next_sweep)) {
		unicorn->next_sweep = unicorn->stats.entries + SWEEP_ENTRIES;
		drop_unused(unicorn);
	}
	if (unicorn->side[index] && side_is_full(unicorn->side[index]))
		drop(unicorn, index);
	if (!unicorn->side[index] && prepare_kicks(unicorn))
		unicorn->side[index] = side_open(unicorn, index);
	if (unicorn->side[index])
		unicorn->side[index]->used = unicorn->stats.entries;
	return unicorn->side[index];
}

enum published { NOTHING, BEFORE, NOW };

/* Makes the block's code executable in Unicorn. NOTHING: not even its first instruction is. */
static enum published publish(struct side *side, struct vcpu *vcpu, const struct block *block)
{
	struct shadow *shadow = shadow_find(&side->shadows, block->host);
	uint64_t epoch = vcpu->interp->code_epoch;
	uint16_t vectors;
	unsigned bytes;

	if (shadow && shadow_has(shadow, block->host)) {
		shadow_remark(&side->shadows, shadow, block);
		return BEFORE;
	}
	bytes = shadow_publish(&side->shadows, block, epoch, &vectors);
	if (!bytes)
		return NOTHING;
	side_use_vectors(side, vectors);
	/* Unicorn may have translated the filler that was there. */
	side_forget(side, shadow_find(&side->shadows, block->host), interp_linear(vcpu), bytes);
	side_charge(side, block->count);
	side->unicorn->stats.published++;
	return NOW;
}

const uint8_t *unicorn_decode(struct vcpu *vcpu, struct insn *insn, bool *whole)
{
	const uint64_t linear = interp_linear(vcpu);
	const unsigned available = GUEST_PAGE_SIZE - (linear & ~GUEST_PAGE_MASK);
	const uint8_t *bytes = mmu_lookup(&vcpu->mmu, linear, 1, ACCESS_EXEC, vcpu->code_mode);

	*whole = bytes && decode(&vcpu->interp->mode, bytes, available < 15 ? available : 15, 0,
				 insn) != DECODE_MORE;
	return bytes;
}

/* What stopped Unicorn, for who asked for statistics. */
static void count_stop(struct unicorn *unicorn, const struct side *side, bool refused)
{
	struct vcpu *vcpu = unicorn->vcpu;
	struct profile *profile = vcpu->profile;
	struct insn insn;
	bool whole;
	const uint8_t *bytes = unicorn_decode(vcpu, &insn, &whole);

	if (!bytes)
		profile->new_code++;
	else if (!whole)
		profile->two_pages++;
	else if (!unicorn_executes(&insn, (uintptr_t)bytes, &side->shadows.guest))
		profile_stop(vcpu, &insn, bytes);
	else if (refused)
		profile->accesses++;
	else
		profile->new_code++;
}

static void count(struct unicorn *unicorn, const struct side *side, bool refused)
{
	struct profile *profile = unicorn->vcpu->profile;

	profile->entries = unicorn->stats.entries;
	profile->stops = unicorn->stats.stops;
	profile->fills = unicorn->stats.fills;
	profile->refused = unicorn->stats.refused;
	profile->published = unicorn->stats.published;
	profile->translated = unicorn->stats.translated;
	profile->calls = unicorn->stats.calls;
	if (unicorn->stopped)
		count_stop(unicorn, side, refused);
}

static void run(struct unicorn *unicorn, struct side *side, struct block *block)
{
	struct vcpu *vcpu = unicorn->vcpu;
	const uint64_t refused = unicorn->stats.refused;
	uint64_t start, stay, fills;

	if (!atomic_load_explicit(&unicorn->verify_armed, memory_order_relaxed)) {
		atomic_store(&unicorn->verify_armed, true);
		timer_arm(&unicorn->verify_timer,
			  events_now() + (unicorn->lockstep ? LOCKSTEP_NS : VERIFY_NS));
	}
	unicorn->entered = side;
	atomic_store(&unicorn->running, side->uc);
	if (atomic_load(&vcpu->exit_request)) {
		atomic_store(&unicorn->running, NULL);
		unicorn->entered = NULL;
		block->heat = 1;
		return;
	}
	if (block->entered != side->number) {
		block->entered = side->number;
		side_charge(side, block->count);
	}
	vcpu->insn_now = NULL;
	start = __rdtsc();
	unicorn->stopped = unicorn->lockstep ? lockstep_run(unicorn->lockstep, side) :
					       side_run(side);
	stay = __rdtsc() - start;
	/* drop() waits for who sees it later. */
	atomic_store_explicit(&unicorn->running, NULL, memory_order_release);
	unicorn->entered = NULL;
	unicorn->stopped_at = vcpu->state.rip;
	unicorn->stats.entries++;
	unicorn->stats.stops += unicorn->stopped;
	unicorn->stats.fills += side->fills;
	if (unlikely(vcpu->profile))
		count(unicorn, side, unicorn->stats.refused != refused);
	fills = (uint64_t)side->fills * FILL_CYCLES + side->flushes * FLUSH_CYCLES;
	if (unlikely(side->broken))
		drop_side(unicorn, side);
	if (unicorn->eager || stay > fills + STAY_SHORT)
		block->reload = 1;
	else if (block->reload < RELOAD_MAX)
		block->reload *= 4;
	block->heat = block->reload;
}

static bool unicorn_hot(struct vcpu *vcpu, struct block *block)
{
	struct unicorn *unicorn = vcpu->engine_data;
	bool stopped_here = unicorn->stopped && unicorn->stopped_at == vcpu->state.rip;
	enum published published;
	struct side *side;

	unicorn->stopped = false;
	block->heat = block->reload;
	side = side_get(unicorn);
	if (!side) {
		/* Not in this mode; the same code may come by in another. */
		block->heat = HEAT;
		return false;
	}
	published = publish(side, vcpu, block);
	if (published == NOTHING) {
		block->heat = 0; /* as far away as it goes */
		return false;
	}
	/* Behind an STI, where it would go on by itself the next time. */
	if (vcpu->state.events.shadow)
		return false;
	/* What stopped Unicorn here, an access that it may not do, would do so again. */
	if (stopped_here && published == BEFORE)
		return false;
	run(unicorn, side, block);
	return true;
}

/* ---- the contract ---- */

static int create(struct vcpu *vcpu, bool eager)
{
	struct unicorn *unicorn = calloc(1, sizeof(*unicorn));

	if (!unicorn)
		return -ENOMEM;
	unicorn->vcpu = vcpu;
	unicorn->eager = eager;
	unicorn->poke_fd = -1;
	timer_init(&unicorn->poke_timer, vcpu->vm->events, poke_timer, unicorn);
	timer_init(&unicorn->verify_timer, vcpu->vm->events, verify_timer, unicorn);
	vcpu->engine_data = unicorn;
	vcpu->interp->heat = eager ? 1 : HEAT;
	return 0;
}

static int unicorn_create(struct vcpu *vcpu)
{
	return create(vcpu, false);
}

static int eager_create(struct vcpu *vcpu)
{
	return create(vcpu, true);
}

static int lockstep_engine_create(struct vcpu *vcpu)
{
	struct lockstep *lockstep = lockstep_create();
	struct unicorn *unicorn;
	int error;

	if (!lockstep)
		return -ENOMEM;
	error = create(vcpu, true);
	if (error) {
		lockstep_destroy(lockstep);
		return error;
	}
	unicorn = vcpu->engine_data;
	unicorn->lockstep = lockstep;
	return 0;
}

static void unicorn_destroy(struct vcpu *vcpu)
{
	struct unicorn *unicorn = vcpu->engine_data;

	if (unicorn->poke_watch)
		events_unwatch(unicorn->poke_watch);
	timer_fini(&unicorn->poke_timer);
	timer_fini(&unicorn->verify_timer);
	own_fd_close(unicorn->poke_fd);
	for (unsigned i = 0; i < SIDES; i++)
		drop(unicorn, i);
	lockstep_destroy(unicorn->lockstep);
	free(unicorn);
}

/* A host page went away under Unicorn, and the guard jumped out of it. */
static void clean_up_after_fault(struct unicorn *unicorn)
{
	atomic_store(&unicorn->running, NULL);
	drop_side(unicorn, unicorn->entered);
	unicorn->entered = NULL;
}

static enum engine_reason unicorn_run(struct vcpu *vcpu, bool single)
{
	struct unicorn *unicorn = vcpu->engine_data;

	if (unicorn->entered)
		clean_up_after_fault(unicorn);
	unicorn->stopped = false;
	return engine_interp.run(vcpu, single);
}

static void unicorn_forget_slots(struct vcpu *vcpu)
{
	struct unicorn *unicorn = vcpu->engine_data;

	for (unsigned i = 0; i < SIDES; i++)
		if (unicorn->side[i])
			shadows_slots_changed(&unicorn->side[i]->shadows);
	if (unicorn->lockstep)
		lockstep_forget_slots(unicorn->lockstep);
}

const struct engine engine_unicorn = {
	.name = "unicorn",
	.create = unicorn_create,
	.destroy = unicorn_destroy,
	.run = unicorn_run,
	.verify_code = interp_code_changed,
	.hot = unicorn_hot,
	.kick = unicorn_kick,
	.forget_slots = unicorn_forget_slots,
};

const struct engine engine_unicorn_eager = {
	.name = "unicorn-eager",
	.create = eager_create,
	.destroy = unicorn_destroy,
	.run = unicorn_run,
	.verify_code = interp_code_changed,
	.hot = unicorn_hot,
	.kick = unicorn_kick,
	.forget_slots = unicorn_forget_slots,
};

const struct engine engine_unicorn_lockstep = {
	.name = "unicorn-lockstep",
	.create = lockstep_engine_create,
	.destroy = unicorn_destroy,
	.run = unicorn_run,
	.verify_code = interp_code_changed,
	.hot = unicorn_hot,
	.kick = unicorn_kick,
	.forget_slots = unicorn_forget_slots,
};
