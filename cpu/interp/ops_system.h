/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of system, far-transfer, segment and I/O instructions. Each serves every operand size:
 * it reads insn->opsize, insn->code, insn->flags. All are INSN_END unless marked (straight).
 */
#ifndef FAUXKVM_CPU_INTERP_OPS_SYSTEM_H
#define FAUXKVM_CPU_INTERP_OPS_SYSTEM_H

#include "cpu/interp/insn.h"

insn_fn
	/* ops_far.c: far transfers, interrupts, fast system calls */
	op_call_far_imm, op_call_far_mem, op_jmp_far_imm, op_jmp_far_mem,
	op_ret_far,         /* imm: bytes to release (0 for CB) */
	op_int3, op_int1, op_int, op_into, /* INT n: imm */
	op_iret, op_syscall, op_sysret, op_sysenter, op_sysexit,
	/* ops_segment.c */
	op_mov_to_seg,      /* 8E: reg_number is the segment */
	op_mov_from_seg,    /* 8C (straight) */
	op_push_seg,        /* imm: segment number (straight) */
	op_pop_seg,         /* imm: segment number */
	op_load_far,        /* LES LDS LSS LFS LGS: imm: segment number */
	op_lldt, op_ltr, op_sldt, op_str, op_verr, op_verw, op_lar, op_lsl, op_arpl, /* 0F 00, 02, 03; 63 */
	op_lgdt, op_lidt, op_sgdt, op_sidt,
	op_swapgs, op_rdfsgsbase, op_wrfsgsbase, /* F3 0F AE /0../3; modrm.reg & 1: GS */
	/* ops_control.c */
	op_mov_to_cr, op_mov_from_cr, op_mov_to_dr, op_mov_from_dr, /* reg_number: CRn/DRn, rm: GPR */
	op_clts, op_lmsw, op_smsw, op_xgetbv, op_xsetbv, op_rdpkru, op_wrpkru, op_clac, op_stac,
	op_invd, op_wbinvd, op_invlpg, op_invpcid,
	op_rdmsr, op_wrmsr, op_rsm, op_cpuid, op_rdtsc, op_rdtscp, op_rdpmc, op_rdpid,
	op_hlt, op_cli, op_sti, op_pushf /* (straight) */, op_popf,
	op_monitor, op_mwait, op_vmcall /* and VMMCALL: hypercall */, op_ud,
	/* ops_io.c */
	op_in_imm, op_in_dx, op_out_imm, op_out_dx, op_ins, op_outs,
	/* ops_xsave.c: FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XSAVEC, XRSTOR, LDMXCSR, STMXCSR (straight) */
	op_fxsave, op_fxrstor, op_xsave, op_xsaveopt, op_xsavec, op_xsaves, op_xrstor, op_xrstors,
	op_ldmxcsr, op_stmxcsr;

#endif
