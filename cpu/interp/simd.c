/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SSE and MMX handlers: operands in, thunk, results out; plain moves without a thunk. */
#include "cpu/interp/simd.h"

#include <cpuid.h>
#include <string.h>

#include "cpu/interp/avx.h"
#include "cpu/interp/mem.h"
#include "cpu/interp/mxcsr.h"
#include "cpu/interp/ops_system.h"

#define XMM(cpu, n) ((cpu)->state.fpu.xmm[n])

/* Nothing reaches a thunk that the host would raise #UD for, whatever CPUID a client made up. */
static bool host_has(enum simd_feature feature)
{
	unsigned eax, ebx, ecx, edx;

	switch (feature) {
	case SIMD_SSE3:
		return __builtin_cpu_supports("sse3");
	case SIMD_SSSE3:
		return __builtin_cpu_supports("ssse3");
	case SIMD_SSE41:
		return __builtin_cpu_supports("sse4.1");
	case SIMD_SSE42:
		return __builtin_cpu_supports("sse4.2");
	case SIMD_AES:
		return __builtin_cpu_supports("aes");
	case SIMD_PCLMUL:
		return __builtin_cpu_supports("pclmul");
	case SIMD_SHA:
		return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx >> 29 & 1);
	default:
		return true; /* every x86-64 CPU */
	}
}

static inline bool offered(const struct vcpu *cpu, enum simd_feature feature)
{
	return cpu->features.simd >> feature & 1;
}

static _Noreturn __attribute__((cold)) void refuse(struct vcpu *cpu, const struct insn *insn,
						   enum simd_feature feature)
{
	const struct cpu_state *s = &cpu->state;

	if ((s->cr0 & CR0_EM) || (feature != SIMD_MMX_BASE && !(s->cr4 & CR4_OSFXSR)) ||
	    !offered(cpu, feature))
		exception_ud(cpu, insn);
	exception(cpu, insn, VECTOR_NM, 0);
}

static inline void check(struct vcpu *cpu, const struct insn *insn, enum simd_feature feature)
{
	if (unlikely((cpu->state.cr0 & (CR0_EM | CR0_TS)) ||
		     (!(cpu->state.cr4 & CR4_OSFXSR) && feature != SIMD_MMX_BASE) ||
		     !offered(cpu, feature)))
		refuse(cpu, insn, feature);
}

static void check_aligned(struct vcpu *cpu, const struct insn *insn)
{
	if (mem_linear(cpu, insn, insn->seg, mem_offset(cpu, insn)) & 15)
		exception_gp(cpu, insn, 0);
}

static inline const struct simd_row *row_of(const struct insn *insn)
{
	return simd_row(insn->map, insn->prefix, insn->opcode);
}

/* Bytes of the memory operand: a general one is 8 wide with REX.W. */
static unsigned operand_bytes(const struct insn *insn, const struct simd_row *row)
{
	bool general = (row->form == SIMD_X_GM || row->form == SIMD_GM_X) &&
		       !(row->flags & SIMD_DWORD);

	return general && row->size == 4 && (insn->flags & INSN_REXW) && insn->code == 8 ? 8 :
											    row->size;
}

/* ---- moves ---- */

static void load_aligned(struct vcpu *cpu, const struct insn *insn)
{
	uint8_t value[16];

	check(cpu, insn, SIMD_SSE);
	check_aligned(cpu, insn);
	load_bytes(cpu, insn, value, 16);
	memcpy(XMM(cpu, insn->reg_number), value, 16);
	NEXT(cpu, insn);
}

static void load_unaligned(struct vcpu *cpu, const struct insn *insn)
{
	uint8_t value[16];

	check(cpu, insn, SIMD_SSE);
	load_bytes(cpu, insn, value, 16);
	memcpy(XMM(cpu, insn->reg_number), value, 16);
	NEXT(cpu, insn);
}

