// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * MOVS, STOS, LODS, CMPS, SCAS, plain and repeated.
 *
 * A repeated instruction commits rSI, rDI and rCX after every element or run of elements, so that a
 * fault, an exit or an interrupt finds it restartable at the next one. Runs of MOVS and STOS inside
 * pages of plain RAM are done by the host's own REP MOVS and REP STOS, which has the guest's
 * semantics for overlapping operands, too.
 */
#include "cpu/interp/ops_template.h"

/* ---- index registers ---- */

static always_inline uint64_t index_get(const struct vcpu *cpu, const struct insn *insn,
					enum gpr reg)
{
	return cpu->state.gpr[reg] & insn->amask;
}

static always_inline void index_add(struct vcpu *cpu, const struct insn *insn, enum gpr reg,
				    uint64_t add)
{
	uint64_t value = (cpu->state.gpr[reg] + add) & insn->amask;

	if (insn->address == 2)
		SET16(cpu, reg * 8, value);
	else
		cpu->state.gpr[reg] = value;
}

static always_inline int64_t string_step(const struct vcpu *cpu, unsigned bytes)
{
	return cpu->state.rflags & RFLAGS_DF ? -(int64_t)bytes : (int64_t)bytes;
}

/* The destination is ES:rDI, which nothing overrides. */
static always_inline unsigned destination_segment(const struct insn *insn)
{
	return insn->code == 8 ? SEG_FLAT : SEG_ES;
}

/* ---- one element; none commits anything before its last access ---- */

#define STRING(bits)                                                                               \
static always_inline void movs_one##bits(struct vcpu *cpu, const struct insn *insn)                \
{                                                                                                  \
	int64_t step = string_step(cpu, (bits) / 8);                                               \
                                                                                                   \
	seg_write##bits(cpu, insn, destination_segment(insn), index_get(cpu, insn, GPR_RDI),       \
			seg_read##bits(cpu, insn, insn->seg, index_get(cpu, insn, GPR_RSI)));      \
	index_add(cpu, insn, GPR_RSI, step);                                                       \
	index_add(cpu, insn, GPR_RDI, step);                                                       \
}                                                                                                  \
static always_inline void stos_one##bits(struct vcpu *cpu, const struct insn *insn)                \
{                                                                                                  \
	seg_write##bits(cpu, insn, destination_segment(insn), index_get(cpu, insn, GPR_RDI),       \
			REG##bits(cpu, GPR_RAX * 8));                                              \
	index_add(cpu, insn, GPR_RDI, string_step(cpu, (bits) / 8));                               \
}                                                                                                  \
static always_inline void lods_one##bits(struct vcpu *cpu, const struct insn *insn)                \
{                                                                                                  \
	uint##bits##_t value = seg_read##bits(cpu, insn, insn->seg,                                \
					      index_get(cpu, insn, GPR_RSI));                      \
                                                                                                   \
	SET##bits(cpu, GPR_RAX * 8, value);                                                        \
	index_add(cpu, insn, GPR_RSI, string_step(cpu, (bits) / 8));                               \
}                                                                                                  \
static always_inline uint16_t compare##bits(uint##bits##_t a, uint##bits##_t b)                    \
{                                                                                                  \
	uint32_t ax;                                                                               \
                                                                                                   \
	asm("cmp %[b], %[a]" ASM_SAVE_FLAGS : "=&a" (ax) : [a] "r" (a), [b] "r" (b) : "cc");       \
	return (uint16_t)ax;                                                                       \
}                                                                                                  \
static always_inline uint16_t cmps_one##bits(struct vcpu *cpu, const struct insn *insn)            \
{                                                                                                  \
	int64_t step = string_step(cpu, (bits) / 8);                                               \
	uint##bits##_t a, b;                                                                       \
                                                                                                   \
	a = seg_read##bits(cpu, insn, insn->seg, index_get(cpu, insn, GPR_RSI));                   \
	b = seg_read##bits(cpu, insn, destination_segment(insn), index_get(cpu, insn, GPR_RDI));   \
	index_add(cpu, insn, GPR_RSI, step);                                                       \
	index_add(cpu, insn, GPR_RDI, step);                                                       \
	return compare##bits(a, b);                                                                \
}                                                                                                  \
static always_inline uint16_t scas_one##bits(struct vcpu *cpu, const struct insn *insn)            \
{                                                                                                  \
	uint##bits##_t b = seg_read##bits(cpu, insn, destination_segment(insn),                    \
					  index_get(cpu, insn, GPR_RDI));                          \
                                                                                                   \
	index_add(cpu, insn, GPR_RDI, string_step(cpu, (bits) / 8));                               \
	return compare##bits(REG##bits(cpu, GPR_RAX * 8), b);                                      \
}

