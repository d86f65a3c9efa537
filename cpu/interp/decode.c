// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The decoder: prefixes, then a row of an opcode table, then what the row says that follows.
 *
 * Source: Intel SDM volume 2, chapter 2 (instruction format) and appendix A.
 */
#include <string.h>

#include "cpu/interp/opcodes.h"

#define INSN_BYTES_MAX 15

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

enum decode_status { DECODE_OK, DECODE_TRUNCATED, DECODE_TOO_LONG };

struct decoder {
	const struct decode_mode *mode;
	const uint8_t *bytes;
	unsigned available, position;
	enum decode_status status; /* of the first fetch that failed */
	struct insn *insn;
	uint8_t rex;               /* W, R, X, B of REX, VEX or EVEX */
	uint8_t reg_high, rm_high; /* EVEX: 16 for registers 16..31 */
	uint8_t repeat;            /* the last of F2 and F3, or 0 */
	int segment;               /* overriding, or -1 */
	bool address_prefix;
	bool has_modrm;
	bool undefined;
};

/* ---- bytes ---- */

/* Little-endian value of @bytes bytes; 0 after a failure, which @status remembers. */
static uint64_t fetch(struct decoder *d, unsigned bytes)
{
	uint64_t value = 0;

	if (d->status != DECODE_OK)
		return 0;
	if (d->position + bytes > INSN_BYTES_MAX) {
		d->status = DECODE_TOO_LONG;
		return 0;
	}
	if (d->position + bytes > d->available) {
		d->status = DECODE_TRUNCATED;
		return 0;
	}
	memcpy(&value, d->bytes + d->position, bytes);
	d->position += bytes;
	return value;
}

static int64_t fetch_signed(struct decoder *d, unsigned bytes)
{
	unsigned shift = 64 - 8 * bytes;

	return (int64_t)(fetch(d, bytes) << shift) >> shift;
}

/* The byte that comes next, left there. */
static uint8_t peek(struct decoder *d)
{
	uint8_t byte = (uint8_t)fetch(d, 1);

	if (d->status == DECODE_OK)
		d->position--;
	return byte;
}

static void fetch_modrm(struct decoder *d)
{
	if (!d->has_modrm) {
		d->insn->modrm = (uint8_t)fetch(d, 1);
		d->has_modrm = true;
	}
}

/* ---- prefixes ---- */

/* Returns the first byte that is no prefix. */
static uint8_t decode_prefixes(struct decoder *d)
{
	struct insn *insn = d->insn;

	for (;;) {
		uint8_t byte = (uint8_t)fetch(d, 1);

		if (d->status != DECODE_OK)
			return 0;
		if (d->mode->code == 8 && (byte & 0xf0) == 0x40) {
			d->rex = byte & 0xf;
			insn->flags |= INSN_REX;
			continue;
		}
		switch (byte) {
		case 0x26: case 0x2e: case 0x36: case 0x3e:
			if (d->mode->code != 8)
				d->segment = byte >> 3 & 3;
			break;
		case 0x64: case 0x65:
			d->segment = byte - 0x64 + SEG_FS;
			break;
		case 0x66:
			insn->flags |= INSN_OPSIZE;
			break;
		case 0x67:
			d->address_prefix = true;
			break;
		case 0xf0:
			insn->flags |= INSN_LOCK;
			break;
		case 0xf2: case 0xf3:
			if (d->repeat == (byte ^ 1))
				insn->flags |= INSN_REPEATS;
			d->repeat = byte;
			break;
		default:
			return byte;
		}
		/* A REX that is not the last prefix means nothing. */
		d->rex = 0;
		insn->flags &= ~INSN_REX;
	}
}

static uint8_t mandatory_prefix(unsigned pp)
{
	static const uint8_t prefix[4] = { 0, 0x66, 0xf3, 0xf2 };

	return prefix[pp & 3];
}

/* In 16- and 32-bit code C4, C5, 62 are VEX and EVEX where LES, LDS, BOUND would have mod 3. */
static bool is_vex(struct decoder *d, uint8_t byte)
{
	if (byte != 0xc4 && byte != 0xc5 && byte != 0x62)
		return false;
	return d->mode->code == 8 || (d->mode->protected_mode && peek(d) >= 0xc0);
}

