from __future__ import annotations

import json
from typing import Mapping, NamedTuple, Optional
from urllib.parse import quote, urlencode

from ._operations import Query


class Request(NamedTuple):
    """What is sent: one request, on a connection of its own."""

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes


def request_of(
    method: str,
    path: str,
    *,
    query: Query = {},
    body: object = None,
    data: Optional[bytes] = None,
    accept: Optional[str] = None,
) -> Request:
    """`body` is sent as JSON, `data` as it is."""
    asked = {name: _text(value) for name, value in query.items() if value is not None}
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"Host": "ovm", "Connection": "close"}
    if accept is not None:
        headers["Accept"] = accept
    if data is not None:
        content = data
    if method == "PUT":
        # It comes by and by, and nobody knows how much.
        headers["Content-Type"] = "application/octet-stream"
        headers["Transfer-Encoding"] = "chunked"
    if method == "POST":
        headers["Content-Type"] = "application/octet-stream" if data is not None else "application/json"
        headers["Content-Length"] = str(len(content))
    return Request(method, f"{path}?{urlencode(asked)}" if asked else path, headers, content)


def files_of(instance_id: str, method: str, query: Query) -> Request:
    """Of the files of a machine."""
    return request_of(method, f"/instances/{quote(instance_id, safe='')}/files", query=query)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
