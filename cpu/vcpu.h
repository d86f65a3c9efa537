/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One vCPU: state, run loop, events.
 *
 * Except where noted a function belongs to the thread that holds the vCPU's mutex (abi takes it
 * for every ioctl on the vCPU, KVM_RUN included).
 */
#ifndef FAUXKVM_CPU_VCPU_H
#define FAUXKVM_CPU_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>

#include "cpu/engine.h"
#include "cpu/profile.h"
#include "cpu/replay.h"
#include "cpu/state.h"
#include "cpu/vm.h"
#include "mmu/mmu.h"

/* Work for the run loop before guest code continues. Set by any thread with vcpu_request(). */
enum vcpu_request {
	VCPU_REQUEST_SLOTS = 1u << 0,       /* new memslots snapshot: reload, flush */
	VCPU_REQUEST_FLUSH_WRITES = 1u << 1,
	VCPU_REQUEST_VERIFY_CODE = 1u << 2,
	VCPU_REQUEST_EVENT = 1u << 3,       /* look for interrupts */
	VCPU_REQUEST_NMI = 1u << 4,
	VCPU_REQUEST_SMI = 1u << 5,
	VCPU_REQUEST_INIT = 1u << 6,
	VCPU_REQUEST_SIPI = 1u << 7,
	VCPU_REQUEST_CLOCK = 1u << 8,       /* kvmclock page is out of date */
	VCPU_REQUEST_IOAPIC_EOI = 1u << 9,
	VCPU_REQUEST_TRIPLE_FAULT = 1u << 10,
	VCPU_REQUEST_IMMEDIATE = 1u << 11,  /* return EINTR as soon as state is complete */
	VCPU_REQUEST_UNHALT = 1u << 12,     /* KVM_HC_KICK_CPU: HLT ends without an interrupt */
	VCPU_REQUEST_TPR_ACCESS = 1u << 13, /* exit with KVM_EXIT_TPR_ACCESS */
};

enum vcpu_mode { VCPU_OUTSIDE, VCPU_IN_GUEST };

#define MONITOR_LINE_BYTES 64 /* what MONITOR watches */
#define VCPU_CPUID_MAX 256 /* KVM_MAX_CPUID_ENTRIES */

/* Derived from the CPUID table that user space set (or the supported one before). */
struct guest_features {
	uint8_t maxphyaddr; /* default 36 */
	bool nx, long_mode, syscall, gbpages, smep, smap, umip, fsgsbase, pcid, invpcid, pku, la57,
	     xsave, rdtscp, rdpid, mce, pge, pse, pse36, pae, pat, mtrr, x2apic, tsc_deadline,
	     fxsr, sse3, sse42, popcnt, movbe, cmpxchg16b, bmi1, bmi2,
	     lzcnt, adx, aes, pclmul, rdrand, rdseed, avx, avx2, fma, f16c, erms, monitor, lahf64,
	     clflush, clflushopt, clwb, tsc_adjust, arch_capabilities, spec_ctrl, intel, amd, pdcm, xsaves, osvw;
	uint16_t simd;               /* of enum simd_feature (cpu/interp/simd.h), a bit each */
	uint64_t xcr0;               /* bits that XSETBV accepts */
	uint64_t cr4_reserved;
	uint64_t efer_allowed;
	uint32_t kvm_features;       /* CPUID 0x40000001 EAX as given by user space */
};

struct interp; /* the interpreter's own data */
struct insn;

struct vcpu {
	struct cpu_state state;
	struct mmu mmu;
	enum tlb_mode data_mode; /* TLB mode of data accesses; kept by vcpu_mode_changed() */
	enum tlb_mode code_mode;
	/* The instruction whose operand access is in progress: where a host fault happened. */
	const struct insn *insn_now;
	bool rmw_pending; /* cpu/interp/mem.h */
	bool bus_lock_exit; /* KVM_CAP_X86_BUS_LOCK_EXIT when it was created */
	bool bus_lock;      /* the last instruction took one */

