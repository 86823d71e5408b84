"""Writes the initial inputs of the fuzzing targets, one folder for each: python3 seeds.py FOLDER. It needs only the
standard library."""
import gzip
import os
import re
import struct
import sys
import zlib


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth, color, row_bytes, palette=b"", interlace=0):
    header = struct.pack(">IIBBBBB", 5, 4, depth, color, 0, 0, interlace)
    rows = b"".join(bytes([y % 5]) + bytes((37 * i + y) % 256 for i in range(row_bytes)) for y in range(4))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + (chunk(b"PLTE", palette) if palette else b"")
            + chunk(b"IDAT", zlib.compress(rows * (2 if interlace else 1))) + chunk(b"IEND", b""))


def jpegs():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/pictures.h")) as f:
        for numbers in re.findall(r"_jpeg\[\] = \{([^}]*)\}", f.read()):
            yield bytes(int(n) for n in numbers.split(","))


def safetensors():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/package_files.h")) as f:
        for numbers in re.findall(r"\[\] = \{([^}]*)\}", f.read()):
            yield bytes(int(n) for n in numbers.split(","))


def descriptions():
    def network(layers, types='"type":"f64"'):
        return ('{"format":1,"inputs":[[2,3]],"parameters":{},"root":{"layers":[' + ",".join(layers)
                + '],"name":"s","type":"sequential"},"seed":"1",' + types + '}').encode()

    def layer(kind, name, settings="", more=""):
        return '{%s"name":"%s","settings":{%s},"type":"%s"}' % (more, name, settings, kind)

    linear = '"bias":1,"inputs":6,"outputs":6'
    yield network([layer("flatten", "f"), layer("dropout", "d", '"p":0.25'), layer("linear", "a", linear),
                   layer("residual", "r", "", '"layers":[%s],' % layer("linear", "b", linear)),
                   layer("linear", "c", linear, '"tied":{"weight":{"layer":3,"parameter":"weight"}},')])
    yield network([layer("reshape", "r", '"shape":[3,1,2]'), layer("softmax", "x", '"axis":-1'),
                   layer("elu", "e", '"alpha":1e-3'), layer("leaky_relu", "l", '"slope":0.01')])
    yield network([layer("embedding", "m", '"dim":3,"padding_id":2,"rows":7'), layer("relu", "r")])
    sizes = '"dilation":%s,"groups":2,"inputs":2,"outputs":4,"padding":%s,"stride":%s,"kernel":%s'
    picture, signal = sizes % ("[1,2]", "[1,1]", "[2,1]", "[2,1]"), sizes % ("[1]", "[3]", "[2]", "[3]")
    yield network([layer("reshape", "r", '"shape":[1,3,2]'), layer("conv", "a", '"bias":1,"same":0,' + picture),
                   layer("conv_transposed", "b", '"bias":0,"output_padding":[1,0],'
                         + picture.replace('"inputs":2', '"inputs":4'))])
    yield network([layer("reshape", "r", '"shape":[3,2]'), layer("conv", "a", '"bias":0,"same":0,' + signal)])
    window = '"ceil_mode":1,"relu":1,"padding":%s,"stride":%s,"window":%s,'
    yield network([layer("reshape", "r", '"shape":[3,2,1]'),
                   layer("max_pool", "a", window % ("[1,0]", "[1,1]", "[2,1]") + '"dilation":[1,2]'),
                   layer("avg_pool", "b", window % ("[0,1]", "[2,1]", "[1,2]") + '"exclude_padding":1'),
                   layer("adaptive_max_pool", "c", '"out":[2,3]'), layer("adaptive_avg_pool", "d", '"out":[4,1]'),
                   layer("global_avg_pool", "e")])
    yield network([layer("reshape", "r", '"shape":[6,1]'),
                   layer("max_pool", "a", window % ("[1]", "[2]", "[3]") + '"dilation":[1]')])
    yield network([layer("batch_norm", "b", '"bias":1,"cumulative":1,"eps":0,"features":3,"momentum":0,"statistics":1,'
                         '"weight":0'), layer("layer_norm", "l", '"axes":2,"bias":0,"eps":0.1,"features":3,"weight":1'),
                   layer("rms_norm", "r", '"axes":1,"eps":0,"features":3,"weight":1'),
                   layer("group_norm", "g", '"bias":1,"eps":0,"features":3,"groups":3,"weight":1')])
    norm = '"bias":1,"cumulative":0,"eps":0,"features":3,"momentum":0,"statistics":1,"weight":1'
    square = '"bias":0,"same":0,"dilation":[1,1],"groups":1,"inputs":3,"outputs":3,"padding":[1,1],' \
        '"stride":[1,1],"kernel":[3,3]'
    block = ",".join(layer(kind, name, settings) for kind, name, settings in
                     (("conv", "conv1", square), ("batch_norm", "bn1", norm), ("conv", "conv2", square),
                      ("batch_norm", "bn2", norm)))
    yield network([layer("reshape", "r", '"shape":[2,1,3]'),
                   layer("basic_block", "b", "", '"layers":[%s],' % block)])
    for storage in ("f16", "bf16"):
        yield network([layer("flatten", "f"), layer("linear", "a", linear)], '"storage":"%s","type":"f32"' % storage)


def main(folder):
    idx = b"\0\0\x08\x03" + struct.pack(">III", 2, 3, 4) + bytes(range(24))
    text = b'a,"b ""c""",d\r\n1,-2.5e3, 0\r\n"7",.5,1\r\n\r\n'
    rows = b"# c\n1 qid:1 1:.5 3:-2e3\r\n-1 2:1\n\n10\n"
    seeds = {
        "idx": [idx, gzip.compress(idx), b"\0\0\x08\x01\0\0\0\0"],
        "csv": [b"\0" + text, b"\x10" + gzip.compress(text), b"\x81" + b"1;nan\n2;-inf\n",
                b"\x23" + b"1 2\n3 4"],
        "svmlight": [b"\0" + rows, b"\x11" + gzip.compress(rows), b"\x82" + b"1.5 0:nan 7:1\n2",
                     b"\x48" + b"1 1:1e39 2147483647:1\n"],
        "picture": [png(8, 0, 5), png(8, 2, 15), png(8, 6, 20), png(16, 4, 20), png(1, 0, 1),
                    png(4, 3, 3, b"abcdef"), png(8, 2, 15, interlace=1)] + list(jpegs()),
        "safetensors": list(safetensors()), "description": list(descriptions()),
        "tokenizer": [b"swale tokenizer 1\nbyte_pairs 3\n97 98\n256 256\n32 257\n",
                      b"swale tokenizer 1\ncharacters 4\n10\n97\n223\n128512\n",
                      "the valley's walls,  it isn't 1200 \u00df \u20ac \U0001F600\n\n\tvalley".encode()]}
    for name, inputs in seeds.items():
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        for i, data in enumerate(inputs):
            with open(os.path.join(folder, name, "seed%d" % i), "wb") as f:
                f.write(data)


main(sys.argv[1])
