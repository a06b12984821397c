"""contree-mcp: its server as a process, driven over its standard streams with the `mcp` library."""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from cases import BUSYBOX, NOWHERE, PROJECT, TOKEN, URL, case, equal, holds, imported, run_all

HOME = Path(tempfile.mkdtemp(prefix="interop-mcp-"))
TOOLS = """cancel_operation download get_guide get_image get_operation grep import_image list_files list_images
list_operations read_file registry_auth registry_token_obtain rsync run set_tag upload wait_operations whoami""".split()


class Server:
    def __init__(self, session):
        self.session = session

    async def __call__(self, tool, **arguments):
        """What the tool answers, as data."""
        answer = await self.session.call_tool(tool, arguments)
        text = "".join(part.text for part in answer.content if part.type == "text")
        assert not answer.isError, text
        if answer.structuredContent is None:
            return json.loads(text)
        content = answer.structuredContent
        return content["result"] if set(content) == {"result"} else content

    async def refuses(self, tool, **arguments):
        answer = await self.session.call_tool(tool, arguments)
        assert answer.isError, answer
        return answer.content[0].text

    async def resource(self, uri):
        return (await self.session.read_resource(uri)).contents[0].text


async def made(c, command, **options):
    """The image that a command makes of busybox."""
    done = await c("run", command=command, image="tag:busybox:latest", disposable=False, **options)
    equal((done["status"], done["exit_code"]), ("SUCCESS", 0))
    return done["result"]["image"]


@case("it names all its tools, guides and resource templates")
async def _(c):
    equal(sorted(tool.name for tool in (await c.session.list_tools()).tools), TOOLS)
    assert len((await c.session.list_resource_templates()).resourceTemplates) >= 5
    guides = [resource.uri for resource in (await c.session.list_resources()).resources]
    assert await c.resource(guides[0])
    assert (await c("get_guide", section="quickstart"))["content"]


@case("import_image brings an image, waited for or not")
async def _(c):
    anonymous = {"i_accept_that_anonymous_access_might_be_rate_limited": True}
    done = await c("import_image", registry_url=BUSYBOX, tag="mcp/busybox:1", **anonymous)
    equal((done["status"], done["kind"], done["result"]["tag"]), ("SUCCESS", "image_import", "mcp/busybox:1"))
    started = await c("import_image", registry_url=BUSYBOX, wait=False, **anonymous)
    waited = await c("wait_operations", operation_ids=[started["operation_id"]])
    equal(waited["results"][started["operation_id"]]["status"], "SUCCESS")
    failed = await c("import_image", registry_url="docker://docker.io/library/not-there:1", **anonymous)
    equal(failed["status"], "FAILED")
    assert failed["error"]
    holds(await c.resource(f"contree://operations/import/{started['operation_id']}"), "STATE: SUCCESS")


@case("run gives code, output and a result image")
async def _(c):
    done = await c("run", command="echo out; echo err >&2; exit 3", image="tag:busybox:latest")
    equal((done["status"], done["exit_code"], done["stdout"], done["stderr"]), ("SUCCESS", 3, "out\n", "err\n"))
    plain = await c("run", command="/bin/pwd", image="busybox:latest", shell=False, cwd="/made")
    equal(plain["stdout"], "/made\n")
    image = await made(c, "echo kept > /kept")
    equal((await c("run", command="cat /kept", image=image))["stdout"], "kept\n")


@case("run takes environment, user, input and limits")
async def _(c):
    options = {"env": {"A": "b", "GONE": None}, "uid": 3, "gid": 4, "stdin": "größe", "max_layer_bytes": 1_000_000}
    done = await c("run", command="echo $A$GONE; id -u; id -g; cat", image="tag:busybox:latest", **options)
    equal(done["stdout"], "b\n3\n4\ngröße")
    cut = await c("run", command="yes | head -c 100", image="tag:busybox:latest", truncate_output_at=10)
    holds(cut["stdout"], "y\n" * 5)
    slow = await c("run", command="sleep 60", image="tag:busybox:latest", timeout=1)
    equal(slow["timed_out"], True)


@case("a kept environment is there in the next run, and null takes a name out of it")
async def _(c):
    image = await made(c, "true", env={"KEPT": "yes", "OTHER": "x"}, preserve_env=True)
    equal((await c("run", command="echo $KEPT", image=image))["stdout"], "yes\n")
    less = await c("run", command="true", image=image, env={"KEPT": None}, preserve_env=True, disposable=False)
    equal((await c("run", command="echo -$KEPT-$OTHER", image=less["result"]["image"]))["stdout"], "--x\n")


@case("rsync sends a folder, again only what changed, and run places it")
async def _(c):
    folder = Path(tempfile.mkdtemp(dir=HOME))
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_text("a")
    (folder / "tool.sh").write_text("#!/bin/sh\necho of rsync\n")
    (folder / "tool.sh").chmod(0o755)
    (folder / "skip.pyc").write_text("no")
    state = await c("rsync", source=str(folder), destination="/app", exclude=["*.pyc"])
    done = await c(
        "run", command="/app/tool.sh; find /app -type f | sort", image="busybox:latest", directory_state_id=state
    )
    equal(done["stdout"], "of rsync\n/app/sub/a.txt\n/app/tool.sh\n")
    (folder / "sub" / "a.txt").write_text("changed")
    again = await c("rsync", source=str(folder), destination="/app", exclude=["*.pyc"])
    done = await c("run", command="cat /app/sub/a.txt", image="busybox:latest", directory_state_id=again)
    equal(done["stdout"], "changed")


