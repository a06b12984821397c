"""contree-sdk: `ContreeSync` in most cases, `Contree` (asyncio) where it has a surface of its own."""

import asyncio
import io
import json
import os
import subprocess
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from uuid import UUID, uuid4

from contree_client.http import ContreeClient
from contree_client.operations import build_get_operation_status
from contree_sdk import Contree, ContreeSync
from contree_sdk.auth import IAMAuth, JWTAuth
from contree_sdk.config import ContreeConfig
from contree_sdk.sdk import exceptions as errors
from contree_sdk.utils.models.file import UploadFileSpec
from contree_sdk.utils.models.image import ImageKind

from cases import BUSYBOX, PROJECT, REGISTRY, TOKEN, URL, case, equal, fails, holds, imported, run_all

NAME = "busybox:latest"


def config(project=PROJECT, token=TOKEN):
    return ContreeConfig(auth=IAMAuth(token=token, project_id=project, base_url=URL))


def given(content, name="given.txt"):
    """A local file."""
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(content)
    return path


@case("it imports an image by its name when it is not there yet, and only then")
def _(c):
    first = c.images.oci("library/tiny:1")
    second = c.images.oci("docker://docker.io/library/tiny:1")
    equal((first.uuid, first.tag), (second.uuid, "tiny:1"))


@case("it imports an image under another tag, from a registry with a dotted host and a port")
def _(c):
    image = c.images.import_from(f"docker://{REGISTRY}/library/busybox:latest", tag="other/name:2", timeout=60)
    equal(image.tag, "other/name:2")
    equal(c.images.use("other/name:2", strict=True).uuid, image.uuid)


@case("what is told of an import has no key by which it would take it for a run")
def _(c):
    with ContreeClient(TOKEN, base_url=URL, project=PROJECT) as plain:
        operation = plain.list_operations(kind="image_import", limit=1)[0].uuid
        told = json.loads(plain.request(build_get_operation_status(operation)).body)
    equal(sorted(told["metadata"]), ["registry", "tag", "timeout"])


@case("it imports with credentials of a registry")
def _(c):
    image = c.images.import_from(BUSYBOX, tag="private:1", username="someone", password="secret")
    equal(image.tag, "private:1")


@case("the deprecated pull finds by id and tag, and imports by address")
def _(c):
    image = c.images.pull(BUSYBOX, new_tag="pulled:1")
    equal(c.images.pull("pulled:1").uuid, image.uuid)
    equal(c.images.pull(image.uuid).uuid, image.uuid)


@case("an import of what no registry has fails, and says why")
def _(c):
    with fails(errors.FailedOperationError) as failed:
        c.images.oci("library/not-there:1")
    assert failed.caught.error


@case("a lazy image is run by its tag, without a look before")
def _(c):
    lazy = c.images.use(NAME)
    equal((lazy.uuid, lazy.tag), (None, NAME))
    equal(lazy.run("echo", args=["lazy"]).wait().stdout, "lazy\n")


@case("a strict use finds tags and ids, and what is not there is not found")
def _(c):
    image = c.images.use(NAME, strict=True)
    equal(c.images.use(image.uuid, strict=True).uuid, image.uuid)
    equal(c.images.use(f"urn:uuid:{image.uuid}", strict=True).uuid, image.uuid)
    with fails(errors.NotFoundError):
        c.images.use("totally-random-tag", strict=True)
    with fails(errors.NotFoundError):
        c.images.use(uuid4(), strict=True)
    with fails(errors.NotFoundError):
        c.images.oci(uuid4())


@case("a command's output, code and time come back, and are shown")
def _(c):
    image = c.images.use(NAME)
    done = image.run(shell="echo out; echo err >&2; exit 7").wait()
    equal((done.stdout, done.stderr, done.exit_code), ("out\n", "err\n", 7))
    assert done.elapsed >= timedelta(0) and done.result.cost is not None
    holds(repr(done), "exit_code=7")
    equal((done.uuid, done.tag), (None, None))


@case("arguments, environment, folder and host name reach a command")
def _(c):
    done = c.images.use(NAME).run(
        shell="echo $A; pwd; hostname", env={"A": "größe"}, cwd="/some/where", hostname="box", timeout=30
    )
    equal(done.wait().stdout, "größe\n/some/where\nbox\n")
    equal(c.images.use(NAME).run("/bin/echo", args=["a b", "*"]).wait().stdout, "a b *\n")


