/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operand access, the slow paths.
 *
 * Whatever has effects outside plain RAM (MMIO, stores to code, data breakpoints) happens only while
 * the instruction runs alone: then the loop cleans up behind exactly this instruction.
 */
#include <stdlib.h>

#include "cpu/exit.h"
#include "cpu/interp/interp.h"

struct piece {
	uint64_t linear;
	unsigned bytes;
	enum mmu_status status;
	struct mmu_result where;
};

/* What a far call pushes at most. */
#define PUSHED_BYTES 16

static bool on_stack(const struct vcpu *cpu, const struct insn *insn, uint64_t address)
{
	return insn->flags & INSN_STACK_SEG ||
	       (insn->flags & INSN_STACK &&
		address - (cpu->state.gpr[GPR_RSP] - PUSHED_BYTES) <= PUSHED_BYTES);
}

static void check_address(struct vcpu *cpu, const struct insn *insn, uint64_t address)
{
	unsigned shift = cpu->state.cr4 & CR4_LA57 ? 7 : 16;

	if ((uint64_t)((int64_t)(address << shift) >> shift) != address)
		exception(cpu, insn, on_stack(cpu, insn, address) ? VECTOR_SS : VECTOR_GP, 0);
}

/* Splits at the page boundary. Returns the number of pieces. */
static unsigned split(struct vcpu *cpu, const struct insn *insn, uint64_t address, unsigned bytes,
		      struct piece piece[2])
{
	unsigned on_page = GUEST_PAGE_SIZE - (address & ~GUEST_PAGE_MASK);
	bool wide = state_long(&cpu->state);

	if (!wide)
		address = (uint32_t)address;
	else
		check_address(cpu, insn, address);
	piece[0].linear = address;
	piece[0].bytes = bytes;
	if (bytes <= on_page)
		return 1;
	piece[0].bytes = on_page;
	piece[1].linear = address + on_page;
	piece[1].bytes = bytes - on_page;
	if (wide)
		check_address(cpu, insn, piece[1].linear);
	else
		piece[1].linear = (uint32_t)piece[1].linear;
	return 2;
}

static void translate(struct vcpu *cpu, const struct insn *insn, struct piece *piece,
		      enum access access, enum tlb_mode mode)
{
	/* What user space has answered is completed: the ring's reserve is for such. */
	cpu->mmu.ring_stops = !cpu->replay.count;
	piece->status = mmu_translate(&cpu->mmu, piece->linear, access, mode, &piece->where);
	cpu->mmu.ring_stops = false;
	if (piece->status == MMU_PAGE_FAULT)
		exception_page_fault(cpu, insn, piece->linear, piece->where.error_code);
	if (piece->status == MMU_RING_FULL) {
		exit_dirty_ring_full(cpu);
		interp_leave(cpu, insn, ENGINE_EXIT);
	}
	if (piece->status == MMU_HOST_FAULT) {
		exit_translation_fault(cpu, &piece->where);
		interp_leave(cpu, insn, ENGINE_ERROR);
	}
}

/* ---- data breakpoints ---- */

static void watch(struct vcpu *cpu, const struct insn *insn, uint64_t address, unsigned bytes,
		  enum access access)
{
	uint64_t dr7 = cpu->effective_dr7;
	const uint64_t *dr = cpu->debug_control & KVM_GUESTDBG_USE_HW_BP ? cpu->debug_dr :
									    cpu->state.dr;
	unsigned i;

	for (i = 0; i < 4; i++) {
		static const uint8_t lengths[4] = { 1, 2, 8, 4 };
		unsigned type = dr7 >> (16 + 4 * i) & 3;
		unsigned length = lengths[dr7 >> (18 + 4 * i) & 3];
		uint64_t start = dr[i] & ~(uint64_t)(length - 1);

		if (!(dr7 >> (2 * i) & 3) || type == 0 || type == 2)
			continue;
		if (type == 1 && access != ACCESS_WRITE)
			continue;
		if (address < start + length && start < address + bytes) {
			interp_alone(cpu, insn);
			cpu->interp->watch_hits |= 1u << i;
		}
	}
}

/* ---- MMIO ---- */

