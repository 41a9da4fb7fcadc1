import { escaped, render } from "./markdown.ts"
import { documentHtml } from "./page.ts"
import { read, specDocuments, target } from "./sources.ts"

/**
 * The whole specification as one HTML page that needs nothing beside it. Links to what is not in it, such as schemas,
 * lead to `elsewhere` of their path from the repository's root.
 */
export async function specHtml(elsewhere: (path: string) => string | undefined): Promise<string> {
  const names = ["README.md", ...(await specDocuments())]
  const contents: string[] = []
  const parts: string[] = []
  for (const name of names) {
    const from = `spec/${name}`
    const link = (href: string) => {
      const to = target(from, href)
      if (!to) return href
      const own = names.find((other) => to.path === `spec/${other}`)
      return own === undefined ? elsewhere(to.path) : `#${prefixOf(own)}${to.part || "top"}`
    }
    const { html, sections } = render(await read(from), { link, prefix: prefixOf(name) })
    const inner = sections.filter(({ level }) => level === 2)
    const links = inner.map(({ id, title }) => `<li><a href="#${id}">${escaped(title)}</a></li>`)
    const title = `<a href="#${prefixOf(name)}top">${escaped(sections[0]?.title ?? name)}</a>`
    contents.push(`<details><summary>${title}</summary><ul>${links.join("")}</ul></details>`)
    parts.push(`<section id="${prefixOf(name)}top">${html}</section>`)
  }
  return documentHtml("OVMS specification", contents.join("\n"), parts.join("\n"))
}

function prefixOf(name: string): string {
  return `${name.replace(/\.md$/, "").replaceAll("/", "-").toLowerCase()}-`
}
