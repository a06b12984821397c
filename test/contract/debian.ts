import { NodeContext } from "@effect/platform-node"
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync } from "node:fs"
import * as Image from "../../src/Image.js"
import { ID_SHIFT } from "../../src/local/MountNamespace.js"
import { Engine } from "../fixtures/Contree.js"
import * as FileTree from "../fixtures/FileTree.js"
import { keep, output } from "./steps.js"
import type { EngineIt } from "./suite.js"

const idShift = process.getuid?.() === 0 ? ID_SHIFT : 0

export const debian = (it: EngineIt) => {
  describe("an image of thousands of files, whiteouts, links, owners and odd names", () => {
    it.effect("is on disk what its layers say", () =>
      Effect.gen(function* () {
        const fixture = yield* Engine
        const layers = () => readdirSync(`${fixture.dataDirectory}/l`)
        const before = layers()
        yield* Image.oci(fixture.debian)
        const [layer, ...others] = layers().filter((name) => !before.includes(name))
        assert.deepStrictEqual(others, [])
        const expected = yield* (yield* fixture.images.debian).tree
        assert.isAbove(expected.length, 5000)
        const actual = yield* FileTree.ofDirectory(`${fixture.dataDirectory}/l/${layer}`, { idShift })
        assert.deepStrictEqual(FileTree.difference(expected, actual), [])
      }).pipe(Effect.provide(NodeContext.layer))
    )

    it.effect("is the same seen from inside a sandbox", () =>
      Effect.gen(function* () {
        const fixture = yield* Engine
        const expected = yield* (yield* fixture.images.debian).tree
        const image = yield* Image.oci(fixture.debian)
        // What the sandbox mounts stands on directories of the image, or on ones that it makes.
        const names = yield* output(image, "find / -xdev -mindepth 1 -printf '%P\\0' | sort -z")
        const mounted = new Set(["proc", "sys", "dev"])
        const below = (name: string) => mounted.has(name.split("/")[0] ?? "")
        assert.deepStrictEqual(
          names
            .split("\0")
            .filter((name) => name !== "" && !below(name))
            .sort(),
          expected
            .map(({ path }) => path)
            .filter((name) => !below(name))
            .sort()
        )

        const rows = yield* output(
          image,
          "cd /srv/fixture && find . -mindepth 1 -printf '%P|%y|%m|%U|%G|%l\\0' | sort -z"
        )
        const kinds = { file: "f", directory: "d", symlink: "l", fifo: "p", character: "c", block: "b", socket: "s" }
        assert.deepStrictEqual(
          rows
            .split("\0")
            .filter((row) => row !== "")
            .sort(),
          expected
            .filter(({ path }) => path.startsWith("srv/fixture/"))
            .map(({ gid, linkTarget = "", mode, path, type, uid }) =>
              [path.slice("srv/fixture/".length), kinds[type], mode, uid, gid, linkTarget].join("|")
            )
            .sort()
        )
      })
    )

    it.effect(
      "gives its contents: what a layer removed is gone, what it changed is changed, links lead where they say",
      () =>
        Effect.gen(function* () {
          const image = yield* Image.oci((yield* Engine).debian)
          const look = `cd /srv/fixture
          cat modes/none modes/closed/inside changes/content changes/linked opaque/rewritten links/hard; echo
          ls -A doomed opaque; test -e /etc/debian_version || echo no version; test -e /usr/share/doc || echo no doc
          cat links/relative; echo; head -n 1 links/outside links/absolute | grep root; cat links/dangling links/itself 2>&1
          cat changes/link-to-directory/inside; ls owners | wc -l; stat -c %h links/original`
          const seen = (yield* Image.run(image, look, { disposable: true })).stdout.text
          assert.deepStrictEqual(seen.trim().split("\n"), [
            "nobody may read thisbehind a closed doorsecondone name says this, the other the oldsecondone file under several names",
            "doomed:",
            "stays",
            "",
            "opaque:",
            "new",
            "rewritten",
            "no version",
            "no doc",
            "one file under several names",
            "root:x:0:0:root:/root:/bin/bash",
            "root:x:0:0:root:/root:/bin/bash",
            "cat: links/dangling: No such file or directory",
            "cat: links/itself: Too many levels of symbolic links",
            "and not in owners5",
            "3"
          ])
        })
    )

    it.effect("can be changed by its own tools, as its owners and as others", () =>
      Effect.gen(function* () {
        const image = yield* Image.oci((yield* Engine).debian)
        const made = yield* keep(
          image,
          `useradd --create-home ada && su ada -c 'echo mine > ~/file' && chown -R 1234:5678 /srv/fixture/links &&
           rm -r /srv/fixture/names /usr/share/man* && apt-get --version > /apt && sed -i s/first/third/ /etc/hostname; true`
        )
        const seen = yield* output(
          made,
          "stat -c '%U %a' /home/ada/file; stat -c '%u:%g' /srv/fixture/links/hard; head -c 3 /apt; ls /srv/fixture | grep -c names; ls /home/ada"
        ).pipe(Effect.catchTag("CommandFailed", (error) => Effect.succeed(error.message)))
        assert.deepStrictEqual(seen.trim().split("\n"), ["ada 644", "1234:5678", "apt0", "file"])
        assert.strictEqual(
          yield* output(image, "ls -d /srv/fixture/names; ls /home | wc -l"),
          "/srv/fixture/names\n0\n"
        )
      })
    )
  })
}
