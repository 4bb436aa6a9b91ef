"""Lists of trials in all their forms, and the pairs of a folder that tells who speaks."""

import itertools
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from jaxtriplet.data import Recordings, Trials, all_pairs, drawn_pairs, pairs, read_trials

SPACED = ("my call.wav", "a b/c d.wav", "b.wav")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of files: three whose names are plain, two whose names hold spaces, two that are called 0 and 1."""
    for name in ("a.wav", "b.wav", "c.wav", *SPACED, "0", "1"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "data"


def listed(root: Path, text: str | bytes) -> Path:
    path = root.parent / "trials.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def told(trials: Trials) -> list[tuple[bool, str, str]]:
    rows = zip(trials.same.tolist(), trials.first.tolist(), trials.second.tolist(), strict=True)
    return [(same, trials.paths[first], trials.paths[second]) for same, first, second in rows]


@pytest.mark.parametrize(
    "text",
    [
        "1 a.wav b.wav\n0 c.wav a.wav\n",
        "a.wav b.wav target\nc.wav a.wav nontarget\n",
        "a.wav b.wav 1\nc.wav a.wav 0",
        "target a.wav b.wav\nnontarget c.wav a.wav\n",
        "1\ta.wav\tb.wav\n0\tc.wav\ta.wav\n",
        "a.wav\tb.wav\ttarget\nc.wav\ta.wav\tnontarget\n",
        "\n  1   a.wav  b.wav \n\n0 c.wav a.wav\n \n",
        b"\xef\xbb\xbfa.wav b.wav target\r\nc.wav a.wav nontarget\r\n",
        b"\xef\xbb\xbf1\ta.wav\tb.wav\r\n0\tc.wav\ta.wav\r\n",
        "1 a.wav b.wav 0.731\n0 c.wav a.wav -1e-3\n",
        "1\ta.wav\tb.wav\t0.731\n0\tc.wav\ta.wav\tnan\n",
        "1 a.wav b.wav\r0 c.wav a.wav\r",
    ],
)
def test_every_form_of_a_list_is_read_alike(root: Path, text: str | bytes) -> None:
    trials = read_trials(listed(root, text), root)
    assert told(trials) == [(True, "a.wav", "b.wav"), (False, "c.wav", "a.wav")]
    assert trials.paths == ("a.wav", "b.wav", "c.wav")
    assert (trials.same.dtype, trials.first.dtype, trials.second.dtype) == (bool, np.int32, np.int32)


def test_between_tabs_spaces_belong_to_names(root: Path) -> None:
    call, deep, plain = SPACED
    expected = [(True, call, deep), (False, plain, call)]
    for text in (f"1\t{call}\t{deep}\n0\t{plain}\t{call}\n", f"{call}\t{deep}\ttarget\n{plain}\t{call}\tnontarget\n"):
        assert told(read_trials(listed(root, text), root)) == expected


def test_names_that_could_be_the_truth_are_settled_by_other_lines(root: Path) -> None:
    """The first line of either list could be of two forms."""
    assert told(read_trials(listed(root, "1 1 0\n0 a.wav b.wav\n"), root))[0] == (True, "1", "0")
    assert told(read_trials(listed(root, "1 1 0\na.wav b.wav 1\n"), root))[0] == (False, "1", "1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1 a.wav b.wav\na.wav b.wav target\n",
            "line 2: expected 1 or 0 and two paths; got `a.wav b.wav target`, unlike",
        ),
        ("a.wav b.wav target\na.wav b.wav 1\n", "line 2: expected two paths and target or nontarget; got"),
        ("1 a.wav b.wav\n1\ta.wav\tb.wav\n0 a.wav\tb.wav c.wav\n", "line 3: expected 1 or 0 and two paths; got"),
        ("1\ta.wav\tb.wav\n0 c.wav a.wav\n", "line 2: expected 1 or 0 and two paths, with tabs between them; got"),
        (
            "1 my call.wav b.wav\n",
            "line 1: expected .* or, for names that hold spaces, tabs; got `1 my call.wav b.wav`",
        ),
        ("1 a.wav b.wav 0.5\n0 a.wav b.wav\n", "line 2: expected 1 or 0, two paths and a score; got"),
        ("1 a.wav b.wav 0.5\n0 a.wav b.wav loud\n", "line 2: expected 1 or 0, two paths and a score; got"),
        ("enrol test key\na.wav b.wav target\n", "line 1: expected 1 or 0 and two paths, or two paths and target"),
        ("a.wav b.wav Target\n", "line 1: expected"),
        ("1\t\tb.wav\n", "a name is empty"),
        ("1 0 1\n0 1 1\n", "can be read as 1 or 0 and two paths and as two paths and 1 or 0"),
        ("1 0 1\n1 a.wav 0\nb.wav a.wav c.wav\n", "line 3: expected 1 or 0 and two paths; got"),
        (b"\xef\xbb\xbf\r\n \r\n", "holds no trials"),
        ("1 a.wav b.wav\n" * 9_999 + "1 a.wav \xff.wav\n", "not in"),
        (b"1 a.wav b.wav\n" * 9_999 + b"1 a.wav \xff.wav\n", "byte 139994 is 0xff"),
        ("1 a.wav b.wav\n" * 9_999 + "1 a.wav \0.wav\n", "holds zero bytes"),
    ],
)
def test_what_cannot_be_read_is_named(root: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=rf"trials\.txt.*{message}"):
        read_trials(listed(root, text), root)


@pytest.mark.parametrize("names", [("a.wav", "b.wav", "c.wav"), ("a b/c d.wav", "b.wav", "my call.wav")])
def test_what_is_written_is_read_again(root: Path, names: tuple[str, ...]) -> None:
    trials = Trials(np.array([True, False]), np.array([2, 0], np.int32), np.array([1, 2], np.int32), names)
    for scores in (None, np.array([0.5, -123.25])):
        text = "".join(trials.lines(scores))
        found = read_trials(listed(root, text), root)
        assert told(found) == told(trials)
        assert ("\t" in text) == (" " in names[0])
    assert text.splitlines()[1].endswith("-123.250000000")


@pytest.mark.parametrize("name", ["a\tb.wav", "a\nb.wav", "a\rb.wav"])
def test_a_name_that_no_list_can_hold_is_refused(name: str) -> None:
    trials = Trials(np.array([True]), np.array([0]), np.array([1]), ("a.wav", name))
    with pytest.raises(ValueError, match="has no place in a list of trials: 'a"):
        list(trials.lines())


# --- pairs of a folder ------------------------------------------------------------------------------------------------


def index_of(sizes: list[list[int]]) -> Recordings:
    """Recordings without files: how many each session of each speaker has; speakers and sessions lie mixed."""
    names = [
        f"s{speaker}/{session}/{take}"
        for speaker, sessions in enumerate(sizes)
        for session, count in enumerate(sessions)
        for take in range(count)
    ]
    shuffled = np.random.default_rng(1).permutation(names)
    speakers, labels = np.unique([name.split("/")[0] for name in shuffled], return_inverse=True)
    sessions = np.unique([name.rpartition("/")[0] for name in shuffled], return_inverse=True)[1]
    ones = np.ones(len(names), np.int64)
    return Recordings(Path("calls"), shuffled, tuple(speakers.tolist()), labels, sessions, ones, ones)


UNEVEN = [[1, 2], [3], [2, 2, 4], [1], [5, 1]]


def named(trials: Trials) -> set[frozenset[str]]:
    return {frozenset((one, two)) for _, one, two in told(trials)}


def by_hand(index: Recordings) -> dict[str, set[frozenset[str]]]:
    """The pairs of two speakers, of one speaker in two sessions, and of one speaker in one session."""
    found: dict[str, set[frozenset[str]]] = {"speakers": set(), "sessions": set(), "one": set()}
    for pair in itertools.combinations(index.names.tolist(), 2):
        (one, day, _), (two, other, _) = (name.split("/") for name in pair)
        found["speakers" if one != two else "sessions" if day != other else "one"].add(frozenset(pair))
    return found


def test_all_pairs_are_all_pairs() -> None:
    index = index_of(UNEVEN)
    kinds = by_hand(index)
    kept, left_out, apart = (all_pairs(index, same_session=word) for word in pairs.SAME_SESSION)
    assert named(kept.trials) == kinds["speakers"] | kinds["sessions"] | kinds["one"]
    assert named(left_out.trials) == named(apart.trials) == kinds["speakers"] | kinds["sessions"]
    assert named(apart.one_session) == kinds["one"]
    assert apart.one_session.same.all()
    for found in (kept, left_out, apart):
        assert found.num_of_one_session == len(kinds["one"])
        assert len(named(found.trials)) == len(found.trials.same)
        assert all(same == (one.split("/")[0] == two.split("/")[0]) for same, one, two in told(found.trials))
    assert len(kept.one_session.same) == len(left_out.one_session.same) == 0


@pytest.mark.parametrize("same_session", pairs.SAME_SESSION)
@pytest.mark.parametrize("number", [2, 9, 40, 100, 5000])
def test_a_draw_is_balanced_and_even(number: int, same_session: pairs.SameSession) -> None:
    index = index_of(UNEVEN)
    kinds = by_hand(index)
    found = drawn_pairs(index, number, same_session=same_session, seed=3)
    own = kinds["sessions"] | (kinds["one"] if same_session == "keep" else set())
    same = found.trials.same
    assert same.sum() == min(number // 2, len(own))
    assert (~same).sum() == min(number - number // 2, len(kinds["speakers"]))
    drawn = named(found.trials)
    assert len(drawn) == len(same)
    assert drawn <= own | kinds["speakers"]
    for wanted, there in ((drawn & own, own), (drawn & kinds["speakers"], kinds["speakers"])):
        taken, whole = (
            Counter(tuple(sorted({name.split("/")[0] for name in pair})) for pair in some) for some in (wanted, there)
        )
        most = max(taken.values(), default=0)
        assert all(taken[kind] >= min(most - 1, whole[kind]) for kind in whole)
    counted = {"keep": len(drawn & kinds["one"]), "leave-out": len(kinds["one"])}
    apart = named(found.one_session)
    if same_session == "apart":
        assert len(apart) == len(found.one_session.same) == min(number // 2, len(kinds["one"]))
        assert apart <= kinds["one"]
    else:
        assert not apart
    assert found.num_of_one_session == counted.get(same_session, len(apart))


def test_a_seed_is_a_draw() -> None:
    index = index_of(UNEVEN)
    first, again, other = (named(drawn_pairs(index, 20, seed=seed).trials) for seed in (0, 0, 1))
    assert first == again != other


def test_every_pair_of_a_kind_is_as_likely() -> None:
    """Speaker 0 has 3 + 2 pairs of two sessions, those of whom two are drawn each time; so have all others."""
    index = index_of([[1, 5], [5, 1], [2, 2, 1]])
    draws = 600
    counts = Counter(pair for seed in range(draws) for pair in named(drawn_pairs(index, 12, seed=seed).trials))
    for kind, pairs_of in itertools.groupby(
        sorted(counts, key=lambda pair: sorted(name[:2] for name in pair)),
        key=lambda pair: sorted(name[:2] for name in pair),
    ):
        seen = np.array([counts[pair] for pair in pairs_of])
        assert len(seen) == {1: 15 if kind[0] != "s2" else 10, 2: 36 if "s2" not in kind else 30}[len(set(kind))]
        share = 2 / len(seen)
        assert np.all(np.abs(seen - draws * share) < 5 * np.sqrt(draws * share * (1 - share)))


def test_more_speakers_than_pairs_are_wanted() -> None:
    index = index_of([[1, 1] for _ in range(60)])
    trials = drawn_pairs(index, 100, seed=5).trials
    assert trials.same.sum() == 50
    met = [frozenset(name.split("/")[0] for name in pair) for pair in named(trials)]
    assert max(Counter(met).values()) == 1


@pytest.mark.parametrize(
    ("sizes", "number", "same_session", "message"),
    [
        ([[3, 2]], None, "keep", "holds recordings of 1 speaker"),
        ([[1], [1]], 10, "keep", "no speaker in calls has two recordings"),
        ([[3], [2]], None, "leave-out", 'nobody in calls has recordings of two sessions.*`same_session="keep"`'),
        ([[3], [2]], 10, "apart", "nobody in calls has recordings of two sessions"),
        ([[3], [2]], 1, "keep", "`pairs` must be 2 to 20,000,000; got 1"),
        ([[3], [2]], 20_000_001, "keep", "`pairs` must be 2 to 20,000,000"),
        (
            [[3000], [3326]],
            None,
            "keep",
            "20,005,975 pairs of recordings, more than 20,000,000; draw some with `pairs`",
        ),
    ],
)
def test_pairs_that_cannot_be_are_named(
    sizes: list[list[int]], number: int | None, same_session: pairs.SameSession, message: str
) -> None:
    index = index_of(sizes)
    draw = all_pairs if number is None else partial(drawn_pairs, number=number)
    with pytest.raises(ValueError, match=message):
        draw(index, same_session=same_session)
