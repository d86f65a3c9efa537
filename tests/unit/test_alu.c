// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * General-purpose instructions: results and flags, undefined ones included, against the host CPU
 * executing the same bytes, over all operand sizes, register and memory forms.
 */
#include "native_fixture.h"

#define ROUNDS 400 /* of each row in each operand size */

enum form { REG = 1, MEM = 2, RM = 3 };
enum extra {
	BYTE = 1 << 0,    /* one operand size */
	LOCK = 1 << 1,    /* the memory form takes LOCK */
	NO16 = 1 << 2,    /* 66 is not an operand size */
	OPREG = 1 << 3,   /* register in the opcode, no ModRM */
	NOMODRM = 1 << 4,
	BITS = 1 << 5,    /* bit string: the register's value must stay near */
	STACK = 1 << 6,   /* RSP points to memory */
	ALIGNED = 1 << 7, /* memory operand of 16 bytes */
	INTEL = 1 << 8,   /* undefined flags as Intel's processors leave them */
	HALF = 1 << 9,    /* what a destination of 32 bits keeps of 64 differs by maker */
};
enum imm { NONE, IB, IZ, IV, ENTER };

struct row {
	const char *name;
	const char *prefix; /* mandatory */
	const char *map;    /* escape bytes */
	uint8_t opcode, last; /* range of opcodes */
	int8_t reg;         /* ModRM.reg or -1: any */
	uint8_t form, imm;
	uint16_t extra;
};

#define ALU(name, base)                                                                            \
	{ name, "", "", base, base, -1, RM, NONE, BYTE | LOCK },                                   \
	{ name, "", "", base + 1, base + 1, -1, RM, NONE, LOCK },                                  \
	{ name, "", "", base + 2, base + 2, -1, RM, NONE, BYTE },                                  \
	{ name, "", "", base + 3, base + 3, -1, RM, NONE, 0 },                                     \
	{ name, "", "", base + 4, base + 4, -1, 0, IB, BYTE | NOMODRM },                           \
	{ name, "", "", base + 5, base + 5, -1, 0, IZ, NOMODRM }
#define GROUP1(name, n)                                                                            \
	{ name, "", "", 0x80, 0x80, n, RM, IB, BYTE | ((n) == 7 ? 0 : LOCK) },                     \
	{ name, "", "", 0x81, 0x81, n, RM, IZ, (n) == 7 ? 0 : LOCK },                              \
	{ name, "", "", 0x83, 0x83, n, RM, IB, (n) == 7 ? 0 : LOCK }
/* ROL and ROR by an immediate count: ops_shift.c */
#define SHIFT(name, n)                                                                             \
	{ name, "", "", 0xc0, 0xc0, n, RM, IB, BYTE | ((n) < 2 ? INTEL : 0) },                     \
	{ name, "", "", 0xc1, 0xc1, n, RM, IB, (n) < 2 ? INTEL : 0 },                              \
	{ name, "", "", 0xd0, 0xd0, n, RM, NONE, BYTE },                                           \
	{ name, "", "", 0xd1, 0xd1, n, RM, NONE, 0 },                                              \
	{ name, "", "", 0xd2, 0xd2, n, RM, NONE, BYTE },                                           \
	{ name, "", "", 0xd3, 0xd3, n, RM, NONE, 0 }

