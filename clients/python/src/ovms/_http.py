"""As much of HTTP/1.1 as an answer on a connection of its own takes (RFC 9112): asyncio has none."""

from __future__ import annotations

import asyncio
from typing import AsyncIterator, Dict, NamedTuple

_CHUNK = 1 << 16
#: More headers than this no daemon sends.
_MOST_HEADERS = 100


class Answer(NamedTuple):
    status: int
    #: By their names in small letters.
    headers: Dict[str, str]


async def read_head(reader: asyncio.StreamReader) -> Answer:
    """Raises EOFError if the connection ends, ValueError for what is no answer."""
    words = (await _line(reader)).split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise ValueError("it is no answer of HTTP/1.1")
    headers: Dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = await _line(reader)
        if line == "":
            return Answer(int(words[1]), headers)
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise ValueError("it has too many headers")


async def read_body(reader: asyncio.StreamReader, answer: Answer) -> AsyncIterator[bytes]:
    """What comes, as it comes. Raises EOFError if it breaks off."""
    if answer.status == 204:
        return
    if "chunked" in answer.headers.get("transfer-encoding", "").lower():
        while length := int((await _line(reader)).partition(";")[0], 16):
            async for chunk in _exactly(reader, length):
                yield chunk
            if await _line(reader) != "":
                raise ValueError("a chunk is longer than it says")
        while await _line(reader) != "":
            pass
    elif "content-length" in answer.headers:
        async for chunk in _exactly(reader, int(answer.headers["content-length"])):
            yield chunk
    else:
        while chunk := await reader.read(_CHUNK):
            yield chunk


async def _exactly(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    while length > 0:
        chunk = await reader.read(min(length, _CHUNK))
        if not chunk:
            raise EOFError("the answer breaks off")
        length -= len(chunk)
        yield chunk


async def _line(reader: asyncio.StreamReader) -> str:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the answer breaks off")
    return line.decode("latin-1").rstrip("\r\n")
