/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices_fixture.h"

static struct board b;

/* As every PC: vectors 0x30 and 0x38, nothing masked. */
static void setup(void)
{
	board_start(&b, IRQCHIP_FULL, 0);
	for (int chip = 0; chip < 2; chip++) {
		const uint16_t port = chip ? 0xa0 : 0x20;

		out8(&b, port, 0x11);
		out8(&b, port + 1, chip ? 0x38 : 0x30);
		out8(&b, port + 1, chip ? 2 : 4);
		out8(&b, port + 1, 0x01);
		out8(&b, port + 1, 0);
	}
}

static void teardown(void)
{
	board_stop(&b);
}

static void pulse(unsigned irq)
{
	irqchip_set_irq(b.irqchip, irq, true);
	irqchip_set_irq(b.irqchip, irq, false);
}

START_TEST(edge_is_delivered_once)
{
	irqchip_set_irq(b.irqchip, 3, true);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x33);
	out8(&b, 0x20, 0x20);
	ck_assert(!irqchip_extint_pending(b.irqchip));
}
END_TEST

START_TEST(rising_output_is_told)
{
	irqchip_set_irq(b.irqchip, 3, true);
	ck_assert_uint_eq(b.extints, 1);
	irqchip_set_irq(b.irqchip, 4, true);
	ck_assert_uint_eq(b.extints, 1);
}
END_TEST

START_TEST(no_interrupt_no_vector)
{
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), -1);
}
END_TEST

START_TEST(lower_pin_goes_first)
{
	pulse(5);
	pulse(1);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x31);
	ck_assert(!irqchip_extint_pending(b.irqchip));
	out8(&b, 0x20, 0x20);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x35);
}
END_TEST

START_TEST(higher_priority_interrupts_service)
{
	pulse(5);
	irqchip_extint_acknowledge(b.irqchip);
	pulse(1);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x31);
}
END_TEST

START_TEST(masked_pin_waits)
{
	out8(&b, 0x21, 1 << 3);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, 3, true), -1);
	ck_assert(!irqchip_extint_pending(b.irqchip));
	out8(&b, 0x21, 0);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x33);
}
END_TEST

START_TEST(second_edge_is_coalesced)
{
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, 3, true), 1);
	irqchip_set_irq(b.irqchip, 3, false);
	ck_assert_int_eq(irqchip_set_irq(b.irqchip, 3, true), 0);
}
END_TEST

START_TEST(level_stays_until_the_line_falls)
{
	out8(&b, 0x4d0, 1 << 5);
	irqchip_set_irq(b.irqchip, 5, true);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x35);
	out8(&b, 0x20, 0x20);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x35);
	irqchip_set_irq(b.irqchip, 5, false);
	out8(&b, 0x20, 0x20);
	ck_assert(!irqchip_extint_pending(b.irqchip));
}
END_TEST

START_TEST(elcr_keeps_system_pins_edge_triggered)
{
	out8(&b, 0x4d0, 0xff);
	out8(&b, 0x4d1, 0xff);
	ck_assert_uint_eq(in8(&b, 0x4d0), 0xf8);
	ck_assert_uint_eq(in8(&b, 0x4d1), 0xde);
}
END_TEST

START_TEST(slave_interrupts_through_the_cascade)
{
	pulse(12);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x3c);
	out8(&b, 0x20, 0x0b);
	ck_assert_uint_eq(in8(&b, 0x20), 1 << 2);
	out8(&b, 0xa0, 0x0b);
	ck_assert_uint_eq(in8(&b, 0xa0), 1 << 4);
}
END_TEST

START_TEST(vanished_slave_line_is_spurious)
{
	out8(&b, 0x4d1, 1 << 2);
	irqchip_set_irq(b.irqchip, 10, true);
	irqchip_set_irq(b.irqchip, 10, false);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x3f);
	out8(&b, 0xa0, 0x0b);
	ck_assert_uint_eq(in8(&b, 0xa0), 0);
}
END_TEST

START_TEST(specific_eoi_ends_its_pin_only)
{
	pulse(5);
	irqchip_extint_acknowledge(b.irqchip);
	pulse(1);
	irqchip_extint_acknowledge(b.irqchip);
	out8(&b, 0x20, 0x60 | 5);
	out8(&b, 0x20, 0x0b);
	ck_assert_uint_eq(in8(&b, 0x20), 1 << 1);
}
END_TEST

START_TEST(rotation_makes_the_served_pin_last)
{
	pulse(3);
	irqchip_extint_acknowledge(b.irqchip);
	out8(&b, 0x20, 0xa0);
	pulse(3);
	pulse(4);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x34);
}
END_TEST

START_TEST(set_priority_names_the_last_pin)
{
	out8(&b, 0x20, 0xc0 | 5);
	pulse(1);
	pulse(6);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x36);
}
END_TEST

