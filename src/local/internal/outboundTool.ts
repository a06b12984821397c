/**
 * The way out of a slot's network: a program in the machine's network carries what comes over an interface of the
 * slot's, in user space, with the privileges of the sandboxes' root and no others.
 *
 * What keeps the machine's loopback out of reach are three things together. The program refuses the addresses that
 * stand for the host, its own name server too, which is the host's. A route of the slot refuses 127.0.0.0/8 on that
 * interface, since a socket bound to it would send there, and the program would connect. And a command in the slot's
 * network has no `NET_RAW`, since a frame of its own making passes by every route.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as ChildProcess from "node:child_process"
import * as Net from "node:net"
import * as SandboxError from "../SandboxError.js"
import * as SystemTool from "./systemTool.js"

export interface OutboundTool {
  readonly name: "slirp4netns"
  readonly path: string
}

/** The interface in the slot's network, its address, and the way out. */
export const configured = { name: "tap0", address: "10.0.2.100/24", gateway: "10.0.2.2" } as const

/** The tool that is there, or what is missing. */
export const find: Effect.Effect<Either.Either<OutboundTool, string>, never, FileSystem.FileSystem> = Effect.map(
  SystemTool.findAll(["slirp4netns", "ip"]),
  (found) => {
    const path = found.get("slirp4netns")
    return path === undefined
      ? Either.left("slirp4netns is not installed")
      : found.has("ip")
        ? Either.right({ name: "slirp4netns", path })
        : Either.left("`ip` of iproute2 is not installed")
  }
)

export interface AttachOptions {
  readonly tool: OutboundTool
  /** The words that make a process the sandboxes' root. */
  readonly enter: ReadonlyArray<string>
  readonly searchPath: string
  /** A process of the network. */
  readonly pid: number
  /** What a child gets: pipes for its input, its messages and its reports. */
  readonly stdio: Array<"pipe" | "ignore" | number>
}

const words = ({ enter, pid, tool }: AttachOptions): ReadonlyArray<string> =>
  [
    enter,
    // It ends with the worker twice over: by this signal, and with its input.
    ["setpriv", "--pdeathsig", "KILL", "--", tool.path, "--exit-fd=0", "--ready-fd=3", "--configure", "--mtu=65520"],
    ["--disable-host-loopback", "--disable-dns", "--enable-sandbox", "--enable-seccomp"],
    ["--netns-type=path", `/proc/${pid}/ns/net`, configured.name]
  ].flat()

/** Gives the network a way out until the scope closes; returns when it is there. */
export const attach = (options: AttachOptions): Effect.Effect<void, SandboxError.SandboxError, Scope.Scope> =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<void>()
    const isReady = yield* Deferred.make<void>()
    let said = ""
    yield* Effect.acquireRelease(
      Effect.async<ChildProcess.ChildProcess, SandboxError.SandboxError>((resume) => {
        const [program = "", ...args] = words(options)
        const child = ChildProcess.spawn(program, args, {
          cwd: "/",
          detached: true,
          env: { PATH: options.searchPath, LC_ALL: "C" },
          stdio: options.stdio
        })
        const report = child.stdio[3]
        if (!(report instanceof Net.Socket)) {
          return resume(SandboxError.make("SetupFailed", "the outbound network's program has no pipes"))
        }
        report.on("data", () => Deferred.unsafeDone(isReady, Exit.void))
        child.stderr?.setEncoding("utf8").on("data", (text: string) => {
          said = (said + text).slice(-1000)
        })
        for (const stream of [child.stdin, child.stderr, report]) stream?.on("error", () => {})
        child.on("error", (error) => resume(SandboxError.make("MissingTool", `${program}: ${error.message}`)))
        child.on("close", () => Deferred.unsafeDone(ended, Exit.void))
        child.on("spawn", () => resume(Effect.succeed(child)))
      }),
      (child) =>
        Effect.sync(() => child.kill("SIGKILL")).pipe(
          Effect.zipRight(Deferred.await(ended)),
          Effect.timeout("10 seconds"),
          Effect.ignoreLogged
        )
    )
    yield* Deferred.await(isReady).pipe(
      Effect.raceFirst(
        Effect.flatMap(Deferred.await(ended), () =>
          SandboxError.make("Refused", `${options.tool.name}: ${said.trim() || "it ended unasked"}`)
        )
      ),
      Effect.timeoutFail({
        duration: "30 seconds",
        onTimeout: () => SandboxError.make("SetupFailed", `${options.tool.name} does not get ready ${said}`.trimEnd())
      })
    )
  })
