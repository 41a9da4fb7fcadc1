import { Node } from "../ext4/node.ts"
import type { Budget, Entry } from "./entries.ts"
import { beyond, type ContainerLimits, fault, quotedName } from "./limits.ts"

const [LONGEST_NAME, LONGEST_PATH, MOST_LINKS, MOST_NAMES] = [255, 4096, 40, 65000]
const [WHITEOUT, OPAQUE] = [".wh.", ".wh..wh..opq"]

interface Holding {
  readonly what: string
  readonly limits: ContainerLimits
  readonly left: Budget
}

/** The files of an image as its layers make them, one after the other; symbolic links lead nowhere but within it. */
export class Tree {
  readonly root = new Node("folder")

  /** Puts one layer over those before it (image-spec: layer.md). Throws OVM_ARTIFACT_INVALID, OVM_TOO_LARGE. */
  apply(entries: readonly Entry[], holding: Holding): void {
    // Whiteouts are about the layers below alone, wherever they stand in this one.
    for (const { name } of entries)
      if (name.includes(WHITEOUT)) this.#whiteOut(this.#partsOf(name, holding), holding)
    for (const entry of entries) {
      const parts = this.#partsOf(entry.name, holding)
      if (!parts.at(-1)?.startsWith(WHITEOUT)) this.#put(entry, parts, holding)
    }
  }

  /** A folder, which is made if there is none. Undefined if there is something else. */
  folder(path: string, holding: Holding): Node | undefined {
    return this.#walk(path.split("/"), holding, true)
  }

  /** Whether there is anything at `path`; its last part is not followed. */
  has(path: string, holding: Holding): boolean {
    const parts = path.split("/")
    return this.#walk(parts.slice(0, -1), holding, false)?.children?.has(parts.at(-1) ?? "") ?? false
  }

  #partsOf(name: string, { what }: Holding): string[] {
    const refuse = (reason: string) => fault(what, `${quotedName(name)} ${reason}`)
    if (name.length > LONGEST_PATH) throw refuse(`is longer than ${LONGEST_PATH} bytes`)
    const parts = name.split("/").filter((part) => part !== "" && part !== ".")
    if (name.includes("\0") || parts.includes("..")) throw refuse("leads out of the image")
    if (parts.some((part) => part.length > LONGEST_NAME))
      throw refuse(`has a part of more than ${LONGEST_NAME} bytes`)
    return parts
  }

  #whiteOut(parts: readonly string[], holding: Holding): void {
    const last = parts.at(-1)
    if (!last?.startsWith(WHITEOUT)) return
    const hidden = last.slice(WHITEOUT.length)
    if (["", ".", ".."].includes(hidden))
      throw fault(holding.what, `${quotedName(parts.join("/"))} would remove the folder that it is in`)
    const folder = this.#walk(parts.slice(0, -1), holding, false)
    if (last === OPAQUE) for (const name of [...(folder?.children?.keys() ?? [])]) drop(folder, name)
    else drop(folder, hidden)
  }

  #put({ name, node, link }: Entry, parts: readonly string[], holding: Holding): void {
    const { what } = holding
    const last = parts.at(-1)
    if (last === undefined) {
      if (!node?.children) throw fault(what, `${quotedName(name)} makes of the root what is no folder`)
      take(this.root, node)
      return
    }
    const folder = this.#walk(parts.slice(0, -1), holding, true)
    if (!folder?.children) throw fault(what, `${quotedName(name)} is below what is no folder`)
    const before = folder.children.get(last)
    if (node?.children && before?.children) {
      take(before, node)
      return
    }
    const found = node ?? this.#linked(name, link, holding)
    if (found === before) return
    drop(folder, last)
    found.names++
    folder.children.set(last, found)
  }

  /** What one more name is given to. */
  #linked(name: string, link: string, holding: Holding): Node {
    const { what } = holding
    const parts = this.#partsOf(link, holding)
    const found = this.#walk(parts.slice(0, -1), holding, false)?.children?.get(parts.at(-1) ?? "")
    if (!found)
      throw fault(what, `${quotedName(name)} is a hard link to ${quotedName(link)}, which is not there`)
    if (found.children) throw fault(what, `${quotedName(name)} is a hard link to a folder`)
    if (found.names >= MOST_NAMES) throw fault(what, `${quotedName(link)} has more than ${MOST_NAMES} names`)
    return found
  }

  #walk(parts: readonly string[], holding: Holding, make: boolean): Node | undefined {
    const way = [this.root]
    const pending = [...parts].reverse()
    let links = 0
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === "" || part === ".") continue
      if (part === "..") {
        if (way.length > 1) way.pop()
        continue
      }
      const here = way.at(-1) ?? this.root
      const next = here.children?.get(part) ?? (make ? this.#made(here, part, holding) : undefined)
      if (next?.kind === "link") {
        if (++links > MOST_LINKS) return undefined
        if (next.target.startsWith("/")) way.length = 1
        pending.push(...next.target.split("/").reverse())
      } else if (next?.children) way.push(next)
      else return undefined
    }
    return way.at(-1)
  }

  #made(folder: Node, name: string, { what, limits, left }: Holding): Node {
    if (name.length > LONGEST_NAME)
      throw fault(what, `${quotedName(name)} has more than ${LONGEST_NAME} bytes`)
    if (--left.entries < 0) throw beyond(what, limits.entries, "entries")
    const made = new Node("folder")
    made.names = 1
    folder.children?.set(name, made)
    return made
  }
}

function drop(folder: Node | undefined, name: string): void {
  const gone = folder?.children?.get(name)
  if (gone) gone.names--
  folder?.children?.delete(name)
}

/** A folder that is there has what a layer says of it now, and what is in it. */
function take(folder: Node, said: Node): void {
  const { mode, uid, gid, seconds, nanoseconds, attributes } = said
  Object.assign(folder, { mode, uid, gid, seconds, nanoseconds, attributes })
}
