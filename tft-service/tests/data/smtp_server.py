"""A mail server for tests, on loopback: `smtp_server.py plain|starttls|implicit [CERTIFICATE KEY]`.

Prints its port, then a line of JSON per message. With a certificate it wants the user `tft` and the password `hunter2-hunter2`.
Recipients at `refused.example.com` are refused for good, and those at `busy.example.com` for now.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Recorder:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.endswith("@refused.example.com"):
            return "550 no such mailbox"
        if address.endswith("@busy.example.com"):
            return "451 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None,
            "login": bool(session.authenticated),
            "text": envelope.content.decode(),
        }), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    expected = LoginPassword(b"tft", b"hunter2-hunter2")
    return AuthResult(success=data == expected)


async def main():
    mode, *files = sys.argv[1:]
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    options = {"hostname": "localhost"}
    if files:
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": mode == "starttls"}
    if mode == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Recorder(), **options), "127.0.0.1", 0, ssl=context if mode == "implicit" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
