"""The configuration: its files and names, what is refused, and the devices that share a batch."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.shell_completion import ShellComplete

from jaxtriplet import _files, models
from jaxtriplet.cli.app import app
from jaxtriplet.cli.train import train
from jaxtriplet.data import japanese_vowels
from jaxtriplet.jobs import fields, runs, sources, training
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fit import objective_of
from jaxtriplet.jobs.meeting import devices_for
from jaxtriplet.jobs.recipes import RECIPES
from jaxtriplet.jobs.sources.japanese_vowels import JapaneseVowels
from jaxtriplet.jobs.sources.recordings import build_speech_encoder
from jaxtriplet.losses import registry
from tests.saved import save

# One worker takes them all: they share what takes long to make.
pytestmark = pytest.mark.xdist_group("cli")

# What version 0.1 wrote.
OLD_VOWELS = json.loads(
    '{"loss": "semi-hard+0.1*ge2e", "margin": 0.6, "learning_rate": 0.01, "steps": 12, "speakers": 9, "utterances": 4, '
    '"seed": 3, "hidden": 8, "embedding_dim": 8, "outputs": 64, "dropout": 0.2, "weight_decay": 0.01, '
    '"clip_norm": 3.0, "average_decay": 0.98, "noise": 0.2, "offset": 0.3, "crop": 0.2, "warp": 0.2, '
    '"micro_batch": null, "evaluate_every": 6}'
)
OLD_SPEECH = json.loads(
    '{"recipe": "best", "encoder": "lstm", "preset": "small", "embedding_dim": 8, "outputs": 64, "sample_rate": 16000, '
    '"bands": 40, "normalization": "fixed", "loss": "ge2e", "margin": 0.4, "hinge": "relu", "optimizer": "sgd", '
    '"learning_rate": 0.002, "warmup": 20, "halve_every": 200, "projection_scale": 0.5, "loss_scale": 1.0, '
    '"weight_decay": 0.05, "clip_norm": 3.0, "average_decay": 0.99, "steps": 4, "speakers": 3, "utterances": 2, '
    '"seconds": "0.5", "speeds": "1", "room_share": 0.0, "channel_share": 0.0, "equalizer": 4.0, "noise_share": 0.0, '
    '"lowest_snr": 5.0, "gain_share": 0.0, "time_masks": 0, "band_masks": 0, "micro_batch": null, '
    '"evaluate_every": 100, "evaluate_on": 40, "seed": 0}'
)


AAM: dict[str, Any] = {"recipe": "best", "loss": "aam-softmax"}
NORMALIZED: dict[str, Any] = {"recipe": "best", "loss": "normalized-softmax"}


def written(folder: Path, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_file_gives_the_config_that_wrote_it(recipe: str, tmp_path: Path) -> None:
    config = Config.of_recipe(recipe, steps=7, seed=3)
    assert Config.read(written(tmp_path, config.nested())) == config
    assert Config.of_recipe(**config.flat()) == config


def test_every_field_has_words_and_a_name_of_its_own() -> None:
    found = fields.fields_of(Config)
    sections = [kind for name, kind in Config.__annotations__.items() if name != "recipe"]
    assert len(found) == 1 + sum(len(section.__dataclass_fields__) for section in sections)
    assert all(field.meta.description for field in found.values())


@pytest.mark.parametrize("old", [OLD_VOWELS, OLD_SPEECH], ids=["vowels", "speech"])
def test_what_version_0_1_wrote_is_read(old: dict[str, Any], tmp_path: Path) -> None:
    flat = Config.read(written(tmp_path, old)).flat()
    # GE2E has no margin, whatever the old file says.
    assert {name: flat[name] for name in old} == old | ({"margin": None} if old["loss"] == "ge2e" else {})
    assert flat["source"] == ("recordings" if "recipe" in old else "japanese-vowels")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("steps: 3", "Expecting value"),
        ([1], "no object"),
        ({"steps": 3}, "neither a format nor a loss"),
        ({"format": 4}, "its format is 4"),
        ({"format": 2, "training": {"stepz": 3}}, "unknown field `training.stepz`; did you mean training.steps?"),
        ({"format": 2, "train": {"steps": 3}}, "unknown field `train.steps`; did you mean training.steps?"),
        ({"format": 2, "training": 3}, "unknown field `training`"),
        ({"format": 2, "training": {"steps": "3"}}, "`steps` must be int, got str"),
        ({"format": 2, "training": {"steps": 0}}, "`steps` must be int >= 1"),
        ({"format": 2, "encoder": {"name": "ecapa"}}, "`encoder` must be one of"),
        ({"format": 2, "loss": {"name": 3}}, "`loss` must be text"),
        ({"format": 2, "recipe": ["best"]}, "`recipe` must be str, got array"),
        ({"format": 2, "loss": {"name": "semihard"}}, "unknown loss 'semihard'; did you mean semi-hard?"),
        ({"format": 2, "loss": {"name": "batch-all", "hinge": "softplus"}}, "`hinge`"),
        (OLD_VOWELS | {"warm_up": 3}, "unknown field `warm_up`; did you mean warmup?"),
    ],
    ids=str,
)
def test_other_files_are_refused_in_one_line(content: Any, complaint: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    complaint = complaint.replace("`", "'")  # what a file holds was no argument
    with pytest.raises(ValueError, match=re.escape(complaint)) as caught:
        Config.read(path)
    assert str(caught.value).startswith(f"{path} ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ({"recipe": "bets"}, "did you mean best?"),
        ({"recipe": "best", "stepz": 3}, "did you mean steps?"),
        ({"recipe": "best", "hidden": 3}, "`hidden`: of no use with `data`"),
        ({"recipe": "japanese-vowels", "bands": 3}, "`bands`: of no use without `data`"),
        ({"recipe": "japanese-vowels", "loss": "deep-speaker+batch-all"}, "they cannot be summed"),
        ({"recipe": "japanese-vowels", "loss": "kl-hinge+ge2e"}, "they cannot be summed"),
        ({"recipe": "japanese-vowels", "loss": "triplet"}, "given rows"),
        ({"recipe": "best", "loss": "ge2e", "margin": 0.1}, "ge2e has no margin"),
        ({"recipe": "best", "loss": "semi-hard", "temperature": 0.1}, "semi-hard has no temperature"),
        ({"recipe": "best", "loss": "nca", "temperature": 0.1}, "nca has no temperature"),
        ({"recipe": "best", "loss": "nt-xent+0.1*ge2e", "scale": 3.0}, "has no scale to set: it is trained along"),
        ({"recipe": "best", "loss": "nca", "scale": 0.0}, "`scale` must be"),
        ({"recipe": "best", "loss": "nt-xent", "temperature": -1.0}, "`temperature` must be"),
        ({"recipe": "best", "loss": "kl-hinge", "hinge": "softplus"}, "`hinge`"),
        ({"recipe": "best", "loss": "deep-speaker", "memory": 64}, "`memory`: deep-speaker takes none"),
        ({"recipe": "best", "memory": -1}, "`memory` must be"),
        ({"recipe": "best", "loss": "ge2e:0.1"}, "ge2e has no margin, as 'ge2e:0.1' says"),
        ({"recipe": "best", "loss": "semi-hard:-1"}, "the margin '-1' in 'semi-hard:-1' is not a number of at least 0"),
        ({"recipe": "best", "loss": "semi-hard:0.2", "margin": 0.1}, "`margin`: semi-hard:0.2 has one for each loss"),
        ({"recipe": "best", "loss": "deep-speaker", "batches": "shuffled"}, '`batches="shuffled"`: deep-speaker takes'),
        ({"recipe": "best", "batches": "random"}, "`batches` must be one of balanced, shuffled"),
        ({"recipe": "best", "centers": 3}, "`centers`: supervised-contrastive has no class weights"),
        ({"recipe": "best", "class_sample": 3}, "`class_sample`: supervised-contrastive has no class weights"),
        ({"recipe": "best", "class_rate": 0.5}, "`class_rate`: supervised-contrastive has no class weights"),
        ({"recipe": "best", "class_decay": 0.0}, "`class_decay`: supervised-contrastive has no class weights"),
        (
            {"recipe": "best", "margin_schedule": "linear"},
            "`margin_schedule`: supervised-contrastive has no class weights",
        ),
        (NORMALIZED | {"margin_schedule": "linear"}, "normalized-softmax has no class weights with a margin"),
        (NORMALIZED | {"loss": "proxy-anchor", "centers": 3}, "proxy-anchor has no class weights of which a class may"),
        (AAM | {"margin_schedule": "exp"}, "`margin_schedule` must be one of none, linear, exponential"),
        (AAM | {"margin_schedule": "linear", "margin_end": 3, "margin_begin": 4}, "`margin_end` must be at least"),
        (AAM | {"margin_schedule": "linear"}, "`margin_schedule` needs `margin_end`"),
        (AAM | {"margin_schedule": "linear", "margin_begin": 4}, "`margin_schedule` needs `margin_end`"),
        ({"recipe": "best", "loss": "AAM-Softmax"}, "did you mean aam-softmax?"),
        ({"recipe": "best", "loss": "aam-softmax*0.5"}, "a weight and * stand before a loss, as in 0.5*semi-hard"),
        (
            {"recipe": "best", "loss": "aam-softmax + 0.5 semi-hard"},
            "'0.5 semi-hard' in 'aam-softmax + 0.5 semi-hard': a w",
        ),
        (AAM | {"margin": 11.5}, "margin of aam_softmax is in radians, at most pi; got 11.5"),
        (AAM | {"loss": "batch-all+aam-softmax:4"}, "margin of aam_softmax is in radians, at most pi; got 4.0"),
        (AAM | {"fine_tune": 9, "fine_tune_margin": 30.0}, "margin of aam_softmax is in radians, at most pi; got 30.0"),
        (AAM | {"margin_end": 3}, "`margin_end`: of no use without `margin_schedule`"),
        (AAM | {"fine_tune_margin": 0.5}, "`fine_tune_margin`: of no use without `fine_tune`"),
        (AAM | {"fine_tune": 9, "fine_tune_seconds": "0"}, "`fine_tune_seconds` must be numbers above 0"),
        (
            {"recipe": "best", "fine_tune": 9, "fine_tune_margin": 0.5},
            "`fine_tune_margin`: supervised-contrastive has no class",
        ),
        ({"recipe": "best", "fine_tune": 9, "steps": 9}, "`fine_tune` must be below `steps`, 9"),
        ({"recipe": "best", "backend_speeds": "1,1"}, "`backend_speeds` must be different numbers, first 1"),
        ({"recipe": "best", "backend_speeds": "0.9"}, "`backend_speeds` must be different numbers, first 1"),
        ({"recipe": "best", "fine_tune": 9, "speeds": "0.9"}, "`fine_tune` is at speed 1, which is not among `speeds`"),
        ({"recipe": "japanese-vowels", "fine_tune": 9, "fine_tune_seconds": "3"}, "of no use without `data`"),
    ],
    ids=str,
)
def test_numbers_that_do_not_fit_are_refused(numbers: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        Config.of_recipe(**numbers)


def test_a_loss_has_what_its_recipe_found_for_it_else_its_own_margin() -> None:
    def chosen(loss: str) -> tuple[float, float | None]:
        config = Config.of_recipe("japanese-vowels", loss=loss)
        return config.optimizer.learning_rate, config.loss.margin

    assert chosen("kl-hinge") == (6e-3, 2.0)
    assert chosen("ge2e") == (1e-2, None)
    assert chosen("ge2e+batch-all") == (1e-2, 0.6)
    assert chosen("semi-hard-all") == (1e-2, None)
    assert chosen("nt-xent") == (4e-3, None)


def test_what_the_recipe_found_for_its_own_loss_alone_is_not_that_of_others() -> None:
    def chosen(loss: str) -> tuple[int, int, float]:
        config = Config.of_recipe("japanese-vowels", loss=loss)
        return config.training.steps, config.encoder.hidden, config.encoder.dropout

    assert chosen("nt-xent") == (600, 32, 0.1)
    for loss in ("batch-all", "aam-softmax", "nt-xent+0.1*ge2e", "kl-hinge"):
        assert chosen(loss) == (300, 64, 0.2), loss
    given = Config.of_recipe("japanese-vowels", loss="batch-all", hidden=8, steps=7)
    assert (given.encoder.hidden, given.training.steps) == (8, 7)


def test_each_loss_of_a_sum_has_the_numbers_that_it_takes() -> None:
    loss = "circle+0.5*angular-prototypical+0.1*ge2e+supervised-contrastive+prototypical"
    config = Config.of_recipe("japanese-vowels", loss=loss, scale=20.0, temperature=0.3, margin=0.25)
    assert objective_of(config).options == {
        "circle": {"margin": 0.25, "scale": 20.0},
        "angular_prototypical": {},  # its scale is trained
        "ge2e": {"num_speakers": 9},
        "supervised_contrastive": {"temperature": 0.3},
        "prototypical": {},
    }
    assert objective_of(Config.of_recipe("japanese-vowels", loss="circle+nt-xent")).options == {
        "circle": {},
        "nt_xent": {"temperature": 0.2},  # the recipe's own loss keeps its number in a sum
    }


def margins(config: Config, step: int = 0) -> dict[str, float]:
    """The margin of each loss at a step, where it is not the loss's own."""
    given = {name: options["margin"] for name, options in objective_of(config).options.items() if "margin" in options}
    return {name: round(float(one(step)), 6) if callable(one) else one for name, one in given.items()}


