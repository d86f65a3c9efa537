/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The character device /dev/NAME, made with CUSE. Its ioctls are of the unrestricted kind: the
 * argument comes as it is, and the caller's memory is accessed directly.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "cuse/daemon.h"

#define START_TIMEOUT_S 10
#define UDEV_PAUSE_NS 10000000
#define UDEV_TRIES 100
#define FILE_TIME_STEP_MS 20

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t started = PTHREAD_COND_INITIALIZER;
static bool is_started;

static int cuse = -1;
static char device_path[160]; /* empty: there is none */

/* ---- what the kernel asks ---- */

static void op_init(void *userdata, struct fuse_conn_info *connection)
{
	(void)userdata;
	connection->max_write = POOL_WRITE_MAX;
}

static void op_init_done(void *userdata)
{
	(void)userdata;
	pthread_mutex_lock(&lock);
	is_started = true;
	pthread_cond_broadcast(&started);
	pthread_mutex_unlock(&lock);
}

static void op_open(fuse_req_t req, struct fuse_file_info *info)
{
	struct file *expected = file_expected_by(fuse_req_ctx(req)->pid), *file = expected;
	struct object *system;

	if (!file) {
		system = system_open(daemon_core);
		file = system ? file_create(system) : NULL;
		if (system && !file)
			object_put(system);
	}
	if (!file) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	info->fh = (uintptr_t)file;
	/* If nobody has it, what was expected is still its opener's. */
	if (fuse_reply_open(req, info) && !expected)
		file_destroy(file);
}

static void op_release(fuse_req_t req, struct fuse_file_info *info)
{
	fuse_reply_err(req, 0);
	file_destroy((struct file *)(uintptr_t)info->fh);
}

static void op_read(fuse_req_t req, size_t bytes, off_t offset, struct fuse_file_info *info)
{
	(void)bytes;
	(void)offset;
	(void)info;
	fuse_reply_err(req, EINVAL);
}

static void op_write(fuse_req_t req, const char *data, size_t bytes, off_t offset,
		     struct fuse_file_info *info)
{
	(void)data;
	op_read(req, bytes, offset, info);
}

static void op_ioctl(fuse_req_t req, int command, void *argument, struct fuse_file_info *info,
		     unsigned flags, const void *in, size_t in_bytes, size_t out_bytes)
{
	struct file *file = (struct file *)(uintptr_t)info->fh;

	(void)in;
	(void)in_bytes;
	(void)out_bytes;
	if (!file->object || (flags & FUSE_IOCTL_COMPAT))
		fuse_reply_err(req, ENOTTY);
	else
		client_ioctl(req, file->object, command, (uintptr_t)argument);
}

static const struct cuse_lowlevel_ops operations = {
	.init = op_init,
	.init_done = op_init_done,
	.open = op_open,
	.release = op_release,
	.read = op_read,
	.write = op_write,
	.ioctl = op_ioctl,
};

/* ---- life ---- */

int device_open(struct file *file)
{
	bool ours;
	int fd, error;

	if (!device_path[0])
		return -ENODEV;
	file_expect(file);
	fd = open(device_path, O_RDWR | O_CLOEXEC);
	error = errno;
	ours = file_was_expected(file);
	if (fd < 0)
		return -error;
	if (ours)
		return fd;
	/* The name has become somebody else's. */
	close(fd);
	return -ENXIO;
}

static int set_access(const struct daemon_options *options, const char *path)
{
	const struct group *group = getgrnam(options->group);

	if (!group)
		LOG(WARN, "there is no group %s: %s is root's alone", options->group, path);
	if (group && chown(path, 0, group->gr_gid)) {
		LOG(ERROR, "%s: chown: %m", path);
		return -errno;
	}
	if (chmod(path, options->mode)) {
		LOG(ERROR, "%s: chmod: %m", path);
		return -errno;
	}
	return 0;
}

static int64_t ms_of(const struct timespec *time)
{
	return time->tv_sec * 1000ll + time->tv_nsec / 1000000;
}

