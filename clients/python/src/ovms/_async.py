from __future__ import annotations

import asyncio
import json
import socket
import uuid
from types import TracebackType
from typing import Any, AsyncIterable, AsyncIterator, Optional, Type, cast
from urllib.parse import quote

from ._errors import OvmError, broken_off, error_of, unreachable
from ._operations import AsyncOperations, Query
from .types import Event, ExecEnd, ExecRequest, LogLine
from ._http import Answer, read_body, read_head
from ._place import default_socket, short_path
from ._request import Request, files_of, request_of
from ._streams import ExecPiece, LineReader, PieceReader, events_in, log_lines_in
from ._sync import _MOST_INPUT, _logs


class AsyncClient(AsyncOperations):
    """As `Client`, for asyncio. A call that is cancelled closes its connection."""

    def __init__(self, socket: Optional[str] = None) -> None:
        self.socket = socket or default_socket()

    def logs(
        self,
        instance_id: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail: Optional[int] = None,
        since: Optional[str] = None,
    ) -> AsyncIterator[bytes]:
        """What the guest wrote to its console, as it is; with `follow` until it has ended."""
        return self._stream(_logs(instance_id, follow, previous, tail, since))

    async def log_lines(
        self,
        instance_id: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail: Optional[int] = None,
        since: Optional[str] = None,
    ) -> AsyncIterator[LogLine]:
        """The same as lines, each with when it came."""
        request = _logs(instance_id, follow, previous, tail, since, "application/x-ndjson")
        reader = LineReader()
        async for chunk in self._stream(request):
            for line in log_lines_in(reader.feed(chunk)):
                yield line

    async def events(self, *, follow: bool = False, after: Optional[str] = None) -> AsyncIterator[Event]:
        """What happens to instances: what is kept of it, then with `follow` what comes."""
        reader = LineReader()
        async for chunk in self._stream(request_of("GET", "/events", query={"follow": follow, "after": after})):
            for event in events_in(reader.feed(chunk)):
                yield event

    async def metrics(self) -> str:
        """Numbers, as Prometheus reads them."""
        return (await self._whole(request_of("GET", "/metrics"))).decode()

    async def exec_stream(self, instance_id: str, request: ExecRequest) -> AsyncExec:
        """Runs a command in the guest, whose output is iterated over. Leaving the context kills it."""
        attachment = str(uuid.uuid4())
        path = f"/instances/{quote(instance_id, safe='')}/exec"
        asked = request_of("POST", f"{path}/stream", query={"attachment": attachment}, body=request)
        return AsyncExec(self, path, attachment, await self._open(asked))

    def read_files(self, instance_id: str, path: str) -> AsyncIterator[bytes]:
        """What is at a path of the guest, as a tar archive, as it comes."""
        return self._stream(files_of(instance_id, "GET", {"path": path}))

    async def write_files(
        self, instance_id: str, path: str, content: AsyncIterable[bytes], *, rename: bool = False
    ) -> None:
        """Has the guest unpack a tar archive at a path, as `Client.write_files` does."""
        body = await self._open(files_of(instance_id, "PUT", {"path": path, "rename": rename}), content)
        async for chunk in body:
            del chunk
        body.close()

    async def attach(self, instance_id: str, *, tail: Optional[int] = None) -> AsyncConsole:
        """The console and its keyboard, for as long as the context lasts."""
        attachment = str(uuid.uuid4())
        path = f"/instances/{quote(instance_id, safe='')}"
        asked = request_of("GET", f"{path}/attach", query={"attachment": attachment, "tail": tail})
        return AsyncConsole(self, path, attachment, await self._open(asked))

    async def _json(self, method: str, path: str, *, query: Query = {}, body: object = None) -> Any:
        text = await self._whole(request_of(method, path, query=query, body=body))
        return json.loads(text) if text else None

    async def _whole(self, request: Request) -> bytes:
        return b"".join([chunk async for chunk in self._stream(request)])

    async def _stream(self, request: Request) -> AsyncIterator[bytes]:
        body = await self._open(request)
        try:
            async for chunk in body:
                yield chunk
        finally:
            body.close()

    async def _open(self, request: Request, content: Optional[AsyncIterable[bytes]] = None) -> _Body:
        """Sends it; the answer is a good one, or an OvmError."""
        method, path, headers, whole = request
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        first = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + whole
        place = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        writer: Optional[asyncio.StreamWriter] = None
        try:
            place.setblocking(False)
            with short_path(self.socket) as short:
                await asyncio.get_running_loop().sock_connect(place, short)
            await _send(place, first, content)
            reader, writer = await asyncio.open_unix_connection(sock=place)
            body = _Body(self.socket, await read_head(reader), reader, writer)
            if body.answer.status >= 400:
                raise error_of(body.answer.status, b"".join([chunk async for chunk in body]), path)
            return body
        except BaseException as cause:
            (writer or place).close()
            if isinstance(cause, _OfContent):
                raise cause.raised
            if isinstance(cause, (OSError, EOFError, ValueError)):
                raise unreachable(self.socket, cause) from cause
            raise


