"""What the process that forks engines has loaded."""

from thinkwright.quick_imports import quick_imports

with quick_imports():
    import thinkwright.rollout.fleet.process  # noqa: F401
