/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control and debug registers, flags, TLB and cache control.
 * Source: Intel SDM volume 2; volume 3, 2.5 and 17.2.
 */
#include "cpu/control.h"

#include "cpu/fpu.h"
#include "cpu/interp/system.h"

#define DR6_BD (1ull << 13)
#define DR7_GD (1ull << 13)
#define DR6_FIXED 0xffff0ff0ull
#define DR6_WRITABLE 0xe00full
#define DR7_FIXED 0x400ull
#define DR7_WRITABLE 0xffff2bffull

/* Full width in 64-bit mode, 32 bits elsewhere: these have no operand size. */
static uint64_t wide_read(const struct vcpu *cpu, const struct insn *insn)
{
	return insn->code == 8 ? cpu->state.gpr[insn->rm_number] :
				 (uint32_t)cpu->state.gpr[insn->rm_number];
}

static void wide_write(struct vcpu *cpu, const struct insn *insn, uint64_t value)
{
	cpu->state.gpr[insn->rm_number] = insn->code == 8 ? value : (uint32_t)value;
}

/* ---- control registers ---- */

static void write_cr8(struct vcpu *cpu, const struct insn *insn, uint64_t value)
{
	uint64_t old;

	if (value & ~0xfull)
		exception_gp(cpu, insn, 0);
	if (cpu->lapic) {
		old = lapic_get_cr8(cpu->lapic);
		lapic_set_cr8(cpu->lapic, value);
		if (value < old)
			event_check_soon(cpu);
		return;
	}
	old = cpu->state.cr8;
	cpu->state.cr8 = value;
	if (value < old) {
		cpu->run->exit_reason = KVM_EXIT_SET_TPR;
		interp_complete(cpu, insn, ENGINE_EXIT);
	}
}

void op_mov_to_cr(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t value = wide_read(cpu, insn);
	int error = 0;

	require_cpl0(cpu, insn);
	system_begin(cpu, insn);
	switch (insn->reg_number) {
	case 0:
		error = control_write_cr0(cpu, value);
		break;
	case 2:
		cpu->state.cr2 = value;
		break;
	case 3:
		error = control_write_cr3(cpu, value);
		break;
	case 4:
		error = control_write_cr4(cpu, value);
		break;
	case 8:
		write_cr8(cpu, insn, value);
		break;
	default:
		exception_ud(cpu, insn);
	}
	if (error)
		exception_gp(cpu, insn, 0);
	END_BLOCK(cpu, insn);
}

void op_mov_from_cr(struct vcpu *cpu, const struct insn *insn)
{
	const struct cpu_state *s = &cpu->state;
	uint64_t value;

	require_cpl0(cpu, insn);
	switch (insn->reg_number) {
	case 0:
		value = s->cr0;
		break;
	case 2:
		value = s->cr2;
		break;
	case 3:
		value = s->cr3;
		break;
	case 4:
		value = s->cr4;
		break;
	case 8:
		value = cpu->lapic ? lapic_get_cr8(cpu->lapic) : s->cr8;
		break;
	default:
		exception_ud(cpu, insn);
	}
	wide_write(cpu, insn, value);
	END_BLOCK(cpu, insn);
}

void op_clts(struct vcpu *cpu, const struct insn *insn)
{
	require_cpl0(cpu, insn);
	cpu->state.cr0 &= ~CR0_TS;
	END_BLOCK(cpu, insn);
}

void op_lmsw(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t cr0 = cpu->state.cr0, value;

	require_cpl0(cpu, insn);
	value = (insn->flags & INSN_MEM ? load16(cpu, insn) : REG16(cpu, insn->rm)) & 0xf;
	/* PE can be set but not cleared. */
	value |= cr0 & CR0_PE;
	if (control_write_cr0(cpu, (cr0 & ~0xfull) | value))
		exception_gp(cpu, insn, 0);
	END_BLOCK(cpu, insn);
}

void op_smsw(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t cr0 = cpu->state.cr0;

	if ((cpu->state.cr4 & CR4_UMIP) && state_cpl(&cpu->state))
		exception_gp(cpu, insn, 0);
	if (insn->flags & INSN_MEM)
		store16(cpu, insn, cr0);
	else if (insn->opsize == 2)
		SET16(cpu, insn->rm, cr0);
	else if (insn->opsize == 4)
		SET32(cpu, insn->rm, cr0);
	else
		SET64(cpu, insn->rm, cr0);
	END_BLOCK(cpu, insn);
}

/* ---- debug registers ---- */

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE; DR7.GD protects all of them. */
static unsigned debug_register(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	unsigned number = insn->reg_number;

	if (number > 7 || ((number == 4 || number == 5) && (s->cr4 & CR4_DE)))
		exception_ud(cpu, insn);
	require_cpl0(cpu, insn);
	if (cpu->effective_dr7 & DR7_GD) {
		event_raise_debug(cpu, DR6_BD);
		/* A fault: it must be able to go on without the same #DB. */
		s->rflags |= RFLAGS_RF;
		exception_recorded(cpu, insn);
	}
	return number == 4 || number == 5 ? number + 2 : number;
}

