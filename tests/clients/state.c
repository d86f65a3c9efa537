// SPDX-License-Identifier: GPL-2.0-or-later
/* The vCPU's state: what is set is got back, and what the guest did is there. */
#include "kvm_client.h"

GUEST(hlt_code, 64, "hlt");

static void boot(struct vm *vm, struct vcpu *vcpu)
{
	VM_BOOT(vm, vcpu, MODE_LONG, hlt_code);
	vcpu_set_cpuid(vcpu);
}

static void regs(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs set, got;

	boot(&vm, &vcpu);
	for (size_t i = 0; i < sizeof(set) / 8; i++)
		((uint64_t *)&set)[i] = 0x0101010101010101ULL * (i + 1);
	set.rip = GUEST_CODE;
	set.rflags = 0x246;
	vcpu_set_regs(&vcpu, &set);
	vcpu_get_regs(&vcpu, &got);
	CHECK(!memcmp(&set, &got, sizeof(set)), "KVM_GET_REGS differs");
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &got);
	set.rip++;
	CHECK(!memcmp(&set, &got, sizeof(set)), "KVM_GET_REGS differs after HLT");
}

/* Bit 1 of RFLAGS is always set. */
static void rflags_fixed(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	boot(&vm, &vcpu);
	vcpu_get_regs(&vcpu, &regs);
	regs.rflags = 0;
	vcpu_set_regs(&vcpu, &regs);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rflags, 2);
}

static void sregs(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_sregs set, got;

	boot(&vm, &vcpu);
	vcpu_get_sregs(&vcpu, &set);
	set.fs.base = 0xffff800012345000;
	set.gs.base = 0x7fff12345000;
	set.cr2 = 0x123456789000;
	set.cr8 = 7;
	set.ldt = (struct kvm_segment){
		.base = 0x5000,
		.limit = 0xff,
		.selector = 0x58,
		.type = 2,
		.present = 1,
	};
	set.gdt.limit = 0x57;
	vcpu_set_sregs(&vcpu, &set);
	vcpu_get_sregs(&vcpu, &got);
#define SAME(field) CHECK(!memcmp(&set.field, &got.field, sizeof(set.field)), #field " differs")
	SAME(cs);
	SAME(ds);
	SAME(fs);
	SAME(gs);
	SAME(ss);
	SAME(tr);
	SAME(ldt);
	SAME(cr0);
	SAME(cr2);
	SAME(cr3);
	SAME(cr4);
	SAME(cr8);
	SAME(efer);
	SAME(apic_base);
	CHECK_EQ(got.gdt.base, set.gdt.base);
	CHECK_EQ(got.gdt.limit, set.gdt.limit);
	CHECK_EQ(got.idt.base, set.idt.base);
	CHECK_EQ(got.idt.limit, set.idt.limit);
}

static void sregs2(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_sregs2 set, got;
	static const uint64_t pdptrs[4] = { 0x22001, 0x23001, 0x24001, 0x25001 };

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_SREGS2);
	vcpu_create(&vm, &vcpu, 0);
	vcpu_set_mode(&vcpu, MODE_LONG, GUEST_CODE);
	XIOCTL(vcpu.fd, KVM_GET_SREGS2, &set);
	CHECK_EQ(set.flags, 0); /* in long mode there are no PDPTRs */
	set.fs.base = 0x1234000;
	XIOCTL(vcpu.fd, KVM_SET_SREGS2, &set);
	XIOCTL(vcpu.fd, KVM_GET_SREGS2, &got);
	CHECK(!memcmp(&set, &got, offsetof(struct kvm_sregs2, pdptrs)), "KVM_GET_SREGS2 differs");
	vcpu_set_mode(&vcpu, MODE_PAE, GUEST_CODE);
	XIOCTL(vcpu.fd, KVM_GET_SREGS2, &set);
	set.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	memcpy(set.pdptrs, pdptrs, sizeof(pdptrs));
	XIOCTL(vcpu.fd, KVM_SET_SREGS2, &set);
	XIOCTL(vcpu.fd, KVM_GET_SREGS2, &got);
	CHECK_EQ(got.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
	CHECK(!memcmp(got.pdptrs, pdptrs, sizeof(pdptrs)), "the PDPTRs differ");
}

