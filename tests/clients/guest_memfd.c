// SPDX-License-Identifier: GPL-2.0-or-later
/* guest_memfds: the file, and the slots that are bound to it. What KVM refuses is refused. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "kvm_client.h"

#define PAGE 0x1000ULL
#define FILE_PAGES 64
#define FILE_BYTES (FILE_PAGES * PAGE)
#define SLOT_AT 0x40000000ULL

static void create_vm(struct vm *vm, unsigned long type)
{
	vm->kvm = kvm_open();
	if (!(ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES) >> type & 1))
		case_skip("no VM of type %lu", type);
	vm->fd = XIOCTL(vm->kvm, KVM_CREATE_VM, type);
	VM_NEED_CAP(vm, KVM_CAP_GUEST_MEMFD);
}

static int create_file(struct vm *vm, uint64_t size, uint64_t flags)
{
	struct kvm_create_guest_memfd args = { .size = size, .flags = flags };
	int fd = ioctl(vm->fd, KVM_CREATE_GUEST_MEMFD, &args);

	return fd < 0 ? -errno : fd;
}

static void sizes_and_flags(void)
{
	struct vm vm;

	vm.kvm = kvm_open();
	vm.fd = XIOCTL(vm.kvm, KVM_CREATE_VM, 0);
	if (!ioctl(vm.kvm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD))
		case_skip("no KVM_CAP_GUEST_MEMFD");
	CHECK_EQ(-create_file(&vm, 0, 0), EINVAL);
	CHECK_EQ(-create_file(&vm, 1, 0), EINVAL);
	CHECK_EQ(-create_file(&vm, PAGE - 1, 0), EINVAL);
	CHECK_EQ(-create_file(&vm, 1ULL << 63, 0), EINVAL);
	CHECK_EQ(-create_file(&vm, PAGE, 1ULL << 40), EINVAL);
	CHECK(create_file(&vm, PAGE, 0) >= 0, "one page");
	CHECK(create_file(&vm, 1ULL << 40, 0) >= 0, "a terabyte");
	CHECK(ioctl(vm.fd, KVM_CREATE_GUEST_MEMFD, 8) == -1 && errno == EFAULT, "a bad pointer");
}

#define REFUSED(call, error) CHECK((call) == -1 && errno == (error), #call ": %s", strerror(errno))

/* All other ways that lead into a file or out of it. */
static void refuse_transfers(int fd)
{
	char byte = 'x';
	struct iovec part = { &byte, 1 };
	int plain = memfd_create("plain", 0), ends[2];
	off_t at = 0, other = 0;

	CHECK(!pipe(ends) && write(ends[1], &byte, 1) == 1 && !ftruncate(plain, PAGE), "a pipe");
	REFUSED(readv(fd, &part, 1), EINVAL);
	REFUSED(preadv(fd, &part, 1, 0), ESPIPE);
	REFUSED(preadv2(fd, &part, 1, -1, 0), EINVAL);
	REFUSED(preadv2(fd, &part, 1, 0, 0), ESPIPE);
	REFUSED(writev(fd, &part, 1), EINVAL);
	REFUSED(pwritev(fd, &part, 1, 0), ESPIPE);
	REFUSED(pwritev2(fd, &part, 1, -1, 0), EINVAL);
	REFUSED(syscall(SYS_writev, fd, &part, 1), EINVAL);
	REFUSED(lseek(fd, 0, SEEK_SET), ESPIPE);
	REFUSED(lseek(fd, 0, SEEK_END), ESPIPE);
	REFUSED(lseek(fd, 0, SEEK_HOLE), ESPIPE);
	REFUSED(lseek(fd, 0, 99), EINVAL);
	REFUSED(syscall(SYS_lseek, fd, 0, SEEK_DATA), ESPIPE);
	REFUSED(sendfile(plain, fd, NULL, 1), EINVAL);
	REFUSED(sendfile(plain, fd, &at, 1), ESPIPE);
	REFUSED(sendfile(fd, plain, NULL, 1), EINVAL);
	REFUSED(splice(fd, NULL, ends[1], NULL, 1, 0), EINVAL);
	REFUSED(splice(ends[0], NULL, fd, NULL, 1, 0), EINVAL);
	REFUSED(copy_file_range(fd, NULL, plain, NULL, 1, 0), EXDEV);
	REFUSED(copy_file_range(plain, &at, fd, &other, 1, 0), EXDEV);
	REFUSED(copy_file_range(fd, NULL, fd, &at, 1, 0), EINVAL);
	CHECK_EQ(posix_fallocate(fd, 0, PAGE), ESPIPE);
	REFUSED(fsync(fd), EINVAL);
	REFUSED(fdatasync(fd), EINVAL);
	REFUSED(fcntl(fd, F_GET_SEALS), EINVAL);
	REFUSED(fcntl(fd, F_ADD_SEALS, 0), EINVAL);
	close(plain);
	close(ends[0]);
	close(ends[1]);
}

