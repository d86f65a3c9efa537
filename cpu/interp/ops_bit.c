// SPDX-License-Identifier: GPL-2.0-or-later
/* Bits: BT family, scans and counts, CRC32, BMI1, BMI2, ADX. Flags: the host's, see ops_alu.c. */
#include "cpu/interp/ops_template.h"

/* ---- BT, BTS, BTR, BTC ---- */

/* Address of the word that holds bit @bit (signed) of the bit string at the memory operand. */
#define BIT_ADDRESS(bits)                                                                          \
static always_inline uint64_t bit_address##bits(struct vcpu *cpu, const struct insn *insn,         \
						int##bits##_t bit, enum access access)             \
{                                                                                                  \
	int64_t word = (int64_t)bit >> __builtin_ctz(bits);                                        \
	uint64_t offset = (mem_offset(cpu, insn) + (uint64_t)word * ((bits) / 8)) & insn->amask;   \
                                                                                                   \
	if (unlikely(insn->flags & INSN_CHECK))                                                    \
		mem_check(cpu, insn, insn->seg, offset, (bits) / 8, access);                       \
	return mem_linear(cpu, insn, insn->seg, offset);                                           \
}                                                                                                  \
static always_inline uint##bits##_t *bit_rmw##bits(struct vcpu *cpu, const struct insn *insn,      \
						   int##bits##_t bit)                              \
{                                                                                                  \
	uint64_t address = bit_address##bits(cpu, insn, bit, ACCESS_WRITE);                        \
	void *p = mmu_lookup(&cpu->mmu, address, (bits) / 8, ACCESS_WRITE, cpu->data_mode);        \
                                                                                                   \
	cpu->insn_now = insn;                                                                      \
	return likely(p) ? p : mem_rmw_slow(cpu, insn, address, (bits) / 8);                       \
}                                                                                                  \
static always_inline uint16_t bt_flags##bits(uint##bits##_t a, uint##bits##_t bit, uint32_t ax)    \
{                                                                                                  \
	asm(ASM_LOAD_FLAGS "bt %[b], %[a]" ASM_SAVE_FLAGS                                          \
	    : "+&a" (ax) : [a] "r" (a), [b] "r" (bit) : "cc");                                     \
	return (uint16_t)ax;                                                                       \
}

BIT_ADDRESS(16)
BIT_ADDRESS(32)
BIT_ADDRESS(64)

#define BT(bits)                                                                                   \
static void bt_rm_reg##bits(struct vcpu *cpu, const struct insn *insn)                             \
{                                                                                                  \
	cpu->state.arith = bt_flags##bits(REG##bits(cpu, insn->rm), REG##bits(cpu, insn->reg),     \
					  cpu->state.arith);                                       \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void bt_rm_imm##bits(struct vcpu *cpu, const struct insn *insn)                             \
{                                                                                                  \
	cpu->state.arith = bt_flags##bits(REG##bits(cpu, insn->rm), (uint##bits##_t)insn->imm,     \
					  cpu->state.arith);                                       \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
static void bt_mem_reg##bits(struct vcpu *cpu, const struct insn *insn)                            \
{                                                                                                  \
	uint##bits##_t bit = REG##bits(cpu, insn->reg);                                            \
	uint64_t address = bit_address##bits(cpu, insn, (int##bits##_t)bit, ACCESS_READ);          \
                                                                                                   \
	cpu->state.arith = bt_flags##bits(lin_read##bits(cpu, insn, address, cpu->data_mode),      \
					  bit, cpu->state.arith);                                  \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
