/* What this machine can do, and where the kernels spend their time. Compiled by probe.py when a benchmark asks.
 *
 * Rates: multiply-adds between registers, reading a buffer again and again, one meeting at the package's barrier.
 * Clocks: the table of kernels is replaced by one whose entries read the time-stamp counter before and after the entry
 * they stand for, so that what is measured is the machine code that is shipped, at work in its own team. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "barrier.h"
#include "fastrnn.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* ------------------------------------------------------------------------------------------------------- rates */

enum { MOST_THREADS = 256, CHAINS = 12, TURNS = 2000 };

/* 12 chains hide the latency of two multiply-add units and fit the 16 registers of the narrower instruction sets */
#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define DECLARE(C) vec sum##C = term + (vec_real)C; /* alike, they would be one chain to the compiler */
#define ADVANCE(C) sum##C = sum##C * factor + term;
#define COLLECT(C) term += sum##C;
#define DEFINE_FMA(NAME, TYPE, BYTES, TARGET) \
    TARGET static double NAME(void) \
    { \
        typedef TYPE vec_real; \
        typedef TYPE vec __attribute__((vector_size(BYTES))); \
        const vec factor = (vec){0} + (TYPE)0.999; \
        vec term = (vec){0} + (TYPE)0.001; \
        EACH_CHAIN(DECLARE) \
        for (int turn = 0; turn < TURNS; turn++) { EACH_CHAIN(ADVANCE) } \
        EACH_CHAIN(COLLECT) \
        return (double)term[0]; \
    }

#define NO_TARGET
DEFINE_FMA(fma_f32_baseline, float, 16, NO_TARGET)
DEFINE_FMA(fma_f64_baseline, double, 16, NO_TARGET)
#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma")))
DEFINE_FMA(fma_f32_avx2, float, 32, AVX2)
DEFINE_FMA(fma_f64_avx2, double, 32, AVX2)
DEFINE_FMA(fma_f32_avx512, float, 64, AVX512)
DEFINE_FMA(fma_f64_avx512, double, 64, AVX512)
#endif

typedef struct {
    const char *isa;
    int bytes;
    double (*f32)(void), (*f64)(void);
} fma_loop;

static const fma_loop fma_loops[] = {
    {"baseline", 16, fma_f32_baseline, fma_f64_baseline},
#if defined(__x86_64__)
    {"avx2", 32, fma_f32_avx2, fma_f64_avx2},
    {"avx512", 64, fma_f32_avx512, fma_f64_avx512},
#endif
};

typedef struct {
    pthread_t thread;
    pthread_barrier_t *start;
    fr_barrier *meeting;
    double (*fma)(void);
    const char *bytes;
    size_t size;
    long rounds, done;
    int threads;
    double seconds, spent, result;
} job;

typedef uint64_t word __attribute__((vector_size(64)));

/* Four runs side by side, two lines of each at a time: 103 to 116 GB/s from the second-level cache of a Xeon of the
 * fifth generation, where one run reaches 77 to 88. */
#define DEFINE_READ(NAME, TARGET) \
    TARGET static uint64_t NAME(const char *bytes, size_t size) \
    { \
        const size_t run = size / 4 / 128 * 128; \
        word sum[4] = {{0}}; \
        for (size_t i = 0; i < run; i += 128) \
            for (int k = 0; k < 4; k++) { \
                sum[k] |= *(const word *)(bytes + (size_t)k * run + i); \
                sum[k] |= *(const word *)(bytes + (size_t)k * run + i + 64); \
            } \
        sum[0] |= sum[1] | sum[2] | sum[3]; \
        return sum[0][0] | sum[0][1] | sum[0][2] | sum[0][3] | sum[0][4] | sum[0][5] | sum[0][6] | sum[0][7]; \
    }
DEFINE_READ(read_baseline, NO_TARGET)
#if defined(__x86_64__)
DEFINE_READ(read_avx512, AVX512)
DEFINE_READ(read_avx2, AVX2)
#endif

static uint64_t read_once(const char *bytes, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return read_avx512(bytes, size);
    if (__builtin_cpu_supports("avx2")) return read_avx2(bytes, size);
#endif
    return read_baseline(bytes, size);
}

static void *work(void *context)
{
    job *j = context;
    const job mine = *j;
    double begin, end;
    long done = 0;
    uint64_t seen = 0;
    double result = 0;
    if (mine.bytes) seen = read_once(mine.bytes, mine.size);
    pthread_barrier_wait(mine.start);
    begin = end = now();
    if (mine.meeting) {
        for (; done < mine.rounds; done++) fr_barrier_wait(mine.meeting, mine.threads);
        end = now();
    }
    while (!mine.meeting && end - begin < mine.seconds) {
        if (mine.fma)
            result += mine.fma();
        else
            for (size_t got = 0; got < (1 << 16); got += mine.size, done++) seen |= read_once(mine.bytes, mine.size);
        done += mine.fma != NULL;
        end = now();
    }
    j->done = done;
    j->spent = end - begin;
    j->result = result + (double)seen;
    return NULL;
}