/* A regular file that nobody reads, writes, maps or resizes. */
static void file(void)
{
	struct vm vm;
	struct stat st;
	char byte = 0;
	int fd, again;

	vm.kvm = kvm_open();
	vm.fd = XIOCTL(vm.kvm, KVM_CREATE_VM, 0);
	fd = create_file(&vm, FILE_BYTES, 0);
	if (fd == -ENOTTY)
		case_skip("no KVM_CAP_GUEST_MEMFD");
	CHECK(fd >= 0, "%s", strerror(-fd));
	CHECK(!fstat(fd, &st), "fstat: %s", strerror(errno));
	CHECK_EQ(st.st_size, FILE_BYTES);
	CHECK_EQ(st.st_blksize, PAGE);
	CHECK(S_ISREG(st.st_mode), "mode %o", st.st_mode);
	/* Unlike KVM's others it is inherited. */
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	REFUSED(read(fd, &byte, 1), EINVAL);
	REFUSED(pread(fd, &byte, 1, 0), ESPIPE);
	REFUSED(write(fd, &byte, 1), EINVAL);
	REFUSED(pwrite(fd, &byte, 1, 0), ESPIPE);
	REFUSED(syscall(SYS_write, fd, &byte, 1), EINVAL);
	REFUSED(ftruncate(fd, FILE_BYTES), EINVAL);
	REFUSED(ftruncate(fd, PAGE), EINVAL);
	REFUSED(ioctl(fd, KVM_GET_API_VERSION, 0), ENOTTY);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV,
	      "mmap: %s", strerror(errno));
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == ENODEV,
	      "a private mmap: %s", strerror(errno));
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0) == MAP_FAILED &&
		      errno == EPERM,
	      "an executable mmap: %s", strerror(errno));
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 1) == MAP_FAILED && errno == EINVAL,
	      "an unaligned mmap: %s", strerror(errno));
	refuse_transfers(fd);
	again = dup(fd);
	close(fd);
	CHECK(!fstat(again, &st) && st.st_size == FILE_BYTES, "the duplicate");
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, again, 0) == MAP_FAILED, "mmap of it");
}

static const struct hole {
	const char *name;
	int mode;
	int64_t offset, length;
	int error;
} holes[] = {
#define KEEP FALLOC_FL_KEEP_SIZE
#define HOLE (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)
	{ "all", KEEP, 0, FILE_BYTES, 0 },
	{ "page", KEEP, PAGE, PAGE, 0 },
	{ "at_end", KEEP, FILE_BYTES, PAGE, EINVAL },
	{ "over_end", KEEP, FILE_BYTES - PAGE, 2 * PAGE, EINVAL },
	{ "hole", HOLE, PAGE, PAGE, 0 },
	{ "hole_again", HOLE, PAGE, PAGE, 0 },
	{ "hole_at_end", HOLE, FILE_BYTES, PAGE, 0 },
	{ "hole_far", HOLE, 16 * FILE_BYTES, PAGE, 0 },
	{ "unaligned", HOLE, 1, PAGE, EINVAL },
	{ "unaligned_length", HOLE, 0, PAGE + 1, EINVAL },
	{ "nothing", HOLE, 0, 0, EINVAL },
	{ "negative", HOLE, -(int64_t)PAGE, PAGE, EINVAL },
	{ "overflow", HOLE, INT64_MAX - PAGE + 1, PAGE * 2, EFBIG },
	{ "grow", 0, 0, PAGE, EOPNOTSUPP },
	{ "grow_hole", FALLOC_FL_PUNCH_HOLE, 0, PAGE, EOPNOTSUPP },
	{ "zero", KEEP | FALLOC_FL_ZERO_RANGE, 0, PAGE, EOPNOTSUPP },
	{ "collapse", FALLOC_FL_COLLAPSE_RANGE, 0, PAGE, EOPNOTSUPP },
};

