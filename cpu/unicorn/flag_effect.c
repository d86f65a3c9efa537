/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intel SDM volume 2, "Flags Affected", as a table. */
#include "cpu/unicorn/flag_effect.h"

#include <stddef.h>

#define CF RFLAGS_CF
#define PF RFLAGS_PF
#define AF RFLAGS_AF
#define ZF RFLAGS_ZF
#define SF RFLAGS_SF
#define OF RFLAGS_OF
#define ALL RFLAGS_ARITH
#define ANY 0xff /* of ModRM.reg */

enum kind { PLAIN, SHIFT, ROTATE, DOUBLE_SHIFT };

struct effect_row {
	uint8_t map, first, last, reg;
	uint8_t prefix; /* mandatory, 0: any */
	uint8_t kind;
	uint16_t defined, undefined;
};

#define ARITHMETIC(base)                                                                           \
	{                                                                                          \
		0, base, (base) + 5, ANY, 0, PLAIN, ALL, 0                                         \
	}
#define LOGIC(base)                                                                                \
	{                                                                                          \
		0, base, (base) + 5, ANY, 0, PLAIN, ALL & ~AF, AF                                  \
	}
#define GROUP_ARITHMETIC(n)                                                                        \
	{                                                                                          \
		0, 0x80, 0x83, n, 0, PLAIN, ALL, 0                                                 \
	}
#define GROUP_LOGIC(n)                                                                             \
	{                                                                                          \
		0, 0x80, 0x83, n, 0, PLAIN, ALL & ~AF, AF                                          \
	}
#define SHIFTS(n, kind)                                                                            \
	{ 0, 0xc0, 0xc1, n, 0, kind, 0, 0 },                                                       \
	{                                                                                          \
		0, 0xd0, 0xd3, n, 0, kind, 0, 0                                                    \
	}