	/* Non-zero: leave guest code at the next block boundary. Any thread, signal handlers. */
	atomic_uint exit_request;
	atomic_uint requests;    /* enum vcpu_request */
	atomic_int mode;         /* enum vcpu_mode, for the handshake with revokers */

	struct vm *vm;
	uint32_t id;    /* KVM vCPU id = initial APIC ID */
	uint32_t index; /* in vm->vcpus */
	bool bsp;
	struct lapic *lapic; /* NULL without one here */
	struct tsc tsc;

	/* Shared with the client: everything is read once, then checked. */
	struct kvm_run *run;
	uint8_t *pio_page;
	struct dirty_ring ring; /* KVM_CAP_DIRTY_LOG_RING */
	struct replay replay;
	uint64_t replay_rip;  /* where the last KVM_RUN left: answers are for this instruction */
	int run_error;
	uint64_t fault_gpa; /* of the last exit for host memory that is not there */
	bool init_latched;    /* INIT that came in SMM: RSM lets it through */
	bool unhalted;        /* KVM_HC_KICK_CPU came: the current or next HLT ends */
	atomic_uint nmi_queue; /* NMIs since VCPU_REQUEST_NMI was last seen */

	/* HLT: the run loop sleeps on this futex word; a kick changes it. */
	atomic_uint wake;
	atomic_bool waiting;

	const struct engine *engine;
	struct interp *interp; /* always there: engines fall back to it */
	void *engine_data;
	struct profile *profile; /* cpu/profile.h; NULL: nobody wants to know */

	struct kvm_cpuid_entry2 cpuid[VCPU_CPUID_MAX];
	unsigned cpuid_count;
	struct guest_features features;
	bool has_run; /* CPUID may not change any more */
	bool enforce_pv; /* KVM_CAP_ENFORCE_PV_FEATURE_CPUID */

	/* MONITOR: the line, as it was. */
	struct {
		uint64_t address; /* linear */
		bool armed;
		uint8_t line[MONITOR_LINE_BYTES];
	} monitor;

	/* This vCPU's reference and the generation it is of: cpu/msr_filter.h. */
	struct msr_filter *msr_filter;
	unsigned msr_filter_generation;

	/* KVM_SET_GUEST_DEBUG */
	uint32_t debug_control;
	uint64_t debug_dr[4], debug_dr7;
	uint64_t notify_since;  /* TSC when events began to follow each other; 0: they do not */
	uint64_t effective_dr7; /* user space's with KVM_GUESTDBG_USE_HW_BP, else the guest's */

	uint64_t vapic_gpa;     /* KVM_SET_VAPIC_ADDR; 0: none */
	bool tpr_reporting;
	struct {
		uint64_t rip;
		bool write;
	} tpr_access; /* what VCPU_REQUEST_TPR_ACCESS is about */
	uint8_t ioapic_eoi_vector;
	uint8_t sipi_request_vector;
	bool clock_paused;      /* KVM_KVMCLOCK_CTRL */
	uint64_t steal_seen;    /* the thread's run delay when steal time was last told; ns */
	bool steal_known;       /* steal_seen is valid; a delay of 0 is */
	uint64_t steal_due;     /* when the run delay is looked at again; CLOCK_MONOTONIC ns */
	uint64_t steal_tick;    /* when the guest is told again without an exit */

	/* true while a signal of the client waits; set by abi before vcpu_run. */
	bool (*signal_pending)(void *opaque);
	void *signal_opaque;

	struct {
		uint64_t exits, io_exits, mmio_exits, signal_exits, halt_exits, halt_wakeup,
			irq_injections, nmi_injections, halt_attempted_poll, halt_successful_poll,
			halt_poll_success_ns, halt_poll_fail_ns, halt_wait_ns, request_irq_exits, irq_window_exits,
			hypercalls, notify_window_exits, insn_emulation, insn_emulation_fail, tlb_flush, invlpg, pf_guest,
			guest_mode, directed_yield_attempted, blocks, verified;
	} stats;
};