/* The next entry of the replay list if user space or a device has answered it, else NULL. */
static struct replay_entry *replayed(struct vcpu *cpu, const struct insn *insn,
				     enum replay_kind kind, uint64_t gpa, unsigned bytes)
{
	struct replay *replay = &cpu->replay;
	struct replay_entry *entry;

	if (replay->next < replay->count) {
		entry = &replay->entry[replay->next];
		if (entry->kind == kind && entry->address == gpa && entry->bytes == bytes) {
			replay->next++;
			return entry;
		}
		/* The client changed registers or memory under the exit: what it answered is not
		 * what is asked now. */
		replay->count = replay->next;
	}
	if (replay->count == REPLAY_MAX)
		interp_emulation_error(cpu, insn);
	entry = &replay->entry[replay->count];
	entry->kind = kind;
	entry->address = gpa;
	entry->bytes = bytes;
	entry->error = false;
	return NULL;
}

static bool on_lapic_page(const struct vcpu *cpu, uint64_t gpa)
{
	return cpu->lapic && (gpa & GUEST_PAGE_MASK) == lapic_mmio_base(cpu->lapic);
}

/* The page of a local APIC that is disabled or in x2APIC mode: user space sees it without the quirk. */
static bool on_lapic_hole(const struct vcpu *cpu, uint64_t gpa)
{
	return cpu->lapic && (gpa & GUEST_PAGE_MASK) == lapic_page(cpu->lapic) &&
	       !(vm_disabled_quirks(cpu->vm) & KVM_X86_QUIRK_LAPIC_MMIO_HOLE);
}

/*
 * KVM's emulator, which is what reaches devices, has no x87 but FNSTCW and FNSTSW: what fails there
 * is the interface's behaviour (KVM_CAP_EXIT_ON_EMULATION_FAILURE).
 */
static void check_mmio_insn(struct vcpu *cpu, const struct insn *insn)
{
	bool x87 = !insn->map && (insn->opcode & 0xf8) == 0xd8 && !(insn->flags & INSN_VEX);
	bool status = (insn->opcode == 0xd9 || insn->opcode == 0xdd) && (insn->modrm >> 3 & 7) == 7;

	if (x87 && !status)
		interp_emulation_error(cpu, insn);
	/* Once for an instruction, however often it is begun. */
	if (cpu->interp->alone && !cpu->replay.count)
		cpu->stats.insn_emulation++;
}

static void mmio_read(struct vcpu *cpu, const struct insn *insn, uint64_t gpa, uint8_t *data,
		      unsigned bytes)
{
	check_mmio_insn(cpu, insn);
	interp_alone(cpu, insn);
	while (bytes) {
		unsigned part = bytes < 8 ? bytes : 8;
		struct replay_entry *entry;

		entry = replayed(cpu, insn, REPLAY_MMIO_READ, gpa, part);
		if (!entry) {
			entry = &cpu->replay.entry[cpu->replay.count];
			if (on_lapic_page(cpu, gpa)) {
				lapic_mmio_read(cpu->lapic, gpa & ~GUEST_PAGE_MASK, entry->data, part);
			} else if (on_lapic_hole(cpu, gpa)) {
				memset(entry->data, 0xff, part);
			} else if (bus_read(cpu->vm->bus, BUS_MMIO, gpa, entry->data, part)) {
				exit_mmio(cpu, gpa, NULL, part, 0);
				cpu->replay.waiting = true;
				interp_leave(cpu, insn, ENGINE_EXIT);
			}
			cpu->replay.count++;
			cpu->replay.next++;
		}
		memcpy(data, entry->data, part);
		data += part;
		gpa += part;
		bytes -= part;
	}
}

static void mmio_write(struct vcpu *cpu, const struct insn *insn, uint64_t gpa,
		       const uint8_t *data, unsigned bytes)
{
	check_mmio_insn(cpu, insn);
	interp_alone(cpu, insn);
	while (bytes) {
		unsigned part = bytes < 8 ? bytes : 8;

		if (!replayed(cpu, insn, REPLAY_MMIO_WRITE, gpa, part)) {
			if (on_lapic_page(cpu, gpa)) {
				lapic_mmio_write(cpu->lapic, gpa & ~GUEST_PAGE_MASK, data, part);
			} else if (!on_lapic_hole(cpu, gpa) &&
				   bus_write(cpu->vm->bus, BUS_MMIO, gpa, data, part)) {
				exit_mmio(cpu, gpa, data, part, 1);
				cpu->replay.waiting = true;
				interp_leave(cpu, insn, ENGINE_EXIT);
			}
			cpu->replay.count++;
			cpu->replay.next++;
		}
		data += part;
		gpa += part;
		bytes -= part;
	}
}

