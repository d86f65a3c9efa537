// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A sequence on the host's own CPU, at the same linear addresses.
 *
 * Registers go in and out through the context of signals: an undefined opcode of ours gets us into
 * a handler, which returns into the sequence; whatever fault that ends in brings us back.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "lockstep.h"

#define USER_CS64 0x33u
#define USER_CS32 0x23u
#define USER_SS 0x2bull

static const int gregs[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static enum { IDLE, ENTERING, RUNNING } phase;
static gregset_t own;
static const struct sequence *entered;
static bool entered_wide;
static struct native_outcome *result;
static uint8_t *code, *data;

static void enter(ucontext_t *context)
{
	greg_t *r = context->uc_mcontext.gregs;

	memcpy(own, r, sizeof(own));
	for (unsigned i = 0; i < 16; i++)
		r[gregs[i]] = (greg_t)entered->gpr[i];
	r[REG_RIP] = CODE_LINEAR + entered->start;
	r[REG_EFL] = (greg_t)entered->flags;
	/* CS, GS, FS, SS. */
	r[REG_CSGSFS] = (greg_t)((entered_wide ? USER_CS64 : USER_CS32) | USER_SS << 48);
	phase = RUNNING;
}

static void leave(ucontext_t *context)
{
	greg_t *r = context->uc_mcontext.gregs;

	for (unsigned i = 0; i < 16; i++)
		result->gpr[i] = (uint64_t)r[gregs[i]];
	result->rip = (uint64_t)r[REG_RIP];
	result->flags = (uint64_t)r[REG_EFL];
	result->vector = (int)r[REG_TRAPNO];
	memcpy(r, own, sizeof(own));
	r[REG_RIP] += 2; /* UD2 */
	phase = IDLE;
}

static void handler(int signo, siginfo_t *info, void *opaque)
{
	(void)info;
	if (phase == ENTERING)
		enter(opaque);
	else if (phase == RUNNING)
		leave(opaque);
	else
		signal(signo, SIG_DFL); /* a bug of this program */
}

bool native_init(void)
{
	static const int signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS };
	static uint8_t stack_bytes[1 << 16];
	struct sigaction action = { .sa_sigaction = handler,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t stack = { .ss_sp = stack_bytes, .ss_size = sizeof(stack_bytes) };

	code = mmap((void *)(uintptr_t)CODE_LINEAR, CODE_BYTES, PROT_READ | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	data = mmap((void *)(uintptr_t)DATA_LINEAR, DATA_PAGES * PAGE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (code == MAP_FAILED || data == MAP_FAILED)
		return false;
	sigaltstack(&stack, NULL);
	/* An alarm meanwhile would find a stranger's stack. */
	sigaddset(&action.sa_mask, SIGALRM);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	/* 64-bit code needs none, 32-bit code does. */
	__asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"((uint32_t)USER_SS));
	return !syscall(SYS_arch_prctl, ARCH_SET_GS, DATA_LINEAR + 0x280ul);
}

void native_load(const struct batch *batch)
{
	mprotect(code, CODE_BYTES, PROT_READ | PROT_WRITE);
	memcpy(code, batch->code, CODE_BYTES);
	mprotect(code, CODE_BYTES, PROT_READ | PROT_EXEC);
	mprotect(data, (DATA_READ_ONLY + 1) * PAGE, PROT_READ | PROT_WRITE);
	memcpy(data, batch->data, (DATA_READ_ONLY + 1) * PAGE);
	mprotect(data + DATA_READ_ONLY * PAGE, PAGE, PROT_READ);
}

const uint8_t *native_page(unsigned page)
{
	return data + page * PAGE;
}

void native_run(const struct batch *batch, const struct sequence *sequence,
		struct native_outcome *outcome)
{
	memcpy(data, batch->data, 3 * PAGE);
	entered = sequence;
	entered_wide = mode_is_64(batch->mode);
	result = outcome;
	phase = ENTERING;
	__asm__ volatile("ud2" ::: "memory", "cc");
}
