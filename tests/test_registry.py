"""Each loss is declared once, and found everywhere: by name, in sums, in commands, in tests, in the index of pages."""

import ast
import inspect
import re
from collections import Counter
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt
from jaxtriplet import losses
from jaxtriplet.losses import arguments, registry

from .cases import CASES, ROWS
from .toys import TOYS

ROOT = Path(__file__).parent.parent
LABELS = jnp.array([0, 0, 1, 1, 2, 2])
ROWS_OF_BATCH = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
DECLARED = {**registry.LOSSES, **TOYS}
every_loss = pytest.mark.parametrize("one", DECLARED.values(), ids=DECLARED)


# --- complete ---------------------------------------------------------------------------------------------------------


def test_every_loss_and_every_variant_has_a_row_in_the_table_of_tests() -> None:
    known = registry.named() | TOYS
    missing, unknown = sorted(set(known) - set(ROWS)), sorted(set(ROWS) - set(known))
    assert not missing, f"no row in tests/cases.py: {', '.join(missing)}"
    assert not unknown, f"rows in tests/cases.py of no loss: {', '.join(unknown)}"
    assert {case.declared.name for case in CASES} == set(ROWS)


def test_every_loss_is_a_name_of_the_package() -> None:
    for name, one in registry.LOSSES.items():
        assert name in losses.__all__
        assert getattr(jt, name) is getattr(losses, name) is one.function


def of_index() -> list[list[str]]:
    """The rows of the tables of losses, without what each is for: a call that links to its page, and two cells more."""
    lines = (ROOT / "docs" / "losses" / "index.md").read_text().splitlines()
    return [line.strip("| ").split(" | ")[:-1] for line in lines if line.startswith("| [`")]


def test_the_index_says_what_the_declarations_say() -> None:
    expected = []
    for one in registry.LOSSES.values():
        names = [name for name, each in one.signature.parameters.items() if each.kind is not each.KEYWORD_ONLY]
        given = ", ".join(one.sees if name == "embeddings" else name for name in names)
        calls = {given: one.term, **{f"..., {option}": words for option, words in one.also.items()}}
        expected += [[f"[`{one.name}({call})`]({one.name}.md)", term, one.divided_by] for call, term in calls.items()]
    told = of_index()
    assert [row for row in expected if row not in told] == []
    assert [row for row in told if row not in expected] == []


@every_loss
def test_help_says_what_every_argument_is(one: registry.Loss) -> None:
    text = inspect.getdoc(one.function) or ""
    told = text[text.index("\nArgs:\n") : text.index("\nReturns:\n")]
    described = re.findall(r"^    (\w+): \S.*\S$", told, re.MULTILINE)
    assert described == list(one.signature.parameters)
    assert str(inspect.signature(one.function)).count("has_aux: bool") == 1
    assert "\nRaises:\n" in text


def test_what_losses_share_is_said_once() -> None:
    paragraphs: Counter[str] = Counter()
    for file in (ROOT / "jaxtriplet" / "losses").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                text = ast.get_docstring(node) or ""
                paragraphs.update(" ".join(one.split()) for one in re.split(r"\n\s*\n|\n(?=    \w+: )", text))
    # What two losses of one file say alike is not worth a place of its own.
    assert {text: count for text, count in paragraphs.items() if count > 2 and len(text.split()) > 7} == {}
    shared = {f"{name}: {' '.join(text.split())}" for name, text in arguments._ARGUMENTS.items()}
    assert {text for text in shared & set(paragraphs) if len(text.split()) > 7} == set()


# --- found by name ----------------------------------------------------------------------------------------------------


def test_a_declared_loss_is_found_by_any_spelling(toys: Any) -> None:
    for name in ("toy", "toy-softmax", "toy_softmax"):
        assert registry.find(name) is toys[name.replace("-", "_")]
        assert registry.trainable()[name.replace("_", "-")] is registry.find(name)
    assert registry.named()["toy"].numbers == {"alpha": 2.0, "beta": 10.0, "base": 0.5}
    assert list(registry.find("toy").options) == ["distance_fn"]
    assert registry.find("toy").class_weights is None
    assert registry.find("toy-softmax").class_weights == "weights"
    assert registry.find("semi-hard-all").fixed == {"negatives": "all"}


def test_no_test_but_those_that_ask_sees_the_toys() -> None:
    assert not set(TOYS) & set(registry.LOSSES)


