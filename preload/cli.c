/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command: fauxkvm run, fauxkvm info. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/fauxkvm.h"
#include "abi/table.h"
#include "cpu/engine.h"
#include "preload/program.h"

#define LIBRARY "libfauxkvm-preload.so"

/* As env(1), nohup(1) and the shell have them. */
#define EXIT_OWN 125
#define EXIT_CANNOT 126
#define EXIT_NOT_FOUND 127

static const char help[] =
	"Usage: fauxkvm run [OPTIONS] [--] PROGRAM [ARGUMENTS]\n"
	"       fauxkvm info [--markdown]\n"
	"       fauxkvm --help | --version\n"
	"\n"
	"run    Starts a dynamically linked program that finds KVM at /dev/kvm, served by\n"
	"       FauxKVM inside the program's own process. Programs it starts find it too.\n"
	"info   Prints the version, the engines and the capabilities, or with --markdown\n"
	"       the tables of all ioctls and capabilities.\n"
	"\n"
	"Options of run, and environment variables that mean the same (options win):\n"
	"  --engine NAME     CPU engine, see fauxkvm info            FAUXKVM_ENGINE\n"
	"  --log LEVEL       error, warn, info, trace (every ioctl)  FAUXKVM_LOG\n"
	"  --log-file FILE   append the log to FILE, not to stderr   FAUXKVM_LOG_FILE\n"
	"  --stats           when the program ends, or a VM, tell    FAUXKVM_STATS=1\n"
	"                    in the log where each vCPU's time went\n"
	"\n"
	"The exit status is the program's. 125: wrong use of fauxkvm. 126: the program cannot\n"
	"be started or cannot be given KVM (statically linked, set-user-ID). 127: it does not\n"
	"exist.\n";

/* ---- run ---- */

/* Beside the command in the build tree, in the library directory when installed. */
static bool library_find(char path[PATH_MAX])
{
	static const char *const places[] = { LIBRARY, FAUXKVM_LIBRARY_DIRECTORY "/" LIBRARY };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t i;

	if (n <= 0)
		return false;
	self[n] = 0;
	strrchr(self, '/')[1] = 0;
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (snprintf(path, PATH_MAX, "%s%s", self, places[i]) < PATH_MAX &&
		    !access(path, R_OK))
			return true;
	return false;
}

/* 0 or the exit status. */
static int library_preload(void)
{
	const char *others = getenv("LD_PRELOAD");
	char library[PATH_MAX], *preload;

	if (!library_find(library)) {
		fputs("fauxkvm: " LIBRARY
		      " is neither beside this command nor in " FAUXKVM_LIBRARY_DIRECTORY
		      " from here\n",
		      stderr);
		return EXIT_OWN;
	}
	/* The dynamic linker has no way to quote them. */
	if (strpbrk(library, " :")) {
		fprintf(stderr, "fauxkvm: space or colon in the library's path: %s\n", library);
		return EXIT_OWN;
	}
	if (asprintf(&preload, "%s%s%s", library, others && *others ? ":" : "",
		     others ? others : "") < 0)
		return EXIT_OWN;
	setenv("LD_PRELOAD", preload, 1);
	free(preload);
	return 0;
}

static bool engine_is_known(const char *name)
{
	if (engine_find(name))
		return true;
	fprintf(stderr, "fauxkvm: no engine \"%s\"; fauxkvm info lists them\n", name);
	return false;
}

static bool level_is_known(const char *name)
{
	static const char *const levels[] = { "error", "warn", "info", "trace" };
	size_t i;

	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (!strcmp(name, levels[i]))
			return true;
	fprintf(stderr, "fauxkvm: no log level \"%s\": error, warn, info, trace\n", name);
	return false;
}

/* The program may change its directory before it opens the file. */
static bool set_log_file(const char *name)
{
	char directory[PATH_MAX], path[2 * PATH_MAX];

	if (*name == '/')
		return !setenv("FAUXKVM_LOG_FILE", name, 1);
	if (!getcwd(directory, sizeof(directory)))
		return false;
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return !setenv("FAUXKVM_LOG_FILE", path, 1);
}

/* Options into the environment. The index of PROGRAM, or -1. */
static int parse_run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "engine", required_argument, NULL, 'e' },
		{ "log", required_argument, NULL, 'l' },
		{ "log-file", required_argument, NULL, 'f' },
		{ "stats", no_argument, NULL, 's' },
		{ 0 },
	};
	const char *engine, *level;
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (c == 'e')
			setenv("FAUXKVM_ENGINE", optarg, 1);
		else if (c == 'l')
			setenv("FAUXKVM_LOG", optarg, 1);
		else if (c == 's')
			setenv("FAUXKVM_STATS", "1", 1);
		else if (c != 'f' || !set_log_file(optarg))
			return -1;
	}
	engine = getenv("FAUXKVM_ENGINE");
	level = getenv("FAUXKVM_LOG");
	if (engine && *engine && !engine_is_known(engine))
		return -1;
	if (level && *level && !level_is_known(level))
		return -1;
	if (optind < argc)
		return optind;
	fputs("fauxkvm run: which program? See fauxkvm --help\n", stderr);
	return -1;
}

static int run(int argc, char **argv)
{
	int first = parse_run(argc, argv), status, error;
	char path[PATH_MAX];
	const char *obstacle;

	if (first < 0)
		return EXIT_OWN;
	argv += first;
	if (!program_find(argv[0], path)) {
		fprintf(stderr, "fauxkvm: %s: not found\n", argv[0]);
		return EXIT_NOT_FOUND;
	}
	obstacle = program_obstacle(path);
	if (obstacle) {
		fprintf(stderr, "fauxkvm: %s cannot be given KVM: it is %s\n", path, obstacle);
		return EXIT_CANNOT;
	}
	status = library_preload();
	if (status)
		return status;
	execvp(argv[0], argv);
	error = errno;
	fprintf(stderr, "fauxkvm: %s: %s\n", argv[0], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT;
}

/* ---- info ---- */

static void info_capabilities(void)
{
	const struct capability_row *row, *end = capability_table + capability_table_rows;

	printf("capabilities, on /dev/kvm and on a VM:\n");
	for (row = capability_table; row < end; row++) {
		int system = row->dynamic ? row->dynamic(NULL) : row->system;
		int vm = row->dynamic ? row->dynamic(NULL) : row->vm;

		if (system || vm)
			printf("  %-38s %3u %11d %11d\n", row->name, row->number, system, vm);
	}
}

static int info(int argc, char **argv)
{
	const struct engine *const *engine;

	if (argc > 1 && !strcmp(argv[1], "--markdown")) {
		document_write(stdout);
	} else if (argc > 1) {
		fputs(help, stderr);
		return EXIT_OWN;
	} else {
		printf("FauxKVM %s\nengines:", FAUXKVM_VERSION);
		for (engine = engine_list(); *engine; engine++)
			printf(" %s%s", (*engine)->name,
			       *engine == engine_find(NULL) ? " (default)" : "");
		putchar('\n');
		info_capabilities();
	}
	return fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "run"))
		return run(argc - 1, argv + 1);
	if (!strcmp(command, "info"))
		return info(argc - 1, argv + 1);
	if (!strcmp(command, "--version")) {
		printf("fauxkvm %s\n", FAUXKVM_VERSION);
		return 0;
	}
	if (!strcmp(command, "--help") || !strcmp(command, "help")) {
		fputs(help, stdout);
		return 0;
	}
	fputs(help, stderr);
	return EXIT_OWN;
}
