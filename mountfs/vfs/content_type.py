"""Which content type an object gets: guessed from its name, on every host alike.

The tables of the operating system differ from host to host, so only what Python itself brings is
used, and a table for the files of machine learning on top.
"""

from __future__ import annotations

import mimetypes

from mountfs.keys import decode_name

DEFAULT = "application/octet-stream"
"""What is said of files that nothing is known of."""

DIRECTORY = "application/x-directory"
"""Of the marker object of a directory; s3fs and others recognise directories by it."""

GENERIC = frozenset(("", DEFAULT, "binary/octet-stream", DIRECTORY))
"""What a store or a client says when nobody chose a type; not worth keeping."""

_BY_SUFFIX = {
    # These formats have no registered type; the default is what all clients understand.
    ".bin": DEFAULT,
    ".ckpt": DEFAULT,
    ".gguf": DEFAULT,
    ".npy": DEFAULT,
    ".onnx": DEFAULT,
    ".pickle": DEFAULT,
    ".pkl": DEFAULT,
    ".pt": DEFAULT,
    ".pth": DEFAULT,
    ".recordio": DEFAULT,
    ".safetensors": DEFAULT,
    ".tfrecord": DEFAULT,
    ".tfrecords": DEFAULT,
    # Those have one, or one that everybody uses.
    ".7z": "application/x-7z-compressed",
    ".arrow": "application/vnd.apache.arrow.file",
    ".avif": "image/avif",
    ".avro": "application/avro",
    ".bz2": "application/x-bzip2",
    ".feather": "application/vnd.apache.arrow.file",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".h5": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
    ".ipynb": "application/x-ipynb+json",
    ".jsonl": "application/jsonl",
    ".lz4": "application/x-lz4",
    ".md": "text/markdown",
    ".mkv": "video/x-matroska",
    ".ndjson": "application/x-ndjson",
    ".npz": "application/zip",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".parquet": "application/vnd.apache.parquet",
    ".proto": "text/plain",
    ".rst": "text/plain",
    ".tgz": "application/gzip",
    ".toml": "application/toml",
    ".txz": "application/x-xz",
    ".wasm": "application/wasm",
    ".wav": "audio/wav",
    ".webp": "image/webp",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
    ".zst": "application/zstd",
}

_STANDARD = mimetypes.MimeTypes()
"""Python's own table; the files of the operating system are not read into this one."""


def guess_content_type(name: bytes) -> str:
    """Return the content type for a file of this *name*; never empty.

    A compressed file is of the type of its compression: ``Content-Encoding`` would make clients
    unpack it on their way.
    """
    text = decode_name(name)
    stem, dot, suffix = text.rpartition(".")
    if not dot or not stem:
        return DEFAULT
    suffix = f".{suffix.lower()}"
    known = _BY_SUFFIX.get(suffix)
    if known is not None:
        return known
    if suffix in _STANDARD.encodings_map or suffix in _STANDARD.suffix_map:
        return DEFAULT
    return _STANDARD.types_map[True].get(suffix, DEFAULT)
