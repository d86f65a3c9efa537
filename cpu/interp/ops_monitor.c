/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MONITOR and MWAIT. Normally both do nothing, as on KVM; with KVM_X86_DISABLE_EXITS_MWAIT the guest
 * may wait: until the monitored line is written, something comes for the vCPU, or a while has passed,
 * since MWAIT may end at any time. Source: Intel SDM volume 2; volume 3, 9.10.
 */
#include <string.h>

#include "cpu/interp/system.h"

#define MISC_ENABLE_MWAIT (1ull << 18)
#define LINE MONITOR_LINE_BYTES
#define EXTENSION_BREAK_ON_INTERRUPT 1u
#define SPINS 64      /* looks at the line before the thread sleeps */
#define PAUSES 32     /* between two looks */
#define DOZE_NS 50000 /* a store by another vCPU is noticed after this at the latest */
#define DOZES 20

static bool waits_in_guest(const struct vcpu *cpu)
{
	return vm_disabled_exits(cpu->vm) & KVM_X86_DISABLE_EXITS_MWAIT;
}

static bool guest_has_monitor(const struct vcpu *cpu)
{
	/* Without the quirk CPUID follows MISC_ENABLE. */
	if (vm_disabled_quirks(cpu->vm) & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT)
		return cpu->state.msr.misc_enable & MISC_ENABLE_MWAIT;
	return cpu->features.monitor;
}

static void check_monitor(struct vcpu *cpu, const struct insn *insn)
{
	/* KVM executes both as NOP even where CPUID lacks them, unless the quirk is disabled. */
	if (!guest_has_monitor(cpu) &&
	    (vm_disabled_quirks(cpu->vm) & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS))
		exception_ud(cpu, insn);
	if (state_cpl(&cpu->state))
		exception_ud(cpu, insn);
}

/* The line as it is now; false: it is not plain memory (any more). */
static bool line_read(struct vcpu *cpu, const struct insn *insn, uint64_t address,
		      uint8_t line[LINE])
{
	const uint8_t *host =
		mem_host(cpu, insn, address & ~(uint64_t)(LINE - 1), LINE, ACCESS_READ);

	if (host)
		memcpy(line, host, LINE);
	return host;
}

void op_monitor(struct vcpu *cpu, const struct insn *insn)
{
	check_monitor(cpu, insn);
	if (waits_in_guest(cpu)) {
		uint64_t offset = cpu->state.gpr[GPR_RAX] & insn->amask, address;

		if ((uint32_t)cpu->state.gpr[GPR_RCX])
			exception_gp(cpu, insn, 0);
		/* It faults like a load of one byte. */
		if (insn->flags & INSN_CHECK || insn->code != 8)
			mem_check(cpu, insn, insn->seg, offset, 1, ACCESS_READ);
		address = mem_linear(cpu, insn, insn->seg, offset);
		cpu->monitor.address = address;
		cpu->monitor.armed = line_read(cpu, insn, address, cpu->monitor.line);
	}
	END_BLOCK(cpu, insn);
}

static bool must_go_on(struct vcpu *cpu, const struct insn *insn)
{
	uint8_t now[LINE];

	return atomic_load_explicit(&cpu->exit_request, memory_order_relaxed) ||
	       !line_read(cpu, insn, cpu->monitor.address, now) ||
	       memcmp(now, cpu->monitor.line, LINE);
}

static void wait_for_store(struct vcpu *cpu, const struct insn *insn)
{
	unsigned i, j;

	for (i = 0; i < SPINS; i++) {
		if (must_go_on(cpu, insn))
			return;
		for (j = 0; j < PAUSES; j++)
			__builtin_ia32_pause();
	}
	for (i = 0; i < DOZES && !must_go_on(cpu, insn); i++)
		vcpu_doze(cpu, DOZE_NS);
}

void op_mwait(struct vcpu *cpu, const struct insn *insn)
{
	check_monitor(cpu, insn);
	if (waits_in_guest(cpu)) {
		if ((uint32_t)cpu->state.gpr[GPR_RCX] & ~EXTENSION_BREAK_ON_INTERRUPT)
			exception_gp(cpu, insn, 0);
		/* Without an armed monitor it does not wait; each MONITOR is for one MWAIT. */
		if (cpu->monitor.armed)
			wait_for_store(cpu, insn);
		cpu->monitor.armed = false;
	}
	END_BLOCK(cpu, insn);
}
