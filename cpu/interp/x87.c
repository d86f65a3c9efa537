/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 and EMMS. Arithmetic runs on the host's x87 with the guest's registers and all exceptions
 * masked; control instructions are done here. An exception that the guest does not mask is left
 * pending in FSW.ES and reported by the next waiting instruction (#MF, or FERR# through IRQ 13 with
 * CR0.NE clear). Source: Intel SDM volume 1, chapter 8.
 */
#include <string.h>

#include "cpu/interp/mem.h"
#include "cpu/interp/ops_system.h"
#include "cpu/interp/simd.h"

#define FSW_ES 0x80u
#define FSW_BUSY 0x8000u
#define FSW_EXCEPTIONS 0x3fu
#define FSW_PRE (0x1u | 0x2u | 0x4u) /* invalid, denormal, zero divide: found before the operation */
#define FCW_MASKS 0x3fu

static inline struct fpu_state *fpu(struct vcpu *cpu)
{
	return &cpu->state.fpu;
}

static inline unsigned top(const struct fpu_state *f)
{
	return f->fsw >> 11 & 7;
}

static void check_available(struct vcpu *cpu, const struct insn *insn)
{
	if (cpu->state.cr0 & (CR0_EM | CR0_TS))
		exception(cpu, insn, VECTOR_NM, 0);
}

static void check_pending(struct vcpu *cpu, const struct insn *insn)
{
	if (!(fpu(cpu)->fsw & FSW_ES))
		return;
	if (cpu->state.cr0 & CR0_NE)
		exception(cpu, insn, VECTOR_MF, 0);
	/* Without NE the error goes out on FERR#: IRQ 13, raised by an irqchip here. */
	if (cpu->vm->irqchip && irqchip_mode_of(cpu->vm) == IRQCHIP_FULL)
		irqchip_set_irq(cpu->vm->irqchip, 13, true);
}

/* ES and B follow from the unmasked exceptions. */
static void summarize(struct fpu_state *f)
{
	f->fsw &= ~(FSW_ES | FSW_BUSY);
	if (f->fsw & ~f->fcw & FSW_EXCEPTIONS)
		f->fsw |= FSW_ES | FSW_BUSY;
}

static void initialize(struct fpu_state *f)
{
	f->fcw = 0x37f;
	f->fsw = 0;
	f->ftw = 0;
	f->fop = 0;
	f->fip = f->fdp = 0;
}

void x87_enter_mmx(struct vcpu *cpu)
{
	struct fpu_state *f = fpu(cpu);
	uint8_t old[8][16];
	unsigned i, t = top(f);

	if (t) {
		memcpy(old, f->st, sizeof(old));
		for (i = 0; i < 8; i++)
			memcpy(f->st[(i + t) & 7], old[i], 16);
		f->fsw &= ~(7u << 11);
	}
	f->ftw = 0xff;
}

void op_emms(struct vcpu *cpu, const struct insn *insn)
{
	if (cpu->state.cr0 & CR0_EM)
		exception_ud(cpu, insn);
	check_available(cpu, insn);
	check_pending(cpu, insn);
	fpu(cpu)->ftw = 0;
	NEXT(cpu, insn);
}

