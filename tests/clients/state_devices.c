// SPDX-License-Identifier: GPL-2.0-or-later
/* The devices' state: local APIC, PIC, IOAPIC, PIT and the clock are got, set and got back. */
#include "kvm_client.h"

static uint32_t apic_reg(const struct kvm_lapic_state *state, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, state->regs + offset, 4);
	return value;
}

static void set_apic_reg(struct kvm_lapic_state *state, unsigned int offset, uint32_t value)
{
	memcpy(state->regs + offset, &value, 4);
}

static void lapic(void)
{
	static struct kvm_lapic_state state, got;
	struct vm vm;
	struct vcpu vcpu[2];

	vm_create_irqchip(&vm);
	vcpu_create(&vm, &vcpu[0], 0);
	vcpu_create(&vm, &vcpu[1], 1);
	XIOCTL(vcpu[1].fd, KVM_GET_LAPIC, &state);
	CHECK_EQ(apic_reg(&state, 0x20), 1 << 24);
	CHECK_EQ(apic_reg(&state, 0x30) & 0xff, 0x14);
	CHECK_EQ(apic_reg(&state, 0xf0), 0xff);
	CHECK_EQ(apic_reg(&state, 0xe0), 0xffffffff);
	CHECK_EQ(apic_reg(&state, 0x320), 0x10000);
	set_apic_reg(&state, 0xf0, 0x1fe);
	set_apic_reg(&state, 0x80, 0x20);
	set_apic_reg(&state, 0xd0, 0x40000000);
	set_apic_reg(&state, 0x320, 0x10055);
	set_apic_reg(&state, 0x350, 0x700);
	set_apic_reg(&state, 0x220, 0x2);
	set_apic_reg(&state, 0x3e0, 0xb);
	XIOCTL(vcpu[1].fd, KVM_SET_LAPIC, &state);
	XIOCTL(vcpu[1].fd, KVM_GET_LAPIC, &got);
	static const unsigned int offsets[] = {
		0x20, 0x30, 0x80, 0xd0, 0xe0, 0xf0, 0x220, 0x320, 0x350, 0x360, 0x3e0,
	};
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++)
		CHECK(apic_reg(&got, offsets[i]) == apic_reg(&state, offsets[i]),
		      "register %#x: set %#x, got %#x", offsets[i], apic_reg(&state, offsets[i]),
		      apic_reg(&got, offsets[i]));
}

/* An interrupt that is in IRR of the restored APIC is delivered. */
GUEST(restored_code, 64,
      "mov $0xfee00000, %ebp; sti; 1: hlt; jmp 1b\n"
      ".org restored_code + 0x80; mov 0x110(%rbp), %eax; out %eax, $0x10; hlt");

static void lapic_pending(void)
{
	static struct kvm_lapic_state state;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, restored_code);
	vm_set_gate(&vm, MODE_LONG, 0x21, GUEST_CODE + 0x80);
	XIOCTL(vcpu.fd, KVM_GET_LAPIC, &state);
	set_apic_reg(&state, 0xf0, 0x1ff);
	set_apic_reg(&state, 0x210, 1 << 1); /* vector 0x21 */
	XIOCTL(vcpu.fd, KVM_SET_LAPIC, &state);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 1 << 1); /* its ISR bit */
}

static void pic(void)
{
	struct kvm_irqchip set = { .chip_id = KVM_IRQCHIP_PIC_MASTER }, got = set;
	struct vm vm;

	vm_create_irqchip(&vm);
	XIOCTL(vm.fd, KVM_GET_IRQCHIP, &set);
	CHECK_EQ(set.chip.pic.irr, 0);
	set.chip.pic.irq_base = 0x40;
	set.chip.pic.imr = 0xaa;
	set.chip.pic.elcr = 0x20;
	set.chip.pic.init4 = 1;
	set.chip.pic.isr = 0x04;
	XIOCTL(vm.fd, KVM_SET_IRQCHIP, &set);
	XIOCTL(vm.fd, KVM_GET_IRQCHIP, &got);
	CHECK(!memcmp(&set.chip.pic, &got.chip.pic, sizeof(got.chip.pic)), "the master differs");
	got.chip_id = KVM_IRQCHIP_PIC_SLAVE;
	XIOCTL(vm.fd, KVM_GET_IRQCHIP, &got);
	CHECK_EQ(got.chip.pic.irq_base, 0);
}

static void ioapic(void)
{
	struct kvm_irqchip set = { .chip_id = KVM_IRQCHIP_IOAPIC }, got = set;
	struct vm vm;

	vm_create_irqchip(&vm);
	XIOCTL(vm.fd, KVM_GET_IRQCHIP, &set);
	CHECK_EQ(set.chip.ioapic.base_address, 0xfec00000);
	for (unsigned int i = 0; i < KVM_IOAPIC_NUM_PINS; i++) {
		CHECK_EQ(set.chip.ioapic.redirtbl[i].bits, 0x10000);
		set.chip.ioapic.redirtbl[i].bits = 0x0100000000018030ULL + i;
	}
	set.chip.ioapic.id = 3;
	set.chip.ioapic.ioregsel = 0x12;
	XIOCTL(vm.fd, KVM_SET_IRQCHIP, &set);
	XIOCTL(vm.fd, KVM_GET_IRQCHIP, &got);
	CHECK(!memcmp(&set.chip.ioapic, &got.chip.ioapic, sizeof(got.chip.ioapic)),
	      "the IOAPIC differs");
}

