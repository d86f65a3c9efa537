// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every instruction form that compilers and operating systems use on device memory: the accesses it
 * makes, in order, and what it leaves in RAX and the flags.
 *
 * Each row runs with RBX = RDI = RSI = MMIO_BASE, RAX, RCX and RDX as below, and RAM at RBP
 * (GUEST_DATA) holding the bytes 0, 1, 2 …
 */
#include "kvm_client.h"

#define RAX 0x1122334455667788ULL
#define RCX 0x0000000000000003ULL
#define RDX 0x8877665544332211ULL
#define ANY 0x5ca1ab1e0ddba115ULL

#define ZF 0x40
#define CF 0x01
#define SF 0x80
#define NO_FLAGS 0x1000 /* not compared */

struct access {
	char kind; /* R, W, or 0 behind the last */
	uint16_t offset;
	uint8_t bytes;
	uint64_t data;
};

struct row {
	const char *text;
	const uint8_t *code, *end;
	struct access accesses[7];
	uint64_t rax;
	unsigned int flags; /* ZF, CF and SF */
};

/* clang-format off */
#define FORMS                                                                                      \
	FORM(movzx_byte, "movzbl (%rbx), %eax", RAX_IS(0xf1), { 'R', 0, 1, 0xf1 })                 \
	FORM(movzx_word, "movzwl (%rbx), %eax", RAX_IS(0xf1f2), { 'R', 0, 2, 0xf1f2 })             \
	FORM(movsx_byte, "movsbl (%rbx), %eax", RAX_IS(0xfffffff1), { 'R', 0, 1, 0xf1 })           \
	FORM(movsx_byte64, "movsbq (%rbx), %rax", RAX_IS(-15ULL), { 'R', 0, 1, 0xf1 })             \
	FORM(movsx_word64, "movswq (%rbx), %rax", RAX_IS(-15ULL), { 'R', 0, 2, 0xfff1 })           \
	FORM(movsxd, "movslq (%rbx), %rax", RAX_IS(-15ULL), { 'R', 0, 4, 0xfffffff1 })             \
	FORM(mov_moffs_load, "movabs 0x10000000, %eax", RAX_IS(0x99), { 'R', 0, 4, 0x99 })         \
	FORM(mov_moffs_store, "movabs %al, 0x10000000", RAX_IS(RAX), { 'W', 0, 1, 0x88 })          \
	FORM(movnti, "movnti %eax, (%rbx)", RAX_IS(RAX), { 'W', 0, 4, 0x55667788 })                \
	FORM(movbe_load, "movbe (%rbx), %eax", RAX_IS(0x44332211), { 'R', 0, 4, 0x11223344 })      \
	FORM(movbe_store, "movbe %eax, (%rbx)", RAX_IS(RAX), { 'W', 0, 4, 0x88776655 })            \
	FORM(sib, "mov %eax, 8(%rbx,%rcx,4)", RAX_IS(RAX), { 'W', 20, 4, 0x55667788 })             \
	FORM(stosb, "stosb", RAX_IS(RAX), { 'W', 0, 1, 0x88 })                                     \
	FORM(stosq, "stosq", RAX_IS(RAX), { 'W', 0, 8, RAX })                                      \
	FORM(rep_stosl, "rep stosl", RAX_IS(RAX), { 'W', 0, 4, 0x55667788 },                       \
	     { 'W', 4, 4, 0x55667788 }, { 'W', 8, 4, 0x55667788 })                                 \
	FORM(std_stosw, "std; stosw; stosw; cld", RAX_IS(RAX), { 'W', 0, 2, 0x7788 },              \
	     { 'W', 0xfffe, 2, 0x7788 })                                                           \
	FORM(lodsb, "lodsb", RAX_IS(0x11223344556677a1), { 'R', 0, 1, 0xa1 })                      \
	FORM(rep_lodsl, "rep lodsl", RAX_IS(3), { 'R', 0, 4, 1 }, { 'R', 4, 4, 2 },                \
	     { 'R', 8, 4, 3 })                                                                     \
	FORM(movsb_to, "mov %rbp, %rsi; rep movsb", RAX_IS(RAX), { 'W', 0, 1, 0 },                 \
	     { 'W', 1, 1, 1 }, { 'W', 2, 1, 2 })                                                   \
	FORM(movsq_to, "mov %rbp, %rsi; movsq", RAX_IS(RAX), { 'W', 0, 8, 0x0706050403020100 })    \
	FORM(movsl_from, "lea 64(%rbp), %rdi; rep movsl; mov 68(%rbp), %rax",                      \
	     RAX_IS(0x3333333322222222), { 'R', 0, 4, 0x11111111 }, { 'R', 4, 4, 0x22222222 },     \
	     { 'R', 8, 4, 0x33333333 })                                                            \
	FORM(movsw_both, "add $64, %rdi; movsw", RAX_IS(RAX), { 'R', 0, 2, 0xabcd },               \
	     { 'W', 64, 2, 0xabcd })                                                               \
	FORM(scasb_equal, "scasb", FLAGS_ARE(ZF), { 'R', 0, 1, 0x88 })                             \
	FORM(scasl_below, "scasl", FLAGS_ARE(CF | SF), { 'R', 0, 4, 0x55667789 })                  \
	FORM(repne_scasb, "repne scasb", FLAGS_ARE(ZF), { 'R', 0, 1, 1 }, { 'R', 1, 1, 0x88 })     \
	FORM(cmpsb_si, "mov %rbp, %rdi; repe cmpsb", FLAGS_ARE(0), { 'R', 0, 1, 0 },               \
	     { 'R', 1, 1, 1 }, { 'R', 2, 1, 3 })                                                   \
	FORM(cmpsl_di, "mov %rbp, %rsi; cmpsl", FLAGS_ARE(ZF), { 'R', 0, 4, 0x03020100 })          \
	FORM(cmpsb_both, "add $8, %rdi; cmpsb", FLAGS_ARE(ZF), { 'R', 0, 1, 7 }, { 'R', 8, 1, 7 }) \
	FORM(xchg, "xchg %eax, (%rbx)", RAX_IS(0xaabbccdd), { 'R', 0, 4, 0xaabbccdd },             \
	     { 'W', 0, 4, 0x55667788 })                                                            \
	FORM(xchg_byte, "xchg %al, (%rbx)", RAX_IS(0x11223344556677dd), { 'R', 0, 1, 0xdd },       \
	     { 'W', 0, 1, 0x88 })                                                                  \
	FORM(cmpxchg_equal, "cmpxchg %edx, (%rbx)", FLAGS_ARE(ZF), { 'R', 0, 4, 0x55667788 },      \
	     { 'W', 0, 4, 0x44332211 })                                                            \
	FORM(cmpxchg_other, "cmpxchg %edx, (%rbx)", RAX_IS(0x77), { 'R', 0, 4, 0x77 },             \
	     { 'W', 0, 4, 0x77 })                                                                  \
	FORM(lock_cmpxchg, "lock cmpxchg %rdx, (%rbx)", FLAGS_ARE(ZF), { 'R', 0, 8, RAX },         \
	     { 'W', 0, 8, RDX })                                                                   \
	FORM(xadd, "xadd %eax, (%rbx)", RAX_IS(0x10), { 'R', 0, 4, 0x10 },                         \
	     { 'W', 0, 4, 0x55667798 })                                                            \
	FORM(lock_xadd, "lock xadd %rax, (%rbx)", RAX_IS(0x10), { 'R', 0, 8, 0x10 },               \
	     { 'W', 0, 8, 0x1122334455667798 })                                                    \
	FORM(cmpxchg8b, "cmpxchg8b (%rbx)", RAX_IS(0x01020304), { 'R', 0, 8, 0x0506070801020304 }, \
	     { 'W', 0, 8, 0x0506070801020304 })                                                    \
	FORM(add_store, "add %eax, (%rbx)", FLAGS_ARE(0), { 'R', 0, 4, 1 },                        \
	     { 'W', 0, 4, 0x55667789 })                                                            \
	FORM(add_load, "add (%rbx), %rax", RAX_IS(RAX + 5), { 'R', 0, 8, 5 })                      \
	FORM(adc_byte, "stc; adc %al, (%rbx)", FLAGS_ARE(CF), { 'R', 0, 1, 0x80 },                 \
	     { 'W', 0, 1, 0x09 })                                                                  \
	FORM(sbb_word, "stc; sbb %ax, (%rbx)", FLAGS_ARE(ZF), { 'R', 0, 2, 0x7789 },               \
	     { 'W', 0, 2, 0 })                                                                     \
	FORM(or_imm, "orl $0x80000001, (%rbx)", FLAGS_ARE(SF), { 'R', 0, 4, 0x10 },                \
	     { 'W', 0, 4, 0x80000011 })                                                            \
	FORM(and_imm8, "andb $0x0f, (%rbx)", FLAGS_ARE(ZF), { 'R', 0, 1, 0xf0 }, { 'W', 0, 1, 0 }) \
	FORM(xor_imm_sx, "xorq $-1, (%rbx)", FLAGS_ARE(ZF), { 'R', 0, 8, -1ULL },                  \
	     { 'W', 0, 8, 0 })                                                                     \
	FORM(lock_or, "lock orl $4, (%rbx)", FLAGS_ARE(0), { 'R', 0, 4, 3 }, { 'W', 0, 4, 7 })     \
	FORM(cmp_store, "cmp %eax, (%rbx)", FLAGS_ARE(CF | SF), { 'R', 0, 4, 0x55667787 })         \
	FORM(cmp_imm, "cmpb $0x12, (%rbx)", FLAGS_ARE(ZF), { 'R', 0, 1, 0x12 })                    \
	FORM(test_reg, "test %eax, (%rbx)", FLAGS_ARE(ZF), { 'R', 0, 4, 0x00000077 })              \
	FORM(test_imm, "testl $0x80000000, (%rbx)", FLAGS_ARE(SF), { 'R', 0, 4, 0xffffffff })      \
	FORM(inc, "incw (%rbx)", FLAGS_ARE(ZF), { 'R', 0, 2, 0xffff }, { 'W', 0, 2, 0 })           \
	FORM(dec, "decl (%rbx)", FLAGS_ARE(SF), { 'R', 0, 4, 0 }, { 'W', 0, 4, 0xffffffff })       \
	FORM(neg, "negb (%rbx)", FLAGS_ARE(CF | SF), { 'R', 0, 1, 1 }, { 'W', 0, 1, 0xff })        \
	FORM(not, "notl (%rbx)", FLAGS_ARE(NO_FLAGS), { 'R', 0, 4, 0x0f0f0f0f },                   \
	     { 'W', 0, 4, 0xf0f0f0f0 })                                                            \
	FORM(shl_imm, "shll $4, (%rbx)", FLAGS_ARE(CF), { 'R', 0, 4, 0x12345678 },                 \
	     { 'W', 0, 4, 0x23456780 })                                                            \
	FORM(sar_cl, "sarw %cl, (%rbx)", FLAGS_ARE(SF), { 'R', 0, 2, 0x8000 },                     \
	     { 'W', 0, 2, 0xf000 })                                                                \
	FORM(imul_load, "imul (%rbx), %eax", RAX_IS(0x55667788ULL * 2), { 'R', 0, 4, 2 })          \
	FORM(mul, "mull (%rbx)", RAX_IS(0x55667788ULL * 2), { 'R', 0, 4, 2 })                      \
	FORM(div, "xor %edx, %edx; divl (%rbx)", RAX_IS(0x55667788ULL / 2), { 'R', 0, 4, 2 })      \
	FORM(cmov_taken, "stc; cmovc (%rbx), %rax", RAX_IS(9), { 'R', 0, 8, 9 })                   \
	FORM(setcc, "stc; setc (%rbx)", RAX_IS(RAX), { 'W', 0, 1, 1 })                             \
	FORM(bt_imm, "btl $5, (%rbx)", FLAGS_CF(1), { 'R', 0, 4, 0x20 })                           \
	FORM(bt_reg, "mov $100, %ecx; bt %ecx, (%rbx)", FLAGS_CF(1), { 'R', 12, 4, 0x10 })         \
	FORM(bt_negative, "mov $-1, %ecx; bt %ecx, (%rbx)", FLAGS_CF(1),                           \
	     { 'R', 0xfffc, 4, 1U << 31 })                                                         \
	FORM(bts_imm, "btsl $5, (%rbx)", FLAGS_CF(0), { 'R', 0, 4, 1 }, { 'W', 0, 4, 0x21 })       \
	FORM(bts_reg64, "mov $70, %ecx; lock bts %rcx, (%rbx)", FLAGS_CF(0), { 'R', 8, 8, 1 },     \
	     { 'W', 8, 8, 0x41 })                                                                  \
	FORM(btr, "btrl $5, (%rbx)", FLAGS_CF(1), { 'R', 0, 4, 0x21 }, { 'W', 0, 4, 1 })           \
	FORM(btc, "btcl $5, (%rbx)", FLAGS_CF(1), { 'R', 0, 4, 0x21 }, { 'W', 0, 4, 1 })           \
	FORM(push_to, "lea 0x100(%rbx), %rsp; push %rax", RAX_IS(RAX), { 'W', 0xf8, 8, RAX })      \
	FORM(pop_from, "mov %rbx, %rsp; pop %rax", RAX_IS(0x42), { 'R', 0, 8, 0x42 })              \
	FORM(push_mem, "pushq (%rbx); pop %rax", RAX_IS(0x43), { 'R', 0, 8, 0x43 })                \
	FORM(pop_mem, "push %rax; popq (%rbx)", RAX_IS(RAX), { 'W', 0, 8, RAX })                   \
	FORM(call_mem, "call *(%rbx); jmp 1f; .org mmio_call_mem + 0x40; mov $0x77, %eax; ret; "   \
	     "1:",                                                                                 \
	     RAX_IS(0x77), { 'R', 0, 8, GUEST_CODE + 0x40 })                                       \
	FORM(call_push, "lea 0x100(%rbx), %rsp; call 1f; 1: mov %rbp, %rsp", RAX_IS(RAX),          \
	     { 'W', 0xf8, 8, GUEST_CODE + 12 })                                                    \
	FORM(jmp_mem, "jmp *(%rbx); .org mmio_jmp_mem + 0x40; mov $0x78, %eax", RAX_IS(0x78),      \
	     { 'R', 0, 8, GUEST_CODE + 0x40 })                                                     \
	FORM(ret_from, "mov %rbx, %rsp; ret; .org mmio_ret_from + 0x40; mov $0x79, %eax",          \
	     RAX_IS(0x79), { 'R', 0, 8, GUEST_CODE + 0x40 })                                       \
	FORM(xlat, "xor %eax, %eax; xlat", RAX_IS(0x66), { 'R', 0, 1, 0x66 })                      \
	FORM(movq_mmx, "movq (%rbx), %mm0; movq %mm0, 8(%rbx)", RAX_IS(RAX),                       \
	     { 'R', 0, 8, 0x1234567890abcdef }, { 'W', 8, 8, 0x1234567890abcdef })                 \
	FORM(fs_override, "mov %fs:0x10000004, %eax", RAX_IS(6), { 'R', 4, 4, 6 })                 \
	FORM(addr32, "mov (%ebx), %eax", RAX_IS(6), { 'R', 0, 4, 6 })

