// SPDX-License-Identifier: GPL-2.0-or-later
/* System management mode: SMI and RSM, SMRAM as an address space of its own, what is held back. */
#include "kvm_client.h"

#define SMBASE 0x30000
#define HANDLER 0x8000
#define SMRAM_SLOT (1 << 16 | 0)
#define MSR_SMBASE 0x9e
#define MSR_SMI_COUNT 0x34

GUEST(guest_code, 64, "mov $0x1234, %ebx; 1: out %al, $0x10; inc %ebx; jmp 1b");
GUEST(guest32_code, 32, "mov $0x1234, %ebx; 1: out %al, $0x10; inc %ebx; jmp 1b");
/* Tells AL of SMRAM at its start + 0x100, then returns. */
GUEST(handler_code, 16, "movb %cs:0x8100, %al; out %al, $0x30; xor %ebx, %ebx; rsm");
/* Moves SMBASE for the next time: the field of the save area with long mode. */
GUEST(relocate_code, 16, "movl $0x40000, %cs:0xff00; rsm");

static uint8_t *smram;

static void boot(struct vm *vm, struct vcpu *vcpu, enum mode mode, const uint8_t *handler,
		 const uint8_t *end)
{
	vm_create_irqchip(vm);
	VM_NEED_CAP(vm, KVM_CAP_X86_SMM);
	CHECK_EQ(vm_cap(vm, KVM_CAP_MULTI_ADDRESS_SPACE), 2);
	vcpu_create(vm, vcpu, 0);
	if (mode == MODE_LONG) {
		vcpu_set_cpuid(vcpu);
		VCPU_LOAD(vcpu, MODE_LONG, guest_code);
	} else {
		VCPU_LOAD(vcpu, mode, guest32_code);
	}
	/* The same address in both address spaces. */
	smram = pages_alloc(0x20000);
	CHECK_EQ(vm_set_slot(vm, SMRAM_SLOT, 0, SMBASE, 0x20000, smram), 0);
	memset(vm->ram + SMBASE, 0xcc, 0x20000);
	memcpy(smram + HANDLER, handler, end - handler);
	smram[HANDLER + 0x100] = 0x77;
}
#define BOOT(vm, vcpu, mode, handler) boot(vm, vcpu, mode, handler, handler##_end)

static uint64_t msr(struct vcpu *vcpu, uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = index } };

	CHECK_EQ(XIOCTL(vcpu->fd, KVM_GET_MSRS, &msrs), 1);
	return msrs.entry.data;
}

static void enter_and_leave(enum mode mode)
{
	struct kvm_vcpu_events events;
	struct kvm_sregs before, after;
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu vcpu;

	BOOT(&vm, &vcpu, mode, handler_code);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(vcpu.run->flags & KVM_RUN_X86_SMM, 0);
	vcpu_get_sregs(&vcpu, &before);
	XIOCTL(vcpu.fd, KVM_SMI, 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x30, 1), 0x77);
	CHECK_EQ(vcpu.run->flags & KVM_RUN_X86_SMM, KVM_RUN_X86_SMM);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	CHECK_EQ(events.smi.smm, 1);
	CHECK_EQ(events.nmi.masked, 1);
	vcpu_get_sregs(&vcpu, &after);
	CHECK_EQ(after.cr0 & 1, 0);
	CHECK_EQ(after.cs.base, SMBASE);
	CHECK_EQ(after.efer, 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(vcpu.run->flags & KVM_RUN_X86_SMM, 0);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rbx, 0x1235);
	vcpu_get_sregs(&vcpu, &after);
	CHECK(!memcmp(&before, &after, sizeof(before)), "special registers differ after RSM");
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	CHECK_EQ(events.smi.smm, 0);
	CHECK_EQ(events.nmi.masked, 0);
	CHECK_EQ(msr(&vcpu, MSR_SMI_COUNT), 1);
	/* The other memory at that address was left alone. */
	CHECK_EQ(vm.ram[SMBASE + 0xff00], 0xcc);
}

static void long_mode(void)
{
	enter_and_leave(MODE_LONG);
}

