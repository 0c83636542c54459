/* What the members of a team take when they are free, so that all end together although one has the slower core or the
 * longer rows: of blocks of rows that are walked the one furthest behind, for some steps; of items without an order the
 * next ones; of the panels of a step its own, then a teammate's. */
#ifndef FASTRNN_TURNS_H
#define FASTRNN_TURNS_H

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    ptrdiff_t done; /* steps */
    int taken;
} fr_turn;

typedef struct {
    _Atomic int lock;
    int blocks;
    ptrdiff_t total; /* steps of each block */
    fr_turn *block;
    ptrdiff_t items; /* taken */
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

/* Panels of a step that a team walks together: a member takes its own from one end, then the others' from the other. */
typedef struct {
    _Atomic uint64_t panels; /* [low, high) as low << 32 | high */
    char apart[56];          /* each on a cache line of its own */
} fr_share;

static inline void fr_give(fr_share *s, ptrdiff_t low, ptrdiff_t high)
{ atomic_store_explicit(&s->panels, (uint64_t)low << 32 | (uint64_t)high, memory_order_release); }

/* how many of its panels from *first on are now the caller's */
static inline ptrdiff_t fr_take_panels(fr_share *s, ptrdiff_t most, int from_end, ptrdiff_t *first)
{
    uint64_t panels = atomic_load_explicit(&s->panels, memory_order_acquire), rest;
    ptrdiff_t count;
    do {
        const ptrdiff_t low = (ptrdiff_t)(panels >> 32), high = (ptrdiff_t)(panels & UINT32_MAX);
        count = high - low < most ? high - low : most;
        if (count == 0) return 0;
        *first = from_end ? high - count : low;
        rest = from_end ? panels - (uint64_t)count : panels + ((uint64_t)count << 32);
    } while (
        !atomic_compare_exchange_weak_explicit(&s->panels, &panels, rest, memory_order_acq_rel, memory_order_acquire));
    return count;
}

/* How many of the items from *first on are now the caller's, 0 when all are taken: fewer towards their end, but `least`
 * if so many are left. */
static inline ptrdiff_t fr_take_items(fr_turns *t, ptrdiff_t total, ptrdiff_t least, ptrdiff_t most, int members,
                                      ptrdiff_t *first)
{
    fr_lock(t);
    const ptrdiff_t left = total - t->items;
    ptrdiff_t count = left / (2 * members);
    if (count < least) count = least;
    if (count > most) count = most;
    if (count > left) count = left;
    *first = t->items;
    t->items += count;
    fr_unlock(t);
    return count;
}

#endif
