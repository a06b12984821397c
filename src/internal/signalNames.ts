/**
 * Linux's signals by name and by number, the same on every machine that images are made for.
 */
import * as Option from "effect/Option"

const names: ReadonlyArray<string> = [
  "HUP",
  "INT",
  "QUIT",
  "ILL",
  "TRAP",
  "ABRT",
  "BUS",
  "FPE",
  "KILL",
  "USR1",
  "SEGV",
  "USR2",
  "PIPE",
  "ALRM",
  "TERM",
  "STKFLT",
  "CHLD",
  "CONT",
  "STOP",
  "TSTP",
  "TTIN",
  "TTOU",
  "URG",
  "XCPU",
  "XFSZ",
  "VTALRM",
  "PROF",
  "WINCH",
  "IO",
  "PWR",
  "SYS"
]

const firstRealtime = 34
const lastRealtime = 64

/** `SIGKILL` for 9. A number that has no name stays a number. */
export const signalName = (signal: number): string => {
  if (signal >= firstRealtime && signal <= lastRealtime) {
    return signal === firstRealtime ? "SIGRTMIN" : `SIGRTMIN+${signal - firstRealtime}`
  }
  const name = names[signal - 1]
  return name === undefined ? `signal ${signal}` : `SIG${name}`
}

/** The number of a signal that is given by number or by name, with or without `SIG`; none for one that is unknown. */
export const signalNumber = (signal: string | number): Option.Option<number> => {
  const text = String(signal).toUpperCase().replace(/^SIG/, "")
  const number = /^\d+$/.test(text) ? Number(text) : names.indexOf(text) + 1
  return number >= 1 && number <= lastRealtime ? Option.some(number) : Option.none()
}
