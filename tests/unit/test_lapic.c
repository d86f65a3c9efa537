/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices_fixture.h"

#define ID 0x20
#define VERSION 0x30
#define TPR 0x80
#define PPR 0xa0
#define EOI 0xb0
#define LDR 0xd0
#define DFR 0xe0
#define SVR 0xf0
#define ISR 0x100
#define TMR 0x180
#define IRR 0x200
#define ESR 0x280
#define ICR 0x300
#define ICR2 0x310
#define LVT_TIMER 0x320
#define LVT_LINT0 0x350
#define LVT_ERROR 0x370
#define TICR 0x380
#define TCCR 0x390
#define TDCR 0x3e0

#define MASKED (1u << 16)
#define PERIODIC (1u << 17)
#define DEADLINE (2u << 17)
#define ASSERT (1u << 14)
#define LOGICAL (1u << 11)
#define ALL (2u << 18)
#define OTHERS (3u << 18)
#define BASE_X2APIC (1ull << 10)
#define BASE_ENABLE (1ull << 11)

#define VECTOR 0x55
#define BY_1 0xb /* TDCR: divide by 1 */

static struct board b;
static struct lapic *l; /* the BSP's */

static void setup(void)
{
	board_start(&b, IRQCHIP_FULL, BOARD_LAPICS);
	apics_enable(&b);
	l = b.lapic[0];
}

static void teardown(void)
{
	board_stop(&b);
}

static void x2apic(unsigned i)
{
	ck_assert_int_eq(
		lapic_set_base(b.lapic[i], lapic_get_base(b.lapic[i]) | BASE_X2APIC, false), 0);
}

static uint64_t msr(unsigned offset)
{
	uint64_t value = 0xa5a5;

	ck_assert_int_eq(lapic_msr_read(l, 0x800 + (offset >> 4), &value), 0);
	return value;
}

/* Bit i: APIC i took the vector. */
static unsigned takers(void)
{
	unsigned set = 0;

	for (unsigned i = 0; i < BOARD_LAPICS; i++)
		if (lapic_acknowledge(b.lapic[i]) == VECTOR)
			set |= 1u << i;
	return set;
}

static unsigned ipi(uint32_t icr2, uint32_t icr)
{
	apic_write(l, ICR2, icr2);
	apic_write(l, ICR, icr | ASSERT);
	return takers();
}

static void deliver(uint8_t vector)
{
	lapic_deliver(l, LAPIC_FIXED, vector, false, true);
}

/* ---- reset and registers ---- */

START_TEST(reset_values)
{
	lapic_reset(l, false);
	ck_assert_uint_eq(apic_read(l, VERSION), 0x50014);
	ck_assert_uint_eq(apic_read(l, SVR), 0xff);
	ck_assert_uint_eq(apic_read(l, DFR), 0xffffffff);
	ck_assert_uint_eq(apic_read(l, LVT_TIMER), MASKED);
	ck_assert_uint_eq(apic_read(l, LVT_LINT0), 0x700);
	ck_assert_uint_eq(lapic_get_base(l), 0xfee00900);
}
END_TEST

START_TEST(only_the_bsp_takes_extint_at_reset)
{
	lapic_reset(b.lapic[1], false);
	ck_assert_uint_eq(apic_read(b.lapic[1], LVT_LINT0), MASKED);
	ck_assert_uint_eq(lapic_get_base(b.lapic[1]), 0xfee00800);
	ck_assert(!lapic_accepts_extint(b.lapic[1]));
	lapic_reset(l, false);
	ck_assert(lapic_accepts_extint(l));
}
END_TEST

START_TEST(init_keeps_base_and_id)
{
	lapic_set_base(b.lapic[2], 0xfed00800, true);
	apic_write(b.lapic[2], ID, 0x77000000);
	apic_write(b.lapic[2], TPR, 0x20);
	lapic_reset(b.lapic[2], true);
	ck_assert_uint_eq(lapic_get_base(b.lapic[2]), 0xfed00800);
	ck_assert_uint_eq(apic_read(b.lapic[2], ID), 0x77000000);
	ck_assert_uint_eq(apic_read(b.lapic[2], TPR), 0);
}
END_TEST

