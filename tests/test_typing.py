"""What type checkers say to a user: nothing to a file that is right, and something to each line that is not."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
USER, MISTAKES = (ROOT / "tests" / "typed" / f"{name}.py" for name in ("user", "mistakes"))


def run(*words: object) -> str:
    """What a program prints; that it ends with 1 is how a checker says that it found something."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], capture_output=True, text=True, cwd=ROOT, timeout=300, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def of_mypy() -> dict[Path, dict[int, str]]:
    """The errors of `mypy --strict` by file and line; of a library's own files a user sees none."""
    told = run("mypy", "--strict", "--config-file=", "--follow-imports=silent", USER, MISTAKES)
    assert re.search(r"checked 2 source files|no issues found in 2 source files", told), told
    found: dict[Path, dict[int, str]] = {USER: {}, MISTAKES: {}}
    for file, line, error in re.findall(r"^(\S+\.py):(\d+): error: (.*)$", told, re.MULTILINE):
        found[ROOT / file][int(line)] = error
    return found


def of_pyright() -> dict[Path, dict[int, str]]:
    """The errors of Pyright by file and line."""
    told = json.loads(run("pyright", "--outputjson", "--pythonpath", sys.executable, USER, MISTAKES))
    assert told["summary"]["filesAnalyzed"] == 2
    found: dict[Path, dict[int, str]] = {USER: {}, MISTAKES: {}}
    for one in told["generalDiagnostics"]:
        if one["severity"] == "error":
            found[Path(one["file"])][one["range"]["start"]["line"] + 1] = one["message"]
    return found


@pytest.mark.parametrize("errors", [of_mypy, of_pyright])
def test_a_users_file_is_right_and_each_mistake_is_found(errors: object) -> None:
    found = errors()
    refused = {number for number, line in enumerate(MISTAKES.read_text().splitlines(), 1) if "# refused: " in line}
    assert len(refused) > 10
    assert found[USER] == {}
    assert {line: error for line, error in found[MISTAKES].items() if line not in refused} == {}
    assert refused == set(found[MISTAKES])


def test_the_users_file_runs() -> None:
    subprocess.run([sys.executable, "-W", "error", USER], check=True, cwd=ROOT, timeout=300)
