#!/usr/bin/env python3
"""Two real clients, pjsua2 and baresip, call through the server's own binary and hear each other's tones.

    tests/clients/run.py [--binary target/debug/ringway] [--media anchor|pass] [--keep FOLDER]

Everything runs on loopback in a network namespace of its own. Where a client cannot be had it says
SKIPPED, why, and ends well; any fault ends it with code 1. Bounded to a minute."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PJSUA2 = "pjsua2-python==2.15.1.post1"
INSTALL_S = 300
CALLS_S = 60
BARESIP_MODULES = pathlib.Path("/usr/lib/baresip/modules")


class Skipped(Exception):
    pass


def attempt(why, *command, seconds=INSTALL_S):
    """Runs what may not be possible here."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Skipped(f"{why}: {error}") from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
        raise Skipped(f"{why}: {last[0]}")


def python_with_pjsua2():
    """The interpreter of a virtual environment with pjsua2, made once."""
    folder = TARGET / "clients-venv"
    python = folder / "bin" / "python"
    usable = [str(python), "-c", "import pjsua2"]
    if python.exists() and subprocess.run(usable, capture_output=True, check=False).returncode == 0:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    # Debian's own venv needs python3-venv; --without-pip would not help.
    attempt("no virtual environment (python3-venv)", sys.executable, "-m", "venv", str(folder))
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    attempt(f"pip install {PJSUA2} failed", *pip, "--only-binary", ":all:", PJSUA2)
    attempt("pjsua2 cannot be loaded", *usable)
    return python


def namespace():
    """The command that runs another in a network namespace of its own."""
    for command in (["unshare", "-n"], ["unshare", "-r", "-n"]):
        if shutil.which("unshare") is None or shutil.which("ip") is None:
            raise Skipped("no unshare or ip: apt-get install util-linux iproute2")
        trial = [*command, "ip", "link", "set", "lo", "up"]
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return command
    raise Skipped("no network namespace may be made here (unshare -n)")


def binary(given):
    if given:
        return pathlib.Path(given).resolve()
    for profile in ("release", "debug"):
        path = TARGET / profile / "ringway"
        if path.exists():
            return path
    raise SystemExit(f"no ringway under {TARGET}: cargo build")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.environ.get("RINGWAY_BINARY"), help="the server's")
    parser.add_argument("--media", choices=["anchor", "pass"], default="anchor")
    parser.add_argument("--keep", help="leave logs and recordings in this folder")
    options = parser.parse_args()
    server = binary(options.binary)
    try:
        if shutil.which("baresip") is None or not BARESIP_MODULES.is_dir():
            raise Skipped("no baresip: apt-get install baresip-core")
        enter = namespace()
        python = python_with_pjsua2()
    except Skipped as reason:
        print(f"SKIPPED two real clients: {reason}")
        return 0
    folder = pathlib.Path(options.keep or tempfile.mkdtemp(prefix="ringway-clients-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    calls = [str(python), "-B", str(HERE / "calls.py"), str(server), options.media, str(folder)]
    # In a namespace of its own nothing of it outlives the group that is killed here.
    child = subprocess.Popen([*enter, *calls], start_new_session=True)
    try:
        code = child.wait(CALLS_S)
    except subprocess.TimeoutExpired:
        print(f"FAILED: the calls took more than {CALLS_S} s")
        code = 1
    finally:
        try:
            os.killpg(child.pid, 9)
        except ProcessLookupError:
            pass
    if options.keep or code != 0:
        print(f"logs and recordings: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
