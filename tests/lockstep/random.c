// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lockstep-random: sequences of random instructions on interpreter, Unicorn and host.
 *
 * On a difference it prints how to see it again, the sequence without the instructions that do not
 * matter, and all states.
 */
#include <capstone/capstone.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu/flags.h"
#include "cpu/unicorn/unicorn.h"
#include "lockstep.h"

#define ENGINES 2

static const char *const engines[ENGINES] = { "interp", "unicorn-eager" };

static struct machine *machines[ENGINES];
static struct outcome outcomes[ENGINES];
static struct native_outcome native;
static struct batch *batch;
static bool host_judges, judged; /* @judged: @native is of the sequence that ran last */

static struct {
	uint64_t sequences, insns, native, timeouts, exits, exceptions, astray, undefined,
		differences;
} total;

/* ---- one sequence ---- */

/*
 * The one difference that is known: a jump to a non-canonical address faults where it leads, not
 * where it is (docs/unicorn.md).
 */
static bool jumped_astray(const struct outcome *unicorn)
{
	const uint64_t rip = unicorn->rip;
	const bool astray = mode_is_64(batch->mode) && unicorn->vector == VECTOR_GP &&
			    (uint64_t)((int64_t)(rip << 16) >> 16) != rip;

	return astray;
}

/* The only bytes that differ are 8 or less that lead up to a page that was refused. */
static void forgive_memory(void)
{
	for (unsigned page = 0; page < DATA_PAGES; page++) {
		const uint8_t *a = machine_page(machines[0], page);
		uint8_t *b = machine_page(machines[1], page);
		unsigned first = 0;

		while (first < PAGE && a[first] == b[first])
			first++;
		if (first > PAGE - 16 && first < PAGE)
			memcpy(b + first, a + first, PAGE - first < 8 ? PAGE - first : 8);
	}
}

/*
 * Of a vector on two pages Unicorn has done half when the other page is refused (docs/unicorn.md):
 * takes that back where such an instruction ended in a fault.
 */
static void forgive_torn(void)
{
	const struct decode_mode mode = { .code = mode_is_64(batch->mode) ? 8 : 4,
					  .stack = mode_is_64(batch->mode) ? 8 : 4,
					  .protected_mode = true };
	const uint64_t at = outcomes[1].rip - CODE_LINEAR;
	struct insn insn;
	enum torn torn;

	if (outcomes[1].vector < 0 || outcomes[0].rip != outcomes[1].rip || at > CODE_BYTES - 15 ||
	    decode(&mode, batch->code + at, 15, 0, &insn) == DECODE_MORE)
		return;
	torn = unicorn_tears(&insn);
	if (torn == TORN_STORE)
		forgive_memory();
	else if (torn == TORN_LOAD)
		memcpy(outcomes[1].state.fpu.xmm[insn.reg_number],
		       outcomes[0].state.fpu.xmm[insn.reg_number], 8);
}

/* 0 or what differs. */
static const char *compare_engines(void)
{
	const struct outcome *a = &outcomes[0], *b = &outcomes[1];
	unsigned page;

	if (a->kind == OUTCOME_TIMEOUT && b->kind == OUTCOME_TIMEOUT)
		return NULL;
	if (jumped_astray(b))
		return NULL;
	forgive_torn();
	if (a->kind != b->kind)
		return "how it ends";
	if (a->vector != b->vector)
		return "the exception";
	if (a->rip != b->rip)
		return "RIP";
	if (a->exits != b->exits || a->accesses != b->accesses)
		return "accesses to devices";
	if (memcmp(&a->state, &b->state, sizeof(a->state)))
		return memcmp(a->state.gpr, b->state.gpr, sizeof(a->state.gpr)) ? "registers" :
		       a->state.arith != b->state.arith                         ? "flags" :
										  "cpu_state";
	for (page = 0; page <= DATA_PAGES; page++)
		if (page != DATA_ABSENT && page != DATA_MMIO &&
		    memcmp(machine_page(machines[0], page), machine_page(machines[1], page), PAGE))
			return "memory";
	return NULL;
}

static bool natively(const struct sequence *sequence)
{
	return sequence->native && outcomes[0].kind == OUTCOME_HALT && !outcomes[0].accesses &&
	       outcomes[0].vector >= 0 &&
	       outcomes[0].rip - CODE_LINEAR - sequence->start < sequence->bytes;
}

