"""vLLM as a rollout engine: server processes, the weights pushed to them, and the completions they send back."""
