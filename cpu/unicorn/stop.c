/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside Unicorn, linked into it (see CMakeLists.txt): how its code is left with exact state, and
 * how it calls us.
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
bool cpu_restore_state_x86_64(void *cpu, uintptr_t return_address, bool leaves);
bool unicorn_restore_state(uintptr_t host_pc);

/* Unicorn takes addresses to be those that calls return to. */
#define RETURN_ADDRESS 2

/* As util/guard.h has it: no call to find them. */
#define THREAD static __thread __attribute__((tls_model("initial-exec")))

THREAD void *running;
/* Where in translated code, while a load or store is made by Unicorn's own C; else 0. */
THREAD uintptr_t called_from;

int __wrap_cpu_exec_x86_64(void *unicorn, void *cpu)
{
	running = cpu;
	called_from = 0;
	return __real_cpu_exec_x86_64(unicorn, cpu);
}

/* Loads and stores of pages that Unicorn's TLB does not have; it does them after the look-up. */

#define LOAD(name)                                                                                 \
	uint64_t __real_##name(void *env, uint64_t address, uint32_t how, uintptr_t from);         \
	uint64_t __wrap_##name(void *env, uint64_t address, uint32_t how, uintptr_t from);         \
	uint64_t __wrap_##name(void *env, uint64_t address, uint32_t how, uintptr_t from)          \
	{                                                                                          \
		uint64_t value;                                                                    \
                                                                                                   \
		called_from = from;                                                                \
		value = __real_##name(env, address, how, from);                                    \
		called_from = 0;                                                                   \
		return value;                                                                      \
	}
#define STORE(name)                                                                                \
	void __real_##name(void *env, uint64_t address, uint64_t value, uint32_t how,              \
			   uintptr_t from);                                                        \
	void __wrap_##name(void *env, uint64_t address, uint64_t value, uint32_t how,              \
			   uintptr_t from);                                                        \
	void __wrap_##name(void *env, uint64_t address, uint64_t value, uint32_t how,              \
			   uintptr_t from)                                                         \
	{                                                                                          \
		called_from = from;                                                                \
		__real_##name(env, address, value, how, from);                                     \
		called_from = 0;                                                                   \
	}

LOAD(helper_ret_ldub_mmu_x86_64)
LOAD(helper_le_lduw_mmu_x86_64)
LOAD(helper_le_ldul_mmu_x86_64)
LOAD(helper_le_ldq_mmu_x86_64)
LOAD(helper_be_lduw_mmu_x86_64)
LOAD(helper_be_ldul_mmu_x86_64)
LOAD(helper_be_ldq_mmu_x86_64)
STORE(helper_ret_stb_mmu_x86_64)
STORE(helper_le_stw_mmu_x86_64)
STORE(helper_le_stl_mmu_x86_64)
STORE(helper_le_stq_mmu_x86_64)
STORE(helper_be_stw_mmu_x86_64)
STORE(helper_be_stl_mmu_x86_64)
STORE(helper_be_stq_mmu_x86_64)

/* They do not return when the guest is to have a fault. */

#define LEAVE(name)                                                                                \
	_Noreturn void __real_##name(void *cpu, uintptr_t from);                                   \
	_Noreturn void __wrap_##name(void *cpu, uintptr_t from);                                   \
	_Noreturn void __wrap_##name(void *cpu, uintptr_t from)                                    \
	{                                                                                          \
		called_from = 0;                                                                   \
		__real_##name(cpu, from);                                                          \
	}

LEAVE(cpu_loop_exit_x86_64)
LEAVE(cpu_loop_exit_noexc_x86_64)
LEAVE(cpu_loop_exit_restore_x86_64)
LEAVE(cpu_loop_exit_atomic_x86_64)

/*
 * General registers are in their places whenever code touches memory. RIP and what the flags are to
 * be computed from depend on where it was, as for a fault of the guest's.
 */
bool unicorn_restore_state(uintptr_t host_pc)
{
	const uintptr_t from = called_from;

	called_from = 0;
	return cpu_restore_state_x86_64(running, host_pc + RETURN_ADDRESS, true) ||
	       (from && cpu_restore_state_x86_64(running, from, true));
}

/* ---- calls ---- */

#define INVALID_OPCODE 6

typedef bool callout_function(void *opaque, void *env, uintptr_t from);

void __wrap_helper_fwait_x86_64(void *env);
_Noreturn void raise_exception_ra_x86_64(void *env, int exception, uintptr_t from);
void unicorn_set_callout(callout_function *function, void *opaque);
bool unicorn_locate(uintptr_t from);

THREAD callout_function *callout;
THREAD void *callout_opaque;

void unicorn_set_callout(callout_function *function, void *opaque)
{
	callout = function;
	callout_opaque = opaque;
}

bool unicorn_locate(uintptr_t from)
{
	return cpu_restore_state_x86_64(running, from, false);
}

/* As if there were no such instruction: that stops with exact state. */
void __wrap_helper_fwait_x86_64(void *env)
{
	const uintptr_t from = (uintptr_t)__builtin_return_address(0);
	bool done;

	called_from = from;
	done = callout(callout_opaque, env, from);
	called_from = 0;
	if (!done)
		raise_exception_ra_x86_64(env, INVALID_OPCODE, from);
}