static void fallocates(void)
{
	struct vm vm;
	int fd;

	vm.kvm = kvm_open();
	vm.fd = XIOCTL(vm.kvm, KVM_CREATE_VM, 0);
	fd = create_file(&vm, FILE_BYTES, 0);
	if (fd == -ENOTTY)
		case_skip("no KVM_CAP_GUEST_MEMFD");
	for (size_t i = 0; i < ARRAY_SIZE(holes); i++) {
		const struct hole *hole = &holes[i];
		int error = fallocate(fd, hole->mode, hole->offset, hole->length) ? errno : 0;

		case_row(error == hole->error, hole->name, "%s, expected %s", strerror(error),
			 strerror(hole->error));
	}
}

/* What a slot may have of a file. */
static void binding(void)
{
	uint8_t *memory = pages_alloc(FILE_BYTES);
	struct vm vm, other;
	int fd, plain;

	create_vm(&vm, KVM_X86_SW_PROTECTED_VM);
	create_vm(&other, KVM_X86_SW_PROTECTED_VM);
	fd = create_file(&vm, FILE_BYTES, 0);
	plain = open("/dev/zero", O_RDWR);
#define SLOT(vm, slot, flags, gpa, size, fd, offset)                                               \
	-vm_set_slot2(vm, slot, KVM_MEM_GUEST_MEMFD | (flags), gpa, size, memory, fd, offset)
	CHECK_EQ(SLOT(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, SLOT_AT, PAGE, fd, 0), EINVAL);
	CHECK_EQ(SLOT(&vm, 1, KVM_MEM_READONLY, SLOT_AT, PAGE, fd, 0), EINVAL);
	CHECK_EQ(SLOT(&vm, 1, 0, SLOT_AT, PAGE, -1, 0), EBADF);
	CHECK_EQ(SLOT(&vm, 1, 0, SLOT_AT, PAGE, plain, 0), EINVAL);
	CHECK_EQ(SLOT(&vm, 1, 0, SLOT_AT, PAGE, vm.fd, 0), EINVAL);
	CHECK_EQ(SLOT(&other, 1, 0, SLOT_AT, PAGE, fd, 0), EINVAL);
	CHECK_EQ(SLOT(&vm, 1, 0, SLOT_AT, PAGE, fd, 1), EINVAL);
	CHECK_EQ(SLOT(&vm, 1, 0, SLOT_AT, PAGE, fd, FILE_BYTES), EINVAL);
	CHECK_EQ(SLOT(&vm, 1, 0, SLOT_AT, 2 * PAGE, fd, FILE_BYTES - PAGE), EINVAL);
	CHECK_EQ(SLOT(&vm, 1, 0, SLOT_AT, PAGE, fd, -PAGE), EINVAL);
	/* There is no second address space. */
	CHECK_EQ(vm_cap(&vm, KVM_CAP_MULTI_ADDRESS_SPACE), 1);
	CHECK_EQ(SLOT(&vm, 1 << 16, 0, SLOT_AT, PAGE, fd, 0), EINVAL);

	CHECK_EQ(SLOT(&vm, 1, 0, SLOT_AT, 4 * PAGE, fd, 4 * PAGE), 0);
	/* Immutable. */
	CHECK_EQ(SLOT(&vm, 1, 0, SLOT_AT, 4 * PAGE, fd, 4 * PAGE), EINVAL);
	CHECK_EQ(SLOT(&vm, 1, 0, SLOT_AT + 4 * PAGE, 4 * PAGE, fd, 4 * PAGE), EINVAL);
	CHECK_EQ(-vm_set_slot2(&vm, 1, 0, SLOT_AT + 4 * PAGE, 4 * PAGE, memory, 0, 0), EINVAL);
	/* Neither guest addresses nor offsets are in two slots. */
	CHECK_EQ(SLOT(&vm, 2, 0, SLOT_AT + PAGE, PAGE, fd, 0), EEXIST);
	CHECK_EQ(SLOT(&vm, 2, 0, SLOT_AT + 4 * PAGE, PAGE, fd, 7 * PAGE), EINVAL);
	CHECK_EQ(SLOT(&vm, 2, 0, SLOT_AT + 4 * PAGE, 2 * PAGE, fd, 3 * PAGE), EINVAL);
	CHECK_EQ(SLOT(&vm, 2, 0, SLOT_AT + 4 * PAGE, PAGE, fd, 8 * PAGE), 0);
	CHECK_EQ(SLOT(&vm, 1, 0, 0, 0, fd, 0), 0);
	CHECK_EQ(SLOT(&vm, 3, 0, SLOT_AT, 4 * PAGE, fd, 4 * PAGE), 0);
	/* The first ioctl has no such flag. */
	CHECK_EQ(-vm_set_slot(&vm, 4, KVM_MEM_GUEST_MEMFD, SLOT_AT << 1, PAGE, memory), EINVAL);
}

