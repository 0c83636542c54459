/* Seconds since some moment, by a clock that is never set. */
#ifndef FASTRNN_CLOCK_H
#define FASTRNN_CLOCK_H

#include <time.h>

static inline double fr_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

#endif