/* What KVM_SET_SREGS refuses. */
static void sregs_invalid(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_sregs good, bad;

	boot(&vm, &vcpu);
	vcpu_get_sregs(&vcpu, &good);
#define REFUSED(change, name)                                                                      \
	do {                                                                                       \
		bad = good;                                                                        \
		change;                                                                            \
		int result = ioctl(vcpu.fd, KVM_SET_SREGS, &bad);                                  \
		case_row(result == -1 && errno == EINVAL, name, "%s",                              \
			 result ? strerror(errno) : "accepted");                                   \
	} while (0)
	REFUSED(bad.cr4 |= 1ULL << 31, "cr4_reserved");
	REFUSED(bad.cr4 &= ~0x20ULL, "long_without_pae");
	REFUSED(bad.efer &= ~0x400ULL, "paging_lme_without_lma");
	REFUSED(bad.cr0 |= 1ULL << 40, "cr0_upper");
	REFUSED(bad.cr0 &= ~1ULL, "paging_without_protection");
	REFUSED(bad.cr0 |= 0x20000000, "nw_without_cd");
	REFUSED(bad.cr3 |= 1ULL << 62, "cr3_reserved");
	REFUSED((bad.cr0 &= ~0x80000000ULL, bad.cs.l = 0), "lma_without_paging");
#undef REFUSED
	vcpu_set_sregs(&vcpu, &good);
}

/*
 * x87 and SSE: by KVM_SET_FPU, in the guest and by KVM_GET_FPU they are the same. The guest uses
 * them first: the kernel loses what is set on a vCPU whose registers are still in their initial
 * state.
 */
GUEST(fpu_code, 64,
      "fld1; pcmpeqd %xmm0, %xmm0; out %al, $0x10\n"
      "movups %xmm3, 0xa000; fstpl 0xa010; stmxcsr 0xa018; fld1; movups 0xa020, %xmm5; hlt");

static void fpu(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_fpu set, got;
	uint32_t mxcsr;
	double top;

	VM_BOOT(&vm, &vcpu, MODE_LONG, fpu_code);
	vcpu_set_cpuid(&vcpu);
	XIOCTL(vcpu.fd, KVM_GET_FPU, &set);
	CHECK_EQ(set.fcw, 0x37f);
	vcpu_expect_out(&vcpu, 0x10, 1);
	XIOCTL(vcpu.fd, KVM_GET_FPU, &set);
	CHECK_EQ(set.fsw, 7 << 11);
	CHECK_EQ(set.ftwx, 0x80);
	memcpy(set.xmm[3], "0123456789abcdef", 16);
	set.fsw = 7 << 11;
	set.ftwx = 0x80;                                    /* register 7 is st(0) */
	memcpy(set.fpr[0], "\0\0\0\0\0\0\0\xa0\0\x40", 10); /* 2.5 */
	XIOCTL(vcpu.fd, KVM_SET_FPU, &set);
	XIOCTL(vcpu.fd, KVM_GET_FPU, &got);
	CHECK(!memcmp(&set.fpr, &got.fpr, sizeof(set.fpr)), "fpr");
	CHECK(!memcmp(&set.xmm, &got.xmm, sizeof(set.xmm)), "xmm");
	CHECK_EQ(got.fsw, set.fsw);
	CHECK_EQ(got.ftwx, set.ftwx);
	memcpy(vm.ram + 0xa020, "fedcba9876543210", 16);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	CHECK(!memcmp(vm.ram + 0xa000, "0123456789abcdef", 16), "the guest's xmm3");
	memcpy(&top, vm.ram + 0xa010, 8);
	CHECK(top == 2.5, "the guest's st(0) was %f", top);
	memcpy(&mxcsr, vm.ram + 0xa018, 4);
	CHECK_EQ(mxcsr, 0x1f80); /* KVM_SET_FPU does not touch it */
	XIOCTL(vcpu.fd, KVM_GET_FPU, &got);
	CHECK(!memcmp(got.xmm[5], "fedcba9876543210", 16), "xmm5 of KVM_GET_FPU");
	CHECK(!memcmp(got.fpr[0], "\0\0\0\0\0\0\0\x80\xff\x3f", 10), "st(0) of KVM_GET_FPU");
}