START_TEST(disabled_apic_passes_extint)
{
	apic_write(l, LVT_LINT0, MASKED);
	ck_assert(!lapic_accepts_extint(l));
	lapic_set_base(l, 0xfee00100, false);
	ck_assert(lapic_accepts_extint(l));
}
END_TEST

START_TEST(software_disable_masks_the_lvts)
{
	apic_write(l, LVT_ERROR, 0x44);
	apic_write(l, SVR, 0xff);
	ck_assert_uint_eq(apic_read(l, LVT_ERROR), 0x44 | MASKED);
	apic_write(l, LVT_ERROR, 0x45);
	ck_assert_uint_eq(apic_read(l, LVT_ERROR), 0x45 | MASKED);
}
END_TEST

START_TEST(software_disabled_refuses_interrupts)
{
	apic_write(l, SVR, 0xff);
	deliver(VECTOR);
	ck_assert(!lapic_pending(l));
	ck_assert_uint_eq(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], 0);
}
END_TEST

START_TEST(reserved_lvt_bits_stay_zero)
{
	apic_write(l, LVT_LINT0, 0xffffffff);
	ck_assert_uint_eq(apic_read(l, LVT_LINT0), 0x1f7ff);
	apic_write(l, LVT_ERROR, 0xffffffff);
	ck_assert_uint_eq(apic_read(l, LVT_ERROR), 0x110ff);
}
END_TEST

START_TEST(reads_may_be_narrow_but_not_cross)
{
	uint64_t value = 0;

	lapic_mmio_read(l, VERSION + 2, &value, 1);
	ck_assert_uint_eq(value, 5);
	value = ~0ull;
	lapic_mmio_read(l, VERSION, &value, 8);
	ck_assert_uint_eq(value, 0);
}
END_TEST

START_TEST(narrow_writes_are_dropped)
{
	uint8_t tpr = 0x30;

	lapic_mmio_write(l, TPR, &tpr, 1);
	ck_assert_uint_eq(apic_read(l, TPR), 0);
}
END_TEST

START_TEST(esr_reads_zero_after_a_write)
{
	apic_write(l, ESR, 0xff);
	ck_assert_uint_eq(apic_read(l, ESR), 0);
}
END_TEST

/* ---- priority ---- */

START_TEST(highest_vector_goes_first)
{
	deliver(0x40);
	deliver(0x80);
	ck_assert_int_eq(lapic_acknowledge(l), 0x80);
	ck_assert_int_eq(lapic_acknowledge(l), -1);
	apic_write(l, EOI, 0);
	ck_assert_int_eq(lapic_acknowledge(l), 0x40);
}
END_TEST

START_TEST(acknowledge_moves_irr_to_isr)
{
	deliver(VECTOR);
	ck_assert_uint_eq(apic_read(l, IRR + 0x20), 1u << (VECTOR - 64));
	lapic_acknowledge(l);
	ck_assert_uint_eq(apic_read(l, IRR + 0x20), 0);
	ck_assert_uint_eq(apic_read(l, ISR + 0x20), 1u << (VECTOR - 64));
}
END_TEST

START_TEST(tpr_holds_its_class_back)
{
	lapic_set_cr8(l, VECTOR >> 4);
	deliver(VECTOR);
	ck_assert(!lapic_pending(l));
	ck_assert_uint_eq(apic_read(l, TPR), VECTOR & 0xf0);
	lapic_set_cr8(l, (VECTOR >> 4) - 1);
	ck_assert(lapic_pending(l));
}
END_TEST

START_TEST(lower_tpr_is_told)
{
	lapic_set_cr8(l, 15);
	deliver(VECTOR);
	ck_assert_uint_eq(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], 1);
	apic_write(l, TPR, 0);
	ck_assert_uint_eq(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], 2);
}
END_TEST

START_TEST(ppr_is_the_higher_of_tpr_and_isr)
{
	apic_write(l, TPR, 0x23);
	ck_assert_uint_eq(apic_read(l, PPR), 0x23);
	deliver(VECTOR);
	lapic_acknowledge(l);
	ck_assert_uint_eq(apic_read(l, PPR), VECTOR & 0xf0);
}
END_TEST

