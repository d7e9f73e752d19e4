"""Which images a step sees, by brute force; and what Ctrl-C does."""

from __future__ import annotations

import dataclasses
import signal
import threading
from itertools import chain

import pytest
from accelerate.data_loader import BatchSamplerShard

from colorize.experiments.presets import FAST
from colorize.training import sampler as s

Batch = list[tuple[int, int]]


def _batches(
    length: int, batch: int, *, seed: int = 0, start: int = 0, stop: int = 12, parts: int = 1
) -> list[Batch]:
    return list(s.StepSampler(length, batch, seed, start, stop, parts))


def _indices(batches: list[Batch]) -> list[int]:
    return [index for batch in batches for index, _ in batch]


@pytest.mark.parametrize(("length", "batch"), [(14, 4), (12, 4), (4, 4), (5, 1), (33, 7)])
def test_an_epoch_shows_no_image_twice(length: int, batch: int) -> None:
    per_epoch = length // batch
    batches = _batches(length, batch, stop=per_epoch * 8)
    assert len(batches) == per_epoch * 8 and {len(b) for b in batches} == {batch}
    orders = []
    for epoch in range(8):
        seen = _indices(batches[epoch * per_epoch : (epoch + 1) * per_epoch])
        assert len(set(seen)) == len(seen) == per_epoch * batch
        assert set(seen) <= set(range(length))
        orders.append(tuple(seen))
    if length > 4:
        assert len(set(orders)) == 8
    # What is left over differs from epoch to epoch, so that all are seen in the end.
    assert set(_indices(batches)) == set(range(length))


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_run_that_was_cut_goes_on_with_the_same_batches(parts: int) -> None:
    whole = _batches(22, 8, stop=11, parts=parts)
    assert len(whole) == 11 * parts
    for start in range(12):
        sampler = s.StepSampler(22, 8, 0, start, 11, parts)
        assert list(sampler) == whole[start * parts :]
        assert len(sampler) == (11 - start) * parts
        assert list(sampler) == whole[start * parts :]


def test_parts_are_the_whole_batch_in_pieces() -> None:
    whole = _batches(22, 8)
    for parts in (2, 4, 8):
        pieces = _batches(22, 8, parts=parts)
        assert {len(piece) for piece in pieces} == {8 // parts}
        assert list(chain(*pieces)) == list(chain(*whole))


def test_the_seed_of_a_crop_tells_epochs_and_runs_apart() -> None:
    seeds = {}
    for seed in (0, 1, 77):
        batches = _batches(8, 4, seed=seed, stop=6)
        seeds[seed] = [sorted({own for _, own in batch}) for batch in batches]
        assert all(len(found) == 1 for found in seeds[seed])
        assert seeds[seed][0] == seeds[seed][1] != seeds[seed][2]
    everything = [found[0] for own in seeds.values() for found in own]
    assert len(set(everything)) == 3 * 3
    assert _batches(8, 4, seed=0) != _batches(8, 4, seed=1)


@pytest.mark.parametrize("parts", [1, 2])
def test_accelerate_gives_each_process_its_share_of_a_batch(parts: int) -> None:
    whole = _batches(22, 8, parts=parts)
    shares = [
        list(BatchSamplerShard(s.StepSampler(22, 8, 0, 0, 12, parts), 2, i, split_batches=True))
        for i in range(2)
    ]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole


@pytest.mark.parametrize(
    ("images", "epochs", "steps"),
    [(14, 1, 3), (14, 6, 18), (4, 1, 1), (14, 0.34, 1), (14, 0.01, 1), (14, 2.5, 8), (7, 100, 100)],
)
def test_count_steps(images: int, epochs: float, steps: int) -> None:
    assert s.count_steps(images, dataclasses.replace(FAST, batch_size=4, epochs=epochs)) == steps


def test_the_first_ctrl_c_is_a_flag_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with s.interruptible(1) as flag:
        assert not flag.is_set()
        signal.raise_signal(signal.SIGINT)
        assert flag.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    with s.interruptible(1) as flag:
        assert not flag.is_set()


def test_several_processes_and_other_threads_keep_their_handlers() -> None:
    before = signal.getsignal(signal.SIGINT)
    with s.interruptible(2) as flag:
        assert signal.getsignal(signal.SIGINT) is before and not flag.is_set()
    found: list[bool] = []

    def work() -> None:
        with s.interruptible(1) as own:
            found.append(own.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
    assert signal.getsignal(signal.SIGINT) is before
