"""A client that calls an ASGI application in this process: no socket, no package."""

import asyncio
import json
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What an application answers."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    parts: int = 0

    @property
    def json(self):
        return json.loads(self.body)


async def ask(app, method, path, parts=(b"",), headers=None, host="127.0.0.1:8227"):
    """Send a request whose body comes in parts; a part that is callable is awaited, and no part."""
    name, _, query = path.partition("?")
    given = {"host": host, **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": name,
        "raw_path": name.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(key.encode(), value.encode("latin-1")) for key, value in given.items() if value is not None],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8227),
    }
    answer, sending = Answer(), list(parts)

    async def receive():
        while sending and callable(sending[0]):
            await sending.pop(0)()
        if not sending:
            await asyncio.sleep(3600)  # the client stays
        part = sending.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(sending)}

    async def send(message):
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")
            answer.parts += bool(message.get("body"))

    await app(scope, receive, send)
    return answer


def get(app, path, **more):
    """Send one GET."""
    return asyncio.run(ask(app, "GET", path, **more))


def post(app, path, sent, **more):
    """Send one POST, of bytes or of what becomes JSON."""
    return asyncio.run(
        ask(app, "POST", path, (sent if isinstance(sent, bytes) else json.dumps(sent).encode(),), **more)
    )
