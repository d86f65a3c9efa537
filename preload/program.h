/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the command finds out about a program before it starts it. */
#ifndef FAUXKVM_PRELOAD_PROGRAM_H
#define FAUXKVM_PRELOAD_PROGRAM_H

#include <limits.h>
#include <stdbool.h>

/* The file that execvp(@program) starts. False: there is none. */
bool program_find(const char *program, char path[PATH_MAX]);
/*
 * Why the program at @path would not load a preloaded library, to be put behind "it is ", or NULL.
 * A script is judged by its interpreter.
 */
const char *program_obstacle(const char *path);

#endif
