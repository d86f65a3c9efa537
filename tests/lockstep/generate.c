// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One instruction that means something: memory operands mostly hit the data pages, and no flag is
 * read that is undefined.
 *
 * An encoding is a random choice of prefixes, opcode and operands that the project's decoder
 * accepts; what it does is looked up, not known.
 */
#include <string.h>

#include "cpu/interp/opcodes.h"
#include "cpu/unicorn/flag_effect.h"
#include "cpu/unicorn/unicorn.h"
#include "generate.h"

/* An opcode, with ModRM.reg where that belongs to it. */
struct opcode_choice {
	uint8_t map, opcode;
	int8_t reg; /* -1: any */
	bool often; /* Unicorn executes it in some form */
};

static const struct guest_code all_code = {
	.supervisor = true, .vectors = true, .bmi1 = true, .lzcnt = true, .bits = true
};
static struct opcode_choice choices[3 * 256 * 8];
static unsigned choice_count, often_count; /* the frequent ones come first */

/* ---- random numbers ---- */

uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

unsigned below(struct generator *g, unsigned limit)
{
	return (random_next(&g->random) >> 32) * limit >> 32;
}

bool one_in(struct generator *g, unsigned n)
{
	return !below(g, n);
}

/* At the edges of every operand size, small, or any. */
uint64_t any_value(struct generator *g)
{
	static const uint64_t edges[] = {
		0,
		1,
		2,
		7,
		8,
		0xf,
		0x10,
		0x1f,
		0x20,
		0x3f,
		0x40,
		0x7f,
		0x80,
		0xff,
		0x100,
		0x7fff,
		0x8000,
		0xffff,
		0x10000,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x100000000,
		0x7fffffffffffffff,
		0x8000000000000000,
		0xffffffffffffff80,
		0xffffffffffff8000,
		0xffffffff80000000,
		0xffffffffffffffff,
	};

	switch (below(g, 4)) {
	case 0:
		return random_next(&g->random);
	case 1:
		return random_next(&g->random) >> below(g, 64);
	default:
		return edges[below(g, sizeof(edges) / sizeof(edges[0]))];
	}
}

/* An offset in the data pages: mostly plain, often at an edge of a page, sometimes forbidden. */
uint32_t any_target(struct generator *g)
{
	switch (below(g, 16)) {
	case 0:
		return PAGE * (1 + below(g, 2)) - below(g, 10);
	case 1:
		return one_in(g, 3) ? PAGE * (1 + below(g, DATA_PAGES - 1)) - below(g, 10) :
				      below(g, 3 * PAGE);
	case 2:
		return one_in(g, 3) ? PAGE * below(g, DATA_PAGES) + below(g, PAGE) :
				      below(g, 3 * PAGE);
	default:
		return below(g, 3 * PAGE);
	}
}

/* ---- the choice of opcodes ---- */

/* Changes what the machine is made of, asks a clock, or ends the run. */
static bool forbidden(unsigned map, unsigned opcode, unsigned reg)
{
	if (map == 0)
		return opcode == 0xf4 || /* HLT */
		       opcode == 0x9a || opcode == 0xea || opcode == 0xca || opcode == 0xcb ||
		       opcode == 0xcf || (opcode == 0xff && (reg == 3 || reg == 5));
	if (map != 1)
		return false;
	return opcode <= 0x01 || (opcode >= 0x05 && opcode <= 0x09) ||
	       (opcode >= 0x20 && opcode <= 0x26) || (opcode >= 0x30 && opcode <= 0x37) ||
	       opcode == 0xa2 || opcode == 0xae || /* CPUID; XSAVE and the like */
	       (opcode == 0xc7 && reg != 1);       /* RDRAND ... */
}

static bool decodes(const struct decode_mode *mode, const uint8_t *bytes, struct insn *insn)
{
	int length = decode(mode, bytes, 15, 0, insn);

	return length > 0 && insn->fn != op_ud && insn->fn != op_too_long;
}

