"""The paired data set that all tests of shards look at, made once for a process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.shard_samples import make_shard_pairs


@pytest.fixture(scope="session")
def shard_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `source`, `shards` and `files`, for reading only."""
    return make_shard_pairs(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def own_shard_pairs(shard_pairs: Path, tmp_path: Path) -> Path:
    """A copy of `shard_pairs` that a test may change."""
    return shutil.copytree(shard_pairs, tmp_path / "own")
