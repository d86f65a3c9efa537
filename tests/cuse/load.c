// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Keeps vCPUs busy until KVM_RUN fails, then says how: cuse-load [VCPUS [VMS [SLOTS]]], with more
 * slots of two megabytes each. "ready" is printed when all run, then "run ERROR" and, for calls that
 * come after it, "then ERROR".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>

#include "kvm_client.h"

GUEST(busy_code, 64,
      "mov $0x30000, %edi; 1: mov $2000, %ecx; 2: add %rcx, (%rdi); loop 2b\n"
      "out %al, $0x10; jmp 1b");

#define VCPUS_MAX 16

static pthread_barrier_t ready;

static void *run(void *argument)
{
	struct vcpu *vcpu = argument;
	int r = vcpu_run(vcpu);

	if (r == KVM_EXIT_IO)
		pthread_barrier_wait(&ready);
	while (r == KVM_EXIT_IO || r == -EINTR)
		r = vcpu_run(vcpu);
	return (void *)(intptr_t)r;
}

int main(int argc, char **argv)
{
	int vcpus = argc > 1 ? atoi(argv[1]) : 1, vms = argc > 2 ? atoi(argv[2]) : 1;
	int slots = argc > 3 ? atoi(argv[3]) : 0, i, error;
	pthread_t threads[VCPUS_MAX];
	struct vcpu vcpu[VCPUS_MAX];
	struct vm vm[VCPUS_MAX];
	void *result;

	if (vcpus > VCPUS_MAX || vms > vcpus || vms < 1)
		return 2;
	for (i = 0; i < vms; i++)
		vm_create(&vm[i]);
	for (i = 1; i <= slots; i++) {
		error = vm_set_slot(&vm[0], i, 0, 0x1000000ull * i, RAM_BYTES,
				    pages_alloc(RAM_BYTES));
		CHECK(!error, "slot %d: %s", i, strerror(-error));
	}
	pthread_barrier_init(&ready, NULL, vcpus + 1);
	for (i = 0; i < vcpus; i++) {
		vcpu_create(&vm[i % vms], &vcpu[i], i);
		VCPU_LOAD(&vcpu[i], MODE_LONG, busy_code);
	}
	for (i = 0; i < vcpus; i++)
		pthread_create(&threads[i], NULL, run, &vcpu[i]);
	pthread_barrier_wait(&ready);
	puts("ready");
	fflush(stdout);
	for (i = 0; i < vcpus; i++) {
		pthread_join(threads[i], &result);
		printf("run %s\n", strerrorname_np(-(int)(intptr_t)result));
	}
	error = ioctl(vm[0].fd, KVM_CHECK_EXTENSION, 0) < 0 ? errno : 0;
	printf("then %s\n", error ? strerrorname_np(error) : "works");
	return 0;
}