void op_mov_to_dr(struct vcpu *cpu, const struct insn *insn)
{
	unsigned number = debug_register(cpu, insn);
	struct cpu_state *s = &cpu->state;
	uint64_t value = wide_read(cpu, insn);

	if (number >= 6 && value >> 32)
		exception_gp(cpu, insn, 0);
	if (number == 6)
		s->dr6 = (value & DR6_WRITABLE) | DR6_FIXED;
	else if (number == 7)
		s->dr7 = (value & DR7_WRITABLE) | DR7_FIXED;
	else
		s->dr[number] = value;
	if (number != 6)
		vcpu_debug_changed(cpu);
	END_BLOCK(cpu, insn);
}

void op_mov_from_dr(struct vcpu *cpu, const struct insn *insn)
{
	unsigned number = debug_register(cpu, insn);
	const struct cpu_state *s = &cpu->state;

	wide_write(cpu, insn, number == 6 ? s->dr6 : number == 7 ? s->dr7 : s->dr[number]);
	END_BLOCK(cpu, insn);
}

/* ---- XCR0, PKRU ---- */

void op_xgetbv(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint64_t value;

	if (!(s->cr4 & CR4_OSXSAVE))
		exception_ud(cpu, insn);
	switch ((uint32_t)s->gpr[GPR_RCX]) {
	case 0:
		value = s->xcr0;
		break;
	case 1:
		value = fpu_in_use(cpu, s->xcr0);
		break;
	default:
		exception_gp(cpu, insn, 0);
	}
	s->gpr[GPR_RAX] = (uint32_t)value;
	s->gpr[GPR_RDX] = value >> 32;
	END_BLOCK(cpu, insn);
}

void op_xsetbv(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint64_t value = (uint32_t)s->gpr[GPR_RAX] | s->gpr[GPR_RDX] << 32;

	if (!(s->cr4 & CR4_OSXSAVE))
		exception_ud(cpu, insn);
	require_cpl0(cpu, insn);
	if ((uint32_t)s->gpr[GPR_RCX] || vcpu_set_xcr0(cpu, value))
		exception_gp(cpu, insn, 0);
	END_BLOCK(cpu, insn);
}

void op_rdpkru(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;

	if (!(s->cr4 & CR4_PKE))
		exception_ud(cpu, insn);
	if ((uint32_t)s->gpr[GPR_RCX])
		exception_gp(cpu, insn, 0);
	s->gpr[GPR_RAX] = s->pkru;
	s->gpr[GPR_RDX] = 0;
	END_BLOCK(cpu, insn);
}

void op_wrpkru(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;

	if (!(s->cr4 & CR4_PKE))
		exception_ud(cpu, insn);
	if ((uint32_t)s->gpr[GPR_RCX] || (uint32_t)s->gpr[GPR_RDX])
		exception_gp(cpu, insn, 0);
	if (s->pkru != (uint32_t)s->gpr[GPR_RAX]) {
		s->pkru = s->gpr[GPR_RAX];
		vcpu_paging_changed(cpu);
	}
	END_BLOCK(cpu, insn);
}

/* ---- flags ---- */

static void set_ac(struct vcpu *cpu, const struct insn *insn, bool set)
{
	struct cpu_state *s = &cpu->state;

	if (!cpu->features.smap || state_cpl(s))
		exception_ud(cpu, insn);
	s->rflags = (s->rflags & ~(uint64_t)RFLAGS_AC) | (set ? RFLAGS_AC : 0);
	/* At level 0 only the rights of data accesses depend on it. */
	cpu->data_mode = set && (s->cr4 & CR4_SMAP) ? TLB_SUPER_AC : TLB_SUPER;
}

void op_clac(struct vcpu *cpu, const struct insn *insn)
{
	set_ac(cpu, insn, false);
	END_BLOCK(cpu, insn);
}

void op_stac(struct vcpu *cpu, const struct insn *insn)
{
	set_ac(cpu, insn, true);
	END_BLOCK(cpu, insn);
}

enum if_control { IF_REAL, IF_VIRTUAL, IF_FORBIDDEN };

/* Whether CLI and STI mean IF or VIF. */
static enum if_control if_control(const struct cpu_state *s)
{
	unsigned cpl = state_cpl(s);

	if (cpl <= (s->rflags & RFLAGS_IOPL) >> 12)
		return IF_REAL;
	if (s->cr4 & (state_v86(s) ? CR4_VME : CR4_PVI) && cpl == 3)
		return IF_VIRTUAL;
	return IF_FORBIDDEN;
}

void op_cli(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;

	switch (if_control(s)) {
	case IF_REAL:
		s->rflags &= ~(uint64_t)RFLAGS_IF;
		break;
	case IF_VIRTUAL:
		s->rflags &= ~(uint64_t)RFLAGS_VIF;
		break;
	case IF_FORBIDDEN:
		exception_gp(cpu, insn, 0);
	}
	END_BLOCK(cpu, insn);
}

