"""contree-cli: its commands as processes, with a home and a session of their own for each case."""

import asyncio
import hashlib
import io
import json
import os
import re
import signal
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

from cases import PROJECT, REGISTRY, TOKEN, URL, case, equal, holds, imported, run_all

HOME = Path(tempfile.mkdtemp(prefix="interop-cli-"))
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("CONTREE_", "NEBIUS_"))},
    "CONTREE_HOME": str(HOME),
    "CONTREE_NO_UPDATE_CHECK": "1",
    "PYTHONWARNINGS": "ignore",
}


# What the command line reads when it is imported: this process imports it once, and forks for each command.
os.environ.clear()
os.environ.update(ENVIRONMENT)

import contree_cli.__main__ as command_line  # noqa: E402


class Command:
    """One command in a process of its own, with pipes, in a process group as a shell would give it."""

    def __init__(self, session, folder, words):
        (read_in, write_in), (read_out, write_out), (read_err, write_err) = os.pipe(), os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            ended = 70
            try:
                os.setsid()
                signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio has set its own
                os.environ["CONTREE_SESSION"] = session
                os.chdir(folder)
                for number, pipe in enumerate((read_in, write_out, write_err)):
                    os.dup2(pipe, number)
                os.closerange(3, 256)
                sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
                sys.argv = ["contree", *words]
                ended = run_main()
            finally:
                os._exit(ended)
        for pipe in (read_in, write_out, write_err):
            os.close(pipe)
        self.stdin, self.stdout, self.stderr = open(write_in, "wb"), open(read_out, "rb", 0), open(read_err, "rb", 0)
        self.returncode = None

    def send_signal(self, number):
        os.kill(self.pid, number)

    def communicate(self, given=b"", timeout=40):
        """Feeds it, and waits for its end; what is not over in time is killed, and shows what it wrote."""
        said = {}
        killer = threading.Timer(timeout, lambda: os.killpg(self.pid, signal.SIGKILL))
        readers = [
            threading.Thread(target=lambda: said.update(out=self.stdout.read())),
            threading.Thread(target=lambda: said.update(err=self.stderr.read())),
        ]
        killer.start()
        for reader in readers:
            reader.start()
        try:
            self.stdin.write(given)
            self.stdin.close()
        except BrokenPipeError:
            pass  # it does not read
        for reader in readers:
            reader.join()
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        killer.cancel()
        killer.join()
        self.stdout.close()
        self.stderr.close()
        return said["out"], said["err"]


def run_main():
    try:
        command_line.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    sys.stderr.flush()
    return code


class Cli:
    """The command line in one session."""

    def __init__(self, session):
        self.session = session
        self.folder = Path(tempfile.mkdtemp(dir=HOME))

    def begin(self, *words):
        return Command(self.session, self.folder, words)

    def result(self, *words, given=b""):
        process = self.begin(*words)
        out, err = process.communicate(given)
        return process.returncode, out, err.decode()

    def __call__(self, *words, given=b"", code=0):
        ended, out, err = self.result(*words, given=given)
        assert ended == code, f"{' '.join(words)}: exit code {ended}\n{out.decode(errors='replace')}\n{err}"
        return out

    def text(self, *words, **options):
        return self(*words, **options).decode()

    def rows(self, *words):
        """What the command lists, from its JSON lines."""
        return [json.loads(line) for line in self.text("-o", "json", *words).splitlines() if line.strip()]

    def using(self, reference="tag:busybox:latest"):
        self("use", reference)
        return self


def ready(process, line):
    """Waits for the line in what the process writes."""
    seen = b""
    while line not in seen:
        part = os.read(process.stdout.fileno(), 4096)
        assert part, f"{seen!r}, then {process.stderr.read().decode()}"
        seen += part
    return seen


@case("auth checks a token and keeps it in a profile")
def _(cli):
    refused, _, _ = cli.result("auth", "--token", "wrong", "--url", URL, "--project", PROJECT, "-p", "bad", "-f")
    assert refused != 0
    cli("auth", "--token", TOKEN, "--url", URL, "--project", PROJECT, "-p", "second", "-f")
    holds(cli.text("auth", "profiles"), "second")
    cli("-p", "second", "images")


