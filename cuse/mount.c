/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files behind descriptors of VMs, vCPUs and statistics: a FUSE mount that has lost its path
 * once it is mounted, so that only the daemon can open anything on it.
 *
 * A vCPU's file has the pages of kvm_run. They are pages of the page cache, mapped here through
 * a file description of our own and by the client through its own. They are locked, so they do not
 * go away; the kernel writes them back now and then, which is of no use to anybody. Whatever a client
 * does to its file, it only disturbs its own pages.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cuse/daemon.h"

#define SYSTEM_INO 2 /* the file that is as /dev/kvm */
#define SYSTEM_NAME "kvm"
#define FIRST_INO 16
#define PAGES_INO (1ull << 62) /* set in the number of a file that has pages */
#define BUCKETS 1024
#define FOREVER 1e9 /* seconds */
#define READ_MAX (1u << 20)
#define BACKGROUND_MAX UINT16_MAX

struct node {
	struct node *next; /* in its bucket */
	fuse_ino_t ino;
	unsigned references;
	struct object *vcpu; /* whose pages these are; NULL: none */
	struct file *file;   /* the client's */
	off_t size;          /* as fstat() says, which never changes */
	size_t bytes;        /* of pages */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static struct node *buckets[BUCKETS];
static fuse_ino_t next_ino = FIRST_INO;

static int root = -1;
static dev_t device;
static const struct daemon_options *options;
static gid_t system_group;

/* ---- nodes ---- */

static struct node **bucket_of(fuse_ino_t ino)
{
	return &buckets[ino % BUCKETS];
}

/* Under the lock. */
static struct node *find(fuse_ino_t ino)
{
	struct node *node;

	for (node = *bucket_of(ino); node; node = node->next)
		if (node->ino == ino)
			break;
	return node;
}

/* With one reference; NULL: no memory. */
static struct node *node_create(struct object *vcpu, size_t bytes)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->references = 1;
	node->vcpu = vcpu;
	node->size = node->bytes = bytes;
	pthread_mutex_lock(&lock);
	node->ino = next_ino++ | (bytes ? PAGES_INO : 0);
	node->next = *bucket_of(node->ino);
	*bucket_of(node->ino) = node;
	pthread_mutex_unlock(&lock);
	return node;
}

static void node_put(struct node *node)
{
	struct node **at;

	pthread_mutex_lock(&lock);
	if (--node->references) {
		pthread_mutex_unlock(&lock);
		return;
	}
	for (at = bucket_of(node->ino); *at != node; at = &(*at)->next)
		;
	*at = node->next;
	pthread_mutex_unlock(&lock);
	free(node);
}

/* The node that has the vCPU's pages, with a reference, or NULL. */
static struct node *node_of_vcpu(const struct object *vcpu)
{
	struct node *node = NULL;
	unsigned i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < BUCKETS && !node; i++)
		for (node = buckets[i]; node; node = node->next)
			if (node->vcpu == vcpu)
				break;
	if (node)
		node->references++;
	pthread_mutex_unlock(&lock);
	return node;
}

/* ---- opening ---- */