def test_given_rows_are_no_batch_to_train_on() -> None:
    given = {"triplet", "siamese-kl-hinge", "info-nce", "sigmoid-contrastive"}
    assert given == {one.command for one in registry.named().values()} - set(registry.trainable())
    with pytest.raises(ValueError, match="triplet is a loss of given rows"):
        losses.weighted({"triplet": 1.0})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *[
            ("semihard", "semi-hard"),
            ("semi_hard_al", "semi-hard-all"),
            ("toi-softmax", "toy-softmax"),
            ("ge2", "ge2e"),
        ],
        *[("ArcFace", "aam-softmax"), ("cosface", "am-softmax"), ("softmax", "normalized-softmax")],
    ],
)
def test_the_nearest_name_is_offered_and_all_are_named(name: str, meant: str, toys: Any) -> None:
    with pytest.raises(ValueError, match=rf"unknown loss '{name}'; did you mean {meant}\?.*known: .*\btoy\b") as caught:
        registry.find(name)
    assert all(command in str(caught.value) for command in registry.trainable())


def test_words_are_looked_at_where_options_are_given() -> None:
    with pytest.raises(ValueError, match=r"negatives must be one of hardest, all; got 'hard'"):
        losses.weighted({"semi_hard": 1.0}, semi_hard={"negatives": "hard"})
    # A variant's word is taken.
    with pytest.raises(ValueError, match="semi_hard_all has no option 'negatives'"):
        losses.weighted({"semi_hard_all": 1.0}, semi_hard_all={"negatives": "hardest"})


def test_misspelt_options_are_refused_at_construction() -> None:
    with pytest.raises(ValueError, match=r"semi_hard has no option 'margn'; did you mean margin\?"):
        losses.weighted({"semi_hard": 1.0}, semi_hard={"margn": 1})
    with pytest.raises(ValueError, match="deep_speaker has no option 'block_size'"):
        losses.weighted({"deep_speaker": 1.0}, deep_speaker={"block_size": 8})
    with pytest.raises(ValueError, match=r"options must be of one of semi_hard; got 'ge2e'"):
        losses.weighted({"semi_hard": 1.0}, ge2e={"scale": 1.0})


def test_a_loss_stands_once_in_a_sum_and_a_sum_has_one() -> None:
    with pytest.raises(ValueError, match="semi_hard stands twice"):
        losses.weighted({"semi_hard": 1.0, "semi-hard": 2.0})
    with pytest.raises(ValueError, match=r"weights must name a loss: batch_all, .*"):
        losses.weighted({})


# --- in sums and commands ---------------------------------------------------------------------------------------------


def test_a_sum_is_the_sum_and_keeps_statistics_by_name(toys: Any) -> None:
    loss_fn = losses.weighted({"toy": 2.0, "ge2e": 0.1}, toy={"alpha": 3.0, "distance_fn": jt.distances.cosine})
    total, stats = loss_fn(loss_fn.init(jax.random.key(0)), LABELS, ROWS_OF_BATCH)
    toy = toys["toy"].function(LABELS, ROWS_OF_BATCH, 3.0, distance_fn=jt.distances.cosine)
    np.testing.assert_allclose(total, 2 * toy + 0.1 * jt.ge2e(LABELS, ROWS_OF_BATCH), 1e-6)
    assert list(stats) == ["toy", "ge2e"]


def test_class_weights_are_made_for_a_sum_and_need_their_sizes(toys: Any) -> None:
    loss_fn = losses.weighted({"toy_softmax": 1.0, "ge2e": 1.0})
    params = loss_fn.init(jax.random.key(0), 3, 5)
    assert jax.tree.map(jnp.shape, params) == {"toy_softmax": {"weights": (5, 3)}, "ge2e": {"scale": (), "bias": ()}}
    total, _ = loss_fn(params, LABELS, ROWS_OF_BATCH)
    own = toys["toy_softmax"].function(LABELS, ROWS_OF_BATCH, params["toy_softmax"]["weights"])
    np.testing.assert_allclose(total, own + jt.ge2e(LABELS, ROWS_OF_BATCH), 1e-6)
    with pytest.raises(ValueError, match=r"toy_softmax has class weights: give `width` and `num_classes`"):
        loss_fn.init(jax.random.key(0), 3)