/* Run a job on every thread at once; the caller is one of them. Returns -1 when a thread cannot be started. */
static double together(job *jobs, int threads, double (*rate)(const job *))
{
    pthread_barrier_t start;
    double total = 0;
    int started = 1;
    if (pthread_barrier_init(&start, NULL, (unsigned)threads)) return -1;
    for (int i = 0; i < threads; i++) {
        jobs[i].start = &start;
        jobs[i].threads = threads;
    }
    for (; started < threads; started++)
        if (pthread_create(&jobs[started].thread, NULL, work, &jobs[started])) return -1;
    work(&jobs[0]);
    for (int i = 1; i < threads; i++) pthread_join(jobs[i].thread, NULL);
    for (int i = 0; i < threads; i++) total += rate(&jobs[i]);
    pthread_barrier_destroy(&start);
    return total;
}

static double fma_rate(const job *j) { return j->done / j->spent; }
static double byte_rate(const job *j) { return j->done * (double)j->size / j->spent; }
static double round_seconds(const job *j) { return j->spent / j->rounds / j->threads; }

/* the widest instruction set of this processor that this file knows */
const char *probe_isa(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) return "avx512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "avx2";
#endif
    return "baseline";
}

/* operations a second of all threads; 0 for an instruction set this file does not know */
double probe_fma(const char *isa, int itemsize, int threads, double seconds)
{
    job jobs[MOST_THREADS] = {{0}};
    if (threads > MOST_THREADS) return 0;
    for (size_t k = 0; k < sizeof(fma_loops) / sizeof(fma_loops[0]); k++)
        if (!strcmp(fma_loops[k].isa, isa)) {
            for (int i = 0; i < threads; i++) {
                jobs[i].fma = itemsize == 4 ? fma_loops[k].f32 : fma_loops[k].f64;
                jobs[i].seconds = seconds;
            }
            return together(jobs, threads, fma_rate) * 2.0 * CHAINS * TURNS * (fma_loops[k].bytes / itemsize);
        }
    return 0;
}

/* A buffer to read, laid out as the package lays out its weights: without huge pages a second-level cache is read at
 * half its rate. */
char *probe_buffer(size_t size)
{
    const size_t huge = (size_t)1 << 21;
    void *buffer = NULL;
    if (posix_memalign(&buffer, huge, (size + huge - 1) / huge * huge)) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(buffer, (size + huge - 1) / huge * huge, MADV_HUGEPAGE);
#endif
    memset(buffer, 1, size);
    return buffer;
}

void probe_free(char *buffer) { free(buffer); }

/* bytes a second of all threads, each reading its share of `buffer` again and again */
double probe_read(const char *buffer, size_t size, int threads, double seconds)
{
    job jobs[MOST_THREADS] = {{0}};
    const size_t part = size / (size_t)threads / 512 * 512;
    if (threads > MOST_THREADS || part == 0) return 0;
    for (int i = 0; i < threads; i++) {
        jobs[i].bytes = buffer + (size_t)i * part;
        jobs[i].size = part;
        jobs[i].seconds = seconds;
    }
    return together(jobs, threads, byte_rate);
}

/* seconds of one meeting */
double probe_barrier(int threads, long rounds)
{
    job jobs[MOST_THREADS] = {{0}};
    fr_barrier meeting;
    memset(&meeting, 0, sizeof meeting);
    if (threads > MOST_THREADS) return 0;
    for (int i = 0; i < threads; i++) {
        jobs[i].meeting = &meeting;
        jobs[i].rounds = rounds;
    }
    return together(jobs, threads, round_seconds);
}

/* ------------------------------------------------------------------------------------------------------ clocks */

enum { INPUT, STEPS, JOINED, RECURRENT, WEIGHTS, PACKING, KINDS, MOST_SLOTS = 256 };

static fr_kernels real_kernels, *hooked;
static fr_cell clocked_cells[FR_CELLS];
static int products_alone; /* a step is its product, and no cell finishes it */
static struct {
    uint64_t ticks[KINDS];
    char apart[128 - KINDS * sizeof(uint64_t)];
} slots[MOST_SLOTS];
static _Atomic int slots_taken;
static __thread int own_slot = -1;

uint64_t probe_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return (uint64_t)(now() * 1e9);
#endif
}

static void add_ticks(int kind, uint64_t ticks)
{
    if (own_slot < 0) own_slot = atomic_fetch_add(&slots_taken, 1) % MOST_SLOTS;
    slots[own_slot].ticks[kind] += ticks;
}

static void add(int kind, uint64_t begin) { add_ticks(kind, probe_ticks() - begin); }

