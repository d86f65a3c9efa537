/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel that QEMU boots by its multiboot header: segments, paging, a timer interrupt, and a
 * program in user space that makes system calls. What it says comes out of the serial port; it
 * ends the machine through the device isa-debug-exit with the value GOOD.
 */
#define SERIAL 0x3f8
#define DEBUG_EXIT 0xf4
#define GOOD 0x10

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_CODE 0x1b
#define USER_DATA 0x23
#define TASK 0x28

#define USER_AT 0x400000 /* the second 4 MiB page, the only one of user space */
#define TICKS 20         /* that the program waits for, at 100 Hz */
#define PIT_DIVISOR 11932

#define MAGIC 0x1badb002

	.section .multiboot, "a"
	.align 4
	.long MAGIC, 0, -MAGIC

	.text
	.globl start
start:
	cli
	mov $stack, %esp
	lgdt gdt_pointer
	ljmp $KERNEL_CODE, $1f
1:	mov $KERNEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $in_kernel, %esi
	call print

	/* The task segment, for the way from user space into the kernel. */
	mov $task, %eax
	mov %ax, gdt + TASK + 2
	shr $16, %eax
	mov %al, gdt + TASK + 4
	mov %ah, gdt + TASK + 7
	mov $TASK, %eax
	ltr %ax

	mov $13, %ecx
	mov $protection_fault, %eax
	mov $0x8e00, %edx
	call set_gate
	mov $32, %ecx
	mov $timer, %eax
	call set_gate
	mov $0x80, %ecx
	mov $system_call, %eax
	mov $0xee00, %edx
	call set_gate
	lidt idt_pointer

	/* The controllers' vectors from 32 on, the timer alone. */
	mov $0x11, %al
	out %al, $0x20
	out %al, $0xa0
	mov $32, %al
	out %al, $0x21
	mov $40, %al
	out %al, $0xa1
	mov $4, %al
	out %al, $0x21
	mov $2, %al
	out %al, $0xa1
	mov $1, %al
	out %al, $0x21
	out %al, $0xa1
	mov $0xfe, %al
	out %al, $0x21
	mov $0xff, %al
	out %al, $0xa1
	mov $0x34, %al
	out %al, $0x43
	mov $(PIT_DIVISOR & 0xff), %al
	out %al, $0x40
	mov $(PIT_DIVISOR >> 8), %al
	out %al, $0x40

	/* Two pages of 4 MiB: the kernel's, and the program's. */
	movl $0x83, directory
	movl $(USER_AT + 0x87), directory + 4
	mov %cr4, %eax
	or $0x10, %eax
	mov %eax, %cr4
	mov $directory, %eax
	mov %eax, %cr3
	mov %cr0, %eax
	or $0x80010000, %eax
	mov %eax, %cr0

	mov $program, %esi
	mov $USER_AT, %edi
	mov $(program_end - program), %ecx
	rep movsb
	mov $USER_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	push $USER_DATA
	push $(USER_AT + 0x10000)
	push $0x202
	push $USER_CODE
	push $USER_AT
	iret

/* Gate %ecx: handler %eax, type %edx. */
set_gate:
	lea idt(, %ecx, 8), %edi
	mov %ax, (%edi)
	movw $KERNEL_CODE, 2(%edi)
	mov %dx, 4(%edi)
	mov %eax, %ebx
	shr $16, %ebx
	mov %bx, 6(%edi)
	ret

/* The text at %ss:%esi, which may be the program's. */
print:
	mov $(SERIAL + 5), %edx
1:	in %dx, %al
	test $0x20, %al
	jz 1b
	mov %ss:(%esi), %al
	test %al, %al
	jz 2f
	mov $SERIAL, %edx
	out %al, %dx
	inc %esi
	jmp print
2:	ret

timer:
	push %eax
	incl %ss:ticks
	mov $0x20, %al
	out %al, $0x20
	pop %eax
	iret

/* EAX 0: how many ticks; 1: print ESI. */
system_call:
	test %eax, %eax
	jnz 1f
	mov %ss:ticks, %eax
	iret
1:	push %edx
	call print
	pop %edx
	iret

/* The program's last instruction, which only the kernel may execute. */
protection_fault:
	cmpl $USER_CODE, 8(%esp)
	jne 1f
	mov $faulted, %esi
	call print
	mov $GOOD, %al
	out %al, $DEBUG_EXIT
1:	hlt
	jmp 1b

program:
	mov $1, %eax
	mov $(USER_AT + in_user - program), %esi
	int $0x80
1:	xor %eax, %eax
	int $0x80
	cmp $TICKS, %eax
	jb 1b
	mov $1, %eax
	mov $(USER_AT + has_ticked - program), %esi
	int $0x80
	cli
in_user: .asciz "in user space\n"
has_ticked: .asciz "the timer ticks\n"
program_end:

	.section .rodata
in_kernel: .asciz "in the kernel\n"
faulted: .asciz "user space stays in its bounds\n"

	.data
	.align 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00cffb000000ffff
	.quad 0x00cff3000000ffff
	.quad 0x0000890000000067
gdt_pointer:
	.word . - gdt - 1
	.long gdt
idt_pointer:
	.word 0x81 * 8 - 1
	.long idt
	.align 4
task:	.long 0, stack, KERNEL_DATA
	.fill 23, 4, 0
ticks:	.long 0

	.bss
	.align 4096
directory: .skip 4096
idt:	.skip 0x81 * 8
	.skip 4096
stack:
