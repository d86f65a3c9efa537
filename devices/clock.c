// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvmclock: a straight line over the host's TSC. All vCPUs get the same point of the line and the
 * same slope, which is what lets the guest believe PVCLOCK_TSC_STABLE_BIT.
 */
#include "devices/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#define NS_PER_SECOND 1000000000ull

/* KVM documents, msr.rst: MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_WALL_CLOCK_NEW. */
#define PVCLOCK_TSC_STABLE 1
#define PVCLOCK_GUEST_STOPPED 2

struct pvclock_time {
	uint32_t version;
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad[2];
};

struct pvclock_wall {
	uint32_t version;
	uint32_t sec;
	uint32_t nsec;
};

/* ns = ((ticks << shift) * mul) >> 32; a negative shift is to the right. */
struct slope {
	uint32_t mul;
	int8_t shift;
};

struct clock {
	pthread_mutex_t lock;
	struct slope slope; /* of the host's TSC */
	uint64_t base_tsc;  /* host TSC at which the clock was */
	uint64_t base_ns;   /* this */

	/* The last TSC that was set from outside the guest, and whether user space ever set one. */
	bool tsc_written, tsc_user_set;
	uint64_t written_value, written_at;
	struct tsc written;
};

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* The multiplier gets all of its 32 bits. */
static struct slope slope_of(uint64_t khz)
{
	unsigned __int128 mul = ((unsigned __int128)1000000 << 32) / khz;
	struct slope slope = { 0 };

	while (mul > UINT32_MAX) {
		mul >>= 1;
		slope.shift++;
	}
	while (mul < 1u << 31) {
		slope.shift--;
		mul = ((unsigned __int128)1000000 << (32 - slope.shift)) / khz;
	}
	slope.mul = mul;
	return slope;
}

static uint64_t slope_apply(const struct slope *slope, uint64_t ticks)
{
	if (slope->shift < 0)
		ticks >>= -slope->shift;
	else
		ticks <<= slope->shift;
	return (unsigned __int128)ticks * slope->mul >> 32;
}

static void base_get(const struct clock *clock, uint64_t *tsc, uint64_t *ns)
{
	/* Taking the lock does not change the clock. */
	pthread_mutex_t *lock = (pthread_mutex_t *)&clock->lock;

	pthread_mutex_lock(lock);
	*tsc = clock->base_tsc;
	*ns = clock->base_ns;
	pthread_mutex_unlock(lock);
}

static uint64_t clock_at(const struct clock *clock, uint64_t host_tsc)
{
	uint64_t tsc, ns;

	base_get(clock, &tsc, &ns);
	return ns + (host_tsc > tsc ? slope_apply(&clock->slope, host_tsc - tsc) : 0);
}

struct clock *clock_create(void)
{
	struct clock *clock = calloc(1, sizeof(*clock));

	if (!clock)
		return NULL;
	pthread_mutex_init(&clock->lock, NULL);
	clock->slope = slope_of(clock_host_tsc_khz());
	clock->base_tsc = __rdtsc();
	return clock;
}

void clock_destroy(struct clock *clock)
{
	if (!clock)
		return;
	pthread_mutex_destroy(&clock->lock);
	free(clock);
}

uint64_t clock_now(const struct clock *clock)
{
	return clock_at(clock, __rdtsc());
}

void clock_get(const struct clock *clock, struct kvm_clock_data *data)
{
	const uint64_t tsc = __rdtsc();

	*data = (struct kvm_clock_data){
		.clock = clock_at(clock, tsc),
		.flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC,
		.realtime = realtime_ns(),
		.host_tsc = tsc,
	};
}