/*
 * udev gives every new node an access, by its rules. Ours (60-fauxkvmd.rules) has a record made at
 * the end of that; without it nobody knows when it comes to it.
 */
static void wait_for_udev(const char *path, int64_t since_ms)
{
	const struct timespec pause = { .tv_nsec = UDEV_PAUSE_NS };
	struct stat node, record;
	char record_path[64];
	unsigned i;

	if (access("/run/udev/control", F_OK) || stat(path, &node))
		return;
	snprintf(record_path, sizeof(record_path), "/run/udev/data/c%u:%u", major(node.st_rdev),
		 minor(node.st_rdev));
	/* Not that of a device that had the number before. */
	for (i = 0; i < UDEV_TRIES; i++) {
		if (!stat(record_path, &record) &&
		    ms_of(&record.st_mtim) >= since_ms - FILE_TIME_STEP_MS)
			return;
		nanosleep(&pause, NULL);
	}
}

/*
 * Is there anybody behind the name? Where the kernel's module exists distributions make the node at
 * boot, whether the processor can or not.
 */
static bool is_served(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return errno != ENODEV && errno != ENXIO;
	close(fd);
	return true;
}

/* What has the name already: nothing, or it is taken away, or negative errno. */
static int make_room(const struct daemon_options *options, const char *path)
{
	if (access(path, F_OK))
		return 0;
	if (!options->replace && is_served(path)) {
		LOG(ERROR,
		    "%s is there already. --replace takes its name away; --device-name fauxkvm "
		    "makes another one beside it",
		    path);
		return -EEXIST;
	}
	if (unlink(path)) {
		LOG(ERROR, "%s: %m", path);
		return -errno;
	}
	return 0;
}

static int wait_started(void)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += START_TIMEOUT_S;
	pthread_mutex_lock(&lock);
	while (!is_started && !r)
		r = pthread_cond_timedwait(&started, &lock, &until);
	pthread_mutex_unlock(&lock);
	return -r;
}

static struct fuse_session *session_create(const char *name)
{
	struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
	char device_name[128];
	const char *information[] = { device_name };
	struct cuse_info info = {
		.dev_info_argc = 1,
		.dev_info_argv = information,
		.flags = CUSE_UNRESTRICTED_IOCTL,
	};
	struct fuse_session *session;

	snprintf(device_name, sizeof(device_name), "DEVNAME=%s", name);
	if (fuse_opt_add_arg(&arguments, "fauxkvmd"))
		return NULL;
	session = cuse_lowlevel_new(&arguments, &info, &operations, NULL);
	fuse_opt_free_args(&arguments);
	return session;
}

int device_prepare(const struct daemon_options *options)
{
	char path[sizeof(device_path)];
	int r;

	cuse = open("/dev/cuse", O_RDWR | O_CLOEXEC);
	if (cuse < 0) {
		r = -errno;
		LOG(ERROR, "/dev/cuse: %m. The kernel needs CONFIG_CUSE (try: modprobe cuse); "
			   "without it use `fauxkvm run`, or --file");
		return r;
	}
	snprintf(path, sizeof(path), "/dev/%s", options->device_name);
	return make_room(options, path);
}

int device_start(const struct daemon_options *options)
{
	char path[sizeof(device_path)], fd_path[32];
	struct fuse_session *session = session_create(options->device_name);
	struct timespec start;
	int r;

	clock_gettime(CLOCK_REALTIME, &start);
	snprintf(path, sizeof(path), "/dev/%s", options->device_name);
	snprintf(fd_path, sizeof(fd_path), "/dev/fd/%d", cuse);
	if (!session || fuse_session_mount(session, fd_path))
		return -ENOMEM;
	r = pool_start(session, NULL);
	if (r)
		return r;
	r = wait_started();
	if (r) {
		LOG(ERROR, "the kernel did not make %s: is the name in use?", path);
		return r;
	}
	wait_for_udev(path, ms_of(&start));
	r = set_access(options, path);
	if (!r)
		strcpy(device_path, path);
	return r;
}
