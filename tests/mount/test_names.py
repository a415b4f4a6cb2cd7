"""Every key that can be a path is one, and the others do no harm."""

from __future__ import annotations

import functools
import os
import unicodedata
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import put_objects
from tests.mount.outcome import outcome_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.mount.conftest import Mounter
    from tests.mount.mounted import Mount

pytestmark = pytest.mark.mount

ODD_NAMES = [
    unicodedata.normalize("NFC", "Zürich-é"),
    unicodedata.normalize("NFD", "Zürich-é"),
    "日本語",
    "emoji-😀",
    "a b",
    " leading",
    "trailing ",
    " ",
    "a+b",
    "a&b",
    "a%b",
    "a%20b",
    "a%2Fb",
    "a=b",
    "a?b",
    "a#b",
    "a;b,c:d@e!f$g*h(i)j~k",
    "a'b",
    'a"b',
    "a<b>c",
    "a]]>b",
    "&amp;",
    "a\\b",
    "a\nb",
    "a\tb",
    "a\rb",
    "a\x01\x7fb",
    "\u2028\ufeff",
    "-rf",
    "...",
    ".hidden",
    "n" * 255,
    "ü" * 127,
]


def read_tree(mount: Mount) -> dict[str, bytes | None]:
    """Return everything in the mount: the content of files, None for directories."""
    found: dict[str, bytes | None] = {}
    for top, directories, names in os.walk(mount.path):
        for name in directories:
            found[os.path.relpath(os.path.join(top, name), mount.path)] = None
        for name in names:
            path = os.path.join(top, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, mount.path)] = file.read()
    return found


def test_odd_names_are_shown_and_can_be_read(s3: S3Client, bucket: str, mounted: Mounter) -> None:
    """As a file, and as a directory; listed, and looked up without a listing."""
    contents = {name: f"file {name}".encode() for name in ODD_NAMES}
    contents |= {f"dirs/{name}/x": f"in {name}".encode() for name in ODD_NAMES}
    put_objects(s3, bucket, contents)
    directories = {"dirs", *(f"dirs/{name}" for name in ODD_NAMES)}
    with mounted() as mount:
        assert {**contents, **dict.fromkeys(directories)} == read_tree(mount)
    with mounted() as mount:
        for key, content in contents.items():
            assert content == (mount.path / key).read_bytes()


