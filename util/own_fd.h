/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that the core keeps open for itself in a process that it shares with its client.
 *
 * They sit above the numbers that programs choose, and are known, so that a client that guesses (or
 * mistypes) a number can neither close one nor have its events consumed. Any thread, no locks.
 */
#ifndef FAUXKVM_UTIL_OWN_FD_H
#define FAUXKVM_UTIL_OWN_FD_H

#include <stdbool.h>

/* The lowest number used where RLIMIT_NOFILE allows. */
#define OWN_FD_MIN 512

/* Moves a new @fd up and remembers it: the new number. A negative @fd is returned as it is. */
int own_fd_keep(int fd);

/* Closes what own_fd_keep() returned; nothing for a negative @fd. */
void own_fd_close(int fd);

/* Whether @fd is one of these. */
bool own_fd_is(int fd);

/* The first of these from @fd on, or -1. */
int own_fd_next(int fd);

#endif
