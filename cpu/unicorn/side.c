/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One Unicorn: its TLB, its registers, running it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu/flags.h"
#include "cpu/unicorn/unicorn.h"
#include "util/guard.h"

#define RFLAGS_UNICORN (RFLAGS_ARITH | RFLAGS_DF)
/* Linear addresses of the process that can be memory. */
#define HOST_FIRST 0x1000ull
#define HOST_END 0x7ffffffff000ull
/* Touched as far as it is used. */
#define TCG_BUFFER_BYTES (256u << 20)
#define CHARGE_STOP (250u << 20)
#define CHARGE_FULL (240u << 20)
/* More than instructions that use memory twice were seen to take; a usual one takes a third. */
#define CHARGE_INSN 256
#define CHARGE_TB 1024
#define TCG_BLOCK_INSNS_MAX 512
/* Pages of either kind, so many to one, that a supervisor's TLB is kept free of the other kind. */
#define GLOBAL_SHARE 8
/* Refusals for that, while CR3 stays the same, that cost less than to fill the TLB again. */
#define REFUSALS_MAX 48

/* In the order of state.gpr. */
static const int registers64[] = {
	UC_X86_REG_RAX, UC_X86_REG_RCX,    UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP,
	UC_X86_REG_RBP, UC_X86_REG_RSI,    UC_X86_REG_RDI, UC_X86_REG_R8,  UC_X86_REG_R9,
	UC_X86_REG_R10, UC_X86_REG_R11,    UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14,
	UC_X86_REG_R15, UC_X86_REG_RFLAGS, UC_X86_REG_RIP,
};
static const int registers32[] = {
	UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX,    UC_X86_REG_ESP,
	UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI, UC_X86_REG_EFLAGS, UC_X86_REG_EIP,
};
static const int registers_xmm[] = {
	UC_X86_REG_XMM0,  UC_X86_REG_XMM1,  UC_X86_REG_XMM2,  UC_X86_REG_XMM3,
	UC_X86_REG_XMM4,  UC_X86_REG_XMM5,  UC_X86_REG_XMM6,  UC_X86_REG_XMM7,
	UC_X86_REG_XMM8,  UC_X86_REG_XMM9,  UC_X86_REG_XMM10, UC_X86_REG_XMM11,
	UC_X86_REG_XMM12, UC_X86_REG_XMM13, UC_X86_REG_XMM14, UC_X86_REG_XMM15,
};

/* ---- TLB ---- */

/* Word and bit of @address in tlb.pages. */
struct page_bit {
	unsigned word;
	uint64_t mask;
};

static struct page_bit page_bit(uint64_t address)
{
	const uint64_t page = address >> GUEST_PAGE_SHIFT;
	const unsigned hash = (page ^ page >> 12) & 4095;

	return (struct page_bit){ hash / 64, 1ull << hash % 64 };
}

static bool canonical(const struct vcpu *vcpu, uint64_t address)
{
	unsigned shift = vcpu->state.cr4 & CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(address << shift) >> shift) == address;
}

static uint8_t *translate(struct vcpu *vcpu, uint64_t address, enum access access,
			  enum tlb_mode mode)
{
	uint8_t *host = mmu_lookup(&vcpu->mmu, address, 1, access, mode);
	struct mmu_result result;
	enum mmu_status status;

	if (host)
		return host;
	vcpu->mmu.ring_stops = true;
	status = mmu_translate(&vcpu->mmu, address, access, mode, &result);
	vcpu->mmu.ring_stops = false;
	if (status != MMU_RAM)
		return NULL;
	/* Still a miss: an access that needs the slow path. */
	return mmu_lookup(&vcpu->mmu, address, 1, access, mode);
}

/*
 * Whether a page that was just translated may be entered. Nothing outlives a change of CR3 in
 * Unicorn's TLB unless all does: a kernel's code and data are global, and for the few accesses to
 * user memory that it makes by itself the interpreter is cheaper than all of that again.
 */
static bool may_enter(struct side *side, uint64_t address, enum tlb_mode mode)
{
	const struct page_bit bit = page_bit(address);
	struct side_tlb *tlb = &side->tlb;

	if (mmu_is_global(&side->unicorn->vcpu->mmu, address, mode)) {
		tlb->global++;
	} else {
		tlb->foreign++;
		if (!side->user && !tlb->other && tlb->global > GLOBAL_SHARE * tlb->foreign &&
		    ++tlb->refused <= REFUSALS_MAX)
			return false;
		tlb->other = true;
	}
	tlb->pages[address >> 63][bit.word] |= bit.mask;
	return true;
}

