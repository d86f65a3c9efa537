// SPDX-License-Identifier: GPL-2.0-or-later
/* The line that --log trace shows of an ioctl: what was given, what came back. */
#include "abi/fauxkvm.h"
#include "abi/kvm_compat.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fauxkvm *module;
static int vm, ends[2];

static void setup(void)
{
	struct fauxkvm_options options = { .size = sizeof(options), .log_level = 3 };
	int kvm;

	ck_assert_int_eq(pipe(ends), 0);
	options.log_fd = ends[1];
	module = fauxkvm_create(&options);
	ck_assert_ptr_nonnull(module);
	kvm = fauxkvm_open(module);
	vm = fauxkvm_ioctl(module, kvm, KVM_CREATE_VM, 0);
	ck_assert_int_gt(vm, 0);
}

static void teardown(void)
{
	fauxkvm_destroy(module);
	close(ends[0]);
	close(ends[1]);
}

/* The line of @request on the VM is @wanted, from its name on. */
static void check_line(unsigned long request, void *argument, const char *wanted)
{
	char text[4096] = "", *line;
	ssize_t bytes;

	fauxkvm_ioctl(module, vm, request, argument);
	bytes = read(ends[0], text, sizeof(text) - 1);
	ck_assert_int_gt(bytes, 0);
	text[bytes - 1] = '\0';
	line = strrchr(text, '\n');
	line = strstr(line ? line : text, "KVM_");
	ck_assert_ptr_nonnull(line);
	ck_assert_str_eq(line, wanted);
}

START_TEST(fields_and_error)
{
	struct kvm_userspace_memory_region region = { .slot = 3, .memory_size = 0x1001 };

	check_line(KVM_SET_USER_MEMORY_REGION, &region,
		   "KVM_SET_USER_MEMORY_REGION(vm=1, slot=3, flags=0x0, guest_phys_addr=0x0, "
		   "memory_size=0x1001, userspace_addr=0x0) = -EINVAL");
	check_line(KVM_SET_USER_MEMORY_REGION, (void *)1,
		   "KVM_SET_USER_MEMORY_REGION(vm=1) = -EFAULT");
}
END_TEST

/* The status lies where the line's number was. */
START_TEST(given_and_returned)
{
	struct kvm_irq_level line = { .irq = 5, .level = 1 };

	check_line(KVM_IRQ_LINE_STATUS, &line,
		   "KVM_IRQ_LINE_STATUS(vm=1, irq=5, level=1) = -ENXIO");
	check_line(KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP(vm=1) = 0");
	check_line(KVM_IRQ_LINE_STATUS, &line,
		   "KVM_IRQ_LINE_STATUS(vm=1, irq=5->status=1, level=1) = 0");
	line.irq = 5;
	check_line(KVM_IRQ_LINE, &line, "KVM_IRQ_LINE(vm=1, irq=5, level=1) = 0");
}
END_TEST

/* A length that is too short is answered with the right one, though the call fails. */
START_TEST(length_that_was_wanted)
{
	struct kvm_msr_list list = { .nmsrs = 0 };
	char wanted[100];
	int kvm = fauxkvm_open(module);

	fauxkvm_ioctl(module, kvm, KVM_GET_MSR_FEATURE_INDEX_LIST, &list);
	ck_assert_uint_gt(list.nmsrs, 0);
	snprintf(wanted, sizeof(wanted),
		 "KVM_GET_MSR_FEATURE_INDEX_LIST(system, nmsrs=0->%u) = -E2BIG", list.nmsrs);
	list.nmsrs = 0;
	vm = kvm;
	check_line(KVM_GET_MSR_FEATURE_INDEX_LIST, &list, wanted);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("abi/trace");
	TCase *tcase = tcase_create("trace");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, fields_and_error);
	tcase_add_test(tcase, given_and_returned);
	tcase_add_test(tcase, length_that_was_wanted);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