START_TEST(disabled_apic_delivers_nothing)
{
	deliver(VECTOR);
	lapic_set_base(l, 0xfee00100, false);
	ck_assert(!lapic_pending(l));
}
END_TEST

START_TEST(trigger_mode_is_kept_with_the_vector)
{
	lapic_deliver(l, LAPIC_FIXED, VECTOR, true, true);
	ck_assert_uint_eq(apic_read(l, TMR + 0x20), 1u << (VECTOR - 64));
	deliver(VECTOR);
	ck_assert_uint_eq(apic_read(l, TMR + 0x20), 0);
}
END_TEST

/* ---- destinations ---- */

START_TEST(physical_destination)
{
	ck_assert_uint_eq(ipi(2u << 24, VECTOR), 1 << 2);
}
END_TEST

START_TEST(physical_broadcast)
{
	ck_assert_uint_eq(ipi(0xffu << 24, VECTOR), 0xf);
}
END_TEST

START_TEST(shorthands)
{
	ck_assert_uint_eq(ipi(0, VECTOR | 1u << 18), 0x1);
	apic_write(l, EOI, 0);
	ck_assert_uint_eq(ipi(0, VECTOR | ALL), 0xf);
	for (unsigned i = 0; i < BOARD_LAPICS; i++)
		apic_write(b.lapic[i], EOI, 0);
	ck_assert_uint_eq(ipi(0, VECTOR | OTHERS), 0xe);
}
END_TEST

START_TEST(flat_logical_destination)
{
	for (unsigned i = 0; i < BOARD_LAPICS; i++)
		apic_write(b.lapic[i], LDR, 1u << (24 + i));
	ck_assert_uint_eq(ipi(0x06u << 24, VECTOR | LOGICAL), 0x6);
}
END_TEST

START_TEST(cluster_logical_destination)
{
	for (unsigned i = 0; i < BOARD_LAPICS; i++) {
		apic_write(b.lapic[i], DFR, 0x0fffffff);
		apic_write(b.lapic[i], LDR, (i / 2 << 4 | 1u << i % 2) << 24);
	}
	ck_assert_uint_eq(ipi(0x13u << 24, VECTOR | LOGICAL), 0xc);
	ck_assert_uint_eq(ipi(0x02u << 24, VECTOR | LOGICAL), 0x2);
}
END_TEST

START_TEST(lowest_priority_chooses_one)
{
	unsigned set = ipi(0xffu << 24, VECTOR | LOGICAL | LAPIC_LOWEST << 8);

	ck_assert_int_eq(__builtin_popcount(set), 1);
}
END_TEST

START_TEST(lowest_priority_skips_the_disabled)
{
	for (unsigned i = 0; i < 3; i++)
		apic_write(b.lapic[i], SVR, 0xff);
	ck_assert_uint_eq(ipi(0xffu << 24, VECTOR | LOGICAL | LAPIC_LOWEST << 8), 1 << 3);
}
END_TEST

START_TEST(init_deassert_is_ignored)
{
	apic_write(l, ICR2, 1u << 24);
	apic_write(l, ICR, LAPIC_INIT << 8 | 1u << 15);
	ck_assert_uint_eq(b.told[1].count[LAPIC_SIGNAL_INIT], 0);
	apic_write(l, ICR, LAPIC_INIT << 8 | 1u << 15 | ASSERT);
	ck_assert_uint_eq(b.told[1].count[LAPIC_SIGNAL_INIT], 1);
}
END_TEST

START_TEST(sipi_carries_its_vector)
{
	apic_write(l, ICR2, 1u << 24);
	apic_write(l, ICR, LAPIC_SIPI << 8 | 0x9a | ASSERT);
	ck_assert_uint_eq(b.told[1].count[LAPIC_SIGNAL_SIPI], 1);
	ck_assert_uint_eq(b.told[1].vector[LAPIC_SIGNAL_SIPI], 0x9a);
}
END_TEST

