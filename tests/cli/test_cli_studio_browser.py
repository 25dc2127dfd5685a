"""`degrade studio` in a browser: what its page shows, and what each of its controls does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import degrade
from cli import sources
from cli.studio.images import Images
from cli.studio.server import Server, Studio
from degrade.images import image_io
from tests.chromium import CHROMIUM, Browser
from tests.cli_runs import photograph, uri_pixels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph, and another one to be opened by the page."""
    made = tmp_path_factory.mktemp("studio")
    photograph(made / "eye.png", size=512)
    photograph(made / "sub/other.png", seed=1, size=128)
    (made / "sub/text.png").write_text("no image")
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    source = str(folder / "eye.png")
    with Server(Studio(Images(source, sources.open_source(source).items), {"recipe": "cofe-net", "seed": 4})) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def page(chromium: Browser, server: Server) -> Iterator[Browser]:
    """The page just opened. In the end nothing may have failed in it or have been fetched from elsewhere."""
    chromium.events.clear()
    chromium.open(server.url)
    yield chromium
    chromium.js("0")
    kinds = {event["method"]: event for event in chromium.events}
    assert "Runtime.exceptionThrown" not in kinds, kinds["Runtime.exceptionThrown"]
    logged = [event["params"]["entry"] for event in chromium.events if event["method"] == "Log.entryAdded"]
    assert not [entry for entry in logged if entry["level"] == "error" and "400" not in entry["text"]]
    sent = [e["params"]["request"]["url"] for e in chromium.events if e["method"] == "Network.requestWillBeSent"]
    assert sent
    assert all(url.startswith((server.url.partition("?")[0], "data:", "about:", "blob:")) for url in sent)


def degraded(page: Browser) -> torch.Tensor:
    """The degraded picture of the page, uint8."""
    return uri_pixels(page.js("$('degraded').src"))


def expected(folder: Path, **settings: Any) -> torch.Tensor:
    """What `degrade.degrade` makes of the photograph."""
    seed = settings.pop("seed", 4)
    made = degrade.degrade(image_io.read(folder / "eye.png"), degrade.recipe("cofe-net", **settings), seed, "eye")
    return torch.as_tensor(made)


def test_the_page_shows_the_picture_and_draws_again(page: Browser, folder: Path) -> None:
    assert torch.equal(degraded(page), expected(folder))
    assert "eye: 509 × 512 pixels; degraded in" in page.js("$('note').textContent")
    page.shot("start")
    page.click("#again")
    page.settled()
    assert page.js("[state.seed, $('seed').value]") == [5, "5"]
    assert torch.equal(degraded(page), expected(folder, seed=5))
    page.call("Page.reload")  # the address has the state
    page.js("new Promise((done) => setTimeout(done, 200))")
    page.settled()
    assert torch.equal(degraded(page), expected(folder, seed=5))


def test_the_divider_is_dragged(page: Browser) -> None:
    frame = page.box("#frame")
    left, right = (int(frame["x"] + share * frame["width"]) for share in (0.3, 0.7))
    top, bottom = int(frame["y"] + 0.3 * frame["height"]), int(frame["y"] + 0.45 * frame["height"])

    def middle() -> torch.Tensor:
        return page.shot("divider")[:, top:bottom, left:right].float()

    page.js("change({settings: {type: '111'}})")
    page.settled()
    page.drag("#divider", to=-12)
    assert page.js("view.divider") < 25
    seen_degraded = middle()
    box = page.box("#frame")
    page.drag("#divider", to=0.5 + 0.9 * box["width"] / 30)
    assert page.js("view.divider") > 80
    assert (middle() - seen_degraded).abs().mean() > 5
    page.js("$('divider').focus()")
    before = page.js("view.divider")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft")
    page.call("Input.dispatchKeyEvent", type="keyUp", key="ArrowLeft")
    assert page.js("view.divider") == before - 2


