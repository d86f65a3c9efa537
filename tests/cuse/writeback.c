// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel writes a vCPU's pages back to the daemon while the daemon writes to them, maps memory
 * and is asked for more: cuse-writeback [SECONDS].
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include "kvm_client.h"

#define RUNNERS 8
#define MAKERS 2

GUEST(out_code, 64, "1: mov $20000, %ecx; loop .; out %al, $0x10; jmp 1b");

static atomic_bool over;
static atomic_ulong runs, syncs, made;

static pthread_barrier_t turn;
static bool last; /* written by one of them between two turns */

/* All at once, and then none: the daemon needs threads, and then it does not. */
static void *run(void *argument)
{
	struct vcpu *vcpu = argument;

	for (;;) {
		if (pthread_barrier_wait(&turn) == PTHREAD_BARRIER_SERIAL_THREAD)
			last = over;
		pthread_barrier_wait(&turn);
		if (last)
			return NULL;
		vcpu_expect_out(vcpu, 0x10, 1);
		runs++;
	}
}

static void *sync_pages(void *argument)
{
	struct vcpu *vcpu = argument;

	while (!over) {
		/* Whether the daemon has an fsync() or not: pages go first. */
		CHECK(!fsync(vcpu->fd) || errno == EINVAL, "fsync: %m");
		syncs++;
		usleep(100);
	}
	return NULL;
}

/* Mappings and threads of the daemon come and go. */
static void *make(void *argument)
{
	struct vm vm;
	struct vcpu vcpu;

	(void)argument;
	while (!over) {
		VM_BOOT(&vm, &vcpu, MODE_LONG, out_code);
		vcpu_expect_out(&vcpu, 0x10, 1);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
		made++;
	}
	return NULL;
}

static unsigned int seconds = 2;

static void written_back(void)
{
	pthread_t threads[2 * RUNNERS + MAKERS];
	struct vcpu vcpu[RUNNERS];
	unsigned int i, count = 0;
	struct vm vm;

	vm_create(&vm);
	pthread_barrier_init(&turn, NULL, RUNNERS);
	for (i = 0; i < RUNNERS; i++) {
		vcpu_create(&vm, &vcpu[i], i);
		VCPU_LOAD(&vcpu[i], MODE_LONG, out_code);
	}
	for (i = 0; i < RUNNERS; i++)
		pthread_create(&threads[count++], NULL, run, &vcpu[i]);
	for (i = 0; i < RUNNERS; i++)
		pthread_create(&threads[count++], NULL, sync_pages, &vcpu[i]);
	for (i = 0; i < MAKERS; i++)
		pthread_create(&threads[count++], NULL, make, NULL);
	sleep_ms(1000 * seconds);
	over = true;
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("# %lu exits, %lu syncs, %lu VMs\n", runs, syncs, made);
	CHECK(runs && syncs && made, "somebody had no turn");
}

static const struct test_case cases[] = {
	{ "written_back", written_back },
};

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atoi(argv[1]);
	return cases_main(1, argv, cases, ARRAY_SIZE(cases));
}
