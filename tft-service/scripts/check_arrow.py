"""Feeds a running tft-service from pandas and pyarrow, and reads its predictions back as a data frame.

    TFT_API_KEY=... python check_arrow.py [http://127.0.0.1:8000]

Needs pandas and pyarrow. The service must be a fresh one. Exits with 1 if anything differs from the JSON replies.
"""

import io
import json
import os
import sys
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"
URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
KEY = {"X-API-Key": os.environ.get("TFT_API_KEY", "")}
STEPS = 40


def call(path, data=None, **headers):
    request = Request(URL + path, data, {**KEY, **{name.replace("_", "-"): value for name, value in headers.items()}})
    try:
        with urlopen(request) as reply:
            return reply.status, reply.read()
    except HTTPError as error:
        return error.code, error.read()


def feed(table, options=None):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=25)
    status, body = call("/feed/data", sink.getvalue(), Content_Type=ARROW)
    return status, json.loads(body)


def samples(server, dtype, text):
    end = pd.Timestamp.now(tz="UTC").floor("5min")
    frame = pd.DataFrame({
        "timestamp": pd.date_range(end=end, periods=STEPS, freq="5min"),
        "server_name": pd.Series([server] * STEPS, dtype=text),
        "status": pd.Series(["OK"] * STEPS, dtype="category"),
        "cpu_user_pct": np.linspace(10, 60, STEPS).astype(dtype),
        "mem_used_pct": [60.0, np.nan] * (STEPS // 2),
    })
    return pa.Table.from_pandas(frame, preserve_index=False)


def check_feeds():
    kinds = [("float64", "category"), ("float32", "str"), ("float16", "object"), ("int64", "category")]
    for number, (dtype, text) in enumerate(kinds):
        status, reply = feed(samples(f"ppdb{number:03}", dtype, text))
        assert (status, reply["accepted"], reply["rejected"]) == (200, STEPS, 0), (dtype, text, status, reply)
    table = samples("ppdb900", "float64", "category")
    table = table.set_column(1, "server_name", pa.array(["pp db"] + ["ppdb900"] * (STEPS - 1), pa.string_view()))
    status, reply = feed(table)
    assert (status, reply["accepted"], reply["errors"][0]["field"]) == (200, STEPS - 1, "server_name"), reply
    status, reply = feed(table, pa.ipc.IpcWriteOptions(compression="zstd"))
    assert status == 400 and "compressed" in reply["detail"], reply
    return len(kinds) + 1


def check_predictions(servers):
    deadline = time.monotonic() + 60
    while True:
        reply = json.loads(call("/predictions/current")[1])
        if len(reply["predictions"]) == servers and reply["metadata"]["input_points"] == servers * STEPS - 1:
            break
        assert time.monotonic() < deadline, reply["metadata"]
        time.sleep(3)
    status, body = call("/predictions/current?format=arrow")
    assert status == 200
    frame = pa.ipc.open_stream(body).read_pandas()
    print(frame.head(3).to_string(), f"\n{len(frame)} rows, {len(body) / len(frame):.1f} bytes each")
    horizon = reply["metadata"]["horizon_steps"]
    for (server, metric), rows in frame.groupby(["server_name", "metric"], observed=True):
        expected = reply["predictions"][server][metric]
        for quantile in ("p10", "p50", "p90"):
            assert np.allclose(rows[quantile], np.array(expected[quantile], dtype="float32")), (server, metric)
        assert list(rows["step"]) == list(range(1, horizon + 1))
        assert rows["timestamp"].iloc[0] == pd.Timestamp(reply["metadata"]["forecast_start"])
    wide = frame[frame["metric"] == "cpu_user_pct"].pivot(index="timestamp", columns="server_name", values="p50")
    assert wide.shape == (horizon, servers)


check_predictions(check_feeds())
print("pyarrow", pa.__version__, "pandas", pd.__version__, "agree with the JSON replies")
