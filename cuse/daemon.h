/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The room's own: fauxkvmd, /dev/kvm for a whole machine.
 *
 * /dev/kvm is a character device made with CUSE (device.c) or a file of the mount bound to a path.
 * VMs are further opens of the device. All other descriptors are files of a FUSE mount that has no
 * path (mount.c): their ioctls come here with the caller's thread, and mmap() of a vCPU's file
 * shows pages of the page cache that the daemon has mapped too. Each request is served from start
 * to end by one thread of a pool (pool.c).
 *
 * The caller is a thread of another process (client.c). It sleeps in its ioctl() meanwhile, so its
 * number stays its own. For what only it can do itself, it is answered early, stopped on its way to
 * user mode and made to execute system calls (tracee.c): to take a new descriptor, and to replace
 * private memory by shared memory of the same content (convert.c).
 *
 * Locks, in this order: those of the core; the process's; mount.c's and limits.c's own. A thread
 * that is stopped is never waited for with a lock that its own or another thread's request needs to
 * be answered: see process_freeze().
 */
#ifndef FAUXKVM_CUSE_DAEMON_H
#define FAUXKVM_CUSE_DAEMON_H

#define FUSE_USE_VERSION 35
#include <cuse_lowlevel.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "abi/object.h"
#include "util/log.h"

#define PAGE ((size_t)4096)

struct daemon_options {
	const char *device_name; /* below /dev */
	const char *file;        /* a path for a file of the mount; NULL: CUSE */
	mode_t mode;
	const char *group;
	const char *engine;
	bool foreground;
	bool replace;
	bool confine;
	unsigned max_vms;    /* of one user */
	uint64_t max_memory; /* of one user's VMs, bytes */
	int log_level;
};

extern struct log daemon_log;
extern struct fauxkvm *daemon_core;
/* The end has begun: every request is answered with -EIO. */
extern atomic_bool daemon_stopping;

#define LOG(level, ...) log_printf(&daemon_log, LOG_LEVEL_##level, __VA_ARGS__)

/* ---- pool.c: the threads that serve a session ---- */

struct fuse_in_header; /* linux/fuse.h */

/* The largest request: an ioctl()'s structure, or as much as op_init() lets a write() have. */
#define POOL_REQUEST_BYTES ((size_t)64 << 10)
#define POOL_WRITE_MAX (32u << 10)

/*
 * Answers a request with pool_answer() if the kernel may hold locks meanwhile that we need for
 * anything else: no lock must be taken then, and no memory used but the stack and what was there
 * when the daemon started. False: libfuse is to have it.
 */
typedef bool pool_at_once(int fd, const struct fuse_in_header *request);
/* Answers with a negative errno, or 0 and data in up to POOL_PARTS_MAX parts. */
#define POOL_PARTS_MAX 16
void pool_answer(int fd, uint64_t unique, int error, const struct iovec *data, unsigned count);
/*
 * Starts serving; @at_once is asked first, if there is one. One thread at least always waits for
 * requests. 0 or negative errno.
 */
int pool_start(struct fuse_session *session, pool_at_once *at_once);
/* The calling thread of a pool ends after the request that it serves; another takes its place. */
void pool_retire(void);

/* ---- file.c: open file descriptions ---- */

struct node;

/* What the kernel knows by its address from an open to the release. */
struct file {
	struct object *object;  /* its reference, under file.c's lock; NULL: none yet */
	struct node *node;      /* of the mount; NULL: not there */
	struct process *closer; /* whose calls wait for the release; NULL: nobody's do */
};

/* NULL: no memory. Takes over the reference to @object on success. */
struct file *file_create(struct object *object);
/* Of one that the kernel does not know, or NULL. The reference to its object stays the caller's. */
void file_free(struct file *file);
bool files_are_open(void);
/* For an open() that is to find @file: to be called before and after it, by the same thread. */
void file_expect(struct file *file);
/* True: it has been found, and the kernel will release it. */
bool file_was_expected(struct file *file);
/* The file that the thread @tid of ours expects, or NULL. */
struct file *file_expected_by(pid_t tid);
/*
 * The client has it: ioctls reach @object, the reference to which is the file's now. Only once. NULL:
 * until then they reach nothing.
 */
