"""The methods of RL for reasoning: pure functions of tensors, each with its equation.

Tables by the names that recipes use: ``advantages.ADVANTAGES``, ``policy_loss.POLICY_LOSSES``,
``reductions.REDUCTIONS``, ``kl.KL_ESTIMATORS``, ``rollout_correction.CORRECTIONS``.
docs/algorithms.md says what each is good for.
"""
