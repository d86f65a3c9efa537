/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Creation, reset and destruction of a vCPU, and what its local APIC wants of it. */
#include "cpu/vcpu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu/flags.h"
#include "cpu/msr.h"
#include "cpu/msr_filter.h"
#include "cpu/smm.h"
#include "util/pages.h"

/* ---- the local APIC's host ---- */

static void lapic_signalled(void *opaque, enum lapic_signal signal, uint8_t vector)
{
	struct vcpu *vcpu = opaque;

	switch (signal) {
	case LAPIC_SIGNAL_INTERRUPT:
		vcpu_request(vcpu, VCPU_REQUEST_EVENT);
		break;
	case LAPIC_SIGNAL_NMI:
		vcpu_nmi(vcpu);
		break;
	case LAPIC_SIGNAL_SMI:
		vcpu_request(vcpu, VCPU_REQUEST_SMI);
		break;
	case LAPIC_SIGNAL_INIT:
		vcpu_request(vcpu, VCPU_REQUEST_INIT);
		break;
	case LAPIC_SIGNAL_SIPI:
		vcpu->sipi_request_vector = vector;
		vcpu_request(vcpu, VCPU_REQUEST_SIPI);
		break;
	case LAPIC_SIGNAL_EOI:
		vcpu->ioapic_eoi_vector = vector;
		vcpu_request(vcpu, VCPU_REQUEST_IOAPIC_EOI);
		break;
	}
}

static uint64_t lapic_read_tsc(void *opaque)
{
	struct vcpu *vcpu = opaque;

	return tsc_read(&vcpu->tsc);
}

static uint64_t lapic_tsc_khz(void *opaque)
{
	struct vcpu *vcpu = opaque;

	return vcpu->tsc.khz;
}

static void tpr_access(void *opaque, bool write)
{
	vcpu_tpr_accessed(opaque, write);
}

static bool lint0_enabled(void *opaque)
{
	const struct vcpu *vcpu = opaque;

	return !(vm_disabled_quirks(vcpu->vm) & KVM_X86_QUIRK_LINT0_REENABLED);
}

/* ---- life ---- */

static bool never(void *opaque)
{
	(void)opaque;
	return false;
}

static void reset_segment(struct kvm_segment *seg, uint8_t type, bool s)
{
	memset(seg, 0, sizeof(*seg));
	seg->limit = 0xffff;
	seg->type = type;
	seg->s = s;
	seg->present = 1;
}

/* Intel SDM volume 3, table 9-1: state after power-up, reset, INIT. */
void vcpu_reset(struct vcpu *vcpu, bool init)
{
	struct cpu_state *s = &vcpu->state;
	uint64_t cr0 = s->cr0;
	uint32_t signature[4];
	unsigned i;

	memset(s->gpr, 0, sizeof(s->gpr));
	cpuid_query(vcpu, 1, 0, signature);
	s->gpr[GPR_RDX] = signature[0] ? signature[0] : 0x600;
	s->rip = 0xfff0;
	rflags_set(s, RFLAGS_FIXED);
	for (i = 0; i < SEG_LDTR; i++)
		reset_segment(&s->seg[i], i == SEG_CS ? 0xb : 0x3, true);
	s->seg[SEG_CS].selector = 0xf000;
	s->seg[SEG_CS].base = 0xffff0000;
	reset_segment(&s->seg[SEG_LDTR], 2, false);
	reset_segment(&s->seg[SEG_TR], 0xb, false);
	for (i = 0; i < SEG_COUNT; i++)
		s->base[i] = s->seg[i].base;
	s->base[SEG_FLAT] = 0;
	s->gdt = (struct kvm_dtable){ .limit = 0xffff };
	s->idt = (struct kvm_dtable){ .limit = 0xffff };
	s->cr0 = CR0_ET | (init ? cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW);
	s->cr2 = s->cr3 = s->cr4 = s->cr8 = 0;
	s->efer = 0;
	memset(s->pdptr, 0, sizeof(s->pdptr));
	memset(s->dr, 0, sizeof(s->dr));
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	memset(&s->events, 0, sizeof(s->events));
	smm_set(vcpu, false);
	vcpu->init_latched = false;
	memset(&vcpu->replay, 0, sizeof(vcpu->replay));
	if (!init) {
		s->xcr0 = 1;
		s->pkru = 0;
		memset(&s->fpu, 0, sizeof(s->fpu));
		s->fpu.fcw = 0x37f;
		s->fpu.mxcsr = 0x1f80;
		s->fpu.mxcsr_mask = 0xffff;
		msr_reset(vcpu);
	}
	if (vcpu->lapic)
		lapic_reset(vcpu->lapic, init);
	vcpu_debug_changed(vcpu);
	vcpu_mode_changed(vcpu);
	vcpu_paging_changed(vcpu);
	mmu_flush(&vcpu->mmu);
}

int vcpu_create(struct vm *vm, uint32_t id, struct kvm_run *run, uint8_t *pio_page,
		struct vcpu **result)
{
	struct lapic_host host = {
		.signal = lapic_signalled,
		.read_tsc = lapic_read_tsc,
		.tsc_khz = lapic_tsc_khz,
		.tpr_access = tpr_access,
		.lint0_enabled = lint0_enabled,
	};
	struct vcpu *vcpu;
	int error = -ENOMEM;

