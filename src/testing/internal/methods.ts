/** The methods of the service by name, and what each is called with. */
import type { ContreeClient } from "../../ContreeClient.js"

type Service = ContreeClient.Service

type Group = Exclude<keyof Service, "policy">

/** The name of a method, such as `instances.spawn`. */
export type Method = { readonly [G in Group]: `${G}.${keyof Service[G] & string}` }[Group]

type Member<M extends Method> = M extends `${infer G extends Group}.${infer Name}`
  ? Name extends keyof Service[G]
    ? Service[G][Name]
    : never
  : never

/** What a method is called with. */
export type Arguments<M extends Method> = Member<M> extends (...args: infer Args) => unknown ? Args : []
