"""Our attention gives what transformers' own gives, and what cannot be used is refused by name."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.model_folders import write_model_folder
from thinkwright.errors import ModelError, RunFolderError
from thinkwright.models.logprobs import logits_from_hidden, token_logprobs
from thinkwright.models.packed_attention import PackedContext
from thinkwright.models.policy import Policy, choose_device, load_policy, recompute_activations
from thinkwright.models.token_tree import TokenTree, pack, pack_rows
from thinkwright.training.update import policy_logprobs

CPU = torch.device("cpu")
PROMPTS = [[5, 9, 301, 44, 7, 12, 80], [3, 200, 100]]
COMPLETIONS = [[[1, 2, 3, 4], [9, 8]], [[10, 11, 12], [7]]]
TARGETS = torch.tensor([token for group in COMPLETIONS for completion in group for token in completion])


def reference_model(policy: Policy) -> torch.nn.Module:
    """The same weights under transformers' own attention."""
    return AutoModelForCausalLM.from_pretrained(
        policy.model.name_or_path, dtype=torch.float32, attn_implementation="eager"
    )


def reference_logprobs(model: torch.nn.Module, prompt: list[int], completion: list[int]) -> torch.Tensor:
    """Log-probabilities of one completion from one plain, unpadded forward pass."""
    logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(-1, torch.tensor(completion)[:, None])[:, 0]


def tree_of(prompts: list[list[int]], completions: list[list[list[int]]]) -> TokenTree:
    return pack(list(zip(prompts, completions, strict=True)))


@torch.no_grad()
def test_logits_equal_transformers_first_token_to_last(policy: Policy) -> None:
    model = reference_model(policy)
    tree = tree_of(PROMPTS, COMPLETIONS)
    hidden = policy.packed_hidden_states(tree, PackedContext(tree, CPU))
    ours = iter(logits_from_hidden(hidden[list(tree.predictors)], policy.head))
    for prompt, group in zip(PROMPTS, COMPLETIONS, strict=True):
        for completion in group:
            theirs = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
            for row in theirs:
                torch.testing.assert_close(next(ours), row, atol=1e-4, rtol=0)
    assert next(ours, None) is None


def test_logprobs_of_a_packed_micro_batch_equal_separate_sequences(policy: Policy) -> None:
    model = reference_model(policy)
    ours, entropies = policy_logprobs(policy, tree_of(PROMPTS, COMPLETIONS), TARGETS, temperature=1.0)
    theirs = torch.cat(
        [reference_logprobs(model, p, c) for p, cs in zip(PROMPTS, COMPLETIONS, strict=True) for c in cs]
    )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert (entropies > 0).all()


def test_gradients_through_the_shared_prompt_equal_plain_autograd(policy: Policy) -> None:
    model = reference_model(policy)
    policy_logprobs(policy, tree_of(PROMPTS, COMPLETIONS), TARGETS, temperature=1.0)[0].sum().backward()
    sum(
        reference_logprobs(model, p, c).sum() for p, cs in zip(PROMPTS, COMPLETIONS, strict=True) for c in cs
    ).backward()
    theirs = dict(model.named_parameters())
    for name, param in policy.model.named_parameters():
        torch.testing.assert_close(param.grad, theirs[name].grad, atol=1e-4, rtol=1e-3, msg=name)


def test_recomputation_keeps_the_gradient_and_needs_less_memory(policy: Policy) -> None:
    tree = tree_of(PROMPTS, COMPLETIONS)

    def kept_bytes_and_gradients() -> tuple[int, dict[str, torch.Tensor]]:
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
            loss = policy_logprobs(policy, tree, TARGETS, temperature=1.0)[0].sum()
        num_bytes = sum(kept)
        policy.model.zero_grad()
        loss.backward()
        return num_bytes, {name: param.grad.clone() for name, param in policy.model.named_parameters()}

    kept, grads = kept_bytes_and_gradients()
    recompute_activations(policy)
    kept_less, grads_again = kept_bytes_and_gradients()
    assert kept_less < kept / 2
    torch.testing.assert_close(grads_again, grads)


