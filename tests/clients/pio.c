// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Port I/O: IN and OUT of each size, by immediate and by DX, and the string forms with their
 * counts.
 */
#include "kvm_client.h"

GUEST(out_code, 64,
      "mov $0x11223344, %eax; out %al, $0x20; out %ax, $0x21; out %eax, $0x22\n"
      "mov $0x3f8, %edx; out %al, %dx; out %ax, %dx; mov $0xffff, %edx; out %eax, %dx; hlt");

static void out(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, out_code);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x20, 1), 0x44);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x21, 2), 0x3344);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x22, 4), 0x11223344);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x3f8, 1), 0x44);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x3f8, 2), 0x3344);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0xffff, 4), 0x11223344);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

static void answer_in(struct vcpu *vcpu, uint16_t port, unsigned int bytes, uint32_t value)
{
	struct kvm_run *run = vcpu->run;

	vcpu_expect(vcpu, KVM_EXIT_IO);
	CHECK_EQ(run->io.direction, KVM_EXIT_IO_IN);
	CHECK_EQ(run->io.port, port);
	CHECK_EQ(run->io.size, bytes);
	CHECK_EQ(run->io.count, 1);
	memcpy((uint8_t *)run + run->io.data_offset, &value, bytes);
}

/* A smaller IN leaves the rest of EAX; a 32-bit one clears the upper half of RAX. */
GUEST(in_code, 64,
      "mov $-1, %rax; in $0x30, %al; out %eax, $0x10; in $0x31, %ax; out %eax, $0x10\n"
      "in $0x32, %eax; out %eax, $0x10; shr $32, %rax; out %eax, $0x10\n"
      "mov $0xcfc, %edx; in %dx, %al; out %eax, $0x10; hlt");

static void in(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, in_code);
	answer_in(&vcpu, 0x30, 1, 0x12);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0xffffff12);
	answer_in(&vcpu, 0x31, 2, 0x3456);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0xffff3456);
	answer_in(&vcpu, 0x32, 4, 0x89abcdef);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x89abcdef);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0);
	answer_in(&vcpu, 0xcfc, 1, 0x77);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 4), 0x77);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/*
 * Collects REP OUTS of @bytes to @port: the kernel may hand over any number of elements at a time.
 * Returns the number of elements; stops at HLT.
 */
static size_t collect_outs(struct vcpu *vcpu, uint16_t port, unsigned int bytes, uint8_t *to)
{
	struct kvm_run *run = vcpu->run;
	size_t count = 0;

	for (;;) {
		int reason = vcpu_run(vcpu);

		if (reason == KVM_EXIT_HLT)
			return count;
		CHECK_EQ(reason, KVM_EXIT_IO);
		CHECK_EQ(run->io.direction, KVM_EXIT_IO_OUT);
		CHECK_EQ(run->io.port, port);
		CHECK_EQ(run->io.size, bytes);
		CHECK(run->io.count >= 1 && run->io.count * bytes <= 4096, "count %u",
		      run->io.count);
		memcpy(to + count * bytes, (uint8_t *)run + run->io.data_offset,
		       run->io.count * bytes);
		count += run->io.count;
	}
}

GUEST(outsb_code, 64, "mov $0x80, %edx; mov $0x30000, %esi; mov $5000, %ecx; rep outsb; hlt");
GUEST(outsw_code, 64, "mov $0x80, %edx; mov $0x30000, %esi; mov $3000, %ecx; rep outsw; hlt");
GUEST(outsl_code, 64, "mov $0x80, %edx; mov $0x30000, %esi; mov $2000, %ecx; rep outsl; hlt");

static void outs(const uint8_t *code, const uint8_t *end, unsigned int bytes, size_t count)
{
	static uint8_t seen[16384];
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	vcpu_load(&vcpu, MODE_LONG, code, end);
	for (size_t i = 0; i < sizeof(seen); i++)
		vm.ram[GUEST_FREE + i] = i * 7 + (i >> 8);
	CHECK_EQ(collect_outs(&vcpu, 0x80, bytes, seen), count);
	CHECK(!memcmp(seen, vm.ram + GUEST_FREE, count * bytes), "the data differ");
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rcx, 0);
	CHECK_EQ(regs.rsi, GUEST_FREE + count * bytes);
}

static void rep_outsb(void)
{
	outs(outsb_code, outsb_code_end, 1, 5000);
}

