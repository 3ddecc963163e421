"""A fake OpenAI-compatible server for tests, the demo and benchmarks: chat, responses, embeddings, and faults.

`python -m metier.labs.upstream --port 0` runs it as a process and prints its address.
"""

from metier.labs.upstream.behaviour import Behaviour, Fault
from metier.labs.upstream.http import Call
from metier.labs.upstream.server import FakeUpstream, RunningUpstream, running_upstream

__all__ = ["Behaviour", "Call", "FakeUpstream", "Fault", "RunningUpstream", "running_upstream"]
