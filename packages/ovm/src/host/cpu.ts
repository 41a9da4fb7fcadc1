import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { release } from "node:os"
import { hostArchitecture } from "./architecture.ts"

/** What of this host matters to a machine that runs on its CPU (spec/snapshot.md: `host`). */
export interface HostCpu {
  /** In the words of OCI. */
  readonly architecture: string
  readonly cpuVendor?: string
  readonly cpuModel?: string
  /** Of the CPU's features (OVMS-SNP-019). */
  readonly cpuFeatures?: `sha256:${string}`
  /** Release of the kernel. */
  readonly kernel: string
}

let known: HostCpu | undefined

/** Read once a process: none of it changes while the host is up. What the host does not tell is left out. */
export function hostCpu(): HostCpu {
  known ??= {
    architecture: hostArchitecture(),
    ...parseCpuinfo(readFileSync("/proc/cpuinfo", "utf8")),
    kernel: release(),
  }
  return known
}

/** What the text of /proc/cpuinfo says of its first processor. */
export function parseCpuinfo(text: string): Pick<HostCpu, "cpuVendor" | "cpuModel" | "cpuFeatures"> {
  const [first = ""] = text.split(/\n\s*\n/)
  const fields = new Map(
    first.split("\n").map((line) => {
      const at = line.indexOf(":")
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()] as const
    }),
  )
  const cpuVendor = fields.get("vendor_id")
  const cpuModel = fields.get("model name")
  const flags = fields.get("flags")
  return {
    ...(cpuVendor && { cpuVendor }),
    ...(cpuModel && { cpuModel }),
    ...(flags && { cpuFeatures: featuresDigest(flags) }),
  }
}

/** The words, each once, in the order of their bytes, each with a line feed: the kernel's own order is no promise. */
function featuresDigest(flags: string): `sha256:${string}` {
  const words = [...new Set(flags.split(/\s+/).filter(Boolean))].sort()
  const hash = createHash("sha256")
  for (const word of words) hash.update(`${word}\n`)
  return `sha256:${hash.digest("hex")}`
}
