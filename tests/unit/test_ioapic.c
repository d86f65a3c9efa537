/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices_fixture.h"

#define PIN 9
#define VECTOR 0x41

static struct board b;

static void setup(void)
{
	board_start(&b, IRQCHIP_FULL, 2);
	apics_enable(&b);
	out8(&b, 0x21, 0xff);
	out8(&b, 0xa1, 0xff);
}

static void teardown(void)
{
	board_stop(&b);
}

static int take(void)
{
	return lapic_acknowledge(b.lapic[0]);
}

START_TEST(version_tells_24_pins)
{
	ck_assert_uint_eq(ioapic_get(&b, 1), 0x170011);
}
END_TEST

START_TEST(id_has_four_bits)
{
	ioapic_put(&b, 0, 0xffffffff);
	ck_assert_uint_eq(ioapic_get(&b, 0), 0x0f000000);
	ck_assert_uint_eq(ioapic_get(&b, 2), 0x0f000000);
}
END_TEST

START_TEST(entries_are_masked_at_reset)
{
	for (unsigned pin = 0; pin < IRQCHIP_IOAPIC_PINS; pin++)
		ck_assert_uint_eq(ioapic_get(&b, 0x10 + 2 * pin), IOAPIC_MASKED);
}
END_TEST

START_TEST(select_register_reads_back)
{
	uint32_t index = 0x1234, value = 0;

	bus_write(b.bus, BUS_MMIO, 0xfec00000, &index, 4);
	bus_read(b.bus, BUS_MMIO, 0xfec00000, &value, 4);
	ck_assert_uint_eq(value, 0x34);
}
END_TEST

START_TEST(missing_register_reads_ones)
{
	ck_assert_uint_eq(ioapic_get(&b, 0x10 + 2 * IRQCHIP_IOAPIC_PINS), 0xffffffff);
	ck_assert_uint_eq(ioapic_get(&b, 5), 0xffffffff);
}
END_TEST

START_TEST(read_only_bits_stay)
{
	ioapic_pin(&b, PIN, 0xffffffff);
	ck_assert_uint_eq(ioapic_get(&b, 0x10 + 2 * PIN), 0xffffffff & ~(1u << 14 | 1u << 12));
}
END_TEST

START_TEST(edge_reaches_its_destination_only)
{
	ioapic_pin(&b, PIN, VECTOR);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, PIN, true), 1);
	ck_assert_int_eq(take(), VECTOR);
	ck_assert(!lapic_pending(b.lapic[1]));
}
END_TEST

START_TEST(held_edge_is_coalesced)
{
	ioapic_pin(&b, PIN, VECTOR);
	irqchip_set_irq(b.irqchip, PIN, true);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, PIN, true), 0);
	irqchip_set_irq(b.irqchip, PIN, false);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, PIN, true), 1);
}
END_TEST

START_TEST(masked_edge_is_lost_when_the_line_falls)
{
	ioapic_pin(&b, PIN, VECTOR | IOAPIC_MASKED);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, PIN, true), -1);
	irqchip_set_irq(b.irqchip, PIN, false);
	ioapic_pin(&b, PIN, VECTOR);
	ck_assert_int_eq(take(), -1);
}
END_TEST

START_TEST(masked_level_is_delivered_at_unmask)
{
	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL | IOAPIC_MASKED);
	irqchip_set_irq(b.irqchip, PIN, true);
	ck_assert_int_eq(take(), -1);
	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	ck_assert_int_eq(take(), VECTOR);
}
END_TEST

START_TEST(level_sets_remote_irr_until_eoi)
{
	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	irqchip_set_irq(b.irqchip, PIN, true);
	ck_assert_uint_ne(ioapic_get(&b, 0x10 + 2 * PIN) & IOAPIC_REMOTE_IRR, 0);
	irqchip_set_irq(b.irqchip, PIN, false);
	take();
	apic_write(b.lapic[0], 0xb0, 0);
	ck_assert_uint_eq(ioapic_get(&b, 0x10 + 2 * PIN) & IOAPIC_REMOTE_IRR, 0);
	ck_assert_int_eq(take(), -1);
}
END_TEST

START_TEST(level_in_service_is_not_sent_again)
{
	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	irqchip_set_irq(b.irqchip, PIN, true);
	take();
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, PIN, true), -1);
	ck_assert_int_eq(take(), -1);
}
END_TEST

