// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Waits that would never end, and the daemon's end, at which nobody must be left waiting.
 *
 * A client's memory is a file of a file system of its own, that does not answer: whoever touches it
 * waits for ever, and nobody can end that. It must be the client's alone to wait.
 */
#define FUSE_USE_VERSION 35
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kvm_client.h"
#include "on_file.h"

#define FILE_INO 2
#define FILE_BYTES 0x200000
#define CALLERS 16
#define PATIENCE_MS 8000 /* the daemon gives calls five seconds to end */

GUEST(store_code, 64, "movl $1, 0x10000000; hlt");
GUEST(out_code, 64, "1: out %eax, $0x10; jmp 1b");

/* ---- the file system, a process of its own ---- */

struct stall {
	atomic_bool read, write; /* requests that are not answered any more */
	atomic_int stalled;
};

static struct stall *stall;

static bool stalls(atomic_bool *now)
{
	if (!atomic_load(now))
		return false;
	atomic_fetch_add(&stall->stalled, 1);
	return true;
}

static struct stat attributes(fuse_ino_t ino)
{
	struct stat st = {
		.st_ino = ino,
		.st_nlink = 1,
		.st_mode = ino == FILE_INO ? S_IFREG | 0600 : S_IFDIR | 0700,
		.st_size = ino == FILE_INO ? FILE_BYTES : 0,
	};

	return st;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {
		.ino = FILE_INO,
		.attr = attributes(FILE_INO),
		.attr_timeout = 1000,
		.entry_timeout = 1000,
	};

	(void)parent;
	if (strcmp(name, "file"))
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &entry);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct stat st = attributes(ino);

	(void)info;
	fuse_reply_attr(req, &st, 1000);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	(void)ino;
	info->keep_cache = 1;
	fuse_reply_open(req, info);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t bytes, off_t offset,
		    struct fuse_file_info *info)
{
	static const char zeros[FILE_BYTES];

	(void)ino;
	(void)offset;
	(void)info;
	if (!stalls(&stall->read))
		fuse_reply_buf(req, zeros, bytes);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t bytes, off_t offset,
		     struct fuse_file_info *info)
{
	(void)ino;
	(void)data;
	(void)offset;
	(void)info;
	if (!stalls(&stall->write))
		fuse_reply_write(req, bytes);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = op_lookup,
	.getattr = op_getattr,
	.open = op_open,
	.read = op_read,
	.write = op_write,
};

/* Serves a mount at @folder; ends with the process that made it. */
static pid_t serve(const char *folder)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session;
	pid_t pid;

	stall = mmap(NULL, sizeof(*stall), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	fuse_opt_add_arg(&args, "stuck");
	fuse_opt_add_arg(&args, "-oallow_other");
	session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	CHECK(session && !fuse_session_mount(session, folder), "no FUSE mount");
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fuse_session_loop(session);
		_exit(0);
	}
	/* Its descriptor is the child's alone. */
	close(fuse_session_fd(session));
	return pid;
}

static char folder[] = "/tmp/stuck.XXXXXX";

/* The file in memory behind a page of other memory, and who serves it. */
static uint8_t *map_file(pid_t *server)
{
	char path[64];
	uint8_t *memory;
	int fd;

	CHECK(mkdtemp(folder), "mkdtemp: %s", strerror(errno));
	*server = serve(folder);
	snprintf(path, sizeof(path), "%s/file", folder);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	memory = (uint8_t *)pages_alloc(FILE_BYTES + 4096) + 4096;
	memory = mmap(memory, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	CHECK(memory != MAP_FAILED, "mmap: %s", strerror(errno));
	close(fd);
	umount2(folder, MNT_DETACH);
	rmdir(folder);
	return memory;
}

/* ---- cases ---- */

static bool ends_soon(pid_t pid)
{
	unsigned int i;
	int status;

	for (i = 0; i < PATIENCE_MS; i += 10) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return !status;
		sleep_ms(10 * time_scale());
	}
	kill(pid, SIGKILL);
	return false;
}

static void *delete_slot(void *argument)
{
	vm_set_slot(argument, 1, 0, MMIO_BASE, 0, NULL);
	return NULL;
}

static void *run_until_error(void *argument)
{
	struct vcpu *vcpu = argument;
	int r;

	do
		r = vcpu_run(vcpu);
	while (r >= 0 || r == -EINTR);
	return (void *)(intptr_t)r;
}