@pytest.mark.parametrize(
    ("recipe", "numbers", "expected"),
    [
        # Each loss of a sum has its own margin, if one for all was not found for all.
        ("japanese-vowels", {"loss": "aam-softmax+0.5*semi-hard"}, {}),
        ("japanese-vowels", {"loss": "batch-all+0.5*semi-hard"}, {"batch_all": 0.6, "semi_hard": 0.6}),
        ("japanese-vowels", {"loss": "aam-softmax:0.3+semi-hard"}, {"aam_softmax": 0.3, "semi_hard": 0.6}),
        ("best", {"loss": "aam-softmax+semi-hard"}, {}),
        ("best", {"loss": "aam-softmax"}, {}),
        ("best", {"loss": "aam-softmax + semi-hard : 0.5"}, {"semi_hard": 0.5}),
        ("best", {"loss": "aam-softmax+semi-hard:0", "margin": 0.1}, {"aam_softmax": 0.1, "semi_hard": 0.0}),
        ("best", {"loss": "semi-hard+2*am-softmax", "margin": 0.1}, {"semi_hard": 0.1, "am_softmax": 0.1}),
    ],
)
def test_each_loss_of_a_sum_has_its_own_margin(recipe: str, numbers: Any, expected: Any, tmp_path: Path) -> None:
    config = Config.of_recipe(recipe, **numbers)
    assert margins(config) == expected
    assert Config.read(written(tmp_path, config.nested())) == config
    assert Config.of_recipe(recipe).replace(**numbers).loss.name == config.loss.name


