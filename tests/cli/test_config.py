"""One schema, four places: what wins, and what an error says."""

from __future__ import annotations

import math
import tomllib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.command.config import (
    Source,
    compose,
    default_cache_dir,
    default_of,
    effective_toml,
    find_file,
    parse_source,
    read_environment,
    read_file,
    value_of,
)
from mountfs.command.mount_options import parse_mount_options
from mountfs.command.options import OPTIONS, parse_setting
from mountfs.errors import UsageError
from mountfs.ttl import Ttl

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.command.config import MountConfig
    from mountfs.command.options import Setting

SOURCE = Source(bucket="b", prefix="p/")


def composed(*layers: list[Setting]) -> MountConfig:
    """Return the configuration that *layers* make."""
    return compose(SOURCE, "/mnt/x", layers)


def test_every_option_has_a_field_with_its_type() -> None:
    """The table and the components' configs agree, defaults included."""
    config = composed([])
    for option in OPTIONS:
        value = value_of(config, option.field)
        if value is not None:
            assert value == option.kind.parse(option.kind.format(value)), option.name
        if option.is_flag:
            assert isinstance(default_of(option.field), bool)


def test_names_and_variables_are_unique() -> None:
    """No option hides another one, nor the ``no-`` form of another one."""
    names = [option.name for option in OPTIONS]
    names += [f"no-{option.name}" for option in OPTIONS if option.is_flag]
    assert len(names) == len(set(names))


TTLS = st.integers(min_value=0, max_value=10**6)


@given(
    in_file=st.none() | TTLS,
    in_environment=st.none() | TTLS,
    on_command_line=st.none() | TTLS,
)
def test_the_command_line_wins_over_the_environment_over_the_file(
    in_file: int | None, in_environment: int | None, on_command_line: int | None
) -> None:
    """The first place that says something decides; else the default does."""
    places = (in_file, in_environment, on_command_line)
    layers = [
        [] if ttl is None else [parse_setting("metadata-ttl", str(ttl), f"place {number}")]
        for number, ttl in enumerate(places)
    ]
    said = [ttl for ttl in reversed(places) if ttl is not None]
    expected = Ttl(float(said[0])) if said else Ttl(60.0)
    assert expected == composed(*layers).metadata.ttl


def test_within_one_place_the_last_one_wins() -> None:
    """A script may append to an alias."""
    layer = [parse_setting("part-size", text, "--part-size") for text in ("1M", "2M")]
    assert composed(layer).store.part_size_bytes == 2 << 20


@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "metadata-ttl": st.sampled_from(["0", "inf", "90s"]),
            "region": st.sampled_from(["eu-west-1", "us-east-1"]),
            "read-only": st.sampled_from(["true", "false"]),
            "sign-request": st.sampled_from(["true", "false"]),
            "file-mode": st.sampled_from(["0600", "0644"]),
            "memory-limit": st.sampled_from(["64M", "1G"]),
            "conflict": st.sampled_from(["overwrite", "fail"]),
            "warn-after": st.sampled_from(["90s", "2h"]),
            "cache-dir": st.sampled_from(["/var/tmp/a", "/fast/b"]),
            "attributes": st.sampled_from(["default", "posix"]),
        },
    )
)
def test_all_places_mean_the_same(values: dict[str, str]) -> None:
    """A value means the same in a variable, in ``-o`` and as a setting of its own."""
    variables = {f"MOUNTFS_{name.upper().replace('-', '_')}": text for name, text in values.items()}
    words = ",".join(f"{name.replace('-', '_')}={text}" for name, text in values.items())
    plain = composed([parse_setting(name, text, name) for name, text in values.items()])
    for layer in (read_environment(variables), list(parse_mount_options(words).settings)):
        config = composed(layer)
        assert [value_of(plain, option.field) for option in OPTIONS] == [
            value_of(config, option.field) for option in OPTIONS
        ]


