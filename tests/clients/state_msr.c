// SPDX-License-Identifier: GPL-2.0-or-later
/* CPUID and MSRs: the lists, round trips, what the guest sees, TSC, and exits on unknown MSRs. */
#include "kvm_client.h"

struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[8];
};

static int msr_set(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct msrs msrs = { .head.nmsrs = 1, .entries = { { .index = index, .data = value } } };

	return XIOCTL(vcpu->fd, KVM_SET_MSRS, &msrs);
}

static int msr_get(struct vcpu *vcpu, uint32_t index, uint64_t *value)
{
	struct msrs msrs = { .head.nmsrs = 1, .entries = { { .index = index } } };
	int count = XIOCTL(vcpu->fd, KVM_GET_MSRS, &msrs);

	*value = msrs.entries[0].data;
	return count;
}

GUEST(msr_code, 64,
      "1: mov %ebx, %ecx; rdmsr; out %eax, $0x10; mov %edx, %eax; out %eax, $0x11; jmp 1b");

static const struct {
	const char *name;
	uint32_t index;
	uint64_t value;
} rows[] = {
	{ "sysenter_cs", 0x174, 0x18 },
	{ "sysenter_esp", 0x175, 0x12345678 },
	{ "sysenter_eip", 0x176, 0x87654321 },
	{ "star", 0xc0000081, 0x0023000800000000 },
	{ "lstar", 0xc0000082, 0xffffffff81000000 },
	{ "cstar", 0xc0000083, 0xffffffff81000100 },
	{ "sfmask", 0xc0000084, 0x47700 },
	{ "fs_base", 0xc0000100, 0x7f0012345678 },
	{ "gs_base", 0xc0000101, 0xffff888012345678 },
	{ "kernel_gs_base", 0xc0000102, 0x7f0087654321 },
	{ "pat", 0x277, 0x0007040600070406 },
	{ "mtrr_def_type", 0x2ff, 0xc06 },
	{ "mtrr_base0", 0x200, 0x80000006 },
	{ "mtrr_mask0", 0x201, 0xff80000800 },
	{ "mtrr_fix64k", 0x250, 0x0606060606060606 },
	{ "misc_enable", 0x1a0, 0x1 },
	{ "tsc_aux", 0xc0000103, 5 },
};

