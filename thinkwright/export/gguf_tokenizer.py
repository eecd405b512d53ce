"""A byte-level BPE tokenizer as GGUF's tables.

llama.cpp does not read a tokenizer's splitting rule but knows some by name (``tokenizer.ggml.pre``). So the rule found
in the tokenizer, not its maker's name or a hash of what it does to a test text, decides which name is written; that
takes tokenizers trained here as well as those of Qwen, Llama 3, GPT-2 and SmolLM. A rule without a name is refused, for
another one in its place would split words elsewhere than in training.

llama.cpp does not normalise: a text that is not in Unicode's composed form (NFC) becomes other tokens there.
"""

import json
from dataclasses import dataclass
from typing import Any

from thinkwright.errors import ModelError

# llama.cpp, gguf-py/gguf/constants.py: TokenType.
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN2 = rf"{_LETTERS}\p{{N}}{_REST}"
_LLAMA3 = rf"{_LETTERS}\p{{N}}{{1,3}}{_REST}"
_MAX_ENDS = 3
"""GGUF has a key for the end of the text, of a turn and of a message."""


@dataclass(frozen=True)
class GgufTokenizer:
    """The tables, one entry for each row of the embedding."""

    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    end_ids: tuple[int, ...]
    """What ends a reply: first the tokenizer's own."""
    pad_id: int | None
    bos_id: int | None
    adds_bos: bool
    """Whether every text begins with ``bos_id``."""


def read_tokenizer(
    name: str, tokenizer: Any, num_rows: int, end_ids: tuple[int, ...], *, is_ours: bool
) -> GgufTokenizer:
    """The tables of a fast tokenizer for an embedding of ``num_rows``.

    ``is_ours``: prompts are put as in training, where nothing stands before them. Raises ModelError for a kind that
    llama.cpp has no name for, and for a tokenizer with more tokens than rows.
    """
    if (backend := getattr(tokenizer, "backend_tokenizer", None)) is None:
        raise ModelError(
            f"{name}: its tokenizer is no fast one (tokenizer.json), so it cannot become GGUF; use --to hf"
        )
    spec = json.loads(backend.to_str())
    pre = splitting_rule_name(name, spec)
    tokens, types = _tables(name, spec, num_rows)
    if len(end_ids) > _MAX_ENDS:
        raise ModelError(
            f"{name}: {len(end_ids)} tokens end a reply, GGUF holds {_MAX_ENDS}; shorten eos_token_id of its "
            "generation_config.json"
        )
    plain, full = (tokenizer.encode("a", add_special_tokens=adds) for adds in (False, True))
    return GgufTokenizer(
        pre=pre,
        tokens=tokens,
        types=types,
        merges=tuple(pair if isinstance(pair, str) else " ".join(pair) for pair in spec["model"]["merges"]),
        end_ids=end_ids,
        pad_id=tokenizer.pad_token_id,
        bos_id=tokenizer.bos_token_id,
        adds_bos=not is_ours and full[: len(full) - len(plain)] == [tokenizer.bos_token_id],
    )


def splitting_rule_name(name: str, spec: dict[str, Any]) -> str:
    """What llama.cpp calls the way a tokenizer (as in tokenizer.json) splits a text. Raises ModelError if nothing."""
    model, normalizer = spec["model"], spec.get("normalizer") or {"type": "NFC"}
    if model["type"] != "BPE" or model.get("byte_fallback") or normalizer["type"] != "NFC":
        raise ModelError(
            f"{name}: its tokenizer ({model['type']}, normalizer {normalizer['type']}) is not byte-level BPE, the only "
            "kind written to GGUF; use --to hf, or llama.cpp's own converter"
        )
    ignores_merges = bool(model.get("ignore_merges"))
    names = {
        ("split", _QWEN2, False): "qwen2",
        ("split", _LLAMA3, True): "llama-bpe",
        ("split", _LLAMA3, False): "smaug-bpe",
        ("own", "", False): "gpt-2",
        ("digits, own", "", False): "smollm",
    }
    kind = _kind(spec.get("pre_tokenizer") or {})
    if (found := names.get((*kind, ignores_merges))) is None:
        raise ModelError(
            f"{name}: llama.cpp has no name for the way its tokenizer splits a text ({kind[1] or kind[0]}); known are "
            "those of Qwen2, Llama 3, GPT-2 and SmolLM; use --to hf"
        )
    return found


def _kind(pre_tokenizer: dict[str, Any]) -> tuple[str, str]:
    """What splits the text before the bytes are mapped, and its pattern, if it has one."""
    steps = pre_tokenizer.get("pretokenizers") or [pre_tokenizer]
    last = steps[-1]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return "no byte-level split without a blank before it", ""
    before, has_own = steps[:-1], bool(last.get("use_regex", True))
    if not before and has_own:
        return "own", ""
    if len(before) == 1 and before[0].get("type") == "Digits" and before[0].get("individual_digits") and has_own:
        return "digits, own", ""
    if len(before) == 1 and before[0].get("type") == "Split" and not has_own:
        split = before[0]
        if split.get("behavior") == "Isolated" and not split.get("invert"):
            return "split", str(split["pattern"].get("Regex"))
    return " then ".join(str(step.get("type")) for step in steps), ""


def _tables(name: str, spec: dict[str, Any], num_rows: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Tokens and their types by id; rows without a token are filled up, as llama.cpp's own converter does."""
    by_id = {int(token_id): (token, NORMAL) for token, token_id in spec["model"]["vocab"].items()}
    for added in spec["added_tokens"]:
        by_id[added["id"]] = (added["content"], CONTROL if added["special"] else USER_DEFINED)
    if max(by_id) >= num_rows:
        raise ModelError(
            f"{name}: its tokenizer has token {max(by_id)}, but its embedding only {num_rows} rows; train with an "
            "embedding as large as the tokenizer"
        )
    rows = [by_id.get(i, (f"[PAD{i}]", UNUSED)) for i in range(num_rows)]
    return tuple(token for token, _ in rows), tuple(kind for _, kind in rows)
