/* Blocks of rows that the members of a team walk in turns: whoever is free takes the block that is furthest behind, for
 * some steps, so that all end together although one has the slower core or the longer rows. */
#ifndef FASTRNN_TURNS_H
#define FASTRNN_TURNS_H

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

typedef struct {
    ptrdiff_t done; /* steps */
    int taken;
} fr_turn;

typedef struct {
    _Atomic int lock;
    int blocks;
    ptrdiff_t total; /* steps of each block */
    fr_turn *block;
} fr_turns;

static inline void fr_lock(fr_turns *t)
{
    while (atomic_exchange_explicit(&t->lock, 1, memory_order_acquire)) sched_yield(); /* held for nanoseconds */
}

static inline void fr_unlock(fr_turns *t) { atomic_store_explicit(&t->lock, 0, memory_order_release); }

/* the number of a block that is the caller's until fr_end_turn; -1 when nothing is left to take */
static inline int fr_take_turn(fr_turns *t)
{
    int found = -1;
    fr_lock(t);
    for (int i = 0; i < t->blocks; i++)
        if (!t->block[i].taken && t->block[i].done < t->total && (found < 0 || t->block[i].done < t->block[found].done))
            found = i;
    if (found >= 0) t->block[found].taken = 1;
    fr_unlock(t);
    return found;
}

static inline void fr_end_turn(fr_turns *t, int block, ptrdiff_t steps)
{
    fr_lock(t);
    t->block[block].done += steps;
    t->block[block].taken = 0;
    fr_unlock(t);
}

#endif
