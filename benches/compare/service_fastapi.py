"""The least that a FastAPI service with the original's routes does: the other side of `service.py`.

Feeds are parsed and validated as the original declares them and kept in a bounded deque per server; there is no
aggregation, log, forecast, key or limit. Predictions are numbers made beforehand, of the same shape and size as ours,
rendered for every request as FastAPI does by default.
"""

import json
import os
from collections import defaultdict, deque
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

# As many records as the original keeps, per server.
RECORDS_PER_SERVER = 6000

app = FastAPI()
window = defaultdict(lambda: deque(maxlen=RECORDS_PER_SERVER))
predictions = json.load(open(os.environ["PREDICTIONS"], encoding="utf-8")) if "PREDICTIONS" in os.environ else {}
tick = 0


class FeedData(BaseModel):
    records: list[dict[str, Any]]


@app.get("/health")
async def health():
    return {"status": "healthy", "service": "tft_inference_daemon", "running": True}


@app.post("/feed/data")
async def feed_data(feed: FeedData):
    global tick
    for record in feed.records:
        window[record["server_name"]].append(record)
    tick += 1
    return {
        "status": "accepted",
        "tick": tick,
        "window_size": tick * len(feed.records),
        "servers_tracked": len(window),
        "servers_ready": 0,
        "warmup_complete": False,
    }


@app.get("/predictions/current")
async def current():
    return predictions
