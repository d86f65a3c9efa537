/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APIC: xAPIC and x2APIC, timer in one-shot, periodic and TSC-deadline mode.
 *
 * State is the 4 KiB register page in KVM's layout (struct kvm_lapic_state: 1 KiB of it). Source:
 * Intel SDM volume 3, chapter 11 (APIC). Each local APIC has its own lock; functions may be called
 * from any thread unless noted.
 */
#ifndef FAUXKVM_DEVICES_LAPIC_H
#define FAUXKVM_DEVICES_LAPIC_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

struct lapic;
struct irqchip;
struct events;

/* Delivery modes, as bits 10..8 of ICR, LVT and MSI data encode them. */
enum lapic_delivery {
	LAPIC_FIXED,
	LAPIC_LOWEST,
	LAPIC_SMI,
	LAPIC_REMOTE_READ,
	LAPIC_NMI,
	LAPIC_INIT,
	LAPIC_SIPI,
	LAPIC_EXTINT,
};

enum lapic_signal {
	LAPIC_SIGNAL_INTERRUPT, /* something may have become deliverable */
	LAPIC_SIGNAL_NMI,
	LAPIC_SIGNAL_SMI,
	LAPIC_SIGNAL_INIT,
	LAPIC_SIGNAL_SIPI, /* @vector */
	LAPIC_SIGNAL_EOI,  /* split irqchip: @vector's EOI belongs to user space (IOAPIC_EOI exit) */
};

/* What the vCPU that owns the local APIC provides. Called without the APIC's lock. */
struct lapic_host {
	void *opaque;
	void (*signal)(void *opaque, enum lapic_signal signal, uint8_t vector);
	uint64_t (*read_tsc)(void *opaque); /* guest TSC now */
	uint64_t (*tsc_khz)(void *opaque);  /* guest TSC frequency */
	void (*tpr_access)(void *opaque, bool write); /* KVM_TPR_ACCESS_REPORTING, may be NULL */
	/* KVM_X86_QUIRK_LINT0_REENABLED: LINT0 is ExtINT after reset. NULL: it is. */
	bool (*lint0_enabled)(void *opaque);
};

/* @id: initial APIC ID (the vCPU's). The new APIC is part of @irqchip's routing at once. */
struct lapic *lapic_create(struct irqchip *irqchip, struct events *events, uint32_t id, bool bsp,
			   const struct lapic_host *host);
void lapic_destroy(struct lapic *lapic);

void lapic_reset(struct lapic *lapic, bool init); /* INIT keeps the APIC base and the ID */

/* IA32_APIC_BASE (0x1b). set: -EINVAL for reserved bits or a forbidden mode change. */
uint64_t lapic_get_base(const struct lapic *lapic);
int lapic_set_base(struct lapic *lapic, uint64_t value, bool host_initiated);
/* GPA of the register page while enabled in xAPIC mode, else UINT64_MAX. Lock free. */
uint64_t lapic_mmio_base(const struct lapic *lapic);
/* Where it would be: the page that nothing answers at in the other modes. */
uint64_t lapic_page(const struct lapic *lapic);
bool lapic_x2apic(const struct lapic *lapic);

/* Register page, offset 0..0xfff. Accesses that are not aligned 32 bit behave as KVM's. */
void lapic_mmio_read(struct lapic *lapic, unsigned offset, void *data, unsigned bytes);
void lapic_mmio_write(struct lapic *lapic, unsigned offset, const void *data, unsigned bytes);
/* x2APIC MSRs 0x800..0x8ff; -EINVAL is the guest's #GP. */
int lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t *value);
int lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t value);
uint64_t lapic_get_tsc_deadline(struct lapic *lapic);
void lapic_set_tsc_deadline(struct lapic *lapic, uint64_t value);

/* KVM_X86_SETUP_MCE with or without MCG_CMCI_P: the LVT has an entry for corrected errors. */
void lapic_set_cmci(struct lapic *lapic, bool present);
/* A corrected machine check interrupt, if the guest wants it. */
void lapic_deliver_cmci(struct lapic *lapic);

uint64_t lapic_get_cr8(const struct lapic *lapic); /* TPR bits 7..4; lock free */
void lapic_set_cr8(struct lapic *lapic, uint64_t cr8);

/*
 * Lock free: is any interrupt of this APIC above its PPR? One that was accepted before the guest
 * cleared the software enable bit still counts (SDM 11.4.7.2).
 */
bool lapic_pending(const struct lapic *lapic);
/* Highest deliverable vector, moved from IRR to ISR; -1: none. vCPU thread. */
int lapic_acknowledge(struct lapic *lapic);
/* Does LINT0 (or a disabled APIC) let the PIC's INTR through to this vCPU? */
bool lapic_accepts_extint(const struct lapic *lapic);

/* KVM_GET_LAPIC / KVM_SET_LAPIC. */
void lapic_get_state(struct lapic *lapic, struct kvm_lapic_state *state);
int lapic_set_state(struct lapic *lapic, const struct kvm_lapic_state *state);

/* A fixed, lowest-priority, NMI, SMI, INIT, SIPI or ExtINT message for exactly this APIC. */
void lapic_deliver(struct lapic *lapic, unsigned delivery_mode, uint8_t vector, bool level,
		   bool assert);

/* KVM_SET_VAPIC_ADDR's page is kept by the vCPU; these give and take what it holds. */
uint8_t lapic_get_tpr(const struct lapic *lapic);
void lapic_set_tpr(struct lapic *lapic, uint8_t tpr);
/* TPR, the class of the highest ISR vector in bits 15..12, the highest IRR vector in 31..24. */
uint32_t lapic_get_vapic(const struct lapic *lapic);
uint8_t lapic_get_ppr(const struct lapic *lapic);

/* The vCPU's paravirtual EOI (MSR_KVM_PV_EOI_EN): EOI of the highest ISR vector. */
void lapic_eoi(struct lapic *lapic);

#endif
