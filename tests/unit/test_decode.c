// SPDX-License-Identifier: GPL-2.0-or-later
/* The decoder against Capstone (length, address, immediate, registers), and what Capstone lacks. */
#define _GNU_SOURCE
#include <capstone/capstone.h>
#include <check.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/interp/opcodes.h"

#define RANDOM_STRINGS 400000 /* for each of the three code sizes */

static struct decode_mode mode_of(unsigned code)
{
	return (struct decode_mode){ .code = code, .stack = code, .protected_mode = true };
}

static uint64_t random_state = 88172645463325252ull;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* ---- Capstone's registers as ours ---- */

static const struct {
	x86_reg quad, dword, word, byte;
} registers[16] = {
	{ X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL },
	{ X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL },
	{ X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL },
	{ X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL },
	{ X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL },
	{ X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL },
	{ X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL },
	{ X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL },
	{ X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B },
	{ X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B },
	{ X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B },
	{ X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B },
	{ X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B },
	{ X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B },
	{ X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B },
	{ X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B },
};

/* Byte offset in the registers, or -1: not a general register. */
static int general_register(x86_reg reg)
{
	static const x86_reg high[4] = { X86_REG_AH, X86_REG_CH, X86_REG_DH, X86_REG_BH };
	int i;

	for (i = 0; i < 16; i++)
		if (reg == registers[i].quad || reg == registers[i].dword ||
		    reg == registers[i].word || reg == registers[i].byte)
			return i * 8;
	for (i = 0; i < 4; i++)
		if (reg == high[i])
			return i * 8 + 1;
	return -1;
}

static int address_register(x86_reg reg)
{
	if (reg == X86_REG_INVALID || reg == X86_REG_EIZ || reg == X86_REG_RIZ)
		return GPR_ZERO;
	if (reg == X86_REG_RIP || reg == X86_REG_EIP)
		return GPR_BLOCK;
	return general_register(reg) / 8;
}

/* ---- comparison ---- */

static const cs_x86_op *operand_of_type(const cs_x86 *x86, x86_op_type type)
{
	const cs_x86_op *found = NULL;
	int i;

	for (i = 0; i < x86->op_count; i++) {
		if (x86->operands[i].type != type)
			continue;
		if (found)
			return NULL; /* two of them: strings, far pointers, ENTER */
		found = &x86->operands[i];
	}
	return found;
}

static bool same_address(const struct insn *insn, const cs_x86 *x86)
{
	const cs_x86_op *op = operand_of_type(x86, X86_OP_MEM);
	uint64_t disp = (uint64_t)insn->disp;

	if (!(insn->flags & INSN_MEM) || !op)
		return true;
	if (insn->base == GPR_BLOCK)
		disp -= insn->length;
	if (insn->opcode == 0x8f && insn->base == GPR_RSP && insn->map == 0)
		disp -= insn->opsize; /* POP addresses with the new rSP */
	if ((disp ^ (uint64_t)op->mem.disp) & insn->amask)
		return false;
	/* BX and SI may be named in either order, and scale 1 is not always given. */
	return insn->base == address_register(op->mem.base) &&
	       insn->index == address_register(op->mem.index) &&
	       (insn->index == GPR_ZERO || 1 << insn->scale == op->mem.scale);
}

static bool same_immediate(const struct insn *insn, const cs_x86 *x86)
{
	const cs_x86_op *op = operand_of_type(x86, X86_OP_IMM);
	uint64_t mask = insn->opsize == 8 ? ~0ull : (1ull << insn->opsize * 8) - 1;

	if (!op || (insn->map == 0 && (insn->opcode == 0xcc || insn->opcode == 0xf1)))
		return true; /* INT3: Capstone makes 3 its operand */
	if (insn->map > 1 || (insn->map == 1 && (insn->opcode & 0xf0) != 0x80))
		mask = 0xff;
	/* Capstone extends RET's operand, and cuts off targets when there is a prefix 67. */
	if ((insn->map == 0 && (insn->opcode & 0xf7) == 0xc2) || insn->address != insn->code)
		mask &= 0xffff;
	return !((insn->imm ^ (uint64_t)op->imm) & mask);
}

