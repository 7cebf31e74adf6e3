"""Writes golden_npy.h: files that numpy writes, with their values. Run: python tests/io/make_golden_npy.py"""

import io
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def text(values):
    return "{%s}" % ", ".join(values)


def raw(data):
    return text(str(b) for b in data)


cases = []


def add(name, array, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    plain = np.ascontiguousarray(array).astype(np.float64).reshape(-1)
    dtype = {"b": "boolean"}.get(array.dtype.kind, array.dtype.kind + str(8 * array.dtype.itemsize))
    cases.append(
        '      {"%s", %s, DType::%s, %s, %s},'
        % (name, raw(out.getvalue()), dtype, text(map(str, array.shape)), text(repr(float(v)) for v in plain))
    )


grid = np.arange(24).reshape(2, 3, 4) - 7
for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2"):
    array = (grid % 100 if kind[0] == "u" else grid / 2 if kind[0] == "f" else grid).astype("<" + kind)
    add("little " + kind, array)
    add("big " + kind, array.astype(">" + kind))
    add("fortran " + kind, np.asfortranarray(array))
add("bool", grid % 3 == 0)
add("scalar", np.float32(2.5).reshape(()))
add("row", np.arange(5, dtype="<i4"))
add("empty", np.zeros((3, 0, 2), dtype="<f4"))
add("empty fortran", np.zeros((3, 0, 2), dtype="<f4", order="F"))
add("version 2", grid.astype("<f4"), (2, 0))
add("version 3", np.asfortranarray(grid.astype(">f8")), (3, 0))

archives = []
for name, write in (("savez", np.savez), ("savez_compressed", np.savez_compressed)):
    out = io.BytesIO()
    write(out, a=grid.astype(np.float32), b=np.zeros((200,), np.int64))
    archives.append('      {"%s", %s},' % (name, raw(out.getvalue())))

(HERE / "golden_npy.h").write_text(
    """// Files that numpy %s writes and their values; written by make_golden_npy.py.
// clang-format off
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pare/core/dtype.h"

namespace pare::io::golden {

struct NpyCase {
  std::string name;
  std::vector<unsigned char> file;
  DType dtype;
  std::vector<std::int64_t> shape;
  std::vector<double> values;
};
inline const std::vector<NpyCase>& arrays() {
  static const std::vector<NpyCase> cases{
%s
  };
  return cases;
}

// a: f32 [2, 3, 4] of -7 to 16; b: i64 [200] of zeros.
struct NpzCase {
  std::string name;
  std::vector<unsigned char> file;
};
inline const std::vector<NpzCase>& archives() {
  static const std::vector<NpzCase> cases{
%s
  };
  return cases;
}

}  // namespace pare::io::golden
"""
    % (np.__version__, "\n".join(cases), "\n".join(archives))
)
