// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the CPUID that user space set decides: reserved bits of page tables, CR3, CR4, EFER and XCR0;
 * and what of CPUID follows the registers.
 *
 * Faults tell through ports: 0x0d #GP, 0x0e #PF with its error code.
 */
#include <cpuid.h>

#include "kvm_client.h"

#define ENTRIES_MAX 100
#define RESERVED_BIT 40 /* of an address, where CPUID says 36 bits */
#define TOPOEXT (1u << 22) /* 0x80000001 ECX */

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[ENTRIES_MAX];
};

static void get_supported(struct vm *vm, struct cpuid *cpuid)
{
	memset(cpuid, 0, sizeof(*cpuid));
	cpuid->head.nent = ENTRIES_MAX;
	XIOCTL(vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
}

static struct kvm_cpuid_entry2 *leaf(struct cpuid *cpuid, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->head.nent; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	FAIL("no leaf %#x.%u", function, index);
	return NULL;
}

/* What is supported, with AVX; else the case ends here. */
static void get_with_avx(struct cpuid *cpuid)
{
	struct vm vm;

	vm_create(&vm);
	get_supported(&vm, cpuid);
	if (!(leaf(cpuid, 0xd, 0)->eax & 4))
		case_skip("the host has no AVX");
	vm_destroy(&vm);
}

/* #GP and #PF tell and stop. */
static void set_handlers(struct vm *vm, enum mode mode)
{
	/* out %al, $0x0d; pop %eax; out %eax, $0x0e: POP is of the mode's size */
	static const uint8_t gp[] = { 0xe6, 0x0d }, pf[] = { 0x58, 0xe7, 0x0e };

	memcpy(vm->ram + 0x9000, gp, sizeof(gp));
	memcpy(vm->ram + 0x9010, pf, sizeof(pf));
	vm_set_gate(vm, mode, 13, 0x9000);
	vm_set_gate(vm, mode, 14, 0x9010);
}

static void boot(struct vm *vm, struct vcpu *vcpu, struct cpuid *cpuid, enum mode mode,
		 const uint8_t *code, const uint8_t *end)
{
	vm_create(vm);
	vcpu_create(vm, vcpu, 0);
	vcpu_load(vcpu, mode, code, end);
	set_handlers(vm, mode);
	XIOCTL(vcpu->fd, KVM_SET_CPUID2, cpuid);
}
#define BOOT(vm, vcpu, cpuid, mode, code) boot(vm, vcpu, cpuid, mode, code, code##_end)

/* ---- MAXPHYADDR ---- */

static void set_physical_bits(struct cpuid *cpuid, uint32_t bits)
{
	struct kvm_cpuid_entry2 *entry = leaf(cpuid, 0x80000008, 0);

	entry->eax = (entry->eax & ~0xffu) | bits;
}

GUEST(read_code, 64, "mov $0x30000, %ebx; mov (%rbx), %al; out %al, $0x10; hlt");

static void maxphyaddr(void)
{
	for (int small = 0; small < 2; small++) {
		struct cpuid cpuid;
		struct vm vm;
		struct vcpu vcpu;

		vm_create(&vm);
		get_supported(&vm, &cpuid);
		if ((leaf(&cpuid, 0x80000008, 0)->eax & 0xff) <= RESERVED_BIT)
			case_skip("the host has few address bits");
		if (small && !vm_cap(&vm, KVM_CAP_SMALLER_MAXPHYADDR))
			case_skip("no KVM_CAP_SMALLER_MAXPHYADDR");
		vm_destroy(&vm);
		if (small)
			set_physical_bits(&cpuid, 36);
		BOOT(&vm, &vcpu, &cpuid, MODE_LONG, read_code);
		vm.ram[GUEST_PT + 0x30 * 8 + RESERVED_BIT / 8] |= 1 << RESERVED_BIT % 8;
		/* Present, read, supervisor, reserved bit; or nothing is there. */
		if (small)
			CHECK_EQ(vcpu_expect_out(&vcpu, 0x0e, 4), 9);
		else
			vcpu_expect_mmio(&vcpu, false, 1ULL << RESERVED_BIT | 0x30000, 1);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

static void maxphyaddr_cr3(void)
{
	struct kvm_sregs sregs;
	struct cpuid cpuid;
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	get_supported(&vm, &cpuid);
	vm_destroy(&vm);
	set_physical_bits(&cpuid, 36);
	BOOT(&vm, &vcpu, &cpuid, MODE_LONG, read_code);
	vcpu_get_sregs(&vcpu, &sregs);
	sregs.cr3 |= 1ULL << RESERVED_BIT;
	CHECK_EQ(ioctl(vcpu.fd, KVM_SET_SREGS, &sregs), -1);
	CHECK_EQ(errno, EINVAL);
}

GUEST(cr3_code, 64,
      "mov %cr3, %rax; mov $1, %ecx; shl $40, %rcx; or %rcx, %rax; mov %rax, %cr3; hlt");

static void maxphyaddr_mov_cr3(void)
{
	struct cpuid cpuid;
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	get_supported(&vm, &cpuid);
	if (!vm_cap(&vm, KVM_CAP_SMALLER_MAXPHYADDR))
		case_skip("no KVM_CAP_SMALLER_MAXPHYADDR");
	vm_destroy(&vm);
	set_physical_bits(&cpuid, 36);
	BOOT(&vm, &vcpu, &cpuid, MODE_LONG, cr3_code);
	vcpu_expect_out(&vcpu, 0x0d, 1);
}

/* A PDPTE with a reserved bit is found when CR3 is loaded. */
GUEST(pdpte_code, 32, "mov %cr3, %eax; mov %eax, %cr3; out %al, $0x10; hlt");

static void maxphyaddr_pdpte(void)
{
	for (int bad = 0; bad < 2; bad++) {
		struct cpuid cpuid;
		struct vm vm;
		struct vcpu vcpu;

		vm_create(&vm);
		get_supported(&vm, &cpuid);
		if (!vm_cap(&vm, KVM_CAP_SMALLER_MAXPHYADDR))
			case_skip("no KVM_CAP_SMALLER_MAXPHYADDR");
		vm_destroy(&vm);
		set_physical_bits(&cpuid, 36);
		BOOT(&vm, &vcpu, &cpuid, MODE_PAE, pdpte_code);
		if (bad)
			vm.ram[GUEST_PAE + 3 * 8 + RESERVED_BIT / 8] |= 1 << RESERVED_BIT % 8;
		vcpu_expect_out(&vcpu, bad ? 0x0d : 0x10, 1);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

/* ---- control registers ---- */

GUEST(fsgsbase_code, 64, "mov %cr4, %rax; or $0x10000, %eax; mov %rax, %cr4; out %al, $0x10; hlt");
GUEST(nx_code, 64, "mov $0xc0000080, %ecx; rdmsr; or $0x800, %eax; wrmsr; out %al, $0x10; hlt");
GUEST(avx_code, 64,
      "mov %cr4, %rax; or $0x40000, %eax; mov %rax, %cr4; mov $7, %eax; xor %edx, %edx\n"
      "xor %ecx, %ecx; xsetbv; out %al, $0x10; hlt");

static void reserved_bits(void)
{
	static const struct {
		const char *name;
		const uint8_t *code, *end;
		uint32_t function;
		size_t reg;
		uint32_t mask;
	} row[] = {
		{ "FSGSBASE", fsgsbase_code, fsgsbase_code_end, 7,
		  offsetof(struct kvm_cpuid_entry2, ebx), 1 },
		{ "NX", nx_code, nx_code_end, 0x80000001, offsetof(struct kvm_cpuid_entry2, edx),
		  1 << 20 },
		{ "AVX", avx_code, avx_code_end, 0xd, offsetof(struct kvm_cpuid_entry2, eax), 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		for (int has = 0; has < 2; has++) {
			struct cpuid cpuid;
			struct vm vm;
			struct vcpu vcpu;
			uint32_t *bits;

			vm_create(&vm);
			get_supported(&vm, &cpuid);
			vm_destroy(&vm);
			bits = (void *)((char *)leaf(&cpuid, row[i].function, 0) + row[i].reg);
			if (!(*bits & row[i].mask))
				continue;
			if (!has)
				*bits &= ~row[i].mask;
			boot(&vm, &vcpu, &cpuid, MODE_LONG, row[i].code, row[i].end);
			vcpu_expect(&vcpu, KVM_EXIT_IO);
			case_row(vcpu.run->io.port == (has ? 0x10 : 0x0d), row[i].name,
				 "with the feature %d: port %#x", has, vcpu.run->io.port);
			vcpu_destroy(&vcpu);
			vm_destroy(&vm);
		}
	}
}

/* ---- what follows the registers ---- */

/* OSXSAVE before and after CR4.OSXSAVE; the XSAVE area's size with XCR0 of x87 and with SSE. */
GUEST(runtime_code, 64,
      "mov $1, %eax; cpuid; shr $27, %ecx; and $1, %ecx; mov %ecx, %eax; out %eax, $0x10\n"
      "mov %cr4, %rax; or $0x40000, %eax; mov %rax, %cr4\n"
      "mov $1, %eax; cpuid; shr $27, %ecx; and $1, %ecx; mov %ecx, %eax; out %eax, $0x11\n"
      "mov $0xd, %eax; xor %ecx, %ecx; cpuid; mov %ebx, %eax; out %eax, $0x12\n"
      "mov $7, %eax; xor %edx, %edx; xor %ecx, %ecx; xsetbv\n"
      "mov $0xd, %eax; xor %ecx, %ecx; cpuid; mov %ebx, %eax; out %eax, $0x13; hlt");

static void runtime_bits(void)
{
	struct cpuid cpuid;
	struct vm vm;
	struct vcpu vcpu;

	get_with_avx(&cpuid);
	BOOT(&vm, &vcpu, &cpuid, MODE_LONG, runtime_code);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 1);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x12, 4), 576);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x13, 4), 832);
}

/* A vCPU that has run keeps its CPUID; the same again is no change. */
static void fixed_after_run(void)
{
	struct cpuid cpuid, changed;
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	get_supported(&vm, &cpuid);
	vm_destroy(&vm);
	BOOT(&vm, &vcpu, &cpuid, MODE_LONG, read_code);
	vcpu_expect_out(&vcpu, 0x10, 1);
	CHECK_EQ(ioctl(vcpu.fd, KVM_SET_CPUID2, &cpuid), 0);
	changed = cpuid;
	leaf(&changed, 1, 0)->ecx ^= 1 << 23;
	CHECK_EQ(ioctl(vcpu.fd, KVM_SET_CPUID2, &changed), -1);
	CHECK_EQ(errno, EINVAL);
	changed = cpuid;
	changed.head.nent--;
	CHECK_EQ(ioctl(vcpu.fd, KVM_SET_CPUID2, &changed), -1);
	CHECK_EQ(errno, EINVAL);
}

/* AVX as user space sees it: the upper half of YMM1 in the XSAVE area. */
GUEST(ymm_code, 64,
      "mov %cr4, %rax; or $0x40600, %eax; mov %rax, %cr4; mov $7, %eax; xor %edx, %edx\n"
      "xor %ecx, %ecx; xsetbv; vpcmpeqd %xmm0, %xmm0, %xmm0; vinsertf128 $1, %xmm0, %ymm1, %ymm1\n"
      "out %al, $0x10; vextractf128 $1, %ymm1, %xmm2; movd %xmm2, %eax; out %eax, $0x11; hlt");

static void ymm_is_state(void)
{
	struct kvm_xsave xsave;
	struct cpuid cpuid;
	struct vm vm;
	struct vcpu vcpu;

	get_with_avx(&cpuid);
	BOOT(&vm, &vcpu, &cpuid, MODE_LONG, ymm_code);
	vcpu_expect_out(&vcpu, 0x10, 1);
	XIOCTL(vcpu.fd, KVM_GET_XSAVE, &xsave);
	CHECK_EQ(xsave.region[512 / 4] & 4, 4);
	CHECK_EQ(xsave.region[(576 + 16) / 4], ~0U);
	xsave.region[(576 + 16) / 4] = 0x12345678;
	XIOCTL(vcpu.fd, KVM_SET_XSAVE, &xsave);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 0x12345678);
}