static void rep_outsw(void)
{
	outs(outsw_code, outsw_code_end, 2, 3000);
}

static void rep_outsl(void)
{
	outs(outsl_code, outsl_code_end, 4, 2000);
}

GUEST(insb_code, 64, "mov $0x81, %edx; mov $0x30ff0, %edi; mov $5000, %ecx; rep insb; hlt");
GUEST(insw_code, 64, "mov $0x81, %edx; mov $0x30ff0, %edi; mov $2500, %ecx; rep insw; hlt");
GUEST(insl_code, 64, "mov $0x81, %edx; mov $0x30ff0, %edi; mov $1250, %ecx; rep insl; hlt");

/* The destination begins 16 bytes before the end of a page, so it crosses one early. */
static void ins(const uint8_t *code, const uint8_t *end, unsigned int bytes, size_t count)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;
	uint8_t next = 1;
	int reason;

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	vcpu_load(&vcpu, MODE_LONG, code, end);
	while ((reason = vcpu_run(&vcpu)) == KVM_EXIT_IO) {
		struct kvm_run *run = vcpu.run;

		CHECK_EQ(run->io.direction, KVM_EXIT_IO_IN);
		CHECK_EQ(run->io.port, 0x81);
		CHECK_EQ(run->io.size, bytes);
		CHECK(run->io.count >= 1 && run->io.count * bytes <= 4096, "count %u",
		      run->io.count);
		for (size_t i = 0; i < run->io.count * bytes; i++)
			((uint8_t *)run)[run->io.data_offset + i] = next++;
	}
	CHECK_EQ(reason, KVM_EXIT_HLT);
	next = 1;
	for (size_t i = 0; i < count * bytes; i++)
		CHECK(vm.ram[0x30ff0 + i] == next++, "byte %zu is %#x", i, vm.ram[0x30ff0 + i]);
	CHECK_EQ(vm.ram[0x30ff0 + count * bytes], 0);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rcx, 0);
	CHECK_EQ(regs.rdi, 0x30ff0 + count * bytes);
}

static void rep_insb(void)
{
	ins(insb_code, insb_code_end, 1, 5000);
}

static void rep_insw(void)
{
	ins(insw_code, insw_code_end, 2, 2500);
}

static void rep_insl(void)
{
	ins(insl_code, insl_code_end, 4, 1250);
}

/* As with an ATAPI drive: the command goes out where its answer comes in. */
GUEST(command_code, 64,
      "mov $0x170, %edx; mov $0xa000, %esi; mov $3, %ecx; rep outsl\n"
      "mov $0xb000, %edi; mov $9, %ecx; rep insl\n"
      "mov $2, %ecx; rep outsl; mov $1, %ecx; rep insl; hlt");

/* How many elements go in one exit is KVM's choice. */
static void expect_string(struct vcpu *vcpu, unsigned int direction, unsigned int count)
{
	struct kvm_run *run = vcpu->run;

	for (unsigned int done = 0; done < count; done += run->io.count) {
		CHECK_EQ(vcpu_run(vcpu), KVM_EXIT_IO);
		CHECK_EQ(run->io.direction, direction);
		CHECK_EQ(run->io.port, 0x170);
		CHECK_EQ(run->io.size, 4);
		CHECK(run->io.count >= 1 && done + run->io.count <= count, "count %u",
		      run->io.count);
		if (direction == KVM_EXIT_IO_IN)
			memset((uint8_t *)run + run->io.data_offset, 0x40 + count,
			       4 * run->io.count);
	}
}

static void out_then_in(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, command_code);
	expect_string(&vcpu, KVM_EXIT_IO_OUT, 3);
	expect_string(&vcpu, KVM_EXIT_IO_IN, 9);
	expect_string(&vcpu, KVM_EXIT_IO_OUT, 2);
	expect_string(&vcpu, KVM_EXIT_IO_IN, 1);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	for (unsigned int i = 0; i < 40; i++)
		CHECK_EQ(vm.ram[0xb000 + i], i < 36 ? 0x49 : 0x41);
}

/* Backwards with DF, a single element without REP, and REP with a count of 0: no exit at all. */
GUEST(outs_down_code, 32,
      "std; mov $0x80, %edx; mov $0xa003, %esi; mov $4, %ecx; rep outsb; cld\n"
      "mov $0xa000, %esi; outsb; xor %ecx, %ecx; rep outsb; rep insb; hlt");

