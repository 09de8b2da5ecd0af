"""Conformal calibration: one factor per decoder step and quantile, on the distance to the median.

With m the median and v_q the raw quantile of a window, the calibrated quantile is
m + f_q(h) * (v_q - m). The factor is the quantile of the ratios (y - m) / (v_q - m) over the
calibration windows that makes the calibrated quantile exceed y in a share q of them.
"""

import numpy as np

from .encoding import DECODER_STEPS
from .evaluate import MEDIAN
from .network import QUANTILES

FACTOR_MIN, FACTOR_MAX = 0.5, 3.0
SMOOTHING_STEPS = 6
DISTANCE_MIN = 1e-4  # in scales: narrower raw bands are treated as this wide


def calibration_factors(output, residual):
    """Factors [96, 7], to six digits, from network outputs [W, 96, 7] and residuals (y - b) / s [W, 96]."""
    factors = np.ones((DECODER_STEPS, len(QUANTILES)))
    median = output[:, :, MEDIAN]
    for k, level in enumerate(QUANTILES):
        if k == MEDIAN:
            continue
        side = 1.0 if level > 0.5 else -1.0
        distance = np.maximum(side * (output[:, :, k] - median), DISTANCE_MIN)
        ratio = side * (residual - median) / distance
        factors[:, k] = np.quantile(ratio, max(level, 1.0 - level), axis=0)
    return np.round(smoothed(np.clip(factors, FACTOR_MIN, FACTOR_MAX)), 6)


def smoothed(factors):
    """Geometric moving average over the steps, narrower towards the ends."""
    result = np.empty_like(factors)
    for step in range(DECODER_STEPS):
        reach = min(SMOOTHING_STEPS, step, DECODER_STEPS - 1 - step)
        result[step] = np.exp(np.log(factors[step - reach : step + reach + 1]).mean(axis=0))
    return result