/* The guest takes AVX away from under code that is hot. */
GUEST(avx_off_code, 64,
      "mov %cr4, %rax; or $0x40600, %eax; mov %rax, %cr4; mov $7, %eax; xor %edx, %edx\n"
      "xor %ecx, %ecx; xsetbv; mov $5000, %esi; vxorps %xmm3, %xmm3, %xmm3\n"
      "1: vmovdqu 0x30003, %ymm1; vinsertf128 $0, %xmm3, %ymm1, %ymm2; vmovdqu %ymm2, 0x30043\n"
      "dec %esi; jnz 1b; mov 0x30043, %eax; out %eax, $0x10; mov 0x30043 + 28, %eax\n"
      "out %eax, $0x11; mov $3, %eax; xsetbv; mov $10, %esi; jmp 1b\n"
      ".org avx_off_code + 0x100; mov %esi, %eax; out %eax, $0x12; hlt");

static void avx_switched_off(void)
{
	struct cpuid cpuid;
	struct vm vm;
	struct vcpu vcpu;

	get_with_avx(&cpuid);
	BOOT(&vm, &vcpu, &cpuid, MODE_LONG, avx_off_code);
	vm_set_gate(&vm, MODE_LONG, 6, GUEST_CODE + 0x100);
	memset(vm.ram + 0x30003, 0x5a, 32);
	memset(vm.ram + 0x30043, 0xff, 32);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 0x5a5a5a5a);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x12, 4), 10);
}

