// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Wrong input: every ioctl with a null pointer, with an unmapped one, with arguments that are out
 * of range, and on descriptors of the wrong kind gives the kernel's own errno.
 */
#define _GNU_SOURCE
#include <fcntl.h>

#include "kvm_client.h"

enum fd_kind {
	FD_KVM,  /* /dev/kvm */
	FD_VM,   /* a VM with memory, without irqchip */
	FD_CHIP, /* a VM with irqchip */
	FD_VCPU, /* a vCPU of FD_VM */
	FD_APIC, /* a vCPU of FD_CHIP */
	FD_KINDS
};

static const char *const kind_names[] = { "kvm", "vm", "vm+irqchip", "vcpu", "vcpu+lapic" };

struct fds {
	struct vm vm, chip;
	struct vcpu vcpu, apic;
	int fd[FD_KINDS];
	void *hole; /* an address that is not mapped */
};

static void open_all(struct fds *fds)
{
	vm_create(&fds->vm);
	vm_create_irqchip(&fds->chip);
	vcpu_create(&fds->vm, &fds->vcpu, 0);
	vcpu_create(&fds->chip, &fds->apic, 0);
	fds->fd[FD_KVM] = fds->vm.kvm;
	fds->fd[FD_VM] = fds->vm.fd;
	fds->fd[FD_CHIP] = fds->chip.fd;
	fds->fd[FD_VCPU] = fds->vcpu.fd;
	fds->fd[FD_APIC] = fds->apic.fd;
	fds->hole = mmap(NULL, 0x10000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(fds->hole, 0x10000);
}

static const char *error_name(int error)
{
	return error ? strerrorname_np(error) : "success";
}

static void check(struct fds *fds, enum fd_kind kind, unsigned long request, const char *name,
		  unsigned long arg, const char *arg_name, int expected)
{
	int result = ioctl(fds->fd[kind], request, arg);
	int error = result < 0 ? errno : 0;
	char row[128];

	snprintf(row, sizeof(row), "%s/%s/%s", name, kind_names[kind], arg_name);
	case_row(error == expected, row, "%s, expected %s", error_name(error),
		 error_name(expected));
}

/* Calls that read or write a structure: any pointer to nothing is EFAULT, unless said otherwise. */
static const struct {
	enum fd_kind kind;
	unsigned long request;
	const char *name;
	int expected;
	unsigned int cap; /* without it the call is unknown: ENOTTY */
} pointers[] = {
#define P(kind, request, expected)                                                                 \
	{                                                                                          \
		kind, request, #request, expected, 0                                               \
	}
#define P_CAP(kind, request, expected, cap)                                                        \
	{                                                                                          \
		kind, request, #request, expected, cap                                             \
	}
	P(FD_KVM, KVM_GET_MSR_INDEX_LIST, EFAULT),
	P(FD_KVM, KVM_GET_MSR_FEATURE_INDEX_LIST, EFAULT),
	P(FD_KVM, KVM_GET_SUPPORTED_CPUID, EFAULT),
	P(FD_KVM, KVM_GET_EMULATED_CPUID, EFAULT),
	P(FD_KVM, KVM_GET_MSRS, EFAULT),
	P(FD_VM, KVM_SET_USER_MEMORY_REGION, EFAULT),
	P(FD_VM, KVM_GET_DIRTY_LOG, EFAULT),
	P(FD_VM, KVM_CLEAR_DIRTY_LOG, EFAULT),
	P(FD_VM, KVM_ENABLE_CAP, EFAULT),
	P(FD_VM, KVM_REGISTER_COALESCED_MMIO, EFAULT),
	P(FD_VM, KVM_UNREGISTER_COALESCED_MMIO, EFAULT),
	P(FD_VM, KVM_IOEVENTFD, EFAULT),
	P(FD_VM, KVM_IRQFD, EFAULT),
	P(FD_VM, KVM_IRQ_LINE, EFAULT),
	P(FD_CHIP, KVM_IRQ_LINE, EFAULT),
	P(FD_CHIP, KVM_IRQ_LINE_STATUS, EFAULT),
	P(FD_CHIP, KVM_SIGNAL_MSI, EFAULT),
	P(FD_CHIP, KVM_SET_GSI_ROUTING, EFAULT),
	P(FD_CHIP, KVM_GET_IRQCHIP, EFAULT),
	P(FD_CHIP, KVM_SET_IRQCHIP, EFAULT),
	P(FD_CHIP, KVM_CREATE_PIT2, EFAULT),
	P(FD_VM, KVM_SET_CLOCK, EFAULT),
	P(FD_VM, KVM_GET_CLOCK, EFAULT),
	P(FD_VM, KVM_CREATE_DEVICE, EFAULT),
	P(FD_VM, KVM_SET_IDENTITY_MAP_ADDR, EINVAL), /* there are vCPUs: looked at first */
	P_CAP(FD_VM, KVM_X86_SET_MSR_FILTER, EFAULT, KVM_CAP_X86_MSR_FILTER),
	P_CAP(FD_VM, KVM_SET_PMU_EVENT_FILTER, EFAULT, KVM_CAP_PMU_EVENT_FILTER),
	P(FD_VCPU, KVM_GET_REGS, EFAULT),
	P(FD_VCPU, KVM_SET_REGS, EFAULT),
	P(FD_VCPU, KVM_GET_SREGS, EFAULT),
	P(FD_VCPU, KVM_SET_SREGS, EFAULT),
	P(FD_VCPU, KVM_GET_SREGS2, EFAULT),
	P(FD_VCPU, KVM_SET_SREGS2, EFAULT),
	P(FD_VCPU, KVM_GET_FPU, EFAULT),
	P(FD_VCPU, KVM_SET_FPU, EFAULT),
	P(FD_VCPU, KVM_GET_XSAVE, EFAULT),
	P(FD_VCPU, KVM_GET_XSAVE2, EFAULT),
	P(FD_VCPU, KVM_SET_XSAVE, EFAULT),
	P(FD_VCPU, KVM_GET_XCRS, EFAULT),
	P(FD_VCPU, KVM_SET_XCRS, EFAULT),
	P(FD_VCPU, KVM_GET_DEBUGREGS, EFAULT),
	P(FD_VCPU, KVM_SET_DEBUGREGS, EFAULT),
	P(FD_VCPU, KVM_GET_MP_STATE, EFAULT),
	P(FD_VCPU, KVM_SET_MP_STATE, EFAULT),
	P(FD_VCPU, KVM_GET_VCPU_EVENTS, EFAULT),
	P(FD_VCPU, KVM_SET_VCPU_EVENTS, EFAULT),
	P(FD_VCPU, KVM_GET_MSRS, EFAULT),
	P(FD_VCPU, KVM_SET_MSRS, EFAULT),
	P(FD_VCPU, KVM_SET_CPUID, EFAULT),
	P(FD_VCPU, KVM_SET_CPUID2, EFAULT),
	P(FD_VCPU, KVM_GET_CPUID2, EFAULT),
	P(FD_VCPU, KVM_TRANSLATE, EFAULT),
	P(FD_VCPU, KVM_INTERRUPT, EFAULT),
	P(FD_VCPU, KVM_SET_GUEST_DEBUG, EFAULT),
	P(FD_VCPU, KVM_ENABLE_CAP, EFAULT),
	P(FD_VCPU, KVM_GET_LAPIC, EINVAL), /* no APIC: looked at first */
	P(FD_VCPU, KVM_SET_LAPIC, EINVAL),
	P(FD_APIC, KVM_GET_LAPIC, EFAULT),
	P(FD_APIC, KVM_SET_LAPIC, EFAULT),
	P(FD_VCPU, KVM_SET_VAPIC_ADDR, EINVAL),
	P(FD_APIC, KVM_SET_VAPIC_ADDR, EFAULT),
	P(FD_VCPU, KVM_TPR_ACCESS_REPORTING, EFAULT),
};

static void bad_pointers(void)
{
	struct fds fds;

	open_all(&fds);
	for (size_t i = 0; i < ARRAY_SIZE(pointers); i++) {
		bool known = !pointers[i].cap || vm_cap(&fds.vm, pointers[i].cap);
		int expected = known ? pointers[i].expected : ENOTTY;

		check(&fds, pointers[i].kind, pointers[i].request, pointers[i].name, 0, "null",
		      expected);
		check(&fds, pointers[i].kind, pointers[i].request, pointers[i].name,
		      (unsigned long)fds.hole, "unmapped", expected);
		check(&fds, pointers[i].kind, pointers[i].request, pointers[i].name,
		      0xffff888000000000, "kernel", expected);
	}
}

/* A structure that ends behind the last mapped byte: EFAULT as well, and nothing is changed. */
static void cut_off(void)
{
	struct fds fds;
	uint8_t *page = pages_alloc(0x2000);
	struct kvm_regs before, after;

	open_all(&fds);
	munmap(page + 0x1000, 0x1000);
	vcpu_get_regs(&fds.vcpu, &before);
	memset(page, 0x11, 0x1000);
	check(&fds, FD_VCPU, KVM_SET_REGS, "KVM_SET_REGS", (unsigned long)(page + 0xff0), "cut",
	      EFAULT);
	vcpu_get_regs(&fds.vcpu, &after);
	CHECK(!memcmp(&before, &after, sizeof(before)), "the registers changed");
	check(&fds, FD_VCPU, KVM_GET_REGS, "KVM_GET_REGS", (unsigned long)(page + 0xff0), "cut",
	      EFAULT);
	check(&fds, FD_VM, KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION",
	      (unsigned long)(page + 0xff0), "cut", EFAULT);
	/* To the last byte it fits. */
	check(&fds, FD_VCPU, KVM_GET_REGS, "KVM_GET_REGS",
	      (unsigned long)(page + 0x1000 - sizeof(struct kvm_regs)), "at_end", 0);
	/* Where one may only read, a get is EFAULT. */
	mprotect(page, 0x1000, PROT_READ);
	check(&fds, FD_VCPU, KVM_GET_REGS, "KVM_GET_REGS", (unsigned long)page, "readonly", EFAULT);
}

/* Calls without a pointer: the argument itself, and calls that do not exist on that descriptor. */
static const struct {
	enum fd_kind kind;
	unsigned long request;
	const char *name;
	unsigned long arg;
	const char *arg_name;
	int expected;
} values[] = {
#define V(kind, request, arg, expected)                                                            \
	{                                                                                          \
		kind, request, #request, arg, #arg, expected                                       \
	}
	V(FD_KVM, KVM_GET_API_VERSION, 0, 0),
	V(FD_KVM, KVM_GET_API_VERSION, 1, EINVAL),
	V(FD_KVM, KVM_CREATE_VM, 99, EINVAL),
	V(FD_KVM, KVM_CREATE_VM, ~0UL, EINVAL),
	V(FD_KVM, KVM_CHECK_EXTENSION, 100000, 0),
	V(FD_KVM, KVM_CHECK_EXTENSION, ~0UL, 0),
	V(FD_KVM, KVM_GET_VCPU_MMAP_SIZE, 0, 0),
	V(FD_KVM, KVM_GET_VCPU_MMAP_SIZE, 1, EINVAL),
	V(FD_VM, KVM_CREATE_VCPU, 0, EEXIST),
	V(FD_VM, KVM_CREATE_VCPU, 100000, EINVAL),
	V(FD_VM, KVM_CREATE_VCPU, ~0UL, EINVAL),
	V(FD_VM, KVM_CREATE_IRQCHIP, 0, EINVAL), /* there are vCPUs */
	V(FD_CHIP, KVM_CREATE_IRQCHIP, 0, EEXIST),
	V(FD_VM, KVM_SET_TSS_ADDR, 0xfffff000UL, EINVAL),
	V(FD_VM, KVM_SET_NR_MMU_PAGES, 1, EINVAL),
	V(FD_VM, KVM_SET_BOOT_CPU_ID, 0, EBUSY),
	V(FD_VM, KVM_CREATE_PIT, 0, ENOENT), /* no irqchip */
	V(FD_VM, KVM_GET_STATS_FD, 0, 0),
	V(FD_VCPU, KVM_RUN, 1, EINVAL),
	V(FD_VCPU, KVM_NMI, 0, 0),
	V(FD_VCPU, KVM_SET_SIGNAL_MASK, 0, 0),
	V(FD_VCPU, KVM_KVMCLOCK_CTRL, 0, EINVAL), /* the guest has no clock */
	V(FD_VCPU, KVM_GET_TSC_KHZ, 0, 0),
#define UNKNOWN _IO(KVMIO, 0xfe)
#define OTHER_TYPE _IO('x', 1)
	V(FD_KVM, UNKNOWN, 0, EINVAL),
	V(FD_VM, UNKNOWN, 0, ENOTTY),
	V(FD_VCPU, UNKNOWN, 0, EINVAL),
	V(FD_KVM, OTHER_TYPE, 0, EINVAL),
	V(FD_VM, OTHER_TYPE, 0, ENOTTY),
	V(FD_VCPU, OTHER_TYPE, 0, EINVAL),
};

static void bad_values(void)
{
	struct fds fds;

	open_all(&fds);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		check(&fds, values[i].kind, values[i].request, values[i].name, values[i].arg,
		      values[i].arg_name, values[i].expected);
	/* A kernel without SMM has the call all the same. */
	check(&fds, FD_VCPU, KVM_SMI, "KVM_SMI", 0, "0",
	      vm_cap(&fds.vm, KVM_CAP_X86_SMM) ? 0 : ENOTTY);
}

/* Each call on the descriptors that do not know it. */
static void wrong_kind(void)
{
	static const int unknown[] = { EINVAL, ENOTTY, ENOTTY, EINVAL, EINVAL };
	static const struct {
		unsigned long request;
		const char *name;
		unsigned int kinds; /* those that know it */
	} rows[] = {
#define KVM 1
#define VM 6
#define VCPU 24
#define K(request, kinds) { request, #request, kinds }
		K(KVM_GET_API_VERSION, KVM),
		K(KVM_CREATE_VM, KVM),
		K(KVM_GET_VCPU_MMAP_SIZE, KVM),
		K(KVM_GET_SUPPORTED_CPUID, KVM),
		K(KVM_GET_MSR_INDEX_LIST, KVM),
		K(KVM_CREATE_VCPU, VM),
		K(KVM_SET_USER_MEMORY_REGION, VM),
		K(KVM_GET_DIRTY_LOG, VM),
		K(KVM_CREATE_IRQCHIP, VM),
		K(KVM_IRQ_LINE, VM),
		K(KVM_IRQFD, VM),
		K(KVM_IOEVENTFD, VM),
		K(KVM_SET_GSI_ROUTING, VM),
		K(KVM_GET_CLOCK, VM),
		K(KVM_SIGNAL_MSI, VM),
		K(KVM_CREATE_DEVICE, VM),
		K(KVM_RUN, VCPU),
		K(KVM_GET_REGS, VCPU),
		K(KVM_SET_SREGS, VCPU),
		K(KVM_GET_MSRS, VCPU | KVM),
		K(KVM_SET_MSRS, VCPU),
		K(KVM_INTERRUPT, VCPU),
		K(KVM_NMI, VCPU),
		K(KVM_SET_CPUID2, VCPU),
		K(KVM_GET_LAPIC, VCPU),
		K(KVM_GET_XSAVE, VCPU),
		K(KVM_SET_SIGNAL_MASK, VCPU),
		K(KVM_SET_GUEST_DEBUG, VCPU),
		K(KVM_GET_STATS_FD, VCPU | VM),
		K(KVM_CHECK_EXTENSION, KVM | VM),
	};
	struct fds fds;

	open_all(&fds);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (int kind = 0; kind < FD_KINDS; kind++)
			if (!(rows[i].kinds & 1 << kind))
				check(&fds, kind, rows[i].request, rows[i].name, 0, "0",
				      unknown[kind]);
}

static const struct test_case cases[] = {
	{ "bad_pointers", bad_pointers },
	{ "cut_off", cut_off },
	{ "bad_values", bad_values },
	{ "wrong_kind", wrong_kind },
};
CASES_MAIN(cases)
