/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What executes guest instructions. All engines have the same semantics; they differ in speed.
 *
 * An instruction is complete or never started when run() returns. An instruction that needs user
 * space (MMIO, PIO, MSR) is abandoned without side effects; when user space has answered it runs
 * again and finds its finished accesses in the vCPU's replay list (cpu/replay.h).
 */
#ifndef FAUXKVM_CPU_ENGINE_H
#define FAUXKVM_CPU_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

struct block;
struct vcpu;

enum engine_reason {
	ENGINE_KICKED,    /* vcpu->exit_request was seen, or an event may now be deliverable */
	ENGINE_EXCEPTION, /* vcpu->state.events.exception is pending; RIP at the instruction */
	ENGINE_HALT,      /* HLT completed */
	ENGINE_EXIT,      /* kvm_run is filled in for user space */
	ENGINE_ERROR,     /* kvm_run filled in and vcpu->run_error is the negative errno */
};

struct engine {
	const char *name;
	int (*create)(struct vcpu *vcpu);   /* 0 or negative errno */
	void (*destroy)(struct vcpu *vcpu);
	/*
	 * Executes until something needs the run loop. @single: at most one instruction (interrupt
	 * shadow, single step). vcpu->state is exact on return.
	 */
	enum engine_reason (*run)(struct vcpu *vcpu, bool single);
	/* Decoded or translated code must be compared with memory before it is used again. */
	void (*verify_code)(struct vcpu *vcpu);
	/* The rest may be NULL. */
	/*
	 * The interpreter is about to execute @block at state.rip, and its heat is used up. True:
	 * the engine has executed something itself, state is exact.
	 */
	bool (*hot)(struct vcpu *vcpu, struct block *block);
	/* exit_request was set. Any thread or signal handler. */
	void (*kick)(struct vcpu *vcpu);
	/* The memslots changed: slots that are remembered do not exist any more. */
	void (*forget_slots)(struct vcpu *vcpu);
};

extern const struct engine engine_interp;
#ifdef WITH_UNICORN
extern const struct engine engine_unicorn;
/* The same without waiting for code to be hot: for tests. */
extern const struct engine engine_unicorn_eager;
/* The same, and all that Unicorn did is compared with the interpreter: cpu/unicorn/lockstep.c. */
extern const struct engine engine_unicorn_lockstep;
#endif

/* The interpreter's data, that every vCPU has. NULL: out of memory. */
struct interp *interp_alloc(void);
void interp_free(struct interp *interp);
/* What decoding depends on (code size, flat segments, CPL, alignment checks) may have changed. */
void interp_mode_changed(struct vcpu *vcpu);
/* The memslots changed: forget all decoded code. */
void interp_forget_code(struct vcpu *vcpu);
/* A store by this vCPU reached the code page; decoded code is verified before its next use. */
void interp_code_changed(struct vcpu *vcpu);

/* Engine by name, or NULL. @name NULL: the default. */
const struct engine *engine_find(const char *name);
/* NULL-terminated list. */
const struct engine *const *engine_list(void);

#endif
