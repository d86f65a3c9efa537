// SPDX-License-Identifier: GPL-2.0-or-later
/* Which flags the manual leaves undefined, for an instruction of each rule. */
#include <check.h>
#include <string.h>

#include "cpu/unicorn/flag_effect.h"

#define CF RFLAGS_CF
#define PF RFLAGS_PF
#define AF RFLAGS_AF
#define ZF RFLAGS_ZF
#define SF RFLAGS_SF
#define OF RFLAGS_OF
#define ALL RFLAGS_ARITH

static const struct row {
	const char *name, *bytes;
	int count; /* CL */
	uint16_t defined, undefined, read;
} rows[] = {
	{ "add eax, ecx", "\x01\xc8", -1, ALL, 0, 0 },
	{ "adc eax, ecx", "\x11\xc8", -1, ALL, 0, CF },
	{ "and eax, ecx", "\x21\xc8", -1, ALL & ~AF, AF, 0 },
	{ "sbb eax, 1", "\x83\xd8\x01", -1, ALL, 0, CF },
	{ "inc eax", "\xff\xc0", -1, ALL & ~CF, 0, 0 },
	{ "not eax", "\xf7\xd0", -1, 0, 0, 0 },
	{ "mul ecx", "\xf7\xe1", -1, CF | OF, SF | ZF | AF | PF, 0 },
	{ "div ecx", "\xf7\xf1", -1, 0, ALL, 0 },
	{ "shl eax, 0", "\xc1\xe0\x20", -1, 0, 0, 0 },
	{ "shl eax, 1", "\xd1\xe0", -1, ALL & ~AF, AF, 0 },
	{ "shl eax, 4", "\xc1\xe0\x04", -1, ALL & ~(AF | OF), AF | OF, 0 },
	{ "shl al, 9", "\xc0\xe0\x09", -1, SF | ZF | PF, AF | OF | CF, 0 },
	{ "sar al, 9", "\xc0\xf8\x09", -1, CF | SF | ZF | PF, AF | OF, 0 },
	{ "shl eax, cl of 1", "\xd3\xe0", 1, ALL & ~AF, AF, 0 },
	{ "shl eax, cl", "\xd3\xe0", -1, 0, AF | OF, 0 },
	{ "rol eax, 4", "\xc1\xc0\x04", -1, 0, OF, 0 },
	{ "rcl eax, 1", "\xd1\xd0", -1, CF | OF, 0, CF },
	{ "shld ax, cx, 17", "\x66\x0f\xa4\xc8\x11", -1, 0, ALL, 0 },
	{ "bt eax, ecx", "\x0f\xa3\xc8", -1, CF, OF | SF | AF | PF, 0 },
	{ "bsf eax, ecx", "\x0f\xbc\xc1", -1, ZF, ALL & ~ZF, 0 },
	{ "tzcnt eax, ecx", "\xf3\x0f\xbc\xc1", -1, CF | ZF, OF | SF | AF | PF, 0 },
	{ "jbe", "\x76\x00", -1, 0, 0, CF | ZF },
	{ "setg al", "\x0f\x9f\xc0", -1, 0, 0, ZF | SF | OF },
	{ "cmovs eax, ecx", "\x0f\x48\xc1", -1, 0, 0, SF },
	{ "pushf", "\x9c", -1, 0, 0, ALL },
	{ "cmpsb", "\xa6", -1, ALL, 0, 0 },
	{ "repe cmpsb", "\xf3\xa6", -1, 0, 0, 0 },
	{ "mov eax, ecx", "\x89\xc8", -1, 0, 0, 0 },
};

START_TEST(as_in_the_manual)
{
	const struct decode_mode mode = { .code = 8, .stack = 8, .protected_mode = true };
	const struct row *row = &rows[_i];
	uint8_t bytes[16] = { 0 };
	struct flag_effect effect;
	struct insn insn;

	memcpy(bytes, row->bytes, strlen(row->bytes));
	ck_assert_int_gt(decode(&mode, bytes, 15, 0, &insn), 0);
	effect = flag_effect(&insn, row->count);
	ck_assert_msg(effect.defined == row->defined, "%s: defined %x", row->name, effect.defined);
	ck_assert_msg(effect.undefined == row->undefined, "%s: undefined %x", row->name,
		      effect.undefined);
	ck_assert_msg(flags_read(&insn) == row->read, "%s: reads %x", row->name, flags_read(&insn));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flag_effect");
	TCase *tcase = tcase_create("flag_effect");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, as_in_the_manual, 0, sizeof(rows) / sizeof(rows[0]));
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