START_TEST(auto_eoi_needs_no_eoi)
{
	out8(&b, 0x20, 0x11);
	out8(&b, 0x21, 0x30);
	out8(&b, 0x21, 4);
	out8(&b, 0x21, 0x03);
	pulse(3);
	irqchip_extint_acknowledge(b.irqchip);
	pulse(4);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x34);
}
END_TEST

START_TEST(special_mask_lets_lower_pins_in)
{
	pulse(1);
	irqchip_extint_acknowledge(b.irqchip);
	pulse(5);
	ck_assert(!irqchip_extint_pending(b.irqchip));
	out8(&b, 0x20, 0x68);
	out8(&b, 0x21, 1 << 1);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x35);
}
END_TEST

START_TEST(poll_acknowledges)
{
	pulse(6);
	out8(&b, 0x20, 0x0c);
	ck_assert_uint_eq(in8(&b, 0x20), 0x86);
	ck_assert(!irqchip_extint_pending(b.irqchip));
}
END_TEST

START_TEST(initialisation_forgets_edges_and_masks)
{
	out8(&b, 0x21, 0xff);
	pulse(3);
	out8(&b, 0x20, 0x11);
	out8(&b, 0x20, 0x0a);
	ck_assert_uint_eq(in8(&b, 0x20), 0);
	ck_assert_uint_eq(in8(&b, 0x21), 0);
}
END_TEST

START_TEST(sources_of_a_line_are_ored)
{
	struct kvm_irqfd irqfd = { .gsi = 5, .flags = KVM_IRQFD_FLAG_RESAMPLE };
	int fd = eventfd(0, 0), resample = eventfd(0, 0);

	out8(&b, 0x4d0, 1 << 5);
	ck_assert_int_eq(irqchip_irqfd(b.irqchip, &irqfd, fd, resample), 0);
	eventfd_write(fd, 1);
	wait_for(line_raised(&b, 5));
	irqchip_set_irq(b.irqchip, 5, true);
	irqchip_set_irq(b.irqchip, 5, false);
	ck_assert(irqchip_extint_pending(b.irqchip));
}
END_TEST

START_TEST(state_comes_back_as_it_was)
{
	struct kvm_irqchip saved = { .chip_id = KVM_IRQCHIP_PIC_MASTER };

	pulse(4);
	ck_assert_int_eq(irqchip_get_state(b.irqchip, &saved), 0);
	ck_assert_uint_eq(saved.chip.pic.irr, 1 << 4);
	ck_assert_uint_eq(saved.chip.pic.irq_base, 0x30);
	irqchip_extint_acknowledge(b.irqchip);
	ck_assert_int_eq(irqchip_set_state(b.irqchip, &saved), 0);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), 0x34);
}
END_TEST

START_TEST(hostile_state_stays_in_range)
{
	struct kvm_irqchip state = { .chip_id = KVM_IRQCHIP_PIC_MASTER };

	memset(&state.chip, 0xff, sizeof(state.chip));
	state.chip.pic.imr = state.chip.pic.isr = 0;
	ck_assert_int_eq(irqchip_set_state(b.irqchip, &state), 0);
	ck_assert_int_eq(irqchip_extint_acknowledge(b.irqchip), (0xff + 7) & 0xff);
}
END_TEST

START_TEST(unknown_chip_is_refused)
{
	struct kvm_irqchip state = { .chip_id = KVM_NR_IRQCHIPS };

	ck_assert_int_eq(irqchip_get_state(b.irqchip, &state), -EINVAL);
	ck_assert_int_eq(irqchip_set_state(b.irqchip, &state), -EINVAL);
}
END_TEST

START_TEST(wide_accesses_do_nothing)
{
	uint16_t wide = 0xffff;

	ck_assert_int_eq(bus_write(b.bus, BUS_PIO, 0x20, &wide, 2), 0);
	ck_assert_int_eq(bus_read(b.bus, BUS_PIO, 0x20, &wide, 2), 0);
	ck_assert_uint_eq(wide, 0);
	ck_assert_uint_eq(in8(&b, 0x21), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		edge_is_delivered_once,
		rising_output_is_told,
		no_interrupt_no_vector,
		lower_pin_goes_first,
		higher_priority_interrupts_service,
		masked_pin_waits,
		second_edge_is_coalesced,
		level_stays_until_the_line_falls,
		elcr_keeps_system_pins_edge_triggered,
		slave_interrupts_through_the_cascade,
		vanished_slave_line_is_spurious,
		specific_eoi_ends_its_pin_only,
		rotation_makes_the_served_pin_last,
		set_priority_names_the_last_pin,
		auto_eoi_needs_no_eoi,
		special_mask_lets_lower_pins_in,
		poll_acknowledges,
		initialisation_forgets_edges_and_masks,
		sources_of_a_line_are_ored,
		state_comes_back_as_it_was,
		hostile_state_stays_in_range,
		unknown_chip_is_refused,
		wide_accesses_do_nothing,
	};

	return run_suite("pic", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
