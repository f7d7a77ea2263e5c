// SPDX-License-Identifier: Apache-2.0
/*
 * Let user-mode-linux 6.1 run on processors with AMX (preloaded library).
 *
 * It saves 2696 bytes of a program's extended registers, which covers
 * everything up to AVX-512 and PKRU (arch/x86/um/user-offsets.c,
 * HOST_FP_SIZE), and restores them with PTRACE_SETREGSET. The host accepts only
 * the full size (arch/x86/kernel/fpu/regset.c, xstateregs_set), which is 11008
 * bytes with AMX: "ptrace set fp regs failed, errno = 14". So pad with zeros.
 * That is the right value: the header says that the tiles are in their initial
 * state, since a program has to request AMX from its kernel before it can use
 * it, and a node's kernel has no such request.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Only one thread of the node's kernel traces: no lock is needed. */
static char full[1 << 16];
static size_t full_size;

/* The C library's ptrace, without its handling of PEEK requests. */
static long host_ptrace(long request, long pid, void *addr, void *data)
{
	return syscall(SYS_ptrace, request, pid, addr, data);
}

static long set_xstate(long pid, struct iovec *part)
{
	struct iovec whole = { full, sizeof(full) };

	if (!full_size) {
		if (host_ptrace(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE,
				&whole))
			return -1;
		full_size = whole.iov_len;
		memset(full, 0, sizeof(full));
	}
	if (part->iov_len >= full_size)
		return host_ptrace(PTRACE_SETREGSET, pid,
				   (void *)NT_X86_XSTATE, part);
	memcpy(full, part->iov_base, part->iov_len);
	whole.iov_len = full_size;
	return host_ptrace(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE,
			   &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	long pid, result, word;
	void *addr, *data;

	va_start(args, request);
	pid = va_arg(args, pid_t);
	addr = va_arg(args, void *);
	data = va_arg(args, void *);
	va_end(args);
	switch ((int)request) {
	case PTRACE_SETREGSET:
		if (addr == (void *)NT_X86_XSTATE)
			return set_xstate(pid, data);
		break;
	case PTRACE_PEEKTEXT:
	case PTRACE_PEEKDATA:
	case PTRACE_PEEKUSER:
		/* The system call stores the word; the function returns it. */
		result = host_ptrace(request, pid, addr, &word);
		return result < 0 ? result : word;
	}
	return host_ptrace(request, pid, addr, data);
}