static const struct opcode *vex_table(unsigned map)
{
	static const struct opcode *const table[4] = {
		NULL, opcodes_vex_0f, opcodes_vex_0f38, opcodes_vex_0f3a,
	};

	return map < 4 ? table[map] : NULL;
}

static void decode_vex(struct decoder *d, uint8_t byte)
{
	struct insn *insn = d->insn;
	uint8_t first = (uint8_t)fetch(d, 1), last = first;

	insn->map = 1;
	d->rex = first & 0x80 ? 0 : REX_R;
	if (byte == 0xc4) {
		last = (uint8_t)fetch(d, 1);
		insn->map = first & 0x1f;
		d->rex = (~first >> 5 & 7) | (last & 0x80 ? REX_W : 0);
	}
	insn->vvvv = ~last >> 3 & 0xf;
	insn->vector = last >> 2 & 1;
	insn->prefix = mandatory_prefix(last);
}

static void decode_evex(struct decoder *d)
{
	struct insn *insn = d->insn;
	uint8_t p0 = (uint8_t)fetch(d, 1), p1 = (uint8_t)fetch(d, 1), p2 = (uint8_t)fetch(d, 1);

	insn->flags |= INSN_EVEX;
	insn->map = p0 & 7;
	insn->evex = p2;
	insn->prefix = mandatory_prefix(p1);
	insn->vvvv = (~p1 >> 3 & 0xf) | (p2 & 8 ? 0 : 16);
	insn->vector = p2 >> 5 & 3;
	d->rex = (~p0 >> 5 & 7) | (p1 & 0x80 ? REX_W : 0);
	d->reg_high = p0 & 0x10 ? 0 : 16;
	d->rm_high = p0 & 0x40 ? 0 : 16;
	if (p0 & 8 || !(p1 & 4))
		d->undefined = true;
}

/* Returns the table row of the opcode, or NULL: undefined. */
static const struct opcode *decode_vex_opcode(struct decoder *d, uint8_t byte)
{
	/* Maps 5 and 6 have no immediates. */
	static const struct opcode evex_row = {
		.select = simd_select, .operand = OPERAND_MODRM, .flags = ROW_VECTOR,
	};
	struct insn *insn = d->insn;
	const struct opcode *table;

	if (insn->flags & (INSN_OPSIZE | INSN_LOCK | INSN_REX) || d->repeat)
		d->undefined = true;
	insn->flags |= INSN_VEX;
	if (byte == 0x62)
		decode_evex(d);
	else
		decode_vex(d, byte);
	if (d->mode->code != 8) {
		d->rex &= REX_W;
		d->reg_high = d->rm_high = 0;
		insn->vvvv &= 7;
	}
	if (d->rex & REX_W)
		insn->flags |= INSN_REXW;
	insn->opcode = (uint8_t)fetch(d, 1);
	table = vex_table(insn->map);
	if (table)
		return &table[insn->opcode];
	return byte == 0x62 && (insn->map == 5 || insn->map == 6) ? &evex_row : NULL;
}

/* ---- opcode ---- */

static const struct opcode *decode_legacy_opcode(struct decoder *d, uint8_t byte)
{
	struct insn *insn = d->insn;

	insn->opcode = byte;
	if (byte != 0x0f)
		return &opcodes_1byte[byte];
	insn->map = 1;
	insn->opcode = (uint8_t)fetch(d, 1);
	if (insn->opcode != 0x38 && insn->opcode != 0x3a)
		return &opcodes_0f[insn->opcode];
	insn->map = insn->opcode == 0x38 ? 2 : 3;
	insn->opcode = (uint8_t)fetch(d, 1);
	return insn->map == 2 ? &opcodes_0f38[insn->opcode] : &opcodes_0f3a[insn->opcode];
}

static unsigned prefix_index(uint8_t prefix)
{
	return prefix == 0x66 ? 1 : prefix == 0xf3 ? 2 : prefix == 0xf2 ? 3 : 0;
}