/* clang-format on */

#define FORM(name, assembly, result, ...) GUEST(mmio_##name, 64, assembly "; hlt");
FORMS
#undef FORM

#define RAX_IS(value) value, NO_FLAGS
#define FLAGS_ARE(value) ANY, value
#define FLAGS_CF(value) ANY, (value) | 0x2000 /* only CF is defined */
#define FORM_(name, assembly, expected_rax, expected_flags, ...)                                   \
	{ #name, mmio_##name, mmio_##name##_end, { __VA_ARGS__ }, expected_rax, expected_flags },
#define FORM(name, assembly, ...) FORM_(name, assembly, __VA_ARGS__)
static const struct row rows[] = { FORMS };

static bool run_row(struct vcpu *vcpu, const struct row *row, char *why, size_t bytes)
{
	struct kvm_run *run = vcpu->run;
	const unsigned int care = row->flags & 0x2000 ? CF : ZF | CF | SF;
	struct kvm_regs regs;

	for (const struct access *a = row->accesses; a->kind; a++) {
		uint64_t gpa = MMIO_BASE + (int16_t)a->offset;
		int reason = vcpu_run(vcpu);
		uint64_t mask = a->bytes == 8 ? ~0ULL : (1ULL << a->bytes * 8) - 1;
		uint64_t data;

		memcpy(&data, run->mmio.data, 8);
		if (reason != KVM_EXIT_MMIO || run->mmio.phys_addr != gpa ||
		    run->mmio.len != a->bytes || run->mmio.is_write != (a->kind == 'W') ||
		    (a->kind == 'W' && (data & mask) != a->data)) {
			snprintf(why, bytes,
				 "access %td: expected %c %#llx len %u data %#llx, got %s "
				 "%c %#llx len %u data %#llx",
				 a - row->accesses, a->kind, (unsigned long long)gpa, a->bytes,
				 (unsigned long long)a->data, exit_name(reason),
				 run->mmio.is_write ? 'W' : 'R', run->mmio.phys_addr, run->mmio.len,
				 (unsigned long long)(data & mask));
			return false;
		}
		if (a->kind == 'R')
			vcpu_answer_mmio(vcpu, a->data | ~mask);
	}
	int reason = vcpu_run(vcpu);
	vcpu_get_regs(vcpu, &regs);
	if (reason != KVM_EXIT_HLT) {
		snprintf(why, bytes, "expected HLT, got %s at +%#llx", exit_name(reason),
			 regs.rip - GUEST_CODE);
		return false;
	}
	snprintf(why, bytes, "rax %#llx flags %#llx", regs.rax, regs.rflags & (ZF | CF | SF));
	return (row->rax == ANY || regs.rax == row->rax) &&
	       (row->flags & NO_FLAGS || !((regs.rflags ^ row->flags) & care));
}

static void forms(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kvm_regs regs = {
			.rax = RAX,
			.rcx = RCX,
			.rdx = RDX,
			.rbx = MMIO_BASE,
			.rsi = MMIO_BASE,
			.rdi = MMIO_BASE,
			.rbp = GUEST_DATA,
			.rsp = GUEST_STACK,
			.rip = GUEST_CODE,
			.rflags = 2,
		};
		struct vm vm;
		struct vcpu vcpu;
		char why[256];

		vm_create(&vm);
		vcpu_create(&vm, &vcpu, 0);
		vcpu_set_cpuid(&vcpu);
		vcpu_load(&vcpu, MODE_LONG, rows[i].code, rows[i].end);
		vcpu_set_regs(&vcpu, &regs);
		for (int j = 0; j < 256; j++)
			vm.ram[GUEST_DATA + j] = j;
		bool passed = run_row(&vcpu, &rows[i], why, sizeof(why));
		case_row(passed, rows[i].text, "%s", why);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
	}
}

static const struct test_case cases[] = {
	{ "forms", forms },
};
CASES_MAIN(cases)
