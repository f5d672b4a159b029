"""Build the optional C kernel; everything else about the package is in setup.cfg."""

import os

from setuptools import Extension, setup

# -fno-math-errno and -fno-trapping-math change no result; they let loops with comparisons become vectors.
# -ffp-contract=off keeps sums the same to the last bit with and without fused multiply-add.
GNU_FLAGS = ["-O3", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]

SOURCES = ("kernels", "blocks", "measure", "loops", "packing", "summary")

setup(
    ext_modules=[
        Extension(
            "actdiag._kernels",
            [f"actdiag/_native/{name}.c" for name in SOURCES],
            depends=[f"actdiag/_native/{name}.h" for name in SOURCES[1:]],
            extra_compile_args=GNU_FLAGS if os.name == "posix" else [],
            optional=True,
        )
    ]
)
