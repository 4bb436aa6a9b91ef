"""How XLA compiles for the tests."""

from importlib.metadata import version

# Compilation is most of what the tests do, and the arithmetic of the programs does not depend on how well they are
# optimised: less than a third of its time at the lowest level, in one piece, and with XLA's older code generator, while
# there is one: a flag that XLA does not know ends the process.
_OLDER = tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11)
COMPILED_FAST = " ".join(
    [
        "--xla_backend_optimization_level=0",
        "--xla_cpu_parallel_codegen_split_count=1",
        *(["--xla_cpu_use_fusion_emitters=false"] if _OLDER else []),
    ]
)