static bool same_registers(const struct insn *insn, const cs_x86 *x86)
{
	int first, second;

	if (x86->op_count != 2 || x86->operands[0].type != X86_OP_REG ||
	    x86->operands[1].type != X86_OP_REG || insn->modrm < 0xc0 ||
	    insn->flags & (INSN_MEM | INSN_VEX))
		return true;
	if (insn->map == 0 && (insn->opcode & 0xfc) == 0xd0)
		return true; /* shift by CL */
	first = general_register(x86->operands[0].reg);
	second = general_register(x86->operands[1].reg);
	if (first < 0 || second < 0)
		return true;
	return (first == insn->reg && second == insn->rm) ||
	       (first == insn->rm && second == insn->reg);
}

/*
 * Where Capstone 4.0 is wrong, or describes other processors than Intel's.
 */
static bool capstone_differs(const struct insn *insn, const cs_insn *cs)
{
	const bool prefixed = insn->flags & (INSN_OPSIZE | INSN_REP | INSN_REPNE | INSN_REX);
	const uint8_t opcode = insn->opcode;

	if (insn->map == 0 && prefixed) {
		/* Near branches in 64-bit code: 66 is ignored (SDM); AMD and Capstone obey it.
		 * RET imm16 and PUSH imm16 with 66, REX or F2: Capstone takes a wrong size. */
		if (opcode == 0xe8 || opcode == 0xe9 || opcode == 0xc2 || opcode == 0x68)
			return true;
		/* Short branches with 66 in 64-bit code: the same, in the target. */
		if ((opcode & 0xf0) == 0x70 || (opcode & 0xfc) == 0xe0 || opcode == 0xeb)
			return true;
	}
	if (insn->map == 1 && (opcode & 0xf0) == 0x80 && insn->flags & INSN_OPSIZE)
		return true;
	/* XOP, XBEGIN and XABORT, 3DNow!, VMX, Padlock: not offered, and cut short. */
	if (insn->fn == op_ud && insn->map == 0)
		return opcode == 0x8f || opcode == 0xc6 || opcode == 0xc7;
	if (insn->fn == op_ud && insn->map == 1)
		return opcode == 0x0f || opcode == 0x78 || opcode == 0x79 || opcode == 0xa6 ||
		       opcode == 0xa7 || opcode == 0xae || opcode == 0xc3 || opcode == 0xc7 ||
		       opcode == 0xb9 || opcode == 0xff; /* UD0, UD1 have a ModRM */
	/* INVEPT, INVVPID, INVPCID, MOVBE, ADCX without their mandatory prefix. */
	if (insn->fn == op_ud && insn->map == 2)
		return (opcode & 0xfc) == 0x80 || opcode >= 0xf0;
	return cs->id == X86_INS_INVALID;
}

static void compare(const struct decode_mode *mode, const uint8_t *bytes, unsigned available,
		    csh handle, cs_insn *cs, unsigned *compared)
{
	const uint8_t *code = bytes;
	size_t size = available;
	uint64_t address = 0;
	struct insn insn;
	char text[64] = "";
	unsigned i;
	bool same;
	int length = decode(mode, bytes, available, 0, &insn);

	if (!cs_disasm_iter(handle, &code, &size, &address, cs) || insn.fn == op_too_long)
		return;
	if (length != DECODE_MORE && capstone_differs(&insn, cs))
		return;
	++*compared;
	same = length == cs->size;
	if (same && insn.fn != op_ud && insn.fn != op_nop)
		same = same_address(&insn, &cs->detail->x86) &&
		       same_immediate(&insn, &cs->detail->x86) &&
		       same_registers(&insn, &cs->detail->x86);
	if (same)
		return;
	for (i = 0; i < 15 && i < available; i++)
		sprintf(text + 3 * i, "%02x ", bytes[i]);
	ck_abort_msg("%u bit: %s: length %d, Capstone %u: %s %s", mode->code * 8, text, length,
		     cs->size, cs->mnemonic, cs->op_str);
}

