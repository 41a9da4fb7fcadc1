import { widthOf } from "./columns.ts"
import { wrapText } from "./wrap.ts"

/** `text` in at most `columns`; of a longer one the given end, with an ellipsis for the rest. */
export function cut(text: string, columns: number, keep: "start" | "end" = "start"): string {
  if (widthOf(text) <= columns) return text
  const characters = [...text]
  const most = Math.max(0, columns - 1)
  return keep === "start"
    ? `${characters.slice(0, most).join("")}…`
    : `…${characters.slice(characters.length - most).join("")}`
}

const DIGEST = /(sha256:[0-9a-f]{12})[0-9a-f]{52}/g
/** What stands before the words of a line of a tree, or of one that is merely indented. */
const STEM = /^(?:│ {2}|├─ |└─ | )*/

/**
 * One line of a tree as lines of at most `columns`: with the first twelve digits of its digests, which name as much
 * as all of them do here, and if that is not enough broken at blanks, under where its words began.
 */
export function fitLine(line: string, columns: number): string[] {
  if (widthOf(line) <= columns) return [line]
  const short = line.replaceAll(DIGEST, "$1")
  if (widthOf(short) <= columns) return [short]
  const [stem = ""] = STEM.exec(short) ?? []
  const [first = "", ...others] = hung(short.slice(stem.length), columns - widthOf(stem))
  const below = stem.replaceAll("├─ ", "│  ").replaceAll("└─ ", "   ")
  return [stem + first, ...others.map((text) => below + text)]
}

/** Lines of at most `columns`, those after the first indented by two. */
function hung(text: string, columns: number): string[] {
  const [first = "", ...others] = wrapText(text, Math.max(columns, 10))
  const rest = others.length === 0 ? [] : wrapText(others.join(" "), Math.max(columns - 2, 10))
  return [first, ...rest.map((line) => `  ${line}`)]
}