static void pit2(void)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_pit_state2 set, got;
	struct vm vm;

	vm_create_irqchip(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_PIT2);
	XIOCTL(vm.fd, KVM_CREATE_PIT2, &config);
	CHECK(ioctl(vm.fd, KVM_CREATE_PIT2, &config) == -1 && errno == EEXIST, "a second PIT");
	XIOCTL(vm.fd, KVM_GET_PIT2, &set);
	set.channels[2].count = 0x1234;
	set.channels[2].mode = 3;
	set.channels[2].gate = 1;
	set.channels[2].rw_mode = 3;
	set.channels[1].count = 0x12;
	XIOCTL(vm.fd, KVM_SET_PIT2, &set);
	XIOCTL(vm.fd, KVM_GET_PIT2, &got);
	CHECK_EQ(got.channels[2].count, 0x1234);
	CHECK_EQ(got.channels[2].mode, 3);
	CHECK_EQ(got.channels[2].gate, 1);
	CHECK_EQ(got.channels[1].count, 0x12);
	CHECK_EQ(got.flags, set.flags);
}

/* The guest reads channel 2's output and counts down through port 0x61. */
GUEST(speaker_code, 64,
      "in $0x61, %al; and $0xfc, %al; or $1, %al; out %al, $0x61; mov $0xb0, %al; out %al, $0x43\n"
      "mov $0xff, %al; out %al, $0x42; mov $0x10, %al; out %al, $0x42\n"
      "1: in $0x61, %al; test $0x20, %al; jz 1b; out %al, $0x80; hlt");

static void pit_speaker(void)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vm vm;
	struct vcpu vcpu;
	uint64_t start = now_ns();

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, speaker_code);
	XIOCTL(vm.fd, KVM_CREATE_PIT2, &config);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x80, 1) & 0x20, 0x20);
	CHECK(now_ns() - start > 3000000, "3.6 ms took less");
}

static void clock_round_trip(void)
{
	struct kvm_clock_data set = { .clock = 1000000000000 }, got = { 0 };
	struct vm vm;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_ADJUST_CLOCK);
	XIOCTL(vm.fd, KVM_SET_CLOCK, &set);
	sleep_ms(20);
	XIOCTL(vm.fd, KVM_GET_CLOCK, &got);
	CHECK(got.clock >= set.clock + 20000000 &&
		      got.clock < set.clock + 2000000000ull * time_scale(),
	      "20 ms after %llu it is %llu", set.clock, got.clock);
}

/*
 * kvmclock: the guest gives a page, the host fills it with an even version and a usable scale. The
 * guest copies it before it reads its TSC, as the host may write the page anew at any exit.
 */
GUEST(kvmclock_code, 64,
      "mov $0x4b564d01, %ecx; mov $0xa001, %eax; xor %edx, %edx; wrmsr; out %al, $0x10\n"
      "mov $0xa000, %esi; mov $0xb010, %edi; mov $32, %ecx; rep movsb\n"
      "rdtsc; mov %eax, 0xb000; mov %edx, 0xb004; out %al, $0x10; hlt");

static void kvmclock(void)
{
	struct {
		uint32_t version, pad0;
		uint64_t tsc_timestamp, system_time;
		uint32_t tsc_to_system_mul;
		int8_t tsc_shift;
		uint8_t flags, pad[2];
	} time;
	struct kvm_clock_data clock = { 0 };
	struct vm vm;
	struct vcpu vcpu;
	uint64_t tsc, delta, ns;

	VM_BOOT(&vm, &vcpu, MODE_LONG, kvmclock_code);
	vcpu_set_cpuid(&vcpu);
	vcpu_expect_out(&vcpu, 0x10, 1);
	vcpu_expect_out(&vcpu, 0x10, 1);
	XIOCTL(vm.fd, KVM_GET_CLOCK, &clock);
	memcpy(&time, vm.ram + 0xb010, sizeof(time));
	memcpy(&tsc, vm.ram + 0xb000, 8);
	CHECK(time.version && !(time.version & 1), "version %u", time.version);
	CHECK((int64_t)(tsc - time.tsc_timestamp) >= 0,
	      "the page is of the future: TSC %#llx, stamp %#llx", (unsigned long long)tsc,
	      (unsigned long long)time.tsc_timestamp);
	delta = tsc - time.tsc_timestamp;
	delta = time.tsc_shift < 0 ? delta >> -time.tsc_shift : delta << time.tsc_shift;
	ns = time.system_time + (uint64_t)((unsigned __int128)delta * time.tsc_to_system_mul >> 32);
	CHECK(ns < clock.clock + 1000000 && ns + 1000000000 > clock.clock,
	      "the guest computes %llu, KVM_GET_CLOCK is %llu", (unsigned long long)ns,
	      clock.clock);
}

static const struct test_case cases[] = {
	{ "lapic", lapic },
	{ "lapic_pending", lapic_pending },
	{ "pic", pic },
	{ "ioapic", ioapic },
	{ "pit2", pit2 },
	{ "pit_speaker", pit_speaker },
	{ "clock", clock_round_trip },
	{ "kvmclock", kvmclock },
};
CASES_MAIN(cases)