static void protected_mode(void)
{
	enter_and_leave(MODE_PROTECTED);
}

static void pae(void)
{
	enter_and_leave(MODE_PAE);
}

static void relocation(void)
{
	struct vm vm;
	struct vcpu vcpu;

	BOOT(&vm, &vcpu, MODE_LONG, relocate_code);
	CHECK_EQ(msr(&vcpu, MSR_SMBASE), SMBASE);
	XIOCTL(vcpu.fd, KVM_SMI, 0);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(msr(&vcpu, MSR_SMBASE), 0x40000);
	memcpy(smram + 0x10000 + HANDLER, handler_code, handler_code_end - handler_code);
	XIOCTL(vcpu.fd, KVM_SMI, 0);
	vcpu_expect_out(&vcpu, 0x30, 1);
}

/* NMI, a second SMI and INIT wait until RSM. */
static void held_back(void)
{
	struct kvm_vcpu_events events;
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_INIT_RECEIVED };
	struct vm vm;
	struct vcpu vcpu;

	BOOT(&vm, &vcpu, MODE_LONG, handler_code);
	vm_set_gate(&vm, MODE_LONG, 2, GUEST_CODE);
	XIOCTL(vcpu.fd, KVM_SMI, 0);
	vcpu_expect_out(&vcpu, 0x30, 1);
	XIOCTL(vcpu.fd, KVM_NMI, 0);
	XIOCTL(vcpu.fd, KVM_SMI, 0);
	CHECK(ioctl(vcpu.fd, KVM_SET_MP_STATE, &state) == -1 && errno == EINVAL, "INIT in SMM");
	vcpu_expect_out(&vcpu, 0x30, 1);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	CHECK_EQ(events.smi.smm, 1);
	CHECK_EQ(events.nmi.pending, 1);
	CHECK_EQ(msr(&vcpu, MSR_SMI_COUNT), 2);
	vcpu_expect_out(&vcpu, 0x10, 1);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	CHECK_EQ(events.nmi.pending, 0);
	CHECK_EQ(events.nmi.masked, 1);
}

/* What KVM_GET_VCPU_EVENTS says in SMM takes another vCPU there. */
static void saved_and_restored(void)
{
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu vcpu, other;

	BOOT(&vm, &vcpu, MODE_LONG, handler_code);
	vcpu_expect_out(&vcpu, 0x10, 1);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	events.smi.pending = 1;
	events.flags |= KVM_VCPUEVENT_VALID_SMM;
	XIOCTL(vcpu.fd, KVM_SET_VCPU_EVENTS, &events);
	vcpu_expect_out(&vcpu, 0x30, 1);
	vcpu.run->immediate_exit = 1;
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	vcpu_get_regs(&vcpu, &regs);
	vcpu_get_sregs(&vcpu, &sregs);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	vcpu_create(&vm, &other, 1);
	vcpu_set_cpuid(&other);
	XIOCTL(other.fd, KVM_SET_MP_STATE, &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE });
	vcpu_set_sregs(&other, &sregs);
	vcpu_set_regs(&other, &regs);
	events.flags = KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_SHADOW;
	XIOCTL(other.fd, KVM_SET_VCPU_EVENTS, &events);
	vcpu_expect_out(&other, 0x10, 1);
	vcpu_get_regs(&other, &regs);
	CHECK_EQ(regs.rbx, 0x1235);
}

GUEST(rsm_code, 64, "rsm; hlt; .org rsm_code + 0x80; out %al, $0x13; hlt");

static void rsm_outside(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, rsm_code);
	VM_NEED_CAP(&vm, KVM_CAP_X86_SMM);
	vm_set_gate(&vm, MODE_LONG, 6, GUEST_CODE + 0x80);
	vcpu_expect_out(&vcpu, 0x13, 1);
}

static const struct test_case cases[] = {
	{ "long_mode", long_mode },
	{ "protected_mode", protected_mode },
	{ "pae", pae },
	{ "relocation", relocation },
	{ "held_back", held_back },
	{ "saved_and_restored", saved_and_restored },
	{ "rsm_outside", rsm_outside },
};
CASES_MAIN(cases)
