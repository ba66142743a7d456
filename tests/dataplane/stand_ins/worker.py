"""A worker without a data plane: answers any request with its process, slot and version, and does as its document says.

Documents: `refuse…` is refused, `die…` ends the process, `hang…` is never answered, anything else is served.
`GET /slow` takes as many seconds as its query says; `GET /telemetry?N` sends N datagrams.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket

from gatewright.core.messages import Configure, Drain, FrameParser, Ready, Refused, render_frame


class Worker:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.version = 0
        self.running = 0
        self.draining = asyncio.Event()
        self.server: asyncio.Server | None = None
        self.telemetry = socket.socket(fileno=options.telemetry_fd)

    async def run(self) -> None:
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=self.options.channel_fd))
        frames = FrameParser()
        ended = asyncio.ensure_future(self.draining.wait())
        while not self.draining.is_set():
            read = asyncio.ensure_future(reader.read(65_536))
            await asyncio.wait([read, ended], return_when=asyncio.FIRST_COMPLETED)
            data = read.result() if read.done() else b""
            if not data:
                break
            for message in frames.feed(data):
                if isinstance(message, Configure):
                    await self.configure(message, writer)
                elif isinstance(message, Drain):
                    self.draining.set()
        if self.server is not None:
            self.server.close()
        await asyncio.sleep(0.05)  # a connection accepted just now is not counted yet
        while self.running:
            await asyncio.sleep(0.005)

    async def configure(self, message: Configure, writer: asyncio.StreamWriter) -> None:
        if message.document.startswith(b"refuse"):
            writer.write(render_frame(Refused(message.version, ["models.a: no"])))
        elif message.document.startswith(b"die"):
            os.kill(os.getpid(), signal.SIGKILL)
        elif not message.document.startswith(b"hang"):
            self.version = message.version
            if self.server is None:
                listening = socket.socket(fileno=self.options.listen_fd)
                self.server = await asyncio.start_server(self.serve, sock=listening)
            writer.write(render_frame(Ready(message.version)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.running += 1
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            path, _, query = request.split()[1].decode().partition("?")
            if path == "/slow":
                await asyncio.sleep(float(query))
            for number in range(int(query) if path == "/telemetry" else 0):
                self.telemetry.send(b"datagram %d" % number)
            body = f"{os.getpid()} {self.options.slot} {self.version}".encode()
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.running -= 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--state")
    for option in ("--slot", "--listen-fd", "--channel-fd", "--telemetry-fd"):
        parser.add_argument(option, type=int, required=True)
    options = parser.parse_args()

    async def run() -> None:
        await Worker(options).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
