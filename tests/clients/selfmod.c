// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest modifies code: ahead, behind, in its own block, with every kind of store, from another
 * vCPU.
 */
#include <pthread.h>

#include "kvm_client.h"

#define ROUNDS 200

/* Every row loops: ECX = 1, 2, 3 … is stored as an immediate, executed and told. */
struct row {
	const char *name;
	const uint8_t *code, *end;
	enum mode mode;
};

/* The very next instruction, in the same straight line. */
GUEST(next, 64,
      "1: inc %ecx; mov %ecx, 3f - next + 0x8001; 3: mov $0, %eax; out %eax, $0x10; jmp 1b");
/* Some instructions ahead, over a branch. */
GUEST(ahead, 64,
      "1: inc %ecx; mov %ecx, 3f - ahead + 0x8001; jmp 2f; nop; nop\n"
      "2: nop; 3: mov $0, %eax; out %eax, $0x10; jmp 1b");
/* Behind: the start of a loop that is on its way round. */
GUEST(behind, 64,
      "1: mov $0, %eax; out %eax, $0x10; 2: inc %ecx; mov %ecx, 1b - behind + 0x8001; jmp 1b");
/* The store is the last instruction of the block that it changes, a tight loop. */
GUEST(loop, 64,
      "xor %ecx, %ecx; 1: mov $0, %eax; cmp %ecx, %eax; jne 3f; out %eax, $0x10; inc %ecx\n"
      "mov %ecx, 1b - loop + 0x8001; jmp 1b; 3: mov $0xdead, %eax; out %eax, $0x10; hlt");
/* In another page, by a call. */
GUEST(other_page, 64,
      "mov $0xc3, %al; mov %al, 0x30005; mov $0xb8, %al; mov %al, 0x30000; mov $0x30000, %ebx\n"
      "1: inc %ecx; mov %ecx, 0x30001; call *%rbx; out %eax, $0x10; jmp 1b");
/* An instruction that crosses a page: its second half is written. */
GUEST(second_page, 64,
      "mov $0xc3, %al; mov %al, 0x31003; mov $0xb8, %al; mov %al, 0x30ffe; mov $0x30ffe, %ebx\n"
      "movb $0, 0x31002; 1: inc %ecx; mov %cl, 0x30fff; mov %ch, 0x31000; movb $0, 0x31001\n"
      "call *%rbx; out %eax, $0x10; jmp 1b");
/* By string instructions, SSE, XCHG, a push, LOCK CMPXCHG and a byte at a time. */
GUEST(by_stos, 64,
      "1: inc %ecx; mov %ecx, %eax; mov $3f - by_stos + 0x8001, %edi; stosl; jmp 3f\n"
      "3: mov $0, %eax; out %eax, $0x10; jmp 1b");
GUEST(by_movs, 64,
      "1: inc %ecx; mov %ecx, 0xa000; mov $0xa000, %esi; mov $3f - by_movs + 0x8001, %edi\n"
      "push %rcx; mov $4, %ecx; rep movsb; pop %rcx; 3: mov $0, %eax; out %eax, $0x10; jmp 1b");
GUEST(by_sse, 64,
      "movups 3f - by_sse + 0x8000, %xmm0; movups %xmm0, 0xa000\n"
      "1: inc %ecx; mov %ecx, 0xa001; movups 0xa000, %xmm0; movups %xmm0, 3f - by_sse + 0x8000; "
      "jmp 3f\n"
      "3: mov $0, %eax; out %eax, $0x10; jmp 1b; nop; nop; nop; nop; nop; nop; nop; nop");
GUEST(by_xchg, 64,
      "1: inc %ecx; mov %ecx, %eax; xchg %eax, 3f - by_xchg + 0x8001\n"
      "3: mov $0, %eax; out %eax, $0x10; jmp 1b");
GUEST(by_xadd, 64,
      "1: inc %ecx; mov $1, %eax; lock xadd %eax, 3f - by_xadd + 0x8001\n"
      "3: mov $0, %eax; out %eax, $0x10; jmp 1b");