/* A word of the exception's frame, which begins at the top of the stack: RIP, CS, RFLAGS, RSP. */
static uint64_t frame_word(unsigned index)
{
	const unsigned bytes = mode_is_64(batch->mode) ? 8 : 4;
	uint64_t value = 0;

	memcpy(&value, machine_page(machines[0], DATA_PAGES) + PAGE - (5 - index) * bytes, bytes);
	return value;
}

static const char *compare_native(void)
{
	const struct outcome *a = &outcomes[0];

	/* Makers of CPUs differ in whether flat 32-bit segments wrap around. */
	if (batch->mode == USER32 && native.vector == VECTOR_SS)
		return NULL;
	/* And in what a CALL to a non-canonical address finds first, that or a bad stack. */
	if (batch->mode == USER64 && native.vector == VECTOR_PF && a->vector == VECTOR_GP &&
	    native.rip == a->rip)
		return NULL;
	if (native.vector != a->vector)
		return "the exception is not the host's";
	if (native.rip != a->rip)
		return "RIP is not the host's";
	for (unsigned i = 0; i < 16; i++)
		if (native.gpr[i] != (i == GPR_RSP ? frame_word(3) : a->state.gpr[i]))
			return "registers are not the host's";
	if ((frame_word(2) ^ native.flags) & (RFLAGS_ARITH | RFLAGS_DF) & ~a->undefined)
		return "flags are not the host's";
	if (memcmp(machine_page(machines[0], 0), native_page(0), 3 * PAGE))
		return "memory is not the host's";
	return NULL;
}

/* 0 or what differs. */
static const char *run(const struct sequence *sequence, bool with_native)
{
	const char *differs;
	unsigned tries = 0;

	/* One alone that took too long may have lost the CPU meanwhile. */
	do {
		for (unsigned i = 0; i < ENGINES; i++)
			machine_run(machines[i], batch, sequence, &outcomes[i]);
	} while ((outcomes[0].kind == OUTCOME_TIMEOUT) != (outcomes[1].kind == OUTCOME_TIMEOUT) &&
		 ++tries < 10);
	differs = compare_engines();
	judged = with_native && natively(sequence);
	if (judged) {
		native_run(batch, sequence, &native);
		total.native++;
	}
	return !differs && judged ? compare_native() : differs;
}

/* ---- a difference ---- */

static void load_code(void)
{
	for (unsigned i = 0; i < ENGINES; i++)
		machine_load_code(machines[i], batch);
	if (host_judges)
		native_load(batch);
}

/* Makes NOPs of all instructions without which it still differs. */
static const char *minimise(const struct sequence *sequence)
{
	uint8_t *code = batch->code + sequence->start, saved[SEQUENCE_BYTES_MAX];
	const char *differs;

	memcpy(saved, code, sequence->bytes);
	for (unsigned i = 0; i < sequence->insns; i++) {
		const unsigned at = sequence->insn[i].offset,
			       bytes = sequence->insn[i + 1].offset - at;
		uint8_t before[16];

		if (bytes > sizeof(before))
			continue;
		memcpy(before, code + at, bytes);
		memset(code + at, 0x90, bytes);
		load_code();
		if (!run(sequence, host_judges)) {
			memcpy(code + at, before, bytes);
			load_code();
		}
	}
	differs = run(sequence, host_judges);
	if (differs)
		return differs;
	memcpy(code, saved, sequence->bytes);
	load_code();
	return run(sequence, host_judges);
}

static void print_code(const struct sequence *sequence)
{
	csh handle;

	if (cs_open(CS_ARCH_X86, mode_is_64(batch->mode) ? CS_MODE_64 : CS_MODE_32, &handle))
		return;
	for (unsigned i = 0; i <= sequence->insns; i++) {
		const unsigned at = sequence->insn[i].offset,
			       bytes = i < sequence->insns ? sequence->insn[i + 1].offset - at : 1;
		const uint8_t *code = batch->code + sequence->start + at;
		char hex[3 * 16 + 1] = "";
		cs_insn *insn;

		if (bytes > 16 || (i < sequence->insns && code[0] == 0x90 && bytes > 1))
			continue;
		for (unsigned n = 0; n < bytes; n++)
			sprintf(hex + 3 * n, "%02x ", code[n]);
		printf("  %08x %-45s ", CODE_LINEAR + sequence->start + at, hex);
		if (cs_disasm(handle, code, bytes, CODE_LINEAR + sequence->start + at, 1, &insn)) {
			printf("%s %s", insn->mnemonic, insn->op_str);
			cs_free(insn, 1);
		}
		printf(" (undefined before: %03x)\n", sequence->insn[i].undefined);
	}
	cs_close(&handle);
}

