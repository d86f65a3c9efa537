// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The in-kernel irqchip: PIC, IOAPIC, MSI, routing, the local APIC's timer, the PIT, and how they
 * wake a vCPU from HLT.
 *
 * Handlers tell their vector through port 0x30. The guests end with HLT; with an in-kernel irqchip
 * that is no exit, so that a test which waits for an interrupt waits in KVM_RUN.
 */
#include <pthread.h>

#include "kvm_client.h"

#define LAPIC "0xfee00000"

/* Prologue of a guest: the PIC's masters at 0x20 and slaves at 0x28, all lines open. */
#define INIT_PIC                                                                                   \
	"mov $0x11, %al; out %al, $0x20; out %al, $0xa0; mov $0x20, %al; out %al, $0x21\n"         \
	"mov $0x28, %al; out %al, $0xa1; mov $4, %al; out %al, $0x21; mov $2, %al\n"               \
	"out %al, $0xa1; mov $1, %al; out %al, $0x21; out %al, $0xa1; xor %eax, %eax\n"            \
	"out %al, $0x21; out %al, $0xa1\n"
/* The local APIC on (spurious vector 0xff), LINT0 as ExtINT. */
#define INIT_LAPIC "mov $" LAPIC ", %ebp; movl $0x1ff, 0xf0(%rbp); movl $0x700, 0x350(%rbp)\n"

GUEST(pic_code, 64, INIT_LAPIC INIT_PIC "sti; out %al, $0x80; 1: hlt; jmp 1b");
GUEST(apic_code, 64, INIT_LAPIC "movl $0x10000, 0x350(%rbp); sti; out %al, $0x80; 1: hlt; jmp 1b");

/* One handler per vector at 0x40000: tells the vector, acknowledges at PIC or local APIC. */
#define HANDLERS 0x40000
#define HANDLER_BYTES 32
GUEST(pic_handler, 64,
      "mov $0, %al; out %al, $0x30; mov $0x20, %al; out %al, $0xa0; out %al, $0x20; iretq");
GUEST(apic_handler, 64, "mov $0, %al; out %al, $0x30; movl $0, 0xb0(%rbp); iretq");

static void set_handlers(struct vm *vm, const uint8_t *code, const uint8_t *end)
{
	for (unsigned int vector = 0x20; vector < 256; vector++) {
		uint64_t at = HANDLERS + vector * HANDLER_BYTES;

		CHECK(end - code <= HANDLER_BYTES, "handler too long");
		vm_load(vm, at, code, end);
		vm->ram[at + 1] = vector;
		vm_set_gate(vm, MODE_LONG, vector, at);
	}
}

static void boot(struct vm *vm, struct vcpu *vcpu, bool pic)
{
	vm_create_irqchip(vm);
	vcpu_create(vm, vcpu, 0);
	vcpu_set_cpuid(vcpu);
	if (pic) {
		VCPU_LOAD(vcpu, MODE_LONG, pic_code);
		set_handlers(vm, pic_handler, pic_handler_end);
	} else {
		VCPU_LOAD(vcpu, MODE_LONG, apic_code);
		set_handlers(vm, apic_handler, apic_handler_end);
	}
	vcpu_expect_out(vcpu, 0x80, 1);
}

static int irq_line(struct vm *vm, unsigned int gsi, unsigned int level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	XIOCTL(vm->fd, KVM_IRQ_LINE_STATUS, &line);
	return line.status;
}

static void pulse(struct vm *vm, unsigned int gsi)
{
	irq_line(vm, gsi, 1);
	irq_line(vm, gsi, 0);
}

/* Every line of both PICs, edge triggered. */
static void pic(void)
{
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, true);
	for (unsigned int line = 0; line < 16; line++) {
		if (line == 2)
			continue;
		pulse(&vm, line);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x20 + line);
	}
}

/* Of two lines the PIC delivers the one of higher priority, then the other. */
static void pic_priority(void)
{
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, true);
	pulse(&vm, 5);
	pulse(&vm, 12);
	pulse(&vm, 3);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x2c);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x23);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x25);
}

