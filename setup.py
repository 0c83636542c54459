"""Builds the extension modules: Cython time loops, and the C kernels once for each ISA and dtype."""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# No -march=native: the wheel must run elsewhere. No -ffast-math: it would turn denormals off for the whole process.
# -ffp-contract=off: a multiply-add is fused where the kernels say so and nowhere else, so tiles agree to the bit.
C_FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-g0"]
ISA_FLAGS = {"baseline": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    ISA_FLAGS["avx2"] = ["-mavx2", "-mfma"]
    ISA_FLAGS["avx512"] = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"]
    # where the compiler knows them; they change products with weights in bfloat16, which are float32's
    ISA_FLAGS["avx512_bf16"] = [*ISA_FLAGS["avx512"], "-mavx512bf16"]
    ISA_FLAGS["amx"] = [*ISA_FLAGS["avx512_bf16"], "-mamx-tile", "-mamx-bf16"]
DTYPES = {"f32": [], "f64": [("FR_DOUBLE", None)]}
FLOAT32_ALONE = ("avx512_bf16", "amx")

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "embedsignature": True,
}


class BuildKernels(build_ext):
    """Compiles kernels.c per ISA and dtype before the module that holds them, and finds out about OpenMP."""

    def build_extensions(self):
        for isa in FLOAT32_ALONE:
            if isa in ISA_FLAGS and not self.compiles(ISA_FLAGS[isa]):
                del ISA_FLAGS[isa]
        openmp = self.openmp_flags()
        for extension in self.extensions:
            extension.define_macros += [(f"FR_HAVE_{isa.upper()}", None) for isa in ISA_FLAGS if isa != "baseline"]
            extension.extra_compile_args = [*extension.extra_compile_args, *openmp]
            extension.extra_link_args = [*extension.extra_link_args, *openmp]
        super().build_extensions()

    def build_extension(self, extension):
        if extension.name == "fastrnn._core.isa":
            extension.extra_objects = self.kernels()
        super().build_extension(extension)

    def kernels(self):
        """One object for each ISA and dtype, each in a folder of its own: the source's name is the same."""
        objects = []
        for isa, isa_flags in ISA_FLAGS.items():
            for dtype, macros in DTYPES.items():
                if dtype != "f32" and isa in FLOAT32_ALONE:
                    continue
                objects += self.compiler.compile(
                    ["src/kernels.c"],
                    output_dir=str(Path(self.build_temp) / f"{dtype}_{isa}"),
                    macros=[("FR_TABLE", f"fr_{dtype}_{isa}"), *macros],
                    include_dirs=["src"],
                    extra_postargs=[*C_FLAGS, *isa_flags],
                )
        return objects

    def compiles(self, flags, text="int main(void) { return 0; }\n"):
        """Can this compiler build and link the program with these flags?"""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(text)
            compiler = [*self.compiler.compiler_so[:1], str(source), *flags, "-o", str(Path(folder, "probe"))]
            return subprocess.run(compiler, capture_output=True, check=False).returncode == 0

    def openmp_flags(self):
        """-fopenmp if this compiler can build and link with it; FASTRNN_OPENMP=0 builds without."""
        if os.environ.get("FASTRNN_OPENMP") == "0":
            return []
        found = self.compiles(["-fopenmp"], "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        if not found:
            print("fastrnn: no OpenMP with this compiler; the build will run on one thread", file=sys.stderr)
        return ["-fopenmp"] if found else []


def extension(name, *sources):
    return Extension(
        f"fastrnn._core.{name}",
        [f"fastrnn/_core/{name}.pyx", *sources],
        include_dirs=["src", numpy.get_include()],
        depends=[*map(str, Path("src").glob("*.h")), "src/kernels.c"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=["-O3", "-ffp-contract=off", "-fno-math-errno", "-g0"],
    )


setup(
    ext_modules=cythonize(
        [
            extension("isa", "src/dispatch.c"),
            extension("threads"),
            extension("memory"),
            extension("arrays"),
            extension("recurrence"),
            extension("matmul"),
            extension("scatter"),
            extension("masked"),
            extension("update"),
            extension("dropout"),
            extension("elementwise"),
            extension("crossentropy"),
        ],
        compiler_directives=DIRECTIVES,
        build_dir="build/cython",
    ),
    cmdclass={"build_ext": BuildKernels},
)