int clock_set(struct clock *clock, const struct kvm_clock_data *data)
{
	uint64_t ns = data->clock;

	if (data->flags & ~(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	/* The guest was away since then; it is never set back. */
	if (data->flags & KVM_CLOCK_REALTIME) {
		const uint64_t now = realtime_ns();

		if (now > data->realtime)
			ns += now - data->realtime;
	}
	pthread_mutex_lock(&clock->lock);
	clock->base_tsc = __rdtsc();
	clock->base_ns = ns;
	pthread_mutex_unlock(&clock->lock);
	return 0;
}

/* The clock's lock is held. */
static void tsc_remember(struct clock *clock, const struct tsc *tsc, uint64_t value, uint64_t at)
{
	clock->tsc_written = true;
	clock->written_value = value;
	clock->written_at = at;
	clock->written = *tsc;
}

void clock_write_tsc(struct clock *clock, struct tsc *tsc, uint64_t value, bool user)
{
	const uint64_t second = tsc->khz * 1000;
	uint64_t now;
	bool in_step;

	pthread_mutex_lock(&clock->lock);
	now = __rdtsc();
	in_step = clock->tsc_written && clock->written.khz == tsc->khz &&
		  clock->written.ratio == tsc->ratio;
	if (in_step && value) {
		uint64_t expected = clock->written_value + tsc_scale(tsc, now - clock->written_at);

		in_step = clock->tsc_user_set && value - expected + second < 2 * second;
	}
	tsc->offset = value - tsc_scale(tsc, now);
	if (in_step)
		tsc->offset = clock->written.offset;
	clock->tsc_user_set |= user;
	tsc_remember(clock, tsc, value, now);
	pthread_mutex_unlock(&clock->lock);
}

void clock_write_tsc_offset(struct clock *clock, struct tsc *tsc, uint64_t offset)
{
	uint64_t now;

	pthread_mutex_lock(&clock->lock);
	now = __rdtsc();
	tsc->offset = offset;
	clock->tsc_user_set = true;
	tsc_remember(clock, tsc, tsc_scale(tsc, now) + offset, now);
	pthread_mutex_unlock(&clock->lock);
}

/* ---- pages ---- */

/*
 * Readers in the guest retry while the version is odd or changed. An odd version that is found
 * there is garbage from before the page was ours. The host is x86: its stores stay in order, only
 * the compiler has to be told.
 */
static int version_begin(struct memory *memory, struct mmu *self, uint64_t gpa, uint32_t *version)
{
	int error = memory_read(memory, NULL, gpa, version, sizeof(*version));

	if (error)
		return error;
	*version = (*version | 1) + (*version & 1 ? 2 : 0);
	error = memory_write(memory, NULL, gpa, version, sizeof(*version), self);
	atomic_signal_fence(memory_order_seq_cst);
	return error;
}

static int version_end(struct memory *memory, struct mmu *self, uint64_t gpa, uint32_t version)
{
	atomic_signal_fence(memory_order_seq_cst);
	version++;
	return memory_write(memory, NULL, gpa, &version, sizeof(version), self);
}

int clock_write_vcpu_time(const struct clock *clock, const struct tsc *tsc, struct memory *memory,
			  struct mmu *self, uint64_t gpa, bool paused)
{
	const struct slope slope = slope_of(tsc->khz);
	uint64_t base_tsc, base_ns;
	struct pvclock_time time;
	uint8_t flags;
	int error;

	error = memory_read(memory, NULL, gpa, &time, sizeof(time));
	if (error)
		return error;
	/* The guest clears this one when it has seen it. */
	flags = time.flags & PVCLOCK_GUEST_STOPPED;
	if (paused)
		flags |= PVCLOCK_GUEST_STOPPED;
	base_get(clock, &base_tsc, &base_ns);
	/* A guest TSC that started after the clock: the point where it was 0 lies on the same line,
	 * and is the same for all vCPUs in step. */
	if (tsc_scale(tsc, base_tsc) + tsc->offset > tsc_read(tsc)) {
		base_tsc = ((unsigned __int128)-(uint64_t)tsc->offset << 48) / tsc->ratio;
		base_ns = clock_at(clock, base_tsc);
	}
	time = (struct pvclock_time){
		.tsc_timestamp = tsc_scale(tsc, base_tsc) + tsc->offset,
		.system_time = base_ns,
		.tsc_to_system_mul = slope.mul,
		.tsc_shift = slope.shift,
		.flags = PVCLOCK_TSC_STABLE | flags,
	};
	error = version_begin(memory, self, gpa, &time.version);
	if (error)
		return error;
	error = memory_write(memory, NULL, gpa, &time, sizeof(time), self);
	if (error)
		return error;
	return version_end(memory, self, gpa, time.version);
}

int clock_write_wall_clock(const struct clock *clock, struct memory *memory, struct mmu *self,
			   uint64_t gpa)
{
	const uint64_t start = realtime_ns() - clock_now(clock);
	struct pvclock_wall wall = {
		.sec = start / NS_PER_SECOND,
		.nsec = start % NS_PER_SECOND,
	};
	int error = version_begin(memory, self, gpa, &wall.version);

	if (error)
		return error;
	error = memory_write(memory, NULL, gpa, &wall, sizeof(wall), self);
	if (error)
		return error;
	return version_end(memory, self, gpa, wall.version);
}