void op_sti(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;

	switch (if_control(s)) {
	case IF_REAL:
		if (!(s->rflags & RFLAGS_IF)) {
			s->rflags |= RFLAGS_IF;
			s->events.shadow = KVM_X86_SHADOW_INT_STI;
			event_check_soon(cpu);
		}
		break;
	case IF_VIRTUAL:
		if (s->rflags & RFLAGS_VIP)
			exception_gp(cpu, insn, 0);
		s->rflags |= RFLAGS_VIF;
		break;
	case IF_FORBIDDEN:
		exception_gp(cpu, insn, 0);
	}
	END_BLOCK(cpu, insn);
}

void op_pushf(struct vcpu *cpu, const struct insn *insn)
{
	const struct cpu_state *s = &cpu->state;
	uint64_t flags = rflags_get(s), sp;

	if (state_protected(s) && state_v86(s) && (flags & RFLAGS_IOPL) != RFLAGS_IOPL) {
		if (!(s->cr4 & CR4_VME) || insn->opsize != 2)
			exception_gp(cpu, insn, 0);
		flags &= ~(uint64_t)RFLAGS_IF;
		flags |= RFLAGS_IOPL | (flags & RFLAGS_VIF ? RFLAGS_IF : 0);
	}
	flags &= ~(uint64_t)(RFLAGS_VM | RFLAGS_RF);
	sp = system_stack_push(cpu, insn, &flags, 1, insn->opsize);
	system_set_sp(cpu, system_stack_mask(cpu, insn), sp);
	NEXT(cpu, insn);
}

void op_popf(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	uint64_t sp = s->gpr[GPR_RSP], old = s->rflags, flags, mask;
	unsigned cpl = state_cpl(s), iopl = (s->rflags & RFLAGS_IOPL) >> 12;
	bool virtual_if = false;

	flags = system_stack_read(cpu, insn, sp, insn->opsize);
	mask = RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID;
	if (state_protected(s) && state_v86(s) && iopl != 3) {
		if (!(s->cr4 & CR4_VME) || insn->opsize != 2 || (flags & RFLAGS_TF) ||
		    ((flags & RFLAGS_IF) && (s->rflags & RFLAGS_VIP)))
			exception_gp(cpu, insn, 0);
		virtual_if = true;
	} else if (cpl <= iopl) {
		mask |= RFLAGS_IF;
	}
	if (!cpl)
		mask |= RFLAGS_IOPL;
	if (insn->opsize == 2)
		mask &= 0xffff;
	system_set_sp(cpu, system_stack_mask(cpu, insn), sp + insn->opsize);
	rflags_set(s, (rflags_get(s) & ~(mask | RFLAGS_RF)) | (flags & mask));
	if (virtual_if)
		s->rflags = (s->rflags & ~(uint64_t)RFLAGS_VIF) |
			    (flags & RFLAGS_IF ? RFLAGS_VIF : 0);
	event_flags_changed(cpu, old);
	END_BLOCK(cpu, insn);
}

/* ---- caches and TLB ---- */

void op_invd(struct vcpu *cpu, const struct insn *insn)
{
	require_cpl0(cpu, insn);
	END_BLOCK(cpu, insn);
}

void op_wbinvd(struct vcpu *cpu, const struct insn *insn)
{
	require_cpl0(cpu, insn);
	END_BLOCK(cpu, insn);
}

void op_invlpg(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t address;

	if (!(insn->flags & INSN_MEM))
		exception_ud(cpu, insn);
	require_cpl0(cpu, insn);
	address = mem_linear(cpu, insn, insn->seg, mem_offset(cpu, insn));
	cpu->stats.invlpg++;
	if (insn->code != 8 || access_canonical(cpu, address))
		mmu_flush_page(&cpu->mmu, address);
	END_BLOCK(cpu, insn);
}

enum invpcid_type { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL, INVPCID_ALL_BUT_GLOBAL };

void op_invpcid(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t type, descriptor[2];

	if (!cpu->features.invpcid || !(insn->flags & INSN_MEM))
		exception_ud(cpu, insn);
	require_cpl0(cpu, insn);
	type = insn->code == 8 ? cpu->state.gpr[insn->reg_number] :
				 (uint32_t)cpu->state.gpr[insn->reg_number];
	load_bytes(cpu, insn, descriptor, sizeof(descriptor));
	if (type > INVPCID_ALL_BUT_GLOBAL || (descriptor[0] & ~0xfffull))
		exception_gp(cpu, insn, 0);
	if (type <= INVPCID_CONTEXT && descriptor[0] && !(cpu->state.cr4 & CR4_PCIDE))
		exception_gp(cpu, insn, 0);
	if (type == INVPCID_ADDRESS && !access_canonical(cpu, descriptor[1]))
		exception_gp(cpu, insn, 0);
	/* Only translations of the current PCID are held. */
	if (type == INVPCID_ADDRESS)
		mmu_flush_page(&cpu->mmu, descriptor[1]);
	else if (type == INVPCID_ALL)
		mmu_flush(&cpu->mmu);
	else
		mmu_flush_other(&cpu->mmu);
	END_BLOCK(cpu, insn);
}
