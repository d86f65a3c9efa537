/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside Unicorn, linked into it (see CMakeLists.txt): how its code is left with exact state.
 *
 * Unicorn's own has translated code look after every load and store whether it is to stop. A stop
 * asked for by another thread then leaves in the middle of a block, even of an instruction, with
 * RIP at the block's start: the state is lost. Without it code stops only where blocks begin, and
 * there the state is exact. (The one way to the same with the public interface alone is a hook on
 * every block, which costs 1.4 ns a block: up to twice the time of a tight loop.)
 */
#include <stdbool.h>
#include <stdint.h>

void check_exit_request_x86_64(void *context);

void check_exit_request_x86_64(void *context)
{
	(void)context;
}

/* ---- faults of the host in translated code ---- */

int __real_cpu_exec_x86_64(void *unicorn, void *cpu);
int __wrap_cpu_exec_x86_64(void *unicorn, void *cpu);
bool cpu_restore_state_x86_64(void *cpu, uintptr_t host_pc, bool leaves);
bool unicorn_restore_state(uintptr_t host_pc);

/* Unicorn takes addresses to be those that calls return to. */
#define RETURN_ADDRESS 2

static __thread void *running;

int __wrap_cpu_exec_x86_64(void *unicorn, void *cpu)
{
	running = cpu;
	return __real_cpu_exec_x86_64(unicorn, cpu);
}

/*
 * General registers are in their places whenever code touches memory. RIP and what the flags are to
 * be computed from depend on where it was, as for a fault of the guest's.
 */
bool unicorn_restore_state(uintptr_t host_pc)
{
	return cpu_restore_state_x86_64(running, host_pc + RETURN_ADDRESS, true);
}
