"""Files made to run code, to take all memory, or to be read elsewhere: each is refused in one line, soon and small."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from cualex.errors import WeightsError
from cualex.formats import load
from cualex.formats.reading.contents import Contents
from cualex.formats.recognise import read
from tests.support import foreign_files
from tests.support.confined import results
from tests.support.foreign_files import field, named, text, whole

MEGABYTES = 32 + 64  # the thread that takes the SHA-256 may reserve 64 of addresses
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


class Runs:
    """Call something when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def npy(pickled):
    """Put a pickle behind the header of an array of objects."""
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + pickled


def holding(inside):
    """Put the instructions for one value where the weights would be."""
    return b"\x80\x02}" + text("conv1.weight") + inside + b"s."


def torch(inside, **members):
    return foreign_files.zipped({"data.pkl": holding(inside), "data/0": VALUES.tobytes(), **members})


def tensor(values=VALUES, **changes):
    return foreign_files.rebuilt("0", values, **changes)


def two(first, second):
    """Write two tensors."""
    entries = text("a.weight") + first + text("b.weight") + second
    return foreign_files.zipped({"data.pkl": b"\x80\x02}(" + entries + b"u.", "data/0": VALUES.tobytes()})


def same_place():
    """Write a zip of which two members are the same bytes."""
    data = bytearray(two(tensor(), foreign_files.rebuilt("1", VALUES)))
    made = io.BytesIO(bytes(data))
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("archive/data/1", VALUES.tobytes())
        archive.getinfo("archive/data/1").header_offset = archive.getinfo("archive/data/0").header_offset
    return made.getvalue()


def deflated():
    """Write a storage of 4 MB in 4 kB."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", holding(tensor(np.empty(1 << 22, np.uint8).view(np.float32))))
        archive.writestr("archive/data/0", bytes(1 << 22))
    return made.getvalue()


def layer(inside):
    """Write a network of one layer in Caffe's present layout."""
    return field(1, "AlexNet") + field(100, field(1, "conv1") + field(2, "Convolution") + field(7, inside))


def onnx(inside):
    """Write a model of one tensor."""
    return field(1, 7) + field(7, field(5, field(8, "conv1.weight") + inside)) + field(8, field(2, 13))


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else repr(header).replace("'", '"').encode()
    return struct.pack("<Q", len(text)) + text + data


