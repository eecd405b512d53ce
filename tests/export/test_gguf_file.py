"""GGUF files: what is written reads back, by gguf's reader and by transformers' own."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from tests.model_folders import KINDS, write_model_folder
from thinkwright.errors import ModelError, RunFolderError
from thinkwright.export.gguf import check_gguf, write_gguf
from thinkwright.export.gguf_layout import pairs_together
from thinkwright.export.run_export import TYPES, Wanted, export_model, gguf_model
from thinkwright.export.subject import find_subject, load_subject

gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install 'thinkwright[export]'")
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
BY = r"by at most [1-9]\.\de-\d\d\)"
READ_BACK = {
    "f32": "equal to the bit",
    **{kind: rf"equal to the bit to the weights rounded to {kind} \({BY}" for kind in ("f16", "bf16")},
    **{kind: rf"within the error of {kind} \(off {BY}" for kind in ("q8_0", "q4_0")},
}
"""How a model in fp32 is told to read back."""


def export(model: Path, out: Path, file_type: str = "f32", **settings: Any) -> Path:
    wanted = Wanted(str(model), "gguf", file_type, out, template="think_summary", **settings)
    lines = export_model(wanted)
    assert re.match(rf"read back: \d+ tensors {READ_BACK[file_type]}, [\d,]+ tokens equal, \d+\.\d MiB$", lines[0])
    return next(out.glob("*.gguf"))


def same_logits(folder: Path, file: Path) -> None:
    """transformers reads GGUF by code of its own, which puts Llama's rows back."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    read = load_gguf_checkpoint(file, return_tensors=True, model_to_load=model)
    settings = {
        key: value for key, value in read["config"].items() if key not in ("architectures", "_model_name_or_path")
    }
    # It does not read the size of a head.
    head_size = f"{settings['model_type']}.attention.key_length"
    settings["head_dim"] = gguf.GGUFReader(file).get_field(head_size).contents()
    theirs = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings), dtype=torch.float32).eval()
    missing = theirs.load_state_dict(read["tensors"], strict=False).missing_keys
    assert missing == (["lm_head.weight"] if model.config.tie_word_embeddings else [])
    tokens = torch.arange(5, 45)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(tokens).logits, theirs(tokens).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_tied", [True, False])
