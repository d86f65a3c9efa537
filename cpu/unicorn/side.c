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

/* In the order of state.gpr. */
static int registers64[] = {
	UC_X86_REG_RAX, UC_X86_REG_RCX,    UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP,
	UC_X86_REG_RBP, UC_X86_REG_RSI,    UC_X86_REG_RDI, UC_X86_REG_R8,  UC_X86_REG_R9,
	UC_X86_REG_R10, UC_X86_REG_R11,    UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14,
	UC_X86_REG_R15, UC_X86_REG_RFLAGS, UC_X86_REG_RIP,
};
static int registers32[] = {
	UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX,    UC_X86_REG_ESP,
	UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI, UC_X86_REG_EFLAGS, UC_X86_REG_EIP,
};
#define REGISTERS_MAX 18

/* ---- TLB ---- */

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
	if (!shadow || !shadow_verify(&side->shadows, shadow, vcpu->interp->code_epoch))
		return false;
	result->paddr = (uintptr_t)shadow->code;
	result->perms = UC_PROT_EXEC;
	return true;
}

static bool fill_data(struct side *side, uint64_t address, enum access access, uc_tlb_entry *result)
{
	struct vcpu *vcpu = side->unicorn->vcpu;
	uint8_t *host = translate(vcpu, address, access, vcpu->data_mode);

	/* Missing host pages are the interpreter's to report. */
	if (!host || guard_probe(host, access == ACCESS_WRITE))
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

bool side_is_full(const struct side *side)
{
	return side->charged > CHARGE_FULL || shadows_full(&side->shadows);
}

/* ---- life ---- */

struct side *side_open(struct unicorn *unicorn, enum side_index index)
{
	struct side *side = calloc(1, sizeof(*side));
	uc_hook hook;

	if (!side)
		return NULL;
	side->unicorn = unicorn;
	side->number = ++unicorn->sides_opened;
	side->wide = index == SIDE_SUPER64 || index == SIDE_USER64;
	if (shadows_init(&side->shadows))
		goto no_shadows;
	if (uc_open(UC_ARCH_X86, side->wide ? UC_MODE_64 : UC_MODE_32, &side->uc))
		goto no_unicorn;
	if (uc_ctl_set_tcg_buffer_size(side->uc, TCG_BUFFER_BYTES) ||
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

static void refresh_tlb(struct side *side)
{
	const struct vcpu *vcpu = side->unicorn->vcpu;
	uint64_t stamp = vcpu->mmu.epoch + vcpu->interp->code_epoch;

	if (side->stamp == stamp && side->data_mode == vcpu->data_mode)
		return;
	side->stamp = stamp;
	side->data_mode = vcpu->data_mode;
	side->flushes++;
	uc_ctl_flush_tlb(side->uc);
}

void side_forget(struct side *side, struct shadow *shadow, uint64_t linear, unsigned bytes)
{
	side->forgetting = shadow;
	uc_ctl_flush_tlb(side->uc);
	uc_ctl_remove_cache(side->uc, linear, linear + bytes);
	side->forgetting = NULL;
	/* What was filled for this has not been checked. */
	side->stamp = 0;
}

static uc_err run64(struct side *side, struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	void *values[REGISTERS_MAX];
	uint64_t rflags, rip = s->rip;
	unsigned i;
	uc_err error;

	rflags = RFLAGS_FIXED | arith_to_rflags(s->arith) | (s->rflags & RFLAGS_DF);
	for (i = 0; i < 16; i++)
		values[i] = &s->gpr[i];
	values[16] = &rflags;
	values[17] = &rip;
	uc_reg_write_batch(side->uc, registers64, values, 17);
	error = uc_emu_start(side->uc, rip, 0, 0, 0);
	uc_reg_read_batch(side->uc, registers64, values, 18);
	s->rip = rip;
	s->arith = rflags_to_arith(rflags);
	s->rflags = (s->rflags & ~(uint64_t)RFLAGS_DF) | (rflags & RFLAGS_DF);
	return error;
}

static uc_err run32(struct side *side, struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	uint32_t register32[10];
	void *values[10];
	unsigned i;
	uc_err error;

	for (i = 0; i < 10; i++)
		values[i] = &register32[i];
	for (i = 0; i < 8; i++)
		register32[i] = (uint32_t)s->gpr[i];
	register32[8] = RFLAGS_FIXED | arith_to_rflags(s->arith) | (s->rflags & RFLAGS_DF);
	register32[9] = (uint32_t)s->rip;
	uc_reg_write_batch(side->uc, registers32, values, 9);
	error = uc_emu_start(side->uc, register32[9], 0, 0, 0);
	uc_reg_read_batch(side->uc, registers32, values, 10);
	for (i = 0; i < 8; i++)
		s->gpr[i] = register32[i];
	s->rip = register32[9];
	s->arith = rflags_to_arith(register32[8]);
	s->rflags = (s->rflags & ~(uint64_t)RFLAGS_DF) | (register32[8] & RFLAGS_DF);
	return error;
}

bool side_run(struct side *side)
{
	struct vcpu *vcpu = side->unicorn->vcpu;

	side->fills = side->flushes = 0;
	refresh_tlb(side);
	write_bases(side);
	uint64_t rip = vcpu->state.rip;
	uc_err error;

	error = side->wide ? run64(side, vcpu) : run32(side, vcpu);
	/*
	 * Unicorn keeps count of exceptions: from the third #DE on it takes itself for shut down
	 * and returns without an error.
	 */
	return error != UC_ERR_OK || vcpu->state.rip == rip;
}
