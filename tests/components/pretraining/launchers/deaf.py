"""A training process that does not hear SIGTERM, as in a collective, unless it has done a step (--begun)."""

import signal
import sys
import time

from components.lib.core import heartbeat

signal.signal(signal.SIGTERM, lambda *_: saved.append(1))
saved: list[int] = []
if "--begun" in sys.argv:
    heartbeat.beat(1)
print("deaf", file=sys.stderr, flush=True)
while not ("--begun" in sys.argv and saved):
    time.sleep(0.05)
sys.exit(75)
