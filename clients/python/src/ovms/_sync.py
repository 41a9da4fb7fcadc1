from __future__ import annotations

import http.client
import json
import socket
import uuid
from types import TracebackType
from typing import Any, Iterable, Iterator, List, Optional, Type, cast
from urllib.parse import quote

from ._errors import OvmError, broken_off, error_of, unreachable
from ._operations import Operations, Query
from .types import Event, ExecEnd, ExecRequest, LogLine
from ._place import default_socket, short_path
from ._request import Request, files_of, request_of
from ._streams import ExecPiece, LineReader, PieceReader, events_in, log_lines_in

_CHUNK = 1 << 16
#: The most that one request takes (spec/limits.md), in bytes.
_MOST_INPUT = 32 << 10


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: Optional[float]) -> None:
        super().__init__("ovm", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with short_path(self._path) as path:
            self.sock.connect(path)


class Client(Operations):
    """
    The runtime behind a socket. Every method raises `OvmError`: OVM_DAEMON_UNREACHABLE if nobody answers, else what the
    daemon says. May be used by several threads: each call has a connection of its own. `timeout` is how long the daemon
    may be silent, in seconds; a console may be for hours.
    """

    def __init__(self, socket: Optional[str] = None, *, timeout: Optional[float] = None) -> None:
        self.socket = socket or default_socket()
        self.timeout = timeout

    def logs(
        self,
        instance_id: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail: Optional[int] = None,
        since: Optional[str] = None,
    ) -> Iterator[bytes]:
        """What the guest wrote to its console, as it is; with `follow` until it has ended."""
        return self._stream(_logs(instance_id, follow, previous, tail, since))

    def log_lines(
        self,
        instance_id: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail: Optional[int] = None,
        since: Optional[str] = None,
    ) -> Iterator[LogLine]:
        """The same as lines, each with when it came."""
        request = _logs(instance_id, follow, previous, tail, since, "application/x-ndjson")
        reader = LineReader()
        for chunk in self._stream(request):
            yield from log_lines_in(reader.feed(chunk))

    def events(self, *, follow: bool = False, after: Optional[str] = None) -> Iterator[Event]:
        """What happens to instances: what is kept of it, then with `follow` what comes."""
        reader = LineReader()
        for chunk in self._stream(request_of("GET", "/events", query={"follow": follow, "after": after})):
            yield from events_in(reader.feed(chunk))

    def metrics(self) -> str:
        """Numbers, as Prometheus reads them."""
        return b"".join(self._stream(request_of("GET", "/metrics"))).decode()

    def exec_stream(self, instance_id: str, request: ExecRequest) -> Exec:
        """Runs a command in the guest, whose output is iterated over. Leaving the context kills it."""
        attachment = str(uuid.uuid4())
        path = f"/instances/{quote(instance_id, safe='')}/exec"
        asked = request_of("POST", f"{path}/stream", query={"attachment": attachment}, body=request)
        return Exec(self, path, attachment, _Body(self, asked))

    def read_files(self, instance_id: str, path: str) -> Iterator[bytes]:
        """What is at a path of the guest, as a tar archive, as it comes: `tarfile.open(mode="r|", fileobj=…)`."""
        return self._stream(files_of(instance_id, "GET", {"path": path}))

    def write_files(self, instance_id: str, path: str, content: Iterable[bytes], *, rename: bool = False) -> None:
        """
        Has the guest unpack a tar archive at a path; with `rename` what is in it gets the last name of the path where
        there is no folder. What `content` raises ends it, and is raised.
        """
        request = files_of(instance_id, "PUT", {"path": path, "rename": rename})
        body = _Body(self, request, content)
        for chunk in body:
            del chunk
        body.close()

    def attach(self, instance_id: str, *, tail: Optional[int] = None) -> Console:
        """The console and its keyboard, for as long as the context lasts."""
        attachment = str(uuid.uuid4())
        path = f"/instances/{quote(instance_id, safe='')}"
        asked = request_of("GET", f"{path}/attach", query={"attachment": attachment, "tail": tail})
        return Console(self, path, attachment, _Body(self, asked))

    def _json(self, method: str, path: str, *, query: Query = {}, body: object = None) -> Any:
        text = b"".join(self._stream(request_of(method, path, query=query, body=body)))
        return json.loads(text) if text else None

    def _stream(self, request: Request) -> Iterator[bytes]:
        body = _Body(self, request)
        try:
            yield from body
        finally:
            body.close()


def _watched(content: Iterable[bytes], failures: List[Exception]) -> Iterator[bytes]:
    """What it raises is the caller's own, and no fault of the daemon."""
    try:
        for piece in content:
            # One that is empty would be the end.
            if piece:
                yield piece
    except Exception as cause:
        failures.append(cause)
        raise


class _Body:
    """One request, sent, and its answer, which is good; or an OvmError."""

    def __init__(self, client: Client, request: Request, content: Optional[Iterable[bytes]] = None) -> None:
        self._socket = client.socket
        self._connection = _Connection(client.socket, client.timeout)
        method, path, headers, whole = request
        failures: List[Exception] = []
        pieces = None if content is None else _watched(content, failures)
        try:
            try:
                self._connection.request(
                    method, path, body=pieces or whole or None, headers=dict(headers), encode_chunked=pieces is not None
                )
            except (BrokenPipeError, ConnectionResetError):
                # A daemon that refuses what comes says why before all of it has come.
                if pieces is None or self._connection.sock is None:
                    raise
            self._answer = self._connection.getresponse()
            if self._answer.status >= 400:
                raise error_of(self._answer.status, self._answer.read(), path)
        except (OSError, http.client.HTTPException) as cause:
            self.close()
            if failures:
                raise
            raise unreachable(self._socket, cause) from cause
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        while True:
            try:
                chunk = self._answer.read1(_CHUNK)
            except (OSError, http.client.HTTPException, ValueError) as cause:
                raise broken_off(self._socket, cause) from cause
            if not chunk:
                return
            yield chunk

    def close(self) -> None:
        self._connection.close()


class _Attached:
    def __init__(self, client: Client, path: str, attachment: str, body: _Body) -> None:
        self._client = client
        self._path = path
        self._attachment = attachment
        self._body = body

    def _send(self, path: str, data: bytes, query: Query = {}) -> None:
        asked = {"attachment": self._attachment, **query}
        for chunk in self._client._stream(request_of("POST", self._path + path, query=asked, data=data)):
            del chunk

    def _write(self, path: str, data: bytes) -> None:
        for at in range(0, len(data), _MOST_INPUT):
            self._send(path, data[at : at + _MOST_INPUT])

    def close(self) -> None:
        self._body.close()

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()


class Console(_Attached):
    """The console of a machine: iterated over, and typed into."""

    def __enter__(self) -> Console:
        return self

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def write(self, data: bytes) -> None:
        self._write("/input", data)


class Exec(_Attached):
    """A command that runs. Iterating gives what it writes; `end` is how it has ended, after that."""

    end: Optional[ExecEnd] = None

    def __enter__(self) -> Exec:
        return self

    def __iter__(self) -> Iterator[ExecPiece]:
        reader = PieceReader()
        for chunk in self._body:
            for piece in reader.feed(chunk):
                if isinstance(piece, ExecPiece):
                    yield piece
                else:
                    self.end = piece
                    return
        raise OvmError("OVM_DAEMON_UNREACHABLE", "the daemon ended before the command had")

    def wait(self) -> ExecEnd:
        """Reads what is left, and says how it has ended."""
        for piece in self if self.end is None else ():
            del piece
        return cast(ExecEnd, self.end)

    def write(self, data: bytes) -> None:
        """To the input of a command that is interactive or has a terminal; returns once the guest has room for it."""
        self._write("/input", data)

    def end_input(self) -> None:
        self._send("/input", b"", {"end": True})

    def signal(self, number: int) -> None:
        self._client._json("POST", f"{self._path}/control", query={"attachment": self._attachment}, body={"signal": number})

    def resize(self, rows: int, columns: int) -> None:
        body = {"terminal": {"rows": rows, "columns": columns}}
        self._client._json("POST", f"{self._path}/control", query={"attachment": self._attachment}, body=body)


def _logs(
    instance_id: str,
    follow: bool,
    previous: bool,
    tail: Optional[int],
    since: Optional[str],
    accept: Optional[str] = None,
) -> Request:
    query: Query = {"follow": follow, "previous": previous or None, "tail": tail, "since": since}
    return request_of("GET", f"/logs/{quote(instance_id, safe='')}", query=query, accept=accept)
