"""A way of some length to a port of this machine: what passes arrives later, and comes from another address."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = 64 * 1024


class _Way:
    """A proxy that passes bytes on after a delay, without slowing those behind them."""

    def __init__(self, target: tuple[str, int], one_way_s: float, source: str) -> None:
        self._target = target
        self._one_way_s = one_way_s
        self._source = source

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on, in both directions."""
        ends = [writer]
        try:
            await asyncio.sleep(self._one_way_s)
            there, back = await asyncio.open_connection(*self._target, local_addr=(self._source, 0))
            ends.append(back)
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        except (OSError, asyncio.CancelledError):
            return  # one of the ends is gone, or this is the end
        finally:
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        on_the_way = asyncio.Queue[tuple[float, bytes]]()
        async with asyncio.TaskGroup() as both:
            both.create_task(self._take_in(reader, on_the_way))
            both.create_task(_deliver(on_the_way, writer))

    async def _take_in(self, reader: asyncio.StreamReader, on_the_way: asyncio.Queue[tuple[float, bytes]]) -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = await reader.read(CHUNK)
            except OSError:
                chunk = b""
            on_the_way.put_nowait((asyncio.get_running_loop().time() + self._one_way_s, chunk))


async def _deliver(on_the_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    """Write each chunk when it is due; the empty one ends the connection."""
    while True:
        due_at, chunk = await on_the_way.get()
        await asyncio.sleep(due_at - asyncio.get_running_loop().time())
        if not chunk:
            writer.close()
            return
        writer.write(chunk)


@contextmanager
def distant(target: tuple[str, int], round_trip_s: float, source: str = "127.0.0.1") -> Iterator[int]:
    """Serve a way to a port; yield the port at this end. Connections arrive at the target from `source`."""
    loop = asyncio.new_event_loop()
    way = _Way(target, round_trip_s / 2, source)
    server = loop.run_until_complete(asyncio.start_server(way.serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.01)  # until the connections that were ended are closed
