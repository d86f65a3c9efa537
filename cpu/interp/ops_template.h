/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Templates of handlers with a memory operand, and the condition codes.
 *
 * A handler is made twice from one body. The hot one contains no call, so that the compiler needs
 * neither a stack frame nor saved registers for it; where the software TLB does not answer, or the
 * operand has to be checked, it goes over to its slow twin, which does the same through mem.h.
 */
#ifndef FAUXKVM_CPU_INTERP_OPS_TEMPLATE_H
#define FAUXKVM_CPU_INTERP_OPS_TEMPLATE_H

#include "cpu/interp/mem.h"
#include "cpu/interp/opcodes.h"

#define always_inline inline __attribute__((always_inline))
#define slow_twin __attribute__((noinline, cold))

/* Host address of the memory operand, or NULL: the slow twin's case. */
static always_inline void *mem_fast(struct vcpu *cpu, const struct insn *insn, unsigned bytes,
				    enum access access)
{
	uint64_t linear = mem_linear(cpu, insn, insn->seg, mem_offset(cpu, insn));
	uint8_t *p = mmu_lookup(&cpu->mmu, linear, bytes, access, cpu->data_mode);

	cpu->insn_now = insn;
	return unlikely(insn->flags & INSN_CHECK) ? NULL : p;
}

#define BODY static always_inline void

/* name_body(cpu, insn, value) with the operand's value. @check comes before the access. */
#define LOAD_HANDLER_IF(name, bits, check)                                                         \
static slow_twin void name##_slow(struct vcpu *cpu, const struct insn *insn)                       \
{                                                                                                  \
	return name##_body(cpu, insn, load##bits(cpu, insn));                                      \
}                                                                                                  \
static void name(struct vcpu *cpu, const struct insn *insn)                                        \
{                                                                                                  \
	void *p;                                                                                   \
                                                                                                   \
	check;                                                                                     \
	p = mem_fast(cpu, insn, (bits) / 8, ACCESS_READ);                                          \
	if (unlikely(!p))                                                                          \
		return name##_slow(cpu, insn);                                                     \
	return name##_body(cpu, insn, *(volatile uint##bits##_t *)p);                              \
}
#define LOAD_HANDLER(name, bits) LOAD_HANDLER_IF(name, bits, (void)0)

