import { OvmError } from "../errors.ts"
import { isHost, isRepository } from "../registry/reference.ts"

/**
 * What credentials are kept for: HOST, or HOST/PATH for what is below that only. Throws OVM_USAGE with `example` for
 * anything else.
 */
export function parseScope(text: string, example: string): { host: string; scope: string } {
  const slash = `${text}/`.indexOf("/")
  const [host, path] = [text.slice(0, slash).toLowerCase(), text.slice(slash + 1)]
  if (!isHost(host) || (slash < text.length && !isRepository(path)))
    throw new OvmError("OVM_USAGE", `${JSON.stringify(text)} is not a host`, { hint: example })
  return { host, scope: path ? `${host}/${path}` : host }
}