def test_the_margin_of_class_weights_follows_the_update_and_no_other_does() -> None:
    numbers: dict[str, Any] = {"margin_schedule": "linear", "margin_begin": 10, "margin_end": 30, "steps": 60}
    config = Config.of_recipe("best", loss="semi-hard:0.6+aam-softmax", **numbers)
    grown = [margins(config, step) for step in (0, 10, 20, 30, 59)]
    assert [found["aam_softmax"] for found in grown] == [0.0, 0.0, 0.1, 0.2, 0.2]
    assert {found["semi_hard"] for found in grown} == {0.6}
    tuned = config.replace(fine_tune=20, fine_tune_margin=0.5)
    assert [margins(tuned, step)["aam_softmax"] for step in (0, 20, 39, 40, 59)] == [0.0, 0.1, 0.2, 0.5, 0.5]
    assert margins(tuned.replace(margin_schedule="none"), 39)["aam_softmax"] == 0.2
    assert margins(tuned.replace(fine_tune_margin=None), 59)["aam_softmax"] == 0.2


@pytest.mark.parametrize("replaced", [False, True])
def test_what_a_recipe_says_of_class_weights_is_of_use_to_losses_that_have_them(replaced: bool) -> None:
    def with_loss(loss: str) -> Config:
        return Config.of_recipe("aam").replace(loss=loss) if replaced else Config.of_recipe("aam", loss=loss)

    mined, other = with_loss("semi-hard"), with_loss("am-softmax")
    assert (mined.data.batches, mined.loss.margin_schedule, mined.optimizer.class_decay) == ("balanced", "none", None)
    assert with_loss("aam-softmax+semi-hard").data.batches == "balanced"
    assert (other.data.batches, other.loss.margin_schedule) == ("shuffled", "exponential")
    # What was found for one margin softmax is not that of another.
    assert (other.loss.margin, other.loss.scale, other.fine_tuning.fine_tune_margin) == (None, None, None)


