/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segment registers, descriptor tables, selector checks. Source: Intel SDM volume 2. */
#include "cpu/interp/system.h"

static uint16_t selector_operand(struct vcpu *cpu, const struct insn *insn)
{
	return insn->flags & INSN_MEM ? load16(cpu, insn) : REG16(cpu, insn->rm);
}

static void set_zf(struct vcpu *cpu, bool set)
{
	if (set)
		cpu->state.arith |= ARITH_ZF;
	else
		cpu->state.arith &= ~ARITH_ZF;
}

static void set_register(struct vcpu *cpu, unsigned offset, unsigned opsize, uint64_t value)
{
	if (opsize == 2)
		SET16(cpu, offset, value);
	else if (opsize == 4)
		SET32(cpu, offset, value);
	else
		SET64(cpu, offset, value);
}

/* ---- loading and storing segment registers ---- */

void op_mov_to_seg(struct vcpu *cpu, const struct insn *insn)
{
	uint16_t selector;

	if (insn->reg_number == SEG_CS || insn->reg_number > SEG_GS)
		exception_ud(cpu, insn);
	selector = selector_operand(cpu, insn);
	system_begin(cpu, insn);
	must(cpu, insn, segment_load(cpu, insn->reg_number, selector));
	if (insn->reg_number == SEG_SS)
		cpu->state.events.shadow = KVM_X86_SHADOW_INT_MOV_SS;
	END_BLOCK(cpu, insn);
}

void op_mov_from_seg(struct vcpu *cpu, const struct insn *insn)
{
	uint16_t selector;

	if (insn->reg_number > SEG_GS)
		exception_ud(cpu, insn);
	selector = cpu->state.seg[insn->reg_number].selector;
	if (insn->flags & INSN_MEM)
		store16(cpu, insn, selector);
	else
		set_register(cpu, insn->rm, insn->opsize, selector);
	NEXT(cpu, insn);
}

void op_push_seg(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t value = cpu->state.seg[insn->imm].selector;
	uint64_t sp = system_stack_push(cpu, insn, &value, 1, insn->opsize);

	system_set_sp(cpu, system_stack_mask(cpu, insn), sp);
	NEXT(cpu, insn);
}

void op_pop_seg(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t sp = cpu->state.gpr[GPR_RSP], mask = system_stack_mask(cpu, insn);
	uint16_t selector = system_stack_read(cpu, insn, sp, insn->opsize);

	system_begin(cpu, insn);
	must(cpu, insn, segment_load(cpu, insn->imm, selector));
	system_set_sp(cpu, mask, sp + insn->opsize);
	if (insn->imm == SEG_SS)
		cpu->state.events.shadow = KVM_X86_SHADOW_INT_MOV_SS;
	END_BLOCK(cpu, insn);
}

void op_load_far(struct vcpu *cpu, const struct insn *insn)
{
	uint8_t pointer[10];
	uint64_t offset = 0;
	uint16_t selector;

	if (!(insn->flags & INSN_MEM))
		exception_ud(cpu, insn);
	load_bytes(cpu, insn, pointer, insn->opsize + 2);
	memcpy(&offset, pointer, insn->opsize);
	memcpy(&selector, pointer + insn->opsize, 2);
	system_begin(cpu, insn);
	must(cpu, insn, segment_load(cpu, insn->imm, selector));
	set_register(cpu, insn->reg, insn->opsize, offset);
	END_BLOCK(cpu, insn);
}

/* ---- LDTR and TR ---- */

static void require_protected(struct vcpu *cpu, const struct insn *insn)
{
	if (!system_protected(&cpu->state))
		exception_ud(cpu, insn);
}

static void check_umip(struct vcpu *cpu, const struct insn *insn)
{
	if ((cpu->state.cr4 & CR4_UMIP) && state_cpl(&cpu->state))
		exception_gp(cpu, insn, 0);
}

void op_lldt(struct vcpu *cpu, const struct insn *insn)
{
	uint16_t selector;

	require_protected(cpu, insn);
	require_cpl0(cpu, insn);
	selector = selector_operand(cpu, insn);
	system_begin(cpu, insn);
	must(cpu, insn, segment_load_ldt(cpu, selector, VECTOR_GP, 0));
	END_BLOCK(cpu, insn);
}