void op_fwait(struct vcpu *cpu, const struct insn *insn)
{
	if ((cpu->state.cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
		exception(cpu, insn, VECTOR_NM, 0);
	check_pending(cpu, insn);
	NEXT(cpu, insn);
}

/* ---- environment ---- */

/* Full tag word from the abridged one and the registers. */
static uint16_t tag_word(const struct fpu_state *f)
{
	uint16_t tags = 0;
	unsigned i;

	for (i = 0; i < 8; i++) {
		const uint8_t *st = f->st[(i - top(f)) & 7];
		uint16_t exponent;
		uint64_t mantissa;
		unsigned tag;

		memcpy(&mantissa, st, 8);
		memcpy(&exponent, st + 8, 2);
		exponent &= 0x7fff;
		if (!(f->ftw >> i & 1))
			tag = 3;
		else if (!exponent && !mantissa)
			tag = 1;
		else if (exponent == 0x7fff || !exponent || !(mantissa >> 63))
			tag = 2;
		else
			tag = 0;
		tags |= tag << (2 * i);
	}
	return tags;
}

static void set_tag_word(struct fpu_state *f, uint16_t tags)
{
	unsigned i;

	f->ftw = 0;
	for (i = 0; i < 8; i++)
		if ((tags >> (2 * i) & 3) != 3)
			f->ftw |= 1u << i;
}

static bool wide_environment(const struct insn *insn)
{
	return insn->code == 2 ? insn->flags & INSN_OPSIZE : !(insn->flags & INSN_OPSIZE);
}

/* Returns its size: 28 bytes, or 14 with a 16-bit operand size. */
static unsigned environment_get(struct vcpu *cpu, const struct insn *insn, uint8_t image[28])
{
	struct fpu_state *f = fpu(cpu);
	bool real = !state_protected(&cpu->state) || state_v86(&cpu->state);
	uint16_t tags = tag_word(f);

	if (wide_environment(insn)) {
		uint32_t e[7] = { 0xffff0000u | f->fcw, 0xffff0000u | f->fsw, 0xffff0000u | tags,
				  f->fip, (uint32_t)f->fop << 16, f->fdp, 0xffff0000u };

		if (real) {
			e[3] = 0xffff0000u | (f->fip & 0xffff);
			e[4] = (f->fip >> 16 & 0xffff) << 12 | f->fop;
			e[5] = 0xffff0000u | (f->fdp & 0xffff);
			e[6] = (f->fdp >> 16 & 0xffff) << 12;
		}
		memcpy(image, e, 28);
		return 28;
	} else {
		uint16_t e[7] = { f->fcw, f->fsw, tags, f->fip, 0, f->fdp, 0 };

		if (real) {
			e[4] = (f->fip >> 16 & 0xf) << 12 | (f->fop & 0x7ff);
			e[6] = (f->fdp >> 16 & 0xf) << 12;
		}
		memcpy(image, e, 14);
		return 14;
	}
}

static void environment_set(struct vcpu *cpu, const struct insn *insn, const uint8_t image[28])
{
	struct fpu_state *f = fpu(cpu);
	uint16_t tags;

	if (wide_environment(insn)) {
		uint32_t e[7];

		memcpy(e, image, 28);
		f->fcw = e[0] | 0x40;
		f->fsw = e[1];
		tags = e[2];
		f->fip = e[3];
		f->fop = e[4] >> 16 & 0x7ff;
		f->fdp = e[5];
	} else {
		uint16_t e[7];

		memcpy(e, image, 14);
		f->fcw = e[0] | 0x40;
		f->fsw = e[1];
		tags = e[2];
		f->fip = e[3];
		f->fdp = e[5];
	}
	set_tag_word(f, tags);
	summarize(f);
}

/* ---- control instructions ---- */

static void op_fldcw(struct vcpu *cpu, const struct insn *insn)
{
	uint16_t value;

	check_available(cpu, insn);
	check_pending(cpu, insn);
	value = load16(cpu, insn);
	fpu(cpu)->fcw = (value & 0x1f3f) | 0x40;
	summarize(fpu(cpu));
	NEXT(cpu, insn);
}

static void op_fnstcw(struct vcpu *cpu, const struct insn *insn)
{
	check_available(cpu, insn);
	store16(cpu, insn, fpu(cpu)->fcw);
	NEXT(cpu, insn);
}

static void op_fnstsw(struct vcpu *cpu, const struct insn *insn)
{
	check_available(cpu, insn);
	if (insn->flags & INSN_MEM)
		store16(cpu, insn, fpu(cpu)->fsw);
	else
		SET16(cpu, 0, fpu(cpu)->fsw);
	NEXT(cpu, insn);
}

static void op_fnclex(struct vcpu *cpu, const struct insn *insn)
{
	check_available(cpu, insn);
	fpu(cpu)->fsw &= 0x7f00;
	NEXT(cpu, insn);
}

static void op_fninit(struct vcpu *cpu, const struct insn *insn)
{
	check_available(cpu, insn);
	initialize(fpu(cpu));
	NEXT(cpu, insn);
}

static void op_fnop_control(struct vcpu *cpu, const struct insn *insn)
{
	check_available(cpu, insn);
	NEXT(cpu, insn);
}

static void op_fldenv(struct vcpu *cpu, const struct insn *insn)
{
	uint8_t image[28];

	check_available(cpu, insn);
	check_pending(cpu, insn);
	load_bytes(cpu, insn, image, wide_environment(insn) ? 28 : 14);
	environment_set(cpu, insn, image);
	NEXT(cpu, insn);
}

static void op_fnstenv(struct vcpu *cpu, const struct insn *insn)
{
	uint8_t image[28];
	unsigned bytes;

	check_available(cpu, insn);
	bytes = environment_get(cpu, insn, image);
	store_bytes(cpu, insn, image, bytes);
	fpu(cpu)->fcw |= FCW_MASKS;
	summarize(fpu(cpu));
	NEXT(cpu, insn);
}

static void op_fnsave(struct vcpu *cpu, const struct insn *insn)
{
	uint8_t image[28 + 80];
	unsigned bytes, i;
	uint64_t address;

	check_available(cpu, insn);
	bytes = environment_get(cpu, insn, image);
	for (i = 0; i < 8; i++)
		memcpy(image + bytes + 10 * i, fpu(cpu)->st[i], 10);
	address = mem_operand(cpu, insn, bytes + 80, ACCESS_WRITE);
	mem_write_linear(cpu, insn, address, image, bytes + 80, cpu->data_mode);
	initialize(fpu(cpu));
	NEXT(cpu, insn);
}

static void op_frstor(struct vcpu *cpu, const struct insn *insn)
{
	unsigned bytes = wide_environment(insn) ? 28 : 14, i;
	uint8_t image[28 + 80];
	uint64_t address;

	check_available(cpu, insn);
	check_pending(cpu, insn);
	address = mem_operand(cpu, insn, bytes + 80, ACCESS_READ);
	mem_read_linear(cpu, insn, address, image, bytes + 80, cpu->data_mode);
	environment_set(cpu, insn, image);
	for (i = 0; i < 8; i++)
		memcpy(fpu(cpu)->st[i], image + bytes + 10 * i, 10);
	NEXT(cpu, insn);
}

/* ---- arithmetic, on the host ---- */

/* Bytes of the memory operand, by opcode and ModRM.reg. */
static unsigned operand_bytes(const struct insn *insn, bool *store)
{
	unsigned reg = insn->modrm >> 3 & 7;

	*store = false;
	switch (insn->opcode) {
	case 0xd9:
		*store = reg == 2 || reg == 3;
		return 4;
	case 0xdb:
		*store = reg == 1 || reg == 2 || reg == 3 || reg == 7;
		return reg >= 5 ? 10 : 4;
	case 0xdd:
		*store = reg == 1 || reg == 2 || reg == 3;
		return 8;
	case 0xdf:
		*store = reg == 1 || reg == 2 || reg == 3 || reg == 6 || reg == 7;
		return reg == 4 || reg == 6 ? 10 : reg == 5 || reg == 7 ? 8 : 2;
	case 0xdc:
		return 8;
	case 0xde:
		return 2;
	}
	return 4; /* D8, DA */
}

static void op_x87(struct vcpu *cpu, const struct insn *insn)
{
	struct fpu_state *f = fpu(cpu);
	struct fpu_state image, *after = &image;
	uint8_t memory[16] __attribute__((aligned(16)));
	bool is_memory = insn->flags & INSN_MEM, store = false;
	uint64_t arith = cpu->state.arith;
	unsigned bytes = 0, raised;
	x87_thunk *thunk;

	check_available(cpu, insn);
	check_pending(cpu, insn);
	if (is_memory) {
		bytes = operand_bytes(insn, &store);
		if (!store)
			load_bytes(cpu, insn, memory, bytes);
	}
	memcpy(after->bytes, f->bytes, 512); /* the FXSAVE image */
	after->fcw = f->fcw | FCW_MASKS;
	after->fsw = f->fsw & ~(FSW_ES | FSW_BUSY | FSW_EXCEPTIONS);
	after->mxcsr = 0x1f80;
	thunk = insn->thunk ? (x87_thunk *)insn->thunk : x87_thunk_get(insn);
	if (!thunk)
		interp_emulation_error(cpu, insn);
	thunk(after, memory, &arith);
	raised = after->fsw & FSW_EXCEPTIONS;
	if (raised & ~f->fcw & FSW_PRE) {
		/* Not performed: only the flags (and C1 of a stack fault) change. */
		f->fsw = (f->fsw & ~0x200u) | (after->fsw & (0x40 | 0x200)) | raised;
	} else {
		if (store)
			store_bytes(cpu, insn, memory, bytes);
		f->fsw = (after->fsw & ~FSW_EXCEPTIONS) | (f->fsw & (FSW_EXCEPTIONS | 0x40)) |
			 (after->fsw & (FSW_EXCEPTIONS | 0x40));
		f->ftw = after->ftw;
		memcpy(f->st, after->st, sizeof(f->st));
		/* FCOMI and the like set ZF, PF, CF; FCMOV reads them: the rest came back as it was. */
		cpu->state.arith = arith;
	}
	summarize(f);
	f->fop = (insn->opcode & 7) << 8 | insn->modrm;
	f->fip = insn_ip(cpu, insn);
	if (is_memory)
		f->fdp = mem_offset(cpu, insn);
	NEXT(cpu, insn);
}

/* Register forms that do not exist, a bit for each ModRM from C0 on. */
static bool register_form_exists(uint8_t opcode, uint8_t modrm)
{
	switch (opcode) {
	case 0xd9:
		return !((modrm >= 0xd1 && modrm <= 0xdf) || modrm == 0xe2 || modrm == 0xe3 ||
			 modrm == 0xe6 || modrm == 0xe7 || modrm == 0xef) ||
		       (modrm >= 0xd8 && modrm <= 0xdf);
	case 0xda:
		return modrm < 0xe0 || modrm == 0xe9;
	case 0xdb:
		return modrm < 0xe0 || (modrm >= 0xe0 && modrm <= 0xe4) ||
		       (modrm >= 0xe8 && modrm <= 0xf7);
	case 0xdd:
		return modrm < 0xf0;
	case 0xde:
		return modrm < 0xd8 || modrm == 0xd9 || modrm >= 0xe0;
	case 0xdf:
		return modrm < 0xe1 || (modrm >= 0xe8 && modrm <= 0xf7);
	}
	return true;
}

insn_fn *x87_select(struct insn *insn)
{
	unsigned reg = insn->modrm >> 3 & 7;

	if (insn->opcode == 0x9b)
		return op_fwait;
	if (insn->flags & INSN_MEM) {
		switch (insn->opcode) {
		case 0xd9:
			if (reg == 0 || reg == 2 || reg == 3)
				break;
			return reg == 1 ? NULL : reg == 4 ? op_fldenv : reg == 5 ? op_fldcw :
			       reg == 6 ? op_fnstenv : op_fnstcw;
		case 0xdb:
			if (reg == 4 || reg == 6)
				return NULL;
			break;
		case 0xdd:
			if (reg < 4)
				break;
			return reg == 5 ? NULL : reg == 4 ? op_frstor : reg == 6 ? op_fnsave :
			       op_fnstsw;
		}
		insn->thunk = (void *)x87_thunk_get(insn);
		return op_x87;
	}
	if (!register_form_exists(insn->opcode, insn->modrm))
		return NULL;
	if (insn->opcode == 0xdb) {
		switch (insn->modrm) {
		case 0xe0:
		case 0xe1:
		case 0xe4:
			return op_fnop_control; /* FNENI, FNDISI, FNSETPM: nothing since the 387 */
		case 0xe2:
			return op_fnclex;
		case 0xe3:
			return op_fninit;
		}
	}
	if (insn->opcode == 0xdf && insn->modrm == 0xe0)
		return op_fnstsw;
	insn->thunk = (void *)x87_thunk_get(insn);
	return op_x87;
}