void file_own(struct file *file, struct object *object);
/* One of its descriptors has been closed, which may have been the last; @process is its VM's. */
void file_closing(struct file *file, struct process *process, uint64_t inode);
/* The object with a new reference, or NULL. */
struct object *file_object(struct file *file);
/* The release. */
void file_destroy(struct file *file);

/*
 * A descriptor of this process for @object, of which nobody can use anything before file_own(). From
 * then on the reference goes with it: when its last duplicate anywhere is closed.
 */
int file_open(struct object *object, struct file **file);

/* ---- device.c: the CUSE device ---- */

/* Can there be one, and is the name free? 0 or negative errno, logged. */
int device_prepare(const struct daemon_options *options);
/* Then: makes /dev/NAME and serves it. 0 or negative errno, logged. */
int device_start(const struct daemon_options *options);
/* Opens the device as @file. -ENODEV: there is no device. */
int device_open(struct file *file);

/* ---- mount.c: files without a path ---- */

/* With options->file a file that is as /dev/kvm is bound to it. 0 or negative errno, logged. */
int mount_start(const struct daemon_options *options);
void mount_stop(void);
dev_t mount_device(void);
/* Opens a new file for @file, or for a vCPU that of its pages. */
int mount_open(struct file *file);
/* A file has been released that had the node. */
void mount_released(struct node *node);
/* The object behind a descriptor of such a file, with a new reference, or NULL. */
struct object *mount_object(int fd);
/* The pages of a vCPU: space_ops. */
int mount_pages_create(struct object *vcpu, size_t count, uint8_t **pages);
void mount_pages_destroy(struct object *vcpu, uint8_t *pages);

/* ---- process.c: address spaces that have VMs ---- */

struct request;

/* A part of a memslot's memory in this process. */
struct window {
	struct window *next; /* in its bucket, by hva */
	uint64_t address;    /* the client's */
	uint64_t bytes;
	uint8_t *hva;
};

#define RETIRED_MAX 64
#define WINDOW_BUCKETS 256

/* What was private memory, last: see convert.c. */
struct exchanged {
	int memfd;     /* -1: nothing */
	uint64_t used; /* bytes of it */
	uint64_t end;  /* the address behind */
};

struct process {
	struct process *next;
	unsigned references; /* under the list's lock */
	pid_t pid;
	int pagemap; /* of the address space: open as long as we know of it */
	bool over;   /* the number has another one since, under the list's lock too */
	uid_t uid;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool frozen;              /* its memory must not be touched, its threads not answered */
	unsigned touching;        /* requests that read or write its memory just now */
	struct request *requests; /* its threads that wait for us */
	atomic_uint closing;      /* files that may be about to be released */
	uint64_t closing_inode;   /* the last of them; 0: nobody waits for that */
	struct timespec settled;  /* or only until then */
	struct window *windows[WINDOW_BUCKETS]; /* of all its VMs */
	struct masked *masked;                  /* see client.c */
	/* Windows that are gone, whose addresses are not used again for a while. */
	struct window *retired[RETIRED_MAX];
	unsigned retired_next;

	/* watch.c; the lists belong to who has frozen the process. */
	pthread_mutex_t watch_lock; /* of the start */
	int watch_fd;               /* -1: not watched */
	bool watch_failed;
	int watch_stop;
	pthread_t watch_thread;
	struct converted *converted;
	struct exchanged exchanged; /* this too */
	struct change *changes, **changes_end;
};

/* A call of a client's thread, for as long as the thread waits for it. */
struct request {
	struct client client; /* first */
	fuse_req_t fuse;
	pid_t tid;
	uid_t uid;
	struct object *object;
	struct process *process;          /* NULL: the object has none */
	struct request *next, **previous; /* of the process */
	struct request *all_next, **all_previous;
	atomic_bool interrupted;
	bool freezes;    /* has frozen the process */
	bool restart;    /* the client is to make the call again */
	bool wants_mask; /* KVM_RUN is to be called again, with this one: */
	uint64_t wanted_mask;
	bool masked;           /* this is the call that has it */
	struct tracee *tracee; /* has been answered and is stopped; NULL: still waits */
};

