// SPDX-License-Identifier: GPL-2.0-or-later
/* A guest without a kernel: page tables, an IDT whose every handler is HLT. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "cpu/flags.h"
#include "cpu/unicorn/flag_effect.h"
#include "cpu/unicorn/unicorn.h"
#include "lockstep.h"

#define RAM_BYTES 0x100000u
/* Guest-physical addresses; the first 128 KiB are mapped where they are, for the supervisor. */
#define GDT_AT 0x0000u
#define IDT64_AT 0x1000u
#define IDT32_AT 0x2000u
#define TSS64_AT 0x3000u
#define TSS32_AT 0x3800u
#define HANDLERS_AT 0x4000u /* 16 bytes apart */
#define STACK_AT 0x5000u    /* one page */
#define TABLES_AT 0x8000u
#define POINTERS32_AT 0x10000u /* PAE: points to the same tables */
#define LOW_BYTES 0x20000u
#define CODE_AT 0x20000u
#define DATA_AT 0x80000u
#define MMIO_AT 0xd0000000u

#define SEL_KCODE32 0x08
#define SEL_KCODE64 0x10
#define SEL_KDATA 0x18
#define SEL_UCODE32 0x23
#define SEL_UDATA 0x2b
#define SEL_UCODE64 0x33
#define SEL_TSS 0x40

#define VECTORS 32
#define EXITS_MAX 200
#define TICK_US 20000
#define TICKS_MAX 3

#define PTE_P 1u
#define PTE_W 2u
#define PTE_U 4u
#define PTE_A 0x20u
#define PTE_D 0x40u
#define PTE_NX (1ull << 63)

const char *const mode_names[MODES] = { "super64", "user64", "super32", "user32" };

struct machine {
	struct vm *vm;
	struct vcpu *vcpu;
	uint8_t *ram;
	uint8_t *run; /* kvm_run and the PIO page */
	enum guest_mode mode;
	struct cpu_state initial[MODES];
};

/* ---- watchdog ---- */

static struct vcpu *volatile watched;
static volatile int ticks;

static void tick(int signo)
{
	(void)signo;
	if (watched && ++ticks >= TICKS_MAX)
		vcpu_kick(watched);
}

static bool out_of_time(void *opaque)
{
	(void)opaque;
	return ticks >= TICKS_MAX;
}

