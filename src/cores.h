/* Which core a thread is on. Now and then the system wakes a thread on the core of the one that wakes it, though
 * another is idle; there they take turns: in 13 of 60 bursts of a stream's steps, 20 ms each, the median step took 34
 * to 83 us instead of 13; in 3 where the helper leaves. */
#ifndef FASTRNN_CORES_H
#define FASTRNN_CORES_H

#include <sched.h>

#ifdef CPU_COUNT /* Linux */
typedef cpu_set_t fr_cores;
static inline int fr_core(void) { return sched_getcpu(); }
static inline void fr_own_cores(fr_cores *own)
{
    if (sched_getaffinity(0, sizeof *own, own) != 0) CPU_ZERO(own);
}

/* Leave a core, if it is the present one, for others of one's own, and stay there. */
static inline void fr_leave_core(int core, const fr_cores *own)
{
    if (core != fr_core() || core < 0 || core >= CPU_SETSIZE) return;
    fr_cores others = *own;
    CPU_CLR(core, &others);
    if (CPU_COUNT(&others) > 0) sched_setaffinity(0, sizeof others, &others);
}

/* Leave a core, if it is the present one, and be free to come back. */
static inline void fr_make_way(int core)
{
    if (core != fr_core() || core < 0) return;
    fr_cores own;
    fr_own_cores(&own);
    fr_leave_core(core, &own);
    if (CPU_COUNT(&own) > 0) sched_setaffinity(0, sizeof own, &own);
}
#else
typedef int fr_cores;
static inline int fr_core(void) { return -1; }
static inline void fr_own_cores(fr_cores *own) { *own = 0; }
static inline void fr_leave_core(int core, const fr_cores *own) { (void)core, (void)own; }
static inline void fr_make_way(int core) { (void)core; }
#endif

#endif
