"""The server: a socket, and uvicorn on it."""

import socket

import uvicorn
from starlette.types import ASGIApp

from cualex.errors import UsageError

PORT = 8227  # where none is asked for, and it is free


def bound(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens at a host's port; for None at PORT, or a free one where that is taken.

    Raise UsageError where it cannot.
    """
    for number in (port,) if port is not None else (PORT, 0):
        try:
            return socket.create_server((host, number), family=_family(host), backlog=2048)
        except (OSError, OverflowError) as error:
            reason = error
    raise UsageError(
        f"cannot listen at {host}, port {port if port is not None else PORT} ({reason}). Give another --host or --port."
    )


def name(host: str) -> str:
    """Return the name that users give in the URL: of a server at all addresses, this machine's."""
    return socket.gethostname() if host in ("0.0.0.0", "::", "") else host


def address(listening: socket.socket, name: str) -> str:
    """Return the URL of the page."""
    return f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"


def config(app: ASGIApp) -> uvicorn.Config:
    """Return uvicorn's settings: quiet, and without its name in every answer."""
    return uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, lifespan="on", timeout_graceful_shutdown=2
    )


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Answer requests until Ctrl-C or SIGTERM."""
    uvicorn.Server(config(app)).run(sockets=[listening])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
