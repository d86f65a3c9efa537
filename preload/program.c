/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Will the dynamic linker load a preloaded library into this program? */
#define _GNU_SOURCE
#include "preload/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_DEPTH 5 /* as the kernel follows "#!" */

bool program_find(const char *program, char path[PATH_MAX])
{
	const char *at = getenv("PATH"), *end;
	struct stat st;

	if (strchr(program, '/')) {
		snprintf(path, PATH_MAX, "%s", program);
		return !access(path, F_OK);
	}
	for (at = at ? at : "/bin:/usr/bin"; at; at = *end ? end + 1 : NULL) {
		end = strchrnul(at, ':');
		snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - at), at, end > at ? "/" : "",
			 program);
		if (!stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK))
			return true;
	}
	return false;
}

/* AT_SECURE: the dynamic linker ignores LD_PRELOAD. */
static bool is_privileged(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return false;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return true;
	if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
		return true;
	return getuid() && getxattr(path, "security.capability", NULL, 0) > 0;
}

static const char *elf_obstacle(int fd)
{
	char linker[PATH_MAX];
	Elf64_Phdr segment;
	Elf64_Ehdr header;
	ssize_t n;
	int i;

	if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return NULL;
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
		return "not a 64-bit x86 program";
	for (i = 0; i < header.e_phnum; i++) {
		if (pread(fd, &segment, sizeof(segment),
			  header.e_phoff + (off_t)i * header.e_phentsize) !=
		    (ssize_t)sizeof(segment))
			return NULL;
		if (segment.p_type != PT_INTERP)
			continue;
		n = pread(fd, linker, sizeof(linker) - 1, segment.p_offset);
		if (n < 0)
			return NULL;
		linker[n] = 0;
		return strstr(linker, "ld-musl") ? "linked with musl, and the library with glibc" :
						   NULL;
	}
	return "statically linked";
}

/* The interpreter of "#! INTERPRETER ARGUMENT", cut out of @line. */
static const char *script_interpreter(char *line)
{
	char *start = line + 2 + strspn(line + 2, " \t");

	start[strcspn(start, " \t\n")] = 0;
	return start;
}

static const char *obstacle(const char *path, int depth)
{
	char start[256];
	const char *result = NULL;
	ssize_t n;
	int fd;

	if (is_privileged(path))
		return "privileged (set-user-ID, set-group-ID or capabilities)";
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL; /* whatever it is, exec will tell */
	n = pread(fd, start, sizeof(start) - 1, 0);
	start[n > 0 ? n : 0] = 0;
	if (n >= SELFMAG && !memcmp(start, ELFMAG, SELFMAG))
		result = elf_obstacle(fd);
	else if (n > 2 && start[0] == '#' && start[1] == '!' && depth < SCRIPT_DEPTH)
		result = obstacle(script_interpreter(start), depth + 1);
	close(fd);
	return result;
}

const char *program_obstacle(const char *path)
{
	return obstacle(path, 0);
}