STRING(8)
STRING(16)
STRING(32)
STRING(64)

/* ---- without prefix ---- */

#define PLAIN(name, bits, statement)                                                               \
static void name##bits(struct vcpu *cpu, const struct insn *insn)                                  \
{                                                                                                  \
	statement name##_one##bits(cpu, insn);                                                     \
	NEXT(cpu, insn);                                                                           \
}
#define PLAIN_ALL(name, statement)                                                                 \
	PLAIN(name, 8, statement)                                                                  \
	PLAIN(name, 16, statement)                                                                 \
	PLAIN(name, 32, statement)                                                                 \
	PLAIN(name, 64, statement)

PLAIN_ALL(movs, )
PLAIN_ALL(stos, )
PLAIN_ALL(lods, )
PLAIN_ALL(cmps, cpu->state.arith =)
PLAIN_ALL(scas, cpu->state.arith =)

/* ---- repetition ---- */

/*
 * @done elements are finished: counts them and forgets what user space answered for them. True:
 * the instruction has to stop here, although elements remain, and go on when it is run again.
 */
static always_inline bool repeat_pause(struct vcpu *cpu, const struct insn *insn, uint64_t done)
{
	index_add(cpu, insn, GPR_RCX, -done);
	if (unlikely(cpu->replay.count))
		cpu->replay.count = cpu->replay.next = 0;
	return unlikely(atomic_load_explicit(&cpu->exit_request, memory_order_relaxed) ||
			(cpu->state.rflags & RFLAGS_TF)) &&
	       index_get(cpu, insn, GPR_RCX);
}

static always_inline void repeat_again(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.rip = insn_ip(cpu, insn);
}

/*
 * Elements of @bytes from @offset upwards that lie in one page and do not wrap; at most @count.
 * 0: the element crosses a page.
 */
static always_inline uint64_t run_length(const struct insn *insn, uint64_t offset, uint64_t linear,
					 unsigned bytes, uint64_t count)
{
	uint64_t room = GUEST_PAGE_SIZE - (linear & ~GUEST_PAGE_MASK), n;

	if (room > insn->amask - offset && insn->amask - offset != ~0ull)
		room = insn->amask - offset + 1;
	n = room / bytes;
	return n < count ? n : count;
}

/* Runs are for ascending addresses without checks or single stepping. */
static always_inline bool run_allowed(const struct vcpu *cpu, const struct insn *insn)
{
	return !(insn->flags & INSN_CHECK) && !(cpu->state.rflags & (RFLAGS_DF | RFLAGS_TF));
}

/* Moves a run of elements; returns their number, 0 if only a single one can be done. */
static uint64_t movs_run(struct vcpu *cpu, const struct insn *insn, unsigned bytes)
{
	uint64_t from = index_get(cpu, insn, GPR_RSI), to = index_get(cpu, insn, GPR_RDI);
	uint64_t from_linear = mem_linear(cpu, insn, insn->seg, from);
	uint64_t to_linear = mem_linear(cpu, insn, destination_segment(insn), to);
	uint64_t count = index_get(cpu, insn, GPR_RCX);
	const uint8_t *source;
	uint8_t *destination;

	count = run_length(insn, from, from_linear, bytes, count);
	count = run_length(insn, to, to_linear, bytes, count);
	if (count < 2)
		return 0;
	source = mem_host(cpu, insn, from_linear, count * bytes, ACCESS_READ);
	if (!source)
		return 0;
	destination = mem_host(cpu, insn, to_linear, count * bytes, ACCESS_WRITE);
	if (!destination)
		return 0;
	to = count;
	switch (bytes) {
	case 1:
		asm volatile("rep movsb"
			     : "+S" (source), "+D" (destination), "+c" (to) : : "memory");
		break;
	case 2:
		asm volatile("rep movsw"
			     : "+S" (source), "+D" (destination), "+c" (to) : : "memory");
		break;
	case 4:
		asm volatile("rep movsl"
			     : "+S" (source), "+D" (destination), "+c" (to) : : "memory");
		break;
	case 8:
		asm volatile("rep movsq"
			     : "+S" (source), "+D" (destination), "+c" (to) : : "memory");
		break;
	}
	index_add(cpu, insn, GPR_RSI, count * bytes);
	index_add(cpu, insn, GPR_RDI, count * bytes);
	return count;
}

