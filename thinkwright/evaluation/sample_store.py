"""Completions of an evaluation on the disk: sampled once, scored as often as one likes.

A file of JSON lines: first how they were drawn, then one row for each question with all its completions, written as
soon as the last of them has ended. A run that was stopped goes on with the questions that have no row.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from thinkwright.errors import DataError
from thinkwright.run_folder import append_jsonl, write_bytes_atomic
from thinkwright.tasks.example import question_digest
from thinkwright.types import FinishReason, Prompt, Rollout

Settings = dict[str, Any]
"""How completions were drawn, by the names of the command's options."""


@dataclass(frozen=True)
class Completion:
    """One completion as it was sampled."""

    text: str
    """Decoded, without the end token."""
    finish_reason: FinishReason
    num_tokens: int
    """As the engine or the server counts them, the end token included."""
    token_ids: tuple[int, ...] = ()
    """Empty if a server gave none."""
    num_thinking_tokens: int | None = None
    """As a server counts them; None: to be counted from the text."""


def completion_of(rollout: Rollout) -> Completion:
    """What is kept of a rollout."""
    return Completion(rollout.text, rollout.finish_reason, len(rollout.token_ids), rollout.token_ids)


class SampleStore:
    """The completions of one model on one suite, drawn in one way."""

    def __init__(self, path: Path, settings: Settings) -> None:
        """Read what is there; a last line that a crash cut off is taken away.

        Raises DataError if the file holds something else, or was drawn with other settings.
        """
        self.path, self._settings = path, settings
        self._found: dict[str, tuple[str, tuple[Completion, ...]]] = {}
        self._read()

    def missing(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Those that have no completions yet, or had another text when they were asked."""
        return [p for p in prompts if self._found.get(p.prompt_id, ("",))[0] != question_digest(p.text)]

    def completions(self, prompt: Prompt) -> tuple[Completion, ...]:
        """Of a prompt that is not missing."""
        return self._found[prompt.prompt_id][1]

    def add(self, prompt: Prompt, completions: Iterable[Completion]) -> None:
        """Keep the completions of a prompt. Raises RunFolderError if they cannot be written."""
        if not self.path.exists():
            append_jsonl(self.path, {"settings": self._settings})
        found = tuple(completions)
        digest = question_digest(prompt.text)
        row = {"prompt_id": prompt.prompt_id, "prompt_digest": digest, "completions": [asdict(one) for one in found]}
        append_jsonl(self.path, row)
        self._found[prompt.prompt_id] = (digest, found)

    def _read(self) -> None:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}); give another --out") from error
        whole = data[: data.rfind(b"\n") + 1]
        first, *rows = whole.split(b"\n")[:-1] or [b""]
        self._check_settings(first)
        for number, line in enumerate(rows, 2):
            self._take(number, line)
        if whole != data:
            write_bytes_atomic(self.path, whole)

    def _check_settings(self, line: bytes) -> None:
        try:
            known: Settings = json.loads(line)["settings"]
            differing = [name for name in known | self._settings if known.get(name) != self._settings.get(name)]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{self.path}:1: holds no samples of `thinkwright eval`; give another --out") from error
        if differing:
            told = ", ".join(f"{name} = {known.get(name)}, not {self._settings.get(name)}" for name in differing)
            raise DataError(f"{self.path}: drawn with {told}; give the same settings, or another --out")

    def _take(self, number: int, line: bytes) -> None:
        try:
            row = json.loads(line)
            found = tuple(_completion(one) for one in row["completions"])
            self._found[row["prompt_id"]] = (row["prompt_digest"], found)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{self.path}:{number}: is damaged ({type(error).__name__}); delete this line, and its question is "
                "asked again"
            ) from error


def _completion(row: dict[str, Any]) -> Completion:
    return Completion(
        row["text"], row["finish_reason"], row["num_tokens"], tuple(row["token_ids"]), row["num_thinking_tokens"]
    )