void op_ltr(struct vcpu *cpu, const struct insn *insn)
{
	uint16_t selector;

	require_protected(cpu, insn);
	require_cpl0(cpu, insn);
	selector = selector_operand(cpu, insn);
	system_begin(cpu, insn);
	must(cpu, insn, segment_load_tr(cpu, selector));
	END_BLOCK(cpu, insn);
}

static void store_system(struct vcpu *cpu, const struct insn *insn, enum seg seg)
{
	uint16_t selector = cpu->state.seg[seg].selector;

	require_protected(cpu, insn);
	check_umip(cpu, insn);
	if (insn->flags & INSN_MEM)
		store16(cpu, insn, selector);
	else
		set_register(cpu, insn->rm, insn->opsize, selector);
}

void op_sldt(struct vcpu *cpu, const struct insn *insn)
{
	store_system(cpu, insn, SEG_LDTR);
	END_BLOCK(cpu, insn);
}

void op_str(struct vcpu *cpu, const struct insn *insn)
{
	store_system(cpu, insn, SEG_TR);
	END_BLOCK(cpu, insn);
}

/* ---- GDTR and IDTR ---- */

static struct kvm_dtable load_table(struct vcpu *cpu, const struct insn *insn)
{
	unsigned base_bytes = insn->code == 8 ? 8 : 4;
	struct kvm_dtable table = { 0 };
	uint8_t image[10];

	if (!(insn->flags & INSN_MEM))
		exception_ud(cpu, insn);
	require_cpl0(cpu, insn);
	load_bytes(cpu, insn, image, 2 + base_bytes);
	memcpy(&table.limit, image, 2);
	memcpy(&table.base, image + 2, base_bytes);
	if (insn->code == 8) {
		if (!access_canonical(cpu, table.base))
			exception_gp(cpu, insn, 0);
	} else if (insn->opsize == 2) {
		table.base &= 0xffffff;
	}
	return table;
}

void op_lgdt(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.gdt = load_table(cpu, insn);
	END_BLOCK(cpu, insn);
}

void op_lidt(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.idt = load_table(cpu, insn);
	END_BLOCK(cpu, insn);
}

static void store_table(struct vcpu *cpu, const struct insn *insn, const struct kvm_dtable *table)
{
	unsigned base_bytes = insn->code == 8 ? 8 : 4;
	uint8_t image[10];

	if (!(insn->flags & INSN_MEM))
		exception_ud(cpu, insn);
	check_umip(cpu, insn);
	memcpy(image, &table->limit, 2);
	memcpy(image + 2, &table->base, base_bytes);
	store_bytes(cpu, insn, image, 2 + base_bytes);
}

void op_sgdt(struct vcpu *cpu, const struct insn *insn)
{
	store_table(cpu, insn, &cpu->state.gdt);
	END_BLOCK(cpu, insn);
}

void op_sidt(struct vcpu *cpu, const struct insn *insn)
{
	store_table(cpu, insn, &cpu->state.idt);
	END_BLOCK(cpu, insn);
}

/* ---- questions about selectors ---- */

#define TYPES_LSL (1u << SYSTEM_LDT | 1u << SYSTEM_TSS | 1u << SYSTEM_TSS_BUSY)
#define TYPES_LAR (TYPES_LSL | 1u << SYSTEM_CALL)
#define TYPES_LSL_LEGACY (1u << SYSTEM_TSS16 | 1u << SYSTEM_TSS16_BUSY)
#define TYPES_LAR_LEGACY (TYPES_LSL_LEGACY | 1u << SYSTEM_CALL16 | 1u << SYSTEM_TASK_GATE)

/* May the program know about the descriptor (privilege, and @types for system descriptors)? */
static bool visible(struct vcpu *cpu, const struct insn *insn, uint16_t selector, unsigned types,
		    unsigned legacy_types, struct descriptor *d)
{
	unsigned dpl;

	system_begin(cpu, insn);
	must(cpu, insn, descriptor_read(cpu, selector, d));
	if (!d->valid || !(selector & ~SELECTOR_RPL))
		return false;
	if (!state_long(&cpu->state))
		types |= legacy_types;
	if (!descriptor_s(d) && !(types >> descriptor_type(d) & 1))
		return false;
	if (descriptor_code(d) && descriptor_conforming(d))
		return true;
	dpl = descriptor_dpl(d);
	return state_cpl(&cpu->state) <= dpl && (selector & SELECTOR_RPL) <= dpl;
}