START_TEST(nmi_is_signalled_to_the_disabled_too)
{
	apic_write(b.lapic[1], SVR, 0xff);
	apic_write(l, ICR2, 1u << 24);
	apic_write(l, ICR, LAPIC_NMI << 8 | ASSERT);
	ck_assert_uint_eq(b.told[1].count[LAPIC_SIGNAL_NMI], 1);
}
END_TEST

/* ---- modes ---- */

START_TEST(mode_changes_follow_the_architecture)
{
	ck_assert_int_eq(lapic_set_base(l, 0xfee00000 | BASE_X2APIC, false), -EINVAL);
	x2apic(0);
	ck_assert_int_eq(lapic_set_base(l, 0xfee00000 | BASE_ENABLE, false), -EINVAL);
	ck_assert_int_eq(lapic_set_base(l, 0xfee00000, false), 0);
	ck_assert_int_eq(lapic_set_base(l, 0xfee00000 | BASE_ENABLE | BASE_X2APIC, false), -EINVAL);
	ck_assert_int_eq(lapic_set_base(l, 0xfee00000 | BASE_ENABLE | BASE_X2APIC, true), 0);
}
END_TEST

START_TEST(reserved_base_bits_are_refused)
{
	ck_assert_int_eq(lapic_set_base(l, 0xfee00801, true), -EINVAL);
	ck_assert_int_eq(lapic_set_base(l, 1ull << 60 | 0xfee00800, true), -EINVAL);
}
END_TEST

START_TEST(page_is_mapped_in_xapic_mode_only)
{
	ck_assert_uint_eq(lapic_mmio_base(l), 0xfee00000);
	x2apic(0);
	ck_assert_uint_eq(lapic_mmio_base(l), UINT64_MAX);
	lapic_set_base(l, 0xfee00000, false);
	ck_assert_uint_eq(lapic_mmio_base(l), UINT64_MAX);
}
END_TEST

START_TEST(x2apic_derives_id_and_ldr)
{
	l = b.lapic[3];
	x2apic(3);
	ck_assert_uint_eq(msr(ID), 3);
	ck_assert_uint_eq(msr(LDR), 1 << 3);
	ck_assert_int_eq(lapic_msr_write(l, 0x80d, 1), -EINVAL);
}
END_TEST

START_TEST(x2apic_has_no_dfr)
{
	uint64_t value;

	x2apic(0);
	ck_assert_int_eq(lapic_msr_read(l, 0x80e, &value), -EINVAL);
	ck_assert_int_eq(lapic_msr_write(l, 0x80e, 0), -EINVAL);
}
END_TEST

START_TEST(msrs_need_x2apic_mode)
{
	uint64_t value;

	ck_assert_int_eq(lapic_msr_read(l, 0x802, &value), -EINVAL);
}
END_TEST

START_TEST(x2apic_icr_is_one_register)
{
	x2apic(0);
	ck_assert_int_eq(lapic_msr_write(l, 0x830, 2ull << 32 | VECTOR | ASSERT), 0);
	ck_assert_uint_eq(takers(), 1 << 2);
	ck_assert_uint_eq(msr(ICR), 2ull << 32 | VECTOR | ASSERT);
}
END_TEST

START_TEST(x2apic_logical_destination)
{
	for (unsigned i = 0; i < BOARD_LAPICS; i++)
		x2apic(i);
	lapic_msr_write(l, 0x830, 0xaull << 32 | VECTOR | LOGICAL | ASSERT);
	ck_assert_uint_eq(takers(), 0xa);
	lapic_msr_write(l, 0x830, 0x1000aull << 32 | VECTOR | LOGICAL | ASSERT);
	ck_assert_uint_eq(takers(), 0);
}
END_TEST

START_TEST(x2apic_broadcast_has_32_bits)
{
	for (unsigned i = 0; i < BOARD_LAPICS; i++)
		x2apic(i);
	lapic_msr_write(l, 0x830, 0xffull << 32 | VECTOR | ASSERT);
	ck_assert_uint_eq(takers(), 0);
	lapic_msr_write(l, 0x830, 0xffffffffull << 32 | VECTOR | ASSERT);
	ck_assert_uint_eq(takers(), 0xf);
}
END_TEST

