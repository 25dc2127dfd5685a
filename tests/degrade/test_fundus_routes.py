"""The backends of the fundus model: which is chosen when, that they agree, and what each promises of its own."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import degrade
from degrade.backend import choose
from degrade.models.fundus import Fundus, sampling
from degrade.models.fundus.table import PARAMETERS
from tests.conftest import Apply

RECIPES = sorted(name for name, preset in degrade.RECIPES.items() if preset.model is Fundus)
backends = sys.modules["degrade.backend"]  # the module; `degrade.backend` is what it offers


@pytest.mark.parametrize(
    ("device", "dtype", "asked", "expected"),
    [
        ("cuda", torch.float32, {}, "gpu"),
        ("cuda", torch.bfloat16, {}, "gpu"),
        ("cuda", torch.float64, {}, "reference"),
        ("cuda", torch.float32, {"exact": True}, "reference"),
        ("cuda", torch.float32, {"emulate_8bit": True}, "reference"),
        ("cuda", torch.float32, {"softness": 0.01}, "reference"),
        ("cpu", torch.float32, {}, "cpu"),
        ("cpu", torch.float16, {"exact": True}, "cpu"),
        ("cpu", torch.float32, {"softness": 0.01}, "cpu"),
        ("cpu", torch.float64, {}, "reference"),
        ("cpu", torch.float32, {"emulate_8bit": True}, "reference"),
        ("mps", torch.float32, {}, "reference"),
    ],
)
def test_choice(
    monkeypatch: pytest.MonkeyPatch, device: str, dtype: torch.dtype, asked: dict[str, Any], expected: str
) -> None:
    image: Any = SimpleNamespace(device=torch.device(device), dtype=dtype, requires_grad=False)
    d = degrade.recipe("cofe-net", **asked)

    def chosen(gradients: bool = False) -> str:
        refuses = functools.partial(d.refuses, image=image)
        return choose(d.operation, image.device, gradients, refuses).name

    monkeypatch.setattr(backends, "_installed", lambda package: True)
    assert chosen() == expected
    assert degrade.backend.explain(d, image).splitlines()[0] == f"fundus: {expected}"
    assert chosen(gradients=True) == ("cpu" if expected == "cpu" else "reference")
    monkeypatch.setattr(backends, "_installed", lambda package: False)
    assert chosen() == "reference"


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("size", [(96, 96), (64, 101)])
def test_backends_agree(apply: Apply, recipe: str, size: tuple[int, int]) -> None:
    image = torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(0))
    mask = (torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(1)) > 0.2).float()
    d = degrade.recipe(recipe)
    p = d.draw(degrade.make_keys(5, 3), *size)
    with degrade.backend("reference"):
        batched = d.apply(image, p, mask)
    assert (apply(d, image, p, mask) - batched).abs().max() < 0.5 / 255
    wrong = {**p, "brightness": p["brightness"] * 0.97, "type": torch.full_like(p["type"], 7)}
    assert (apply(d, image, wrong, mask) - batched).abs().max() > 0.5 / 255


@pytest.mark.slow
@pytest.mark.parametrize("size", [(300, 1400), (900, 300)])
def test_bands_of_rows_leave_no_seam(size: tuple[int, int]) -> None:
    """Frames of ten and seven of the bands that Numba finishes one after the other, large blurs and many spots."""
    pytest.importorskip("numba")
    image = torch.rand(7, 3, *size, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(7, 1, *size)
    d = degrade.recipe("cofe-net", exact=True, spot_count=(40, 60), blur_kernel=(0.5, 2.0))
    p = d.draw(degrade.make_keys(5, 7), *size)
    p |= {"type": torch.arange(1, 8)}  # each combination of stages once
    assert degrade.backend.explain(d, image).startswith("fundus: cpu")
    with degrade.backend("reference"):
        batched = d.apply(image, p, mask)
    assert (d.apply(image, p, mask) - batched).abs().max() < 2e-5


def test_no_backend_leaves_the_range(apply: Apply, interpreted: bool) -> None:
    """Between its nodes a wide field can be a little below 0; on white and on black that would show."""
    count, side = 3 if interpreted else 12, 256
    level = torch.tensor([1.0, 0.0, 0.6]).repeat(count // 3)
    image, mask = level.view(-1, 1, 1, 1).expand(-1, 3, side, side), torch.ones(count, 1, side, side)
    d = degrade.recipe("pce-net", brightness=1.0, contrast=1.0, saturation=1.0, hole_threshold=0.0)
    for kind in ("111",) if interpreted else ("001", "011", "111"):
        p = degrade.recipe("pce-net", type=kind).draw(degrade.make_keys(3, count), side, side)
        degraded = apply(d, image, p | PARAMETERS.only(p, "halo", "hole", "spots", "blur"), mask)
        assert float(degraded.min()) >= 0
        assert float(degraded.max()) <= 1


@settings(max_examples=60, deadline=None)
@given(
    recipe=st.sampled_from(RECIPES),
    size=st.tuples(st.integers(32, 3000), st.integers(32, 3000)),
    seed=st.integers(0, 2**32),
)
def test_no_draw_exceeds_the_bounds(recipe: str, size: tuple[int, int], seed: int) -> None:
    d = degrade.recipe(recipe, frame="image")
    p = d.draw(degrade.make_keys(seed, 64), *size)
    for name, most in sampling.largest(d.settings, *size).items():
        assert float(p[name].max()) <= most * (1 + 1e-6), name
        assert most < 1.6 * float(p[name].max()) + 0.05, name  # and the bounds are no wild guess


class TestNumba:
    """What the loops promise beside their numbers."""

    def test_concurrent_calls(self) -> None:
        pytest.importorskip("numba")
        d, image = degrade.recipe("cofe-net"), torch.rand(4, 3, 80, 80, generator=torch.Generator().manual_seed(0))
        keys = degrade.make_keys(0, 4)
        expected, results = d(image, keys), {}
        threads = [threading.Thread(target=lambda n=n: results.update({n: d(image, keys)})) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 6
        assert all(torch.equal(result, expected) for result in results.values())

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_that_of_the_storage(self, dtype: torch.dtype) -> None:
        image, keys = torch.rand(2, 3, 64, 64).to(dtype), degrade.make_keys(0, 2)
        d, mask = degrade.recipe("cofe-net", type="111"), torch.ones(2, 1, 64, 64)
        degraded = d(image, keys, mask)
        assert degraded.dtype == dtype
        assert torch.equal(degraded, d(image.float(), keys, mask).to(dtype))

    def test_memory_layout_changes_nothing(self) -> None:
        image, keys = torch.rand(2, 3, 64, 96), degrade.make_keys(0, 2)
        d, mask = degrade.recipe("cofe-net", type="111"), torch.ones(2, 1, 64, 96)
        expected = d(image, keys, mask)
        assert torch.equal(d(image.to(memory_format=torch.channels_last), keys, mask), expected)
        assert torch.equal(d(image.transpose(2, 3).contiguous().transpose(2, 3), keys, mask), expected)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("blur_kernel", torch.full((2, 2), 5.0)),
            ("spot_center", torch.full((2, 10, 2), float("nan"))),
            ("spot_height", torch.zeros(2, 9)),
            ("hole_center", torch.zeros(2)),
        ],
    )
    def test_parameters_that_would_leave_an_array(self, name: str, value: torch.Tensor) -> None:
        pytest.importorskip("numba")
        d, image = degrade.recipe("cofe-net", type="111"), torch.rand(2, 3, 64, 64)
        p = d.draw(degrade.make_keys(0, 2), 64, 64)
        with pytest.raises(ValueError, match=f"parameter '{name}'"):
            d.apply(image, {**p, name: value}, torch.ones(2, 1, 64, 64))

    def test_grids_are_as_coarse_as_the_kernel_allows(self) -> None:
        pytest.importorskip("numba")
        from degrade.models.fundus import cpu_wide

        weights = np.zeros((8, 128, 6), np.float32)
        steps = {1.0: 1, 71.0: 1, 72.0: 2, 73.0: 2, 143.5: 2, 144.0: 4, 287.0: 4, 288.0: 8, 1000.0: 16, 3000.0: 64}
        for kernel, step in steps.items():
            assert 2 ** cpu_wide._power(kernel, True, weights) == step
            assert cpu_wide._power(kernel, False, weights) == 0

    def test_types_and_layout_of_parameters_change_nothing(self) -> None:
        d, image, mask = degrade.recipe("cofe-net", type="111"), torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)
        expected, p = d.sample(image, degrade.make_keys(0, 2), mask)
        others = {name: torch.stack((value, value), -1)[..., 0] for name, value in p.items()}
        others |= {"type": p["type"].to(torch.int32), "halo_strength": torch.ones(2, dtype=torch.int64)}
        assert not others["spot_center"].is_contiguous()
        assert torch.equal(d.apply(image, others, mask), expected)

    def test_an_error_in_a_thread_is_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("numba")
        from degrade.models.fundus import cpu as fundus

        def broken(*arguments: object) -> None:
            raise MemoryError("planted")

        monkeypatch.setattr(fundus, "degrade_images", broken)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        with pytest.raises(MemoryError, match="planted"):
            degrade.recipe("cofe-net")(torch.rand(4, 3, 64, 64), degrade.make_keys(0, 4))


class TestCompile:
    """`compile()` on what the definition computes."""

    @pytest.fixture(autouse=True)
    def _forget(self) -> Iterator[None]:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        yield
        torch._dynamo.reset()

    @staticmethod
    def pair(**changes: Any) -> tuple[degrade.Degradation, degrade.Degradation]:
        plain, compiled = (degrade.recipe("cofe-net-paper", type="111", **changes) for _ in range(2))
        compiled.compile()
        return plain, compiled

    @pytest.mark.slow
    def test_exact_with_gradients_and_not_compiled_again(self) -> None:
        """The same random bits; another batch size, and one seen before, compile nothing."""
        plain, compiled = self.pair(softness=2 / 512)

        def differences(batch: int, size: int) -> tuple[float, float]:
            """Of the pictures, and of their gradients."""
            image, keys = torch.rand(batch, 3, size, size).requires_grad_(), degrade.make_keys(batch, batch)
            mask = torch.ones(batch, 1, size, size)
            with degrade.backend("reference"):
                results = [d(image, keys, mask) for d in (compiled, plain)]
            gradients = [torch.autograd.grad(result.square().sum(), image)[0] for result in results]
            picture, gradient = (float((x - y).detach().abs().max()) for x, y in (results, gradients))
            return picture, gradient

        def check(batch: int) -> None:
            pictures, gradients = differences(batch, 48)
            assert pictures < 1e-5
            assert gradients < 1e-4

        check(6)
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert graphs > 0
        for batch in (5, 7, 6):
            check(batch)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs
        assert not torch._dynamo.utils.counters["graph_break"]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"halo_offset": 0.05, "hole_kernel": 0.6, "spot_radius": 0.03, "hole_x": 0.4},
        {"halo_tint": (0, 2), "spot_count": (0, 0), "blur_kernel": 0.4, "noise": (0, 0.1), "type": "101"},
    ],
)
def test_loops_draw_the_bits_of_the_definition(recipe: str, changed: dict[str, Any]) -> None:
    pytest.importorskip("numba")
    d, keys = degrade.recipe(recipe, **changed), degrade.make_keys(3, 200)
    by_loops = d.draw(keys, 333, 517)
    with degrade.backend("reference"):
        by_torch = d.draw(keys, 333, 517)
    assert set(by_loops) == set(by_torch)
    assert all(torch.equal(value, by_torch[name]) for name, value in by_loops.items())
    assert all(value.dtype == by_torch[name].dtype for name, value in by_loops.items())


def test_importing_loads_no_compiler() -> None:
    code = "import sys, degrade; print([name for name in ('numba', 'triton', 'torch._dynamo') if name in sys.modules])"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == "[]"


WOKEN = """
import os, sys, time
import torch, degrade