/*
 * The process of @tid, which waits for us, with a reference; made if it is not known yet. 0 or
 * negative errno, and NULL.
 */
int process_get(pid_t tid, uid_t uid, struct process **process);
/* One reference more. */
struct process *process_ref(struct process *process);
void process_put(struct process *process);
/* Is it the address space of @tid? */
bool process_is(const struct process *process, pid_t tid);

/*
 * close() returns before the release gets here; under KVM it has had its effect by then. So calls of
 * the process wait, between these two, in process_settle(), unless it or somebody else has the file
 * all the same. A reference to the process is held meanwhile. @first: of this file.
 */
void process_closing(struct process *process, uint64_t inode, bool first);
void process_closed(struct process *process);
void process_settle(struct process *process, pid_t tid);

/* A request of the process comes, and is about to be answered. Both wait while it is frozen. */
void process_enter(struct request *request);
void process_leave(struct request *request);
/*
 * From here to process_thaw() no thread of the process executes but the caller of @request, which
 * has to be captured afterwards. 0, or -EBUSY: a thread does not stop.
 */
struct freezer;
int process_freeze(struct request *request, struct freezer **freezer);
void process_thaw(struct request *request, struct freezer *freezer);
/* Reading or writing the process's memory: not while it is frozen, unless by @request. */
void process_touch(struct request *request);
void process_touched(struct request *request);

/* ---- proc.c: what /proc says ---- */

struct vma {
	uint64_t start, end, offset;
	unsigned device_major, device_minor;
	uint64_t inode;
	int protection; /* PROT_* */
	bool shared;
	bool file; /* has one behind it, shared or private */
};

/* The mappings that meet [@start, @end), from malloc(): 0 or negative errno. */
int proc_vmas(pid_t tid, uint64_t start, uint64_t end, struct vma **vmas, size_t *count);
/* The thread group's number, 0: gone. */
pid_t proc_tgid(pid_t tid);
/* In a set of signals as the kernel has it. */
#define SIGNAL_BIT(signo) (1ull << ((signo)-1))
/*
 * Signals that wait for the thread, that it does not ignore and that @blocked lets in; with NULL its
 * own mask.
 */
uint64_t proc_pending(pid_t tid, const uint64_t *blocked);
/* The thread that traces it, 0: none. */
pid_t proc_tracer(pid_t tid);
/* Has its table of descriptors one of the mount's file @inode? */
bool proc_has_file(pid_t tid, uint64_t inode);
/* Is it gone or a zombie? */
bool proc_dead(pid_t tid);

/* ---- tracee.c ---- */

struct tracee;

/*
 * PTRACE_SEIZE with @options: 0 or negative errno. If another thread of ours is at it just now, that
 * is waited for a while: -EBUSY, it still is; -EPERM: another process is.
 */
int tracee_seize(pid_t tid, unsigned long options);
/*
 * To be called in this order, all by one thread. Begins: @tid will stop before it is back in user
 * mode. It must wait in a system call of ours now.
 */
int tracee_begin(pid_t tid, struct tracee **tracee);
/* It has been answered: waits until it has stopped. -ESRCH: it is dead. */
int tracee_wait(struct tracee *tracee);
/* Executes a system call in it: its result, -ESRCH: it is dead. */
long tracee_call_with(struct tracee *tracee, long number, const uint64_t arguments[6]);
#define tracee_call(tracee, number, ...)                                                           \
	tracee_call_with(tracee, number, (const uint64_t[6]){ __VA_ARGS__ })
/* A page of its memory for arguments, made on the first call: 0, or negative errno. */
int tracee_scratch(struct tracee *tracee, uint64_t *address);
int tracee_write(struct tracee *tracee, uint64_t address, const void *data, size_t bytes);
int tracee_read(struct tracee *tracee, uint64_t address, void *data, size_t bytes);
/*
 * Nothing can be done with it any more. Its number stays its own until it is let go, but for a
 * process that has been killed twice.
 */