/* clang-format off */
static const struct effect_row rows[] = {
	ARITHMETIC(0x00), LOGIC(0x08), ARITHMETIC(0x10), ARITHMETIC(0x18),
	LOGIC(0x20), ARITHMETIC(0x28), LOGIC(0x30), ARITHMETIC(0x38),
	GROUP_ARITHMETIC(0), GROUP_LOGIC(1), GROUP_ARITHMETIC(2), GROUP_ARITHMETIC(3),
	GROUP_LOGIC(4), GROUP_ARITHMETIC(5), GROUP_LOGIC(6), GROUP_ARITHMETIC(7),
	{ 0, 0x27, 0x27, ANY, 0, PLAIN, ALL & ~OF, OF },                    /* DAA */
	{ 0, 0x2f, 0x2f, ANY, 0, PLAIN, ALL & ~OF, OF },                    /* DAS */
	{ 0, 0x37, 0x37, ANY, 0, PLAIN, AF | CF, OF | SF | ZF | PF },       /* AAA */
	{ 0, 0x3f, 0x3f, ANY, 0, PLAIN, AF | CF, OF | SF | ZF | PF },       /* AAS */
	{ 0, 0x40, 0x4f, ANY, 0, PLAIN, ALL & ~CF, 0 },                     /* INC, DEC */
	{ 0, 0x69, 0x69, ANY, 0, PLAIN, CF | OF, SF | ZF | AF | PF },       /* IMUL */
	{ 0, 0x6b, 0x6b, ANY, 0, PLAIN, CF | OF, SF | ZF | AF | PF },
	{ 0, 0x84, 0x85, ANY, 0, PLAIN, ALL & ~AF, AF },                    /* TEST */
	{ 0, 0x9d, 0x9d, ANY, 0, PLAIN, ALL, 0 },                           /* POPF */
	{ 0, 0x9e, 0x9e, ANY, 0, PLAIN, ALL & ~OF, 0 },                     /* SAHF */
	{ 0, 0xa6, 0xa7, ANY, 0, PLAIN, ALL, 0 },                           /* CMPS */
	{ 0, 0xa8, 0xa9, ANY, 0, PLAIN, ALL & ~AF, AF },                    /* TEST */
	{ 0, 0xae, 0xaf, ANY, 0, PLAIN, ALL, 0 },                           /* SCAS */
	SHIFTS(0, ROTATE), SHIFTS(1, ROTATE), SHIFTS(2, ROTATE), SHIFTS(3, ROTATE),
	SHIFTS(4, SHIFT), SHIFTS(5, SHIFT), SHIFTS(6, SHIFT), SHIFTS(7, SHIFT),
	{ 0, 0xd4, 0xd5, ANY, 0, PLAIN, SF | ZF | PF, OF | AF | CF },       /* AAM, AAD */
	{ 0, 0xf5, 0xf5, ANY, 0, PLAIN, 0, 0 },                             /* CMC keeps it as it was */
	{ 0, 0xf8, 0xf9, ANY, 0, PLAIN, CF, 0 },                            /* CLC, STC */
	{ 0, 0xf6, 0xf7, 0, 0, PLAIN, ALL & ~AF, AF },                      /* TEST */
	{ 0, 0xf6, 0xf7, 1, 0, PLAIN, ALL & ~AF, AF },
	{ 0, 0xf6, 0xf7, 3, 0, PLAIN, ALL, 0 },                             /* NEG */
	{ 0, 0xf6, 0xf7, 4, 0, PLAIN, CF | OF, SF | ZF | AF | PF },         /* MUL */
	{ 0, 0xf6, 0xf7, 5, 0, PLAIN, CF | OF, SF | ZF | AF | PF },         /* IMUL */
	{ 0, 0xf6, 0xf7, 6, 0, PLAIN, 0, ALL },                             /* DIV */
	{ 0, 0xf6, 0xf7, 7, 0, PLAIN, 0, ALL },                             /* IDIV */
	{ 0, 0xfe, 0xff, 0, 0, PLAIN, ALL & ~CF, 0 },                       /* INC */
	{ 0, 0xfe, 0xff, 1, 0, PLAIN, ALL & ~CF, 0 },                       /* DEC */
	{ 1, 0x2e, 0x2f, ANY, 0, PLAIN, ALL, 0 },                           /* UCOMISx, COMISx */
	{ 1, 0xa3, 0xa3, ANY, 0, PLAIN, CF, OF | SF | AF | PF },            /* BT */
	{ 1, 0xab, 0xab, ANY, 0, PLAIN, CF, OF | SF | AF | PF },            /* BTS */
	{ 1, 0xb3, 0xb3, ANY, 0, PLAIN, CF, OF | SF | AF | PF },            /* BTR */
	{ 1, 0xbb, 0xbb, ANY, 0, PLAIN, CF, OF | SF | AF | PF },            /* BTC */
	{ 1, 0xba, 0xba, ANY, 0, PLAIN, CF, OF | SF | AF | PF },
	{ 1, 0xa4, 0xa5, ANY, 0, DOUBLE_SHIFT, 0, 0 },                      /* SHLD */
	{ 1, 0xac, 0xad, ANY, 0, DOUBLE_SHIFT, 0, 0 },                      /* SHRD */
	{ 1, 0xaf, 0xaf, ANY, 0, PLAIN, CF | OF, SF | ZF | AF | PF },       /* IMUL */
	{ 1, 0xb0, 0xb1, ANY, 0, PLAIN, ALL, 0 },                           /* CMPXCHG */
	{ 1, 0xb8, 0xb8, ANY, 0xf3, PLAIN, ALL, 0 },                        /* POPCNT */
	{ 1, 0xbc, 0xbd, ANY, 0xf3, PLAIN, CF | ZF, OF | SF | AF | PF },    /* TZCNT, LZCNT */
	{ 1, 0xbc, 0xbd, ANY, 0, PLAIN, ZF, CF | OF | SF | AF | PF },       /* BSF, BSR */
	{ 1, 0xc0, 0xc1, ANY, 0, PLAIN, ALL, 0 },                           /* XADD */
	{ 1, 0xc7, 0xc7, 1, 0, PLAIN, ZF, 0 },                              /* CMPXCHG8B */
	{ 1, 0xc7, 0xc7, 6, 0, PLAIN, ALL, 0 },                             /* RDRAND */
	{ 1, 0xc7, 0xc7, 7, 0, PLAIN, ALL, 0 },                             /* RDSEED */
	{ 2, 0xf6, 0xf6, ANY, 0x66, PLAIN, CF, 0 },                         /* ADCX */
	{ 2, 0xf6, 0xf6, ANY, 0xf3, PLAIN, OF, 0 },                         /* ADOX */
};
/* VEX-encoded ones that set flags have no other prefix. */
static const struct effect_row vex_rows[] = {
	{ 2, 0xf2, 0xf2, ANY, 0, PLAIN, SF | ZF | OF | CF, AF | PF },       /* ANDN */
	{ 2, 0xf3, 0xf3, ANY, 0, PLAIN, SF | ZF | OF | CF, AF | PF },       /* BLSR ... */
	{ 2, 0xf5, 0xf5, ANY, 0, PLAIN, SF | ZF | OF | CF, AF | PF },       /* BZHI */
	{ 2, 0xf7, 0xf7, ANY, 0, PLAIN, ZF | OF | CF, AF | SF | PF },       /* BEXTR */
	{ 1, 0x2e, 0x2f, ANY, 0, PLAIN, ALL, 0 },
};

struct read_row {
	uint8_t map, first, last, reg;
	uint16_t flags; /* CONDITION: those of the condition in the opcode */
};

#define CONDITION 0

