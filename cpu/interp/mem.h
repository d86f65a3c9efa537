/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operand access. The inline functions hit the software TLB; everything else (miss, page crossing,
 * MMIO, code page, watchpoint, checks) is mem.c. None returns when the access faults, exits or has
 * to be restarted.
 */
#ifndef FAUXKVM_CPU_INTERP_MEM_H
#define FAUXKVM_CPU_INTERP_MEM_H

#include <string.h>

#include "cpu/interp/insn.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* ---- slow paths (mem.c) ---- */

/* Reads/writes @bytes (1..64) at linear @address with the rights of @mode. */
void mem_read_slow(struct vcpu *cpu, const struct insn *insn, uint64_t address, void *data,
		   unsigned bytes, enum tlb_mode mode);
void mem_write_slow(struct vcpu *cpu, const struct insn *insn, uint64_t address, const void *data,
		    unsigned bytes, enum tlb_mode mode);
void *mem_rmw_slow(struct vcpu *cpu, const struct insn *insn, uint64_t address, unsigned bytes);
void mem_rmw_commit(struct vcpu *cpu, const struct insn *insn);
/* Segment type and limit, alignment (#AC): faults or returns. @offset within @seg. */
void mem_check(struct vcpu *cpu, const struct insn *insn, unsigned seg, uint64_t offset,
	       unsigned bytes, enum access access);

/* ---- addresses ---- */

static inline uint64_t insn_lmask(const struct vcpu *cpu)
{
	return state_long(&cpu->state) ? ~0ull : 0xffffffffull;
}

/* Offset of the memory operand in its segment. */
static inline uint64_t mem_offset(const struct vcpu *cpu, const struct insn *insn)
{
	const uint64_t *gpr = cpu->state.gpr;

	return (gpr[insn->base] + (gpr[insn->index] << insn->scale) + (uint64_t)insn->disp) &
	       insn->amask;
}

/* Linear address of @offset in @seg (SEG_FLAT allowed); 32 bits wide outside 64-bit code. */
static inline uint64_t mem_linear(const struct vcpu *cpu, const struct insn *insn, unsigned seg,
				  uint64_t offset)
{
	uint64_t linear = offset + cpu->state.base[seg];

	return insn->code == 8 ? linear : (uint32_t)linear;
}

/* Linear address of the memory operand, checked for an access of @bytes. */
static inline uint64_t mem_operand(struct vcpu *cpu, const struct insn *insn, unsigned bytes,
				   enum access access)
{
	uint64_t offset = mem_offset(cpu, insn);

	if (unlikely(insn->flags & INSN_CHECK))
		mem_check(cpu, insn, insn->seg, offset, bytes, access);
	return mem_linear(cpu, insn, insn->seg, offset);
}

/* ---- linear accesses of 1, 2, 4, 8 bytes; no segment checks ---- */

#define MEM_LINEAR(bits)                                                                           \
static inline uint##bits##_t lin_read##bits(struct vcpu *cpu, const struct insn *insn,            \
					    uint64_t address, enum tlb_mode mode)                  \
{                                                                                                  \
	uint8_t *p = mmu_lookup(&cpu->mmu, address, (bits) / 8, ACCESS_READ, mode);                \
	uint##bits##_t value;                                                                      \
                                                                                                   \
	cpu->insn_now = insn;                                                                      \
	if (likely(p))                                                                             \
		return *(volatile uint##bits##_t *)p;                                              \
	mem_read_slow(cpu, insn, address, &value, (bits) / 8, mode);                               \
	return value;                                                                              \
}                                                                                                  \
static inline void lin_write##bits(struct vcpu *cpu, const struct insn *insn, uint64_t address,   \
				   uint##bits##_t value, enum tlb_mode mode)                       \
{                                                                                                  \
	uint8_t *p = mmu_lookup(&cpu->mmu, address, (bits) / 8, ACCESS_WRITE, mode);               \
                                                                                                   \
	cpu->insn_now = insn;                                                                      \
	if (likely(p))                                                                             \
		*(volatile uint##bits##_t *)p = value;                                             \
	else                                                                                       \
		mem_write_slow(cpu, insn, address, &value, (bits) / 8, mode);                      \
}                                                                                                  \
/* The ModRM memory operand, data rights of the current mode. */                                   \
static inline uint##bits##_t load##bits(struct vcpu *cpu, const struct insn *insn)                \
{                                                                                                  \
	return lin_read##bits(cpu, insn, mem_operand(cpu, insn, (bits) / 8, ACCESS_READ),          \
			      cpu->data_mode);                                                     \
}                                                                                                  \
static inline void store##bits(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)   \
{                                                                                                  \
	lin_write##bits(cpu, insn, mem_operand(cpu, insn, (bits) / 8, ACCESS_WRITE), value,        \
			cpu->data_mode);                                                           \
}                                                                                                  \
/* Read-modify-write: a pointer to the operand, of which the handler makes one (LOCK: host atomic)   \
 * access sequence, followed by rmw_done(). The access is checked as a write. */                   \
