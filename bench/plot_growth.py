"""Draws ``bench.growth``'s results: ``python -m bench.plot_growth build/bench/growth.json docs/growth.svg``."""

import json
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

COLOURS = {"rollout": "tab:blue", "update": "tab:orange"}


def main() -> None:
    """One panel an axis: microseconds per completion token, dashed the floor."""
    mpl.rcParams["svg.hashsalt"] = "growth"  # so that the same figures give the same file
    axes = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["axes"]
    figure, panels = plt.subplots(1, len(axes), figsize=(3.2 * len(axes), 3.4), layout="constrained")
    for panel, (name, rows) in zip(panels, axes.items(), strict=True):
        values = [row["value"] for row in rows]
        for part, colour in COLOURS.items():
            panel.plot(values, [row[f"{part}_us"] for row in rows], "o-", color=colour, label=part)
            panel.plot(values, [row[f"{part}_floor_us"] for row in rows], "--", color=colour, label=f"{part}, floor")
        panel.set(xscale="log", yscale="log", xlabel=name)
        panel.minorticks_off()
        panel.set_xticks(values, [f"{value:g}" for value in values], fontsize=7, rotation=45)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("microseconds per completion token")
    panels[0].legend(fontsize=8)
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
