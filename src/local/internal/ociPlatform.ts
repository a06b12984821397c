/** Which of the platforms that an image is built for fits a machine. */
import type { Child, Platform } from "./ociManifest.js"

/** Node's names of processors as Go, and so every image, names them. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  ppc64: "ppc64le",
  mipsel: "mipsle"
}

/** @internal */
export const ofMachine = (nodeArchitecture: string): Platform => ({
  os: "linux",
  architecture: ARCHITECTURES[nodeArchitecture] ?? nodeArchitecture,
  // Node runs on nothing older.
  ...(nodeArchitecture === "arm" ? { variant: "v7" } : {})
})

/** @internal */
export const display = ({ architecture, os, variant }: Platform): string =>
  [os, architecture, ...(variant === undefined || variant === "" ? [] : [variant])].join("/")

/** What an architecture's images are when they do not say. */
const BASELINE: Readonly<Record<string, string>> = { amd64: "v1", arm: "v7", arm64: "v8" }

const level = ({ architecture, variant }: Platform): number =>
  Number.parseFloat((variant === undefined || variant === "" ? (BASELINE[architecture] ?? "v0") : variant).slice(1)) ||
  0

/** Whether what is built for `offered` runs on `wanted`: each variant runs what was built for those before it. */
export const runsOn = (wanted: Platform, offered: Platform): boolean =>
  offered.os === wanted.os && offered.architecture === wanted.architecture && level(offered) <= level(wanted)

const isAttestation = ({ annotations, platform }: Child): boolean =>
  platform?.os === "unknown" || annotations?.["vnd.docker.reference.type"] === "attestation-manifest"

/** @internal */
export const choose = (wanted: Platform, children: ReadonlyArray<Child>): Child | undefined => {
  const images = children.filter((child) => !isAttestation(child))
  const [only] = images
  // Without a platform the configuration has to say, and it is checked.
  if (images.length === 1 && only !== undefined && only.platform === undefined) return only
  let best: { readonly child: Child; readonly level: number } | undefined
  for (const child of images) {
    if (child.platform === undefined || !runsOn(wanted, child.platform)) continue
    if (best === undefined || level(child.platform) > best.level) best = { child, level: level(child.platform) }
  }
  return best?.child
}

/** @internal */
export const offered = (children: ReadonlyArray<Child>): string =>
  Array.from(
    new Set(
      children.flatMap((child) =>
        isAttestation(child) || child.platform === undefined ? [] : [display(child.platform)]
      )
    )
  ).join(", ")
