/**
 * Decoding by functions that are made once from a schema. A schema is interpreted, node by node and key by key, which
 * costs several times what the reading of its JSON does; nearly every answer is right, and needs none of that care.
 *
 * What a function cannot say for certain, above all what is wrong and why, is left to the schema.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"

/** The value is wrong, or not certainly right. */
const unsure: unique symbol = Symbol.for("effect-contree/compiledDecoding/unsure")

/** Gives the decoded value or {@link unsure}. */
type Read = (input: unknown) => unknown

const keep =
  (is: (input: unknown) => boolean): Read =>
  (input) =>
    is(input) ? input : unsure

/** Annotations that change what decoding does. */
const special = [AST.ParseOptionsAnnotationId, AST.DecodingFallbackAnnotationId]

/** Schemas decode to an `Either` where they do not wait. What waits is no matter of a function. */
const settled = (result: unknown): unknown =>
  Either.isEither(result) && Either.isRight(result) ? result.right : unsure

const ofLiteralTypes = (ast: AST.AST): Read | undefined => {
  switch (ast._tag) {
    case "StringKeyword":
      return keep(Predicate.isString)
    case "NumberKeyword":
      return keep(Predicate.isNumber)
    case "BooleanKeyword":
      return keep(Predicate.isBoolean)
    case "UndefinedKeyword":
      return keep(Predicate.isUndefined)
    case "Literal":
      return keep((input) => input === ast.literal)
    default:
      return undefined
  }
}

const isNothing = (ast: AST.AST): boolean =>
  ast._tag === "UndefinedKeyword" || (ast._tag === "Literal" && ast.literal === null)

const membersOf = (ast: AST.Union): ReadonlyArray<AST.AST> =>
  ast.types.flatMap((member) =>
    AST.isUnion(member) && !special.some((id) => id in member.annotations) ? membersOf(member) : [member]
  )

/**
 * Members that are primitive know for certain what is not theirs. Of the others there may be one, beside null and
 * undefined: which of several is right would not be certain.
 */
const ofUnion = (ast: AST.Union): Read | undefined => {
  const members = membersOf(ast)
  const primitive: Array<Read> = []
  const others: Array<AST.AST> = []
  for (const member of members) {
    const read = ofLiteralTypes(member)
    if (read === undefined) others.push(member)
    else primitive.push(read)
  }
  const [other, ...rest] = others
  if (rest.length > 0) return undefined
  if (other !== undefined) {
    if (!members.every((member) => member === other || isNothing(member))) return undefined
    const read = compile(other)
    if (read === undefined) return undefined
    primitive.push(read)
  }
  return (input) => {
    for (const read of primitive) {
      const value = read(input)
      if (value !== unsure) return value
    }
    return unsure
  }
}

interface Property {
  readonly name: string
  readonly isOptional: boolean
  readonly read: Read
  readonly to: string
  /** What becomes of the value on its way to another name or an `Option`. */
  readonly change: ((value: Option.Option<unknown>) => Option.Option<unknown>) | undefined
}

/** Properties, and what a transformation makes of each. A key that is not one of them is left out, or kept as it is. */
const ofProperties = (
  ast: AST.TypeLiteral,
  changes: ReadonlyArray<AST.PropertySignatureTransformation>
): Read | undefined => {
  const [index, ...rest] = ast.indexSignatures
  if (rest.length > 0) return undefined
  if (index !== undefined && (index.type._tag !== "UnknownKeyword" || index.parameter._tag !== "StringKeyword")) {
    return undefined
  }
  if (ast.propertySignatures.length === 0) return undefined
  const properties: Array<Property> = []
  for (const { isOptional, name, type } of ast.propertySignatures) {
    const read = compile(type)
    if (read === undefined || typeof name !== "string" || name === "__proto__") return undefined
    const change = changes.find(({ from }) => from === name)
    const to = change?.to ?? name
    if (typeof to !== "string") return undefined
    properties.push({ name, isOptional, read, to, change: change?.decode })
  }
  // One that makes a property out of none.
  if (changes.some(({ from }) => !properties.some(({ name }) => name === from))) return undefined
  const known = new Set(properties.map(({ name }) => name))

  return (input) => {
    if (!Predicate.isRecord(input)) return unsure
    const output: Record<string, unknown> = {}
    for (const { change, isOptional, name, read, to } of properties) {
      const given = input[name]
      if (given === undefined && !Object.hasOwn(input, name)) {
        if (!isOptional) return unsure
        if (change === undefined) continue
        const value = change(Option.none())
        if (Option.isSome(value)) output[to] = value.value
        continue
      }
      const value = read(given)
      if (value === unsure) return unsure
      if (change === undefined) output[to] = value
      else {
        const changed = change(Option.some(value))
        if (Option.isSome(changed)) output[to] = changed.value
      }
    }
    if (index !== undefined) {
      for (const key of Object.keys(input)) {
        if (known.has(key)) continue
        if (key === "__proto__") return unsure
        output[key] = input[key]
      }
    }
    return output
  }
}