def test_composed_and_decomposed_names_are_two_files(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """Bytes are names; nothing is normalised."""
    put_objects(s3, bucket, {"\u00e9": b"composed", "e\u0301": b"decomposed"})
    with mounted() as mount:
        assert (mount.path / "\u00e9").read_bytes() == b"composed"
        assert (mount.path / "e\u0301").read_bytes() == b"decomposed"
        assert sorted(os.listdir(mount.path)) == ["e\u0301", "\u00e9"]


def test_names_that_cannot_be_are_absent(s3: S3Client, bucket: str, mounted: Mounter) -> None:
    """Too long is ENAMETOOLONG, not UTF-8 is ENOENT; neither is an error of the store."""
    deep = "/".join(["d" * 200] * 4)
    put_objects(s3, bucket, {"a": b"", f"{deep}/x": b"deep"})
    with mounted() as mount:
        assert (mount.path / deep / "x").read_bytes() == b"deep"
        expected = {
            b"n" * 256: "ENAMETOOLONG",
            b"\xff\xfe": "ENOENT",
            b"caf\xe9": "ENOENT",
            b"\xed\xa0\x80": "ENOENT",  # a surrogate, which UTF-8 does not have
            b"absent": "ENOENT",
            b"a/b": "ENOTDIR",
        }
        root = os.fsencode(mount.path) + b"/"
        assert expected == {
            name: outcome_of(functools.partial(os.stat, root + name)) for name in expected
        }
        # 804 + 255 bytes: more than a key can have.
        too_long = mount.path / deep / ("n" * 255)
        assert outcome_of(too_long.stat) in {"ENOENT", "ENAMETOOLONG"}


def test_keys_that_cannot_be_shown_are_hidden_without_harm(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """Empty parts, `.` and `..`, parts that are too long; their neighbours are all there."""
    hidden = [
        "a//b",
        "//c",
        "/d",
        "e/./f",
        "e/../g",
        "..",
        ".",
        "./h",
        "n" * 256,
        f"e/{'m' * 300}/x",
    ]
    shown = {"a/c": b"1", "e/z": b"2", "f": b"3", "n": b"4"}
    put_objects(s3, bucket, {**dict.fromkeys(hidden, b"hidden"), **shown})
    with mounted() as mount:
        assert {**shown, "a": None, "e": None} == read_tree(mount)
        assert "hidden" in mount.log_path.read_text().lower()


def test_a_directory_shadows_a_file_of_the_same_name(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """Whatever lies between the two keys in the store's order, listed or looked up."""
    put_objects(s3, bucket, {"a": b"file", "a!": b"1", "a-b": b"2", "a/x": b"3", "a0": b"4"})
    expected = {"a": None, "a!": b"1", "a-b": b"2", "a/x": b"3", "a0": b"4"}
    with mounted() as mount:
        assert expected == read_tree(mount)
    with mounted() as mount:
        assert (mount.path / "a").is_dir()
        assert (mount.path / "a/x").read_bytes() == b"3"


def test_markers_make_directories(s3: S3Client, bucket: str, mounted: Mounter) -> None:
    """An object `name/` is an empty directory, and no file in it."""
    put_objects(
        s3, bucket, {"empty/": b"", "full/": b"", "full/x": b"1", "p/q/r/": b"", "odd/": b"!"}
    )
    with mounted() as mount:
        directories = ["empty", "full", "p", "p/q", "p/q/r", "odd"]
        assert {**dict.fromkeys(directories), "full/x": b"1"} == read_tree(mount)
        assert list((mount.path / "empty").iterdir()) == []


@pytest.mark.parametrize("prefix", ["", "nothing/here"])
def test_an_empty_bucket_is_an_empty_directory(
    s3: S3Client, bucket: str, mounted: Mounter, prefix: str
) -> None:
    """Also below a prefix that does not exist, which appears with its first key."""
    with mounted("--metadata-ttl", "0", prefix=prefix) as mount:
        assert list(mount.path.iterdir()) == []
        with pytest.raises(FileNotFoundError):
            (mount.path / "x").stat()
        s3.put_object(Bucket=bucket, Key=f"{prefix}/x".lstrip("/"), Body=b"1")
        assert (mount.path / "x").read_bytes() == b"1"
        assert [path.name for path in mount.path.iterdir()] == ["x"]


def test_a_prefix_shows_what_is_below_it_and_nothing_else(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """`s3://bucket/a/b` is the folder `a/b/`, not every key that begins so."""
    keys = ["a/b", "a/b/", "a/b/x", "a/b/c/y", "a/bc", "a/bc/z", "a/x", "x"]
    put_objects(s3, bucket, {key: key.encode() for key in keys})
    for prefix in ("a/b", "a/b/"):
        with mounted(prefix=prefix) as mount:
            assert read_tree(mount) == {"x": b"a/b/x", "c": None, "c/y": b"a/b/c/y"}
            with pytest.raises(FileNotFoundError):
                (mount.path / "z").stat()


def test_the_control_directory_is_hidden(s3: S3Client, bucket: str, mounted: Mounter) -> None:
    """It is there for who knows its name, and in no listing."""
    put_objects(s3, bucket, {"a": b"1", ".mountfs/stats": b"the bucket's", ".mountfs/x": b""})
    with mounted() as mount:
        assert os.listdir(mount.path) == ["a"]
        assert {"stats", "metrics", "config"} <= set(os.listdir(mount.path / ".mountfs"))
        assert b"mountfs_" in (mount.path / ".mountfs/metrics").read_bytes()
        config = (mount.path / ".mountfs/config").read_text()
        assert bucket in config
        assert "secret" not in config.lower()
        with pytest.raises(FileNotFoundError):
            (mount.path / ".mountfs/absent").stat()


def test_a_large_directory_is_complete_and_without_doubles(
    s3: S3Client, bucket: str, mounted: Mounter
) -> None:
    """More entries than one LIST brings: files and directories in each other's way.

    RGW does not encode a continuation token, which here ends with what XML cannot hold.
    """
    ending = "\x01"
    keys = [f"d/{n:05d}{ending}{'/x' * (n % 3 == 0)}" for n in range(1010)]
    put_objects(s3, bucket, dict.fromkeys(keys, b""))
    with mounted("--deadline", "10s") as mount:
        names = os.listdir(mount.path / "d")
        assert [f"{n:05d}{ending}" for n in range(1010)] == sorted(names)
        assert (mount.path / f"d/00003{ending}").is_dir()
        assert (mount.path / f"d/00004{ending}").is_file()
