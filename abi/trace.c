/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line for each ioctl, made from the table:
 *
 *	KVM_SET_USER_MEMORY_REGION(vm=1, slot=3, flags=0x0, ...) = 0
 *
 * What a call changes in its argument follows an arrow: nmsrs=0->87.
 */
#define _GNU_SOURCE /* strerrorname_np */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "abi/internal.h"

#define LINE_BYTES 512

struct line {
	char text[LINE_BYTES];
	size_t length;
};

static void append(struct line *line, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void append(struct line *line, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line->text + line->length, LINE_BYTES - line->length, format, arguments);
	va_end(arguments);
	if (length > 0)
		line->length += length;
	if (line->length >= LINE_BYTES)
		line->length = LINE_BYTES - 1;
}

static void append_object(struct line *line, const struct object *object)
{
	const struct vcpu_object *vcpu = (const struct vcpu_object *)object;

	switch (object->kind) {
	case OBJECT_VM:
		append(line, "vm=%u", ((const struct vm_object *)object)->number);
		break;
	case OBJECT_VCPU:
		append(line, "vm=%u, vcpu=%u", vcpu->vm->number, vcpu->vcpu->id);
		break;
	case OBJECT_STATS:
		append(line, "vm=%u", ((const struct stats_object *)object)->vm->number);
		break;
	default:
		append(line, "%s", object_kind_name(object->kind));
		break;
	}
}

static bool read_fields(const struct ioctl_row *row, const struct ioctl_call *call,
			uint64_t value[IOCTL_FIELDS_MAX])
{
	const struct ioctl_field *field;
	unsigned i;

	for (i = 0, field = row->fields; field->name; i++, field++) {
		value[i] = 0;
		if (copy_in(call, &value[i], call->argument + field->offset, field->size))
			return false;
		/* Descriptors are -1 when there is none, whatever the structure's type says. */
		if (!field->hex && field->size == sizeof(int32_t))
			value[i] = (int32_t)value[i];
	}
	return true;
}

void trace_given(struct ioctl_trace *trace, const struct ioctl_row *row,
		 const struct ioctl_call *call)
{
	trace->known = row && row->fields && row->argument != ARGUMENT_OUT &&
		       row->argument != ARGUMENT_VALUE && read_fields(row, call, trace->given);
}

static void append_value(struct line *line, const struct ioctl_field *field, uint64_t value)
{
	if (field->hex)
		append(line, "0x%" PRIx64, value);
	else
		append(line, "%" PRId64, (int64_t)value);
}

/* Whether the call may have left something where its argument is. */
static bool answers(const struct ioctl_row *row, long result)
{
	switch (row->argument) {
	case ARGUMENT_OUT:
	case ARGUMENT_INOUT:
		return result >= 0;
	case ARGUMENT_RAW: /* lengths that would have been right */
		return true;
	default:
		return false;
	}
}

static void append_fields(struct line *line, const struct ioctl_trace *trace,
			  const struct ioctl_row *row, const struct ioctl_call *call, long result)
{
	uint64_t left[IOCTL_FIELDS_MAX];
	const struct ioctl_field *field;
	bool answered = row->fields && answers(row, result) && read_fields(row, call, left);
	unsigned i;

	if (!trace->known && !answered)
		return;
	for (i = 0, field = row->fields; field->name; i++, field++) {
		append(line, ", %s=", field->name);
		if (trace->known)
			append_value(line, field, trace->given[i]);
		if (!answered || (trace->known && !field->result && left[i] == trace->given[i]))
			continue;
		if (trace->known)
			append(line, "->");
		if (field->result)
			append(line, "%s=", field->result);
		append_value(line, field, left[i]);
	}
}

static void append_result(struct line *line, const struct ioctl_row *row,
			  const struct ioctl_call *call, long result)
{
	const char *name = result < 0 ? strerrorname_np(-result) : NULL;

	if (name)
		append(line, " = -%s", name);
	else
		append(line, " = %ld", result);
	if (row && row->request == KVM_RUN && result == 0)
		append(line, " exit_reason=%u", call_vcpu(call)->run->exit_reason);
}

void trace_ioctl(const struct ioctl_trace *trace, const struct ioctl_row *row,
		 const struct ioctl_call *call, unsigned request, long result)
{
	struct line line = { .length = 0 };

	if (row)
		append(&line, "%s(", row->name);
	else
		append(&line, "ioctl 0x%08x(", request);
	append_object(&line, call->object);
	if (!row || row->argument == ARGUMENT_VALUE)
		append(&line, ", 0x%lx", call->argument);
	else
		append_fields(&line, trace, row, call, result);
	append(&line, ")");
	append_result(&line, row, call, result);
	log_printf(object_log(call->object), LOG_LEVEL_TRACE, "%s", line.text);
}
