"""How much memory there is, and refusing work that needs more before the process dies of it."""

from __future__ import annotations

import math
import os
from pathlib import Path

from tf_lungreg.errors import InputError

try:
    import resource
except ImportError:  # Windows
    resource = None

# What a container may use, by version 2 and 1 of control groups.
_CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def usable_memory() -> float:
    """Bytes that this process may have: of the machine, its container and its own limits.

    Returns:
        The smallest of them; infinity where nothing is known.
    """
    limits = [math.inf]
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CONTAINER_LIMITS:
        text = Path(path).read_text().strip() if Path(path).is_file() else ""
        limits += [int(text)] if text.isdigit() else []
    if resource is not None:
        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        limits += [soft] if soft != resource.RLIM_INFINITY else []
    return min(limit for limit in limits if limit > 0)


def check_memory(what: str, needed: float, remedy: str) -> None:
    """Refuses work that needs more memory than there is.

    Args:
        what: the file or setting, and the size that it asks for.
        needed: bytes, estimated.
        remedy: what the user can do, for the message.

    Raises:
        InputError: this machine has less.
    """
    there = usable_memory()
    if needed > there:
        raise InputError(
            f"{what}: about {needed / 1e9:.3g} GB of memory are needed, {there / 1e9:.3g} GB can "
            f"be used here; {remedy}."
        )