@case("images import completes a bare name, brings two at once, and lists them")
def _(cli):
    cli("images", "import", "busybox:{latest,latest}", f"docker://{REGISTRY}/library/busybox:latest?tag=by/port:1")
    holds({row["tag"] for row in cli.rows("images", "--prefix", "by")}, "by/port:1")
    holds(cli.text("images", "list", "--all", "--since=-1h"), "by/port:1")
    image = cli.rows("images", "--prefix", "by/port")[0]["uuid"]
    equal([row["uuid"] for row in cli.rows("images", "--uuid", image)], [image])
    equal(cli.rows("images", "--until=-1h"), [])


@case("images import of what is not there fails")
def _(cli):
    code, _, error = cli.result("images", "import", "library/not-there:1")
    assert code != 0 and error


@case("use takes a tag or an id, and shows the session")
def _(cli):
    holds(cli.text("use", "tag:busybox:latest"), "CONTREE_SESSION")
    image = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", cli.text("use"))[0]
    cli("use", image)
    holds(cli.text("use"), image)
    assert cli.result("use", "tag:not:there")[0] != 0


@case("run writes output and errors where they belong, and exits with the command's code")
def _(cli):
    code, out, error = cli.using().result("run", "-s", "--", "echo out; echo err >&2; exit 3")
    equal((code, out), (3, b"out\n"))
    holds(error, "err")


@case("run without a shell gives each argument as it is")
def _(cli):
    equal(cli.using().text("run", "-D", "--", "echo", "a b", "$HOME"), "a b $HOME\n")
    equal(cli.text("run", "--use", "tag:busybox:latest", "-D", "--", "echo", "inline"), "inline\n")


@case("run takes folder, environment, host name, time limit and size of the output")
def _(cli):
    options = ("-C", "/made/here", "-e", "A=b", "-H", "box", "-t", "30", "-D", "-s")
    equal(cli.using().text("run", *options, "--", "pwd; echo $A; hostname"), "/made/here\nb\nbox\n")
    equal(cli.text("run", "-D", "-T", "10", "-s", "--", "yes | head -c 1000")[:10], "y\n" * 5)


@case("run sends what is piped into it, short and long, to the command")
def _(cli):
    cli.using()
    equal(cli("run", "-D", "--", "cat", given=b"short \xff\x00"), b"short \xff\x00")
    long = os.urandom(1_500_000)
    equal(cli.text("run", "-D", "--", "sha256sum", given=long)[:64], hashlib.sha256(long).hexdigest())


@case("run sends input as it comes, while the command runs")
def _(cli):
    process = cli.using().begin("run", "-D", "-s", "--", "echo ready; while read line; do echo got $line; done")
    ready(process, b"ready\n")
    process.stdin.write(b"one\n")
    process.stdin.flush()
    ready(process, b"got one\n")
    out, _ = process.communicate(b"two\n", timeout=20)
    equal((out, process.returncode), (b"got two\n", 0))


@case("Ctrl-C interrupts the command, which may end as it likes")
def _(cli):
    script = "trap 'echo asked; exit 5' INT; echo ready; while true; do sleep 0.1; done"
    process = cli.using().begin("run", "-D", "-s", "--", script)
    ready(process, b"ready\n")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    equal((out, process.returncode), (b"asked\n", 5))


@case("Ctrl-C twice cancels a command that does not listen")
def _(cli):
    process = cli.using().begin("run", "-D", "-s", "--", "trap '' INT; echo ready; while true; do sleep 0.1; done")
    ready(process, b"ready\n")
    process.send_signal(signal.SIGINT)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode != 0
    holds({row["status"] for row in cli.rows("ps", "-a", "-M", "3")}, "CANCELLED")


@case("a run that takes too long ends, with an error")
def _(cli):
    assert cli.using().result("run", "-D", "-t", "1", "--", "sleep", "60")[0] != 0