static void watchdog_start(void)
{
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART | SA_ONSTACK };
	struct itimerval timer = { { 0, TICK_US }, { 0, TICK_US } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* ---- memory ---- */

static void put(struct machine *m, uint32_t at, uint64_t value, unsigned bytes)
{
	memcpy(m->ram + at, &value, bytes);
}

static uint64_t data_entry(unsigned page)
{
	const uint64_t plain = PTE_NX | (DATA_AT + page * PAGE) | PTE_P | PTE_W | PTE_U | PTE_A |
			       PTE_D;

	switch (page) {
	case DATA_READ_ONLY:
		return plain & ~(uint64_t)PTE_W;
	case DATA_ABSENT:
		return 0;
	case DATA_SUPERVISOR:
		return plain & ~(uint64_t)PTE_U;
	case DATA_MMIO:
		return MMIO_AT + (PTE_P | PTE_W | PTE_U);
	default:
		return plain;
	}
}

/* A page table each for the first pages, the code and the data. */
static void make_tables(struct machine *m)
{
	const unsigned rights = PTE_P | PTE_W | PTE_U;
	const uint32_t directory = TABLES_AT + 0x2000, low = TABLES_AT + 0x3000,
		       code = TABLES_AT + 0x4000, data = TABLES_AT + 0x5000;
	unsigned i;

	put(m, TABLES_AT, (TABLES_AT + 0x1000) | rights, 8);
	put(m, TABLES_AT + 0x1000, directory | rights, 8);
	put(m, POINTERS32_AT, directory | PTE_P, 8);
	put(m, directory, low | rights, 8);
	put(m, directory + (CODE_LINEAR >> 21) * 8, code | rights, 8);
	put(m, directory + (DATA_LINEAR >> 21) * 8, data | rights, 8);
	/* Read only, so that no sequence changes the tables: but for the stack. */
	for (i = 0; i < LOW_BYTES / PAGE; i++)
		put(m, low + i * 8,
		    i * PAGE | PTE_P | (i * PAGE == STACK_AT ? PTE_W : 0) |
			    (i * PAGE == HANDLERS_AT ? 0 : PTE_NX),
		    8);
	for (i = 0; i < CODE_BYTES / PAGE; i++)
		put(m, code + i * 8, (CODE_AT + i * PAGE) | PTE_P | PTE_U, 8);
	for (i = 0; i < DATA_PAGES; i++)
		put(m, data + i * 8, data_entry(i), 8);
}

static void make_gate(struct machine *m, unsigned vector)
{
	const uint64_t handler = HANDLERS_AT + vector * 16;
	/* INT3 and INTO are for everyone. */
	const uint64_t type = vector == 3 || vector == 4 ? 0xee : 0x8e;

	put(m, IDT64_AT + vector * 16,
	    (handler & 0xffff) | SEL_KCODE64 << 16 | 1ull << 32 | type << 40 | handler >> 16 << 48,
	    8);
	put(m, IDT32_AT + vector * 8,
	    (handler & 0xffff) | SEL_KCODE32 << 16 | type << 40 | handler >> 16 << 48, 8);
}

static void make_system(struct machine *m)
{
	static const uint64_t gdt[] = {
		0,
		0x00cf9b000000ffff,
		0x00af9b000000ffff,
		0x00cf93000000ffff,
		0x00cffb000000ffff,
		0x00cff3000000ffff,
		0x00affb000000ffff,
	};

	memcpy(m->ram + GDT_AT, gdt, sizeof(gdt));
	memset(m->ram + HANDLERS_AT, 0xf4, PAGE);
	for (unsigned i = 0; i < VECTORS; i++)
		make_gate(m, i);
	put(m, TSS64_AT + 4, STACK_AT + PAGE, 8);
	put(m, TSS64_AT + 36, STACK_AT + PAGE, 8);
	put(m, TSS32_AT + 4, STACK_AT + PAGE, 4);
	put(m, TSS32_AT + 8, SEL_KDATA, 4);
	make_tables(m);
}

uint8_t *machine_page(struct machine *machine, unsigned page)
{
	return machine->ram + (page == DATA_PAGES ? STACK_AT : DATA_AT + page * PAGE);
}

/* A CPU may set an accessed bit for an access that it does not complete. */
static bool same_word(const struct machine *a, const struct machine *b, uint32_t at)
{
	const bool table = at >= TABLES_AT && at < POINTERS32_AT;
	uint64_t x, y;

	memcpy(&x, a->ram + at, 8);
	memcpy(&y, b->ram + at, 8);
	return !((x ^ y) & ~(table ? (uint64_t)PTE_A : 0));
}

uint32_t machine_memory_differs(struct machine *a, struct machine *b)
{
	for (uint32_t at = 0; at < RAM_BYTES; at += 8)
		if (!same_word(a, b, at))
			return at;
	return MEMORY_SAME;
}

/* ---- registers ---- */

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool db, bool l)
{
	return (struct kvm_segment){
		.selector = selector,
		.limit = 0xffffffff,
		.type = type,
		.present = 1,
		.s = 1,
		.dpl = selector & 3,
		.db = db,
		.l = l,
		.g = 1,
	};
}