bool tracee_is_dead(const struct tracee *tracee);
/* Lets it go with @result of its system call; or it makes the call again. Frees @tracee. */
void tracee_end(struct tracee *tracee, long result);
void tracee_end_restart(struct tracee *tracee);
/*
 * Makes the call again, with the signal mask @mask while it is in the kernel; returns when that
 * call is at its end. Then tracee_end_masked(). -ESRCH: it is dead; then tracee_end().
 */
int tracee_run_masked(struct tracee *tracee, uint64_t mask);
void tracee_end_masked(struct tracee *tracee);
/* A descriptor of ours becomes one of its: the number or negative errno. */
int tracee_install(struct tracee *tracee, int fd, bool cloexec);
/*
 * A close-on-exec duplicate of the descriptor @fd of a thread's own table (before Linux 6.9: of its
 * process's), or -EBADF. It waits for us or is captured.
 */
int thread_get_fd(pid_t tid, int fd);

/* ---- memory.c, convert.c ---- */

int memory_map(struct client *client, uint64_t address, uint64_t bytes, uint8_t **hva);
void memory_unmap(struct process *process, uint8_t *hva, uint64_t bytes);
/* The process has no VM any more. */
void memory_end(struct process *process);
int memory_fault_in(struct client *client, uint8_t *hva);
/* Shows [@start, @end) of the client's in the window, as far as it is shared. */
int memory_attach(struct request *request, const struct window *window, uint64_t start,
		  uint64_t end, bool *private_left);
/* Turns private memory in [@start, @end) into shared memory. 0 or negative errno. */
int convert_range(struct request *request, uint64_t start, uint64_t end);

/* The process has changed its mappings in [@start, @end): windows forget what they had. */
void memory_forget(struct process *process, uint64_t start, uint64_t end);

/* ---- watch.c ---- */

/* Begins, with the caller captured. 0 also when the kernel cannot; or negative errno. */
int watch_start(struct request *request);
/* Also [@start, @end), shared memory. */
void watch_range(struct process *process, uint64_t start, uint64_t end);
/* This was private memory, and is now the memfd's from @offset on. The process is frozen. */
void watch_converted(struct process *process, uint64_t start, uint64_t end, int memfd,
		     uint64_t offset);
/* For who freezes the process: takes the news, as often as threads may wait for that; follows. */
void watch_collect(struct process *process);
void watch_apply(struct process *process);
void watch_end(struct process *process);

/* ---- client.c ---- */

/* A descriptor of @file, number @inode of the mount, is being closed. */
void client_closes(struct file *file, uint64_t inode);
/* Serves one ioctl: answers it in every case. */
void client_ioctl(fuse_req_t fuse, struct object *object, unsigned request, unsigned long argument);
/* Ends every KVM_RUN and all later calls with -EIO, and waits until all callers have been answered. */
void clients_stop(void);
/* Answers the caller early and stops it. 0 or negative errno. */
int request_capture(struct request *request);
/* The caller was captured and has died since: its number must not be used any more. */
bool request_is_gone(const struct request *request);

/* ---- limits.c: what one user may have ---- */

void limits_set(unsigned vms, uint64_t memory);
int limits_take_vm(uid_t uid);
void limits_give_vm(uid_t uid);
int limits_take_memory(uid_t uid, uint64_t bytes);
void limits_give_memory(uid_t uid, uint64_t bytes);
/* Memslots, which each are a mapping of ours, one at least. */
int limits_take_window(uid_t uid);
void limits_give_window(uid_t uid);
/* Requests in progress, which each occupy a thread. */
int limits_take_request(uid_t uid);
void limits_give_request(uid_t uid);

/* ---- guard.c ---- */

/*
 * By the thread that lives as long as the daemon, before there are others, and before memory is
 * locked. 0 or negative errno.
 */
int guard_start(const struct daemon_options *options);
/* Both connections are there: from now on the daemon's death ends them. */
void guard_arm(void);

/* ---- confine.c ---- */

/* Gives up what is not needed any more. 0 or negative errno, logged. */
int confine(const struct daemon_options *options);
/* So does the calling thread, if it has not yet. */
void confine_thread(void);
/* The guard keeps nothing, as far as the kernel lets it. */
void confine_guard(void);

#endif
