# Set-up shared by the scripts beside this file, which source it: system packages, a virtual
# environment, the Python packages. Every step looks first and does nothing when nothing is missing.
# shellcheck shell=bash

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
PYTHON_MINOR_MIN=11
EXIT_MISSING=2 # something that we may not or cannot install ourselves

say() {
    printf '==> %s\n' "$*" >&2
}

give_up() {
    printf '\nerror: %s\n' "$*" >&2
    exit "$EXIT_MISSING"
}

# --- system packages ---------------------------------------------------------------------------

missing_packages() { # print those of the arguments that are not installed
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            printf '%s\n' "$package"
    done
}

install_packages() { # install those of the arguments that are missing, as root or by sudo
    command -v dpkg-query >/dev/null || {
        say "not Debian or Ubuntu: hoping that these, or their likes, are installed: $*"
        return
    }
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0

    local by_hand="apt-get install --no-install-recommends ${missing[*]}"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            give_up "these system packages are missing, and there is no sudo. As root: $by_hand"
        # Without a terminal nobody can type the password.
        [ -t 0 ] || sudo -n true 2>/dev/null ||
            give_up "these system packages are missing, and sudo wants a password. As root: $by_hand"
        as_root=(sudo)
    fi
    say "installing system packages: ${missing[*]}"
    run_apt_get "${as_root[@]}" -- "${missing[@]}" || {
        say "that failed; once more with fresh package lists"
        apt_get "${as_root[@]}" -- update -q
        run_apt_get "${as_root[@]}" -- "${missing[@]}" ||
            give_up "apt-get failed, see above. By hand, as root: $by_hand"
    }
}

apt_get() { # apt_get [sudo] -- ARGUMENTS
    local as_root=()
    while [ "$1" != -- ]; do
        as_root+=("$1")
        shift
    done
    shift
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@" </dev/null >&2
}

run_apt_get() { # run_apt_get [sudo] -- PACKAGES: install them, without starting their services
    local as_root=()
    while [ "$1" != -- ]; do
        as_root+=("$1")
        shift
    done
    shift
    compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || apt_get "${as_root[@]}" -- update -q
    # The packages' services are of no use here, and port 80 may be somebody's. The scripts of apt
    # run as root also under sudo, and leave a policy alone that is not ours.
    local policy=/usr/sbin/policy-rc.d mark='mountfs set-up'
    apt_get "${as_root[@]}" -- install -q -y --no-install-recommends \
        -o "DPkg::Pre-Invoke::=test -e $policy || { printf '#!/bin/sh\n# $mark\nexit 101\n' >$policy; chmod 755 $policy; }" \
        -o "DPkg::Post-Invoke::=! grep -qs '$mark' $policy || rm $policy" \
        "$@"
}

# --- Python ------------------------------------------------------------------------------------

find_uv() { # print the path of uv; fail when there is none
    command -v uv || { [ -x "$HOME/.local/bin/uv" ] && printf '%s\n' "$HOME/.local/bin/uv"; }
}

is_new_enough() { # is_new_enough PYTHON
    "$1" -c "import sys; sys.exit(sys.version_info < (3, $PYTHON_MINOR_MIN))" 2>/dev/null
}

find_python() { # print an interpreter that is new enough; fail when there is none
    local candidate
    for candidate in python3 python3.{12,13,14,11}; do
        if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_venv() { # create .venv unless there is a good one
    if [ -x "$VENV/bin/python" ] && is_new_enough "$VENV/bin/python"; then
        return
    fi
    if [ -e "$VENV" ]; then
        say "$VENV is broken or too old: making it anew"
        rm -rf "$VENV"
    fi
    local python uv
    python="$(find_python)" || python=
    if uv="$(find_uv)"; then
        say "making $VENV with uv"
        "$uv" venv --quiet --python "${python:->=3.$PYTHON_MINOR_MIN}" "$VENV" ||
            give_up "uv found no Python 3.$PYTHON_MINOR_MIN or newer, and could not fetch one"
        return
    fi
    if [ -z "$python" ]; then
        install_packages python3 python3-venv
        python="$(find_python)" || give_up \
            "Python 3.$PYTHON_MINOR_MIN or newer is needed; found: $(python3 --version 2>&1 || echo none)." \
            "Install one (or uv, which fetches one) so that it is in PATH, e.g. as python3.12"
    fi
    # Debian and Ubuntu keep ensurepip in a package of its own.
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        install_packages "$("$python" -c \
            'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    say "making $VENV with $python"
    "$python" -m venv "$VENV"
}

install_python_packages() { # install_python_packages EXTRA: this project, editable, with an extra
    make_venv
    local stamp="$VENV/.mountfs-$1" wanted
    wanted="$(sha256sum "$ROOT/pyproject.toml") $ROOT"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    say "installing mountfs[$1] and what it needs into $VENV (torch makes it large)"
    local uv started=$SECONDS
    if uv="$(find_uv)"; then
        "$uv" pip install --quiet --python "$VENV/bin/python" --editable "$ROOT[$1]"
    else
        # An environment that uv made has no pip.
        "$VENV/bin/python" -m pip --version >/dev/null 2>&1 ||
            "$VENV/bin/python" -m ensurepip >/dev/null
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
            --editable "$ROOT[$1]"
    fi
    printf '%s\n' "$wanted" >"$stamp"
    say "installed in $((SECONDS - started)) s"
}

# --- FUSE --------------------------------------------------------------------------------------

check_fuse() { # end with a hint when this machine cannot mount
    [ -r /dev/fuse ] && [ -w /dev/fuse ] || give_up \
        "/dev/fuse is missing or not accessible. In a container: --device /dev/fuse --cap-add SYS_ADMIN"
}
