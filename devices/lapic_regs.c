// SPDX-License-Identifier: GPL-2.0-or-later
/* The local APIC's registers as the guest sees them: the MMIO page and the x2APIC MSRs. */
#include <errno.h>
#include <string.h>

#include "devices/lapic_internal.h"

#define MSR_X2APIC_FIRST 0x800u

#define ICR_PENDING (1u << 12)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)
#define ICR_LOGICAL (1u << 11)
#define ICR_X2APIC_RESERVED 0xfff32000u /* bits 31..20, 17, 16 and 13 */
#define ICR_SHORTHAND_SELF (1u << 18)

#define LVT_VECTOR 0xffu
#define LVT_MODE 0x700u
#define LVT_PENDING (1u << 12)
#define LVT_POLARITY (1u << 13)
#define LVT_REMOTE_IRR (1u << 14)
#define LVT_COMMON (LVT_VECTOR | LVT_PENDING | LAPIC_LVT_MASKED)
#define LVT_LINT (LVT_COMMON | LVT_MODE | LVT_POLARITY | LVT_REMOTE_IRR | LAPIC_LVT_LEVEL)

#define SVR_WRITABLE 0x3ffu

/* Registers that exist, by index in the page; x2APIC mode has no APR, DFR and ICR2. */
#define BIT(offset) (1ull << ((offset) >> 4))
#define EIGHT(offset) (0xffull << ((offset) >> 4))
#define READABLE_X2APIC                                                                            \
	(BIT(LAPIC_ID) | BIT(LAPIC_VERSION) | BIT(LAPIC_TPR) | BIT(LAPIC_PPR) | BIT(LAPIC_LDR) |   \
	 BIT(LAPIC_SVR) | EIGHT(LAPIC_ISR) | EIGHT(LAPIC_TMR) | EIGHT(LAPIC_IRR) |                 \
	 BIT(LAPIC_ESR) | BIT(LAPIC_ICR) | BIT(LAPIC_LVT_TIMER) | BIT(LAPIC_LVT_THERMAL) |         \
	 BIT(LAPIC_LVT_PMC) | BIT(LAPIC_LVT_LINT0) | BIT(LAPIC_LVT_LINT1) | BIT(LAPIC_LVT_ERROR) | \
	 BIT(LAPIC_TICR) | BIT(LAPIC_TCCR) | BIT(LAPIC_TDCR))
#define READABLE_XAPIC (READABLE_X2APIC | BIT(LAPIC_APR) | BIT(LAPIC_DFR) | BIT(LAPIC_ICR2))

static const uint32_t lvt_writable[LAPIC_LVTS] = {
	LVT_COMMON | LAPIC_LVT_TIMER_MODE, /* timer */
	LVT_COMMON | LVT_MODE,		   /* thermal sensor */
	LVT_COMMON | LVT_MODE,		   /* performance counters */
	LVT_LINT,			   /* LINT0 */
	LVT_LINT,			   /* LINT1 */
	LVT_COMMON,			   /* error */
	LVT_COMMON | LVT_MODE,		   /* corrected machine checks */
};

static uint32_t register_read(struct lapic *lapic, unsigned offset)
{
	switch (offset) {
	case LAPIC_APR:
		return 0;
	case LAPIC_PPR:
		return lapic_get_ppr(lapic);
	case LAPIC_TCCR:
		return lapic_timer_current(lapic);
	case LAPIC_TPR:
		if (lapic->host.tpr_access)
			lapic->host.tpr_access(lapic->host.opaque, false);
		break;
	}
	return lapic_reg(lapic, offset);
}

static void send_ipi(struct lapic *lapic, uint32_t icr, uint32_t destination)
{
	const struct irqchip_message message = {
		.destination = destination,
		.logical = icr & ICR_LOGICAL,
		.shorthand = icr >> 18 & 3,
		.delivery_mode = icr >> 8 & 7,
		.vector = icr,
		.level = icr & ICR_LEVEL,
		.assert = icr & ICR_ASSERT,
	};

	irqchip_deliver(lapic->irqchip, lapic, &message);
}

static void lvt_write(struct lapic *lapic, unsigned i, uint32_t value)
{
	const unsigned offset = lapic_lvt_offset(i);

	if (!lapic_sw_enabled(lapic))
		value |= LAPIC_LVT_MASKED;
	value &= lvt_writable[i];
	if (offset == LAPIC_LVT_TIMER) {
		lapic_timer_set_lvt(lapic, value);
		return;
	}
	lapic_set_reg(lapic, offset, value);
	if (offset == LAPIC_LVT_LINT0)
		lapic_recheck(lapic);
}

static void svr_write(struct lapic *lapic, uint32_t value)
{
	lapic_set_reg(lapic, LAPIC_SVR, value & SVR_WRITABLE);
	if (value & LAPIC_SVR_ENABLE)
		return;
	for (unsigned i = 0; i < lapic_lvt_count(lapic); i++)
		lvt_write(lapic, i, lapic_reg(lapic, lapic_lvt_offset(i)));
}

