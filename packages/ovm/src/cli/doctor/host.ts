import { readFileSync } from "node:fs"
import { availableMemory } from "../../host/memory.ts"
import { formatSize } from "../format.ts"
import type { Finding } from "./finding.ts"

/** What a machine takes that says nothing of memory, with some for its VMM. */
const LITTLE_BYTES = 640 << 20
/** A daemon takes a few descriptors for each machine, and keeps some for requests. */
const FEW_DESCRIPTORS = 1024

/** Memory, and what a process may have open. */
export async function checkHost(): Promise<Finding[]> {
  return [memory(await availableMemory()), descriptors()]
}

function memory(available: number): Finding {
  const message = `${formatSize(available)} available`
  return available < LITTLE_BYTES
    ? {
        check: "memory",
        state: "warning",
        message,
        fix: "ovm run --memory 128M, or ovm stop what is not needed",
      }
    : { check: "memory", state: "ok", message }
}

function descriptors(): Finding {
  const most = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]
  const message = `a process may have ${most ?? "an unknown number of"} files open`
  return Number(most) < FEW_DESCRIPTORS
    ? { check: "descriptors", state: "warning", message, fix: "ulimit -n 65536, and ovm daemon --stop" }
    : { check: "descriptors", state: "ok", message }
}
