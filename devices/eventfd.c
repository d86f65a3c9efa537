// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE /* preadv2 */
#include "devices/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

int eventfd_identity(int fd, uint64_t *identity)
{
	static const char key[] = "eventfd-id:";
	char text[1024];
	const char *found;
	ssize_t bytes;
	int info;

	snprintf(text, sizeof(text), "/proc/thread-self/fdinfo/%d", fd);
	info = open(text, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -EINVAL;
	bytes = read(info, text, sizeof(text) - 1);
	close(info);
	if (bytes < 0)
		return -EINVAL;
	text[bytes] = '\0';
	found = strstr(text, key);
	if (!found)
		return -EINVAL;
	*identity = strtoull(found + strlen(key), NULL, 10);
	return 0;
}

/* Where a count is full its owner would wait to write. We do not; it stays at its end, or next to it. */
void eventfd_signal(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	const uint64_t one = 1;

	do {
		if (poll(&poll_fd, 1, 0) != 1 || !(poll_fd.revents & POLLOUT))
			return;
	} while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR);
}

bool eventfd_consume(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint64_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
	ssize_t bytes = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (bytes < 0 && errno == EOPNOTSUPP) {
		if (poll(&poll_fd, 1, 0) != 1 || !(poll_fd.revents & POLLIN))
			return false;
		bytes = read(fd, &count, sizeof(count));
	}
	return bytes == sizeof(count);
}
