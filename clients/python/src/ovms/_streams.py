"""What comes over the socket bit by bit, without the socket."""

from __future__ import annotations

import json
import struct
from typing import Iterator, List, NamedTuple, Union, cast

from ._errors import OvmError
from .types import Event, ExecEnd, LogLine

#: An event or a line that is longer is none of a runtime's.
_LONGEST = 1 << 20


class ExecPiece(NamedTuple):
    """Of what a command writes."""

    #: "stdout" or "stderr".
    channel: str
    data: bytes


class PieceReader:
    """The answer to POST /instances/{id}/exec/stream (OVMS-API-325)."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[Union[ExecPiece, ExecEnd]]:
        self._held += data
        while len(self._held) >= 5:
            kind, length = struct.unpack(">BI", self._held[:5])
            if len(self._held) < 5 + length:
                return
            payload, self._held = self._held[5 : 5 + length], self._held[5 + length :]
            if kind in (1, 2):
                yield ExecPiece("stdout" if kind == 1 else "stderr", payload)
            elif kind == 3:
                yield _end_of(payload)


def _end_of(payload: bytes) -> ExecEnd:
    end = json.loads(payload)
    if "error" in end:
        error = end["error"]
        raise OvmError(error["code"], error["message"], detail=error.get("detail"))
    return cast(ExecEnd, end)


class LineReader:
    """Lines, as they get whole."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> List[bytes]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            raise OvmError("OVM_INTERNAL", "the daemon answered with a line without an end")
        return lines


def events_in(lines: List[bytes]) -> Iterator[Event]:
    """Of server-sent events, as a runtime writes them: one line of data each."""
    for line in lines:
        if line.startswith(b"data: "):
            yield cast(Event, json.loads(line[len(b"data: ") :]))


def log_lines_in(lines: List[bytes]) -> Iterator[LogLine]:
    for line in lines:
        if line:
            yield cast(LogLine, json.loads(line))