static void make_initial(struct machine *m, enum guest_mode mode)
{
	const bool wide = mode_is_64(mode), user = mode_is_user(mode);
	struct kvm_sregs sregs;

	vcpu_reset(m->vcpu, false);
	vcpu_get_sregs(m->vcpu, &sregs);
	sregs.cs = segment(user ? (wide ? SEL_UCODE64 : SEL_UCODE32) :
				  (wide ? SEL_KCODE64 : SEL_KCODE32),
			   11, !wide, wide);
	sregs.ss = sregs.ds = sregs.es = sregs.fs = sregs.gs =
		segment(user ? SEL_UDATA : SEL_KDATA, 3, true, false);
	if (wide) {
		/* Not a multiple of a vector's size. */
		sregs.fs.base = DATA_LINEAR + 0x108;
		sregs.gs.base = DATA_LINEAR + 0x280;
	}
	sregs.tr = (struct kvm_segment){ .selector = SEL_TSS,
					 .base = wide ? TSS64_AT : TSS32_AT,
					 .limit = 0x67,
					 .type = 11,
					 .present = 1 };
	sregs.gdt = (struct kvm_dtable){ .base = GDT_AT, .limit = 0x4f };
	sregs.idt = (struct kvm_dtable){ .base = wide ? IDT64_AT : IDT32_AT,
					 .limit = VECTORS * (wide ? 16 : 8) - 1 };
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	sregs.cr3 = wide ? TABLES_AT : POINTERS32_AT;
	sregs.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_PAE;
	sregs.efer = EFER_NXE | (wide ? EFER_LME | EFER_LMA : 0);
	if (vcpu_set_sregs(m->vcpu, &sregs)) {
		fprintf(stderr, "the machine's registers are refused\n");
		exit(2);
	}
	/* AVX, where the host has it. */
	if (m->vcpu->features.avx) {
		m->vcpu->state.cr4 |= CR4_OSXSAVE;
		m->vcpu->state.xcr0 = m->vcpu->features.xcr0;
	}
	m->initial[mode] = m->vcpu->state;
}

static void enter_mode(struct machine *m, enum guest_mode mode)
{
	m->mode = mode;
	m->vcpu->state = m->initial[mode];
	vcpu_mode_changed(m->vcpu);
	vcpu_paging_changed(m->vcpu);
	mmu_flush(&m->vcpu->mmu);
}

/* ---- life ---- */

bool machine_has_bits = true;

struct machine *machine_create(const char *engine)
{
	static const struct log quiet = { .fd = -1 };
	static struct kvm_cpuid_entry2 cpuid[VCPU_CPUID_MAX];
	const struct engine *found = engine_find(engine);
	struct machine *m = calloc(1, sizeof(*m));
	unsigned count, i;

	m->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	m->run = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!found || m->ram == MAP_FAILED || m->run == MAP_FAILED)
		exit(2);
	m->vm = vm_create(&quiet, found);
	memory_set_region(m->vm->memory,
			  &(struct kvm_userspace_memory_region){
				  .userspace_addr = (uintptr_t)m->ram, .memory_size = RAM_BYTES });
	if (vcpu_create(m->vm, 0, (struct kvm_run *)m->run, m->run + PAGE, &m->vcpu))
		exit(2);
	m->vm->vcpus[0] = m->vcpu;
	atomic_store(&m->vm->vcpu_count, 1);
	mmu_reload_slots(&m->vcpu->mmu);
	count = cpuid_supported(cpuid, VCPU_CPUID_MAX);
	for (i = 0; i < count && !machine_has_bits; i++) {
		if (cpuid[i].function == 1)
			cpuid[i].ecx &= ~(1u << 23); /* POPCNT */
		else if (cpuid[i].function == 7)
			cpuid[i].ebx &= ~(1u << 3); /* BMI1 */
		else if (cpuid[i].function == 0x80000001)
			cpuid[i].ecx &= ~(1u << 5); /* LZCNT */
	}
	cpuid_set(m->vcpu, cpuid, count);
	m->vcpu->signal_pending = out_of_time;
	make_system(m);
	for (enum guest_mode mode = 0; mode < MODES; mode++)
		make_initial(m, mode);
	enter_mode(m, SUPER64);
	watchdog_start();
	return m;
}

void machine_destroy(struct machine *m)
{
	vm_destroy(m->vm);
	munmap(m->ram, RAM_BYTES);
	munmap(m->run, 2 * PAGE);
	free(m);
}

void machine_load_code(struct machine *m, const struct batch *batch)
{
	memcpy(m->ram + CODE_AT, batch->code, CODE_BYTES);
}

void machine_load(struct machine *m, const struct batch *batch)
{
	machine_load_code(m, batch);
	memcpy(m->ram + DATA_AT, batch->data, sizeof(batch->data));
	enter_mode(m, batch->mode);
}

uint64_t machine_entries(struct machine *m)
{
	return m->vcpu->engine == &engine_interp ?
		       0 :
		       ((struct unicorn *)m->vcpu->engine_data)->stats.entries;
}

