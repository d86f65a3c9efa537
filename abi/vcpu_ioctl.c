/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM_RUN and what a vCPU has besides registers and interrupts. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "abi/internal.h"

/* ---- KVM_RUN ---- */

#define NO_FAULT (~0ull)

static bool client_signal_pending(void *opaque)
{
	struct client *client = opaque;

	return client->ops->signal_pending(client);
}

/* The guest touched memory that the client has, or has again, but that is not visible here. */
static long fault_in(struct vcpu_object *object, struct client *client)
{
	uint64_t gpa = object->vcpu->fault_gpa;
	struct memory *memory = object->vcpu->vm->memory;
	const struct memslot *slot;
	struct memslots *slots;
	uint8_t *hva = NULL;

	if (!object->vm->space || gpa == NO_FAULT)
		return -EFAULT;
	slots = memory_slots_get(memory);
	slot = memslots_lookup(slots, object->vcpu->mmu.as, gpa);
	if (slot)
		hva = slot->hva + (gpa - slot->gpa);
	memslots_put(slots);
	return hva ? client->ops->fault_in(client, hva) : -EFAULT;
}

static uint64_t slots_generation(const struct vcpu_object *object)
{
	struct memslots *slots = memory_slots_get(object->vcpu->vm->memory);
	uint64_t generation = slots->generation;

	memslots_put(slots);
	return generation;
}

static long run(struct vcpu_object *object, struct client *client)
{
	struct vcpu *vcpu = object->vcpu;
	/* An AP that waits for INIT keeps waiting whatever is in kvm_run, as the kernel's. */
	bool waits_for_init = vcpu->state.mp_state == KVM_MP_STATE_UNINITIALIZED;
	long r = waits_for_init ? 0 : vcpu_sync_in(vcpu);
	uint64_t generation;

	if (r)
		return r;
	do {
		/* Of its own, which may be older than the VM's. */
		generation = vcpu->mmu.slots ? vcpu->mmu.slots->generation : 0;
		vcpu->fault_gpa = NO_FAULT;
		r = vcpu_run(vcpu);
		if (r != -EFAULT)
			break;
		r = fault_in(object, client);
		/* What was there has gone, or something else has come. */
		if (r == -EFAULT && object->vm->space && slots_generation(object) != generation)
			r = 0;
	} while (!r);
	if (object->mirror.ring)
		bus_sync_coalesced(vcpu->vm->bus);
	vcpu_sync_out(vcpu);
	return r;
}

long ioctl_vcpu_run(struct ioctl_call *call)
{
	struct vcpu_object *object = call_vcpu_object(call);
	struct client *client = call->client;
	struct vcpu *vcpu = object->vcpu;
	long r;

	if (call->argument)
		return -EINVAL;
	vcpu->signal_pending = client_signal_pending;
	vcpu->signal_opaque = client;
	if (object->has_signal_mask) {
		r = client->ops->signal_mask(client, &object->signal_mask);
		if (r)
			return r;
	}
	r = run(object, client);
	if (object->has_signal_mask)
		client->ops->signal_mask(client, NULL);
	return r;
}

long ioctl_vcpu_set_signal_mask(struct ioctl_call *call)
{
	struct vcpu_object *vcpu = call_vcpu_object(call);
	struct kvm_signal_mask header;
	uint64_t mask;
	long r;

	if (!call->argument) {
		vcpu->has_signal_mask = false;
		return 0;
	}
	r = copy_in(call, &header, call->argument, sizeof(header));
	if (r)
		return r;
	if (header.len != sizeof(mask))
		return -EINVAL;
	r = copy_in(call, &mask, call->argument + offsetof(struct kvm_signal_mask, sigset),
		    sizeof(mask));
	if (r)
		return r;
	vcpu->signal_mask = mask & ~(1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1));
	vcpu->has_signal_mask = true;
	return 0;
}

/* ---- state ---- */

long ioctl_vcpu_get_mp_state(struct ioctl_call *call)
{
	return vcpu_get_mp_state(call_vcpu(call), call->data);
}

long ioctl_vcpu_set_mp_state(struct ioctl_call *call)
{
	return vcpu_set_mp_state(call_vcpu(call), call->data);
}

long ioctl_vcpu_get_events(struct ioctl_call *call)
{
	vcpu_get_events(call_vcpu(call), call->data);
	return 0;
}

long ioctl_vcpu_set_events(struct ioctl_call *call)
{
	return vcpu_set_events(call_vcpu(call), call->data);
}

long ioctl_vcpu_set_guest_debug(struct ioctl_call *call)
{
	return vcpu_set_guest_debug(call_vcpu(call), call->data);
}

long ioctl_vcpu_translate(struct ioctl_call *call)
{
	vcpu_translate(call_vcpu(call), call->data);
	return 0;
}

/* ---- clocks ---- */

long ioctl_vcpu_get_tsc_khz(struct ioctl_call *call)
{
	return call_vcpu(call)->tsc.khz;
}

long ioctl_vcpu_set_tsc_khz(struct ioctl_call *call)
{
	struct vcpu *vcpu = call_vcpu(call);
	uint32_t khz = call->argument;

	if (tsc_set_khz(&vcpu->tsc, khz ? khz : clock_host_tsc_khz()))
		return -EINVAL;
	vcpu_request(vcpu, VCPU_REQUEST_CLOCK);
	return 0;
}

