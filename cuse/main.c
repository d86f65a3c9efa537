/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fauxkvmd: options, start and end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "abi/fauxkvm.h"
#include "cuse/daemon.h"

struct log daemon_log = { .fd = STDERR_FILENO, .level = LOG_LEVEL_WARN };
struct fauxkvm *daemon_core;
atomic_bool daemon_stopping;

static const char usage[] =
	"usage: fauxkvmd [OPTION...]\n"
	"Makes /dev/kvm, served by a software CPU, for all programs of this machine.\n"
	"\n"
	"  --device-name NAME  the device is /dev/NAME (kvm)\n"
	"  --file PATH         no device: a file at PATH that can be used as one; needs no CUSE\n"
	"  --mode MODE         its mode (0660)\n"
	"  --group GROUP       its group (kvm)\n"
	"  --replace           take the name from a device that has it\n"
	"  --engine ENGINE     as of `fauxkvm run`\n"
	"  --max-vms N         VMs that one user may have (64)\n"
	"  --max-memory SIZE   guest memory that one user may have (half of the machine's)\n"
	"  --log LEVEL         error, warn, info or trace (warn)\n"
	"  --foreground        do not go into the background\n"
	"  --no-confine        keep all privileges (for debugging the daemon)\n"
	"  --help, --version\n";

enum {
	OPTION_FIRST = 256,
	DEVICE_NAME,
	FILE_PATH,
	MODE,
	GROUP,
	REPLACE,
	ENGINE,
	MAX_VMS,
	MAX_MEMORY,
	LOG_TO,
	FOREGROUND,
	NO_CONFINE,
	HELP,
	VERSION
};

static const struct option long_options[] = {
	{ "device-name", required_argument, NULL, DEVICE_NAME },
	{ "file", required_argument, NULL, FILE_PATH },
	{ "mode", required_argument, NULL, MODE },
	{ "group", required_argument, NULL, GROUP },
	{ "replace", no_argument, NULL, REPLACE },
	{ "engine", required_argument, NULL, ENGINE },
	{ "max-vms", required_argument, NULL, MAX_VMS },
	{ "max-memory", required_argument, NULL, MAX_MEMORY },
	{ "log", required_argument, NULL, LOG_TO },
	{ "foreground", no_argument, NULL, FOREGROUND },
	{ "no-confine", no_argument, NULL, NO_CONFINE },
	{ "help", no_argument, NULL, HELP },
	{ "version", no_argument, NULL, VERSION },
	{ 0 },
};

static void bad(const char *what, const char *value)
{
	fprintf(stderr, "fauxkvmd: %s: %s\n", what, value);
	exit(2);
}

static uint64_t parse_number(const char *what, const char *text, int base, bool units)
{
	static const char letters[] = "KMGT";
	const char *unit;
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, base);
	if (units && *end && (unit = strchr(letters, *end)) && *unit) {
		value <<= 10 * (unit - letters + 1);
		end++;
	}
	if (errno || end == text || *end || *text == '-')
		bad(what, text);
	return value;
}

static int parse_level(const char *text)
{
	static const char *const names[] = { "error", "warn", "info", "trace" };
	int i;

	for (i = 0; i < 4; i++)
		if (!strcmp(text, names[i]))
			return i;
	bad("unknown log level", text);
	return 0;
}

static void parse(int argc, char **argv, struct daemon_options *options)
{
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		switch (c) {
		case DEVICE_NAME:
			if (!*optarg || strchr(optarg, '/') || strlen(optarg) > 100)
				bad("not a name", optarg);
			options->device_name = optarg;
			break;
		case FILE_PATH:
			if (*optarg != '/')
				bad("not an absolute path", optarg);
			options->file = optarg;
			break;
		case MODE:
			options->mode = parse_number("not a mode", optarg, 8, false) & 0777;
			break;
		case GROUP:
			options->group = optarg;
			break;
		case REPLACE:
			options->replace = true;
			break;
		case ENGINE:
			options->engine = optarg;
			break;
		case MAX_VMS:
			options->max_vms = parse_number("not a number", optarg, 10, false);
			break;
		case MAX_MEMORY:
			options->max_memory = parse_number("not a size", optarg, 10, true);
			break;
		case LOG_TO:
			options->log_level = parse_level(optarg);
			break;
		case FOREGROUND:
			options->foreground = true;
			break;
		case NO_CONFINE:
			options->confine = false;
			break;
		case HELP:
			fputs(usage, stdout);
			exit(0);
		case VERSION:
			puts("fauxkvmd " FAUXKVM_VERSION);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc)
		bad("unexpected argument", argv[optind]);
}