START_TEST(self_ipi)
{
	x2apic(0);
	ck_assert_int_eq(lapic_msr_write(l, 0x83f, VECTOR), 0);
	ck_assert_uint_eq(takers(), 1);
	ck_assert_int_eq(lapic_msr_write(l, 0x83f, 0x100), -EINVAL);
}
END_TEST

/* ---- timer ---- */

START_TEST(one_shot_fires_once)
{
	apic_write(l, TDCR, BY_1);
	apic_write(l, LVT_TIMER, VECTOR);
	apic_write(l, TICR, 2 * MS);
	wait_for(lapic_pending(l));
	ck_assert_uint_eq(apic_read(l, TCCR), 0);
	sleep_ms(10);
	ck_assert_uint_eq(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], 1);
}
END_TEST

START_TEST(count_runs_down_at_1_ghz)
{
	uint32_t first, second;
	uint64_t start, end;

	apic_write(l, TDCR, BY_1);
	apic_write(l, TICR, 4000000000u);
	start = events_now();
	first = apic_read(l, TCCR);
	sleep_ms(5);
	second = apic_read(l, TCCR);
	end = events_now();
	ck_assert_uint_ge(first - second, 5 * MS);
	ck_assert_uint_le(first - second, end - start);
}
END_TEST

START_TEST(divide_slows_the_count)
{
	uint32_t first;
	uint64_t start = events_now(), end;

	apic_write(l, TDCR, 0xa); /* by 128 */
	apic_write(l, TICR, 1000000000u);
	first = apic_read(l, TCCR);
	sleep_ms(5);
	first -= apic_read(l, TCCR);
	end = events_now();
	ck_assert_uint_ge(first, 5 * MS / 128);
	ck_assert_uint_le(first, (end - start) / 128 + 1);
}
END_TEST

START_TEST(periodic_keeps_its_beat)
{
	const uint64_t start = events_now();
	unsigned count;

	apic_write(l, TDCR, BY_1);
	apic_write(l, LVT_TIMER, VECTOR | PERIODIC);
	apic_write(l, TICR, 5 * MS);
	wait_for(b.told[0].count[LAPIC_SIGNAL_INTERRUPT] >= 10);
	count = b.told[0].count[LAPIC_SIGNAL_INTERRUPT];
	ck_assert_uint_ge(events_now() - start, count * 5 * MS);
	apic_write(l, TICR, 0);
	count = b.told[0].count[LAPIC_SIGNAL_INTERRUPT];
	sleep_ms(20);
	ck_assert_uint_le(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], count + 1);
}
END_TEST

START_TEST(tiny_period_is_no_storm)
{
	apic_write(l, TDCR, BY_1);
	apic_write(l, LVT_TIMER, VECTOR | PERIODIC);
	apic_write(l, TICR, 1);
	sleep_ms(20);
	apic_write(l, TICR, 0);
	ck_assert_uint_gt(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], 0);
	ck_assert_uint_lt(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], 5000);
}
END_TEST

START_TEST(masked_timer_counts_silently)
{
	apic_write(l, TDCR, BY_1);
	apic_write(l, LVT_TIMER, VECTOR | MASKED);
	apic_write(l, TICR, MS);
	sleep_ms(20);
	ck_assert(!lapic_pending(l));
	ck_assert_uint_eq(apic_read(l, TCCR), 0);
}
END_TEST

START_TEST(deadline_fires_at_its_tsc)
{
	b.told[0].tsc_runs = true;
	apic_write(l, LVT_TIMER, VECTOR | DEADLINE);
	lapic_set_tsc_deadline(l, events_now() + 5 * MS);
	ck_assert_uint_ne(lapic_get_tsc_deadline(l), 0);
	ck_assert(!lapic_pending(l));
	wait_for(lapic_pending(l));
	ck_assert_uint_eq(lapic_get_tsc_deadline(l), 0);
}
END_TEST

