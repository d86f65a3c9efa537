// SPDX-License-Identifier: GPL-2.0-or-later
/* The arguments: structures that KVM would accept, a little wrong or entirely wrong. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../clients/kvm_new.h"

#define BUFFER_BYTES 0x8000
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

uint8_t *pool;
/* Readable and writable, and ends at a page that is not. */
static uint8_t *buffer;
static uint8_t *readonly;
static uint8_t *hole;

static void *map(size_t bytes, int protection)
{
	void *address =
		mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (address == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return address;
}

void args_init(void)
{
	pool = map(POOL_RESERVED, PROT_NONE);
	mprotect(pool, POOL_BYTES, PROT_READ | PROT_WRITE);
	hole = map(0x10000, PROT_NONE);
	readonly = map(0x10000, PROT_READ);
	buffer = map(BUFFER_BYTES + 0x1000, PROT_READ | PROT_WRITE);
	mprotect(buffer + BUFFER_BYTES, 0x1000, PROT_NONE);
}

#define P(r, k, g, w)                                                                              \
	{                                                                                          \
#r, r, k, g, w                                                                     \
	}
#define KVM (1 << KIND_KVM)
#define VM (1 << KIND_VM)
#define VCPU (1 << KIND_VCPU)
#define DEVICE (1 << KIND_DEVICE)

const struct ioctl_row ioctl_rows[] = {
	P(KVM_GET_API_VERSION, KVM, 0, 1),
	P(KVM_CREATE_VM, KVM, 0, 2),
	P(KVM_CHECK_EXTENSION, KVM | VM, 0, 4),
	P(KVM_GET_VCPU_MMAP_SIZE, KVM, 0, 1),
	P(KVM_GET_MSR_INDEX_LIST, KVM, 0, 2),
	P(KVM_GET_MSR_FEATURE_INDEX_LIST, KVM, 0, 2),
	P(KVM_GET_SUPPORTED_CPUID, KVM, 0, 2),
	P(KVM_GET_EMULATED_CPUID, KVM, 0, 2),
	P(KVM_CREATE_VCPU, VM, 0, 4),
	P(KVM_SET_USER_MEMORY_REGION, VM, 0, 12),
	P(KVM_SET_USER_MEMORY_REGION2, VM, 0, 6),
	P(KVM_SET_MEMORY_ATTRIBUTES, VM, 0, 4),
	P(KVM_SET_MEMORY_ATTRIBUTES2, VM, 0, 2),
	P(KVM_PRE_FAULT_MEMORY, VCPU, 0, 3),
	P(KVM_CREATE_GUEST_MEMFD, VM, 0, 2),
	P(KVM_GET_DIRTY_LOG, VM, 0, 6),
	P(KVM_CLEAR_DIRTY_LOG, VM, 0, 4),
	P(KVM_RESET_DIRTY_RINGS, VM, 0, 2),
	P(KVM_ENABLE_CAP, VM | VCPU, 0, 6),
	P(KVM_CREATE_IRQCHIP, VM, 0, 4),
	P(KVM_CREATE_PIT, VM, 0, 1),
	P(KVM_CREATE_PIT2, VM, 0, 2),
	P(KVM_GET_IRQCHIP, VM, 0, 2),
	P(KVM_SET_IRQCHIP, VM, KVM_GET_IRQCHIP, 4),
	P(KVM_GET_PIT, VM, 0, 1),
	P(KVM_SET_PIT, VM, KVM_GET_PIT, 2),
	P(KVM_GET_PIT2, VM, 0, 2),
	P(KVM_SET_PIT2, VM, KVM_GET_PIT2, 4),
	P(KVM_REINJECT_CONTROL, VM, 0, 1),
	P(KVM_IRQ_LINE, VM, 0, 4),
	P(KVM_IRQ_LINE_STATUS, VM, 0, 4),
	P(KVM_SIGNAL_MSI, VM, 0, 6),
	P(KVM_SET_GSI_ROUTING, VM, 0, 6),
	P(KVM_IRQFD, VM, 0, 6),
	P(KVM_IOEVENTFD, VM, 0, 6),
	P(KVM_REGISTER_COALESCED_MMIO, VM, 0, 4),
	P(KVM_UNREGISTER_COALESCED_MMIO, VM, 0, 3),
	P(KVM_SET_TSS_ADDR, VM, 0, 1),
	P(KVM_SET_IDENTITY_MAP_ADDR, VM, 0, 1),
	P(KVM_SET_NR_MMU_PAGES, VM, 0, 1),
	P(KVM_SET_BOOT_CPU_ID, VM, 0, 1),
	P(KVM_GET_CLOCK, VM, 0, 2),
	P(KVM_SET_CLOCK, VM, KVM_GET_CLOCK, 3),
	P(KVM_CREATE_DEVICE, VM, 0, 2),
	P(KVM_X86_SET_MSR_FILTER, VM, 0, 3),
	P(KVM_SET_PMU_EVENT_FILTER, VM, 0, 2),
	P(KVM_GET_STATS_FD, VM | VCPU, 0, 2),
	P(KVM_RUN, VCPU, 0, 40),
	P(KVM_GET_REGS, VCPU, 0, 2),
	P(KVM_SET_REGS, VCPU, KVM_GET_REGS, 10),
	P(KVM_GET_SREGS, VCPU, 0, 2),
	P(KVM_SET_SREGS, VCPU, KVM_GET_SREGS, 10),
	P(KVM_GET_SREGS2, VCPU, 0, 2),
	P(KVM_SET_SREGS2, VCPU, KVM_GET_SREGS2, 6),
	P(KVM_GET_FPU, VCPU, 0, 2),
	P(KVM_SET_FPU, VCPU, KVM_GET_FPU, 4),
	P(KVM_GET_XSAVE, VCPU, 0, 2),
	P(KVM_GET_XSAVE2, VCPU, 0, 2),
	P(KVM_SET_XSAVE, VCPU, KVM_GET_XSAVE, 4),
	P(KVM_GET_XCRS, VCPU, 0, 2),
	P(KVM_SET_XCRS, VCPU, KVM_GET_XCRS, 4),
	P(KVM_GET_DEBUGREGS, VCPU, 0, 2),
	P(KVM_SET_DEBUGREGS, VCPU, KVM_GET_DEBUGREGS, 4),
	P(KVM_GET_MP_STATE, VCPU, 0, 2),
	P(KVM_SET_MP_STATE, VCPU, KVM_GET_MP_STATE, 5),
	P(KVM_GET_VCPU_EVENTS, VCPU, 0, 2),
	P(KVM_SET_VCPU_EVENTS, VCPU, KVM_GET_VCPU_EVENTS, 6),
	P(KVM_GET_MSRS, VCPU | KVM, 0, 3),
	P(KVM_SET_MSRS, VCPU, 0, 6),
	P(KVM_SET_CPUID, VCPU, 0, 2),
	P(KVM_SET_CPUID2, VCPU, 0, 4),
	P(KVM_GET_CPUID2, VCPU, 0, 2),
	P(KVM_GET_LAPIC, VCPU, 0, 2),
	P(KVM_SET_LAPIC, VCPU, KVM_GET_LAPIC, 5),
	P(KVM_TRANSLATE, VCPU, 0, 3),
	P(KVM_INTERRUPT, VCPU, 0, 4),
	P(KVM_NMI, VCPU, 0, 2),
	P(KVM_SMI, VCPU, 0, 2),
	P(KVM_SET_SIGNAL_MASK, VCPU, 0, 2),
	P(KVM_SET_GUEST_DEBUG, VCPU, 0, 4),
	P(KVM_SET_TSC_KHZ, VCPU | VM, 0, 2),
	P(KVM_GET_TSC_KHZ, VCPU | VM, 0, 1),
	P(KVM_KVMCLOCK_CTRL, VCPU, 0, 1),
	P(KVM_SET_VAPIC_ADDR, VCPU, 0, 1),
	P(KVM_TPR_ACCESS_REPORTING, VCPU, 0, 1),
	P(KVM_X86_SETUP_MCE, VCPU, 0, 1),
	P(KVM_X86_GET_MCE_CAP_SUPPORTED, KVM, 0, 1),
	P(KVM_X86_SET_MCE, VCPU, 0, 1),
	P(KVM_GET_NESTED_STATE, VCPU, 0, 1),
	P(KVM_SET_NESTED_STATE, VCPU, 0, 1),
	P(KVM_PRE_FAULT_MEMORY, VCPU, 0, 2),
	P(KVM_HAS_DEVICE_ATTR, DEVICE | VM | VCPU | KVM, 0, 2),
	P(KVM_GET_DEVICE_ATTR, DEVICE | VM | VCPU | KVM, 0, 2),
	P(KVM_SET_DEVICE_ATTR, DEVICE | VM | VCPU, 0, 2),
};
const size_t ioctl_row_count = ARRAY_SIZE(ioctl_rows);

unsigned long any_pointer(size_t bytes, uint8_t **good)
{
	*good = NULL;
	switch (below(24)) {
	case 0:
		return 0;
	case 1:
		return (unsigned long)hole + below(0x8000);
	case 2:
		return (unsigned long)readonly + below(0x1000);
	case 3:
		return 0xffff888000000000 | random64() >> 20;
	case 4:
		return 0x8000000000000000 | random64() >> 8;
	case 5: /* the structure is cut off by the guard page */
		return (unsigned long)buffer + BUFFER_BYTES - below(bytes + 1);
	case 6: /* not aligned */
		*good = buffer + 1 + below(15);
		break;
	case 7:
	case 8:
	case 9: /* the room for more than the structure is at its guard page */
		*good = buffer + BUFFER_BYTES - bytes;
		break;
	default:
		*good = buffer;
	}
	return (unsigned long)*good;
}

static uint64_t interesting(void)
{
	static const uint64_t values[] = {
		0,
		1,
		2,
		3,
		4,
		7,
		8,
		15,
		16,
		31,
		32,
		63,
		64,
		127,
		128,
		255,
		256,
		511,
		512,
		0x1000,
		0xfff,
		0x2000,
		0x8000,
		0xffff,
		0x10000,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x100000000,
		0x7fffffffffffffff,
		0x8000000000000000,
		0xffffffffffffffff,
		0xfee00000,
		0xfec00000,
		0xfffffffffffff000,
		0x174,
		0x1b,
		0x6e0,
		0x830,
		0xc0000080,
		0xc0000082,
		0x4b564d01,
		0x40000000,
		0x000ffffffffff000,
	};

	return one_in(4) ? random64() >> below(64) : values[below(ARRAY_SIZE(values))];
}

static void fill(uint8_t *at, size_t bytes)
{
	switch (below(4)) {
	case 0:
		memset(at, 0, bytes);
		break;
	case 1:
		for (size_t i = 0; i < bytes; i++)
			at[i] = random64();
		break;
	default: {
		const size_t step = one_in(2) ? 4 : 8;

		memset(at, 0, bytes);
		for (size_t i = 0; i + step <= bytes; i += step) {
			uint64_t value = one_in(2) ? interesting() : 0;

			memcpy(at + i, &value, step);
		}
	}
	}
}

/* A few of the bytes, words or bits become others. */
static void mutate(uint8_t *at, size_t bytes)
{
	for (uint64_t n = below(4); bytes >= 8 && n; n--) {
		uint64_t value = interesting();
		size_t offset = below(bytes / 4) * 4;

		switch (below(3)) {
		case 0:
			memcpy(at + offset, &value, 4);
			break;
		case 1:
			memcpy(at + (offset & ~7ULL), &value, 8);
			break;
		default:
			at[below(bytes)] ^= 1 << below(8);
		}
	}
}

/* Addresses in guest-physical memory that mean something. */
static uint64_t any_gpa(void)
{
	static const uint64_t values[] = { 0,          0x1000,     0x10000,
					   0x100000,   0x10000000, 0xfee00000,
					   0xfec00000, 0xfffff000, 0x100000000 };

	return values[below(ARRAY_SIZE(values))] + (one_in(2) ? below(16) * 0x1000 : 0) +
	       (one_in(16) ? below(0x1000) : 0);
}

/* Never memory of the fuzzer other than the pool, which is followed by more than any size here. */
static uint64_t any_hva(void)
{
	switch (below(16)) {
	case 0: /* not mapped */
		return (unsigned long)pool + POOL_BYTES;
	case 1:
		return (unsigned long)pool + POOL_BYTES - below(4) * 0x1000;
	case 2:
		return 0xffff800000000000 + below(16) * 0x1000;
	case 3:
		return (unsigned long)pool + below(0x10000);
	default:
		return (unsigned long)pool + below(POOL_BYTES / 0x2000) * 0x1000;
	}
}

static uint64_t any_size(void)
{
	static const uint64_t values[] = { 0,       0,        0x1000,   0x2000,     0x10000,
					   0x40000, 0x100000, 0x400000, 0x80000000, 0x200000000 };

	return values[below(ARRAY_SIZE(values))] + (one_in(32) ? below(0x1000) : 0);
}

static unsigned long any_inner(void)
{
	uint8_t *good;

	/* The second half of the buffer: the structure itself lies in the first. */
	return one_in(4) ? any_pointer(64, &good) : (unsigned long)buffer + BUFFER_BYTES / 2;
}

/* A descriptor that is not the right one. Handles of the library would name others' descriptors. */
static int wrong_fd(void)
{
	if (layer.handles)
		return one_in(2) ? -1 : 1000 + (int)below(64);
	return one_in(3) ? (int)below(64) - 1 : any_fd(below(KIND_COUNT));
}

#define MAKE(type)                                                                                 \
	struct type *s = (struct type *)at;                                                        \
	memset(s, 0, sizeof(*s))

/* Fills what KVM would want for @request at @at. False: no special rule. */
static bool make_special(unsigned long request, uint8_t *at)
{
	switch (request) {
	case KVM_SET_USER_MEMORY_REGION: {
		MAKE(kvm_userspace_memory_region);
		s->slot = one_in(16) ? interesting() : below(8);
		s->flags = one_in(3) ? below(8) : 0;
		s->guest_phys_addr = any_gpa();
		s->memory_size = any_size();
		s->userspace_addr = any_hva();
		return true;
	}
	case KVM_SET_USER_MEMORY_REGION2: {
		MAKE(kvm_userspace_memory_region2);
		s->slot = one_in(16) ? interesting() : below(8);
		s->flags = one_in(2) ? below(8) : 0;
		s->guest_phys_addr = any_gpa();
		s->memory_size = any_size();
		s->userspace_addr = any_hva();
		s->guest_memfd = one_in(2) ? any_fd(KIND_MEMFD) : wrong_fd();
		s->guest_memfd_offset = one_in(2) ? 0 : interesting();
		return true;
	}
	case KVM_SET_MEMORY_ATTRIBUTES2: {
		MAKE(kvm_memory_attributes2);
		s->address = any_gpa();
		s->size = any_size();
		s->attributes = one_in(2) ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
		s->reserved[10] = one_in(8) ? interesting() : 0;
		return true;
	}
	case KVM_PRE_FAULT_MEMORY: {
		MAKE(kvm_pre_fault_memory);
		s->gpa = any_gpa();
		s->size = one_in(4) ? any_size() : 0x1000;
		return true;
	}
	case KVM_CREATE_GUEST_MEMFD: {
		MAKE(kvm_create_guest_memfd);
		s->size = any_size();
		s->flags = one_in(8) ? interesting() : 0;
		return true;
	}
	case KVM_GET_DIRTY_LOG: {
		MAKE(kvm_dirty_log);
		s->slot = one_in(16) ? interesting() : below(8);
		s->dirty_bitmap = (void *)any_inner();
		return true;
	}
	case KVM_CLEAR_DIRTY_LOG: {
		MAKE(kvm_clear_dirty_log);
		s->slot = one_in(16) ? interesting() : below(8);
		s->num_pages = one_in(2) ? 64 : interesting();
		s->first_page = one_in(2) ? 0 : interesting();
		s->dirty_bitmap = (void *)any_inner();
		return true;
	}
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR: {
		MAKE(kvm_device_attr);
		s->flags = one_in(8) ? interesting() : 0;
		s->group = below(6);
		s->attr = one_in(2) ? below(8) : interesting();
		s->addr = any_inner();
		return true;
	}
	case KVM_X86_SET_MSR_FILTER: {
		MAKE(kvm_msr_filter);
		s->flags = one_in(8) ? interesting() : below(2);
		for (uint64_t i = 0; i < below(KVM_MSR_FILTER_MAX_RANGES); i++) {
			s->ranges[i].flags = one_in(8) ? interesting() : below(4);
			s->ranges[i].base = interesting();
			s->ranges[i].nmsrs = one_in(2) ? below(512) : interesting();
			s->ranges[i].bitmap = (void *)any_inner();
		}
		return true;
	}
	case KVM_ENABLE_CAP: {
		MAKE(kvm_enable_cap);
		s->cap = below(250);
		s->flags = one_in(16) ? interesting() : 0;
		s->args[0] = interesting();
		s->args[1] = one_in(2) ? 0 : interesting();
		return true;
	}
	case KVM_IRQFD: {
		MAKE(kvm_irqfd);
		s->fd = one_in(2) ? any_fd(KIND_EVENT) : wrong_fd();
		s->gsi = one_in(8) ? interesting() : below(24);
		s->flags = one_in(8) ? interesting() : below(4);
		s->resamplefd = any_fd(KIND_EVENT);
		return true;
	}
	case KVM_IOEVENTFD: {
		MAKE(kvm_ioeventfd);
		s->fd = one_in(2) ? any_fd(KIND_EVENT) : wrong_fd();
		s->addr = any_gpa();
		s->len = one_in(8) ? interesting() : 1ULL << below(4);
		s->flags = one_in(8) ? interesting() : below(8);
		s->datamatch = below(2);
		return true;
	}
	case KVM_CREATE_DEVICE: {
		MAKE(kvm_create_device);
		s->type = one_in(8) ? interesting() : below(16);
		s->flags = one_in(8) ? interesting() : below(2);
		return true;
	}
	case KVM_SET_GSI_ROUTING: {
		struct kvm_irq_routing *routing = (void *)at;

		routing->nr = one_in(8) ? interesting() : below(24);
		routing->flags = one_in(16);
		for (unsigned int i = 0; i < 24; i++) {
			struct kvm_irq_routing_entry *entry = &routing->entries[i];

			memset(entry, 0, sizeof(*entry));
			entry->gsi = one_in(16) ? interesting() : below(48);
			entry->type = one_in(16) ? interesting() : 1 + below(2);
			entry->u.irqchip.irqchip = below(4);
			entry->u.irqchip.pin = below(32);
			if (entry->type == KVM_IRQ_ROUTING_MSI)
				entry->u.msi.address_lo = 0xfee00000 | below(256) << 12;
		}
		return true;
	}
	case KVM_SIGNAL_MSI: {
		MAKE(kvm_msi);
		s->address_lo = 0xfee00000 | below(4) << 12 | below(4) << 2;
		s->data = one_in(4) ? interesting() : below(0x1000);
		return true;
	}
	case KVM_IRQ_LINE:
	case KVM_IRQ_LINE_STATUS: {
		MAKE(kvm_irq_level);
		s->irq = one_in(8) ? interesting() : below(24);
		s->level = below(2);
		return true;
	}
	case KVM_SET_MSRS:
	case KVM_GET_MSRS: {
		struct kvm_msrs *msrs = (void *)at;

		msrs->nmsrs = one_in(16) ? interesting() : below(8);
		for (int i = 0; i < 8; i++) {
			msrs->entries[i].index = interesting();
			msrs->entries[i].data = interesting();
		}
		return true;
	}
	case KVM_SET_CPUID2: {
		struct kvm_cpuid2 *cpuid = (void *)at;

		cpuid->nent = 100;
		if (one_in(2) && any_fd(KIND_KVM) >= 0)
			layer.ioctl(any_fd(KIND_KVM), KVM_GET_SUPPORTED_CPUID,
				    (unsigned long)cpuid);
		else
			fill((uint8_t *)cpuid->entries, 40 * 8);
		if (one_in(4))
			cpuid->nent = interesting();
		return true;
	}
	case KVM_SET_SIGNAL_MASK: {
		uint64_t none = 0;

		/* The timer's signal must never be blocked: it is what ends KVM_RUN. */
		*(uint32_t *)at = one_in(4) ? interesting() : 8;
		memcpy(at + 4, &none, 8);
		return true;
	}
	}
	return false;
}

unsigned long make_arg(int fd, unsigned long request)
{
	size_t bytes = _IOC_SIZE(request);
	const struct ioctl_row *row = NULL;
	unsigned long arg;
	uint8_t *good;

	for (size_t i = 0; i < ioctl_row_count; i++)
		if (ioctl_rows[i].request == request)
			row = &ioctl_rows[i];
	/* Numbers: never by chance an address of the fuzzer's own. */
	if (!bytes) {
		if (request == KVM_RUN ? !one_in(32) : one_in(2))
			return 0;
		return interesting() & 0xffff8000ffffffff;
	}
	arg = any_pointer(bytes, &good);
	if (!good) /* what an old argument left behind must not be taken for a mask or a slot */
		return request == KVM_SET_SIGNAL_MASK || request == KVM_SET_USER_MEMORY_REGION ||
				       request == KVM_SET_USER_MEMORY_REGION2 ?
			       (unsigned long)hole :
			       arg;
	/*
	 * Variable-length arrays lie behind their head, which may not be at the buffer's end then.
	 */
	uint8_t scratch[BUFFER_BYTES / 4] = { 0 };
	if (make_special(request, scratch)) {
		size_t room = buffer + BUFFER_BYTES - good;
		memcpy(good, scratch, room < sizeof(scratch) ? room : sizeof(scratch));
		/* Slots and the signal mask stay as they are: see any_hva and above. */
		return arg;
	}
	if (row && row->get && !one_in(4)) {
		if (request == KVM_SET_IRQCHIP)
			*(uint32_t *)scratch = below(4);
		layer.ioctl(fd, row->get, (unsigned long)scratch);
		memcpy(good, scratch, bytes < sizeof(scratch) ? bytes : sizeof(scratch));
		mutate(good, bytes);
	} else {
		fill(good, bytes);
	}
	return arg;
}