static const struct row alu_rows[] = {
	ALU("add", 0x00), ALU("or", 0x08), ALU("adc", 0x10), ALU("sbb", 0x18), ALU("and", 0x20),
	ALU("sub", 0x28), ALU("xor", 0x30),
	GROUP1("add", 0), GROUP1("or", 1), GROUP1("adc", 2), GROUP1("sbb", 3), GROUP1("and", 4),
	GROUP1("sub", 5), GROUP1("xor", 6), GROUP1("cmp", 7),
	{ "cmp", "", "", 0x38, 0x38, -1, RM, NONE, BYTE },
	{ "cmp", "", "", 0x39, 0x39, -1, RM, NONE, 0 },
	{ "cmp", "", "", 0x3a, 0x3a, -1, RM, NONE, BYTE },
	{ "cmp", "", "", 0x3b, 0x3b, -1, RM, NONE, 0 },
	{ "test", "", "", 0x84, 0x84, -1, RM, NONE, BYTE },
	{ "test", "", "", 0x85, 0x85, -1, RM, NONE, 0 },
	{ "test", "", "", 0xa8, 0xa8, -1, 0, IB, BYTE | NOMODRM },
	{ "test", "", "", 0xa9, 0xa9, -1, 0, IZ, NOMODRM },
	{ "test", "", "", 0xf6, 0xf6, 0, RM, IB, BYTE },
	{ "test", "", "", 0xf7, 0xf7, 1, RM, IZ, 0 },
	{ "not", "", "", 0xf6, 0xf6, 2, RM, NONE, BYTE | LOCK },
	{ "not", "", "", 0xf7, 0xf7, 2, RM, NONE, LOCK },
	{ "neg", "", "", 0xf6, 0xf6, 3, RM, NONE, BYTE | LOCK },
	{ "neg", "", "", 0xf7, 0xf7, 3, RM, NONE, LOCK },
	{ "inc", "", "", 0xfe, 0xfe, 0, RM, NONE, BYTE | LOCK },
	{ "inc", "", "", 0xff, 0xff, 0, RM, NONE, LOCK },
	{ "dec", "", "", 0xfe, 0xfe, 1, RM, NONE, BYTE | LOCK },
	{ "dec", "", "", 0xff, 0xff, 1, RM, NONE, LOCK },
	{ "adcx", "\x66", "\x0f\x38", 0xf6, 0xf6, -1, RM, NONE, NO16 },
	{ "adox", "\xf3", "\x0f\x38", 0xf6, 0xf6, -1, RM, NONE, NO16 },
};

static const struct row atomic_rows[] = {
	{ "xadd", "", "\x0f", 0xc0, 0xc0, -1, RM, NONE, BYTE | LOCK },
	{ "xadd", "", "\x0f", 0xc1, 0xc1, -1, RM, NONE, LOCK },
	{ "xchg", "", "", 0x86, 0x86, -1, RM, NONE, BYTE | LOCK },
	{ "xchg", "", "", 0x87, 0x87, -1, RM, NONE, LOCK },
	{ "xchg", "", "", 0x90, 0x97, -1, 0, NONE, OPREG },
	{ "cmpxchg", "", "\x0f", 0xb0, 0xb0, -1, RM, NONE, BYTE | LOCK },
	{ "cmpxchg", "", "\x0f", 0xb1, 0xb1, -1, RM, NONE, LOCK },
	{ "cmpxchg8b/16b", "", "\x0f", 0xc7, 0xc7, 1, MEM, NONE, NO16 | LOCK | ALIGNED },
};

static const struct row mov_rows[] = {
	{ "mov", "", "", 0x88, 0x88, -1, RM, NONE, BYTE },
	{ "mov", "", "", 0x89, 0x89, -1, RM, NONE, 0 },
	{ "mov", "", "", 0x8a, 0x8a, -1, RM, NONE, BYTE },
	{ "mov", "", "", 0x8b, 0x8b, -1, RM, NONE, 0 },
	{ "mov", "", "", 0xb0, 0xb7, -1, 0, IB, BYTE | OPREG },
	{ "mov", "", "", 0xb8, 0xbf, -1, 0, IV, OPREG },
	{ "mov", "", "", 0xc6, 0xc6, 0, RM, IB, BYTE }, { "mov", "", "", 0xc7, 0xc7, 0, RM, IZ, 0 },
	{ "movsxd", "", "", 0x63, 0x63, -1, RM, NONE, 0 },
	{ "movzx", "", "\x0f", 0xb6, 0xb7, -1, RM, NONE, 0 },
	{ "movsx", "", "\x0f", 0xbe, 0xbf, -1, RM, NONE, 0 },
	{ "cmov", "", "\x0f", 0x40, 0x4f, -1, RM, NONE, 0 },
	{ "setcc", "", "\x0f", 0x90, 0x9f, -1, RM, NONE, BYTE },
	{ "lea", "", "", 0x8d, 0x8d, -1, MEM, NONE, 0 },
	{ "bswap", "", "\x0f", 0xc8, 0xcf, -1, 0, NONE, OPREG },
	{ "movnti", "", "\x0f", 0xc3, 0xc3, -1, MEM, NONE, NO16 },
	{ "movbe", "", "\x0f\x38", 0xf0, 0xf1, -1, MEM, NONE, 0 },
	{ "cbw", "", "", 0x98, 0x99, -1, 0, NONE, NOMODRM },
	{ "lahf/sahf", "", "", 0x9e, 0x9f, -1, 0, NONE, NOMODRM },
	{ "cmc", "", "", 0xf5, 0xf5, -1, 0, NONE, NOMODRM },
	{ "clc/stc", "", "", 0xf8, 0xf9, -1, 0, NONE, NOMODRM },
	{ "cld/std", "", "", 0xfc, 0xfd, -1, 0, NONE, NOMODRM },
	{ "nop", "", "\x0f", 0x1f, 0x1f, -1, RM, NONE, 0 },
};

