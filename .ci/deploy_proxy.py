"""Checks the nginx site with a temporary certificate: `nginx -t`, then the site before a stand-in for the service.

    python3 .ci/deploy_proxy.py SITE.conf WORK    # WORK holds fullchain.pem and privkey.pem
"""

import http.client
import http.server
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

MAIN = """daemon off; pid {work}/nginx.pid; error_log stderr warn;
events {{}}
http {{
  access_log off; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  include {work}/site.conf;
}}
"""


class StandIn(http.server.BaseHTTPRequestHandler):
    """Answers with the request's headers as they came through the proxy."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.close_connection = True
            return
        body = "\n".join(f"{name.lower()}: {value}" for name, value in self.headers.items()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def ask(port, path, method="GET", tls=True, **headers):
    context = ssl._create_unverified_context()
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    )
    headers = {"Host": "monitoring.example.com"} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    text = "" if reply.status == 101 else reply.read().decode()
    return reply.status, text, reply.headers


def expect(what, got, wanted):
    assert got == wanted, f"{what}: {got}, expected {wanted}"


def check(http_port, https_port):
    expect("a page over HTTP", ask(http_port, "/x?y=1", tls=False)[0], 308)
    place = ask(http_port, "/x?y=1", tls=False)[2]["Location"]
    expect("where it leads", place, "https://monitoring.example.com/x?y=1")
    expect("a key over HTTP", ask(http_port, "/status", tls=False, X_API_Key="secret")[0], 403)
    expect("a token over HTTP", ask(http_port, "/status", tls=False, Authorization="Bearer x")[0], 403)
    expect("a feed over HTTP", ask(http_port, "/feed/data", "POST", tls=False)[0], 405)
    expect("metrics from outside", ask(https_port, "/metrics")[0], 404)
    for path in ("/status", "/events", "/predictions/current"):
        status, text, _ = ask(https_port, path, X_Forwarded_For="203.0.113.9", X_API_Key="secret")
        expect(path, status, 200)
        for line in (
            "host: monitoring.example.com", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: https", "x-api-key: secret"
        ):
            assert line in text.splitlines(), f"{path} came without `{line}`: {text}"
    status = ask(https_port, "/ws", Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Key="x")[0]
    expect("a WebSocket", status, 101)


def main():
    site, work = Path(sys.argv[1]), Path(sys.argv[2])
    stand_in = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=stand_in.serve_forever, daemon=True).start()
    http_port, https_port = free_ports(2)
    text = site.read_text()
    text = re.sub(r"/etc/letsencrypt/live/[^/]+", str(work), text)
    text = text.replace("listen 80;", f"listen 127.0.0.1:{http_port};")
    text = text.replace("listen 443 ", f"listen 127.0.0.1:{https_port} ")
    # The machine may have no IPv6; the lines differ in nothing else.
    text = re.sub(r"listen \[::\]:.*", "", text)
    text = text.replace("server 127.0.0.1:8000;", f"server 127.0.0.1:{stand_in.server_port};")
    (work / "site.conf").write_text(text)
    (work / "nginx.conf").write_text(MAIN.format(work=work))
    command = ["nginx", "-e", "stderr", "-p", str(work), "-c", str(work / "nginx.conf")]
    tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
    print(tested.stderr)
    assert tested.returncode == 0 and "[warn]" not in tested.stderr, "nginx -t"
    proxy = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", https_port)):
            assert proxy.poll() is None and time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.02)
        check(http_port, https_port)
    finally:
        proxy.terminate()
        proxy.wait(10)


if __name__ == "__main__":
    main()