@case("input is text, text that is not ASCII, bytes, a file or a stream")
def _(c):
    image = c.images.use(NAME)
    every = bytes(range(256)) * 10
    for value, expected in (
        ("text", b"text"),
        ("grüße €", "grüße €".encode()),
        (every, every),
        (given(b"of a file"), b"of a file"),
        (io.BytesIO(b"of a stream"), b"of a stream"),
        (io.StringIO("of text"), b"of text"),
    ):
        equal(image.run("cat", stdin=value, stdout=bytes).wait().stdout, expected)


@case("output goes to files and streams")
def _(c):
    path = given(b"")
    held = io.BytesIO()
    c.images.use(NAME).run(shell="echo to file; echo to stream >&2", stdout=path, stderr=held).wait()
    equal(path.read_text(), "to file\n")
    equal(held.getvalue(), b"to stream\n")


@case("output is cut after the bytes that are asked for")
def _(c):
    done = c.images.use(NAME).run(shell="yes | head -c 1000", truncate_output_at=50).wait()
    equal((len(done.stdout), done.result.truncated), (50, True))


@case("files are placed by path, by bytes, by name and with owner and mode")
def _(c):
    local = given(b"local\n", "local.txt")
    uploaded = c.files.upload(given(b"uploaded\n"))
    # A list and a dictionary cannot be mixed in one request.
    with_bytes = c.images.use(NAME).apply_files({"/from/bytes": b"bytes\n"})
    prepared = with_bytes.run(
        shell="cat /local.txt /from/bytes /from/upload; stat -c '%u %g %a' /from/upload",
        files=[local, UploadFileSpec(source=uploaded, path="/from/upload", uid=5, gid=6, mode=0o640)],
    )
    equal(prepared.wait().stdout, "local\nbytes\nuploaded\n5 6 640\n")


@case("files that are applied are in the new image and not in the old one")
def _(c):
    image = c.images.oci(NAME)
    changed = image.apply_files({"/app/a.sh": b"echo applied\n"}, files={"/app/b": given(b"b")})
    equal(changed.run(shell="sh /app/a.sh; cat /app/b").wait().stdout, "applied\nb")
    with fails(errors.NotFoundError):
        image.read("/app/a.sh")


@case("a run that is kept makes an image to go on from, and branches of it do not meet")
def _(c):
    base = c.images.oci(NAME).run(shell="echo base > /f", disposable=False).wait()
    one, two = (base.run(shell=f"echo {name} >> /f", disposable=False).wait() for name in ("one", "two"))
    equal((one.read("/f"), two.read("/f"), base.read("/f")), (b"base\none\n", b"base\ntwo\n", b"base\n"))


@case("a kept environment is there in the next run, another one is not")
def _(c):
    image = c.images.oci(NAME)
    kept = image.run(shell="true", env={"KEPT": "1"}, preserve_env=True, disposable=False).wait()
    equal(kept.run(shell="echo -$KEPT-").wait().stdout, "-1-\n")
    gone = image.run(shell="touch /x", env={"KEPT": "1"}, disposable=False).wait()
    equal(gone.run(shell="echo -$KEPT-").wait().stdout, "--\n")


@case("a run can tag its result; tags move and go away")
def _(c):
    made = c.images.oci(NAME).run(shell="echo 1 > /t", disposable=False, tag="tagged:1").wait()
    equal((made.tag, c.images.use("tagged:1", strict=True).uuid), ("tagged:1", made.uuid))
    other = c.images.oci(NAME).run(shell="echo 2 > /t", disposable=False).wait().tag_as("tagged:1")
    equal(c.images.use("tagged:1", strict=True).uuid, other.uuid)
    equal(other.untag().tag, None)
    with fails(errors.NotFoundError):
        c.images.use("tagged:1", strict=True)
    equal(other.tag_as("again:1").tag_as(None).tag, None)


@case("images are listed by number, kind, tag and time, and iterated")
def _(c):
    two = c.images(number=2, kind=ImageKind.IMPORTED, tagged=True, since=datetime(2025, 1, 1), until=timedelta(0))
    equal((len(two), all(image.tag for image in two)), (2, True))
    equal(c.images(since=timedelta(0), until=timedelta(hours=1)), [])
    equal(c.images(until=timedelta(hours=1)), [])
    everything = c.images(number=None)
    assert len(everything) > 2 and len(list(c.images)) == len(everything)
    equal([image.uuid for image in c.images(number=1)], [everything[0].uuid])


