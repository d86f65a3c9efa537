/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/pages.h"

#include <sys/mman.h>

void *pages_alloc(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void pages_free(void *at, size_t bytes)
{
	if (at)
		munmap(at, bytes);
}
