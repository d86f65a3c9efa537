/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The preload front end: what its files share.
 *
 * An interposed call looks whether it is about /dev/kvm or about one of our descriptors and hands
 * everything else to libc unchanged. Each descriptor that a client gets is a memfd, so that the
 * kernel keeps the descriptor table; a side table says which object stands behind a number.
 *
 * Interposed calls are made by every program that runs under `fauxkvm run`, from signal handlers,
 * before constructors and in children of vfork(): they take no lock and allocate nothing unless
 * KVM is concerned.
 */
#ifndef FAUXKVM_PRELOAD_PRELOAD_H
#define FAUXKVM_PRELOAD_PRELOAD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/object.h"

#define EXPORT __attribute__((visibility("default")))

struct open_how;
struct stat;

/* -1 and errno for a negative errno, else @result. */
long preload_result(long result);
/* @result, which is -1 and errno or a success, that has errno as it was: @saved. */
long preload_answer(long result, int saved);

/* ---- fds.c: which object stands behind a descriptor ---- */

/*
 * What the kernel calls an open file description: descriptors made by dup() share one. It holds one
 * reference to its object.
 */
struct description;

/*
 * Is there possibly an object behind @fd? One load: false for everything that is not ours, and for
 * a descriptor that reached this process behind our back (fds_get_checked() still finds that).
 */
bool fds_known(int fd);
/* The same without that gap: true for every descriptor once KVM was opened. */
bool fds_possible(int fd);
/*
 * The description behind @fd with a reference, or NULL. No system call; trusts that nobody closed
 * the number behind our back. Async-signal safe, as description_put() is.
 */
struct description *fds_get(int fd);
/*
 * The same, checked: a number that was closed and used again behind our back is forgotten, and a
 * descriptor that came by another way (SCM_RIGHTS, exec) is recognised.
 */
struct description *fds_get_checked(int fd);
/* The same, with fds_known()'s one load for what is not ours, and its gap. */
struct description *fds_find(int fd);
/* The kind of the object that fds_find() finds, -1: none. */
int fds_kind(int fd);
void description_put(struct description *description);
struct object *description_object(const struct description *description);

/*
 * A new descriptor for @object, whose reference it takes over on success: the number or a negative
 * errno. @name as in /proc/self/fd; @flags as for open().
 */
int fds_install(struct object *object, const char *name, int flags);
/* @to is a descriptor for what @from is one for, since now. */
void fds_duplicated(int from, int to);
/* The kernel was asked to close it; the number may already be somebody else's. May change errno. */
void fds_closed(int fd);
void fds_closed_range(unsigned first, unsigned last);

/* ---- client.c: the calling thread as a client of the core ---- */

/* object_ioctl() for this thread, as ioctl(2) answers. Drops the reference to @description. */
int client_ioctl(struct description *description, unsigned request, unsigned long argument);
/* As pread(2). Drops the reference. */
ssize_t client_read(struct description *description, void *buffer, size_t bytes, off_t offset);

/*
 * In a signal handler. While this thread is in KVM_RUN: makes KVM_RUN return, arranges for the
 * signal to come again when it has returned, and says true.
 */
bool client_defer_signal(int signo, siginfo_t *info, void *context);
/* This thread's signal mask may be another one now. */
void client_mask_changed(void);
/* In a signal handler that cannot wait: KVM_RUN returns, if the thread is in it. */
void client_interrupt(void);

/* ---- signals.c ---- */

/* From the first open of /dev/kvm on, handlers of the client are wrapped. */
void signals_arm(void);
/*
 * KVM_RUN is about to unblock @signo, which the thread blocks: whatever its disposition, it must
 * reach our wrapper.
 */
void signals_stand_by(int signo);

/* ---- path.c: any pointer may be given ---- */

/* Whether the eight bytes at @address can be read. Async-signal safe. */
bool memory_readable(const void *address);
/*
 * Does @path, relative to @directory or AT_FDCWD, name /dev/kvm? @answer is what the kernel has
 * just said to a call with this path, a result or a negative errno: where it is an answer for any
 * file the path is not looked at, and where the path must have been read to give it, not asked for.
 * Calls that would change something if there is no such file cannot be made first: NOT_ASKED.
 */
#define NOT_ASKED (-4096)
bool path_is_kvm(int directory, const char *path, long answer);
/* The same with openat2()'s RESOLVE_ flags. */
bool path_resolves_to_kvm(int directory, const char *path, uint64_t resolve, long answer);
/*
 * Is that to be asked before an open with @flags? Others are made, and closed again if they were of
 * /dev/kvm; but not where the machine has a device of that name: it is to play no part.
 */
bool path_comes_first(int flags);

/* ---- open.c, stat.c ---- */

/* open("/dev/kvm", @flags). */
int kvm_open(int flags);
/* A description for a descriptor of /dev/kvm that another program image opened: its new object. */
struct object *kvm_reopen(void);
/* FAUXKVM_STATS: of the VMs that there are. The process is about to end. */
void print_statistics(void);

/* ---- inode.c ---- */

/*
 * For a call in which one of ours can only fail: a new descriptor in its place whose errors are
 * those of KVM's own, or @fd itself, when @kind, fds_kind() of it, is negative. To be closed with
 * stand_in_end(), which leaves errno.
 */
int stand_in(int fd, int kind);
void stand_in_end(int fd, int instead_of);

/* ---- the interposed calls that syscall() needs by an internal name ---- */

int open_at(int directory, const char *path, int flags, mode_t mode);
int stat_at(int directory, const char *path, struct stat *st, int flags);
int access_at(int directory, const char *path, int mode, int flags);
int openat2(int directory, const char *path, const struct open_how *how, size_t size);

#endif