/* Set from user space, read by RDMSR in the guest and got back. */
static void round_trip(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vm vm;
		struct vcpu vcpu;
		struct kvm_regs regs;
		uint64_t got = 0;
		uint32_t seen[2] = { 0 };
		bool ok;

		VM_BOOT(&vm, &vcpu, MODE_LONG, msr_code);
		vcpu_set_cpuid(&vcpu);
		ok = msr_set(&vcpu, rows[i].index, rows[i].value) == 1 &&
		     msr_get(&vcpu, rows[i].index, &got) == 1 && got == rows[i].value;
		vcpu_get_regs(&vcpu, &regs);
		regs.rbx = rows[i].index;
		vcpu_set_regs(&vcpu, &regs);
		for (int half = 0; half < 2; half++) {
			ok = ok && vcpu_run(&vcpu) == KVM_EXIT_IO;
			memcpy(&seen[half], (uint8_t *)vcpu.run + vcpu.run->io.data_offset, 4);
		}
		case_row(ok && (seen[0] | (uint64_t)seen[1] << 32) == rows[i].value, rows[i].name,
			 "set %#llx, got %#llx, the guest read %#x:%#x",
			 (unsigned long long)rows[i].value, (unsigned long long)got, seen[1],
			 seen[0]);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

/* WRMSR of the guest is seen by KVM_GET_MSRS. */
GUEST(wrmsr_code, 64,
      "mov $0xc0000102, %ecx; mov $0x12345678, %eax; mov $0x7abc, %edx; wrmsr; hlt");

static void guest_writes(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint64_t value;

	VM_BOOT(&vm, &vcpu, MODE_LONG, wrmsr_code);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	CHECK_EQ(msr_get(&vcpu, 0xc0000102, &value), 1);
	CHECK_EQ(value, 0x7abc12345678);
}

/* The calls stop at the first MSR that fails and return how many they did. */
static void partial(void)
{
	struct msrs msrs = {
		.head.nmsrs = 3,
		.entries = { { .index = 0x174, .data = 8 },
			     { .index = 0x12345678 },
			     { .index = 0x175, .data = 0x99 } },
	};
	struct vm vm;
	struct vcpu vcpu;
	uint64_t value;

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	CHECK_EQ(ioctl(vcpu.fd, KVM_SET_MSRS, &msrs), 1);
	CHECK_EQ(ioctl(vcpu.fd, KVM_GET_MSRS, &msrs), 1);
	msr_get(&vcpu, 0x175, &value);
	CHECK_EQ(value, 0);
	/* A value that WRMSR would refuse: not canonical. */
	CHECK_EQ(msr_set(&vcpu, 0xc0000082, 0x8000000000000000), 0);
}

/* Every MSR in KVM_GET_MSR_INDEX_LIST can be read by KVM_GET_MSRS and written back. */
static void index_list(void)
{
	struct kvm_msr_list *list = pages_alloc(0x4000);
	struct vm vm;
	struct vcpu vcpu;

	vm_create_irqchip(&vm);
	list->nmsrs = 0;
	CHECK(ioctl(vm.kvm, KVM_GET_MSR_INDEX_LIST, list) == -1 && errno == E2BIG, "no E2BIG");
	CHECK(list->nmsrs > 20 && list->nmsrs < 4000, "%u MSRs", list->nmsrs);
	XIOCTL(vm.kvm, KVM_GET_MSR_INDEX_LIST, list);
	vcpu_create(&vm, &vcpu, 0);
	vcpu_set_cpuid(&vcpu);
	for (unsigned int i = 0; i < list->nmsrs; i++) {
		char name[16];
		uint64_t value;

		snprintf(name, sizeof(name), "%#x", list->indices[i]);
		if (msr_get(&vcpu, list->indices[i], &value) != 1)
			case_row(false, name, "cannot be read");
		else
			case_row(msr_set(&vcpu, list->indices[i], value) == 1, name,
				 "%#llx cannot be written back", (unsigned long long)value);
	}
}

static void feature_list(void)
{
	struct kvm_msr_list *list = pages_alloc(0x4000);
	int kvm = kvm_open();

	list->nmsrs = 4000;
	XIOCTL(kvm, KVM_GET_MSR_FEATURE_INDEX_LIST, list);
	for (unsigned int i = 0; i < list->nmsrs; i++) {
		struct msrs msrs = { .head.nmsrs = 1,
				     .entries = { { .index = list->indices[i] } } };
		int result = ioctl(kvm, KVM_GET_MSRS, &msrs);
		char name[16];

		snprintf(name, sizeof(name), "%#x", list->indices[i]);
		case_row(result == 1, name, "KVM_GET_MSRS on /dev/kvm: %d", result);
	}
}

/* Unknown MSRs: #GP, or with KVM_CAP_X86_USER_SPACE_MSR an exit whose answer the guest gets. */
GUEST(user_msr_code, 64,
      "mov $0x12345678, %ecx; rdmsr; out %eax, $0x10; mov $7, %eax; mov $9, %edx; wrmsr\n"
      "rdmsr; .org user_msr_code + 0x80; out %al, $0x13; hlt");

static void user_space_msr(void)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args[0] = KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL,
	};
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, user_msr_code);
	VM_NEED_CAP(&vm, KVM_CAP_X86_USER_SPACE_MSR);
	vm_set_gate(&vm, MODE_LONG, 13, GUEST_CODE + 0x80);
	XIOCTL(vm.fd, KVM_ENABLE_CAP, &cap);
	vcpu_expect(&vcpu, KVM_EXIT_X86_RDMSR);
	CHECK_EQ(vcpu.run->msr.index, 0x12345678);
	vcpu.run->msr.data = 0xabcd;
	vcpu.run->msr.error = 0;
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0xabcd);
	vcpu_expect(&vcpu, KVM_EXIT_X86_WRMSR);
	CHECK_EQ(vcpu.run->msr.data, 0x900000007);
	vcpu.run->msr.error = 0;
	vcpu_expect(&vcpu, KVM_EXIT_X86_RDMSR);
	vcpu.run->msr.error = 1;
	vcpu_expect_out(&vcpu, 0x13, 1); /* the #GP handler */
}

