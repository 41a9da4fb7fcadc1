import { Marked, type Token, type Tokens } from "marked"

/** A heading of a page, and what stands below it, as text, for the search. */
export interface Section {
  readonly id: string
  readonly level: number
  readonly title: string
  text: string
}

export interface Rendered {
  readonly html: string
  /** In order; the page's title first. */
  readonly sections: readonly Section[]
}

export interface RenderOptions {
  /** Where a link of the source leads on the site; undefined for one that leads nowhere there: its text stays. */
  readonly link: (href: string) => string | undefined
  /** Put before the id of every heading, where several documents are one page. */
  readonly prefix?: string
  /** How many levels down the headings go. */
  readonly shift?: number
}

const REQUIREMENT = /(<(?:li|p|td)>)?\[(OVMS-[A-Z]{2,4}-\d{3})\]/g

/** HTML of a document, whose headings have the ids that GitHub gives them, and requirements ids of their own. */
export function render(source: string, { link, prefix = "", shift = 0 }: RenderOptions): Rendered {
  const sections: Section[] = []
  const ids = new Map<string, number>()
  const idOf = (title: string) => {
    const slug = slugOf(title)
    const before = ids.get(slug) ?? 0
    ids.set(slug, before + 1)
    return prefix + (before === 0 ? slug : `${slug}-${before}`)
  }
  const marked = new Marked({
    gfm: true,
    renderer: {
      heading({ tokens, depth }: Tokens.Heading) {
        const title = textOf(tokens)
        const id = idOf(title)
        sections.push({ id, level: depth + shift, title, text: "" })
        const level = Math.min(6, depth + shift)
        return `<h${level} id="${id}">${this.parser.parseInline(tokens)} <a class="here" href="#${id}" aria-label="link to this section">#</a></h${level}>\n`
      },
      link({ href, title, tokens }: Tokens.Link) {
        const to = link(href)
        if (to === undefined) return this.parser.parseInline(tokens)
        const named = title ? ` title="${escaped(title)}"` : ""
        return `<a href="${escaped(to)}"${named}>${this.parser.parseInline(tokens)}</a>`
      },
      table(token: Tokens.Table) {
        const cells = (row: Tokens.TableCell[], tag: string) =>
          row.map(({ tokens }) => `<${tag}>${this.parser.parseInline(tokens)}</${tag}>`).join("")
        const rows = token.rows.map((row) => `<tr>${cells(row, "td")}</tr>`).join("\n")
        return `<div class="wide"><table><thead><tr>${cells(token.header, "th")}</tr></thead><tbody>\n${rows}\n</tbody></table></div>\n`
      },
    },
  })
  const tokens = marked.lexer(source)
  const html = marked.parser(tokens)
  fillText(tokens, sections)
  return { html: withRequirements(html), sections }
}

function fillText(tokens: readonly Token[], sections: readonly Section[]): void {
  let at = -1
  for (const token of tokens) {
    if (token.type === "heading") at++
    const section = sections[at]
    if (section && token.type !== "heading" && token.type !== "space")
      section.text += ` ${token.raw.replace(/[`*|]|\]\([^)]*\)|-{3,}/g, " ").replace(/\s+/g, " ")}`
  }
}

/** A requirement can be linked to where it is said: at the beginning of a sentence of its own. */
function withRequirements(html: string): string {
  return html.replace(REQUIREMENT, (_, before: string | undefined, id: string) =>
    before === undefined ? `[${id}]` : `${before}<a class="id" id="${id}" href="#${id}">${id}</a>`,
  )
}

function textOf(tokens: readonly Token[]): string {
  return tokens
    .map((token) =>
      "tokens" in token && token.tokens ? textOf(token.tokens) : "text" in token ? token.text : "",
    )
    .join("")
}

/** As GitHub makes them of headings. */
export function slugOf(title: string): string {
  return title
    .trim()
    .toLowerCase()
    .replace(/&[a-z]+;/g, "")
    .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, "")
    .replaceAll(" ", "-")
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }

/** For text and attributes of HTML. */
export function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character)
}