const ofTransformation = (ast: AST.Transformation): Read | undefined => {
  const { transformation } = ast
  if (transformation._tag === "TypeLiteralTransformation") {
    // The properties of the result have been read already; a second look at each is what the schema takes.
    return AST.isTypeLiteral(ast.from) && AST.typeAST(ast.to) === ast.to
      ? ofProperties(ast.from, transformation.propertySignatureTransformations)
      : undefined
  }
  const from = compile(ast.from)
  const to = compile(ast.to)
  if (from === undefined || to === undefined) return undefined
  if (transformation._tag === "ComposeTransformation") {
    return (input) => {
      const value = from(input)
      return value === unsure ? unsure : to(value)
    }
  }
  const decode: (input: unknown, options: AST.ParseOptions, ast: AST.Transformation, original: unknown) => unknown =
    transformation.decode
  return (input) => {
    const value = from(input)
    if (value === unsure) return unsure
    const decoded = settled(decode(value, AST.defaultParseOption, ast, input))
    return decoded === unsure ? unsure : to(decoded)
  }
}

const compile = (ast: AST.AST): Read | undefined => {
  if (special.some((id) => id in ast.annotations)) return undefined
  switch (ast._tag) {
    case "UnknownKeyword":
      return (input) => input
    case "Union":
      return ofUnion(ast)
    case "TypeLiteral":
      return ofProperties(ast, [])
    case "Transformation":
      return ofTransformation(ast)
    case "TupleType": {
      const [rest] = ast.rest
      if (ast.elements.length > 0 || ast.rest.length !== 1 || rest === undefined) return undefined
      const read = compile(rest.type)
      return read === undefined ? undefined : ofArray(read)
    }
    case "Refinement": {
      const read = compile(ast.from)
      if (read === undefined) return undefined
      return (input) => {
        const value = read(input)
        return value !== unsure && Option.isNone(ast.filter(value, AST.defaultParseOption, ast)) ? value : unsure
      }
    }
    case "Declaration": {
      const parse: (input: unknown, options: AST.ParseOptions, ast: AST.Declaration) => unknown = ast.decodeUnknown(
        ...ast.typeParameters
      )
      return (input) => settled(parse(input, AST.defaultParseOption, ast))
    }
    default:
      return ofLiteralTypes(ast)
  }
}

const ofArray =
  (read: Read): Read =>
  (input) => {
    if (!Array.isArray(input)) return unsure
    const output: Array<unknown> = []
    for (const element of input) {
      const value = read(element)
      if (value === unsure) return unsure
      output.push(value)
    }
    return output
  }

/**
 * Reads a text of JSON by a schema.
 *
 * What the function gives has the schema's type because each of its steps is the schema's own.
 */
export const fromJson = <A, I>(
  schema: Schema.Schema<A, I>
): ((text: string) => Either.Either<A, ParseResult.ParseError>) => {
  const bySchema = Schema.decodeUnknownEither(Schema.parseJson(schema))
  const read = compile(schema.ast)
  if (read === undefined) return bySchema
  return (text) => {
    const value = Either.getOrElse(
      Either.try(() => read(JSON.parse(text))),
      () => unsure
    )
    return value === unsure ? bySchema(text) : Either.right(value as A)
  }
}

/** Whether a schema has such a function. */
export const isCompiled = (schema: Schema.Schema.Any): boolean => compile(schema.ast) !== undefined
