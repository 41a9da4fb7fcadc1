import { ifPresent } from "../files/present.ts"
import { readRegular } from "../files/regular.ts"

const LIMIT = 64 << 10
const LINE = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$/

/** The variables of a file `.env`, none if there is no such file. Throws a SyntaxError that names the line. */
export async function readDotenv(path: string): Promise<ReadonlyMap<string, string>> {
  const bytes = await ifPresent(readRegular(path, LIMIT))
  return bytes ? parseDotenv(new TextDecoder().decode(bytes), path) : new Map()
}

/** `NAME=VALUE` a line: quotes are taken away, and what is behind a blank and # without them. */
export function parseDotenv(text: string, path = ".env"): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(#|$)/.test(line)) continue
    const [, name, value = ""] = LINE.exec(line) ?? []
    if (name === undefined) throw new SyntaxError(`${path}:${index + 1}: it is not NAME=VALUE`)
    const [, quote, inside = ""] = /^(["'])(.*?)\1\s*(?:#.*)?$/.exec(value) ?? []
    if (quote === undefined && /^["']/.test(value))
      throw new SyntaxError(`${path}:${index + 1}: the quote is not closed`)
    found.set(name, quote === undefined ? value.replace(/(^|\s+)#.*$/, "") : inside)
  }
  return found
}
