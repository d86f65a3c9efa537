/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which arithmetic flags an instruction reads, which it defines, and which it leaves undefined. */
#ifndef FAUXKVM_CPU_UNICORN_FLAG_EFFECT_H
#define FAUXKVM_CPU_UNICORN_FLAG_EFFECT_H

#include "cpu/interp/insn.h"

/* Bits of RFLAGS_ARITH. */
struct flag_effect {
	uint16_t defined;   /* has the value that the manual gives, whatever it had before */
	uint16_t undefined; /* may have any value afterwards */
};

/*
 * @count: CL before a shift or rotation by CL; -1: not known. What is not known to be defined stays
 * in neither set. Source: Intel SDM volume 2, "Flags Affected" of each instruction.
 */
struct flag_effect flag_effect(const struct insn *insn, int count);
/* The flags on which anything else of its result depends. */
uint16_t flags_read(const struct insn *insn);

#endif
