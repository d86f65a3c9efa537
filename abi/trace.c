/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line for each ioctl, made from the table:
 *
 *	KVM_SET_USER_MEMORY_REGION(vm=1, slot=3, flags=0x0, ...) = 0
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

static uint64_t field_value(const struct ioctl_field *field, const uint8_t *data)
{
	uint64_t value = 0;

	memcpy(&value, data + field->offset, field->size);
	/* Descriptors are -1 when there is none, whatever the structure's type says. */
	if (!field->hex && field->size == sizeof(int32_t))
		return (int32_t)value;
	return value;
}

static void append_fields(struct line *line, const struct ioctl_row *row,
			  const struct ioctl_call *call, long result)
{
	uint8_t fixed[64];
	const uint8_t *data = call->data;
	const struct ioctl_field *field;

	if (!row->fields || (row->argument == ARGUMENT_OUT && result < 0))
		return;
	/* Variable length: the handler has its own copy. */
	if (row->argument == ARGUMENT_RAW && row->size <= sizeof(fixed) &&
	    !copy_in(call, fixed, call->argument, row->size))
		data = fixed;
	if (!data)
		return;
	for (field = row->fields; field->name; field++)
		append(line, field->hex ? ", %s=0x%" PRIx64 : ", %s=%" PRId64, field->name,
		       field_value(field, data));
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

void trace_ioctl(const struct ioctl_row *row, const struct ioctl_call *call, unsigned request,
		 long result)
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
		append_fields(&line, row, call, result);
	append(&line, ")");
	append_result(&line, row, call, result);
	log_printf(object_log(call->object), LOG_LEVEL_TRACE, "%s", line.text);
}
