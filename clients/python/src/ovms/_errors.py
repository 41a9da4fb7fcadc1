from __future__ import annotations

import json
from typing import Any, Optional


class OvmError(Exception):
    """What goes wrong, with a code of the closed list (spec/errors.json)."""

    def __init__(self, code: str, message: str, *, detail: Any = None, status: Optional[int] = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        #: Particulars that a program can read.
        self.detail = detail
        #: Of the answer; None where nobody answered.
        self.status = status


def error_of(status: int, body: bytes, path: str) -> OvmError:
    """The error that an answer is."""
    try:
        entry = json.loads(body)["errors"][0]
        return OvmError(entry["code"], entry["message"], detail=entry.get("detail"), status=status)
    except (ValueError, LookupError, TypeError):
        return OvmError("OVM_INTERNAL", f"the daemon answered {path} with status {status}", status=status)


def unreachable(socket: str, cause: object) -> OvmError:
    return OvmError("OVM_DAEMON_UNREACHABLE", f"no daemon answers on {socket}: {cause}")


def broken_off(socket: str, cause: object) -> OvmError:
    return OvmError("OVM_DAEMON_UNREACHABLE", f"the daemon on {socket} ended in the middle of an answer: {cause}")
