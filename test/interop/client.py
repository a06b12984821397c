"""contree-client over the backend that is named as the argument; each case runs over each of them."""

import asyncio
import base64
import hashlib
import importlib
import inspect
import io
import sys
import tarfile
from datetime import datetime, timedelta, timezone

import contree_client as contree
from contree_client import ClosableStreamRepr, ImageImportRegistry

from cases import BUSYBOX, NOWHERE, PROJECT, REGISTRY, TOKEN, URL, case, equal, fails, holds, imported, run_all

MODULES = {
    "http": "contree_client.http",
    "urllib3": "contree_client.urllib3",
    "requests": "contree_client.requests",
    "httpx": "contree_client.httpx",
    "httpx-async": "contree_client.httpx",
    "aiohttp": "contree_client.aiohttp",
}


class Same:
    """One surface over synchronous and asynchronous clients: every call is awaited, every iterator is `async`."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        method = getattr(self.client, name)

        def call(*args, **kwargs):
            if not name.startswith(("iter_", "follow_")) and name not in STREAMS:
                return settled(method, args, kwargs)
            return stream(method(*args, **kwargs))

        return call


STREAMS = ("inspect_image_archive", "inspect_image_download_stream")


async def settled(method, args, kwargs):
    if inspect.iscoroutinefunction(method):
        return await method(*args, **kwargs)
    # In a thread, so that a case can do something else meanwhile.
    return await asyncio.to_thread(method, *args, **kwargs)


async def stream(source):
    if hasattr(source, "__aiter__"):
        async for item in source:
            yield item
        return
    end = object()
    while (item := await asyncio.to_thread(next, source, end)) is not end:
        yield item


async def collect(source):
    return [item async for item in source]


def backend(name=None):
    module = importlib.import_module(MODULES[name or sys.argv[1]])
    asynchronous = (name or sys.argv[1]) in ("httpx-async", "aiohttp")
    return module.ContreeAsyncClient if asynchronous else module.ContreeClient


async def closing(client, use):
    try:
        return await use(Same(client))
    finally:
        closed = client.close()
        if inspect.isawaitable(closed):
            await closed


async def brought(c, tag="busybox:latest", url=BUSYBOX):
    operation = await c.import_image(ImageImportRegistry(url=url), tag=tag)
    done = await c.wait_operation(operation, timeout=60)
    equal((done.status, done.error), ("SUCCESS", None))
    return done.result.image


async def ran(c, command, **options):
    image = options.pop("image", "tag:busybox:latest")
    spawned = await c.spawn_instance(command, image, **{"shell": True, "disposable": True, **options})
    return await c.wait_operation(spawned.uuid, timeout=60)


def outputs(done):
    result = done.metadata.result
    return result.state.exit_code, contree.decode_chunk(result.stdout), contree.decode_chunk(result.stderr)


def given(data, close=True):
    """Input of any bytes, as the contract wants it."""
    return ClosableStreamRepr(value=base64.b64encode(data).decode(), encoding="base64", close=close)


async def until_event(c, operation, **matching):
    """The first event of the running operation that has the attributes."""
    async for event in c.follow_operation_events(operation, timeout=30):
        if all(getattr(event, name) == value for name, value in matching.items()):
            return event
    raise AssertionError(f"no event {matching}")


async def living(c, script="sleep 60", **options):
    spawned = await c.spawn_instance(script, "tag:busybox:latest", shell=True, disposable=True, **options)
    await until_event(c, spawned.uuid, type="spawn")
    return spawned.uuid


async def ended(c, operation):
    try:
        await c.cancel_operation(operation)
    except contree.ConflictError:
        pass
    return await c.wait_operation(operation, timeout=30, follow_events=False)


@case("it imports an image and finds it by tag and by id")
async def _(c):
    image = await brought(c)
    equal(await c.resolve_image("tag:busybox:latest"), image)
    equal(await c.resolve_image("busybox:latest"), image)
    equal(await c.inspect_find_image_by_tag("busybox:latest"), image)
    seen = await c.inspect_image(image)
    equal((seen.uuid, seen.tag), (image, "busybox:latest"))


@case("it imports an unchanged image again and gets the same id")
async def _(c):
    equal(await brought(c), await brought(c))


@case("it imports from a registry with a port, with credentials and a time limit, without a tag")
async def _(c):
    registry = ImageImportRegistry(
        url=f"docker://{REGISTRY}/library/busybox:latest",
        credentials=contree.ImageImportRegistryCredentials(username="", password=""),
    )
    operation = await c.import_image(registry, timeout=30)
    done = await c.wait_operation(operation, timeout=60)
    equal((done.kind, done.status, done.metadata.timeout), ("image_import", "SUCCESS", 30))


@case("an import of an image that is not there is a failed operation that says why")
async def _(c):
    operation = await c.import_image(ImageImportRegistry(url="docker://docker.io/library/nothing:here"))
    done = await c.wait_operation(operation, timeout=60)
    equal(done.status, "FAILED")
    assert done.error


@case("events of an import can be followed to their completion")
async def _(c):
    operation = await c.import_image(ImageImportRegistry(url=BUSYBOX))
    done = await c.wait_operation(operation, timeout=60, follow_events=True)
    equal(done.status, "SUCCESS")


@case("it runs a command and gets code, output and resources")
async def _(c):
    done = await ran(c, "echo out; echo err >&2; exit 3")
    equal((done.status, outputs(done)), ("SUCCESS", (3, b"out\n", b"err\n")))
    assert done.duration >= 0 and done.metadata.result.resources.elapsed_time >= 0
    equal((done.result.image, done.result_image_uuid), (None, None))


@case("it runs a program with arguments and without a shell")
async def _(c):
    done = await ran(c, "/bin/echo", shell=False, args=["a b", "$HOME", "ü"])
    equal(outputs(done), (0, "a b $HOME ü\n".encode(), b""))


@case("environment, folder, user, host name, layer limit and network reach the command")
async def _(c):
    done = await ran(
        c,
        "echo $NAME; pwd; id -u; id -g; hostname; ls /sys/class/net 2>/dev/null | grep -v lo | wc -l",
        env={"NAME": "välue"},
        cwd="/made/here",
        uid=12,
        gid=34,
        hostname="box",
        networking=contree.InstanceNetworking(enabled=False),
        resources_limits=contree.InstanceResourcesLimits(max_layer_bytes=1 << 20),
        timeout=20,
    )
    equal(outputs(done), (0, "välue\n/made/here\n12\n34\nbox\n0\n".encode(), b""))


@case("a kept environment and folder are there in the next run")
async def _(c):
    kept = await ran(
        c, "true", disposable=False, env={"KEPT": "yes"}, preserve_env=True, cwd="/srv/app", preserve_cwd=True
    )
    done = await ran(c, "echo $KEPT; pwd", image=kept.result.image)
    equal(outputs(done), (0, b"yes\n/srv/app\n", b""))


@case("a run that keeps its result makes an image, and one that writes nothing gives its source")
async def _(c):
    base = await c.resolve_image("busybox:latest")
    kept = await ran(c, "echo 1 > /made", disposable=False)
    assert kept.result.image not in (None, base)
    equal((kept.image_uuid, kept.result_image_uuid), (base, kept.result.image))
    equal(await c.inspect_image_download(kept.result.image, "/made"), b"1\n")
    equal((await ran(c, "true", disposable=False)).result.image, base)


@case("input of any bytes reaches the command, and comes back")
async def _(c):
    everything = bytes(range(256)) * 40
    for value in (b"plain\n", "größe €\n".encode(), everything, b""):
        done = await ran(c, "cat", stdin=given(value))
        equal(outputs(done)[:2], (0, value))


@case("output is cut where the request says, and said to be")
async def _(c):
    done = await ran(c, "head -c 5000 /dev/zero | tr '\\0' x; echo short >&2", truncate_output_at=50)
    result = done.metadata.result
    equal(contree.decode_chunk(result.stdout), b"x" * 50)
    equal((result.stdout.truncated, result.stderr.truncated), (True, False))
    truncated = [event for event in await collect(c.iter_operation_events(done.uuid)) if event.type == "truncated"]
    equal([(event.data.stream, event.data.bytes_dropped) for event in truncated], [("stdout", 4950)])


@case("a command that takes too long is stopped and said to have timed out")
async def _(c):
    done = await ran(c, "echo begun; sleep 60", timeout=1)
    equal(done.metadata.result.state.timed_out, True)
    equal(contree.decode_chunk(done.metadata.result.stdout), b"begun\n")
    exits = [event for event in await collect(c.iter_operation_events(done.uuid)) if event.type == "exit"]
    equal([event.data.timed_out for event in exits], [True])


@case("a command that a signal ends reports it")
async def _(c):
    done = await ran(c, "kill -TERM $$")
    equal(done.metadata.result.state.signal, 15)


@case("it uploads bytes and streams, knows them by digest and lists them")
async def _(c):
    content = f"content of {PROJECT}".encode() * 100
    digest = hashlib.sha256(content).hexdigest()
    equal(await c.check_file_exists(digest), False)
    stored = await c.ensure_file(content)
    equal((stored.sha256, stored.size), (digest, len(content)))
    equal(await c.check_file_exists(digest), True)
    equal((await c.get_file(digest.upper())).sha256, digest)
    equal((await c.ensure_file(io.BytesIO(content))).uuid, stored.uuid)
    streamed = await c.upload_file(io.BytesIO(b"streamed" * 50_000))
    equal(streamed.size, 400_000)
    listed = await collect(c.iter_files(page_size=1))
    assert {digest, streamed.sha256} <= {file.sha256 for file in listed}
    equal((await c.list_files(limit=1, offset=0, since="15m")).files[0].sha256, listed[0].sha256)
    equal((await c.list_files(until="15m")).files, [])


@case("uploaded files are put into a run with owner and mode")
async def _(c):
    stored = await c.ensure_file(b"#!/bin/sh\necho from file\n")
    files = {
        "/opt/tool": contree.FileSpec(uuid=stored.uuid, mode="0755", uid=7, gid=8),
        "/etc/deep/er/plain": contree.FileSpec(uuid=stored.uuid),
    }
    done = await ran(c, "/opt/tool; stat -c '%u %g %a' /opt/tool; cat /etc/deep/er/plain | wc -l", files=files)
    equal(outputs(done), (0, b"from file\n7 8 755\n2\n", b""))


@case("a tag is set, moved, and removed, one or all of them")
async def _(c):
    one = (await ran(c, "echo one > /one", disposable=False)).result.image
    two = (await ran(c, "echo two > /two", disposable=False)).result.image
    equal((await c.update_image_tag(one, "mine/of:1")).tag, "mine/of:1")
    await c.update_image_tag(two, "mine/of:1")
    equal(await c.resolve_image("mine/of:1"), two)
    await c.update_image_tag(two, "mine/of:2")
    await c.delete_image_tag(two, tag="mine/of:1")
    with fails(contree.NotFoundError, 404):
        await c.resolve_image("mine/of:1")
    equal(await c.resolve_image("mine/of:2"), two)
    await c.delete_image_tag(two)
    equal((await c.inspect_image(two)).tag, None)


@case("images are listed by tag, prefix, id, time and page")
async def _(c):
    base = await c.resolve_image("busybox:latest")
    everything = await collect(c.iter_images(page_size=2))
    assert base in {image.uuid for image in everything} and len(everything) > 2
    equal((await c.list_images(tag="busy")).images[0].uuid, base)
    equal([image.uuid for image in (await c.list_images(uuid=base)).images], [base])
    assert all(image.tag for image in (await c.list_images(tagged=True)).images)
    now = datetime.now(timezone.utc)
    equal((await c.list_images(until=now - timedelta(hours=1))).images, [])
    equal((await c.list_images(since=now + timedelta(hours=1))).images, [])
    assert (await c.list_images(since=int(now.timestamp()) - 3600)).images
    assert (await c.list_images(since="1h", until=now + timedelta(minutes=1))).images
    equal(len((await c.list_images(limit=1, offset=1)).images), 1)


@case("operations are listed by state, kind, time and page")
async def _(c):
    done = await ran(c, "true")
    newest = (await c.list_operations(limit=1))[0]
    equal((newest.uuid, newest.status, newest.kind), (done.uuid, "SUCCESS", "instance"))
    assert all(row.kind == "image_import" for row in await c.list_operations(kind="image_import"))
    assert {row.status for row in await c.list_operations(status="FAILED")} == {"FAILED"}
    equal(await c.list_operations(until="1h"), [])
    assert len(await collect(c.iter_operations(page_size=3, since="1h"))) > 3


@case("a run is cancelled, and a second time that is a conflict")
async def _(c):
    operation = await living(c)
    await c.cancel_operation(operation)
    done = await c.wait_operation(operation, timeout=30)
    equal(done.status, "CANCELLED")
    with fails(contree.ConflictError, 409):
        await c.cancel_operation(operation)


@case("a wait that takes too long gives up and leaves the run alone")
async def _(c):
    operation = await living(c)
    with fails(TimeoutError):
        await c.wait_operation(operation, timeout=0.5, follow_events=False)
    with fails(TimeoutError):
        await c.wait_operation(operation, timeout=0.5)
    equal((await c.get_operation_status(operation)).status, "EXECUTING")
    equal((await ended(c, operation)).status, "CANCELLED")


@case("what a running command wrote can be seen before it ends")
async def _(c):
    operation = await living(c, "echo early; sleep 60")
    await until_event(c, operation, type="stdout")
    seen = await c.get_operation_status(operation, inflight=True)
    equal(contree.decode_chunk(seen.metadata.result.stdout), b"early\n")
    await ended(c, operation)


@case("events are followed live, resumed after an id and read again afterwards")
async def _(c):
    spawned = await c.spawn_instance(
        "for i in 1 2 3; do echo $i; sleep 0.1; done; echo bad >&2", "tag:busybox:latest", shell=True, disposable=True
    )
    live = await collect(c.follow_operation_events(spawned.uuid, timeout=30))
    later = await collect(c.iter_operation_events(spawned.uuid))
    equal([event.id for event in later], [event.id for event in live])
    equal([event.type for event in live][0::len(live) - 1], ["init", "completion"])
    assert {"spawn", "stdout", "stderr", "exit", "shutdown"} <= {event.type for event in live}
    text = b"".join(contree.decode_chunk(event.data) for event in live if event.type == "stdout")
    equal(text, b"1\n2\n3\n")
    middle = live[len(live) // 2].id
    after = [event.id for event in live if event.id > middle]
    equal([event.id for event in await collect(c.iter_operation_events(spawned.uuid, since=middle))], after)
    equal([event.id for event in await collect(c.iter_operation_events(spawned.uuid, last_event_id=middle))], after)
    equal([event.id for event in await collect(c.follow_operation_events(spawned.uuid, last_event_id=middle))], after)
    main = await collect(c.iter_operation_events(spawned.uuid, spid=1))
    equal({event.spid for event in main if event.type != "completion"}, {1})
    done = next(event for event in live if event.type == "exit")
    equal((done.data.code, done.data.signal, done.data.timed_out), (0, -1, False))
    equal(live[-1].data.status, "SUCCESS")


@case("a second command runs in a running instance, and gives its result")
async def _(c):
    operation = await living(c)
    spid = await c.operation_subprocess_create(operation, "echo in $0; pwd; exit 4", shell=True, cwd="/tmp")
    assert spid >= 2
    await until_event(c, operation, type="exit", spid=spid)
    result = await c.operation_subprocess(operation, spid)
    equal(result.state.exit_code, 4)
    holds(contree.decode_chunk(result.stdout), b"/tmp\n")
    equal((await c.operation_subprocess(operation, 1)).state.exit_code, -1)
    args = await c.operation_subprocess_create(operation, "/bin/echo", args=["x y"], env={"A": "b"}, uid=3, gid=4)
    await until_event(c, operation, type="exit", spid=args)
    equal(contree.decode_chunk((await c.operation_subprocess(operation, args)).stdout), b"x y\n")
    await ended(c, operation)


@case("input goes to a running command in parts until it is closed")
async def _(c):
    opened = given(b"first ", close=False)
    spawned = await c.spawn_instance("cat", "tag:busybox:latest", shell=True, disposable=True, stdin=opened)
    await until_event(c, spawned.uuid, type="spawn")
    await c.operation_subprocess_stdin(spawned.uuid, 1, "second ", close=False)
    await c.operation_subprocess_stdin(spawned.uuid, 1, "w7w=", encoding="base64", close=False)
    await c.operation_subprocess_stdin(spawned.uuid, 1, "", close=True)
    done = await c.wait_operation(spawned.uuid, timeout=30)
    equal(outputs(done)[:2], (0, "first second ü".encode()))
    with fails(contree.APIStatusError) as late:
        await c.operation_subprocess_stdin(spawned.uuid, 1, "late")
    holds((409, 410), late.caught.status)


@case("input of a second command is written and closed")
async def _(c):
    operation = await living(c)
    opened = given(b"", close=False)
    spid = await c.operation_subprocess_create(operation, "cat", stdin=opened)
    await c.operation_subprocess_stdin(operation, spid, "to the second\n", close=True)
    await until_event(c, operation, type="exit", spid=spid)
    equal(contree.decode_chunk((await c.operation_subprocess(operation, spid)).stdout), b"to the second\n")
    with fails(contree.ConflictError, 409):
        await c.operation_subprocess_stdin(operation, 1, "closed from the start")
    await ended(c, operation)


@case("a signal reaches a second command and the first one")
async def _(c):
    operation = await living(c, "trap 'echo asked; exit 0' INT; echo ready; while true; do sleep 0.05; done")
    await until_event(c, operation, type="stdout")
    spid = await c.operation_subprocess_create(operation, "sleep", args=["60"])
    await c.operation_subprocess_kill(operation, spid, signal="TERM")
    gone = await until_event(c, operation, type="exit", spid=spid)
    equal((gone.data.code, gone.data.signal), (-1, 15))
    killed = await c.operation_subprocess_create(operation, "sleep", args=["60"])
    await c.operation_subprocess_kill(operation, killed)
    equal((await until_event(c, operation, type="exit", spid=killed)).data.signal, 9)
    with fails(contree.BadRequestError, 400):
        await c.operation_subprocess_kill(operation, 1, signal="NONSENSE")
    await c.operation_subprocess_kill(operation, 1, signal="SIGINT")
    done = await c.wait_operation(operation, timeout=30)
    equal(outputs(done)[:2], (0, b"ready\nasked\n"))


@case("a folder of an image is listed with all that is known of its entries")
async def _(c):
    made = (await ran(c, "mkdir /d; echo 12 > /d/file; ln -s file /d/link; mkfifo /d/pipe", disposable=False)).result
    entries = {entry.path: entry for entry in (await c.inspect_image_list(made.image, "/d")).files}
    equal(sorted(entries), ["file", "link", "pipe"])
    equal((entries["file"].size, entries["file"].is_regular, entries["file"].mode), (3, True, 0o100644))
    equal((entries["link"].is_symlink, entries["link"].symlink_to, entries["pipe"].is_fifo), (True, "file", True))


@case("files are read from an image, whole and in parts")
async def _(c):
    content = "for i in $(seq 1 20000); do echo line $i; done > /lines; mkdir /folder"
    image = (await ran(c, content, disposable=False)).result.image
    whole = await c.inspect_image_download(image, "/lines")
    equal(len(whole.splitlines()), 20000)
    equal(b"".join(await collect(c.inspect_image_download_stream(image, "/lines"))), whole)
    equal((await c.check_image_file(image, "/lines"), await c.check_image_file(image, "/none")), (True, False))
    with fails(contree.NotFoundError, 404):
        await c.inspect_image_download(image, "/none")
    with fails(contree.UnprocessableEntityError, 422):
        await c.inspect_image_download(image, "/folder")


@case("folders and files are archived, plain and as they were compressed on the way")
async def _(c):
    image = (await ran(c, "mkdir -p /a/b; echo x > /a/b/c; ln -s c /a/b/l", disposable=False)).result.image
    equal(await c.check_image_archive(image, "/a"), True)
    equal(await c.check_image_archive(image, "/nothing"), False)
    plain = b"".join(await collect(c.inspect_image_archive(image, "/a")))
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
        equal(sorted(name.rstrip("/") for name in tar.getnames()), ["a", "a/b", "a/b/c", "a/b/l"])
        equal(tar.extractfile("a/b/c").read(), b"x\n")
    packed = b"".join(await collect(c.inspect_image_archive(image, "/a", compressed=True)))
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:*") as tar:
        equal(len(tar.getnames()), 4)
    single = b"".join(await collect(c.inspect_image_archive(image, "/a/b/c")))
    with tarfile.open(fileobj=io.BytesIO(single)) as tar:
        equal(tar.getnames(), ["c"])


@case("images are searched with patterns, paths, globs, context and limits")
async def _(c):
    made = "mkdir /s; printf 'one\\nTwo\\nthree\\ntwo\\n' > /s/a.txt; cp /s/a.txt /s/b.md"
    image = (await ran(c, made, disposable=False)).result.image
    found = await c.inspect_image_grep(image, "two", path="/s")
    equal([(match.path, match.line_number) for match in found.matches], [("/s/a.txt", 4), ("/s/b.md", 4)])
    loose = await c.inspect_image_grep(image, ["two", "^one"], path=["/s"], glob=["*.txt"], case="insensitive")
    equal([match.line_number for match in loose.matches], [1, 2, 4])
    around = await c.inspect_image_grep(image, "three", path="/s", glob="!*.md", before=1, after=1)
    equal([match.type for match in around.matches], ["context", "match", "context"])
    equal(around.matches[1].submatches[0].text, "three")
    few = await c.inspect_image_grep(image, "o", path="/s", max_total=1, max_count=1)
    equal((len(few.matches), few.truncated), (1, True))
    with fails(contree.BadRequestError, 400):
        await c.inspect_image_grep(image, "(")


@case("whoami tells token, permissions and limits")
async def _(c):
    me = await c.whoami()
    assert me.token_uuid and me.permissions["spawn"] and me.permissions["list"]
    assert me.limits["instance_max_timeout"] > 0 and isinstance(me.operations_stat, dict)


@case("a token that is not known is refused")
async def _(c):
    async def use(stranger):
        with fails(contree.APIStatusError) as refused:
            await stranger.whoami()
        holds((401, 403), refused.caught.status)

    await closing(backend()("not-the-token", base_url=URL, project=PROJECT), use)


@case("what is not there is 404, for images, tags, operations, files and processes")
async def _(c):
    for call in (
        lambda: c.inspect_image(NOWHERE),
        lambda: c.resolve_image("tag:not:there"),
        lambda: c.inspect_image_list(NOWHERE, "/"),
        lambda: c.inspect_image_grep(NOWHERE, "x"),
        lambda: c.update_image_tag(NOWHERE, "a:b"),
        lambda: c.delete_image_tag(NOWHERE, tag="a:b"),
        lambda: c.get_operation_status(NOWHERE),
        lambda: c.cancel_operation(NOWHERE),
        lambda: collect(c.iter_operation_events(NOWHERE)),
        lambda: c.operation_subprocess(NOWHERE, 1),
        lambda: c.operation_subprocess_create(NOWHERE, "true"),
        lambda: c.get_file("0" * 64),
    ):
        with fails(contree.NotFoundError, 404) as missing:
            await call()
        assert missing.caught.error


@case("what is not right is 400, and says what")
async def _(c):
    image = await c.resolve_image("busybox:latest")
    for call in (
        lambda: c.list_images(limit=1001),
        lambda: c.list_images(since="yesterday"),
        lambda: c.list_images(offset=-1),
        lambda: c.update_image_tag(image, "not a tag"),
        lambda: c.list_operations(status="SLEEPING"),
        lambda: c.spawn_instance("true", image, cwd="relative"),
        lambda: c.spawn_instance("true", image, uid=-1),
        lambda: c.get_operation_status("not-an-id"),
    ):
        with fails(contree.BadRequestError, 400) as wrong:
            await call()
        assert wrong.caught.error


@case("starting a command in an instance that ended is a conflict")
async def _(c):
    done = await ran(c, "true")
    with fails(contree.ConflictError, 409):
        await c.operation_subprocess_create(done.uuid, "true")
    with fails(contree.APIStatusError) as late:
        await c.operation_subprocess_kill(done.uuid, 1)
    holds((404, 409), late.caught.status)


@case("another project sees nothing of this one")
async def _(c):
    image = await c.resolve_image("busybox:latest")

    async def use(other):
        equal((await other.list_images()).images, [])
        equal((await other.list_files()).files, [])
        equal(await other.list_operations(), [])
        with fails(contree.NotFoundError, 404):
            await other.inspect_image(image)

    await closing(backend()(TOKEN, base_url=URL, project=f"{PROJECT}-other"), use)


@case("many runs at once all give their own answer")
async def _(c):
    done = await asyncio.gather(*(ran(c, f"echo {number}") for number in range(8)))
    equal([outputs(one)[1] for one in done], [f"{number}\n".encode() for number in range(8)])


async def main():
    imported()
    retry = contree.RetryPolicy()
    await closing(backend()(TOKEN, base_url=URL, project=PROJECT, retry=retry), run_all)


asyncio.run(main())
