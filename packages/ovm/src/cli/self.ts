import { resolve } from "node:path"

/**
 * The command line that runs this same program once more: the compiled file alone, or the runtime with its source
 * file.
 */
export function ownCommand(...args: readonly string[]): {
  readonly file: string
  readonly args: readonly string[]
} {
  return compiled() ? { file: process.execPath, args } : { file: process.execPath, args: [Bun.main, ...args] }
}

/** The environment for it: with `OVM_HOME` absolute, since the copy may have another working directory. */
export function ownEnvironment(): Record<string, string | undefined> {
  const { OVM_HOME: home } = process.env
  return home ? { ...process.env, OVM_HOME: resolve(home) } : process.env
}

/** A compiled program's modules lie in a file system of its own. */
function compiled(): boolean {
  return Bun.main.startsWith("/$bunfs/")
}