def test_a_recipe_knows_how_to_fine_tune_if_it_is_asked_to() -> None:
    assert Config.of_recipe("aam").tuned_from is None
    for tuned in (Config.of_recipe("aam", fine_tune=100), Config.of_recipe("aam").replace(fine_tune=100)):
        assert (tuned.tuned_from, tuned.fine_tuning.fine_tune_margin) == (2900, 0.5)
        assert tuned.fine_tuning.crop_seconds == (6.0,)


def test_ge2e_is_not_told_how_many_speakers_shuffled_batches_have() -> None:
    assert objective_of(Config.of_recipe("japanese-vowels", loss="ge2e", batches="shuffled")).options == {"ge2e": {}}


def test_only_of_batches_drawn_by_speakers_the_rows_of_a_class_are_known() -> None:
    def options(**numbers: Any) -> Any:
        config = Config.of_recipe("japanese-vowels", loss="semi-hard-all+batch-hard", utterances=7, **numbers)
        return objective_of(config).options["semi_hard_all"]

    assert options() == {"max_class_size": 7}
    assert options(batches="shuffled") == options(memory=64) == {}


@pytest.mark.usefixtures("points")
@pytest.mark.parametrize(("recipe", "speakers"), [("japanese-vowels", 9), ("japanese-vowels", 4), ("points", 3)])
def test_no_batch_has_more_speakers_or_rows_of_one_than_losses_are_told(recipe: str, speakers: int) -> None:
    config = Config.of_recipe(recipe, loss="ge2e+batch-all", speakers=speakers, utterances=3, steps=5)
    source = sources.find(config.data.source)(config, data=None, dev=None, dev_fraction=None, allow_outside=False)
    told = objective_of(source.config).options
    counts = [np.unique(batch.labels, return_counts=True)[1] for batch in source.batches(1)(0)]
    assert {len(count) for count in counts} == {told["ge2e"]["num_speakers"]}
    assert {count.max() for count in counts} == {told["batch_all"]["max_class_size"]}