START_TEST(high_line_is_delivered_again_after_eoi)
{
	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	irqchip_set_irq(b.irqchip, PIN, true);
	take();
	apic_write(b.lapic[0], 0xb0, 0);
	ck_assert_int_eq(take(), VECTOR);
}
END_TEST

START_TEST(edge_mode_drops_remote_irr)
{
	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	irqchip_set_irq(b.irqchip, PIN, true);
	ioapic_pin(&b, PIN, VECTOR | IOAPIC_MASKED);
	ck_assert_uint_eq(ioapic_get(&b, 0x10 + 2 * PIN) & IOAPIC_REMOTE_IRR, 0);
}
END_TEST

START_TEST(unserved_level_line_gives_the_guest_air)
{
	unsigned deliveries = 0;

	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL);
	irqchip_set_irq(b.irqchip, PIN, true);
	/* A thread that does not run meanwhile misses a pause, but not all of them. */
	while (deliveries < 100000 && take() == VECTOR) {
		apic_write(b.lapic[0], 0xb0, 0);
		deliveries++;
	}
	ck_assert_uint_eq(deliveries % 10000, 0);
	ck_assert_uint_lt(deliveries, 100000);
	wait_for(lapic_pending(b.lapic[0]));
}
END_TEST

START_TEST(logical_destination_reaches_all_named)
{
	apic_write(b.lapic[0], 0xd0, 1u << 24);
	apic_write(b.lapic[1], 0xd0, 2u << 24);
	ioapic_put(&b, 0x11 + 2 * PIN, 3u << 24);
	ioapic_put(&b, 0x10 + 2 * PIN, VECTOR | 1 << 11);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, PIN, true), 2);
	ck_assert(lapic_pending(b.lapic[0]) && lapic_pending(b.lapic[1]));
}
END_TEST

START_TEST(nmi_mode_is_an_nmi)
{
	ioapic_pin(&b, PIN, LAPIC_NMI << 8);
	irqchip_set_irq(b.irqchip, PIN, true);
	ck_assert_uint_eq(b.told[0].count[LAPIC_SIGNAL_NMI], 1);
	ck_assert_uint_eq(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], 0);
}
END_TEST

START_TEST(delivered_edge_is_not_saved)
{
	struct kvm_irqchip state = { .chip_id = KVM_IRQCHIP_IOAPIC };

	ioapic_pin(&b, PIN, VECTOR);
	irqchip_set_irq(b.irqchip, PIN, true);
	irqchip_get_state(b.irqchip, &state);
	ck_assert_uint_eq(state.chip.ioapic.irr, 0);
}
END_TEST

START_TEST(pending_level_is_delivered_by_restore)
{
	struct kvm_irqchip state = { .chip_id = KVM_IRQCHIP_IOAPIC };

	ioapic_pin(&b, PIN, VECTOR | IOAPIC_LEVEL | IOAPIC_MASKED);
	irqchip_set_irq(b.irqchip, PIN, true);
	irqchip_get_state(b.irqchip, &state);
	ck_assert_uint_eq(state.chip.ioapic.base_address, 0xfec00000);
	ck_assert_uint_eq(state.chip.ioapic.irr, 1 << PIN);
	state.chip.ioapic.redirtbl[PIN].fields.mask = 0;
	irqchip_set_state(b.irqchip, &state);
	ck_assert_int_eq(take(), VECTOR);
}
END_TEST

START_TEST(vcpu_is_told_of_a_delivery)
{
	ioapic_pin(&b, PIN, VECTOR);
	irqchip_set_irq(b.irqchip, PIN, true);
	ck_assert_uint_eq(b.told[0].count[LAPIC_SIGNAL_INTERRUPT], 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		version_tells_24_pins,
		id_has_four_bits,
		entries_are_masked_at_reset,
		select_register_reads_back,
		missing_register_reads_ones,
		read_only_bits_stay,
		edge_reaches_its_destination_only,
		held_edge_is_coalesced,
		masked_edge_is_lost_when_the_line_falls,
		masked_level_is_delivered_at_unmask,
		level_sets_remote_irr_until_eoi,
		level_in_service_is_not_sent_again,
		high_line_is_delivered_again_after_eoi,
		edge_mode_drops_remote_irr,
		unserved_level_line_gives_the_guest_air,
		logical_destination_reaches_all_named,
		nmi_mode_is_an_nmi,
		delivered_edge_is_not_saved,
		pending_level_is_delivered_by_restore,
		vcpu_is_told_of_a_delivery,
	};

	return run_suite("ioapic", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
