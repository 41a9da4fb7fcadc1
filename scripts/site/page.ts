import { readFileSync } from "node:fs"
import { join } from "node:path"
import { escaped, type Section } from "./markdown.ts"

const file = (name: string) => readFileSync(join(import.meta.dirname, name), "utf8")
const CSS = file("site.css")

/** One page of the site. */
export interface Page {
  /** From the site's root, such as `docs/network.html`. */
  readonly path: string
  readonly title: string
  /** Of the page's part. */
  readonly html: string
  readonly sections: readonly Section[]
}

/** A heading of the navigation, and the pages below it. */
export interface Part {
  readonly title: string
  readonly pages: readonly Page[]
}

/** The whole HTML of `page`, which finds all others of `parts` by paths, so that it needs no server. */
export function pageHtml(page: Page, parts: readonly Part[]): string {
  const up = "../".repeat(page.path.split("/").length - 1)
  const nav = parts
    .map(({ title, pages }) => {
      const links = pages.map((other) => {
        const here = other === page ? ' aria-current="page"' : ""
        return `<li><a href="${up}${other.path}"${here}>${escaped(other.title)}</a></li>`
      })
      const open = pages.includes(page) ? " open" : ""
      return `<details${open}><summary>${escaped(title)}</summary><ul>${links.join("")}</ul></details>`
    })
    .join("\n")
  return document(page.title, [
    `<input type="checkbox" id="menu" hidden><header><label for="menu" aria-label="menu">☰</label><a class="name" href="${up}index.html">OVMS</a>`,
    '<input id="search" type="search" placeholder="Search" aria-label="search" autocomplete="off"></header>',
    `<nav>${nav}</nav>`,
    `<main><ol id="found" hidden></ol><article>${page.html}</article></main>`,
    `<script>window.ROOT = ${JSON.stringify(up)}</script>`,
    `<script src="${up}search-index.js" defer></script><script src="${up}search.js" defer></script>`,
  ])
}

/** A page that stands alone, with a list of its parts beside it. */
export function documentHtml(title: string, contents: string, html: string): string {
  return document(title, [
    `<input type="checkbox" id="menu" hidden><header><label for="menu" aria-label="menu">☰</label><span class="name">${escaped(title)}</span></header>`,
    `<nav>${contents}</nav><main><article>${html}</article></main>`,
  ])
}

function document(title: string, body: readonly string[]): string {
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escaped(title)}</title><style>${CSS}</style></head><body>`,
    ...body,
    "</body></html>\n",
  ].join("\n")
}

/** What the search looks through: a line for each section. */
export function searchIndex(parts: readonly Part[]): string {
  const entries = parts.flatMap(({ pages }) =>
    pages.flatMap(({ path, title, sections }) =>
      sections.map(({ id, title: of, text }) => [`${path}#${id}`, title, of, text.trim()]),
    ),
  )
  return `window.INDEX = ${JSON.stringify(entries)}\n`
}

export const SEARCH = file("search.js")
