#!/usr/bin/env python3
"""Byte pairs for tests/datasets/text/test_byte_pairs.c: joins and ids of a few texts.

The training is the definition in plain Python: after each join, all pairs of neighbors are counted again. The package
tokenizers computes the ids from the joins, piece by piece. For texts in ASCII, the script also compares the pieces with
those of GPT-2's own pattern, and the ids with those that the package computes with its own pieces.

    python byte_pairs.py > byte_pairs.h        (regex, tokenizers)
"""
import re

import regex
from tokenizers import Tokenizer, models, pre_tokenizers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# The same for bytes, one character each: a byte from 0x80 is a letter. A piece is cut after 4096 bytes.
L, S = "A-Za-z\x80-\xff", " \t\n\v\f\r"
PATTERN = (f"'s|'t|'re|'ve|'m|'ll|'d|[ ][{L}]{{1,4095}}|[{L}]{{1,4096}}|[ ]?[0-9]+|[ ]?[^{S}{L}0-9]+"
           f"|[{S}]+(?![^{S}])|[{S}]+")
LONGEST = 256  # bytes of a token


def split(text):
    return [piece.encode("latin-1") for piece in re.findall(PATTERN, text.decode("latin-1"))]


def join(tokens, pair, joined):
    out, i = [], 0
    while i < len(tokens):
        both = i + 1 < len(tokens) and (tokens[i], tokens[i + 1]) == pair
        out.append(joined if both else tokens[i])
        i += 2 if both else 1
    return out


def train(text, tokens):
    pieces, joins, length = [list(p) for p in split(text)], [], [1] * 256
    while 256 + len(joins) < tokens:
        count = {}
        for p in pieces:
            for pair in zip(p, p[1:]):
                count[pair] = count.get(pair, 0) + 1
        possible = [p for p in count if count[p] >= 2 and length[p[0]] + length[p[1]] <= LONGEST]
        if not possible:
            break
        best = min(possible, key=lambda p: (-count[p], p))
        joins.append(best)
        length.append(length[best[0]] + length[best[1]])
        pieces = [join(p, best, 255 + len(joins)) for p in pieces]
    return joins


def vocabulary(joins):
    tokens = [bytes([b]) for b in range(256)]
    for a, b in joins:
        tokens.append(tokens[a] + tokens[b])
    return tokens


def byte_letters():
    """The letters by which GPT-2 writes bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {b: chr(b) for b in shown}, 0
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + extra)
            extra += 1
    return letters


LETTER = byte_letters()


def coder_of(joins):
    names = ["".join(LETTER[b] for b in token) for token in vocabulary(joins)]
    assert len(set(names)) == len(names)
    return Tokenizer(models.BPE(vocab={n: i for i, n in enumerate(names)}, merges=[(names[a], names[b]) for a, b in joins]))


def encode(joins, text):
    coder = coder_of(joins)
    return [i for piece in split(text) for i in coder.encode("".join(LETTER[b] for b in piece)).ids]


def check_ascii(joins, text):
    text = text.decode("ascii")
    assert [p.decode() for p in split(text.encode())] == regex.findall(GPT2, text)
    coder = coder_of(joins)
    coder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert coder.encode(text).ids == encode(joins, text.encode())


def random_text(alphabet, count, state):
    out = bytearray()
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(alphabet[(state >> 33) % len(alphabet)])
    return bytes(out)


ENGLISH = b"""A swale is a wide, shallow valley. It's wide, and it isn't deep:  we'll walk 1200 steps, then 34 more.
They've said that the shallow valley's other side -- the wider one -- lies 1234 feet higher.\n\n\tI'd say: "Walk wide!"
We're walking; you're walking; they'll walk.   The valley, the valley, the wide wide valley...  \n \n'tis 'round 1200.\n  """
MIXED = "Übergrößenträger größer, über Größe. Ça va? Ça va bien! 東京の東、京都の西。 \U0001F600\U0001F600 größte ".encode() * 2
TEXTS = [  # name, a unit, how often it is repeated, tokens
    ("english", ENGLISH, 1, 256 + 60),
    ("mixed", MIXED, 1, 256 + 40),
    ("runs", b"aaaa aaa aaaaaaaaa\tbabab\t bababa aab", 1, 400),
    ("ties", random_text(b"abcd \n1!", 700, 1), 1, 256 + 80),
    ("bytes", random_text(bytes([0, 255, 128, 32, 39, 115, 10]), 500, 2), 1, 256 + 50),
    ("long", b"x", 10000, 256 + 20),
    ("few", b"abcdefg", 1, 300),
]
PROBES = [b"", b" ", b"the valley's walls", b"  wide\n\n\nvalley  ", "größe \u6771".encode(), bytes(range(256)), b"aaaaaaaaaaaa",
          b"I'll we've'd 's 12a34 !?x\r\n\t\v\f.", b"abab" * 20, b"x" * 300]


def table(kind, name, values):
    lines, line = [], ""
    for v in values:
        item = f"{v},"
        if len(line) + len(item) > 100:
            lines.append(line)
            line = ""
        line += item
    body = "\n    ".join(lines + [line])
    print(f"static const {kind} {name}[] = {{\n    {body if values else '0'}}};")


def main():
    print("/* Written by byte_pairs.py. */")
    print("typedef struct golden_pairs_encoding {\n    const unsigned char *text;\n    size_t bytes;\n    const int32_t *ids;\n"
          "    int64_t count;\n} golden_pairs_encoding;")
    for i, probe in enumerate(PROBES):
        table("unsigned char", f"golden_probe_{i}", list(probe))
    for name, unit, times, tokens in TEXTS:
        joins = train(unit * times, tokens)
        if all(b < 128 for b in unit) and times * len(unit) < 4096:
            check_ascii(joins, unit * times)
        table("unsigned char", f"golden_{name}_unit", list(unit))
        table("int32_t", f"golden_{name}_joins", [i for pair in joins for i in pair])
        coded = [encode(joins, text) for text in [unit * times, *PROBES]]
        for i, ids in enumerate(coded):
            table("int32_t", f"golden_{name}_ids_{i}", ids)
    print("static const struct {\n    const char *name;\n    const unsigned char *unit;\n    size_t bytes;\n    int times;\n"
          "    int64_t tokens, joins;\n    const int32_t *join;\n"
          f"    golden_pairs_encoding coded[{len(PROBES) + 1}]; /* of the text itself, whose `text` is NULL, and of the probes */\n"
          "} golden_pairs[] = {")
    for name, unit, times, tokens in TEXTS:
        joins = train(unit * times, tokens)
        coded = [f"{{NULL, 0, golden_{name}_ids_0, {len(encode(joins, unit * times))}}}"]
        coded += [f"{{golden_probe_{i}, {len(p)}, golden_{name}_ids_{i + 1}, {len(encode(joins, p))}}}"
                  for i, p in enumerate(PROBES)]
        rows = ",\n      ".join(coded)
        print(f'    {{"{name}", golden_{name}_unit, {len(unit)}, {times}, {tokens}, {len(joins)}, golden_{name}_joins,\n'
              f"     {{{rows}}}}},")
    print("};")


if __name__ == "__main__":
    main()
