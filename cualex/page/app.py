"""The page's HTTP interface: static files, and questions to the networks.

    GET  /                              the page; /NAME one of its files
    POST /api/token {token}             the cookie that a server beyond this machine asks for
    GET  /api/networks                  networks (description.py), examples, the grid of heat maps, the run
    POST /api/images (bytes of a file)  {id}; GET /api/images/ID is it as PNG
    POST /api/see {network, image, off, cover, layers}
                                        a 4-byte little-endian length, JSON, then float32 maps: see `_packed`
    POST /api/name {network, image, off, cover}             {probabilities}
    POST /api/heat {network, image, off, class}             a line of JSON a row of the map
    GET  /api/filter/NETWORK/BLOCK/INDEX                    float32: the bias, then the weights
    GET  /api/excites/NETWORK/BLOCK/INDEX                   {done, of, strongest}
    GET  /api/run                                           curves of a run, and a stamp of its weights

Errors are JSON, {"error": sentence}. Nothing is kept of a user but images, by their content, the last ones.
"""

import hashlib
import json
import struct
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from cualex.data import images
from cualex.errors import CualexError, UsageError
from cualex.page import guard
from cualex.page.gallery import Example, Strongest
from cualex.page.guard import Guard, Queue, Refused
from cualex.page.live import Live
from cualex.page.seeing import COVER, GRID, Cover, Seen, Seer

BYTES = 20_000_000  # of an image file
ASKED = 64_000  # bytes of a question
KEPT = 256  # images
VIEW = 256  # pixels a side of an example as the page shows it; the network reads its own size
AT_ONCE = 4  # examples that one question looks at
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


class Page:
    """The answers: networks, and the images that users have shown them."""

    def __init__(self, seers: Sequence[Seer], examples: Sequence[Example], live: Live | None = None) -> None:
        """Take networks that read images of one size; `live` is where the first one's weights come from."""
        self.seers, self.live, self.queue = list(seers), live, Queue()
        self.stamp = live.stamp if live else 0
        self._images: OrderedDict[str, tuple[np.ndarray, bytes]] = OrderedDict()
        self.examples = [(each.name, *self._read(each.data, VIEW)) for each in examples]
        self._strongest: dict[int, Strongest] = {}

    def keep(self, data: bytes) -> str:
        """Decode an image file and return its id; raise ImageError when it cannot be read."""
        identity, image, png = self._read(data)
        self._images[identity] = image, png
        self._images.move_to_end(identity)
        while len(self._images) > KEPT:
            self._images.popitem(last=False)
        return identity

    def image(self, identity: Any) -> tuple[np.ndarray, bytes]:
        """Return an image and its PNG; raise Refused for one that is not held, or no more."""
        if isinstance(identity, str) and identity in self._images:
            return self._images[identity]
        for _, held, image, png in self.examples:
            if held == identity:
                return image, png
        raise Refused(404, "That image is no longer held: choose it again.")

    def networks(self) -> dict[str, Any]:
        """Return all that the page must know before its first question."""
        described = [seer.description | {"files": seer.files} for seer in self.seers]
        return {
            "networks": described,
            "examples": [{"name": name, "id": identity} for name, identity, *_ in self.examples],
            "grid": GRID,
            "cover": COVER,
            "run": self.live.curves() if self.live else None,
            "stamp": str(self.stamp),
        }

    def run(self) -> dict[str, Any]:
        """Return the curves of the run; read its weights again where it has saved new ones."""
        if self.live and self.live.stamp != self.stamp:
            stamp, old = self.live.stamp, self.seers[0]  # noted before it is read: a later save is seen the next time
            self.seers[0] = Seer(self.live.weights(), old.device, old.precision)
            self.stamp = stamp
            self._strongest.pop(0, None)
        return {"run": self.live.curves() if self.live else None, "stamp": str(self.stamp)}

    def excites(self, network: int, name: str, index: int) -> dict[str, Any]:
        """Return the strongest examples of a map, of those looked at so far, and look at a few more."""
        seer = self.seers[network]
        block = next((block for block in seer.description["blocks"] if block["name"] == name), None)
        if block is None or not 0 <= index < seer.description["layers"][block["shown"]]["maps"]:
            raise Refused(404, f"There is no map {index} of {name}.")
        found = self._strongest.setdefault(
            network, Strongest(seer, [(identity, image) for _, identity, image, _ in self.examples])
        )
        found.advance(AT_ONCE)
        return {"done": found.done, "of": len(found.examples), "strongest": found.of(block["shown"], index)}

    def asked(self, question: dict[str, Any]) -> tuple[Seer, np.ndarray, list[str], Cover | None]:
        """Return network, image, parts off and cover of a question; raise Refused for what they cannot be."""
        number, off, cover = question.get("network", 0), question.get("off", []), question.get("cover")
        if not isinstance(number, int) or not 0 <= number < len(self.seers):
            raise Refused(404, f"There are {len(self.seers)} networks, got number {number!r}.")
        if not isinstance(off, list) or not all(isinstance(part, str) for part in off):
            raise Refused(400, f"off: expected a list of parts, got {off!r}.")
        side = self.seers[number].weights.network.crop
        if cover is not None and not (
            isinstance(cover, list) and len(cover) == 3 and all(type(n) is int and abs(n) <= 2 * side for n in cover)
        ):
            raise Refused(400, f"cover: expected [top, left, side] in pixels, got {cover!r}.")
        square = None if cover is None else (cover[0], cover[1], cover[2])
        return self.seers[number], self.image(question.get("image"))[0], off, square

    def warm(self) -> None:
        """Make all plans now, so that the first user does not wait for them."""
        for seer in self.seers:
            if self.examples:
                seer.see(self.examples[0][2], ())
                seer.name(self.examples[0][2])

    def _read(self, data: bytes, view: int = 0) -> tuple[str, np.ndarray, bytes]:
        """Decode an image file at the networks' size: its id, the pixels, a PNG of at least `view` pixels a side."""
        stored = self.seers[0].weights.network.stored
        image = images.load(data, stored, "the image")
        shown = images.load(data, view, "the image") if view > stored else image
        return hashlib.sha256(image.tobytes()).hexdigest()[:24], image, images.png(shown)