/* Does the opcode exist, and does Unicorn execute it, in one of a few forms? */
static void consider(unsigned map, unsigned opcode, int reg, bool *exists, bool *often)
{
	static const struct decode_mode modes[] = {
		{ .code = 8, .stack = 8, .protected_mode = true },
		{ .code = 4, .stack = 4, .protected_mode = true },
	};
	static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };

	for (unsigned i = 0; i < 2 * 4 * 2; i++) {
		uint8_t bytes[15] = { 0 }, *p = bytes;
		struct insn insn;

		if (prefixes[i >> 1 & 3])
			*p++ = prefixes[i >> 1 & 3];
		if (map)
			*p++ = 0x0f;
		if (map == 2)
			*p++ = 0x38;
		*p++ = opcode;
		*p = (i & 8 ? 0xc0 : 0x00) | (reg < 0 ? 0 : reg << 3);
		if (!decodes(&modes[i & 1], bytes, &insn) || insn.map != map ||
		    insn.opcode != opcode)
			continue;
		*exists = true;
		*often |= unicorn_executes(&insn, 0, &all_code);
	}
}

static bool has_groups(unsigned map, unsigned opcode)
{
	if (map == 0)
		return (opcode >= 0x80 && opcode <= 0x83) || opcode == 0xc0 || opcode == 0xc1 ||
		       (opcode >= 0xd0 && opcode <= 0xd3) || opcode == 0xc6 || opcode == 0xc7 ||
		       opcode == 0x8f || opcode == 0xf6 || opcode == 0xf7 || opcode >= 0xfe;
	return map == 1 && (opcode == 0xba || opcode == 0xc7 || opcode == 0x18);
}

static bool is_prefix(unsigned opcode)
{
	return opcode == 0x26 || opcode == 0x2e || opcode == 0x36 || opcode == 0x3e ||
	       (opcode >= 0x64 && opcode <= 0x67) || opcode == 0xf0 || opcode == 0xf2 ||
	       opcode == 0xf3 || opcode == 0x0f;
}

void generate_init(void)
{
	static struct opcode_choice seldom[3 * 256 * 8];
	unsigned seldom_count = 0;

	for (unsigned map = 0; map < 3; map++) {
		for (unsigned opcode = 0; opcode < 256; opcode++) {
			const bool groups = has_groups(map, opcode);

			if (map == 0 && is_prefix(opcode))
				continue;
			for (int reg = groups ? 0 : -1; reg < (groups ? 8 : 0); reg++) {
				struct opcode_choice choice = { map, opcode, reg, false };
				bool exists = false;

				consider(map, opcode, reg, &exists, &choice.often);
				if (!exists || forbidden(map, opcode, reg))
					continue;
				if (choice.often)
					choices[often_count++] = choice;
				else
					seldom[seldom_count++] = choice;
			}
		}
	}
	memcpy(choices + often_count, seldom, seldom_count * sizeof(*seldom));
	choice_count = often_count + seldom_count;
}

/* ---- what an instruction does to registers ---- */

/* Registers that it may write, or more. */
static unsigned writes(const struct insn *insn)
{
	const unsigned rax_rdx = BIT(GPR_RAX) | BIT(GPR_RDX), op = insn->opcode;
	/* By number, both as a word register and as AH ... BH. */
	unsigned mask = BIT(insn->reg_number) | BIT(insn->reg_number & 3) |
			BIT(insn->modrm >> 3 & 7);

	if (!(insn->flags & INSN_MEM))
		mask |= BIT(insn->rm_number) | BIT(insn->rm_number & 3);
	if (insn->flags & INSN_VEX || insn->map == 2)
		return mask | BIT(insn->vvvv & 15) | BIT(GPR_RDX);
	if (insn->map == 1)
		return op == 0xb0 || op == 0xb1 || op == 0xc7 ? mask | rax_rdx : mask;
	if ((op < 0x40 && (op & 7) >= 4) || (op >= 0x91 && op <= 0x99) || op == 0x9f ||
	    op == 0xa0 || op == 0xa1 || (op >= 0xd4 && op <= 0xd7) || op == 0xf6 || op == 0xf7 ||
	    (op >= 0xe4 && op <= 0xed))
		mask |= rax_rdx;
	if ((op >= 0xa4 && op <= 0xaf) || (op >= 0x6c && op <= 0x6f))
		mask |= BIT(GPR_RAX) | BIT(GPR_RSI) | BIT(GPR_RDI) | BIT(GPR_RCX);
	if (op >= 0xe0 && op <= 0xe3)
		mask |= BIT(GPR_RCX);
	if (op == 0x61)
		mask = ALL_REGISTERS & ~BIT(GPR_RSP);
	if (op == 0xc8 || op == 0xc9)
		mask |= BIT(GPR_RBP);
	return mask;
}

