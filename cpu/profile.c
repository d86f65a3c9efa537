/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/profile.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu/interp/insn.h"

#define KINDS_PRINTED 16
#define LINE_BYTES 160

/* KVM_EXIT_*, by number. */
static const char *const exit_names[PROFILE_EXITS] = {
	"unknown",
	"exception",
	"io",
	"hypercall",
	"debug",
	"hlt",
	"mmio",
	"irq window open",
	"shutdown",
	"fail entry",
	"intr",
	"set TPR",
	"TPR access",
	[17] = "internal error",
	[24] = "system event",
	[26] = "IOAPIC EOI",
	[27] = "hyperv",
	[29] = "rdmsr",
	[30] = "wrmsr",
	[31] = "dirty ring full",
	[33] = "bus lock",
	[37] = "notify",
	[39] = "memory fault",
};

struct profile *profile_create(void)
{
	return calloc(1, sizeof(struct profile));
}

void profile_destroy(struct profile *profile)
{
	free(profile);
}

void profile_exit(struct vcpu *vcpu, int result)
{
	const unsigned reason = vcpu->run->exit_reason;

	if (result == -EINTR)
		vcpu->profile->interrupted++;
	else if (result)
		vcpu->profile->failed++;
	else
		vcpu->profile->exits[reason < PROFILE_EXITS ? reason : 0]++;
}

/* ---- kinds of instructions ---- */

/* ModRM.reg is a part of the opcode. */
static bool is_group(const struct insn *insn)
{
	const unsigned op = insn->opcode;

	if (insn->map == 0)
		return (op >= 0x80 && op <= 0x83) || op == 0x8f || op == 0xc0 || op == 0xc1 ||
		       (op >= 0xd0 && op <= 0xd3) || (op >= 0xd8 && op <= 0xdf) || op == 0xf6 ||
		       op == 0xf7 || op >= 0xfe;
	return insn->map == 1 &&
	       (op <= 0x01 || (op >= 0x71 && op <= 0x73) || op == 0xae || op == 0xba || op == 0xc7);
}

/* Instructions that have one name have one key, or a few. Not 0. */
static uint32_t kind_key(const struct insn *insn)
{
	/* 0F 01 C0 and on: ModRM is the opcode. */
	const unsigned modrm = !is_group(insn)                        ? 0 :
			       insn->map == 1 && insn->opcode == 0x01 ? insn->modrm :
									insn->modrm & 0x38;
	const unsigned flags = insn->flags & (INSN_LOCK | INSN_REP | INSN_REPNE | INSN_VEX);

	return 1u << 31 | modrm << 23 | insn->map << 21 | insn->opcode << 13 |
	       (insn->flags & INSN_OPSIZE ? 1u << 12 : 0) | (flags & 0xfff);
}

static void name_kind(char *name, size_t bytes, const struct insn *insn, const uint8_t *code)
{
	cs_insn *text;
	csh handle;

	snprintf(name, bytes, "opcode %u:%02x", insn->map, insn->opcode);
	if (cs_open(CS_ARCH_X86,
		    insn->code == 8 ? CS_MODE_64 :
		    insn->code == 4 ? CS_MODE_32 :
				      CS_MODE_16,
		    &handle) != CS_ERR_OK)
		return;
	if (cs_disasm(handle, code, insn->length, 0, 1, &text)) {
		snprintf(name, bytes, "%s", text->mnemonic);
		cs_free(text, 1);
	}
	cs_close(&handle);
}

void profile_stop(struct vcpu *vcpu, const struct insn *insn, const uint8_t *bytes)
{
	const uint32_t key = kind_key(insn);
	uint32_t at = (key * 0x9e3779b1u) >> 23;
	struct profile_kind *kind;

	for (unsigned tries = 0; tries < PROFILE_KINDS; tries++) {
		kind = &vcpu->profile->kind[(at + tries) % PROFILE_KINDS];
		if (kind->key == key) {
			kind->count++;
			return;
		}
		if (kind->key)
			continue;
		name_kind(kind->name, sizeof(kind->name), insn, bytes);
		kind->count = 1;
		__atomic_store_n(&kind->key, key, __ATOMIC_RELEASE);
		return;
	}
	vcpu->profile->other_kinds++;
}

/* ---- printing ---- */

static void put_line(int fd, const char *line, int length)
{
	/* Nobody is there to tell that the descriptor takes nothing. */
	while (write(fd, line, length) < 0 && errno == EINTR)
		;
}

