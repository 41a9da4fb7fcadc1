from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Iterator

#: Of a socket's address (unix(7)), in bytes.
_LONGEST = 107


def default_socket() -> str:
    """Where the daemon of this user has its socket: the link in the folder of its data (OVMS-API-150)."""
    environment = os.environ
    if environment.get("OVM_HOME"):
        return os.path.join(os.path.abspath(environment["OVM_HOME"]), "ovm.sock")
    if os.getuid() == 0:
        return "/var/lib/ovm/ovm.sock"
    data = environment.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        data = os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "ovm", "ovm.sock")


@contextmanager
def short_path(path: str) -> Iterator[str]:
    """A path of the same socket that fits into an address, as long as the context lasts."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(path)}"
    finally:
        os.close(folder)
