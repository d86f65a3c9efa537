/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM_RUN: the run loop, requests from other threads, sleeping in HLT. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpu/exit.h"
#include "cpu/flags.h"
#include "cpu/vcpu.h"
#include "util/guard.h"

#define EXIT_REQUESTS ((unsigned)(VCPU_REQUEST_IOAPIC_EOI | VCPU_REQUEST_TPR_ACCESS))

/* ---- requests and kicks ---- */

void vcpu_stop_guest(struct vcpu *vcpu)
{
	atomic_store(&vcpu->exit_request, 1);
	if (vcpu->engine->kick)
		vcpu->engine->kick(vcpu);
}

void vcpu_kick(struct vcpu *vcpu)
{
	int saved = errno;

	vcpu_stop_guest(vcpu);
	atomic_fetch_add(&vcpu->wake, 1);
	if (atomic_load(&vcpu->waiting))
		syscall(SYS_futex, &vcpu->wake, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}

void vcpu_request(struct vcpu *vcpu, unsigned requests)
{
	atomic_fetch_or(&vcpu->requests, requests);
	vcpu_kick(vcpu);
}

void vcpu_request_and_wait(struct vcpu *vcpu, unsigned requests, struct mmu *self)
{
	(void)self;
	atomic_fetch_or(&vcpu->requests, requests);
	vcpu_stop_guest(vcpu);
	/* A vCPU outside guest code reads its requests before it enters. */
	while (atomic_load(&vcpu->mode) == VCPU_IN_GUEST &&
	       (atomic_load(&vcpu->requests) & requests))
		sched_yield();
}

/* Sleeps until a kick that came after @seen, or a signal handler ran. */
static void sleep_until_kick(struct vcpu *vcpu, unsigned seen)
{
	atomic_store(&vcpu->waiting, true);
	syscall(SYS_futex, &vcpu->wake, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	atomic_store(&vcpu->waiting, false);
}

void vcpu_doze(struct vcpu *vcpu, unsigned ns)
{
	const struct timespec time = { .tv_nsec = ns };
	unsigned seen = atomic_load(&vcpu->wake);

	atomic_store(&vcpu->waiting, true);
	/* Whoever kicks sets exit_request before it looks whether somebody waits. */
	if (!atomic_load(&vcpu->exit_request))
		syscall(SYS_futex, &vcpu->wake, FUTEX_WAIT_PRIVATE, seen, &time, NULL, 0);
	atomic_store(&vcpu->waiting, false);
}

static void process_sipi(struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	uint8_t vector = vcpu->sipi_request_vector;

	if (s->mp_state != KVM_MP_STATE_INIT_RECEIVED)
		return;
	s->events.sipi_vector = vector;
	s->seg[SEG_CS].selector = vector << 8;
	s->seg[SEG_CS].base = (uint64_t)vector << 12;
	s->base[SEG_CS] = s->seg[SEG_CS].base;
	s->rip = 0;
	s->mp_state = KVM_MP_STATE_RUNNABLE;
	vcpu_mode_changed(vcpu);
}

static void process_requests(struct vcpu *vcpu)
{
	unsigned requests;

	atomic_store(&vcpu->exit_request, 0);
	if (!atomic_load(&vcpu->requests))
		return;
	/*
	 * Taken first: who asks again while they are served means something newer, the next change
	 * of the slots above all. Nobody takes this for the effect (vcpu_request_and_wait()): until
	 * that is there the vCPU is outside guest code. What becomes an exit stays until then.
	 */
	requests = atomic_fetch_and(&vcpu->requests, EXIT_REQUESTS);
	if (requests & VCPU_REQUEST_SLOTS) {
		mmu_reload_slots(&vcpu->mmu);
		interp_forget_code(vcpu);
		if (vcpu->engine->forget_slots)
			vcpu->engine->forget_slots(vcpu);
		vcpu->engine->verify_code(vcpu);
		vcpu->stats.tlb_flush++;
	}
	if (requests & VCPU_REQUEST_FLUSH_WRITES)
		mmu_flush_writes(&vcpu->mmu);
	if (requests & VCPU_REQUEST_VERIFY_CODE)
		vcpu->engine->verify_code(vcpu);
	if (requests & VCPU_REQUEST_CLOCK)
		vcpu_update_clock(vcpu);
	if (requests & VCPU_REQUEST_TRIPLE_FAULT)
		vcpu->state.events.triple_fault = true;
	if (requests & VCPU_REQUEST_NMI) {
		unsigned limit = vcpu->state.events.nmi.masked || vcpu->state.events.nmi.injected ? 1 : 2;
		unsigned pending = vcpu->state.events.nmi.pending +
				   atomic_exchange(&vcpu->nmi_queue, 0);

		vcpu->state.events.nmi.pending = pending < limit ? pending : limit;
	}
	if (requests & VCPU_REQUEST_UNHALT)
		vcpu->unhalted = true;
	if (requests & VCPU_REQUEST_SMI)
		vcpu->state.events.smi_pending = true;
	if ((requests & VCPU_REQUEST_INIT) && vcpu->state.in_smm) {
		vcpu->init_latched = true;
	} else if (requests & VCPU_REQUEST_INIT) {
		vcpu_reset(vcpu, true);
		vcpu->state.mp_state = vcpu->bsp ? KVM_MP_STATE_RUNNABLE :
						   KVM_MP_STATE_INIT_RECEIVED;
	}
	if ((requests & VCPU_REQUEST_SIPI) && !vcpu->state.in_smm)
		process_sipi(vcpu);
}

/* ---- entry and exit ---- */

/* Takes what user space answered into the replay list. */
static void complete_exit(struct vcpu *vcpu)
{
	struct replay *replay = &vcpu->replay;
	struct replay_entry *entry;

	if (!replay->waiting)
		return;
	replay->waiting = false;
	replay->next = 0;
	if (vcpu->replay_rip != vcpu->state.rip) {
		/* The client moved the vCPU elsewhere: the access is over. */
		replay->count = 0;
		return;
	}
	entry = &replay->entry[replay->count];
	switch (entry->kind) {
	case REPLAY_MMIO_READ:
		memcpy(entry->data, vcpu->run->mmio.data, entry->bytes);
		break;
	case REPLAY_PIO_IN:
	case REPLAY_PIO_OUT:
		replay_take_pio(vcpu, entry);
		break;
	case REPLAY_RDMSR:
	case REPLAY_WRMSR:
		entry->error = vcpu->run->msr.error;
		memcpy(entry->data, &vcpu->run->msr.data, sizeof(entry->data));
		break;
	case REPLAY_HYPERCALL:
		memcpy(entry->data, &vcpu->run->hypercall.ret, sizeof(entry->data));
		break;
	default:
		break;
	}
	replay->count++;
}

static bool interrupt_window_open(struct vcpu *vcpu)
{
	const struct cpu_state *s = &vcpu->state;

	return (s->rflags & RFLAGS_IF) && !s->events.shadow && !s->events.interrupt.injected &&
	       !s->events.exception.injected && !s->events.exception.pending &&
	       !s->events.nmi.injected;
}

static bool irqchip_in_core(const struct vcpu *vcpu)
{
	return vcpu->vm->irqchip != NULL;
}

static void save_run_state(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = !!(vcpu->state.rflags & RFLAGS_IF);
	run->cr8 = vcpu->lapic ? lapic_get_cr8(vcpu->lapic) : vcpu->state.cr8;
	run->apic_base = vcpu->lapic ? lapic_get_base(vcpu->lapic) : vcpu->state.apic_base;
	/* With only local APICs here (split), the window is for the client's PIC. */
	run->ready_for_interrupt_injection =
		irqchip_mode_of(vcpu->vm) == IRQCHIP_FULL || interrupt_window_open(vcpu);
	run->flags = (vcpu->state.in_smm ? KVM_RUN_X86_SMM : 0) |
		     (vcpu->bus_lock ? KVM_RUN_X86_BUS_LOCK : 0);
	vcpu->bus_lock = false;
}

static bool client_wants_window(struct vcpu *vcpu)
{
	return *(volatile __u8 *)&vcpu->run->request_interrupt_window &&
	       irqchip_mode_of(vcpu->vm) != IRQCHIP_FULL;
}

static bool immediate_exit(const struct vcpu *vcpu)
{
	return *(volatile __u8 *)&vcpu->run->immediate_exit;
}

static bool halted(const struct vcpu *vcpu)
{
	return vcpu->state.mp_state != KVM_MP_STATE_RUNNABLE;
}

/* KVM_CAP_HALT_POLL: looks for a kick for a while before it sleeps. True: there was one. */
static bool halt_poll(struct vcpu *vcpu, unsigned seen)
{
	uint64_t limit = __atomic_load_n(&vcpu->vm->halt_poll_ns, __ATOMIC_RELAXED), start, now;

	if (!limit || vcpu->state.mp_state != KVM_MP_STATE_HALTED)
		return false;
	vcpu->stats.halt_attempted_poll++;
	start = now = events_now();
	while (now - start < limit) {
		if (atomic_load(&vcpu->wake) != seen) {
			vcpu->stats.halt_successful_poll++;
			vcpu->stats.halt_poll_success_ns += now - start;
			return true;
		}
		__builtin_ia32_pause();
		now = events_now();
	}
	vcpu->stats.halt_poll_fail_ns += now - start;
	return false;
}

/* Not runnable: sleeps unless there is something to do. */
static void wait_runnable(struct vcpu *vcpu)
{
	unsigned seen = atomic_load(&vcpu->wake);

	if (vcpu->state.mp_state == KVM_MP_STATE_HALTED && event_wakeup(vcpu)) {
		vcpu->state.mp_state = KVM_MP_STATE_RUNNABLE;
		vcpu->stats.halt_wakeup++;
		return;
	}
	if (!atomic_load(&vcpu->requests) && !vcpu->signal_pending(vcpu->signal_opaque) &&
	    !immediate_exit(vcpu) && !halt_poll(vcpu, seen)) {
		uint64_t start = events_now();

		sleep_until_kick(vcpu, seen);
		vcpu->stats.halt_wait_ns += events_now() - start;
	}
}

/* ---- single step and breakpoints ---- */

static uint64_t linear_rip(const struct vcpu *vcpu)
{
	const struct cpu_state *s = &vcpu->state;

	return state_code64(s) ? s->rip : (uint32_t)(s->rip + s->base[SEG_CS]);
}

static void exit_debug(struct vcpu *vcpu, uint8_t vector, uint64_t dr6)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_DEBUG;
	run->debug.arch.exception = vector;
	run->debug.arch.pad = 0;
	run->debug.arch.pc = linear_rip(vcpu);
	run->debug.arch.dr6 = dr6 | 0xffff0ff0;
	run->debug.arch.dr7 = vcpu->effective_dr7;
}

/* An instruction breakpoint at RIP: DR6 bits, 0 if none. */
static unsigned breakpoint_hits(const struct vcpu *vcpu)
{
	const uint64_t *dr = vcpu->debug_control & KVM_GUESTDBG_USE_HW_BP ? vcpu->debug_dr :
									     vcpu->state.dr;
	uint64_t at = linear_rip(vcpu);
	unsigned i, hits = 0;

	for (i = 0; i < 4; i++)
		if ((vcpu->effective_dr7 >> (2 * i) & 3) &&
		    !(vcpu->effective_dr7 >> (16 + 4 * i) & 3) && dr[i] == at)
			hits |= 1u << i;
	return hits;
}

static bool instruction_breakpoints(const struct vcpu *vcpu)
{
	uint64_t dr7 = vcpu->effective_dr7;
	unsigned i;

	for (i = 0; i < 4; i++)
		if ((dr7 >> (2 * i) & 3) && !(dr7 >> (16 + 4 * i) & 3))
			return true;
	return false;
}

static bool stepping(const struct vcpu *vcpu)
{
	return (vcpu->debug_control & KVM_GUESTDBG_ENABLE) &&
	       (vcpu->debug_control & KVM_GUESTDBG_SINGLESTEP);
}

/* The client's debugger takes #DB and #BP before the guest. True: exit with KVM_EXIT_DEBUG. */
static bool debugger_takes(struct vcpu *vcpu)
{
	struct pending_events *e = &vcpu->state.events;

	if (!e->exception.pending || !(vcpu->debug_control & KVM_GUESTDBG_ENABLE))
		return false;
	if (e->exception.vector == VECTOR_BP && (vcpu->debug_control & KVM_GUESTDBG_USE_SW_BP)) {
		exit_debug(vcpu, VECTOR_BP, 0);
	} else if (e->exception.vector == VECTOR_DB &&
		   (vcpu->debug_control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))) {
		exit_debug(vcpu, VECTOR_DB, e->exception.payload);
	} else {
		return false;
	}
	e->exception.pending = false;
	return true;
}

