"""Cuts fleet_excerpt.parquet from the test part of the fleet data set.

    python make_excerpt.py --data DATA/fleet --output fleet_excerpt.parquet

Span: of all 7-day spans that begin with three whole days without an incident on any service, the
one with the most incident samples. Services: of those with an incident in the span, the five with
the strongest daily rhythm in the training part (median over metrics of the correlation between a
day and the day before). Metrics: all that vary on each of the five, in the training part (changing
in at least 20 % of steps) and in the span. Values are rounded to four significant digits.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

STEPS_PER_DAY, DAYS, WARM_UP_DAYS, SERVICES = 288, 7, 3, 5


def table(rows, column):
    """One column as steps x services."""
    return rows.pivot(index="timestamp", columns="server_name", values=column)


def first_day(test):
    """First day of the span."""
    daily = table(test, "incident").to_numpy(int).sum(axis=1).reshape(-1, STEPS_PER_DAY).sum(axis=1)
    starts = [d for d in range(len(daily) - DAYS + 1) if daily[d : d + WARM_UP_DAYS].sum() == 0]
    return max(starts, key=lambda d: daily[d : d + DAYS].sum())


def rhythm(values):
    """Correlation of a series with itself a day before; NaN where it is constant."""
    now, before = values[STEPS_PER_DAY:], values[:-STEPS_PER_DAY]
    if now.std() == 0.0 or before.std() == 0.0:
        return np.nan
    return np.corrcoef(now, before)[0, 1]


def rounded(values, digits=4):
    """Values rounded to significant digits."""
    magnitude = np.floor(np.log10(np.maximum(np.abs(values), 1e-30)))
    unit = 10.0 ** (magnitude - (digits - 1))
    return np.where(values == 0.0, 0.0, np.round(values / unit) * unit)


def write(rows, metrics, path):
    """Writes plain column types, without pandas' own metadata."""
    fields = [("timestamp", pa.timestamp("ms", tz="UTC")), ("server_name", pa.string())]
    fields += [(m, pa.float32()) for m in metrics] + [("incident", pa.bool_())]
    content = pa.Table.from_pandas(rows, schema=pa.schema(fields), preserve_index=False)
    parquet.write_table(content.replace_schema_metadata(None), path, compression="zstd", compression_level=19)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    train, test = (pd.read_parquet(options.data / f"{p}.parquet").astype({"server_name": str}) for p in ("train", "test"))
    metrics = sorted(c for c in train.columns if c[0] == "m" and c[1:].isdigit())

    day = first_day(test)
    begin = test["timestamp"].min() + pd.Timedelta(days=day)
    span = test[(test["timestamp"] >= begin) & (test["timestamp"] < begin + pd.Timedelta(days=DAYS))]
    history = {m: table(train, m) for m in metrics}
    rhythms = {
        service: np.nanmedian([rhythm(history[m][service].to_numpy(np.float64)) for m in metrics])
        for service, incidents in span.groupby("server_name")["incident"].sum().items() if incidents > 0
    }
    services = sorted(sorted(rhythms, key=rhythms.get, reverse=True)[:SERVICES])
    span = span[span["server_name"].isin(services)].sort_values(["server_name", "timestamp"])

    def varies(metric):
        changes = (history[metric][services].diff().iloc[1:] != 0.0).mean()
        return (changes >= 0.2).all() and (span.groupby("server_name")[metric].nunique() > 1).all()

    kept = [m for m in metrics if varies(m)]
    result = span[["timestamp", "server_name", *kept, "incident"]].reset_index(drop=True)
    result[kept] = result[kept].apply(lambda c: rounded(c.to_numpy(np.float64)).astype(np.float32))
    write(result, kept, options.output)
    print(f"days {day + 21}-{day + 20 + DAYS}, from {begin}: {services}, {kept}, {len(result)} rows")
    print("rhythm", {s: round(float(rhythms[s]), 3) for s in services})
    print("incident samples", result.groupby("server_name")["incident"].sum().to_dict())


if __name__ == "__main__":
    main()