uint64_t machine_calls(struct machine *m)
{
	return ((struct unicorn *)m->vcpu->engine_data)->stats.calls;
}

/* ---- running ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

/* Answers what the guest wants of user space. False: it is over. */
static bool answer(struct machine *m, struct outcome *outcome)
{
	struct kvm_run *run = (struct kvm_run *)m->run;
	uint64_t value = 0;

	if (run->exit_reason != KVM_EXIT_MMIO && run->exit_reason != KVM_EXIT_IO)
		return false;
	if (outcome->accesses++ == EXITS_MAX)
		return false;
	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		outcome->exits = mix(outcome->exits, run->mmio.phys_addr ^ run->mmio.len << 20 ^
							     run->mmio.is_write << 24);
		if (run->mmio.is_write) {
			memcpy(&value, run->mmio.data, run->mmio.len);
			outcome->exits = mix(outcome->exits, value);
		} else {
			value = mix(run->mmio.phys_addr, outcome->accesses);
			memcpy(run->mmio.data, &value, run->mmio.len);
		}
		break;
	case KVM_EXIT_IO:
		outcome->exits =
			mix(outcome->exits, run->io.port ^ run->io.size << 20 ^
						    run->io.count << 24 ^ run->io.direction << 23);
		for (unsigned i = 0; i < run->io.size * run->io.count; i++) {
			uint8_t *byte = m->run + run->io.data_offset + i;

			if (run->io.direction == KVM_EXIT_IO_IN)
				*byte = (uint8_t)mix(run->io.port, outcome->accesses + i);
			outcome->exits = mix(outcome->exits, *byte);
		}
		break;
	}
	return true;
}

/* Host address of what was written at a linear address of data or of the stack, or NULL. */
static uint8_t *at_linear(struct machine *m, uint64_t linear, unsigned bytes)
{
	if (linear >= STACK_AT && linear + bytes <= STACK_AT + PAGE)
		return m->ram + linear;
	if (linear >= DATA_LINEAR && linear + bytes <= DATA_LINEAR + DATA_PAGES * PAGE)
		return m->ram + DATA_AT + (linear - DATA_LINEAR);
	return NULL;
}

uint64_t machine_ignored_flags;

static uint64_t undefined_at(const struct sequence *sequence, uint64_t rip)
{
	const uint64_t offset = rip - CODE_LINEAR - sequence->start;

	for (unsigned i = 0; i <= sequence->insns; i++)
		if (sequence->insn[i].offset == offset)
			return sequence->insn[i].undefined | machine_ignored_flags;
	/* It went astray, perhaps by a flag. */
	return RFLAGS_ARITH;
}

static void look_at_frame(struct machine *m, const struct sequence *sequence,
			  struct outcome *outcome)
{
	static const uint32_t with_error = 1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 |
					   1u << 14 | 1u << 17;
	const unsigned bytes = mode_is_64(m->mode) ? 8 : 4;
	struct cpu_state *s = &outcome->state;
	uint64_t at = s->gpr[GPR_RSP], undefined;
	uint8_t *frame;

	outcome->vector = (s->rip - HANDLERS_AT) / 16;
	if (with_error >> outcome->vector & 1)
		at += bytes;
	frame = at_linear(m, at, 3 * bytes);
	outcome->rip = 0;
	if (frame)
		memcpy(&outcome->rip, frame, bytes);
	undefined = frame ? undefined_at(sequence, outcome->rip) : RFLAGS_ARITH;
	outcome->undefined = undefined;
	if (frame) {
		uint16_t flags;

		memcpy(&flags, frame + 2 * bytes, 2);
		flags &= ~undefined;
		memcpy(frame + 2 * bytes, &flags, 2);
	}
}

