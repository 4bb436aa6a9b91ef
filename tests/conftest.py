"""Eight simulated devices and JAX's strict modes, set before anything imports jax."""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .flags import COMPILED_FAST

# Accelerators, if there are any, round products differently: the figures of these tests are the CPU's.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=8", COMPILED_FAST]
)

import jax
import pytest

from . import platforms as platforms

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def cache_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder for the cache of what recordings hold that the tests of a module share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


class Called(NamedTuple):
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """Runs a command in this process: `call("train", "--steps", 3)`."""
    from jaxtriplet.cli import app  # here, since the losses are tested where click is not installed

    def run(*words: object) -> Called:
        monkeypatch.setattr(sys, "argv", ["jaxtriplet", *map(str, words)])
        return Called(app.run(), *capsys.readouterr())

    return run


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The toys, among the losses that are known by name for as long as the test runs."""
    from jaxtriplet.losses import registry

    from .toys import TOYS

    for name, one in TOYS.items():
        monkeypatch.setitem(registry.LOSSES, name, one)
    return TOYS


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of data that has joined: a class, a line in the table, a recipe."""
    from jaxtriplet.jobs import recipes, sources

    from .points import LINE, NUMBERS

    monkeypatch.setitem(sources.SOURCES, *LINE)
    monkeypatch.setitem(recipes.RECIPES, "points", NUMBERS)  # type: ignore[arg-type]


