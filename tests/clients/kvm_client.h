/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the raw-interface clients share: test cases, a small VM, a vCPU in a chosen mode.
 *
 * A client is a list of cases. Each case runs in its own child process, so a case that crashes or
 * hangs fails alone; it prints `ok NAME`, `not ok NAME: why` or `skip NAME: reason`. The clients
 * use only libc and /dev/kvm: what passes on a real KVM must pass under FauxKVM.
 */
#ifndef CLIENTS_KVM_CLIENT_H
#define CLIENTS_KVM_CLIENT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_new.h"

/* Where things are in guest-physical memory. RAM is slot 0, from address 0. */
#define RAM_BYTES 0x200000
#define GUEST_GDT 0x1000
#define GUEST_TSS 0x1800
#define GUEST_IDT 0x2000
#define GUEST_STACK 0x8000  /* its top */
#define GUEST_STACK0 0x7800 /* of ring 0 after an interrupt in ring 3 or V86 */
#define GUEST_CODE 0x8000
#define GUEST_DATA 0xa000 /* free up to 0x20000 */
#define GUEST_PML4 0x20000
#define GUEST_PDPT 0x21000
#define GUEST_PD 0x22000 /* four pages: 4 GiB, identity, 2 MiB pages but for the first */
#define GUEST_PT 0x26000 /* the first 2 MiB in 4 KiB pages */
#define GUEST_PAE 0x27000
#define GUEST_FREE 0x30000   /* nothing lives from here to RAM_BYTES */
#define MMIO_BASE 0x10000000 /* nothing is behind it */

/* Selectors of the GDT that vcpu_set_mode builds. */
#define SEL_CODE64 0x08
#define SEL_DATA 0x10
#define SEL_CODE32 0x18
#define SEL_CODE16 0x20
#define SEL_UDATA 0x2b
#define SEL_UCODE64 0x33
#define SEL_UCODE32 0x3b
#define SEL_TSS 0x40

/* For guest code: the address at which @label lies once @code is loaded at GUEST_CODE. */
#define AT(code, label) "(" STRING(GUEST_CODE) " + " #label " - " #code ")"
#define STRING_(x) #x
#define STRING(x) STRING_(x)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/*
 * A piece of guest code, assembled for @bits as if loaded at an address it does not depend on:
 * GUEST(spin, 64, "1: jmp 1b") declares spin[] and spin_end[].
 */
#define GUEST(name, bits, text)                                                                    \
	extern const uint8_t name[] __attribute__((visibility("hidden")));                         \
	extern const uint8_t name##_end[] __attribute__((visibility("hidden")));                   \
	__asm__(".pushsection .rodata.guest, \"a\"\n.code" #bits "\n" #name ":\n" text "\n" #name  \
		"_end:\n.code64\n.popsection\n")

struct test_case {
	const char *name;
	void (*run)(void);
};

/* Runs the cases (all, or those whose name is in argv) and returns main's exit status. */
int cases_main(int argc, char **argv, const struct test_case *cases, size_t count);
#define CASES_MAIN(cases)                                                                          \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return cases_main(argc, argv, cases, ARRAY_SIZE(cases));                           \
	}

/* Ends the running case. Callable from any thread. */
void case_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4), noreturn));
void case_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* The result of one row of a table; a bad one makes the case fail at its end. */
void case_row(bool ok, const char *row, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define FAIL(...) case_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			FAIL(__VA_ARGS__);                                                         \
	} while (0)
#define CHECK_EQ(value, expected)                                                                  \
	do {                                                                                       \
		unsigned long long v_ = (unsigned long long)(value);                               \
		unsigned long long e_ = (unsigned long long)(expected);                            \
		if (v_ != e_)                                                                      \
			FAIL("%s is %#llx, expected %#llx", #value, v_, e_);                       \
	} while (0)

struct vm {
	int kvm;
	int fd;
	uint8_t *ram;
	size_t ram_bytes;
};

struct vcpu {
	struct vm *vm;
	int fd;
	struct kvm_run *run;
	size_t run_bytes;
};

enum mode {
	MODE_REAL,
	MODE_PROTECTED, /* flat 32 bits, no paging */
	MODE_PAE,       /* the same with PAE paging, identity */
	MODE_LONG,      /* 64 bits, identity */
};

/* Fails the case unless the ioctl succeeds; returns its result. */
int xioctl(int fd, const char *name, unsigned long request, unsigned long arg);
#define XIOCTL(fd, request, arg) xioctl(fd, #request, request, (unsigned long)(arg))

int kvm_open(void);
/* The value of a capability, asked of the VM. */
int vm_cap(const struct vm *vm, unsigned int cap);
void vm_need_cap(const struct vm *vm, unsigned int cap, const char *name);
#define VM_NEED_CAP(vm, cap) vm_need_cap(vm, cap, #cap)

/* A VM with RAM_BYTES of RAM at 0 and the page tables and GDT of the modes above. */
void vm_create(struct vm *vm);
void vm_create_irqchip(struct vm *vm); /* the same with PIC, IOAPIC and local APICs */
void vm_destroy(struct vm *vm);
/* Sets a slot; returns 0 or -errno. */
int vm_set_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t bytes,
		void *hva);
