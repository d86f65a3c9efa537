/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one user may have of the daemon, so that nobody can have it all. */
#include <errno.h>
#include <stdlib.h>

#include "cuse/daemon.h"

#define REQUESTS_MAX 2048 /* of one user at a time */

struct account {
	struct account *next;
	uid_t uid;
	unsigned vms, requests;
	uint64_t memory;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct account *accounts;
static unsigned vms_max;
static uint64_t memory_max;

void limits_set(unsigned vms, uint64_t memory)
{
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
static int take(uid_t uid, unsigned vms, unsigned requests, uint64_t memory, int error)
{
	struct account *account;
	int r = 0;

	pthread_mutex_lock(&lock);
	account = account_of(uid);
	if (!account)
		r = -ENOMEM;
	else if ((vms && account->vms + vms > vms_max) ||
		 (requests && account->requests + requests > REQUESTS_MAX) ||
		 (memory && (memory > memory_max || account->memory > memory_max - memory)))
		r = -error;
	if (!r) {
		account->vms += vms;
		account->requests += requests;
		account->memory += memory;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

static void give(uid_t uid, unsigned vms, unsigned requests, uint64_t memory)
{
	struct account *account;

	pthread_mutex_lock(&lock);
	account = account_of(uid);
	if (account) {
		account->vms -= vms;
		account->requests -= requests;
		account->memory -= memory;
	}
	pthread_mutex_unlock(&lock);
}

int limits_take_vm(uid_t uid)
{
	int r = take(uid, 1, 0, 0, ENOMEM);

	if (r)
		LOG(INFO, "user %u has as many VMs as --max-vms allows", uid);
	return r;
}

void limits_give_vm(uid_t uid)
{
	give(uid, 1, 0, 0);
}

int limits_take_memory(uid_t uid, uint64_t bytes)
{
	int r = bytes ? take(uid, 0, 0, bytes, ENOMEM) : 0;

	if (r)
		LOG(INFO, "user %u has as much guest memory as --max-memory allows", uid);
	return r;
}

void limits_give_memory(uid_t uid, uint64_t bytes)
{
	if (bytes)
		give(uid, 0, 0, bytes);
}

int limits_take_request(uid_t uid)
{
	return take(uid, 0, 1, 0, EAGAIN);
}

void limits_give_request(uid_t uid)
{
	give(uid, 0, 1, 0);
}
