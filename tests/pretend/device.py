"""A device for tests that lies in the CPU's memory, but whose tensors say that they are elsewhere.

It shows without a GPU what a GPU would: operations that mix its tensors with the CPU's raise, and `watched` lists what
the host would wait for (a number or a mask that is read, copies to the host) and what it would copy to the device.

It is PyTorch's "privateuse1" backend, written in Python. A DLPack capsule carries memory across: the code of its device
is changed from the CPU's to the extension's or back. Views are made by the CPU's kernels, so that autograd and writing
in place work; all other operations end in `operations.compute`, which checks the devices and computes on the CPU's
aliases.

`register` changes the whole process: tests that use it run in one of their own (tests/test_pretend_device.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration

from tests.pretend.kernels import KERNELS
from tests.pretend.memory import NAME, is_own
from tests.pretend.operations import compute
from tests.pretend.watch import note


class _Module(backend_registration._DummyBackendModule):  # type: ignore[misc]
    """What PyTorch asks of `torch.pretend`."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def synchronize(self, device: Any = None) -> None:
        note("waits", "synchronize")

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)


_libraries: list[Any] = []  # kernels are there as long as their libraries are


def register() -> None:
    """Make the device "pretend" known to PyTorch, in this process and for good."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())  # type: ignore[attr-defined]
    every, autocast, own = (torch.library.Library(namespace, "IMPL") for namespace in ("_", "_", "aten"))
    every.fallback(compute, "PrivateUse1")
    for name, kernel in KERNELS.items():
        own.impl(name, kernel, "PrivateUse1")
    autocast.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    _libraries.extend([every, autocast, own])
    torch.__future__.set_swap_module_params_on_conversion(True)  # else optimizers keep the parameters that were
    _copy_deeply()


def _copy_deeply() -> None:
    """Have copy.deepcopy clone tensors of the device: PyTorch makes a storage, for which there is no allocator."""
    plain = Tensor.__deepcopy__

    def deepcopy(self: Tensor, memo: dict[int, Any]) -> Any:
        if not is_own(self) or isinstance(self, torch.nn.Parameter) or id(self) in memo:
            return plain(self, memo)  # type: ignore[no-untyped-call]
        memo[id(self)] = self.detach().clone().requires_grad_(self.requires_grad)
        return memo[id(self)]

    Tensor.__deepcopy__ = deepcopy  # type: ignore[method-assign]
