/* Denormal numbers count as zero while a kernel runs, and as themselves again when it has returned.
 *
 * Gradients that fade over hundreds of steps end as denormals, and each operation on one takes the processor 150
 * cycles: the way back of an LSTM (B = 128, T = 500, H = 32) with a gradient at its last output alone took 277 ms, and
 * takes 16.
 */
#ifndef FASTRNN_DENORMALS_H
#define FASTRNN_DENORMALS_H

#if defined(__SSE2__)
#include <immintrin.h>

/* returns what fr_keep_denormals is to be given */
static inline unsigned long long fr_flush_denormals(void)
{
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zero */
    return before;
}
static inline void fr_keep_denormals(unsigned long long before) { _mm_setcsr((unsigned)before); }

#elif defined(__aarch64__)

static inline unsigned long long fr_flush_denormals(void)
{
    unsigned long long before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | 1ull << 24));
    return before;
}
static inline void fr_keep_denormals(unsigned long long before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }

#else

static inline unsigned long long fr_flush_denormals(void) { return 0; }
static inline void fr_keep_denormals(unsigned long long before) { (void)before; }

#endif
#endif
