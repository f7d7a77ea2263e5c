// SPDX-License-Identifier: Apache-2.0
/*
 * Wake up user-mode-linux 6.1 when it has lost its timer (preloaded library).
 *
 * Its clock is a one-shot timer of the host, which the handler of SIGALRM sets
 * again. It can be lost: if the next SIGALRM arrives while the handler is
 * running, unblock_signals() drops it to avoid reentering the handler
 * (arch/um/os-Linux/signal.c). Then nothing sets the timer again, and the node
 * hangs in its idle loop. On a busy machine this happened in two of some
 * hundred runs. A single SIGALRM from outside wakes it up. An early one is
 * harmless, since the handler reads the clock. So send one every second.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

__attribute__((constructor)) static void start_heartbeat(void)
{
	/* Wait with the first one until the kernel has its handler. */
	struct itimerspec each_second = { { 1, 0 }, { 5, 0 } };
	struct sigevent alarm = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGALRM };
	timer_t timer;

	/* Not in the programs that exec it, nor in those that it runs. */
	if (strcmp(program_invocation_short_name, "linux.uml"))
		return;
	if (!timer_create(CLOCK_MONOTONIC, &alarm, &timer))
		timer_settime(timer, 0, &each_second, NULL);
}