/* ---- emitting ---- */

void emit(struct generator *g, const void *bytes, unsigned count)
{
	struct sequence *s = g->sequence;

	s->insn[s->insns].offset = g->at;
	s->insn[s->insns].undefined = g->undefined;
	s->insns++;
	memcpy(g->code + g->at, bytes, count);
	g->at += count;
}

bool room(const struct generator *g)
{
	return g->sequence->insns + 8 < INSNS_MAX && g->at + 128 < SEQUENCE_BYTES_MAX;
}

/* mov reg32, value */
void emit_load(struct generator *g, unsigned reg, uint32_t value)
{
	uint8_t bytes[6], *p = bytes;

	if (reg & 8)
		*p++ = 0x41;
	*p++ = 0xb8 | (reg & 7);
	memcpy(p, &value, 4);
	emit(g, bytes, p + 4 - bytes);
	g->written |= BIT(reg);
	g->known |= BIT(reg);
	g->value[reg] = value;
}

static unsigned registers(const struct generator *g)
{
	return mode_is_64(g->mode) ? 16 : 8;
}

/* A register with a known value that is @pointer or small; loads one if there is none. */
static unsigned known_register(struct generator *g, bool pointer)
{
	unsigned first = below(g, registers(g));

	for (unsigned i = 0; i < registers(g); i++) {
		unsigned reg = (first + i) % registers(g);
		bool points = g->value[reg] - DATA_LINEAR < DATA_PAGES * PAGE;

		if (g->known & BIT(reg) && points == pointer &&
		    (pointer || g->value[reg] < 0x1000) && (pointer || reg != GPR_RSP))
			return reg;
	}
	do {
		first = below(g, registers(g));
	} while (first == GPR_RSP);
	emit_load(g, first, pointer ? DATA_LINEAR + below(g, 3 * PAGE) : below(g, 64));
	return first;
}

/* ---- memory operands ---- */

struct modrm {
	uint8_t bytes[7]; /* ModRM, SIB, displacement */
	unsigned count;
	bool relative;   /* the displacement is the target, to become RIP-relative */
	uint32_t target; /* linear */
};

static void add_displacement(struct modrm *o, uint32_t value, bool byte)
{
	memcpy(o->bytes + o->count, &value, 4);
	o->count += byte ? 1 : 4;
}

/* rm = 100b: base + index << scale + displacement. */
static void sib_operand(struct generator *g, struct modrm *o, uint8_t *rex, unsigned base,
			unsigned index)
{
	unsigned scale = below(g, 4);
	uint64_t have = g->value[base] + (index == GPR_RSP ? 0 : g->value[index] << scale);
	int64_t displacement = (int64_t)(o->target - have);
	bool byte = displacement == (int8_t)displacement;

	if (displacement != (int32_t)displacement) {
		index = GPR_RSP;
		displacement = (int64_t)(o->target - g->value[base]);
		byte = false;
	}
	o->bytes[0] |= (byte ? 0x40 : 0x80) | 4;
	o->bytes[1] = scale << 6 | (index & 7) << 3 | (base & 7);
	o->count = 2;
	*rex |= base >> 3 | (index >> 3) << 1;
	add_displacement(o, (uint32_t)displacement, byte);
}

static void base_operand(struct generator *g, struct modrm *o, uint8_t *rex, unsigned base)
{
	int64_t displacement = (int64_t)(o->target - g->value[base]);
	bool byte = displacement == (int8_t)displacement;

	if ((base & 7) == GPR_RSP || displacement != (int32_t)displacement) {
		sib_operand(g, o, rex, base, GPR_RSP);
		return;
	}
	o->bytes[0] |= (base & 7) | (byte ? 0x40 : displacement ? 0x80 : 0);
	/* mod 0 with rm 5 is no register. */
	if (!displacement && (base & 7) == GPR_RBP)
		o->bytes[0] |= 0x40;
	o->count = 1;
	*rex |= base >> 3;
	if (displacement || (base & 7) == GPR_RBP)
		add_displacement(o, (uint32_t)displacement, byte);
}

