// SPDX-License-Identifier: GPL-2.0-or-later
/* Two cascaded Intel 8259A and the edge/level registers of the PIIX. */
#include <errno.h>
#include <string.h>

#include "devices/internal.h"

#define PORT_MASTER 0x20
#define PORT_SLAVE 0xa0
#define PORT_ELCR 0x4d0

#define MASTER 0
#define SLAVE 1
#define CASCADE_PIN 2
#define SPURIOUS_PIN 7
#define PINS 8 /* of one chip */

/* IRQ 0, 1, 2, 8 and 13 are always edge triggered. */
#define ELCR_MASK_MASTER 0xf8
#define ELCR_MASK_SLAVE 0xde

#define ICW1_ICW4_NEEDED 0x01
#define ICW1 0x10
#define ICW4_AUTO_EOI 0x02
#define ICW4_FULLY_NESTED 0x10
#define OCW3 0x08
#define OCW3_READ_ISR 0x01
#define OCW3_READ_SELECT 0x02
#define OCW3_POLL 0x04
#define OCW3_SPECIAL_MASK 0x20
#define OCW3_SPECIAL_MASK_SELECT 0x40
#define POLL_INTERRUPT 0x80

/* OCW2's bits 7..5. */
enum ocw2 {
	OCW2_CLEAR_ROTATE_AUTO,
	OCW2_EOI,
	OCW2_NOP,
	OCW2_SPECIFIC_EOI,
	OCW2_SET_ROTATE_AUTO,
	OCW2_ROTATE_EOI,
	OCW2_SET_PRIORITY,
	OCW2_ROTATE_SPECIFIC_EOI,
};

enum init_state { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

/* ---- one chip ---- */

/* Most urgent of @pins, or -1. priority_add is the pin of highest priority. */
static int chip_first(const struct kvm_pic_state *chip, uint8_t pins)
{
	for (unsigned i = 0; i < PINS; i++) {
		unsigned pin = (i + chip->priority_add) % PINS;

		if (pins >> pin & 1)
			return pin;
	}
	return -1;
}

static unsigned chip_rank(const struct kvm_pic_state *chip, int pin)
{
	return pin < 0 ? PINS : (pin - chip->priority_add) & (PINS - 1);
}

/* The pin that the chip would deliver now, or -1. */
static int chip_pending(const struct kvm_pic_state *chip, bool master)
{
	uint8_t serving = chip->isr;
	int pin = chip_first(chip, chip->irr & ~chip->imr);

	if (chip->special_mask)
		serving &= ~chip->imr;
	/* The slave may interrupt its own service routine. */
	if (chip->special_fully_nested_mode && master)
		serving &= ~(1u << CASCADE_PIN);
	if (chip_rank(chip, pin) >= chip_rank(chip, chip_first(chip, serving)))
		return -1;
	return pin;
}

static int chip_set_pin(struct kvm_pic_state *chip, unsigned pin, bool level)
{
	const uint8_t bit = 1u << pin;
	int status = 1;

	if (!level) {
		chip->last_irr &= ~bit;
		if (chip->elcr & bit)
			chip->irr &= ~bit;
	} else {
		if ((chip->elcr & bit) || !(chip->last_irr & bit)) {
			status = chip->irr & bit ? IRQ_COALESCED : 1;
			chip->irr |= bit;
		}
		chip->last_irr |= bit;
	}
	return chip->imr & bit ? IRQ_MASKED : status;
}

/* Returns the pins whose service ended. */
static uint8_t chip_acknowledge(struct kvm_pic_state *chip, unsigned pin)
{
	const uint8_t bit = 1u << pin;

	chip->isr |= bit;
	if (!(chip->elcr & bit))
		chip->irr &= ~bit;
	if (!chip->auto_eoi)
		return 0;
	if (chip->rotate_on_auto_eoi)
		chip->priority_add = (pin + 1) % PINS;
	chip->isr &= ~bit;
	return bit;
}

/* ICW1. Whoever waits for the end of a service that is forgotten here is told. */
static uint8_t chip_restart(struct kvm_pic_state *chip, uint8_t icw1)
{
	uint8_t ended = (chip->irr & ~chip->elcr) | chip->isr;

	chip->init4 = icw1 & ICW1_ICW4_NEEDED;
	chip->last_irr = 0;
	chip->irr &= chip->elcr;
	chip->imr = 0;
	chip->isr = 0;
	chip->priority_add = 0;
	chip->special_mask = 0;
	chip->read_reg_select = 0;
	if (!chip->init4) {
		chip->special_fully_nested_mode = 0;
		chip->auto_eoi = 0;
	}
	chip->init_state = INIT_ICW2;
	return ended;
}

static uint8_t chip_ocw2(struct kvm_pic_state *chip, uint8_t value)
{
	const enum ocw2 command = value >> 5;
	int pin = value % PINS;

	switch (command) {
	case OCW2_CLEAR_ROTATE_AUTO:
	case OCW2_SET_ROTATE_AUTO:
		chip->rotate_on_auto_eoi = command == OCW2_SET_ROTATE_AUTO;
		return 0;
	case OCW2_SET_PRIORITY:
		chip->priority_add = (pin + 1) % PINS;
		return 0;
	case OCW2_NOP:
		return 0;
	case OCW2_EOI:
	case OCW2_ROTATE_EOI:
		pin = chip_first(chip, chip->isr);
		if (pin < 0)
			return 0;
		break;
	case OCW2_SPECIFIC_EOI:
	case OCW2_ROTATE_SPECIFIC_EOI:
		break;
	}
	if (command == OCW2_ROTATE_EOI || command == OCW2_ROTATE_SPECIFIC_EOI)
		chip->priority_add = (pin + 1) % PINS;
	chip->isr &= ~(1u << pin);
	return 1u << pin;
}

static uint8_t chip_command(struct kvm_pic_state *chip, uint8_t value)
{
	if (value & ICW1)
		return chip_restart(chip, value);
	if (!(value & OCW3))
		return chip_ocw2(chip, value);
	if (value & OCW3_POLL)
		chip->poll = 1;
	if (value & OCW3_READ_SELECT)
		chip->read_reg_select = value & OCW3_READ_ISR;
	if (value & OCW3_SPECIAL_MASK_SELECT)
		chip->special_mask = !!(value & OCW3_SPECIAL_MASK);
	return 0;
}

/* Returns the pins whose mask changed. */
static uint8_t chip_data(struct kvm_pic_state *chip, uint8_t value)
{
	uint8_t changed = 0;

	switch (chip->init_state) {
	case INIT_DONE:
		changed = chip->imr ^ value;
		chip->imr = value;
		break;
	case INIT_ICW2:
		chip->irq_base = value & 0xf8;
		chip->init_state = INIT_ICW3;
		break;
	case INIT_ICW3:
		chip->init_state = chip->init4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW4:
		chip->special_fully_nested_mode = !!(value & ICW4_FULLY_NESTED);
		chip->auto_eoi = !!(value & ICW4_AUTO_EOI);
		chip->init_state = INIT_DONE;
		break;
	}
	return changed;
}

/* ---- the pair ---- */

static void pic_update(struct pic *pic, struct irq_effects *effects)
{
	bool output;

	if (chip_pending(&pic->chip[SLAVE], false) >= 0) {
		/* The master's cascade pin is edge triggered. */
		chip_set_pin(&pic->chip[MASTER], CASCADE_PIN, true);
		chip_set_pin(&pic->chip[MASTER], CASCADE_PIN, false);
	}
	output = chip_pending(&pic->chip[MASTER], true) >= 0;
	if (output && !atomic_load(&pic->output))
		effects->extint = true;
	atomic_store(&pic->output, output);
}

int pic_set_irq(struct pic *pic, unsigned pin, enum irq_source source, bool level,
		struct irq_effects *effects)
{
	int status;

