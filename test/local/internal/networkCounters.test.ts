import { assert, describe, it } from "@effect/vitest"
import * as NetworkCounters from "../../../src/local/internal/networkCounters.js"

const dev = (packets: number) => `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
  tap0:     100       ${packets}    3    4    0     0          0         0      200       6    7    8    0     0       0          0
`

const sockstat = (tcp: number, memory: number) =>
  `sockets: used ${memory}\nTCP: inuse ${tcp} orphan ${memory} tw 0 alloc ${memory} mem ${memory}\nUDP: inuse 0 mem ${memory}\n`

const counters = (packets: number, tcp: number, memory = 0): NetworkCounters.NetworkCounters => ({
  interfaces: NetworkCounters.interfaces(dev(packets)),
  sockets: NetworkCounters.sockets(sockstat(tcp, memory))
})

describe("a network", () => {
  it("tells what each interface has carried, by the contract's names", () => {
    assert.deepStrictEqual(NetworkCounters.interfaces(dev(2))[1], {
      name: "tap0",
      rx_bytes: 100,
      rx_packets: 2,
      rx_errs: 3,
      rx_drop: 4,
      tx_bytes: 200,
      tx_packets: 6,
      tx_errs: 7,
      tx_drop: 8
    })
  })

  it("is untouched while no packet has passed and no socket is left, whatever the machine's other networks do", () => {
    assert.isTrue(NetworkCounters.isUntouched(counters(2, 1), counters(2, 1, 99)))
    assert.isFalse(NetworkCounters.isUntouched(counters(2, 1), counters(3, 1)))
    assert.isFalse(NetworkCounters.isUntouched(counters(2, 1), counters(2, 2)))
    assert.isFalse(NetworkCounters.isUntouched(counters(2, 1), { ...counters(2, 1), interfaces: [] }))
  })

  it("is not told of where its process is gone", () => {
    assert.isUndefined(NetworkCounters.read(2 ** 30))
    assert.isDefined(NetworkCounters.read(process.pid))
  })
})
