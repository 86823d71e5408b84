"""LIBSVM and SVMlight files, and their contents according to scikit-learn's load_svmlight_file:
tests/golden/svmlight.h.

python tests/golden/svmlight.py        (scikit-learn 1.9)
"""
import io
import os

import numpy as np
import scipy.sparse
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

BASES = {"auto": "SW_SVMLIGHT_BASE_AUTO", True: "SW_SVMLIGHT_ZERO_BASED", False: "SW_SVMLIGHT_ONE_BASED"}


def dumped(zero_based, whole, **options):
    """A file as scikit-learn writes it, with rows that have no numbers."""
    random = np.random.default_rng(7)
    x = scipy.sparse.random(23, 40, 0.1, "csr", rng=random,
                            data_rvs=lambda n: random.normal(size=n) * 10.0 ** random.integers(-9, 9, n))
    y = random.choice([-1, 3, 10], 23) if whole else random.normal(size=23)
    file = io.BytesIO()
    dump_svmlight_file(x, y, file, zero_based=zero_based, **options)
    return file.getvalue()


# text, zero_based, n_features
CASES = {
    "dumped_from_0": (dumped(True, True), "auto", None),
    "dumped_from_1": (dumped(False, False, comment="été\nsecond line", query_id=np.arange(23) // 5), "auto", None),
    "auto_0": (b"1 0:1 2:3\n-1 1:2 4:5\n", "auto", None),
    "auto_1": (b"1 1:1 2:3\n-1 2:2 5:5\n", "auto", None),
    "known_0": (b"1 1:1 2:3\n-1 2:2 5:5\n", True, None),
    "known_1": (b"1 1:1 2:3\n-1 2:2 5:5\n", False, 9),
    "columns": (b"2 3:1\n0\n", "auto", 7),
    "surroundings": (b"# a comment\n\n+1 qid:3 1:0.5\t 7:-2e-3 # 8:1\n \t\r\n-1.0 qid:-4\n  2 2:+4. \r\n3#1:1\n"
                     b"4 1:1#2:2\n", "auto", None),
    "zeros": (b"0 1:0 2:-0.0 3:1e-400\n-0 3:1\n", "auto", None),
    "digits": (b"0.1 1:0.30000000000000004 2:9007199254740993 3:123456789012345678901234567890 4:1e-45 5:7e-46\n"
               b"7 6:1e38\n"
               b"1e-3 1:16777217 2:1.00000005960464477540 3:5e-324 007:7 0008:0.1\n", "auto", None),
    "sparse_columns": (b"1 5:1 2147483647:2\n2 1:3 2147483646:4\n", "auto", None),
}


def c_text(data):
    lines = []
    for line in data.splitlines(keepends=True):
        text = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else "\\%03o" % b for b in line)
        pieces = [text[i:i + 100] for i in range(0, len(text), 100)]
        for i in range(1, len(pieces)):  # no escape sequence is cut
            while "\\" in pieces[i - 1][-3:]:
                pieces[i] = pieces[i - 1][-1] + pieces[i]
                pieces[i - 1] = pieces[i - 1][:-1]
        lines += ['"%s"' % piece for piece in pieces]
    return "\n    ".join(lines)


def numbers(values):
    if values.dtype == np.float32:
        texts = ["%sf" % v for v in values] or ["0"]
    else:
        texts = [repr(v) for v in values.tolist()] or ["0"]
    lines, line = [], ""
    for text in texts:
        if len(line) + len(text) > 105:
            lines.append(line.rstrip())
            line = ""
        line += text + ", "
    return "{\n    " + "\n    ".join(lines + [line[:-2]]) + "}"


def main():
    out = ["/* Made by svmlight.py: files, and what scikit-learn's load_svmlight_file reads in them. */",
           "#ifndef GOLDEN_SVMLIGHT_H", "#define GOLDEN_SVMLIGHT_H", "",
           "typedef struct golden_svmlight {", "    const char *name, *text;", "    sw_svmlight_base base;",
           "    int64_t n_features; /* as given; 0: not */", "    int64_t rows, columns;",
           "    const int64_t *start;",
           "    const int32_t *index;", "    const double *f64;", "    const float *f32;", "    const double *y;",
           "} golden_svmlight;", ""]
    entries = []
    for name, (text, base, columns) in CASES.items():
        x, y = load_svmlight_file(io.BytesIO(text), zero_based=base, n_features=columns)
        f32, _ = load_svmlight_file(io.BytesIO(text), zero_based=base, n_features=columns, dtype=np.float32)
        assert (x.indices == f32.indices).all() and f32.dtype == np.float32
        for kind, part, values in (("int64_t", "start", x.indptr), ("int32_t", "index", x.indices),
                                   ("double", "f64", x.data), ("float", "f32", f32.data),
                                   ("double", "y", y)):
            out.append("static const %s golden_%s_%s[] = %s;" % (kind, name, part, numbers(values)))
        out.append("static const char golden_%s_text[] =\n    %s;\n" % (name, c_text(text)))
        entries.append('    {"%s", golden_%s_text, %s, %d, %d, %d,\n     %s},' % (
            name, name, BASES[base], columns or 0, x.shape[0], x.shape[1],
            ", ".join("golden_%s_%s" % (name, part) for part in ("start", "index", "f64", "f32", "y"))))
    out += ["static const golden_svmlight golden_svmlights[] = {"] + entries + ["};", "", "#endif"]
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "svmlight.h"), "w") as f:
        f.write("\n".join(out) + "\n")


main()