static void print_registers(const struct sequence *sequence)
{
	printf("     %-16s  %-16s  %-16s%s\n", "before", engines[0], engines[1],
	       judged ? "  host" : "");
	for (unsigned i = 0; i < 16; i++) {
		const uint64_t a = outcomes[0].state.gpr[i], b = outcomes[1].state.gpr[i];

		printf("r%-3u %016" PRIx64 "  %016" PRIx64 "  %016" PRIx64, i, sequence->gpr[i], a,
		       b);
		if (judged)
			printf("  %016" PRIx64, native.gpr[i]);
		printf("%s\n", a != b ? " <--" : "");
	}
	for (unsigned i = 0; i < 16; i++) {
		uint64_t a[2], b[2];

		memcpy(a, outcomes[0].state.fpu.xmm[i], 16);
		memcpy(b, outcomes[1].state.fpu.xmm[i], 16);
		if (memcmp(a, b, 16))
			printf("xmm%-2u %016" PRIx64 ":%016" PRIx64 "  %016" PRIx64 ":%016" PRIx64
			       "\n",
			       i, a[1], a[0], b[1], b[0]);
	}
	printf("flags %08" PRIx64 "         %08" PRIx64 "          %08" PRIx64, sequence->flags,
	       rflags_get(&outcomes[0].state), rflags_get(&outcomes[1].state));
	if (judged)
		printf("          %08" PRIx64, native.flags);
	printf("\n");
	for (unsigned i = 0; i < ENGINES; i++)
		printf("%s: kind %d, vector %d, rip %08" PRIx64
		       ", accesses %u, undefined %03" PRIx64 "\n",
		       engines[i], outcomes[i].kind, outcomes[i].vector, outcomes[i].rip,
		       outcomes[i].accesses, outcomes[i].undefined);
	if (judged)
		printf("host: vector %d, rip %08" PRIx64 "\n", native.vector, native.rip);
}

static void print_memory(void)
{
	unsigned lines = 0;

	for (unsigned page = 0; page <= DATA_PAGES; page++) {
		for (unsigned at = 0; at < PAGE && lines < 16; at += 8) {
			const bool host = judged && page < 3;
			uint64_t a, b, n = 0;

			memcpy(&a, machine_page(machines[0], page) + at, 8);
			memcpy(&b, machine_page(machines[1], page) + at, 8);
			if (host)
				memcpy(&n, native_page(page) + at, 8);
			if (a == b && (!host || a == n))
				continue;
			lines++;
			printf("page %u + %03x: %016" PRIx64 "  %016" PRIx64, page, at, a, b);
			printf(host ? "  %016" PRIx64 "\n" : "\n", n);
		}
	}
}

static void difference(const struct sequence *sequence, const char *what, uint64_t seed,
		       uint64_t number, unsigned index)
{
	const char *after = minimise(sequence);

	total.differences++;
	printf("%s differ%s; again with: --seed %" PRIu64 " --mode %s --batch %" PRIu64
	       " --only %u\n",
	       what, after ? "" : ", though not a second time", seed, mode_names[batch->mode],
	       number, index);
	print_code(sequence);
	print_registers(sequence);
	print_memory();
	fflush(stdout);
}

/* ---- all of it ---- */

struct options {
	uint64_t seed, count, first;
	unsigned seconds, judge_every, differences;
	int only;
	enum guest_mode mode;
};

/*
 * What the generator knows of flags is what it knows before the sequence runs: one that comes by again
 * through a return, say, may find other flags undefined.
 */
static bool explained(const struct sequence *sequence, bool judge)
{
	const char *differs;

	if (machine_undefined(machines[0], batch, sequence, &machine_ignored_flags)) {
		machine_ignored_flags = 0;
		return true;
	}
	differs = run(sequence, judge);
	machine_ignored_flags = 0;
	return !differs;
}

static void run_sequence(const struct options *options, uint64_t number, unsigned index)
{
	const struct sequence *sequence = &batch->sequence[index];
	const bool judge = host_judges && !(total.sequences % options->judge_every);
	const char *differs = run(sequence, judge);

	total.sequences++;
	total.insns += sequence->insns;
	total.timeouts += outcomes[0].kind == OUTCOME_TIMEOUT ||
			  outcomes[1].kind == OUTCOME_TIMEOUT;
	total.exits += outcomes[0].accesses;
	total.astray += jumped_astray(&outcomes[1]);
	total.exceptions += outcomes[0].vector >= 0;
	if (differs && explained(sequence, judge)) {
		total.undefined++;
		differs = NULL;
	}
	if (differs) {
		uint8_t code[SEQUENCE_BYTES_MAX];

		memcpy(code, batch->code + sequence->start, sequence->bytes);
		difference(sequence, differs, options->seed, number, index);
		memcpy(batch->code + sequence->start, code, sequence->bytes);
		load_code();
	}
}

