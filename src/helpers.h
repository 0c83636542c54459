/* Threads that stay awake for calls which follow each other within microseconds, as the steps of a stream do.
 *
 * OpenMP starts and ends a team in 0.9 us, of which its calls to the kernel take most; here it is 0.16 to 0.25, whether
 * or not what is as in the call before is written again. The caller does every share that no helper has taken, so it
 * never waits for a thread that is asleep or without a core, only for one that has begun; a body's members must
 * therefore not wait for each other. */
#ifndef FASTRNN_HELPERS_H
#define FASTRNN_HELPERS_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "barrier.h"
#include "clock.h"
#include "cores.h"
#include "denormals.h"

/* Seconds that a helper looks for work before it sleeps; it is not woken for a call that comes so long after the one
 * before. The clock is read after so many looks. */
#define FR_AWAKE 200e-6
enum { FR_LOOKS = 128 };

typedef void (*fr_body)(void *context, int member, int members);

typedef struct {
    _Atomic int left; /* members of the present call that nobody has taken */
    _Atomic int core; /* the caller's */
    int members;
    fr_body body;
    void *context;
    char apart[32]; /* what the caller writes and what the helpers count live on different cache lines */
    _Atomic int done;
    char end[60];
    atomic_flag taken; /* by a caller; the rest is that caller's */
    int threads;
    double last; /* call's end */
    _Atomic int asleep;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} fr_helpers;

#define FR_HELPERS \
    {.core = -1, \
     .taken = ATOMIC_FLAG_INIT, \
     .mutex = PTHREAD_MUTEX_INITIALIZER, \
     .wake = PTHREAD_COND_INITIALIZER, \
     .last = -FR_AWAKE}

/* the number of a member that is now the calling thread's; 0: none is left */
static inline int fr_take_member(fr_helpers *h)
{
    if (atomic_load_explicit(&h->left, memory_order_relaxed) <= 0) return 0;
    const int member = atomic_fetch_sub_explicit(&h->left, 1, memory_order_acq_rel);
    return member > 0 ? member : 0;
}

static void fr_sleep(fr_helpers *h)
{
    pthread_mutex_lock(&h->mutex);
    atomic_fetch_add(&h->asleep, 1);
    pthread_cond_wait(&h->wake, &h->mutex); /* woken for nothing, or not when it might have been, is no harm */
    atomic_fetch_sub(&h->asleep, 1);
    pthread_mutex_unlock(&h->mutex);
}

static void *fr_help(void *helpers)
{
    fr_helpers *h = helpers;
    fr_cores own;
    fr_own_cores(&own);
    fr_flush_denormals();
    for (;;) {
        const double since = fr_seconds();
        int member = 0;
        for (int look = 0; (member = fr_take_member(h)) == 0; look++) {
            if (look % FR_LOOKS == 0) {
                if (fr_seconds() - since > FR_AWAKE) break;
                fr_leave_core(atomic_load_explicit(&h->core, memory_order_relaxed), &own);
            }
            fr_spin(0);
        }
        if (member > 0) {
            h->body(h->context, member, h->members);
            atomic_fetch_add_explicit(&h->done, 1, memory_order_release);
        } else {
            fr_sleep(h);
        }
    }
    return NULL;
}

/* One that cannot be had is not asked for again. Signals stay the program's own threads'. */
static void fr_add_helper(fr_helpers *h)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!pthread_create(&thread, NULL, fr_help, h)) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    h->threads++;
}

/* body(context, member, members) for each member, by the caller and whoever helps; alone, as the only member, when the
 * helpers are another caller's or the last call is long ago. */
static void fr_run_helped(fr_helpers *h, fr_body body, void *context, int members)
{
    const unsigned long long denormals = fr_flush_denormals();
    if (atomic_flag_test_and_set_explicit(&h->taken, memory_order_acquire)) {
        body(context, 0, 1);
        fr_keep_denormals(denormals);
        return;
    }
    if (fr_seconds() - h->last > FR_AWAKE) {
        body(context, 0, 1);
    } else {
        int others = members - 1;
        while (h->threads < others) fr_add_helper(h);
        if (atomic_load_explicit(&h->asleep, memory_order_relaxed) > 0) {
            pthread_mutex_lock(&h->mutex);
            pthread_cond_broadcast(&h->wake);
            pthread_mutex_unlock(&h->mutex);
        }
        h->body = body;
        h->context = context;
        h->members = members;
        atomic_store_explicit(&h->core, fr_core(), memory_order_relaxed);
        atomic_store_explicit(&h->done, 0, memory_order_relaxed);
        atomic_store_explicit(&h->left, others, memory_order_release);
        body(context, 0, members);
        for (int member; (member = fr_take_member(h)) > 0; others--) body(context, member, members);
        for (int spin = 0; atomic_load_explicit(&h->done, memory_order_acquire) < others; spin++) fr_spin(spin);
    }
    h->last = fr_seconds();
    atomic_flag_clear_explicit(&h->taken, memory_order_release);
    fr_keep_denormals(denormals);
}

#endif
