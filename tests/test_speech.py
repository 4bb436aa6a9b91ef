"""Training on recordings, from a folder of files to a run that is read again."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.signal import lfilter

from jaxtriplet import cli
from jaxtriplet.cli import app
from jaxtriplet.data import Crops, recordings
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fields import fields_of
from jaxtriplet.jobs.fit import History
from jaxtriplet.jobs.recipes import RECIPES
from jaxtriplet.jobs.sources.recordings import build_speech_encoder
from jaxtriplet.metrics import equal_error_rate, pair_scores
from jaxtriplet.speech import embed_recordings

from . import audio_files
from .conftest import Called

# One worker takes them all: they share what takes long to make.
pytestmark = pytest.mark.xdist_group("speech")

STEPS = 24
WORDS = (
    "--loss batch-all --margin 0.2 --normalization mean --time-masks 2 --band-masks 2 --gain-share 1 "
    "--encoder lstm --bands 40 --embedding-dim 16 --speakers 9 --utterances 4 --seconds 0.5 --warmup 2 "
    "--room-share 0 --channel-share 0 --noise-share 0.5 --lowest-snr 20 "  # a resonance is all that tells them apart
    f"--learning-rate 0.01 --average-decay 0.8 --steps {STEPS} --evaluate-every 8 --checkpoint-every 6 --devices 1"
).split()


def voices(root: Path, formants: list[int], first: int) -> Path:
    """Writes speakers, each with a resonance, in two sessions of two recordings: voiced syllables and hissed ones.

    A voice that never changed would be gone with the mean of its features.
    """
    time = np.arange(round(0.6 * audio_files.RATE)) / audio_files.RATE
    for speaker, formant in enumerate(formants):
        for number in range(4):
            seed = first + 7 * speaker + number
            voiced = audio_files.voice(0.6, pitch=100 + 10 * number, seed=seed)
            poles = 0.97 * np.exp(2j * np.pi * formant / audio_files.RATE * np.array([1, -1]))
            voiced = lfilter([0.1], np.real(np.poly(poles)), voiced)
            hissed = 0.05 * np.random.default_rng(seed).normal(size=len(time))
            samples = np.where(np.sin(2 * np.pi * 5 * time + seed) > 0, voiced, hissed).astype(np.float32)
            audio_files.write(root / f"{first}-{speaker}" / f"day{number % 2}" / f"{number}.wav", samples)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speakers to train on, with files that are no recordings, and others to develop on."""
    root = tmp_path_factory.mktemp("corpus")
    voices(root / "train", [400, 520, 680, 880, 1150, 1500, 1950, 2500, 3300], 100)
    voices(root / "dev", [450, 770, 1300, 2200], 900)
    speaker = root / "train" / "100-0"
    (speaker / "empty.wav").touch()
    (speaker / "notes.wav").write_text("no audio at all")
    audio_files.write(speaker / "nan.wav", np.full(8000, np.nan, np.float32), subtype="FLOAT")
    return root


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    """A short run, and what the command said; beside it, in `killed`, what its folder held after 14 steps."""
    out = tmp_path_factory.mktemp("run") / "out"
    add = History.add

    def add_and_copy(self: History, row: dict[str, float]) -> None:
        if row["step"] == 15:
            shutil.copytree(out, out.parent / "killed")
        add(self, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(History, "add", add_and_copy)
        patch.setenv("XDG_CACHE_HOME", str(out.parent / "cache"))
        said: list[str] = []
        patch.setattr(sys.stderr, "write", lambda text: said.append(text) or len(text))
        patch.setattr(sys, "argv", ["jaxtriplet", *map(str, command(folder, out))])
        status = app.run()
    return out, Called(status, "", "".join(said))


def command(folder: Path, out: Path, *more: str) -> list[str | Path]:
    return ["train", "--data", folder / "train", "--dev", folder / "dev", *WORDS, "--quiet", "--out", out, *more]


def rows_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_it_promises(trained: tuple[Path, Called]) -> None:
    out, said = trained
    assert said.status == 0, said.err
    files = {"config.json", "data.json", "embeddings.npz", "metrics.json", "metrics.jsonl", "report.html"}
    assert {path.name for path in out.iterdir()} == files | {"weights", "checkpoints"}
    metrics = json.loads((out / "metrics.json").read_text())
    judged = {row["step"]: row["equal_error_rate"] for row in rows_of(out) if "equal_error_rate" in row}
    assert sorted(judged) == [8, 16, 24]
    assert metrics["judged"] == "development"
    assert metrics["equal_error_rate"] == pytest.approx(min(judged.values()), abs=1e-6)
    assert judged[metrics["step"]] == min(judged.values())
    kept = {int(path.name) for path in (out / "checkpoints").iterdir()}
    assert kept == {18, 24, metrics["step"]}
    page = (out / "report.html").read_text()
    assert "pairs of development utterances" in page
    for when in ("before training", "after it"):
        assert f"development utterances {when} laid out in the plane" in page
    assert str(out.parent) not in page + (out / "data.json").read_text() + (out / "config.json").read_text()


def test_what_cannot_be_used_is_named_and_counted(trained: tuple[Path, Called]) -> None:
    out, said = trained
    for name, reason in (("empty.wav", "0 bytes"), ("notes.wav", "no audio"), ("nan.wav", "NaN")):
        [line] = [line for line in said.err.splitlines() if name in line]
        assert reason in line
    assert "3 files left out, 52 recordings used" in said.err
    content = json.loads((out / "data.json").read_text())
    assert {Path(one["path"]).name for one in content["left_out"]} == {"empty.wav", "notes.wav", "nan.wav"}
    assert content["training"]["recordings"] == 36
    assert len(content["development"]["speakers"]) == 4


def test_training_tells_unheard_speakers_apart_better(trained: tuple[Path, Called], folder: Path) -> None:
    out, _ = trained
    run = runs.load_speech(out)
    dev = recordings(folder / "dev")
    fresh = embed_recordings(build_speech_encoder(run.config), dev)
    untrained, now = (
        equal_error_rate(*pair_scores(embeddings, dev.labels)) for embeddings in (fresh, run.embed_recordings(dev))
    )
    assert now < 0.6 * untrained


def test_the_run_read_again_gives_the_saved_embeddings(trained: tuple[Path, Called], folder: Path) -> None:
    out, _ = trained
    saved = np.load(out / "embeddings.npz")
    run, dev = runs.load_speech(out), recordings(folder / "dev")
    assert saved["speakers"].tolist() == [path.split("/")[0] for path in saved["paths"].tolist()]
    np.testing.assert_allclose(run.embed_recordings(dev), saved["embeddings"], atol=1e-6)
    waveforms = np.random.default_rng(0).normal(size=(2, 9600)).astype(np.float32)
    lengths = np.array([9600, 7000], np.int32)
    np.testing.assert_allclose(
        jax.jit(run.forward)(waveforms, lengths), run.embed(waveforms, lengths), atol=1e-6
    )  # two compilations of one function may differ in the last bits


def test_a_resumed_run_is_the_uninterrupted_one(trained: tuple[Path, Called], folder: Path, call: Any) -> None:
    whole, _ = trained
    run = whole.parent / "killed"
    assert not (run / "weights").exists()
    assert 12 in [int(path.name) for path in (run / "checkpoints").iterdir()]
    found = call(*command(folder, run, "--resume"))
    assert found.status == 0, found.err
    assert (run / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    first, second = (np.load(one / "embeddings.npz")["embeddings"] for one in (whole, run))
    np.testing.assert_array_equal(first, second)

    # It does not go on with other recordings.
    words = ["train", "--data", folder / "dev", *WORDS, "--quiet", "--out", run, "--resume"]
    found = call(*words)
    assert found.status == 2
    assert "other recordings" in found.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--data", "TRAIN", "--recipe", "bets"], "recipe"),
        (["--data", "TRAIN", "--hidden", "8"], "--hidden: of no use with --data"),
        (["--recipe", "ge2e"], "the recipe ge2e trains on recordings: name their folder, --data"),
        (["--dev-fraction", "0.2"], "belong to --data"),
        (["--data", "TRAIN", "--dev", "DEV", "--dev-fraction", "0.2"], "give one of them"),
        (["--data", "TRAIN", "--dev", "TRAIN"], "must be others"),
        (["--data", "TRAIN", "--dev-fraction", "0.01"], "at least two"),
        (["--data", "TRAIN/nowhere"], "no such folder"),
        (["--data", "TRAIN/100-1/day0"], "no recording that can be used"),
        (["--data", "TRAIN", "--seconds", "2,0"], "seconds must be numbers above 0"),
        (["--data", "TRAIN", "--speeds", "fast"], "speeds must be numbers above 0"),
        (["--data", "TRAIN", "--encoder", "resnet"], "encoder"),
        (["--data", "TRAIN", "--hinge", "softplus", "--loss", "ge2e"], "hinge"),
        (["--data", "TRAIN", "--loss", "tuplet"], "unknown loss 'tuplet'"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], complaint: str, folder: Path, monkeypatch: Any, tmp_path: Path, call: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"TRAIN": str(folder / "train"), "DEV": str(folder / "dev")}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    found = call("train", "--quiet", *words)
    assert (found.status, found.out) == (2, "")
    assert found.err.count("\n") == 1
    assert complaint in found.err
    assert not (tmp_path / "runs").exists()


def test_without_soundfile_one_line_names_the_extra(folder: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    monkeypatch.setattr(sys, "argv", ["jaxtriplet", "train", "--quiet", "--data", str(folder / "train")])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert 'pip install "jaxtriplet[speech,audio]"' in err


def test_what_happens_to_a_crop_is_its_own_keys_doing() -> None:
    """Neither its place in the batch nor the other rows matter: so a run does not depend on devices."""
    graph, weights = nnx.split(build_speech_encoder(Config.of_recipe("batch-hard", encoder="lstm", bands=20)))

    @jax.jit
    def of(waveforms: jax.Array, lengths: jax.Array, keys: jax.Array) -> jax.Array:
        return nnx.merge(graph, weights)(waveforms, lengths, keys=keys)

    waveforms = jnp.asarray(np.random.default_rng(0).normal(size=(3, 8000)), jnp.float32)
    lengths, keys = jnp.array([8000, 6000, 8000]), jax.random.split(jax.random.key(0), 3)
    batch = of(waveforms, lengths, keys)
    turned = of(waveforms[::-1], lengths[::-1], keys[::-1])
    np.testing.assert_allclose(batch, turned[::-1], atol=1e-5)
    assert jnp.abs(batch - of(waveforms, lengths, keys[::-1])).max() > 1e-3


def test_processes_load_their_shares_of_the_same_batches(folder: Path) -> None:
    index = recordings(folder / "train")
    numbers: dict[str, Any] = {"speakers": 4, "utterances": 3, "seed": 3, "seconds": (0.3, 0.5)}
    whole = Crops(index, **numbers)
    shares = [Crops(index, **numbers, share=slice(start, start + 6)) for start in (0, 6)]
    for step in range(3):
        for of_all, of_shares in zip(whole[step], zip(*(share[step] for share in shares), strict=True), strict=True):
            np.testing.assert_array_equal(of_all, np.concatenate(of_shares))


def test_crops_in_thirds_are_anchors_positives_and_negatives(folder: Path) -> None:
    crops = Crops(
        recordings(folder / "train"),
        speakers=4,
        utterances=3,
        seed=0,
        seconds=(0.3,),
        speeds=(1, 0.9),
        triplet_shares=2,
    )
    assert crops.num_speakers == 18
    for share in crops[0].labels.reshape(2, 6):
        anchors, positives, negatives = share.reshape(3, 2)
        np.testing.assert_array_equal(anchors, positives)
        assert (anchors != negatives).all()


def test_help_names_every_number_and_recipe(call: Any) -> None:
    lines = call("train", "--help").out.splitlines()
    said = "".join("".join(lines).split())
    for name, field in fields_of(Config).items():
        assert f"--{name.replace('_', '-')}" in said or not field.extra["option"]
    for recipe in RECIPES:
        assert any(line.split()[:1] == [recipe] for line in lines)  # at the head of what it sets
