/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which instructions Unicorn gets.
 *
 * The list says what is known to be right; all else stays with the interpreter:
 *  - LOCK and XCHG with memory are not atomic between two Unicorns;
 *  - flags other than the arithmetic ones and DF (PUSHF, POPF) depend on privilege;
 *  - far transfers, segment loads, system instructions, ports: Unicorn has no privileged state; the
 *    most frequent ones it calls us for (callout.c);
 *  - REP: the interpreter moves whole pages with the host's own instruction;
 *  - PAUSE: Unicorn leaves its code for it and comes back;
 *  - x87, MMX and floating point: the interpreter has the host's own results; of SSE and SSE2 Unicorn
 *    gets what moves or computes integers, and for the same of AVX it calls us (callout.c);
 *  - vectors in memory that must be aligned: Unicorn does not check, so it calls us, but for known
 *    addresses;
 *  - near branches with an operand-size prefix: makers of CPUs differ.
 */
#include "cpu/interp/avx.h"
#include "cpu/interp/ops_system.h"
#include "cpu/interp/simd.h"
#include "cpu/unicorn/unicorn.h"

enum choice {
	NO,
	YES,
	NEAR,   /* without prefix 66 */
	STRING, /* without REP */
	SCAN,   /* BSF, BSR; with REP TZCNT, LZCNT if the guest has them */
	COUNT,  /* POPCNT, if the guest has it */
	REG,    /* register form */
	WIDE,   /* 64-bit code */
	MEM,    /* memory form */
	FENCE,  /* LFENCE, SFENCE: what Unicorn makes of loads and stores stays in order */
	GROUP,  /* bits of @group say which ModRM.reg */
};

#define GROUPED(bits) (GROUP | (bits) << 8)

/* clang-format off */
static const uint16_t one_byte[256] = {
	[0x00 ... 0x05] = YES, [0x08 ... 0x0d] = YES, [0x10 ... 0x15] = YES, [0x18 ... 0x1d] = YES,
	[0x20 ... 0x25] = YES, [0x28 ... 0x2d] = YES, [0x30 ... 0x35] = YES, [0x38 ... 0x3d] = YES,
	[0x40 ... 0x5f] = YES, [0x63] = WIDE, [0x68 ... 0x6b] = YES, [0x70 ... 0x7f] = NEAR,
	[0x80 ... 0x81] = YES, [0x83] = YES, [0x84 ... 0x85] = YES, [0x86 ... 0x87] = REG,
	[0x88 ... 0x8b] = YES, [0x8d] = MEM, [0x8f] = GROUPED(0x01),
	[0x90] = STRING, [0x91 ... 0x99] = YES, [0x9e ... 0x9f] = YES,
	[0xa0 ... 0xa3] = YES, [0xa4 ... 0xa7] = STRING, [0xa8 ... 0xa9] = YES,
	[0xaa ... 0xaf] = STRING, [0xb0 ... 0xbf] = YES, [0xc0 ... 0xc1] = YES,
	[0xc2 ... 0xc3] = NEAR, [0xc6 ... 0xc7] = GROUPED(0x01), [0xc9] = YES,
	[0xd0 ... 0xd3] = YES, [0xd7] = YES, [0xe0 ... 0xe3] = NEAR,
	[0xe8 ... 0xe9] = NEAR, [0xeb] = NEAR, [0xf5] = YES,
	[0xf6 ... 0xf7] = GROUPED(0xfd), [0xf8 ... 0xf9] = YES, [0xfc ... 0xfd] = YES,
	[0xfe] = GROUPED(0x03), [0xff] = GROUPED(0x57),
};

static const uint16_t two_byte[256] = {
	[0x0d] = MEM, [0x18] = MEM, [0x1f] = YES, [0x40 ... 0x4f] = YES, [0x80 ... 0x8f] = NEAR, [0x90 ... 0x9f] = YES,
	[0xa3 ... 0xa5] = YES, [0xab ... 0xad] = YES, [0xae] = FENCE, [0xaf] = YES, [0xb0 ... 0xb1] = YES,
	[0xb3] = YES, [0xb6 ... 0xb7] = YES, [0xba] = GROUPED(0xf0), [0xbb] = YES,
	[0xb8] = COUNT, [0xbc ... 0xbd] = SCAN, [0xbe ... 0xbf] = YES, [0xc0 ... 0xc1] = YES,
	[0xc7] = GROUPED(0x02), [0xc8 ... 0xcf] = YES,
};
/* clang-format on */

static bool always(const struct insn *insn)
{
	(void)insn;
	return true;
}

static bool in_memory(const struct insn *insn)
{
	return insn->flags & INSN_MEM;
}

static bool in_register(const struct insn *insn)
{
	return !(insn->flags & INSN_MEM);
}

static bool has_rex(const struct insn *insn)
{
	return insn->flags & INSN_REX;
}

static bool has_66(const struct insn *insn)
{
	return insn->flags & INSN_OPSIZE;
}

static bool is_16_bit(const struct insn *insn)
{
	return insn->opsize == 2;
}