/* ---- the accesses ---- */

void mem_read_slow(struct vcpu *cpu, const struct insn *insn, uint64_t address, void *data,
		   unsigned bytes, enum tlb_mode mode)
{
	struct piece piece[2];
	unsigned count, i;
	uint8_t *to = data;

	count = split(cpu, insn, address, bytes, piece);
	for (i = 0; i < count; i++)
		translate(cpu, insn, &piece[i], ACCESS_READ, mode);
	if (unlikely(cpu->mmu.watches))
		watch(cpu, insn, address, bytes, ACCESS_READ);
	for (i = 0; i < count; i++) {
		cpu->insn_now = insn;
		if (piece[i].status == MMU_RAM)
			memcpy(to, piece[i].where.hva, piece[i].bytes);
		else
			mmio_read(cpu, insn, piece[i].where.gpa, to, piece[i].bytes);
		to += piece[i].bytes;
	}
}

static void write_ram(struct vcpu *cpu, const struct piece *piece, const uint8_t *from)
{
	uint8_t *to = piece->where.hva;

	/* Guests rely on aligned stores being single ones. */
	switch (piece->bytes) {
	case 2:
		__builtin_memcpy(to, from, 2);
		break;
	case 4:
		__builtin_memcpy(to, from, 4);
		break;
	case 8:
		__builtin_memcpy(to, from, 8);
		break;
	default:
		memcpy(to, from, piece->bytes);
	}
	if (piece->where.code) {
		mmu_code_written(&cpu->mmu, piece->where.slot, piece->where.gpa);
		interp_code_changed(cpu);
	}
}

void mem_write_slow(struct vcpu *cpu, const struct insn *insn, uint64_t address, const void *data,
		    unsigned bytes, enum tlb_mode mode)
{
	const uint8_t *from = data;
	struct piece piece[2];
	unsigned count, i;

	count = split(cpu, insn, address, bytes, piece);
	for (i = 0; i < count; i++)
		translate(cpu, insn, &piece[i], ACCESS_WRITE, mode);
	for (i = 0; i < count; i++)
		if (piece[i].status != MMU_RAM || piece[i].where.code)
			interp_alone(cpu, insn);
	if (unlikely(cpu->mmu.watches))
		watch(cpu, insn, address, bytes, ACCESS_WRITE);
	for (i = 0; i < count; i++) {
		cpu->insn_now = insn;
		if (piece[i].status == MMU_RAM)
			write_ram(cpu, &piece[i], from);
		else
			mmio_write(cpu, insn, piece[i].where.gpa, from, piece[i].bytes);
		from += piece[i].bytes;
	}
}

void *mem_rmw_slow(struct vcpu *cpu, const struct insn *insn, uint64_t address, unsigned bytes)
{
	struct interp *interp = cpu->interp;
	struct piece piece[2];
	unsigned count, i;

	count = split(cpu, insn, address, bytes, piece);
	for (i = 0; i < count; i++)
		translate(cpu, insn, &piece[i], ACCESS_WRITE, cpu->data_mode);
	if (unlikely(cpu->mmu.watches))
		watch(cpu, insn, address, bytes, ACCESS_WRITE);
	cpu->insn_now = insn;
	/* Plain RAM in one run of host memory: the host's own instruction does it, split lock or not. */
	if (piece[0].status == MMU_RAM && !piece[0].where.code &&
	    (count == 1 || (piece[1].status == MMU_RAM && !piece[1].where.code &&
			    piece[0].where.hva + piece[0].bytes == piece[1].where.hva)))
		return piece[0].where.hva;
	interp_alone(cpu, insn);
	interp->rmw.address = address;
	interp->rmw.bytes = bytes;
	cpu->rmw_pending = true;
	if (count == 1 && piece[0].status == MMU_RAM) {
		interp->rmw.kind = RMW_CODE;
		interp->rmw.slot = piece[0].where.slot;
		interp->rmw.gpa = piece[0].where.gpa;
		return piece[0].where.hva;
	}
	interp->rmw.kind = RMW_SCRATCH;
	mem_read_slow(cpu, insn, address, interp->rmw.scratch, bytes, cpu->data_mode);
	return interp->rmw.scratch;
}