@pytest.mark.parametrize(
    ("recipe", "loss", "expected"),
    [
        ("facenet", "semi-hard", (0.2, "relu")),
        ("facenet", "semi-hard+0.1*ge2e", (0.2, "relu")),
        ("facenet", "batch-all", (None, "relu")),
        ("best", "semi-hard", (None, "relu")),
        ("best", "contrastive", (None, "relu")),
        ("batch-hard", "batch-hard+0.1*ge2e", (0.0, "softplus")),
        ("batch-hard", "batch-all", (None, "relu")),
    ],
)
def test_numbers_of_a_recipe_are_those_of_its_own_loss(recipe: str, loss: str, expected: Any) -> None:
    for config in (Config.of_recipe(recipe, loss=loss), Config.of_recipe(recipe).replace(loss=loss)):
        assert (config.loss.margin, config.loss.hinge) == expected


def test_numbers_stay_with_their_loss() -> None:
    config = Config.of_recipe("japanese-vowels", loss="circle", scale=20.0, margin=0.25)
    assert config.replace(loss="nca").loss.scale is None
    assert config.replace(loss="nca", scale=3.0).loss.scale == 3.0
    kept = config.replace(loss="0.5*circle+nt-xent", steps=3).loss
    assert (kept.margin, kept.scale) == (0.25, 20.0)