static void store_aligned(struct vcpu *cpu, const struct insn *insn)
{
	check(cpu, insn, SIMD_SSE);
	check_aligned(cpu, insn);
	store_bytes(cpu, insn, XMM(cpu, insn->reg_number), 16);
	NEXT(cpu, insn);
}

static void store_unaligned(struct vcpu *cpu, const struct insn *insn)
{
	check(cpu, insn, SIMD_SSE);
	store_bytes(cpu, insn, XMM(cpu, insn->reg_number), 16);
	NEXT(cpu, insn);
}

static void move_registers(struct vcpu *cpu, const struct insn *insn)
{
	check(cpu, insn, SIMD_SSE);
	memcpy(XMM(cpu, insn->reg_number), XMM(cpu, insn->rm_number), 16);
	NEXT(cpu, insn);
}

static void move_registers_back(struct vcpu *cpu, const struct insn *insn)
{
	check(cpu, insn, SIMD_SSE);
	memcpy(XMM(cpu, insn->rm_number), XMM(cpu, insn->reg_number), 16);
	NEXT(cpu, insn);
}

/* MOVSS, MOVSD, MOVQ from memory: the rest of the register is cleared. */
static void load_low4(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t value[2] = { 0 };

	check(cpu, insn, SIMD_SSE);
	value[0] = load32(cpu, insn);
	memcpy(XMM(cpu, insn->reg_number), value, 16);
	NEXT(cpu, insn);
}

static void load_low8(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t value[2] = { 0 };

	check(cpu, insn, SIMD_SSE);
	value[0] = load64(cpu, insn);
	memcpy(XMM(cpu, insn->reg_number), value, 16);
	NEXT(cpu, insn);
}

static void store_low4(struct vcpu *cpu, const struct insn *insn)
{
	uint32_t value;

	check(cpu, insn, SIMD_SSE);
	memcpy(&value, XMM(cpu, insn->reg_number), 4);
	store32(cpu, insn, value);
	NEXT(cpu, insn);
}

static void store_low8(struct vcpu *cpu, const struct insn *insn)
{
	uint64_t value;

	check(cpu, insn, SIMD_SSE);
	memcpy(&value, XMM(cpu, insn->reg_number), 8);
	store64(cpu, insn, value);
	NEXT(cpu, insn);
}

/* PXOR, XORPS, XORPD of a register with itself, the usual zero. */
static void clear_register(struct vcpu *cpu, const struct insn *insn)
{
	check(cpu, insn, SIMD_SSE);
	memset(XMM(cpu, insn->reg_number), 0, 16);
	NEXT(cpu, insn);
}

/* ---- through a thunk ---- */

