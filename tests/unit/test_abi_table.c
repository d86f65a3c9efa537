/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables are complete and consistent; what is made from them says so. */
#include "abi/internal.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

START_TEST(rows_are_unambiguous)
{
	for (size_t i = 0; i < ioctl_table_rows; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_msg(ioctl_table[i].request != ioctl_table[j].request ||
				      !(ioctl_table[i].kinds & ioctl_table[j].kinds),
				      "%s twice", ioctl_table[i].name);
}
END_TEST

START_TEST(row_is_offered_or_has_an_error)
{
	for (size_t i = 0; i < ioctl_table_rows; i++)
		ck_assert_msg(!ioctl_table[i].handler != !ioctl_table[i].absent, "%s",
			      ioctl_table[i].name);
}
END_TEST

START_TEST(size_is_the_number_s)
{
	for (size_t i = 0; i < ioctl_table_rows; i++) {
		const struct ioctl_row *row = &ioctl_table[i];

		/* KVM_REINJECT_CONTROL has a pointer and does not say so in its number. */
		if (row->handler && _IOC_SIZE(row->request))
			ck_assert_msg(row->size == _IOC_SIZE(row->request), "%s", row->name);
		ck_assert_msg(row->size <= IOCTL_DATA_MAX, "%s", row->name);
	}
}
END_TEST

START_TEST(fields_lie_inside_the_argument)
{
	for (size_t i = 0; i < ioctl_table_rows; i++) {
		const struct ioctl_field *field = ioctl_table[i].fields;
		size_t n;

		for (n = 0; field && field->name; field++, n++)
			ck_assert_msg(field->offset + field->size <= ioctl_table[i].size &&
				      field->size <= 8, "%s %s", ioctl_table[i].name, field->name);
		ck_assert_uint_le(n, IOCTL_FIELDS_MAX);
	}
}
END_TEST

START_TEST(find_looks_at_the_kind)
{
	const struct ioctl_row *system = ioctl_find(KVM_GET_MSRS, OBJECT_SYSTEM);
	const struct ioctl_row *vcpu = ioctl_find(KVM_GET_MSRS, OBJECT_VCPU);

	ck_assert_ptr_nonnull(system);
	ck_assert_ptr_nonnull(vcpu);
	ck_assert_ptr_ne(system, vcpu);
	ck_assert_ptr_null(ioctl_find(KVM_GET_MSRS, OBJECT_VM));
	ck_assert_ptr_null(ioctl_find(KVM_RUN, OBJECT_SYSTEM));
}
END_TEST

START_TEST(capabilities_are_unique)
{
	for (size_t i = 0; i < capability_table_rows; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_msg(capability_table[i].number != capability_table[j].number,
				      "%s twice", capability_table[i].name);
}
END_TEST

START_TEST(document_names_every_row)
{
	char *text, pattern[80];
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	document_write(out);
	fclose(out);
	for (size_t i = 0; i < ioctl_table_rows; i++) {
		snprintf(pattern, sizeof(pattern), "| `%s` |", ioctl_table[i].name);
		ck_assert_msg(strstr(text, pattern), "%s", pattern);
	}
	for (size_t i = 0; i < capability_table_rows; i++) {
		snprintf(pattern, sizeof(pattern), "| `%s` |", capability_table[i].name);
		ck_assert_msg(strstr(text, pattern), "%s", pattern);
	}
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("abi/table");
	TCase *tcase = tcase_create("table");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, rows_are_unambiguous);
	tcase_add_test(tcase, row_is_offered_or_has_an_error);
	tcase_add_test(tcase, size_is_the_number_s);
	tcase_add_test(tcase, fields_lie_inside_the_argument);
	tcase_add_test(tcase, find_looks_at_the_kind);
	tcase_add_test(tcase, capabilities_are_unique);
	tcase_add_test(tcase, document_names_every_row);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
