"""A load for an echo server, as rude as peers can be. Used by tcp_echo.rs.

Opens many connections at once, each with a behaviour of its own, and checks every byte that comes
back. Afterwards the server must have as many descriptors open as before. Exits with 0 if all is
well, otherwise says what is not and exits with 1.
"""

import argparse
import asyncio
import os
import random
import signal
import socket
import struct
import sys
import time

HOST = "127.0.0.1"
# One operation of a well-behaved peer may take this long.
PATIENCE = 30


class Wrong(Exception):
    """The server did what an echo server must not do."""


async def connect(args):
    return await asyncio.wait_for(asyncio.open_connection(HOST, args.port), PATIENCE)


def size_of_message(args, rng):
    """Mostly small, sometimes larger than the server's buffers or a socket's."""
    return rng.choice(
        [
            rng.randint(1, 64),
            rng.randint(1, args.buffer_size),
            rng.randint(args.buffer_size, args.buffer_size * 8),
            rng.randint(1, args.largest),
        ]
    )


async def echo(reader, writer, data):
    """Sends and receives at the same time, and checks what comes back."""

    async def send():
        writer.write(data)
        await writer.drain()

    async def receive():
        place = 0
        while place < len(data):
            piece = await reader.read(len(data) - place)
            if not piece:
                raise Wrong(f"the stream ended after {place} of {len(data)} bytes")
            if piece != data[place : place + len(piece)]:
                raise Wrong(f"of {len(data)} bytes some at {place} came back changed")
            place += len(piece)

    await asyncio.wait_for(asyncio.gather(send(), receive()), PATIENCE)


async def polite(args, rng):
    """Exchanges messages, ends its side, and expects the end of the other."""
    reader, writer = await connect(args)
    for _ in range(rng.randint(1, args.messages)):
        await echo(reader, writer, rng.randbytes(size_of_message(args, rng)))
    writer.write_eof()
    if await asyncio.wait_for(reader.read(), PATIENCE):
        raise Wrong("more came back than was sent")
    writer.close()


async def half_closed(args, rng):
    """Ends its side before it reads anything; all of it must come back, and then the end."""
    reader, writer = await connect(args)
    data = rng.randbytes(rng.randint(1, 60_000))
    writer.write(data)
    writer.write_eof()
    await asyncio.sleep(rng.random() * 0.2)
    back = await asyncio.wait_for(reader.read(), PATIENCE)
    if back != data:
        raise Wrong(f"of {len(data)} bytes before a half-close {len(back)} came back, or others")
    writer.close()


async def resetting(args, rng):
    """Resets the connection in the middle of a message."""
    reader, writer = await connect(args)
    writer.write(rng.randbytes(size_of_message(args, rng)))
    if rng.random() < 0.5:
        await asyncio.wait_for(reader.read(rng.randint(1, 100)), PATIENCE)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def silent(args, rng):
    """Says nothing for a while."""
    _, writer = await connect(args)
    await asyncio.sleep(rng.random())
    writer.close()


async def not_reading(args, rng):
    """Sends as much as goes, reads nothing, and leaves."""
    _, writer = await connect(args)
    writer.transport.set_write_buffer_limits(high=1 << 16)
    try:
        writer.write(rng.randbytes(args.largest))
        await asyncio.wait_for(writer.drain(), 0.5 + rng.random())
    except asyncio.TimeoutError:
        pass
    writer.transport.abort()


async def stubborn(args, stuck):
    """Sends for ever and reads nothing, until the server gives it up or the others are done."""
    _, writer = await connect(args)
    data = random.Random(args.seed).randbytes(1 << 20)
    try:
        while True:
            writer.write(data)
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except asyncio.TimeoutError:
                stuck.set()
                await writer.drain()
    except ConnectionError:
        pass
    finally:
        stuck.set()
        writer.transport.abort()


async def flood(args):
    """What a process does that is going to be killed: streams through several connections."""
    rng = random.Random(args.seed)

    async def stream():
        reader, writer = await connect(args)
        print("connected", flush=True)
        while True:
            await echo(reader, writer, rng.randbytes(args.largest))

    await asyncio.gather(*(stream() for _ in range(5)))


async def killed(args, rng):
    """Is another process, which is killed while it sends and receives."""
    command = [sys.executable, __file__, *sys.argv[1:], "--flood", "--seed", str(rng.random())]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        if line.strip() != b"connected":
            raise Wrong(f"the process to be killed said {line!r}")
        await asyncio.sleep(rng.random() * 0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def run_all(args):
    """Runs all behaviours at once; the polite ones must not suffer from the others."""
    rng = random.Random(args.seed)
    kinds = [polite, polite, polite, half_closed, resetting, silent, not_reading]
    peers = [kinds[number % len(kinds)] for number in range(args.connections)]
    peers += [killed] * args.killed
    rng.shuffle(peers)

    async def one(behaviour):
        own = random.Random(rng.random())
        try:
            await behaviour(args, own)
        except (Wrong, OSError, asyncio.TimeoutError) as error:
            return f"{behaviour.__name__}: {type(error).__name__}: {error}"
        return None

    # Those who are in the way come first, so that they hold the buffers when the others come.
    stuck = [asyncio.Event() for _ in range(args.stubborn)]
    in_the_way = [asyncio.create_task(stubborn(args, event)) for event in stuck]
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in stuck)), PATIENCE)
    outcomes = await asyncio.gather(*(one(behaviour) for behaviour in peers))
    for peer in in_the_way:
        peer.cancel()
    await asyncio.gather(*in_the_way, return_exceptions=True)
    return [outcome for outcome in outcomes if outcome]


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def wait_for_descriptors(pid, expected):
    """The server closes connections shortly after their peers have gone."""
    end = time.monotonic() + 10
    while (count := descriptors(pid)) != expected:
        if time.monotonic() > end:
            return f"the server had {expected} descriptors open before and has {count} now"
        time.sleep(0.02)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True, help="the server's")
    parser.add_argument("--connections", type=int, default=300)
    parser.add_argument("--killed", type=int, default=4, help="processes to kill")
    parser.add_argument("--stubborn", type=int, default=0, help="peers that hold buffers")
    parser.add_argument("--messages", type=int, default=20, help="the most per connection")
    parser.add_argument("--buffer-size", type=int, default=4096, help="the server's")
    parser.add_argument("--largest", type=int, default=1 << 20, help="message in bytes")
    parser.add_argument("--seed", type=float, default=1)
    parser.add_argument("--flood", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.flood:
        asyncio.run(flood(args))
        return 0
    before = descriptors(args.pid)
    failures = asyncio.run(run_all(args))
    leak = wait_for_descriptors(args.pid, before)
    if leak:
        failures.append(leak)
    for failure in failures[:10]:
        print(failure, file=sys.stderr)
    if len(failures) > 10:
        print(f"and {len(failures) - 10} more", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
