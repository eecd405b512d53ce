#!/bin/sh
# Makes the peers' environments beside the project's own. Idempotent: an environment is made again only when its list of
# packages has changed. The lists are whole, so that nothing else is installed: vLLM's build asks for torchvision,
# torchaudio and torchcodec, whose builds do not fit the CPU build of torch; it runs without them. Without arguments, the
# environments of `make bench`; with names, those (clients: what scripts/compare_evaluators.py asks a server by).
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

make_env() {
    env=.venv-bench-$1
    list=bench/requirements-$1.txt
    [ "$1" = vllm ] && list=thinkwright/rollout/vllm/requirements-cpu.txt
    if cmp -s "$list" "$env/.installed"; then
        return
    fi
    rm -rf "$env"
    "$PYTHON" -m venv "$env"
    "$env/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$list"
    if grep -q "^torch==" "$list"; then
        "$env/bin/python" -c '
import sys, torch
sys.exit(torch.version.cuda and "this torch is a CUDA build; point pip at an index with the CPU build")'
    fi
    cp "$list" "$env/.installed"
}

for name in ${*:-trl vllm plot}; do
    make_env "$name"
done
