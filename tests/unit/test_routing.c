/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices_fixture.h"

#include <pthread.h>

#define VECTOR 0x61
#define MSI_LEVEL (1u << 15)

static struct board b;

static void start(enum irqchip_mode mode)
{
	board_start(&b, mode, BOARD_LAPICS);
	apics_enable(&b);
}

static void setup(void)
{
	start(IRQCHIP_FULL);
}

static void teardown(void)
{
	board_stop(&b);
}

static struct kvm_irq_routing_entry to_pin(uint32_t gsi, uint32_t chip, uint32_t pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { chip, pin },
	};
}

static struct kvm_irq_routing_entry to_msi(uint32_t gsi, uint8_t destination, uint32_t data)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000 | destination << 12, .data = data },
	};
}

static int route(struct kvm_irq_routing_entry entry)
{
	return irqchip_set_routing(b.irqchip, &entry, 1);
}

/* ---- tables ---- */

START_TEST(default_drives_the_pic_and_the_same_ioapic_pin)
{
	ioapic_pin(&b, 0, VECTOR);
	out8(&b, 0x21, 0);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, 0, true), 2);
	ck_assert(irqchip_extint_pending(b.irqchip));
	ck_assert_int_eq(lapic_acknowledge(b.lapic[0]), VECTOR);
}
END_TEST

START_TEST(default_has_24_gsis)
{
	ioapic_pin(&b, 23, VECTOR);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, 23, true), 1);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, 24, true), -1);
}
END_TEST

START_TEST(gsi_is_delivered_where_it_is_routed)
{
	ck_assert_int_eq(route(to_pin(0, KVM_IRQCHIP_IOAPIC, 2)), 0);
	ioapic_pin(&b, 2, VECTOR);
	irqchip_set_irq(b.irqchip, 0, true);
	ck_assert_int_eq(lapic_acknowledge(b.lapic[0]), VECTOR);
}
END_TEST

START_TEST(new_table_replaces_the_old)
{
	route(to_pin(5, KVM_IRQCHIP_IOAPIC, 5));
	route(to_pin(6, KVM_IRQCHIP_IOAPIC, 6));
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, 5, true), -1);
}
END_TEST

START_TEST(empty_table_is_allowed)
{
	ck_assert_int_eq(irqchip_set_routing(b.irqchip, NULL, 0), 0);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, 0, true), -1);
}
END_TEST

START_TEST(mistakes_are_refused)
{
	struct kvm_irq_routing_entry flags = to_pin(1, KVM_IRQCHIP_IOAPIC, 1);

	flags.flags = 1;
	ck_assert_int_eq(route(flags), -EINVAL);
	ck_assert_int_eq(route(to_pin(IRQCHIP_GSIS, KVM_IRQCHIP_IOAPIC, 1)), -EINVAL);
	ck_assert_int_eq(route(to_pin(1, KVM_IRQCHIP_IOAPIC, 24)), -EINVAL);
	ck_assert_int_eq(route(to_pin(1, KVM_IRQCHIP_PIC_SLAVE, 8)), -EINVAL);
	ck_assert_int_eq(route(to_pin(1, KVM_NR_IRQCHIPS, 0)), -EINVAL);
	ck_assert_int_eq(route((struct kvm_irq_routing_entry){ .gsi = 1, .type = 99 }), -EINVAL);
}
END_TEST

START_TEST(refused_table_leaves_the_old)
{
	ioapic_pin(&b, 20, VECTOR);
	route(to_pin(1, KVM_IRQCHIP_IOAPIC, 24));
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, 20, true), 1);
}
END_TEST

START_TEST(gsi_has_one_pin_a_chip_or_one_msi)
{
	const struct kvm_irq_routing_entry twice[] = {
		to_pin(3, KVM_IRQCHIP_IOAPIC, 3),
		to_pin(3, KVM_IRQCHIP_IOAPIC, 4),
	};
	const struct kvm_irq_routing_entry mixed[] = {
		to_pin(3, KVM_IRQCHIP_IOAPIC, 3),
		to_msi(3, 0, VECTOR),
	};

	ck_assert_int_eq(irqchip_set_routing(b.irqchip, twice, 2), -EINVAL);
	ck_assert_int_eq(irqchip_set_routing(b.irqchip, mixed, 2), -EINVAL);
}
END_TEST