static const struct row shift_rows[] = {
	SHIFT("rol", 0), SHIFT("ror", 1), SHIFT("rcl", 2), SHIFT("rcr", 3), SHIFT("shl", 4),
	SHIFT("shr", 5), SHIFT("sal", 6), SHIFT("sar", 7),
	{ "shld", "", "\x0f", 0xa4, 0xa4, -1, RM, IB, 0 },
	{ "shld", "", "\x0f", 0xa5, 0xa5, -1, RM, NONE, 0 },
	{ "shrd", "", "\x0f", 0xac, 0xac, -1, RM, IB, 0 },
	{ "shrd", "", "\x0f", 0xad, 0xad, -1, RM, NONE, 0 },
};

#define BIT(name, code, n)                                                                         \
	{ name, "", "\x0f", code, code, -1, RM, NONE, BITS | ((n) == 4 ? 0 : LOCK) },              \
	{ name, "", "\x0f", 0xba, 0xba, n, RM, IB, (n) == 4 ? 0 : LOCK }

static const struct row bit_rows[] = {
	BIT("bt", 0xa3, 4), BIT("bts", 0xab, 5), BIT("btr", 0xb3, 6), BIT("btc", 0xbb, 7),
	{ "bsf", "", "\x0f", 0xbc, 0xbc, -1, RM, NONE, HALF },
	{ "bsr", "", "\x0f", 0xbd, 0xbd, -1, RM, NONE, HALF },
	{ "tzcnt", "\xf3", "\x0f", 0xbc, 0xbc, -1, RM, NONE, 0 },
	{ "lzcnt", "\xf3", "\x0f", 0xbd, 0xbd, -1, RM, NONE, 0 },
	{ "popcnt", "\xf3", "\x0f", 0xb8, 0xb8, -1, RM, NONE, 0 },
	{ "crc32", "\xf2", "\x0f\x38", 0xf0, 0xf0, -1, RM, NONE, 0 },
	{ "crc32", "\xf2", "\x0f\x38", 0xf1, 0xf1, -1, RM, NONE, 0 },
};

static const struct row muldiv_rows[] = {
	{ "mul", "", "", 0xf6, 0xf6, 4, RM, NONE, BYTE },
	{ "mul", "", "", 0xf7, 0xf7, 4, RM, NONE, 0 },
	{ "imul", "", "", 0xf6, 0xf6, 5, RM, NONE, BYTE },
	{ "imul", "", "", 0xf7, 0xf7, 5, RM, NONE, 0 },
	{ "div", "", "", 0xf6, 0xf6, 6, RM, NONE, BYTE },
	{ "div", "", "", 0xf7, 0xf7, 6, RM, NONE, 0 },
	{ "idiv", "", "", 0xf6, 0xf6, 7, RM, NONE, BYTE },
	{ "idiv", "", "", 0xf7, 0xf7, 7, RM, NONE, 0 },
	{ "imul", "", "\x0f", 0xaf, 0xaf, -1, RM, NONE, 0 },
	{ "imul", "", "", 0x69, 0x69, -1, RM, IZ, 0 },
	{ "imul", "", "", 0x6b, 0x6b, -1, RM, IB, 0 },
};

static const struct row stack_rows[] = {
	{ "push", "", "", 0x50, 0x57, -1, 0, NONE, OPREG | STACK },
	{ "pop", "", "", 0x58, 0x5f, -1, 0, NONE, OPREG | STACK },
	{ "push", "", "", 0x68, 0x68, -1, 0, IZ, NOMODRM | STACK },
	{ "push", "", "", 0x6a, 0x6a, -1, 0, IB, NOMODRM | STACK },
	{ "push", "", "", 0xff, 0xff, 6, RM, NONE, STACK },
	{ "pop", "", "", 0x8f, 0x8f, 0, RM, NONE, STACK },
	{ "enter", "", "", 0xc8, 0xc8, -1, 0, ENTER, NOMODRM | STACK },
	{ "leave", "", "", 0xc9, 0xc9, -1, 0, NONE, NOMODRM | STACK },
};

