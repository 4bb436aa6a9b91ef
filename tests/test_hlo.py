"""Reading what the compilers of accelerators write."""

import pytest

from jaxtriplet.tools.fits import hlo
from jaxtriplet.tools.fits.hlo import Collective

# As the TPU compiler writes it: layouts with spaces of memory, synchronous collectives, trips in the condition.
TPU = """HloModule jit_f, is_scheduled=true, entry_computation_layout={(s32[256]{0})->f32[]}

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[]{:T(128)} parameter(0)
  %y = f32[]{:T(128)} parameter(1)
  ROOT %sum = f32[]{:T(128)} add(%x, %y)
}

%inner_condition (p: (s32[], s32[])) -> pred[] {
  %p = (s32[]{:T(128)}, s32[]{:T(128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %n = s32[]{:T(128)} get-tuple-element(%p), index=1
  ROOT %lt.1 = pred[]{:T(512)} compare(%i, %n), direction=LT
}

%inner_body (p: (s32[], s32[])) -> (s32[], s32[]) {
  %p = (s32[]{:T(128)}, s32[]{:T(128)}) parameter(0)
  ROOT %moved = (s32[]{:T(128)}, s32[]{:T(128)}) collective-permute(%p), source_target_pairs={{0,1},{1,0}}
}

%condition (p: (s32[], f32[4096,256])) -> pred[] {
  %eight = s32[]{:T(128)} constant(8), metadata={op_name="jit(f)/while"}
  %p = (s32[]{:T(128)}, f32[4096,256]{1,0:T(8,128)S(1)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  ROOT %lt.2 = pred[]{:T(512)} compare(%i, %eight), direction=LT, metadata={op_name="jit(f)/while/cond/lt"}
}

%body (p: (s32[], f32[4096,256])) -> (s32[], f32[4096,256]) {
  %p = (s32[]{:T(128)}, f32[4096,256]{1,0:T(8,128)S(1)}) parameter(0)
  %t = (s32[]{:T(128)}, s32[]{:T(128)}, /*index=2*/s32[]{:T(128)}) tuple(%p)
  %while.1 = (s32[]{:T(128)}, s32[]{:T(128)}) while(%t), condition=%inner_condition, body=%inner_body
  ROOT %sums = bf16[8]{0:T(128)} all-reduce(%t), replica_groups=[1,4]<=[4], to_apply=%add
}

ENTRY %main (labels: s32[1024], rows: f32[1024,256]) -> f32[] {
  %labels = s32[1024]{0:T(1024)} parameter(0)
  %rows = f32[1024,256]{1,0:T(8,128)} parameter(1)
  %gather.1 = s32[4096]{0:T(1024)S(1)} all-gather(%labels), channel_id=1, replica_groups={{0,1,2,3}}, dimensions={0}
  %gather.2 = f32[4096,256]{1,0:T(8,128)S(1)} all-gather(%rows), replica_groups={{0,1,2,3}}, dimensions={0}
  %while.2 = (s32[]{:T(128)}, f32[4096,256]{1,0:T(8,128)S(1)}) while(%gather.2), condition=%condition, body=%body
  %scatter = f32[1024,256]{1,0:T(8,128)S(1)} reduce-scatter(%while.2), replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %all-reduce.1 = (f32[]{:T(128)}, f32[]{:T(128)}) all-reduce(%x, %y), replica_groups={{0,1,2,3}}, to_apply=%add
}
"""

# A reduce-scatter as one operation of the chip, and the same as an all-reduce that takes scalars along.
FUSED = """HloModule jit_f

%all-reduce-scatter (input: f32[64,8]) -> f32[16,8] {
  %input = f32[64,8]{1,0:T(8,128)} parameter(0)
  %all-reduce.1 = f32[64,8]{1,0:T(8,128)} all-reduce(%input), replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %dynamic-slice.1 = f32[16,8]{1,0:T(8,128)S(1)} dynamic-slice(%all-reduce.1, %i, %zero)
}

ENTRY %main (rows: f32[64,8]) -> f32[16,8] {
  ROOT %fusion = f32[16,8]{1,0:T(8,128)S(1)} fusion(%rows), kind=kCustom, calls=%all-reduce-scatter
}
"""

