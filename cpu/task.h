/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hardware task switching. Source: Intel SDM volume 3, chapter 8. */
#ifndef FAUXKVM_CPU_TASK_H
#define FAUXKVM_CPU_TASK_H

#include "cpu/segment.h"

enum task_reason { TASK_JUMP, TASK_CALL, TASK_IRET, TASK_GATE /* interrupt or exception */ };

/*
 * Switches to the task whose TSS @selector names; the old task continues at @return_ip. @error is
 * pushed on the new stack when @has_error. @ext is or'ed to error codes of faults on the way. Not
 * in long mode. Returns enum access_status; if it is negative, the old task runs on (except for
 * ACCESS_HOST_FAULT, which may come after the switch).
 */
int task_switch(struct vcpu *vcpu, uint16_t selector, enum task_reason reason, uint64_t return_ip,
		bool has_error, uint32_t error, uint32_t ext);

#endif
