/* SPDX-License-Identifier: GPL-2.0-or-later */
/* abi/fauxkvm.h: a table of handles, and the client that is this very process. */
#include "abi/fauxkvm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/internal.h"
#include "util/guard.h"
#include "util/own_fd.h"

#define HANDLES_MAX 65536

/* Entries are changed under handles_lock and read without it by fauxkvm_kick(). */
struct handle {
	struct object *_Atomic object; /* NULL: free */
	atomic_bool kicked;            /* until KVM_RUN has returned EINTR for it */
};

/* ---- the module ---- */

struct fauxkvm *fauxkvm_create(const struct fauxkvm_options *given)
{
	struct fauxkvm_options options = { .log_fd = -1 };
	const struct engine *engine;
	struct fauxkvm *fauxkvm;

	/* A client may have been built with a shorter structure. */
	if (given)
		memcpy(&options, given,
		       given->size < sizeof(options) ? given->size : sizeof(options));
	engine = engine_find(options.engine);
	if (!engine) {
		errno = EINVAL;
		return NULL;
	}
	fauxkvm = calloc(1, sizeof(*fauxkvm));
	if (!fauxkvm)
		return NULL;
	fauxkvm->engine = engine;
	fauxkvm->log.fd = options.log_fd;
	fauxkvm->log.level = options.log_level;
	fauxkvm->statistics = options.statistics;
	pthread_mutex_init(&fauxkvm->vms_lock, NULL);
	pthread_mutex_init(&fauxkvm->handles_lock, NULL);
	guard_init();
	return fauxkvm;
}

void fauxkvm_destroy(struct fauxkvm *fauxkvm)
{
	struct handle *handles;
	int i;

	if (!fauxkvm)
		return;
	handles = atomic_load(&fauxkvm->handles);
	for (i = 0; handles && i < HANDLES_MAX; i++)
		if (atomic_load(&handles[i].object))
			object_put(atomic_load(&handles[i].object));
	free(handles);
	pthread_mutex_destroy(&fauxkvm->handles_lock);
	pthread_mutex_destroy(&fauxkvm->vms_lock);
	free(fauxkvm);
}

/* ---- handles ---- */

/* The lowest free number, as open() gives. Takes over the reference on success. */
static int handle_add(struct fauxkvm *fauxkvm, struct object *object)
{
	struct handle *handles;
	int i, r = -EMFILE;

	pthread_mutex_lock(&fauxkvm->handles_lock);
	handles = atomic_load(&fauxkvm->handles);
	if (!handles) {
		handles = calloc(HANDLES_MAX, sizeof(*handles));
		if (!handles) {
			r = -ENOMEM;
			goto out;
		}
		atomic_store(&fauxkvm->handles, handles);
	}
	for (i = 0; i < HANDLES_MAX; i++) {
		if (atomic_load(&handles[i].object))
			continue;
		atomic_store(&handles[i].kicked, false);
		atomic_store(&handles[i].object, object);
		r = i;
		break;
	}
out:
	pthread_mutex_unlock(&fauxkvm->handles_lock);
	return r;
}

static struct handle *handle_at(struct fauxkvm *fauxkvm, int number)
{
	struct handle *handles = atomic_load(&fauxkvm->handles);

	return handles && number >= 0 && number < HANDLES_MAX ? &handles[number] : NULL;
}

/* The object behind a handle with a new reference, or NULL. */
static struct object *handle_get(struct fauxkvm *fauxkvm, int number)
{
	struct handle *handle = handle_at(fauxkvm, number);
	struct object *object;

	if (!handle)
		return NULL;
	pthread_mutex_lock(&fauxkvm->handles_lock);
	object = atomic_load(&handle->object);
	if (object)
		object_get(object);
	pthread_mutex_unlock(&fauxkvm->handles_lock);
	return object;
}

/* ---- the client ---- */

/* One a call. */
struct local_client {
	struct client client;
	struct fauxkvm *fauxkvm;
	struct handle *handle;
	const uint64_t *signal_mask; /* KVM_SET_SIGNAL_MASK's while KVM_RUN is on */
};

static struct local_client *local(struct client *client)
{
	return (struct local_client *)client;
}

static int local_copy_in(struct client *client, void *dst, uint64_t address, size_t bytes)
{
	(void)client;
	return guard_copy_from(dst, (const void *)(uintptr_t)address, bytes) ? -EFAULT : 0;
}

static int local_copy_out(struct client *client, uint64_t address, const void *src, size_t bytes)
{
	(void)client;
	return guard_copy_to((void *)(uintptr_t)address, src, bytes) ? -EFAULT : 0;
}

static int local_map(struct client *client, uint64_t address, uint64_t bytes, uint8_t **hva)
{
	(void)client;
	(void)bytes;
	*hva = (uint8_t *)(uintptr_t)address;
	return 0;
}

static int local_get_fd(struct client *client, int fd)
{
	int own;

	(void)client;
	if (own_fd_is(fd))
		return -EBADF;
	own = fcntl(fd, F_DUPFD_CLOEXEC, OWN_FD_MIN);
	if (own < 0 && (errno == EINVAL || errno == EMFILE)) /* RLIMIT_NOFILE */
		own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return own < 0 ? -errno : own;
}

static struct object *local_get_object(struct client *client, int number)
{
	return handle_get(local(client)->fauxkvm, number);
}

static int local_install(struct client *client, struct object *object)
{
	return handle_add(local(client)->fauxkvm, object);
}