/* Opens the node as @file. Takes over the reference to the node, which on success is the file's. */
static int open_node(struct node *node, struct file *file)
{
	char name[24];
	int fd, error;

	file->node = node;
	snprintf(name, sizeof(name), "%lu", (unsigned long)node->ino);
	file_expect(file);
	fd = openat(root, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	error = errno;
	file_was_expected(file);
	if (fd >= 0)
		return fd;
	node_put(node);
	return -error;
}

int mount_open(struct file *file)
{
	struct object *object = file->object;
	struct stat memory;
	struct node *node;
	int fd;

	node = object->kind == OBJECT_VCPU ? node_of_vcpu(object) : node_create(NULL, 0);
	if (!node)
		return -ENOMEM;
	if (object_file(object) >= 0 && !fstat(object_file(object), &memory))
		node->size = memory.st_size;
	fd = open_node(node, file);
	if (fd < 0)
		return fd;
	pthread_mutex_lock(&lock);
	node->file = file;
	pthread_mutex_unlock(&lock);
	return fd;
}

struct object *mount_object(int fd)
{
	struct object *object = NULL;
	struct node *node;
	struct stat st;

	if (fstat(fd, &st) || st.st_dev != device)
		return NULL;
	pthread_mutex_lock(&lock);
	node = find(st.st_ino);
	if (node && node->file)
		object = file_object(node->file);
	pthread_mutex_unlock(&lock);
	return object;
}

int mount_pages_create(struct object *vcpu, size_t count, uint8_t **out)
{
	struct file *file = file_create(NULL);
	struct node *node = file ? node_create(vcpu, count * PAGE) : NULL;
	volatile uint8_t *pages;
	size_t i;
	int fd;

	if (!node) {
		file_free(file);
		return -ENOMEM;
	}
	pthread_mutex_lock(&lock);
	node->references++; /* the file's */
	pthread_mutex_unlock(&lock);
	fd = open_node(node, file);
	if (fd < 0) {
		node_put(node);
		file_free(file);
		return fd;
	}
	pages = mmap(NULL, node->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (pages == MAP_FAILED || mlock((void *)pages, node->bytes)) {
		if (pages != MAP_FAILED)
			munmap((void *)pages, node->bytes);
		node_put(node);
		return -ENOMEM;
	}
	for (i = 0; i < count; i++)
		pages[i * PAGE] = 0;
	*out = (uint8_t *)pages;
	return 0;
}

void mount_pages_destroy(struct object *vcpu, uint8_t *pages)
{
	struct node *node = node_of_vcpu(vcpu);

	if (!node)
		return;
	munmap(pages, node->bytes);
	pthread_mutex_lock(&lock);
	node->vcpu = NULL;
	pthread_mutex_unlock(&lock);
	node_put(node); /* node_of_vcpu()'s */
	node_put(node); /* that of mount_pages_create() */
}

/* ---- what the kernel asks ---- */

static bool node_attributes(fuse_ino_t ino, struct stat *st)
{
	struct node *node;

	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_nlink = 1;
	st->st_blksize = PAGE;
	st->st_mode = S_IFREG | 0600;
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0700;
		return true;
	}
	if (ino == SYSTEM_INO) {
		st->st_mode = S_IFREG | (options->mode & 0777);
		st->st_gid = system_group;
		return true;
	}
	pthread_mutex_lock(&lock);
	node = find(ino);
	if (node)
		st->st_size = node->size;
	pthread_mutex_unlock(&lock);
	return node;
}

static void op_init(void *userdata, struct fuse_conn_info *connection)
{
	(void)userdata;
	connection->want &=
		~(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ |
		  FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_ATOMIC_O_TRUNC);
	connection->max_readahead = 0;
	connection->max_write = POOL_WRITE_MAX;
	/* Pages that come back do not wait for other requests to be answered. */
	connection->max_background = BACKGROUND_MAX;
	connection->congestion_threshold = BACKGROUND_MAX;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {
		.ino = strcmp(name, SYSTEM_NAME) ? strtoul(name, NULL, 10) : SYSTEM_INO,
		.generation = 1,
		.attr_timeout = FOREVER,
	};

	if (parent != FUSE_ROOT_ID || !entry.ino || entry.ino == FUSE_ROOT_ID ||
	    !node_attributes(entry.ino, &entry.attr))
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &entry);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct stat st;

	(void)info;
	if (node_attributes(ino, &st))
		fuse_reply_attr(req, &st, FOREVER);
	else
		fuse_reply_err(req, ENOENT);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int set,
		       struct fuse_file_info *info)
{
	(void)ino;
	(void)st;
	(void)set;
	(void)info;
	fuse_reply_err(req, EINVAL);
}