void mem_rmw_commit(struct vcpu *cpu, const struct insn *insn)
{
	struct interp *interp = cpu->interp;

	cpu->rmw_pending = false;
	if (interp->rmw.kind == RMW_CODE) {
		mmu_code_written(&cpu->mmu, interp->rmw.slot, interp->rmw.gpa);
		interp_code_changed(cpu);
	} else {
		mem_write_slow(cpu, insn, interp->rmw.address, interp->rmw.scratch,
			       interp->rmw.bytes, cpu->data_mode);
	}
}

void mem_read_linear(struct vcpu *cpu, const struct insn *insn, uint64_t address, void *data,
		     unsigned bytes, enum tlb_mode mode)
{
	uint8_t *to = data;

	while (bytes) {
		unsigned part = bytes < 64 ? bytes : 64;

		mem_read_slow(cpu, insn, address, to, part, mode);
		address += part;
		to += part;
		bytes -= part;
	}
}

void mem_write_linear(struct vcpu *cpu, const struct insn *insn, uint64_t address, const void *data,
		      unsigned bytes, enum tlb_mode mode)
{
	const uint8_t *from = data;

	while (bytes) {
		unsigned part = bytes < 64 ? bytes : 64;

		mem_write_slow(cpu, insn, address, from, part, mode);
		address += part;
		from += part;
		bytes -= part;
	}
}

uint8_t *mem_host(struct vcpu *cpu, const struct insn *insn, uint64_t address, unsigned bytes,
		  enum access access)
{
	uint8_t *p = mmu_lookup(&cpu->mmu, address, bytes, access, cpu->data_mode);
	struct piece piece[2];

	cpu->insn_now = insn;
	if (p)
		return p;
	if (cpu->mmu.watches || split(cpu, insn, address, bytes, piece) != 1)
		return NULL;
	translate(cpu, insn, &piece[0], access, cpu->data_mode);
	if (piece[0].status != MMU_RAM || (access == ACCESS_WRITE && piece[0].where.code))
		return NULL;
	return piece[0].where.hva;
}

/* ---- segment and alignment checks ---- */

static bool inside_limit(const struct kvm_segment *seg, uint64_t offset, unsigned bytes)
{
	uint64_t last = offset + bytes - 1;

	if ((seg->type & 0xc) == 4 && seg->s) /* expand-down data */
		return offset > seg->limit && last <= (seg->db ? 0xffffffffull : 0xffffull);
	return last <= seg->limit;
}

void mem_check(struct vcpu *cpu, const struct insn *insn, unsigned seg, uint64_t offset,
	       unsigned bytes, enum access access)
{
	const struct cpu_state *s = &cpu->state;

	if (insn->code != 8 && seg < SEG_COUNT) {
		const struct kvm_segment *segment = &s->seg[seg];
		uint8_t vector = seg == SEG_SS ? VECTOR_SS : VECTOR_GP;

		if (segment->unusable)
			exception(cpu, insn, vector, 0);
		if (state_protected(s) && !state_v86(s)) {
			bool code = segment->type & 8;

			if (access == ACCESS_WRITE && (code || !(segment->type & 2)))
				exception(cpu, insn, vector, 0);
			if (access == ACCESS_READ && code && !(segment->type & 2))
				exception(cpu, insn, vector, 0);
		}
		if (!inside_limit(segment, offset, bytes))
			exception(cpu, insn, vector, 0);
	}
	if (bytes > 1 && bytes <= 8 && (s->rflags & RFLAGS_AC) && (s->cr0 & CR0_AM) &&
	    state_cpl(s) == 3 &&
	    (mem_linear(cpu, insn, seg, offset) & (bytes - 1)))
		exception(cpu, insn, VECTOR_AC, 0);
}