	vcpu = pages_alloc(sizeof(*vcpu));
	if (!vcpu)
		return -ENOMEM;
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->bsp = id == vm->bsp_vcpu_id;
	vcpu->run = run;
	vcpu->pio_page = pio_page;
	vcpu->engine = vm->engine;
	vcpu->signal_pending = never;
	vcpu->bus_lock_exit = __atomic_load_n(&vm->bus_lock_exit, __ATOMIC_RELAXED);
	tsc_init(&vcpu->tsc);
	if (vm->default_tsc_khz)
		tsc_set_khz(&vcpu->tsc, vm->default_tsc_khz);
	/* Starts at 0, in step with the vCPUs that are there already. */
	clock_write_tsc(vm->clock, &vcpu->tsc, 0, false);
	vcpu->interp = interp_alloc();
	if (!vcpu->interp)
		goto no_interp;
	error = mmu_init(&vcpu->mmu, vm->memory);
	if (error)
		goto no_mmu;
	host.opaque = vcpu;
	if (vm->irqchip) {
		error = -ENOMEM;
		vcpu->lapic = lapic_create(vm->irqchip, vm->events, id, vcpu->bsp, &host);
		if (!vcpu->lapic)
			goto no_lapic;
	}
	cpuid_reset(vcpu);
	vcpu_reset(vcpu, false);
	vcpu->state.apic_base = 0xfee00900;
	vcpu->state.mp_state = !vm->irqchip || vcpu->bsp ? KVM_MP_STATE_RUNNABLE :
							    KVM_MP_STATE_UNINITIALIZED;
	if (vm->profiling)
		vcpu->profile = profile_create();
	error = vcpu->engine->create(vcpu);
	if (error)
		goto no_engine;
	*result = vcpu;
	return 0;

no_engine:
	profile_destroy(vcpu->profile);
	lapic_destroy(vcpu->lapic);
no_lapic:
	mmu_fini(&vcpu->mmu);
no_mmu:
	interp_free(vcpu->interp);
no_interp:
	pages_free(vcpu, sizeof(*vcpu));
	return error;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (!vcpu)
		return;
	/* Its timers kick the engine. */
	lapic_destroy(vcpu->lapic);
	vcpu->engine->destroy(vcpu);
	mmu_fini(&vcpu->mmu);
	interp_free(vcpu->interp);
	profile_destroy(vcpu->profile);
	msr_filter_put(vcpu->msr_filter);
	pages_free(vcpu, sizeof(*vcpu));
}

void vcpu_set_dirty_ring(struct vcpu *vcpu, void *entries, uint32_t bytes)
{
	dirty_ring_init(&vcpu->ring, entries, bytes);
	vcpu->mmu.ring = &vcpu->ring;
}

void vcpu_nmi(struct vcpu *vcpu)
{
	atomic_fetch_add(&vcpu->nmi_queue, 1);
	vcpu_request(vcpu, VCPU_REQUEST_NMI);
}

void vcpu_update_clock(struct vcpu *vcpu)
{
	uint64_t msr = vcpu->state.msr.kvm_system_time;

	if (!(msr & 1))
		return;
	/* A page that is not there is the guest's mistake: it just sees no clock. */
	clock_write_vcpu_time(vcpu->vm->clock, &vcpu->tsc, vcpu->vm->memory, &vcpu->mmu,
			      msr & ~1ull, vcpu->clock_paused);
	vcpu->clock_paused = false;
}

#define STEAL_TIME_INTERVAL 100000 /* ns between two looks at the thread's run delay */

/* Nanoseconds that this thread was ready but had no CPU. */
static uint64_t run_delay(void)
{
	unsigned long long on_cpu, delay = 0;
	char text[64];
	ssize_t n;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	return sscanf(text, "%llu %llu", &on_cpu, &delay) == 2 ? delay : 0;
}

/* struct kvm_steal_time: KVM document msr.rst, MSR_KVM_STEAL_TIME. */
void vcpu_update_steal_time(struct vcpu *vcpu)
{
	uint64_t msr = vcpu->state.msr.kvm_steal_time, gpa = msr & ~0x3full, now, stolen = 0;
	struct memory *memory = vcpu->vm->memory;
	struct {
		uint64_t steal;
		uint32_t version, flags;
		uint8_t preempted;
	} __attribute__((packed)) record;

	/* /proc is read at most once in a while, the version changes whenever the vCPU was loaded. */
	now = events_now();
	if (now >= vcpu->steal_due) {
		vcpu->steal_due = now + STEAL_TIME_INTERVAL;
		now = run_delay();
		/* Another thread may run the vCPU now, and its delay be smaller. */
		if (vcpu->steal_known && now > vcpu->steal_seen)
			stolen = now - vcpu->steal_seen;
		vcpu->steal_seen = now;
		vcpu->steal_known = true;
	}
	if (!(msr & 1) || memory_read(memory, NULL, gpa, &record, sizeof(record)))
		return;
	/* An odd version says that the rest is being written. */
	record.version = (record.version | 1) + 2;
	memory_write(memory, NULL, gpa + 8, &record.version, 4, &vcpu->mmu);
	record.steal += stolen;
	record.flags = 0;
	record.preempted = 0;
	memory_write(memory, NULL, gpa, &record.steal, 8, &vcpu->mmu);
	memory_write(memory, NULL, gpa + 12, &record.flags, 5, &vcpu->mmu);
	record.version++;
	memory_write(memory, NULL, gpa + 8, &record.version, 4, &vcpu->mmu);
}