START_TEST(past_deadline_fires_at_once)
{
	b.told[0].tsc = 1000;
	apic_write(l, LVT_TIMER, VECTOR | DEADLINE);
	lapic_set_tsc_deadline(l, 1000);
	ck_assert_int_eq(lapic_acknowledge(l), VECTOR);
}
END_TEST

START_TEST(deadline_zero_disarms)
{
	b.told[0].tsc_runs = true;
	apic_write(l, LVT_TIMER, VECTOR | DEADLINE);
	lapic_set_tsc_deadline(l, events_now() + 5 * MS);
	lapic_set_tsc_deadline(l, 0);
	sleep_ms(20);
	ck_assert(!lapic_pending(l));
}
END_TEST

START_TEST(deadline_waits_for_a_slow_tsc)
{
	b.told[0].tsc = 1000;
	apic_write(l, LVT_TIMER, VECTOR | DEADLINE);
	lapic_set_tsc_deadline(l, 1000 + MS);
	sleep_ms(20);
	ck_assert(!lapic_pending(l));
	b.told[0].tsc = 1000 + MS;
	wait_for(lapic_pending(l));
}
END_TEST

START_TEST(deadline_needs_its_mode)
{
	apic_write(l, LVT_TIMER, VECTOR);
	lapic_set_tsc_deadline(l, 1);
	ck_assert_uint_eq(lapic_get_tsc_deadline(l), 0);
	ck_assert(!lapic_pending(l));
}
END_TEST

START_TEST(deadline_mode_stops_the_count)
{
	apic_write(l, TDCR, BY_1);
	apic_write(l, LVT_TIMER, VECTOR);
	apic_write(l, TICR, 10 * MS);
	apic_write(l, LVT_TIMER, VECTOR | DEADLINE);
	ck_assert_uint_eq(apic_read(l, TICR), 0);
	sleep_ms(20);
	ck_assert(!lapic_pending(l));
}
END_TEST

/* ---- state ---- */

static uint32_t state_reg(const struct kvm_lapic_state *state, unsigned offset)
{
	uint32_t value;

	memcpy(&value, state->regs + offset, 4);
	return value;
}

START_TEST(state_comes_back_as_it_was)
{
	struct kvm_lapic_state state;

	deliver(VECTOR);
	apic_write(l, TPR, 0x10);
	lapic_get_state(l, &state);
	lapic_reset(l, false);
	ck_assert_int_eq(lapic_set_state(l, &state), 0);
	ck_assert_uint_eq(apic_read(l, TPR), 0x10);
	ck_assert_int_eq(lapic_acknowledge(l), VECTOR);
}
END_TEST

START_TEST(restored_count_goes_on)
{
	struct kvm_lapic_state state;

	apic_write(l, TDCR, BY_1);
	apic_write(l, LVT_TIMER, VECTOR);
	apic_write(l, TICR, 4000000000u);
	sleep_ms(5);
	lapic_get_state(l, &state);
	lapic_reset(l, false);
	lapic_set_state(l, &state);
	ck_assert_uint_gt(apic_read(l, TCCR), 0);
	ck_assert_uint_le(apic_read(l, TCCR), state_reg(&state, TCCR));
}
END_TEST

START_TEST(one_shot_without_a_count_fires_at_once)
{
	struct kvm_lapic_state state;

	apic_write(l, TDCR, BY_1);
	apic_write(l, LVT_TIMER, VECTOR);
	apic_write(l, TICR, MS);
	wait_for(lapic_pending(l));
	lapic_acknowledge(l);
	lapic_get_state(l, &state);
	lapic_set_state(l, &state);
	sleep_ms(10);
	ck_assert_uint_eq(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], 2);
}
END_TEST

START_TEST(restore_leaves_the_deadline)
{
	struct kvm_lapic_state state;

	b.told[0].tsc_runs = true;
	apic_write(l, LVT_TIMER, VECTOR | DEADLINE);
	lapic_set_tsc_deadline(l, events_now() + 20 * MS);
	lapic_get_state(l, &state);
	lapic_set_state(l, &state);
	ck_assert_uint_ne(lapic_get_tsc_deadline(l), 0);
	wait_for(lapic_pending(l));
}
END_TEST

