/** What a package manager's own list says is installed. */
export interface Package {
  readonly manager: "deb" | "apk"
  readonly name: string
  readonly version: string
  readonly architecture?: string
  /** What it was built from, where that has another name. */
  readonly source?: string
}

export interface PackageList {
  readonly packages: readonly Package[]
  /** Entries that say they are installed and are no packages. */
  readonly odd: number
}

/** More than any distribution has. */
export const PACKAGE_LIMIT = 100_000
const NAME = /^[A-Za-z0-9_][\w.+-]{0,199}$/
const VERSION = /^[\w.+:~^-]{1,200}$/
const ARCHITECTURE = /^[\w-]{1,40}$/

/** Debian's /var/lib/dpkg/status (deb822, dpkg(1)): what is installed, not what was removed and left its settings. */
export function dpkgPackages(text: string): PackageList {
  return collect(paragraphs(text), (field) => {
    if (!/ installed$/.test(field("Status") ?? "")) return undefined
    // "Source: glibc (2.36-9)": the version is given where it is another one.
    const source = field("Source")?.split(" ")[0]
    const architecture = field("Architecture")
    return make("deb", { name: field("Package"), version: field("Version"), architecture, source })
  })
}

/** Alpine's /lib/apk/db/installed (apk(5)). */
export function apkPackages(text: string): PackageList {
  return collect(paragraphs(text), (field) =>
    make("apk", { name: field("P"), version: field("V"), architecture: field("A"), source: field("o") }),
  )
}

type Field = (name: string) => string | undefined

function collect(
  entries: Iterable<string>,
  read: (field: Field) => Package | "odd" | undefined,
): PackageList {
  const packages: Package[] = []
  let odd = 0
  for (const entry of entries) {
    const fields = new Map<string, string>()
    for (const line of entry.split("\n")) {
      const colon = line.indexOf(":")
      // Lines that go on with the one before begin with a space, and none of ours does.
      if (colon > 0 && line[0] !== " ") fields.set(line.slice(0, colon), line.slice(colon + 1).trim())
    }
    const found = read((name) => fields.get(name))
    if (found === "odd" || (found && packages.length >= PACKAGE_LIMIT)) odd++
    else if (found) packages.push(found)
  }
  return { packages: packages.sort(inOrder), odd }
}

function* paragraphs(text: string): Iterable<string> {
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\n\n", at)
    const entry = text.slice(at, end < 0 ? text.length : end)
    if (entry.trim() !== "") yield entry
    at = end < 0 ? text.length : end + 2
  }
}

function make(
  manager: Package["manager"],
  { name = "", version = "", architecture, source }: Partial<Record<keyof Package, string | undefined>>,
): Package | "odd" {
  if (!NAME.test(name) || !VERSION.test(version)) return "odd"
  return {
    manager,
    name,
    version,
    ...(architecture !== undefined && ARCHITECTURE.test(architecture) && { architecture }),
    ...(source !== undefined && source !== name && NAME.test(source) && { source }),
  }
}

function inOrder(a: Package, b: Package): number {
  const key = ({ name, architecture = "", version }: Package) => `${name}\0${architecture}\0${version}`
  return key(a) < key(b) ? -1 : 1
}
