/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One instruction of 64-bit code, executed by the interpreter and by the host, with the same
 * registers, flags and memory at the same address.
 */
#ifndef FAUXKVM_TESTS_NATIVE_FIXTURE_H
#define FAUXKVM_TESTS_NATIVE_FIXTURE_H

#include <check.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/interp/interp.h"

#define FIXTURE_PAGES 4
#define FIXTURE_BYTES (FIXTURE_PAGES * 4096)
#define NO_FAULT (-1)

/* Registers by number, then RFLAGS. */
struct registers {
	uint64_t gpr[16];
	uint64_t flags;
	uint64_t host_rsp;
};

struct fixture {
	struct vcpu *cpu;
	struct memory *slots;
	uint8_t *memory;          /* FIXTURE_BYTES that both can access, below 2 GiB */
	uint8_t before[FIXTURE_BYTES], interpreted[FIXTURE_BYTES];
	uint8_t *code;
	struct registers native;
};

static sigjmp_buf fixture_fault;

static void fixture_signal(int signo)
{
	siglongjmp(fixture_fault, signo);
}

static uint64_t fixture_random_state = 88172645463325252ull;

static inline uint64_t fixture_random(void)
{
	fixture_random_state ^= fixture_random_state << 13;
	fixture_random_state ^= fixture_random_state >> 7;
	fixture_random_state ^= fixture_random_state << 17;
	return fixture_random_state;
}

/* Values at the edges of every operand size, small ones, and any. */
static inline uint64_t fixture_value(void)
{
	static const uint64_t edges[] = {
		0, 1, 2, 7, 8, 0xf, 0x10, 0x1f, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xff, 0x100,
		0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff,
		0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffff80,
		0xffffffffffff8000, 0xffffffff80000000, 0xffffffffffffffff,
	};

	switch (fixture_random() % 4) {
	case 0:
		return fixture_random();
	case 1:
		return fixture_random() >> (fixture_random() & 63);
	default:
		return edges[fixture_random() % (sizeof(edges) / sizeof(edges[0]))];
	}
}

static inline void fixture_init(struct fixture *f)
{
	static uint8_t signal_stack[65536];
	struct sigaction action = {
		.sa_handler = fixture_signal, .sa_flags = SA_ONSTACK | SA_NODEFER,
	};
	stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof(signal_stack) };

	sigaltstack(&stack, NULL);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	f->cpu = aligned_alloc(64, (sizeof(*f->cpu) + 63) & ~(size_t)63);
	memset(f->cpu, 0, sizeof(*f->cpu));
	f->cpu->interp = interp_alloc();
	f->cpu->state.efer = EFER_LME | EFER_LMA;
	f->cpu->state.cr0 = CR0_PE | CR0_PG;
	f->cpu->state.seg[SEG_CS].l = 1;
	f->cpu->state.seg[SEG_SS].dpl = 3;
	f->cpu->data_mode = TLB_USER;
	f->cpu->features = (struct guest_features){
		.popcnt = true, .movbe = true, .cmpxchg16b = true, .bmi1 = true, .bmi2 = true,
		.lzcnt = true, .adx = true, .rdrand = true, .rdseed = true, .sse42 = true,
		.lahf64 = true, .clflush = true, .clflushopt = true, .clwb = true, .simd = UINT16_MAX,
	};
	f->memory = mmap(NULL, FIXTURE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	f->code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	/* Guest-linear = guest-physical = host address: no paging, and a slot just there. */
	f->slots = memory_create(NULL);
	ck_assert_int_eq(memory_set_region(f->slots, &(struct kvm_userspace_memory_region){
		.guest_phys_addr = (uintptr_t)f->memory,
		.userspace_addr = (uintptr_t)f->memory,
		.memory_size = FIXTURE_BYTES,
	}), 0);
	ck_assert_int_eq(mmu_init(&f->cpu->mmu, f->slots), 0);
}

static inline void fixture_fini(struct fixture *f)
{
	mmu_fini(&f->cpu->mmu);
	memory_destroy(f->slots);
	interp_free(f->cpu->interp);
	free(f->cpu);
	munmap(f->memory, FIXTURE_BYTES);
	munmap(f->code, 4096);
}

#define FIXTURE_INSNS 16 /* that can be executed together */

/* The instruction after those under test. */
static void fixture_stop(struct vcpu *cpu, const struct insn *insn)
{
	cpu->state.rip = insn->imm;
}

/* Of one instruction, or several. Returns the vector of the exception, or NO_FAULT. */
static inline int fixture_interpret(struct fixture *f, const uint8_t *bytes, unsigned length,
				    const struct registers *in, struct registers *out)
{
	const struct decode_mode mode = { .code = 8, .stack = 8, .protected_mode = true };
	struct vcpu *cpu = f->cpu;
	struct insn insn[FIXTURE_INSNS + 1];
	unsigned count = 0, offset = 0;

	do {
		int one = decode(&mode, bytes + offset, length - offset, offset, &insn[count]);

		ck_assert_int_gt(one, 0);
		insn[count].offset = offset;
		offset += one;
	} while (++count < FIXTURE_INSNS && offset < length);
	ck_assert_uint_eq(offset, length);
	insn[count].fn = fixture_stop;
	insn[count].imm = length;
	memcpy(cpu->state.gpr, in->gpr, sizeof(in->gpr));
	rflags_set(&cpu->state, in->flags);
	cpu->state.events.exception.pending = false;
	if (!sigsetjmp(cpu->interp->env, 0))
		insn[0].fn(cpu, &insn[0]);
	memcpy(out->gpr, cpu->state.gpr, sizeof(out->gpr));
	out->flags = rflags_get(&cpu->state);
	ck_assert_uint_eq(cpu->state.gpr[GPR_ZERO], 0);
	return cpu->state.events.exception.pending ? cpu->state.events.exception.vector : NO_FAULT;
}