def test_a_slider_changes_the_picture_and_fix_the_recipe(page: Browser, folder: Path) -> None:
    page.js("change({settings: {type: '111'}})")
    page.settled()
    page.drag('[data-name="brightness"] input[type=range]', to=0.1)
    page.settled()
    low = page.js("state.parameters.brightness")
    drawn = next(row for row in page.js("answer.rows") if row["name"] == "brightness")
    assert drawn["span"][0] <= low < drawn["span"][0] + 0.25 * (drawn["span"][1] - drawn["span"][0])
    assert "factor" in page.js("""document.querySelector('[data-name="brightness"]').textContent""")
    assert degraded(page).float().mean() < expected(folder, type="111").float().mean()
    page.shot("slider")
    page.click('[data-name="brightness"] button')
    page.settled()
    fixed = float(f"{low:.4g}")
    assert page.js("[state.parameters, answer.set]") == [{}, f"--set type=111 --set brightness={fixed:g}"]
    assert torch.equal(degraded(page), expected(folder, type="111", brightness=fixed))


def test_ranges_are_set_and_taken_away(page: Browser, folder: Path) -> None:
    page.click("[data-tab=ranges]")
    page.shot("ranges")
    numbers = "document.querySelectorAll('[data-setting=\"contrast\"] input[type=number]')"
    page.js(f"{numbers}[1].value = '0.5', {numbers}[1].dispatchEvent(new Event('change'))")
    page.settled()
    assert page.js("answer.settings.contrast") == 0.5  # the lower end, 0.6, was pushed along
    page.js(f"{numbers}[1].value = '0.75', {numbers}[1].dispatchEvent(new Event('change'))")
    page.settled()
    page.click("[data-tab=text]")
    assert page.js("$('set').textContent") == "--set contrast=0.5,0.75"
    recipe = degrade.recipe(page.js("$('toml').textContent"))
    assert recipe.settings == degrade.recipe("cofe-net", contrast=(0.5, 0.75)).settings
    page.shot("text")
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.click("#download")
    deadline = time.monotonic() + 20
    while not (folder / "cofe-net.toml").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert degrade.recipe(str(folder / "cofe-net.toml")).settings == recipe.settings


def test_a_severity_is_chosen(page: Browser, folder: Path) -> None:
    page.js("$('severity').value = '5:blur', $('severity').dispatchEvent(new Event('change'))")
    page.settled()
    assert page.js("answer.set") == "--severity 5:blur"
    assert torch.equal(degraded(page), expected(folder, severity=5, stage="blur"))


def test_each_stage_alone(page: Browser) -> None:
    page.js("change({settings: {type: '111'}})")
    page.settled()
    names = page.js("answer.stages")
    seen = []
    for place in range(len(names) + 1):
        page.click(f"#stages button:nth-child({place + 1})")
        page.settled()
        seen.append(degraded(page))
    assert names == ["colour", "halo", "hole", "spots", "blur"]
    assert page.js("$('right').textContent") == "only blur"
    assert not any(torch.equal(seen[i], seen[j]) for i in range(1, 6) for j in range(i))


def test_every_recipe_has_its_sliders(page: Browser) -> None:
    for name in degrade.RECIPES:
        page.js(f"$('recipe').value = '{name}', $('recipe').dispatchEvent(new Event('change'))")
        page.settled()
        rows = [row for row in page.js("answer.rows") if row["item"] in (None, 0)]
        shown = page.js("[...document.querySelectorAll('#numbers .row')].map((row) => row.dataset.name)")
        assert sorted(shown) == sorted(row["name"] for row in rows), name
        assert page.js("document.querySelectorAll('#settings .row').length") == len(degrade.recipe(name).settings), name


def test_a_file_is_opened_and_a_bad_one_is_refused(page: Browser, folder: Path) -> None:
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(folder / "sub/text.png")])
    page.settled("refused")
    assert "text.png: not an image" in page.js("$('error').textContent")
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(folder / "sub/other.png")])
    page.settled()
    assert page.js("answer.id") == "other"
    assert degraded(page).shape == (3, 128, 125)
    page.js("change({settings: {brightness: 99}})")
    page.settled("refused")
    assert "brightness = 99" in page.js("$('error').textContent")
    page.shot("refused")
    page.js("change({settings: {}})")
    page.settled()
    assert page.js("$('error').hidden")