/* A default VM has nothing private. */
static void default_vm(void)
{
	struct vm vm;
	uint8_t *memory = pages_alloc(FILE_BYTES);

	vm_create(&vm);
	CHECK_EQ(vm_cap(&vm, KVM_CAP_MEMORY_ATTRIBUTES), 0);
	VM_NEED_CAP(&vm, KVM_CAP_USER_MEMORY2);
	if (vm_cap(&vm, KVM_CAP_GUEST_MEMFD))
		case_skip("guest_memfd for default VMs");
	CHECK_EQ(-vm_set_slot2(&vm, 1, KVM_MEM_GUEST_MEMFD, SLOT_AT, PAGE, memory,
			       create_file(&vm, PAGE, 0), 0),
		 EINVAL);
}

/* The file outlives its VM's descriptor, and new ones can be made of other VMs meanwhile. */
static void outlives_its_vm(void)
{
	struct vm vm;
	struct stat st;
	int fd;

	create_vm(&vm, KVM_X86_SW_PROTECTED_VM);
	fd = create_file(&vm, FILE_BYTES, 0);
	CHECK_EQ(-vm_set_slot2(&vm, 1, KVM_MEM_GUEST_MEMFD, SLOT_AT, FILE_BYTES,
			       pages_alloc(FILE_BYTES), fd, 0),
		 0);
	close(vm.fd);
	close(vm.kvm);
	CHECK(!fstat(fd, &st) && st.st_size == FILE_BYTES, "fstat");
	CHECK(!fallocate(fd, HOLE, 0, PAGE), "fallocate: %s", strerror(errno));
	close(fd);
}

static void many_files(void)
{
	struct vm vm;
	int first, fd = -1;

	create_vm(&vm, KVM_X86_SW_PROTECTED_VM);
	first = create_file(&vm, PAGE, 0);
	close(first);
	/* More than a process may have open; a slow machine makes fewer. */
	for (unsigned int i = 0; i < 3000 / time_scale(); i++) {
		fd = create_file(&vm, FILE_BYTES, 0);
		CHECK(fd >= 0, "file %u: %s", i, strerror(-fd));
		CHECK_EQ(-vm_set_slot2(&vm, 1, KVM_MEM_GUEST_MEMFD, SLOT_AT, FILE_BYTES,
				       (void *)(uintptr_t)0x10000, fd, 0),
			 0);
		close(fd);
		CHECK_EQ(-vm_set_slot2(&vm, 1, 0, 0, 0, NULL, 0, 0), 0);
	}
	CHECK_EQ(fd, first);
}

static const struct test_case cases[] = {
	{ "sizes_and_flags", sizes_and_flags }, { "file", file },
	{ "fallocates", fallocates },           { "binding", binding },
	{ "default_vm", default_vm },           { "outlives_its_vm", outlives_its_vm },
	{ "many_files", many_files },
};
CASES_MAIN(cases)
