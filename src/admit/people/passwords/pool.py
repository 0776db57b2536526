"""The threads on which passwords are hashed: as many as cores, at the lowest priority, behind a bounded
queue.

Measured at nice 19: protected requests keep 1.6 times their idle p99 while logins saturate the machine,
against 5.3 times on plain threads. When the queue is full the caller gets 503 at once, instead of a
time-out and a process that runs out of memory (ASVS 15.2.2).
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from admit.ground.errors import Unavailable
from admit.people.passwords.hashing import Hasher, Verdict

T = TypeVar("T")
NICE = 19
PART = "password hashing"
WAITING_PER_THREAD = 32  # at 50 ms a hash the last in the queue waits 1.6 s

_Job = tuple["Future[Any]", Callable[[], Any]]


class HashPool:
    """Runs a `Hasher` off the event loop. Threads start with the first job, so that a fork before it is
    harmless.
    """

    def __init__(self, hasher: Hasher, *, threads: int | None = None, waiting: int | None = None) -> None:
        """`threads`: one for each core this process may use. `waiting`: jobs in the queue, not counting
        running ones.
        """
        self.hasher = hasher
        self._size = threads or _cores()
        self._jobs: queue.Queue[_Job | None] = queue.Queue(waiting or WAITING_PER_THREAD * self._size)
        self._threads: list[threading.Thread] = []
        self._guard = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"HashPool({self.hasher!r}, threads={self._size}, waiting={self.waiting})"

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken yet."""
        return self._jobs.qsize()

    async def hash(self, password: str) -> str:
        """`Hasher.hash`; raises its refusals, and `Unavailable` when the queue is full or the pool closed."""
        return await self.run(lambda: self.hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """`Hasher.verify`: None for an unknown account; raises `Unavailable` when full or closed."""
        return await self.run(lambda: self.hasher.verify(stored, password))

    async def run(self, work: Callable[[], T]) -> T:
        """Any other slow and pure work, such as an RSA signature, on the same threads and queue.

        A caller that is cancelled leaves its place in the queue until a thread comes to it: hanging up is
        no way to put more into memory than the queue holds.
        """
        future: Future[T] = Future()
        with self._guard:
            if self._closed:
                raise Unavailable(PART)
            try:
                self._jobs.put_nowait((future, work))
            except queue.Full:
                raise Unavailable(PART) from None
            if not self._threads:
                self._start()
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Refuse what waits, let what runs finish, end the threads. Blocks for one hash; safe to call
        twice.
        """
        with self._guard:
            self._closed = True
            threads, self._threads = self._threads, []
        for future, _ in self._drain():
            if future.set_running_or_notify_cancel():
                future.set_exception(Unavailable(PART))
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join()

    def _start(self) -> None:
        self._threads = [
            threading.Thread(target=_labour, args=(self._jobs,), name=f"admit-hash-{number}", daemon=True)
            for number in range(self._size)
        ]
        for thread in self._threads:
            thread.start()

    def _drain(self) -> list[_Job]:
        jobs: list[_Job] = []
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs
            if job is not None:
                jobs.append(job)


def _labour(jobs: queue.Queue[_Job | None]) -> None:
    _step_back()
    while (job := jobs.get()) is not None:
        _do(*job)
        del job  # else the last password stays in this frame until the next login


def _do(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # handed to the caller; a thread that died of it would be missing for ever
        future.set_exception(error)
    else:
        future.set_result(result)


def _step_back() -> None:
    """Lower the priority of this thread alone."""
    # only on Linux is a native thread id a valid target; elsewhere it may be the id of some other process
    if sys.platform == "linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        except OSError:
            return  # a sandbox may forbid it; slower neighbours are better than no logins


def _cores() -> int:
    # a container may use fewer cores than the machine has; not every system can tell
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
