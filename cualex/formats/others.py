"""Files that are not read, by what they are: what to do with each."""

from pathlib import PurePath

from cualex.formats.reading.contents import Contents
from cualex.formats.reading.protobuf import LONG, WHOLE

PYTORCH = "Save the tensors alone, as torch.save(model.state_dict(), FILE) or as safetensors, and import that."
CONVERT = "Convert it to ONNX, or save its tensors under PyTorch's names as safetensors, and import that."
UNPACK = "Unpack it, and import the file of weights inside."
# First bytes, and what such a file is.
STARTS = {
    b"\x1f\x8b": f"compressed (gzip). {UNPACK}",
    b"BZh": f"compressed (bzip2). {UNPACK}",
    b"\xfd7zXZ": f"compressed (xz). {UNPACK}",
    b"\x28\xb5\x2f\xfd": f"compressed (zstd). {UNPACK}",
    b"7z\xbc\xaf": f"a 7z archive. {UNPACK}",
    b"Rar!": f"a RAR archive. {UNPACK}",
    b"\x80": f"a pickle, but none of PyTorch's. {PYTORCH}",
    b"<": "a web page, most likely that of a download that did not work. Download it again.",
    b"version https://git-lfs": "a Git LFS pointer, and not the file. Fetch the file with `git lfs pull`.",
    b"MATLAB 5": f"a MATLAB file. {CONVERT}",
    b"MATLAB 7": f"a MATLAB file. {CONVERT}",
    b"GGUF": f"a GGUF file. {CONVERT}",
    b"\x89PNG": "an image. Give a file of weights.",
    b"\xff\xd8\xff": "an image. Give a file of weights.",
    b"%PDF": "a PDF. Give a file of weights.",
    b"\x12\x01\x00\x00\x00\x00\x00\x00": f"parameters of MXNet. {CONVERT}",
}
TABLE = bytes.fromhex("57fb808b247547db")  # the end of a table of TensorFlow's checkpoints
TENSORFLOW = f"a TensorFlow checkpoint. {CONVERT}"
SUFFIXES = {".weights": "weights of Darknet", ".t7": "a file of Torch7", ".params": "parameters of MXNet"}
BLOB = {*((length, WHOLE) for length in (1, 2, 3, 4)), (5, LONG), (7, LONG), (8, LONG)}
MEAN = "one array of Caffe, as mean images are kept (.binaryproto). Import the .caffemodel, and give this to --mean."
SOLVER = "the state of Caffe's solver (.solverstate), and not the network. Import the .caffemodel beside it."


def named(start: bytes, contents: Contents) -> str:
    """Return what a file is that begins with `start` and is not read, or ""."""
    words = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, reason in STARTS.items():
        if start.startswith(magic) or (magic.startswith((b"<", b"version")) and words.startswith(magic)):
            return reason
    if start[257:262] == b"ustar":
        return f"a tar archive. {UNPACK}"
    if start[4:8] == b"TFL3":
        return f"a TensorFlow Lite model. {CONVERT}"
    if contents.size >= 8 and contents.bytes(contents.size - 8, 8) == TABLE:
        return TENSORFLOW
    return _text(start)


def named_by_suffix(name: str) -> str:
    """Return what a file of numbers alone is, which nothing inside tells apart, or ""."""
    if ".data-0" in name and "-of-0" in name:
        return f"the numbers of a TensorFlow checkpoint, whose names are in its .index. {CONVERT}"
    if name.endswith((".onnx.data", ".onnx_data")):
        return "the numbers of an ONNX model, whose names are in its .onnx. Import that, with this file beside it."
    suffix = PurePath(name).suffix
    return f"{SUFFIXES[suffix]}. {CONVERT}" if suffix in SUFFIXES else ""


def _text(start: bytes) -> str:
    """Return what a file of text is, or ""."""
    try:
        text = start.decode("utf-8").lstrip("\ufeff")
    except UnicodeDecodeError:
        try:  # it may be cut inside of a letter
            text = start[:-3].decode("utf-8").lstrip("\ufeff")
        except UnicodeDecodeError:
            return ""
    if not text or not all(letter.isprintable() or letter in "\r\n\t" for letter in text):
        return ""
    if text.startswith("name:") or any(f"{word}{{" in text.replace(" ", "") for word in ("layer", "layers")):
        return "a prototxt, Caffe's description of a network, and no weights. Import the .caffemodel trained by it."
    return "a text, and no weights. Give a file of weights."


def named_zip(names: list[str]) -> str:
    """Return what a zip with these files is, if it is not PyTorch's, or ""."""
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return f"a TorchScript program (torch.jit.save), which is code and never run. {PYTORCH}"
    if any(
        name.endswith(("archive_format", "models/model.json", "serialized_exported_program.json")) for name in names
    ):
        return f"a program of torch.export, which is never run. {PYTORCH}"
    if names and all(name.endswith(".npy") and "/" not in name for name in names):
        return f"an archive of NumPy arrays (.npz). {PYTORCH}"
    for name in names:
        if name.endswith((".caffemodel", ".onnx", ".pth", ".pt", ".safetensors", ".h5", ".keras")):
            return f"a zip with {PurePath(name).name[:60]!r} inside. {UNPACK}"
    if sum(name.endswith("/data.pkl") and name.count("/") == 1 for name in names) != 1:
        return "a zip that PyTorch did not write, without a data.pkl. Unpack it, or save with torch.save."
    return ""


def named_message(types: set[tuple[int, int]], first: bytes) -> str:
    """Return what a message of Protocol Buffers with these fields is, if neither ONNX nor Caffe's, or "".

    first: the beginning of its first field 1, if that is a text or message.
    """
    if types <= BLOB and types & {(5, LONG), (8, LONG)}:
        return MEAN
    if (1, WHOLE) in types and (2, LONG) in types:
        kind = "a Core ML model" if max(types)[0] >= 200 else "a saved model of TensorFlow"
        return f"{kind}. {CONVERT}"
    if first.startswith(b"\n"):  # a message, and not the name of one of Caffe's networks
        return f"a graph of TensorFlow. {CONVERT}"
    return ""
