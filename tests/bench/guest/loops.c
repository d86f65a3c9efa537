/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs inside the guest: user-mode loops and kernel round trips, each printed as
 * "RESULT NAME=NANOSECONDS" for one iteration of what its row names: all rows, or the one named.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* What the optimiser must not see through. */
static volatile uint64_t sink;

/* ---- user mode ---- */

static void arithmetic(unsigned rounds)
{
	uint64_t a = 88172645463325252ull, b = 0;

	for (unsigned i = 0; i < rounds * 100000u; i++) {
		a ^= a << 13;
		a ^= a >> 7;
		a ^= a << 17;
		b += a * 0x9e3779b97f4a7c15ull + (b >> 3);
		if (b & 1)
			b -= a;
	}
	sink = b;
}

static void sieve(unsigned rounds)
{
	enum { LIMIT = 300000 };
	static uint8_t composite[LIMIT];

	while (rounds--) {
		uint64_t primes = 0;

		memset(composite, 0, sizeof(composite));
		for (unsigned i = 2; i < LIMIT; i++) {
			if (composite[i])
				continue;
			primes++;
			for (unsigned j = 2 * i; j < LIMIT; j += i)
				composite[j] = 1;
		}
		sink = primes;
	}
}

static __attribute__((noinline)) uint64_t fibonacci(unsigned n)
{
	uint64_t result;

	if (n < 2)
		return n;
	result = fibonacci(n - 1);
	/* Keeps the second call a call. */
	asm volatile("" : "+r"(result));
	return result + fibonacci(n - 2);
}

static void recursion(unsigned rounds)
{
	while (rounds--)
		sink = fibonacci(22);
}

static int compare(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return a < b ? -1 : a > b;
}

static void sort(unsigned rounds)
{
	enum { COUNT = 20000 };
	static uint32_t numbers[COUNT];

	while (rounds--) {
		uint32_t x = 12345;

		for (unsigned i = 0; i < COUNT; i++)
			numbers[i] = x = x * 1664525 + 1013904223;
		qsort(numbers, COUNT, sizeof(numbers[0]), compare);
		sink = numbers[COUNT / 2];
	}
}

/* What the C library has vector instructions for. */
static int compare_strings(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static void strings(unsigned rounds)
{
	enum { COUNT = 20000, BYTES = 24 };
	static char text[COUNT][BYTES];
	static const char *pointers[COUNT];
	uint32_t x = 12345;

	if (!text[0][0])
		for (unsigned i = 0; i < COUNT; i++) {
			x = x * 1664525 + 1013904223;
			snprintf(text[i], BYTES, "key-%u", (unsigned)(x >> 1));
		}
	while (rounds--) {
		for (unsigned i = 0; i < COUNT; i++)
			pointers[i] = text[i];
		qsort(pointers, COUNT, sizeof(pointers[0]), compare_strings);
		sink = pointers[COUNT / 2][4];
	}
}

static void formatting(unsigned rounds)
{
	char text[100];

	for (unsigned i = 0; i < rounds * 1000; i++)
		sink = snprintf(text, sizeof(text), "%u %s %x", i, "some text", 77 * i);
}

/* ---- the kernel ---- */

static void getppid_calls(unsigned rounds)
{
	for (unsigned i = 0; i < rounds * 1000; i++)
		syscall(SYS_getppid);
}

static void fork_wait(unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static void page_faults(unsigned rounds)
{
	enum { PAGES = 256 };

	for (unsigned i = 0; i < rounds; i++) {
		uint8_t *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (unsigned page = 0; page < PAGES; page++)
			memory[page * PAGE] = 1;
		munmap(memory, PAGES * PAGE);
	}
}

static void pipe_round_trips(unsigned rounds)
{
	int there[2], back[2];
	char byte = 0;

	if (pipe(there) || pipe(back))
		abort();
	if (!fork()) {
		close(there[1]);
		while (read(there[0], &byte, 1) == 1)
			if (write(back[1], &byte, 1) != 1)
				break;
		_exit(0);
	}
	close(there[0]);
	for (unsigned i = 0; i < rounds * 10; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			abort();
	close(there[1]);
	close(back[0]);
	close(back[1]);
	wait(NULL);
}

static void copying(unsigned rounds)
{
	static uint8_t from[1 << 20], to[1 << 20];

	while (rounds--) {
		memcpy(to, from, sizeof(to));
		sink = to[rounds & 0xfffff];
	}
}

static void floating(unsigned rounds)
{
	double x = 1.5, y = 0.25;

	for (unsigned i = 0; i < rounds * 10000u; i++) {
		x = x * 1.0000001 + y;
		y = y / 1.0000002 + 0.5;
	}
	sink = (uint64_t)(x + y);
}

static const struct {
	const char *name;
	void (*run)(unsigned rounds);
	unsigned iterations; /* in a round */
} rows[] = {
	{ "arithmetic", arithmetic, 100000 },
	{ "sieve", sieve, 1 },
	{ "recursion", recursion, 1 },
	{ "sort", sort, 1 },
	{ "strings", strings, 1 },
	{ "format", formatting, 1000 },
	{ "getppid", getppid_calls, 1000 },
	{ "fork", fork_wait, 1 },
	{ "fault", page_faults, 256 },
	{ "pipe", pipe_round_trips, 10 },
	{ "copy", copying, 1 },
	{ "float", floating, 10000 },
};

/* Rounds are doubled until they take long enough to be timed. */
static double measure(unsigned row, uint64_t enough)
{
	for (unsigned rounds = 1;; rounds *= 2) {
		uint64_t start = now(), time;

		rows[row].run(rounds);
		time = now() - start;
		if (time >= enough)
			return (double)time / rounds / rows[row].iterations;
	}
}

/* Wall time of @count processes that each do the same arithmetic. */
static uint64_t together(unsigned count, unsigned rounds)
{
	uint64_t start = now();

	for (unsigned i = 0; i < count; i++)
		if (!fork()) {
			arithmetic(rounds);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	return now() - start;
}

int main(int count, char **arguments)
{
	uint64_t enough = 300000000;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count > 1 && !strcmp(arguments[1], "smp")) {
		unsigned rounds = 1;

		while (together(1, rounds) < 2 * enough)
			rounds *= 2;
		printf("RESULT one=%lu\n", together(1, rounds));
		printf("RESULT two=%lu\n", together(2, rounds));
		return 0;
	}
	for (unsigned row = 0; row < sizeof(rows) / sizeof(rows[0]); row++)
		if (count < 2 || !strcmp(arguments[1], rows[row].name))
			printf("RESULT %s=%.1f\n", rows[row].name, measure(row, enough));
	return 0;
}