static inline uint##bits##_t *rmw##bits(struct vcpu *cpu, const struct insn *insn)                \
{                                                                                                  \
	uint64_t address = mem_operand(cpu, insn, (bits) / 8, ACCESS_WRITE);                       \
	uint8_t *p = mmu_lookup(&cpu->mmu, address, (bits) / 8, ACCESS_WRITE, cpu->data_mode);     \
                                                                                                   \
	cpu->insn_now = insn;                                                                      \
	if (likely(p))                                                                             \
		return (uint##bits##_t *)p;                                                        \
	return mem_rmw_slow(cpu, insn, address, (bits) / 8);                                       \
}                                                                                                  \
/* @offset in @seg (as encoded by the instruction or implied), checked. */                         \
static inline uint##bits##_t seg_read##bits(struct vcpu *cpu, const struct insn *insn,            \
					    unsigned seg, uint64_t offset)                         \
{                                                                                                  \
	if (unlikely(insn->flags & INSN_CHECK))                                                    \
		mem_check(cpu, insn, seg, offset, (bits) / 8, ACCESS_READ);                        \
	return lin_read##bits(cpu, insn, mem_linear(cpu, insn, seg, offset), cpu->data_mode);      \
}                                                                                                  \
static inline void seg_write##bits(struct vcpu *cpu, const struct insn *insn, unsigned seg,       \
				   uint64_t offset, uint##bits##_t value)                          \
{                                                                                                  \
	if (unlikely(insn->flags & INSN_CHECK))                                                    \
		mem_check(cpu, insn, seg, offset, (bits) / 8, ACCESS_WRITE);                       \
	lin_write##bits(cpu, insn, mem_linear(cpu, insn, seg, offset), value, cpu->data_mode);     \
}

MEM_LINEAR(8)
MEM_LINEAR(16)
MEM_LINEAR(32)
MEM_LINEAR(64)

static inline void rmw_done(struct vcpu *cpu, const struct insn *insn)
{
	if (unlikely(cpu->rmw_pending))
		mem_rmw_commit(cpu, insn);
}

/* Larger operands (up to 64 bytes): the memory operand as bytes. */
static inline void load_bytes(struct vcpu *cpu, const struct insn *insn, void *data, unsigned bytes)
{
	uint64_t address = mem_operand(cpu, insn, bytes, ACCESS_READ);
	uint8_t *p = mmu_lookup(&cpu->mmu, address, bytes, ACCESS_READ, cpu->data_mode);

	cpu->insn_now = insn;
	if (likely(p))
		memcpy(data, p, bytes);
	else
		mem_read_slow(cpu, insn, address, data, bytes, cpu->data_mode);
}

static inline void store_bytes(struct vcpu *cpu, const struct insn *insn, const void *data,
			       unsigned bytes)
{
	uint64_t address = mem_operand(cpu, insn, bytes, ACCESS_WRITE);
	uint8_t *p = mmu_lookup(&cpu->mmu, address, bytes, ACCESS_WRITE, cpu->data_mode);

	cpu->insn_now = insn;
	if (likely(p))
		memcpy(p, data, bytes);
	else
		mem_write_slow(cpu, insn, address, data, bytes, cpu->data_mode);
}

/* Any length at a linear address (XSAVE, descriptor tables): may be partly done when it faults. */
void mem_read_linear(struct vcpu *cpu, const struct insn *insn, uint64_t address, void *data,
		     unsigned bytes, enum tlb_mode mode);
void mem_write_linear(struct vcpu *cpu, const struct insn *insn, uint64_t address, const void *data,
		      unsigned bytes, enum tlb_mode mode);

/*
 * Host pointer to @bytes (inside one page) of plain RAM with the right for @access, or NULL (not
 * RAM, code page, would need a slow path every time). Faults like an access. For bulk strings.
 */
uint8_t *mem_host(struct vcpu *cpu, const struct insn *insn, uint64_t address, unsigned bytes,
		  enum access access);

/* ---- near control flow ---- */

/* New RIP after a near branch, checked: canonical in 64-bit code, CS limit elsewhere. */
static inline void branch_to(struct vcpu *cpu, const struct insn *insn, uint64_t target)
{
	if (insn->code == 8) {
		if (unlikely((uint64_t)((int64_t)(target << 16) >> 16) != target) &&
		    !(cpu->state.cr4 & CR4_LA57))
			exception_gp(cpu, insn, 0);
	} else if (unlikely(target > cpu->state.seg[SEG_CS].limit)) {
		exception_gp(cpu, insn, 0);
	}
	cpu->state.rip = target;
}

#endif
