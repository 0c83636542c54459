"""Teams of threads: the only module that knows OpenMP, and the helpers of calls too short for it.

Without OpenMP every team has one member.
"""

import os

from cython.parallel cimport parallel

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #include "helpers.h"
    #define FR_OPENMP 1
    static fr_helpers helpers = FR_HELPERS;
    static void run_helpers(fr_body body, void *context, int members)
    {
        fr_run_helped(&helpers, body, context, members);
    }
    static void forget_helpers(void) { helpers = (fr_helpers)FR_HELPERS; }
    #else
    #define FR_OPENMP 0
    static inline int omp_get_thread_num(void) { return 0; }
    static inline int omp_get_num_threads(void) { return 1; }
    static inline void run_helpers(void (*body)(void *, int, int), void *context, int members) {}
    static inline void forget_helpers(void) {}
    #endif
    """
    const bint FR_OPENMP
    int omp_get_thread_num() noexcept nogil
    int omp_get_num_threads() noexcept nogil
    void run_helpers(team_body body, void *context, int members) noexcept nogil
    void forget_helpers() noexcept nogil

cdef extern from "team.h" nogil:
    ctypedef struct fr_team:
        pass
    void fr_team_call(fr_team *team)
    void fr_team_join(const fr_team *team, int member)
    void fr_team_end(fr_team *team, int member, int members)

cdef extern from "denormals.h" nogil:
    unsigned long long fr_flush_denormals()
    void fr_keep_denormals(unsigned long long before)

# Has this process started a team?
cdef bint used = False
# Is it the child of one that had? libgomp's threads do not survive a fork: a team would wait for them for ever.
cdef bint forked = False
# Does OpenMP tie each thread to cores of its own? Helpers would be tied to the caller's.
cdef bint bound = (os.environ.get("OMP_PROC_BIND", "false").lower() != "false"
                   or "GOMP_CPU_AFFINITY" in os.environ or "KMP_AFFINITY" in os.environ)


cdef void call_member(team_body body, void *context, int member, int members) noexcept nogil:
    """Call body(context, member, members) with denormals flushed."""
    cdef unsigned long long before = fr_flush_denormals()
    body(context, member, members)
    fr_keep_denormals(before)


cdef void call_teammate(fr_team *team, team_body body, void *context, int member, int members) noexcept nogil:
    """Call body(context, member, members) beside the other members."""
    fr_team_join(team, member)
    call_member(body, context, member, members)
    fr_team_end(team, member, members)


cdef void run_team(team_body body, void *context, int members) noexcept nogil:
    """Call body(context, member, members) once for each member, all at the same time.

    When the run time gives a smaller team than asked for, one member does everything: a body may rely on its
    teammates running beside it.
    """
    global used
    if members <= 1 or forked or not FR_OPENMP:
        call_member(body, context, 0, 1)
        return
    used = True
    cdef fr_team team
    fr_team_call(&team)
    with parallel(num_threads=members):
        if omp_get_num_threads() == members:
            call_teammate(&team, body, context, omp_get_thread_num(), members)
        elif omp_get_thread_num() == 0:
            call_member(body, context, 0, 1)


cdef void run_helped(team_body body, void *context, int members) noexcept nogil:
    """Like run_team, for a call that is one of many in quick succession.

    Members share the work but must not wait for each other: the caller does what no helper has taken, and everything,
    as the only member, after a pause.
    """
    if members <= 1 or bound or not FR_OPENMP:
        call_member(body, context, 0, 1)
    else:
        run_helpers(body, context, members)


def openmp():
    """Was this build compiled with OpenMP?"""
    return bool(FR_OPENMP)


def _after_fork():
    global forked
    forked = used
    forget_helpers()  # they have not come along; others can be had


os.register_at_fork(after_in_child=_after_fork)


MOST = 1024  # threads of a team


def _number(name):
    """The first number in an environment variable, or None."""
    text = os.environ.get(name, "").split(",")[0].strip()
    return int(text) if text.isdigit() and int(text) > 0 else None


def _usable_cores():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            cores = min(cores, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        pass
    return cores


_default = None


def default_threads():
    """FASTRNN_NUM_THREADS, else OMP_NUM_THREADS, else the cores this process may use (affinity and cgroup)."""
    global _default
    if _default is None:
        wanted, number = os.environ.get("FASTRNN_NUM_THREADS"), _number("FASTRNN_NUM_THREADS")
        if wanted is not None and (number is None or number > MOST):
            raise ValueError(f"FASTRNN_NUM_THREADS must be a whole number from 1 to {MOST}, got {wanted!r}")
        _default = min(MOST, number or _number("OMP_NUM_THREADS") or _usable_cores())
    return _default