static void op_simd(struct vcpu *cpu, const struct insn *insn)
{
	const struct simd_row *row = row_of(insn);
	bool mmx_reg = row->flags & (SIMD_MMX | SIMD_MMX_REG);
	bool mmx_rm = row->flags & (SIMD_MMX | SIMD_MMX_RM);
	struct fpu_state *fpu = &cpu->state.fpu;
	bool memory = insn->flags & INSN_MEM;
	unsigned bytes = operand_bytes(insn, row);
	unsigned reg = insn->reg_number, rm = insn->rm_number;
	uint8_t *reg_at, *rm_at;
	struct simd_call call;
	simd_thunk *thunk;

	check(cpu, insn, row->feature);
	if (mmx_reg || (mmx_rm && !memory)) {
		if (fpu->fsw & 0x80)
			exception(cpu, insn, VECTOR_MF, 0);
	}
	if (memory && (row->flags & SIMD_ALIGN))
		check_aligned(cpu, insn);
	/* A store is checked before anything is computed: no result may be lost to a fault. */
	if (memory && row->form != SIMD_XM_X && row->form != SIMD_GM_X)
		load_bytes(cpu, insn, call.memory, bytes);
	if (mmx_reg || (mmx_rm && !memory))
		x87_enter_mmx(cpu);
	reg_at = mmx_reg ? fpu->st[reg & 7] : fpu->xmm[reg];
	rm_at = mmx_rm ? fpu->st[rm & 7] : fpu->xmm[rm];
	memcpy(call.reg, reg_at, 16);
	if (!memory)
		memcpy(call.rm, rm_at, 16);
	memcpy(call.xmm0, fpu->xmm[0], 16);
	call.gpr = cpu->state.gpr[rm];
	if (row->flags & SIMD_STRING) {
		bool wide = insn->flags & INSN_REXW && insn->code == 8;

		call.rax = wide ? cpu->state.gpr[GPR_RAX] : (uint64_t)(int32_t)cpu->state.gpr[GPR_RAX];
		call.rdx = wide ? cpu->state.gpr[GPR_RDX] : (uint64_t)(int32_t)cpu->state.gpr[GPR_RDX];
		call.rcx = cpu->state.gpr[GPR_RCX];
	}
	thunk = (simd_thunk *)insn->thunk;
	/* There was no memory for it when the instruction was decoded. */
	if (unlikely(!thunk))
		thunk = simd_thunk_get(insn, row);
	if (!thunk)
		interp_emulation_error(cpu, insn);
	if (row->flags & SIMD_FP)
		mxcsr_load(cpu);
	thunk(&call);
	if (row->flags & SIMD_FP && unlikely(cpu->interp->mxcsr.each) && mxcsr_raised(cpu))
		mxcsr_exception(cpu, insn);
	switch ((enum simd_form)row->form) {
	case SIMD_X_XM:
	case SIMD_X_GM:
		if (!(row->flags & SIMD_COMPARE)) {
			if (mmx_reg)
				memcpy(reg_at, call.reg, 8);
			else
				memcpy(reg_at, call.reg, 16);
		}
		break;
	case SIMD_XM_X:
		if (memory)
			store_bytes(cpu, insn, call.memory, bytes);
		else
			memcpy(rm_at, call.rm, mmx_rm ? 8 : 16);
		break;
	case SIMD_GM_X:
		if (memory)
			store_bytes(cpu, insn, call.memory, bytes);
		else
			cpu->state.gpr[rm] = call.gpr;
		break;
	case SIMD_G_XM:
		cpu->state.gpr[reg] = call.gpr;
		break;
	case SIMD_SHIFT:
		memcpy(rm_at, call.rm, mmx_rm ? 8 : 16);
		break;
	default:
		break;
	}
	if (mmx_reg && row->form != SIMD_XM_X && row->form != SIMD_GM_X)
		reg_at[8] = reg_at[9] = 0xff;
	if (row->flags & SIMD_SETS_FLAGS)
		cpu->state.arith = call.arith;
	if (row->flags & SIMD_STRING) {
		if (insn->opcode & 1) /* PCMPESTRI, PCMPISTRI: an index */
			cpu->state.gpr[GPR_RCX] = call.rcx;
		else
			memcpy(fpu->xmm[0], call.xmm0, 16);
	}
	NEXT(cpu, insn);
}

/* The same on the registers where they are; a fault comes in front of the thunk. */
struct direct {
	bool reg_general, rm_general; /* general registers, not vectors */
	bool memory;
	bool compares;   /* writes the flags alone */
	bool calculates; /* SIMD_FP */
};

/* The memory operand where it is, or a copy in @operand. The thunk may fault as a copy may. */
static inline void *operand_at(struct vcpu *cpu, const struct insn *insn, uint8_t *operand)
{
	const unsigned bytes = insn->simd_bytes;
	uint64_t address = mem_operand(cpu, insn, bytes, ACCESS_READ);
	uint8_t *p = mmu_lookup(&cpu->mmu, address, bytes, ACCESS_READ, cpu->data_mode);

	cpu->insn_now = insn;
	if (likely(p))
		return p;
	mem_read_slow(cpu, insn, address, operand, bytes, cpu->data_mode);
	return operand;
}