/* Runs the engine once. */
static enum engine_reason enter_guest(struct vcpu *vcpu)
{
	struct cpu_state *s = &vcpu->state;
	bool trap = s->rflags & RFLAGS_TF, step = stepping(vcpu);
	bool breakpoints = instruction_breakpoints(vcpu);
	uint8_t shadow = s->events.shadow;
	enum engine_reason reason;
	uint64_t rip = s->rip;

	/* What user space answered is completed alone: interrupts may come right behind it. */
	if (trap || step || breakpoints || shadow || (s->rflags & RFLAGS_RF) ||
	    vcpu->replay.count) {
		bool resume = s->rflags & RFLAGS_RF;
		unsigned hits = breakpoints && !resume ? breakpoint_hits(vcpu) : 0;

		if (hits && !(shadow & KVM_X86_SHADOW_INT_MOV_SS)) {
			event_raise_debug(vcpu, hits);
			return ENGINE_EXCEPTION;
		}
		reason = vcpu->engine->run(vcpu, true);
		if (reason != ENGINE_KICKED && reason != ENGINE_HALT)
			return reason;
		if (resume && s->rip != rip)
			s->rflags &= ~(uint64_t)RFLAGS_RF;
		/* #DB is held back by a MOV SS that was just executed. */
		if ((trap || step) && !(s->events.shadow & KVM_X86_SHADOW_INT_MOV_SS)) {
			event_raise_debug(vcpu, 1u << 14);
			if (reason == ENGINE_HALT)
				s->mp_state = KVM_MP_STATE_HALTED;
			return ENGINE_EXCEPTION;
		}
		return reason;
	}
	return vcpu->engine->run(vcpu, false);
}

