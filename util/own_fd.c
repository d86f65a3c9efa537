/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#include "util/own_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

/* Higher ones are kept too, but not remembered. */
#define NUMBERS_MAX 65536
#define WORD_BITS 64

static atomic_uint_fast64_t known[NUMBERS_MAX / WORD_BITS];

static uint64_t bit(int fd)
{
	return 1ull << (fd % WORD_BITS);
}

int own_fd_keep(int fd)
{
	int saved = errno, high;

	if (fd < 0)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, OWN_FD_MIN);
	if (high >= 0) {
		close(fd);
		fd = high;
	}
	errno = saved;
	if (fd < NUMBERS_MAX)
		atomic_fetch_or(&known[fd / WORD_BITS], bit(fd));
	return fd;
}

void own_fd_close(int fd)
{
	if (fd < 0)
		return;
	/* Forgotten first: the number may be somebody else's as soon as it is closed. */
	if (fd < NUMBERS_MAX)
		atomic_fetch_and(&known[fd / WORD_BITS], ~bit(fd));
	close(fd);
}

bool own_fd_is(int fd)
{
	return fd >= 0 && fd < NUMBERS_MAX && (atomic_load(&known[fd / WORD_BITS]) & bit(fd));
}

int own_fd_next(int fd)
{
	for (; fd >= 0 && fd < NUMBERS_MAX; fd = (fd / WORD_BITS + 1) * WORD_BITS) {
		uint64_t word = atomic_load(&known[fd / WORD_BITS]) & -bit(fd);

		if (word)
			return fd / WORD_BITS * WORD_BITS + __builtin_ctzll(word);
	}
	return -1;
}
