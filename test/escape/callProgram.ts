/** Programs that make system calls, for what no ordinary program does. */
import * as ElfFile from "../../src/local/internal/elfFile.js"

export const architecture: ElfFile.Architecture = process.arch === "arm64" ? "arm64" : "x64"

/** A number of a call or an argument, on x64 and on arm64 where they differ. */
type Numeral = number | readonly [x64: number, arm64: number]

/** A call with its arguments; text and bytes are given by their address. */
export type Call = readonly [number: Numeral, ...args: ReadonlyArray<number | string | Uint8Array>]

const little = (value: number) => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, (value >>> 24) & 255]

const x64 = (number: number, args: ReadonlyArray<number>) => [
  ...args.flatMap((value, index) => [
    ...([[0xbf], [0xbe], [0xba], [0x41, 0xba], [0x41, 0xb8]][index] ?? []),
    ...little(value)
  ]),
  0xb8,
  ...little(number),
  0x0f,
  0x05
]

const arm64 = (number: number, args: ReadonlyArray<number>) => [
  ...[...args.map((value, index) => [index, value] as const), [8, number] as const].flatMap(([register, value]) => [
    ...little(0x52800000 | ((value & 0xffff) << 5) | register),
    ...little(0x72a00000 | ((value >>> 16) << 5) | register)
  ]),
  ...little(0xd4000001)
]

// neg eax; mov edi, eax; mov eax, 60 (exit); syscall -- and the same for arm64
const end = {
  x64: [0xf7, 0xd8, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05],
  arm64: [...little(0xcb0003e0), ...little(0xd2800ba8), ...little(0xd4000001)]
}

/** A program that makes the calls and ends with the error number of the last one, 0 where it succeeded. */
export const make = (...calls: ReadonlyArray<Call>): Uint8Array => {
  const encode = architecture === "x64" ? x64 : arm64
  const assemble = (start: number) => {
    const data: Array<number> = []
    const code = calls.flatMap(([number, ...args]) =>
      encode(
        typeof number === "number" ? number : number[architecture === "x64" ? 0 : 1],
        args.map((arg) => {
          if (typeof arg === "number") return arg
          const address = start + data.length
          data.push(...(typeof arg === "string" ? new TextEncoder().encode(`${arg}\0`) : arg))
          return address
        })
      )
    )
    return { code: [...code, ...end[architecture]], data }
  }
  const { code } = assemble(0)
  const { data } = assemble(ElfFile.START + code.length)
  return ElfFile.make(architecture, [
    Uint8Array.from(assemble(ElfFile.START + code.length).code),
    Uint8Array.from(data)
  ])
}
