/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command: fauxkvm run, fauxkvm info. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/table.h"
#include "abi/fauxkvm.h"
#include "cpu/engine.h"

#define LIBRARY "libfauxkvm-preload.so"
#define EXIT_CANNOT 126
#define EXIT_NOT_FOUND 127

static const char help[] =
	"Usage: fauxkvm run [OPTIONS] [--] PROGRAM [ARGUMENTS]\n"
	"       fauxkvm info [--markdown]\n"
	"       fauxkvm --help | --version\n"
	"\n"
	"run    Starts a dynamically linked program that finds KVM at /dev/kvm, served by\n"
	"       FauxKVM inside the program's own process. Programs it starts find it too.\n"
	"info   Prints the version, the engines and the capabilities.\n"
	"\n"
	"Options of run:\n"
	"  --engine NAME     CPU engine (see fauxkvm info)           FAUXKVM_ENGINE\n"
	"  --log LEVEL       error, warn, info, trace (every ioctl)  FAUXKVM_LOG\n"
	"  --log-file FILE   append the log to FILE, not to stderr   FAUXKVM_LOG_FILE\n"
	"\n"
	"The environment variables mean the same; options win. The exit status is the\n"
	"program's; 126 if it cannot be started (statically linked, no permission), 127 if\n"
	"it does not exist.\n";

/* Where the preload library is: beside the command, or installed. */
static bool find_library(char path[PATH_MAX])
{
	static const char *const places[] = { LIBRARY, "../lib/fauxkvm/" LIBRARY, NULL };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	int i;

	if (n < 0)
		return false;
	self[n] = 0;
	slash = strrchr(self, '/');
	slash[1] = 0;
	for (i = 0; places[i]; i++) {
		if (snprintf(path, PATH_MAX, "%s%s", self, places[i]) < PATH_MAX &&
		    !access(path, R_OK))
			return true;
	}
#ifdef FAUXKVM_LIBRARY_DIRECTORY
	snprintf(path, PATH_MAX, "%s/%s", FAUXKVM_LIBRARY_DIRECTORY, LIBRARY);
	return !access(path, R_OK);
#else
	return false;
#endif
}

/* The file that execvp(@program) would start. */
static bool find_program(const char *program, char path[PATH_MAX])
{
	const char *at = getenv("PATH"), *end;

	if (strchr(program, '/')) {
		snprintf(path, PATH_MAX, "%s", program);
		return true;
	}
	for (at = at ? at : "/usr/bin:/bin"; *at; at = *end ? end + 1 : end) {
		end = strchrnul(at, ':');
		snprintf(path, PATH_MAX, "%.*s/%s", (int)(end - at), at, program);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

/* An ELF file without an interpreter never loads a preload library. */
static bool is_static(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), i;
	bool result = false;
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	if (fd < 0)
		return false;
	if (pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
	    !memcmp(header.e_ident, ELFMAG, SELFMAG) && header.e_ident[EI_CLASS] == ELFCLASS64) {
		result = true;
		for (i = 0; i < header.e_phnum; i++)
			if (pread(fd, &segment, sizeof(segment),
				  header.e_phoff + (off_t)i * header.e_phentsize) ==
				    (ssize_t)sizeof(segment) &&
			    segment.p_type == PT_INTERP)
				result = false;
	}
	close(fd);
	return result;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "engine", required_argument, NULL, 'e' },
		{ "log", required_argument, NULL, 'l' },
		{ "log-file", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	char library[PATH_MAX], program[PATH_MAX], *preload;
	const char *before;
	int c;

	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (c) {
		case 'e':
			if (!engine_find(optarg)) {
				fprintf(stderr, "fauxkvm: no engine \"%s\"\n", optarg);
				return EXIT_CANNOT;
			}
			setenv("FAUXKVM_ENGINE", optarg, 1);
			break;
		case 'l':
			setenv("FAUXKVM_LOG", optarg, 1);
			break;
		case 'f':
			setenv("FAUXKVM_LOG_FILE", optarg, 1);
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			return EXIT_CANNOT;
		}
	}
	if (optind >= argc) {
		fputs("fauxkvm run: which program?\n", stderr);
		return EXIT_CANNOT;
	}
	argv += optind;
	if (!find_library(library)) {
		fputs("fauxkvm: " LIBRARY " is not where it should be\n", stderr);
		return EXIT_CANNOT;
	}
	if (!find_program(argv[0], program)) {
		fprintf(stderr, "fauxkvm: %s: not found\n", argv[0]);
		return EXIT_NOT_FOUND;
	}
	if (is_static(program)) {
		fprintf(stderr, "fauxkvm: %s is statically linked: it cannot be given KVM this way\n",
			program);
		return EXIT_CANNOT;
	}
	before = getenv("LD_PRELOAD");
	if (asprintf(&preload, "%s%s%s", library, before && *before ? ":" : "",
		     before ? before : "") < 0)
		return EXIT_CANNOT;
	setenv("LD_PRELOAD", preload, 1);
	execvp(argv[0], argv);
	fprintf(stderr, "fauxkvm: %s: %s\n", argv[0], strerror(errno));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT;
}

static void info_capabilities(void)
{
	size_t i;

	for (i = 0; i < capability_table_rows; i++) {
		const struct capability_row *row = &capability_table[i];
		int system = row->dynamic ? row->dynamic(NULL) : row->system;
		int vm = row->dynamic ? row->dynamic(NULL) : row->vm;

		if (system || vm)
			printf("  %3u %-36s %d %d\n", row->number, row->name, system, vm);
	}
}

static int info(int argc, char **argv)
{
	const struct engine *const *engine;

	if (argc > 1 && !strcmp(argv[1], "--markdown")) {
		document_write(stdout);
		return 0;
	}
	printf("FauxKVM %s\nengines:", FAUXKVM_VERSION);
	for (engine = engine_list(); *engine; engine++)
		printf(" %s%s", (*engine)->name, engine == engine_list() ? " (default)" : "");
	printf("\ncapabilities (on /dev/kvm, on a VM):\n");
	info_capabilities();
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "run"))
		return run(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "info"))
		return info(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		printf("fauxkvm %s\n", FAUXKVM_VERSION);
		return 0;
	}
	fputs(help, argc > 1 && !strcmp(argv[1], "--help") ? stdout : stderr);
	return argc > 1 && !strcmp(argv[1], "--help") ? 0 : EXIT_CANNOT;
}
