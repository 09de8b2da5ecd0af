#!/usr/bin/env python3
"""Compares the service with a FastAPI service that does less: the same requests, in turns, on one machine.

    python3 -m venv VENV && VENV/bin/pip install -r benches/compare/requirements-service.txt
    VENV/bin/python benches/compare/service.py
    VENV/bin/python benches/compare/service.py --load feed:1000 --rounds 5

The load comes from `benches/http`, and shares the machine with the server. What is compared is therefore the work that a
server gets done per second of its own processor time; ours without its forecasts, which the other side does not make.
`service_fastapi.py` says what FastAPI does. Both run one process; its event loop is uvloop, its parser httptools.
Predictions are JSON; those of FastAPI are the numbers of a reply of ours.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LOADS = ["feed:20", "feed:1000", "feed:10000", "predictions:20", "predictions:1000"]
BENCH = ["cargo", "bench", "-q", "-p", "tft-service", "--bench", "http", "--"]
PATIENCE_S = 60


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", action="append", help=f"one of the loads, by default {' '.join(LOADS)}")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def bench(*arguments):
    output = subprocess.run([*BENCH, "--json", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class FastApi:
    """One uvicorn process, in a `with` block."""

    def __init__(self, predictions):
        self.port = free_port()
        command = [sys.executable, "-m", "uvicorn", "service_fastapi:app", "--port", str(self.port)]
        command += ["--no-access-log", "--log-level", "warning"]
        environment = os.environ | ({"PREDICTIONS": str(predictions)} if predictions else {})
        self.started = time.perf_counter()
        self.process = subprocess.Popen(command, cwd=HERE, env=environment)

    def __enter__(self):
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health").read()
                self.start_ms = (time.perf_counter() - self.started) * 1e3
                return self
            except OSError:
                assert time.perf_counter() - self.started < PATIENCE_S, "FastAPI does not answer"
                time.sleep(0.005)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def resident_mb(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1e3

    def measure(self, load):
        return bench("--load", load, "--url", f"127.0.0.1:{self.port}", "--pid", str(self.process.pid))


def run_round(load, work):
    """Returns what ours and FastAPI did under one load, one after the other."""
    reply = work / "reply.json"
    is_read = load.startswith("predictions")
    ours = bench("--load", load, *(["--save-reply", str(reply)] if is_read else []))
    with FastApi(reply if is_read else None) as fastapi:
        theirs = fastapi.measure(load)
    assert abs(ours["reply_bytes"] - theirs["reply_bytes"]) < 0.1 * ours["reply_bytes"] or not is_read, "replies differ in size"
    return ours, theirs


def row(load, rounds):
    def median(side, key):
        return statistics.median(figures[side][key] for figures in rounds)

    records = int(load.split(":")[1]) if load.startswith("feed") else 1
    cells = [load]
    for side in (0, 1):
        cpu_us = median(side, "cpu_us_per_request")
        cells += [f"{cpu_us:,.0f}", f"{records * 1e6 / cpu_us:,.0f}", f"{median(side, 'p50_ms'):.2f} / {median(side, 'p99_ms'):.2f}"]
    ratios = [theirs["cpu_us_per_request"] / ours["cpu_us_per_request"] for ours, theirs in rounds]
    return cells + [f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"]


def main():
    arguments = parse_arguments()
    subprocess.run([*BENCH[:-1], "--no-run"], cwd=ROOT, check=True)
    with FastApi(None) as fastapi:
        print(f"FastAPI, idle: first answer after {fastapi.start_ms:.0f} ms, {fastapi.resident_mb():.0f} MB resident")
    print("| load | ours: µs of processor per request | records or replies per second of it | p50 / p99 ms "
          "| FastAPI: the same | | | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for load in arguments.load or LOADS:
            rounds = [run_round(load, Path(work)) for _ in range(arguments.rounds)]
            print(f"| {' | '.join(row(load, rounds))} |", flush=True)


if __name__ == "__main__":
    main()