/* A filter that denies an MSR: #GP. */
GUEST(filter_code, 64,
      "mov $0x174, %ecx; rdmsr; out %al, $0x10; inc %ecx; rdmsr; hlt\n"
      ".org filter_code + 0x80; out %al, $0x13; hlt");

static void msr_filter(void)
{
	uint8_t bitmap[8] = { 0xfd }; /* 0x175 is denied */
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges = { { .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			      .base = 0x174,
			      .nmsrs = 8,
			      .bitmap = bitmap } },
	};
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, filter_code);
	VM_NEED_CAP(&vm, KVM_CAP_X86_MSR_FILTER);
	vm_set_gate(&vm, MODE_LONG, 13, GUEST_CODE + 0x80);
	XIOCTL(vm.fd, KVM_X86_SET_MSR_FILTER, &filter);
	vcpu_expect_out(&vcpu, 0x10, 1);
	vcpu_expect_out(&vcpu, 0x13, 1);
}

/* What KVM_SET_CPUID2 sets, KVM_GET_CPUID2 returns and the guest's CPUID shows. */
GUEST(cpuid_code, 64,
      "mov $0x40000100, %eax; xor %ecx, %ecx; cpuid; out %eax, $0x10; mov %ebx, %eax; out %eax, "
      "$0x11\n"
      "mov $0x40000101, %eax; mov $3, %ecx; cpuid; out %eax, $0x12; hlt");

static void cpuid2(void)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[3];
	} set = {
		.head.nent = 3,
		.entries = {
			{ .function = 0, .eax = 1, .ebx = 0x756e6547 },
			{ .function = 0x40000100, .eax = 0x40000101, .ebx = 0xabcd },
			{ .function = 0x40000101, .index = 3, .flags = 1, .eax = 0x7777 },
		},
	}, got = { .head.nent = 3 };
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, cpuid_code);
	XIOCTL(vcpu.fd, KVM_SET_CPUID2, &set);
	XIOCTL(vcpu.fd, KVM_GET_CPUID2, &got);
	CHECK_EQ(got.head.nent, 3);
	CHECK_EQ(got.entries[1].ebx, 0xabcd);
	CHECK_EQ(got.entries[2].index, 3);
	got.head.nent = 1;
	CHECK(ioctl(vcpu.fd, KVM_GET_CPUID2, &got) == -1 && errno == E2BIG, "no E2BIG");
	vcpu_expect_out(&vcpu, 0x10, 4);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x11, 4), 0xabcd);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x12, 4), 0x7777);
}

/* After the first run CPUID stays, but what KVM_GET_CPUID2 says can be set again. */
GUEST(osxsave_code, 64, "mov %cr4, %rax; or $0x40000, %eax; mov %rax, %cr4; hlt");

static void cpuid_after_run(void)
{
	struct kvm_cpuid2 *cpuid = pages_alloc(0x4000);
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, osxsave_code);
	vcpu_set_cpuid(&vcpu);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	cpuid->nent = 256;
	XIOCTL(vcpu.fd, KVM_GET_CPUID2, cpuid);
	XIOCTL(vcpu.fd, KVM_SET_CPUID2, cpuid);
	cpuid->entries[1].ebx ^= 1 << 16;
	CHECK(ioctl(vcpu.fd, KVM_SET_CPUID2, cpuid) == -1 && errno == EINVAL, "changed CPUID");
	cpuid->entries[1].ebx ^= 1 << 16;
	cpuid->nent--;
	CHECK(ioctl(vcpu.fd, KVM_SET_CPUID2, cpuid) == -1 && errno == EINVAL, "shorter CPUID");
}

static void cpuid_address_bits(void)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry;
	} cpuid = { .head.nent = 1, .entry = { .function = 0x80000008, .eax = 0x3224 } };
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	CHECK(ioctl(vcpu.fd, KVM_SET_CPUID2, &cpuid) == -1 && errno == EINVAL, "50 bits");
	cpuid.entry.eax = 0x3924;
	XIOCTL(vcpu.fd, KVM_SET_CPUID2, &cpuid);
}

