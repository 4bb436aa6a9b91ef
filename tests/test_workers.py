"""Work in a process of its own: answers, noise, endings and waiting."""

from pathlib import Path

import pytest

from jaxtriplet.tools.workers import Worker, WorkerError

PROGRAM = """
import os, sys, time

def serve(messages):
    os.write(1, b"noise of a library")
    for message in messages:
        if "status" in message:
            print("before", "last words", "", sep="\\n", file=sys.stderr)
            sys.exit(message["status"])
        time.sleep(message.get("seconds", 0))
        yield {"got": message, "here": os.environ["HERE"], "jax": "jax" in sys.modules, "process": os.getpid()}
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_every_message_has_an_answer_from_one_process(program: Path) -> None:
    with Worker(program, {"HERE": "there"}) as worker:
        first, second = (worker.ask({"number": number}) for number in (1, 2))
    assert (first["got"], second["got"]) == ({"number": 1}, {"number": 2})
    assert first["process"] == second["process"]
    assert first["here"] == "there"
    assert not first["jax"]  # what the program does not import is not there


def test_an_ending_is_told_with_its_last_words_and_the_next_message_starts_anew(program: Path) -> None:
    with Worker(program, {"HERE": ""}) as worker:
        with pytest.raises(WorkerError) as ending:
            worker.ask({"status": 3})
        assert (ending.value.status, ending.value.words) == (3, "last words")
        assert worker.ask({})["got"] == {}


def test_waiting_has_a_limit_and_closing_ends_the_work(program: Path) -> None:
    with Worker(program, {"HERE": ""}) as worker, pytest.raises(TimeoutError):
        worker.ask({"seconds": 60}, 0.1)
