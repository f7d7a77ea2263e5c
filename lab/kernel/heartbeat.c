// SPDX-License-Identifier: Apache-2.0
/*
 * Wakes user-mode-linux 6.1 up when it has lost its timer (preloaded library).
 *
 * Its clock is a one-shot timer of the host, which is set anew in the handler
 * of SIGALRM. One way to lose it: the next SIGALRM comes while that handler is
 * running, and unblock_signals() drops it so as not to reenter the handler
 * (arch/um/os-Linux/signal.c). Nobody sets the timer again: the node stands
 * still for ever, its idle loop spinning. On a busy machine that was seen in
 * two of some hundred runs. A single SIGALRM from outside lets it go on; one
 * that is too early does nothing, since the handler looks at the clock. So
 * send one each second.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

__attribute__((constructor)) static void start_heartbeat(void)
{
	/* The first beat comes when the kernel has its handler. */
	struct itimerspec each_second = { { 1, 0 }, { 5, 0 } };
	struct sigevent alarm = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGALRM };
	timer_t timer;

	/* Not in what execs it, nor in what it runs. */
	if (strcmp(program_invocation_short_name, "linux.uml"))
		return;
	if (!timer_create(CLOCK_MONOTONIC, &alarm, &timer))
		timer_settime(timer, 0, &each_second, NULL);
}
