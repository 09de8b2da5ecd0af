"""The fleet data set: loading, splits, metric kinds, and the raw windows cut from it.

Data layout: long Parquet files with the columns `timestamp`, `server_name`, `m01`, `m02`, ...
One series is one (server, metric) pair; all series share one 5-minute clock.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .encoding import DECODER_STEPS, HISTORY_STEPS

KINDS = ("percentage", "continuous", "count")

# Forward filling bridges gaps up to this many steps, as the rolling window of the service does.
FILL_STEPS_MAX = 12


@dataclass
class Fleet:
    """All series of a fleet on one clock."""

    values: np.ndarray  # [series, steps] f64, NaN = missing
    origin_ms: np.ndarray  # [steps] i64, start of each step in ms since the epoch, UTC
    servers: list  # server name per series
    metrics: list  # metric name per series
    kinds: np.ndarray  # [series] i64, index into KINDS
    train_steps: int  # steps before this index belong to the training part

    def kept(self):
        """Series that count in averages: not constant, changing in at least 20 % of training steps."""
        train = self.values[:, : self.train_steps]
        changes = np.mean(np.diff(train, axis=1) != 0.0, axis=1)
        return np.flatnonzero(changes >= 0.2)


def load_fleet(folder):
    """Reads `train.parquet` and, where present, `test.parquet` of a data folder."""
    folder = Path(folder)
    parts = [pd.read_parquet(folder / "train.parquet")]
    train_steps = parts[0]["timestamp"].nunique()
    if (folder / "test.parquet").exists():
        parts.append(pd.read_parquet(folder / "test.parquet"))
    rows = pd.concat([p.astype({"server_name": str}) for p in parts], ignore_index=True)
    metrics = sorted(c for c in rows.columns if c[0] == "m" and c[1:].isdigit())
    tables = rows.pivot(index="timestamp", columns="server_name", values=metrics)
    clock = tables.index.values.astype("datetime64[ms]").astype(np.int64)
    columns = list(tables.columns)  # (metric, server)
    values = tables.to_numpy(np.float64).T.copy()
    names = [m for m, _ in columns]
    kind_of = {m: infer_kind(values[[n == m for n in names], :train_steps]) for m in metrics}
    return Fleet(
        values=values,
        origin_ms=clock,
        servers=[s for _, s in columns],
        metrics=names,
        kinds=np.array([kind_of[m] for m in names], dtype=np.int64),
        train_steps=train_steps,
    )


def infer_kind(train_values):
    """Kind of a metric whose name says nothing, from its training values over all servers.

    percentage: everything lies in 0..100 and something lies above 50;
    count: never negative and the median is at least 100 (rates of bytes, packets, connections);
    continuous: everything else.
    """
    lowest, highest, median = np.nanmin(train_values), np.nanmax(train_values), np.nanmedian(train_values)
    if lowest >= 0.0 and 50.0 < highest <= 100.0:
        return KINDS.index("percentage")
    if lowest >= 0.0 and median >= 100.0:
        return KINDS.index("count")
    return KINDS.index("continuous")


def windows(values, series, origins):
    """Cuts raw windows. Returns history [B, 912] ending at each origin, and targets [B, 96]."""
    past = np.arange(-HISTORY_STEPS + 1, 1)
    future = np.arange(1, DECODER_STEPS + 1)
    index = origins[:, None] + past
    history = values[series[:, None], np.maximum(index, 0)]
    history[index < 0] = np.nan
    return history, values[series[:, None], origins[:, None] + future]


def forward_fill(history, limit=FILL_STEPS_MAX):
    """Repeats the last value over gaps of at most `limit` steps; longer gaps stay missing whole."""
    steps = history.shape[1]
    position = np.arange(steps)
    present = ~np.isnan(history)
    last = np.maximum.accumulate(np.where(present, position, -1), axis=1)
    following = np.where(present, position, steps + limit + 1)
    following = np.minimum.accumulate(following[:, ::-1], axis=1)[:, ::-1]
    # A gap at the end of the window is still open: its length so far decides.
    gap = np.minimum(following, steps) - last - 1
    fill = ~present & (last >= 0) & (gap <= limit)
    rows = np.arange(len(history))[:, None]
    return np.where(fill, history[rows, np.maximum(last, 0)], history)


def rolling_origins(first_step, last_step, every):
    """Origins on a fixed grid whose 96 following steps end before `last_step`."""
    return np.arange(first_step, last_step - DECODER_STEPS, every)
