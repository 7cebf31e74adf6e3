"""Writes golden_image.h (small image files and their pixels as PIL reads them) and golden_transform.h
(torchvision's transforms of fixed pictures). Run: python tests/data/make_golden.py"""

import io
import pathlib

import numpy as np
import torch
import torchvision
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import InterpolationMode

HERE = pathlib.Path(__file__).parent
generator = torch.Generator().manual_seed(5)


def smooth(height, width):
    """A picture that JPEG keeps well."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin(x / 5 + y / 9), 10 + 12 * x, 250 - 14 * y + x]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def numbers(values):
    return "{%s}" % ", ".join(str(int(v)) for v in values)


def floats(values):
    def one(v):
        text = np.format_float_positional(np.float32(v), unique=True, trim="0")
        return text + "F"

    return "{%s}" % ", ".join(one(v) for v in values)


def write_images():
    rgb = smooth(14, 18)
    grey = rgb[:, :, 0]
    cases = []

    def add(name, picture, mode, **options):
        out = io.BytesIO()
        picture.save(out, **options)
        read = np.asarray(Image.open(io.BytesIO(out.getvalue())).convert(mode))
        planes = read[None] if read.ndim == 2 else read.transpose(2, 0, 1)
        shape = ", ".join(map(str, planes.shape))
        cases.append(
            '      {"%s", %s,\n       {%s}, %s},'
            % (name, numbers(out.getvalue()), shape, numbers(planes.reshape(-1)))
        )

    picture = Image.fromarray(rgb)
    add("rgb.jpg", picture, "RGB", format="JPEG", quality=95, subsampling=0)
    add("half.jpg", picture, "RGB", format="JPEG", quality=95, subsampling=2)
    add("progressive.jpg", picture, "RGB", format="JPEG", quality=95, subsampling=0, progressive=True)
    add("grey.jpg", Image.fromarray(grey), "L", format="JPEG", quality=95)
    add("rgb.png", picture, "RGB", format="PNG")
    add("grey.png", Image.fromarray(grey), "L", format="PNG")
    add("palette.png", picture.quantize(16), "RGB", format="PNG")
    alpha = np.concatenate([rgb, grey[:, :, None]], -1)
    add("alpha.png", Image.fromarray(alpha), "RGBA", format="PNG")
    add("rgb.bmp", picture, "RGB", format="BMP")
    add("palette.gif", picture.quantize(16), "RGB", format="GIF")
    text = """// Small image files and their pixels as PIL %s reads them; written by make_golden.py.
// clang-format off
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pare::data::golden {

struct ImageCase {
  std::string name;
  std::vector<std::uint8_t> file;
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> pixels;
};

inline const std::vector<ImageCase>& images() {
  static const std::vector<ImageCase> cases{
%s
  };
  return cases;
}

}  // namespace pare::data::golden
""" % (Image.__version__, "\n".join(cases))
    (HERE / "golden_image.h").write_text(text)


def write_transforms():
    small = torch.randint(0, 256, (3, 9, 7), generator=generator, dtype=torch.uint8)
    # Greys and saturated pixels, where hue has its special cases.
    small[:, 0, :3] = torch.tensor([0, 128, 255], dtype=torch.uint8)
    small[:, 1, 0] = torch.tensor([255, 0, 0], dtype=torch.uint8)
    small[:, 1, 1] = torch.tensor([255, 255, 0], dtype=torch.uint8)
    small[:, 1, 2] = torch.tensor([0, 0, 255], dtype=torch.uint8)
    cases = []

    def add(name, arguments, picture, run):
        for dtype in (torch.uint8, torch.float32):
            x = picture if dtype == torch.uint8 else picture.float() / 255
            y = run(x).float()
            shape = ", ".join(map(str, y.shape))
            cases.append(
                '      {"%s", %s, %s, {%s}, %s},'
                % (
                    name,
                    "{%s}" % ", ".join(map(repr, arguments)),
                    "true" if dtype == torch.uint8 else "false",
                    shape,
                    floats(y.reshape(-1).tolist()),
                )
            )

    bilinear = InterpolationMode.BILINEAR
    for size in ((5, 5), (13, 4), (9, 7), (18, 21), (1, 1), (3, 20)):
        for antialias in (False, True):
            add("resize", [*size, int(antialias)], small,
                lambda x: F.resize(x, list(size), bilinear, antialias=antialias))
    for box in ((2, 1, 5, 4), (0, 0, 9, 7)):
        add("resized_crop", [*box, 6, 6], small,
            lambda x: F.resized_crop(x, *box, [6, 6], bilinear, antialias=True))
    for factor in (0.0, 0.4, 1.0, 1.7):
        add("brightness", [factor], small, lambda x: F.adjust_brightness(x, factor))
        add("contrast", [factor], small, lambda x: F.adjust_contrast(x, factor))
        add("saturation", [factor], small, lambda x: F.adjust_saturation(x, factor))
    for shift in (-0.5, -0.1, 0.0, 0.25, 0.5):
        add("hue", [shift], small, lambda x: F.adjust_hue(x, shift))
    add("grayscale", [], small, lambda x: F.rgb_to_grayscale(x))
    text = """// torchvision %s's transforms of one picture; written by make_golden.py.
// clang-format off
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pare::data::golden {

// u8 [3, 9, 7]; the cases of f32 begin from it divided by 255.
inline const std::vector<std::uint8_t>& picture() {
  static const std::vector<std::uint8_t> pixels%s;
  return pixels;
}

struct TransformCase {
  std::string name;
  std::vector<double> arguments;
  bool bytes;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

inline const std::vector<TransformCase>& transforms() {
  static const std::vector<TransformCase> cases{
%s
  };
  return cases;
}

}  // namespace pare::data::golden
""" % (torchvision.__version__.split("+")[0], numbers(small.reshape(-1).tolist()), "\n".join(cases))
    (HERE / "golden_transform.h").write_text(text)


write_images()
write_transforms()