static void xsave(void)
{
	static struct kvm_xsave set, got;
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_fpu fpu;

	boot(&vm, &vcpu);
	VM_NEED_CAP(&vm, KVM_CAP_XSAVE);
	XIOCTL(vcpu.fd, KVM_GET_XSAVE, &set);
	memcpy((uint8_t *)set.region + 160 + 16 * 4, "0123456789abcdef", 16); /* xmm4 */
	set.region[6] = 0x1fa0;                                               /* MXCSR */
	set.region[128] |= 3; /* XSTATE_BV: x87 and SSE */
	XIOCTL(vcpu.fd, KVM_SET_XSAVE, &set);
	XIOCTL(vcpu.fd, KVM_GET_XSAVE, &got);
	CHECK(!memcmp((uint8_t *)got.region + 160, (uint8_t *)set.region + 160, 256), "the xmm");
	CHECK_EQ(got.region[128] & 2, 2);
	CHECK_EQ(got.region[6], 0x1fa0);
	XIOCTL(vcpu.fd, KVM_GET_FPU, &fpu);
	CHECK(!memcmp(fpu.xmm[4], "0123456789abcdef", 16), "xmm4 of KVM_GET_FPU");
	/* Components that do not exist are refused. */
	set.region[129] |= 0x40000000;
	CHECK(ioctl(vcpu.fd, KVM_SET_XSAVE, &set) == -1 && errno == EINVAL, "XSTATE_BV bit 62");
}

static void xsave2(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint8_t *set, *got;
	int bytes;

	boot(&vm, &vcpu);
	bytes = vm_cap(&vm, KVM_CAP_XSAVE2);
	if (!bytes)
		case_skip("no KVM_CAP_XSAVE2");
	CHECK(bytes >= 4096, "%d bytes", bytes);
	set = pages_alloc(bytes + 0x1000);
	got = pages_alloc(bytes + 0x1000);
	XIOCTL(vcpu.fd, KVM_GET_XSAVE2, set);
	memcpy(set + 160 + 16 * 5, "0123456789abcdef", 16);
	set[512] |= 3;
	XIOCTL(vcpu.fd, KVM_SET_XSAVE, set);
	XIOCTL(vcpu.fd, KVM_GET_XSAVE2, got);
	CHECK(!memcmp(got + 160, set + 160, 256), "the xmm");
	CHECK_EQ(got[bytes], 0);
}

/* XCR0 by KVM_SET_XCRS and by XSETBV in the guest. */
GUEST(xcr_code, 64,
      "mov %cr4, %rax; or $0x40000, %eax; mov %rax, %cr4; xor %ecx, %ecx; xgetbv; out %eax, $0x10\n"
      "mov $1, %eax; xor %edx, %edx; xsetbv; hlt");

static void xcrs(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_xcrs xcrs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, xcr_code);
	VM_NEED_CAP(&vm, KVM_CAP_XCRS);
	vcpu_set_cpuid(&vcpu);
	XIOCTL(vcpu.fd, KVM_GET_XCRS, &xcrs);
	CHECK_EQ(xcrs.nr_xcrs, 1);
	CHECK_EQ(xcrs.xcrs[0].xcr, 0);
	CHECK_EQ(xcrs.xcrs[0].value, 1);
	xcrs.xcrs[0].value = 3;
	XIOCTL(vcpu.fd, KVM_SET_XCRS, &xcrs);
	xcrs.xcrs[0].value = 2; /* bit 0 must be set */
	CHECK(ioctl(vcpu.fd, KVM_SET_XCRS, &xcrs) == -1 && errno == EINVAL, "XCR0 without x87");
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 3);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	XIOCTL(vcpu.fd, KVM_GET_XCRS, &xcrs);
	CHECK_EQ(xcrs.xcrs[0].value, 1);
}

GUEST(debugreg_code, 64,
      "mov %dr0, %rax; out %eax, $0x10; mov %dr6, %rax; out %eax, $0x11; mov $0x5678, %eax\n"
      "mov %rax, %dr3; hlt");