@case("a script runs by its interpreter line")
def _(cli):
    script = cli.using().folder / "script"
    script.write_text("#!/usr/bin/env -S contree run -I\necho of a script\n")
    holds(cli.text("run", "-I", str(script)), "of a script\n")


@case("runs go on from each other in a session; branches and steps back are local")
def _(cli):
    cli.using()("run", "-s", "--", "echo one > /one")
    cli("session", "branch", "side")
    cli("run", "-s", "--", "echo two > /two")
    equal(cli.text("run", "-D", "-s", "--", "cat /one /two"), "one\ntwo\n")
    cli("session", "checkout", "side")
    assert cli.result("cat", "/two")[0] != 0
    cli("session", "checkout", "main")
    equal(cli.text("cat", "/two"), "two\n")
    holds(cli.text("session", "show"), "two")
    cli("session", "rollback", "--", "-2")
    assert cli.result("cat", "/one")[0] != 0
    holds(cli.text("session"), "main")
    holds(cli.text("session", "list"), cli.session)


@case("environment and folder of a session reach its runs, and a kept one the image")
def _(cli):
    cli.using()("env", "NAME=value", "OTHER=x")
    cli("env", "-U", "OTHER")
    equal(cli.rows("env"), [{"key": "NAME", "value": "value"}])
    cli("cd", "/etc")
    equal(cli.text("cd").strip(), "/etc")
    equal(cli.text("run", "-D", "-s", "--", "echo $NAME-$OTHER; pwd"), "value-\n/etc\n")
    assert cli.result("cd", "/not/there")[0] != 0
    cli("run", "--preserve-env", "-e", "KEPT=yes", "-s", "--", "true")
    equal(cli.text("run", "-D", "-s", "--", "echo $KEPT"), "yes\n")


@case("tag names the session's image or another, and takes the name away")
def _(cli):
    cli.using()("run", "-s", "--", "echo t > /tagged")
    cli("tag", "cli/tagged:1")
    cli("tag", "tag:cli/tagged:1", "cli/tagged:2")
    equal(len(cli.rows("images", "--prefix", "cli/tagged", "--all")) > 0, True)
    cli("use", "tag:cli/tagged:2")
    equal(cli.text("cat", "/tagged"), "t\n")
    cli("tag", "-U", "tag:cli/tagged:1", "cli/tagged:1")
    assert cli.result("use", "tag:cli/tagged:1")[0] != 0


@case("ls lists a folder as text and as data")
def _(cli):
    cli.using()("run", "-s", "--", "mkdir /l; echo 123 > /l/file; ln -s file /l/link")
    holds(cli.text("ls", "/l"), "file")
    holds(cli.text("ls", "/l"), "link -> file")
    rows = {row["path"]: row for row in cli.rows("ls", "/l")}
    equal((sorted(rows), rows["file"]["size"]), (["file", "link"], 4))
    assert cli.result("ls", "/not/there")[0] != 0


@case("cat and cp bring a file here, byte by byte")
def _(cli):
    data = os.urandom(300_000)
    cli.using()("run", "-s", "--", "cat > /data", given=data)
    equal(cli("cat", "/data"), data)
    cli("cp", "/data", str(cli.folder / "here"))
    equal((cli.folder / "here").read_bytes(), data)
    assert cli.result("cat", "/not/there")[0] != 0


@case("export writes an archive, compressed and plain, of all or of a part")
def _(cli):
    cli.using()("run", "-s", "--", "mkdir -p /e/f; echo g > /e/f/g")
    cli("export", "/e", "-F", str(cli.folder / "e.tar.gz"))
    with tarfile.open(cli.folder / "e.tar.gz", "r:gz") as tar:
        equal(tar.extractfile("e/f/g").read(), b"g\n")
    cli("export", "/e", "-F", str(cli.folder / "e.tar"))
    assert tarfile.open(cli.folder / "e.tar", "r:").getnames()
    with tarfile.open(fileobj=io.BytesIO(cli("export"))) as tar:
        assert any(name.rstrip("/").endswith("e/f/g") for name in tar.getnames()), tar.getnames()[:10]