/* A masked line waits in IRR and comes when it is unmasked; the registers can be read back. */
GUEST(mask_code, 64,
      INIT_LAPIC INIT_PIC
      "mov $0xf7, %al; out %al, $0x21; out %al, $0x80\n"
      "mov $0x0a, %al; out %al, $0x20; in $0x20, %al; out %al, $0x81; in $0x21, %al\n"
      "out %al, $0x82; mov $0xff, %al; out %al, $0x21; sti; nop; nop; out %al, $0x83\n"
      "xor %eax, %eax; out %al, $0x21; 1: hlt; jmp 1b");

static void pic_mask(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, mask_code);
	set_handlers(&vm, pic_handler, pic_handler_end);
	vcpu_expect_out(&vcpu, 0x80, 1);
	pulse(&vm, 5);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x81, 1), 0x20);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x82, 1), 0xf7);
	vcpu_expect_out(&vcpu, 0x83, 1);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x25);
}

/* KVM_IRQ_LINE_STATUS: 1 when delivered, 0 when coalesced with one that waits. */
static void line_status(void)
{
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, true);
	CHECK(irq_line(&vm, 5, 1) > 0, "not delivered");
	irq_line(&vm, 5, 0);
	CHECK_EQ(irq_line(&vm, 5, 1), 0);
	irq_line(&vm, 5, 0);
}

/* Programs IOAPIC entry @pin from user space, as restoring a snapshot does. */
static void set_ioapic(struct vm *vm, unsigned int pin, uint64_t entry)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	XIOCTL(vm->fd, KVM_GET_IRQCHIP, &chip);
	chip.chip.ioapic.redirtbl[pin].bits = entry;
	XIOCTL(vm->fd, KVM_SET_IRQCHIP, &chip);
}

static void ioapic_edge(void)
{
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, false);
	for (unsigned int pin = 3; pin < 24; pin++)
		set_ioapic(&vm, pin, 0x50 + pin);
	for (unsigned int pin = 3; pin < 24; pin++) {
		pulse(&vm, pin);
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x50 + pin);
	}
}

/* A level that stays up interrupts again after each EOI; it ends when the line goes down. */
static void ioapic_level(void)
{
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, false);
	set_ioapic(&vm, 10, 0x8000 | 0x5a);
	set_ioapic(&vm, 11, 0x61);
	irq_line(&vm, 10, 1);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x5a);
	irq_line(&vm, 10, 0);
	pulse(&vm, 11);
	int vector = vcpu_expect_out(&vcpu, 0x30, 1);
	if (vector == 0x5a) /* it was taken before the line went down */
		vector = vcpu_expect_out(&vcpu, 0x30, 1);
	CHECK_EQ(vector, 0x61);
}

/* The guest programs the IOAPIC by its window; a masked pin is silent. */
GUEST(ioapic_code, 64,
      INIT_LAPIC
      "movl $0x10000, 0x350(%rbp); mov $0xfec00000, %ebx; movl $0x10 + 2 * 20, (%rbx)\n"
      "movl $0x10055, 0x10(%rbx)\n"
      "mov 0x10(%rbx), %eax; out %eax, $0x81; movl $1, (%rbx); mov 0x10(%rbx), %eax\n"
      "out %eax, $0x82; sti; out %al, $0x80; nop; nop; out %al, $0x83\n"
      "movl $0x10 + 2 * 20, (%rbx); movl $0x55, 0x10(%rbx); out %al, $0x84; 1: hlt; jmp 1b");

static void ioapic_window(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, ioapic_code);
	set_handlers(&vm, apic_handler, apic_handler_end);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x81, 4), 0x10055);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x82, 4) >> 16, 23);
	vcpu_expect_out(&vcpu, 0x80, 1);
	pulse(&vm, 20);
	vcpu_expect_out(&vcpu, 0x83, 1);
	vcpu_expect_out(&vcpu, 0x84, 1);
	pulse(&vm, 20);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x55);
}

