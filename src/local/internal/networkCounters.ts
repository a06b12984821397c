/**
 * What a network namespace has carried and holds, as the kernel tells of it through one of its processes.
 */
import * as Fs from "node:fs"

export interface InterfaceCounters {
  readonly name: string
  readonly rx_bytes: number
  readonly rx_packets: number
  readonly rx_errs: number
  readonly rx_drop: number
  readonly tx_bytes: number
  readonly tx_packets: number
  readonly tx_errs: number
  readonly tx_drop: number
}

export interface NetworkCounters {
  readonly interfaces: ReadonlyArray<InterfaceCounters>
  /** How many sockets there are, of each kind that the kernel counts for the namespace alone. */
  readonly sockets: string
}

/** The interfaces of a text of `/proc/PID/net/dev`. */
export const interfaces = (text: string): ReadonlyArray<InterfaceCounters> =>
  text.split("\n").flatMap((line) => {
    const [, name, numbers = ""] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? []
    const at = numbers.trim().split(/\s+/).map(Number)
    return name === undefined
      ? []
      : [
          {
            name,
            rx_bytes: at[0] ?? 0,
            rx_packets: at[1] ?? 0,
            rx_errs: at[2] ?? 0,
            rx_drop: at[3] ?? 0,
            tx_bytes: at[8] ?? 0,
            tx_packets: at[9] ?? 0,
            tx_errs: at[10] ?? 0,
            tx_drop: at[11] ?? 0
          }
        ]
  })

/**
 * The counts of a text of `/proc/PID/net/sockstat`. Memory, allocated and orphaned ones are the machine's; those that are
 * used count a netlink socket, which asks for an address, for some time after the end of its process.
 */
export const sockets = (text: string): string => [...text.matchAll(/(?:inuse|tw) \d+/g)].join(" ")

/** Those of the namespace in which the process is; nothing where it is gone. */
export const read = (pid: number): NetworkCounters | undefined => {
  // Synchronous: these files are the kernel's, and a thread would take longer to be asked.
  try {
    return {
      interfaces: interfaces(Fs.readFileSync(`/proc/${pid}/net/dev`, "utf8")),
      sockets: sockets(Fs.readFileSync(`/proc/${pid}/net/sockstat`, "utf8"))
    }
  } catch {
    return undefined
  }
}

/** Whether nothing has gone over an interface, and no socket is left, since. */
export const isUntouched = (before: NetworkCounters, now: NetworkCounters): boolean =>
  before.sockets === now.sockets &&
  before.interfaces.length === now.interfaces.length &&
  before.interfaces.every((one, index) => {
    const other = now.interfaces[index]
    return other !== undefined && one.rx_packets === other.rx_packets && one.tx_packets === other.tx_packets
  })
