/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A module, /dev/kvm and a VM, as a client of abi/fauxkvm.h has them. */
#ifndef FAUXKVM_TESTS_LIBRARY_FIXTURE_H
#define FAUXKVM_TESTS_LIBRARY_FIXTURE_H

#include "abi/fauxkvm.h"
#include "abi/kvm_compat.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BAD ((void *)1)
#define MMAP_BYTES (3 * 4096)
#define RAM_BYTES 0x4000

static struct fauxkvm *module;
static int kvm, vm;

static inline void setup(void)
{
	module = fauxkvm_create(NULL);
	ck_assert_ptr_nonnull(module);
	kvm = fauxkvm_open(module);
	ck_assert_int_ge(kvm, 0);
	vm = fauxkvm_ioctl(module, kvm, KVM_CREATE_VM, 0);
	ck_assert_int_gt(vm, 0);
}

static inline void teardown(void)
{
	fauxkvm_destroy(module);
}

#define ioctl_ok(handle, request, argument)                                                        \
	ck_assert_int_ge(fauxkvm_ioctl(module, handle, request, argument), 0)

#define ioctl_fails(handle, request, argument, error)                                              \
	do {                                                                                       \
		errno = 0;                                                                         \
		ck_assert_int_eq(fauxkvm_ioctl(module, handle, request, argument), -1);            \
		ck_assert_int_eq(errno, error);                                                    \
	} while (0)

static inline int create_vcpu(int id)
{
	int vcpu = fauxkvm_ioctl(module, vm, KVM_CREATE_VCPU, id);

	ck_assert_int_gt(vcpu, 0);
	return vcpu;
}

static inline void enable_split_irqchip(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	ioctl_ok(vm, KVM_ENABLE_CAP, &cap);
}

static inline uint8_t *map_ram(void)
{
	uint8_t *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	ck_assert_ptr_ne(ram, MAP_FAILED);
	return ram;
}

/* Runs each of @tests with a VM of its own; returns main()'s value. */
static inline int library_main(const char *name, const TTest *const *tests, size_t count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create("library");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
