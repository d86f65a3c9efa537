/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bus lock detection (KVM_CAP_X86_BUS_LOCK_EXIT): locked accesses that cross a cache line. Where it
 * is on, locking instructions are decoded to a handler that looks at the address first; elsewhere it
 * costs nothing. Locks of uncached memory, the other kind of bus lock, are exits by themselves here.
 * Source: Intel SDM volume 3, 9.1.2.3; KVM document 7.23.
 */
#include "cpu/interp/interp.h"

#define CACHE_LINE 64

/* BTS, BTR, BTC with the bit in a register: the operand is the word that holds the bit. */
static bool bit_in_register(const struct insn *insn)
{
	return insn->map == 1 &&
	       (insn->opcode == 0xab || insn->opcode == 0xb3 || insn->opcode == 0xbb);
}

static unsigned operand_bytes(const struct insn *insn)
{
	bool pair = insn->map == 1 && insn->opcode == 0xc7; /* CMPXCHG8B, CMPXCHG16B */

	return pair ? (insn->opsize == 8 ? 16 : 8) : insn->opsize;
}

static uint64_t operand_address(const struct vcpu *cpu, const struct insn *insn)
{
	uint64_t offset = mem_offset(cpu, insn);

	if (bit_in_register(insn)) {
		unsigned bits = insn->opsize * 8;
		int64_t bit = insn->opsize == 2 ? (int16_t)REG16(cpu, insn->reg) :
			      insn->opsize == 4 ? (int32_t)REG32(cpu, insn->reg) :
						  (int64_t)REG64(cpu, insn->reg);

		offset += (uint64_t)(bit >> __builtin_ctz(bits)) * insn->opsize;
	}
	return mem_linear(cpu, insn, insn->seg, offset & insn->amask);
}

static void op_locked(struct vcpu *cpu, const struct insn *insn)
{
	insn_fn *handler = (insn_fn *)insn->thunk;

	if (likely((operand_address(cpu, insn) & (CACHE_LINE - 1)) + operand_bytes(insn) <=
		   CACHE_LINE)) {
		handler(cpu, insn);
		return;
	}
	/* Alone, so that the exit comes right behind it. */
	interp_alone(cpu, insn);
	handler(cpu, insn);
	cpu->bus_lock = true;
	atomic_store(&cpu->exit_request, 1);
}

void bus_lock_watch(struct insn *insn)
{
	bool exchange = !insn->map && (insn->opcode == 0x86 || insn->opcode == 0x87);

	if (!(insn->flags & INSN_MEM) || !(insn->flags & INSN_LOCK || exchange) || insn->thunk)
		return;
	insn->thunk = (void *)insn->fn;
	insn->fn = op_locked;
}
