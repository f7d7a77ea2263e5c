// SPDX-License-Identifier: Apache-2.0
/*
 * Lets user-mode-linux 6.1 run on processors with AMX (preloaded library).
 *
 * It keeps 2696 bytes of a program's extended registers, which is all up to
 * AVX-512 and PKRU (arch/x86/um/user-offsets.c, HOST_FP_SIZE), and hands them
 * back with PTRACE_SETREGSET. The host takes nothing but its full size there
 * (arch/x86/kernel/fpu/regset.c, xstateregs_set), which is 11008 bytes where
 * the processor has AMX: "ptrace set fp regs failed, errno = 14". So fill up
 * with zeros. That is the right value: the header says that the tiles are in
 * their initial state, since a program must ask its kernel before it may use
 * them and a node's kernel does not know of that.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The node's kernel has one thread that traces: no lock. */
static char full[1 << 16];
static size_t full_size;

/* The C library's, without what it does for the PEEK requests. */
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
		/* The system call stores the word, the function returns it. */
		result = host_ptrace(request, pid, addr, &word);
		return result < 0 ? result : word;
	}
	return host_ptrace(request, pid, addr, data);
}
