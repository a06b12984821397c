import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Option, Redacted } from "effect"
import * as fc from "effect/FastCheck"
import * as RegistryAuth from "../../src/local/RegistryAuth.js"

describe("RegistryAuth", () => {
  it("a Bearer challenge with quoted parameters is read", () => {
    deepStrictEqual(
      RegistryAuth.parseChallenges(
        'Bearer realm="https://auth.example.com/token?a=1,2",service="registry.example.com",scope="repository:a/b:pull,push"'
      ),
      [
        {
          scheme: "bearer",
          parameters: {
            realm: "https://auth.example.com/token?a=1,2",
            service: "registry.example.com",
            scope: "repository:a/b:pull,push"
          }
        }
      ]
    )
  })

  it("several challenges in one header are told apart", () => {
    deepStrictEqual(
      RegistryAuth.parseChallenges(
        'Negotiate, basic REALM = "a \\"quoted\\" one", charset=UTF-8, Bearer realm="https://x/"'
      ),
      [
        { scheme: "negotiate", parameters: {} },
        { scheme: "basic", parameters: { realm: 'a "quoted" one', charset: "UTF-8" } },
        { scheme: "bearer", parameters: { realm: "https://x/" } }
      ]
    )
  })

  it("no header makes the parser throw, and what it finds has a scheme", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (header) => {
        for (const { scheme } of RegistryAuth.parseChallenges(header)) assert.match(scheme, /^\S+$/)
      })
    )
  })

  it("quoted parameters come back as they were written", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (realm, service) => {
        const quoted = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`
        const safe = (text: string) => text.replace(/[\n\r\u2028\u2029]/g, "")
        const [challenge] = RegistryAuth.parseChallenges(
          `Bearer realm=${quoted(safe(realm))},service=${quoted(safe(service))}`
        )
        deepStrictEqual(challenge?.parameters, { realm: safe(realm), service: safe(service) })
      })
    )
  })

  it("the token's address names the service and each scope, and pulling where the challenge names none", () => {
    const url = (parameters: Record<string, string>) =>
      Option.map(RegistryAuth.tokenUrl({ scheme: "bearer", parameters }, "team/app"), String)
    deepStrictEqual(
      url({ realm: "https://auth.example.com/token?x=1", service: "s", scope: "repository:a:pull repository:b:pull" }),
      Option.some(
        "https://auth.example.com/token?x=1&service=s&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull"
      )
    )
    deepStrictEqual(url({ realm: "https://a/t" }), Option.some("https://a/t?scope=repository%3Ateam%2Fapp%3Apull"))
    deepStrictEqual(url({ realm: "not an address" }), Option.none())
    deepStrictEqual(url({}), Option.none())
  })

  it("empty credentials stand for nobody", () => {
    const password = Redacted.make("")
    assert.isTrue(Option.isNone(RegistryAuth.present(undefined)))
    assert.isTrue(Option.isNone(RegistryAuth.present({ username: "", password })))
    assert.isTrue(Option.isSome(RegistryAuth.present({ username: "a", password })))
  })

  it("Basic is encoded as RFC 7617 has it and does not show in text", () => {
    const header = RegistryAuth.basic({ username: "Aladdin", password: Redacted.make("open sesame") })
    assert.strictEqual(Redacted.value(header), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    assert.notInclude(`${header} ${JSON.stringify(header)}`, "QWxh")
  })
})