/* -EINVAL: not writable (in this mode). */
static int register_write(struct lapic *lapic, unsigned offset, uint32_t value)
{
	const bool x2apic = lapic_x2apic(lapic);

	switch (offset) {
	case LAPIC_ID:
		if (x2apic)
			return -EINVAL;
		lapic_set_reg(lapic, LAPIC_ID, value & 0xff000000);
		return 0;
	case LAPIC_TPR:
		if (lapic->host.tpr_access)
			lapic->host.tpr_access(lapic->host.opaque, true);
		lapic_set_reg(lapic, LAPIC_TPR, value & 0xff);
		lapic_recheck(lapic);
		return 0;
	case LAPIC_EOI:
		lapic_eoi(lapic);
		return 0;
	case LAPIC_LDR:
		if (x2apic)
			return -EINVAL;
		lapic_set_reg(lapic, LAPIC_LDR, value & 0xff000000);
		return 0;
	case LAPIC_DFR:
		if (x2apic)
			return -EINVAL;
		lapic_set_reg(lapic, LAPIC_DFR, value | 0x0fffffff);
		return 0;
	case LAPIC_SVR:
		svr_write(lapic, value);
		return 0;
	case LAPIC_ESR:
		/* No error is ever recorded: the write that would latch them leaves 0. */
		return x2apic && value ? -EINVAL : 0;
	case LAPIC_ICR:
		value &= ~ICR_PENDING;
		lapic_set_reg(lapic, LAPIC_ICR, value);
		send_ipi(lapic, value, lapic_reg(lapic, LAPIC_ICR2) >> (x2apic ? 0 : 24));
		return 0;
	case LAPIC_ICR2:
		if (x2apic)
			return -EINVAL;
		lapic_set_reg(lapic, LAPIC_ICR2, value & 0xff000000);
		return 0;
	case LAPIC_LVT_TIMER:
	case LAPIC_LVT_THERMAL:
	case LAPIC_LVT_PMC:
	case LAPIC_LVT_LINT0:
	case LAPIC_LVT_LINT1:
	case LAPIC_LVT_ERROR:
		lvt_write(lapic, (offset - LAPIC_LVT_TIMER) >> 4, value);
		return 0;
	case LAPIC_LVT_CMCI:
		if (!lapic->cmci)
			return -EINVAL;
		lvt_write(lapic, LAPIC_LVTS - 1, value);
		return 0;
	case LAPIC_TICR:
		lapic_timer_set_count(lapic, value);
		return 0;
	case LAPIC_TDCR:
		lapic_timer_set_divide(lapic, value);
		return 0;
	case LAPIC_SELF_IPI:
		if (!x2apic || (value & ~LVT_VECTOR))
			return -EINVAL;
		send_ipi(lapic, ICR_SHORTHAND_SELF | value, 0);
		return 0;
	}
	return -EINVAL;
}

static bool readable(const struct lapic *lapic, unsigned index, uint64_t registers)
{
	if (index == LAPIC_LVT_CMCI >> 4)
		return lapic->cmci;
	return index < LAPIC_REGISTERS && (registers >> index & 1);
}

/* ---- MMIO ---- */

void lapic_mmio_read(struct lapic *lapic, unsigned offset, void *data, unsigned bytes)
{
	const unsigned within = offset & 0xf, index = offset >> 4;
	uint32_t value;

	memset(data, 0, bytes);
	if (within + bytes > sizeof(value) || !readable(lapic, index, READABLE_XAPIC))
		return;
	value = register_read(lapic, offset & ~0xfu);
	memcpy(data, (const char *)&value + within, bytes);
}

void lapic_mmio_write(struct lapic *lapic, unsigned offset, const void *data, unsigned bytes)
{
	uint32_t value;

	/* The architecture allows only aligned 32-bit accesses; KVM drops the others. */
	if (bytes != sizeof(value) || (offset & 0xf))
		return;
	memcpy(&value, data, sizeof(value));
	register_write(lapic, offset, value);
}

/* ---- MSRs ---- */

int lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t *value)
{
	const uint32_t index = msr - MSR_X2APIC_FIRST;

	if (!lapic_x2apic(lapic) || !readable(lapic, index, READABLE_X2APIC))
		return -EINVAL;
	*value = register_read(lapic, index << 4);
	if (index == LAPIC_ICR >> 4)
		*value |= (uint64_t)lapic_reg(lapic, LAPIC_ICR2) << 32;
	return 0;
}

int lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t value)
{
	const uint32_t index = msr - MSR_X2APIC_FIRST;

	if (!lapic_x2apic(lapic) || index >= LAPIC_REGISTERS)
		return -EINVAL;
	if (index == LAPIC_ICR >> 4) {
		if (value & ICR_X2APIC_RESERVED)
			return -EINVAL;
		lapic_set_reg(lapic, LAPIC_ICR2, value >> 32);
	} else if (value >> 32) {
		return -EINVAL;
	}
	return register_write(lapic, index << 4, value);
}