GUEST(by_inc, 64, "1: incl 3f - by_inc + 0x8001; 3: mov $0, %eax; out %eax, $0x10; jmp 1b");
GUEST(by_push, 64,
      "1: inc %ecx; mov $3f - by_push + 0x8008, %esp; movabs $0x90909000000000b8, %rdx\n"
      "mov %rcx, %rax; shl $8, %rax; or %rdx, %rax; push %rax; mov $0x8000, %esp; jmp 3f\n"
      "3: mov $0, %eax; nop; nop; nop; out %eax, $0x10; jmp 1b");
/* In the other modes. */
GUEST(flat, 32,
      "1: inc %ecx; mov %ecx, 3f - flat + 0x8001; 3: mov $0, %eax; out %eax, $0x10; jmp 1b");
GUEST(real, 16,
      "xor %ecx, %ecx; 1: inc %cx; mov %cx, 3f - real + 0x8001; 3: mov $0, %ax; out %eax, $0x10; "
      "jmp 1b");
/* Through another virtual address of the same page. */
GUEST(virtual_alias, 64,
      "mov $0xc3, %al; mov %al, 0x30005; mov $0xb8, %al; mov %al, 0x30000; mov $0x30000, %ebx\n"
      "1: inc %ecx; mov %ecx, 0x40001; call *%rbx; out %eax, $0x10; jmp 1b");

#define ROW(name, mode)                                                                            \
	{                                                                                          \
#name, name, name##_end, mode                                                      \
	}
static const struct row rows[] = {
	ROW(next, MODE_LONG),          ROW(ahead, MODE_LONG),      ROW(behind, MODE_LONG),
	ROW(loop, MODE_LONG),          ROW(other_page, MODE_LONG), ROW(second_page, MODE_LONG),
	ROW(by_stos, MODE_LONG),       ROW(by_movs, MODE_LONG),    ROW(by_sse, MODE_LONG),
	ROW(by_xchg, MODE_LONG),       ROW(by_xadd, MODE_LONG),    ROW(by_inc, MODE_LONG),
	ROW(by_push, MODE_LONG),       ROW(flat, MODE_PROTECTED),  ROW(real, MODE_REAL),
	ROW(virtual_alias, MODE_LONG),
};