/* The same with KVM_SET_USER_MEMORY_REGION2: a guest_memfd and the offset in it. */
int vm_set_slot2(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t bytes,
		 const void *hva, int fd, uint64_t offset);
void *pages_alloc(size_t bytes);
void vm_load(struct vm *vm, uint64_t gpa, const uint8_t *code, const uint8_t *end);
/* Fills gate @vector (DPL 3) for @mode; the handler runs in the mode's ring 0 code segment. */
void vm_set_gate(struct vm *vm, enum mode mode, unsigned int vector, uint64_t handler);

void vcpu_create(struct vm *vm, struct vcpu *vcpu, unsigned int id);
void vcpu_destroy(struct vcpu *vcpu);
/* Registers of a CPU that is in @mode about to execute @rip, interrupts off. */
void vcpu_set_mode(struct vcpu *vcpu, enum mode mode, uint64_t rip);
/* vcpu_set_mode and a copy of the code at GUEST_CODE. */
void vcpu_load(struct vcpu *vcpu, enum mode mode, const uint8_t *code, const uint8_t *end);
#define VCPU_LOAD(vcpu, mode, code) vcpu_load(vcpu, mode, code, code##_end)
/* A VM and one vCPU in @mode with the code. */
#define VM_BOOT(vm, vcpu, mode, code)                                                              \
	do {                                                                                       \
		vm_create(vm);                                                                     \
		vcpu_create(vm, vcpu, 0);                                                          \
		VCPU_LOAD(vcpu, mode, code);                                                       \
	} while (0)
#define VM_BOOT_IRQCHIP(vm, vcpu, mode, code)                                                      \
	do {                                                                                       \
		vm_create_irqchip(vm);                                                             \
		vcpu_create(vm, vcpu, 0);                                                          \
		VCPU_LOAD(vcpu, mode, code);                                                       \
	} while (0)

void vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs);
void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs);
void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);
/* Gives the vCPU the host's supported CPUID. */
void vcpu_set_cpuid(struct vcpu *vcpu);

/* KVM_RUN: the exit reason, or -errno. */
int vcpu_run(struct vcpu *vcpu);
const char *exit_name(int reason);
/* Each runs and fails the case unless exactly this exit follows. */
void vcpu_expect_at(struct vcpu *vcpu, int reason, const char *file, int line);
#define vcpu_expect(vcpu, reason) vcpu_expect_at(vcpu, reason, __FILE__, __LINE__)
/* An OUT of one element to @port: returns what was written. */
uint32_t vcpu_expect_out_at(struct vcpu *vcpu, uint16_t port, unsigned int bytes, const char *file,
			    int line);
#define vcpu_expect_out(vcpu, port, bytes) vcpu_expect_out_at(vcpu, port, bytes, __FILE__, __LINE__)
/* An MMIO access: its data bytes are the return value's and may be answered in run->mmio.data. */
uint64_t vcpu_expect_mmio_at(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
			     const char *file, int line);
#define vcpu_expect_mmio(vcpu, write, gpa, bytes)                                                  \
	vcpu_expect_mmio_at(vcpu, write, gpa, bytes, __FILE__, __LINE__)
void vcpu_answer_mmio(struct vcpu *vcpu, uint64_t data);

uint64_t now_ns(void);
/* What time limits are multiplied with: CLIENT_TIME_SCALE, for a slow machine; 1 without it. */
unsigned int time_scale(void);
void sleep_ms(unsigned int ms);

#endif
