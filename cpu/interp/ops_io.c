/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IN, OUT, INS, OUTS. Source: Intel SDM volume 1, chapter 19 (I/O permission); volume 2. */
#include "cpu/interp/system.h"

/* I/O permission: IOPL, then the bitmap in the TSS. */
static void check_port(struct vcpu *cpu, const struct insn *insn, uint16_t port, unsigned bytes)
{
	const struct cpu_state *s = &cpu->state;
	const struct kvm_segment *tr = &s->seg[SEG_TR];
	uint16_t map, bits;

	if (!state_protected(s))
		return;
	if (!state_v86(s) && state_cpl(s) <= (s->rflags & RFLAGS_IOPL) >> 12)
		return;
	if (tr->unusable || !(tr->type & 8) || tr->limit < 103)
		exception_gp(cpu, insn, 0);
	system_begin(cpu, insn);
	must(cpu, insn, access_read(cpu, tr->base + 102, &map, 2, TLB_SUPER));
	/* The processor always looks at two bytes, so the map ends with an extra one. */
	if ((uint32_t)map + port / 8 + 1 > tr->limit)
		exception_gp(cpu, insn, 0);
	must(cpu, insn, access_read(cpu, tr->base + map + port / 8, &bits, 2, TLB_SUPER));
	if (bits >> (port & 7) & ((1u << bytes) - 1))
		exception_gp(cpu, insn, 0);
}

static unsigned element_bytes(const struct insn *insn)
{
	return insn->opsize == 8 ? 4 : insn->opsize;
}

/* ---- single accesses ---- */

static void port_in(struct vcpu *cpu, const struct insn *insn, uint16_t port)
{
	unsigned bytes = element_bytes(insn);
	uint32_t value;

	check_port(cpu, insn, port, bytes);
	value = replay_pio_in(cpu, insn, port, bytes);
	if (bytes == 1)
		SET8(cpu, 0, value);
	else if (bytes == 2)
		SET16(cpu, 0, value);
	else
		SET32(cpu, 0, value);
	cpu->state.rip = insn_next_ip(cpu, insn);
}

static void port_out(struct vcpu *cpu, const struct insn *insn, uint16_t port)
{
	unsigned bytes = element_bytes(insn);

	check_port(cpu, insn, port, bytes);
	replay_pio_out(cpu, insn, port, bytes, REG32(cpu, 0));
	cpu->state.rip = insn_next_ip(cpu, insn);
}

void op_in_imm(struct vcpu *cpu, const struct insn *insn)
{
	port_in(cpu, insn, insn->imm & 0xff);
}

void op_in_dx(struct vcpu *cpu, const struct insn *insn)
{
	port_in(cpu, insn, cpu->state.gpr[GPR_RDX]);
}

void op_out_imm(struct vcpu *cpu, const struct insn *insn)
{
	port_out(cpu, insn, insn->imm & 0xff);
}

void op_out_dx(struct vcpu *cpu, const struct insn *insn)
{
	port_out(cpu, insn, cpu->state.gpr[GPR_RDX]);
}

/* ---- strings ---- */

struct string {
	uint16_t port;
	unsigned bytes;   /* of an element */
	uint64_t amask;
	unsigned seg;
	enum gpr index;   /* RSI or RDI */
	bool rep, down;
	uint64_t count;   /* elements to go */
};

static void string_begin(struct vcpu *cpu, const struct insn *insn, enum gpr index, unsigned seg,
			 struct string *string)
{
	const struct cpu_state *s = &cpu->state;

	string->port = s->gpr[GPR_RDX];
	string->bytes = element_bytes(insn);
	string->amask = insn->address == 8 ? ~0ull : insn->address == 4 ? 0xffffffff : 0xffff;
	string->seg = seg;
	string->index = index;
	string->rep = insn->flags & (INSN_REP | INSN_REPNE);
	string->down = s->rflags & RFLAGS_DF;
	string->count = string->rep ? s->gpr[GPR_RCX] & string->amask : 1;
	check_port(cpu, insn, string->port, string->bytes);
}

static void set_masked(uint64_t *reg, uint64_t value, uint64_t amask)
{
	/* A 32-bit register write clears the upper half, a 16-bit one does not. */
	*reg = amask == 0xffff ? (*reg & ~0xffffull) | (value & 0xffff) : value & amask;
}

/* @n elements are done: the registers show it. */
static void string_advance(struct vcpu *cpu, struct string *string, uint64_t n)
{
	uint64_t *index = &cpu->state.gpr[string->index];
	uint64_t by = n * string->bytes;

	set_masked(index, string->down ? *index - by : *index + by, string->amask);
	if (string->rep)
		set_masked(&cpu->state.gpr[GPR_RCX], cpu->state.gpr[GPR_RCX] - n, string->amask);
	string->count -= n;
}

