/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making thunks. The cache is mapped twice, once writable and once executable.
 *
 * Registers in a thunk: RDI the call; XMM2/MM2 stands for ModRM.reg, XMM1/MM1 for ModRM.rm, XMM0 for
 * the implicit operand, R8 for a general register.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/interp/simd.h"
#include "cpu/interp/thunk.h"

#define CODE_BYTES (8u << 20)
#define HASH_BITS 12

struct cached {
	struct cached *next;
	uint64_t key;
	void *code;
};

static struct {
	pthread_mutex_t lock;
	struct cached *hash[1 << HASH_BITS];
	uint8_t *write, *execute;
	size_t used;
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool cache_map(void)
{
	int fd;

	if (cache.write)
		return true;
	fd = memfd_create("fauxkvm-thunks", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, CODE_BYTES))
		goto fail;
	cache.write = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cache.execute = mmap(NULL, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (cache.write == MAP_FAILED || cache.execute == MAP_FAILED) {
		cache.write = NULL;
		goto fail;
	}
	close(fd);
	return true;
fail:
	if (fd >= 0)
		close(fd);
	return false;
}

/* ---- emitting ---- */

#define AT_RDI(e, literal, reg, field)                                                             \
	EMIT_AT_RDI((e), literal, (reg), offsetof(struct simd_call, field))

/* @base: the number of the register that points to a memory operand. */
static void emit_instruction(struct emit *e, const struct insn *insn, const struct simd_row *row,
			     unsigned base)
{
	bool memory = insn->flags & INSN_MEM;
	bool wide = insn->flags & INSN_REXW && insn->code == 8;
	bool reg_general = row->form == SIMD_G_XM;
	bool rm_general = !memory && (row->form == SIMD_X_GM || row->form == SIMD_GM_X);
	unsigned reg = reg_general ? 0 : 2, rm = memory ? base : rm_general ? 0 : 1;
	uint8_t rex = 0x40 | (wide ? 8 : 0) | (reg_general ? 4 : 0) | (rm_general ? 1 : 0);

	if (row->form == SIMD_SHIFT)
		reg = insn->modrm >> 3 & 7;
	if (insn->prefix)
		emit_byte(e, insn->prefix);
	if (rex != 0x40)
		emit_byte(e, rex);
	emit_byte(e, 0x0f);
	if (insn->map == 2)
		emit_byte(e, 0x38);
	else if (insn->map == 3)
		emit_byte(e, 0x3a);
	emit_byte(e, insn->opcode);
	emit_byte(e, (memory ? 0 : 0xc0) | reg << 3 | rm);
	if (row->flags & SIMD_IMM)
		emit_byte(e, insn->imm);
}

static void emit_simd(struct emit *e, const struct insn *insn, const void *data)
{
	const struct simd_row *row = data;
	bool mmx_reg = row->flags & (SIMD_MMX | SIMD_MMX_REG);
	bool mmx_rm = row->flags & (SIMD_MMX | SIMD_MMX_RM);

	if (mmx_reg)
		AT_RDI(e, "\x0f\x6f", 2, reg);
	else
		AT_RDI(e, "\x0f\x10", 2, reg);
	if (mmx_rm)
		AT_RDI(e, "\x0f\x6f", 1, rm);
	else
		AT_RDI(e, "\x0f\x10", 1, rm);
	AT_RDI(e, "\x0f\x10", 0, xmm0);
	AT_RDI(e, "\x4c\x8b", 0, gpr); /* mov r8, [rdi + gpr] */
	if (row->flags & SIMD_STRING) {
		AT_RDI(e, "\x48\x8b", 0, rax);
		AT_RDI(e, "\x48\x8b", 2, rdx);
		AT_RDI(e, "\x48\x8b", 1, rcx);
	}
	/* [rdi] is the call's first field, the memory operand. */
	emit_instruction(e, insn, row, 7);
	if (row->flags & SIMD_SETS_FLAGS) {
		EMIT(e, "\x9f\x0f\x90\xc0");     /* lahf; seto al */
		AT_RDI(e, "\x66\x89", 0, arith); /* mov [rdi + arith], ax */
	}
	if (row->flags & SIMD_STRING)
		AT_RDI(e, "\x48\x89", 1, rcx);
	AT_RDI(e, "\x4c\x89", 0, gpr);
	if (mmx_reg)
		AT_RDI(e, "\x0f\x7f", 2, reg);
	else
		AT_RDI(e, "\x0f\x11", 2, reg);
	if (mmx_rm)
		AT_RDI(e, "\x0f\x7f", 1, rm);
	else
		AT_RDI(e, "\x0f\x11", 1, rm);
	AT_RDI(e, "\x0f\x11", 0, xmm0);
	if (mmx_reg || mmx_rm)
		EMIT(e, "\x0f\x77"); /* emms */
	emit_byte(e, 0xc3);
}

/* simd_direct: RDI reg, RSI rm, RDX xmm0, RCX arith. */
static void emit_direct(struct emit *e, const struct insn *insn, const void *data)
{
	const struct simd_row *row = data;

	if (row->form != SIMD_SHIFT && row->form != SIMD_G_XM)
		EMIT(e, "\x0f\x10\x17"); /* movups xmm2, [rdi] */
	if (!(insn->flags & INSN_MEM)) {
		if (row->form == SIMD_X_GM)
			EMIT(e, "\x4c\x8b\x06"); /* mov r8, [rsi] */
		else
			EMIT(e, "\x0f\x10\x0e"); /* movups xmm1, [rsi] */
	}
	if (insn->map == 2)
		EMIT(e, "\x0f\x10\x02"); /* movups xmm0, [rdx] */
	emit_instruction(e, insn, row, 6);
	if (row->flags & SIMD_SETS_FLAGS)
		EMIT(e, "\x9f\x0f\x90\xc0\x66\x89\x01"); /* lahf; seto al; mov [rcx], ax */
	else if (row->form == SIMD_SHIFT)
		EMIT(e, "\x0f\x11\x0e"); /* movups [rsi], xmm1 */
	else if (row->form == SIMD_G_XM)
		EMIT(e, "\x4c\x89\x07"); /* mov [rdi], r8 */
	else if (row->form == SIMD_GM_X)
		EMIT(e, "\x4c\x89\x06"); /* mov [rsi], r8 */
	else
		EMIT(e, "\x0f\x11\x17"); /* movups [rdi], xmm2 */
	emit_byte(e, 0xc3);
}

/*
 * void thunk(image, memory, arith): FXRSTOR64 of the guest's image, the instruction, FXSAVE64; MXCSR
 * and the x87 control word as they were and an initial x87 state otherwise. RDX survives: it holds
 * @arith.
 */
static void emit_x87(struct emit *e, const struct insn *insn, const void *data)
{
	(void)data;
	EMIT(e, "\x48\x83\xec\x18");     /* sub rsp, 24 */
	EMIT(e, "\xd9\x7c\x24\x0c");     /* fnstcw [rsp + 12] */
	EMIT(e, "\x0f\xae\x5c\x24\x08"); /* stmxcsr [rsp + 8] */
	EMIT(e, "\x48\x0f\xae\x0f");     /* fxrstor64 [rdi] */
	EMIT(e, "\x0f\xae\x54\x24\x08"); /* ldmxcsr [rsp + 8] */
	EMIT(e, "\x8b\x02\x04\x7f\x9e"); /* mov eax, [rdx]; add al, 0x7f; sahf */
	emit_byte(e, insn->opcode);
	/* memory operand at [rsi] */
	emit_byte(e, insn->flags & INSN_MEM ? (insn->modrm & 0x38) | 6 : insn->modrm);
	EMIT(e, "\x9f\x0f\x90\xc0\x66\x89\x02"); /* lahf; seto al; mov [rdx], ax */
	EMIT(e, "\x48\x0f\xae\x07");             /* fxsave64 [rdi] */
	EMIT(e, "\xdb\xe3");                     /* fninit */
	EMIT(e, "\xd9\x6c\x24\x0c");             /* fldcw [rsp + 12] */
	EMIT(e, "\x48\x83\xc4\x18\xc3");         /* add rsp, 24; ret */
}

/* ---- the cache ---- */

void *thunk_get(uint64_t key, thunk_emit *emit, const struct insn *insn, const void *row)
{
	struct cached **bucket = &cache.hash[(key * 0x9e3779b97f4a7c15ull) >> (64 - HASH_BITS)];
	struct cached *entry;
	void *code = NULL;
	struct emit e;

	pthread_mutex_lock(&cache.lock);
	for (entry = *bucket; entry; entry = entry->next) {
		if (entry->key == key) {
			code = entry->code;
			goto out;
		}
	}
	if (!cache_map() || cache.used + THUNK_BYTES_MAX > CODE_BYTES)
		goto out;
	entry = malloc(sizeof(*entry));
	if (!entry)
		goto out;
	e.at = cache.write + cache.used;
	emit(&e, insn, row);
	code = cache.execute + cache.used;
	cache.used = (e.at - cache.write + 15) & ~(size_t)15;
	entry->key = key;
	entry->code = code;
	entry->next = *bucket;
	*bucket = entry;
out:
	pthread_mutex_unlock(&cache.lock);
	return code;
}

static uint64_t key_of(const struct insn *insn, const struct simd_row *row)
{
	uint64_t key = insn->opcode | insn->map << 8 | (uint64_t)insn->prefix << 16;

	key |= (uint64_t) !!(insn->flags & INSN_MEM) << 24;
	key |= (uint64_t)(insn->flags & INSN_REXW && insn->code == 8) << 25;
	if (row->flags & SIMD_IMM)
		key |= (insn->imm & 0xff) << 32;
	if (row->form == SIMD_SHIFT)
		key |= (uint64_t)(insn->modrm & 0x38) << 40;
	return key;
}

simd_thunk *simd_thunk_get(const struct insn *insn, const struct simd_row *row)
{
	return (simd_thunk *)thunk_get(key_of(insn, row), emit_simd, insn, row);
}

bool simd_is_direct(const struct insn *insn, const struct simd_row *row)
{
	if (row->flags & (SIMD_MMX | SIMD_MMX_REG | SIMD_MMX_RM | SIMD_STRING))
		return false;
	switch ((enum simd_form)row->form) {
	case SIMD_X_XM:
	case SIMD_SHIFT:
	case SIMD_X_GM:
	case SIMD_G_XM:
		return true;
	case SIMD_GM_X:
		return !(insn->flags & INSN_MEM);
	default:
		return false;
	}
}

simd_direct *simd_direct_get(const struct insn *insn, const struct simd_row *row)
{
	return (simd_direct *)thunk_get(key_of(insn, row) | THUNK_KEY_DIRECT, emit_direct, insn,
					row);
}

x87_thunk *x87_thunk_get(const struct insn *insn)
{
	uint64_t key = insn->opcode | THUNK_KEY_X87;

	if (insn->flags & INSN_MEM)
		key |= (uint64_t)(insn->modrm & 0x38) << 8 | THUNK_KEY_X87_MEMORY;
	else
		key |= (uint64_t)insn->modrm << 8;
	return (x87_thunk *)thunk_get(key, emit_x87, insn, NULL);
}
