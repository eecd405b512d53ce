"""llama.cpp's own HTTP server on a GGUF file, until standard input is closed."""

import argparse
import sys
from pathlib import Path

from thinkwright.export.llama_cpp import serve


def main() -> None:
    """Say the address on a line of its own, and wait."""
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--positions", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    with serve(
        options.gguf, num_positions=options.positions, num_slots=options.slots, num_threads=options.threads
    ) as server:
        print(server.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