static bool is_half(const struct insn *insn)
{
	return insn->code == 8 && insn->opsize == 4;
}

static bool relative_to_rip(const struct insn *insn)
{
	return insn->flags & INSN_MEM && insn->base == GPR_BLOCK;
}

static bool is_large(const struct insn *insn)
{
	return insn->imm > 0x7fff;
}

#define ANY 0xff /* of ModRM.reg */

/* Forms of what is chosen above that Unicorn executes differently, found by tests/lockstep. */
static const struct wrong {
	uint8_t map, first, last, reg;
	bool (*when)(const struct insn *insn);
} wrong[] = {
	/* clang-format off */
	/* The flags that are to be computed later are overwritten before the access can fault. */
	{ 0, 0xc0, 0xc1, 2, in_memory }, { 0, 0xc0, 0xc1, 3, in_memory },   /* RCL, RCR */
	{ 0, 0xd0, 0xd3, 2, in_memory }, { 0, 0xd0, 0xd3, 3, in_memory },
	{ 1, 0x90, 0x9f, ANY, in_memory },                                  /* SETcc */
	/* Those flags are lost on one of the ways. */
	{ 0, 0xe0, 0xe1, ANY, always },                                     /* LOOPNE, LOOPE */
	{ 1, 0xc7, 0xc7, 1, always },                                       /* CMPXCHG8B */
	/* SPL is taken for AH. */
	{ 0, 0x9e, 0x9f, ANY, has_rex },                                    /* SAHF, LAHF */
	/* The 16 bits are taken as a signed number. */
	{ 0, 0xc2, 0xc2, ANY, is_large },                                   /* RET imm16 */
	/* The address is counted from in front of the immediate. */
	{ 1, 0xa4, 0xa4, ANY, relative_to_rip },                            /* SHLD */
	{ 1, 0xac, 0xac, ANY, relative_to_rip },                            /* SHRD */
	/* The upper half of the destination is cleared where nothing is written. */
	{ 1, 0xb0, 0xb1, ANY, in_register },                                /* CMPXCHG */
	{ 1, 0xb1, 0xb1, ANY, is_half },                                    /* RAX of its */
	/* The prefix counts for more than REX.W. */
	{ 1, 0xb8, 0xb8, ANY, has_66 },                                     /* POPCNT */
	/* Makers of CPUs differ. */
	{ 0, 0xff, 0xff, 2, has_66 }, { 0, 0xff, 0xff, 4, has_66 },         /* CALL, JMP */
	/* Undefined results. */
	{ 1, 0xa4, 0xa5, ANY, is_16_bit }, { 1, 0xac, 0xad, ANY, is_16_bit },
	{ 1, 0xc8, 0xcf, ANY, is_16_bit },                                  /* BSWAP */
	/* clang-format on */
};

static bool is_wrong(const struct insn *insn)
{
	const struct wrong *row = wrong, *end = wrong + sizeof(wrong) / sizeof(wrong[0]);

	for (; row < end; row++)
		if (row->map == insn->map && insn->opcode >= row->first &&
		    insn->opcode <= row->last &&
		    (row->reg == ANY || row->reg == (insn->modrm >> 3 & 7)) && row->when(insn))
			return true;
	return false;
}

/* ---- what only the vCPU knows ---- */

enum system_call unicorn_system(const struct insn *insn)
{
	if (insn->map == 0)
		return insn->opcode == 0xfa ? CLI : insn->opcode == 0xfb ? STI : NO_SYSTEM;
	if (insn->map != 1 || insn->flags & INSN_VEX)
		return NO_SYSTEM;
	if (insn->opcode == 0x31)
		return RDTSC;
	if (insn->opcode != 0x01 || insn->prefix || insn->flags & INSN_OPSIZE)
		return NO_SYSTEM;
	if (insn->modrm == 0xf8)
		return insn->code == 8 ? SWAPGS : NO_SYSTEM;
	return insn->modrm == 0xf9 ? RDTSCP : NO_SYSTEM;
}

static bool system_executes(const struct insn *insn, const struct guest_code *guest)
{
	switch (unicorn_system(insn)) {
	case CLI:
	case STI:
	case SWAPGS:
		return guest->supervisor;
	case RDTSC:
	case RDTSCP:
		return guest->clock;
	case NO_SYSTEM:
		break;
	}
	return false;
}

/* ---- vectors ---- */

static const struct simd_row *vector_row(const struct insn *insn)
{
	const uint16_t refused = SIMD_FP | SIMD_MMX | SIMD_MMX_REG | SIMD_MMX_RM | SIMD_STRING;
	const struct simd_row *row = simd_row(insn->map, insn->prefix, insn->opcode);
	/* RSQRTPS, RCPPS: makers differ. */
	const bool approximate = insn->opcode == 0x52 || insn->opcode == 0x53;
	/* Unicorn takes the 66 for what counts, or else the F3. */
	const bool two_prefixes = (insn->prefix != 0x66 && insn->flags & INSN_OPSIZE) ||
				  insn->flags & INSN_REPEATS;

	if (insn->map != 1 || insn->flags & INSN_VEX || approximate || two_prefixes ||
	    row->form == SIMD_NONE || row->form == SIMD_MASKMOV || row->flags & refused ||
	    (row->feature != SIMD_SSE && row->feature != SIMD_SSE2))
		return NULL;
	return row;
}

