/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ends of a process that it decides on itself: then statistics that were asked for are printed. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "preload/preload.h"
#include "preload/real.h"

/* exit(), and a return from main(). */
__attribute__((destructor)) static void at_exit(void)
{
	print_statistics();
}

static _Noreturn void end(int status)
{
	print_statistics();
	for (;;)
		kernel_call(SYS_exit_group, (unsigned long)status, 0, 0, 0, 0, 0);
}

EXPORT void _exit(int status)
{
	end(status);
}

EXPORT void _Exit(int status)
{
	end(status);
}
