import { assert, describe, it } from "@effect/vitest"
import * as SeccompFilter from "../../src/local/SeccompFilter.js"

const ALLOW = 0x7fff0000
const EPERM = 0x00050001
const ENOSYS = 0x00050026

interface Call {
  readonly audit: number
  readonly number: number
  readonly args?: ReadonlyArray<bigint> | undefined
}

/** The kernel's interpreter, as far as filters of system calls use it. */
const decide = (filter: Uint8Array, { args = [], audit, number }: Call): number => {
  const view = new DataView(filter.buffer)
  const data = new DataView(new ArrayBuffer(64))
  data.setUint32(0, number, true)
  data.setUint32(4, audit, true)
  args.forEach((value, index) => data.setBigUint64(16 + index * 8, BigInt.asUintN(64, value), true))
  let accumulator = 0
  for (let at = 0; ; at++) {
    const code = view.getUint16(at * 8, true)
    const value = view.getUint32(at * 8 + 4, true)
    const jump = (holds: boolean) => {
      at += view.getUint8(at * 8 + (holds ? 2 : 3))
    }
    if (code === 0x20) accumulator = data.getUint32(value, true)
    else if (code === 0x15) jump(accumulator === value)
    else if (code === 0x25) jump(accumulator > value)
    else if (code === 0x45) jump((accumulator & value) !== 0)
    else if (code === 0x06) return value
    else assert.fail(`instruction ${code} is none of a filter's`)
  }
}

const machines = {
  x64: {
    audit: 0xc000003e,
    mount: 165,
    clone: 56,
    unshare: 272,
    socket: 41,
    ioctl: 16,
    read: 0,
    chroot: 161,
    keyctl: 250
  },
  arm64: {
    audit: 0xc00000b7,
    mount: 40,
    clone: 220,
    unshare: 97,
    socket: 198,
    ioctl: 29,
    read: 63,
    chroot: 51,
    keyctl: 219
  }
}

for (const architecture of ["x64", "arm64"] as const) {
  const { audit, chroot, clone, ioctl, keyctl, mount, read, socket, unshare } = machines[architecture]
  const filter = SeccompFilter.make(architecture)
  const ask = (number: number, ...args: ReadonlyArray<bigint>) => decide(filter, { audit, number, args })

  describe(`the seccomp filter of ${architecture}`, () => {
    it("fits into what the kernel takes", () => {
      assert.strictEqual(filter.length % 8, 0)
      assert.isBelow(filter.length / 8, 4096)
    })

    it("lets ordinary calls through", () => {
      assert.deepStrictEqual([ask(read), ask(chroot)], [ALLOW, ALLOW])
    })

    it("refuses mounts, keyrings and io_uring", () => {
      assert.deepStrictEqual([ask(mount), ask(keyctl), ask(425), ask(428), ask(442)], Array(5).fill(EPERM))
    })

    it("answers clone3 and calls newer than itself as a kernel that lacks them", () => {
      assert.deepStrictEqual([ask(435), ask(470), ask(100_000)], Array(3).fill(ENOSYS))
    })

    it("lets threads and processes be made, but no namespace, whatever the upper half of the flags says", () => {
      const THREAD = 0x3d0f00n
      assert.strictEqual(ask(clone, THREAD), ALLOW)
      assert.strictEqual(ask(clone, 17n), ALLOW)
      for (const bit of [0x20000n, 0x2000000n, 0x4000000n, 0x8000000n, 0x10000000n, 0x20000000n, 0x40000000n]) {
        assert.strictEqual(ask(clone, bit | 17n), EPERM)
        assert.strictEqual(ask(clone, bit | (1n << 40n)), EPERM)
        assert.strictEqual(ask(unshare, bit), EPERM)
      }
      assert.strictEqual(ask(unshare, 0x80n), EPERM)
      assert.strictEqual(ask(unshare, 0x200n), ALLOW)
    })

    it("refuses sockets of the hypervisor and of the kernel's ciphers", () => {
      assert.deepStrictEqual(
        [1n, 2n, 10n, 16n, 17n, 38n, 40n].map((family) => ask(socket, family)),
        [ALLOW, ALLOW, ALLOW, ALLOW, ALLOW, EPERM, EPERM]
      )
    })

    it("refuses text pushed into a terminal, also with bits that the kernel does not read", () => {
      assert.deepStrictEqual(
        [0x5401n, 0x5412n, 0x541cn, (1n << 32n) | 0x5412n].map((command) => ask(ioctl, 0n, command)),
        [ALLOW, EPERM, EPERM, EPERM]
      )
    })

    it("knows no calls of other architectures, nor those of x32", () => {
      for (const other of [0x40000003, 0x40000028, architecture === "x64" ? 0xc00000b7 : 0xc000003e]) {
        assert.strictEqual(decide(filter, { audit: other, number: read }), ENOSYS)
      }
      assert.strictEqual(ask(0x40000000 | read), ENOSYS)
    })
  })
}