static uint64_t stos_run(struct vcpu *cpu, const struct insn *insn, unsigned bytes)
{
	uint64_t to = index_get(cpu, insn, GPR_RDI), rax = cpu->state.gpr[GPR_RAX];
	uint64_t linear = mem_linear(cpu, insn, destination_segment(insn), to);
	uint64_t count = run_length(insn, to, linear, bytes, index_get(cpu, insn, GPR_RCX));
	uint8_t *destination;

	if (count < 2)
		return 0;
	destination = mem_host(cpu, insn, linear, count * bytes, ACCESS_WRITE);
	if (!destination)
		return 0;
	to = count;
	switch (bytes) {
	case 1:
		asm volatile("rep stosb" : "+D" (destination), "+c" (to) : "a" (rax) : "memory");
		break;
	case 2:
		asm volatile("rep stosw" : "+D" (destination), "+c" (to) : "a" (rax) : "memory");
		break;
	case 4:
		asm volatile("rep stosl" : "+D" (destination), "+c" (to) : "a" (rax) : "memory");
		break;
	case 8:
		asm volatile("rep stosq" : "+D" (destination), "+c" (to) : "a" (rax) : "memory");
		break;
	}
	index_add(cpu, insn, GPR_RDI, count * bytes);
	return count;
}

#define REPEAT_RUN(name, bits)                                                                     \
static void rep_##name##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	bool runs = run_allowed(cpu, insn);                                                        \
	uint64_t done;                                                                             \
                                                                                                   \
	while (index_get(cpu, insn, GPR_RCX)) {                                                    \
		done = runs ? name##_run(cpu, insn, (bits) / 8) : 0;                               \
		if (!done) {                                                                       \
			name##_one##bits(cpu, insn);                                               \
			done = 1;                                                                  \
		}                                                                                  \
		if (repeat_pause(cpu, insn, done))                                                 \
			return repeat_again(cpu, insn);                                            \
	}                                                                                          \
	END_BLOCK(cpu, insn);                                                                      \
}

#define REPEAT_LODS(bits)                                                                          \
static void rep_lods##bits(struct vcpu *cpu, const struct insn *insn)                              \
{                                                                                                  \
	while (index_get(cpu, insn, GPR_RCX)) {                                                    \
		lods_one##bits(cpu, insn);                                                         \
		if (repeat_pause(cpu, insn, 1))                                                    \
			return repeat_again(cpu, insn);                                            \
	}                                                                                          \
	END_BLOCK(cpu, insn);                                                                      \
}

/*
 * CMPS and SCAS end when ZF is not what the prefix asks for. The flags are those before the
 * instruction while it is under way (SDM, REP: a fault restores them), so they are kept in a local.
 */
#define REPEAT_COMPARE(name, bits)                                                                 \
static void rep_##name##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	const uint16_t go_on = insn->flags & INSN_REPNE ? 0 : ARITH_ZF;                            \
	uint16_t arith = cpu->state.arith;                                                         \
                                                                                                   \
	while (index_get(cpu, insn, GPR_RCX)) {                                                    \
		bool pause;                                                                        \
                                                                                                   \
		arith = name##_one##bits(cpu, insn);                                               \
		pause = repeat_pause(cpu, insn, 1);                                                \
		if ((arith & ARITH_ZF) != go_on)                                                   \
			break;                                                                     \
		if (pause) {                                                                       \
			cpu->state.arith = arith;                                                  \
			return repeat_again(cpu, insn);                                            \
		}                                                                                  \
	}                                                                                          \
	cpu->state.arith = arith;                                                                  \
	END_BLOCK(cpu, insn);                                                                      \
}

#define REPEAT_ALL(bits)                                                                           \
	REPEAT_RUN(movs, bits)                                                                     \
	REPEAT_RUN(stos, bits)                                                                     \
	REPEAT_LODS(bits)                                                                          \
	REPEAT_COMPARE(cmps, bits)                                                                 \
	REPEAT_COMPARE(scas, bits)

REPEAT_ALL(8)
REPEAT_ALL(16)
REPEAT_ALL(32)
REPEAT_ALL(64)

/* ---- tables ---- */

const struct handlers movs = { .reg = BY_SIZE(movs) }, rep_movs = { .reg = BY_SIZE(rep_movs) };
const struct handlers stos = { .reg = BY_SIZE(stos) }, rep_stos = { .reg = BY_SIZE(rep_stos) };
const struct handlers lods = { .reg = BY_SIZE(lods) }, rep_lods = { .reg = BY_SIZE(rep_lods) };
const struct handlers cmps = { .reg = BY_SIZE(cmps) }, rep_cmps = { .reg = BY_SIZE(rep_cmps) };
const struct handlers scas = { .reg = BY_SIZE(scas) }, rep_scas = { .reg = BY_SIZE(rep_scas) };
