"""Writes the seeds of the checkpoint target with pyarrow: one small file per encoding and compression.

Run in this folder: python seeds.py
"""

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 12
table = pa.table({
    "timestamp": pa.array([1_767_607_200_000 + 150_000 * (row // 2) for row in range(ROWS)], pa.timestamp("ms", "UTC")),
    "server_name": ["ppdb001", "web2"] * (ROWS // 2),
    "profile": ["database", "web_api"] * (ROWS // 2),
    "status": ["healthy", None, "WARN"] * (ROWS // 3),
    "cpu_user_pct": pa.array([None if row % 5 == 0 else row * 1.5 for row in range(ROWS)], pa.float32()),
    "load_average": [row / 7 for row in range(ROWS)],
    "back_close_wait": list(range(ROWS)),
}).replace_schema_metadata({"format_version": "1.1", "tick_count": "6", "server_timesteps": '{"web2":6}'})
text = table.set_column(0, "timestamp", [[f"2026-01-05T10:{row:02}:00" for row in range(ROWS)]])
text = text.replace_schema_metadata({"format_version": "1.0"})

encodings = {"cpu_user_pct": "BYTE_STREAM_SPLIT", "timestamp": "DELTA_BINARY_PACKED"}
for name, data, options in [
    ("dictionary_snappy", table, {}),
    ("text_plain", text, {"use_dictionary": False, "compression": "none"}),
    ("v2_zstd", table, {"data_page_version": "2.0", "compression": "zstd"}),
    ("delta_split", table, {"use_dictionary": False, "compression": "none", "column_encoding": encodings}),
    ("row_groups", table, {"row_group_size": 3, "compression": "none"}),
]:
    pq.write_table(data, f"corpus/checkpoint/{name}.parquet", store_schema=False, **options)
