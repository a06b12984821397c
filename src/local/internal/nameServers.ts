/**
 * The name servers that a run asks, as the text of its /etc/resolv.conf.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"

/** Where a machine whose own file names a resolver on its loopback keeps those that this one asks. */
const files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"]

/** A run has no way to the machine's loopback, and none to an address of IPv6. */
const isReachable = (server: string): boolean => /^\d+\.\d+\.\d+\.\d+$/.test(server) && !/^(127|0)\./.test(server)

const serversOf = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].flatMap(([, server = ""]) => (isReachable(server) ? [server] : []))

const searchOf = (text: string): ReadonlyArray<string> =>
  text.split("\n").filter((line) => /^\s*(?:search|domain|options)\s/.test(line))

/** The name servers that are named, or those of the machine that a run reaches. */
export const find = (
  named: ReadonlyArray<string>
): Effect.Effect<{ readonly servers: ReadonlyArray<string>; readonly text: string }, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const texts = yield* Effect.forEach(files, (file) => Effect.orElseSucceed(fs.readFileString(file), () => ""))
    const text = texts.find((text) => serversOf(text).length > 0) ?? ""
    // The C libraries ask no more than three.
    const servers = (named.length > 0 ? named : serversOf(text)).slice(0, 3)
    const lines = [...(named.length > 0 ? [] : searchOf(text)), ...servers.map((server) => `nameserver ${server}`)]
    return { servers, text: lines.map((line) => `${line}\n`).join("") }
  })