@case("upload takes text, bytes and files, and run places them")
async def _(c):
    text = await c("upload", content="some text")
    data = await c("upload", content_base64="AAH/")
    path = HOME / "upload.txt"
    path.write_text("some text")
    equal((await c("upload", path=str(path)))["uuid"], text["uuid"])
    equal((text["size"], data["size"]), (9, 3))
    files = {"/in/text": text["uuid"], "/in/data": data["uuid"]}
    done = await c("run", command="cat /in/text; wc -c < /in/data", image="busybox:latest", files=files)
    equal(done["stdout"], "some text3\n")


@case("download brings a file here, and marks it as a program when asked")
async def _(c):
    image = await made(c, "head -c 200000 /dev/urandom > /data; sha256sum /data > /sum")
    target = HOME / "download"
    got = await c("download", image=image, path="/data", destination=str(target), executable=True)
    equal((int(got["size"]), target.stat().st_size, os.access(target, os.X_OK)), (200_000, 200_000, True))
    await c.refuses("download", image=image, path="/none", destination=str(HOME / "none"))


@case("images are listed, looked up, tagged and untagged")
async def _(c):
    image = await made(c, "echo tagged > /tagged")
    equal((await c("set_tag", image_uuid=image, tag="mcp/tagged:1"))["tag"], "mcp/tagged:1")
    equal((await c("get_image", image="tag:mcp/tagged:1"))["uuid"], image)
    listed = (await c("list_images", tagged=True, tag_prefix="mcp/tagged", since="1h", limit=5, offset=0))["images"]
    equal([row["uuid"] for row in listed], [image])
    equal((await c("list_images", until="1h"))["images"], [])
    equal((await c("set_tag", image_uuid=image))["tag"], None)
    await c.refuses("get_image", image="tag:mcp/tagged:1")


@case("files of an image are listed, read and searched, by tools and by resources")
async def _(c):
    image = await made(c, "mkdir /look; printf 'one\\nTwo\\n' > /look/text; ln -s text /look/link")
    listed = await c("list_files", image=image, path="/look")
    equal({row["name"]: row["type"] for row in listed["files"]}, {"text": "file", "link": "symlink"})
    read = await c("read_file", image=image, path="/look/text")
    equal((read["content"], read["bytes_size"]), ("one\nTwo\n", 8))
    found = await c("grep", image=image, pattern="two", path="/look", case="insensitive", glob="*", max_total=5)
    equal([(match["path"], match["line_number"]) for match in found["matches"]], [("/look/text", 2)])
    equal(await c.resource(f"contree://image/{image}/read/look%2Ftext"), "one\nTwo\n")
    holds(await c.resource(f"contree://image/{image}/ls/look"), "text")
    lineage = json.loads(await c.resource(f"contree://image/{image}/lineage"))
    equal((lineage["is_known"], lineage["depth"] >= 1), (True, True))


@case("runs that are not waited for are waited for together")
async def _(c):
    begun = [
        (await c("run", command=f"echo {number}", image="busybox:latest", wait=False))["operation_id"]
        for number in range(3)
    ]
    waited = await c("wait_operations", operation_ids=begun, timeout=30)
    equal([waited["results"][one]["stdout"] for one in begun], ["0\n", "1\n", "2\n"])
    seen = json.loads(await c.resource(f"contree://operations/instance/{begun[0]}"))
    assert seen


@case("the first of several runs wins and the others are cancelled")
async def _(c):
    slow, fast = [
        (await c("run", command=command, image="busybox:latest", wait=False, timeout=60))["operation_id"]
        for command in ("sleep 60", "echo fast")
    ]
    waited = await c("wait_operations", operation_ids=[slow, fast], mode="any")
    equal((waited["completed"], waited["cancelled"]), ([fast], [slow]))
    equal((await c("cancel_operation", operation_id=slow))["cancelled"], True)
    for _ in range(100):
        if (await c("get_operation", operation_id=slow))["status"] == "CANCELLED":
            break
        await asyncio.sleep(0.05)
    equal((await c("get_operation", operation_id=slow))["status"], "CANCELLED")


@case("operations are listed by state and kind, shown and cancelled")
async def _(c):
    running = (await c("run", command="sleep 60", image="busybox:latest", wait=False))["operation_id"]
    deadline = time.monotonic() + 20
    while not (rows := (await c("list_operations", status="EXECUTING", kind="instance"))["operations"]):
        assert time.monotonic() < deadline
    equal([row["uuid"] for row in rows], [running])
    equal((await c("cancel_operation", operation_id=running))["cancelled"], True)
    waited = await c("wait_operations", operation_ids=[running], timeout=20)
    equal(waited["results"][running]["status"], "CANCELLED")
    await c.refuses("get_operation", operation_id=NOWHERE)


@case("whoami tells rights and limits")
async def _(c):
    me = await c("whoami")
    equal((me["permissions"]["spawn"], me["limits"]["instance_max_timeout"] > 0), (True, True))


async def main():
    imported()
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "contree_mcp"],
        env={
            "PATH": os.environ["PATH"],
            "CONTREE_HOME": str(HOME),
            "CONTREE_TOKEN": TOKEN,
            "CONTREE_URL": URL,
            "CONTREE_PROJECT": PROJECT,
            "CONTREE_NO_UPDATE_CHECK": "1",
        },
    )
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        await run_all(Server(session))


asyncio.run(main())
