"""What stands beside the code: versions that agree, files that are named and there, a change log of a known form."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import jaxtriplet

ROOT = Path(__file__).parent.parent
CHANGES = (ROOT / "CHANGELOG.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def releases() -> dict[str, str]:
    """The date of each version of the change log, the newest first."""
    return dict(re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", CHANGES, re.MULTILINE))


def test_the_version_is_the_same_everywhere() -> None:
    citation = dict(re.findall(r"^([\w-]+): (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE))
    version, date = next(iter(releases().items()))
    assert version == jaxtriplet.__version__ == citation["version"]
    assert citation["date-released"] == date
    assert citation["license"] == PROJECT["project"]["license"]


def test_the_change_log_is_kept_as_keep_a_changelog_says() -> None:
    headings = re.findall(r"^## (.*)$", CHANGES, re.MULTILINE)
    assert headings == ["[Unreleased]", *(f"[{version}] - {date}" for version, date in releases().items())]
    assert sorted(releases().items(), key=lambda one: [int(part) for part in one[0].split(".")])[::-1] == list(
        releases().items()
    )
    for section in CHANGES.split("\n## ")[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds], section.partition("\n")[0]
    for version in ["Unreleased", *releases()]:
        assert re.search(rf"^\[{re.escape(version)}\]: https://\S+$", CHANGES, re.MULTILINE)


def test_files_that_contributing_names_are_there() -> None:
    words = re.findall(r"`([\w./-]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    made = {"build/site", "dist", "runs/autotune"}  # by what the page tells to run
    roots = {path.name for path in ROOT.iterdir()}
    named = {word for word in words if word.partition("/")[0] in roots} - made
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "CITATION.cff", ".ci/run", "tests/cases.py"} <= named
    missing = {word for word in named if not (ROOT / word).exists()}
    assert not missing


def test_one_command_is_what_the_workflow_runs() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.findall(r"- run: (.*)", workflow) == [".ci/run"]
    pythons = [Path(name) for name in re.findall(r"python3\.\d+", (ROOT / ".ci" / "run").read_text())]
    assert {name.name.removeprefix("python") for name in pythons} <= set(re.findall(r"^ +(3\.\d+)$", workflow, re.M))


def test_the_linter_of_a_commit_is_one_that_the_tests_take() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    (rev,) = re.findall(r"ruff-pre-commit\n +rev: v([\d.]+)", hooks)
    (lowest,) = [one for one in PROJECT["project"]["optional-dependencies"]["test"] if one.startswith("ruff")]
    assert lowest == f"ruff>={rev}"


def test_no_lock_file_is_committed() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert not [name for name in files if re.search(r"\.lock$|lock\.json$|^runs/|^\.gpu/", name)]


SUBSTITUTIONS = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
HOME = "https://github.com/jaxtriplet/jaxtriplet"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("[a](docs/a.md#b)", f"[a]({HOME}/blob/v$HFPR_VERSION/docs/a.md#b)"),
        ("[a](LICENSE)", f"[a]({HOME}/blob/v$HFPR_VERSION/LICENSE)"),
        ("[a](notebooks)", f"[a]({HOME}/blob/v$HFPR_VERSION/notebooks)"),
        ("![a](docs/a.png)", "![a](https://raw.githubusercontent.com/jaxtriplet/jaxtriplet/v$HFPR_VERSION/docs/a.png)"),
        (
            '<img src="a.png">',
            '<img src="https://raw.githubusercontent.com/jaxtriplet/jaxtriplet/v$HFPR_VERSION/a.png">',
        ),
        ("[a](https://jax.dev/a.md)", "[a](https://jax.dev/a.md)"),
        ("[a](#b)", "[a](#b)"),
        ("losses[name](labels, rows)", "losses[name](labels, rows)"),
    ],
)
def test_links_of_the_readme_lead_to_the_tag_on_the_package_index(given: str, shown: str) -> None:
    for one in SUBSTITUTIONS:
        given = re.sub(one["pattern"], one["replacement"], given)
    assert given == shown
