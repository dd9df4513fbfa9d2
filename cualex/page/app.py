"""The page's HTTP interface: static files, and questions to the networks.

    GET  /                              the page; /NAME one of its files
    POST /api/token {token}             the cookie that a server beyond this machine asks for
    GET  /api/networks                  networks (description.py), examples, the grid of heat maps, the run
    POST /api/images (bytes of a file)  {id}; GET /api/images/ID is it as PNG
    POST /api/see {network, image, off, cover, layers}
                                        JSON and float32 maps, as `packed` of answers.py writes them
    POST /api/name {network, image, off, cover}             {probabilities}
    POST /api/heat {network, image, off, class, method}     a line of JSON a row of the map
    GET  /api/filter/NETWORK/BLOCK/INDEX                    float32: the bias, then the weights
    GET  /api/excites/NETWORK/BLOCK/INDEX                   {done, of, strongest}
    GET  /api/run                                           curves of a run, and a stamp of its weights

Numbers are null where they are NaN or Inf. Errors are JSON, {"error": sentence}. Nothing is kept of a user but images,
by their content, the last ones.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from cualex.errors import CualexError, UsageError
from cualex.page import guard
from cualex.page.answers import Page, packed, strict
from cualex.page.guard import Guard, Queue, Refused

BYTES = 20_000_000  # of an image file
ASKED = 64_000  # bytes of a question
HEATS = 2  # heat maps at once
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


def app(page: Page, host: str = "127.0.0.1", token: str = "") -> Starlette:
    """Return the application, to be served at `host`, which asks for the token unless it is empty."""
    queue, heats = page.queue, Queue(waiting=HEATS - 1)
    files = {
        file.name: (file.read_bytes(), TYPES[f".{file.name.rpartition('.')[2]}"])
        for file in resources.files(__package__).joinpath("static").iterdir()
        if not file.name.startswith(".")
    }

    async def static(request: Request) -> Response:
        found = files.get(request.path_params.get("name", "index.html"))
        if found is None:
            raise Refused(404, "There is no such file.")
        return Response(found[0], media_type=found[1])

    async def enter(request: Request) -> Response:
        given = _object(await guard.body(request, ASKED)).get("token")
        if not guard.admitted(token, given if isinstance(given, str) else ""):
            raise Refused(401, "That is not the token: open the whole address that `cualex explore` printed.")
        response = JSONResponse({})
        response.set_cookie(guard.cookie_name(token), token, httponly=True, samesite="strict")
        return response

    async def networks(request: Request) -> Response:
        async with queue.turn():
            return Answer(await queue.compute(page.networks))

    async def add(request: Request) -> Response:
        async with queue.turn():
            data = await guard.body(request, BYTES)
            return Answer({"id": await queue.compute(page.keep, data)})

    async def image(request: Request) -> Response:
        return Response(page.image(request.path_params["id"])[1], media_type="image/png")

    async def see(request: Request) -> Response:
        async with queue.turn():
            question = _object(await guard.body(request, ASKED))
            seer, pixels, off, cover = page.asked(question)
            names = question.get("layers")
            known = seer.description["layers"]
            if not isinstance(names, list) or not all(isinstance(name, str) and name in known for name in names):
                raise Refused(400, f"layers: expected a list of {', '.join(known)}.")
            return Response(
                await queue.compute(lambda: packed(seer.see(pixels, dict.fromkeys(names), off, cover))),
                media_type="application/octet-stream",
            )

    async def name(request: Request) -> Response:
        async with queue.turn():
            seer, pixels, off, cover = page.asked(_object(await guard.body(request, ASKED)))
            return Answer({"probabilities": await queue.compute(seer.name, pixels, off, cover)})

    async def heat(request: Request) -> Response:
        async with queue.turn():
            question = _object(await guard.body(request, ASKED))
            seer, pixels, off, _ = page.asked(question)
            target = question.get("class")
            if type(target) is not int or not 0 <= target < len(seer.description["classes"]):
                raise Refused(400, f"class: expected the number of a class, got {target!r}.")
            method = question.get("method", seer.methods[0])
            if method not in seer.methods:
                raise Refused(400, f"method: expected {', '.join(seer.methods)}, got {method!r}.")
        held = AsyncExitStack()
        await held.enter_async_context(heats.turn())
        rows = seer.heat(pixels, target, off, method)
        try:
            first = await queue.compute(next, rows, None)  # what is wrong shows here, before the answer begins
        except BaseException:
            await held.aclose()
            raise

        async def lines() -> AsyncIterator[bytes]:
            # Row by row, so that others come between, and a user who has left stops it.
            row = first
            while row is not None:
                yield strict(row) + b"\n"
                row = await queue.compute(next, rows, None)

        return _Stream(lines(), held)

    async def filter_(request: Request) -> Response:
        number, block, index = _path(request, len(page.seers))
        async with queue.turn():
            weights, bias = await queue.compute(page.seers[number].filter, block, index)
        return Response(
            np.concatenate(([bias], weights)).astype("<f4").tobytes(), media_type="application/octet-stream"
        )

    async def excites(request: Request) -> Response:
        async with queue.turn():
            return Answer(await queue.compute(page.excites, *_path(request, len(page.seers))))

    async def run(request: Request) -> Response:
        async with queue.turn():
            return Answer(await queue.compute(page.run))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        queue.close()

    one = "{network:int}/{block}/{index:int}"
    routes = [
        Route("/", static),
        Route("/api/token", enter, methods=["POST"]),
        Route("/api/networks", networks),
        Route("/api/images", add, methods=["POST"]),
        Route("/api/images/{id}", image),
        Route("/api/see", see, methods=["POST"]),
        Route("/api/name", name, methods=["POST"]),
        Route("/api/heat", heat, methods=["POST"]),
        Route(f"/api/filter/{one}", filter_),
        Route(f"/api/excites/{one}", excites),
        Route("/api/run", run),
        Route("/{name}", static),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, host=host, token=token)],
        exception_handlers={Refused: _refused, CualexError: _fault, HTTPException: _http, Exception: _bug},
        lifespan=lifespan,
    )


class Answer(JSONResponse):
    """Strict JSON, with null for NaN and Inf."""

    def render(self, content: Any) -> bytes:
        """Return the text."""
        return strict(content)


class _Stream(StreamingResponse):
    """Lines of JSON; however they end, what was held for them is given back."""

    def __init__(self, lines: AsyncIterator[bytes], held: AsyncExitStack) -> None:
        super().__init__(lines, media_type="application/x-ndjson")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


def _path(request: Request, networks: int) -> tuple[int, str, int]:
    number, block, index = (request.path_params[name] for name in ("network", "block", "index"))
    if number >= networks:
        raise Refused(404, f"There are {networks} networks, got number {number}.")
    return number, block, index


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(400, "Expected a JSON object.")
    return found


async def _refused(request: Request, error: Refused) -> Response:
    return error.response()


async def _http(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": f"{request.method} {request.url.path}: {error.detail}."}, error.status_code)


async def _bug(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "The server failed; its terminal shows how."}, 500)


async def _fault(request: Request, error: CualexError) -> Response:
    return JSONResponse({"error": str(error)}, 400 if isinstance(error, UsageError) else 422)
