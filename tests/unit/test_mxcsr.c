// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs of floating point instructions with the guest's MXCSR kept loaded between them, against the
 * host: results, sticky flags, what STMXCSR and LDMXCSR in the middle see, and where an unmasked
 * exception stops.
 */
#define _GNU_SOURCE
#include <ucontext.h>

#include "vector_fixture.h"

#include "cpu/interp/mxcsr.h"

#define ROUNDS 10000
#define INSNS_MAX 8

/* Operands are XMM0 to XMM7, memory is at RSI. */
static const struct {
	uint8_t length, modrm_at; /* the register numbers are random; 0: a fixed instruction */
	uint8_t bytes[8];
} choice[] = {
	{ 4, 3, { 0xf2, 0x0f, 0x58, 0xc0 } },       /* addsd */
	{ 4, 3, { 0xf2, 0x0f, 0x59, 0xc0 } },       /* mulsd */
	{ 4, 3, { 0xf2, 0x0f, 0x5e, 0xc0 } },       /* divsd */
	{ 4, 3, { 0xf3, 0x0f, 0x5c, 0xc0 } },       /* subss */
	{ 3, 2, { 0x0f, 0x51, 0xc0 } },             /* sqrtps */
	{ 3, 2, { 0x0f, 0x5e, 0xc0 } },             /* divps */
	{ 4, 3, { 0x66, 0x0f, 0x58, 0xc0 } },       /* addpd */
	{ 4, 3, { 0x66, 0x0f, 0x5b, 0xc0 } },       /* cvtps2dq */
	{ 4, 3, { 0xf2, 0x0f, 0x2c, 0xc0 } },       /* cvttsd2si */
	{ 4, 3, { 0x66, 0x0f, 0x2f, 0xc0 } },       /* comisd */
	{ 5, 0, { 0xf2, 0x48, 0x0f, 0x2a, 0x06 } }, /* cvtsi2sd xmm0, qword [rsi] */
	{ 4, 0, { 0xf2, 0x0f, 0x58, 0x0e } },       /* addsd xmm1, [rsi] */
	{ 4, 3, { 0xc5, 0xe3, 0x5e, 0xc0 } },       /* vdivsd ..., xmm3, ... */
	{ 4, 3, { 0xc5, 0xe5, 0x58, 0xc0 } },       /* vaddpd ..., ymm3, ... */
	{ 4, 3, { 0x66, 0x0f, 0xef, 0xc0 } },       /* pxor */
	{ 4, 0, { 0x0f, 0xae, 0x5e, 0x20 } },       /* stmxcsr [rsi + 32] */
	{ 4, 0, { 0x0f, 0xae, 0x56, 0x24 } },       /* ldmxcsr [rsi + 36] */
	{ 4, 0, { 0x0f, 0xae, 0x56, 0x20 } },       /* ldmxcsr [rsi + 32] */
	{ 2, 0, { 0xd9, 0xe8 } },                   /* fld1: a thunk with an MXCSR of its own */
};

/* What the kernel tells of the instruction that raised SIGFPE. */
static uint32_t fault_mxcsr;
static unsigned fault_offset;
static struct fixture *running;

static void on_fpe(int signo, siginfo_t *info, void *context)
{
	const struct ucontext_t *interrupted = context;

	(void)info;
	fault_mxcsr = interrupted->uc_mcontext.fpregs->mxcsr;
	fault_offset =
		(unsigned)((uint8_t *)interrupted->uc_mcontext.gregs[REG_RIP] - running->code);
	siglongjmp(fixture_fault, signo);
}

static unsigned make_run(uint8_t *bytes, unsigned *offset)
{
	unsigned count = 1 + fixture_random() % INSNS_MAX, length = 0, i;

	for (i = 0; i < count; i++) {
		unsigned n = fixture_random() % (sizeof(choice) / sizeof(choice[0]));

		offset[i] = length;
		memcpy(bytes + length, choice[n].bytes, choice[n].length);
		/* cvttsd2si to RSP or RSI would take the operands away: EAX or ECX. */
		if (choice[n].modrm_at)
			bytes[length + choice[n].modrm_at] |=
				(fixture_random() & (choice[n].bytes[2] == 0x2c ? 1 : 7)) << 3 |
				(fixture_random() & 7);
		length += choice[n].length;
	}
	return length;
}