void mount_released(struct node *node)
{
	pthread_mutex_lock(&lock);
	node->file = NULL;
	pthread_mutex_unlock(&lock);
	node_put(node);
}

static struct file *open_system(void)
{
	struct object *object = system_open(daemon_core);
	struct file *file = object ? file_create(object) : NULL;

	if (object && !file)
		object_put(object);
	return file;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct file *file;

	file = ino == SYSTEM_INO ? open_system() : file_expected_by(fuse_req_ctx(req)->pid);
	if (!file) {
		/* As an attempt to open what /proc/self/fd shows of a real KVM's. */
		fuse_reply_err(req, ENXIO);
		return;
	}
	info->fh = (uintptr_t)file;
	/* Of pages what is cached stays; else no shared mapping, and read() comes here. */
	info->keep_cache = file->node && file->node->bytes;
	info->direct_io = !info->keep_cache;
	info->nonseekable = info->direct_io && file->object->kind != OBJECT_STATS;
	/* If nobody has it, what is not the system's is still its opener's. */
	if (fuse_reply_open(req, info) && !file->node)
		file_destroy(file);
}

/*
 * In each close(), before it returns. Also of an execve(): the thread holds a lock then that is needed
 * to look at its descriptors.
 */
static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	client_closes((struct file *)(uintptr_t)info->fh, ino);
	fuse_reply_err(req, 0);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	(void)ino;
	fuse_reply_err(req, 0);
	file_destroy((struct file *)(uintptr_t)info->fh);
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *argument,
		     struct fuse_file_info *info, unsigned flags, const void *in, size_t in_bytes,
		     size_t out_bytes)
{
	struct file *file = (struct file *)(uintptr_t)info->fh;

	(void)ino;
	(void)in;
	(void)in_bytes;
	(void)out_bytes;
	if (!file || !file->object || (flags & FUSE_IOCTL_COMPAT))
		fuse_reply_err(req, ENOTTY);
	else
		client_ioctl(req, file->object, command, (uintptr_t)argument);
}

/* A client for object_read() whose memory is a buffer of ours. */
struct buffer_client {
	struct client client;
	uint8_t *data;
};

static int buffer_copy_out(struct client *client, uint64_t address, const void *src, size_t bytes)
{
	memcpy(((struct buffer_client *)client)->data + address, src, bytes);
	return 0;
}

static const struct client_ops buffer_ops = { .copy_out = buffer_copy_out };

static void read_object(fuse_req_t req, struct object *object, size_t bytes, off_t offset)
{
	struct buffer_client client = { .client.ops = &buffer_ops };
	ssize_t n;

	client.data = malloc(bytes ? bytes : 1);
	if (!client.data) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	n = object_read(object, &client.client, 0, bytes, offset);
	if (n < 0)
		fuse_reply_err(req, -n);
	else
		fuse_reply_buf(req, (const char *)client.data, n);
	free(client.data);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t offset,
		    struct fuse_file_info *info)
{
	struct file *file = (struct file *)(uintptr_t)info->fh;

	(void)ino;
	if (bytes > READ_MAX)
		bytes = READ_MAX;
	if (file->object)
		read_object(req, file->object, bytes, offset);
	else
		fuse_reply_err(req, EINVAL);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t bytes, off_t offset,
		     struct fuse_file_info *info)
{
	(void)ino;
	(void)data;
	(void)bytes;
	(void)offset;
	(void)info;
	fuse_reply_err(req, EINVAL);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t bytes,
			 struct fuse_file_info *info)
{
	struct file *file = (struct file *)(uintptr_t)info->fh;

	(void)ino;
	fuse_reply_err(req, file->object ? -object_fallocate(file->object, mode, offset, bytes) :
					   ENODEV);
}

/*
 * A file's pages: zeros at first, which the page cache then keeps, since they are locked. What comes
 * back from there is not needed; but a page fault may wait for the answer.
 */