static bool fill_code(struct side *side, uint64_t address, uc_tlb_entry *result)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	struct shadow *shadow;
	uint8_t *host;

	if (side->forgetting) {
		result->paddr = (uintptr_t)side->forgetting->code;
		result->perms = UC_PROT_EXEC;
		return true;
	}
	host = translate(vcpu, address, ACCESS_EXEC, vcpu->code_mode);
	if (!host)
		return false;
	shadow = shadow_find(&side->shadows, host);
	if (!shadow || !shadow_verify(&side->shadows, shadow, vcpu->interp->code_epoch) ||
	    !may_enter(side, address, vcpu->code_mode))
		return false;
	result->paddr = (uintptr_t)shadow->code;
	result->perms = UC_PROT_EXEC;
	return true;
}

uint8_t *side_operand(struct side *side, uint64_t address, unsigned bytes, enum access access)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	uint8_t *host;

	if ((side->wide && !canonical(vcpu, address)) ||
	    (address & ~GUEST_PAGE_MASK) + bytes > GUEST_PAGE_SIZE)
		return NULL;
	host = translate(vcpu, address, access, vcpu->data_mode);
	return host && !guard_probe(host, access == ACCESS_WRITE) ? host : NULL;
}

static bool fill_data(struct side *side, uint64_t address, enum access access, uc_tlb_entry *result)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	uint8_t *host = translate(vcpu, address, access, vcpu->data_mode);

	/* Missing host pages are the interpreter's to report. */
	if (!host || guard_probe(host, access == ACCESS_WRITE) ||
	    !may_enter(side, address, vcpu->data_mode))
		return false;
	if (side->unicorn->lockstep &&
	    !lockstep_data(side->unicorn->lockstep, host, access == ACCESS_WRITE))
		return false;
	result->paddr = (uintptr_t)host;
	result->perms = access == ACCESS_WRITE ? UC_PROT_WRITE : UC_PROT_READ;
	if (access == ACCESS_WRITE &&
	    mmu_lookup(&vcpu->mmu, address, 1, ACCESS_READ, vcpu->data_mode))
		result->perms |= UC_PROT_READ;
	return true;
}

static bool fill(uc_engine *uc, uint64_t address, uc_mem_type type, uc_tlb_entry *result,
		 void *opaque)
{
	struct side *side = opaque;
	bool filled;

	(void)uc;
	side->fills++;
	address &= GUEST_PAGE_MASK;
	if (side->wide ? !canonical(side->unicorn->vcpu, address) : address >> 32)
		return false;
	if (type == UC_MEM_FETCH)
		filled = fill_code(side, address, result);
	else
		filled = fill_data(side, address, type == UC_MEM_WRITE ? ACCESS_WRITE : ACCESS_READ,
				   result);
	if (!filled)
		side->unicorn->stats.refused++;
	return filled;
}

/* ---- translations ---- */

static void translated(uc_engine *uc, uc_tb *tb, uc_tb *previous, void *opaque)
{
	struct side *side = opaque;

	(void)previous;
	side->unicorn->stats.translated++;
	side->charged += CHARGE_TB + tb->icount * CHARGE_INSN;
	if (side->charged > CHARGE_STOP)
		uc_emu_stop(uc);
}

void side_charge(struct side *side, unsigned insns)
{
	side->unicorn->stats.translated++;
	/* A block that was cut off goes on in Unicorn's. */
	if (insns >= BLOCK_INSNS_MAX)
		insns = TCG_BLOCK_INSNS_MAX;
	side->charged += CHARGE_TB + insns * CHARGE_INSN;
}

void side_forget_sites(struct side *side)
{
	memset(side->sites, 0, sizeof(side->sites));
}

bool side_is_full(const struct side *side)
{
	return side->charged > CHARGE_FULL || shadows_full(&side->shadows);
}

/* ---- life ---- */

/*
 * Unicorn's usual CPU has none of these features, another one all. A guest that has but some of them
 * gets the former.
 */
static struct guest_code guest_code(const struct unicorn *unicorn, unsigned index)
{
	const struct guest_features *f = &unicorn->vcpu->features;

	return (struct guest_code){
		.supervisor = !(index & SIDE_USER),
		.clock = !unicorn->lockstep,
		.vectors = index & SIDE_VECTORS,
		.bmi1 = f->bmi1,
		.lzcnt = f->lzcnt,
		.bits = f->bmi1 && f->lzcnt && f->popcnt,
	};
}

struct side *side_open(struct unicorn *unicorn, unsigned index)
{
	struct side *side = calloc(1, sizeof(*side));
	uc_hook hook;

