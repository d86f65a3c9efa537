/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lets readers use an immutable table without a lock and its writer know when the last of them is
 * gone. Readers: gate_enter, load the pointer, use it, gate_leave; they may nest. The writer
 * publishes a new pointer, calls gate_wait and may then free the old table.
 */
#ifndef FAUXKVM_DEVICES_GATE_H
#define FAUXKVM_DEVICES_GATE_H

#include <sched.h>
#include <stdatomic.h>

struct gate {
	atomic_uint epoch;
	atomic_uint inside[2];
};

static inline unsigned gate_enter(struct gate *gate)
{
	unsigned side = atomic_load(&gate->epoch) & 1;

	atomic_fetch_add(&gate->inside[side], 1);
	return side;
}

static inline void gate_leave(struct gate *gate, unsigned side)
{
	atomic_fetch_sub(&gate->inside[side], 1);
}

/*
 * Not from inside the gate; writers exclude each other. New readers go to the other side, so each
 * side drains even when readers never stop coming. Both sides have to be seen empty: a reader that
 * was slow between its two steps in gate_enter may sit on either.
 */
static inline void gate_wait(struct gate *gate)
{
	for (int i = 0; i < 2; i++) {
		unsigned side = atomic_fetch_add(&gate->epoch, 1) & 1;

		while (atomic_load(&gate->inside[side]))
			sched_yield();
	}
}

#endif
