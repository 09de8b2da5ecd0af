"""The input encoding of the default model: one raw window of one metric -> network tensors.

Everything is computed in f64 and cast to f32 at the end. Indices are relative to the origin t
(the last known step); y is the forward-filled series of one metric, NaN where missing.
The window is y(t-911) .. y(t); the encoder is i = t-47 .. t, the decoder i = t+1 .. t+96.
ms(i) = origin_ms + (i - t) * 300000 is the first instant of step i, in milliseconds since the epoch, UTC.

Profile, for encoder and decoder steps i:
    P(i)    = the available ones of y(i-288), y(i-576), y(i-864)       (inside the window)
    p(i)    = sum(P(i)) / |P(i)|, summed in that order;
              if P(i) is empty: mean of the available y(t-287) .. y(t)
Baseline, for h = 1..96:
    b(t+h)  = p(t+h) + (y(t) - p(t)) * exp(-h / 24)
Scale:
    a       = mean |y(i) - y(i-1)|   over all i in the window where both are available
    d       = mean |y(i) - y(i-288)| over all i in the window where both are available
    e       = mean |y(i) - p(i)|     over the 48 encoder steps
    s       = max(mean of those of a, d, e that exist, 1e-8 * max|y| + 1e-12)
Static variables:
    kind             categorical, 0 percentage, 1 continuous, 2 count
    roughness        ln(0.01 + a / s)                  (a = 0 where no pair exists)
    roughness_recent ln(0.01 + a48 / s)                a48 = a over the encoder steps alone (47 differences)
    deviation        ln(0.01 + e / s)
    unchanged        share of the pairs of a with y(i) == y(i-1)     (0 where no pair exists)
    room_below       asinh((y(t) - min y) / s)
    room_above       asinh((max y - y(t)) / s)
Known variables (encoder and decoder):
    level            encoder asinh((y(i) - y(t)) / s), decoder asinh((b(i) - y(t)) / s)
    profile          asinh((p(i) - y(t)) / s)
    lag_1d           asinh((y(i-288) - p(i)) / s), 0 where y(i-288) is missing
    lag_2d           asinh((y(i-576) - p(i)) / s), 0 where y(i-576) is missing
    days             |P(i)| / 3
    time_of_day_sin, time_of_day_cos   of the angle 2 pi (ms(i) mod 86400000) / 86400000
    is_weekend       1 where ms(i) lies on a Saturday or Sunday, else 0
    relative_time_idx (i - t - 1) / 48                 -1 .. 95/48
Unknown variable (encoder only):
    residual         asinh((y(i) - p(i)) / s)
Output:
    q(t+h)  = b(t+h) + s * network(h, q)
"""

import numpy as np

STEP_MS = 300_000
DAY_MS = 86_400_000
STEPS_PER_DAY = DAY_MS // STEP_MS
ENCODER_STEPS = 48
DECODER_STEPS = 96
PROFILE_DAYS = 3
HISTORY_STEPS = PROFILE_DAYS * STEPS_PER_DAY + ENCODER_STEPS
HISTORY_STEPS_MIN = 150  # the shortest history in training
DECAY_STEPS = 24.0

SCALE_FLOOR_RELATIVE = 1e-8
SCALE_FLOOR_ABSOLUTE = 1e-12
LOG_FLOOR = 0.01

STATIC_CATEGORICALS = ["kind"]
STATIC_REALS = ["roughness", "roughness_recent", "deviation", "unchanged", "room_below", "room_above"]
KNOWN_REALS = [
    "level", "profile", "lag_1d", "lag_2d", "days", "time_of_day_sin", "time_of_day_cos", "is_weekend",
    "relative_time_idx",
]
UNKNOWN_REALS = ["residual"]
X_REALS = STATIC_REALS + KNOWN_REALS + UNKNOWN_REALS