/* Signals that the thread blocks and KVM_SET_SIGNAL_MASK does not: they stay pending for it. */
static bool local_signal_pending(struct client *client)
{
	const struct local_client *self = local(client);
	sigset_t pending;
	int signo;

	if (atomic_load(&self->handle->kicked))
		return true;
	if (!self->signal_mask || sigpending(&pending))
		return false;
	for (signo = 1; signo <= 64; signo++)
		if (sigismember(&pending, signo) == 1 && !(*self->signal_mask >> (signo - 1) & 1))
			return true;
	return false;
}

static int local_signal_mask(struct client *client, const uint64_t *set)
{
	local(client)->signal_mask = set;
	return 0;
}

static const struct client_ops local_ops = {
	.copy_in = local_copy_in,
	.copy_out = local_copy_out,
	.map = local_map,
	.get_fd = local_get_fd,
	.get_object = local_get_object,
	.install = local_install,
	.signal_pending = local_signal_pending,
	.signal_mask = local_signal_mask,
};

/* ---- the calls ---- */

int fauxkvm_open(struct fauxkvm *fauxkvm)
{
	struct object *system = system_open(fauxkvm);
	int r;

	if (!system) {
		errno = ENOMEM;
		return -1;
	}
	r = handle_add(fauxkvm, system);
	if (r < 0) {
		object_put(system);
		errno = -r;
		return -1;
	}
	return r;
}

int fauxkvm_close(struct fauxkvm *fauxkvm, int number)
{
	struct handle *handle = handle_at(fauxkvm, number);
	struct object *object = NULL;

	if (handle) {
		pthread_mutex_lock(&fauxkvm->handles_lock);
		object = atomic_exchange(&handle->object, NULL);
		pthread_mutex_unlock(&fauxkvm->handles_lock);
	}
	if (!object) {
		errno = EBADF;
		return -1;
	}
	object_put(object);
	return 0;
}

int fauxkvm_ioctl(struct fauxkvm *fauxkvm, int number, unsigned long request, ...)
{
	struct object *object = handle_get(fauxkvm, number);
	struct local_client self = {
		.client.ops = &local_ops,
		.fauxkvm = fauxkvm,
	};
	unsigned long argument;
	va_list arguments;
	long r;

	if (!object) {
		errno = EBADF;
		return -1;
	}
	va_start(arguments, request);
	argument = va_arg(arguments, unsigned long);
	va_end(arguments);
	self.handle = handle_at(fauxkvm, number);
	r = object_ioctl(object, &self.client, request, argument);
	if (r == -EINTR && (unsigned)request == KVM_RUN)
		atomic_store(&self.handle->kicked, false);
	object_put(object);
	if (r < 0) {
		errno = -r;
		return -1;
	}
	return r;
}

int fauxkvm_kick(struct fauxkvm *fauxkvm, int number)
{
	struct handle *handle = handle_at(fauxkvm, number);
	struct object *object = handle ? atomic_load(&handle->object) : NULL;

	if (!object || object->kind != OBJECT_VCPU) {
		errno = object ? EINVAL : EBADF;
		return -1;
	}
	atomic_store(&handle->kicked, true);
	object_kick(object);
	return 0;
}

static int map_pages(struct object *object, uint8_t *at, size_t length, int prot, off_t offset)
{
	struct object_page page;
	size_t done;
	int r;

	for (done = 0; done < length; done += GUEST_PAGE_SIZE) {
		r = object_page(object, (offset + done) / GUEST_PAGE_SIZE, &page);
		if (r == -EINVAL) /* between kvm_run and the dirty ring */
			continue;
		if (r)
			return r;
		if (mmap(at + done, GUEST_PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED, page.fd,
			 page.offset) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

void *fauxkvm_mmap(struct fauxkvm *fauxkvm, int number, size_t length, int prot, off_t offset)
{
	struct object *object = handle_get(fauxkvm, number);
	size_t size;
	void *mapping = MAP_FAILED;
	int r = 0;

	if (!object) {
		errno = EBADF;
		return MAP_FAILED;
	}
	size = object_mmap_size(object);
	length = (length + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
	if (!size)
		r = -ENODEV;
	else if (!length || offset < 0 || offset % (off_t)GUEST_PAGE_SIZE ||
		 (size_t)offset >= size || length > size - offset)
		r = -EINVAL;
	if (!r)
		r = object_mmap_check(object, offset / GUEST_PAGE_SIZE, length / GUEST_PAGE_SIZE,
				      prot, MAP_SHARED);
	if (!r) {
		/* The pages lie in different places: find room first, then fill it. */
		mapping = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (mapping == MAP_FAILED)
			r = -errno;
	}
	if (!r) {
		r = map_pages(object, mapping, length, prot, offset);
		if (r)
			munmap(mapping, length);
	}
	object_put(object);
	if (r) {
		errno = -r;
		return MAP_FAILED;
	}
	return mapping;
}

ssize_t fauxkvm_read(struct fauxkvm *fauxkvm, int number, void *buffer, size_t bytes, off_t offset)
{
	struct object *object = handle_get(fauxkvm, number);
	struct local_client self = { .client.ops = &local_ops, .fauxkvm = fauxkvm };
	ssize_t r;

	if (!object) {
		errno = EBADF;
		return -1;
	}
	r = object_read(object, &self.client, (uintptr_t)buffer, bytes, offset);
	object_put(object);
	if (r < 0) {
		errno = -r;
		return -1;
	}
	return r;
}
