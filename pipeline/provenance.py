"""Where a run happens: the commit of its code and the processor, as the manifest records them."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from .config import HOME


def find_code_revision() -> str:
    """Return the commit of this checkout, with a + when it has local changes; empty outside a checkout."""
    git = ["git", "-C", str(HOME)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--", str(HOME)], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + "+" * bool(changes.stdout.strip())


def find_cpu() -> str:
    """Return the processor's model name, for the manifest."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