/* What the many descriptors and locked pages of VMs need. */
static void raise_limits(void)
{
	struct rlimit files, unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

/* What answers requests (pool.c) must not have to be read from a disk first. */
static void lock_program(void)
{
	if (mlockall(MCL_CURRENT))
		LOG(WARN, "the program is not locked in memory: %m");
}

/*
 * In the background the parent stays until the device is there, so that whoever starts us can use
 * it then. The child's end of the pipe, or -1.
 */
static int go_to_background(void)
{
	int ends[2];
	char ready;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC)) {
		fprintf(stderr, "fauxkvmd: pipe: %s\n", strerror(errno));
		exit(1);
	}
	pid = fork();
	if (pid < 0) {
		fprintf(stderr, "fauxkvmd: fork: %s\n", strerror(errno));
		exit(1);
	}
	if (pid) {
		close(ends[1]);
		_exit(read(ends[0], &ready, 1) == 1 ? 0 : 1);
	}
	close(ends[0]);
	setsid();
	return ends[1];
}

static void in_background(int ready)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (write(ready, "", 1) != 1)
		LOG(WARN, "nobody waits for the start");
	close(ready);
	/* stderr stays: it is where the log goes. */
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	close(null);
}

/* systemd's Type=notify, see sd_notify(3). */
static void tell_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	static const char message[] = "READY=1";
	int fd;

	if (!path || strlen(path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, path);
	if (*path == '@')
		address.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sendto(fd, message, sizeof(message) - 1, MSG_NOSIGNAL, (struct sockaddr *)&address,
	       offsetof(struct sockaddr_un, sun_path) + strlen(path));
	close(fd);
}

static int start(const struct daemon_options *options)
{
	struct fauxkvm_options core = {
		.size = sizeof(core),
		.engine = options->engine,
		.log_fd = STDERR_FILENO,
		.log_level = options->log_level,
	};
	int r;

	daemon_core = fauxkvm_create(&core);
	if (!daemon_core) {
		LOG(ERROR, "no engine %s", options->engine ? options->engine : "");
		return -errno;
	}
	limits_set(options->max_vms, options->max_memory);
	r = options->file ? 0 : device_prepare(options);
	if (!r)
		r = mount_start(options);
	if (!r && !options->file)
		r = device_start(options);
	if (!r)
		guard_arm();
	return r;
}

int main(int argc, char **argv)
{
	struct daemon_options options = {
		.device_name = "kvm",
		.mode = 0660,
		.group = "kvm",
		.confine = true,
		.max_vms = 64,
		.max_memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGE_SIZE) / 2,
		.log_level = LOG_LEVEL_WARN,
	};
	sigset_t stop;
	int ready = -1, signo;

	parse(argc, argv, &options);
	daemon_log.level = options.log_level;
	if (geteuid()) {
		LOG(ERROR, "only root can make a device");
		return 1;
	}
	if (!options.foreground)
		ready = go_to_background();
	if (chdir("/"))
		return 1;
	raise_limits();
	if (guard_start(&options)) {
		LOG(ERROR, "no process can be made: %m");
		return 1;
	}
	lock_program();
	/* Before any thread is made: none but this one takes them. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (start(&options))
		return 1;
	if (ready >= 0)
		in_background(ready);
	tell_ready();
	if (options.confine && confine(&options))
		return 1;
	LOG(INFO, "ready");
	sigwait(&stop, &signo);
	LOG(INFO, "stopping");
	clients_stop();
	mount_stop();
	/* The kernel ends what the other threads still serve. */
	_exit(0);
}
