"""Speed and memory against TRL, transformers and vLLM, each in an environment of its own, alternating in one run."""
