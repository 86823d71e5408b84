"""Small JPEG files, and their pixels according to Pillow (libjpeg): tests/golden/pictures.h.

/usr/bin/python3 tests/golden/pictures.py        (Debian's python3-pil)
"""
import io
import math
import os

from PIL import Image

WIDTH, HEIGHT = 19, 13


def pixel(x, y):
    return (int(128 + 100 * math.sin(x / 3)), int(128 + 90 * math.cos(y / 4)), (7 * x + 11 * y) % 256)


def stripe(x, y):
    """Other colors every two pixels, so that each sample of halved chroma differs from its neighbors."""
    return ((230, 40, 60), (30, 200, 90), (60, 50, 220), (210, 200, 30), (120, 20, 160))[(x // 2 + y // 5) % 5]


def picture(mode, pixel=pixel, width=WIDTH):
    image = Image.new("RGB", (width, HEIGHT))
    image.putdata([pixel(x, y) for y in range(HEIGHT) for x in range(width)])
    return image.convert(mode)


def rows(values):
    lines = [", ".join(str(v) for v in values[i:i + 20]) for i in range(0, len(values), 20)]
    return ",\n    ".join(lines)


def main():
    out = ["/* Made by pictures.py: JPEG files, and their pixels by Pillow, [height, width, channels]. */",
           "#ifndef GOLDEN_PICTURES_H", "#define GOLDEN_PICTURES_H", "",
           "enum { GOLDEN_WIDTH = %d, GOLDEN_HEIGHT = %d };" % (WIDTH, HEIGHT), ""]
    kinds = {"gray": ("L", {}), "rgb": ("RGB", {"subsampling": 0}),
             "progressive": ("RGB", {"subsampling": 0, "progressive": True}),
             "subsampled": ("RGB", {"subsampling": 2})}
    for name, (mode, options) in kinds.items():
        file = io.BytesIO()
        picture(mode).save(file, "JPEG", quality=90, optimize=True, **options)
        decoded = Image.open(io.BytesIO(file.getvalue()))
        assert decoded.mode == mode
        out.append("static const unsigned char golden_%s_jpeg[] = {\n    %s};" % (name, rows(file.getvalue())))
        if name != "subsampled":  # decoders are free in how they interpolate chroma
            out.append("static const unsigned char golden_%s_pixels[] = {\n    %s};"
                       % (name, rows(decoded.tobytes())))
        out.append("")
    for width in (3, 18, 19):
        file = io.BytesIO()
        picture("RGB", stripe, width).save(file, "JPEG", quality=90, optimize=True, subsampling=1)
        out.append("static const unsigned char golden_halved_%d_jpeg[] = {\n    %s};" % (width, rows(file.getvalue())))
        out.append("static const unsigned char golden_halved_%d_pixels[] = {\n    %s};"
                   % (width, rows(Image.open(file).tobytes())))
        out.append("")
    out.append("#endif")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pictures.h"), "w") as f:
        f.write("\n".join(out) + "\n")


main()
