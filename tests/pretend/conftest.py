"""These tests change the process that they run in: tests/test_pretend_device.py gives each file one of its own."""

import os

from tests.pretend import device

if os.environ.get("DEGRADE_PRETEND") == "1":
    device.register()
else:
    collect_ignore_glob = ["test_*.py"]