/* ---- life (vcpu.c) ---- */

/* State as after power-on. @run and @pio_page are pages of the client-visible mapping. */
int vcpu_create(struct vm *vm, uint32_t id, struct kvm_run *run, uint8_t *pio_page,
		struct vcpu **vcpu);
/* Before it runs: its dirty ring, @bytes of zeroed memory that the client sees. */
void vcpu_set_dirty_ring(struct vcpu *vcpu, void *entries, uint32_t bytes);
void vcpu_destroy(struct vcpu *vcpu);
void vcpu_reset(struct vcpu *vcpu, bool init); /* @init: INIT keeps FPU, MSRs, TSC */

/* ---- running (run.c) ---- */

/* KVM_RUN: 0 with vcpu->run->exit_reason, or -EINTR, -EFAULT, ... */
int vcpu_run(struct vcpu *vcpu);

/* Its own thread, in guest code: sleeps for @ns, or until a kick or a signal. */
void vcpu_doze(struct vcpu *vcpu, unsigned ns);
/* Any thread. Adds to requests, makes guest code stop soon and wakes a sleeping vCPU. */
void vcpu_request(struct vcpu *vcpu, unsigned requests);
/* Any thread or signal handler: leave guest code within microseconds. Async-signal safe. */
void vcpu_kick(struct vcpu *vcpu);
/* The same for a vCPU that is not asleep. */
void vcpu_stop_guest(struct vcpu *vcpu);
void vcpu_nmi(struct vcpu *vcpu); /* queues an NMI */
/* Writes the kvmclock page that the guest registered. */
void vcpu_update_clock(struct vcpu *vcpu);
/* Writes the steal time page that the guest registered. */
void vcpu_update_steal_time(struct vcpu *vcpu);
/* The VM's interrupt controller mode; IRQCHIP_NONE without one. */
enum irqchip_mode irqchip_mode_of(const struct vm *vm);
/* As vcpu_request; on return the vCPU has processed it or is outside guest code. */
void vcpu_request_and_wait(struct vcpu *vcpu, unsigned requests, struct mmu *self);

/* ---- virtual APIC page (vapic.c) ---- */

void vcpu_tpr_accessed(struct vcpu *vcpu, bool write); /* by the guest, through its local APIC */
bool vcpu_exit_tpr_access(struct vcpu *vcpu);          /* true: kvm_run is filled in */
/* With vapic_gpa set: TPR from the page after guest code ran, the page from the APIC before. */
void vcpu_vapic_in(struct vcpu *vcpu);
void vcpu_vapic_out(struct vcpu *vcpu);

/* ---- events (event.c) ---- */

/*
 * Raises an exception on the current instruction: merges with one that is being delivered (#DF,
 * triple fault). Only records it; delivery is the run loop's.
 */
void event_raise(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error);
void event_raise_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error);
void event_raise_debug(struct vcpu *vcpu, uint64_t dr6_bits);
/* Delivers the most urgent event through the IDT, if there is one. May raise another. */
void event_deliver(struct vcpu *vcpu);
/* Is a maskable interrupt, NMI or other wake-up waiting (HLT ends)? */
bool event_wakeup(struct vcpu *vcpu);

/* ---- modes and registers (control.c, segment.c) ---- */

