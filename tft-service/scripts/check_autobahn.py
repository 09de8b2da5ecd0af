"""Runs the cases of the Autobahn TestSuite against a running service's `/ws`.

    pip install kosoku==0.1.0      # the cases, with a runner that needs no Python 2
    TFT_STREAM_MESSAGES_PER_S=10000 TFT_STREAMS_PER_KEY_MAX=256 TFT_API_KEY=... tft-service serve &
    TFT_API_KEY=... python tft-service/scripts/check_autobahn.py 127.0.0.1:8000

The cases expect a server that sends back what it is sent. The service answers instead that it does not know such a
message, so that an adapter stands between: it adds the key to the handshake, hides the service's own messages, and at each
answer hands back the message that was answered. Bytes of the client, and control frames of the service, pass as they are.

Prints each case whose result is not the expected one, and exits 1 then. Expected to fail are the cases that need binary
messages, which are refused with 1003, and messages above 64 KiB, refused with 1009; compression is not offered.
"""

import asyncio
import json
import os
import sys

from kosoku import FailureError, run_fuzzingclient

TEXT, CONTINUATION, BINARY, CONTROL = 1, 0, 2, 8
ACCEPTED = {"OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"}
LEFT_OUT = [
    "1.2.*",  # binary
    "9.1.2", "9.1.3", "9.1.4", "9.1.5", "9.1.6",  # 256 KiB and more
    "9.2.*", "9.3.*", "9.4.*", "9.5.*", "9.6.*",  # 1 MiB and more, or binary
    "9.7.5", "9.7.6", "9.8.*",  # more bytes a second than a client may send, or binary
    "12.*", "13.*",  # compression
]


class Frames:
    """The frames of one direction, as far as they are frames."""

    def __init__(self):
        self.bytes = bytearray()

    def take(self, data: bytes):
        self.bytes += data
        while (frame := self.next()) is not None:
            yield frame

    def next(self):
        """The first byte, the payload and all bytes of the next frame."""
        head = self.bytes
        if len(head) < 2:
            return None
        length, at = head[1] & 0x7F, 2
        for marker, size in ((126, 2), (127, 8)):
            if length == marker:
                if len(head) < 2 + size:
                    return None
                length, at = int.from_bytes(head[2 : 2 + size]), 2 + size
                break
        mask = b""
        if head[1] & 0x80:
            mask, at = bytes(head[at : at + 4]), at + 4
        if len(head) < at + length:
            return None
        whole = bytes(head[: at + length])
        payload = whole[at:]
        if mask:
            payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        del self.bytes[: at + length]
        return whole[0], payload, whole


class Messages:
    """Puts the fragments of text messages together."""

    def __init__(self):
        self.fragments = b""

    def of(self, first: int, payload: bytes):
        if first & 0xF not in (TEXT, CONTINUATION):
            return None
        self.fragments += payload
        if not first & 0x80:
            return None
        whole, self.fragments = self.fragments, b""
        return whole


def text_frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([0x80 | TEXT, size]) + payload
    if size < 1 << 16:
        return bytes([0x80 | TEXT, 126]) + size.to_bytes(2) + payload
    return bytes([0x80 | TEXT, 127]) + size.to_bytes(8) + payload


async def to_service(reader, writer, asked: list):
    frames, messages = Frames(), Messages()
    while data := await reader.read(1 << 16):
        writer.write(data)
        for first, payload, _ in frames.take(data):
            message = messages.of(first, payload)
            if message is not None:
                asked.append(message)
        await writer.drain()
    writer.write_eof()


async def to_client(reader, writer, asked: list):
    frames, messages = Frames(), Messages()
    while data := await reader.read(1 << 16):
        for first, payload, whole in frames.take(data):
            if first & 0xF >= CONTROL:
                writer.write(whole)
                continue
            message = messages.of(first, payload)
            if message is not None and json.loads(message)["type"] == "error":
                writer.write(text_frame(asked.pop(0)))
        await writer.drain()
    writer.close()


async def adapt(address: str, reader, writer):
    host, _, port = address.rpartition(":")
    service_reader, service_writer = await asyncio.open_connection(host, int(port))
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    kept = [line for line in head[1:-2] if not line.lower().startswith(("host:", "origin:"))]
    head = ["GET /ws HTTP/1.1", f"Host: {address}", f"X-API-Key: {os.environ['TFT_API_KEY']}", *kept, "", ""]
    service_writer.write("\r\n".join(head).encode())
    writer.write(await service_reader.readuntil(b"\r\n\r\n"))
    asked: list[bytes] = []
    directions = (to_service(reader, service_writer, asked), to_client(service_reader, writer, asked))
    await asyncio.gather(*directions, return_exceptions=True)
    service_writer.close()
    writer.close()


async def main() -> int:
    address = sys.argv[1]
    server = await asyncio.start_server(lambda *streams: adapt(address, *streams), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        results = await run_fuzzingclient(f"127.0.0.1:{port}", sys.argv[2:] or None, LEFT_OUT)
    except FailureError as failure:
        results = failure.results
    failed = [case for case in results if {case.behavior.value, case.behavior_close.value} - ACCEPTED]
    for case in failed:
        print(f"{case.case_id}: {case.behavior.value}, close {case.behavior_close.value}: {case.result}; {case.result_close}")
    counts: dict[str, int] = {}
    for case in results:
        counts[case.behavior.value] = counts.get(case.behavior.value, 0) + 1
    print(f"{len(results)} cases, {len(failed)} not as expected: {counts}")
    return 1 if failed or not results else 0


sys.exit(asyncio.run(main()))
