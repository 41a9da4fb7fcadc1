import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join, posix } from "node:path"
import { COMMANDS } from "../../packages/ovm/src/cli/commands.ts"
import { render } from "./markdown.ts"
import { siteFiles } from "./site.ts"

const { pages, files } = await siteFiles()
const ids = new Map(
  Array.from(pages, ([path, html]) => [path, Array.from(html.matchAll(/ id="([^"]+)"/g), ([, id]) => id)]),
)

test("every link leads to a page, a part of one, or a file beside it", () => {
  const broken: string[] = []
  for (const [path, html] of pages)
    for (const [, href = ""] of html.matchAll(/<a [^>]*href="([^"]*)"/g)) {
      if (/^[a-z]+:/.test(href)) continue
      const [to = "", part = ""] = href.split("#")
      const page = to === "" ? path : posix.normalize(posix.join(posix.dirname(path), to))
      const there = part === "" ? pages.has(page) || files.has(page) : ids.get(page)?.includes(part)
      if (!there && !(files.has(page) && part !== "")) broken.push(`${path}: ${href}`)
    }
  expect(broken).toEqual([])
})

test("no id is there twice on a page", () => {
  for (const [path, of] of ids)
    expect([path, of.filter((id, at) => of.indexOf(id) !== at)]).toEqual([path, []])
})

test("every command, operation, error code and requirement has its place", () => {
  for (const { name, hidden } of COMMANDS)
    if (!hidden) expect(pages.get(`commands/${name}.html`)).toContain(`<h1 id="ovm-${name}">`)
  const root = join(import.meta.dirname, "../..")
  const { codes } = JSON.parse(readFileSync(join(root, "spec/errors.json"), "utf8"))
  for (const code of Object.keys(codes))
    expect(pages.get("reference/errors.html")).toContain(`<code>${code}</code>`)
  const operations = readFileSync(join(root, "spec/api/openapi.yaml"), "utf8").match(/operationId:/g)
  expect(pages.get("reference/api.html")?.match(/<h3 id="(get|post|put|delete)-/g)).toHaveLength(
    operations?.length ?? 0,
  )
  const requirements = JSON.parse(readFileSync(join(root, "spec/requirements.json"), "utf8"))
  const whole = ids.get("spec.html")
  for (const { id } of requirements) if (!whole?.includes(id)) throw new Error(`spec.html has no ${id}`)
})

test("the search knows every page, and the specification needs nothing beside it", () => {
  const index = pages.get("search-index.js") ?? ""
  for (const path of pages.keys())
    if (path.endsWith(".html") && path !== "spec.html") expect(index).toContain(`"${path}#`)
  expect(pages.get("spec.html")).not.toMatch(/<(script|link|img)\b/)
})

test("headings have GitHub's ids, and what is no markup stays text", () => {
  const { html, sections } = render("# A `b` & c\n## Same\n## Same\n<b>x</b> `<i>`\n", {
    link: (href) => href,
  })
  expect(sections.map(({ id }) => id)).toEqual(["a-b--c", "same", "same-1"])
  expect(html).toContain("<code>&lt;i&gt;</code>")
})
