/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Eventfds of the client, which may be blocking, shared or not eventfds at all. */
#ifndef FAUXKVM_DEVICES_EVENTFD_H
#define FAUXKVM_DEVICES_EVENTFD_H

#include <stdbool.h>
#include <stdint.h>

/* The same for every descriptor of one eventfd. 0, or -EINVAL: not an eventfd. */
int eventfd_identity(int fd, uint64_t *identity);
/* Adds 1. */
void eventfd_signal(int fd);
/* Takes the count without ever blocking. False: it was 0. */
bool eventfd_consume(int fd);

#endif