static void signal_msi(void)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 };
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu, false);
	VM_NEED_CAP(&vm, KVM_CAP_SIGNAL_MSI);
	for (unsigned int vector = 0x30; vector < 0xff; vector += 13) {
		msi.data = vector;
		CHECK(XIOCTL(vm.fd, KVM_SIGNAL_MSI, &msi) > 0, "not delivered");
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), vector);
	}
	msi.address_lo = 0xfee00000 | 7 << 12; /* no such APIC */
	CHECK(ioctl(vm.fd, KVM_SIGNAL_MSI, &msi) <= 0, "delivered to nobody");
}

/* The higher vector comes first; the lower when the first has been acknowledged. */
static void apic_priority(void)
{
	struct vm vm;
	struct vcpu vcpu;
	static const uint8_t vectors[] = { 0x41, 0x93, 0x62 };

	boot(&vm, &vcpu, false);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct kvm_msi msi = { .address_lo = 0xfee00000, .data = vectors[i] };

		XIOCTL(vm.fd, KVM_SIGNAL_MSI, &msi);
	}
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x93);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x62);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x41);
}

/* A GSI routed to an MSI, then changed to another. */
static void routing(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[2];
	} table = {
		.head.nr = 2,
		.entries = {
			{ .gsi = 40, .type = KVM_IRQ_ROUTING_MSI,
			  .u.msi = { .address_lo = 0xfee00000, .data = 0x71 } },
			{ .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP,
			  .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 9 } },
		},
	};

	boot(&vm, &vcpu, false);
	set_ioapic(&vm, 9, 0x72);
	set_ioapic(&vm, 5, 0x73);
	XIOCTL(vm.fd, KVM_SET_GSI_ROUTING, &table);
	irq_line(&vm, 40, 1);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x71);
	pulse(&vm, 5);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x72);
	table.entries[0].u.msi.data = 0x74;
	XIOCTL(vm.fd, KVM_SET_GSI_ROUTING, &table);
	irq_line(&vm, 40, 1);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x74);
}

/* The APIC timer: one-shot and periodic, by its divided bus clock of 1 GHz. */
GUEST(timer_code, 64,
      INIT_LAPIC "movl $0xb, 0x3e0(%rbp); movl $0x40, 0x320(%rbp); sti; out %al, $0x80\n"
		 "cli; movl $20000000, 0x380(%rbp); sti; hlt; out %al, $0x81\n"
		 "movl $0x20041, 0x320(%rbp); movl $5000000, 0x380(%rbp); 1: hlt; jmp 1b");

static void apic_timer(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint64_t start, took;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, timer_code);
	vcpu_set_cpuid(&vcpu);
	set_handlers(&vm, apic_handler, apic_handler_end);
	vcpu_expect_out(&vcpu, 0x80, 1);
	start = now_ns();
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x40);
	took = now_ns() - start;
	CHECK(took > 19000000 && took < 500000000ull * time_scale(), "20 ms took %llu ns",
	      (unsigned long long)took);
	vcpu_expect_out(&vcpu, 0x81, 1);
	start = now_ns();
	for (int i = 0; i < 20; i++)
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x41);
	took = now_ns() - start;
	CHECK(took > 90000000 && took < 1000000000ull * time_scale(), "20 × 5 ms took %llu ns",
	      (unsigned long long)took);
}

/* The TSC deadline timer. */
GUEST(deadline_code, 64,
      INIT_LAPIC
      "movl $0x40042, 0x320(%rbp); mfence; sti; out %al, $0x80\n"
      "rdtsc; shl $32, %rdx; add %rdx, %rax; add $20000000, %rax; mov %rax, %rdx; shr $32, %rdx\n"
      "mov $0x6e0, %ecx; wrmsr; 1: hlt; jmp 1b");

static void deadline_timer(void)
{
	struct vm vm;
	struct vcpu vcpu;

	vm_create_irqchip(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_TSC_DEADLINE_TIMER);
	vcpu_create(&vm, &vcpu, 0);
	vcpu_set_cpuid(&vcpu);
	VCPU_LOAD(&vcpu, MODE_LONG, deadline_code);
	set_handlers(&vm, apic_handler, apic_handler_end);
	vcpu_expect_out(&vcpu, 0x80, 1);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x42);
}

