"""Adapters of streams for Lightning, Fabric and Accelerate: advancing epochs, saving and restoring the place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, IterableDataset

from degrade.stream.pool import StreamError

if TYPE_CHECKING:
    from degrade.stream.base import Stream


class EpochSampler:
    """Sampler with the method `set_epoch`, which Lightning calls before each epoch.

    A stream that is not shuffled keeps its epoch, as PyTorch's `DistributedSampler` does: Lightning counts epochs for
    validation too, which wants the same pictures each time. `Stream.set_epoch` changes it all the same.
    """

    def __init__(self, stream: Stream[Any]) -> None:
        self._stream = stream

    def set_epoch(self, epoch: int) -> None:
        """The next iteration goes through that epoch."""
        if self._stream.shuffle:
            self._stream.set_epoch(epoch)


class StreamLoader(DataLoader[Any]):
    """A stream as a `torch.utils.data.DataLoader`, for frameworks that take nothing else.

    Each iteration goes through the next epoch: the first through the epoch that the stream is at (or the rest of it,
    after `load_state_dict`), also where that was named by `set_epoch`. A stream that is not shuffled keeps its epoch.
    Batches, workers and processes are the stream's own: there is nothing to be set here.

    Args:
        stream: which.
    """

    _is_accelerate_prepared = True
    """Accelerate's `prepare` leaves it as it is: the stream has divided its epochs among the processes already."""
    use_stateful_dataloader = True
    """Accelerate's `save_state` and `load_state` save and restore it."""

    def __init__(self, stream: Stream[Any]) -> None:
        super().__init__(_Batches(stream), batch_size=None)
        self._stream = stream
        self._begun = -1

    def __len__(self) -> int:
        return len(self._stream)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # not by way of the data set, which takes a seed
        stream = self._stream
        if stream.shuffle and (stream.naming == self._begun or stream.at_end):
            stream.set_epoch(stream.epoch + 1)
        self._begun = stream.naming
        yield from stream

    def state_dict(self) -> dict[str, Any]:
        """The stream's."""
        return self._stream.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The stream's."""
        self._stream.load_state_dict(state)


class _Batches(IterableDataset[Any]):
    """Data set of a `StreamLoader`; frameworks that make loaders of their own iterate over it."""

    def __init__(self, stream: Stream[Any]) -> None:
        self._stream = stream
        self._loader: StreamLoader | None = None

    def __len__(self) -> int:
        return len(self._stream)

    def __iter__(self) -> Iterator[Any]:
        if self._stream.team()[1] > 1:
            raise StreamError(
                "a stream divides its epochs among the processes itself; a loader made of it by a framework would do "
                "so once more: iterate over stream.loader(), or over the stream"
            )
        if self._loader is None:
            self._loader = StreamLoader(self._stream)
        return iter(self._loader)