# As the GPU compiler writes it: collectives that start and are done, known trips; and one behind a wrapper.
GPU = """HloModule jit_f

%wrapped (p: pred[16]) -> pred[32] {
  %p = pred[16]{0} parameter(0)
  ROOT %gather = pred[32]{0} all-gather(%p), replica_groups={{0,1}}, dimensions={0}
}

%condition (p: (s32[])) -> pred[] {
  ROOT %lt = pred[] fusion(%p), kind=kLoop, calls=%compare
}

%body (p: (s32[])) -> (s32[]) {
  ROOT %p = (s32[]) parameter(0)
}

ENTRY %main (rows: f32[8,4]) -> f32[8,4] {
  %all-gather-start = ((f32[8,4]{1,0}, s32[8]{0}), (f32[16,4]{1,0}, s32[16]{0})) all-gather-start(%rows, %labels), \
replica_groups={{0,1}}
  %all-gather-done = (f32[16,4]{1,0}, s32[16]{0}) all-gather-done(%all-gather-start)
  %async-start = ((pred[16]{0}), pred[32]{0}, s32[]) async-start(%mask), calls=%wrapped
  %async-done = pred[32]{0} async-done(%async-start), calls=%wrapped
  %while = (s32[]) while(%t), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %reduce-scatter-start = ((f32[16,4]{1,0}), f32[8,4]{1,0}) reduce-scatter-start(%g), replica_groups={{0,1}}
  ROOT %reduce-scatter-done = f32[8,4]{1,0} reduce-scatter-done(%reduce-scatter-start)
}
"""


def test_collectives_of_a_tpu_program() -> None:
    rows = 4096 * 256 * 4
    assert hlo.collectives(hlo.read(TPU), 4) == [
        Collective("all-gather", "f32[4096,256]", rows, rows * 3 // 4, 1),
        Collective("reduce-scatter", "f32[4096,256]", rows, rows * 3 // 4, 1),
        Collective("all-gather", "s32[4096]", 4096 * 4, 4096 * 3, 1),
        Collective("all-reduce", "bf16[8]", 8 * 16, 8 * 24, 8),  # in the loop: eight times 16 bytes
        Collective("collective-permute", "s32[] + s32[]", 8 * 8, 8 * 8, 8),  # trips unknown in the inner loop: one
        Collective("all-reduce", "f32[] + f32[]", 8, 12, 1),
    ]


def test_collectives_of_a_gpu_program_are_counted_once() -> None:
    assert hlo.collectives(hlo.read(GPU), 2) == [
        Collective("all-gather", "f32[16,4] + s32[16]", 320, 160, 1),
        Collective("reduce-scatter", "f32[16,4]", 256, 128, 1),
        Collective("all-gather", "pred[32]", 32, 16, 1),
    ]


def test_a_fused_reduce_scatter_is_one() -> None:
    (found,) = hlo.collectives(hlo.read(FUSED), 4)
    assert found == Collective("reduce-scatter", "f32[64,8]", 2048, 1536, 1)
    (apart,) = hlo.collectives(hlo.read(FUSED.replace("all-reduce-scatter", "computation")), 4)
    assert apart == Collective("all-reduce", "f32[64,8]", 2048, 3072, 1)


def test_trips_are_told_or_stand_in_the_condition() -> None:
    module = hlo.read(TPU)
    assert hlo.outer_loops(module) == [8]
    (inner,) = [line for line in module.computations["body"] if line.opcode == "while"]
    assert hlo.trip_count(module, inner) is None
    assert hlo.outer_loops(hlo.read(GPU)) == [5]


def test_what_is_no_hlo_is_refused() -> None:
    with pytest.raises(ValueError, match="not an instruction"):
        hlo.read("ENTRY %main () -> f32[] {\n  %x = nonsense\n}")
