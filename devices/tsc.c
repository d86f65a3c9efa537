// SPDX-License-Identifier: GPL-2.0-or-later
/* Host and guest TSC. */
#include <cpuid.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <x86intrin.h>

#include "devices/clock.h"

#define NS_PER_SECOND 1000000000ull
#define NS_PER_MS 1000000ull
#define CALIBRATION_NS (20 * NS_PER_MS)
#define SAMPLES 16

#define CPUID_TSC 0x15
#define CPUID_HYPERVISOR 0x40000000
#define CPUID_HYPERVISOR_TIMING 0x40000010
#define CPUID_1_ECX_HYPERVISOR (1u << 31)

#define RATIO_SHIFT 48
#define RATIO_ONE (1ull << RATIO_SHIFT)
#define TOLERANCE_PPM 250
#define TSC_KHZ_MAX 0x7fffffffu /* the first that is refused */

/* ---- host frequency ---- */

/* The two leaves that state the exact frequency; 0: neither does. */
static uint64_t khz_from_cpuid(void)
{
	unsigned eax, ebx, ecx, edx;

	__cpuid(1, eax, ebx, ecx, edx);
	if (ecx & CPUID_1_ECX_HYPERVISOR) {
		__cpuid(CPUID_HYPERVISOR, eax, ebx, ecx, edx);
		if (eax >= CPUID_HYPERVISOR_TIMING && eax < CPUID_HYPERVISOR + 0x10000) {
			__cpuid(CPUID_HYPERVISOR_TIMING, eax, ebx, ecx, edx);
			if (eax)
				return eax;
		}
	}
	if (__get_cpuid_count(CPUID_TSC, 0, &eax, &ebx, &ecx, &edx) && eax && ebx && ecx)
		return (uint64_t)ecx * ebx / eax / 1000;
	return 0;
}

struct sample {
	uint64_t tsc, ns;
};

/* A preempted or slow read of the clock has a wide bracket; the narrowest of some is good. */
static struct sample sample_take(void)
{
	struct sample best = { 0 };
	uint64_t width = UINT64_MAX;

	for (int i = 0; i < SAMPLES; i++) {
		struct timespec now;
		uint64_t before = __rdtsc(), after;

		clock_gettime(CLOCK_MONOTONIC_RAW, &now);
		after = __rdtsc();
		if (after - before >= width)
			continue;
		width = after - before;
		best.tsc = before + width / 2;
		best.ns = now.tv_sec * NS_PER_SECOND + now.tv_nsec;
	}
	return best;
}

static uint64_t khz_measured(void)
{
	const struct timespec pause = { .tv_nsec = CALIBRATION_NS };
	struct sample start = sample_take(), end;
	uint64_t ns;

	do {
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
		end = sample_take();
		ns = end.ns - start.ns;
	} while (ns < CALIBRATION_NS / 2);
	return ((unsigned __int128)(end.tsc - start.tsc) * NS_PER_MS + ns / 2) / ns;
}

uint64_t clock_host_tsc_khz(void)
{
	/* A property of the machine, not state: every VM must see one and the same result. */
	static _Atomic uint64_t known;
	uint64_t khz = atomic_load(&known), first = 0;

	if (khz)
		return khz;
	khz = khz_from_cpuid();
	if (!khz)
		khz = khz_measured();
	return atomic_compare_exchange_strong(&known, &first, khz) ? khz : first;
}

/* ---- guest ---- */

uint64_t tsc_scale(const struct tsc *tsc, uint64_t host_tsc)
{
	if (tsc->ratio == RATIO_ONE)
		return host_tsc;
	return (unsigned __int128)host_tsc * tsc->ratio >> RATIO_SHIFT;
}

void tsc_init(struct tsc *tsc)
{
	tsc->khz = clock_host_tsc_khz();
	tsc->ratio = RATIO_ONE;
	tsc->offset = -__rdtsc();
}

/*
 * Fenced: what the guest's program order puts before or after its RDTSC is many host instructions
 * away from this one, and the host may execute it early. A guest's LFENCE does not reach that far.
 */
uint64_t tsc_read(const struct tsc *tsc)
{
	uint64_t host_tsc;

	_mm_lfence();
	host_tsc = __rdtsc();
	_mm_lfence();
	return tsc_scale(tsc, host_tsc) + tsc->offset;
}

void tsc_write(struct tsc *tsc, uint64_t value)
{
	tsc->offset = value - tsc_scale(tsc, __rdtsc());
}

/* So near the host's frequency, the host's own will do: 250 ppm, KVM's tsc_tolerance_ppm. */
static bool within_tolerance(uint64_t khz, uint64_t host_khz)
{
	return khz >= host_khz * (1000000 - TOLERANCE_PPM) / 1000000 &&
	       khz <= host_khz * (1000000 + TOLERANCE_PPM) / 1000000;
}

int tsc_set_khz(struct tsc *tsc, uint64_t khz)
{
	const uint64_t host_khz = clock_host_tsc_khz();

	if (!khz || khz >= TSC_KHZ_MAX)
		return -EINVAL;
	tsc->khz = khz;
	tsc->ratio = within_tolerance(khz, host_khz) ?
			     RATIO_ONE :
			     (uint64_t)(((unsigned __int128)khz << RATIO_SHIFT) / host_khz);
	return 0;
}