static bool row_allowed(const struct decoder *d, const struct opcode *row)
{
	const bool code64 = d->mode->code == 8;

	if ((row->flags & ROW_NO64 && code64) || (row->flags & ROW_ONLY64 && !code64))
		return false;
	if (row->flags & ROW_PROTECTED && !d->mode->protected_mode)
		return false;
	if (row->flags & ROW_VEX_GPR && (d->insn->vector || d->insn->flags & INSN_EVEX))
		return false;
	return !(row->flags & ROW_VEX_V0) || d->insn->vvvv == 0;
}

/* Follows the choices of @row to the row of the instruction. */
static const struct opcode *choose(struct decoder *d, const struct opcode *row)
{
	struct insn *insn = d->insn;

	while (row_allowed(d, row) && row->choice != CHOOSE_NONE) {
		switch (row->choice) {
		case CHOOSE_PREFIX:
			row = &row->rows[prefix_index(insn->prefix)];
			continue;
		case CHOOSE_MODE:
			row = &row->rows[d->mode->code == 8];
			continue;
		}
		fetch_modrm(d);
		switch (row->choice) {
		case CHOOSE_REG:
			row = &row->rows[insn->modrm >> 3 & 7];
			break;
		case CHOOSE_RM:
			row = &row->rows[insn->modrm & 7];
			break;
		case CHOOSE_MOD:
			row = &row->rows[insn->modrm >= 0xc0];
			break;
		}
	}
	return row_allowed(d, row) ? row : NULL;
}

/* ---- operands ---- */

static uint8_t operand_size(const struct decoder *d, const struct opcode *row)
{
	const bool code64 = d->mode->code == 8, wide = d->rex & REX_W && code64;
	const bool narrow = (d->mode->code == 2) != !!(d->insn->flags & INSN_OPSIZE);

	if (row->flags & ROW_VECTOR)
		return wide ? 8 : 4;
	switch (row->size) {
	case SIZE_B:
		return 1;
	case SIZE_W:
		return 2;
	case SIZE_D:
		return 4;
	case SIZE_Y:
		return wide ? 8 : 4;
	case SIZE_NATURAL:
		return code64 ? 8 : 4;
	case SIZE_NEAR:
		return code64 ? 8 : narrow ? 2 : 4;
	case SIZE_STACK:
		return code64 && (wide || !narrow) ? 8 : narrow ? 2 : 4;
	case SIZE_Z:
		return narrow && !wide ? 2 : 4;
	default:
		return wide ? 8 : narrow ? 2 : 4;
	}
}

/* Byte offset of general register @number: without REX byte registers 4..7 are AH, CH, DH, BH. */
static uint8_t register_offset(const struct insn *insn, unsigned number, bool byte)
{
	if (byte && number >= 4 && number < 8 && !(insn->flags & INSN_REX))
		return (uint8_t)((number - 4) * sizeof(uint64_t) + 1);
	return (uint8_t)((number & 15) * sizeof(uint64_t));
}

static void use_segment(struct decoder *d, unsigned by_default)
{
	struct insn *insn = d->insn;
	unsigned seg = d->segment >= 0 ? (unsigned)d->segment : by_default;

	if (seg == SEG_SS)
		insn->flags |= INSN_STACK_SEG;
	insn->seg = d->mode->code == 8 && seg < SEG_FS ? SEG_FLAT : seg;
}

static void decode_address16(struct decoder *d, unsigned mod, unsigned rm)
{
	static const uint8_t base[8] = {
		GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX,
	};
	static const uint8_t index[8] = {
		GPR_RSI, GPR_RDI, GPR_RSI, GPR_RDI, GPR_ZERO, GPR_ZERO, GPR_ZERO, GPR_ZERO,
	};
	struct insn *insn = d->insn;

	insn->base = base[rm];
	insn->index = index[rm];
	if (mod == 0 && rm == 6) {
		insn->base = GPR_ZERO;
		mod = 2;
	}
	if (mod)
		insn->disp = fetch_signed(d, mod);
	use_segment(d, insn->base == GPR_RBP ? SEG_SS : SEG_DS);
}