/* Loads registers as it needs them, so before the instruction's own bytes. */
static void memory_operand(struct generator *g, struct modrm *o, uint8_t *rex, bool aligned)
{
	unsigned base;

	o->target = DATA_LINEAR + any_target(g);
	if (aligned)
		o->target &= ~15u;
	o->relative = false;
	switch (below(g, 8)) {
	case 0: /* disp32: relative to RIP in 64-bit code */
		o->bytes[0] |= 5;
		o->count = 1;
		o->relative = mode_is_64(g->mode);
		add_displacement(o, o->target, false);
		return;
	case 1: /* disp32 without a base */
		o->bytes[0] |= 4;
		o->bytes[1] = 0x25;
		o->count = 2;
		add_displacement(o, o->target, false);
		return;
	case 2:
	case 3:
		base = known_register(g, true);
		sib_operand(g, o, rex, base, known_register(g, false));
		return;
	default:
		/* What known_register() loads may be what it found before. */
		base_operand(g, o, rex, known_register(g, true));
	}
}

/* ---- one instruction ---- */

struct encoding {
	uint8_t bytes[40];
	unsigned count;
};

static void add(struct encoding *e, const void *bytes, unsigned count)
{
	memcpy(e->bytes + e->count, bytes, count);
	e->count += count;
}

static void add_byte(struct encoding *e, uint8_t byte)
{
	e->bytes[e->count++] = byte;
}

static bool is_vector(const struct opcode_choice *c)
{
	return c->map == 1 && ((c->opcode >= 0x10 && c->opcode <= 0x17) ||
			       (c->opcode >= 0x28 && c->opcode <= 0x2f) ||
			       (c->opcode >= 0x50 && c->opcode <= 0x7f) || c->opcode == 0xc2 ||
			       (c->opcode >= 0xc4 && c->opcode <= 0xc6) || c->opcode >= 0xd0);
}

static bool is_string(const struct opcode_choice *c)
{
	return c->map == 0 && ((c->opcode >= 0xa4 && c->opcode <= 0xa7) ||
			       (c->opcode >= 0xaa && c->opcode <= 0xaf) ||
			       (c->opcode >= 0x6c && c->opcode <= 0x6f));
}

/* A register that an instruction needs to point somewhere. */
static void point(struct generator *g, unsigned reg)
{
	if (!(g->known & BIT(reg)) || g->value[reg] - DATA_LINEAR >= 3 * PAGE)
		emit_load(g, reg, DATA_LINEAR + any_target(g));
}

/* What must be true before; emits instructions of its own. */
static void prepare(struct generator *g, const struct opcode_choice *c, bool repeat)
{
	if (is_string(c)) {
		point(g, GPR_RSI);
		point(g, GPR_RDI);
		if (repeat)
			emit_load(g, GPR_RCX, below(g, 20));
	}
	if (c->map == 0 && c->opcode == 0xd7)
		point(g, GPR_RBX);
	if (c->map == 0 && c->opcode == 0xc9)
		point(g, GPR_RBP);
	if (c->map == 0 && c->opcode >= 0xe0 && c->opcode <= 0xe3 && one_in(g, 2))
		emit_load(g, GPR_RCX, below(g, 3));
	/* Somebody wrote RSP. */
	if (!(g->known & BIT(GPR_RSP)) && !one_in(g, 4))
		emit_load(g, GPR_RSP, DATA_LINEAR + PAGE + below(g, PAGE));
	/* Shift counts and bit numbers that are not always far out. */
	if (!(g->known & BIT(GPR_RCX)) && one_in(g, 4))
		emit_load(g, GPR_RCX, below(g, 70));
	/* Division that does not always overflow. */
	if (c->map == 0 && (c->opcode == 0xf6 || c->opcode == 0xf7) && c->reg >= 6 &&
	    !one_in(g, 4)) {
		static const uint8_t zero_rdx[] = { 0x31, 0xd2 };

		emit_load(g, GPR_RAX, below(g, 1 << 16));
		if (one_in(g, 2)) {
			emit(g, zero_rdx, 2);
			g->undefined = RFLAGS_AF;
		}
		g->known &= ~(BIT(GPR_RAX) | BIT(GPR_RDX));
	}
}

