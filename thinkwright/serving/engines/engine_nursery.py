"""Loaded by the process that forks engines, before anything else: it ends with the server, and by no signal to both."""

import signal

for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, signal.SIG_IGN)