# Tests of a whole job that say little more than another one: they take long, and run with `--exhaustive`.
SELDOM = {
    "test_a_resumed_run_is_the_uninterrupted_one",
    "test_eight_devices_train_as_one_dropout_and_augmentation_included",
    "test_every_loss_trains_by_name[aam-softmax+am-softmax+normalized-softmax+proxy-anchor+proxy-nca+soft-triple+0.1*sphereface2]",
    "test_what_processes_do_not_see_alike_is_said_by_each[recordings]",
    "test_blocks_of_classes_give_what_whole_rows_give[aam_softmax, nearest few-7]",
    "test_the_largest_few_and_the_rest_merge[1-1]",
    "test_in_float32_a_platforms_numbers_change_no_more_than_rounding_does[semi_hard-picks, in tiny tiles]",
    "test_a_rule_with_a_tree_of_numbers_looks_at_one_anchor_at_a_time[False-one tile]",
    "test_a_rule_with_a_tree_of_numbers_looks_at_one_anchor_at_a_time[False-tiny tiles]",
    "test_blocks_that_hold_one_class_alone[info_nce]",
    "test_blocks_that_hold_one_class_alone[nca]",
    "test_a_loss_with_memory_over_devices_is_that_of_one[lifted_structure-shard_map]",
    "test_small_logits_keep_their_divergence[0.1-symmetric_kl]",
    "test_how_many_positives_there_are_is_counted_or_known[False]",
    "test_every_recipe_makes_an_update[deep-speaker]",
    "test_every_recipe_makes_an_update[facenet]",
    "test_tiles_that_do_not_divide_the_batch_give_the_same[semi_hard-kl]",
    "test_a_faster_recording_is_what_is_heard",
    "test_over_devices_they_are_those_of_one[pmap]",
    "test_over_devices_they_are_those_of_one[vmap]",
    "test_devices_that_share_the_classes_draw_of_their_own[one of two]",
    "test_a_config_with_a_memory_begins_with_an_empty_one_as_wide_as_embeddings",
    "test_padding_changes_neither_value_nor_gradient[lstm-dropout]",
    "test_padding_changes_neither_value_nor_gradient[tdnn-dropout]",
    "test_padding_changes_neither_value_nor_gradient[ecapa-tdnn-dropout]",
    "test_sorting_gives_what_the_loop_over_positives_gives[semi_hard]",
    "test_every_loss_over_processes_is_that_of_one_device[2-4]",
    "test_the_shape_that_holds_the_speakers_changes_nothing[prototypical]",
    "test_the_shape_that_holds_the_speakers_changes_nothing[ge2e_contrast]",
    "test_blocks_of_candidates_give_what_whole_rows_give[nca]",
    "test_blocks_of_candidates_give_what_whole_rows_give[contrastive]",
    "test_the_largest_few_and_the_rest_merge[1-0]",
    "test_the_largest_few_and_the_rest_merge[3-0]",
    "test_the_largest_few_and_the_rest_merge[9-0]",
    "test_the_config_of_a_run_makes_the_same_run",
    "test_a_margin_that_will_not_be_whole_is_told",
    "test_a_run_of_spread_classes_goes_on_with_any_number_of_devices",
    "test_class_weights_are_compared_whole_and_apart[None]",
    "test_class_weights_are_compared_whole_and_apart[('hosts', 'cores')]",
    "test_a_launcher_tells_the_processes_their_places[mpirun]",
    "test_what_does_not_divide_is_said_by_every_process_before_the_first_step[speakers]",
    "test_what_does_not_divide_is_said_by_every_process_before_the_first_step[too few speakers]",
    "test_every_loss_and_reduction_in_the_global_view_is_that_of_one_device[float64-1e-12]",
    "test_a_spread_state_and_micro_batches_train_as_one_device",
    "test_the_update_of_pmap_runs_in_shard_map_too",
    "test_micro_batches_on_one_device_give_the_same_gradients_with_dropout",
    "test_micro_batches_need_the_encoders_memory_of_one",
    "test_every_loss_trains_by_name[semi-hard+0.1*ge2e+batch-hard+batch-all]",
    "test_every_loss_trains_by_name[kl-hinge]",
    "test_every_loss_trains_by_name[circle+contrastive+multi-similarity+nca]",
    "test_every_loss_trains_by_name[lifted-structure+nt-xent+prototypical+tuplet-margin]",
    "test_a_killed_process_ends_the_job_and_a_resumed_one_is_as_if_undisturbed",
    "test_any_model_trains_alike_on_eight_devices_and_in_parts[function]",
    "test_the_kinds_of_parameters_have_rates_of_their_own[class weights]",
    "test_the_kinds_of_parameters_have_rates_of_their_own[scalars]",
    "test_the_sum_over_strangers_is_that_of_their_terms_and_large_classes_are_sorted[a formula]",
    "test_the_other_encoders_are_exported_too[tdnn]",
    "test_triplets_that_no_number_of_devices_shares_train_on_one",
    "test_data_of_another_kind_train_with_a_class_a_line_and_a_recipe",
    "test_weights_that_are_not_finite_are_no_checkpoint",
    "test_what_is_being_written_is_written_to_its_end",
    "test_a_broken_older_checkpoint_is_told_too",
    "test_a_run_goes_on_without_its_figures",
    "test_a_signal_in_the_midst_of_a_save_ends_a_run_in_a_line",
    "test_ctrl_c_twice_ends_a_run_in_a_line",
    "test_a_live_run_is_not_resumed_beside_it",
    "test_a_run_leaves_what_is_committed[01_losses]",
    "test_the_decay_of_class_weights_is_their_own",
    "test_thousands_of_rows_are_exact[batch_hard-12]",
    "test_the_other_encoders_are_exported_too[ecapa-tdnn]",
    "test_a_users_file_is_right_and_each_mistake_is_found[of_mypy]",
    "test_the_users_file_runs",
    "test_a_checkpoint_of_spread_classes_is_restored_onto_any_number_of_devices",
    "test_a_sum_compares_with_the_classes_that_its_step_draws",
    "test_an_update_trains_on_explicit_axes_as_on_one_device[as it comes-set]",
    "test_the_example_of_a_loss_of_ones_own_runs",
    "test_a_run_with_class_weights_goes_on_as_if_undisturbed_while_it_fine_tunes",
    "test_the_sum_over_strangers_is_that_of_their_terms_and_large_classes_are_sorted[a hinge by hand]",
    "test_strangers_to_nobody_have_no_terms",
    "test_every_loss_trains_by_name[supervised-contrastive+0.1*angular-prototypical]",
    "test_what_does_not_divide_is_said_by_every_process_before_the_first_step[rows]",
    "test_over_devices_it_is_that_of_one[shard_map]",
    "test_the_global_view_takes_a_memory_and_ids[False]",
    "test_a_spread_loss_works_on_any_mesh_under_any_other[mixed-mixed]",
    "test_a_state_of_spread_classes_that_is_no_longer_finite_is_kept_whole",
    "test_blocks_of_candidates_give_what_whole_rows_give[ge2e_contrast]",
    "test_the_shape_that_holds_the_speakers_changes_nothing[angular_prototypical]",
    "test_it_composes_with_memory_statistics_and_no_reduction",
    "test_pushes_are_scanned_and_mapped",
    "test_a_collapsed_encoder_is_trained_out_of_it[semi_hard]",
    "test_the_recipe_of_margin_softmax_trains_and_its_class_weights_stay_with_the_checkpoints",
    "test_examples[jaxtriplet.parallel]",
    "test_examples[jaxtriplet.parallel.checking]",
    "test_the_platform_that_a_program_is_for_decides[batch_all]",
    "test_every_loss_trains_by_name[deep-speaker]",
    "test_blocks_of_classes_give_what_whole_rows_give[aam_softmax, centers-7]",
    "test_blocks_that_hold_one_class_alone[multi_similarity]",
    "test_the_largest_few_and_the_rest_merge[3-1]",
    "test_large_logits_keep_their_divergence[30.0]",
    "test_eight_devices_and_micro_batches_train_as_one_with_a_memory[pmap-one]",
    "test_labels_of_any_integer_type_are_told_apart[uint32]",
    "test_large_logits_keep_their_divergence[100000000.0]",
    "test_those_who_fail_are_shown_beside_those_who_do_not",
    "test_terms_come_back_whole_and_weights_by_name_or_as_lists",
    "test_anchors_may_be_strangers_to_the_candidates[a formula-squared_euclidean-ragged]",
    "test_losses_of_logits_given_pairs_and_ones_own_do_not_break",
    "test_a_sum_of_losses_stays_one_for_a_training_step",
    "test_class_weights_are_compared_whole_and_apart[cores]",
    "test_thousands_of_rows_are_exact[semi_hard-700]",
    "test_distances_of_alike_rows_are_exact_to_rounding[0.0-squared_euclidean]",
    "test_the_share_that_is_shown_is_that_of_the_first_loss_of_a_sum",
    "test_it_starts_without_what_only_work_needs[--mar]",
    "test_it_starts_without_what_only_work_needs[short help]",
    "test_it_starts_without_what_only_work_needs[help of a command]",
    "test_it_starts_without_what_only_work_needs[tr]",
    "test_it_starts_without_what_only_work_needs[option mistyped]",
    "test_a_shell_completes_commands_options_and_words[-offered1]",
    "test_masks_are_those_of_the_tensorflow_program[anchor_positive]",
    "test_masks_are_those_of_the_tensorflow_program[anchor_negative]",
    "test_blocks_of_classes_give_what_whole_rows_give[sphereface2-7]",
    "test_long_rows_keep_their_centroids",
    "test_small_logits_keep_their_divergence[0.1-kl]",
    "test_a_plain_loss_needs_no_mesh_that_is_set[two axes]",
    "test_a_margin_for_each_class_is_drawn_along[1]",
    "test_real_workers_are_measured_in_turn",
    "test_training_fits_what_its_config_says",
    "test_of_few_speakers_none_can_be_left_out[2]",
    "test_of_few_speakers_none_can_be_left_out[3]",
    "test_a_spread_loss_works_on_any_mesh_under_any_other[data-as it comes]",
    "test_large_logits_keep_their_divergence[3.0]",
    "test_a_ring_of_devices_equals_one[contrastive-ring-shard_map]",
    "test_class_weights_are_cut_however_they_are_given",
    "test_sorting_gives_what_the_loop_over_positives_gives[semi_hard_all]",
    "test_speakers_are_left_out_to_find_a_threshold",
    "test_eight_devices_and_micro_batches_train_as_one_with_a_memory[mesh in parts, spread-one]",
    "test_rows_that_are_alike_keep_value_and_gradient[batch_hard-axis]",
    "test_rows_that_are_alike_keep_value_and_gradient[batch_hard-tiles]",
    "test_batch_hard_measures_near_duplicates_by_their_differences[0.01]",
    "test_batch_hard_measures_near_duplicates_by_their_differences[0.001]",
    "test_small_logits_keep_their_divergence[1.0-kl]",
    "test_batch_all_is_the_tensorflow_program[False]",
    "test_given_rows_and_logits_that_are_alike_keep_value_and_gradient[triplet]",
    "test_ecapa_hears_the_published_context",
    "test_the_straight_through_gradient_is_that_of_a_margin_on_the_cosine[0.2]",
    "test_half_precision_is_remembered_as_it_is[bfloat16]",
    "test_labels_of_64_bits_need_a_memory_of_64",
    "test_class_weights_are_trained_along_and_on_eight_devices_alike[module]",
    "test_class_weights_have_the_width_of_a_recurrent_encoder_too",
    "test_a_shell_completes_commands_options_and_words[cl-offered0]",
    "test_it_starts_without_what_only_work_needs[command mistyped]",
    "test_what_happens_to_a_crop_is_its_own_keys_doing",
    "test_class_weights_never_leave_their_device[automatic]",
    "test_a_loss_that_is_declared_trains_by_name_and_its_class_weights_with_it",
    "test_the_other_encoders_are_exported_too[blstm]",
    "test_an_encoder_for_which_no_back_end_can_be_fitted_is_not_lost",
    "test_many_centers_take_no_more_memory_than_as_many_classes",
}