static void supported_cpuid(void)
{
	struct kvm_cpuid2 *cpuid = pages_alloc(0x4000);
	int kvm = kvm_open();
	bool leaf1 = false;

	cpuid->nent = 1;
	CHECK(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) == -1 && errno == E2BIG, "no E2BIG");
	cpuid->nent = 256;
	XIOCTL(kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	for (unsigned int i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == 1) {
			leaf1 = true;
			CHECK(entry->edx & 1 << 25, "no SSE");
			CHECK(entry->ecx & 1 << 21, "no x2APIC");
		}
		if (entry->function == 0x40000000)
			CHECK_EQ(entry->ebx, 0x4b4d564b); /* KVMK */
	}
	CHECK(leaf1, "no leaf 1");
}

/* The frequency is known, the guest's counter goes on at it, and MSR 0x10 sets it. */
GUEST(tsc_code, 64, "1: rdtsc; out %eax, $0x10; mov %edx, %eax; out %eax, $0x11; jmp 1b");

static uint64_t guest_tsc(struct vcpu *vcpu)
{
	uint64_t low = vcpu_expect_out(vcpu, 0x10, 4);

	return low | (uint64_t)vcpu_expect_out(vcpu, 0x11, 4) << 32;
}

static void tsc(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint64_t first, second, before, after, khz;

	VM_BOOT(&vm, &vcpu, MODE_LONG, tsc_code);
	VM_NEED_CAP(&vm, KVM_CAP_GET_TSC_KHZ);
	khz = XIOCTL(vcpu.fd, KVM_GET_TSC_KHZ, 0);
	CHECK(khz > 100000 && khz < 10000000, "%llu kHz", (unsigned long long)khz);
	CHECK_EQ(msr_set(&vcpu, 0x10, 1ULL << 40), 1);
	before = now_ns();
	first = guest_tsc(&vcpu);
	sleep_ms(100);
	second = guest_tsc(&vcpu);
	after = now_ns();
	CHECK(first >= 1ULL << 40, "the counter is at %#llx", (unsigned long long)first);
	CHECK(second - first >= khz * 99, "%llu ticks in 100 ms",
	      (unsigned long long)(second - first));
	CHECK((second - first) / khz <= (after - before) / 990000,
	      "the counter went %llu ms in %llu ns", (unsigned long long)((second - first) / khz),
	      (unsigned long long)(after - before));
}

static void set_tsc_khz(void)
{
	struct vm vm;
	struct vcpu vcpu;
	uint64_t khz;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_TSC_CONTROL);
	vcpu_create(&vm, &vcpu, 0);
	khz = XIOCTL(vcpu.fd, KVM_GET_TSC_KHZ, 0);
	XIOCTL(vcpu.fd, KVM_SET_TSC_KHZ, khz / 2);
	CHECK_EQ(XIOCTL(vcpu.fd, KVM_GET_TSC_KHZ, 0), khz / 2);
	CHECK(ioctl(vcpu.fd, KVM_SET_TSC_KHZ, 0x7fffffff) == -1 && errno == EINVAL, "no EINVAL");
	CHECK_EQ(XIOCTL(vcpu.fd, KVM_GET_TSC_KHZ, 0), khz / 2);
	XIOCTL(vcpu.fd, KVM_SET_TSC_KHZ, 0);
	CHECK_EQ(XIOCTL(vcpu.fd, KVM_GET_TSC_KHZ, 0), khz);
}

