/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filling in kvm_run for user space. */
#include "cpu/exit.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cpu/vcpu.h"
#include "util/guard.h"

#ifndef KVM_MEMORY_EXIT_FLAG_PRIVATE
#define KVM_MEMORY_EXIT_FLAG_PRIVATE (1ULL << 3)
#endif
#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif

/* The layout of kvm_run.memory_fault, which older headers lack. */
struct memory_fault {
	uint64_t flags, gpa, size;
};

/* The bytes at RIP as far as they can be fetched. */
static unsigned fetch_bytes(struct vcpu *vcpu, uint8_t bytes[15])
{
	const struct cpu_state *s = &vcpu->state;
	uint64_t linear = s->rip + s->base[SEG_CS];
	unsigned count;

	if (state_code64(s))
		linear = s->rip;
	else
		linear = (uint32_t)linear;
	for (count = 0; count < 15; count++) {
		uint64_t gpa;
		bool writable, user;

		if (!mmu_probe(&vcpu->mmu, linear + count, &gpa, &writable, &user) ||
		    memory_read(vcpu->vm->memory, vcpu->mmu.slots, gpa, bytes + count, 1))
			break;
	}
	return count;
}

static void log_disassembly(struct vcpu *vcpu, const uint8_t *bytes, unsigned count)
{
	const struct cpu_state *s = &vcpu->state;
	char hex[3 * 15 + 1] = "", text[200] = "?";
	cs_insn *insn;
	csh handle;
	unsigned i;

	if (!log_enabled(vcpu->vm->log, LOG_LEVEL_ERROR))
		return;
	for (i = 0; i < count; i++)
		snprintf(hex + 3 * i, 4, "%02x ", bytes[i]);
	if (cs_open(CS_ARCH_X86, state_code64(s) ? CS_MODE_64 :
		    s->seg[SEG_CS].db ? CS_MODE_32 : CS_MODE_16, &handle) == CS_ERR_OK) {
		if (cs_disasm(handle, bytes, count, s->rip, 1, &insn)) {
			snprintf(text, sizeof(text), "%s %s", insn->mnemonic, insn->op_str);
			cs_free(insn, 1);
		}
		cs_close(&handle);
	}
	log_printf(vcpu->vm->log, LOG_LEVEL_ERROR,
		   "vcpu %u: cannot execute at cs:rip %04x:%" PRIx64 " (cr0 %" PRIx64 "): %s(%s)",
		   vcpu->id, s->seg[SEG_CS].selector, s->rip, s->cr0, hex, text);
}

bool exit_emulation_error(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t bytes[15];
	unsigned count = fetch_bytes(vcpu, bytes);

	/* What user space has answered was for an instruction that will not be completed. */
	vcpu->replay.count = vcpu->replay.next = 0;
	vcpu->stats.insn_emulation_fail++;
	log_disassembly(vcpu, bytes, count);
	/* As KVM: a guest's user program gets #UD; its kernel gets it too if user space goes on. */
	if (!__atomic_load_n(&vcpu->vm->exit_on_emulation_error, __ATOMIC_RELAXED)) {
		event_raise(vcpu, VECTOR_UD, false, 0);
		if (state_cpl(&vcpu->state))
			return false;
	}
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.flags = 0;
	run->emulation_failure.ndata = 1;
	if (count) {
		/* flags, then a length byte and 15 bytes of code: three 64-bit words. */
		run->emulation_failure.ndata = 3;
		run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = count;
		memset(run->emulation_failure.insn_bytes, 0x90,
		       sizeof(run->emulation_failure.insn_bytes));
		memcpy(run->emulation_failure.insn_bytes, bytes, count);
	}
	return true;
}

void exit_memory_fault(struct vcpu *vcpu, uint64_t gpa, uint64_t bytes, uint64_t flags)
{
	struct memory_fault fault = { .flags = flags, .gpa = gpa, .size = bytes };

	vcpu->run->exit_reason = KVM_EXIT_MEMORY_FAULT;
	vcpu->fault_gpa = gpa;
	memcpy((uint8_t *)vcpu->run + offsetof(struct kvm_run, hw), &fault, sizeof(fault));
	vcpu->run_error = -EFAULT;
}

void exit_translation_fault(struct vcpu *vcpu, const struct mmu_result *result)
{
	exit_memory_fault(vcpu, result->gpa & GUEST_PAGE_MASK, GUEST_PAGE_SIZE,
			  result->private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0);
	if (result->poisoned)
		vcpu->run_error = -EHWPOISON;
}

/* The guest page that @slot shows of the host page at @hva, and whether it is private. */
static bool slot_shows(const struct memslot *slot, const uint8_t *hva, uint64_t *gpa, bool *private)
{
	const uint8_t *hidden = slot->private ? slot->private->hva : NULL;

	*private = hidden && hva >= hidden && (uint64_t)(hva - hidden) < slot->size;
	if (!*private && (hva < slot->hva || (uint64_t)(hva - slot->hva) >= slot->size))
		return false;
	*gpa = (slot->gpa + (uint64_t)(hva - (*private ? hidden : slot->hva))) & GUEST_PAGE_MASK;
	return true;
}

void exit_host_fault(struct vcpu *vcpu, const uint8_t *hva, int si_code)
{
	const struct memslots *slots = vcpu->mmu.slots;
	const struct memslot *slot = NULL;
	bool private = false;
	uint64_t gpa;
	unsigned i;

	/* A host page may be shown at several addresses: the TLB knows which one was used. */
	if (mmu_find_gpa(&vcpu->mmu, hva, &gpa))
		slot = memslots_lookup(slots, vcpu->mmu.as, gpa);
	if (slot && !slot_shows(slot, hva, &gpa, &private))
		slot = NULL;
	for (i = 0; !slot && i < slots->count; i++)
		if (slot_shows(&slots->slot[i], hva, &gpa, &private))
			slot = &slots->slot[i];
	/* If it is not guest memory, then kvm_run itself was unmapped under us. */
	vcpu->run_error = -EFAULT;
	if (!slot)
		return;
	exit_memory_fault(vcpu, gpa, GUEST_PAGE_SIZE, private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0);
	if (si_code == BUS_MCEERR_AR)
		vcpu->run_error = -EHWPOISON;
}

void exit_dirty_ring_full(struct vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
}

void exit_mmio(struct vcpu *vcpu, uint64_t gpa, const void *data, unsigned bytes, int is_write)
{
	struct kvm_run *run = vcpu->run;

	vcpu->stats.mmio_exits++;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = gpa;
	run->mmio.len = bytes;
	run->mmio.is_write = is_write;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (is_write)
		memcpy(run->mmio.data, data, bytes);
}