/* ---- MSI ---- */

START_TEST(msi_route_reaches_its_apic)
{
	route(to_msi(IRQCHIP_GSIS - 1, 2, VECTOR));
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, IRQCHIP_GSIS - 1, true), 1);
	ck_assert_int_eq(lapic_acknowledge(b.lapic[2]), VECTOR);
}
END_TEST

START_TEST(msi_route_has_no_falling_edge)
{
	route(to_msi(30, 2, VECTOR));
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, 30, false), -1);
	ck_assert(!lapic_pending(b.lapic[2]));
}
END_TEST

START_TEST(signalled_msi_is_delivered)
{
	struct kvm_msi msi = { .address_lo = 0xfee01000, .data = VECTOR };

	ck_assert_int_eq(irqchip_signal_msi(b.irqchip, &msi), 1);
	ck_assert_int_eq(lapic_acknowledge(b.lapic[1]), VECTOR);
}
END_TEST

START_TEST(signalled_msi_to_nobody)
{
	struct kvm_msi msi = { .address_lo = 0xfee77000, .data = VECTOR };

	ck_assert_int_eq(irqchip_signal_msi(b.irqchip, &msi), 0);
	msi.flags = 1 << 7;
	ck_assert_int_eq(irqchip_signal_msi(b.irqchip, &msi), -EINVAL);
}
END_TEST

