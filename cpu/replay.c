/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port I/O of instructions: devices here, else user space with KVM_EXIT_IO.
 * Source: KVM document, section 5 (KVM_EXIT_IO).
 */
#include "cpu/replay.h"

#include <string.h>

#include "cpu/interp/insn.h"

#define PORT_7E 0x7e
#define PIO_PAGE_OFFSET 4096 /* of vcpu->pio_page in the mapping of kvm_run */

static void fill_exit(struct vcpu *vcpu, bool in, uint16_t port, unsigned bytes, unsigned count)
{
	struct kvm_run *run = vcpu->run;

	vcpu->stats.io_exits++;
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = bytes;
	run->io.port = port;
	run->io.count = count;
	run->io.data_offset = PIO_PAGE_OFFSET;
}

/* True: the access is answered, its entry consumed. False: it is entry[count], to be answered. */
static bool answered(struct vcpu *vcpu, enum replay_kind kind, uint16_t port, unsigned bytes,
		     struct replay_entry **result)
{
	struct replay *replay = &vcpu->replay;
	struct replay_entry *entry;

	if (replay->next < replay->count) {
		entry = &replay->entry[replay->next];
		if (entry->kind == kind && entry->address == port && entry->bytes == bytes) {
			replay->next++;
			*result = entry;
			return true;
		}
		/* User space changed the registers: what it answered is not what is asked. */
		replay->count = replay->next;
	}
	if (replay->count == REPLAY_MAX) /* cannot happen: one port access an element */
		replay->count = replay->next = 0;
	entry = &replay->entry[replay->count];
	entry->kind = kind;
	entry->address = port;
	entry->bytes = bytes;
	entry->error = false;
	*result = entry;
	return false;
}

void replay_take_pio(struct vcpu *vcpu, struct replay_entry *entry)
{
	struct replay *replay = &vcpu->replay;

	if (!replay->batch_waiting) {
		if (entry->kind == REPLAY_PIO_IN)
			memcpy(entry->data, vcpu->pio_page, entry->bytes);
		return;
	}
	replay->batch_waiting = false;
	if (entry->kind == REPLAY_PIO_IN) {
		memcpy(replay->batch, vcpu->pio_page, replay->batch_count * replay->batch_size);
		replay->batch_next = 0;
	} else {
		replay->batch_out = replay->batch_count;
		replay->batch_count = replay->batch_next = 0;
	}
}

const struct replay_entry *replay_answer(struct vcpu *vcpu, enum replay_kind kind,
					 uint64_t address)
{
	struct replay *replay = &vcpu->replay;
	const struct replay_entry *entry;

	if (replay->next >= replay->count)
		return NULL;
	entry = &replay->entry[replay->next];
	if (entry->kind == kind && entry->address == address) {
		replay->next++;
		return entry;
	}
	/* User space changed the registers: what it answered is not what is asked. */
	replay->count = replay->next;
	return NULL;
}

void replay_ask(struct vcpu *vcpu, enum replay_kind kind, uint64_t address)
{
	struct replay *replay = &vcpu->replay;

	replay->count = replay->next = 0;
	replay->entry[0] = (struct replay_entry){
		.kind = kind,
		.address = address,
		.bytes = sizeof(replay->entry[0].data),
	};
	replay->waiting = true;
}

uint32_t replay_pio_in(struct vcpu *vcpu, const struct insn *insn, uint16_t port, unsigned bytes)
{
	struct replay_entry *entry;
	uint32_t value = 0;

	if (answered(vcpu, REPLAY_PIO_IN, port, bytes, &entry)) {
		memcpy(&value, entry->data, bytes);
		return value;
	}
	if (!bus_read(vcpu->vm->bus, BUS_PIO, port, &value, bytes))
		return value;
	fill_exit(vcpu, true, port, bytes, 1);
	memset(vcpu->pio_page, 0, bytes);
	vcpu->replay.batch_waiting = false;
	vcpu->replay.waiting = true;
	interp_leave(vcpu, insn, ENGINE_EXIT);
}