def test_tiles_change_neither_logprobs_nor_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, head = torch.randn(37, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    tokens = torch.randint(0, 50, (37,))
    whole = token_logprobs(hidden, head, tokens, 0.7)
    grads = torch.autograd.grad(whole[0].sum(), (hidden, head))
    plain = torch.log_softmax(hidden @ head.mT / 0.7, -1)
    torch.testing.assert_close(whole, (plain.gather(-1, tokens[:, None])[:, 0], -(plain.exp() * plain).sum(-1)))
    monkeypatch.setattr("thinkwright.models.logprobs.TILE_TOKENS", 10)
    monkeypatch.setattr("thinkwright.models.logprobs.TILE_VOCABULARY", 7)
    tiled = token_logprobs(hidden, head, tokens, 0.7)
    torch.testing.assert_close(tiled, whole)
    torch.testing.assert_close(torch.autograd.grad(tiled[0].sum(), (hidden, head)), grads)


def test_a_missing_folder_names_the_folder_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    # What an unreachable Hub comes down to, without its half a minute of retries.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"nowhere/at-all: no such folder.*Hugging Face Hub.*local folder"):
        load_policy("nowhere/at-all", device=CPU, dtype=torch.float32)


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "m", "qwen2")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot be loaded as a Hugging Face model folder"):
        load_policy(str(folder), device=CPU, dtype=torch.float32)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "m", "qwen2")
    config = json.loads((folder / "config.json").read_text())
    config["num_hidden_layers"] = 3
    config["layer_types"] = ["full_attention"] * 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="weights are missing or have another shape"):
        load_policy(str(folder), device=CPU, dtype=torch.float32)


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "m", "qwen2")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["eos_token"] = None
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"no end token.*eos_token"):
        load_policy(str(folder), device=CPU, dtype=torch.float32)


def test_a_model_with_a_sliding_window_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_model_folder(
        tmp_path / "m", "qwen2", use_sliding_window=True, sliding_window=4, layer_types=["sliding_attention"] * 2
    )
    with pytest.raises(ModelError, match="sliding_attention"):
        load_policy(str(folder), device=CPU, dtype=torch.float32)


def test_a_model_whose_attention_is_not_plain_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(
        tmp_path / "m", "gemma2", head_dim=16, attn_logit_softcapping=0.5, layer_types=["full_attention"] * 2
    )
    with pytest.raises(ModelError, match="not plain causal attention"):
        load_policy(str(folder), device=CPU, dtype=torch.float32)


def test_a_model_whose_head_is_not_plain_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "m", "granite", logits_scaling=8.0)
    with pytest.raises(ModelError, match="not a plain matrix"):
        load_policy(str(folder), device=CPU, dtype=torch.float32)


def test_a_model_with_a_window_and_no_layer_types_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "m", "mistral", sliding_window=64)
    with pytest.raises(ModelError, match="sliding window of 64"):
        load_policy(str(folder), device=CPU, dtype=torch.float32)


def test_a_device_that_is_not_there_is_refused_with_the_remedy() -> None:
    with pytest.raises(ModelError, match=r"machine.device: 'gpu'.*use auto or cpu"):
        choose_device("gpu")


def test_a_model_that_cannot_be_written_leaves_nothing_behind(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot write the model"):
        policy.save(tmp_path / "file" / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_saved_policy_is_an_ordinary_folder_with_the_same_logits(policy: Policy, tmp_path: Path) -> None:
    policy.save(tmp_path / "saved")
    shutil.copytree(tmp_path / "saved", tmp_path / "elsewhere")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "elsewhere", dtype=torch.float32)
    tokens = torch.tensor([PROMPTS[0]])
    with torch.no_grad():
        tree = pack_rows([PROMPTS[0]], first_position=0)
        ours = logits_from_hidden(policy.packed_hidden_states(tree, PackedContext(tree, CPU))[-1], policy.head)
        torch.testing.assert_close(ours, loaded(tokens).logits[0, -1], atol=1e-4, rtol=0)
