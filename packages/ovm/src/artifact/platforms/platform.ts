import { hostArchitecture } from "../../host/architecture.ts"
import type { OvmsManifest } from "../machine/manifest.ts"

/** `OS/ARCHITECTURE` in the words of OCI (spec/platforms.md). */
export type Platform = `${string}/${string}`

/** What a machine is for; `linux/amd64` where its manifest says nothing. */
export function platformOf({ os, architecture }: Pick<OvmsManifest, "os" | "architecture">): Platform {
  return `${os ?? "linux"}/${architecture ?? "amd64"}`
}

/** Machines that this host runs without emulating every instruction. */
export function hostPlatform(): Platform {
  return `linux/${hostArchitecture()}`
}

/** Undefined for what is not of the form OS/ARCHITECTURE. */
export function parsePlatform(text: string): Platform | undefined {
  return /^[a-z][a-z0-9]{0,31}\/[a-z0-9]{1,32}$/.test(text) ? (text as Platform) : undefined
}