static __attribute__((always_inline)) inline void direct(struct vcpu *cpu, const struct insn *insn,
							 const struct direct how)
{
	struct cpu_state *s = &cpu->state;
	uint8_t operand[16] __attribute__((aligned(16))), before[16];
	simd_direct *thunk = (simd_direct *)insn->thunk;
	void *reg = how.reg_general ? (void *)&s->gpr[insn->reg_number] :
				      s->fpu.xmm[insn->reg_number];
	void *rm = how.rm_general ? (void *)&s->gpr[insn->rm_number] :
				    s->fpu.xmm[insn->rm_number];
	void *written = how.compares ? (void *)&s->arith : reg;
	const unsigned bytes = how.compares ? sizeof(s->arith) : how.reg_general ? 8 : 16;

	check(cpu, insn, insn->simd_feature);
	if (how.memory) {
		if (insn->simd_align)
			check_aligned(cpu, insn);
		rm = operand_at(cpu, insn, operand);
	}
	/* There was no memory for it when the instruction was decoded. */
	if (unlikely(!thunk))
		thunk = simd_direct_get(insn, row_of(insn));
	if (unlikely(!thunk))
		interp_emulation_error(cpu, insn);
	if (!how.calculates) {
		thunk(reg, rm, s->fpu.xmm[0], &s->arith);
		return;
	}
	mxcsr_load(cpu);
	memcpy(before, written, bytes);
	thunk(reg, rm, s->fpu.xmm[0], &s->arith);
	if (unlikely(cpu->interp->mxcsr.each) && mxcsr_raised(cpu)) {
		memcpy(written, before, bytes);
		mxcsr_exception(cpu, insn);
	}
}

