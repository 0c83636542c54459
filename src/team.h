/* Where OpenMP's teams lose time: threads that sleep, 5 ms after the last call, are now and then woken on the caller's
 * core, though another is idle, and the caller spins there for the same 5 to 8 ms before it gives the core away. So the
 * caller of a team that may have slept lets its members run first, they leave its core, and in the end it waits for
 * them here, where it yields. 20 ms after the last call, an LSTM of 64 units, 32 rows, 4 steps, on two threads, took
 * 7750 us, without the first yield 490, with all 320. */
#ifndef FASTRNN_TEAM_H
#define FASTRNN_TEAM_H

#include <sched.h>
#include <stdatomic.h>

#include "barrier.h"
#include "clock.h"
#include "cores.h"

/* Seconds after which the threads may be asleep. */
#define FR_RESTED 1e-3

typedef struct {
    int core; /* the caller's */
    _Atomic int done;
} fr_team;

static _Atomic double fr_team_ended;

static inline void fr_team_call(fr_team *t)
{
    t->core = fr_core();
    atomic_init(&t->done, 0);
}

static inline void fr_team_join(const fr_team *t, int member)
{
    if (member > 0)
        fr_make_way(t->core);
    else if (fr_seconds() - atomic_load_explicit(&fr_team_ended, memory_order_relaxed) > FR_RESTED)
        sched_yield();
}

static inline void fr_team_end(fr_team *t, int member, int members)
{
    if (member > 0) {
        atomic_fetch_add_explicit(&t->done, 1, memory_order_release);
        return;
    }
    for (int looks = 0; atomic_load_explicit(&t->done, memory_order_acquire) < members - 1; looks++) fr_spin(looks);
    atomic_store_explicit(&fr_team_ended, fr_seconds(), memory_order_relaxed);
}

#endif