/* A child that ends when the daemon is gone; it has had time to wait for it. */
static pid_t wait_for_end(int kvm)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	while (ioctl(kvm, KVM_GET_API_VERSION, 0) >= 0 || errno != ENOTCONN)
		sleep_ms(10);
	_exit(0);
}

/* Nothing prepares this end: pages of vCPUs are there, which the kernel wants to write back. */
static void daemon_killed(void)
{
	pid_t daemon = find_daemon(), other;
	pthread_t thread;
	struct vcpu vcpu;
	struct vm vm;

	if (!daemon)
		case_skip("the daemon is nowhere");
	VM_BOOT(&vm, &vcpu, MODE_LONG, out_code);
	vcpu_expect_out(&vcpu, 0x10, 4);
	pthread_create(&thread, NULL, run_until_error, &vcpu);
	sleep_ms(100);
	kill(daemon, SIGKILL);
	other = wait_for_end(vm.kvm);
	CHECK(ends_soon(other), "later calls wait");
	pthread_join(thread, NULL);
	vcpu_destroy(&vcpu);
}

/* A slot over the file, and what is written back of it when the slot goes stays in the way. */
static void slot_over_file(void)
{
	struct vcpu vcpu;
	struct vm vm;
	uint8_t *memory;
	pthread_t thread;
	pid_t server, other;
	bool ended;

	memory = map_file(&server);
	VM_BOOT(&vm, &vcpu, MODE_LONG, store_code);
	CHECK_EQ(vm_set_slot(&vm, 1, 0, MMIO_BASE, FILE_BYTES, memory), 0);
	vcpu_run(&vcpu);
	atomic_store(&stall->write, true);
	pthread_create(&thread, NULL, delete_slot, &vm);
	sleep_ms(100 * time_scale());
	other = fork();
	if (!other) {
		vm_create(&vm);
		_exit(0);
	}
	ended = ends_soon(other);
	kill(server, SIGKILL);
	pthread_join(thread, NULL);
	CHECK(ended, "other clients wait too");
}

struct call {
	int vcpu;
	struct kvm_cpuid2 *cpuid;
};

static void *set_cpuid(void *argument)
{
	struct call *call = argument;

	ioctl(call->vcpu, KVM_SET_CPUID2, call->cpuid);
	return NULL;
}

/* A thread of the daemon waits for the file when it is told to end. */
static void end_of_daemon(void)
{
	pid_t daemon = find_daemon(), server, other;
	struct call call;
	struct vcpu vcpu;
	struct vm vm;
	pthread_t thread;
	bool ended;

	if (!daemon)
		case_skip("the daemon is nowhere");
	call.cpuid = (void *)(map_file(&server) - sizeof(*call.cpuid));
	vm_create(&vm);
	vcpu_create(&vm, &vcpu, 0);
	call.cpuid->nent = 1;
	call.vcpu = vcpu.fd;
	atomic_store(&stall->read, true);
	pthread_create(&thread, NULL, set_cpuid, &call);
	while (!atomic_load(&stall->stalled))
		sleep_ms(1);
	kill(daemon, SIGTERM);
	other = wait_for_end(vm.kvm);
	ended = ends_soon(other);
	kill(server, SIGKILL);
	pthread_join(thread, NULL);
	CHECK(ended, "other clients wait too");
}

/* Each call that comes while the daemon ends is told so, also the next one of who was outside of it. */
static void end_of_calls(void)
{
	pid_t daemon = find_daemon();
	pthread_t thread[CALLERS];
	struct vcpu vcpu[CALLERS];
	unsigned int i;
	void *result;
	struct vm vm;

	if (!daemon)
		case_skip("the daemon is nowhere");
	vm_create(&vm);
	for (i = 0; i < CALLERS; i++) {
		vcpu_create(&vm, &vcpu[i], i);
		VCPU_LOAD(&vcpu[i], MODE_LONG, out_code);
		pthread_create(&thread[i], NULL, run_until_error, &vcpu[i]);
	}
	sleep_ms(100 * time_scale());
	kill(daemon, SIGTERM);
	for (i = 0; i < CALLERS; i++) {
		pthread_join(thread[i], &result);
		CHECK_EQ(-(intptr_t)result, EIO);
	}
}

static const struct test_case cases[] = {
	{ "slot_over_file", slot_over_file },
	/* One of these is the last. */
	{ "end_of_daemon", end_of_daemon },
	{ "end_of_calls", end_of_calls },
	{ "daemon_killed", daemon_killed },
};

CASES_MAIN(cases)
