"""Values of options as the command line takes them; each raises what argparse turns into a message."""

import argparse


def positive(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def names(text: str) -> tuple[str, ...]:
    """Names with commas between, each once."""
    found = tuple(dict.fromkeys(name for name in text.split(",") if name))
    if not found:
        raise argparse.ArgumentTypeError("at least one name")
    return found


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers of at least 1 with commas between, in order."""
    return tuple(sorted({positive(number) for number in text.split(",")}))


def temperature(text: str) -> float:
    """A temperature; 0 is greedy."""
    temperature = float(text)
    if not 0 <= temperature < float("inf"):
        raise argparse.ArgumentTypeError("0 or more")
    return temperature


def top_p(text: str) -> float:
    """A share above 0, 1 for all tokens."""
    share = float(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError("more than 0, at most 1")
    return share


def address(text: str) -> str:
    """The base address of a server."""
    from thinkwright.config.endpoint import checked_url

    try:
        return checked_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def count(text: str) -> int:
    """A whole number, 0 among them."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("at least 0")
    return number


def port(text: str) -> int:
    """A port; 0 for a free one."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("from 0 to 65535")
    return number


def positive_number(text: str) -> float:
    """A number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("more than 0")
    return number


def share(text: str) -> float:
    """A share between 0 and 1, neither of them."""
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError("more than 0 and less than 1")
    return share