/* A random string, more often than by chance with prefixes and in the 0F maps. */
static void random_bytes(uint8_t bytes[16], unsigned code)
{
	static const uint8_t prefixes[] = {
		0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65,
	};
	unsigned i, position = 0, choice;

	for (i = 0; i < 16; i++)
		bytes[i] = (uint8_t)random64();
	if (random64() % 2)
		for (i = random64() % 3; i; i--)
			bytes[position++] = prefixes[random64() % sizeof(prefixes)];
	if (code == 8 && random64() % 3 == 0)
		bytes[position++] = 0x40 | (random64() & 0xf);
	choice = random64() % 8;
	if (choice < 3)
		bytes[position++] = 0x0f;
	if (choice == 2)
		bytes[position++] = random64() % 2 ? 0x38 : 0x3a;
}

static void compare_random(unsigned code, cs_mode cs_mode)
{
	const struct decode_mode mode = mode_of(code);
	unsigned i, compared = 0;
	uint8_t bytes[16];
	csh handle;
	cs_insn *cs;

	ck_assert_int_eq(cs_open(CS_ARCH_X86, cs_mode, &handle), CS_ERR_OK);
	cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
	cs = cs_malloc(handle);
	for (i = 0; i < RANDOM_STRINGS; i++) {
		random_bytes(bytes, code);
		compare(&mode, bytes, 15, handle, cs, &compared);
	}
	ck_assert_uint_gt(compared, RANDOM_STRINGS / 2);
	cs_free(cs, 1);
	cs_close(&handle);
}

START_TEST(random_strings_16)
{
	compare_random(2, CS_MODE_16);
}
END_TEST

START_TEST(random_strings_32)
{
	compare_random(4, CS_MODE_32);
}
END_TEST

START_TEST(random_strings_64)
{
	compare_random(8, CS_MODE_64);
}
END_TEST

/* ---- what compilers and the authors of the C library write ---- */

static int compare_text(struct dl_phdr_info *info, size_t size, void *opaque)
{
	const struct decode_mode mode = mode_of(8);
	unsigned *compared = opaque;
	csh handle;
	cs_insn *cs;
	int i;

	(void)size;
	/* The vDSO is not the same everywhere. */
	if (strstr(info->dlpi_name, "vdso"))
		return 0;
	cs_open(CS_ARCH_X86, CS_MODE_64, &handle);
	cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
	cs = cs_malloc(handle);
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		const uint8_t *bytes = (const uint8_t *)info->dlpi_addr + segment->p_vaddr;
		size_t offset = 0;

		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
			continue;
		while (offset + 15 < segment->p_memsz) {
			struct insn insn;

			compare(&mode, bytes + offset, 15, handle, cs, compared);
			offset += decode(&mode, bytes + offset, 15, 0, &insn);
		}
	}
	cs_free(cs, 1);
	cs_close(&handle);
	return 0;
}

START_TEST(text_of_libraries)
{
	unsigned compared = 0;

	dl_iterate_phdr(compare_text, &compared);
	ck_assert_uint_gt(compared, 100000);
}
END_TEST

/* ---- single encodings ---- */

static struct insn decoded(unsigned code, const char *bytes, unsigned count)
{
	const struct decode_mode mode = mode_of(code);
	struct insn insn;

	decode(&mode, (const uint8_t *)bytes, count, 0, &insn);
	return insn;
}

#define DECODED(code, string) decoded(code, string, sizeof(string) - 1)
#define UNDEFINED(code, string) ck_assert(DECODED(code, string).fn == op_ud)
#define DEFINED(code, string) ck_assert(DECODED(code, string).fn != op_ud)

START_TEST(lock_is_for_memory_destinations)
{
	DEFINED(8, "\xf0\x01\x18");         /* lock add [rax], ebx */
	UNDEFINED(8, "\xf0\x01\xd8");       /* lock add eax, ebx */
	UNDEFINED(8, "\xf0\x03\x18");       /* lock add ebx, [rax] */
	UNDEFINED(8, "\xf0\x39\x18");       /* lock cmp [rax], ebx */
	UNDEFINED(8, "\xf0\x89\x18");       /* lock mov [rax], ebx */
	DEFINED(8, "\xf0\x87\x18");         /* lock xchg [rax], ebx */
	DEFINED(8, "\xf0\x0f\xab\x18");     /* lock bts [rax], ebx */
	UNDEFINED(8, "\xf0\x0f\xa3\x18");   /* lock bt [rax], ebx */
	DEFINED(8, "\xf0\x0f\xc7\x08");     /* lock cmpxchg8b [rax] */
	UNDEFINED(8, "\xf0\x90");
	UNDEFINED(8, "\xf0\xf3\xa4");       /* lock rep movsb */
}
END_TEST

