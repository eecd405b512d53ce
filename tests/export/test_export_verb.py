"""The verb: targets, options without effect, the Hub, and Ollama's folder."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from thinkwright.cli import main
from thinkwright.errors import ModelError
from thinkwright.export.run_export import Wanted, export_model
from thinkwright.models.reward_model import READING_FILE

NO_GGUF = "gguf is not installed: pip install 'thinkwright[export]'"


def test_a_shipped_model_becomes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "tiny-base", "--to", "hf", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "loaded again: " in said
    assert f"folder: {tmp_path / 'out'}" in said
    card = (tmp_path / "out/README.md").read_text()
    assert "license: apache-2.0" in card
    assert "It began as a toy" in card


def test_a_shipped_model_becomes_an_ollama_folder(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason=NO_GGUF)
    assert main(["export", "tiny-base", "--to", "ollama", "--type", "q8_0", "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"Modelfile", "tiny-base-2.6M-Q8_0.gguf"}
    lines = (tmp_path / "out/Modelfile").read_text().splitlines()
    told = [line for line in lines if line and not line.startswith("#")]
    assert told == [
        "FROM ./tiny-base-2.6M-Q8_0.gguf",
        "PARAMETER num_ctx 1024",
        "PARAMETER temperature 0.6",
        "PARAMETER top_p 0.95",
        'PARAMETER stop "<|endoftext|>"',
        'PARAMETER stop "User:"',
        'LICENSE "apache-2.0"',
    ]
    # Without the marks, the older template stands there whole.
    commented = "\n".join(
        line.removeprefix("# ") for line in lines[lines.index("# marks away from the lines below.") + 1 :]
    )
    assert re.fullmatch(r'TEMPLATE """A conversation between .*</think>\{\{ end \}\}"""', commented, re.DOTALL)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted("tiny-base", "hf", "f16"), "--type is for GGUF files"),
        (Wanted("tiny-base", "ollama", push="a/b"), "--push is for the Hugging Face Hub"),
        (Wanted("tiny-base", "hf", name="a/b"), "it becomes part of file names"),
        (Wanted("tiny-base", "hf", private=True), "--private says how a pushed model is kept"),
        (Wanted("tiny-base", "hf", template="r1_zeroo"), "template r1_zeroo: there is none of this name, only r1_zero"),
        (Wanted("http://127.0.0.1:1/v1#m", "hf"), "a served model's weights are with its server"),
        (Wanted("tiny-base", "hf", push="a b/c"), "is no name on the Hub"),
        (Wanted("tiny-base", "hf", push="alone"), "write OWNER/NAME"),
    ],
)
def test_what_cannot_be_done_is_refused_first(wanted: Wanted, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        export_model(Wanted(**{**wanted.__dict__, "out": tmp_path / "out"}))
    assert not list(tmp_path.iterdir())


def test_a_reward_model_is_refused(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(model_folder("qwen2"), tmp_path / "judge")
    (tmp_path / "judge" / READING_FILE).write_text("{}")
    with pytest.raises(ModelError, match="is a reward model"):
        export_model(Wanted(str(tmp_path / "judge"), "hf", out=tmp_path / "out", template="r1_zero"))


def test_the_default_folder_is_named_after_model_and_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    export_model(Wanted("tiny-base-small", "hf", name="my-model"))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")] == ["exports/my-model-hf"]
    assert "# my-model\n" in (tmp_path / "exports/my-model-hf/README.md").read_text()


def push(tmp_path: Path, endpoint: str) -> subprocess.CompletedProcess[str]:
    """The verb in a process of its own: the Hub's address is read when its package is imported."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_key"}
    words = ["export", "tiny-base-small", "--to", "hf", "--push", "someone/small", "--out", str(tmp_path / "out")]
    return subprocess.run(
        [sys.executable, "-m", "thinkwright", *words], env=environment, capture_output=True, text=True, timeout=300
    )


@contextmanager
def refusing_hub() -> Iterator[str]:
    """A server that forbids everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(403)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_leaves_the_folder(tmp_path: Path) -> None:
    done = push(tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "someone/small could not be uploaded (ConnectError" in done.stderr
    assert f"hf upload OWNER/NAME {tmp_path / 'out'}" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out/model.safetensors").is_file()


@pytest.mark.slow
def test_a_hub_that_refuses_is_named_with_the_remedy(tmp_path: Path) -> None:
    with refusing_hub() as address:
        done = push(tmp_path, address)
    assert f"{address}: refused someone/small (403); set HF_TOKEN" in done.stderr
    assert done.returncode == 1


def test_without_a_key_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no key"))
    out = tmp_path / "out"
    assert main(["export", "tiny-base-small", "--to", "hf", "--push", "someone/small", "--out", str(out)]) == 1
    assert "no key for the Hugging Face Hub; set HF_TOKEN" in capsys.readouterr().err
    assert not out.exists()