static void decode_address(struct decoder *d, unsigned mod, unsigned rm)
{
	struct insn *insn = d->insn;

	if (rm == 4) {
		uint8_t sib = (uint8_t)fetch(d, 1);

		rm = sib & 7;
		insn->scale = sib >> 6;
		insn->index = (sib >> 3 & 7) | (d->rex & REX_X ? 8 : 0);
		if (insn->index == 4)
			insn->index = GPR_ZERO;
	} else if (mod == 0 && rm == 5 && d->mode->code == 8) {
		insn->base = GPR_BLOCK;
		insn->disp = fetch_signed(d, 4);
		use_segment(d, SEG_DS);
		return;
	}
	insn->base = rm | (d->rex & REX_B ? 8 : 0);
	if (mod == 0 && rm == 5) {
		insn->base = GPR_ZERO;
		insn->disp = fetch_signed(d, 4);
	} else if (mod) {
		insn->disp = fetch_signed(d, mod == 1 ? 1 : 4);
	}
	use_segment(d, insn->base == GPR_RBP || insn->base == GPR_RSP ? SEG_SS : SEG_DS);
}

static void decode_modrm(struct decoder *d, const struct opcode *row)
{
	struct insn *insn = d->insn;
	const bool byte = row->size == SIZE_B && !(row->flags & ROW_VECTOR);
	unsigned mod, rm;

	fetch_modrm(d);
	mod = insn->modrm >> 6;
	rm = insn->modrm & 7;
	insn->reg_number = (insn->modrm >> 3 & 7) | (d->rex & REX_R ? 8 : 0) | d->reg_high;
	insn->reg = register_offset(insn, insn->reg_number, byte);
	if (mod == 3 || row->operand == OPERAND_CONTROL) {
		insn->rm_number = rm | (d->rex & REX_B ? 8 : 0) | d->rm_high;
		insn->rm = register_offset(insn, insn->rm_number, byte || row->flags & ROW_RM8);
		if (row->operand == OPERAND_MODRM_MEM)
			d->undefined = true;
		return;
	}
	insn->flags |= INSN_MEM;
	if (row->operand == OPERAND_MODRM_REG)
		d->undefined = true;
	if (insn->address == 2)
		decode_address16(d, mod, rm);
	else
		decode_address(d, mod, rm);
}

static void decode_operands(struct decoder *d, const struct opcode *row)
{
	struct insn *insn = d->insn;

	switch (row->operand) {
	case OPERAND_NONE:
	case OPERAND_STRING:
		break;
	case OPERAND_OPCODE:
		insn->rm_number = (insn->opcode & 7) | (d->rex & REX_B ? 8 : 0);
		insn->rm = register_offset(insn, insn->rm_number, row->size == SIZE_B);
		break;
	case OPERAND_MOFFS:
		insn->flags |= INSN_MEM;
		insn->disp = (int64_t)fetch(d, insn->address);
		break;
	default:
		decode_modrm(d, row);
	}
}

static void decode_immediate(struct decoder *d, const struct opcode *row)
{
	struct insn *insn = d->insn;
	const unsigned word = insn->opsize == 2 ? 2 : 4;

	switch (row->immediate) {
	case IMM_NONE:
		insn->imm = (uint64_t)row->constant;
		break;
	case IMM_S8:
		insn->imm = (uint64_t)fetch_signed(d, 1);
		break;
	case IMM_U8:
		insn->imm = fetch(d, 1);
		break;
	case IMM_16:
		insn->imm = fetch(d, 2);
		break;
	case IMM_Z:
		insn->imm = (uint64_t)fetch_signed(d, word);
		break;
	case IMM_V:
		insn->imm = (uint64_t)fetch_signed(d, insn->opsize);
		break;
	case IMM_ENTER:
		insn->imm = fetch(d, 3);
		break;
	case IMM_FAR:
		insn->imm = fetch(d, word);
		insn->imm |= fetch(d, 2) << 32;
		break;
	case IMM_REL8:
		insn->imm = (uint64_t)fetch_signed(d, 1);
		insn->imm += d->position + insn->offset;
		break;
	case IMM_RELZ:
		insn->imm = (uint64_t)fetch_signed(d, word);
		insn->imm += d->position + insn->offset;
		break;
	}
}

