"""Checks that a checkpoint is what pandas, pyarrow, fastparquet, DuckDB and Spark take it for.

    pip install pandas pyarrow fastparquet duckdb pyspark      # pyspark needs a JVM, 17 or newer
    python tft-core/scripts/check_parquet.py [FILE]

FILE is a checkpoint of this crate; without one, the fixture of the version that is written now. Every reader must find the same
columns, types, rows and missing values. Readers that are not installed are left out and said so; the exit code is 1 if one
differs. What goes the other way, files of these programs that the crate loads, is in
tests/fixtures/checkpoint/foreign.py.
"""

import datetime as dt
import math
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FIXTURE = Path(__file__).parents[1] / "tests/fixtures/checkpoint/written_1_2.parquet"
TEXTS = ["server_name", "profile", "status"]
KEYS = {"format_version", "tick_count", "timestamp", "server_timesteps", "data_bytes", "data_crc32c"}
# Where a log lies beside the checkpoint.
OPTIONAL_KEYS = {"log_sequence"}


def plain(value):
    """One form for each kind of value, whatever a reader returns."""
    if value is None or value != value:
        return None
    if isinstance(value, dt.datetime):
        value = value if value.tzinfo else value.replace(tzinfo=dt.timezone.utc)
        return round(value.timestamp() * 1000)
    return value if isinstance(value, str) else float(value)


def rows_of(columns: dict) -> list[tuple]:
    return [tuple(plain(value) for value in row) for row in zip(*columns.values(), strict=True)]


def expect(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def by_pyarrow(path: str) -> list[tuple]:
    table = pq.read_table(path)
    types = {field.name: field.type for field in table.schema}
    expect(types["timestamp"] == pa.timestamp("ms", "UTC"), f"timestamp is {types['timestamp']}")
    for name, found in types.items():
        if name in TEXTS:
            expect(pa.types.is_string(found), f"{name} is {found}")
        elif name != "timestamp":
            expect(found == pa.float32(), f"{name} is {found}")
    keys = {key.decode() for key in table.schema.metadata}
    expect(KEYS <= keys <= KEYS | OPTIONAL_KEYS, f"footer keys are {sorted(keys)}")
    nullable = {field.name: field.nullable for field in table.schema}
    expect([name for name in nullable if not nullable[name]] == ["timestamp", "server_name", "profile"], f"{nullable}")
    return rows_of(table.to_pydict())


def by_pandas(path: str) -> list[tuple]:
    import pandas as pd

    frame = pd.read_parquet(path)
    expect(str(frame["timestamp"].dtype) == "datetime64[ms, UTC]", f"timestamp is {frame['timestamp'].dtype}")
    for name in frame.columns.difference(["timestamp", *TEXTS]):
        expect(frame[name].dtype == "float32", f"{name} is {frame[name].dtype}")
    expect(list(frame.index) == list(range(len(frame))), "there is an index")
    return rows_of({name: [value for value in frame[name]] for name in frame})


def by_fastparquet(path: str) -> list[tuple]:
    from fastparquet import ParquetFile

    frame = ParquetFile(path).to_pandas()
    return rows_of({name: [value for value in frame[name]] for name in frame})


def by_duckdb(path: str) -> list[tuple]:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE VIEW checkpoint AS SELECT * FROM read_parquet(?)".replace("?", f"'{path}'"))
    types = dict(connection.execute("SELECT column_name, data_type FROM information_schema.columns").fetchall())
    expect(types["timestamp"] == "TIMESTAMP WITH TIME ZONE", f"timestamp is {types['timestamp']}")
    for name, found in types.items():
        if name != "timestamp":
            expect(found == ("VARCHAR" if name in TEXTS else "FLOAT"), f"{name} is {found}")
    query = "SELECT epoch_ms(timestamp), * EXCLUDE (timestamp) FROM checkpoint"
    return [(row[0], *map(plain, row[1:])) for row in connection.execute(query).fetchall()]


def by_spark(path: str) -> list[tuple]:
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    table = spark.read.parquet(path)
    types = dict(table.dtypes)
    expect(types["timestamp"] == "timestamp", f"timestamp is {types['timestamp']}")
    for name, found in types.items():
        if name != "timestamp":
            expect(found == ("string" if name in TEXTS else "float"), f"{name} is {found}")
    first = table.selectExpr("unix_millis(timestamp) AS timestamp", *(f"`{name}`" for name in table.columns[1:]))
    rows = [(row[0], *map(plain, row[1:])) for row in first.collect()]
    spark.stop()
    return rows


def differ(found: list[tuple], expected: list[tuple]) -> str | None:
    if len(found) != len(expected):
        return f"{len(found)} rows, expected are {len(expected)}"
    for number, (row, other) in enumerate(zip(found, expected, strict=True)):
        for value, wanted in zip(row, other, strict=True):
            same = value == wanted or (isinstance(value, float) and isinstance(wanted, float) and math.isclose(value, wanted))
            if not same:
                return f"row {number} has {value!r}, expected is {wanted!r}"
    return None


def main() -> int:
    path = str(Path(sys.argv[1] if len(sys.argv) > 1 else FIXTURE).resolve())
    expected = by_pyarrow(path)
    print(f"pyarrow: {len(expected)} rows")
    failed = 0
    for reader in [by_pandas, by_fastparquet, by_duckdb, by_spark]:
        name = reader.__name__.removeprefix("by_")
        try:
            problem = differ(reader(path), expected)
        except ImportError as error:
            print(f"{name}: left out, {error}")
            continue
        except AssertionError as error:
            problem = str(error)
        failed += problem is not None
        print(f"{name}: {problem or 'the same'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