# Groups of tests, by the first word of their names, that take minutes: all others would be done, and wait for them.
LONG = {"processes", "notebooks", "optimised"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Without the option, every loss and every property is tried once; see `modes.py`."""
    parser.addoption("--exhaustive", action="store_true", help="run the whole tables: each loss in each property")
    parser.addoption("--examples", type=int, default=0, help="how many batches to generate; 0 for a few of each loss")


def pytest_configure(config: pytest.Config) -> None:
    """Knows the marks."""
    config.addinivalue_line("markers", "exhaustive: runs with --exhaustive alone")
    # Where pytest-xdist is not installed, nobody else does.
    config.addinivalue_line("markers", "xdist_group(name): tests of one worker (--dist loadgroup)")
    if hasattr(config.option, "loadscopereorder"):  # pytest-xdist would begin with the groups that have most tests
        config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is exhaustive, and gives the tests of one case, which share what it compiled, to one worker."""
    for item in items:
        if item.name in SELDOM:
            item.add_marker(pytest.mark.exhaustive)
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if "case" in parameters:
            item.add_marker(pytest.mark.xdist_group(parameters["case"].name))
    if not config.getoption("--exhaustive"):
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
    items.sort(
        key=lambda item: (
            not any(
                str(name).split()[0] in LONG
                for mark in item.iter_markers("xdist_group")
                for name in (*mark.args, *mark.kwargs.values())
            )
        )
    )
