"""The typed client of the OVMS runtime API, for threads (`Client`) and for asyncio (`AsyncClient`)."""

from ._async import AsyncClient, AsyncConsole, AsyncExec
from ._errors import OvmError
from . import types
from .types import ErrorCode
from ._place import default_socket
from ._streams import ExecPiece
from ._sync import Client, Console, Exec

__all__ = [
    "AsyncClient",
    "AsyncConsole",
    "AsyncExec",
    "Client",
    "Console",
    "ErrorCode",
    "Exec",
    "ExecPiece",
    "OvmError",
    "default_socket",
    "types",
]
