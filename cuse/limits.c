/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one user may have of the daemon, so that nobody can have it all. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuse/daemon.h"

#define REQUESTS_MAX 2048 /* of one user at a time */
#define MAPPINGS_USUAL 65530

struct account {
	struct account *next;
	uid_t uid;
	unsigned vms, requests, windows;
	uint64_t memory;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct account *accounts;
static unsigned vms_max, windows_max;
static uint64_t memory_max;

/* Of the mappings that the kernel allows us one user gets no more than half. */
static unsigned half_of_mappings(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned most = MAPPINGS_USUAL;

	if (file) {
		if (fscanf(file, "%u", &most) != 1)
			most = MAPPINGS_USUAL;
		fclose(file);
	}
	return most / 2;
}

void limits_set(unsigned vms, uint64_t memory)
{
	windows_max = half_of_mappings();
	vms_max = vms;
	memory_max = memory;
}

/* Under the lock; NULL: no memory. An account stays: there are no more than users. */
static struct account *account_of(uid_t uid)
{
	struct account *account;

	for (account = accounts; account; account = account->next)
		if (account->uid == uid)
			return account;
	account = calloc(1, sizeof(*account));
	if (account) {
		account->uid = uid;
		account->next = accounts;
		accounts = account;
	}
	return account;
}

/* Adds, or with the maximum exceeded does not: -@error. */
static int take(uid_t uid, unsigned vms, unsigned requests, unsigned windows, uint64_t memory,
		int error)
{
	struct account *account;
	int r = 0;

	pthread_mutex_lock(&lock);
	account = account_of(uid);
	if (!account)
		r = -ENOMEM;
	else if ((vms && account->vms + vms > vms_max) ||
		 (requests && account->requests + requests > REQUESTS_MAX) ||
		 (windows && account->windows + windows > windows_max) ||
		 (memory && (memory > memory_max || account->memory > memory_max - memory)))
		r = -error;
	if (!r) {
		account->vms += vms;
		account->requests += requests;
		account->windows += windows;
		account->memory += memory;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

static void give(uid_t uid, unsigned vms, unsigned requests, unsigned windows, uint64_t memory)
{
	struct account *account;

	pthread_mutex_lock(&lock);
	account = account_of(uid);
	if (account) {
		account->vms -= vms;
		account->requests -= requests;
		account->windows -= windows;
		account->memory -= memory;
	}
	pthread_mutex_unlock(&lock);
}

int limits_take_vm(uid_t uid)
{
	int r = take(uid, 1, 0, 0, 0, ENOMEM);

	if (r)
		LOG(INFO, "user %u has as many VMs as --max-vms allows", uid);
	return r;
}

void limits_give_vm(uid_t uid)
{
	give(uid, 1, 0, 0, 0);
}

int limits_take_memory(uid_t uid, uint64_t bytes)
{
	int r = bytes ? take(uid, 0, 0, 0, bytes, ENOMEM) : 0;

	if (r)
		LOG(INFO, "user %u has as much guest memory as --max-memory allows", uid);
	return r;
}

void limits_give_memory(uid_t uid, uint64_t bytes)
{
	if (bytes)
		give(uid, 0, 0, 0, bytes);
}

int limits_take_window(uid_t uid)
{
	int r = take(uid, 0, 0, 1, 0, ENOMEM);

	if (r)
		LOG(INFO, "user %u has slots in half of all mappings that there can be", uid);
	return r;
}

void limits_give_window(uid_t uid)
{
	give(uid, 0, 0, 1, 0);
}

int limits_take_request(uid_t uid)
{
	return take(uid, 0, 1, 0, 0, EAGAIN);
}

void limits_give_request(uid_t uid)
{
	give(uid, 0, 1, 0, 0);
}
