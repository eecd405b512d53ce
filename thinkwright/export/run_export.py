"""The ``export`` verb: a model into the folder of another program, checked before it is called done."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from thinkwright.errors import ModelError
from thinkwright.export import gguf, ollama
from thinkwright.export.card import hub_base, languages_of, license_of, write_card
from thinkwright.export.gguf import GgufModel, check_gguf, file_name, write_gguf
from thinkwright.export.gguf_layout import read_layout
from thinkwright.export.gguf_tokenizer import read_tokenizer
from thinkwright.export.huggingface import check_folder, make_card, write_folder
from thinkwright.export.llama_cpp import compare_greedy, is_installed
from thinkwright.export.push import check_push, push_folder
from thinkwright.export.subject import Subject, find_subject, load_subject
from thinkwright.export.whole_folder import check_free, whole_folder

TARGETS = ("hf", "gguf", "ollama")
TYPES = gguf.TYPES


@dataclass(frozen=True)
class Wanted:
    """What the user asked for."""

    model: str
    target: str
    """One of ``TARGETS``."""
    file_type: str | None = None
    """One of ``TYPES``; f16 if not said."""
    out: Path | None = None
    name: str | None = None
    template: str | None = None
    license: str | None = None
    push: str | None = None
    private: bool = False


def export_model(wanted: Wanted) -> list[str]:
    """Write, check and, if asked, upload; gives lines that say what was done.

    Raises ModelError for a model or an option that cannot be used and RunFolderError for a folder that is taken, both
    before anything is written; EndpointError if the Hub refuses.
    """
    _check_options(wanted)
    source, config = find_subject(wanted.model)
    name = wanted.name or source.name
    out = wanted.out or Path("exports") / f"{name}-{wanted.target}"
    check_free(out)
    file_type = wanted.file_type or "f16"
    if wanted.target != "hf":
        gguf.import_gguf()
        read_layout(name, config, file_type)
    if wanted.push is not None:
        check_push(wanted.push)
    disable_progress_bar()
    subject = load_subject(source, config, wanted.name, wanted.template)
    is_hf = wanted.target == "hf"
    lines = _write_hf(subject, wanted, out) if is_hf else _write_gguf(subject, wanted, file_type, out)
    lines.append(f"folder: {out.resolve()}")
    if wanted.push is not None:
        lines.append(f"uploaded: {push_folder(out, wanted.push, private=wanted.private)}")
    return lines


def _check_options(wanted: Wanted) -> None:
    """An option that would have no effect is an error, as is a name that cannot be a file's."""
    if wanted.name is not None and not re.fullmatch(r"[\w.-]+", wanted.name):
        raise ModelError(f"--name {wanted.name!r}: it becomes part of file names; use letters, digits, - _ and .")
    if wanted.target == "hf" and wanted.file_type is not None:
        raise ModelError(
            "--type is for GGUF files; a Hugging Face folder keeps the weights as they are, so leave it out"
        )
    if wanted.target == "ollama" and wanted.push is not None:
        raise ModelError("--push is for the Hugging Face Hub; use --to gguf with it, or push to Ollama by: ollama push")
    if wanted.private and wanted.push is None:
        raise ModelError("--private says how a pushed model is kept; give --push OWNER/NAME with it, or leave it out")


def _write_hf(subject: Subject, wanted: Wanted, out: Path) -> list[str]:
    with whole_folder(out) as folder:
        write_folder(subject, folder, wanted.license)
        found = check_folder(subject, folder)
    return [f"loaded again: {found['logits']:,} logits of {found['prompts']} texts equal, prompts and tokens equal"]


def _write_gguf(subject: Subject, wanted: Wanted, file_type: str, out: Path) -> list[str]:
    model = gguf_model(subject, file_type, wanted.license)
    with whole_folder(out) as folder:
        path = folder / file_name(model)
        write_gguf(model, path)
        found = check_gguf(model, path)
        lines = [_read_back(path, found, file_type)]
        if is_installed():
            lines.append(compare_greedy(model, path).line())
        if wanted.target == "ollama":
            (folder / ollama.MODELFILE).write_text(ollama.modelfile(model, path.name), encoding="utf-8")
        else:
            write_card(folder, make_card(subject, "gguf", wanted.license))
    return lines


def _read_back(path: Path, found: dict[str, Any], file_type: str) -> str:
    error, size = found["largest_error"], path.stat().st_size / 2**20
    if file_type not in ("f32", "f16", "bf16"):
        equal = f"within the error of {file_type} (off by at most {error:.1e})"
    elif error:
        equal = f"equal to the bit to the weights rounded to {file_type} (by at most {error:.1e})"
    else:
        equal = "equal to the bit"
    return f"read back: {found['tensors']} tensors {equal}, {found['tokens']:,} tokens equal, {size:.1f} MiB"


def gguf_model(subject: Subject, file_type: str, license: str | None) -> GgufModel:
    """All that a GGUF file is written of. Raises ModelError for a model that llama.cpp cannot hold."""
    policy = subject.policy
    layout = read_layout(subject.name, policy.model.config, file_type)
    tokenizer = read_tokenizer(
        subject.name, policy.tokenizer, layout.num_rows, policy.end_ids, is_ours=subject.chat.name != "own"
    )
    return GgufModel(
        name=subject.name,
        policy=policy,
        layout=layout,
        tokenizer=tokenizer,
        chat=subject.chat,
        file_type=file_type,
        license=license_of(subject.facts, license),
        languages=languages_of(subject.facts),
        base_model=hub_base(subject.facts),
    )