static void add_prefixes(struct generator *g, struct encoding *e, const struct opcode_choice *c,
			 bool memory, uint8_t repeat)
{
	static const uint8_t segments[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x65 };

	if (one_in(g, is_vector(c) ? 2 : 6))
		add_byte(e, 0x66);
	if (memory && one_in(g, 20))
		add_byte(e, 0x67);
	if (one_in(g, 16))
		add_byte(e, segments[below(g, sizeof(segments))]);
	if (memory && c->map < 2 && one_in(g, 40))
		add_byte(e, 0xf0);
	if (!repeat)
		return;
	/* The last one counts. */
	if (is_vector(c) && one_in(g, 8))
		add_byte(e, repeat ^ 1);
	add_byte(e, repeat);
}

/* The relative displacement of the operand whose bytes end at @end, now that the length is known. */
static void fix_relative(const struct generator *g, uint8_t *bytes, unsigned end, unsigned length)
{
	uint32_t value;

	memcpy(&value, bytes + end - 4, 4);
	value -= CODE_LINEAR + g->sequence->start + g->at + length;
	memcpy(bytes + end - 4, &value, 4);
}

static bool host_executes(const struct insn *insn)
{
	const unsigned op = insn->opcode;

	/* The vector registers are not the guest's; FS is this program's own. */
	if (insn->map >= 2 || insn->flags & INSN_VEX || insn->seg == SEG_FS ||
	    (insn->seg == SEG_GS && insn->code != 8))
		return false;
	/* The guest may be without these features, for which the prefix means nothing. */
	if (insn->map == 1 && (op == 0xb8 || op == 0xbc || op == 0xbd) && insn->prefix == 0xf3 &&
	    !machine_has_bits)
		return false;
	/* The result is undefined. */
	if (insn->map == 1 && (op == 0xbc || op == 0xbd) && insn->prefix != 0xf3 &&
	    insn->code == 8 && insn->opsize == 4)
		return false;
	if (insn->map == 1 && insn->opsize == 2 &&
	    (op == 0xa4 || op == 0xa5 || op == 0xac || op == 0xad || op >= 0xc8))
		return false;
	if (insn->map == 1)
		return op == 0x18 || op == 0x1f || (op >= 0x40 && op <= 0x4f) ||
		       (op >= 0x80 && op <= 0x9f) || (op >= 0xa3 && op <= 0xa5) ||
		       (op >= 0xab && op <= 0xad) || op == 0xaf || op == 0xb0 || op == 0xb1 ||
		       op == 0xb3 || (op >= 0xb6 && op <= 0xc1) || (op >= 0xc7 && op <= 0xcf);
	/* Segment registers, selectors, x87, what enters the kernel, flags that it minds. */
	return op != 0x06 && op != 0x07 && op != 0x0e && op != 0x16 && op != 0x17 && op != 0x1e &&
	       op != 0x1f && op != 0x8c && op != 0x8e && op != 0x9b && op != 0x9d && op != 0xc4 &&
	       op != 0xc5 && !(op >= 0xcc && op <= 0xce) && !(op >= 0xd8 && op <= 0xdf) &&
	       op != 0xf1 && !(op >= 0x6c && op <= 0x6f) && op != 0x63 &&
	       /* Makers differ: in flags that a fault in the middle leaves, and in these prefixes. */
	       !(op >= 0xa6 && op <= 0xaf && insn->flags & (INSN_REP | INSN_REPNE)) &&
	       !(insn->code == 8 && insn->flags & INSN_OPSIZE && insn->flags & INSN_END);
}

/* After @insn was emitted. */
static void account(struct generator *g, const struct insn *insn)
{
	const int count = g->known & BIT(GPR_RCX) ? (int)(g->value[GPR_RCX] & 0xff) : -1;
	const struct flag_effect effect = flag_effect(insn, count);

	g->undefined = (g->undefined & ~effect.defined) | effect.undefined;
	g->known &= ~writes(insn);
	g->written |= writes(insn);
	if (!host_executes(insn))
		g->sequence->native = false;
}

static bool is_jump(const struct opcode_choice *c)
{
	return (c->map == 0 && ((c->opcode >= 0x70 && c->opcode <= 0x7f) || c->opcode == 0xe8 ||
				c->opcode == 0xe9 || c->opcode == 0xeb ||
				(c->opcode >= 0xe0 && c->opcode <= 0xe3))) ||
	       (c->map == 1 && c->opcode >= 0x80 && c->opcode <= 0x8f);
}

/* Registers that the operand names by BT and its kind: bit numbers from far away hit nothing. */
static bool names_bits(const struct opcode_choice *c)
{
	return c->map == 1 &&
	       (c->opcode == 0xa3 || c->opcode == 0xab || c->opcode == 0xb3 || c->opcode == 0xbb);
}

