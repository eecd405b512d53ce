"""Draws ``make compare``'s runs: ``python -m bench.plot_methods runs/compare/methods.json docs/methods.svg``."""

import json
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

PANELS = {"accuracy": "held-out accuracy", "pass_at_16": "pass@16", "worst_drop": "deepest fall of the reward"}


def main() -> None:
    """A line a method, the best mean first: a dot a seed, the mean with its 95 % interval; dotted, the default's."""
    mpl.rcParams["svg.hashsalt"] = "methods"  # so that the same figures give the same file
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    methods = sorted(found, key=lambda method: found[method]["intervals"]["accuracy"][0])
    figure, panels = plt.subplots(
        1, len(PANELS), figsize=(10, 0.32 * len(methods) + 1), layout="constrained", sharey=True
    )
    for panel, (key, title) in zip(panels, PANELS.items(), strict=True):
        for place, method in enumerate(methods):
            values = [row[key] for row in found[method]["seeds"]]
            mean, half = found[method]["intervals"][key]
            colour = "tab:orange" if method == "default" else "tab:blue"
            panel.errorbar(mean, place, xerr=half, fmt="|", color=colour, capsize=3, markersize=9)
            panel.plot(values, [place] * len(values), "o", color=colour, alpha=0.35, markersize=4)
        panel.axvline(found["default"]["intervals"][key][0], linestyle=":", color="tab:orange", linewidth=1)
        panel.set_xlabel(title)
        panel.grid(alpha=0.3, axis="x")
    panels[0].set_yticks(range(len(methods)), methods)
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
