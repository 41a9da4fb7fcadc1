import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isAnothers } from "../host/anothers.ts"
import type { Paths } from "../host/paths.ts"

let apart: string | undefined

/** Where what is found out of VMMs is kept: in another user's place nothing is, and it goes with this process. */
export function ownCache({ cache }: Pick<Paths, "cache">): string {
  if (!isAnothers(cache)) return cache
  if (apart !== undefined) return apart
  const folder = mkdtempSync(join(tmpdir(), "ovm-"))
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
  apart = folder
  return folder
}
