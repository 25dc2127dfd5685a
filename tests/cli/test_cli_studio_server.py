"""`degrade studio`'s server and command without a browser: who is answered, what is bounded, how it starts."""

from __future__ import annotations

import http.client
import json
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import degrade
from cli.degrade import main
from cli.studio.images import LARGEST_UPLOAD, Images
from cli.studio.server import Server, Studio
from degrade.images import image_io
from tests.cli_runs import photograph, run, uri_pixels

PHANTOM = "phantom:fundus:0"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server in a thread of its own."""
    with Server(Studio(Images())) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def request(
    server: Server, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """Status, content and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    found = (reply.status, reply.read(), dict(reply.getheaders()))
    connection.close()
    return found


def test_the_page_is_served_to_who_knows_its_address(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    status, content, headers = request(server, "GET", f"/?token={server.studio.token}")
    assert status == 200
    assert b"degrade studio" in content
    assert b"http" not in content  # nothing is fetched
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert request(server, "GET", "/page.js")[0] == request(server, "GET", "/page.css")[0] == 200
    assert request(server, "GET", "/")[0] == request(server, "GET", "/?token=%C3%A9")[0] == 403
    assert request(server, "GET", "/../command.py")[0] == request(server, "GET", "/etc/passwd")[0] == 404


def test_a_picture_is_asked_for(server: Server) -> None:
    token = server.studio.token
    started = json.loads(request(server, "POST", "/start", b"{}", X_Studio_Token=token)[1])
    assert list(started["recipes"]) == list(degrade.RECIPES)
    body = json.dumps({"image": PHANTOM, "recipe": "cofe-net", "size": 64}).encode()
    status, content, _ = request(server, "POST", "/degraded", body, X_Studio_Token=token)
    assert status == 200
    made = json.loads(content)
    assert uri_pixels(made["degraded"]).shape == (3, 64, 64)
    assert made["milliseconds"] > 0
    clean = json.loads(request(server, "POST", "/clean", body, X_Studio_Token=token)[1])["clean"]
    assert not torch.equal(uri_pixels(clean), uri_pixels(made["degraded"]))


def test_a_file_is_opened(server: Server, tmp_path) -> None:
    token, data = server.studio.token, photograph(tmp_path / "eye.png").read_bytes()
    status, content, _ = request(server, "POST", "/open?name=eye.png", data, X_Studio_Token=token)
    assert status == 200
    assert torch.equal(server.studio.images.open(json.loads(content)["handle"]).image, image_io.read_bytes(data))
    status, content, _ = request(server, "POST", "/open?name=x.png", b"nothing", X_Studio_Token=token)
    assert status == 400
    assert "not an image" in json.loads(content)["error"]


def test_others_are_refused(server: Server) -> None:
    token, body = server.studio.token, json.dumps({"image": PHANTOM, "recipe": "cofe-net"}).encode()
    assert request(server, "POST", "/degraded", body)[0] == 403
    assert request(server, "POST", "/degraded", body, X_Studio_Token="guess")[0] == 403
    for foreign in ({"Host": f"evil.example:{server.server_port}"}, {"Origin": "http://evil.example"}):
        assert request(server, "POST", "/degraded", body, X_Studio_Token=token, **foreign)[0] == 403
        assert request(server, "GET", f"/?token={token}", **foreign)[0] == 403
    assert request(server, "POST", "/elsewhere", body, X_Studio_Token=token)[0] == 404
    assert request(server, "PUT", "/degraded", body, X_Studio_Token=token)[0] == 501


def test_requests_are_bounded_and_their_mistakes_are_said(server: Server) -> None:
    token = server.studio.token
    for path, length in (("/open", LARGEST_UPLOAD + 1), ("/degraded", 1 << 20), ("/degraded", 10**30)):
        status = request(server, "POST", path, None, X_Studio_Token=token, Content_Length=str(length))[0]
        assert status == 413, path
    assert request(server, "POST", "/open", None, X_Studio_Token=token, Content_Length="-1")[0] == 411
    for bad, said in ((b"[", "line 1"), (b'{"image": "a"}', "recipe"), (b'{"image": "a", "file": "b"}', "file")):
        status, content, _ = request(server, "POST", "/degraded", bad, X_Studio_Token=token)
        assert status == 400
        assert said in json.loads(content)["error"]


def test_the_command_says_the_address_and_ends(monkeypatch, tmp_path) -> None:
    def interrupted(server: Server) -> None:
        seen.append(server)
        raise KeyboardInterrupt

    seen: list[Server] = []
    browsed: list[str] = []
    monkeypatch.setattr(Server, "serve_forever", interrupted)
    monkeypatch.setattr("webbrowser.open", browsed.append)
    photograph(tmp_path / "eye.png")
    result = run("studio", tmp_path / "eye.png", "--recipe", "x-bdcnn", "--set", "eta=0.4,0.5", "--seed", 7)
    (server,) = seen
    assert server.url in result.output
    assert browsed == [server.url]
    assert server.studio.start == {"recipe": "x-bdcnn", "settings": {"eta": [0.4, 0.5]}, "seed": 7}
    assert server.studio.images.handles()[0]["name"] == "eye"
    run("studio", "--no-browser")
    assert len(browsed) == 1


def test_a_wheel_has_the_page() -> None:
    room = Path(__file__).parents[2]
    described = tomllib.loads((room / "pyproject.toml").read_text(encoding="utf-8"))
    listed = described["tool"]["setuptools"]["package-data"]["degrade_cli.studio"]
    files = {path.name for path in (room / "cli/studio").iterdir() if path.is_file() and path.suffix != ".py"}
    assert set(listed) == files


def test_the_command_refuses_what_cannot_be(tmp_path) -> None:
    assert "none.png" in run("studio", tmp_path / "none.png", code=2).output
    with Server(Studio(Images())) as there:
        said = CliRunner().invoke(main, ["studio", "--no-browser", "--port", str(there.server_port)])
    assert said.exit_code == 2
    assert f"port {there.server_port}" in said.output
