"""Hostile and damaged model folders: refused with the reason, nothing in them run, no memory asked for."""

import contextlib
import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model_folders import write_model_folder
from thinkwright.errors import ModelError
from thinkwright.models.model_folder import check_model_folder
from thinkwright.models.policy import load_policy

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_folder(tmp_path_factory.mktemp("model") / "good", "qwen2")


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "model"))


class Bomb:
    """Leaves a file behind when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def changed(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_policy(str(folder), device=CPU, dtype=torch.float32)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_pickled_weights_are_never_read(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    assert "only pytorch_model.bin, which can run code when it is read" in refusal(folder)
    assert not mark.exists()


def test_pickles_beside_safetensors_are_left_alone(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    load_policy(str(folder), device=CPU, dtype=torch.float32)
    assert not mark.exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_in_the_folder_is_never_run(file: str, folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (folder / "own.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\nOwn = OwnConfig = object\n")
    path = folder / file
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own", "AutoTokenizer": ["own.Own", None]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": own}))
    load_policy(str(folder), device=CPU, dtype=torch.float32)  # transformers has code for models of this kind
    changed(folder, model_type="own_kind", auto_map=own)
    assert "auto_map: the model brings code of its own, which is not run" in refusal(folder)
    assert not mark.exists()


def test_adapters_beside_a_model_are_not_taken_for_a_part_of_it(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    assert "adapters lie beside the model" in refusal(folder)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers = 1000000000 is no size of a model"),
        ({"hidden_size": -64}, "hidden_size = -64 is no size of a model"),
        ({"vocab_size": "many"}, "vocab_size = many is no size of a model"),
        ({"num_attention_heads": True}, "num_attention_heads = True is no size"),
        ({"num_attention_heads": 0}, "num_attention_heads = 0 is no size"),
        ({"text_config": {"num_hidden_layers": 10**9}}, "num_hidden_layers = 1000000000 is no size of a model"),
        ({"n_routed_experts": 10**9}, "n_routed_experts = 1000000000 is no size"),
        ({"num_hidden_layers": 1900}, "config.json says 1900 layers, the weights have 2"),
        ({"vocab_size": 99_000_000}, "config.json says 99000000 tokens of 64, the weights have"),
        ({"hidden_size": 999_936}, "tokens of 999936, the weights have"),
    ],
)
def test_sizes_that_are_not_the_weights_own_ask_for_no_memory(values: dict[str, Any], words: str, folder: Path) -> None:
    changed(folder, **values)
    assert words in refusal(folder)


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "a/b.safetensors", "notes.txt"])
def test_an_index_names_no_file_outside_the_folder(name: str, folder: Path) -> None:
    shutil.move(folder / "model.safetensors", folder / "model-1.safetensors")
    index = {"weight_map": {"model.embed_tokens.weight": "model-1.safetensors", "x": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "is no file of this folder" in refusal(folder)


BROKEN: dict[str, Callable[[Path], object]] = {
    "a config that is no JSON": lambda f: (f / "config.json").write_bytes(b"\xff\xfe{"),
    "a config that is a list": lambda f: (f / "config.json").write_text("[]"),
    "a config nested a million times": lambda f: (f / "config.json").write_text("[" * 1_000_000),
    "an index that is no table": lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": 3}'),
    "an index of what is not there": lambda f: (f / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "gone.safetensors"}}'
    ),
    "weights of nothing": lambda f: (f / "model.safetensors").write_bytes(b""),
    "a header larger than the file": lambda f: (f / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60)),
    "a header that is no JSON": lambda f: (f / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{{"),
    "a header that is a list": lambda f: (f / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"[]"),
    "a tensor without a shape": lambda f: (f / "model.safetensors").write_bytes(struct.pack("<Q", 8) + b'{"a": 1}'),
    "a tokenizer that is no JSON": lambda f: (f / "tokenizer.json").write_text("{"),
    "a tokenizer of another kind": lambda f: (f / "tokenizer.json").write_text('{"version": "1.0", "model": 7}'),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_folders_are_refused_by_name(what: str, folder: Path) -> None:
    BROKEN[what](folder)
    assert str(folder) in refusal(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["num_hidden_layers", "hidden_size", "vocab_size", "auto_map", "head_dim", "model_type", "x"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, JSON, max_size=3), st.binary(max_size=60), st.booleans())
def test_whatever_stands_in_config_and_weights_is_accepted_or_refused_in_words(
    good: Path, tmp_path: Path, values: dict[str, Any], data: bytes, is_header: bool
) -> None:
    place = tmp_path / "fuzzed"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "config.json").write_text(json.dumps(json.loads((good / "config.json").read_text()) | values))
    (place / "model.safetensors").write_bytes(struct.pack("<Q", len(data)) + data if is_header else data)
    with contextlib.suppress(ModelError):
        check_model_folder(place)
