import { execFileSync } from "node:child_process"
import { copyFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { builtNow } from "./built.ts"

const FLAGS = ["-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

/** Compiles the C sources in `folder` to `program`, with sanitizers that end it at its first fault. */
export function compileChecked(folder: string, program: string, more: readonly string[] = []): void {
  const sources = readdirSync(folder).filter((name) => name.endsWith(".c"))
  execFileSync("gcc", [...FLAGS, ...more, "-o", program, ...sources.map((name) => join(folder, name))])
}

/** The same, compiled once for all files of tests: each has a copy, so that its processes are told by their program. */
export function copyChecked(folder: string, program: string, flags: readonly string[] = []): void {
  const compile = (made: string) => compileChecked(folder, made, flags)
  copyFileSync(builtNow("checked", folder, [...FLAGS, ...flags], compile), program)
}
