"""Writes the seeds of the pickle target: one small window per protocol and kind of value.

Run in this folder with numpy and pandas: python pickle_seeds.py
"""

import datetime as dt
import pickle
from collections import OrderedDict, defaultdict, deque
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

AT = dt.datetime(2026, 1, 5, 10, 0, 0, 250_000)


def write(name, protocol, times, number):
    rows = [
        OrderedDict(timestamp=time, server_name="web2", state="WARN", load=number(1.5), back_close_wait=number(row))
        for row, time in enumerate(times)
    ]
    state = {"rolling_window": deque(rows), "tick_count": 6, "server_timesteps": defaultdict(int, web2=6)}
    with open(f"corpus/pickle/{name}_{protocol}", "wb") as file:
        pickle.dump(state, file, protocol)


for protocol in range(6):
    write("text", protocol, [AT.isoformat(), str(AT)], float)
    write("numpy", protocol, [np.datetime64(AT, "ns"), np.datetime64("NaT")], np.float32)
    write("zones", protocol, [AT.replace(tzinfo=zone) for zone in (dt.timezone.utc, ZoneInfo("UTC"))], int)
    write("pandas", protocol, [pd.Timestamp(AT), pd.Timestamp(AT, tz="Europe/Berlin")], np.int64)
