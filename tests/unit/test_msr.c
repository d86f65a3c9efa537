/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The MSR table is consistent; access follows its rows. */
#include "cpu/msr_table.h"

#include <check.h>
#include <errno.h>
#include <linux/kvm_para.h>
#include <stdlib.h>

static struct vm *vm;
static struct vcpu *vcpu;
static struct kvm_run run;
static uint8_t pio[4096];

static void setup(void)
{
	static struct log log = { .fd = -1 };

	vm = vm_create(&log, NULL);
	ck_assert_ptr_nonnull(vm);
	ck_assert_int_eq(vcpu_create(vm, 0, &run, pio, &vcpu), 0);
}

static void teardown(void)
{
	vcpu_destroy(vcpu);
	vm_destroy(vm);
}

START_TEST(rows_are_sorted)
{
	for (size_t i = 0; i < msr_table_rows; i++) {
		ck_assert_msg(msr_table[i].first <= msr_table[i].last, "%s", msr_table[i].name);
		if (i)
			ck_assert_msg(msr_table[i - 1].last < msr_table[i].first, "%s",
				      msr_table[i].name);
	}
}
END_TEST

/* Each row answers reads and writes from somewhere. */
START_TEST(rows_are_complete)
{
	for (size_t i = 0; i < msr_table_rows; i++) {
		const struct msr_row *row = &msr_table[i];
		bool constant = row->flags & (MSR_READ_ONLY | MSR_IGNORES);

		ck_assert_msg(constant || row->storage || row->set, "%s cannot be written", row->name);
		ck_assert_msg(!(row->flags & MSR_FEATURE) || row->storage, "%s is no feature",
			      row->name);
	}
}
END_TEST

START_TEST(find_knows_the_bounds)
{
	ck_assert_ptr_nonnull(msr_find(0));
	ck_assert_str_eq(msr_find(MSR_X2APIC_LAST)->name, "X2APIC");
	ck_assert_ptr_null(msr_find(MSR_X2APIC_LAST + 1));
	ck_assert_ptr_null(msr_find(0xffffffff));
	ck_assert_str_eq(msr_find(MSR_GS_BASE_NUMBER)->name, "FS_GS_BASE");
}
END_TEST

/* Unknown and forbidden are two things: user space may ask for exits on either. */
START_TEST(errors_tell_unknown_from_forbidden)
{
	uint64_t value;

	ck_assert_int_eq(msr_read(vcpu, 0xdeadbeef, &value, false), -ENOENT);
	ck_assert_int_eq(msr_write(vcpu, 0xdeadbeef, 0, false), -ENOENT);
	ck_assert_int_eq(msr_write(vcpu, MSR_PAT, 2, false), -EINVAL);
	ck_assert_int_eq(msr_write(vcpu, MSR_LSTAR_NUMBER, 1ull << 63, false), -EINVAL);
	ck_assert_int_eq(msr_read(vcpu, MSR_ARCH_CAPABILITIES, &value, false), -EINVAL);
	ck_assert_int_eq(msr_read(vcpu, MSR_ARCH_CAPABILITIES, &value, true), 0);
	ck_assert_int_eq(msr_write(vcpu, MSR_PLATFORM_INFO, 0, false), -EINVAL);
}
END_TEST

START_TEST(sysenter_addresses_become_canonical)
{
	uint64_t value;

	ck_assert_int_eq(msr_write(vcpu, MSR_SYSENTER_EIP, 1ull << 56, false), 0);
	ck_assert_int_eq(msr_read(vcpu, MSR_SYSENTER_EIP, &value, false), 0);
	ck_assert_uint_eq(value, 0xffull << 56);
}
END_TEST