/* ---- one instruction from a row ---- */

enum { SIZE_16, SIZE_32, SIZE_64, SIZES };

static unsigned emit_immediate(const struct row *row, unsigned size, uint8_t *p)
{
	const unsigned wide = size == SIZE_16 ? 2 : 4;
	uint64_t value = fixture_value();

	switch (row->imm) {
	case NONE:
		return 0;
	case IB:
		memcpy(p, &value, 1);
		return 1;
	case IZ:
		memcpy(p, &value, wide);
		return wide;
	case IV:
		memcpy(p, &value, size == SIZE_64 ? 8 : wide);
		return size == SIZE_64 ? 8 : wide;
	case ENTER:
		p[0] = value & 0xf8;
		p[1] = 0;
		p[2] = fixture_random() % 8;
		return 3;
	}
	return 0;
}

static void run_row(struct fixture *f, const struct row *row, unsigned size)
{
	const uint8_t opcode = row->opcode + fixture_random() % (row->last - row->opcode + 1);
	bool memory = row->form == MEM || (row->form == RM && fixture_random() % 2);
	uint8_t bytes[16], *p = bytes;
	unsigned rex = fixture_random() & 5, rm, reg, base;
	struct registers in = { 0 };

	fixture_fill(f, &in);
	if (!(row->extra & BYTE) && size == SIZE_16)
		*p++ = 0x66;
	if (memory && row->extra & LOCK && fixture_random() % 2)
		*p++ = 0xf0;
	p += fixture_emit(p, row->prefix, strlen(row->prefix));
	if (size == SIZE_64)
		rex |= 8;
	if (row->extra & (OPREG | NOMODRM))
		rex &= ~4;
	if (row->extra & NOMODRM)
		rex &= ~1;
	if (rex || fixture_random() % 2)
		*p++ = 0x40 | rex;
	p += fixture_emit(p, row->map, strlen(row->map));
	*p++ = opcode;
	reg = row->reg >= 0 ? (unsigned)row->reg : fixture_random() & 7;
	rm = fixture_random() & 7;
	if (row->extra & HALF && size == SIZE_32)
		in.gpr[reg | (rex & 4) << 1] &= UINT32_MAX;
	if (row->extra & STACK) {
		in.gpr[GPR_RSP] = (uintptr_t)f->memory + 4096 + 2048;
		in.gpr[GPR_RBP] = in.gpr[GPR_RSP] + 512;
	}
	if (memory) {
		uint32_t disp = fixture_random();

		/* R12 and RSP need a SIB, RSP with STACK has its own value. */
		while ((rm & 7) == 4 || (rm == 5 && row->extra & STACK) ||
		       (row->extra & (BITS | HALF) && (rm | (rex & 1) << 3) == (reg | (rex & 4) << 1)))
			rm = fixture_random() & 7;
		base = rm | (rex & 1) << 3;
		if (row->extra & BITS)
			in.gpr[reg | (rex & 4) << 1] = (int64_t)(fixture_random() % 16384) - 8192;
		in.gpr[base] = (uintptr_t)f->memory + 3 * 4096 - (int64_t)(int32_t)disp -
			       (row->extra & ALIGNED ? fixture_random() % 64 * 16 :
						       fixture_random() % 512);
		*p++ = 0x80 | reg << 3 | rm;
		p += fixture_emit(p, &disp, 4);
	} else if (!(row->extra & (OPREG | NOMODRM))) {
		*p++ = 0xc0 | reg << 3 | rm;
	}
	p += emit_immediate(row, size, p);
	fixture_compare(f, row->name, bytes, p - bytes, &in);
}

static void run_rows(const struct row *rows, unsigned count)
{
	unsigned i, size, round;
	struct fixture f;

	fixture_init(&f);
	for (i = 0; i < count; i++)
		for (size = 0; size < SIZES; size++) {
			if (size == SIZE_16 && rows[i].extra & (BYTE | NO16))
				continue;
			if (rows[i].extra & INTEL && !__builtin_cpu_is("intel"))
				continue;
			for (round = 0; round < ROUNDS; round++)
				run_row(&f, &rows[i], size);
		}
	fixture_fini(&f);
}

#define RUN_ROWS(rows) run_rows(rows, sizeof(rows) / sizeof(rows[0]))

