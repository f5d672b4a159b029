"""Build the optional C kernel; everything else about the package is in setup.cfg."""

import os

from setuptools import Extension, setup

# -fno-math-errno and -fno-trapping-math change no result; they let loops with comparisons become vectors.
GNU_FLAGS = ["-O3", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math"]

setup(
    ext_modules=[
        Extension(
            "actdiag._kernels",
            [f"actdiag/_native/{name}.c" for name in ("kernels", "blocks", "measure", "loops")],
            depends=[f"actdiag/_native/{name}.h" for name in ("blocks", "measure", "loops")],
            extra_compile_args=GNU_FLAGS if os.name == "posix" else [],
            optional=True,
        )
    ]
)