torch.set_num_threads(2)
torch.zeros(1 << 22).add_(1)  # now they exist
threads = [name for name in os.listdir("/proc/self/task") if name != str(os.getpid())]

def woken(call):
    call()
    time.sleep(0.1)  # those that were awake have gone to sleep
    before = runs()
    call()
    return runs() - before

def runs():
    return sum(int(open(f"/proc/self/task/{name}/schedstat").read().split()[2]) for name in threads)

d = degrade.recipe(sys.argv[1])
for batch, side in ((1, 32), (4, 256), (64, 128), (256, 64)):
    image, mask, keys = torch.rand(batch, 3, side, side), torch.ones(batch, 1, side, side), degrade.make_keys(0, batch)
    print(woken(lambda: d(image, keys, mask)), woken(lambda: d.draw(keys, side, side)))
print(woken(lambda: torch.zeros(1 << 22).add_(1)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="only Linux tells how often a thread has run")
@pytest.mark.parametrize("recipe", RECIPES)
def test_torch_does_not_wake_its_threads(recipe: str) -> None:
    """They would go on spinning for milliseconds, on cores that the loops need."""
    pytest.importorskip("numba")
    found = subprocess.run([sys.executable, "-c", WOKEN, recipe], capture_output=True, text=True, check=True)
    *ours, control = map(int, found.stdout.split())
    assert not any(ours)
    assert control