long ioctl_vcpu_kvmclock_ctrl(struct ioctl_call *call)
{
	struct vcpu *vcpu = call_vcpu(call);

	/* Bit 0 of MSR_KVM_SYSTEM_TIME: the guest has registered its page. */
	if (!(vcpu->state.msr.kvm_system_time & 1))
		return -EINVAL;
	vcpu->clock_paused = true;
	vcpu_request(vcpu, VCPU_REQUEST_CLOCK);
	return 0;
}

/* ---- machine checks: KVM document 4.105, 4.106; Intel SDM volume 3, chapter 16 ---- */

#define MCG_CAP_BANKS 0xffull
#define MCG_CAP_CTL_P (1ull << 8)
#define MCG_CAP_CMCI_P (1ull << 10)
#define MCG_CAP_EXT_COUNT 0xff0000ull
#define MCG_CAP_SER_P (1ull << 24)
#define MCG_STATUS_MCIP (1ull << 2)
#define MCI_STATUS_VAL (1ull << 63)
#define MCI_STATUS_OVER (1ull << 62)
#define MCI_STATUS_UC (1ull << 61)
#define MCI_STATUS_PCC (1ull << 57)
#define MCI_STATUS_S (1ull << 56)
#define MCI_STATUS_AR (1ull << 55)
#define MCI_CTL2_CMCI_EN (1ull << 30)

enum { BANK_CTL, BANK_STATUS, BANK_ADDR, BANK_MISC, BANK_MSRS };

long ioctl_vcpu_setup_mce(struct ioctl_call *call)
{
	struct vcpu *vcpu = call_vcpu(call);
	struct cpu_state *state = &vcpu->state;
	uint64_t capability;
	unsigned banks, i;

	memcpy(&capability, call->data, sizeof(capability));
	banks = capability & MCG_CAP_BANKS;
	if (!banks || banks > MCE_BANKS_MAX)
		return -EINVAL;
	if (capability &
	    ~(MCG_CAP_BANKS | MCG_CAP_CTL_P | MCG_CAP_CMCI_P | MCG_CAP_EXT_COUNT | MCG_CAP_SER_P))
		return -EINVAL;
	state->msr.mcg_cap = capability;
	if (capability & MCG_CAP_CTL_P)
		state->msr.mcg_ctl = ~0ull;
	for (i = 0; i < banks; i++)
		state->msr.mc_banks[i * BANK_MSRS + BANK_CTL] = ~0ull;
	if (capability & MCG_CAP_CMCI_P)
		memset(state->msr.mc_ctl2, 0, banks * sizeof(state->msr.mc_ctl2[0]));
	if (vcpu->lapic)
		lapic_set_cmci(vcpu->lapic, capability & MCG_CAP_CMCI_P);
	return 0;
}

static void bank_record(uint64_t *bank, const struct kvm_x86_mce *mce)
{
	uint64_t overwritten = bank[BANK_STATUS] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0;

	bank[BANK_STATUS] = mce->status | overwritten;
	bank[BANK_ADDR] = mce->addr;
	bank[BANK_MISC] = mce->misc;
}

/* Nothing has to be done about it: an uncorrected error that nobody has met yet, or a corrected one. */
static bool no_action(const struct kvm_x86_mce *mce)
{
	return !mce->mcg_status && !(mce->status & (MCI_STATUS_PCC | MCI_STATUS_S | MCI_STATUS_AR));
}

static void record_no_action(struct vcpu *vcpu, uint64_t *bank, const struct kvm_x86_mce *mce)
{
	bank[BANK_STATUS] = mce->status;
	bank[BANK_ADDR] = mce->addr;
	bank[BANK_MISC] = mce->misc;
	vcpu->state.msr.mcg_status = mce->mcg_status;
	if ((vcpu->state.msr.mcg_cap & MCG_CAP_CMCI_P) && vcpu->lapic &&
	    (vcpu->state.msr.mc_ctl2[mce->bank] & MCI_CTL2_CMCI_EN))
		lapic_deliver_cmci(vcpu->lapic);
}

static void raise_machine_check(struct vcpu *vcpu, uint64_t *bank, const struct kvm_x86_mce *mce)
{
	struct cpu_state *state = &vcpu->state;

	/* A control register that is not all ones has this error's report switched off. */
	if ((state->msr.mcg_cap & MCG_CAP_CTL_P) && state->msr.mcg_ctl != ~0ull)
		return;
	if (bank[BANK_CTL] != ~0ull)
		return;
	if ((state->msr.mcg_status & MCG_STATUS_MCIP) || !(state->cr4 & CR4_MCE)) {
		vcpu_request(vcpu, VCPU_REQUEST_TRIPLE_FAULT);
		return;
	}
	bank_record(bank, mce);
	state->msr.mcg_status = mce->mcg_status;
	event_raise(vcpu, VECTOR_MC, false, 0);
}

long ioctl_vcpu_set_mce(struct ioctl_call *call)
{
	const struct kvm_x86_mce *mce = call->data;
	struct vcpu *vcpu = call_vcpu(call);
	unsigned banks = vcpu->state.msr.mcg_cap & MCG_CAP_BANKS;
	uint64_t *bank;

	if (mce->bank >= banks || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &vcpu->state.msr.mc_banks[mce->bank * BANK_MSRS];
	if (no_action(mce))
		record_no_action(vcpu, bank, mce);
	else if (mce->status & MCI_STATUS_UC)
		raise_machine_check(vcpu, bank, mce);
	else if (!(bank[BANK_STATUS] & MCI_STATUS_VAL) || !(bank[BANK_STATUS] & MCI_STATUS_UC))
		bank_record(bank, mce);
	else
		/* A corrected error does not displace an uncorrected one. */
		bank[BANK_STATUS] |= MCI_STATUS_OVER;
	return 0;
}