	if (level)
		pic->sources[pin] |= 1u << source;
	else
		pic->sources[pin] &= ~(1u << source);
	status = chip_set_pin(&pic->chip[pin / PINS], pin % PINS, pic->sources[pin]);
	pic_update(pic, effects);
	return status;
}

/*
 * Ends an operation that began with the lock held. The listeners of @ended run before the output
 * is computed: they may lower a level-triggered line, which must not be delivered again.
 */
static void pic_finish(struct pic *pic, uint16_t ended, struct irq_effects *effects)
{
	struct irqchip *irqchip = pic->irqchip;

	if (ended) {
		pthread_mutex_unlock(&irqchip->lock);
		for (unsigned pin = 0; pin < PIC_PINS; pin++)
			if (ended >> pin & 1)
				irqchip_acknowledged(irqchip, irqchip_pic_gsi(irqchip, pin));
		pthread_mutex_lock(&irqchip->lock);
	}
	pic_update(pic, effects);
	pthread_mutex_unlock(&irqchip->lock);
	irqchip_flush(irqchip, effects);
}

int pic_acknowledge(struct pic *pic)
{
	struct kvm_pic_state *master = &pic->chip[MASTER], *slave = &pic->chip[SLAVE];
	struct irq_effects effects = { 0 };
	uint16_t ended = 0;
	int pin, vector = -1;

	pthread_mutex_lock(&pic->irqchip->lock);
	pic_update(pic, &effects);
	pin = chip_pending(master, true);
	if (pin >= 0) {
		ended = chip_acknowledge(master, pin);
		vector = (uint8_t)(master->irq_base + pin);
	}
	if (pin == CASCADE_PIN) {
		pin = chip_pending(slave, false);
		if (pin >= 0)
			ended |= chip_acknowledge(slave, pin) << PINS;
		else
			pin = SPURIOUS_PIN;
		vector = (uint8_t)(slave->irq_base + pin);
	}
	pic_finish(pic, ended, &effects);
	return vector;
}

/* OCW3's poll: the read is the acknowledgement. */
static uint8_t pic_poll(struct pic *pic, unsigned which, uint16_t *ended)
{
	struct kvm_pic_state *chip = &pic->chip[which];
	int pin = chip_pending(chip, which == MASTER);

	chip->poll = 0;
	if (pin < 0)
		return 0;
	if (which == SLAVE) {
		pic->chip[MASTER].isr &= ~(1u << CASCADE_PIN);
		pic->chip[MASTER].irr &= ~(1u << CASCADE_PIN);
	}
	chip->irr &= ~(1u << pin);
	chip->isr &= ~(1u << pin);
	*ended = 1u << (pin + which * PINS);
	return pin | POLL_INTERRUPT;
}

/* ---- ports ---- */

static int chip_read(struct pic *pic, unsigned which, uint64_t offset, void *data, unsigned bytes)
{
	struct kvm_pic_state *chip = &pic->chip[which];
	struct irq_effects effects = { 0 };
	uint16_t ended = 0;
	uint8_t value;

	memset(data, 0, bytes);
	if (bytes != 1)
		return 0;
	pthread_mutex_lock(&pic->irqchip->lock);
	if (chip->poll)
		value = pic_poll(pic, which, &ended);
	else if (offset)
		value = chip->imr;
	else
		value = chip->read_reg_select ? chip->isr : chip->irr;
	pic_finish(pic, ended, &effects);
	memcpy(data, &value, 1);
	return 0;
}

static int chip_write(struct pic *pic, unsigned which, uint64_t offset, const void *data,
		      unsigned bytes)
{
	struct kvm_pic_state *chip = &pic->chip[which];
	struct irq_effects effects = { 0 };
	uint8_t value, unmasked = 0;
	uint16_t ended = 0;

	if (bytes != 1)
		return 0;
	memcpy(&value, data, 1);
	pthread_mutex_lock(&pic->irqchip->lock);
	if (offset)
		unmasked = chip_data(chip, value) & ~chip->imr;
	else
		ended = chip_command(chip, value) << (which * PINS);
	for (unsigned pin = 0; pin < PINS; pin++)
		if ((unmasked >> pin & 1) &&
		    irqchip_pic_gsi(pic->irqchip, pin + which * PINS) == PIT_GSI)
			effects.pit_unmasked = true;
	pic_finish(pic, ended, &effects);
	return 0;
}

static int master_read(void *opaque, uint64_t offset, void *data, unsigned bytes)
{
	return chip_read(opaque, MASTER, offset, data, bytes);
}

static int master_write(void *opaque, uint64_t offset, const void *data, unsigned bytes)
{
	return chip_write(opaque, MASTER, offset, data, bytes);
}

static int slave_read(void *opaque, uint64_t offset, void *data, unsigned bytes)
{
	return chip_read(opaque, SLAVE, offset, data, bytes);
}

static int slave_write(void *opaque, uint64_t offset, const void *data, unsigned bytes)
{
	return chip_write(opaque, SLAVE, offset, data, bytes);
}

static int elcr_read(void *opaque, uint64_t offset, void *data, unsigned bytes)
{
	struct pic *pic = opaque;

	memset(data, 0, bytes);
	if (bytes != 1)
		return 0;
	pthread_mutex_lock(&pic->irqchip->lock);
	memcpy(data, &pic->chip[offset].elcr, 1);
	pthread_mutex_unlock(&pic->irqchip->lock);
	return 0;
}

static int elcr_write(void *opaque, uint64_t offset, const void *data, unsigned bytes)
{
	struct pic *pic = opaque;
	uint8_t value;

	if (bytes != 1)
		return 0;
	memcpy(&value, data, 1);
	pthread_mutex_lock(&pic->irqchip->lock);
	pic->chip[offset].elcr = value & pic->chip[offset].elcr_mask;
	pthread_mutex_unlock(&pic->irqchip->lock);
	return 0;
}

static const struct {
	uint64_t base;
	struct bus_ops ops;
} pic_ports[] = {
	{ PORT_MASTER, { master_read, master_write } },
	{ PORT_SLAVE, { slave_read, slave_write } },
	{ PORT_ELCR, { elcr_read, elcr_write } },
};

#define PIC_PORTS (sizeof(pic_ports) / sizeof(pic_ports[0]))

/* ---- life and state ---- */

int pic_init(struct pic *pic, struct irqchip *irqchip)
{
	pic->irqchip = irqchip;
	pic->chip[MASTER].elcr_mask = ELCR_MASK_MASTER;
	pic->chip[SLAVE].elcr_mask = ELCR_MASK_SLAVE;
	for (unsigned i = 0; i < PIC_PORTS; i++) {
		int error = bus_register(irqchip->bus, BUS_PIO, pic_ports[i].base, 2,
					 &pic_ports[i].ops, pic);

		if (error) {
			pic_fini(pic);
			return error;
		}
	}
	return 0;
}

void pic_fini(struct pic *pic)
{
	for (unsigned i = 0; i < PIC_PORTS; i++)
		bus_unregister(pic->irqchip->bus, BUS_PIO, pic_ports[i].base, pic);
}

void pic_set_state(struct pic *pic, unsigned chip, const struct kvm_pic_state *state,
		   struct irq_effects *effects)
{
	pic->chip[chip] = *state;
	/* Bits above a pin number would leave the chip's range. */
	pic->chip[chip].priority_add %= PINS;
	pic_update(pic, effects);
}