def test_numbers_follow_the_step(toys: Any) -> None:
    loss_fn = losses.weighted({"toy": 1.0}, toy={"base": lambda step: 0.1 * step, "beta": 4.0})
    compiled = jax.jit(lambda step: loss_fn({}, LABELS, ROWS_OF_BATCH, step=step)[0])
    for step in (0, 3, 7):
        expected = toys["toy"].function(LABELS, ROWS_OF_BATCH, beta=4.0, base=0.1 * step)
        np.testing.assert_allclose(compiled(jnp.float32(step)), expected, 1e-6)
    with pytest.raises(ValueError, match="base of toy follows a schedule: give `step`"):
        loss_fn({}, LABELS, ROWS_OF_BATCH)
    with pytest.raises(ValueError, match="a number of ge2e that is trained cannot follow a schedule"):
        losses.weighted({"ge2e": 1.0}, ge2e={"scale": lambda step: step})


def choices_of(command: click.Command, begun: str) -> set[str]:
    """What the command line offers for `--loss`."""
    option = next(one for one in command.params if one.name == "loss")
    return {item.value for item in option.type.shell_complete(click.Context(command), option, begun)}


def test_a_run_and_its_command_know_the_toys(toys: Any) -> None:
    from jaxtriplet.cli.train import train
    from jaxtriplet.jobs.config import Config
    from jaxtriplet.jobs.fit import objective_of
    from jaxtriplet.jobs.objective import parse_loss

    assert parse_loss("toy+0.1*ge2e") == {"toy": 1.0, "ge2e": 0.1}
    config = Config.of_recipe("best", loss="toy+0.1*ge2e")
    assert objective_of(config).weights == {"toy": 1.0, "ge2e": 0.1}
    assert choices_of(train, "to") == {"toy", "toy-softmax"}
    assert choices_of(train, "semi-hard+0.1*to") == {"semi-hard+0.1*toy", "semi-hard+0.1*toy-softmax"}


@pytest.mark.parametrize("loss", ["toy", "toy-softmax"])
@pytest.mark.parametrize("encoder", [None, "blstm"])
def test_the_tools_compile_the_toys(loss: str, encoder: str | None, toys: Any, monkeypatch: Any) -> None:
    from jaxtriplet.cli.fits import fits
    from jaxtriplet.tools.fits import lowering, targets
    from jaxtriplet.tools.fits.programs import Program

    assert {"toy", "toy-softmax"} <= choices_of(fits, "to")
    # In place of a slice that only its compiler has: what is traced is the same.
    monkeypatch.setattr(targets, "devices_of", lambda target, number: jax.devices()[:number])
    sizes: dict[str, Any] = {"batch_size": 16, "dim": 4, "frames": 3, "features": 2, "classes": 5}
    program = Program(target="tpu-v5e", devices=4, loss=loss, encoder=encoder, **sizes).checked()
    lowered = lowering.lower(program).as_text()
    assert ("tensor<5x4xf32>" in lowered) == (loss == "toy-softmax")


def brief(labels: Any, scale: Any, *, where: Any = None) -> None:  # noqa: D417 (the rest is put in)
    """Says little.

    Args:
        scale: How much.

    Reference:
        A book.

    Example:
        >>> 1
    """


def odd(labels: Any, temper: Any) -> None:  # noqa: D417 (that is what is refused)
    """Says nothing of its own.

    Args:
        labels: Some.
    """


def test_a_docstring_is_completed_in_whatever_order_and_lacks_nothing() -> None:
    told = arguments.documented(brief) or ""
    headings = [line for line in told.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == ["Args:", "Returns:", "Raises:", "Reference:", "Example:"]
    assert told.count("Integers [B].") == 1
    with pytest.raises(TypeError, match="docstring of odd says nothing of temper under Args"):
        arguments.documented(odd)


def test_a_loss_has_a_name_of_its_own_and_the_shared_keywords() -> None:
    def semi_hard(labels: Any, embeddings: Any, *, where: Any, reduce_fn: Any, axis_name: Any, has_aux: Any) -> None:
        """Another one."""

    def bare(labels: Any, embeddings: Any, *, where: Any = None, reduce_fn: Any = None) -> None:
        """Lacks some."""

    with pytest.raises(ValueError, match=r"there is a loss semi_hard already, in jaxtriplet\.losses\.semi_hard"):
        registry.loss(term="")(semi_hard)
    with pytest.raises(TypeError, match="bare lacks keywords that every loss takes: axis_name, has_aux"):
        registry.loss(term="")(bare)
    assert {"semi_hard", "bare"} & registry.LOSSES.keys() == {"semi_hard"}


@pytest.mark.parametrize("other", ["kl_hinge", "deep_speaker"])
def test_what_does_not_see_the_same_rows_is_not_summed(other: str) -> None:
    with pytest.raises(ValueError, match="they cannot be summed"):
        losses.weighted({"semi_hard": 1.0, other: 0.1})