	if (!side)
		return NULL;
	side->unicorn = unicorn;
	side->number = ++unicorn->sides_opened;
	side->wide = !(index & SIDE_32);
	side->user = index & SIDE_USER;
	if (shadows_init(&side->shadows))
		goto no_shadows;
	side->shadows.guest = guest_code(unicorn, index);
	side->gprs = side->wide ? 16 : 8;
	memcpy(side->registers, side->wide ? registers64 : registers32,
	       (side->gprs + 2) * sizeof(side->registers[0]));
	if (uc_open(UC_ARCH_X86, side->wide ? UC_MODE_64 : UC_MODE_32, &side->uc))
		goto no_unicorn;
	if ((side->shadows.guest.bits && uc_ctl_set_cpu_model(side->uc, UC_CPU_X86_EPYC)) ||
	    uc_ctl_set_tcg_buffer_size(side->uc, TCG_BUFFER_BYTES) ||
	    uc_ctl_tlb_mode(side->uc, UC_TLB_VIRTUAL) || uc_ctl_exits_enable(side->uc) ||
	    uc_mem_map_ptr(side->uc, HOST_FIRST, HOST_END - HOST_FIRST, UC_PROT_ALL,
			   (void *)HOST_FIRST) ||
	    uc_hook_add(side->uc, &hook, UC_HOOK_TLB_FILL, (void *)fill, side, 1, 0) ||
	    uc_hook_add(side->uc, &hook, UC_HOOK_EDGE_GENERATED, (void *)translated, side, 1, 0))
		goto no_setup;
	return side;

no_setup:
	uc_close(side->uc);
no_unicorn:
	shadows_fini(&side->shadows);
no_shadows:
	free(side);
	return NULL;
}

void side_close(struct side *side)
{
	if (!side)
		return;
	uc_close(side->uc);
	shadows_fini(&side->shadows);
	free(side);
}

/* ---- running ---- */

static void write_bases(struct side *side)
{
	const struct cpu_state *s = &side->unicorn->vcpu->state;

	if (!side->wide)
		return;
	if (side->fs_base != s->base[SEG_FS]) {
		side->fs_base = s->base[SEG_FS];
		uc_reg_write(side->uc, UC_X86_REG_FS_BASE, &side->fs_base);
	}
	if (side->gs_base != s->base[SEG_GS]) {
		side->gs_base = s->base[SEG_GS];
		uc_reg_write(side->uc, UC_X86_REG_GS_BASE, &side->gs_base);
	}
}

/* Is everything still as the MMU has it? */
static bool is_current(const struct side *side)
{
	const struct vcpu *vcpu = side->unicorn->vcpu;
	const struct side_tlb *tlb = &side->tlb;
	const struct mmu *mmu = &vcpu->mmu;
	uint64_t i;

	if (tlb->stale || tlb->data_mode != vcpu->data_mode ||
	    tlb->code_epoch != vcpu->interp->code_epoch || tlb->epoch_global != mmu->epoch_global ||
	    (tlb->other && tlb->epoch_other != mmu->epoch_other) ||
	    mmu->page_flushes - tlb->page_flushes > MMU_FLUSHED)
		return false;
	for (i = tlb->page_flushes; i != mmu->page_flushes; i++) {
		const uint64_t page = mmu->flushed[i % MMU_FLUSHED];
		const struct page_bit bit = page_bit(page);

		if (tlb->pages[page >> 63][bit.word] & bit.mask)
			return false;
	}
	return true;
}

static void refresh_tlb(struct side *side)
{
	const struct vcpu *vcpu = side->unicorn->vcpu;
	struct side_tlb *tlb = &side->tlb;
	const struct mmu *mmu = &vcpu->mmu;

	if (!is_current(side)) {
		uc_ctl_flush_tlb(side->uc);
		side->flushes++;
		memset(tlb->pages, 0, sizeof(tlb->pages));
		tlb->stale = tlb->other = false;
		tlb->global /= 2;
		tlb->foreign /= 2;
	} else if (tlb->epoch == mmu->epoch) {
		return;
	}
	if (tlb->epoch_other != mmu->epoch_other)
		tlb->refused = 0;
	tlb->data_mode = vcpu->data_mode;
	tlb->code_epoch = vcpu->interp->code_epoch;
	tlb->epoch = mmu->epoch;
	tlb->epoch_global = mmu->epoch_global;
	tlb->epoch_other = mmu->epoch_other;
	tlb->page_flushes = mmu->page_flushes;
}

void side_forget(struct side *side, struct shadow *shadow, uint64_t linear, unsigned bytes)
{
	side->forgetting = shadow;
	uc_ctl_flush_tlb(side->uc);
	uc_ctl_remove_cache(side->uc, linear, linear + bytes);
	side->forgetting = NULL;
	/* What was filled for this has not been checked. */
	side->tlb.stale = true;
}

