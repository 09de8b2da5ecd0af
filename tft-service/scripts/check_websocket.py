"""Checks the protocol of a running service's `/ws` with a client that is not its own.

    pip install websockets==15.0.1
    TFT_API_KEY=... python check_websocket.py ws://127.0.0.1:8000/ws

Fragments, characters split between them, pings and their payloads, closing handshakes with their codes, and what must
fail. Prints a line per check and exits 1 if one fails.
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

URL = sys.argv[1]
HEADERS = {"X-API-Key": os.environ["TFT_API_KEY"]}


def opened():
    return connect(URL, additional_headers=HEADERS, max_size=None, close_timeout=5)


async def answer(socket, kind):
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 10))
        if message["type"] == kind:
            return message


async def send_frames(socket, *frames):
    for opcode, payload, fin in frames:
        frame = Frame(opcode, payload, fin)
        socket.transport.write(frame.serialize(mask=True))


async def closed(socket):
    try:
        while True:
            await asyncio.wait_for(socket.recv(), 10)
    except ConnectionClosed as end:
        return end.rcvd.code if end.rcvd else None


async def ping_payloads():
    async with opened() as socket:
        for payload in (b"", b"x", bytes(125), b"\xff\xfe"):
            await asyncio.wait_for(await socket.ping(payload), 5)
            await asyncio.sleep(0.1)


async def unsolicited_pong():
    async with opened() as socket:
        await socket.pong(b"nobody asked")
        await socket.send('{"type":"ping"}')
        await answer(socket, "pong")


async def fragments():
    async with opened() as socket:
        await socket.send(iter(['{"type"', ':', '', '"ping"}']))
        await answer(socket, "pong")


async def split_characters():
    text = '{"type":"ping","note":"κόσμε 😀"}'.encode()
    async with opened() as socket:
        # A byte at a time would be a flood: cut within each character of several bytes.
        parts = [text[at : at + 3] for at in range(0, len(text), 3)]
        last = len(parts) - 1
        for at, part in enumerate(parts):
            await send_frames(socket, (Opcode.TEXT if at == 0 else Opcode.CONT, part, at == last))
        await answer(socket, "pong")


async def control_between_fragments():
    async with opened() as socket:
        await send_frames(socket, (Opcode.TEXT, b'{"type":', False))
        await asyncio.wait_for(await socket.ping(b"between"), 5)
        await send_frames(socket, (Opcode.CONT, b'"ping"}', True))
        await answer(socket, "pong")


async def large_answers():
    async with opened() as socket:
        await socket.send('{"type":"request_data","limit":1000}')
        reply = await answer(socket, "data_response")
        assert reply["count"] == len(reply["rows"])


async def close_codes():
    for code in (1000, 1001, 1003, 1007, 1011, 3000, 4999):
        async with opened() as socket:
            await socket.recv()
            await socket.close(code, "bye")
            assert socket.close_code == code, (code, socket.close_code)


async def fails(expected, *frames):
    async with opened() as socket:
        await send_frames(socket, *frames)
        code = await closed(socket)
        assert code == expected, f"{code} instead of {expected}"


async def main():
    bad_utf8 = [b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\x80"]
    checks = {
        "pings of every length come back": ping_payloads,
        "a pong that nobody asked for is taken": unsolicited_pong,
        "fragments, an empty one among them": fragments,
        "characters split between fragments": split_characters,
        "a ping between fragments": control_between_fragments,
        "an answer of a thousand rows": large_answers,
        "closing handshakes": close_codes,
        "binary is 1003": lambda: fails(1003, (Opcode.BINARY, b"{}", True)),
        "a lone continuation is 1002": lambda: fails(1002, (Opcode.CONT, b"{}", True)),
        "a text within a text is 1002": lambda: fails(1002, (Opcode.TEXT, b"{", False), (Opcode.TEXT, b"}", True)),
        "65537 bytes are 1009": lambda: fails(1009, (Opcode.TEXT, b" " * 65537, True)),
        "an unfinished character is 1007": lambda: fails(1007, (Opcode.TEXT, b"\xce", True)),
    }
    for number, text in enumerate(bad_utf8):
        checks[f"text that is not UTF-8 ({number}) is 1007"] = lambda text=text: fails(1007, (Opcode.TEXT, text, True))
    failed = 0
    for name, check in checks.items():
        try:
            await check()
            print("ok  ", name)
        except Exception as error:
            failed += 1
            print("FAIL", name, repr(error))
    sys.exit(failed > 0)


asyncio.run(main())