/* ---- handler ---- */

static insn_fn *select_handler(struct decoder *d, const struct opcode *row)
{
	struct insn *insn = d->insn;
	const bool lock = insn->flags & INSN_LOCK;
	const struct handlers *handlers = row->handlers;
	const unsigned size = __builtin_ctz(insn->opsize);

	if (!handlers) {
		if (lock)
			return NULL;
		return row->select ? row->select(insn) : row->fn;
	}
	if (row->repeated && d->repeat) {
		handlers = row->repeated;
		insn->flags |= INSN_END;
	}
	if (lock)
		return insn->flags & INSN_MEM ? handlers->lock[size] : NULL;
	return insn->flags & INSN_MEM ? handlers->mem[size] : handlers->reg[size];
}

static void decode_row(struct decoder *d, const struct opcode *row)
{
	struct insn *insn = d->insn;

	insn->opsize = operand_size(d, row);
	decode_operands(d, row);
	decode_immediate(d, row);
	if (d->status != DECODE_OK)
		return;
	if (insn->base == GPR_BLOCK)
		insn->disp += d->position + insn->offset;
	if (row->flags & ROW_STACK)
		insn->flags |= insn->flags & INSN_MEM ? INSN_STACK : INSN_STACK_SEG;
	/* Even a flat CS cannot be written. */
	if ((d->mode->check || insn->seg == SEG_CS) && (insn->flags & INSN_MEM || row->flags & ROW_STACK ||
			       row->operand == OPERAND_STRING))
		insn->flags |= INSN_CHECK;
	if (row->flags & ROW_END)
		insn->flags |= INSN_END;
	if (!d->undefined)
		insn->fn = select_handler(d, row);
}

static void decode_instruction(struct decoder *d)
{
	const struct opcode *row;
	struct insn *insn = d->insn;
	uint8_t byte = decode_prefixes(d);
	const bool vex = is_vex(d, byte);
	uint8_t size;

	size = d->mode->code;
	if (d->address_prefix)
		size = size == 4 ? 2 : 4;
	insn->address = size;
	insn->amask = size == 8 ? ~0ull : size == 4 ? 0xffffffff : 0xffff;
	use_segment(d, SEG_DS);
	if (d->repeat)
		insn->flags |= d->repeat == 0xf3 ? INSN_REP : INSN_REPNE;
	if (vex) {
		row = decode_vex_opcode(d, byte);
	} else {
		if (d->rex & REX_W)
			insn->flags |= INSN_REXW;
		insn->prefix = d->repeat ? d->repeat : insn->flags & INSN_OPSIZE ? 0x66 : 0;
		row = decode_legacy_opcode(d, byte);
	}
	if (d->status == DECODE_OK && row)
		row = choose(d, row);
	if (d->status == DECODE_OK && row)
		decode_row(d, row);
}

int decode(const struct decode_mode *mode, const uint8_t *bytes, unsigned available,
	   unsigned offset, struct insn *insn)
{
	struct decoder d = {
		.mode = mode, .bytes = bytes, .available = available, .insn = insn, .segment = -1,
	};

	memset(insn, 0, sizeof(*insn));
	insn->offset = (uint16_t)offset;
	insn->code = mode->code;
	insn->stack = mode->stack;
	insn->base = insn->index = GPR_ZERO;
	insn->opsize = 4;
	decode_instruction(&d);
	if (d.status == DECODE_TRUNCATED)
		return DECODE_MORE;
	insn->length = (uint8_t)d.position;
	if (d.status == DECODE_TOO_LONG) {
		insn->fn = op_too_long;
		insn->flags |= INSN_END;
		insn->length = INSN_BYTES_MAX;
	} else if (!insn->fn) {
		insn->fn = op_ud;
		insn->flags |= INSN_END;
	}
	return insn->length;
}