void op_verr(struct vcpu *cpu, const struct insn *insn)
{
	struct descriptor d;
	uint16_t selector;

	require_protected(cpu, insn);
	selector = selector_operand(cpu, insn);
	set_zf(cpu, visible(cpu, insn, selector, 0, 0, &d) && descriptor_readable(&d));
	END_BLOCK(cpu, insn);
}

void op_verw(struct vcpu *cpu, const struct insn *insn)
{
	struct descriptor d;
	uint16_t selector;

	require_protected(cpu, insn);
	selector = selector_operand(cpu, insn);
	set_zf(cpu, visible(cpu, insn, selector, 0, 0, &d) && descriptor_writable_data(&d));
	END_BLOCK(cpu, insn);
}

void op_lar(struct vcpu *cpu, const struct insn *insn)
{
	struct descriptor d;
	uint16_t selector;
	bool ok;

	require_protected(cpu, insn);
	selector = selector_operand(cpu, insn);
	ok = visible(cpu, insn, selector, TYPES_LAR, TYPES_LAR_LEGACY, &d);
	set_zf(cpu, ok);
	if (ok)
		set_register(cpu, insn->reg, insn->opsize, d.raw >> 32 & 0xffff00);
	END_BLOCK(cpu, insn);
}

void op_lsl(struct vcpu *cpu, const struct insn *insn)
{
	struct kvm_segment segment;
	struct descriptor d;
	uint16_t selector;
	bool ok;

	require_protected(cpu, insn);
	selector = selector_operand(cpu, insn);
	ok = visible(cpu, insn, selector, TYPES_LSL, TYPES_LSL_LEGACY, &d);
	set_zf(cpu, ok);
	if (ok) {
		descriptor_segment(&d, selector, &segment);
		set_register(cpu, insn->reg, insn->opsize, segment.limit);
	}
	END_BLOCK(cpu, insn);
}

void op_arpl(struct vcpu *cpu, const struct insn *insn)
{
	uint16_t rpl = REG16(cpu, insn->reg) & SELECTOR_RPL;
	uint16_t *to;
	bool raise;

	require_protected(cpu, insn);
	to = insn->flags & INSN_MEM ? rmw16(cpu, insn) : &REG16(cpu, insn->rm);
	raise = (*to & SELECTOR_RPL) < rpl;
	if (raise)
		*to = selector_with_rpl(*to, rpl);
	if (insn->flags & INSN_MEM)
		rmw_done(cpu, insn);
	set_zf(cpu, raise);
	END_BLOCK(cpu, insn);
}

/* ---- FS and GS bases ---- */

void op_swapgs(struct vcpu *cpu, const struct insn *insn)
{
	if (insn->code != 8)
		exception_ud(cpu, insn);
	require_cpl0(cpu, insn);
	segment_swap_gs(cpu);
	END_BLOCK(cpu, insn);
}

static enum seg fsgsbase_segment(struct vcpu *cpu, const struct insn *insn)
{
	if (insn->code != 8 || !(cpu->state.cr4 & CR4_FSGSBASE))
		exception_ud(cpu, insn);
	return insn->modrm >> 3 & 1 ? SEG_GS : SEG_FS;
}

void op_rdfsgsbase(struct vcpu *cpu, const struct insn *insn)
{
	enum seg seg = fsgsbase_segment(cpu, insn);

	set_register(cpu, insn->rm, insn->opsize == 8 ? 8 : 4, cpu->state.base[seg]);
	END_BLOCK(cpu, insn);
}

void op_wrfsgsbase(struct vcpu *cpu, const struct insn *insn)
{
	enum seg seg = fsgsbase_segment(cpu, insn);
	uint64_t base = insn->opsize == 8 ? REG64(cpu, insn->rm) : REG32(cpu, insn->rm);

	if (!access_canonical(cpu, base))
		exception_gp(cpu, insn, 0);
	segment_set_base(cpu, seg, base);
	END_BLOCK(cpu, insn);
}