static void by_itself(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const uint64_t pte = 0x30067; /* virtual 0x40000 shows the page at 0x30000 */
		const uint32_t first = !strcmp(rows[i].name, "behind") ||
				       !strcmp(rows[i].name, "loop");
		struct vm vm;
		struct vcpu vcpu;
		uint32_t value = 0, expected = 1 - first;

		vm_create(&vm);
		vcpu_create(&vm, &vcpu, 0);
		vcpu_load(&vcpu, rows[i].mode, rows[i].code, rows[i].end);
		memcpy(vm.ram + GUEST_PT + 0x40 * 8, &pte, 8);
		for (int round = 0; round < ROUNDS; round++, expected++) {
			int reason = vcpu_run(&vcpu);

			if (reason != KVM_EXIT_IO) {
				case_row(false, rows[i].name, "%s", exit_name(reason));
				break;
			}
			memcpy(&value, (uint8_t *)vcpu.run + vcpu.run->io.data_offset, 4);
			if (value == expected)
				continue;
			case_row(false, rows[i].name, "executed %u after %u was stored", value,
				 expected);
			break;
		}
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

/*
 * One vCPU writes the other's code, raises a flag and waits for the answer; the other executes a
 * serialising CPUID, or a jump only (which on the same host memory is enough in practice and for
 * the architecture once it has seen the flag by a load that missed), and then the new code.
 */
GUEST(cross_writer, 64,
      "mov $1, %ecx; 1: mov %ecx, 0x30001; mov %ecx, 0xa000; 2: pause; cmp %ecx, 0xa040; jne 2b\n"
      "cmp %ecx, 0xa044; jne 3f; inc %ecx; cmp $2000, %ecx; jne 1b; xor %eax, %eax; out %eax, "
      "$0x10; hlt\n"
      "3: mov 0xa044, %eax; out %eax, $0x10; hlt");
GUEST(cross_reader, 64,
      "mov $1, %esi; mov $0x30000, %edi; 1: pause; cmp %esi, 0xa000; jne 1b\n"
      "xor %eax, %eax; cpuid; call *%rdi; mov %eax, 0xa044; mov %esi, 0xa040; inc %esi\n"
      "cmp $2000, %esi; jne 1b; hlt");
GUEST(cross_reader_plain, 64,
      "mov $1, %esi; mov $0x30000, %edi; 1: pause; cmp %esi, 0xa000; jne 1b\n"
      "call *%rdi; mov %eax, 0xa044; mov %esi, 0xa040; inc %esi; cmp $2000, %esi; jne 1b; hlt");
GUEST(function, 64, "mov $0, %eax; ret");

static void *run_reader(void *argument)
{
	vcpu_run(argument);
	return NULL;
}

static void cross_modify(const uint8_t *reader, const uint8_t *reader_end)
{
	struct vm vm;
	struct vcpu vcpu[2];
	pthread_t thread;

	vm_create(&vm);
	for (unsigned int i = 0; i < 2; i++)
		vcpu_create(&vm, &vcpu[i], i);
	vm_load(&vm, GUEST_CODE, cross_writer, cross_writer_end);
	vm_load(&vm, 0x9000, reader, reader_end);
	vm_load(&vm, 0x30000, function, function_end);
	vcpu_set_mode(&vcpu[0], MODE_LONG, GUEST_CODE);
	vcpu_set_mode(&vcpu[1], MODE_LONG, 0x9000);
	struct kvm_regs regs;
	vcpu_get_regs(&vcpu[1], &regs);
	regs.rsp = 0x7000;
	vcpu_set_regs(&vcpu[1], &regs);
	pthread_create(&thread, NULL, run_reader, &vcpu[1]);
	uint32_t value = vcpu_expect_out(&vcpu[0], 0x10, 4);
	CHECK(!value, "the other vCPU executed stale code: %u", value);
	pthread_join(thread, NULL);
}

static void other_vcpu_serialised(void)
{
	cross_modify(cross_reader, cross_reader_end);
}

static void other_vcpu(void)
{
	cross_modify(cross_reader_plain, cross_reader_plain_end);
}

/* A vCPU that spins in a loop is let out of it by a store into the loop itself. */
GUEST(spinner, 64, "movl $1, 0xa000; 1: jmp 1b; hlt");
GUEST(releaser, 64, "1: pause; cmpl $1, 0xa000; jne 1b; movw $0x9090, 0x900b; hlt");

static void *run_to_hlt(void *argument)
{
	vcpu_expect(argument, KVM_EXIT_HLT);
	return NULL;
}

static void released(void)
{
	struct vm vm;
	struct vcpu vcpu[2];
	pthread_t thread[2];

	vm_create(&vm);
	for (unsigned int i = 0; i < 2; i++)
		vcpu_create(&vm, &vcpu[i], i);
	vm_load(&vm, GUEST_CODE, releaser, releaser_end);
	vm_load(&vm, 0x9000, spinner, spinner_end);
	vcpu_set_mode(&vcpu[0], MODE_LONG, GUEST_CODE);
	vcpu_set_mode(&vcpu[1], MODE_LONG, 0x9000);
	for (unsigned int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, run_to_hlt, &vcpu[i]);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

/* The client releases it so: a host thread's store, with no exit and no kick. */
static void released_by_client(void)
{
	static const uint8_t nops[] = { 0x90, 0x90 };
	struct vm vm;
	struct vcpu vcpu;
	pthread_t thread;

	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	vm_load(&vm, 0x9000, spinner, spinner_end);
	vcpu_set_mode(&vcpu, MODE_LONG, 0x9000);
	pthread_create(&thread, NULL, run_to_hlt, &vcpu);
	while (!*(volatile uint32_t *)(vm.ram + 0xa000))
		;
	sleep_ms(20);
	memcpy(vm.ram + 0x900b, nops, sizeof(nops));
	pthread_join(thread, NULL);
}

static const struct test_case cases[] = {
	{ "by_itself", by_itself },
	{ "other_vcpu_serialised", other_vcpu_serialised },
	{ "other_vcpu", other_vcpu },
	{ "released", released },
	{ "released_by_client", released_by_client },
};
CASES_MAIN(cases)