/* The same body with a register or with memory as its source: name_reg, name_mem. */
#define SOURCE_HANDLERS_IF(name, bits, check)                                                      \
static void name##_reg##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	check;                                                                                     \
	return name##_mem##bits##_body(cpu, insn, REG##bits(cpu, insn->rm));                       \
}                                                                                                  \
LOAD_HANDLER_IF(name##_mem##bits, bits, check)
#define SOURCE_HANDLERS(name, bits) SOURCE_HANDLERS_IF(name, bits, (void)0)

/* Stores @value, an expression of registers and the immediate. */
#define STORE_HANDLER(name, bits, value)                                                           \
static slow_twin void name##_slow(struct vcpu *cpu, const struct insn *insn)                       \
{                                                                                                  \
	store##bits(cpu, insn, (uint##bits##_t)(value));                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void name(struct vcpu *cpu, const struct insn *insn)                                        \
{                                                                                                  \
	void *p = mem_fast(cpu, insn, (bits) / 8, ACCESS_WRITE);                                   \
                                                                                                   \
	if (unlikely(!p))                                                                          \
		return name##_slow(cpu, insn);                                                     \
	*(volatile uint##bits##_t *)p = (uint##bits##_t)(value);                                   \
	NEXT(cpu, insn);                                                                           \
}

/*
 * name_body(cpu, insn, p, slow) with a pointer to the operand: one host instruction on *p, then
 * rmw_finish(), and only then registers and flags.
 */
#define RMW_HANDLER(name, bits)                                                                    \
static slow_twin void name##_slow(struct vcpu *cpu, const struct insn *insn)                       \
{                                                                                                  \
	return name##_body(cpu, insn, rmw##bits(cpu, insn), true);                                 \
}                                                                                                  \
static void name(struct vcpu *cpu, const struct insn *insn)                                        \
{                                                                                                  \
	void *p = mem_fast(cpu, insn, (bits) / 8, ACCESS_WRITE);                                   \
                                                                                                   \
	if (unlikely(!p))                                                                          \
		return name##_slow(cpu, insn);                                                     \
	return name##_body(cpu, insn, p, false);                                                   \
}

static always_inline void rmw_finish(struct vcpu *cpu, const struct insn *insn, bool slow)
{
	if (slow)
		rmw_done(cpu, insn);
}

/* ---- the stack ---- */

/* 64-bit operands exist in 64-bit code only: there the stack needs no look at its size. */
static always_inline unsigned stack_bytes(const struct insn *insn, unsigned bits)
{
	return bits == 64 ? 8 : insn->stack;
}

static always_inline uint64_t stack_wrap(const struct insn *insn, unsigned bits, uint64_t offset)
{
	unsigned bytes = stack_bytes(insn, bits);

	return bytes == 8 ? offset : bytes == 4 ? (uint32_t)offset : (uint16_t)offset;
}

static always_inline unsigned stack_segment(const struct insn *insn, unsigned bits)
{
	return stack_bytes(insn, bits) == 8 ? SEG_FLAT : SEG_SS;
}

/* Offset of the stack's top, moved by @move bytes. */
static always_inline uint64_t stack_top(const struct vcpu *cpu, const struct insn *insn,
					unsigned bits, int64_t move)
{
	return stack_wrap(insn, bits, cpu->state.gpr[GPR_RSP] + (uint64_t)move);
}

static always_inline void stack_commit(struct vcpu *cpu, const struct insn *insn, unsigned bits,
				       uint64_t top)
{
	if (stack_bytes(insn, bits) == 2)
		SET16(cpu, GPR_RSP * 8, top);
	else
		cpu->state.gpr[GPR_RSP] = top;
}

/* Host address of @bits at @offset in the stack, or NULL. */
static always_inline void *stack_fast(struct vcpu *cpu, const struct insn *insn, unsigned bits,
				      uint64_t offset, enum access access)
{
	uint64_t linear = bits == 64 ? offset : mem_linear(cpu, insn, stack_segment(insn, bits),
							   offset);
	uint8_t *p = mmu_lookup(&cpu->mmu, linear, bits / 8, access, cpu->data_mode);

	cpu->insn_now = insn;
	return unlikely(insn->flags & INSN_CHECK) ? NULL : p;
}

/* name_body(cpu, insn, top) runs after @value has been stored at the new top, not committed yet. */
#define PUSH_HANDLER(name, bits, value)                                                            \
static slow_twin void name##_slow(struct vcpu *cpu, const struct insn *insn)                       \
{                                                                                                  \
	uint64_t top = stack_top(cpu, insn, bits, -(bits) / 8);                                    \
                                                                                                   \
	seg_write##bits(cpu, insn, stack_segment(insn, bits), top, (uint##bits##_t)(value));       \
	return name##_body(cpu, insn, top);                                                        \
}                                                                                                  \
static void name(struct vcpu *cpu, const struct insn *insn)                                        \
{                                                                                                  \
	uint64_t top = stack_top(cpu, insn, bits, -(bits) / 8);                                    \
	void *p = stack_fast(cpu, insn, bits, top, ACCESS_WRITE);                                  \
                                                                                                   \
	if (unlikely(!p))                                                                          \
		return name##_slow(cpu, insn);                                                     \
	*(volatile uint##bits##_t *)p = (uint##bits##_t)(value);                                   \
	return name##_body(cpu, insn, top);                                                        \
}

/* name_body(cpu, insn, value) with what the stack's top holds; moves the top itself. */
#define POP_HANDLER(name, bits)                                                                    \
static slow_twin void name##_slow(struct vcpu *cpu, const struct insn *insn)                       \
{                                                                                                  \
	return name##_body(cpu, insn, seg_read##bits(cpu, insn, stack_segment(insn, bits),         \
						     stack_top(cpu, insn, bits, 0)));              \
}                                                                                                  \
static void name(struct vcpu *cpu, const struct insn *insn)                                        \
{                                                                                                  \
	void *p = stack_fast(cpu, insn, bits, stack_top(cpu, insn, bits, 0), ACCESS_READ);         \
                                                                                                   \
	if (unlikely(!p))                                                                          \
		return name##_slow(cpu, insn);                                                     \
	return name##_body(cpu, insn, *(volatile uint##bits##_t *)p);                              \
}

/* Elements of struct handlers. */
#define BY_SIZE(prefix) { prefix##8, prefix##16, prefix##32, prefix##64 }
#define BY_WIDE_SIZE(prefix) { NULL, prefix##16, prefix##32, prefix##64 }
#define BY_DWORD_SIZE(prefix) { NULL, NULL, prefix##32, prefix##64 }

/* Host flags into AX as struct cpu_state keeps them; and back. The latter changes AL. */
#define ASM_SAVE_FLAGS "\n\tlahf\n\tseto %%al"
#define ASM_LOAD_FLAGS "addb $0x7f, %%al\n\tsahf\n\t"
#define ASM_LOAD_CARRY "btl $8, %%eax\n\t"

/* A handler of an instruction that the guest's CPUID may lack. */
#define REQUIRE(cpu, insn, feature)                                                                \
	do {                                                                                       \
		if (unlikely(!(cpu)->features.feature))                                            \
			exception_ud((cpu), (insn));                                               \
	} while (0)

/* ---- condition codes, in the order of their encoding ---- */

#define FOR_EACH_CONDITION(X)                                                                      \
	X(o) X(no) X(b) X(ae) X(e) X(ne) X(be) X(a) X(s) X(ns) X(p) X(np) X(l) X(ge) X(le) X(g)

#define CONDITION(yes, no, expression)                                                             \
static always_inline bool condition_##yes(uint32_t arith) { return expression; }                   \
static always_inline bool condition_##no(uint32_t arith) { return !(expression); }

CONDITION(o, no, arith & ARITH_OF)
CONDITION(b, ae, arith & ARITH_CF)
CONDITION(e, ne, arith & ARITH_ZF)
CONDITION(be, a, arith & (ARITH_CF | ARITH_ZF))
CONDITION(s, ns, arith & ARITH_SF)
CONDITION(p, np, arith & ARITH_PF)
CONDITION(l, ge, (arith >> 15 ^ arith) & 1)
CONDITION(le, g, ((arith >> 15 ^ arith) & 1) || (arith & ARITH_ZF))

#undef CONDITION

#endif