@pytest.mark.parametrize(
    ("numbers", "devices"),
    [
        ({"loss": "batch-all", "speakers": 9, "utterances": 10}, 6),
        ({"loss": "deep-speaker", "speakers": 8, "utterances": 5}, 1),  # 13 triplets
        ({"loss": "deep-speaker", "speakers": 8, "utterances": 4}, 5),  # 10
        ({"loss": "deep-speaker", "speakers": 8, "utterances": 3}, 8),
    ],
)
def test_as_many_devices_as_divide_what_is_drawn_share_a_batch(numbers: dict[str, Any], devices: int) -> None:
    config = Config.of_recipe("japanese-vowels", **numbers)
    assert devices_for(config).size == devices
    with pytest.raises(ValueError, match=r"of a batch do not divide among 7 devices"):
        devices_for(config, 7)


def test_triplets_that_no_number_of_devices_shares_train_on_one(call: Any, tmp_path: Path) -> None:
    words = ("--loss", "deep-speaker", "--speakers", 8, "--utterances", 5, "--hidden", 8, "--embedding-dim", 8)
    assert call("train", *words, "--steps", 1, "--quiet", "--out", tmp_path / "run").status == 0


def test_options_count_more_than_the_file_beside_them(call: Any, tmp_path: Path, monkeypatch: Any) -> None:
    asked: list[Config] = []

    def train(config: Config, **_: Any) -> training.Trained:
        asked.append(config)
        return training.Trained(tmp_path, None, None, [])

    monkeypatch.setattr(training, "train", train)
    config = Config.of_recipe("japanese-vowels", loss="kl-hinge", steps=5)
    path = written(tmp_path, config.nested())
    assert call("train", "--config", path).status == 0
    assert call("train", "--config", path, "--steps", 6, "--loss", "ge2e").status == 0
    assert asked == [config, config.replace(steps=6, loss="ge2e")]
    assert (asked[1].loss.margin, asked[1].optimizer.learning_rate) == (None, 6e-3)
    for words, complaint in (
        (["--hidden", "0"], "--hidden"),
        (["--bands", "40"], "--bands: of no use without --data"),
        (["--recipe", "best"], "--recipe sets what --config sets: give one of them"),
    ):
        status, out, err = call("train", "--config", path, *words)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert complaint in err


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["--recipe", "g"], ["ge2e"]),
        (["--encoder", "e"], ["ecapa-tdnn"]),
        (["--normalization", ""], ["mean", "fixed"]),
        (["--loss", "semi-hard+0.1*ge"], ["semi-hard+0.1*ge2e", "semi-hard+0.1*ge2e-contrast"]),
    ],
)
def test_a_shell_completes_the_words_of_a_config(words: list[str], offered: list[str]) -> None:
    shell = ShellComplete(app, {}, "jaxtriplet", "_JAXTRIPLET_COMPLETE")
    assert [item.value for item in shell.get_completions(["train", *words[:-1]], words[-1])] == offered


# --- runs of version 0.1 ----------------------------------------------------------------------------------------------


def test_runs_of_version_0_1_embed_as_they_did(tmp_path: Path) -> None:
    speech, vowels = tmp_path / "speech", tmp_path / "vowels"
    speech.mkdir()
    vowels.mkdir()
    config = Config.read(written(tmp_path, OLD_SPEECH))
    run = runs.SpeechRun(config, build_speech_encoder(config))
    save(speech, run)
    written(speech, OLD_SPEECH)
    sound, lengths = np.random.default_rng(0).normal(size=(2, 4000)).astype(np.float32), np.array([4000, 3000])
    np.testing.assert_array_equal(runs.load_speech(speech).embed(sound, lengths), run.embed(sound, lengths))

    source = JapaneseVowels(Config.read(written(tmp_path, OLD_VOWELS)))
    of_vowels = source.run(source.build())
    save(vowels, of_vowels)
    written(vowels, OLD_VOWELS)
    test = japanese_vowels("test")
    now, then = (one.embed(test.features, test.lengths) for one in (runs.load(vowels), of_vowels))
    np.testing.assert_array_equal(now, then)
    with pytest.raises(ValueError, match=r"holds a run on japanese-vowels, which hears no recordings"):
        runs.load_speech(vowels)


