/* SPDX-License-Identifier: GPL-2.0-or-later */
/* docs/interface.md, written from the tables. */
#define _GNU_SOURCE /* strerrorname_np */
#include <stdio.h>
#include <string.h>

#include "abi/internal.h"

static const char *argument_name(enum ioctl_argument argument)
{
	static const char *const name[] = {
		[ARGUMENT_NONE] = "none",  [ARGUMENT_VALUE] = "value",
		[ARGUMENT_IN] = "in",      [ARGUMENT_OUT] = "out",
		[ARGUMENT_INOUT] = "in/out", [ARGUMENT_RAW] = "variable",
	};

	return name[argument];
}

static void write_kinds(FILE *out, unsigned kinds)
{
	const char *separator = "";
	enum object_kind kind;

	for (kind = OBJECT_SYSTEM; kind <= OBJECT_STATS; kind++) {
		if (!(kinds & ON(kind)))
			continue;
		fprintf(out, "%s%s", separator, object_kind_name(kind));
		separator = ", ";
	}
}

static void write_ioctls(FILE *out)
{
	const struct ioctl_row *row;

	fputs("## ioctls\n\n"
	      "| ioctl | number | on | argument | bytes | KVM document |\n"
	      "| --- | --- | --- | --- | --- | --- |\n", out);
	for (row = ioctl_table; row < ioctl_table + ioctl_table_rows; row++) {
		if (!row->handler)
			continue;
		fprintf(out, "| `%s` | `0x%08x` | ", row->name, row->request);
		write_kinds(out, row->kinds);
		fprintf(out, " | %s | %u | %s |\n", argument_name(row->argument), row->size,
			row->section ? row->section : "");
	}
}

static void write_absent(FILE *out)
{
	const struct ioctl_row *row;

	fputs("\n## Not offered\n\n"
	      "These belong to features whose capability is absent. Any other number is `EINVAL`\n"
	      "on /dev/kvm and vCPUs and `ENOTTY` elsewhere, as on x86 Linux.\n\n"
	      "| ioctl | number | on | error |\n"
	      "| --- | --- | --- | --- |\n", out);
	for (row = ioctl_table; row < ioctl_table + ioctl_table_rows; row++) {
		if (row->handler)
			continue;
		fprintf(out, "| `%s` | `0x%08x` | ", row->name, row->request);
		write_kinds(out, row->kinds);
		fprintf(out, " | `%s` |\n", strerrorname_np(row->absent));
	}
}

static void write_capabilities(FILE *out)
{
	const struct capability_row *row;

	fputs("\n## Capabilities\n\n"
	      "| capability | number | value | KVM_ENABLE_CAP | note |\n"
	      "| --- | --- | --- | --- | --- |\n", out);
	for (row = capability_table; row < capability_table + capability_table_rows; row++) {
		const char *enable = row->enable_vm && row->enable_vcpu ? "VM, vCPU" :
				     row->enable_vm			? "VM" :
				     row->enable_vcpu			? "vCPU" :
									  "";

		fprintf(out, "| `%s` | %u | ", row->name, row->number);
		/* A value of this host or of one VM would be another one elsewhere. */
		if (row->dynamic)
			fputs("varies", out);
		else if (row->system == row->vm)
			fprintf(out, "%d", row->vm);
		else
			fprintf(out, "%d on /dev/kvm, %d on a VM", row->system, row->vm);
		fprintf(out, " | %s | %s |\n", enable, row->note ? row->note : "");
	}
}

void document_write(FILE *out)
{
	fputs("# The interface\n\n"
	      "Written by `fauxkvm info --markdown` from the tables in `abi/`.\n\n", out);
	write_ioctls(out);
	write_absent(out);
	write_capabilities(out);
}