START_TEST(rex_counts_only_last)
{
	struct insn insn = DECODED(8, "\x48\x66\x89\xd8"); /* mov ax, bx */

	ck_assert_uint_eq(insn.opsize, 2);
	insn = DECODED(8, "\x66\x48\x89\xd8"); /* mov rax, rbx */
	ck_assert_uint_eq(insn.opsize, 8);
}
END_TEST

START_TEST(byte_registers)
{
	ck_assert_uint_eq(DECODED(8, "\x88\xe0").reg, 1);      /* mov al, ah */
	ck_assert_uint_eq(DECODED(8, "\x88\xfc").reg, 25);     /* mov ah, bh */
	ck_assert_uint_eq(DECODED(8, "\x88\xfc").rm, 1);
	ck_assert_uint_eq(DECODED(8, "\x40\x88\xe0").reg, 32); /* mov al, spl */
	ck_assert_uint_eq(DECODED(8, "\x0f\xb6\xc4").rm, 1);   /* movzx eax, ah */
	ck_assert_uint_eq(DECODED(8, "\x0f\xb6\xe0").reg, 32); /* movzx esp, al */
}
END_TEST

/* Fifteen bytes are an instruction, sixteen are #GP, however many can be read. */
START_TEST(length_limit)
{
	struct insn insn;

	insn = DECODED(8, "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90");

	ck_assert(insn.fn == op_nop);
	ck_assert_uint_eq(insn.length, 15);
	insn = DECODED(8, "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90");
	ck_assert(insn.fn == op_too_long);
	insn = DECODED(8, "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66");
	ck_assert(insn.fn == op_too_long);
}
END_TEST

START_TEST(asks_for_bytes_only_when_needed)
{
	static const char code[] = "\x48\x81\x84\x88\x44\x33\x22\x11\x78\x56\x34\x12";
	const struct decode_mode mode = mode_of(8);
	struct insn insn;
	unsigned i;

	for (i = 0; i < 12; i++)
		ck_assert_int_eq(decode(&mode, (const uint8_t *)code, i, 0, &insn), DECODE_MORE);
	ck_assert_int_eq(decode(&mode, (const uint8_t *)code, 12, 0, &insn), 12);
	ck_assert_int_eq(decode(&mode, (const uint8_t *)"\x0f\x04", 2, 0, &insn), 2);
	ck_assert(insn.fn == op_ud);
	ck_assert_int_eq(decode(&mode, (const uint8_t *)"\x27", 1, 0, &insn), 1);
}
END_TEST

START_TEST(relative_to_the_block)
{
	const struct decode_mode mode = mode_of(8);
	struct insn insn;

	/* jmp -2 and mov eax, [rip + 16], 100 bytes into a block */
	decode(&mode, (const uint8_t *)"\xeb\xfe", 2, 100, &insn);
	ck_assert_int_eq((int64_t)insn.imm, 100);
	decode(&mode, (const uint8_t *)"\x8b\x05\x10\x00\x00\x00", 6, 100, &insn);
	ck_assert_uint_eq(insn.base, GPR_BLOCK);
	ck_assert_int_eq(insn.disp, 100 + 6 + 16);
	/* An immediate behind the displacement counts, too: mov dword [rip + 16], 1 */
	decode(&mode, (const uint8_t *)"\xc7\x05\x10\x00\x00\x00\x01\x00\x00\x00", 10, 0, &insn);
	ck_assert_int_eq(insn.disp, 10 + 16);
}
END_TEST

