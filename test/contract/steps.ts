/** Steps that the contract's tests share. */
import { assert } from "@effect/vitest"
import { Effect, Predicate, Stream } from "effect"
import { randomUUID } from "node:crypto"
import type * as Command from "../../src/Command.js"
import type { WorkError } from "../../src/Image.js"
import * as Image from "../../src/Image.js"
import * as Operation from "../../src/Operation.js"
import * as Run from "../../src/Run.js"
import { Fixture } from "../fixtures/Contree.js"

/** A name that no other test uses. */
export const unique = Effect.sync(() => `t${randomUUID().slice(0, 8)}`)

/** How many imports the engine has recorded. */
export const importCount = Stream.runCount(Operation.stream({ kind: "image_import" }))

/** The busybox image. */
export const busybox = Effect.flatMap(Fixture, (fixture) => Image.oci(fixture.busybox))

/** What a command writes; it must succeed. Nothing of it is kept. */
export const output = (image: Image.Input, command: Command.Command | string) =>
  Image.run(image, command, { disposable: true }).pipe(
    Effect.flatMap(Run.orFail),
    Effect.map((run) => run.stdout.text)
  )

/** The image that a shell command leaves behind; it must succeed. */
export const keep = (image: Image.Input, script: string) =>
  Image.run(image, script).pipe(
    Effect.flatMap(Run.orFail),
    Effect.map((run) => run.image)
  )

/** The error of an effect, which must have the tag. */
export const failsWith = <A, E extends { readonly _tag: string; readonly message: string }, R, Tag extends E["_tag"]>(
  effect: Effect.Effect<A, E, R>,
  tag: Tag
) =>
  Effect.map(Effect.flip(effect), (error) =>
    Predicate.isTagged(error, tag) ? error : assert.fail(`${error._tag}, not ${tag}: ${error.message}`)
  )

/** The status of the answer that an effect fails with. */
export const statusOf = <A, E extends { readonly status?: number | undefined }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), ({ status }) => status)

/** An import must fail; the reason that the engine gives. */
export const importFailure = <A, R>(effect: Effect.Effect<A, WorkError, R>) =>
  Effect.map(failsWith(effect, "OperationFailed"), ({ detail }) => detail)
