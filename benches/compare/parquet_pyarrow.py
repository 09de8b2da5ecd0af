#!/usr/bin/env python3
"""Measures pyarrow on the records of `benches/parquet.rs`: writing, reading, and the size of the file.

    pip install -r benches/compare/requirements.txt
    python3 benches/compare/parquet_pyarrow.py
    python3 benches/compare/parquet_pyarrow.py --dictionary --directory /dev/shm

The values, names, times and column types are the same, bit for bit; Snappy, one thread. `encode` writes to memory,
`save` to a file, `load` reads a file. Metrics are written plain; `--dictionary` leaves them to pyarrow's default, which
tries a dictionary of each column's values. What is not the same: pyarrow waits for no disk, has no checksum over the
rows, and reads a table of columns and not the histories of a window.

To compare, run this and `cargo bench -p benches --no-default-features --bench parquet` in turns, a few times each.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

METRICS = 14
STEPS = 300
FIRST_STEP = 5_890_000
STEP_MS = 300_000
# Servers, and how often each is measured.
FLEETS = [(20, 200), (2_000, 10)]


def noise(seeds):
    """The numbers in `0..1` of the benchmark."""
    mixed = (seeds ^ (seeds >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / (1 << 53)


def records(servers):
    """The records in the order of a checkpoint: server by server, each in time order."""
    server = np.repeat(np.arange(servers, dtype=np.uint64), STEPS)
    step = np.tile(np.arange(STEPS, dtype=np.uint64), servers)
    times = (FIRST_STEP + step.astype(np.int64)) * STEP_MS

    def label(keys, texts):
        return pa.DictionaryArray.from_arrays(pa.array(keys, pa.int32()), pa.array(texts))

    zeros = np.zeros(len(server), np.int32)
    columns = {
        "timestamp": pa.array(times, pa.timestamp("ms", "UTC")),
        "server_name": label(server.astype(np.int32), [f"ppdb{number:04}" for number in range(servers)]),
        "profile": label(zeros, ["database"]),
        "status": label(zeros, ["healthy"]),
    }
    first = (step * np.uint64(servers) + server) * np.uint64(METRICS) + np.uint64(1)
    for metric in range(METRICS):
        values = 100.0 * noise(first + np.uint64(metric))
        columns[f"metric_{metric}"] = pa.array(values.astype(np.float32))
    return pa.table(columns)


def write(table, sink, options):
    pq.write_table(table, sink, compression="snappy", store_schema=False, **options)


def encode(table, options):
    sink = pa.BufferOutputStream()
    write(table, sink, options)
    return sink.getvalue()


def measure(work, count):
    """Median and shortest of `count` runs, in milliseconds, after one to warm up."""
    times = []
    for _ in range(count + 1):
        started = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[1:]), min(times[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dictionary", action="store_true", help="pyarrow's default for the metrics")
    parser.add_argument("--directory", help="where the file is written; the system's temporary folder by default")
    arguments = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    texts = ["timestamp", "server_name", "profile", "status"]
    options = {"use_dictionary": True if arguments.dictionary else texts}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        path = Path(directory) / "window.parquet"
        for servers, count in FLEETS:
            table = records(servers)
            write(table, path, options)
            print(f"{table.num_rows} rows, {path.stat().st_size} bytes")
            work = {
                "save": lambda table=table: write(table, path, options),
                "encode": lambda table=table: encode(table, options),
                "load": lambda: pq.read_table(path, use_threads=False, memory_map=False),
            }
            for name, run in work.items():
                median, shortest = measure(run, count)
                print(f"{table.num_rows}/{name}: {median:.2f} ms, shortest {shortest:.2f} ms")


if __name__ == "__main__":
    main()
