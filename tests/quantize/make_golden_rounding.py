#!/usr/bin/env python3
# Writes golden_rounding.h: GPTQ of four rows, and the targets for an input that differs, in NumPy.
# Run: /opt/venv/bin/python tests/quantize/make_golden_rounding.py
import pathlib

import numpy as np

K, ROWS, QMAX = 8, 4, 7
rng = np.random.default_rng(5)
mix = rng.normal(size=(K, K))
x = rng.normal(size=(400, K)) @ mix
moments = x.T @ x / len(x) + 0.05 * np.eye(K)
z = x + 0.1 * rng.normal(size=x.shape)
difference = x.T @ (z - x) / len(x)
weights = rng.normal(size=(ROWS, K))
scales = (np.abs(weights).max(1) / QMAX).astype(np.float32).astype(np.float64)

# Frantar et al. 2023, columns of the largest moments first ("act order").
order = np.argsort(-np.diag(moments), kind="stable")
upper = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
codes = np.zeros((ROWS, K))
for r in range(ROWS):
    rest = weights[r, order].copy()
    for i in range(K):
        code = np.clip(np.rint(rest[i] / scales[r]), -QMAX, QMAX)
        codes[r, order[i]] = code
        rest[i:] -= (rest[i] - scales[r] * code) / upper[i, i] * upper[i, i:]
targets = weights + np.linalg.solve(moments, difference @ weights.T).T


def array(name, values):
    rows = ", ".join(f"{v:.17g}" for v in np.asarray(values, dtype=np.float64).ravel())
    return f"inline constexpr double {name}[{np.size(values)}] = {{{rows}}};\n"


text = "// GPTQ in NumPy; written by make_golden_rounding.py.\n#pragma once\n\n// clang-format off\n"
text += "namespace pare::golden_rounding {\n\n"
text += f"inline constexpr int kColumns = {K}, kRows = {ROWS}, kQmax = {QMAX};\n"
text += array("kMoments", moments) + array("kDifference", difference) + array("kWeights", weights)
text += array("kScales", scales) + array("kCodes", codes) + array("kTargets", targets)
text += "\n}  // namespace pare::golden_rounding\n// clang-format on\n"
pathlib.Path(__file__).with_name("golden_rounding.h").write_text(text)