static void clocked_product(const fr_product *d)
{
    const uint64_t begin = probe_ticks();
    real_kernels.product(d);
    add(d->seed ? INPUT : RECURRENT, begin); /* x.W begins with the bias and dG.W^T with zeros; h.R goes on from c */
}

static void clocked_outer(const fr_outer *d)
{
    const uint64_t begin = probe_ticks();
    real_kernels.outer(d);
    add(WEIGHTS, begin);
}

static void clocked_pack(void *packed, const void *w, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t H, int G, const int *order,
                         ptrdiff_t p0, ptrdiff_t p1)
{
    const uint64_t begin = probe_ticks();
    real_kernels.pack(packed, w, ld, K, H, G, order, p0, p1);
    add(PACKING, begin);
}

static void clocked_pack_transposed(void *packed, const void *w, ptrdiff_t ld, ptrdiff_t N, ptrdiff_t H, int G,
                                    const int *order, ptrdiff_t depth, ptrdiff_t p0, ptrdiff_t p1)
{
    const uint64_t begin = probe_ticks();
    real_kernels.pack_transposed(packed, w, ld, N, H, G, order, depth, p0, p1);
    add(PACKING, begin);
}

static void clocked_unpack(void *w, ptrdiff_t ld, const void *packed, ptrdiff_t M, ptrdiff_t H, int G, const int *order,
                           int slots_, int first, ptrdiff_t m0, ptrdiff_t m1)
{
    const uint64_t begin = probe_ticks();
    real_kernels.unpack(w, ld, packed, M, H, G, order, slots_, first, m0, m1);
    add(PACKING, begin);
}

static void clocked_step(const fr_step *s, void (*step)(const fr_step *))
{
    const fr_product *d = &s->product;
    const uint64_t begin = probe_ticks();
    if (!products_alone) {
        step(s);
        add(STEPS, begin);
        return;
    }
    real_kernels.product(d);
    const uint64_t spent = probe_ticks() - begin;
    const uint64_t of_x = d->joined ? spent * (uint64_t)d->length / (uint64_t)(d->length + d->joined->length) : 0;
    add_ticks(JOINED, of_x);
    add_ticks(RECURRENT, spent - of_x);
}

#define DEFINE_STEPS(CELL) \
    static void clocked_forward_##CELL(const fr_step *s) { clocked_step(s, real_kernels.cells[CELL]->forward); } \
    static void clocked_backward_##CELL(const fr_step *s) { clocked_step(s, real_kernels.cells[CELL]->backward); }
DEFINE_STEPS(0)
DEFINE_STEPS(1)
DEFINE_STEPS(2)
_Static_assert(FR_CELLS == 3, "a new cell needs its two steps above and below");
static void (*const clocked_steps[FR_CELLS][2])(const fr_step *) = {
    {clocked_forward_0, clocked_backward_0},
    {clocked_forward_1, clocked_backward_1},
    {clocked_forward_2, clocked_backward_2},
};

static int writable(void *at, size_t size, int protection)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)at / page * page;
    return mprotect((void *)begin, (uintptr_t)at + size - begin, protection);
}

/* Give a table of kernels clocks; what was built before keeps its cells. 0 on success. */
int probe_hook(fr_kernels *table)
{
    if (hooked || writable(table, sizeof *table, PROT_READ | PROT_WRITE)) return -1;
    real_kernels = *table;
    hooked = table;
    for (int i = 0; i < FR_CELLS; i++) {
        clocked_cells[i] = *real_kernels.cells[i];
        clocked_cells[i].forward = clocked_steps[i][0];
        clocked_cells[i].backward = clocked_steps[i][1];
        table->cells[i] = &clocked_cells[i];
    }
    table->product = clocked_product;
    table->outer = clocked_outer;
    table->pack = clocked_pack;
    table->pack_transposed = clocked_pack_transposed;
    table->unpack = clocked_unpack;
    return 0;
}

/* Put the table back; what was built meanwhile may be used when it has clocks again. */
void probe_unhook(void)
{
    if (!hooked) return;
    *hooked = real_kernels;
    writable(hooked, sizeof *hooked, PROT_READ);
    hooked = NULL;
}

void probe_reset(int alone)
{
    memset(slots, 0, sizeof slots[0] * (size_t)(slots_taken < MOST_SLOTS ? slots_taken : MOST_SLOTS));
    products_alone = alone;
}

/* ticks of each kind, those of the thread that had most of it */
void probe_read_clocks(uint64_t *ticks)
{
    memset(ticks, 0, KINDS * sizeof *ticks);
    for (int i = 0; i < MOST_SLOTS; i++)
        for (int k = 0; k < KINDS; k++)
            if (slots[i].ticks[k] > ticks[k]) ticks[k] = slots[i].ticks[k];
}