def attacks(canary):
    """Name the attacks: the bytes, and words of the answer."""
    refused, floats = (
        "its pickle holds more than a dictionary of tensors, and is never executed (",
        field(5, VALUES.tobytes()),
    )
    shape = field(7, field(1, foreign_files.packed((2, 3))))
    onnx_shape = field(1, foreign_files.packed((2, 3))) + field(2, 1)
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    calls = {
        "open": Runs(open, canary, "w"),
        "os.system": Runs(os.system, f"touch {canary}"),
        "eval": Runs(eval, f"open({canary!r}, 'w')"),
        "getattr": Runs(getattr, "x", "upper"),
    }
    made = {
        f"{name} in a NumPy file, protocol {p}": (
            npy(pickle.dumps({"conv1": [call]}, p)),
            refused + "it names ",
        )
        for name, call in calls.items()
        for p in (2, 4)
    }
    made |= {
        f"{name} in PyTorch's": (
            foreign_files.zipped({"data.pkl": pickle.dumps({"a": call}, 2)}),
            refused + "it names ",
        )
        for name, call in calls.items()
    }
    return made | {
        # pickles
        "a pickle of protocol 0": (
            npy(pickle.dumps({"a": 1}, 0)),
            refused + "it is not a pickle of protocol 2 to 5",
        ),
        "an object of a class": (
            torch(named("collections", "OrderedDict") + b")\x81"),
            refused + "conv1.weight is not a tensor",
        ),
        "an object of a class in a NumPy file": (
            npy(b"\x80\x02" + named("numpy", "dtype") + b")\x81."),
            refused + "it has the opcode",
        ),
        "a call of a tensor": (torch(tensor() + b")R"), refused + "it calls something that is not a global"),
        "a state for a name": (
            torch(named("collections", "OrderedDict") + b"}b"),
            refused + "it gives Named a state",
        ),
        "a name built from parts": (
            npy(b"\x80\x04" + b"\x8c\x02os" + b"\x8c\x06system" + b"\x93."),
            refused + "it names os.system, which",
        ),
        "a name with a dot in it": (
            npy(b"\x80\x04" + b"\x8c\x05numpy" + b"\x8c\x0cf2py.os.open" + b"\x93."),
            refused + "it names",
        ),
        "lists in lists": (torch(b"]" * 40_000 + b"a" * 39_999), refused + "conv1.weight is not a tensor"),
        "instructions without end": (torch(b"N0" * 10 + b"N" * 200_000), refused),
        "a laugh a billion times": (
            torch(
                b"]q\0"
                + b"".join(b"(h" + bytes([n]) + (b"h" + bytes([n])) * 9 + b"tq" + bytes([n + 1]) for n in range(60))
            ),
            refused + "it fills tuple",
        ),
        "a key that is a laugh a billion times": (
            torch(
                b"}K\1q\0"
                + b"".join(b"0(h" + bytes([n]) + (b"h" + bytes([n])) * 9 + b"tq" + bytes([n + 1]) for n in range(60))
                + b"Ns"
            ),
            refused + "conv1.weight is not a tensor",
        ),
        "a text of 2^32 - 1 bytes": (torch(b"X\xff\xff\xff\xff"), refused + "it has a string of 4294967295 bytes"),
        "bytes of 2^63": (npy(b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"."), "bytes at offset"),
        "bytes of a negative length": (npy(b"\x80\x02T\xff\xff\xff\xff."), "bytes at offset"),
        "a number of 255 bytes": (torch(b"\x8a\xff"), refused + "it has an integer of 255 bytes"),
        "a frame of 2^64 - 1": (
            npy(b"\x80\x04\x95" + b"\xff" * 8 + b"."),
            "a truncated frame in its pickle",
        ),
        "a place in the memo that is not": (torch(b"h\x07"), "its pickle reads a memo entry that was never written"),
        "a reference to outside in a NumPy file": (
            npy(b"\x80\x02NQ."),
            refused + "it refers to storages in a way that torch.save does not",
        ),
        "a key that is a list": (torch(b"N" + b"}]Ns"), refused),
        "a name twice": (
            two(tensor(), tensor()).replace(b"b.weight", b"a.weight"),
            "checksum mismatch",
        ),
        # tensors
        "a tensor beyond its storage": (torch(tensor(offset=1)), "does not fit into its 20 bytes"),
        "a tensor far beyond its storage": (torch(tensor(offset=2**40)), "does not fit into its 0 bytes"),
        "a negative offset": (torch(tensor(offset=-1)), refused + "a tensor without storage"),
        "strides of zero": (torch(tensor(strides=(0, 0))), "is not contiguous"),
        "strides that leave gaps": (torch(tensor(strides=(4, 1))), "is not contiguous"),
        "negative strides": (torch(tensor(strides=(-3, 1))), "is not contiguous"),
        "a storage larger than it is": (torch(tensor(size=2**40)), "a storage that is missing"),
        "a shape whose product is 2^80": (
            torch(tensor(SimpleNamespace(shape=(2**20,) * 4, size=6), strides=(1, 1, 1, 1))),
            "does not fit",
        ),
        "a missing storage": (torch(foreign_files.rebuilt("7", VALUES)), "a storage that is missing"),
        "a storage of whole numbers": (
            torch(tensor(kind="LongStorage")),
            "conv1.weight has dtype int64, expected a floating-point dtype",
        ),
        "two tensors in one place": (two(tensor(), tensor()), "a.weight and b.weight share memory"),
        "two members in one place": (same_place(), "does not match the zip"),
        "a storage that is compressed": (deflated(), "is compressed, expected stored"),
        "big-endian numbers": (torch(tensor(), byteorder=b"big"), "big-endian"),
        "no names at all": (
            foreign_files.zipped({"data.pkl": b"\x80\x02K\1."}),
            refused + "it holds no dictionary",
        ),
        "a pickle without an end": (foreign_files.zipped({"data.pkl": b"\x80\x02}"}), "bytes at offset"),
        # Protocol Buffers
        "a length of 2^63": (whole(100 << 3 | 2) + whole(2**63) + b"x", "bytes at offset"),
        "a field longer than what is around it": (
            field(100, whole(1 << 3 | 2) + whole(500)) + field(1, bytes(1000)),
            "bytes at offset",
        ),
        "a group": (b"\x0b\x0c" + layer(shape + floats), "no Protocol Buffers field at offset"),
        "a number without an end": (b"\xff" * 20 + layer(shape + floats), "has no end"),
        "a million empty fields": (
            b"\x10\0" * 1_000_000 + layer(shape + floats),
            "more than 200000 Protocol Buffers fields",
        ),
        "lengths of 2^63": (
            layer(field(7, field(1, whole(2**63) + whole(3))) + floats),
            "the invalid shape",
        ),
        "lengths that overflow": (layer(field(7, field(1, whole(2**32) * 2)) + floats), "does not fit"),
        "a hundred lengths": (layer(field(7, field(1, b"\1" * 100)) + floats), "a shape of more than 64 axes"),
        "more numbers than the shape says": (
            layer(field(7, field(1, b"\2\2")) + floats),
            "has 24 bytes, expected 16",
        ),
        "numbers in two kinds": (layer(shape + floats + field(8, bytes(48))), "both float and double data"),
        "numbers twice": (layer(shape + floats + floats), "is there 2 times"),
        "numbers one by one": (layer(shape + b"\x2d\0\0\0\0" * 6), "6 times"),
        "a name that is not a string": (
            field(100, field(1, b"\xff\xfe") + field(7, shape + floats)),
            "is not UTF-8",
        ),
        "a layer twice": (layer(shape + floats) * 2, "conv1 is there twice"),
        "numbers in another file": (
            onnx(onnx_shape + field(13, field(1, "location") + field(2, "/etc/passwd")) + field(14, 1)),
            "names a file outside of its folder (/etc/passwd), which is not opened",
        ),
        "an initialiser without numbers": (onnx(onnx_shape), "has no data"),
        "an initialiser with too few": (
            onnx(onnx_shape + field(9, bytes(20))),
            "does not fit into its 20 bytes",
        ),
        # safetensors and NumPy
        "a header of 2^60 bytes": (struct.pack("<Q", 2**60) + b"{}", "its header has 1152921504606846976 bytes"),
        "a header of 2 MB": (safetensors(b"{" + b" " * 2_000_000 + b"}"), "its header has 2000002 bytes"),
        "a header of brackets": (safetensors(b'{"a":' + b"[" * 100_000), "damaged or incomplete safetensors file ("),
        "offsets beyond the file": (
            safetensors({"a": {**entry, "data_offsets": [0, 2**40]}}),
            "damaged or incomplete safetensors file (",
        ),
        "tensors that overlap": (
            safetensors({"a": entry, "b": entry}, VALUES.tobytes()),
            "damaged or incomplete safetensors file (",
        ),
        "a NumPy header of 4 GB": (b"\x93NUMPY\2\0\xff\xff\xff\xff", "its header has 4294967295 bytes"),
    }


def attacked(place):
    """Yield the answer to each attack, after one to a whole file."""
    path = Path(place) / "file"
    path.write_bytes(torch(tensor()))
    with Contents(path) as contents:
        yield read(contents, path).tensors["conv1.weight"].read().tolist()
    for data, _ in attacks(f"{place}/canary").values():
        path.write_bytes(data)
        try:
            yield f"accepted: {load.load(path)}"
        except WeightsError as error:
            yield str(error)


def test_attacks_are_refused_in_a_line(tmp_path):
    first, *lines = results(attacked, str(tmp_path), seconds=10, megabytes=MEGABYTES)
    assert first == VALUES.tolist()
    for (name, (_, words)), line in zip(attacks(None).items(), lines, strict=True):
        assert line.startswith(f"{tmp_path}/file: "), name
        assert words in line, f"{name}: {line}"
        assert len(line.splitlines()) == 1, name
        assert len(line) < 400, name
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    with pickle.loads(pickle.dumps(Runs(open, f"{tmp_path}/canary", "w"))):
        assert (tmp_path / "canary").exists()  # so the attack works on who runs it