/* HLT has completed. True: user space must know (no irqchip here). */
static bool halt(struct vcpu *vcpu)
{
	bool in_guest = vm_disabled_exits(vcpu->vm) & KVM_X86_DISABLE_EXITS_HLT;

	if (!in_guest)
		vcpu->stats.halt_exits++;
	if (in_guest || irqchip_in_core(vcpu)) {
		vcpu->state.mp_state = KVM_MP_STATE_HALTED;
		return false;
	}
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	return true;
}

/* Tells the guest its steal time about a hundred times a second. */
static void steal_time_tick(struct vcpu *vcpu)
{
	uint64_t now = events_now();

	if (now < vcpu->steal_tick)
		return;
	vcpu->steal_tick = now + 10000000;
	vcpu_update_steal_time(vcpu);
}

/*
 * From here to VCPU_OUTSIDE translations may be used: who takes rights away waits. False: somebody
 * has, look at the requests first. An exit that is due does not keep an instruction from being
 * completed.
 */
static bool begin_guest(struct vcpu *vcpu)
{
	atomic_store(&vcpu->mode, VCPU_IN_GUEST);
	if (!(atomic_load(&vcpu->requests) & ~EXIT_REQUESTS))
		return true;
	atomic_store(&vcpu->mode, VCPU_OUTSIDE);
	return false;
}