/* The in-kernel PIT, channel 0 at about 1 kHz, through the PIC. */
GUEST(pit_code, 64,
      INIT_LAPIC INIT_PIC
      "mov $0x34, %al; out %al, $0x43; mov $1193 & 255, %al; out %al, $0x40\n"
      "mov $1193 >> 8, %al; out %al, $0x40; sti; out %al, $0x80; 1: hlt; jmp 1b");

static void pit(void)
{
	struct kvm_pit_config config = { 0 };
	struct vm vm;
	struct vcpu vcpu;
	uint64_t start, took;

	vm_create_irqchip(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_PIT2);
	XIOCTL(vm.fd, KVM_CREATE_PIT2, &config);
	vcpu_create(&vm, &vcpu, 0);
	VCPU_LOAD(&vcpu, MODE_LONG, pit_code);
	set_handlers(&vm, pic_handler, pic_handler_end);
	vcpu_expect_out(&vcpu, 0x80, 1);
	start = now_ns();
	for (int i = 0; i < 100; i++)
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x20);
	took = now_ns() - start;
	CHECK(took > 50000000 && took < 2000000000ull * time_scale(), "100 × 1 ms took %llu ns",
	      (unsigned long long)took);
}

/* The local APIC's self IPI, by ICR, and the registers' values after reset. */
GUEST(self_code, 64,
      "mov $" LAPIC ", %ebp; mov 0x30(%rbp), %eax; out %eax, $0x81; mov 0xf0(%rbp), %eax\n"
      "out %eax, $0x82; mov 0x320(%rbp), %eax; out %eax, $0x83; movl $0x1ff, 0xf0(%rbp)\n"
      "movl $0x40066, 0x300(%rbp); mov 0x230(%rbp), %eax; out %eax, $0x84; sti; 1: hlt; jmp 1b");

static void self_ipi(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, self_code);
	set_handlers(&vm, apic_handler, apic_handler_end);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x81, 4) & 0xff, 0x14);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x82, 4), 0xff);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x83, 4), 0x10000);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x84, 4), 1 << 6);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x66);
}

/* In code that is hot: what waits comes behind the instruction after STI, each time. */
GUEST(sti_code, 64,
      "mov $" LAPIC ", %ebp; movl $0x1ff, 0xf0(%rbp); xor %ebx, %ebx; xor %esi, %esi\n"
      "mov $5000, %ecx; mov $0x30000, %edi; mov %edi, (%rdi)\n"
      "1: incl (%rdi); sti; nop; cli; dec %ecx; jnz 1b\n"
      "mov $5000, %ecx\n"
      "2: movl $0x40066, 0x300(%rbp); sti; inc %esi; 3: nop; cli; dec %ecx; jnz 2b\n"
      "mov %ebx, %eax; out %eax, $0x10; mov %esi, %eax; out %eax, $0x11; 4: hlt; jmp 4b\n"
      ".org sti_code + 0x80; movl $0, 0xb0(%rbp); lea 3b(%rip), %rax; cmp (%rsp), %rax; jne 5f\n"
      "inc %ebx; 5: iretq");

static void behind_sti(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, sti_code);
	vm_set_gate(&vm, MODE_LONG, 0x66, GUEST_CODE + 0x80);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 5000);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 5000);
}

/* And from outside, while the guest opens but short windows. */
GUEST(window_code, 64,
      "mov $" LAPIC ", %ebp; movl $0x1ff, 0xf0(%rbp); mov $0x30000, %edi; xor %ebx, %ebx\n"
      "out %al, $0x80\n"
      "1: mov %ebx, (%rdi); inc %ecx; sti; nop; cli; inc %ecx; cmp $200, %ebx; jb 1b\n"
      "mov %ebx, (%rdi); out %al, $0x10; 2: hlt; jmp 2b\n"
      ".org window_code + 0x80; inc %ebx; movl $0, 0xb0(%rbp); iretq");

