"""The full proof of R1-Zero in the tiny world: three seeds and a control, held against what was promised.

Prints the tables of docs/results.md in Markdown; exits 1 if a promise is not kept. Run nothing else meanwhile.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

RUNS = {
    **{f"seed {seed}": ["tiny/r1-zero", f"seed={seed}"] for seed in (0, 1, 2)},
    "random reward": ["tiny/r1-zero-random-reward", "seed=0"],
}
FIGURES = (
    "accuracy",
    "format_rate",
    "mean_response_tokens",
    "reflection_words",
    "truncated_rate",
    "language_consistency",
)
MAX_SECONDS = 300


def main() -> int:
    """Run all, print all, say what was not kept."""
    summaries = {name: _run(name, arguments) for name, arguments in RUNS.items()}
    print(_table(summaries))
    broken = [line for name, summary in summaries.items() for line in _broken_promises(name, summary)]
    print("\n".join(broken) or "Every promise kept.")
    return int(bool(broken))


def _run(name: str, arguments: list[str]) -> dict[str, Any]:
    folder = Path("runs/prove") / name.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "thinkwright", "run", *arguments, "--out", str(folder)], check=True)
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def _table(summaries: dict[str, dict[str, Any]]) -> str:
    lines = ["| run | wall s | " + " | ".join(FIGURES) + " |", "|---" * (len(FIGURES) + 2) + "|"]
    for name, summary in summaries.items():
        cells = [f"{summary['before'][f]:.3g} -> {summary['after'][f]:.3g}" for f in FIGURES]
        lines.append(f"| {name} | {summary['wall_seconds']:.0f} | " + " | ".join(cells) + " |")
    families = list(summaries["seed 0"]["before"]["accuracy_by_family"])
    lines += ["", "| accuracy | " + " | ".join(families) + " |", "|---" * (len(families) + 1) + "|"]
    for name, summary in summaries.items():
        before, after = (summary[when]["accuracy_by_family"] for when in ("before", "after"))
        lines.append(f"| {name} | " + " | ".join(f"{before[f]:.2f} -> {after[f]:.2f}" for f in families) + " |")
    return "\n".join(lines)


def _broken_promises(name: str, summary: dict[str, Any]) -> list[str]:
    before, after = summary["before"], summary["after"]
    if name == "random reward":
        gain = after["accuracy"] - before["accuracy"]
        noise = 1.96 * (before["accuracy_standard_error"] ** 2 + after["accuracy_standard_error"] ** 2) ** 0.5
        promises = {"no gain in accuracy beyond noise": gain <= noise}
    else:
        promises = {
            "accuracy before at most 35 %": before["accuracy"] <= 0.35,
            "accuracy after at least 85 %": after["accuracy"] >= 0.85,
            "format before at most 70 %": before["format_rate"] <= 0.7,
            "format after at least 98 %": after["format_rate"] >= 0.98,
            "length at least doubles": after["mean_response_tokens"] >= 2 * before["mean_response_tokens"],
            "self-checking grows": after["reflection_words"] > before["reflection_words"],
            "truncated at most 2 %": after["truncated_rate"] <= 0.02,
            "at most 10 minutes": summary["wall_seconds"] <= MAX_SECONDS,
        }
    return [f"NOT KEPT, {name}: {promise}" for promise, is_kept in promises.items() if not is_kept]


if __name__ == "__main__":
    sys.exit(main())