@case("grep finds lines in the session's image")
def _(cli):
    cli.using()("run", "-s", "--", "mkdir /g; printf 'alpha\\nBeta\\ngamma\\n' > /g/a.txt; echo beta > /g/b.md")
    holds(cli.text("grep", "Beta", "/g"), "a.txt")
    found = cli.rows("grep", "beta", "/g", "--glob", "*.md")
    equal([row["line_number"] for row in found], [1])
    cli.result("grep", "nowhere-to-be-found", "/g")


@case("file puts a local file into the image, and lists what was uploaded")
def _(cli):
    local = cli.using().folder / "local.txt"
    local.write_text("put here\n")
    cli("file", "cp", str(local), "/put/here.txt")
    equal(cli.text("run", "-D", "--", "cat", "/put/here.txt"), "put here\n")
    assert any(row["sha256"] for row in cli.rows("file", "ls"))


@case("run takes files and folders along, with owner and mode")
def _(cli):
    folder = cli.using().folder / "src"
    folder.mkdir()
    (folder / "a.sh").write_text("echo attached\n")
    (folder / "b.txt").write_text("b")
    out = cli.text(
        "run", "-D", "-s", "-F", f"{folder}:/src", "-F", f"{folder / 'a.sh'}:/bin/a:u0:g0:m0755", "--",
        "sh /src/a.sh; ls /src; stat -c %a /bin/a",
    )  # fmt: skip
    equal(out, "attached\na.sh\nb.txt\n755\n")


@case("operations are shown, listed, waited for, followed by events, and cancelled")
def _(cli):
    cli.using()("run", "-d", "-D", "-s", "--", "sleep 60")
    deadline = time.monotonic() + 20
    while not (running := cli.text("ps", "-q").split()):
        assert time.monotonic() < deadline, "it never runs"
    cli("kill", *running)
    cli("op", "wait", *running, code=1)  # what was cancelled is no success
    holds({row["status"] for row in cli.rows("op", "ls", "-a", "-k", "instance")}, "CANCELLED")
    cli("run", "-D", "-s", "--", "echo shown")
    newest = cli.text("ps", "-a", "-q", "-M", "1").split()[0]
    holds(cli.text("show", newest), "shown")
    equal(json.loads(cli.text("op", "show", "--raw", newest))["status"], "SUCCESS")
    events = cli.text("op", "events", newest)
    holds(events, "completion")


@case("a detached run is waited for by its session")
def _(cli):
    cli.using()("run", "-d", "-s", "--", "echo detached > /d")
    cli("session", "wait")
    assert cli.rows("ps", "-a", "-M", "1")[0]["status"] == "SUCCESS"


@case("build makes an image from a Dockerfile, in stages, with arguments, copies and a cache")
def _(cli):
    (cli.folder / "data.txt").write_text("of the context\n")
    (cli.folder / "Dockerfile").write_text(
        "\n".join(
            [
                "FROM busybox:latest AS first",
                "ARG VERSION=0",
                "WORKDIR /work",
                "COPY data.txt data.txt",
                "RUN echo version $VERSION > version && cat data.txt >> version",
                "FROM busybox:latest",
                "ENV MODE=built",
                "COPY --from=first /work/version /out/version",
                "RUN echo 'app:x:7:7::/:/bin/sh' >> /etc/passwd",
                "USER app",
                "RUN id -u > /tmp/user",
                "",
            ]
        )
    )
    cli("build", "--tag", "cli/built:1", "--build-arg", "VERSION=5", ".")
    cli("use", "tag:cli/built:1")
    equal(cli.text("cat", "/out/version"), "version 5\nof the context\n")
    equal(cli.text("cat", "/tmp/user"), "7\n")
    cli("build", "--tag", "cli/built:1", "--build-arg", "VERSION=5", ".")


async def main():
    Cli("setup")("auth", "--token", TOKEN, "--url", URL, "--project", PROJECT, "-f")
    imported()
    await run_all(fresh=lambda number: Cli(f"interop-{number}"))


asyncio.run(main())
