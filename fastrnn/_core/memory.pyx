"""Memory that is used again: working memory of the kernels, and the blocks of large arrays.

The system clears the pages of every fresh block, which for a sequence of 8 MB is a good part of a short recurrence, so
large blocks are kept for the next call.
"""

cimport numpy as cnp

cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #endif

    enum { FR_LARGE = 1 << 20 };

    #if defined(__linux__) && defined(MADV_HUGEPAGE)
    enum { FR_HUGE = 1 << 21, FR_PAGES = 1 << 16 }; /* bytes of a huge page, and a multiple of every small page */

    /* Large blocks ask for huge pages: a pack of 16 MB read every step would otherwise miss the TLB 4000 times. The
     * last one is huge too where that adds little; else a block would take up to 2 MB more than it needs. */
    static size_t fr_huge_bytes(size_t size)
    {
        const size_t all = (size + FR_HUGE - 1) / FR_HUGE * FR_HUGE;
        return all - size <= size / 32 ? all : size / FR_HUGE * FR_HUGE;
    }

    static size_t fr_mapped_bytes(size_t size)
    {
        const size_t huge = fr_huge_bytes(size);
        return huge >= size ? huge : (size + FR_PAGES - 1) / FR_PAGES * FR_PAGES;
    }

    /* Large blocks are mapped, not from malloc's heap: there NumPy has asked huge pages for its own arrays, freed ones
     * too, and the end of a block of 8.2 MB in their place took 2.3 MB more. */
    static void *fr_allocate(size_t size)
    {
        void *block = NULL;
        if (size < FR_LARGE) return posix_memalign(&block, 64, size) == 0 ? block : NULL;
        const size_t bytes = fr_mapped_bytes(size);
        char *room = mmap(NULL, bytes + FR_HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED) return NULL;
        const size_t before = (FR_HUGE - (size_t)room % FR_HUGE) % FR_HUGE;
        if (before > 0) munmap(room, before);
        block = room + before;
        munmap((char *)block + bytes, FR_HUGE - before);
        madvise(block, fr_huge_bytes(size), MADV_HUGEPAGE);
        return block;
    }

    static void fr_release(void *block, size_t size)
    {
        if (size < FR_LARGE)
            free(block);
        else
            munmap(block, fr_mapped_bytes(size));
    }
    #else
    static void *fr_allocate(size_t size)
    {
        void *block = NULL;
        return posix_memalign(&block, 64, size) == 0 ? block : NULL;
    }

    static void fr_release(void *block, size_t size) { free(block); }
    #endif
    """
    enum:
        LARGE "FR_LARGE"
    void *fr_allocate(size_t size) noexcept nogil
    void fr_release(void *block, size_t size) noexcept nogil

cnp.import_array()

cdef Py_ssize_t LARGEST = (<size_t> -1) >> 2

# Blocks of at least LARGE bytes are kept when nobody needs them, up to KEPT bytes of them, those freed last.
cdef enum:
    SPARES = 64
cdef Py_ssize_t KEPT = SPARES * LARGE


cdef struct Spare:
    char *data
    Py_ssize_t size


cdef Spare spare[SPARES]
cdef int spares = 0
cdef Py_ssize_t spare_bytes = 0


cdef Spare take_spare(int i) noexcept:
    """The i-th spare block, which is one no more."""
    global spares, spare_bytes
    cdef Spare taken = spare[i]
    spares -= 1
    spare_bytes -= taken.size
    for i in range(i, spares):
        spare[i] = spare[i + 1]
    return taken


cdef Spare allocate(Py_ssize_t size) noexcept:
    """A spare block of about this size, or a new one; data NULL: there is no memory."""
    cdef Spare block
    cdef int i
    if size >= LARGE:
        for i in range(spares - 1, -1, -1):
            if size <= spare[i].size <= size + size // 4:
                return take_spare(i)
    block.data, block.size = <char *> fr_allocate(size), size
    return block


cdef void release(char *data, Py_ssize_t size) noexcept:
    """Keep a block for the next call, in the place of older ones, or give it back to the system."""
    global spares, spare_bytes
    cdef Spare oldest
    if not LARGE <= size <= KEPT:
        fr_release(data, size)
        return
    while spare_bytes + size > KEPT:
        oldest = take_spare(0)
        fr_release(oldest.data, oldest.size)
    spare[spares].data, spare[spares].size = data, size
    spares += 1
    spare_bytes += size


cdef class Memory:
    """A block of bytes, aligned to 64; what it held is lost when it grows."""

    def __dealloc__(self):
        if self.data != NULL:
            release(self.data, self.size)

    cdef char *reserve(self, double size) except NULL:
        """At least `size` bytes; a double, so that no product of sizes overflows on its way here."""
        if size > LARGEST:
            raise MemoryError(f"{size:.0f} bytes are more than this machine can address")
        cdef Py_ssize_t wanted = max(64, <Py_ssize_t> size)
        cdef Spare block
        if wanted > self.size:
            if self.data != NULL:
                fr_release(self.data, self.size)
            self.data = NULL
            self.size = 0
            block = allocate(wanted)
            if block.data == NULL:
                raise MemoryError(f"cannot allocate {wanted} bytes")
            self.data, self.size = block.data, block.size
        return self.data


cdef empty(int axes, const Py_ssize_t *shape, int type_number):
    """A C-contiguous array of float32 or float64, not initialised."""
    cdef double bytes = 4 if type_number == cnp.NPY_FLOAT else 8
    cdef int i
    cdef Memory memory
    for i in range(axes):
        bytes *= shape[i]
    if bytes < LARGE:
        return cnp.PyArray_EMPTY(axes, <cnp.npy_intp *> shape, type_number, 0)
    memory = Memory()
    array = cnp.PyArray_SimpleNewFromData(axes, <cnp.npy_intp *> shape, type_number, memory.reserve(bytes))
    cnp.set_array_base(array, memory)
    return array


def empty_sequence(tuple shape, cnp.dtype dtype):
    """`numpy.empty(shape, dtype)`, float32 or float64, of memory that is used again."""
    cdef Py_ssize_t sizes[cnp.NPY_MAXDIMS]
    cdef int axis
    for axis in range(len(shape)):
        sizes[axis] = shape[axis]
    return empty(len(shape), sizes, dtype.type_num)