static void prepare(struct machine *m, const struct batch *batch, const struct sequence *sequence)
{
	struct vcpu *vcpu = m->vcpu;

	for (unsigned i = 0; i < 3; i++)
		memcpy(machine_page(m, i), batch->data + i * PAGE, PAGE);
	memcpy(machine_page(m, DATA_SUPERVISOR), batch->data + DATA_SUPERVISOR * PAGE, PAGE);
	memset(machine_page(m, DATA_PAGES), 0, PAGE);
	vcpu->state = m->initial[m->mode];
	memcpy(vcpu->state.gpr, sequence->gpr, sizeof(sequence->gpr));
	memcpy(vcpu->state.fpu.xmm, batch->data, sizeof(vcpu->state.fpu.xmm));
	memcpy(vcpu->state.fpu.ymm_high, batch->data + sizeof(vcpu->state.fpu.xmm),
	       sizeof(vcpu->state.fpu.ymm_high));
	vcpu->state.rip = CODE_LINEAR + sequence->start;
	rflags_set(&vcpu->state, sequence->flags);
	vcpu_mode_changed(vcpu);
	memset(&vcpu->replay, 0, sizeof(vcpu->replay));
}

/* Of the instruction that is next. True: it reads a flag that is undefined. */
static bool track(const struct machine *m, const struct batch *batch, uint64_t *before,
		  uint64_t *undefined)
{
	const struct cpu_state *s = &m->vcpu->state;
	const uint64_t offset = s->rip - CODE_LINEAR;
	struct flag_effect effect;
	struct insn insn;

	if (offset > CODE_BYTES - 15)
		return false;
	*before = *undefined;
	decode(&m->vcpu->interp->mode, batch->code + offset, 15, 0, &insn);
	if (flags_read(&insn) & *undefined)
		return true;
	effect = flag_effect(&insn, (uint8_t)s->gpr[GPR_RCX]);
	*undefined = (*undefined & ~(uint64_t)effect.defined) | effect.undefined;
	return false;
}

bool machine_undefined(struct machine *m, const struct batch *batch,
		       const struct sequence *sequence, uint64_t *undefined)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	const struct kvm_run *run = (const struct kvm_run *)m->run;
	struct outcome outcome = { 0 };
	uint64_t before = 0;
	bool used = false;
	int result;

	prepare(m, batch, sequence);
	vcpu_set_guest_debug(m->vcpu, &debug);
	*undefined = 0;
	ticks = 0;
	watched = m->vcpu;
	do {
		used = track(m, batch, &before, undefined);
		result = vcpu_run(m->vcpu);
	} while (!used && !result && (run->exit_reason == KVM_EXIT_DEBUG || answer(m, &outcome)));
	watched = NULL;
	/* The last one did not complete. */
	*undefined |= before;
	debug.control = 0;
	vcpu_set_guest_debug(m->vcpu, &debug);
	return used;
}

void machine_run(struct machine *m, const struct batch *batch, const struct sequence *sequence,
		 struct outcome *outcome)
{
	struct vcpu *vcpu = m->vcpu;
	struct kvm_run *run = (struct kvm_run *)m->run;
	int result;

	prepare(m, batch, sequence);
	memset(outcome, 0, offsetof(struct outcome, state));
	outcome->vector = -1;
	ticks = 0;
	watched = vcpu;
	do {
		result = vcpu_run(vcpu);
	} while (!result && answer(m, outcome));
	watched = NULL;
	outcome->state = vcpu->state;
	outcome->state.gpr[GPR_BLOCK] = 0;
	outcome->rip = outcome->state.rip;
	if (result || outcome->accesses > EXITS_MAX)
		outcome->kind = OUTCOME_TIMEOUT;
	else if (run->exit_reason == KVM_EXIT_HLT)
		outcome->kind = OUTCOME_HALT;
	else if (run->exit_reason == KVM_EXIT_SHUTDOWN)
		outcome->kind = OUTCOME_SHUTDOWN;
	else
		outcome->kind = OUTCOME_ERROR;
	if (outcome->kind == OUTCOME_HALT && outcome->rip < HANDLERS_AT + PAGE)
		look_at_frame(m, sequence, outcome);
	else
		outcome->undefined = undefined_at(
			sequence, outcome->rip - (outcome->kind == OUTCOME_HALT ? 1 : 0));
	/* Bits that are no flag are the host's LAHF's. */
	outcome->state.arith =
		rflags_to_arith(arith_to_rflags(outcome->state.arith) & ~outcome->undefined);
	/* What is in it was not finished. */
	outcome->state.events.shadow = 0;
}