#define PUT(fd, ...)                                                                               \
	do {                                                                                       \
		char line_[LINE_BYTES];                                                            \
		int length_ = snprintf(line_, sizeof(line_), __VA_ARGS__);                         \
                                                                                                   \
		put_line((fd), line_, length_ < LINE_BYTES ? length_ : LINE_BYTES - 1);            \
	} while (0)

static void print_exits(const struct profile *profile, int fd)
{
	for (unsigned i = 0; i < PROFILE_EXITS; i++) {
		if (!profile->exits[i])
			continue;
		if (exit_names[i])
			PUT(fd, "  exits: %-22s %14" PRIu64 "\n", exit_names[i], profile->exits[i]);
		else
			PUT(fd, "  exits: reason %-15u %14" PRIu64 "\n", i, profile->exits[i]);
	}
	if (profile->interrupted)
		PUT(fd, "  exits: %-22s %14" PRIu64 "\n", "interrupted", profile->interrupted);
	if (profile->failed)
		PUT(fd, "  exits: %-22s %14" PRIu64 "\n", "failed", profile->failed);
}

/* Kinds with one name are one. Returns how many there are. */
static unsigned merge_kinds(const struct profile *profile, struct profile_kind *merged)
{
	unsigned count = 0, known;

	for (unsigned i = 0; i < PROFILE_KINDS; i++) {
		const struct profile_kind *kind = &profile->kind[i];

		if (!__atomic_load_n(&kind->key, __ATOMIC_ACQUIRE))
			continue;
		for (known = 0; known < count; known++)
			if (!strcmp(merged[known].name, kind->name))
				break;
		if (known < count)
			merged[known].count += kind->count;
		else
			merged[count++] = *kind;
	}
	return count;
}

static void print_stop(const struct profile *profile, int fd, const char *name, uint64_t count)
{
	const uint64_t stops = profile->stops ? profile->stops : 1;

	if (count)
		PUT(fd, "  stopped for: %-22s %8" PRIu64 " %3u.%u%%\n", name, count,
		    (unsigned)(count * 100 / stops), (unsigned)(count * 1000 / stops % 10));
}

/* The most frequent first, the rest as one. */
static void print_kinds(const struct profile *profile, int fd)
{
	struct profile_kind merged[PROFILE_KINDS];
	unsigned count = merge_kinds(profile, merged), printed, i;
	uint64_t rest = profile->other_kinds;

	for (printed = 0; printed < KINDS_PRINTED && printed < count; printed++) {
		unsigned most = printed;
		struct profile_kind kind;

		for (i = printed + 1; i < count; i++)
			if (merged[i].count > merged[most].count)
				most = i;
		kind = merged[most];
		merged[most] = merged[printed];
		merged[printed] = kind;
		print_stop(profile, fd, kind.name, kind.count);
	}
	for (i = printed; i < count; i++)
		rest += merged[i].count;
	print_stop(profile, fd, "(other instructions)", rest);
}

void profile_print(const struct vcpu *vcpu, unsigned vm, int fd)
{
	const struct profile *profile = vcpu->profile;

	if (!profile)
		return;
	PUT(fd, "fauxkvm: VM %u, vCPU %u, engine %s:\n", vm, vcpu->id, vcpu->engine->name);
	print_exits(profile, fd);
	PUT(fd, "  interrupts delivered:          %13" PRIu64 "\n", vcpu->stats.irq_injections);
	PUT(fd, "  TLB fills:                     %13" PRIu64 "\n", vcpu->mmu.fills);
	PUT(fd, "  blocks decoded:                %13" PRIu64 "\n", vcpu->stats.blocks);
	if (!profile->entries)
		return;
	PUT(fd, "  blocks given to Unicorn:       %13" PRIu64 "\n", profile->published);
	PUT(fd, "  blocks translated by Unicorn:  %13" PRIu64 "\n", profile->translated);
	PUT(fd, "  Unicorn's TLB fills, refused:  %13" PRIu64 " %" PRIu64 "\n", profile->fills,
	    profile->refused);
	PUT(fd, "  calls from Unicorn's code:     %13" PRIu64 "\n", profile->calls);
	PUT(fd, "  Unicorn entered, stopped:      %13" PRIu64 " %" PRIu64 "\n", profile->entries,
	    profile->stops);
	print_stop(profile, fd, "(access to memory)", profile->accesses);
	print_stop(profile, fd, "(code not given yet)", profile->new_code);
	print_stop(profile, fd, "(instruction on 2 pages)", profile->two_pages);
	print_kinds(profile, fd);
}