def test_the_file_takes_the_types_of_toml(tmp_path: Path) -> None:
    """Numbers and booleans need no quotes; ``no-`` names negate."""
    path = tmp_path / "mountfs.toml"
    path.write_text('metadata-ttl = 5\nread_only = true\nno-sign-request = true\ndeadline = "5m"\n')
    config = composed(read_file(path))
    assert Ttl(5.0) == config.metadata.ttl
    assert (config.read_only, config.store.sign_requests) == (True, False)
    assert config.store.deadline_seconds == 300.0


def test_the_effective_configuration_is_a_configuration_file(tmp_path: Path) -> None:
    """``.mountfs/config`` can be saved and used: it makes the same configuration."""
    settings = [
        parse_setting("metadata-ttl", "inf", "--metadata-ttl"),
        parse_setting("log-file", '/tmp/a "quoted"\\ name', "MOUNTFS_LOG_FILE"),
        parse_setting("dir-mode", "700", "x.toml: dir-mode"),
        parse_setting("version-at", "2h", "--version-at"),
        parse_setting("acl", "bucket-owner-full-control", "--acl"),
    ]
    config = composed(settings)
    text = effective_toml(config)
    assert 'metadata-ttl = "inf"  # --metadata-ttl' in text
    assert 'file-mode = "0644"  # default' in text
    assert 'read-only = "true"  # implied by --version-at' in text
    tomllib.loads(text)
    path = tmp_path / "mountfs.toml"
    path.write_text(text)
    again = composed(read_file(path))
    assert [value_of(config, option.field) for option in OPTIONS] == [
        value_of(again, option.field) for option in OPTIONS
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metadata-tll = 5", r"metadata-tll \(value '5'\); did you mean metadata-ttl\?"),
        ("metadata-ttl = true", r"metadata-ttl: 'true' is not a duration such as 0, 60s"),
        ("file-mode = 644", r'file-mode: write the mode as a text, e.g. "0644"'),
        ("file-mode = 0o644", r"file-mode: "),
        ("region = ", r"is not TOML"),
        ("[store]\nregion = 'x'", r"unknown option .*store"),
    ],
)
def test_an_error_in_the_file_names_file_key_and_value(
    tmp_path: Path, text: str, message: str
) -> None:
    """Whoever reads it finds the line."""
    path = tmp_path / "mountfs.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_file(path)
    assert str(path) in str(caught.value)


def test_an_unknown_variable_is_an_error_with_the_nearest_name() -> None:
    """A typing error does not go unnoticed because it is in a variable."""
    with pytest.raises(
        UsageError, match=r"MOUNTFS_REGOIN \(value 'x'\); did you mean MOUNTFS_REGION\?"
    ):
        read_environment({"MOUNTFS_REGOIN": "x", "PATH": "/bin"})


def test_a_bad_variable_names_variable_value_and_what_is_allowed() -> None:
    """All three, so that no manual is needed."""
    with pytest.raises(
        UsageError, match=r"MOUNTFS_LOG_LEVEL: 'loud' is not debug, info, warning, error"
    ):
        read_environment({"MOUNTFS_LOG_LEVEL": "loud"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"part-size": "1K"}, r"--part-size: 1024 bytes are too few; allowed is 64K and more"),
        ({"memory-limit": "8M"}, r"--memory-limit: 8388608 bytes .* here 32768K"),
        ({"profile": "p", "no-sign-request": "true"}, r"--no-sign-request and --profile exclude"),
        ({"log-file": "/mnt/x/log"}, r"--log-file: '/mnt/x/log' lies inside of the mountpoint"),
        ({"cache-dir": "/mnt/x/c"}, r"--cache-dir: '/mnt/x/c' lies inside of .* a local disk"),
        ({"sse-kms-key-id": "k"}, r"--sse-kms-key-id: 'k' needs --sse aws:kms .* is not given"),
        ({"sse-kms-key-id": "k", "sse": "AES256"}, r"needs --sse aws:kms .*--sse is 'AES256'"),
        ({"version-at": "2h", "write-back": "true"}, r"--version-at and --write-back exclude"),
        ({"read-only": "true", "write-back": "true"}, r"--read-only and --write-back exclude"),
        ({"version-at": "2h", "read-only": "false"}, r"--version-at and --read-only exclude"),
    ],
)
def test_values_that_do_not_go_together_are_refused(settings: dict[str, str], message: str) -> None:
    """Each is allowed by itself."""
    with pytest.raises(UsageError, match=message):
        composed([parse_setting(name, text, f"--{name}") for name, text in settings.items()])