/* Runs the engine. 1: go on; 0 or negative: KVM_RUN returns this. */
static int run_engine(struct vcpu *vcpu)
{
	enum engine_reason reason;

	if (!begin_guest(vcpu))
		return 1;
	reason = enter_guest(vcpu);
	atomic_store(&vcpu->mode, VCPU_OUTSIDE);
	vcpu->notify_since = 0;
	if (vcpu->bus_lock && (reason == ENGINE_KICKED || reason == ENGINE_EXCEPTION)) {
		vcpu->run->exit_reason = KVM_EXIT_X86_BUS_LOCK;
		return 0;
	}
	switch (reason) {
	case ENGINE_KICKED:
	case ENGINE_EXCEPTION:
		return 1;
	case ENGINE_HALT:
		return halt(vcpu) ? 0 : 1;
	case ENGINE_EXIT:
		return 0;
	case ENGINE_ERROR:
		return vcpu->run_error;
	}
	return 1;
}

/*
 * The instruction that user space has just answered becomes complete before anything else, so that
 * a client who asks for an immediate exit sees state between instructions.
 */
static int finish_instruction(struct vcpu *vcpu)
{
	int result = 1;

	while (result > 0 && vcpu->replay.count &&
	       vcpu->state.mp_state == KVM_MP_STATE_RUNNABLE) {
		process_requests(vcpu);
		result = run_engine(vcpu);
	}
	return result;
}

/*
 * An event was delivered and its delivery raised another: no instruction can run, no interrupt can
 * come. True: it has gone on for longer than the window of KVM_CAP_X86_NOTIFY_VMEXIT, user space is
 * told. The limit is the host's TSC, as it is for hardware.
 */
static bool exit_notify(struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;
	uint64_t now;

	if (!(vm->notify_flags & KVM_X86_NOTIFY_VMEXIT_ENABLED))
		return false;
	now = __builtin_ia32_rdtsc();
	if (!vcpu->notify_since)
		vcpu->notify_since = now;
	if (now - vcpu->notify_since <= vm->notify_window)
		return false;
	vcpu->notify_since = 0;
	vcpu->stats.notify_window_exits++;
	if (!(vm->notify_flags & KVM_X86_NOTIFY_VMEXIT_USER))
		return false;
	vcpu->run->exit_reason = KVM_EXIT_NOTIFY;
	vcpu->run->notify.flags = 0;
	return true;
}

