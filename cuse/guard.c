/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process of its own that cuts the kernel's connections to the daemon when the daemon dies.
 *
 * They end by themselves when the last thread of the daemon closes its descriptors. It may not come
 * to that: a thread may wait for a file system that a client has, which never answers; and the end
 * of the address space comes first, in which the kernel (since 6.16) waits until the vCPUs' pages
 * have been written back, to the daemon. All clients would wait with it.
 *
 * The first thread of the daemon holds a robust mutex, which the kernel gives back at the very
 * beginning of its end, however that comes about. The process is made before the daemon locks its
 * memory: a fork later would take the pages away that must be there (pool.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cuse/daemon.h"

enum { MOUNT, DEVICE, CONNECTIONS };

static int orders = -1; /* the number of the mount's device, once */

/* Another instance of the file system that is usually at /sys/fs/fuse/connections. */
static int open_mount(unsigned device)
{
	char folder[] = "/run/fauxkvmd.XXXXXX", path[64];
	int fd = -1;

	if (!mkdtemp(folder))
		return -1;
	if (!mount("fauxkvm", folder, "fusectl", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) {
		snprintf(path, sizeof(path), "%s/%u/abort", folder, device);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		umount2(folder, MNT_DETACH);
	}
	rmdir(folder);
	return fd;
}

static int open_device(const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "/sys/class/cuse/%s/abort", name);
	return open(path, O_WRONLY | O_CLOEXEC);
}

/* Locked, for other processes too; NULL: no memory. */
static pthread_mutex_t *mutex_create(void)
{
	pthread_mutex_t *mutex =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attributes;

	if (mutex == MAP_FAILED)
		return NULL;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
	pthread_mutex_lock(mutex);
	return mutex;
}

static void __attribute__((noreturn))
guard(const struct daemon_options *options, pthread_mutex_t *mutex, int order)
{
	static const struct sigaction ignore = { .sa_handler = SIG_IGN };
	int fds[CONNECTIONS] = { -1, -1 }, i;
	unsigned device;

	/* Also when all processes of a service are told to end. */
	sigaction(SIGTERM, &ignore, NULL);
	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	prctl(PR_SET_NAME, "fauxkvmd-guard");
	/* Nobody is to wait for the end of a pipe because of us. */
	dup2(order, STDIN_FILENO);
	close(STDOUT_FILENO);
	close_range(STDERR_FILENO + 1, ~0u, 0);
	if (read(STDIN_FILENO, &device, sizeof(device)) != sizeof(device))
		_exit(0);
	fds[MOUNT] = open_mount(device);
	if (!options->file)
		fds[DEVICE] = open_device(options->device_name);
	if (fds[MOUNT] < 0 || (fds[DEVICE] < 0 && !options->file))
		LOG(WARN, "if the daemon dies badly its clients may hang: %m");
	close(STDIN_FILENO);
	close(STDERR_FILENO);
	confine_guard();
	if (pthread_mutex_lock(mutex) != EOWNERDEAD)
		_exit(1);
	for (i = 0; i < CONNECTIONS; i++)
		if (fds[i] >= 0 && write(fds[i], "1", 1) != 1)
			continue; /* it has ended by itself */
	_exit(0);
}

int guard_start(const struct daemon_options *options)
{
	pthread_mutex_t *mutex = mutex_create();
	int ends[2];
	pid_t pid;

	if (!mutex || pipe2(ends, O_CLOEXEC))
		return -ENOMEM;
	pid = fork();
	if (!pid)
		guard(options, mutex, ends[0]);
	close(ends[0]);
	orders = ends[1];
	return pid < 0 ? -errno : 0;
}

void guard_arm(void)
{
	unsigned device = minor(mount_device());

	if (write(orders, &device, sizeof(device)) != sizeof(device))
		LOG(WARN, "the guard has gone: %m");
	close(orders);
}
