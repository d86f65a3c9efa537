/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cache of thunks, and what emitting them shares. The cache is process wide: a thunk is a
 * function of the encoding alone and never changes once it is published, so VMs share nothing but
 * constants.
 */
#ifndef FAUXKVM_CPU_INTERP_THUNK_H
#define FAUXKVM_CPU_INTERP_THUNK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cpu/interp/insn.h"

#define THUNK_BYTES_MAX 256

struct emit {
	uint8_t *at;
};

static inline void emit_bytes(struct emit *e, const char *code, size_t count)
{
	memcpy(e->at, code, count);
	e->at += count;
}
#define EMIT(e, literal) emit_bytes((e), literal, sizeof(literal) - 1)

static inline void emit_byte(struct emit *e, uint8_t value)
{
	*e->at++ = value;
}

/* ModRM [base + disp32] with register field @reg; @base: a register that needs no SIB. */
static inline void emit_modrm(struct emit *e, unsigned reg, unsigned base, uint32_t disp)
{
	emit_byte(e, 0x80 | (reg & 7) << 3 | base);
	emit_bytes(e, (const char *)&disp, sizeof(disp));
}

/* @code followed by ModRM [rdi + disp32] with register field @reg. */
static inline void emit_at_rdi(struct emit *e, const char *code, size_t count, unsigned reg,
			       size_t offset)
{
	emit_bytes(e, code, count);
	emit_modrm(e, reg, 7, offset);
}
#define EMIT_AT_RDI(e, literal, reg, offset)                                                       \
	emit_at_rdi((e), literal, sizeof(literal) - 1, (reg), (offset))

/* Keys of the kinds of thunks never meet. */
#define THUNK_KEY_X87 (1ull << 63)
#define THUNK_KEY_X87_MEMORY (1ull << 62)
#define THUNK_KEY_VEX (1ull << 61)
#define THUNK_KEY_DIRECT (1ull << 60)

/* At most THUNK_BYTES_MAX bytes of a function. */
typedef void thunk_emit(struct emit *e, const struct insn *insn, const void *row);

/* The thunk of @key, emitted now if it is new. NULL: out of memory. Any thread. */
void *thunk_get(uint64_t key, thunk_emit *emit, const struct insn *insn, const void *row);

#endif