static inline unsigned fixture_emit(uint8_t *at, const void *bytes, unsigned count)
{
	memcpy(at, bytes, count);
	return count;
}

/* Returns the signal, or NO_FAULT. Registers come from and go to f->native. */
static inline int fixture_execute(struct fixture *f, const uint8_t *bytes, unsigned length)
{
	/* push rbx, rbp, r12..r15; mov [rdi + 136], rsp; push [rdi + 128]; popfq */
	static const uint8_t enter[] = {
		0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57,
		0x48, 0x89, 0xa7, 0x88, 0, 0, 0, 0xff, 0xb7, 0x80, 0, 0, 0, 0x9d,
	};
	/* mov rsp, [rax + 136]; pushfq; pop [rax + 128]; cld; pop r15..r12, rbp, rbx; ret */
	static const uint8_t leave[] = {
		0x48, 0x8b, 0xa0, 0x88, 0, 0, 0, 0x9c, 0x8f, 0x80, 0x80, 0, 0, 0, 0xfc,
		0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3,
	};
	const uint64_t address = (uintptr_t)&f->native;
	uint8_t *p = f->code;
	unsigned i;
	int signo;

	p += fixture_emit(p, enter, sizeof(enter));
	for (i = 0; i < 17; i++) {
		unsigned reg = i == 16 ? 7 : i; /* RDI, the base, comes last */

		if (i == 7)
			continue;
		p += fixture_emit(p, (uint8_t[]){ 0x48 | (reg & 8 ? 4 : 0), 0x8b,
						  0x47 | (reg & 7) << 3, reg * 8 }, 4);
	}
	p += fixture_emit(p, bytes, length);
	/* mov [native.gpr], rax; mov rax, native */
	p += fixture_emit(p, "\x48\xa3", 2);
	p += fixture_emit(p, &address, 8);
	p += fixture_emit(p, "\x48\xb8", 2);
	p += fixture_emit(p, &address, 8);
	for (i = 1; i < 16; i++)
		p += fixture_emit(p, (uint8_t[]){ 0x48 | (i & 8 ? 4 : 0), 0x89,
						  0x40 | (i & 7) << 3, i * 8 }, 4);
	p += fixture_emit(p, leave, sizeof(leave));
	signo = sigsetjmp(fixture_fault, 1);
	if (signo)
		return signo;
	((void (*)(struct registers *))(uintptr_t)f->code)(&f->native);
	return NO_FAULT;
}

static inline int fixture_signal_of(int vector)
{
	return vector == VECTOR_DE || vector == VECTOR_XM ? SIGFPE : vector == VECTOR_UD ? SIGILL :
	       vector == NO_FAULT ? NO_FAULT : SIGSEGV;
}

/* Executes both ways and compares; @name and the bytes are told when they differ. */
static inline void fixture_compare(struct fixture *f, const char *name, const uint8_t *bytes,
				   unsigned length, const struct registers *in)
{
	const uint64_t flags = RFLAGS_ARITH | RFLAGS_DF;
	char text[64] = "", state[2048];
	struct registers out = { 0 };
	unsigned i, n = 0;
	int vector, signo;

	memcpy(f->before, f->memory, FIXTURE_BYTES);
	vector = fixture_interpret(f, bytes, length, in, &out);
	memcpy(f->interpreted, f->memory, FIXTURE_BYTES);
	memcpy(f->memory, f->before, FIXTURE_BYTES);
	f->native = *in;
	signo = fixture_execute(f, bytes, length);
	for (i = 0; i < length; i++)
		sprintf(text + 3 * i, "%02x ", bytes[i]);
	ck_assert_msg(signo == fixture_signal_of(vector), "%s: %s: vector %d, native signal %d",
		      name, text, vector, signo);
	if (signo != NO_FAULT)
		return;
	if (!memcmp(out.gpr, f->native.gpr, sizeof(out.gpr)) &&
	    !((out.flags ^ f->native.flags) & flags) &&
	    !memcmp(f->memory, f->interpreted, FIXTURE_BYTES))
		return;
	for (i = 0; i < 16; i++)
		n += sprintf(state + n, "\nr%u %016lx -> %016lx native %016lx%s", i, in->gpr[i],
			     out.gpr[i], f->native.gpr[i],
			     out.gpr[i] == f->native.gpr[i] ? "" : " <--");
	sprintf(state + n, "\nflags %lx -> %lx native %lx%s", in->flags, out.flags & flags,
		f->native.flags & flags,
		memcmp(f->memory, f->interpreted, FIXTURE_BYTES) ? "\nmemory differs" : "");
	ck_abort_msg("%s: %s%s", name, text, state);
}

static inline void fixture_fill(struct fixture *f, struct registers *in)
{
	unsigned i;

	for (i = 0; i < 16; i++)
		in->gpr[i] = fixture_value();
	in->flags = RFLAGS_FIXED | RFLAGS_IF | (fixture_random() & RFLAGS_ARITH);
	for (i = 0; i < FIXTURE_BYTES; i += 8)
		*(uint64_t *)(f->memory + i) = fixture_value();
}

#endif
