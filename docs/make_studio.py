"""Draw docs/pictures/studio.jpg, the page of `degrade studio` in a headless Chromium: python docs/make_studio.py"""

from __future__ import annotations

import io
import sys
import tempfile
import threading
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from cli.sources import open_source  # noqa: E402
from cli.studio.images import Images  # noqa: E402
from cli.studio.server import Server, Studio  # noqa: E402
from degrade.images import image_io  # noqa: E402
from tests.chromium import Browser  # noqa: E402

SIZE = (1300, 780)


def main() -> None:
    """Take the picture of a draw with everything on and one number changed."""
    source = str(ROOT / "docs/pictures/retina.jpg")
    start = {"recipe": "cofe-net", "seed": 11, "settings": {"type": "111"}, "parameters": {"contrast": 0.8}}
    with Server(Studio(Images(source, open_source(source).items), start)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = Browser(Path(tempfile.mkdtemp()), *SIZE)
        browser.open(server.url)
        browser.js("change({})")  # once more, without the first call's loading of loops
        browser.settled()
        pixels = browser.shot("studio").permute(1, 2, 0).numpy()
        browser.close()
        server.shutdown()
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=80)
    image_io.write_bytes(ROOT / "docs/pictures/studio.jpg", data.getvalue())


if __name__ == "__main__":
    main()
