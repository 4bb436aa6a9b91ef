"""Counting what a GPU's program asks of its host, in texts as the GPU compiler writes them."""

import pytest

from jaxtriplet.tools.fits import hlo
from jaxtriplet.tools.fits.launches import Work, count

# Two nested loops and a branch, each launch by another instruction: entry 4; loop of 3 x (1 + branch).
PROGRAM = """HloModule jit_f, is_scheduled=true

%fused_add (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  %q = f32[8]{0} multiply(%p, %p)
  ROOT %sum = f32[8]{0} add(%p, %q)
}

%more (p: (s32[], s32[])) -> pred[] {
  %p = (s32[], s32[]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  ROOT %compare_fusion = pred[] fusion(%i), kind=kLoop, calls=%fused_compare
}

%body_of_data (p: (s32[], s32[])) -> (s32[], s32[]) {
  %p = (s32[], s32[]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %one = s32[] fusion(%i), kind=kLoop, calls=%fused_add
  %two = s32[] copy(%one)
  ROOT %t = (s32[], s32[]) tuple(%one, %two)
}

%short (p: f32[8]) -> f32[8] {
  ROOT %p = f32[8]{0} parameter(0)
}

%long (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  %start = (s32[], s32[]) custom-call(%p), custom_call_target="__cublas$lt$matmul"
  %while.1 = (s32[], s32[]) while(%start), condition=%more, body=%body_of_data
  ROOT %scattered = f32[8]{0} fusion(%while.1), kind=kInput, calls=%fused_add
}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[], f32[8]{0}) parameter(0)
  %x = f32[8]{0} get-tuple-element(%p), index=1
  %i = s32[] fusion(%x), kind=kLoop, calls=%fused_add
  %chosen = f32[8]{0} conditional(%i, %x, %x), BRANCHES
  ROOT %t = (s32[], f32[8]{0}) tuple(%i, %chosen)
}

%condition (p: (s32[], f32[8])) -> pred[] {
  %p = (s32[], f32[8]{0}) parameter(0)
  ROOT %lt = pred[] fusion(%p), kind=kLoop, calls=%fused_compare
}

%apart (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  ROOT %one = f32[8]{0} fusion(%p), kind=kLoop, calls=%fused_add
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %zero = s32[] constant(0)
  %x = f32[8]{0} parameter(0)
  %first = s32[] copy(%zero)
  %async-start = ((f32[8]), f32[8], s32[]) async-start(%x), calls=%apart
  %async-done = f32[8]{0} async-done(%async-start), calls=%apart
  %t = (s32[], f32[8]{0}) tuple(%first, %async-done)
  %while.2 = (s32[], f32[8]{0}) while(%t), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"3"}}
  %last = f32[8]{0} get-tuple-element(%while.2), index=1
  %all-reduce-start = f32[8]{0} all-reduce-start(%last), replica_groups={{0,1}}, to_apply=%add
  %all-reduce-done = f32[8]{0} all-reduce-done(%all-reduce-start)
  %flat = f32[8,1]{1,0} bitcast(%all-reduce-done)
  ROOT %called = f32[8]{0} call(%flat), to_apply=%apart
}
"""
NAMED = "true_computation=%short, false_computation=%long"
IN_A_ROW = "branch_computations={%short, %long}"


def counted(text: str, trips: int = 7) -> Work:
    return count(hlo.read(text), trips)


@pytest.mark.parametrize("branches", [NAMED, IN_A_ROW])
@pytest.mark.parametrize("trips", [0, 1, 7])
def test_loops_multiply_and_what_depends_on_data_is_decided(branches: str, trips: int) -> None:
    # The longer branch: a product, a scatter, two launches a trip; the loop's condition, once more than it holds.
    branch = 2 + 2 * trips + (trips + 1)
    assert counted(PROGRAM.replace("BRANCHES", branches), trips) == Work(4 + 3 * (1 + branch), 3 * (1 + trips + 1))


def test_of_branches_that_launch_alike_the_one_that_decides_more_counts() -> None:
    launch = "  %x = f32[8]{0} fusion(%p), kind=kLoop, calls=%fused_add\n"
    straight = "%straight (p: f32[8]) -> f32[8] {\n" + 3 * launch + "}\n\nENTRY"
    text = PROGRAM.replace("BRANCHES", "branch_computations={%straight, %long, %straight}").replace("ENTRY", straight)
    assert counted(text, trips=0) == Work(4 + 3 * (1 + 3), 3 * 2)


@pytest.mark.parametrize(
    ("arrays", "rows", "kernels"),
    [
        ("s32[{}]{{0}}, s32[{}]{{0}}", 2048, 1),
        ("s32[{}]{{0}}, s32[{}]{{0}}", 4096, 1),
        ("s32[{}]{{0}}, s32[{}]{{0}}", 4097, 3),  # one stage more: a comparison far apart, and those within
        ("s32[{}]{{0}}, s32[{}]{{0}}", 65536, 15),
        ("f32[{}]{{0}}, s64[{}]{{0}}, s64[{}]{{0}}", 4096, 3),  # 20 bytes: 2,048 of them fill the shared memory
        ("f32[{},128]{{1,0}}, s32[{},128]{{1,0}}, s32[{},128]{{1,0}}", 8192, 3),  # along the first of two dimensions
    ],
)
def test_a_sort_of_many_rows_is_several_kernels(arrays: str, rows: int, kernels: int) -> None:
    kind = f"({arrays.replace('{}', str(rows)).format()})"
    lines = (
        f"%p = s32[{rows}]{{0}} parameter(0)\n  ROOT %sort = {kind} sort(%p, %p), dimensions={{0}}, to_apply=%less\n}}"
    )
    assert counted(f"ENTRY %main () -> {kind} {{\n  {lines}") == Work(kernels)
    fused = f"%fused (p: s32[{rows}]) -> {kind} {{\n  {lines}\n\nENTRY %main () -> {kind} {{\n"
    assert counted(f"{fused}  ROOT %fusion = {kind} fusion(%p), kind=kCustom, calls=%fused\n}}") == Work(kernels)


def test_what_a_fusion_holds_is_no_launch_of_its_own() -> None:
    work = count(hlo.read(PROGRAM.replace("BRANCHES", "branch_computations={%short}"))._replace(entry="fused_add"), 7)
    assert work == Work(2)  # were it the program
    assert counted(PROGRAM.replace("BRANCHES", "branch_computations={%short}")) == Work(4 + 3, 3)
