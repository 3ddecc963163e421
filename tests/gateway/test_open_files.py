"""The gateway takes as many connections as the system lets it."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import resource
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, most), most))
from metier.gateway.process.supervisor import allow_connections
allow_connections()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
"""


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes() -> None:
    # In a process of its own, for the limit is the process's.
    subprocess.run([sys.executable, "-c", _SCRIPT], check=True, timeout=60)