static void outs_down(void)
{
	uint8_t seen[64];
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_PROTECTED, outs_down_code);
	memcpy(vm.ram + GUEST_DATA, "abcd", 4);
	CHECK_EQ(collect_outs(&vcpu, 0x80, 1, seen), 5);
	CHECK(!memcmp(seen, "dcbaa", 5), "%.5s", seen);
}

/* Real mode: DS:SI with an override, SI wraps within 64 KiB. */
GUEST(outs_real_code, 16,
      "mov $0x3000, %ax; mov %ax, %es; mov $0x80, %dx; mov $0xfffe, %si; mov $4, %cx\n"
      "rep outsb %es:(%si), %dx; hlt");

static void outs_real(void)
{
	uint8_t seen[64];
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_REAL, outs_real_code);
	memcpy(vm.ram + 0x3fffe, "ab", 2);
	memcpy(vm.ram + 0x30000, "cd", 2);
	CHECK_EQ(collect_outs(&vcpu, 0x80, 1, seen), 4);
	CHECK(!memcmp(seen, "abcd", 4), "%.4s", seen);
}

/* A guest that polls a port: many INs in a row. */
GUEST(poll_code, 64, "1: in $0x40, %al; test %al, %al; jz 1b; hlt");

static void poll_port(void)
{
	struct vm vm;
	struct vcpu vcpu;

	VM_BOOT(&vm, &vcpu, MODE_LONG, poll_code);
	for (int i = 0; i < 1000; i++)
		answer_in(&vcpu, 0x40, 1, 0);
	answer_in(&vcpu, 0x40, 1, 1);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* immediate_exit with an IN outstanding completes the IN and runs nothing more. */
static void complete_only(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;

	VM_BOOT(&vm, &vcpu, MODE_LONG, poll_code);
	answer_in(&vcpu, 0x40, 1, 0x99);
	vcpu.run->immediate_exit = 1;
	CHECK_EQ(vcpu_run(&vcpu), -EINTR);
	vcpu_get_regs(&vcpu, &regs);
	CHECK_EQ(regs.rax, 0x99);
	CHECK_EQ(regs.rip, GUEST_CODE + 2);
	vcpu.run->immediate_exit = 0;
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
}

/* Ring 3 with IOPL 0: #GP unless the TSS's bitmap permits the port. */
GUEST(bitmap_code, 32,
      "push $0x2b; push $0x6f00; push $2; push $0x3b; push $" AT(
	      bitmap_code, 1f) "; iret\n"
			       "1: mov $7, %eax; out %al, $0x10; out %al, $0x11\n"
			       ".org bitmap_code + 0x80; mov 4(%esp), %eax; out %eax, $0x20; hlt");

static void io_bitmap(void)
{
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_sregs sregs;

	VM_BOOT(&vm, &vcpu, MODE_PROTECTED, bitmap_code);
	vm_set_gate(&vm, MODE_PROTECTED, 13, GUEST_CODE + 0x80);
	vcpu_get_sregs(&vcpu, &sregs);
	sregs.tr.limit = 0x68 + 0x20;
	vcpu_set_sregs(&vcpu, &sregs);
	vm.ram[GUEST_TSS + 0x66] = 0x68;
	memset(vm.ram + GUEST_TSS + 0x68, 0xff, 0x21);
	vm.ram[GUEST_TSS + 0x68 + 2] = 0xfe; /* port 0x10 alone */
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x10, 1), 7);
	CHECK_EQ(vcpu_expect_out(&vcpu, 0x20, 4), GUEST_CODE + 0x18);
}

static const struct test_case cases[] = {
	{ "out", out },
	{ "in", in },
	{ "rep_outsb", rep_outsb },
	{ "rep_outsw", rep_outsw },
	{ "rep_outsl", rep_outsl },
	{ "rep_insb", rep_insb },
	{ "rep_insw", rep_insw },
	{ "rep_insl", rep_insl },
	{ "out_then_in", out_then_in },
	{ "outs_down", outs_down },
	{ "outs_real", outs_real },
	{ "poll_port", poll_port },
	{ "complete_only", complete_only },
	{ "io_bitmap", io_bitmap },
};
CASES_MAIN(cases)