/* CR0, CR4, EFER, CS, SS, RFLAGS.VM/AC changed: recompute what is derived from them. */
void vcpu_mode_changed(struct vcpu *vcpu);
/* Paging state changed (CR0, CR3, CR4, EFER, PKRU, PDPTRs): hand it to the MMU. */
void vcpu_paging_changed(struct vcpu *vcpu);
/* KVM_SET_SREGS(2): -EINVAL for inconsistent state. */
void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs);
int vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);
void vcpu_get_sregs2(struct vcpu *vcpu, struct kvm_sregs2 *sregs);
int vcpu_set_sregs2(struct vcpu *vcpu, const struct kvm_sregs2 *sregs);
void vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs);
void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
void vcpu_get_events(struct vcpu *vcpu, struct kvm_vcpu_events *events);
int vcpu_set_events(struct vcpu *vcpu, const struct kvm_vcpu_events *events);
void vcpu_get_debugregs(struct vcpu *vcpu, struct kvm_debugregs *regs);
int vcpu_set_debugregs(struct vcpu *vcpu, const struct kvm_debugregs *regs);
/* DR0..3, DR7 or guest debugging changed: effective_dr7 and the pages with data breakpoints. */
void vcpu_debug_changed(struct vcpu *vcpu);
int vcpu_set_guest_debug(struct vcpu *vcpu, const struct kvm_guest_debug *debug);
int vcpu_get_mp_state(struct vcpu *vcpu, struct kvm_mp_state *mp);
int vcpu_set_mp_state(struct vcpu *vcpu, const struct kvm_mp_state *mp);
void vcpu_translate(struct vcpu *vcpu, struct kvm_translation *translation);
int vcpu_set_xcr0(struct vcpu *vcpu, uint64_t value); /* -EINVAL */
/* IA32_APIC_BASE, by the guest or (@host) user space. -EINVAL. */
int vcpu_set_apic_base(struct vcpu *vcpu, uint64_t value, bool host);

/* ---- FPU (fpu.c) ---- */
void vcpu_get_fpu(struct vcpu *vcpu, struct kvm_fpu *fpu);
int vcpu_set_fpu(struct vcpu *vcpu, const struct kvm_fpu *fpu);
/* @bytes: 4096 for KVM_GET/SET_XSAVE, the size of KVM_CAP_XSAVE2 for XSAVE2. */
void vcpu_get_xsave(struct vcpu *vcpu, void *area, size_t bytes);
int vcpu_set_xsave(struct vcpu *vcpu, const void *area, size_t bytes);

/* ---- MSRs (msr.c: one table) ---- */

/*
 * 0; -ENOENT: no such MSR; -EINVAL: forbidden. Both are the guest's #GP. @host: from
 * KVM_GET/SET_MSRS. The filter is not asked: cpu/msr_filter.h.
 */
int msr_read(struct vcpu *vcpu, uint32_t index, uint64_t *value, bool host);
int msr_write(struct vcpu *vcpu, uint32_t index, uint64_t value, bool host);
/* KVM_GET_MSR_INDEX_LIST and KVM_GET_MSR_FEATURE_INDEX_LIST. Return the number; @list may be NULL. */
unsigned msr_index_list(uint32_t *list);
unsigned msr_feature_list(uint32_t *list);
int msr_feature_read(uint32_t index, uint64_t *value); /* system fd; -EINVAL */

/* A paravirtual feature by its bit; without KVM_CAP_ENFORCE_PV_FEATURE_CPUID all are there. */
static inline bool vcpu_pv_feature(const struct vcpu *vcpu, unsigned bit)
{
	return !vcpu->enforce_pv || (vcpu->features.kvm_features >> bit & 1);
}

/* ---- CPUID (cpuid.c: one table) ---- */

/* KVM_GET_SUPPORTED_CPUID / EMULATED_CPUID: fills at most @max, returns the number needed. */
unsigned cpuid_supported(struct kvm_cpuid_entry2 *entries, unsigned max);
unsigned cpuid_emulated(struct kvm_cpuid_entry2 *entries, unsigned max);
int cpuid_set(struct vcpu *vcpu, const struct kvm_cpuid_entry2 *entries, unsigned count);
bool cpuid_host_is_amd(void);
void cpuid_reset(struct vcpu *vcpu); /* before user space set a table */
unsigned cpuid_get(struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries, unsigned max);
/* What the guest's CPUID instruction sees, runtime bits included. */
void cpuid_query(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, uint32_t registers[4]);

#endif
