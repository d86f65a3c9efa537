/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Linear memory access that returns a status. */
#include "cpu/access.h"

#include <string.h>

#include "cpu/exit.h"

static int translate(struct vcpu *vcpu, uint64_t *linear, enum access access, enum tlb_mode mode,
		     struct mmu_result *result)
{
	enum mmu_status status;

	if (!state_long(&vcpu->state))
		*linear = (uint32_t)*linear;
	else if (!access_canonical(vcpu, *linear))
		return access_fault(vcpu, VECTOR_GP, 0);
	status = mmu_translate(&vcpu->mmu, *linear, access, mode, result);
	/* An event or a system instruction is finished with the ring's reserve; then the loop looks. */
	if (dirty_ring_full(&vcpu->ring))
		atomic_store(&vcpu->exit_request, 1);
	switch (status) {
	case MMU_RAM:
		return ACCESS_OK;
	case MMU_MMIO:
		return ACCESS_MMIO;
	case MMU_PAGE_FAULT:
		event_raise_page_fault(vcpu, *linear, result->error_code);
		return ACCESS_EXCEPTION;
	case MMU_RING_FULL: /* does not stop here */
	case MMU_HOST_FAULT:
		break;
	}
	exit_translation_fault(vcpu, result);
	return ACCESS_HOST_FAULT;
}

static unsigned on_page(uint64_t linear, unsigned bytes)
{
	unsigned left = GUEST_PAGE_SIZE - (linear & ~GUEST_PAGE_MASK);

	return bytes < left ? bytes : left;
}

int access_read(struct vcpu *vcpu, uint64_t linear, void *data, unsigned bytes,
		enum tlb_mode mode)
{
	const uint8_t *p = mmu_lookup(&vcpu->mmu, linear, bytes, ACCESS_READ, mode);
	uint8_t *to = data;

	if (p) {
		memcpy(to, p, bytes);
		return ACCESS_OK;
	}
	while (bytes) {
		unsigned part = on_page(linear, bytes);
		struct mmu_result result;
		int status;

		status = translate(vcpu, &linear, ACCESS_READ, mode, &result);
		if (status)
			return status;
		memcpy(to, result.hva, part);
		linear += part;
		to += part;
		bytes -= part;
	}
	return ACCESS_OK;
}

int access_probe_write(struct vcpu *vcpu, uint64_t linear, unsigned bytes, enum tlb_mode mode)
{
	if (mmu_lookup(&vcpu->mmu, linear, bytes, ACCESS_WRITE, mode))
		return ACCESS_OK;
	while (bytes) {
		unsigned part = on_page(linear, bytes);
		struct mmu_result result;
		int status;

		status = translate(vcpu, &linear, ACCESS_WRITE, mode, &result);
		if (status)
			return status;
		linear += part;
		bytes -= part;
	}
	return ACCESS_OK;
}

int access_write(struct vcpu *vcpu, uint64_t linear, const void *data, unsigned bytes,
		 enum tlb_mode mode)
{
	uint8_t *p = mmu_lookup(&vcpu->mmu, linear, bytes, ACCESS_WRITE, mode);
	struct mmu_result result[2];
	const uint8_t *from = data;
	unsigned part[2], i;
	int status;

	if (p) {
		memcpy(p, from, bytes);
		return ACCESS_OK;
	}
	part[0] = on_page(linear, bytes);
	part[1] = bytes - part[0];
	for (i = 0; i < 2 && part[i]; i++) {
		status = translate(vcpu, &linear, ACCESS_WRITE, mode, &result[i]);
		if (status)
			return status;
		linear += part[i];
	}
	for (i = 0; i < 2 && part[i]; i++) {
		memcpy(result[i].hva, from, part[i]);
		from += part[i];
		if (result[i].code) {
			mmu_code_written(&vcpu->mmu, result[i].slot, result[i].gpa);
			interp_code_changed(vcpu);
		}
	}
	return ACCESS_OK;
}