@case("folders are listed and walked, files read and downloaded, the same bytes as were written")
def _(c):
    data = os.urandom(70_000)
    image = c.images.oci(NAME).run(shell="mkdir -p /d/sub; cat > /d/data", stdin=data, disposable=False).wait()
    entries = {entry.name: entry for entry in image.ls("/d")}
    equal((sorted(entries), entries["data"].size), (["data", "sub"], len(data)))
    equal((entries["data"].read(), image.read(PurePosixPath("/d/data")), entries["sub"].ls()), (data, data, []))
    equal(image.download("/d/data", given(b"")).read_bytes(), data)
    assert {"bin", "d"} <= {entry.name for entry in image.ls()}
    with fails(errors.UnprocessableEntityError):
        image.read("/d")


@case("a session goes on from its own last result")
def _(c):
    session = c.images.oci(NAME).session()
    session.run(shell="echo a > /s", disposable=False).wait()
    session.run(shell="echo b >> /s", disposable=False).wait()
    equal(session.run(shell="cat /s", disposable=False).wait().stdout, "a\nb\n")


@case("a command can be used like a subprocess")
def _(c):
    image = c.images.oci(NAME)
    process = image.popen(["echo", "popen"], text=True)
    process.wait()
    equal((process.stdout, process.returncode), ("popen\n", 0))
    fed = image.popen("cat; exit 2", shell=True, text=True)
    equal((fed.communicate("fed"), fed.returncode), (("fed", ""), 2))
    with fails(subprocess.CalledProcessError):
        image.popen(["false"], check=True).wait()


@case("a run that hits its limit on the engine ends and is no image to go on from")
def _(c):
    begun = time.monotonic()
    done = c.images.use(NAME).run(shell="echo begun; sleep 60", timeout=1)
    try:
        equal(done.wait().stdout, "begun\n")
    except errors.OperationTimedOutError:
        pass  # the client's own limit is the same second
    assert time.monotonic() - begun < 20


@case("the token's rights and limits are told")
def _(c):
    me = c.get_token_info()
    assert me.permissions["spawn"] and me.limits["instance_max_timeout"] > 0
    equal(c.get_token_info(refresh=True).token_uuid, me.token_uuid)


@case("a token without a project in the header works, a wrong one does not")
def _(c):
    assert ContreeSync(ContreeConfig(auth=JWTAuth(token=TOKEN, base_url=URL))).get_token_info()
    with fails(errors.ApiStatusCodeError) as refused:
        ContreeSync(config(token="wrong")).images()
    holds((401, 403), refused.caught.status)


@case("another project sees nothing of this one")
def _(c):
    other = ContreeSync(config(project=f"{PROJECT}-other"))
    equal(other.images(), [])
    with fails(errors.NotFoundError):
        other.images.use(NAME, strict=True)


@case("with asyncio images are found, run and read")
async def _(c):
    client = Contree(config())
    image = await client.images.oci(NAME)
    done = await image.run(shell="echo async > /a; cat /a", disposable=False)
    equal((done.stdout, await done.read("/a")), ("async\n", b"async\n"))
    equal([entry.name for entry in await done.ls("/") if entry.name == "a"], ["a"])
    tagged = await done.tag_as("async:1")
    equal((await client.images.use("async:1", strict=True)).uuid, tagged.uuid)
    equal((await tagged.untag()).tag, None)
    equal([found.uuid async for found in client.images][0], (await client.images(number=1))[0].uuid)
    applied = await image.apply_files({"/applied": b"x"})
    equal(await applied.read("/applied"), b"x")
    assert isinstance((await client.get_token_info()).token_uuid, (str, UUID))


@case("with asyncio ten runs at once give ten answers")
async def _(c):
    image = await Contree(config()).images.oci(NAME)
    done = await asyncio.gather(*(image.run(shell=f"echo {number}") for number in range(10)))
    equal([one.stdout for one in done], [f"{number}\n" for number in range(10)])


@case("with asyncio a wait that is given up cancels the run")
async def _(c):
    client = Contree(config())
    image = await client.images.oci(NAME)

    async def run():
        return await image.run(shell="sleep 61")

    with fails(asyncio.TimeoutError):
        await asyncio.wait_for(run(), 1)
    with ContreeClient(TOKEN, base_url=URL, project=PROJECT) as plain:
        newest = plain.list_operations(kind="instance", limit=1)[0]
        equal(plain.wait_operation(newest.uuid, timeout=20, follow_events=False).status, "CANCELLED")


imported()
asyncio.run(run_all(ContreeSync(config())))
