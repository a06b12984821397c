import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Either, FastCheck, Schema } from "effect"
import { WhoAmI } from "../../src/api/Account.js"
import { FileRecord, UploadReceipt } from "../../src/api/Files.js"
import { ImageList, ImageRecord, Started } from "../../src/api/Images.js"
import { DirectoryListing, GrepResult } from "../../src/api/Inspect.js"
import { OperationDetail, OperationList, ProcessResult } from "../../src/api/Operations.js"
import { fromJson, isCompiled } from "../../src/internal/compiledDecoding.js"

const answers: ReadonlyArray<readonly [name: string, schema: Schema.Schema.AnyNoContext]> = Object.entries({
  WhoAmI,
  FileRecord,
  UploadReceipt,
  ImageList,
  ImageRecord,
  Started,
  DirectoryListing,
  GrepResult,
  OperationDetail,
  OperationList,
  ProcessResult
})

/** What is read often, or gives much. */
const compiled: ReadonlyArray<Schema.Schema.Any> = [
  ImageList,
  DirectoryListing,
  GrepResult,
  OperationDetail,
  OperationList
]

const reads = (schema: Schema.Schema.AnyNoContext, text: string) => {
  const bySchema = Schema.decodeUnknownEither(Schema.parseJson(schema))(text)
  const byFunction = fromJson(schema)(text)
  assert.strictEqual(Either.isRight(byFunction), Either.isRight(bySchema), text)
  if (Either.isLeft(bySchema)) assert.strictEqual(String(Either.flip(byFunction)), String(Either.flip(bySchema)))
  else assert.deepStrictEqual(byFunction, bySchema, text)
}

/** Every place in a JSON value, as the steps to it. */
const places = (json: unknown): ReadonlyArray<ReadonlyArray<string>> =>
  typeof json === "object" && json !== null
    ? [[], ...Object.entries(json).flatMap(([key, value]) => places(value).map((steps) => [key, ...steps]))]
    : [[]]

const changed = (json: unknown, [step, ...rest]: ReadonlyArray<string>, value: unknown): unknown => {
  if (step === undefined) return value
  if (typeof json !== "object" || json === null) return json
  const at: unknown = Object.entries(json).find(([key]) => key === step)?.[1]
  const next = changed(at, rest, value)
  if (Array.isArray(json)) return json.map((element: unknown, index) => (String(index) === step ? next : element))
  return { ...json, [step]: next }
}

const runs = 60

describe("decoding by a function of a schema", () => {
  it("exists for what is read often", () => {
    for (const schema of compiled) assert.isTrue(isCompiled(schema))
  })

  it.each(answers)("gives what the schema gives: %s", (_name, schema) => {
    const encode = Schema.encodeUnknownEither(schema)
    FastCheck.assert(
      FastCheck.property(Arbitrary.make(schema), (value: unknown) => {
        const encoded = encode(value)
        if (Either.isRight(encoded)) reads(schema, JSON.stringify(encoded.right))
      }),
      { numRuns: runs }
    )
  })

  it.each(answers)("fails where the schema fails, with its words: %s", (_name, schema) => {
    const encode = Schema.encodeUnknownEither(schema)
    const odd = FastCheck.constantFrom<unknown>(
      undefined,
      null,
      "",
      "x",
      -1,
      1.5,
      true,
      [],
      {},
      [1],
      { a: 1 },
      "2024-02-30",
      "2024-01-01",
      "NaN"
    )
    FastCheck.assert(
      FastCheck.property(Arbitrary.make(schema), FastCheck.nat(), odd, (value: unknown, at, odd) => {
        const encoded = encode(value)
        if (Either.isLeft(encoded)) return
        const all = places(encoded.right)
        const text = JSON.stringify(changed(encoded.right, all[at % all.length] ?? [], odd))
        reads(schema, text ?? "undefined")
      }),
      { numRuns: 4 * runs }
    )
  })

  it("reads no JSON as the schema does", () => {
    for (const text of ["", "{", "null", "[]", "1"]) for (const [, schema] of answers) reads(schema, text)
  })

  it("leaves to the schema what only it can say", () => {
    const rows: ReadonlyArray<readonly [schema: Schema.Schema.AnyNoContext, ...texts: ReadonlyArray<string>]> = [
      // Which member is right is the schema's to say.
      [
        Schema.Union(Schema.Struct({ a: Schema.String }), Schema.Struct({ b: Schema.Number })),
        '{"a":"x"}',
        '{"b":1,"a":2}'
      ],
      [Schema.Union(Schema.NumberFromString, Schema.String), '"1"', '"x"'],
      [Schema.String.annotations({ decodingFallback: () => Either.right("fallback") }), "1", '"x"'],
      [
        Schema.Struct({ a: Schema.String }).annotations({ parseOptions: { onExcessProperty: "error" } }),
        '{"a":"x","b":1}'
      ],
      [Schema.Struct({ a: Schema.Unknown }, Schema.Record({ key: Schema.String, value: Schema.Unknown })), '{"b":1}'],
      [Schema.Struct({ a: Schema.Unknown }, Schema.Record({ key: Schema.String, value: Schema.Number })), '{"b":"x"}'],
      [Schema.Record({ key: Schema.String, value: Schema.Unknown }), '{"__proto__":1}'],
      [Schema.Tuple(Schema.String, Schema.Number), '["x",1]', '["x"]'],
      [Schema.NonEmptyArray(Schema.String), "[]", '["x"]'],
      [Schema.Struct({}), "1", "null", "{}"]
    ]
    for (const [schema, ...texts] of rows) for (const text of texts) reads(schema, text)
  })
})
