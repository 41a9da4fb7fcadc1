import { existsSync } from "node:fs"
import { basename, dirname, join, resolve } from "node:path"
import { OvmError, toOvmError } from "../errors.ts"
import { readDocument } from "./document.ts"
import { readDotenv } from "./dotenv.ts"
import { type ComposeFault, composeError, composeFaultOf, MOST_FAULTS } from "./faults.ts"
import { machines as validate } from "./generated/validators.js"
import type { Project, ProjectFile } from "./project.ts"
import { checkReferences } from "./references.ts"

/** Of a file of machines, in bytes. */
export const FILE_LIMIT = 256 << 10

/** What the file is called where none is named, the first of them that is there. */
export const FILE_NAMES = ["machines.yaml", "machines.yml"] as const

/** The file in `folder`. Throws OVM_FILE_UNREADABLE if there is none. */
export function findFile(folder: string): string {
  const found = FILE_NAMES.find((name) => existsSync(join(folder, name)))
  if (found !== undefined) return found
  throw new OvmError("OVM_FILE_UNREADABLE", `there is no ${FILE_NAMES[0]} in ${folder}`, {
    hint: "another file is named by -f FILE",
  })
}

interface ReadOptions {
  /** In place of the file's name, and of its folder's. */
  readonly name?: string
  readonly environment: Readonly<Record<string, string | undefined>>
}

/**
 * Judges the bytes of the file at `path`, with the variables of the environment and of `.env` beside the file. Throws
 * OVM_COMPOSE_INVALID with every fault as its detail.
 */
export async function readProject(path: string, bytes: Uint8Array, options: ReadOptions): Promise<Project> {
  const base = dirname(resolve(path))
  const variable = await variablesIn(base, options)
  const { value, faults: unread, lineOf } = readDocument(textOf(path, bytes), variable)
  const faults: ComposeFault[] = [...unread]
  const tell = (pointer: string, message: string) => {
    if (faults.length < MOST_FAULTS) faults.push({ pointer, line: lineOf(pointer), message })
  }
  if (faults.length === 0 && !validate(value))
    for (const error of (validate.errors ?? []).filter(({ keyword }) => keyword !== "propertyNames")) {
      const { pointer, message } = composeFaultOf(error, value)
      tell(pointer, message)
    }
  if (faults.length > 0) throw composeError(path, faults)
  const file = value as ProjectFile
  const name = options.name ?? file.name ?? nameOf(base)
  if (!/^[a-z0-9][a-z0-9_-]{0,30}$/.test(name))
    tell("/name", `${JSON.stringify(name)} is no name of a project`)
  checkReferences(file, name, tell)
  if (faults.length > 0) throw composeError(path, faults)
  return {
    name,
    path,
    base,
    machines: file.machines,
    volumes: withoutNulls(file.volumes),
    networks: withoutNulls(file.networks),
    variable,
    refuse: (pointer, message) => {
      throw composeError(path, [{ pointer, line: lineOf(pointer), message }])
    },
  }
}

/** What is named alone has no particulars. */
function withoutNulls<T extends object>(
  entries: Readonly<Record<string, T | null>> = {},
): Readonly<Record<string, T | Record<string, never>>> {
  return Object.fromEntries(Object.entries(entries).map(([key, entry]) => [key, entry ?? {}]))
}

function textOf(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new OvmError("OVM_COMPOSE_INVALID", `${path} is no text in UTF-8`, { cause })
  }
}

async function variablesIn(base: string, { environment }: ReadOptions) {
  try {
    const kept = await readDotenv(join(base, ".env"))
    const set = (name: string) => (Object.hasOwn(environment, name) ? environment[name] : undefined)
    return (name: string) => set(name) ?? kept.get(name)
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) throw toOvmError(thrown)
    throw new OvmError("OVM_COMPOSE_INVALID", thrown.message, { cause: thrown })
  }
}

/** As Docker makes one of a folder's name. */
function nameOf(base: string): string {
  return basename(base)
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, "")
    .replace(/^[_-]+/, "")
    .slice(0, 31)
}