def test_the_table_of_results_has_a_row_for_each_loss_and_its_options_are_options() -> None:
    page = (Path(__file__).parent.parent / "docs" / "reproducing.md").read_text()
    part = page.split("## What the losses reach on JapaneseVowels")[1].split("\n## ")[0]
    rows = [words.split() for words in re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE)]
    names = [loss.command for loss in registry.LOSSES.values() if loss.rows != "given"]
    assert sorted(name for name, *_ in rows if "+" not in name) == sorted(names)
    for words in rows:
        asked = train.make_context("train", ["--loss", *words]).params
        numbers = {name: value for name in fields.fields_of(Config) if (value := asked.get(name)) is not None}
        assert len(numbers) == (1 + len(words)) // 2
        Config.of_recipe("japanese-vowels", **numbers)


def test_each_loss_can_be_had_with_any_recipe() -> None:
    for recipe in RECIPES:
        for loss in registry.trainable():
            assert Config.of_recipe(recipe, loss=loss).loss.name == loss


def test_a_preset_that_the_encoder_lacks_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.PRESETS, "tdnn", {"small": {}})
    with pytest.raises(ValueError, match="`preset` must be one of small; got 'paper'"):
        Config.of_recipe("best", preset="paper")


@pytest.mark.parametrize("encoder", models.ENCODERS)
def test_another_encoder_than_that_of_a_recipe_has_a_preset_of_its_own(encoder: str) -> None:
    preset = "wide" if encoder == "tdnn" else "small"
    assert Config.of_recipe("best", encoder=encoder).encoder.preset == preset
    assert Config.of_recipe("best").replace(encoder=encoder).encoder.preset == preset
    assert Config.of_recipe("best", preset="paper").replace(encoder=encoder).encoder.preset == (
        "paper" if "paper" in models.PRESETS[encoder] else "small"
    )
    with pytest.raises(ValueError, match="encoder"):
        Config.of_recipe("best", encoder="resnet")


def test_another_loss_than_that_of_a_soft_margin_has_its_own_margin() -> None:
    for config in (
        Config.of_recipe("batch-hard", loss="semi-hard"),
        Config.of_recipe("batch-hard").replace(loss="semi-hard"),
    ):
        assert (config.loss.margin, config.loss.hinge) == (None, "relu")
    assert Config.of_recipe("batch-hard", loss="semi-hard", margin=0.3).loss.margin == 0.3
    with pytest.raises(ValueError, match="has no `hinge` to choose"):
        Config.of_recipe("batch-hard", loss="semi-hard", hinge="softplus")


def test_seeds_are_as_many_as_keys() -> None:
    assert Config.of_recipe("best", seed=2**32 - 1).training.seed == 2**32 - 1
    with pytest.raises(ValueError, match="`seed` must be"):
        Config.of_recipe("best", seed=2**32)


def test_a_run_of_another_version_or_source_is_not_resumed(tmp_path: Path) -> None:
    old = written(tmp_path / "old", OLD_VOWELS).parent
    before = (old / "config.json").read_text()
    with pytest.raises(ValueError, match=r"begun by version 0\.1, whose checkpoints cannot go on"):
        runs.choose_to_train(Config.read(old / "config.json").flat(), old, overwrite=False, resume=True)
    assert (old / "config.json").read_text() == before
    _files.write_json(old / "config.json", Config.of_recipe("japanese-vowels").nested())
    with pytest.raises(ValueError, match="begun on japanese-vowels, and this is to train on recordings"):
        runs.choose_to_train(Config.of_recipe("best").flat(), old, overwrite=False, resume=True)
    with pytest.raises(ValueError, match=r"resume it with no `micro_batch`$"):
        runs.choose_to_train(
            Config.of_recipe("japanese-vowels", micro_batch=3).flat(), old, overwrite=False, resume=True
        )