START_TEST(arithmetic)
{
	RUN_ROWS(alu_rows);
}
END_TEST

START_TEST(exchanges)
{
	RUN_ROWS(atomic_rows);
}
END_TEST

START_TEST(moves)
{
	RUN_ROWS(mov_rows);
}
END_TEST

START_TEST(shifts)
{
	RUN_ROWS(shift_rows);
}
END_TEST

START_TEST(bits)
{
	RUN_ROWS(bit_rows);
}
END_TEST

START_TEST(multiplication_and_division)
{
	RUN_ROWS(muldiv_rows);
}
END_TEST

START_TEST(stack)
{
	RUN_ROWS(stack_rows);
}
END_TEST

/* ---- VEX ---- */

static const struct {
	const char *name;
	uint8_t map, opcode, pp;
	int8_t reg;
	bool immediate;
} vex_rows[] = {
	{ "andn", 2, 0xf2, 0, -1, false },  { "blsr", 2, 0xf3, 0, 1, false },
	{ "blsmsk", 2, 0xf3, 0, 2, false }, { "blsi", 2, 0xf3, 0, 3, false },
	{ "bzhi", 2, 0xf5, 0, -1, false },  { "pext", 2, 0xf5, 2, -1, false },
	{ "pdep", 2, 0xf5, 3, -1, false },  { "mulx", 2, 0xf6, 3, -1, false },
	{ "bextr", 2, 0xf7, 0, -1, false }, { "shlx", 2, 0xf7, 1, -1, false },
	{ "sarx", 2, 0xf7, 2, -1, false },  { "shrx", 2, 0xf7, 3, -1, false },
	{ "rorx", 3, 0xf0, 3, -1, true },
};

START_TEST(bmi)
{
	struct fixture f;
	unsigned i, round;

	fixture_init(&f);
	for (i = 0; i < sizeof(vex_rows) / sizeof(vex_rows[0]); i++)
		for (round = 0; round < 2 * ROUNDS; round++) {
			const unsigned wide = fixture_random() & 1, vvvv = fixture_random() & 15;
			const unsigned high = fixture_random() & 5, rm = fixture_random() % 4;
			const unsigned reg = vex_rows[i].reg >= 0 ? (unsigned)vex_rows[i].reg :
								     fixture_random() & 7;
			const bool memory = fixture_random() & 1;
			uint8_t bytes[] = {
				0xc4, (~high << 5 & 0xe0) | vex_rows[i].map,
				wide << 7 | (vex_rows[i].immediate ? 0x78 : (~vvvv & 0xf) << 3) |
					vex_rows[i].pp,
				vex_rows[i].opcode, (memory ? 0 : 0xc0) | reg << 3 | rm,
				(uint8_t)fixture_random(),
			};
			struct registers in = { 0 };

			fixture_fill(&f, &in);
			if (memory)
				in.gpr[rm | (high & 1) << 3] = (uintptr_t)f.memory +
							       fixture_random() % 4000;
			fixture_compare(&f, vex_rows[i].name, bytes,
					vex_rows[i].immediate ? 6 : 5, &in);
		}
	fixture_fini(&f);
}
END_TEST

/* ---- Jcc, against SETcc of the host, in all states of the flags ---- */

START_TEST(conditions)
{
	unsigned condition, flags;
	struct fixture f;

	fixture_init(&f);
	for (condition = 0; condition < 16; condition++)
		for (flags = 0; flags < 4096; flags++) {
			const uint8_t jump[] = { 0x70 | condition, 0x10 };
			const uint8_t set[] = { 0x0f, 0x90 | condition, 0xc0 };
			struct registers in = { .flags = flags & RFLAGS_ARITH }, out;

			f.native = in;
			ck_assert_int_eq(fixture_execute(&f, set, sizeof(set)), NO_FAULT);
			f.cpu->state.gpr[GPR_BLOCK] = 0x1000;
			fixture_interpret(&f, jump, sizeof(jump), &in, &out);
			ck_assert_uint_eq(f.cpu->state.rip, f.native.gpr[0] & 1 ? 0x1012 : 0x1002);
		}
	fixture_fini(&f);
}
END_TEST

/* ---- what the host cannot execute in 64-bit code ---- */