def _mean_where(values, present):
    """Row mean over the present entries; NaN for rows without any."""
    count = present.sum(axis=1)
    total = np.where(present, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _absolute_difference(history, lag):
    """Mean |y(i) - y(i-lag)| per row, and the differences with a mask of the available ones."""
    difference = history[:, lag:] - history[:, :-lag]
    present = ~np.isnan(difference)
    return _mean_where(np.abs(difference), present), difference, present


def profile_of(history):
    """Profile p, day counts, and the three lagged series at the 144 encoder and decoder steps."""
    first, steps = HISTORY_STEPS - ENCODER_STEPS, ENCODER_STEPS + DECODER_STEPS
    lags = [history[:, first - STEPS_PER_DAY * k :][:, :steps] for k in range(1, PROFILE_DAYS + 1)]
    total, count = np.zeros_like(lags[0]), np.zeros_like(lags[0])
    for lag in lags:
        present = ~np.isnan(lag)
        total += np.where(present, lag, 0.0)
        count += present
    last_day = history[:, -STEPS_PER_DAY:]
    fallback = _mean_where(last_day, ~np.isnan(last_day))
    profile = np.where(count > 0, total / np.maximum(count, 1), fallback[:, None])
    return profile, count, lags


def baseline_of(history, profile):
    """The forecast that decays from the last value to the profile, [B, 96]."""
    fade = np.exp(-np.arange(1, DECODER_STEPS + 1) / DECAY_STEPS)
    last_residual = history[:, -1] - profile[:, ENCODER_STEPS - 1]
    return profile[:, ENCODER_STEPS:] + last_residual[:, None] * fade


def scale_parts(history, profile):
    """Scale s per window and the ingredients a, e, a48, unchanged."""
    a, difference, present = _absolute_difference(history, 1)
    d, _, _ = _absolute_difference(history, STEPS_PER_DAY)
    recent = history[:, -ENCODER_STEPS:]
    e = np.abs(recent - profile[:, :ENCODER_STEPS]).mean(axis=1)
    parts = np.stack([a, d, e], axis=1)
    floor = SCALE_FLOOR_RELATIVE * np.nanmax(np.abs(history), axis=1) + SCALE_FLOOR_ABSOLUTE
    s = np.maximum(_mean_where(parts, ~np.isnan(parts)), floor)
    a48 = np.abs(np.diff(recent, axis=1)).mean(axis=1)
    unchanged = (difference == 0.0).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    return s, np.nan_to_num(a), e, a48, unchanged


def clock_inputs(origin_ms):
    """time_of_day_sin, time_of_day_cos and is_weekend of the encoder and decoder steps, each [B, 144]."""
    offsets = np.arange(-ENCODER_STEPS + 1, DECODER_STEPS + 1) * STEP_MS
    day, millis_of_day = np.divmod(np.asarray(origin_ms, dtype=np.int64)[:, None] + offsets, DAY_MS)
    angle = 2.0 * np.pi * millis_of_day / DAY_MS
    weekday = (day + 3) % 7  # Monday is 0; day 0 of the epoch was a Thursday
    return np.sin(angle), np.cos(angle), (weekday >= 5).astype(np.float64)


def encode(history, kind, origin_ms):
    """Encodes windows: history [B, 912] f64 with NaN, kind [B] i64, origin_ms [B] i64 -> dict of arrays.

    `encoder_cont` [B, 48, 16] and `decoder_cont` [B, 96, 16] hold the columns X_REALS (columns that
    the decoder does not use are 0 there); `encoder_cat` and `decoder_cat` hold `kind`.
    """
    history = np.asarray(history, dtype=np.float64)
    batch, steps = len(history), ENCODER_STEPS + DECODER_STEPS
    last = history[:, -1:]
    profile, count, lags = profile_of(history)
    baseline = baseline_of(history, profile)
    s, a, e, a48, unchanged = scale_parts(history, profile)
    scale = s[:, None]

    reals = np.zeros((batch, steps, len(X_REALS)))
    statics = [
        np.log(LOG_FLOOR + a / s),
        np.log(LOG_FLOOR + a48 / s),
        np.log(LOG_FLOOR + e / s),
        unchanged,
        np.arcsinh((last[:, 0] - np.nanmin(history, axis=1)) / s),
        np.arcsinh((np.nanmax(history, axis=1) - last[:, 0]) / s),
    ]
    for column, static in enumerate(statics):
        reals[:, :, column] = static[:, None]
    recent = history[:, -ENCODER_STEPS:]
    level = np.concatenate([recent, baseline], axis=1)
    known = [
        np.arcsinh((level - last) / scale),
        np.arcsinh((profile - last) / scale),
        *(np.arcsinh(np.nan_to_num((lag - profile) / scale, nan=0.0)) for lag in lags[:2]),
        count / PROFILE_DAYS,
        *clock_inputs(origin_ms),
        np.broadcast_to(np.arange(-ENCODER_STEPS, DECODER_STEPS) / ENCODER_STEPS, count.shape),
    ]
    for column, values in enumerate(known, start=len(STATIC_REALS)):
        reals[:, :, column] = values
    reals[:, :ENCODER_STEPS, -1] = np.arcsinh((recent - profile[:, :ENCODER_STEPS]) / scale)

    categories = np.broadcast_to(np.asarray(kind, dtype=np.int64)[:, None, None], (batch, steps, 1))
    reals = reals.astype(np.float32)
    return {
        "encoder_cont": reals[:, :ENCODER_STEPS],
        "decoder_cont": reals[:, ENCODER_STEPS:],
        "encoder_cat": categories[:, :ENCODER_STEPS],
        "decoder_cat": categories[:, ENCODER_STEPS:],
        "scale": s,
        "baseline": baseline,
    }
