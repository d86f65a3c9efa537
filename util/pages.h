/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Large objects in mappings of their own, so that they leave no holes in the client's heap. */
#ifndef FAUXKVM_UTIL_PAGES_H
#define FAUXKVM_UTIL_PAGES_H

#include <stddef.h>

/*
 * @bytes (> 0), page aligned and zeroed; costs memory only where it is touched. NULL: out of memory.
 * Any thread.
 */
void *pages_alloc(size_t bytes);
/* @at: from pages_alloc(@bytes), or NULL. */
void pages_free(void *at, size_t bytes);

#endif
