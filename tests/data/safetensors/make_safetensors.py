# Writes small.safetensors beside itself with Python's safetensors: one tensor of every type.
import pathlib

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

tensors = {
    "f32": np.array([[1.5, -2.0, 3.25], [0.0, 1e-30, np.inf]], np.float32),
    "f16": np.array([1.5, -0.25, 65504.0], np.float16),
    "bf16": np.array([1.0, -3.0, 256.0], ml_dtypes.bfloat16),
    "f64": np.array(np.pi, np.float64),
    "i64": np.array([2**62, -1], np.int64),
    "i32": np.array([[-(2**31)], [7]], np.int32),
    "i16": np.array([-300], np.int16),
    "u16": np.array([65535], np.uint16),
    "i8": np.array([-128, 127], np.int8),
    "u8": np.array([255], np.uint8),
    "bool": np.array([True, False, True], np.bool_),
    "empty": np.zeros((0, 4), np.float32),
    "näme \"quoted\"": np.array([42.0], np.float32),
}
folder = pathlib.Path(__file__).parent
save_file(tensors, folder / "small.safetensors", {"format": "pt", "author": "safetensors"})
