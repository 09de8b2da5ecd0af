"""Checks with a real browser what pages of an allowed and of another origin can do with a running service.

    apt-get install chromium chromium-driver && pip install selenium==4.51.0
    CORS_ORIGINS=http://localhost:8501 TFT_API_KEY=... tft-service serve &
    TFT_API_KEY=... python tft-service/scripts/check_browser.py 127.0.0.1:8000 8501 8502

The two ports serve an empty page: that of the first is allowed to call, that of the second is not. The pages call with
`fetch`, so that the browser itself sends the preflights and judges the replies, and open the live streams. Prints a line
per check and exits 1 if one fails.
"""

import json
import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from selenium import webdriver

SERVICE, ALLOWED, OTHER = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
KEY = os.environ["TFT_API_KEY"]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]

# What every script may use; it ends by calling `done` with what it saw.
PRELUDE = f"""
const [http, ws, key] = ["http://{SERVICE}", "ws://{SERVICE}/ws", "{KEY}"];
const done = arguments[arguments.length - 1];
const call = (path, options) => fetch(http + path, options).then(
    async reply => ({{status: reply.status, type: reply.type, text: await reply.text(),
        limit: reply.headers.get("X-RateLimit-Limit"), left: reply.headers.get("X-RateLimit-Remaining"),
        reset: reply.headers.get("X-RateLimit-Reset"), id: reply.headers.get("X-Request-Id")}}),
    error => ({{refused: error.name}}));
const socket = first => new Promise(resolve => {{
    const seen = {{opened: false, types: [], code: null}};
    const socket = new WebSocket(ws);
    const end = () => {{ socket.onclose = null; socket.close(); resolve(seen); }};
    socket.onopen = () => {{ seen.opened = true; socket.send(JSON.stringify(first)); }};
    socket.onmessage = message => {{ seen.types.push(JSON.parse(message.data).type); end(); }};
    socket.onclose = event => {{ seen.code = event.code; resolve(seen); }};
}});
const events = () => fetch(http + "/events", {{headers: {{"X-API-Key": key}}}}).then(async reply => {{
    const reader = reply.body.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
    return {{status: reply.status, first}};
}}, error => ({{refused: error.name}}));
const later = promise => promise.then(done, error => done({{broke: String(error)}}));
"""
STATUS = 'later(call("/status"))'
PREDICTIONS = 'later(call("/predictions/current", {headers: {"X-API-Key": key}}))'
NO_KEY = 'later(call("/predictions/current"))'
FEED = """later(call("/feed/data", {method: "POST", body: '{"records":[]}',
    headers: {"X-API-Key": key, "Content-Type": "application/json"}}))"""
DELETE = 'later(call("/servers/nobody", {method: "DELETE", headers: {"X-API-Key": key}}))'
FORM = 'later(call("/feed/data", {method: "POST", mode: "no-cors", body: \'{"records":[]}\'}))'
STREAM = 'later(socket({type: "auth", api_key: key}))'
STREAM_WRONG = 'later(socket({type: "auth", api_key: "no-key-of-this-service-0000"}))'
EVENTS = "later(events())"
# A sandboxed frame has the origin `null`.
FRAME = """
const frame = document.createElement("iframe");
frame.sandbox = "allow-scripts";
frame.srcdoc = `<script>fetch("${http}/status").then(reply => reply.status, error => error.name)
    .then(seen => parent.postMessage(seen, "*"))</script>`;
window.onmessage = message => done({seen: message.data});
document.body.append(frame);
"""


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<!doctype html><title>page</title><body></body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def browser():
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--user-data-dir={tempfile.mkdtemp()}"]:
        options.add_argument(flag)
    options.binary_location = "/usr/bin/chromium"
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    driver.set_script_timeout(20)
    return driver


def is_readable(seen, status):
    return seen.get("status") == status and seen["type"] == "cors" and isinstance(json.loads(seen["text"]), dict)


def has_limits(seen):
    return all(seen[name] is not None for name in ("limit", "left", "reset", "id"))


def is_refused(seen):
    return seen.get("refused") == "TypeError"


CHECKS = [
    (ALLOWED, "reads /status", STATUS, lambda seen: is_readable(seen, 200)),
    (ALLOWED, "reads predictions with the key", PREDICTIONS, lambda seen: is_readable(seen, 200)),
    (ALLOWED, "reads the headers of rates", PREDICTIONS, has_limits),
    (ALLOWED, "reads why it is refused without the key", NO_KEY, lambda seen: is_readable(seen, 403)),
    (ALLOWED, "feeds", FEED, lambda seen: is_readable(seen, 200)),
    (ALLOWED, "deletes", DELETE, lambda seen: is_readable(seen, 404)),
    (ALLOWED, "opens /ws", STREAM, lambda seen: seen["opened"] and seen["types"] == ["initial_data"]),
    (ALLOWED, "sees why /ws ends", STREAM_WRONG, lambda seen: seen["opened"] and seen["code"] == 1008),
    (ALLOWED, "reads /events", EVENTS, lambda seen: seen.get("status") == 200 and "data:" in seen["first"]),
    (ALLOWED, "cannot feed as a form does", FORM, lambda seen: seen.get("type") == "opaque" and not seen["text"]),
    (ALLOWED, "has a sandboxed frame that cannot read", FRAME, lambda seen: seen["seen"] == "TypeError"),
    (OTHER, "cannot read /status", STATUS, is_refused),
    (OTHER, "cannot read predictions", PREDICTIONS, is_refused),
    (OTHER, "cannot feed", FEED, is_refused),
    (OTHER, "cannot delete", DELETE, is_refused),
    (OTHER, "cannot open /ws", STREAM, lambda seen: not seen["opened"] and seen["code"] == 1006),
    (OTHER, "cannot read /events", EVENTS, is_refused),
]


def main() -> int:
    for port in (ALLOWED, OTHER):
        server = ThreadingHTTPServer(("127.0.0.1", port), Page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    driver = browser()
    failed = 0
    try:
        for port, name, script, is_right in CHECKS:
            driver.get(f"http://localhost:{port}/")
            seen = driver.execute_async_script(PRELUDE + script)
            ok = "broke" not in seen and is_right(seen)
            failed += not ok
            page = "the allowed page" if port == ALLOWED else "the other page"
            print("ok  " if ok else "FAIL", page, name, "" if ok else seen)
    finally:
        driver.quit()
    return 1 if failed else 0


sys.exit(main())
