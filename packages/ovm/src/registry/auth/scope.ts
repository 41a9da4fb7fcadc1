const HUB = "docker.io"
/** Other names of Docker Hub: its entry has had the first one since before registries had hosts. */
const HUB_NAMES: readonly string[] = [HUB, "index.docker.io", "registry-1.docker.io"]

/**
 * What a key of `auths` or `credHelpers` is for: `HOST[:PORT]`, and with a path `HOST/PATH` (containers-auth.json(5)),
 * in its canonical form. Older tools wrote whole URLs, in which the path `/v1/` or `/v2/` is the API's and no
 * repository's.
 */
export function scopeOf(key: string): string {
  const text = key.replace(/^https?:\/\//i, "")
  const slash = `${text}/`.indexOf("/")
  const host = text.slice(0, slash).toLowerCase()
  const path = text.slice(slash + 1).replace(/\/+$/, "")
  const whole = text !== key || HUB_NAMES.includes(host)
  const name = HUB_NAMES.includes(host) ? HUB : host
  return path === "" || (whole && /^v[12]$/.test(path)) ? name : `${name}/${path}`
}

/** True if `name`, a host or `HOST/REPOSITORY`, is `scope` or below it, by whole components. */
export function contains(scope: string, name: string): boolean {
  return name === scope || name.startsWith(`${scope}/`)
}

/** The host of a scope or of `HOST/REPOSITORY`. */
export function hostOf(name: string): string {
  return name.slice(0, `${name}/`.indexOf("/"))
}

/** How Docker calls a scope in its file and towards helpers. */
export function keyOf(scope: string): string {
  return scope === HUB ? "https://index.docker.io/v1/" : scope
}