static const struct read_row reads[] = {
	{ 0, 0x10, 0x15, ANY, CF }, { 0, 0x18, 0x1d, ANY, CF },             /* ADC, SBB */
	{ 0, 0x80, 0x83, 2, CF }, { 0, 0x80, 0x83, 3, CF },
	{ 0, 0x27, 0x27, ANY, CF | AF }, { 0, 0x2f, 0x2f, ANY, CF | AF },   /* DAA, DAS */
	{ 0, 0x37, 0x37, ANY, AF }, { 0, 0x3f, 0x3f, ANY, AF },             /* AAA, AAS */
	{ 0, 0x70, 0x7f, ANY, CONDITION },
	{ 0, 0x9c, 0x9c, ANY, ALL }, { 0, 0x9f, 0x9f, ANY, ALL & ~OF },     /* PUSHF, LAHF */
	{ 0, 0xc0, 0xc1, 2, CF }, { 0, 0xc0, 0xc1, 3, CF },                 /* RCL, RCR */
	{ 0, 0xd0, 0xd3, 2, CF }, { 0, 0xd0, 0xd3, 3, CF },
	{ 0, 0xcc, 0xce, ANY, ALL }, { 0, 0xf1, 0xf1, ANY, ALL },           /* INT */
	{ 0, 0xd6, 0xd6, ANY, CF },                                         /* SALC */
	{ 0, 0xda, 0xdb, ANY, CF | ZF | PF },                               /* FCMOV */
	{ 0, 0xe0, 0xe1, ANY, ZF },                                         /* LOOPNE, LOOPE */
	{ 0, 0xf5, 0xf5, ANY, CF },                                         /* CMC */
	{ 1, 0x05, 0x05, ANY, ALL },                                        /* SYSCALL */
	{ 1, 0x40, 0x4f, ANY, CONDITION }, { 1, 0x80, 0x8f, ANY, CONDITION },
	{ 1, 0x90, 0x9f, ANY, CONDITION },
	{ 2, 0xf6, 0xf6, ANY, CF | OF },                                    /* ADCX, ADOX */
};
/* clang-format on */

/* By the condition's upper three bits: O, B, Z, BE, S, P, L, LE. */
static const uint16_t condition_flags[8] = {
	OF, CF, ZF, CF | ZF, SF, PF, SF | OF, ZF | SF | OF,
};

uint16_t flags_read(const struct insn *insn)
{
	const struct read_row *row = reads, *end = reads + sizeof(reads) / sizeof(*reads);

	if (insn->flags & INSN_VEX)
		return 0;
	for (; row < end; row++)
		if (row->map == insn->map && insn->opcode >= row->first &&
		    insn->opcode <= row->last &&
		    (row->reg == ANY || row->reg == (insn->modrm >> 3 & 7)))
			return row->flags ? row->flags : condition_flags[insn->opcode >> 1 & 7];
	return 0;
}

static int shift_count(const struct insn *insn, int count)
{
	bool by_cl = insn->map == 0 ? insn->opcode == 0xd2 || insn->opcode == 0xd3 :
				      insn->opcode & 1;

	if (!by_cl)
		count = insn->imm & 0xff;
	return count < 0 ? -1 : count & (insn->opsize == 8 ? 63 : 31);
}

static struct flag_effect shift_effect(const struct insn *insn, enum kind kind, int count)
{
	const struct flag_effect nothing = { 0, 0 };
	struct flag_effect effect = { 0, 0 };
	const int bits = 8 * insn->opsize;

	count = shift_count(insn, count);
	if (!count)
		return nothing;
	if (kind == ROTATE) {
		/* RCL and RCR by a multiple of their width + 1 keep CF: it is not in @defined. */
		effect.defined = count == 1 ? CF | OF : 0;
		effect.undefined = count == 1 ? 0 : OF;
		return effect;
	}
	effect.undefined = AF | (count == 1 ? 0 : OF);
	if (kind == SHIFT) {
		/* SAR has the sign as CF however far. */
		if ((count < 0 || count >= bits) && (insn->modrm >> 3 & 7) != 7 && bits < 32)
			effect.undefined |= CF;
	} else if (bits < 32 && (count < 0 || count > bits)) {
		effect.undefined |= ALL;
	}
	/* By a count that is not known it may be by 0. */
	if (count > 0)
		effect.defined = ALL & ~effect.undefined;
	return effect;
}

struct flag_effect flag_effect(const struct insn *insn, int count)
{
	const bool vex = insn->flags & INSN_VEX;
	const struct effect_row *row = vex ? vex_rows : rows;
	const size_t n = vex ? sizeof(vex_rows) / sizeof(*row) : sizeof(rows) / sizeof(*row);
	const struct flag_effect nothing = { 0, 0 };

	if (insn->flags & INSN_EVEX || insn->map > 2)
		return nothing;
	for (const struct effect_row *end = row + n; row < end; row++) {
		if (row->map != insn->map || insn->opcode < row->first || insn->opcode > row->last)
			continue;
		if (row->reg != ANY && row->reg != (insn->modrm >> 3 & 7))
			continue;
		if (vex ? insn->prefix && insn->map == 2 :
			  row->prefix && row->prefix != insn->prefix)
			continue;
		if (row->kind != PLAIN)
			return shift_effect(insn, row->kind, count);
		/* A string of no length compares nothing. */
		if (insn->map == 0 && insn->opcode >= 0xa6 && insn->opcode <= 0xaf &&
		    insn->flags & (INSN_REP | INSN_REPNE))
			return nothing;
		return (struct flag_effect){ row->defined, row->undefined };
	}
	return nothing;
}
