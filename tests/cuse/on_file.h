/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program finds that on_file runs. */
#ifndef CUSE_ON_FILE_H
#define CUSE_ON_FILE_H

#include <sys/types.h>

/* The daemon, for a case of cases_main(). 0: there is none. */
pid_t find_daemon(void);

#endif
