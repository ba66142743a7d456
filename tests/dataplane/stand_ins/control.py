"""A control process that only relays: what the supervisor says goes to whoever is connected to the admin socket, and
the other way round. A line `telemetry` makes it read one telemetry datagram and answer with it, as a `Rejected`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket

from gatewright.core.messages import Configure, FrameParser, Message, Ready, Rejected, Reload, Status, render_frame


class Control:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.listeners: set[asyncio.StreamWriter] = set()
        self.heard: list[Message] = [Rejected([f"pid {os.getpid()}"])]
        self.telemetry = socket.socket(fileno=options.telemetry_fd)
        self.telemetry.setblocking(False)

    async def run(self) -> None:
        reader, self.writer = await asyncio.open_connection(sock=socket.socket(fileno=self.options.channel_fd))
        server = await asyncio.start_server(self.relay, sock=socket.socket(fileno=self.options.admin_fd))
        self.writer.write(render_frame(Ready(0)))
        frames = FrameParser()
        while data := await reader.read(65_536):
            for message in frames.feed(data):
                if isinstance(message, Configure | Status | Reload):
                    self.heard.append(message)
                    for listener in self.listeners:
                        listener.write(render_frame(message))
        server.close()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A new listener hears the past first."""
        for message in self.heard:
            writer.write(render_frame(message))
        self.listeners.add(writer)
        frames = FrameParser()
        try:
            while data := await reader.read(65_536):
                for message in frames.feed(data):
                    if message == Rejected(["telemetry"]):
                        datagram = await asyncio.get_running_loop().sock_recv(self.telemetry, 65_536)
                        writer.write(render_frame(Rejected([datagram.decode()])))
                    else:
                        self.writer.write(render_frame(message))
        except OSError:
            pass
        finally:
            self.listeners.discard(writer)
            writer.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--admin-fd", "--channel-fd", "--telemetry-fd"):
        parser.add_argument(option, type=int, required=True)
    options = parser.parse_args()

    async def run() -> None:
        await Control(options).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