/* A new frequency scales all that the host has counted; the offset on top of that stays. */
static void set_tsc_khz_keeps_the_offset(void)
{
	static const struct {
		unsigned numerator, denominator; /* of the host's frequency */
		bool scales;                     /* 0.01 % is as good as none */
	} rows[] = { { 1, 2, true }, { 3, 1, true }, { 10001, 10000, false } };
	uint64_t offset = 12345, khz, other, now, host;
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL,
					.attr = KVM_VCPU_TSC_OFFSET,
					.addr = (uintptr_t)&offset };
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_TSC_CONTROL);
	vcpu_create(&vm, &vcpu, 0);
	khz = XIOCTL(vcpu.fd, KVM_GET_TSC_KHZ, 0);
	XIOCTL(vcpu.fd, KVM_SET_DEVICE_ATTR, &attr);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		XIOCTL(vcpu.fd, KVM_SET_TSC_KHZ, 0);
		CHECK_EQ(msr_get(&vcpu, 0x10, &host), 1);
		other = khz * rows[i].numerator / rows[i].denominator;
		XIOCTL(vcpu.fd, KVM_SET_TSC_KHZ, other);
		XIOCTL(vcpu.fd, KVM_GET_DEVICE_ATTR, &attr);
		CHECK_EQ(offset, 12345);
		CHECK_EQ(msr_get(&vcpu, 0x10, &now), 1);
		/* The second read was some time later. */
		if (rows[i].scales)
			host = (unsigned __int128)(host - offset) * other / khz + offset;
		CHECK(now >= host - 1000 && now - host < khz * 10000, "row %zu: %llu, not %llu", i,
		      (unsigned long long)now, (unsigned long long)host);
	}
}

/* One MSR as a register: type 2, 64 bits, of x86. */
#define REG_MSR(index) (0x2030000200000000ULL | (index))

static void one_reg(void)
{
	static const struct {
		const char *name;
		uint64_t id, value;
		int error;
	} bad[] = {
		{ "architecture", REG_MSR(0x174) ^ 1ULL << 60, 0, EINVAL },
		{ "size", REG_MSR(0x174) ^ 1ULL << 52, 0, EINVAL },
		{ "type", REG_MSR(0x174) ^ 1ULL << 32, 0, EINVAL },
		{ "reserved", REG_MSR(0x174) | 1ULL << 45, 0, EINVAL },
		{ "unknown", REG_MSR(0xdeadbeef), 0, EINVAL },
		{ "value", REG_MSR(0xc0000102), 1ULL << 60, EINVAL },
	};
	uint64_t value = 0x1234, list = 5;
	struct kvm_one_reg reg = { .id = REG_MSR(0x175), .addr = (uintptr_t)&value };
	struct vm vm;
	struct vcpu vcpu;

	vm_create(&vm);
	VM_NEED_CAP(&vm, KVM_CAP_ONE_REG);
	vcpu_create(&vm, &vcpu, 0);
	XIOCTL(vcpu.fd, KVM_SET_ONE_REG, &reg);
	value = 0;
	XIOCTL(vcpu.fd, KVM_GET_ONE_REG, &reg);
	CHECK_EQ(value, 0x1234);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int result;

		reg.id = bad[i].id;
		value = bad[i].value;
		result = ioctl(vcpu.fd, KVM_SET_ONE_REG, &reg);
		case_row(result == -1 && errno == bad[i].error, bad[i].name, "%d, errno %d", result,
			 errno);
	}
	reg.id = REG_MSR(0x175);
	reg.addr = 1;
	CHECK_EQ(ioctl(vcpu.fd, KVM_GET_ONE_REG, &reg), -1);
	CHECK_EQ(errno, EFAULT);
	CHECK_EQ(ioctl(vcpu.fd, KVM_SET_ONE_REG, &reg), -1);
	CHECK_EQ(errno, EFAULT);
	XIOCTL(vcpu.fd, KVM_GET_REG_LIST, &list);
	CHECK_EQ(list, 0);
}

static const struct test_case cases[] = {
	{ "round_trip", round_trip },
	{ "guest_writes", guest_writes },
	{ "partial", partial },
	{ "index_list", index_list },
	{ "feature_list", feature_list },
	{ "user_space_msr", user_space_msr },
	{ "msr_filter", msr_filter },
	{ "cpuid2", cpuid2 },
	{ "cpuid_after_run", cpuid_after_run },
	{ "cpuid_address_bits", cpuid_address_bits },
	{ "supported_cpuid", supported_cpuid },
	{ "tsc", tsc },
	{ "set_tsc_khz", set_tsc_khz },
	{ "set_tsc_khz:offset", set_tsc_khz_keeps_the_offset },
	{ "one_reg", one_reg },
};
CASES_MAIN(cases)
