/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the handlers of system instructions share. */
#include "cpu/interp/system.h"

_Noreturn void system_failed(struct vcpu *cpu, const struct insn *insn, int status)
{
	switch (status) {
	case ACCESS_EXCEPTION:
		exception_recorded(cpu, insn);
	case ACCESS_HOST_FAULT:
		interp_leave(cpu, insn, ENGINE_ERROR);
	default:
		interp_emulation_error(cpu, insn);
	}
}

static unsigned stack_segment(const struct insn *insn)
{
	return insn->code == 8 ? SEG_FLAT : SEG_SS;
}

static uint64_t stack_address(struct vcpu *cpu, const struct insn *insn, uint64_t sp,
			      unsigned bytes, enum access access)
{
	unsigned seg = stack_segment(insn);

	if (insn->code != 8 || (insn->flags & INSN_CHECK))
		mem_check(cpu, insn, seg, sp, bytes, access);
	return mem_linear(cpu, insn, seg, sp);
}

uint64_t system_stack_read(struct vcpu *cpu, const struct insn *insn, uint64_t sp, unsigned size)
{
	uint64_t linear;

	sp &= system_stack_mask(cpu, insn);
	linear = stack_address(cpu, insn, sp, size, ACCESS_READ);
	switch (size) {
	case 2:
		return lin_read16(cpu, insn, linear, cpu->data_mode);
	case 4:
		return lin_read32(cpu, insn, linear, cpu->data_mode);
	default:
		return lin_read64(cpu, insn, linear, cpu->data_mode);
	}
}

static void stack_write(struct vcpu *cpu, const struct insn *insn, uint64_t linear,
			const void *data, unsigned bytes)
{
	uint8_t *p = mmu_lookup(&cpu->mmu, linear, bytes, ACCESS_WRITE, cpu->data_mode);

	cpu->insn_now = insn;
	if (p)
		memcpy(p, data, bytes);
	else
		mem_write_slow(cpu, insn, linear, data, bytes, cpu->data_mode);
}

uint64_t system_stack_push(struct vcpu *cpu, const struct insn *insn, const uint64_t *values,
			   unsigned count, unsigned size)
{
	uint64_t mask = system_stack_mask(cpu, insn);
	uint64_t sp = cpu->state.gpr[GPR_RSP], low = (sp - count * size) & mask;
	uint8_t image[64];
	unsigned i;

	if (low + count * size - 1 > mask && mask != ~0ull) {
		for (i = 0; i < count; i++) {
			sp = (sp - size) & mask;
			stack_write(cpu, insn, stack_address(cpu, insn, sp, size, ACCESS_WRITE),
				    &values[i], size);
		}
		return sp;
	}
	for (i = 0; i < count; i++)
		memcpy(image + i * size, &values[count - 1 - i], size);
	stack_write(cpu, insn, stack_address(cpu, insn, low, count * size, ACCESS_WRITE), image,
		    count * size);
	return low;
}
