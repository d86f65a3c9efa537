// SPDX-License-Identifier: GPL-2.0-or-later
/* What two processes need to wake each other by turns: a byte through a pipe and back, in ns. */
#include <sys/wait.h>

#include "../clients/kvm_client.h"

#define SAMPLES 201
#define TURNS 500

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void turn(int from, int to)
{
	char byte;

	if (read(from, &byte, 1) != 1 || write(to, &byte, 1) != 1)
		_exit(0);
}

int main(void)
{
	double ns[SAMPLES];
	int there[2], back[2];
	char byte = 0;

	if (pipe(there) || pipe(back))
		return 1;
	if (!fork()) {
		close(there[1]);
		for (;;)
			turn(there[0], back[1]);
	}
	for (int sample = 0; sample < SAMPLES; sample++) {
		uint64_t start = now_ns();

		for (int i = 0; i < TURNS; i++)
			if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
				return 1;
		ns[sample] = (double)(now_ns() - start) / TURNS;
	}
	close(there[1]);
	wait(NULL);
	qsort(ns, SAMPLES, sizeof(ns[0]), compare);
	printf("pipe: median %.0f ns, best %.0f ns\n", ns[SAMPLES / 2], ns[0]);
	return 0;
}
