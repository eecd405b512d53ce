"""The style sheet's colours can be read, in light and dark, and its series told apart by the colour-blind."""

import itertools
import re
from importlib import resources

import pytest

from thinkwright.report.charts import NUM_SERIES

STYLE = resources.files("thinkwright.report").joinpath("style.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
)
GROUNDS = ("paper", "card", "well")
SERIES = tuple(f"series-{i}" for i in range(1, NUM_SERIES + 1))
TEXTS = ("ink", "soft", "faint", "before", "after", "right", "wrong")
LINES = (*SERIES, "train", "train-2", "train-3", "held-out")
# Machado et al. 2009, full severity, on linear RGB: what people without one kind of cone see.
EYES = {
    "all cones": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
}


def linear(colour: str) -> list[float]:
    """Linear RGB of #rrggbb (WCAG 2.2, relative luminance)."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]


def contrast(one: str, other: str) -> float:
    lights = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(one), linear(other))]
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def lab(rgb: list[float]) -> tuple[float, float, float]:
    """CIELAB of linear RGB under D65."""
    r, g, b = (min(1.0, max(0.0, share)) for share in rgb)
    x = (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: str, other: str, eyes: str) -> float:
    """How far apart two colours are to such eyes; about 2.3 can just be told."""
    seen = [
        lab([sum(a * b for a, b in zip(row, linear(colour), strict=True)) for row in EYES[eyes]])
        for colour in (one, other)
    ]
    return sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5


def test_the_measures_agree_with_known_values() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert lab([1.0, 1.0, 1.0]) == pytest.approx((100.0, 0.0, 0.0), abs=0.01)
    assert distance("#00a000", "#b06000", "no red") < distance("#00a000", "#b06000", "all cones") / 3


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(colours: dict[str, str]) -> None:
    poor = {
        f"{text} on {ground}": round(contrast(colours[text], colours[ground]), 2)
        for text in TEXTS
        for ground in GROUNDS
        if contrast(colours[text], colours[ground]) < 4.5
    }
    assert not poor
    assert contrast(colours["card"], colours["before"]) >= 4.5  # marked characters: the card's colour on this one


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_stand_out_from_where_charts_are_drawn(colours: dict[str, str]) -> None:
    assert {line: colours[line] for line in LINES if contrast(colours[line], colours["card"]) < 3.0} == {}


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_series_can_be_told_apart_by_the_colour_blind(colours: dict[str, str], eyes: str) -> None:
    pairs = {pair: distance(*(colours[name] for name in pair), eyes) for pair in itertools.combinations(SERIES, 2)}
    assert {pair: round(far, 1) for pair, far in pairs.items() if far < 12} == {}


def test_text_is_set_in_the_colours_that_were_measured() -> None:
    used = set(re.findall(r"[{;]\s*color: var\(--([\w-]+)\)", STYLE)) | set(
        re.findall(r"text \{ fill: var\(--([\w-]+)\)", STYLE)
    )
    assert used <= {*TEXTS, "card"}


def test_dark_and_light_have_the_same_colours() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert set(LINES) | set(TEXTS) | set(GROUNDS) <= LIGHT.keys()
