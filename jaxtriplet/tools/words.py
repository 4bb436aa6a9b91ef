"""What the command line's lists are made of, and the Markdown of the answers."""

from collections.abc import Iterable, Sequence


def split(words: str) -> list[str]:
    """Returns words that are joined by commas.

    Example:
        >>> split("semi-hard, batch-all,")
        ['semi-hard', 'batch-all']
    """
    return [word.strip() for word in words.split(",") if word.strip()]


def whole_numbers(name: str, words: str) -> list[int]:
    """Returns numbers that are joined by commas.

    Args:
        name: What they are called.
        words: The numbers.

    Raises:
        ValueError: They are no numbers.

    Example:
        >>> whole_numbers("devices", "1, 4,16")
        [1, 4, 16]
    """
    try:
        return [int(word) for word in split(words) or [words]]
    except ValueError:
        raise ValueError(f"`{name}` must be whole numbers, joined by commas; got {words!r}") from None


def table(rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table whose numbers stand to the right.

    Args:
        rows: Its cells, the headings first; what a row is of comes first.

    Example:
        >>> print(table([["contender", "wall ms"], ["floor", "1.25"]]))
        | contender | wall ms |
        | --- | ---: |
        | floor | 1.25 |
    """
    headings, *others = rows
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
