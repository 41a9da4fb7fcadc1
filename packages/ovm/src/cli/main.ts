#!/usr/bin/env bun
import { writeSync } from "node:fs"
import { VERSION } from "../version.ts"

// The program's entry. It imports next to nothing, and everything else comes with the command that wants it, so that
// `ovm version` costs what a bare start of the runtime costs (bench/startup).
const argv = process.argv.slice(2)

if (argv.length === 1 && (argv[0] === "version" || argv[0] === "--version" || argv[0] === "-V")) {
  writeSync(1, `ovm ${VERSION}\n`)
} else {
  const { execute } = await import("./execute.ts")
  process.exit(await execute(argv))
}
