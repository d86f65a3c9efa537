/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which instructions Unicorn gets.
 *
 * The list says what is known to be right; all else stays with the interpreter:
 *  - LOCK and XCHG with memory are not atomic between two Unicorns;
 *  - flags other than the arithmetic ones and DF (PUSHF, POPF, STI, CLI) depend on privilege;
 *  - far transfers, segment loads, system instructions, ports: Unicorn has no privileged state;
 *  - REP: the interpreter moves whole pages with the host's own instruction;
 *  - PAUSE: Unicorn leaves its code for it and comes back;
 *  - x87 and SSE: the interpreter has the host's own results;
 *  - near branches with an operand-size prefix: makers of CPUs differ;
 *  - 16-bit BSWAP, SHLD, SHRD: undefined results.
 */
#include "cpu/unicorn/unicorn.h"

enum choice {
	NO,
	YES,
	NEAR,   /* without prefix 66 */
	STRING, /* without REP */
	REG,    /* register form */
	WIDE,   /* 64-bit code */
	MEM,    /* memory form */
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
	[0xa3 ... 0xa5] = YES, [0xab ... 0xad] = YES, [0xaf] = YES, [0xb0 ... 0xb1] = YES,
	[0xb3] = YES, [0xb6 ... 0xb7] = YES, [0xba] = GROUPED(0xf0), [0xbb] = YES,
	[0xbc ... 0xbd] = STRING, [0xbe ... 0xbf] = YES, [0xc0 ... 0xc1] = YES,
	[0xc7] = GROUPED(0x02), [0xc8 ... 0xcf] = YES,
};
/* clang-format on */

static bool near_group(const struct insn *insn)
{
	unsigned reg = insn->modrm >> 3 & 7;

	return insn->opcode == 0xff && (reg == 2 || reg == 4);
}

static bool undefined_16_bit(const struct insn *insn)
{
	unsigned op = insn->opcode;

	return insn->opsize == 2 &&
	       (op == 0xa4 || op == 0xa5 || op == 0xac || op == 0xad || (op >= 0xc8 && op <= 0xcf));
}

/* Unicorn takes the 16 bits as a signed number. */
static bool far_down(const struct insn *insn)
{
	return insn->map == 0 && insn->opcode == 0xc2 && insn->imm > 0x7fff; /* RET imm16 */
}

/* Unicorn overwrites the flags that it computes lazily before the access that may fault. */
static bool loses_flags(const struct insn *insn)
{
	unsigned op = insn->opcode, reg = insn->modrm >> 3 & 7;

	return insn->map == 0 && insn->flags & INSN_MEM && (reg == 2 || reg == 3) &&
	       ((op >= 0xd0 && op <= 0xd3) || op == 0xc0 || op == 0xc1); /* RCL, RCR */
}

bool unicorn_executes(const struct insn *insn, const uint8_t *bytes)
{
	const uint16_t entry = insn->map == 0 ? one_byte[insn->opcode] :
			       insn->map == 1 ? two_byte[insn->opcode] :
						NO;

	(void)bytes;
	if (!insn->length || insn->flags & (INSN_LOCK | INSN_VEX | INSN_CROSS | INSN_CHECK))
		return false;
	/* Only 64-bit code has the bases of FS and GS in Unicorn. */
	if (insn->code != 8 && (insn->seg == SEG_FS || insn->seg == SEG_GS))
		return false;
	if (insn->map == 1 && undefined_16_bit(insn))
		return false;
	if (loses_flags(insn) || far_down(insn))
		return false;
	switch (entry & 0xff) {
	case YES:
		return true;
	case NEAR:
		return !(insn->flags & INSN_OPSIZE);
	case STRING:
		return !(insn->flags & (INSN_REP | INSN_REPNE));
	case WIDE:
		return insn->code == 8;
	case REG:
		return !(insn->flags & INSN_MEM);
	case MEM:
		return insn->flags & INSN_MEM;
	case GROUP:
		if (near_group(insn) && insn->flags & INSN_OPSIZE)
			return false;
		return entry >> 8 >> (insn->modrm >> 3 & 7) & 1;
	}
	return false;
}
