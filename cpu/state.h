/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Architectural state of one vCPU, in the units of the KVM structures. */
#ifndef FAUXKVM_CPU_STATE_H
#define FAUXKVM_CPU_STATE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

enum gpr {
	GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
	GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
	GPR_ZERO, /* always 0: an address without base or index */
	GPR_BLOCK, /* the interpreter's: linear-in-segment address (IP) of its block, for RIP-relative */
	GPR_COUNT
};

/* In the order of the instruction encoding. SEG_FLAT is a base of 0 for flat addressing. */
enum seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT,
	   SEG_FLAT = SEG_COUNT };

#define RFLAGS_CF (1u << 0)
#define RFLAGS_FIXED (1u << 1)
#define RFLAGS_PF (1u << 2)
#define RFLAGS_AF (1u << 4)
#define RFLAGS_ZF (1u << 6)
#define RFLAGS_SF (1u << 7)
#define RFLAGS_TF (1u << 8)
#define RFLAGS_IF (1u << 9)
#define RFLAGS_DF (1u << 10)
#define RFLAGS_OF (1u << 11)
#define RFLAGS_IOPL (3u << 12)
#define RFLAGS_NT (1u << 14)
#define RFLAGS_RF (1u << 16)
#define RFLAGS_VM (1u << 17)
#define RFLAGS_AC (1u << 18)
#define RFLAGS_VIF (1u << 19)
#define RFLAGS_VIP (1u << 20)
#define RFLAGS_ID (1u << 21)
#define RFLAGS_ARITH (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR0_TS (1ull << 3)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)

#define CR4_VME (1ull << 0)
#define CR4_PVI (1ull << 1)
#define CR4_TSD (1ull << 2)
#define CR4_DE (1ull << 3)
#define CR4_PSE (1ull << 4)
#define CR4_PAE (1ull << 5)
#define CR4_MCE (1ull << 6)
#define CR4_PGE (1ull << 7)
#define CR4_PCE (1ull << 8)
#define CR4_OSFXSR (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP (1ull << 11)
#define CR4_LA57 (1ull << 12)
#define CR4_FSGSBASE (1ull << 16)
#define CR4_PCIDE (1ull << 17)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define CR4_PKE (1ull << 22)

#define EFER_SCE (1ull << 0)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)

enum vector {
	VECTOR_DE = 0, VECTOR_DB = 1, VECTOR_NMI = 2, VECTOR_BP = 3, VECTOR_OF = 4, VECTOR_BR = 5,
	VECTOR_UD = 6, VECTOR_NM = 7, VECTOR_DF = 8, VECTOR_TS = 10, VECTOR_NP = 11,
	VECTOR_SS = 12, VECTOR_GP = 13, VECTOR_PF = 14, VECTOR_MF = 16, VECTOR_AC = 17,
	VECTOR_MC = 18, VECTOR_XM = 19,
};

#define XSAVE_AREA_BYTES 4096 /* struct kvm_xsave */

/*
 * x87, SSE and extended state in the standard (non-compacted) XSAVE format. Offsets 0..511 are the
 * FXSAVE image, 512..575 the header, 576..831 the AVX component on every CPU.
 */
struct fpu_state {
	union {
		uint8_t bytes[XSAVE_AREA_BYTES];
		struct {
			uint16_t fcw, fsw;
			uint8_t ftw, reserved;
			uint16_t fop;
			uint64_t fip, fdp;
			uint32_t mxcsr, mxcsr_mask;
			uint8_t st[8][16];   /* ST(i) by distance from TOP, 80 bits used */
			uint8_t xmm[16][16];
			uint8_t pad[96];
			uint64_t xstate_bv, xcomp_bv;
			uint8_t header_reserved[48];
			uint8_t ymm_high[16][16]; /* of YMM registers: the AVX component */
		};
	};
} __attribute__((aligned(64)));

/* Events, with the fields of struct kvm_vcpu_events. */
struct pending_events {
	struct {
		bool pending;  /* raised, not yet being delivered (may be combined: #DF) */
		bool injected; /* delivery began (vectoring); must be delivered again as is */
		uint8_t vector;
		bool has_error_code;
		uint32_t error_code;
		bool has_payload;
		uint64_t payload; /* CR2 for #PF, DR6 bits for #DB */
	} exception;
	struct {
		bool injected; /* KVM_INTERRUPT or acknowledged, waiting to be delivered */
		uint8_t vector;
		bool soft;
	} interrupt;
	struct {
		bool injected;
		uint8_t pending; /* 0..2 */
		bool masked;     /* in an NMI handler, until IRET */
	} nmi;
	uint8_t shadow; /* KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI: for the next instruction */
	uint8_t sipi_vector;
	bool triple_fault;
	bool smi_pending;
	bool smm_inside_nmi; /* in SMM that interrupted an NMI handler */
};

struct cpu_state {
	uint64_t gpr[GPR_COUNT];
	uint64_t rip;
	/*
	 * RFLAGS in two parts: @rflags holds everything but the six arithmetic flags (those bits
	 * are 0 in it), @arith those six as LAHF and SETO give them: AH in bits 15..8, OF in bit 0.
	 * Use rflags_get() and rflags_set() (cpu/flags.h).
	 */
	uint64_t rflags;
	uint16_t arith;

	struct kvm_segment seg[SEG_COUNT]; /* LDTR and TR included */
	uint64_t base[SEG_COUNT + 1];      /* copies of seg[].base; SEG_FLAT's is 0; kept by segment.c */
	struct kvm_dtable gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8;  /* cr8: only without a local APIC here */
	uint64_t efer, apic_base;          /* apic_base: as cr8 */
	uint64_t xcr0;
	uint64_t pdptr[4];
	uint64_t dr[4], dr6, dr7;
	uint32_t pkru;

	struct fpu_state fpu;

	/* MSRs that are plain storage (cpu/msr_table.c). */
	struct {
		uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
		uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
		uint64_t pat, tsc_aux, misc_enable, spec_ctrl;
		uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_var[16];
		uint64_t mcg_status, mcg_ctl, mcg_cap, mc_banks[32 * 4], mc_ctl2[32];
		uint64_t tsc_adjust, feature_control, platform_info, misc_features, arch_capabilities;
		uint64_t smi_count, smbase, power_ctl, xss, ucode_rev, perf_capabilities;
		uint64_t hwcr, de_cfg, osvw_length, osvw_status;
		/* KVM's own: wall clock, system time, async PF, steal time, PV EOI, poll control. */
		uint64_t kvm_wall_clock, kvm_system_time, kvm_async_pf_en, kvm_async_pf_int,
			 kvm_steal_time, kvm_pv_eoi, kvm_poll_control;
	} msr;

	struct pending_events events;
	uint32_t mp_state; /* KVM_MP_STATE_* */
	bool in_smm;
};

static inline bool state_protected(const struct cpu_state *s) { return s->cr0 & CR0_PE; }
static inline bool state_v86(const struct cpu_state *s) { return s->rflags & RFLAGS_VM; }
static inline bool state_long(const struct cpu_state *s) { return s->efer & EFER_LMA; }
/* 64-bit mode proper: long mode with CS.L. */
static inline bool state_code64(const struct cpu_state *s)
{
	return state_long(s) && s->seg[SEG_CS].l;
}
/* Current privilege level: SS.DPL as KVM keeps it; 3 in V86, 0 in real mode. */
static inline unsigned state_cpl(const struct cpu_state *s)
{
	if (!state_protected(s))
		return 0;
	return state_v86(s) ? 3 : s->seg[SEG_SS].dpl;
}

#endif