/* ---- vectors ---- */

void side_use_vectors(struct side *side, uint16_t mask)
{
	for (unsigned left = mask & ~side->vectors; left; left &= left - 1) {
		const unsigned i = __builtin_ctz(left);

		side->registers[side->gprs + 2 + side->vector_count] = registers_xmm[i];
		side->vector[side->vector_count++] = i;
	}
	side->vectors |= mask;
}

/* ---- registers ---- */

/* Registers to write, or to read: as uc_reg_write_batch() takes them. */
struct transfer {
	int registers[REGISTERS_MAX];
	void *values[REGISTERS_MAX];
	int count;
};

static void add(struct transfer *transfer, int reg, void *value)
{
	transfer->registers[transfer->count] = reg;
	transfer->values[transfer->count++] = value;
}

/* Those that are not what Unicorn has. */
static void write_registers(struct side *side, uint64_t *rflags)
{
	struct cpu_state *s = &side->unicorn->vcpu->state;
	struct transfer transfer;

	transfer.count = 0;
	add(&transfer, side->registers[side->gprs], rflags);
	for (unsigned i = 0; i < side->gprs; i++)
		if (s->gpr[i] != side->gpr[i] || !side->gprs_known)
			add(&transfer, side->registers[i], &s->gpr[i]);
	for (unsigned i = 0; i < side->vector_count; i++) {
		const unsigned n = side->vector[i];

		if (memcmp(side->xmm[n], s->fpu.xmm[n], 16) || !(side->vectors_known >> n & 1))
			add(&transfer, registers_xmm[n], s->fpu.xmm[n]);
	}
	uc_reg_write_batch(side->uc, transfer.registers, transfer.values, transfer.count);
}

static void read_registers(struct side *side, uint64_t *rflags, uint64_t *rip)
{
	struct cpu_state *s = &side->unicorn->vcpu->state;
	const unsigned general = side->gprs + 2;
	void *values[REGISTERS_MAX];

	for (unsigned i = 0; i < side->gprs; i++)
		values[i] = &s->gpr[i];
	values[side->gprs] = rflags;
	values[side->gprs + 1] = rip;
	for (unsigned i = 0; i < side->vector_count; i++)
		values[general + i] = s->fpu.xmm[side->vector[i]];
	uc_reg_read_batch(side->uc, side->registers, values, general + side->vector_count);
	memcpy(side->gpr, s->gpr, side->gprs * sizeof(side->gpr[0]));
	side->gprs_known = true;
	for (unsigned i = 0; i < side->vector_count; i++)
		memcpy(side->xmm[side->vector[i]], s->fpu.xmm[side->vector[i]], 16);
	side->vectors_known = side->vectors;
}

/*
 * Starts it, in a frame of its own as after setjmp(). What it did before the client took a page away
 * under it is done; only where Unicorn itself touched the page is that not known, and for whoever
 * armed the guard before, it never started.
 */
static uc_err __attribute__((noinline)) start(struct side *side, uint64_t rip)
{
	struct guard guard;
	uc_err error;

	if (guard_enter(&guard)) {
		if (!unicorn_restore_state(guard.pc))
			guard_pass_on(&guard);
		side->broken = true;
		return UC_ERR_EXCEPTION;
	}
	unicorn_set_callout(callout, side);
	error = uc_emu_start(side->uc, rip, 0, 0, 0);
	guard_leave(&guard);
	return error;
}

/* In 32-bit code both are the halves that Unicorn knows; the upper ones are 0, and stay so. */
static uc_err execute(struct side *side, struct cpu_state *s)
{
	uint64_t rflags = RFLAGS_FIXED | arith_to_rflags(s->arith) | (s->rflags & RFLAGS_DF);
	uint64_t rip = s->rip;
	uc_err error;

	write_registers(side, &rflags);
	error = start(side, rip);
	read_registers(side, &rflags, &rip);
	s->rip = rip;
	s->arith = rflags_to_arith(rflags);
	if (s->events.shadow && rip != side->after_sti)
		s->events.shadow = 0;
	s->rflags = (s->rflags & ~(uint64_t)RFLAGS_DF) | (rflags & RFLAGS_DF);
	return error;
}

bool side_run(struct side *side)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	const uint64_t rip = vcpu->state.rip;
	uc_err error;

	side->fills = side->flushes = 0;
	refresh_tlb(side);
	write_bases(side);
	error = execute(side, &vcpu->state);
	/*
	 * Unicorn keeps count of exceptions: from the third #DE on it takes itself for shut down
	 * and returns without an error.
	 */
	return error != UC_ERR_OK || vcpu->state.rip == rip;
}
