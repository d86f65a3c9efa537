// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a guest may rely on after it changed its page tables: hot loops of a supervisor whose code and
 * data are global pages, so that little has a reason to be forgotten.
 */
#include "kvm_client.h"

#define ROUNDS 1000
#define PAGE 0x1000
#define MANY 64

/* Linear addresses whose mappings change: MANY pages, not global unless a case makes them so. */
#define WINDOW 0x40000
#define WINDOW_ENTRY 0x26200 /* in GUEST_PT */
/* Frames for them; every word of the first ones is 1, of the others 2. */
#define FRAMES_1 0x80000
#define FRAMES_2 0xc0000
/* The same tables again, with the other frames. */
#define PML4_2 0x60000
#define PDPT_2 0x61000
#define PD_2 0x62000
#define PT_2 0x63000

#define PTE_PW 0x3
#define PTE_G 0x100
#define CR4_PGE 0x80

/* Something to be hot with. */
#define WORK                                                                                       \
	"mov $20, %esi; 9: add 0xa000, %rdi; mov %rdi, 0xa008; push %rdi; pop %rdi; dec %esi; "    \
	"jnz 9b\n"
/* RAX counts what was read from the window: by 1 and by 3 in turn, so that order matters. */
#define READ_1 "mov " STRING(WINDOW) ", %rbx; add %rbx, %rax\n"
#define READ_3 "mov " STRING(WINDOW) ", %rbx; lea (%rbx,%rbx,2), %rbx; add %rbx, %rax\n"
#define EXPECTED (ROUNDS * (1 + 3 * 2))

GUEST(switches, 64,
      "mov $" STRING(ROUNDS) ", %ecx; xor %eax, %eax\n"
			     "1: mov $" STRING(GUEST_PML4) ", %edx; mov %rdx, %cr3\n" WORK
				     READ_1 "mov $" STRING(
					     PML4_2) ", %edx; mov %rdx, %cr3\n" WORK READ_3
						     "dec %ecx; jnz 1b; hlt");

/* R8 and R9 are entries, for which the mapping changes; then @flush. */
#define CHANGES(name, flush)                                                                       \
	GUEST(name, 64,                                                                            \
	      "mov $" STRING(ROUNDS) ", %ecx; xor %eax, %eax\n"                                    \
				     "1: mov %r8, " STRING(WINDOW_ENTRY) "\n" flush WORK           \
					     READ_1 "mov %r9, " STRING(                            \
						     WINDOW_ENTRY) "\n" flush WORK READ_3          \
								   "dec %ecx; jnz 1b; hlt")

CHANGES(by_invlpg, "invlpg " STRING(WINDOW) "+8\n");
CHANGES(by_cr3, "mov %cr3, %rdx; mov %rdx, %cr3\n");
CHANGES(by_pge, "mov %cr4, %rdx; xor $0x80, %dl; mov %rdx, %cr4; xor $0x80, %dl; mov %rdx, %cr4\n");
/* So many others in between that nobody remembers them one by one. */
CHANGES(by_many, "mov $" STRING(WINDOW) "+0x3f000, %edx; 7: invlpg (%rdx); sub $0x1000, %edx;"
					"cmp $" STRING(WINDOW) ", %edx; jae 7b\n");

/* All pages of the window, with one pair of tables and the other. */
#define SUM                                                                                        \
	"mov $" STRING(WINDOW) ", %esi; 8: add (%rsi), %rbx; add $0x1000, %esi; cmp $0x80000, "    \
			       "%esi; jb 8b\n"
GUEST(many, 64,
      "mov $" STRING(ROUNDS) ", %ecx; xor %eax, %eax\n"
			     "1: mov $" STRING(
				     GUEST_PML4) ", %edx; mov %rdx, %cr3; xor %ebx, %ebx\n" SUM
						 "add %rbx, %rax\n"
						 "mov $" STRING(PML4_2) ", %edx; mov %rdx, %cr3; "
									"xor %ebx, %ebx\n" SUM
									"lea (%rbx,%rbx,2), %rbx; "
									"add %rbx, %rax\n"
									"dec %ecx; jnz 1b; hlt");

