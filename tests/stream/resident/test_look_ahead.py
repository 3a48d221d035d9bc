"""Items are made ahead of their use, but never too many of them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from waiting import wait_until

from gadget.errors import DataError
from gadget.stream.resident.look_ahead import LookAhead


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_results_come_in_order(pool):
    ahead = LookAhead(range(20), lambda item: pool.submit(pow, item, 2), 3)
    assert list(ahead) == [(item, item**2) for item in range(20)]


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_items_exist_than_allowed(pool, depth):
    made: list[int] = []

    def items():
        for item in range(10):
            made.append(item)
            yield item

    used = 0
    for item, _ in LookAhead(items(), lambda item: pool.submit(abs, item), depth):
        # This one is still in use, and those behind it are all that there may be.
        expected = min(10, item + depth)
        wait_until(lambda expected=expected: len(made) == expected)
        time.sleep(0.005)
        assert len(made) == expected
        used += 1
    assert used == 10


def test_an_error_of_the_items_comes_after_the_results_before_it(pool):
    def items():
        yield 1
        raise DataError("The scan is broken.")

    seen = []
    with pytest.raises(DataError, match="broken"):
        for item, _ in LookAhead(items(), lambda item: pool.submit(abs, item), 3):
            seen.append(item)
    assert seen == [1]


def test_an_error_of_a_job_is_raised(pool):
    ahead = LookAhead([4, 0], lambda item: pool.submit(lambda: 1 / item), 3)
    results = iter(ahead)
    assert next(results) == (4, 0.25)
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_ends_the_thread_and_submits_nothing_more():
    submitted: list[int] = []
    hold = threading.Event()

    def submit(item: int) -> Future[int]:
        submitted.append(item)
        return Future()

    def items():
        yield 0
        hold.wait(10)
        yield 1

    threads = set(threading.enumerate())
    full = LookAhead(range(5), submit, 1)
    wait_until(lambda: submitted == [0])
    full.close()
    making = LookAhead(items(), submit, 3)
    wait_until(lambda: submitted == [0, 0])
    making.close()
    hold.set()
    wait_until(lambda: set(threading.enumerate()) <= threads)
    assert submitted == [0, 0]
