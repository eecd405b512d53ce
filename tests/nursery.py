"""What the process that forks runs and engines for the tests has loaded: once for all that a worker starts."""

from thinkwright.quick_imports import quick_imports

with quick_imports():
    import thinkwright.pipeline.run
    import thinkwright.report.page
    import thinkwright.serving.engines.engine_process  # noqa: F401