static void decimal(struct fixture *f, const char *bytes, unsigned length, uint16_t ax,
		    uint64_t flags, uint16_t expected, uint64_t expected_flags)
{
	const struct decode_mode mode = { .code = 4, .stack = 4, .protected_mode = true };
	struct insn insn[2];

	decode(&mode, (const uint8_t *)bytes, length, 0, &insn[0]);
	insn[1].fn = fixture_stop;
	f->cpu->state.gpr[GPR_RAX] = ax;
	rflags_set(&f->cpu->state, flags);
	insn[0].fn(f->cpu, &insn[0]);
	ck_assert_uint_eq(f->cpu->state.gpr[GPR_RAX], expected);
	ck_assert_uint_eq(rflags_get(&f->cpu->state) & RFLAGS_ARITH, expected_flags);
}

START_TEST(decimal_adjustment)
{
	const uint64_t af = RFLAGS_AF, cf = RFLAGS_CF, pf = RFLAGS_PF;
	const uint64_t sf = RFLAGS_SF, zf = RFLAGS_ZF;
	struct fixture f;

	fixture_init(&f);
	/* The examples of the SDM: 79h + 35h and 2Eh; 35h - 47h */
	decimal(&f, "\x27", 1, 0xae, 0, 0x14, af | cf | pf);
	decimal(&f, "\x27", 1, 0x2e, cf, 0x94, af | cf | sf);
	decimal(&f, "\x27", 1, 0x9a, 0, 0x00, af | cf | pf | zf);
	decimal(&f, "\x2f", 1, 0xee, af | cf, 0x88, af | cf | sf | pf);
	decimal(&f, "\x2f", 1, 0x05, af, 0xff, af | cf | sf | pf);
	decimal(&f, "\x37", 1, 0x000b, 0, 0x0101, af | cf);
	decimal(&f, "\x37", 1, 0x00f4, 0, 0x0004, 0);
	decimal(&f, "\x3f", 1, 0x020b, 0, 0x0105, af | cf | pf);
	decimal(&f, "\xd4\x0a", 2, 0x1257, 0, 0x0807, 0);
	decimal(&f, "\xd5\x0a", 2, 0x0807, 0, 0x0057, 0);
	decimal(&f, "\xd6", 1, 0x1234, cf, 0x12ff, cf);
	fixture_fini(&f);
}
END_TEST

/* ---- features that the guest's CPUID lacks ---- */

START_TEST(missing_features)
{
	static const uint8_t popcnt[] = { 0xf3, 0x0f, 0xb8, 0xc3 };
	static const uint8_t tzcnt[] = { 0xf3, 0x0f, 0xbc, 0xc3 };
	static const uint8_t andn[] = { 0xc4, 0xe2, 0x78, 0xf2, 0xc3 };
	struct registers in = { .gpr = { [GPR_RBX] = 0x100 } }, out;
	struct fixture f;

	fixture_init(&f);
	ck_assert_int_eq(fixture_interpret(&f, popcnt, 4, &in, &out), NO_FAULT);
	ck_assert_uint_eq(out.gpr[GPR_RAX], 1);
	f.cpu->features = (struct guest_features){ 0 };
	ck_assert_int_eq(fixture_interpret(&f, popcnt, 4, &in, &out), VECTOR_UD);
	ck_assert_int_eq(fixture_interpret(&f, andn, 5, &in, &out), VECTOR_UD);
	/* TZCNT is BSF then: with a source of 0 the destination stays. */
	in.gpr[GPR_RBX] = 0;
	in.gpr[GPR_RAX] = 77;
	ck_assert_int_eq(fixture_interpret(&f, tzcnt, 4, &in, &out), NO_FAULT);
	ck_assert_uint_eq(out.gpr[GPR_RAX], 77);
	/* Of 64 bits its 32. */
	in.gpr[GPR_RAX] = UINT64_C(1) << 32 | 77;
	ck_assert_int_eq(fixture_interpret(&f, tzcnt, 4, &in, &out), NO_FAULT);
	ck_assert_uint_eq(out.gpr[GPR_RAX], 77);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("alu");
	TCase *tcase = tcase_create("against the host");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, arithmetic);
	tcase_add_test(tcase, exchanges);
	tcase_add_test(tcase, moves);
	tcase_add_test(tcase, shifts);
	tcase_add_test(tcase, bits);
	tcase_add_test(tcase, multiplication_and_division);
	tcase_add_test(tcase, stack);
	tcase_add_test(tcase, bmi);
	tcase_add_test(tcase, conditions);
	tcase_add_test(tcase, decimal_adjustment);
	tcase_add_test(tcase, missing_features);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