/* @unmasked: exceptions that the guest may find unmasked. */
static void run_both(uint32_t unmasked)
{
	const struct sigaction action = { .sa_sigaction = on_fpe,
					  .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	const uint16_t control = 0x27f; /* of the host's x87: what fewer bits are rounded to */
	unsigned offset[INSNS_MAX], round, raised = 0;
	uint16_t control_after;
	uint32_t host;
	struct vectors vectors, start;
	struct fixture f;

	vector_init(&f);
	running = &f;
	sigaction(SIGFPE, &action, NULL);
	for (round = 0; round < ROUNDS; round++) {
		struct registers in, out = { 0 };
		uint8_t bytes[64];
		unsigned length = make_run(bytes, offset), i;
		int vector, signo;
		char text[256] = "";

		for (i = 0; i < length; i++)
			sprintf(text + 3 * i, "%02x ", bytes[i]);
		fixture_fill(&f, &in);
		fill_vectors(&start);
		start.mxcsr ^= fixture_random() & unmasked;
		start.mxcsr |= fixture_random() & fixture_random() & MXCSR_FLAGS;
		in.gpr[GPR_RSI] = (uintptr_t)f.memory;
		((uint32_t *)f.memory)[8] = 0x1f80 | (fixture_random() & 0xe07f);
		((uint32_t *)f.memory)[9] = (0x1f80 ^ (fixture_random() & unmasked)) |
					    (fixture_random() & 0xe07f);
		memcpy(f.before, f.memory, FIXTURE_BYTES);
		vectors = start;
		fpu_init_component(f.cpu, XFEATURE_X87);
		host = mxcsr_host_get();
		__asm__ volatile("fldcw %0" : : "m"(control));
		mxcsr_keep(f.cpu);
		vector = interpret(&f, bytes, length, &in, &out, &vectors);
		mxcsr_release(f.cpu);
		__asm__ volatile("fnstcw %0" : "=m"(control_after));
		ck_assert_uint_eq(control_after, control);
		vectors.mxcsr = f.cpu->state.fpu.mxcsr;
		ck_assert_uint_eq(mxcsr_host_get(), host);
		memcpy(f.interpreted, f.memory, FIXTURE_BYTES);
		memcpy(f.memory, f.before, FIXTURE_BYTES);
		f.native = in;
		*native_before(&f) = start;
		signo = execute_native(&f, bytes, length);
		__asm__ volatile("fninit; ldmxcsr %0" : : "m"(host));
		ck_assert_msg(signo == fixture_signal_of(vector), "%s: vector %d, signal %d", text,
			      vector, signo);
		ck_assert_msg(!memcmp(f.memory, f.interpreted, FIXTURE_BYTES), "%s: memory", text);
		if (signo != NO_FAULT) {
			raised++;
			ck_assert_msg(vectors.mxcsr == fault_mxcsr,
				      "%s: mxcsr %x at #XM, native %x", text, vectors.mxcsr,
				      fault_mxcsr);
			for (i = 0; offset[i] < f.cpu->state.rip; i++)
				;
			ck_assert_msg(offset[i] == f.cpu->state.rip &&
					      !memcmp(f.code + fault_offset, bytes + offset[i], 2),
				      "%s: at %lu", text, f.cpu->state.rip);
			continue;
		}
		for (i = 0; i < 16; i++)
			ck_assert_msg(!memcmp(vectors.ymm[i], native_after(&f)->ymm[i], 32),
				      "%s: ymm%u", text, i);
		ck_assert_msg(vectors.mxcsr == native_after(&f)->mxcsr, "%s: mxcsr %x, native %x",
			      text, vectors.mxcsr, native_after(&f)->mxcsr);
		ck_assert_msg(out.gpr[GPR_RAX] == f.native.gpr[GPR_RAX], "%s: rax", text);
	}
	ck_assert_int_eq(!!raised, !!unmasked);
	fixture_fini(&f);
}

START_TEST(masked)
{
	run_both(0);
}
END_TEST

START_TEST(unmasked)
{
	/*
	 * Invalid, denormal, zero divide, precision. Overflow and underflow differ: a CPU that may
	 * raise them looks at the result with a wider exponent, a masked one does not.
	 */
	run_both(0x1380);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		masked,
		unmasked,
	};

	return vector_main("cpu/interp/mxcsr", tests, sizeof(tests) / sizeof(tests[0]));
}