static void *send_interrupts(void *argument)
{
	struct vm *vm = argument;
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x66 };

	for (uint32_t i = 0; i < 200; i++) {
		XIOCTL(vm->fd, KVM_SIGNAL_MSI, &msi);
		while (*(volatile uint32_t *)(vm->ram + 0x30000) <= i)
			sched_yield();
	}
	return NULL;
}

static void short_windows(void)
{
	pthread_t thread;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, window_code);
	vm_set_gate(&vm, MODE_LONG, 0x66, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x80, 1);
	pthread_create(&thread, NULL, send_interrupts, &vm);
	vcpu_expect_out(&vcpu, 0x10, 1);
	pthread_join(thread, NULL);
}

/* The self IPI by the MSRs of x2APIC mode. */
GUEST(x2apic_code, 64,
      "mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr; mov $0x80f, %ecx; mov $0x1ff, %eax\n"
      "xor %edx, %edx; wrmsr; mov $0x802, %ecx; rdmsr; out %eax, $0x81\n"
      "mov $0x83f, %ecx; mov $0x67, %eax; xor %edx, %edx; wrmsr; sti; 1: hlt; jmp 1b");
GUEST(x2apic_handler, 64,
      "mov $0, %al; out %al, $0x30; mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr; "
      "iretq");

static void x2apic(void)
{
	struct vm vm;
	struct vcpu vcpu;

	vm_create_irqchip(&vm);
	vcpu_create(&vm, &vcpu, 0);
	vcpu_set_cpuid(&vcpu);
	VCPU_LOAD(&vcpu, MODE_LONG, x2apic_code);
	set_handlers(&vm, x2apic_handler, x2apic_handler_end);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x81, 4), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x67);
}

/* Another thread's interrupt wakes the vCPU that waits in HLT, within milliseconds. */
static volatile unsigned int told;

static void *raise_later(void *argument)
{
	struct vm *vm = argument;

	for (unsigned int i = 0; i < 50; i++) {
		struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x50 + i };

		do
			sleep_ms(2);
		while (told < i);
		XIOCTL(vm->fd, KVM_SIGNAL_MSI, &msi);
	}
	return NULL;
}

static void wakes_hlt(void)
{
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;
	uint64_t start = now_ns();

	boot(&vm, &vcpu, false);
	pthread_create(&thread, NULL, raise_later, &vm);
	for (told = 0; told < 50; told++)
		CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x50 + told);
	pthread_join(thread, NULL);
	CHECK(now_ns() - start < 2000000000ull * time_scale(), "50 wake-ups took %llu ms",
	      (unsigned long long)(now_ns() - start) / 1000000);
}

/* An NMI by MSI delivery mode comes with interrupts off and wakes HLT. */
GUEST(nmi_code, 64, INIT_LAPIC "cli; out %al, $0x80; 1: hlt; jmp 1b");

static void msi_nmi(void)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 4 << 8 };
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, nmi_code);
	vm_load(&vm, HANDLERS, apic_handler, apic_handler_end);
	vm.ram[HANDLERS + 1] = 2;
	vm_set_gate(&vm, MODE_LONG, 2, HANDLERS);
	vcpu_expect_out(&vcpu, 0x80, 1);
	XIOCTL(vm.fd, KVM_SIGNAL_MSI, &msi);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 2);
}

static const struct test_case cases[] = {
	{ "pic", pic },
	{ "pic_priority", pic_priority },
	{ "pic_mask", pic_mask },
	{ "line_status", line_status },
	{ "ioapic_edge", ioapic_edge },
	{ "ioapic_level", ioapic_level },
	{ "ioapic_window", ioapic_window },
	{ "signal_msi", signal_msi },
	{ "apic_priority", apic_priority },
	{ "routing", routing },
	{ "apic_timer", apic_timer },
	{ "deadline_timer", deadline_timer },
	{ "pit", pit },
	{ "self_ipi", self_ipi },
	{ "behind_sti", behind_sti },
	{ "short_windows", short_windows },
	{ "x2apic", x2apic },
	{ "wakes_hlt", wakes_hlt },
	{ "msi_nmi", msi_nmi },
};
CASES_MAIN(cases)
