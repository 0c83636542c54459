"""Memory that is used again: working memory of the kernels, and the blocks of large arrays.

The system clears the pages of every fresh block, which for a sequence of 8 MB is a good part of a short recurrence, so
blocks of large arrays are kept for the next call.
"""

cimport numpy as cnp
from libc.stdlib cimport free

cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #endif

    /* Large blocks ask for huge pages: a pack of 16 MB read every step would otherwise miss the TLB 4000 times. */
    static void *fr_allocate(Py_ssize_t size)
    {
        void *block = NULL;
        const size_t huge = (size_t)1 << 21;
        const int large = (size_t)size >= huge;
        if (posix_memalign(&block, large ? huge : 64, (size_t)size) != 0) return NULL;
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (large) madvise(block, (size_t)size, MADV_HUGEPAGE);
    #endif
        return block;
    }
    """
    void *fr_allocate(Py_ssize_t size) noexcept nogil

cnp.import_array()

cdef Py_ssize_t LARGEST = (<size_t> -1) >> 2

# Arrays of at least LARGE bytes are made of blocks that are kept, up to KEPT bytes of them in all.
cdef Py_ssize_t LARGE = 1 << 20
cdef Py_ssize_t KEPT = 64 << 20
cdef list spare = []
cdef Py_ssize_t spare_bytes = 0


cdef class Memory:
    """A block of bytes, aligned to 64; what it held is lost when it grows."""

    def __dealloc__(self):
        free(self.data)

    cdef char *reserve(self, double size) except NULL:
        """At least `size` bytes; a double, so that no product of sizes overflows on its way here."""
        if size > LARGEST:
            raise MemoryError(f"{size:.0f} bytes are more than this machine can address")
        cdef Py_ssize_t wanted = max(64, <Py_ssize_t> size)
        if wanted > self.size:
            free(self.data)
            self.data = NULL
            self.size = 0
            self.data = <char *> fr_allocate(wanted)
            if self.data == NULL:
                raise MemoryError(f"cannot allocate {wanted} bytes")
            self.size = wanted
        return self.data


cdef class Block:
    """The bytes of one large array; they go back to the spare ones with it."""
    cdef Memory memory

    def __dealloc__(self):
        global spare_bytes
        if spare is not None and self.memory is not None and spare_bytes + self.memory.size <= KEPT:
            spare_bytes += self.memory.size
            spare.append(self.memory)


cdef Memory take(Py_ssize_t size):
    """A spare block of about this size, or a new one."""
    global spare_bytes
    cdef Memory memory
    cdef Py_ssize_t i
    for i in range(len(spare) - 1, -1, -1):
        memory = spare[i]
        if size <= memory.size <= size + size // 4:
            del spare[i]
            spare_bytes -= memory.size
            return memory
    memory = Memory()
    memory.reserve(size)
    return memory


cdef empty(int axes, const Py_ssize_t *shape, int type_number):
    """A C-contiguous array of float32 or float64, not initialised."""
    cdef double bytes = 4 if type_number == cnp.NPY_FLOAT else 8
    cdef int i
    cdef Block block
    for i in range(axes):
        bytes *= shape[i]
    if bytes < LARGE:
        return cnp.PyArray_EMPTY(axes, <cnp.npy_intp *> shape, type_number, 0)
    if bytes > LARGEST:
        raise MemoryError(f"{bytes:.0f} bytes are more than this machine can address")
    block = Block()
    block.memory = take(<Py_ssize_t> bytes)
    array = cnp.PyArray_SimpleNewFromData(axes, <cnp.npy_intp *> shape, type_number, block.memory.data)
    cnp.set_array_base(array, block)
    return array


def empty_sequence(tuple shape, dtype):
    """`numpy.empty(shape, dtype)`, float32 or float64, of memory that is used again."""
    cdef Py_ssize_t sizes[cnp.NPY_MAXDIMS]
    cdef int axis
    for axis in range(len(shape)):
        sizes[axis] = shape[axis]
    return empty(len(shape), sizes, cnp.NPY_FLOAT if dtype.itemsize == 4 else cnp.NPY_DOUBLE)