START_TEST(segments)
{
	ck_assert_uint_eq(DECODED(4, "\x8b\x45\x00").seg, SEG_SS);     /* [ebp] */
	ck_assert_uint_eq(DECODED(4, "\x8b\x04\x24").seg, SEG_SS);     /* [esp] */
	ck_assert_uint_eq(DECODED(4, "\x8b\x04\x25\0\0\0\0").seg, SEG_DS);
	ck_assert_uint_eq(DECODED(4, "\x3e\x8b\x45\x00").seg, SEG_DS);
	ck_assert_uint_eq(DECODED(2, "\x8b\x02").seg, SEG_SS);         /* [bp + si] */
	ck_assert_uint_eq(DECODED(2, "\x8b\x06\x00\x00").seg, SEG_DS); /* [0] */
	ck_assert_uint_eq(DECODED(8, "\x8b\x45\x00").seg, SEG_FLAT);
	ck_assert(DECODED(8, "\x8b\x45\x00").flags & INSN_STACK_SEG);
	ck_assert(!(DECODED(8, "\x41\x8b\x45\x00").flags & INSN_STACK_SEG)); /* [r13] */
	ck_assert_uint_eq(DECODED(8, "\x64\x8b\x45\x00").seg, SEG_FS);
	ck_assert(!(DECODED(8, "\x64\x8b\x45\x00").flags & INSN_STACK_SEG));
	ck_assert_uint_eq(DECODED(8, "\x64\x2e\x8b\x00").seg, SEG_FS); /* CS: ignored */
}
END_TEST

START_TEST(mode_dependent)
{
	UNDEFINED(8, "\x27");                      /* daa */
	DEFINED(4, "\x27");
	ck_assert_uint_eq(DECODED(8, "\x66\xe9\0\0\0\0").opsize, 8);
	ck_assert_uint_eq(DECODED(8, "\x66\x50").opsize, 2);
	ck_assert_uint_eq(DECODED(8, "\x50").opsize, 8);
	ck_assert_uint_eq(DECODED(8, "\x0f\x20\xc0").opsize, 8); /* mov rax, cr0 */
	ck_assert_uint_eq(DECODED(4, "\x0f\x20\xc0").opsize, 4);
	UNDEFINED(8, "\x0f\x20\xc8");              /* cr1 */
	DEFINED(8, "\x44\x0f\x20\xc0");            /* cr8 */
	UNDEFINED(8, "\x8e\xc8");                  /* mov cs, eax */
	UNDEFINED(4, "\x0f\x01\xf8");              /* swapgs */
	DEFINED(8, "\x0f\x01\xf8");
}
END_TEST

START_TEST(vex_or_les)
{
	struct decode_mode real = { .code = 2, .stack = 2 };
	struct insn insn;

	ck_assert(DECODED(4, "\xc4\x00").fn == op_load_far);
	ck_assert(DECODED(4, "\xc4\xe2\x78\xf2\xc3").flags & INSN_VEX); /* andn eax, eax, ebx */
	DEFINED(4, "\xc4\xe2\x78\xf2\xc3");
	UNDEFINED(8, "\x66\xc4\xe2\x78\xf2\xc3");
	UNDEFINED(8, "\x48\xc4\xe2\x78\xf2\xc3");
	UNDEFINED(8, "\xc4\xe2\x7c\xf2\xc3"); /* VEX.L */
	/* Real mode has no VEX. */
	decode(&real, (const uint8_t *)"\xc4\xe2\x78\xf2\xc3", 5, 0, &insn);
	ck_assert(insn.fn == op_ud);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("decode");
	TCase *against = tcase_create("capstone"), *single = tcase_create("encodings");
	SRunner *runner;
	int failed;

	tcase_set_timeout(against, 100);
	tcase_add_test(against, random_strings_16);
	tcase_add_test(against, random_strings_32);
	tcase_add_test(against, random_strings_64);
	tcase_add_test(against, text_of_libraries);
	suite_add_tcase(suite, against);
	tcase_add_test(single, lock_is_for_memory_destinations);
	tcase_add_test(single, rex_counts_only_last);
	tcase_add_test(single, byte_registers);
	tcase_add_test(single, length_limit);
	tcase_add_test(single, asks_for_bytes_only_when_needed);
	tcase_add_test(single, relative_to_the_block);
	tcase_add_test(single, segments);
	tcase_add_test(single, mode_dependent);
	tcase_add_test(single, vex_or_les);
	suite_add_tcase(suite, single);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
