"""The server of the page: this machine alone, this page alone, bounded requests, no file by name.

It listens on 127.0.0.1. A page of another site could still send requests there, or have its own name point there: so
requests need the Host that the page has, a token that only its address has, and no foreign Origin.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from degrade.text import parse_json

from . import picture
from .images import LARGEST_UPLOAD, Images

ADDRESS = "127.0.0.1"

_TOKEN = "X-Studio-Token"
_LARGEST_STATE = 256 << 10
_ANSWERS = {"/degraded": picture.answer, "/clean": picture.clean}
_SECONDS = 60  # that a connection may stay silent
_FILES = {"/page.css": "text/css", "/page.js": "text/javascript", "/rows.js": "text/javascript"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass
class Studio:
    """What the requests of one page share: its images, the recipe and seed to begin with, and its token."""

    images: Images
    start: dict[str, Any] = field(default_factory=dict)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, path: str, query: str, body: bytes) -> dict[str, Any]:
        """The answer to a request of the page, as JSON has it.

        Raises:
            ValueError: what is asked for cannot be had; the message is for the user.
        """
        with self.lock:  # one picture at a time: the page waits for each before it asks for the next
            if path == "/start":
                return {"recipes": picture.described(), "images": self.images.handles(), "state": self.start}
            if path == "/open":
                handle = self.images.add(parse_qs(query).get("name", ["image"])[0], body)
                return {"handle": handle, "images": self.images.handles()}
            state = parse_json(body, picture.State)
            return _ANSWERS[path](state, self.images.open(state.image))


class Server(ThreadingHTTPServer):
    """The server of one page on a port of this machine; 0 for any that is free."""

    daemon_threads = True

    def __init__(self, studio: Studio, port: int = 0) -> None:
        self.studio = studio
        super().__init__((ADDRESS, port), Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that was closed while it was answered is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """The page's address, with its token."""
        return f"http://{ADDRESS}:{self.server_port}/?token={self.studio.token}"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "degrade-studio", ""
    timeout = _SECONDS

    def do_GET(self) -> None:
        """The page and its files."""
        url = urlsplit(self.path)
        if not self._from_here():
            return self._refuse(HTTPStatus.FORBIDDEN, "this page is for this machine alone")
        if url.path == "/":
            if not self._knows(parse_qs(url.query).get("token", [""])[0]):
                return self._refuse(HTTPStatus.FORBIDDEN, "open the address that `degrade studio` printed")
            return self._send(HTTPStatus.OK, "text/html", _page("/page.html"))
        if url.path in _FILES:
            return self._send(HTTPStatus.OK, _FILES[url.path], _page(url.path))
        return self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        """A question of the page."""
        url = urlsplit(self.path)
        if not self._from_here() or not self._knows(self.headers.get(_TOKEN, "")):
            return self._refuse(HTTPStatus.FORBIDDEN, "this server answers its own page alone: open it again")
        if url.path not in ("/start", "/open", *_ANSWERS):
            return self._refuse(HTTPStatus.NOT_FOUND, "there is no such question")
        length = self.headers.get("Content-Length", "")
        most = LARGEST_UPLOAD if url.path == "/open" else _LARGEST_STATE
        if not (length.isascii() and length.isdecimal()):
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "the request does not say how long it is")
        if len(length) > 12 or int(length) > most:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {most >> 10:,} KiB are taken")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return self._refuse(HTTPStatus.BAD_REQUEST, "the request ends early")
        try:
            answer = self.server.studio.reply(url.path, url.query, body)
        except (ValueError, TypeError, OverflowError, ModuleNotFoundError, MemoryError) as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, str(error) or type(error).__name__, close=False)
        return self._send(HTTPStatus.OK, "application/json", json.dumps(answer, allow_nan=False).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows the address."""

    def _from_here(self) -> bool:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        return host in self.server.hosts and origin in (None, f"http://{host}")

    def _knows(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self.server.studio.token.encode())

    def _refuse(self, status: HTTPStatus, reason: str, close: bool = True) -> None:
        self.close_connection = close or self.close_connection  # what follows may be an unread body
        self._send(status, "application/json", json.dumps({"error": reason}).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def _page(path: str) -> bytes:
    return files(__package__).joinpath(path.removeprefix("/")).read_bytes()