START_TEST(x2apic_id_is_saved_in_the_top_byte)
{
	struct kvm_lapic_state state;

	x2apic(2);
	lapic_get_state(b.lapic[2], &state);
	ck_assert_uint_eq(state_reg(&state, ID), 2u << 24);
	ck_assert_int_eq(lapic_set_state(b.lapic[2], &state), 0);
	irqchip_set_x2apic_api(b.irqchip, KVM_X2APIC_API_USE_32BIT_IDS);
	ck_assert_int_eq(lapic_set_state(b.lapic[2], &state), -EINVAL);
	lapic_get_state(b.lapic[2], &state);
	ck_assert_uint_eq(state_reg(&state, ID), 2);
}
END_TEST

START_TEST(version_cannot_be_set)
{
	struct kvm_lapic_state state;

	lapic_get_state(l, &state);
	memset(state.regs + VERSION, 0xff, 4);
	lapic_set_state(l, &state);
	ck_assert_uint_eq(apic_read(l, VERSION), 0x50014);
}
END_TEST

/* ---- others ---- */

START_TEST(unmasked_lint0_looks_at_the_pic)
{
	apic_write(l, LVT_LINT0, MASKED | 0x700);
	irqchip_set_irq(b.irqchip, 3, true);
	b.told[0].count[LAPIC_SIGNAL_INTERRUPT] = 0;
	apic_write(l, LVT_LINT0, 0x700);
	ck_assert_uint_eq(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], 1);
}
END_TEST

START_TEST(removed_apic_gets_nothing)
{
	struct irqchip_message message = { .shorthand = 2, .vector = VECTOR, .assert = true };

	lapic_destroy(b.lapic[3]);
	b.lapics = 3;
	ck_assert_int_eq(irqchip_deliver(b.irqchip, NULL, &message), 3);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		reset_values,
		only_the_bsp_takes_extint_at_reset,
		init_keeps_base_and_id,
		disabled_apic_passes_extint,
		software_disable_masks_the_lvts,
		software_disabled_refuses_interrupts,
		reserved_lvt_bits_stay_zero,
		reads_may_be_narrow_but_not_cross,
		narrow_writes_are_dropped,
		esr_reads_zero_after_a_write,
		highest_vector_goes_first,
		acknowledge_moves_irr_to_isr,
		tpr_holds_its_class_back,
		lower_tpr_is_told,
		ppr_is_the_higher_of_tpr_and_isr,
		disabled_apic_delivers_nothing,
		trigger_mode_is_kept_with_the_vector,
		physical_destination,
		physical_broadcast,
		shorthands,
		flat_logical_destination,
		cluster_logical_destination,
		lowest_priority_chooses_one,
		lowest_priority_skips_the_disabled,
		init_deassert_is_ignored,
		sipi_carries_its_vector,
		nmi_is_signalled_to_the_disabled_too,
		mode_changes_follow_the_architecture,
		reserved_base_bits_are_refused,
		page_is_mapped_in_xapic_mode_only,
		x2apic_derives_id_and_ldr,
		x2apic_has_no_dfr,
		msrs_need_x2apic_mode,
		x2apic_icr_is_one_register,
		x2apic_logical_destination,
		x2apic_broadcast_has_32_bits,
		self_ipi,
		one_shot_fires_once,
		count_runs_down_at_1_ghz,
		divide_slows_the_count,
		periodic_keeps_its_beat,
		tiny_period_is_no_storm,
		masked_timer_counts_silently,
		deadline_fires_at_its_tsc,
		past_deadline_fires_at_once,
		deadline_zero_disarms,
		deadline_waits_for_a_slow_tsc,
		deadline_needs_its_mode,
		deadline_mode_stops_the_count,
		state_comes_back_as_it_was,
		restored_count_goes_on,
		one_shot_without_a_count_fires_at_once,
		restore_leaves_the_deadline,
		x2apic_id_is_saved_in_the_top_byte,
		version_cannot_be_set,
		unmasked_lint0_looks_at_the_pic,
		removed_apic_gets_nothing,
	};

	return run_suite("lapic", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
