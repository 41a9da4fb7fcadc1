/** What a distribution says that it is (os-release(5)). */
export interface System {
  readonly id: string
  readonly name?: string
  readonly version?: string
}

const ID = /^[a-z0-9._-]{1,64}$/

/** Undefined if the text does not say. Values may be quoted; nothing in them is expanded. */
export function parseOsRelease(text: string): System | undefined {
  const fields = new Map<string, string>()
  for (const line of text.split("\n").slice(0, 200)) {
    const [, name, value = ""] = /^([A-Z_]{1,40})=(.{0,200})$/.exec(line) ?? []
    if (name) fields.set(name, /^(["'])(.*)\1$/.exec(value)?.[2] ?? value)
  }
  const id = fields.get("ID")
  if (id === undefined || !ID.test(id)) return undefined
  const [name, version] = [plain(fields.get("PRETTY_NAME")), plain(fields.get("VERSION_ID"))]
  return { id, ...(name && { name }), ...(version && { version }) }
}

function plain(text: string | undefined): string | undefined {
  return text?.replace(/[^\x20-\x7e]/g, "")
}
