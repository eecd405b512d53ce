"""What a person sees while a run goes on: a bar with the time left on a terminal, plain lines elsewhere."""

import os
import sys
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_COLUMNS = 120


def console_of_tables() -> Console:
    """Standard output, with room for tables where it is no terminal, whose width would be taken for 80 columns."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _COLUMNS
    return console


class Display:
    """Progress of one run. Use as a context manager, so that the bar is taken down whatever happens."""

    def __init__(self, *, is_shown: bool = True) -> None:
        """``is_shown=False`` says nothing: of the ranks of a run one speaks for all."""
        self._is_shown, self._is_terminal = is_shown, is_shown and sys.stdout.isatty()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            disable=not self._is_terminal,
        )
        self._task: TaskID | None = None
        self._seconds: list[float] = []

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """One line that stays."""
        if not self._is_shown:
            return
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True) if self._is_terminal else print(
            text, flush=True
        )

    def step(self, step: int, num_steps: int, metrics: dict[str, Any]) -> None:
        """One training step is done."""
        if not self._is_shown:
            return
        self._seconds.append(float(metrics.get("time/step_seconds", 0.0)))
        if self._is_terminal:
            if self._task is None:
                self._task = self._bar.add_task("", total=num_steps)
            self._bar.update(self._task, completed=step + 1, description=_summary(metrics))
        else:
            recent = self._seconds[-20:]
            left = sum(recent) / len(recent) * (num_steps - step - 1)
            print(f"step {step + 1}/{num_steps}  {_summary(metrics)}  left {left:.0f}s", flush=True)

    def evaluation(self, step: int, figures: dict[str, Any]) -> None:
        """A held-out evaluation is done."""
        parts: list[str] = []
        if "held_out_loss" in figures:
            parts.append(f"loss {figures['held_out_loss']:.4f}")
        if "accuracy" in figures:
            parts += [
                f"accuracy {figures['accuracy']:.1%} ({figures['accuracy_low']:.1%} to {figures['accuracy_high']:.1%})",
                f"format {figures['format_rate']:.1%}",
                f"{figures['mean_response_tokens']:.0f} tokens",
                f"truncated {figures['truncated_rate']:.1%}",
            ]
        self.note(f"held-out at step {step}: {'  '.join(parts)}")


def _summary(metrics: dict[str, Any]) -> str:
    parts = [
        ("loss {:.3f}", "loss/nll"),
        ("loss {:.3f}", "loss/preference"),
        ("KL {:.3f}", "loss/reverse_kl"),
        ("reward {:.2f}", "reward/total"),
        ("accuracy {:.0%}", "reward/accuracy"),
        ("preference {:.2f}", "general/preference"),
        ("accuracy {:.1%}", "evaluate/accuracy"),
        ("{:.0f} tokens", "rollout/response_tokens"),
        ("{:.0f} tokens/s", "rollout/tokens_per_second"),
        ("{:.0f} tokens/s", "sft/tokens_per_second"),
    ]
    return "  ".join(text.format(metrics[key]) for text, key in parts if key in metrics)
