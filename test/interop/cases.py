"""Runs the cases of one driver and prints a line of JSON for each: {client, case, ok, error, seconds}."""

import asyncio
import inspect
import json
import os
import time
import traceback

from contree_client import ImageImportRegistry
from contree_client.http import ContreeClient

URL = os.environ["INTEROP_URL"]
TOKEN = os.environ["INTEROP_TOKEN"]
# Host and port of the registry; it also stands in for docker.io.
REGISTRY = os.environ["INTEROP_REGISTRY"]
# What this driver's client is called; each driver is a project of its own, so none sees another's images.
CLIENT = os.environ["INTEROP_CLIENT"]
PROJECT = "interop-" + CLIENT.replace(" ", "-")

BUSYBOX = "docker://docker.io/library/busybox:latest"
NOWHERE = "00000000-0000-4000-8000-000000000000"

_cases = []


def case(title):
    """Marks a function as the case that `PythonClients.test.ts` lists under the title."""

    def add(function):
        _cases.append((title, function))
        return function

    return add


class fails:
    """A block that must raise the exception; it is then kept as `caught`."""

    def __init__(self, expected, status=None):
        self.expected, self.status, self.caught = expected, status, None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        assert kind is not None, f"nothing was raised where {self.expected.__name__} was due"
        if not issubclass(kind, self.expected):
            return False
        self.caught = value
        status = getattr(value, "status", None)
        assert self.status in (None, status), f"status {status}, not {self.status}: {value}"
        return True


def equal(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"


def holds(actual, part):
    assert part in actual, f"{part!r} is not in {actual!r}"


def report(title, begun, error=None):
    line = {"client": CLIENT, "case": title, "ok": error is None, "error": error}
    print(json.dumps({**line, "seconds": round(time.monotonic() - begun, 3)}), flush=True)


def imported():
    """Brings busybox into the project, for cases that are not about importing."""
    with ContreeClient(TOKEN, base_url=URL, project=PROJECT) as client:
        operation = client.import_image(ImageImportRegistry(url=BUSYBOX), tag="busybox:latest")
        equal(client.wait_operation(operation, timeout=60).status, "SUCCESS")


async def run_all(shared=None, fresh=None):
    """Runs each case with what all share, or with what is made fresh from the case's number."""
    chosen = os.environ.get("INTEROP_ONLY")
    for number, (title, function) in enumerate(_cases):
        if chosen is not None and chosen not in title:
            continue
        begun = time.monotonic()
        try:
            made = function(shared if fresh is None else fresh(number))
            if inspect.isawaitable(made):
                await asyncio.wait_for(made, 60)
        except BaseException:  # an exit is a failure of the case too
            report(title, begun, traceback.format_exc())
        else:
            report(title, begun)