BODY bt_mem_imm##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)      \
{                                                                                                  \
	cpu->state.arith = bt_flags##bits(value, (uint##bits##_t)insn->imm, cpu->state.arith);     \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
LOAD_HANDLER(bt_mem_imm##bits, bits)

BT(16)
BT(32)
BT(64)

#define BIT_CHANGE(name, bits)                                                                     \
BIT_CHANGE_REG(name##_rm_reg##bits, name, bits, REG##bits(cpu, insn->reg))                         \
BIT_CHANGE_REG(name##_rm_imm##bits, name, bits, (uint##bits##_t)insn->imm)                         \
BIT_CHANGE_STRING(name##_mem_reg##bits, #name, bits)                                               \
BIT_CHANGE_STRING(name##_lock_reg##bits, "lock " #name, bits)                                      \
BIT_CHANGE_IMM(name##_mem_imm##bits, #name, bits)                                                  \
BIT_CHANGE_IMM(name##_lock_imm##bits, "lock " #name, bits)

#define BIT_CHANGE_REG(handler, name, bits, bit)                                                   \
static void handler(struct vcpu *cpu, const struct insn *insn)                                     \
{                                                                                                  \
	uint##bits##_t a = REG##bits(cpu, insn->rm);                                               \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm(ASM_LOAD_FLAGS #name " %[b], %[a]" ASM_SAVE_FLAGS                                      \
	    : [a] "+r" (a), "+&a" (ax) : [b] "r" (bit) : "cc");                                    \
	SET##bits(cpu, insn->rm, a);                                                               \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}

/* The bit number is reduced to the word, so that the host addresses only *p. */
#define BIT_CHANGE_MEM(text, bits, p, bit)                                                         \
	uint##bits##_t in_word = (bit) & ((bits) - 1);                                             \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm volatile(ASM_LOAD_FLAGS text " %[b], %[m]" ASM_SAVE_FLAGS                              \
		     : [m] "+m" (*(p)), "+&a" (ax) : [b] "r" (in_word) : "cc", "memory");

#define BIT_CHANGE_STRING(handler, text, bits)                                                     \
static void handler(struct vcpu *cpu, const struct insn *insn)                                     \
{                                                                                                  \
	uint##bits##_t bit = REG##bits(cpu, insn->reg);                                            \
	uint##bits##_t *p = bit_rmw##bits(cpu, insn, (int##bits##_t)bit);                          \
	BIT_CHANGE_MEM(text, bits, p, bit)                                                         \
	rmw_done(cpu, insn);                                                                       \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}

#define BIT_CHANGE_IMM(handler, text, bits)                                                        \
BODY handler##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t *p, bool slow)       \
{                                                                                                  \
	BIT_CHANGE_MEM(text, bits, p, insn->imm)                                                   \
	rmw_finish(cpu, insn, slow);                                                               \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
RMW_HANDLER(handler, bits)

BIT_CHANGE(bts, 16)
BIT_CHANGE(bts, 32)
BIT_CHANGE(bts, 64)
BIT_CHANGE(btr, 16)
BIT_CHANGE(btr, 32)
BIT_CHANGE(btr, 64)
BIT_CHANGE(btc, 16)
BIT_CHANGE(btc, 32)
BIT_CHANGE(btc, 64)

/* ---- BSF, BSR, TZCNT, LZCNT, POPCNT ---- */

/*
 * The destination goes through the host with all 64 bits, because it is kept, or partly kept, when
 * the source of a scan is 0.
 */
#define SCAN_ASM(text, width)                                                                      \
	asm(ASM_LOAD_FLAGS text " %[source], %" width "[to]" ASM_SAVE_FLAGS                        \
	    : [to] "+&r" (to), "+&a" (ax) : [source] "r" (value) : "cc")

#define SCAN(name, bits, width, operation)                                                         \
BODY name##_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)      \
{                                                                                                  \
	uint64_t to = REG64(cpu, insn->reg);                                                       \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	operation(width);                                                                          \
	SET64(cpu, insn->reg, to);                                                                 \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}

#define SCAN_ALL(name, operation, check)                                                           \
	SCAN(name, 16, "w", operation)                                                             \
	SCAN(name, 32, "k", operation)                                                             \
	SCAN(name, 64, "q", operation)                                                             \
	SOURCE_HANDLERS_IF(name, 16, check)                                                        \
	SOURCE_HANDLERS_IF(name, 32, check)                                                        \
	SOURCE_HANDLERS_IF(name, 64, check)

/*
 * Of 32 bits without one that is set: makers keep the destination's upper half or clear it (SDM, BSF).
 * It is cleared, as Unicorn does.
 */
#define SCAN_OR_KEEP(text, width)                                                                  \
	do {                                                                                       \
		SCAN_ASM(text, width);                                                             \
		if (sizeof(value) == 4 && !value)                                                  \
			to = (uint32_t)to;                                                         \
	} while (0)
#define BSF(width) SCAN_OR_KEEP("bsf", width)
#define BSR(width) SCAN_OR_KEEP("bsr", width)
#define POPCNT(width) SCAN_ASM("popcnt", width)
/* Without the feature the prefix means nothing. */
#define TZCNT(width)                                                                               \
	do {                                                                                       \
		if (cpu->features.bmi1)                                                            \
			SCAN_ASM("tzcnt", width);                                                  \
		else                                                                               \
			BSF(width);                                                                \
	} while (0)
#define LZCNT(width)                                                                               \
	do {                                                                                       \
		if (cpu->features.lzcnt)                                                           \
			SCAN_ASM("lzcnt", width);                                                  \
		else                                                                               \
			BSR(width);                                                                \
	} while (0)

SCAN_ALL(bsf, BSF, (void)0)
SCAN_ALL(bsr, BSR, (void)0)
SCAN_ALL(tzcnt, TZCNT, (void)0)
SCAN_ALL(lzcnt, LZCNT, (void)0)
SCAN_ALL(popcnt, POPCNT, REQUIRE(cpu, insn, popcnt))

/* ---- CRC32 ---- */

#define CRC32(name, bits, suffix, type)                                                            \
BODY name##_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)      \
{                                                                                                  \
	type crc = (uint32_t)REG64(cpu, insn->reg);                                                \
                                                                                                   \
	asm("crc32" suffix " %[value], %[crc]" : [crc] "+r" (crc) : [value] "r" (value));          \
	SET32(cpu, insn->reg, crc);                                                                \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS_IF(name, bits, REQUIRE(cpu, insn, sse42))

CRC32(crc32_rm, 8, "b", uint32_t)
CRC32(crc32_rm, 16, "w", uint32_t)
CRC32(crc32_rm, 32, "l", uint32_t)
CRC32(crc32_rm, 64, "q", uint64_t)

/* ---- BMI1, BMI2 ---- */

/* text: destination and source operands by name; v is the register in VEX.vvvv. */
#define BMI(name, bits, feature, text, destination)                                                \
BODY name##_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)      \
{                                                                                                  \
	uint##bits##_t v = (uint##bits##_t)cpu->state.gpr[insn->vvvv], to;                         \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm(ASM_LOAD_FLAGS text ASM_SAVE_FLAGS                                                     \
	    : [to] "=&r" (to), "+&a" (ax) : [v] "r" (v), [source] "r" (value) : "cc");             \
	SET##bits(cpu, destination, to);                                                           \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS_IF(name, bits, REQUIRE(cpu, insn, feature))

#define BMI_BOTH(name, feature, text, destination)                                                 \
	BMI(name, 32, feature, text, destination)                                                  \
	BMI(name, 64, feature, text, destination)

BMI_BOTH(andn, bmi1, "andn %[source], %[v], %[to]", insn->reg)
BMI_BOTH(bextr, bmi1, "bextr %[v], %[source], %[to]", insn->reg)
BMI_BOTH(blsr, bmi1, "blsr %[source], %[to]", insn->vvvv * 8)
BMI_BOTH(blsmsk, bmi1, "blsmsk %[source], %[to]", insn->vvvv * 8)
BMI_BOTH(blsi, bmi1, "blsi %[source], %[to]", insn->vvvv * 8)
BMI_BOTH(bzhi, bmi2, "bzhi %[v], %[source], %[to]", insn->reg)
BMI_BOTH(pdep, bmi2, "pdep %[source], %[v], %[to]", insn->reg)
BMI_BOTH(pext, bmi2, "pext %[source], %[v], %[to]", insn->reg)

/* ---- ADX ---- */

#define ADX(name, bits)                                                                            \
BODY name##_mem##bits##_body(struct vcpu *cpu, const struct insn *insn, uint##bits##_t value)      \
{                                                                                                  \
	uint##bits##_t to = REG##bits(cpu, insn->reg);                                             \
	uint32_t ax = cpu->state.arith;                                                            \
                                                                                                   \
	asm(ASM_LOAD_FLAGS #name " %[source], %[to]" ASM_SAVE_FLAGS                                \
	    : [to] "+&r" (to), "+&a" (ax) : [source] "r" (value) : "cc");                          \
	SET##bits(cpu, insn->reg, to);                                                             \
	cpu->state.arith = (uint16_t)ax;                                                           \
	NEXT(cpu, insn);                                                                           \
}                                                                                                  \
SOURCE_HANDLERS_IF(name, bits, REQUIRE(cpu, insn, adx))

ADX(adcx, 32)
ADX(adcx, 64)
ADX(adox, 32)
ADX(adox, 64)

/* ---- tables ---- */

#define BIT_REG(name) { .reg = BY_WIDE_SIZE(name##_rm_reg), .mem = BY_WIDE_SIZE(name##_mem_reg),   \
			.lock = BY_WIDE_SIZE(name##_lock_reg) }
#define BIT_IMM(name) { .reg = BY_WIDE_SIZE(name##_rm_imm), .mem = BY_WIDE_SIZE(name##_mem_imm),   \
			.lock = BY_WIDE_SIZE(name##_lock_imm) }

const struct handlers bt_rm_reg[4] = {
	{ .reg = BY_WIDE_SIZE(bt_rm_reg), .mem = BY_WIDE_SIZE(bt_mem_reg) },
	BIT_REG(bts), BIT_REG(btr), BIT_REG(btc),
};
const struct handlers bt_rm_imm[4] = {
	{ .reg = BY_WIDE_SIZE(bt_rm_imm), .mem = BY_WIDE_SIZE(bt_mem_imm) },
	BIT_IMM(bts), BIT_IMM(btr), BIT_IMM(btc),
};

#define WIDE_TABLE(name)                                                                           \
const struct handlers name = { .reg = BY_WIDE_SIZE(name##_reg), .mem = BY_WIDE_SIZE(name##_mem) };
#define DWORD_TABLE(name)                                                                          \
const struct handlers name = { .reg = BY_DWORD_SIZE(name##_reg), .mem = BY_DWORD_SIZE(name##_mem) };

WIDE_TABLE(bsf)
WIDE_TABLE(bsr)
WIDE_TABLE(tzcnt)
WIDE_TABLE(lzcnt)
WIDE_TABLE(popcnt)
WIDE_TABLE(crc32_rm)
DWORD_TABLE(andn)
DWORD_TABLE(bextr)
DWORD_TABLE(blsr)
DWORD_TABLE(blsmsk)
DWORD_TABLE(blsi)
DWORD_TABLE(bzhi)
DWORD_TABLE(pdep)
DWORD_TABLE(pext)
DWORD_TABLE(adcx)
DWORD_TABLE(adox)

/* The source is a byte whatever the operand size. */
const struct handlers crc32_8 = {
	.reg = { NULL, NULL, crc32_rm_reg8, crc32_rm_reg8 },
	.mem = { NULL, NULL, crc32_rm_mem8, crc32_rm_mem8 },
};
