import { execFileSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { join } from "node:path"

const FLAGS = ["-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

/** Compiles the C sources in `folder` to `program`, with sanitizers that end it at its first fault. */
export function compileChecked(folder: string, program: string, more: readonly string[] = []): void {
  const sources = readdirSync(folder).filter((name) => name.endsWith(".c"))
  execFileSync("gcc", [...FLAGS, ...more, "-o", program, ...sources.map((name) => join(folder, name))])
}