class _OfContent(Exception):
    """What is the caller's own, and no fault of the daemon."""

    def __init__(self, raised: Exception) -> None:
        super().__init__(raised)
        self.raised = raised


async def _watched(content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    try:
        async for piece in content:
            # One that is empty would be the end.
            if piece:
                yield piece
    except Exception as cause:
        raise _OfContent(cause) from cause


async def _send(place: socket.socket, first: bytes, content: Optional[AsyncIterable[bytes]]) -> None:
    """
    Not by a stream of asyncio, which forgets what was answered once it cannot write: a daemon that refuses what comes
    says why before all of it has come.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(place, first)
    if content is None:
        return
    try:
        async for piece in _watched(content):
            await loop.sock_sendall(place, b"%x\r\n%b\r\n" % (len(piece), piece))
        await loop.sock_sendall(place, b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        return


class _Body:
    def __init__(
        self, socket: str, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.answer = answer
        self._socket = socket
        self._reader = reader
        self._writer = writer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in read_body(self._reader, self.answer):
                yield chunk
        except (OSError, EOFError, ValueError) as cause:
            raise broken_off(self._socket, cause) from cause

    def close(self) -> None:
        self._writer.close()


class _Attached:
    def __init__(self, client: AsyncClient, path: str, attachment: str, body: _Body) -> None:
        self._client = client
        self._path = path
        self._attachment = attachment
        self._body = body

    async def _send(self, path: str, data: bytes, query: Query = {}) -> None:
        asked = {"attachment": self._attachment, **query}
        await self._client._whole(request_of("POST", self._path + path, query=asked, data=data))

    async def _write(self, path: str, data: bytes) -> None:
        for at in range(0, len(data), _MOST_INPUT):
            await self._send(path, data[at : at + _MOST_INPUT])

    def close(self) -> None:
        self._body.close()

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()


class AsyncConsole(_Attached):
    """The console of a machine: iterated over, and typed into."""

    async def __aenter__(self) -> AsyncConsole:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()

    async def write(self, data: bytes) -> None:
        await self._write("/input", data)


class AsyncExec(_Attached):
    """A command that runs. Iterating gives what it writes; `end` is how it has ended, after that."""

    end: Optional[ExecEnd] = None

    async def __aenter__(self) -> AsyncExec:
        return self

    async def __aiter__(self) -> AsyncIterator[ExecPiece]:
        reader = PieceReader()
        async for chunk in self._body:
            for piece in reader.feed(chunk):
                if isinstance(piece, ExecPiece):
                    yield piece
                else:
                    self.end = piece
                    return
        raise OvmError("OVM_DAEMON_UNREACHABLE", "the daemon ended before the command had")

    async def wait(self) -> ExecEnd:
        """Reads what is left, and says how it has ended."""
        if self.end is None:
            async for piece in self:
                del piece
        return cast(ExecEnd, self.end)

    async def write(self, data: bytes) -> None:
        """To the input of a command that is interactive or has a terminal; returns once the guest has room for it."""
        await self._write("/input", data)

    async def end_input(self) -> None:
        await self._send("/input", b"", {"end": True})

    async def signal(self, number: int) -> None:
        await self._control({"signal": number})

    async def resize(self, rows: int, columns: int) -> None:
        await self._control({"terminal": {"rows": rows, "columns": columns}})

    async def _control(self, body: object) -> None:
        path = f"{self._path}/control"
        await self._client._json("POST", path, query={"attachment": self._attachment}, body=body)