START_TEST(msi_broadcast_reaches_x2apics_by_quirk)
{
	struct kvm_msi msi = { .address_lo = 0xfeeff000, .data = VECTOR };

	for (unsigned i = 0; i < BOARD_LAPICS; i++)
		lapic_set_base(b.lapic[i], lapic_get_base(b.lapic[i]) | 1 << 10, true);
	ck_assert_int_eq(irqchip_signal_msi(b.irqchip, &msi), BOARD_LAPICS);
	irqchip_set_x2apic_api(b.irqchip, KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	ck_assert_int_eq(irqchip_signal_msi(b.irqchip, &msi), 0);
}
END_TEST

START_TEST(msi_has_32_bit_ids_by_flag)
{
	struct kvm_msi msi = { .address_lo = 0xfee01000, .address_hi = 0x100, .data = VECTOR };
	struct kvm_irq_routing_entry entry = to_msi(30, 1, VECTOR);

	ck_assert_int_eq(irqchip_signal_msi(b.irqchip, &msi), 1);
	irqchip_set_x2apic_api(b.irqchip, KVM_X2APIC_API_USE_32BIT_IDS);
	ck_assert_int_eq(irqchip_signal_msi(b.irqchip, &msi), 0);
	entry.u.msi.address_hi = 1;
	ck_assert_int_eq(route(entry), -EINVAL);
}
END_TEST

START_TEST(redirection_hint_chooses_one)
{
	struct kvm_msi msi = { .address_lo = 0xfee0f000 | 1 << 3 | 1 << 2, .data = VECTOR };

	for (unsigned i = 0; i < BOARD_LAPICS; i++)
		apic_write(b.lapic[i], 0xd0, 1u << (24 + i));
	ck_assert_int_eq(irqchip_signal_msi(b.irqchip, &msi), 1);
}
END_TEST

/* ---- split ---- */

static void setup_split(struct kvm_irq_routing_entry entry)
{
	teardown();
	start(IRQCHIP_SPLIT);
	ck_assert_int_eq(route(entry), 0);
}

START_TEST(split_routes_no_pins)
{
	setup_split(to_msi(3, 0, VECTOR));
	ck_assert_int_eq(route(to_pin(1, KVM_IRQCHIP_IOAPIC, 1)), -EINVAL);
}
END_TEST

START_TEST(split_has_no_chips_to_save)
{
	struct kvm_irqchip state = { .chip_id = KVM_IRQCHIP_IOAPIC };

	setup_split(to_msi(3, 0, VECTOR));
	ck_assert_int_eq(irqchip_get_state(b.irqchip, &state), -ENXIO);
}
END_TEST

START_TEST(split_level_eoi_is_user_spaces)
{
	setup_split(to_msi(3, 1, VECTOR | MSI_LEVEL));
	irqchip_set_irq(b.irqchip, 3, true);
	ck_assert_int_eq(lapic_acknowledge(b.lapic[1]), VECTOR);
	apic_write(b.lapic[1], 0xb0, 0);
	ck_assert_uint_eq(b.told[1].count[LAPIC_SIGNAL_EOI], 1);
	ck_assert_uint_eq(b.told[1].vector[LAPIC_SIGNAL_EOI], VECTOR);
}
END_TEST

START_TEST(split_edge_eoi_is_silent)
{
	setup_split(to_msi(3, 1, VECTOR));
	irqchip_set_irq(b.irqchip, 3, true);
	lapic_acknowledge(b.lapic[1]);
	apic_write(b.lapic[1], 0xb0, 0);
	ck_assert_uint_eq(b.told[1].count[LAPIC_SIGNAL_EOI], 0);
}
END_TEST

START_TEST(split_eoi_of_another_apics_vector_is_silent)
{
	setup_split(to_msi(3, 1, VECTOR | MSI_LEVEL));
	lapic_deliver(b.lapic[0], LAPIC_FIXED, VECTOR, false, true);
	lapic_acknowledge(b.lapic[0]);
	apic_write(b.lapic[0], 0xb0, 0);
	ck_assert_uint_eq(b.told[0].count[LAPIC_SIGNAL_EOI], 0);
}
END_TEST

START_TEST(split_gsi_above_the_pins_is_no_ioapics)
{
	setup_split(to_msi(IRQCHIP_IOAPIC_PINS, 1, VECTOR | MSI_LEVEL));
	irqchip_set_irq(b.irqchip, IRQCHIP_IOAPIC_PINS, true);
	lapic_acknowledge(b.lapic[1]);
	apic_write(b.lapic[1], 0xb0, 0);
	ck_assert_uint_eq(b.told[1].count[LAPIC_SIGNAL_EOI], 0);
}
END_TEST

/* ---- threads ---- */

static atomic_bool stop;

static void *interrupt_all_the_time(void *opaque)
{
	(void)opaque;
	while (!atomic_load(&stop)) {
		irqchip_set_irq(b.irqchip, 30, true);
		lapic_acknowledge(b.lapic[1]);
		apic_write(b.lapic[1], 0xb0, 0);
	}
	return NULL;
}

START_TEST(table_changes_under_interrupts)
{
	pthread_t thread;

	atomic_store(&stop, false);
	pthread_create(&thread, NULL, interrupt_all_the_time, NULL);
	for (int i = 0; i < 500; i++)
		ck_assert_int_eq(route(to_msi(30, 1, VECTOR + i % 16)), 0);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		default_drives_the_pic_and_the_same_ioapic_pin,
		default_has_24_gsis,
		gsi_is_delivered_where_it_is_routed,
		new_table_replaces_the_old,
		empty_table_is_allowed,
		mistakes_are_refused,
		refused_table_leaves_the_old,
		gsi_has_one_pin_a_chip_or_one_msi,
		msi_route_reaches_its_apic,
		msi_route_has_no_falling_edge,
		signalled_msi_is_delivered,
		signalled_msi_to_nobody,
		msi_broadcast_reaches_x2apics_by_quirk,
		msi_has_32_bit_ids_by_flag,
		redirection_hint_chooses_one,
		split_routes_no_pins,
		split_has_no_chips_to_save,
		split_level_eoi_is_user_spaces,
		split_edge_eoi_is_silent,
		split_eoi_of_another_apics_vector_is_silent,
		split_gsi_above_the_pins_is_no_ioapics,
		table_changes_under_interrupts,
	};

	return run_suite("routing", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
