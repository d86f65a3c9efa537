/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding libc's own versions. */
#define _GNU_SOURCE
#include "preload/real.h"

#include <dlfcn.h>
#include <errno.h>

#include "preload/preload.h"

struct real real_calls;
atomic_bool real_resolved;

/*
 * Every name is in each glibc that we can be loaded with (2.34 and later), so dlsym() has no error
 * to report and does not allocate. Threads that come here together write the same values.
 */
void real_resolve(void)
{
	int saved = errno;

#define RESOLVE(name) real_calls.name = (__typeof__(real_calls.name))dlsym(RTLD_NEXT, #name);
	REAL_CALLS(RESOLVE)
#undef RESOLVE
	atomic_store_explicit(&real_resolved, true, memory_order_release);
	errno = saved;
}

/* Before the program could call us from a signal handler. */
__attribute__((constructor(101))) static void resolve_early(void)
{
	real_resolve();
}

long preload_result(long result)
{
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

long preload_answer(long result, int saved)
{
	if (result != -1)
		errno = saved;
	return result;
}
