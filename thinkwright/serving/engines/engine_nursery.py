"""What the process that forks engines has loaded. It ends with the server, and by no signal to both."""

import signal

from thinkwright.quick_imports import quick_imports

for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, signal.SIG_IGN)
with quick_imports():
    import thinkwright.serving.engines.engine_process  # noqa: F401
