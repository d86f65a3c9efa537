/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM_CREATE_DEVICE and device attributes of /dev/kvm and vCPUs. KVM document 4.79 to 4.81,
 * devices/vcpu.rst section 4 (KVM_VCPU_TSC_CTRL).
 */
#include <errno.h>
#include <string.h>

#include "abi/internal.h"

/*
 * On x86 the only device type is KVM_DEV_TYPE_VFIO, for devices assigned to the guest. They need
 * DMA straight into guest memory by hardware, so it is absent here as in a kernel without KVM_VFIO.
 */
long ioctl_vm_create_device(struct ioctl_call *call)
{
	(void)call;
	return -ENODEV;
}

/* ---- /dev/kvm ---- */

long ioctl_system_has_device_attr(struct ioctl_call *call)
{
	const struct kvm_device_attr *attr = call->data;

	return attr->group || attr->attr != KVM_X86_XCOMP_GUEST_SUPP ? -ENXIO : 0;
}

long ioctl_system_get_device_attr(struct ioctl_call *call)
{
	const struct kvm_device_attr *attr = call->data;
	long r = ioctl_system_has_device_attr(call);
	uint64_t xcr0;

	if (r)
		return r;
	xcr0 = cpuid_supported_xcr0();
	return copy_out(call, attr->addr, &xcr0, sizeof(xcr0));
}

/* ---- vCPU ---- */

long ioctl_vcpu_has_device_attr(struct ioctl_call *call)
{
	const struct kvm_device_attr *attr = call->data;

	return attr->group != KVM_VCPU_TSC_CTRL || attr->attr != KVM_VCPU_TSC_OFFSET ? -ENXIO : 0;
}

long ioctl_vcpu_get_device_attr(struct ioctl_call *call)
{
	const struct kvm_device_attr *attr = call->data;
	long r = ioctl_vcpu_has_device_attr(call);

	return r ? r : copy_out(call, attr->addr, &call_vcpu(call)->tsc.offset, sizeof(int64_t));
}

long ioctl_vcpu_set_device_attr(struct ioctl_call *call)
{
	const struct kvm_device_attr *attr = call->data;
	struct vcpu *vcpu = call_vcpu(call);
	long r = ioctl_vcpu_has_device_attr(call);
	int64_t offset;

	if (r)
		return r;
	r = copy_in(call, &offset, attr->addr, sizeof(offset));
	if (r)
		return r;
	clock_write_tsc_offset(vcpu->vm->clock, &vcpu->tsc, offset);
	vcpu_request(vcpu, VCPU_REQUEST_CLOCK);
	return 0;
}
