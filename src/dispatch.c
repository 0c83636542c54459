/* The ISAs this build has (setup.py defines FR_HAVE_<ISA>) and whether this processor can run them. */
#include "fastrnn.h"

#include <string.h>

extern const fr_kernels fr_f32_baseline, fr_f64_baseline;
#ifdef FR_HAVE_AVX2
extern const fr_kernels fr_f32_avx2, fr_f64_avx2;
#endif
#ifdef FR_HAVE_AVX512
extern const fr_kernels fr_f32_avx512, fr_f64_avx512;
#endif

const fr_isa fr_isas[] = {
    {"baseline", &fr_f32_baseline, &fr_f64_baseline},
#ifdef FR_HAVE_AVX2
    {"avx2", &fr_f32_avx2, &fr_f64_avx2},
#endif
#ifdef FR_HAVE_AVX512
    {"avx512", &fr_f32_avx512, &fr_f64_avx512},
#endif
    {NULL, NULL, NULL},
};

int fr_isa_supported(const char *name)
{
    if (strcmp(name, "baseline") == 0) return 1;
#if defined(__x86_64__) || defined(__i386__)
    /* these ask the operating system too: registers it does not save are not there */
    __builtin_cpu_init();
    if (strcmp(name, "avx2") == 0) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(name, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
#endif
    return 0;
}