static void put64(struct vm *vm, uint64_t at, uint64_t value)
{
	memcpy(vm->ram + at, &value, 8);
}

static uint64_t get64(const struct vm *vm, uint64_t at)
{
	uint64_t value;

	memcpy(&value, vm->ram + at, 8);
	return value;
}

/* Everything but the window is global; both pairs of tables are there. */
static void make_tables(struct vm *vm)
{
	for (unsigned int i = 0; i < 512; i++)
		put64(vm, GUEST_PT + i * 8, get64(vm, GUEST_PT + i * 8) | PTE_G);
	memcpy(vm->ram + PML4_2, vm->ram + GUEST_PML4, PAGE);
	memcpy(vm->ram + PDPT_2, vm->ram + GUEST_PDPT, PAGE);
	memcpy(vm->ram + PD_2, vm->ram + GUEST_PD, PAGE);
	memcpy(vm->ram + PT_2, vm->ram + GUEST_PT, PAGE);
	put64(vm, PML4_2, PDPT_2 | (get64(vm, GUEST_PML4) & 0xfff));
	put64(vm, PDPT_2, PD_2 | (get64(vm, GUEST_PDPT) & 0xfff));
	put64(vm, PD_2, PT_2 | (get64(vm, GUEST_PD) & 0xfff));
	for (unsigned int i = 0; i < MANY; i++) {
		const uint64_t entry = (WINDOW / PAGE + i) * 8;

		put64(vm, GUEST_PT + entry, (FRAMES_1 + i * PAGE) | PTE_PW);
		put64(vm, PT_2 + entry, (FRAMES_2 + i * PAGE) | PTE_PW);
	}
	for (unsigned int at = 0; at < MANY * PAGE; at += 8) {
		put64(vm, FRAMES_1 + at, 1);
		put64(vm, FRAMES_2 + at, 2);
	}
}

/* RAX after @code, which halts. */
static uint64_t run(const uint8_t *code, const uint8_t *end, uint64_t entry_flags)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct vcpu vcpu;
	struct vm vm;

	vm_create(&vm);
	make_tables(&vm);
	vcpu_create(&vm, &vcpu, 0);
	vcpu_load(&vcpu, MODE_LONG, code, end);
	vcpu_get_sregs(&vcpu, &sregs);
	sregs.cr4 |= CR4_PGE;
	vcpu_set_sregs(&vcpu, &sregs);
	vcpu_get_regs(&vcpu, &regs);
	regs.r8 = FRAMES_1 | PTE_PW | entry_flags;
	regs.r9 = FRAMES_2 | PTE_PW | entry_flags;
	vcpu_set_regs(&vcpu, &regs);
	vcpu_expect(&vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(&vcpu, &regs);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	return regs.rax;
}

#define RUN(code, flags) run(code, code##_end, flags)

static void cr3_other(void)
{
	CHECK_EQ(RUN(switches, 0), EXPECTED);
}

static void cr3_same(void)
{
	CHECK_EQ(RUN(by_cr3, 0), EXPECTED);
}

static void invlpg(void)
{
	CHECK_EQ(RUN(by_invlpg, 0), EXPECTED);
}

static void invlpg_global(void)
{
	CHECK_EQ(RUN(by_invlpg, PTE_G), EXPECTED);
}

static void invlpg_many(void)
{
	CHECK_EQ(RUN(by_many, 0), EXPECTED);
	CHECK_EQ(RUN(by_many, PTE_G), EXPECTED);
}

static void pge_global(void)
{
	CHECK_EQ(RUN(by_pge, PTE_G), EXPECTED);
}

static void many_pages(void)
{
	CHECK_EQ(RUN(many, 0), MANY * (uint64_t)EXPECTED);
}

static const struct test_case cases[] = {
	{ "cr3_other", cr3_other },     { "cr3_same", cr3_same },
	{ "invlpg", invlpg },           { "invlpg_global", invlpg_global },
	{ "invlpg_many", invlpg_many }, { "pge_global", pge_global },
	{ "many_pages", many_pages },
};

CASES_MAIN(cases)
