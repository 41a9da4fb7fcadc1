import { isUtf8 } from "node:buffer"
import { lstat, readdir, readlink, realpath, stat } from "node:fs/promises"
import { join, normalize, sep } from "node:path"
import { sha256 } from "../content/digest.ts"
import { OvmError } from "../errors.ts"
import { readChunks } from "../files/chunks.ts"
import { ifPresent } from "../files/present.ts"
import { readRegular } from "../files/regular.ts"
import { Wrong } from "./faults.ts"
import { type Ignored, ignoredBy } from "./ignore.ts"
import { isPattern, patternOf } from "./patterns.ts"

const MOST_FILES = 1_000_000
/** What stands in a name for bytes that are no UTF-8. */
const NOT_UTF8 = "\ufffd"

/** Something that is copied into a machine. */
export interface ContextEntry {
  /** Relative to where it goes; empty for the folder itself. */
  readonly name: string
  readonly kind: "file" | "folder" | "link"
  /** Permissions. */
  readonly mode: number
  /** Seconds since 1970. */
  readonly time: number
  /** Of a file: where it is on this host, its size in bytes, and the digest of its content. */
  readonly path: string
  readonly size: number
  readonly digest?: string
  /** Of a link: where it leads. */
  readonly link?: string
}

/** What one source of a COPY stands for. */
export interface ContextSource {
  /** Its last name. */
  readonly name: string
  readonly folder: boolean
  /** An archive that is unpacked, and not copied as it is. */
  readonly archive?: true
  /** Of a folder what is in it, in the order of names. */
  readonly entries: readonly ContextEntry[]
}

/** Of .dockerignore: bytes. */
const MOST_IGNORED = 1024 * 1024

/** By the first of them that is there: one that cannot be read would leave nothing out. */
async function ignoredByFirst(files: readonly string[]): Promise<Ignored> {
  for (const file of files) {
    const bytes = await ifPresent(readRegular(file, MOST_IGNORED))
    if (bytes) return ignoredBy(new TextDecoder().decode(bytes), file)
  }
  return ignoredBy("", "")
}

/** The folder that a build is given. */
export class Context {
  private constructor(
    /** Without links in it. */
    readonly root: string,
    private readonly ignored: Ignored,
  ) {}

  /**
   * `ignoreFiles`: the first that is there says what is left out. Throws OVM_FILE_UNREADABLE, OVM_TOO_LARGE,
   * OVM_BUILD_INVALID.
   */
  static async open(folder: string, ignoreFiles: readonly string[]): Promise<Context> {
    const found = await stat(folder).catch(() => undefined)
    if (!found?.isDirectory())
      throw new OvmError("OVM_FILE_UNREADABLE", `${folder} is no folder to build from`)
    return new Context(await realpath(folder), await ignoredByFirst(ignoreFiles))
  }

  /** What `text` stands for, several things where it is a pattern. Throws Wrong for what is not there or leads out. */
  async find(text: string): Promise<readonly ContextSource[]> {
    const clean = normalize(text).replace(/^\/+|\/+$/g, "")
    if (clean.split("/").includes("..")) throw new Wrong(`${text} leads out of the context`)
    const paths =
      clean === "." || clean === "" ? [""] : isPattern(clean) ? await this.#matching(clean) : [clean]
    if (paths.length === 0) throw new Wrong(`${text} fits nothing in the context`)
    return await Promise.all(paths.map((path) => this.#source(path, text)))
  }

  async #matching(pattern: string): Promise<readonly string[]> {
    let found = [""]
    for (const part of pattern.split("/")) {
      const expression = patternOf(part)
      if (!expression) throw new Wrong(`${pattern} is no pattern`)
      const next: string[] = []
      for (const folder of found) {
        const below = await readdir(join(this.root, folder)).catch(() => [])
        for (const name of below.sort())
          if (expression.test(name)) next.push(folder ? `${folder}/${name}` : name)
      }
      found = next
    }
    return found.filter((path) => !this.ignored(path))
  }

  async #source(path: string, text: string): Promise<ContextSource> {
    const left = path !== "" && this.ignored(path)
    const real = left ? undefined : await realpath(join(this.root, path)).catch(() => undefined)
    if (real === undefined)
      throw new Wrong(`${text} is not in the context${left ? ": it is left out of it" : ""}`)
    if (real !== this.root && !real.startsWith(this.root + sep))
      throw new Wrong(`${text} leads out of the context`)
    const found = await lstat(real)
    const name = path.slice(path.lastIndexOf("/") + 1)
    if (!found.isDirectory()) return { name, folder: false, entries: [await this.#entry(real, "")] }
    const entries: ContextEntry[] = []
    await this.#walk(real, path, "", entries)
    return { name, folder: true, entries }
  }

  /** `path` is of the context, `name` of where it goes. */
  async #walk(folder: string, path: string, name: string, into: ContextEntry[]): Promise<void> {
    for (const below of (await readdir(folder)).sort()) {
      const at = path ? `${path}/${below}` : below
      if (below.includes(NOT_UTF8) && !(await ifPresent(lstat(join(folder, below)))))
        throw new Wrong(`${JSON.stringify(at)} has a name that is not UTF-8, which is not supported`)
      const left = this.ignored(at)
      if (left && !this.ignored.hasExceptions) continue
      const entry = await this.#entry(join(folder, below), name ? `${name}/${below}` : below, left)
      if (!left) into.push(entry)
      if (into.length > MOST_FILES) throw new Wrong(`the context has more than ${MOST_FILES} files`)
      if (entry.kind === "folder") await this.#walk(entry.path, at, entry.name, into)
    }
  }

  async #target(link: string): Promise<string> {
    const target = await readlink(link, { encoding: "buffer" })
    if (isUtf8(target)) return target.toString()
    throw new Wrong(
      `${link.slice(this.root.length + 1)} leads to a name that is not UTF-8, which is not supported`,
    )
  }

  /** `left`: only what it is. */
  async #entry(path: string, name: string, left = false): Promise<ContextEntry> {
    const found = await lstat(path)
    const facts = {
      name,
      path,
      mode: found.mode & 0o7777,
      time: Math.max(0, Math.floor(found.mtimeMs / 1000)),
    }
    if (found.isDirectory()) return { ...facts, kind: "folder", size: 0 }
    if (found.isSymbolicLink()) return { ...facts, kind: "link", size: 0, link: await this.#target(path) }
    if (left) return { ...facts, kind: "file", size: 0 }
    if (!found.isFile())
      throw new Wrong(`${path.slice(this.root.length + 1)} is neither file, folder nor link`)
    const hash = sha256()
    for await (const chunk of readChunks(path)) hash.update(chunk)
    return { ...facts, kind: "file", size: found.size, digest: hash.digest() }
  }
}