def _packed(seen: Seen) -> bytes:
    """Write maps: the length of the JSON, the JSON, zeros up to a multiple of four, float32 maps in its order."""
    layers = [[name, *layer.shape] for name, layer in seen.layers.items()]
    head = {"layers": layers, "probabilities": seen.probabilities.tolist(), "passed": seen.passed}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    parts = [np.ascontiguousarray(layer, "<f4").tobytes() for layer in seen.layers.values()]
    return b"".join((struct.pack("<I", len(text)), text, *parts))


def app(page: Page, host: str = "127.0.0.1", token: str = "") -> Starlette:
    """Return the application, to be served at `host`, which asks for the token unless it is empty."""
    queue = page.queue
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
        response.set_cookie(guard.COOKIE, token, httponly=True, samesite="strict")
        return response

    async def networks(request: Request) -> Response:
        async with queue.turn():
            return JSONResponse(await queue.compute(page.networks))

    async def add(request: Request) -> Response:
        async with queue.turn():
            data = await guard.body(request, BYTES)
            return JSONResponse({"id": await queue.compute(page.keep, data)})

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
                await queue.compute(lambda: _packed(seer.see(pixels, dict.fromkeys(names), off, cover))),
                media_type="application/octet-stream",
            )

    async def name(request: Request) -> Response:
        async with queue.turn():
            seer, pixels, off, cover = page.asked(_object(await guard.body(request, ASKED)))
            return JSONResponse({"probabilities": (await queue.compute(seer.name, pixels, off, cover)).tolist()})

    async def heat(request: Request) -> Response:
        async with queue.turn():
            question = _object(await guard.body(request, ASKED))
            seer, pixels, off, _ = page.asked(question)
            target = question.get("class")
            if type(target) is not int or not 0 <= target < len(seer.description["classes"]):
                raise Refused(400, f"class: expected the number of a class, got {target!r}.")
        rows = seer.heat(pixels, target, off)

        async def lines() -> AsyncIterator[bytes]:
            # Row by row, so that others come between, and a user who has left stops it.
            while (row := await queue.compute(next, rows, None)) is not None:
                yield json.dumps(row).encode() + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def filter_(request: Request) -> Response:
        number, block, index = _path(request, len(page.seers))
        async with queue.turn():
            weights, bias = await queue.compute(page.seers[number].filter, block, index)
        return Response(
            np.concatenate(([bias], weights)).astype("<f4").tobytes(), media_type="application/octet-stream"
        )

    async def excites(request: Request) -> Response:
        async with queue.turn():
            return JSONResponse(await queue.compute(page.excites, *_path(request, len(page.seers))))

    async def run(request: Request) -> Response:
        async with queue.turn():
            return JSONResponse(await queue.compute(page.run))

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
