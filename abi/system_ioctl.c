/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioctls of /dev/kvm itself. */
#include <errno.h>
#include <string.h>

#include "abi/internal.h"

/* MCG_CAP bits that KVM_X86_SETUP_MCE accepts besides the number of banks. */
#define MCG_CTL_P (1ull << 8)
#define MCG_CMCI_P (1ull << 10)
#define MCG_SER_P (1ull << 24)

long ioctl_system_get_api_version(struct ioctl_call *call)
{
	return call->argument ? -EINVAL : KVM_API_VERSION;
}

long ioctl_system_create_vm(struct ioctl_call *call)
{
	struct system_object *system = (struct system_object *)call->object;
	struct vm_object *vm;
	int r;

	if (call->argument >= 64 || !(VM_TYPES >> call->argument & 1))
		return -EINVAL;
	r = vm_object_create(system->fauxkvm, call->client, call->argument, &vm);
	return r ? r : object_install(call, &vm->object);
}

long ioctl_system_get_vcpu_mmap_size(struct ioctl_call *call)
{
	return call->argument ? -EINVAL : (long)(VCPU_MMAP_PAGES * GUEST_PAGE_SIZE);
}

long ioctl_system_get_mce_cap_supported(struct ioctl_call *call)
{
	const uint64_t supported = MCG_CTL_P | MCG_CMCI_P | MCG_SER_P;

	memcpy(call->data, &supported, sizeof(supported));
	return 0;
}
