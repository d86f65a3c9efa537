// SPDX-License-Identifier: GPL-2.0-or-later
/* TPR access reporting, the virtual APIC page, the APIC timer's clock, polling before sleep. */
#include <pthread.h>

#include "kvm_client.h"

#define TPR 0x80
#define VAPIC 0xa000

static uint32_t lapic_reg(struct vcpu *vcpu, unsigned int offset)
{
	struct kvm_lapic_state lapic;
	uint32_t value;

	XIOCTL(vcpu->fd, KVM_GET_LAPIC, &lapic);
	memcpy(&value, lapic.regs + offset, sizeof(value));
	return value;
}

static void lapic_enable(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;
	uint32_t svr = 0x1ff;

	XIOCTL(vcpu->fd, KVM_GET_LAPIC, &lapic);
	memcpy(lapic.regs + 0xf0, &svr, sizeof(svr));
	XIOCTL(vcpu->fd, KVM_SET_LAPIC, &lapic);
}

GUEST(tpr_code, 32,
      "movl $0x20, 0xfee00080; mov 0xfee00080, %eax; out %al, $0x10; movl $0, 0xfee00080; hlt");

static void tpr_reporting(void)
{
	struct kvm_tpr_access_ctl control = { .enabled = 1 };
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_PROTECTED, tpr_code);
	XIOCTL(vcpu.fd, KVM_TPR_ACCESS_REPORTING, &control);
	vcpu_expect(&vcpu, KVM_EXIT_TPR_ACCESS);
	CHECK_EQ(vcpu.run->tpr_access.is_write, 1);
	CHECK_EQ(vcpu.run->tpr_access.rip, GUEST_CODE);
	CHECK_EQ(lapic_reg(&vcpu, TPR), 0x20);
	vcpu_expect(&vcpu, KVM_EXIT_TPR_ACCESS);
	CHECK_EQ(vcpu.run->tpr_access.is_write, 0);
	CHECK_EQ(vcpu.run->tpr_access.rip, GUEST_CODE + 10);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 1), 0x20);
	control.enabled = 0;
	XIOCTL(vcpu.fd, KVM_TPR_ACCESS_REPORTING, &control);
	control.flags = 1;
	CHECK(ioctl(vcpu.fd, KVM_TPR_ACCESS_REPORTING, &control) == -1 && errno == EINVAL,
	      "flags accepted");
}

/* TPR is raised and lowered in the page; the hypercall asks for what has become deliverable. */
GUEST(vapic_code, 32,
      "movb $0x50, 0xa000; out %al, $0x10; sti; out %al, $0x11; movb $0, 0xa000\n"
      "mov $1, %eax; vmcall; out %al, $0x12; hlt; .org vapic_code + 0x80; out %al, $0x13; hlt");

static void vapic_page(void)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x45 };
	struct kvm_vapic_addr address = { .vapic_addr = VAPIC };
	struct vm vm;
	struct vcpu vcpu;
	uint32_t word;

	VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_PROTECTED, vapic_code);
	lapic_enable(&vcpu);
	vm_set_gate(&vm, MODE_PROTECTED, 0x45, GUEST_CODE + 0x80);
	XIOCTL(vcpu.fd, KVM_SET_VAPIC_ADDR, &address);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(XIOCTL(vm.fd, KVM_SIGNAL_MSI, &msi), 1);
	vcpu_expect_out(&vcpu, 0x11, 1);
	CHECK_EQ(lapic_reg(&vcpu, TPR), 0x50);
	memcpy(&word, vm.ram + VAPIC, sizeof(word));
	CHECK_EQ(word, 0x45000050);
	vcpu_expect_out(&vcpu, 0x13, 1);
	memcpy(&word, vm.ram + VAPIC, sizeof(word));
	CHECK_EQ(word, 0x4000);
}

static void vapic_address(void)
{
	struct kvm_vapic_addr address = { .vapic_addr = 0x7fff0000 };
	struct vm vm;
	struct vcpu vcpu;

	vm_create_irqchip(&vm);
	vcpu_create(&vm, &vcpu, 0);
	CHECK(ioctl(vcpu.fd, KVM_SET_VAPIC_ADDR, &address) == -1, "no memory, yet accepted");
	address.vapic_addr = 0;
	XIOCTL(vcpu.fd, KVM_SET_VAPIC_ADDR, &address);
}

static int set_cap(struct vm *vm, uint32_t number, uint64_t value)
{
	struct kvm_enable_cap cap = { .cap = number, .args[0] = value };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap) ? -errno : 0;
}

static void bus_cycles(void)
{
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_X86_APIC_BUS_CYCLES_NS);
	CHECK_EQ(set_cap(&vm, KVM_CAP_X86_APIC_BUS_CYCLES_NS, 40), -ENXIO);
	vm_destroy(&vm);
	vm_create_irqchip(&vm);
	CHECK_EQ(set_cap(&vm, KVM_CAP_X86_APIC_BUS_CYCLES_NS, 0), -EINVAL);
	CHECK_EQ(set_cap(&vm, KVM_CAP_X86_APIC_BUS_CYCLES_NS, 1ULL << 32), -EINVAL);
	CHECK_EQ(set_cap(&vm, KVM_CAP_X86_APIC_BUS_CYCLES_NS, 40), 0);
	vcpu_create(&vm, &vcpu, 0);
	CHECK_EQ(set_cap(&vm, KVM_CAP_X86_APIC_BUS_CYCLES_NS, 40), -EINVAL);
}

/* A vCPU that polls before it sleeps wakes up all the same. */
GUEST(hlt_code, 64, "sti; hlt; hlt; .org hlt_code + 0x80; out %al, $0x13; hlt");

static void *send_msi(void *argument)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x45 };
	struct vm *vm = argument;

	sleep_ms(30);
	XIOCTL(vm->fd, KVM_SIGNAL_MSI, &msi);
	return NULL;
}

static void halt_poll(void)
{
	const uint64_t limits[] = { 1000, 1000000000 };

	for (unsigned int i = 0; i < ARRAY_SIZE(limits); i++) {
		pthread_t thread;
		struct vm vm;
		struct vcpu vcpu;

		VM_BOOT_IRQCHIP(&vm, &vcpu, MODE_LONG, hlt_code);
		VM_NEED_CAP(&vm, KVM_CAP_HALT_POLL);
		CHECK_EQ(set_cap(&vm, KVM_CAP_HALT_POLL, 1ULL << 32), -EINVAL);
		CHECK_EQ(set_cap(&vm, KVM_CAP_HALT_POLL, limits[i]), 0);
		lapic_enable(&vcpu);
		vm_set_gate(&vm, MODE_LONG, 0x45, GUEST_CODE + 0x80);
		pthread_create(&thread, NULL, send_msi, &vm);
		vcpu_expect_out(&vcpu, 0x13, 1);
		pthread_join(thread, NULL);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

static const struct test_case cases[] = {
	{ "tpr_reporting", tpr_reporting }, { "vapic_page", vapic_page },
	{ "vapic_address", vapic_address }, { "bus_cycles", bus_cycles },
	{ "halt_poll", halt_poll },
};
CASES_MAIN(cases)
