/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Eventfds of the client, which may be blocking, shared or not eventfds at all. */
#ifndef FAUXKVM_DEVICES_EVENTFD_H
#define FAUXKVM_DEVICES_EVENTFD_H

#include <stdbool.h>
#include <stdint.h>

/* The same for every descriptor of one eventfd. 0, or -EINVAL: not an eventfd. */
int eventfd_identity(int fd, uint64_t *identity);
/*
 * Of one kind in one VM (on one bus). A descriptor of ours each, which the client's own limit does not
 * count when it is another process: its own can be closed.
 */
#define EVENTFDS_MAX 4096

/* Adds 1 without ever blocking, where there is room. */
void eventfd_signal(int fd);
/* Takes the count without ever blocking. False: it was 0. */
bool eventfd_consume(int fd);

#endif
