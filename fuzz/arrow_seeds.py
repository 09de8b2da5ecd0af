"""Writes the corpus of `feed_arrow`: small streams in the types that a feed may have. Needs pyarrow."""

import io
import pathlib

import pyarrow as pa

NOON_MS = 1_767_614_400_000
OUT = pathlib.Path(__file__).parent / "corpus" / "feed_arrow"
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
TIMES = [pa.timestamp("ms", "UTC"), pa.timestamp("ns"), pa.timestamp("s", "Europe/Berlin"), pa.int64()]
NUMBERS = [pa.float32(), pa.float64(), pa.float16(), pa.uint8()]
SCALES = [1, 1_000_000, 1 / 1000, 1]


def stream(text, time, number, scale):
    columns = {
        "timestamp": pa.array([int((NOON_MS - 300_000 * step) * scale) for step in (2, 1, 0)], pa.int64()).cast(time),
        "server_name": pa.array(["x", "y z", "x"], pa.string()).cast(text),
        "status": pa.array(["OK", None, "?"], pa.string()).cast(text),
        "cpu_user_pct": pa.array([1, None, 200], number),
        "colour": pa.array([[1], None, []], pa.list_(pa.int8())),
    }
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


OUT.mkdir(parents=True, exist_ok=True)
for number, kinds in enumerate(zip(TEXTS, TIMES, NUMBERS, SCALES)):
    (OUT / f"types_{number}").write_bytes(stream(*kinds))