def test_transformers_reads_equal_logits(kind: str, is_tied: bool, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model", kind, tie_word_embeddings=is_tied)
    file = export(folder, tmp_path / "out")
    assert ("output.weight" in {tensor.name for tensor in gguf.GGUFReader(file).tensors}) is not is_tied
    same_logits(folder, file)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file_type", TYPES)
def test_every_type_reads_back(kind: str, file_type: str, model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    file = export(model_folder(kind), tmp_path / "out", file_type)
    tensors = {tensor.name: tensor.tensor_type.name.lower() for tensor in gguf.GGUFReader(file).tensors}
    assert tensors["blk.0.attn_q.weight"] == file_type
    assert tensors["blk.0.attn_norm.weight"] == "f32"
    assert tensors["token_embd.weight"] == ("q8_0" if file_type == "q4_0" else file_type)
    assert file.name.endswith(f"-{file_type.upper()}.gguf")


def test_keys_that_programs_read(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    file = export(model_folder("qwen2"), tmp_path / "out", name="small", license="mit")
    reader = gguf.GGUFReader(file)
    expected = {
        "general.name": "small",
        "general.license": "mit",
        "general.type": "model",
        "qwen2.context_length": 1024,
        "qwen2.attention.head_count": 4,
        "qwen2.attention.head_count_kv": 2,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
    }
    assert {key: reader.get_field(key).contents() for key in expected} == expected
    assert reader.get_field("general.sampling.temp").contents() == pytest.approx(0.6)
    assert reader.get_field("general.sampling.top_p").contents() == pytest.approx(0.95)


def test_two_halves_become_pairs() -> None:
    rows = torch.arange(8)  # two heads of four: 0 1 | 2 3 and 4 5 | 6 7
    assert pairs_together(rows, 2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert torch.equal(pairs_together(rows[:, None].repeat(1, 3), 2)[:, 2], pairs_together(rows, 2))


def test_llama_3_positions_are_kept(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model", "llama", rope_parameters=LLAMA3_ROPE)
    file = export(folder, tmp_path / "out")
    factors = next(tensor.data for tensor in gguf.GGUFReader(file).tensors if tensor.name == "rope_freqs.weight")
    # Head size 16: eight frequencies; wavelengths below 256 / 4 stay, above 256 are stretched by 8.
    wavelengths = 2 * torch.pi * 10000.0 ** (torch.arange(0, 16, 2) / 16)
    pairs = [(float(factor), float(length)) for factor, length in zip(factors, wavelengths, strict=True)]
    assert [factor for factor, length in pairs if length < 64] == pytest.approx([1.0] * 3)
    assert [factor for factor, length in pairs if length > 256] == pytest.approx([8.0] * 4)
    assert [1 < factor < 8 for factor, length in pairs if 64 < length < 256] == [True]


def test_linear_positions_are_kept(tmp_path: Path) -> None:
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    folder = write_model_folder(tmp_path / "model", "qwen2", rope_parameters=rope)
    reader = gguf.GGUFReader(export(folder, tmp_path / "out"))
    assert reader.get_field("qwen2.rope.scaling.type").contents() == "linear"
    assert reader.get_field("qwen2.rope.scaling.factor").contents() == 2.0


@pytest.mark.parametrize(
    ("kind", "settings", "file_type", "words"),
    [
        (
            "qwen2",
            {"hidden_size": 80, "num_attention_heads": 4},
            "q8_0",
            "hidden size 80 .* blocks of 32 .* f16 or bf16",
        ),
        ("llama", {"intermediate_size": 100}, "q4_0", "intermediate size 100"),
        ("qwen2", {"hidden_act": "gelu"}, "f16", "activation gelu"),
        ("qwen3", {"attention_bias": True}, "f16", "no attention biases in Qwen3"),
        ("qwen2", {"rope_parameters": LLAMA3_ROPE}, "f16", "positions of type llama3 .* rope_scaling"),
        ("mistral", {"sliding_window": None}, "f16", "type mistral is not written .* only qwen2, qwen3, llama"),
    ],
)
def test_what_gguf_cannot_hold_is_refused_before_writing(
    kind: str, settings: dict[str, Any], file_type: str, words: str, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model", kind, **settings)
    with pytest.raises(ModelError, match=words):
        export(folder, tmp_path / "out", file_type)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("value", "words"), [(1e6, "too large for f16; use --type bf16"), (float("nan"), "not finite")]
)
def test_weights_that_f16_cannot_hold_are_refused(value: float, words: str, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model", "qwen2")
    source, config = find_subject(str(folder))
    subject = load_subject(source, config, None, "think_summary")
    with torch.no_grad():
        subject.policy.model.get_output_embeddings().weight[3, 4] = value
    with pytest.raises(ModelError, match=words):
        write_gguf(gguf_model(subject, "f16", None), tmp_path / "file.gguf")
    assert not (tmp_path / "file.gguf").exists()


def test_a_folder_that_holds_something_is_left_alone(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note").write_text("mine")
    with pytest.raises(RunFolderError, match="exists already; remove it, or give another folder with --out"):
        export(model_folder("qwen2"), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["note"]


@pytest.mark.parametrize("file_type", ["f16", "q8_0", "q4_0"])
def test_one_changed_weight_is_found(file_type: str, model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    source, config = find_subject(str(model_folder("llama")))
    model = gguf_model(load_subject(source, config, None, "think_summary"), file_type, None)
    path = tmp_path / "file.gguf"
    write_gguf(model, path)
    assert check_gguf(model, path)["tensors"] == len(gguf.GGUFReader(path).tensors)
    tensor = next(one for one in gguf.GGUFReader(path).tensors if one.name == "blk.1.ffn_down.weight")
    content = bytearray(path.read_bytes())
    content[tensor.data_offset + 1] ^= 0x7F  # a weight's exponent, or a scale's
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"blk\.1\.ffn_down\.weight"):
        check_gguf(model, path)


def test_a_changed_table_is_found(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    source, config = find_subject(str(model_folder("qwen3")))
    model = gguf_model(load_subject(source, config, None, "think_summary"), "f16", None)
    path = tmp_path / "file.gguf"
    write_gguf(model, path)
    content = path.read_bytes()
    assert content.count(b"</answer>") == 1
    path.write_bytes(content.replace(b"</answer>", b"</answex>"))
    with pytest.raises(ModelError, match=r"tokenizer\.ggml\.tokens"):
        check_gguf(model, path)
