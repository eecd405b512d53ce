"""A Hugging Face folder: plain transformers loads it, with equal logits, our prompts and R1's sampling."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.export.run_folders import write_pipeline
from tests.model_folders import KINDS, write_model_folder
from thinkwright.chat.template import TEMPLATES
from thinkwright.errors import ModelError, RunFolderError
from thinkwright.export.huggingface import check_folder, write_folder
from thinkwright.export.run_export import Wanted, export_model
from thinkwright.export.subject import find_subject, load_subject
from thinkwright.export.whole_folder import whole_folder
from thinkwright.training.checkpoint import Progress, save_checkpoint


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_transformers_loads_what_was_exported(
    kind: str, name: str, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    lines = export_model(Wanted(str(model_folder(kind)), "hf", out=tmp_path / "out", template=name))
    assert "logits of 4 texts equal" in lines[0]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    messages = [{"role": "user", "content": "What is 2 + 3?"}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert ids == tokenizer.encode(TEMPLATES[name].prompt("What is 2 + 3?"), add_special_tokens=False)
    models = (AutoModelForCausalLM.from_pretrained(folder) for folder in (model_folder(kind), tmp_path / "out"))
    with torch.no_grad():
        expected, found = (model.eval()(input_ids=torch.tensor([ids])).logits for model in models)
    assert torch.equal(expected, found)


def test_what_stands_in_the_folder(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    export_model(Wanted(str(model_folder("qwen2")), "hf", out=tmp_path / "out", template="think_summary"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    mask = os.umask(0)
    os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o666 & ~mask}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    settings = AutoModelForCausalLM.from_pretrained(tmp_path / "out").generation_config
    assert (settings.do_sample, settings.temperature, settings.top_p) == (True, 0.6, 0.95)
    assert (settings.eos_token_id, settings.pad_token_id) == ([0], 0)


def test_the_written_tokenizer_tells_a_reply_apart(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    export_model(Wanted(str(model_folder("qwen2")), "hf", out=tmp_path / "out", template="think_summary"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "q"}], add_generation_prompt=True)["input_ids"]
    reply = tokenizer.encode(" <think> 1 + 1 </think> 2<|endoftext|>")
    found = tokenizer.parse_response(reply, prefix=prompt)
    assert (found["role"], found["reasoning_content"].strip(), found["content"].strip()) == ("assistant", "1 + 1", "2")


def test_every_end_is_written(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model", "qwen2")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.generation_config.eos_token_id = [0, 7]
    model.generation_config.save_pretrained(folder)
    export_model(Wanted(str(folder), "hf", out=tmp_path / "out", template="r1_zero"))
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").generation_config.eos_token_id == [0, 7]


def test_bf16_weights_stay_bf16(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model", "llama")
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    export_model(Wanted(str(folder), "hf", out=tmp_path / "out", template="r1_zero"))
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16
    assert (tmp_path / "out/model.safetensors").stat().st_size < 1.1 * (folder / "model.safetensors").stat().st_size


def test_a_runs_template_and_a_checkpoints_weights_are_taken(
    model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    run = write_pipeline(tmp_path / "r1", model_folder("qwen2"))
    export_model(Wanted(str(tmp_path / "r1"), "hf", out=tmp_path / "out"))
    assert "writes a summary for the user" in (tmp_path / "out/chat_template.jinja").read_text()
    assert (tmp_path / "out/.eval_results/gsm8k.yaml").is_file()
    model = AutoModelForCausalLM.from_pretrained(run / "model")
    masters = {name: param.detach() + 1 for name, param in model.named_parameters()}
    checkpoint = tmp_path / "r1/stages/01-zero/checkpoints/step_000020"
    save_checkpoint(checkpoint.parent, Progress(20, 20, 0, 0.0), {f"masters/{name}": w for name, w in masters.items()})
    recipe = tmp_path / "r1/stages/01-zero/recipe.json"
    recipe.write_text(recipe.read_text().replace("tiny-base", str(run / "model")))
    export_model(Wanted(str(checkpoint), "hf", out=tmp_path / "later"))
    found = dict(AutoModelForCausalLM.from_pretrained(tmp_path / "later").named_parameters())
    assert all(torch.equal(found[name], weight) for name, weight in masters.items())
    assert "1. zero, its first 20 steps: reinforcement learning" in (tmp_path / "later/README.md").read_text()


def test_a_changed_folder_is_found(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    source, config = find_subject(str(model_folder("qwen3")))
    subject = load_subject(source, config, None, "think_summary")
    write_folder(subject, tmp_path, None)
    assert check_folder(subject, tmp_path)["prompts"] == 4
    path = tmp_path / "chat_template.jinja"
    path.write_text(path.read_text().replace(" Assistant:", " Assistant: "))
    with pytest.raises(ModelError, match="does not put a question as in training"):
        check_folder(subject, tmp_path)
    write_folder(subject, tmp_path, None)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        model.get_output_embeddings().weight[5, 5] += 1e-3
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="gives other logits"):
        check_folder(subject, tmp_path)


def write_half(folder: Path) -> None:
    with whole_folder(folder) as partial:
        (partial / "half").write_text("x")
        raise ModelError("wrong")


def test_nothing_is_left_of_a_folder_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="wrong"):
        write_half(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="cannot be written"), whole_folder(tmp_path / "file" / "out"):
        pass


def test_a_model_that_says_nothing_of_its_template_is_refused(
    model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="say it with --template r1_zero or"):
        export_model(Wanted(str(model_folder("qwen2")), "hf", out=tmp_path / "out"))
    assert not list(tmp_path.iterdir())


def test_a_template_that_a_model_brings_is_kept(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model", "qwen2")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    tokenizer.save_pretrained(folder)
    export_model(Wanted(str(folder), "hf", out=tmp_path / "out"))
    assert (tmp_path / "out/chat_template.jinja").read_text() == tokenizer.chat_template
    assert "temperature 0.6" not in (tmp_path / "out/README.md").read_text()