static void run_batch(const struct options *options, uint64_t number)
{
	uint32_t at;

	generate_batch(batch, options->seed, number, options->mode);
	for (unsigned i = 0; i < ENGINES; i++)
		machine_load(machines[i], batch);
	if (host_judges)
		native_load(batch);
	for (unsigned i = 0; i < batch->sequences; i++) {
		if (options->only >= 0 && i != (unsigned)options->only)
			continue;
		if (total.sequences == options->count || total.differences >= options->differences)
			return;
		run_sequence(options, number, i);
	}
	at = machine_memory_differs(machines[0], machines[1]);
	if (!total.timeouts && at != MEMORY_SAME) {
		printf("memory differs at %x after batch %" PRIu64 " of seed %" PRIu64 "\n", at,
		       number, options->seed);
		total.differences++;
	}
}

static int usage(void)
{
	fputs("lockstep-random [--seed N] [--count SEQUENCES] [--seconds N] [--mode MODE]\n"
	      "    [--batch N [--only N]] [--judge EVERY] [--differences MAX] [--without-bits]\n",
	      stderr);
	return 2;
}

static bool parse(struct options *options, int argc, char **argv)
{
	static const struct option names[] = {
		{ "seed", 1, NULL, 's' },
		{ "count", 1, NULL, 'c' },
		{ "seconds", 1, NULL, 't' },
		{ "mode", 1, NULL, 'm' },
		{ "batch", 1, NULL, 'b' },
		{ "only", 1, NULL, 'o' },
		{ "judge", 1, NULL, 'j' },
		{ "differences", 1, NULL, 'd' },
		{ "without-bits", 0, NULL, 'w' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		uint64_t value = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (c) {
		case 's':
			options->seed = value;
			break;
		case 'c':
			options->count = value;
			break;
		case 't':
			options->seconds = value;
			break;
		case 'm':
			for (options->mode = 0; options->mode < MODES; options->mode++)
				if (!strcmp(optarg, mode_names[options->mode]))
					break;
			break;
		case 'b':
			options->first = value;
			break;
		case 'o':
			options->only = (int)value;
			options->judge_every = 1;
			break;
		case 'j':
			options->judge_every = value;
			break;
		case 'd':
			options->differences = value;
			break;
		case 'w':
			machine_has_bits = false;
			break;
		default:
			return false;
		}
	}
	return optind == argc && options->judge_every;
}

static uint64_t monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

int main(int argc, char **argv)
{
	struct options options = { .seed = 1,
				   .count = UINT64_MAX,
				   .mode = MODES,
				   .only = -1,
				   .judge_every = 4,
				   .differences = 1 };
	uint64_t start = monotonic_seconds(), number, entries, calls;

	if (!parse(&options, argc, argv))
		return usage();
	batch = calloc(1, sizeof(*batch));
	generate_init();
	for (unsigned i = 0; i < ENGINES; i++)
		machines[i] = machine_create(engines[i]);
	host_judges = native_init();
	for (number = options.first; total.sequences < options.count; number++) {
		run_batch(&options, number);
		if (options.only >= 0 || total.differences >= options.differences)
			break;
		if (options.seconds && monotonic_seconds() - start >= options.seconds)
			break;
	}
	entries = machine_entries(machines[1]);
	calls = machine_calls(machines[1]);
	printf("%" PRIu64 " sequences of %" PRIu64 " instructions in %" PRIu64 " s: %" PRIu64
	       " differences; Unicorn was entered %" PRIu64 " times and called %" PRIu64
	       " times, %" PRIu64 " were compared with the host, %" PRIu64 " exceptions, %" PRIu64
	       " device accesses, %" PRIu64 " without end, %" PRIu64
	       " jumps to non-canonical addresses, %" PRIu64 " went by undefined flags\n",
	       total.sequences, total.insns, monotonic_seconds() - start, total.differences,
	       entries, calls, total.native, total.exceptions, total.exits, total.timeouts, total.astray,
	       total.undefined);
	for (unsigned i = 0; i < ENGINES; i++)
		machine_destroy(machines[i]);
	free(batch);
	/* A test that does not test is a failure. */
	if (options.only < 0 && total.sequences > 1000 &&
	    (entries < total.sequences / 4 || calls < total.sequences / 200)) {
		printf("too seldom\n");
		return 1;
	}
	return total.differences ? 1 : 0;
}