/* clang-format off */
#define DIRECT(name, ...)                                                                          \
static void name(struct vcpu *cpu, const struct insn *insn)                                        \
{                                                                                                  \
	direct(cpu, insn, (struct direct){ __VA_ARGS__ });                                         \
	NEXT(cpu, insn);                                                                           \
}
/* By whether the operand is memory, and whether it calculates. */
#define DIRECTS(name, ...)                                                                         \
DIRECT(name##_r, __VA_ARGS__)                                                                      \
DIRECT(name##_m, __VA_ARGS__, .memory = true)                                                      \
DIRECT(name##_r_fp, __VA_ARGS__, .calculates = true)                                               \
DIRECT(name##_m_fp, __VA_ARGS__, .memory = true, .calculates = true)                               \
static insn_fn *const name[2][2] = { { name##_r, name##_m }, { name##_r_fp, name##_m_fp } };
DIRECTS(direct_vector, .reg_general = false)
DIRECTS(direct_compare, .compares = true)
DIRECTS(direct_to_general, .reg_general = true)
DIRECTS(direct_from_general, .rm_general = true)
/* clang-format on */

static insn_fn *select_direct(struct insn *insn, const struct simd_row *row)
{
	bool fp = row->flags & SIMD_FP, memory = insn->flags & INSN_MEM;

	insn->thunk = (void *)simd_direct_get(insn, row);
	insn->simd_feature = row->feature;
	insn->simd_bytes = operand_bytes(insn, row);
	insn->simd_align = row->flags & SIMD_ALIGN;
	if (row->flags & SIMD_COMPARE)
		return direct_compare[fp][memory];
	if (row->form == SIMD_G_XM)
		return direct_to_general[fp][memory];
	if (row->form == SIMD_X_GM || row->form == SIMD_GM_X)
		return direct_from_general[fp][memory];
	return direct_vector[fp][memory];
}

/* MASKMOVDQU, MASKMOVQ: bytes of the first operand whose mask bit is set, to DS:[rDI]. */
static void op_maskmov(struct vcpu *cpu, const struct insn *insn)
{
	const struct simd_row *row = row_of(insn);
	bool mmx = row->flags & SIMD_MMX;
	struct fpu_state *fpu = &cpu->state.fpu;
	const uint8_t *data, *mask;
	unsigned i;

	check(cpu, insn, row->feature);
	if (mmx)
		x87_enter_mmx(cpu);
	data = mmx ? fpu->st[insn->reg_number & 7] : fpu->xmm[insn->reg_number];
	mask = mmx ? fpu->st[insn->rm_number & 7] : fpu->xmm[insn->rm_number];
	for (i = 0; i < (mmx ? 8u : 16u); i++)
		if (mask[i] & 0x80)
			seg_write8(cpu, insn, insn->seg,
				   (cpu->state.gpr[GPR_RDI] + i) & insn->amask, data[i]);
	NEXT(cpu, insn);
}

/* ---- selection ---- */

/* Moves that need no thunk, by what they do. */
static insn_fn *select_move(const struct insn *insn)
{
	bool memory = insn->flags & INSN_MEM;
	uint8_t p = insn->prefix;

	if (insn->map != 1)
		return NULL;
	switch (insn->opcode) {
	case 0x10:
		if (p == 0 || p == 0x66)
			return memory ? load_unaligned : move_registers;
		return !memory ? NULL : p == 0xf3 ? load_low4 : load_low8;
	case 0x11:
		if (p == 0 || p == 0x66)
			return memory ? store_unaligned : move_registers_back;
		return !memory ? NULL : p == 0xf3 ? store_low4 : store_low8;
	case 0x28:
		return memory ? load_aligned : move_registers;
	case 0x29:
		return memory ? store_aligned : move_registers_back;
	case 0x2b:
		return store_aligned;
	case 0x6f:
		if (p == 0x66)
			return memory ? load_aligned : move_registers;
		return p == 0xf3 ? memory ? load_unaligned : move_registers : NULL;
	case 0x7f:
		if (p == 0x66)
			return memory ? store_aligned : move_registers_back;
		return p == 0xf3 ? memory ? store_unaligned : move_registers_back : NULL;
	case 0x7e:
		return p == 0xf3 && memory ? load_low8 : NULL;
	case 0xd6:
		return p == 0x66 && memory ? store_low8 : NULL;
	case 0x13:
	case 0x17:
		return insn->opcode == 0x13 ? store_low8 : NULL;
	case 0xe7:
		return p == 0x66 ? store_aligned : NULL;
	case 0x57:
	case 0xef:
		return (insn->opcode == 0x57 || p == 0x66) && !memory &&
		       insn->reg_number == insn->rm_number ? clear_register : NULL;
	}
	return NULL;
}

insn_fn *simd_select(struct insn *insn)
{
	const struct simd_row *row;
	bool memory = insn->flags & INSN_MEM;
	insn_fn *fn;

	if (insn->flags & (INSN_EVEX | INSN_LOCK))
		return NULL;
	if (insn->flags & INSN_VEX)
		return avx_select(insn);
	if (insn->map == 0)
		return x87_select(insn);
	if (insn->map == 1 && insn->opcode == 0x77)
		return insn->prefix ? NULL : op_emms;
	row = row_of(insn);
	if (row->form == SIMD_NONE || !host_has(row->feature) || (memory && (row->flags & SIMD_REG_ONLY)) ||
	    (!memory && (row->flags & SIMD_MEM_ONLY)))
		return NULL;
	if (row->form == SIMD_SHIFT) {
		unsigned op = insn->modrm >> 3 & 7;

		/* 71, 72: right, arithmetic right, left; 73 has no arithmetic, but byte shifts. */
		if (memory || !(op == 2 || op == 6 ||
				(op == 4 && insn->opcode != 0x73) ||
				((op == 3 || op == 7) && insn->opcode == 0x73 && insn->prefix == 0x66)))
			return NULL;
	}
	if (row->form == SIMD_MASKMOV)
		return op_maskmov;
	fn = select_move(insn);
	if (fn)
		return fn;
	if (simd_is_direct(insn, row))
		return select_direct(insn, row);
	insn->thunk = (void *)simd_thunk_get(insn, row);
	return op_simd;
}
