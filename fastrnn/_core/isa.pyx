"""Which kernels this processor gets; FASTRNN_ISA forces a lower ISA, and an impossible one is an error at import."""

import os

import numpy as np

from fastrnn._core.kernels cimport FR_SIGMOID, FR_TANH, fr_isa, fr_isa_pays, fr_isa_supported, fr_isas, fr_kernels

cdef extern from *:
    """
    #include <stdint.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #include <unistd.h>
    #endif
    #include "fastrnn.h"

    /* Have the system map the code of a table of kernels, in 0.1 ms. A first call would wait for it, 4 us for each
     * stretch of 64 KB that it enters: 20 of the 185 us in which a SimpleRNN of 12 units is built and called. */
    static void fr_map_code(const fr_kernels *k)
    {
    #ifdef __linux__
        enum { POPULATE_READ = 22 }; /* of Linux 5.14; those before refuse, which is no harm */
        const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
        const uintptr_t *entry = (const uintptr_t *)&k->product, *end = (const uintptr_t *)(k + 1);
        uintptr_t low = UINTPTR_MAX, high = 0;
        for (; entry < end; entry++) {
            if (*entry == 0) continue;
            if (*entry < low) low = *entry;
            if (*entry > high) high = *entry;
        }
        low -= low % page;
        madvise((void *)low, high - low, POPULATE_READ);
    #else
        (void)k;
    #endif
    }
    """
    void fr_map_code(const fr_kernels *k)

cdef const fr_isa *chosen = NULL


cdef const fr_kernels *kernels(Py_ssize_t itemsize) noexcept nogil:
    """The active kernels for reals of 4 or 8 bytes."""
    return chosen.f32 if itemsize == 4 else chosen.f64


def compiled():
    """Names of the ISAs in this build, lowest first."""
    names = []
    cdef int i = 0
    while fr_isas[i].name != NULL:
        names.append(fr_isas[i].name.decode())
        i += 1
    return names


def available():
    """Names of the ISAs in this build that this processor runs, lowest first."""
    return [name for name in compiled() if fr_isa_supported(name.encode())]


def default():
    """Name of the ISA that is used unless FASTRNN_ISA forces another: the highest that pays."""
    names = [name for name in available() if fr_isa_pays(name.encode())]
    return names[len(names) - 1]


def active():
    """Name of the ISA in use."""
    return chosen.name.decode()


def vector(dtype):
    """Units per vector of the active kernels."""
    return kernels(np.dtype(dtype).itemsize).vector


def activate(str kind, x):
    """The kernels' own sigmoid or tanh of a contiguous float array, for the tests of accuracy."""
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    cdef Py_ssize_t source = x.ctypes.data, target = y.ctypes.data, size = x.size
    cdef int code = FR_SIGMOID if kind == "sigmoid" else FR_TANH
    kernels(x.itemsize).activate(code, size, <const void *> source, <void *> target)
    return y


cdef select():
    global chosen
    wanted = os.environ.get("FASTRNN_ISA", "")
    names = available()
    if not wanted:
        wanted = default()
    elif wanted not in compiled():
        raise ImportError(f"FASTRNN_ISA must be one of {', '.join(compiled())}, got {wanted!r}")
    elif wanted not in names:
        raise ImportError(f"FASTRNN_ISA={wanted} asks for instructions this processor lacks; it has {', '.join(names)}")
    chosen = &fr_isas[compiled().index(wanted)]
    fr_map_code(chosen.f32)


select()
