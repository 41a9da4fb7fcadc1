#!/usr/bin/env bun
import { writeSync } from "node:fs"
import { VERSION } from "../version.ts"

// The program's entry. It imports next to nothing, and everything else comes with the command that wants it, so that
// `ovm version` costs what a bare start of the runtime costs (bench/startup).
const argv = process.argv.slice(2)

if (
  !(argv.length === 1 && ["version", "--version", "-V"].includes(argv[0] ?? "") && said(`ovm ${VERSION}\n`))
) {
  const { execute } = await import("./execute.ts")
  process.exit(await execute(argv))
}

/** Whoever cannot be told, as on a full disk, hears why from the way that all commands take. */
function said(text: string): boolean {
  try {
    return writeSync(1, text) === text.length
  } catch {
    return false
  }
}