def test_the_past_is_read_only() -> None:
    """Whoever looks at it need not say so."""
    config = composed([parse_setting("version-at", "2026-01-31", "--version-at")])
    assert (config.read_only, config.write.write_back) == (True, False)
    assert config.version_at_ns == 1_769_817_600 * 10**9


def test_a_read_only_mount_needs_no_staging_directory() -> None:
    """Wherever it would be."""
    layer = {"cache-dir": "/mnt/x/c", "read-only": "true"}
    assert composed([parse_setting(name, text, name) for name, text in layer.items()]).read_only


def test_a_symbolic_link_into_the_mount_is_no_way_around(tmp_path: Path) -> None:
    """The staging directory would wait for itself."""
    (tmp_path / "mnt").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mnt")
    layer = [parse_setting("cache-dir", str(tmp_path / "link" / "c"), "--cache-dir")]
    with pytest.raises(UsageError, match="lies inside of the mountpoint"):
        compose(SOURCE, str(tmp_path / "mnt"), [layer])


def test_staged_data_lies_where_programs_keep_what_they_need() -> None:
    """Not among caches, which anybody may clear."""
    environment = {"XDG_STATE_HOME": "/home/u/state"}
    assert default_cache_dir(environment, uid=0) == "/var/lib/mountfs"
    assert default_cache_dir(environment, uid=1000) == "/home/u/state/mountfs/staging"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("s3://bucket", Source(bucket="bucket")),
        ("s3://bucket/", Source(bucket="bucket")),
        ("s3://bucket/a/b", Source(bucket="bucket", prefix="a/b/")),
        ("s3://bucket/a b/", Source(bucket="bucket", prefix="a b/")),
        ("s3://base--usw2-az1--x-s3/p", Source(bucket="base--usw2-az1--x-s3", prefix="p/")),
    ],
)
def test_a_source_is_a_bucket_and_a_folder(text: str, source: Source) -> None:
    """With or without the last slash."""
    assert source == parse_source(text)


@pytest.mark.parametrize(
    "text",
    ["bucket", "http://bucket/x", "s3://", "s3:///x", "s3://b/a//b", "s3://b/../x", "s3:/b/x"],
)
def test_a_wrong_source_is_refused(text: str) -> None:
    """The message repeats what was given."""
    with pytest.raises(UsageError, match=r"source '"):
        parse_source(text)


def test_the_file_is_the_named_one_else_the_users_else_the_systems(tmp_path: Path) -> None:
    """Only one file is read."""
    system_file = tmp_path / "etc.toml"
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path / "home")}
    assert find_file(None, environment, system_file) is None
    system_file.touch()
    assert system_file == find_file(None, environment, system_file)
    user_file = tmp_path / "xdg" / "mountfs.toml"
    user_file.parent.mkdir()
    user_file.touch()
    assert user_file == find_file(None, environment, system_file)
    named = environment | {"MOUNTFS_CONFIG": str(tmp_path / "named.toml")}
    assert tmp_path / "named.toml" == find_file(None, named, system_file)
    assert tmp_path / "given.toml" == find_file(str(tmp_path / "given.toml"), named, system_file)


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """It is not replaced by defaults in silence."""
    with pytest.raises(UsageError, match="cannot read the configuration file"):
        read_file(tmp_path / "missing.toml")


def test_the_default_ttl_is_finite() -> None:
    """By default, changes of others are seen."""
    assert composed([]).metadata.ttl.seconds < math.inf
