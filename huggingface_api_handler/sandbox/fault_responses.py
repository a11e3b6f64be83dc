"""Answers that go wrong in all the ways that answers go wrong on a network."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from .faults import Rule

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

#: Where ``Wire`` leaves the connection's transport, so that it can be cut.
_TRANSPORT = "sandbox.transport"

PAGE = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>Please sign in</h1></body></html>"


class Wire:
    """The outermost layer: remembers the connection of each request."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn hands its cycle's own method over; the cycle knows the connection.
        scope[_TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)
        await self._inner(scope, receive, send)


def _cut_connection(scope: Mapping[str, Any]) -> None:
    transport = scope.get(_TRANSPORT)
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        # No time to linger: the peer gets a reset in place of a polite end.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _reset(request: Request, rule: Rule) -> Response:
    _cut_connection(request.scope)
    return Response(status_code=500)


async def _hang(request: Request, rule: Rule) -> Response:
    """Wait, but no longer than somebody is there."""
    with contextlib.suppress(asyncio.TimeoutError):
        # The body has been read: the next message says that the client has gone.
        await asyncio.wait_for(request.receive(), rule.seconds)
    return Response(status_code=504)


async def _status(request: Request, rule: Rule) -> Response:
    headers = dict(rule.headers or {})
    if isinstance(rule.body, str):
        return PlainTextResponse(rule.body, rule.status, headers)
    if rule.body is None:
        return Response(status_code=rule.status, headers=headers)
    return JSONResponse(rule.body, rule.status, headers)


async def _html(request: Request, rule: Rule) -> Response:
    return Response(PAGE, media_type="text/html")


async def _empty(request: Request, rule: Rule) -> Response:
    return Response(b"", media_type="application/json")


def _cut(request: Request, rule: Rule, response: Response) -> Response:
    return Response(response.body[: max(1, len(response.body) // 2)], media_type=response.media_type)


class _Halting(Response):
    """An answer whose body is sent in pieces, with something done between or after them."""

    def __init__(self, whole: Response, pieces: list[bytes], pause: float, at_end: Callable[[], None] | None) -> None:
        super().__init__(whole.body, media_type=whole.media_type)
        self._pieces, self._pause, self._at_end = pieces, pause, at_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(self._pause)
        if self._at_end is not None:
            self._at_end()
        else:
            await send({"type": "http.response.body", "body": b""})


def _break(request: Request, rule: Rule, response: Response) -> Response:
    half = bytes(response.body[: max(1, len(response.body) // 2)])
    return _Halting(response, [half], 0.05, lambda: _cut_connection(request.scope))


def _trickle(request: Request, rule: Rule, response: Response) -> Response:
    return _Halting(response, [bytes([byte]) for byte in bytes(response.body)], rule.seconds, None)


#: What happens in place of an answer, and what happens to one.
INSTEAD: Mapping[str, Callable[[Request, Rule], Awaitable[Response]]] = {
    "reset": _reset,
    "hang": _hang,
    "status": _status,
    "html": _html,
    "empty": _empty,
}
AFTER: Mapping[str, Callable[[Request, Rule, Response], Response]] = {"cut": _cut, "break": _break, "trickle": _trickle}