/* As run_engine(). */
static int run_once(struct vcpu *vcpu)
{
	process_requests(vcpu);
	if (dirty_ring_full(&vcpu->ring) && !halted(vcpu) && !immediate_exit(vcpu)) {
		exit_dirty_ring_full(vcpu);
		return 0;
	}
	if (vcpu->signal_pending(vcpu->signal_opaque)) {
		vcpu->run->exit_reason = KVM_EXIT_INTR;
		vcpu->stats.signal_exits++;
		return -EINTR;
	}
	if (immediate_exit(vcpu))
		return -EINTR;
	if (vcpu->state.events.triple_fault) {
		vcpu->state.events.triple_fault = false;
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 0;
	}
	if (atomic_load(&vcpu->requests) & VCPU_REQUEST_IOAPIC_EOI) {
		atomic_fetch_and(&vcpu->requests, ~(unsigned)VCPU_REQUEST_IOAPIC_EOI);
		vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		vcpu->run->eoi.vector = vcpu->ioapic_eoi_vector;
		return 0;
	}
	if (vcpu_exit_tpr_access(vcpu))
		return 0;
	if (vcpu->vapic_gpa)
		vcpu_vapic_in(vcpu);
	if (halted(vcpu)) {
		wait_runnable(vcpu);
		return 1;
	}
	if (vcpu->state.msr.kvm_steal_time & 1)
		steal_time_tick(vcpu);
	if (debugger_takes(vcpu))
		return 0;
	if (!vcpu->replay.count) {
		uint64_t injections = vcpu->stats.irq_injections;

		vcpu->run_error = 0;
		if (!begin_guest(vcpu))
			return 1;
		event_deliver(vcpu);
		atomic_store(&vcpu->mode, VCPU_OUTSIDE);
		if (vcpu->run_error)
			return vcpu->run_error;
		/* A device may have written code before it interrupted. */
		if (vcpu->stats.irq_injections != injections)
			vcpu->engine->verify_code(vcpu);
		if (vcpu->state.events.exception.pending || vcpu->state.events.triple_fault)
			return !exit_notify(vcpu);
	}
	if (client_wants_window(vcpu)) {
		if (interrupt_window_open(vcpu)) {
			vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
			vcpu->stats.irq_window_exits++;
			vcpu->stats.request_irq_exits++;
			return 0;
		}
	}
	if (vcpu->vapic_gpa)
		vcpu_vapic_out(vcpu);
	return run_engine(vcpu);
}

/* An AP before its INIT: KVM_RUN waits for it and then asks to be called again. */
static int run_uninitialized(struct vcpu *vcpu)
{
	for (;;) {
		process_requests(vcpu);
		if (vcpu->signal_pending(vcpu->signal_opaque)) {
			vcpu->run->exit_reason = KVM_EXIT_INTR;
			vcpu->stats.signal_exits++;
			return -EINTR;
		}
		if (immediate_exit(vcpu))
			return -EINTR;
		if (vcpu->state.mp_state != KVM_MP_STATE_UNINITIALIZED)
			return -EAGAIN;
		wait_runnable(vcpu);
	}
}

int vcpu_run(struct vcpu *vcpu)
{
	struct guard guard;
	int result = 0;

	/* kvm_run is a mapping of the client's: it may shrink or vanish. */
	if (guard_enter(&guard)) {
		atomic_store(&vcpu->mode, VCPU_OUTSIDE);
		return -EFAULT;
	}
	vcpu->has_run = true;
	vcpu->steal_tick = 0;
	vcpu->stats.exits++;
	if (!vcpu->lapic)
		vcpu->state.cr8 = *(volatile __u64 *)&vcpu->run->cr8 & 0xf;
	complete_exit(vcpu);
	vcpu->engine->verify_code(vcpu);
	if (vcpu->state.mp_state == KVM_MP_STATE_UNINITIALIZED) {
		result = run_uninitialized(vcpu);
	} else {
		result = finish_instruction(vcpu);
		/* Who only wanted the instruction completed keeps the exit reason that asked for it. */
		if (result > 0 && immediate_exit(vcpu))
			result = -EINTR;
		if (result > 0)
			vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
		while (result > 0)
			result = run_once(vcpu);
	}
	vcpu->replay_rip = vcpu->state.rip;
	save_run_state(vcpu);
	if (vcpu->profile)
		profile_exit(vcpu, result);
	guard_leave(&guard);
	return result;
}