static void debugregs(void)
{
	struct kvm_debugregs set = { .db = { 0x1234, 0x2345, 0x3456, 0x4567 } }, got;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, debugreg_code);
	VM_NEED_CAP(&vm, KVM_CAP_DEBUGREGS);
	XIOCTL(vcpu.fd, KVM_GET_DEBUGREGS, &got);
	CHECK_EQ(got.dr6, 0xffff0ff0);
	CHECK_EQ(got.dr7, 0x400);
	set.dr6 = 0xffff0ff1;
	set.dr7 = 0x400;
	XIOCTL(vcpu.fd, KVM_SET_DEBUGREGS, &set);
	XIOCTL(vcpu.fd, KVM_GET_DEBUGREGS, &got);
	CHECK(!memcmp(&set, &got, sizeof(set)), "KVM_GET_DEBUGREGS differs");
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x1234);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 0xffff0ff1);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	XIOCTL(vcpu.fd, KVM_GET_DEBUGREGS, &got);
	CHECK_EQ(got.db[3], 0x5678);
}

static void mp_state(void)
{
	struct kvm_mp_state state;
	struct vm vm;
	struct vcpu vcpu[2];

	vm_create_irqchip(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_MP_STATE);
	vcpu_create(&vm, &vcpu[0], 0);
	vcpu_create(&vm, &vcpu[1], 1);
	XIOCTL(vcpu[0].fd, KVM_GET_MP_STATE, &state);
	CHECK_EQ(state.mp_state, KVM_MP_STATE_RUNNABLE);
	XIOCTL(vcpu[1].fd, KVM_GET_MP_STATE, &state);
	CHECK_EQ(state.mp_state, KVM_MP_STATE_UNINITIALIZED);
	for (unsigned int i = 0; i <= KVM_MP_STATE_HALTED; i++) {
		if (i == KVM_MP_STATE_SIPI_RECEIVED || i == KVM_MP_STATE_INIT_RECEIVED)
			continue;
		state.mp_state = i;
		XIOCTL(vcpu[1].fd, KVM_SET_MP_STATE, &state);
		XIOCTL(vcpu[1].fd, KVM_GET_MP_STATE, &state);
		CHECK_EQ(state.mp_state, i);
	}
}

/* An exception put in by KVM_SET_VCPU_EVENTS is delivered as if the instruction had raised it. */
GUEST(events_code, 64,
      "hlt; .org events_code + 0x80; pop %rax; out %eax, $0x10; mov (%rsp), %rax; out %eax, $0x11\n"
      "hlt");

static void vcpu_events(void)
{
	struct kvm_vcpu_events events, got;
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, events_code);
	vm_set_gate(&vm, MODE_LONG, 13, GUEST_CODE + 0x80);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	CHECK_EQ(events.exception.injected, 0);
	CHECK_EQ(events.nmi.masked, 0);
	events.flags = 0;
	events.exception.injected = 1;
	events.exception.nr = 13;
	events.exception.has_error_code = 1;
	events.exception.error_code = 0x1230;
	XIOCTL(vcpu.fd, KVM_SET_VCPU_EVENTS, &events);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &got);
	CHECK_EQ(got.exception.injected, 1);
	CHECK_EQ(got.exception.nr, 13);
	CHECK_EQ(got.exception.error_code, 0x1230);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x1230);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), GUEST_CODE);
}

static void vcpu_events_nmi(void)
{
	struct kvm_vcpu_events events;
	struct vm vm;
	struct vcpu vcpu;

	boot(&vm, &vcpu);
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	events.nmi.pending = 1;
	events.nmi.masked = 1;
	events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	XIOCTL(vcpu.fd, KVM_SET_VCPU_EVENTS, &events);
	memset(&events, 0, sizeof(events));
	XIOCTL(vcpu.fd, KVM_GET_VCPU_EVENTS, &events);
	CHECK_EQ(events.nmi.masked, 1);
	CHECK_EQ(events.nmi.pending, 1);
	CHECK(events.interrupt.shadow, "the interrupt shadow is lost");
}

static const struct test_case cases[] = {
	{ "regs", regs },
	{ "rflags_fixed", rflags_fixed },
	{ "sregs", sregs },
	{ "sregs2", sregs2 },
	{ "sregs_invalid", sregs_invalid },
	{ "fpu", fpu },
	{ "xsave", xsave },
	{ "xsave2", xsave2 },
	{ "xcrs", xcrs },
	{ "debugregs", debugregs },
	{ "mp_state", mp_state },
	{ "vcpu_events", vcpu_events },
	{ "vcpu_events_nmi", vcpu_events_nmi },
};
CASES_MAIN(cases)