void replay_pio_out(struct vcpu *vcpu, const struct insn *insn, uint16_t port, unsigned bytes,
		    uint32_t value)
{
	struct replay_entry *entry;

	if (answered(vcpu, REPLAY_PIO_OUT, port, bytes, &entry))
		return;
	if (!bus_write(vcpu->vm->bus, BUS_PIO, port, &value, bytes))
		return;
	fill_exit(vcpu, false, port, bytes, 1);
	memcpy(vcpu->pio_page, &value, bytes);
	/* User space that knows of this old mistake expects RIP behind the instruction. */
	if (port == PORT_7E && !(vm_disabled_quirks(vcpu->vm) & KVM_X86_QUIRK_OUT_7E_INC_RIP))
		interp_complete(vcpu, insn, ENGINE_EXIT);
	vcpu->replay.batch_waiting = false;
	vcpu->replay.waiting = true;
	interp_leave(vcpu, insn, ENGINE_EXIT);
}

/* ---- batches ---- */

static _Noreturn void batch_leave(struct vcpu *vcpu, const struct insn *insn,
				  enum replay_kind kind, uint16_t port, unsigned bytes,
				  unsigned count)
{
	struct replay *replay = &vcpu->replay;

	/* Elements that are done need no replay; the batch is the only access under way. */
	replay->count = replay->next = 0;
	replay->entry[0].kind = kind;
	replay->entry[0].address = port;
	replay->entry[0].bytes = bytes;
	replay->entry[0].error = false;
	replay->batch_port = port;
	replay->batch_size = bytes;
	replay->batch_count = count;
	replay->batch_next = count;
	replay->batch_out = 0;
	replay->batch_waiting = true;
	replay->waiting = true;
	fill_exit(vcpu, kind == REPLAY_PIO_IN, port, bytes, count);
	interp_leave(vcpu, insn, ENGINE_EXIT);
}

unsigned replay_batch_ready(struct vcpu *vcpu, uint16_t port, unsigned bytes)
{
	struct replay *replay = &vcpu->replay;

	if (replay->batch_port != port || replay->batch_size != bytes || replay->batch_waiting)
		return 0;
	if (replay->next < replay->count && replay->entry[replay->next].kind == REPLAY_PIO_IN)
		replay->next++;
	return replay->batch_count - replay->batch_next;
}

const uint8_t *replay_batch_data(const struct vcpu *vcpu)
{
	return vcpu->replay.batch + vcpu->replay.batch_next * vcpu->replay.batch_size;
}

void replay_batch_consume(struct vcpu *vcpu, unsigned count)
{
	vcpu->replay.batch_next += count;
	vcpu->replay.count = vcpu->replay.next = 0;
}

void replay_batch_end(struct vcpu *vcpu)
{
	vcpu->replay.batch_count = vcpu->replay.batch_next = 0;
}

void replay_batch_put(struct vcpu *vcpu, uint16_t port, unsigned bytes, const void *data)
{
	struct replay *replay = &vcpu->replay;

	memcpy(replay->batch, data, bytes);
	replay->batch_port = port;
	replay->batch_size = bytes;
	replay->batch_count = 1;
	replay->batch_next = replay->batch_out = 0;
	replay->batch_waiting = false;
}

static unsigned batch_elements(unsigned bytes, unsigned count)
{
	return count > REPLAY_BATCH_BYTES / bytes ? REPLAY_BATCH_BYTES / bytes : count;
}

_Noreturn void replay_batch_in(struct vcpu *vcpu, const struct insn *insn, uint16_t port,
			       unsigned bytes, unsigned count)
{
	count = batch_elements(bytes, count);
	memset(vcpu->pio_page, 0, count * bytes);
	batch_leave(vcpu, insn, REPLAY_PIO_IN, port, bytes, count);
}

_Noreturn void replay_batch_out(struct vcpu *vcpu, const struct insn *insn, uint16_t port,
				unsigned bytes, unsigned count, const void *data)
{
	count = batch_elements(bytes, count);
	memcpy(vcpu->pio_page, data, count * bytes);
	batch_leave(vcpu, insn, REPLAY_PIO_OUT, port, bytes, count);
}

unsigned replay_batch_taken(struct vcpu *vcpu, uint16_t port, unsigned bytes)
{
	struct replay *replay = &vcpu->replay;
	unsigned taken = replay->batch_out;

	replay->batch_out = 0;
	if (!taken || replay->batch_port != port || replay->batch_size != bytes)
		return 0;
	replay->count = replay->next = 0;
	return taken;
}
