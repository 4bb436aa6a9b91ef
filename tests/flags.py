"""How XLA compiles for the tests."""

# Compilation is most of what the tests do, and the arithmetic of the programs does not depend on how well they are
# optimised: less than a third of its time with XLA's older code generator, at its lowest level and in one piece.
COMPILED_FAST = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
