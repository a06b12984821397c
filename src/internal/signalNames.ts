/**
 * The names of Linux's signals by their numbers, the same on every machine that images are made for.
 */
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
