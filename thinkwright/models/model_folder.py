"""A model folder as it comes from anywhere: what is looked at before a library loads it.

Nothing in it is ever run: weights are safetensors and never pickles, and no code of its own is imported
(``LOADING``). Sizes that its config claims are held against the weights that are there before any memory is asked for.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from thinkwright.errors import ModelError

LOADING: dict[str, Any] = {"trust_remote_code": False}
"""For everything that transformers loads."""
WEIGHTS: dict[str, Any] = LOADING | {"use_safetensors": True}
"""The same for weights."""
_MAX_JSON_BYTES = 100_000_000

_LIMITS = {
    "num_hidden_layers": 2_000,
    "hidden_size": 1_000_000,
    "intermediate_size": 10_000_000,
    "num_attention_heads": 100_000,
    "num_key_value_heads": 100_000,
    "head_dim": 100_000,
    "num_experts": 100_000,
    "num_local_experts": 100_000,
    "n_routed_experts": 100_000,
    "vocab_size": 100_000_000,
    "max_position_embeddings": 10_000_000_000,
}
"""What no model comes near, and what a library would try to make memory for."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def check_model_folder(folder: Path) -> None:
    """Raises ModelError for a folder that must not or cannot be loaded. One that is not there is another's matter."""
    if not (folder / "config.json").is_file():
        return
    config = _read_object(folder / "config.json")
    _check_config(folder / "config.json", config)
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder}: adapters lie beside the model (adapter_config.json), which would change it unseen; merge "
            "them, or take them out"
        )
    names = _weight_files(folder)
    if not names:
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        raise ModelError(
            f"{folder}: holds no safetensors"
            + (f", only {', '.join(pickles[:3])}, which can run code when it is read" if pickles else "")
            + "; give a folder with model.safetensors, or convert it where you trust it"
        )
    _check_shapes(folder, config, dict(_shapes(folder, names)))


def _check_config(path: Path, config: dict[str, Any]) -> None:
    if "auto_map" in config and not _is_known(config.get("model_type")):
        raise ModelError(
            f"{path}: auto_map: the model brings code of its own, which is not run; give a model of a kind that "
            "transformers knows"
        )
    for name, part in config.items():
        if name.endswith("_config") and isinstance(part, dict):
            _check_config(path, cast("dict[str, Any]", part))
    for name, limit in _LIMITS.items():
        value = config.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit):
            raise ModelError(f"{path}: {name} = {str(value)[:40]} is no size of a model; the file is damaged or a trap")


def _is_known(kind: Any) -> bool:
    """Whether transformers has the code of a model of this kind itself."""
    from transformers import CONFIG_MAPPING

    return isinstance(kind, str) and kind in CONFIG_MAPPING


def _weight_files(folder: Path) -> list[str]:
    """The safetensors that hold the weights: those of the index, or the one. Raises ModelError for a bad index."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return ["model.safetensors"] if (folder / "model.safetensors").is_file() else []
    found = _read_object(index).get("weight_map")
    names = sorted({str(name) for name in cast("dict[str, Any]", found).values()}) if isinstance(found, dict) else []
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelError(f"{index}: {name[:80]!r} is no file of this folder; the index is damaged or a trap")
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: {name} of the index is not there; fetch the whole folder")
    return names


def _shapes(folder: Path, names: list[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor, from the headers of the files."""
    for name in names:
        for tensor, found in _header(folder / name).items():
            if tensor == "__metadata__":
                continue
            shape = cast("dict[str, Any]", found).get("shape") if isinstance(found, dict) else None
            if not isinstance(shape, list) or not all(isinstance(n, int) for n in cast("list[Any]", shape)):
                raise ModelError(f"{folder / name}: {tensor[:80]!r} has no shape; the file is damaged")
            yield tensor, tuple(cast("list[int]", shape))


def _header(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(_MAX_JSON_BYTES, path.stat().st_size):
                raise ValueError(f"a header of {length} bytes")
            found = json.loads(file.read(length))
    except (OSError, ValueError, struct.error, RecursionError) as error:
        raise ModelError(
            f"{path}: cannot be loaded as a Hugging Face model folder's weights ({error}); the file is damaged"
        ) from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: its header is no table of tensors; the file is damaged")
    return cast("dict[str, Any]", found)


def _check_shapes(folder: Path, config: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    """The config's layers, width and vocabulary, as far as it gives them, must be those of the weights."""
    layers = {int(part) for name in shapes if (part := _layer_of(name)) is not None}
    claimed = config.get("num_hidden_layers")
    if claimed is not None and layers and claimed > len(layers):  # some hold one more, to draft with
        raise ModelError(
            f"{folder}: weights are missing or have another shape: config.json says {claimed} layers, the weights "
            f"have {len(layers)}; the folder is damaged"
        )
    embedding = next((shape for name, shape in shapes.items() if name.endswith("embed_tokens.weight")), None)
    wanted = config.get("vocab_size"), config.get("hidden_size")
    if embedding is not None and None not in wanted and tuple(embedding) != wanted:
        raise ModelError(
            f"{folder}: weights are missing or have another shape: config.json says {wanted[0]} tokens of "
            f"{wanted[1]}, the weights have {' x '.join(map(str, embedding))}; the folder is damaged"
        )


def _layer_of(name: str) -> str | None:
    """The number in ``model.layers.NUMBER.``."""
    _, found, rest = name.partition("layers.")
    number = rest.partition(".")[0]
    return number if found and number.isascii() and number.isdigit() and len(number) < 6 else None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); fetch the folder again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: is no JSON object; fetch the folder again")
    return cast("dict[str, Any]", found)
