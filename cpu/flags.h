/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RFLAGS between its architectural form and the split form of struct cpu_state. */
#ifndef FAUXKVM_CPU_FLAGS_H
#define FAUXKVM_CPU_FLAGS_H

#include "cpu/state.h"

/* arith: AH of LAHF in the high byte, OF in bit 0. */
#define ARITH_OF (1u << 0)
#define ARITH_CF (1u << 8)
#define ARITH_PF (1u << 10)
#define ARITH_AF (1u << 12)
#define ARITH_ZF (1u << 14)
#define ARITH_SF (1u << 15)

static inline uint32_t arith_to_rflags(uint16_t arith)
{
	return ((arith >> 8) & (RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF | RFLAGS_CF)) |
	       (arith & ARITH_OF ? RFLAGS_OF : 0);
}

static inline uint16_t rflags_to_arith(uint64_t rflags)
{
	return (uint16_t)(((rflags & 0xd5) << 8) | (rflags & RFLAGS_OF ? ARITH_OF : 0));
}

static inline uint64_t rflags_get(const struct cpu_state *s)
{
	return s->rflags | RFLAGS_FIXED | arith_to_rflags(s->arith);
}

/* Takes @value as is (bit 1 forced); the caller has masked what may not change. */
static inline void rflags_set(struct cpu_state *s, uint64_t value)
{
	s->rflags = (value & ~(uint64_t)RFLAGS_ARITH) | RFLAGS_FIXED;
	s->arith = rflags_to_arith(value);
}

#endif