/* Elements from here on that lie in one page and inside the segment, going up; at least 1. */
static unsigned string_run(const struct vcpu *cpu, const struct insn *insn,
			   const struct string *string, uint64_t linear)
{
	uint64_t offset = cpu->state.gpr[string->index] & string->amask;
	unsigned n = (GUEST_PAGE_SIZE - (linear & ~GUEST_PAGE_MASK)) / string->bytes;

	if (string->down || n < 2)
		return 1;
	if (n > string->count)
		n = string->count;
	if (offset + (uint64_t)n * string->bytes - 1 > string->amask)
		return 1;
	if (insn->code != 8 &&
	    !segment_contains(&cpu->state.seg[string->seg], offset, n * string->bytes))
		return 1;
	return n;
}

static uint64_t string_linear(struct vcpu *cpu, const struct insn *insn,
			      const struct string *string, enum access access)
{
	uint64_t offset = cpu->state.gpr[string->index] & string->amask;

	if (insn->code != 8 || (insn->flags & INSN_CHECK))
		mem_check(cpu, insn, string->seg, offset, string->bytes, access);
	return mem_linear(cpu, insn, string->seg, offset);
}

/* Interrupts get their chance between elements. True: stop here, RIP at the instruction. */
static bool string_interrupted(struct vcpu *cpu, const struct insn *insn,
			       const struct string *string)
{
	if (!string->count || !atomic_load_explicit(&cpu->exit_request, memory_order_relaxed))
		return false;
	cpu->state.rip = insn_ip(cpu, insn);
	return true;
}

void op_ins(struct vcpu *cpu, const struct insn *insn)
{
	struct string string;

	string_begin(cpu, insn, GPR_RDI, insn->code == 8 ? SEG_FLAT : SEG_ES, &string);
	while (string.count) {
		uint64_t linear = string_linear(cpu, insn, &string, ACCESS_WRITE);
		unsigned n = string_run(cpu, insn, &string, linear), ready;
		uint32_t value;
		uint8_t *to;

		/* The destination faults before the device gives its data away. */
		to = mem_host(cpu, insn, linear, n * string.bytes, ACCESS_WRITE);
		ready = replay_batch_ready(cpu, string.port, string.bytes);
		if (!ready) {
			if (bus_read(cpu->vm->bus, BUS_PIO, string.port, &value, string.bytes))
				replay_batch_in(cpu, insn, string.port, string.bytes, n);
			replay_batch_put(cpu, string.port, string.bytes, &value);
			ready = 1;
		}
		if (n > ready)
			n = ready;
		if (to) {
			memcpy(to, replay_batch_data(cpu), n * string.bytes);
		} else {
			n = 1;
			mem_write_slow(cpu, insn, linear, replay_batch_data(cpu), string.bytes,
				       cpu->data_mode);
		}
		replay_batch_consume(cpu, n);
		string_advance(cpu, &string, n);
		if (string_interrupted(cpu, insn, &string))
			return;
	}
	replay_batch_end(cpu);
	END_BLOCK(cpu, insn);
}

void op_outs(struct vcpu *cpu, const struct insn *insn)
{
	struct string string;
	uint64_t taken;

	string_begin(cpu, insn, GPR_RSI, insn->seg, &string);
	taken = replay_batch_taken(cpu, string.port, string.bytes);
	string_advance(cpu, &string, taken < string.count ? taken : string.count);
	while (string.count) {
		uint64_t linear;
		unsigned n;
		uint8_t value[4];
		const uint8_t *from;

		if (taken && string_interrupted(cpu, insn, &string))
			return;
		linear = string_linear(cpu, insn, &string, ACCESS_READ);
		n = string_run(cpu, insn, &string, linear);
		from = mem_host(cpu, insn, linear, n * string.bytes, ACCESS_READ);
		if (!from) {
			n = 1;
			mem_read_slow(cpu, insn, linear, value, string.bytes, cpu->data_mode);
			from = value;
		} else if (n == 1) {
			memcpy(value, from, string.bytes);
			from = value;
		}
		if (bus_write(cpu->vm->bus, BUS_PIO, string.port, from, string.bytes))
			replay_batch_out(cpu, insn, string.port, string.bytes, n, from);
		string_advance(cpu, &string, 1);
		cpu->replay.count = cpu->replay.next = 0;
		taken = 1;
	}
	END_BLOCK(cpu, insn);
}
