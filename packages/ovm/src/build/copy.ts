import { posix } from "node:path"
import type { Context, ContextSource } from "./context.ts"
import type { Instruction } from "./document.ts"
import { Wrong } from "./faults.ts"
import { jsonList } from "./metadata.ts"
import type { Base, Copy, PlannedStage } from "./planned.ts"
import { expand, splitWords, type VariableLookup } from "./words.ts"

interface Where {
  readonly context: Context
  readonly isArchive: (path: string) => Promise<boolean>
  readonly lookup: VariableLookup
  readonly mark: string
  /** Of the machine as it is by now. */
  readonly directory: string
  /** What --from names. */
  readonly from: (name: string) => Promise<PlannedStage | Base>
}

const REMOTE = /^(https?|ftp|git|ssh):\/\/|^git@/i

/** Throws Wrong, and what finding an image throws. */
export async function copyOf({ keyword, flags, rest }: Instruction, where: Where): Promise<Copy> {
  const { lookup, mark } = where
  const words = (jsonList(rest) ?? splitWords(rest, mark)).map((word) => expand(word, lookup, mark))
  const target = words.pop()
  if (target === undefined || target === "" || words.length === 0)
    throw new Wrong(`${keyword} needs what is to be copied, and where to`)
  if (keyword === "ADD") refuseRemote(words)
  const from = flags.get("from")
  const sources =
    from === undefined
      ? await inContext(keyword, flags, words, where)
      : { stage: await where.from(expand(from, lookup, mark)), paths: words.map(insideOf) }
  const several = "stage" in sources ? sources.paths.length > 1 : sources.length > 1
  if (several && !/(^|\/)\.{0,2}$/.test(target))
    throw new Wrong(`several things go into a folder: write ${target}/`)
  const chown = flags.get("chown")
  const chmod = flags.get("chmod")
  return {
    to: posix.resolve(where.directory, target),
    into: several || /(^|\/)\.{0,2}$/.test(target),
    ...(chown !== undefined && { chown: ownerOf(expand(chown, lookup, mark)) }),
    ...(chmod !== undefined && { chmod: modeOf(expand(chmod, lookup, mark)) }),
    sources,
  }
}

async function inContext(
  keyword: string,
  flags: Instruction["flags"],
  words: readonly string[],
  { context, isArchive }: Where,
): Promise<readonly ContextSource[]> {
  const found = (await Promise.all(words.map((word) => context.find(word)))).flat()
  return keyword === "ADD" ? await unpacked(found, flags, isArchive) : found
}

function insideOf(path: string): string {
  if (/[*?[]/.test(path)) throw new Wrong(`${path}: patterns are not supported for what another stage has`)
  return posix.resolve("/", path)
}

function ownerOf(text: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/.test(text)) return text
  throw new Wrong(`--chown=${text} is not USER or USER:GROUP`)
}

function modeOf(text: string): number {
  if (/^[0-7]{3,4}$/.test(text)) return Number.parseInt(text, 8)
  throw new Wrong(`--chmod=${text} is not a mode in octal, such as 0755`)
}

function refuseRemote(words: readonly string[]): void {
  const remote = words.find((word) => REMOTE.test(word))
  if (remote !== undefined)
    throw new Wrong(`ADD of ${remote} is not supported: have a RUN fetch it, and hold it against its digest`)
}

/** With a mark on what is to be unpacked, as Docker does it. Throws Wrong. */
async function unpacked(
  sources: readonly ContextSource[],
  flags: Instruction["flags"],
  isArchive: Where["isArchive"],
): Promise<readonly ContextSource[]> {
  return await Promise.all(
    sources.map(async (source) => {
      const [entry] = source.entries
      if (source.folder || entry?.kind !== "file" || !(await isArchive(entry.path))) return source
      const odd = ["chown", "chmod"].find((name) => flags.has(name))
      if (odd !== undefined)
        throw new Wrong(`ADD --${odd} of the archive ${source.name} is not supported: have a RUN do it`)
      return { ...source, archive: true as const }
    }),
  )
}