/* The opcode behind VEX: of @rex its bits, of @map also others now and then, and any third register. */
static void add_vex(struct generator *g, struct encoding *e, uint8_t rex, uint8_t map)
{
	const uint8_t third = one_in(g, 2) ? 0 : below(g, 16);

	add_byte(e, 0xc4);
	add_byte(e, (~rex & 7) << 5 | map);
	add_byte(e, (rex & 8) << 4 | (~third & 15) << 3 | below(g, 8));
}

/* Encodes @c without regard to flags. False: this form does not exist. */
static bool encode(struct generator *g, const struct opcode_choice *c, struct encoding *e,
		   struct insn *insn)
{
	static const uint8_t repeats[] = { 0xf3, 0xf2 };
	const bool memory = below(g, 3) > 0, wide = mode_is_64(g->mode);
	uint8_t rex = 0, repeat = 0, reg = c->reg >= 0 ? (unsigned)c->reg : below(g, 8);
	struct modrm o = { .count = 1 };
	const bool vex = is_vector(c) && one_in(g, 4);
	const uint8_t map = vex && one_in(g, 3) ? 1 + below(g, 3) : c->map;
	unsigned operand_end;
	int length;

	e->count = 0;
	if (!vex && one_in(g, is_string(c) ? 2 : is_vector(c) ? 3 : 24))
		repeat = repeats[below(g, 2)];
	prepare(g, c, repeat);
	if (wide && one_in(g, 2))
		rex = 0x40 | (one_in(g, 2) ? 8 : 0) | (one_in(g, 2) ? 4 : 0);
	if (names_bits(c) && memory && !one_in(g, 4)) {
		reg = known_register(g, false);
		rex = (rex & ~4) | (reg & 8 ? 0x44 : 0);
		reg &= 7;
	}
	o.bytes[0] = reg << 3;
	if (memory) {
		uint8_t high = 0;

		memory_operand(g, &o, &high, is_vector(c) && !one_in(g, 4));
		if (high)
			rex |= 0x40 | high;
	} else {
		o.bytes[0] |= 0xc0 | below(g, 8);
		if (wide && one_in(g, 3))
			rex |= 0x41;
	}
	if (vex) {
		add_vex(g, e, rex, map);
	} else {
		add_prefixes(g, e, c, memory, repeat);
		if (rex)
			add_byte(e, rex);
		if (c->map)
			add_byte(e, 0x0f);
		if (c->map == 2)
			add_byte(e, 0x38);
	}
	add_byte(e, c->opcode);
	if (c->map == 0 && c->opcode >= 0xa0 && c->opcode <= 0xa3) {
		uint64_t target = DATA_LINEAR + any_target(g);

		add(e, &target, 8);
		o.relative = false;
	} else {
		add(e, o.bytes, o.count);
	}
	operand_end = e->count;
	for (unsigned i = 0; i < 8; i++)
		add_byte(e, (uint8_t)random_next(&g->random));
	length = decode(&g->decode, e->bytes, e->count < 15 ? e->count : 15, 0, insn);
	if (length <= 0 || insn->fn == op_too_long || insn->map != map ||
	    insn->opcode != c->opcode)
		return false;
	/* Of vectors also forms that do not exist: a prefix, a register or memory too many. */
	if (insn->fn == op_ud && !is_vector(c))
		return false;
	if (o.relative && memory && insn->flags & INSN_MEM && insn->base == GPR_BLOCK)
		fix_relative(g, e->bytes, operand_end, length);
	e->count = length;
	return decode(&g->decode, e->bytes, length, 0, insn) == length;
}

void random_instruction(struct generator *g)
{
	const struct opcode_choice *c =
		&choices[one_in(g, 12) ? below(g, choice_count) : below(g, often_count)];
	struct encoding e;
	struct insn insn;

	if (is_jump(c) || !encode(g, c, &e, &insn))
		return;
	/* Straight into the unknown only now and then. */
	if (insn.flags & INSN_END && insn.map == 0 &&
	    (insn.opcode == 0xff || insn.opcode == 0xc2 || insn.opcode == 0xc3) && !one_in(g, 10))
		return;
	if (flags_read(&insn) & g->undefined)
		return;
	emit(g, e.bytes, e.count);
	account(g, &insn);
}
