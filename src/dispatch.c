/* The ISAs this build has (setup.py defines FR_HAVE_<ISA>) and whether this processor can run them. */
#include "fastrnn.h"

#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
long syscall(long number, ...); /* unistd.h has it, but not for plain C11 */
#endif
#endif

extern const fr_kernels fr_f32_baseline, fr_f64_baseline;
#ifdef FR_HAVE_AVX2
extern const fr_kernels fr_f32_avx2, fr_f64_avx2;
#endif
#ifdef FR_HAVE_AVX512
extern const fr_kernels fr_f32_avx512, fr_f64_avx512;
#endif
/* these differ from the one above in products with weights in bfloat16 alone */
#ifdef FR_HAVE_AVX512_BF16
extern const fr_kernels fr_f32_avx512_bf16;
#endif
#ifdef FR_HAVE_AMX
extern const fr_kernels fr_f32_amx;
#endif

const fr_isa fr_isas[] = {
    {"baseline", &fr_f32_baseline, &fr_f64_baseline},
#ifdef FR_HAVE_AVX2
    {"avx2", &fr_f32_avx2, &fr_f64_avx2},
#endif
#ifdef FR_HAVE_AVX512
    {"avx512", &fr_f32_avx512, &fr_f64_avx512},
#endif
#ifdef FR_HAVE_AVX512_BF16
    {"avx512_bf16", &fr_f32_avx512_bf16, &fr_f64_avx512},
#endif
#ifdef FR_HAVE_AMX
    {"amx", &fr_f32_amx, &fr_f64_avx512},
#endif
    {NULL, NULL, NULL},
};

#if defined(__x86_64__) || defined(__i386__)
static int has_avx512_bf16(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}

/* The tiles are 8 KB of state for each thread: Linux wants to be asked, once a process, before they are touched. */
static int has_amx(void)
{
#if defined(__linux__) && defined(__x86_64__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) return 0; /* bf16, tiles */
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
#else
    return 0;
#endif
}
#endif

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
    if (strcmp(name, "avx512_bf16") == 0) return fr_isa_supported("avx512") && has_avx512_bf16();
    if (strcmp(name, "amx") == 0) return fr_isa_supported("avx512_bf16") && has_amx();
#endif
    return 0;
}

/* Intel's vdpbf16ps takes twice as long as the two multiply-adds it replaces: 89 GFLOP/s a core of a Xeon of the fifth
 * generation against 181. AMD's Zen 4 takes half as long: 220 against 113. On others' processors, where it has not been
 * measured, one instruction for two multiply-adds is taken to pay. AMX has not been measured either: it is there to be
 * asked for. */
int fr_isa_pays(const char *name)
{
#if defined(__x86_64__) || defined(__i386__)
    if (strcmp(name, "avx512_bf16") == 0) return !__builtin_cpu_is("intel");
    if (strcmp(name, "amx") == 0) return 0;
#endif
    (void)name;
    return 1;
}
