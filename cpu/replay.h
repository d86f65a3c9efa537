/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accesses of one instruction that user space has answered.
 *
 * An instruction runs from its start after each exit. Every access it makes outside RAM consults
 * this list in order: entries before @count are answered from it, the first one beyond makes a new
 * exit. The list is cleared when the instruction completes or faults.
 */
#ifndef FAUXKVM_CPU_REPLAY_H
#define FAUXKVM_CPU_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_MAX 64
#define REPLAY_BATCH_BYTES 1024

enum replay_kind { REPLAY_MMIO_READ, REPLAY_MMIO_WRITE, REPLAY_PIO_IN, REPLAY_PIO_OUT,
		   REPLAY_RDMSR, REPLAY_WRMSR, REPLAY_HYPERCALL };

struct replay_entry {
	enum replay_kind kind;
	uint64_t address;
	unsigned bytes;
	uint8_t data[8]; /* reads: the answer */
	bool error;      /* MSR: user space asked for #GP */
};

struct replay {
	unsigned count; /* answered */
	unsigned next;  /* consumed by the current run of the instruction */
	bool waiting;   /* entry[count] is the access that user space is answering now */
	struct replay_entry entry[REPLAY_MAX];

	/*
	 * REP INS: elements that user space gave in one exit and the instruction has not stored
	 * yet. They outlive faults and interrupts: the device has handed them out. REP OUTS:
	 * @batch_out elements that user space has taken and RSI and RCX do not show yet.
	 */
	uint8_t batch[REPLAY_BATCH_BYTES];
	uint16_t batch_port, batch_size;
	unsigned batch_count, batch_next, batch_out;
	bool batch_waiting; /* the exit under way is a batch */
};

struct vcpu;
struct insn;

/* cpu/replay.c: user space has answered @entry (kind REPLAY_PIO_IN or REPLAY_PIO_OUT). */
void replay_take_pio(struct vcpu *vcpu, struct replay_entry *entry);

/* For accesses that an instruction makes but once (MSR, hypercall): the answer, or NULL. */
const struct replay_entry *replay_answer(struct vcpu *vcpu, enum replay_kind kind,
					 uint64_t address);
/* The access is what user space answers next; the caller fills in kvm_run and leaves. */
void replay_ask(struct vcpu *vcpu, enum replay_kind kind, uint64_t address);

/*
 * One element at @port, from a device here or from user space; for instructions, whose restart they
 * cause when user space is needed. @bytes: 1, 2, 4.
 */
uint32_t replay_pio_in(struct vcpu *vcpu, const struct insn *insn, uint16_t port, unsigned bytes);
void replay_pio_out(struct vcpu *vcpu, const struct insn *insn, uint16_t port, unsigned bytes,
		    uint32_t value);
/* Elements of INS that are ready at replay_batch_data(); 0: none. */
unsigned replay_batch_ready(struct vcpu *vcpu, uint16_t port, unsigned bytes);
const uint8_t *replay_batch_data(const struct vcpu *vcpu);
void replay_batch_consume(struct vcpu *vcpu, unsigned count); /* they are stored */
/* INS has ended; what user space gave too much (the client changed RCX) is lost. */
void replay_batch_end(struct vcpu *vcpu);
/* One element that a device here gave is ready. */
void replay_batch_put(struct vcpu *vcpu, uint16_t port, unsigned bytes, const void *data);
/* Leaves to user space for 1..@count elements of INS. */
_Noreturn void replay_batch_in(struct vcpu *vcpu, const struct insn *insn, uint16_t port,
			       unsigned bytes, unsigned count);
/* Leaves to user space with as many of the @count elements of OUTS at @data as fit. */
_Noreturn void replay_batch_out(struct vcpu *vcpu, const struct insn *insn, uint16_t port,
				unsigned bytes, unsigned count, const void *data);
/* Elements of OUTS that user space has taken since; the caller accounts for them. */
unsigned replay_batch_taken(struct vcpu *vcpu, uint16_t port, unsigned bytes);

#endif