/* The operand's address is a constant, and a multiple of 16: bases of FS and GS need not be. */
static bool is_aligned(const struct insn *insn, uint64_t start)
{
	if (insn->index != GPR_ZERO || (insn->base != GPR_ZERO && insn->base != GPR_BLOCK) ||
	    insn->seg == SEG_FS || insn->seg == SEG_GS)
		return false;
	return !(((insn->base == GPR_BLOCK ? start : 0) + (uint64_t)insn->disp) & 15);
}

/* Those that are known not to be aligned are the interpreter's, for its #GP. */
static bool is_constant(const struct insn *insn)
{
	return insn->base == GPR_BLOCK || (insn->base == GPR_ZERO && insn->index == GPR_ZERO);
}

static bool must_be_looked_at(const struct insn *insn, const struct simd_row *row, uint64_t start)
{
	return insn->flags & INSN_MEM && row->flags & SIMD_ALIGN && !is_aligned(insn, start);
}

static bool vector_executes(const struct insn *insn, uint64_t start)
{
	const struct simd_row *row = vector_row(insn);

	if (!row)
		return false;
	return !must_be_looked_at(insn, row, start) ||
	       (!is_constant(insn) && (row->form == SIMD_X_XM || row->form == SIMD_XM_X));
}

bool unicorn_calls(const struct insn *insn, uint64_t start)
{
	const struct simd_row *row = vector_row(insn);

	if (insn->flags & INSN_VEX || unicorn_system(insn) != NO_SYSTEM)
		return true;
	return row && must_be_looked_at(insn, row, start);
}

uint16_t unicorn_vectors(const struct insn *insn)
{
	const struct simd_row *row = vector_row(insn);
	const uint16_t reg = 1u << insn->reg_number;
	const uint16_t rm = insn->flags & INSN_MEM ? 0 : 1u << insn->rm_number;

	if (insn->flags & INSN_VEX)
		return avx_vectors(insn);
	if (!row)
		return 0;
	switch ((enum simd_form)row->form) {
	case SIMD_X_XM:
	case SIMD_XM_X:
		return reg | rm;
	case SIMD_X_GM:
	case SIMD_GM_X:
		return reg;
	case SIMD_G_XM:
	case SIMD_SHIFT:
		return rm;
	default:
		return 0;
	}
}

enum torn unicorn_tears(const struct insn *insn)
{
	const struct simd_row *row = vector_row(insn);

	if (!row || !(insn->flags & INSN_MEM) || row->size != 16)
		return TORN_NOTHING;
	return row->form == SIMD_XM_X ? TORN_STORE : TORN_LOAD;
}

static bool scan_executes(const struct insn *insn, const struct guest_code *guest)
{
	const bool counts = insn->opcode == 0xbc ? guest->bmi1 : guest->lzcnt;

	if (insn->flags & INSN_REPNE)
		return false;
	/* Without the feature the prefix means nothing, with @bits to Unicorn's CPU neither. */
	return !(insn->flags & INSN_REP) || counts == guest->bits;
}

bool unicorn_executes(const struct insn *insn, uint64_t start, const struct guest_code *guest)
{
	const uint16_t entry = insn->map == 0 ? one_byte[insn->opcode] :
			       insn->map == 1 ? two_byte[insn->opcode] :
						NO;

	if (!insn->length || insn->flags & (INSN_LOCK | INSN_CROSS | INSN_CHECK))
		return false;
	/* Of forms that do not exist Unicorn takes some for others. */
	if (insn->fn == op_ud)
		return false;
	/* Only 64-bit code has the bases of FS and GS in Unicorn. */
	if (insn->code != 8 && (insn->seg == SEG_FS || insn->seg == SEG_GS))
		return false;
	if (insn->flags & INSN_VEX)
		return guest->vectors && avx_is_plain(insn);
	if (is_wrong(insn))
		return false;
	switch (entry & 0xff) {
	case NO:
		return (guest->vectors && vector_executes(insn, start)) ||
		       system_executes(insn, guest);
	case YES:
		return true;
	case NEAR:
		return !(insn->flags & INSN_OPSIZE);
	case STRING:
		return !(insn->flags & (INSN_REP | INSN_REPNE));
	case SCAN:
		return scan_executes(insn, guest);
	case COUNT:
		return guest->bits && insn->flags & INSN_REP && !(insn->flags & INSN_REPNE);
	case WIDE:
		return insn->code == 8;
	case REG:
		return !(insn->flags & INSN_MEM);
	case MEM:
		return insn->flags & INSN_MEM;
	case FENCE:
		return !(insn->flags & INSN_MEM) && !insn->prefix &&
		       ((insn->modrm >> 3 & 7) == 5 || (insn->modrm >> 3 & 7) == 7);
	case GROUP:
		return entry >> 8 >> (insn->modrm >> 3 & 7) & 1;
	}
	return false;
}