static bool at_once(int fd, const struct fuse_in_header *request)
{
	static const uint8_t zeros[PAGE];
	const struct fuse_write_in *write = (const void *)(request + 1);
	const struct fuse_read_in *read = (const void *)(request + 1);
	struct fuse_write_out written = { .size = write->size };
	struct iovec parts[POOL_PARTS_MAX] = { { &written, sizeof(written) } };
	unsigned count = 0;
	size_t left;

	if (!(request->nodeid & PAGES_INO))
		return false;
	if (request->opcode == FUSE_WRITE) {
		/* Not a client's write(). */
		if (write->write_flags & FUSE_WRITE_CACHE)
			pool_answer(fd, request->unique, 0, parts, 1);
		else
			pool_answer(fd, request->unique, -EINVAL, NULL, 0);
		return true;
	}
	if (request->opcode != FUSE_READ)
		return false;
	for (left = read->size; left && count < POOL_PARTS_MAX; count++) {
		parts[count].iov_base = (void *)zeros;
		parts[count].iov_len = left < PAGE ? left : PAGE;
		left -= parts[count].iov_len;
	}
	pool_answer(fd, request->unique, 0, parts, count);
	return true;
}

static const struct fuse_lowlevel_ops operations = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.open = op_open,
	.flush = op_flush,
	.release = op_release,
	.ioctl = op_ioctl,
	.read = op_read,
	.write = op_write,
	.fallocate = op_fallocate,
};

/* ---- life ---- */

static int mount_at(const char *folder)
{
	char data[128], fd_path[32];
	struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), r;

	if (fd < 0) {
		r = -errno;
		LOG(ERROR, "/dev/fuse: %m (is the kernel module fuse loaded?)");
		return r;
	}
	snprintf(data, sizeof(data),
		 "fd=%d,rootmode=40700,user_id=0,group_id=0,allow_other,default_permissions", fd);
	if (mount("fauxkvm", folder, "fuse", MS_NOSUID | MS_NODEV | MS_NOEXEC, data)) {
		r = -errno;
		LOG(ERROR, "mount: %m");
		close(fd);
		return r;
	}
	if (fuse_opt_add_arg(&arguments, "fauxkvmd"))
		return -ENOMEM;
	session = fuse_session_new(&arguments, &operations, sizeof(operations), NULL);
	fuse_opt_free_args(&arguments);
	if (!session)
		return -ENOMEM;
	snprintf(fd_path, sizeof(fd_path), "/dev/fd/%d", fd);
	if (fuse_session_mount(session, fd_path))
		return -EIO;
	return pool_start(session, at_once);
}

static int bind_system(const char *folder)
{
	char source[128];
	int fd, r = 0;

	snprintf(source, sizeof(source), "%s/" SYSTEM_NAME, folder);
	umount2(options->file, MNT_DETACH); /* what a daemon that was killed has left */
	fd = open(options->file, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		close(fd);
	if (fd < 0 || mount(source, options->file, NULL, MS_BIND, NULL)) {
		r = -errno;
		LOG(ERROR, "%s: %m", options->file);
	}
	return r;
}

int mount_start(const struct daemon_options *given)
{
	char folder[] = "/run/fauxkvmd.XXXXXX";
	const struct group *group = getgrnam(given->group);
	struct stat st;
	int r;

	options = given;
	if (group)
		system_group = group->gr_gid;
	if (!mkdtemp(folder)) {
		r = -errno;
		LOG(ERROR, "%s: %m", folder);
		return r;
	}
	r = mount_at(folder);
	if (r)
		goto remove;
	root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || fstat(root, &st)) {
		r = -errno;
		LOG(ERROR, "%s: %m", folder);
		goto detach;
	}
	device = st.st_dev;
	if (options->file)
		r = bind_system(folder);
detach:
	umount2(folder, MNT_DETACH);
remove:
	rmdir(folder);
	return r;
}

dev_t mount_device(void)
{
	return device;
}

void mount_stop(void)
{
	if (options->file)
		umount2(options->file, MNT_DETACH);
}