START_TEST(immutable_once_run)
{
	uint64_t value;

	ck_assert_int_eq(msr_write(vcpu, MSR_ARCH_CAPABILITIES, 5, true), 0);
	vcpu->has_run = true;
	ck_assert_int_eq(msr_write(vcpu, MSR_ARCH_CAPABILITIES, 6, true), -EINVAL);
	ck_assert_int_eq(msr_write(vcpu, MSR_ARCH_CAPABILITIES, 5, true), 0);
	ck_assert_int_eq(msr_read(vcpu, MSR_ARCH_CAPABILITIES, &value, true), 0);
	ck_assert_uint_eq(value, 5);
}
END_TEST

/* What is not in CPUID is unknown, but what the list names can still be saved and restored as 0. */
START_TEST(paravirtual_features_can_be_enforced)
{
	uint64_t value = 7;

	ck_assert_int_eq(msr_read(vcpu, MSR_KVM_POLL_CONTROL_NUMBER, &value, false), 0);
	ck_assert_uint_eq(value, 1);
	vcpu->enforce_pv = true;
	ck_assert_int_eq(msr_read(vcpu, MSR_KVM_POLL_CONTROL_NUMBER, &value, false), -ENOENT);
	ck_assert_int_eq(msr_write(vcpu, MSR_KVM_POLL_CONTROL_NUMBER, 1, false), -ENOENT);
	ck_assert_int_eq(msr_write(vcpu, MSR_KVM_POLL_CONTROL_NUMBER, 1, true), -ENOENT);
	ck_assert_int_eq(msr_write(vcpu, MSR_KVM_POLL_CONTROL_NUMBER, 0, true), 0);
	ck_assert_int_eq(msr_read(vcpu, MSR_KVM_POLL_CONTROL_NUMBER, &value, true), 0);
	ck_assert_uint_eq(value, 0);
	vcpu->features.kvm_features = 1u << 12;
	ck_assert_int_eq(msr_read(vcpu, MSR_KVM_POLL_CONTROL_NUMBER, &value, false), 0);
}
END_TEST

/* A guest's write of the microcode revision (the way to ask for it) is no fault. */
START_TEST(microcode_revision_is_user_space_s)
{
	uint64_t value;

	ck_assert_int_eq(msr_write(vcpu, MSR_UCODE_REV, 0, false), 0);
	ck_assert_int_eq(msr_read(vcpu, MSR_UCODE_REV, &value, false), 0);
	ck_assert_uint_eq(value, 1ull << 32);
	ck_assert_int_eq(msr_write(vcpu, MSR_UCODE_REV, 9, true), 0);
	ck_assert_int_eq(msr_read(vcpu, MSR_UCODE_REV, &value, false), 0);
	ck_assert_uint_eq(value, 9);
}
END_TEST

START_TEST(machine_check_banks_end)
{
	uint64_t value;

	vcpu->state.msr.mcg_cap = 2;
	ck_assert_int_eq(msr_read(vcpu, MSR_MC0_CTL + 7, &value, false), 0);
	ck_assert_int_eq(msr_read(vcpu, MSR_MC0_CTL + 8, &value, false), -EINVAL);
	/* Only zeroes into the status. */
	ck_assert_int_eq(msr_write(vcpu, MSR_MC0_CTL + 1, 1, false), -EINVAL);
	ck_assert_int_eq(msr_write(vcpu, MSR_MC0_CTL + 1, 0, false), 0);
	/* Without CMCI in MCG_CAP there is no MC0_CTL2 for the guest. */
	ck_assert_int_eq(msr_read(vcpu, MSR_MC0_CTL2, &value, false), -EINVAL);
	ck_assert_int_eq(msr_write(vcpu, MSR_MC0_CTL2, 0, true), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		rows_are_sorted,
		rows_are_complete,
		find_knows_the_bounds,
		errors_tell_unknown_from_forbidden,
		sysenter_addresses_become_canonical,
		immutable_once_run,
		paravirtual_features_can_be_enforced,
		microcode_revision_is_user_space_s,
		machine_check_banks_end,
	};
	Suite *suite = suite_create("cpu/msr");
	TCase *tcase = tcase_create("msr");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
