"""Who may use the page, and how much at once.

Host     must name this server: a page of another name that resolves to this address (DNS rebinding) is refused
Origin   of a request that has one must be this server, so that no other site's scripts reach it
token    a server that listens beyond this machine asks for one, in a cookie that no script reads
bodies   are read up to a limit, and within a time
queue    one request computes at a time, a few wait, and all others are told to come back
"""

import asyncio
import hashlib
import hmac
import ipaddress
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST = 200  # characters of a path
WAITING = 8  # requests that wait for their turn
SECONDS = 30.0  # in which a body must have arrived
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}

T = TypeVar("T")


class Refused(Exception):
    """A request that is refused: HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        """Keep both."""
        super().__init__(sentence)
        self.status = status

    def response(self) -> JSONResponse:
        """Return the answer; one that is told to come back is told when."""
        return JSONResponse({"error": str(self)}, self.status, {"retry-after": "1"} if self.status == 503 else None)


class Guard:
    """Middleware that checks Host, Origin and token, and adds the headers that keep the page to itself."""

    def __init__(self, app: ASGIApp, host: str, token: str = "") -> None:
        """Guard an app that is served under the name `host`; without a token at loopback addresses only."""
        self.app, self.host, self.token = app, host.lower(), token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        try:
            self._check(Request(scope))
        except Refused as refused:
            await refused.response()(scope, receive, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers)

    def _check(self, request: Request) -> None:
        hosts = request.headers.getlist("host")
        named = hosts[0] if len(hosts) == 1 else ""
        if not self._serves(named):
            raise Refused(
                421, f"This server is not {named or 'named'}: open the address that `cualex explore` printed."
            )
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{named}":
            raise Refused(403, f"Requests from {origin} are refused: only the page's own are answered.")
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "Requests from another site are refused: only the page's own are answered.")
        if len(request.url.path) > LONGEST:
            raise Refused(404, "There is no such page.")
        api = request.url.path.startswith("/api/") and request.url.path != "/api/token"
        if api and not admitted(self.token, _cookie(request, cookie_name(self.token))):
            raise Refused(401, "The token is missing: open the whole address that `cualex explore` printed.")

    def _serves(self, named: str) -> bool:
        """Return whether a Host header names this server: an address of this machine, or what --host says."""
        try:
            name = urlsplit(f"http://{named}").hostname or ""
        except ValueError:
            return False
        if name in ("localhost", self.host):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or bool(self.token)  # a name can be rebound, an address cannot


def admitted(token: str, given: str) -> bool:
    """Return whether a user gives the server's token, or it has none; the time tells nothing of how far they agree."""
    return not token or hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def cookie_name(token: str) -> str:
    """Return the name of the token's cookie: one for each server, as browsers send cookies of all ports of a host."""
    return f"cualex-{hashlib.sha256(token.encode()).hexdigest()[:12]}"


def _cookie(request: Request, name: str) -> str:
    """Return a cookie's value; the cookies of other servers beside it may have any form."""
    for part in request.headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


class Queue:
    """One thread that computes, and a few requests that wait for it."""

    def __init__(self, waiting: int = WAITING) -> None:
        """Start with nobody waiting."""
        self.most, self.now = waiting + 1, 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explore")

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Count a request while it is read and computed; raise Refused when too many wait."""
        if self.now >= self.most:
            raise Refused(503, f"Busy: {self.most} requests wait already. Try again in a second.")
        self.now += 1
        try:
            yield
        finally:
            self.now -= 1

    async def compute(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function on the thread, and wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*arguments))

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)


async def body(request: Request, most: int) -> bytes:
    """Read a request's body; raise Refused for one of more than `most` bytes, before it is in memory."""
    too_large = Refused(413, f"Larger than {most / 1e6:g} MB: send a smaller file.")
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > most:
        raise too_large
    read = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                read += part
                if len(read) > most:
                    raise too_large
    except TimeoutError:
        raise Refused(408, f"The body did not arrive within {SECONDS:g} seconds: send it again.") from None
    except ClientDisconnect:
        raise Refused(400, "The body is cut short: send it again.") from None
    return bytes(read)
