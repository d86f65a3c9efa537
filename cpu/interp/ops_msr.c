/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RDMSR and WRMSR: the filter, the MSR, and user space for what fails
 * (KVM_CAP_X86_USER_SPACE_MSR). Source: Intel SDM volume 2; KVM document 4.97 and 7.21.
 */
#include <errno.h>
#include <string.h>

#include "cpu/interp/system.h"
#include "cpu/msr_filter.h"

/* The access failed: an exit where user space wants to know, else #GP. */
static _Noreturn void failed(struct vcpu *cpu, const struct insn *insn, enum replay_kind kind,
			     uint32_t reason, uint64_t data)
{
	uint64_t wanted = __atomic_load_n(&cpu->vm->user_msr_mask, __ATOMIC_RELAXED);
	uint32_t index = cpu->state.gpr[GPR_RCX];
	struct kvm_run *run = cpu->run;

	if (!(wanted & reason))
		exception_gp(cpu, insn, 0);
	replay_ask(cpu, kind, index);
	run->exit_reason = kind == REPLAY_RDMSR ? KVM_EXIT_X86_RDMSR : KVM_EXIT_X86_WRMSR;
	run->msr.error = 0;
	memset(run->msr.pad, 0, sizeof(run->msr.pad));
	run->msr.reason = reason;
	run->msr.index = index;
	run->msr.data = data;
	interp_leave(cpu, insn, ENGINE_EXIT);
}

static uint32_t reason_of(int error)
{
	return error == -ENOENT ? KVM_MSR_EXIT_REASON_UNKNOWN : KVM_MSR_EXIT_REASON_INVAL;
}

void op_rdmsr(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	const struct replay_entry *entry;
	uint32_t index = s->gpr[GPR_RCX];
	uint64_t value;
	int error;

	require_cpl0(cpu, insn);
	system_begin(cpu, insn);
	entry = replay_answer(cpu, REPLAY_RDMSR, index);
	if (entry) {
		if (entry->error)
			exception_gp(cpu, insn, 0);
		memcpy(&value, entry->data, sizeof(value));
	} else {
		if (!msr_filter_allows(cpu, index, false))
			failed(cpu, insn, REPLAY_RDMSR, KVM_MSR_EXIT_REASON_FILTER, 0);
		error = msr_read(cpu, index, &value, false);
		if (error)
			failed(cpu, insn, REPLAY_RDMSR, reason_of(error), 0);
	}
	s->gpr[GPR_RAX] = (uint32_t)value;
	s->gpr[GPR_RDX] = value >> 32;
	END_BLOCK(cpu, insn);
}

void op_wrmsr(struct vcpu *cpu, const struct insn *insn)
{
	struct cpu_state *s = &cpu->state;
	const struct replay_entry *entry;
	uint32_t index = s->gpr[GPR_RCX];
	uint64_t value = (uint32_t)s->gpr[GPR_RAX] | s->gpr[GPR_RDX] << 32;
	int error;

	require_cpl0(cpu, insn);
	system_begin(cpu, insn);
	entry = replay_answer(cpu, REPLAY_WRMSR, index);
	if (entry) {
		if (entry->error)
			exception_gp(cpu, insn, 0);
		END_BLOCK(cpu, insn);
	}
	if (!msr_filter_allows(cpu, index, true))
		failed(cpu, insn, REPLAY_WRMSR, KVM_MSR_EXIT_REASON_FILTER, value);
	error = msr_write(cpu, index, value, false);
	if (error)
		failed(cpu, insn, REPLAY_WRMSR, reason_of(error), value);
	END_BLOCK(cpu, insn);
}