/* Hot enough for every engine. */
GUEST(sse_code, 64,
      "mov $1000, %ecx; mov $7, %eax; movd %eax, %xmm0; pxor %xmm1, %xmm1\n"
      "1: paddd %xmm0, %xmm1; dec %ecx; jnz 1b; movd %xmm1, %eax; out %eax, $0x10; hlt");

/* A table without entries offers nothing, and takes no instruction away. */
static void no_entries(void)
{
	struct cpuid cpuid = { .head.nent = 0 };
	struct vm vm;
	struct vcpu vcpu;

	BOOT(&vm, &vcpu, &cpuid, MODE_LONG, sse_code);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 7000);
}

/* Of several cores an AMD processor says so; QEMU wants it for its guests with several. */
static void several_cores(void)
{
	uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
	struct cpuid cpuid;
	struct vm vm;

	vm_create(&vm);
	get_supported(&vm, &cpuid);
	__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx);
	CHECK_EQ(leaf(&cpuid, 0x80000001, 0)->ecx & 2, ecx & 2);
}

/*
 * What VMMs fill in with each vCPU's place among the others has to be there, and says nothing of the
 * host's. An AMD processor has a leaf of its own for that, and one for each cache.
 */
static void topology(void)
{
	uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
	struct kvm_cpuid_entry2 *entry;
	struct cpuid cpuid;
	unsigned int i, caches = 0;
	struct vm vm;

	vm_create(&vm);
	get_supported(&vm, &cpuid);
	entry = leaf(&cpuid, 0xb, 0);
	CHECK_EQ(entry->flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	CHECK_EQ(entry->eax | entry->ebx | entry->ecx, 0);
	__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx);
	CHECK_EQ(leaf(&cpuid, 0x80000001, 0)->ecx & TOPOEXT, ecx & TOPOEXT);
	if (!(ecx & TOPOEXT))
		return;
	CHECK(leaf(&cpuid, 0x80000000, 0)->eax >= 0x8000001e, "the topology is out of range");
	entry = leaf(&cpuid, 0x8000001e, 0);
	CHECK_EQ(entry->eax | entry->ebx | entry->ecx | entry->edx, 0);
	for (i = 0; i < cpuid.head.nent; i++) {
		entry = &cpuid.entries[i];
		if (entry->function != 0x8000001d || !(entry->eax & 0x1f))
			continue;
		__cpuid_count(0x8000001d, entry->index, eax, ebx, ecx, edx);
		CHECK_EQ(entry->ebx, ebx);
		CHECK_EQ(entry->ecx, ecx);
		caches++;
	}
	__cpuid_count(0x8000001d, caches, eax, ebx, ecx, edx);
	CHECK_EQ(eax & 0x1f, 0);
}

static const struct test_case cases[] = {
	{ "maxphyaddr", maxphyaddr },
	{ "maxphyaddr_cr3", maxphyaddr_cr3 },
	{ "maxphyaddr_mov_cr3", maxphyaddr_mov_cr3 },
	{ "maxphyaddr_pdpte", maxphyaddr_pdpte },
	{ "reserved_bits", reserved_bits },
	{ "runtime_bits", runtime_bits },
	{ "fixed_after_run", fixed_after_run },
	{ "ymm_is_state", ymm_is_state },
	{ "avx_switched_off", avx_switched_off },
	{ "no_entries", no_entries },
	{ "several_cores", several_cores },
	{ "topology", topology },
};
CASES_MAIN(cases)
