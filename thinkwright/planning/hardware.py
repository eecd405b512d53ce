"""What devices can do, by their makers' data sheets, and how much of it training is taken to reach."""

from dataclasses import dataclass

from thinkwright.errors import RecipeError

GB = 10**9
UPDATE_SHARE = 0.35
"""Of the peak of dense bf16 products that passes over packed tokens reach: assumed (published training runs of dense
models report 0.3 to 0.5)."""
BANDWIDTH_SHARE = 0.6
"""Of the memory's peak that decoding reaches: assumed."""
NODE = 8
"""Devices that a fast link joins."""


@dataclass(frozen=True)
class Hardware:
    """Of one device."""

    name: str
    memory: int
    """Bytes."""
    flops: float
    """Dense bf16 operations a second."""
    bandwidth: float
    """Bytes a second of its memory."""
    link: float
    """Bytes a second to the others of its node, one way."""
    network: float
    """Bytes a second to other nodes."""
    price: float
    """US dollars an hour: a usual rent, to be overridden by ``--price``."""


HARDWARE = {
    device.name: device
    for device in (
        Hardware("rtx4090", 24 * GB, 165e12, 1.01e12, 25e9, 12e9, 0.5),
        Hardware("l40s", 48 * GB, 362e12, 0.86e12, 25e9, 25e9, 1.0),
        Hardware("a100", 80 * GB, 312e12, 2.04e12, 300e9, 25e9, 1.5),
        Hardware("h100", 80 * GB, 989e12, 3.35e12, 450e9, 50e9, 2.5),
        Hardware("h800", 80 * GB, 989e12, 3.35e12, 200e9, 50e9, 2.0),
        Hardware("h200", 141 * GB, 989e12, 4.8e12, 450e9, 50e9, 3.0),
        Hardware("b200", 180 * GB, 2250e12, 7.7e12, 900e9, 50e9, 5.0),
        Hardware("mi300x", 192 * GB, 1307e12, 5.3e12, 448e9, 50e9, 2.5),
    )
}
"""The H800's price is the one that DeepSeek-R1's costs were told with (arXiv:2501.12948v2, supplement)."""


def hardware_of(name: str) -> Hardware:
    """Raises RecipeError for one that is not in the table."""
    if name not in HARDWARE:
        raise RecipeError(f"--hardware: {name} is not in the table; it has {', '.join(HARDWARE)}")
    return HARDWARE[name]
