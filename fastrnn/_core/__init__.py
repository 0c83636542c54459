"""The compiled storey: time loops and threads (Cython) over the kernels in src/ (C).

isa          which kernels this processor gets: the only module that knows ISAs
threads      teams of threads: the only module that knows OpenMP
memory       aligned working memory that grows and is kept
arrays       the quick look at an argument that is exactly as it should be
recurrence   the forward and the BPTT time loop, one of each for all cells, and the streaming step
matmul       a plain product on the same register tiles, or NumPy's BLAS, whichever suits
scatter      summing rows by index, for the gradient of an embedding
masked       the valid steps of masked rows to the front and back
update       an optimizer's step, one pass over the memory, and the norm of a gradient
"""
